//! Request: what a KeyValueStore request asks for.
//!
//! In: path, query and body. Out: typed parts, or a validation error. Never: the stores.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::PREFIX;
use super::answer::Refused;
use crate::hooks::host::kv::{Change, Entry, PAGE_MAX};

/// Characters of `KvsARN`.
const ARN_MAX: usize = 2048;
/// Entries of a page unless asked otherwise.
const PAGE: usize = 10;
/// What a plain name is put behind, as AWS's ARNs have an account.
pub const ARN_BEFORE: &str = "arn:aws:cloudfront::000000000000:key-value-store/";

/// The path's parts.
pub struct Call {
    pub store: String,
    pub arn: String,
    pub target: Target,
}

pub enum Target {
    Store,
    Keys,
    Key(String),
}

/// Query of `ListKeys`.
pub struct Listing {
    pub after: Option<String>,
    pub max: usize,
}

/// Body of `PutKey`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Put {
    pub value: String,
}

/// Body of `UpdateKeys`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Update {
    #[serde(default)]
    puts: Option<Vec<PutItem>>,
    #[serde(default)]
    deletes: Option<Vec<DeleteItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutItem {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteItem {
    key: String,
}

// === impl Call ===
impl Call {
    pub fn parse(path: &str) -> Result<Self, Refused> {
        let rest = path.strip_prefix(PREFIX).ok_or_else(|| Refused::not_found("no such path"))?;
        let (arn, target) = match rest.split_once('/') {
            None => (rest, Target::Store),
            Some((arn, "keys")) => (arn, Target::Keys),
            Some((arn, key)) => match key.strip_prefix("keys/") {
                // A client that does not escape '/' means the same key.
                Some(key) if !key.is_empty() => (arn, Target::Key(decoded(key)?)),
                _ => return Err(Refused::not_found("no such path")),
            },
        };
        let arn = decoded(arn)?;
        if arn.len() > ARN_MAX {
            return Err(Refused::invalid("KvsARN is too long"));
        }
        let store = arn.rsplit_once(":key-value-store/").map_or(arn.as_str(), |(_, name)| name).to_owned();
        let arn = if arn.starts_with("arn:") { arn } else { format!("{ARN_BEFORE}{store}") };
        Ok(Call { store, arn, target })
    }
}

// === impl Listing ===
impl Listing {
    pub fn parse(query: &str) -> Result<Self, Refused> {
        let mut listing = Listing { after: None, max: PAGE };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "MaxResults" => {
                    let max = value.parse().ok().filter(|max| (1..=PAGE_MAX).contains(max));
                    listing.max = max.ok_or_else(|| Refused::invalid("MaxResults is a number from 1 to 50"))?;
                }
                "NextToken" => {
                    let token = URL_SAFE_NO_PAD.decode(decoded(value)?).ok();
                    let after = token.and_then(|token| String::from_utf8(token).ok());
                    listing.after = Some(after.ok_or_else(|| Refused::invalid("NextToken is not one of ours"))?);
                }
                _ => {}
            }
        }
        Ok(listing)
    }

    /// What `NextToken` is after `key`.
    pub fn token(key: &str) -> String {
        URL_SAFE_NO_PAD.encode(key)
    }
}

// === impl Put ===
impl Put {
    pub fn parse(body: &[u8]) -> Result<Self, Refused> {
        json(body)
    }
}

// === impl Update ===
impl Update {
    pub fn parse(body: &[u8]) -> Result<Self, Refused> {
        json(body)
    }

    pub fn into_changes(self) -> Result<Vec<Change>, Refused> {
        let puts = self.puts.unwrap_or_default().into_iter();
        let deletes = self.deletes.unwrap_or_default().into_iter();
        let changes: Vec<Change> = puts
            .map(|put| Change::Put(Entry { key: put.key, value: put.value.into() }))
            .chain(deletes.map(|delete| Change::Delete(delete.key)))
            .collect();
        if changes.is_empty() {
            return Err(Refused::invalid("there is nothing to put or delete"));
        }
        Ok(changes)
    }
}

fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::invalid(format!("the body cannot be read: {error}")))
}

/// Percent-decodes one part (RFC 3986 §2.1); '+' is itself.
fn decoded(text: &str) -> Result<String, Refused> {
    let wrong = || Refused::invalid("a percent-encoding is broken, or not UTF-8");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(wrong()),
        }
    }
    String::from_utf8(out).map_err(|_| wrong())
}
