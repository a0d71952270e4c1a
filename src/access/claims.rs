//! Claims: what is said of who asks.
//!
//! In: the text of a JSON object. Out: single claims; all of them, read once somebody asks. Never: an object with a member twice, a
//! verdict.
//!
//! Most tokens are flat, and of most no more than a few claims are looked at: those are read where they stand. A tree of every new
//! token's claims took a sixth of what its signature takes (`benches/jwt`).

mod flat;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::de::Error;
use serde_json::{Map, Value};

use super::json;
use crate::crypto;
use flat::Member;

/// An object that somebody vouches for: a token's claims, an authorizer's context.
#[derive(Debug)]
pub struct Claims {
    text: Box<str>,
    /// Of a flat object, by name.
    members: Option<Box<[Member]>>,
    read: OnceLock<Arc<Map<String, Value>>>,
    says: OnceLock<[u8; 32]>,
}

/// One claim.
#[derive(Debug, Clone, Copy)]
pub enum Claim<'c> {
    /// As it stands in the text, which is as serde_json prints it: text in quotes with nothing escaped, a whole number, a boolean, null,
    /// or a list of text.
    Flat(&'c str),
    Read(&'c Value),
}

/// Claims that say which token it is and when it was made, not who has it: a token that takes another's place differs in them.
const OF_THE_TOKEN: [&str; 8] = ["at_hash", "auth_time", "event_id", "exp", "iat", "jti", "nbf", "origin_jti"];

// === impl Claims ===
impl Claims {
    /// # Errors
    /// It is no JSON object, or has a member twice somewhere (RFC 7519 §4).
    pub fn parse(text: Vec<u8>) -> Result<Self, serde_json::Error> {
        let text = String::from_utf8(text).map_err(Error::custom)?;
        let members = flat::members(&text);
        let read = OnceLock::new();
        if members.is_none() {
            let _ = read.set(Arc::new(json::object(text.as_bytes())?));
        }
        Ok(Claims { text: text.into(), members, read, says: OnceLock::new() })
    }

    /// The claim of this name.
    pub fn get(&self, name: &str) -> Option<Claim<'_>> {
        match &self.members {
            Some(members) => {
                let at = members.binary_search_by(|member| member.name(&self.text).cmp(name)).ok()?;
                Some(Claim::Flat(members[at].value(&self.text)))
            }
            None => self.all().get(name).map(Claim::Read),
        }
    }

    /// All of them.
    pub fn all(&self) -> &Arc<Map<String, Value>> {
        // A flat object is one that serde_json reads.
        self.read.get_or_init(|| Arc::new(serde_json::from_str(&self.text).unwrap_or_default()))
    }

    /// As JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of what they say of who asks: the same for the token that takes this one's place. Computed once.
    pub fn says(&self) -> [u8; 32] {
        *self.says.get_or_init(|| {
            let mut says = Vec::with_capacity(self.text.len() + 64);
            let mut add = |name: &str, value: &str| {
                if !OF_THE_TOKEN.contains(&name) {
                    says.extend_from_slice(&(name.len() as u64).to_be_bytes());
                    says.extend_from_slice(&(value.len() as u64).to_be_bytes());
                    says.extend_from_slice(name.as_bytes());
                    says.extend_from_slice(value.as_bytes());
                }
            };
            match &self.members {
                Some(members) => {
                    members.iter().for_each(|member| add(member.name(&self.text), member.value(&self.text)));
                }
                None => self.all().iter().for_each(|(name, value)| add(name, &value.to_string())),
            }
            crypto::sha256(&says)
        })
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Default for Claims {
    /// Nothing is said.
    fn default() -> Self {
        Claims { text: "{}".into(), members: Some(Box::default()), read: OnceLock::new(), says: OnceLock::new() }
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(map: Map<String, Value>) -> Self {
        let all = Arc::new(map);
        // A map of JSON can be written.
        let text = serde_json::to_string(&*all).unwrap_or_default().into();
        Claims { text, members: None, read: OnceLock::from(all), says: OnceLock::new() }
    }
}

// === impl Claim ===
impl<'c> Claim<'c> {
    /// What it says, where it is text.
    pub fn as_str(self) -> Option<&'c str> {
        match self {
            Claim::Flat(text) => text.strip_prefix('"')?.strip_suffix('"'),
            Claim::Read(value) => value.as_str(),
        }
    }

    /// What it says, where it is a number.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Claim::Flat(text) => text.parse::<i64>().ok().map(|number| number as f64),
            Claim::Read(value) => value.as_f64(),
        }
    }

    /// The texts of a list; none, where it is something else.
    pub fn list(self) -> impl Iterator<Item = &'c str> {
        let (flat, read): (&str, &[Value]) = match self {
            Claim::Flat(text) if text.starts_with('[') => (text, &[]),
            Claim::Read(Value::Array(list)) => ("", list),
            _ => ("", &[]),
        };
        flat::quoted(flat).chain(read.iter().filter_map(Value::as_str))
    }

    /// In words, as a field has it: text as it is, anything else as JSON.
    pub fn words(self) -> Cow<'c, str> {
        match (self.as_str(), self) {
            (Some(text), _) | (None, Claim::Flat(text)) => Cow::Borrowed(text),
            (None, Claim::Read(value)) => Cow::Owned(value.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
