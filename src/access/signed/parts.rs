//! Parts: what a signature brings along, in URL or cookies.
//!
//! In: a request. Out: the key's id, the signature, canned or custom terms. Never: half of it from the URL and half from cookies.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::COOKIE;

use super::invalid;
use crate::access::{Asked, Denied, Reason};
use crate::message::Fields;

/// Bytes of a custom policy, decoded.
pub const POLICY_MAX: usize = 8 << 10;
/// Characters of a signature: RSA of 8192 bits in base64.
const SIGNATURE_MAX: usize = 1368;
/// Characters of a policy in base64.
const POLICY_TEXT_MAX: usize = POLICY_MAX.div_ceil(3) * 4;
/// Digits of a time: far beyond any year that is meant.
const EXPIRES_MAX: usize = 15;

/// Some signers leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Names of the query parameters; cookies have them after "CloudFront-".
const NAMES: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
const COOKIE_PREFIX: &[u8] = b"CloudFront-";

/// Everything about a signature but the URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    pub key_pair_id: &'a str,
    pub signature: Vec<u8>,
    pub hash: Hash,
    pub terms: Terms,
}

/// What is signed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Where nothing is said.
    Sha1,
    Sha256,
}

/// What was signed.
#[derive(Debug, PartialEq, Eq)]
pub enum Terms {
    /// This URL until then, in seconds since the epoch; the text is made again from the request.
    Canned(u64),
    /// The text that was sent.
    Custom(Vec<u8>),
}

/// The values as they were sent, in the order of [`NAMES`].
type Sent<'a> = [Option<&'a str>; 5];

// === impl Parts ===
impl<'a> Parts<'a> {
    /// From the URL where it has a signature or a key's id, else from cookies.
    ///
    /// # Errors
    /// [`Reason::SignedMissing`] without a key's id; [`Reason::SignedInvalid`] when another part is missing, twice there, too long
    /// or cannot be read.
    pub fn find<F: Fields>(asked: &Asked<'a, F>) -> Result<Self, Denied> {
        let query = gather(asked.query.unwrap_or_default().split('&').map(str::as_bytes), b"")?;
        let [_, _, signature, id, _] = query;
        if signature.is_some() || id.is_some() {
            return Self::read(query);
        }
        let pairs = asked.fields.lines(&COOKIE).flat_map(|line| line.split(|byte| *byte == b';'));
        Self::read(gather(pairs.map(<[u8]>::trim_ascii), COOKIE_PREFIX)?)
    }

    fn read([expires, policy, signature, id, hash]: Sent<'a>) -> Result<Self, Denied> {
        let id = id.filter(|id| !id.is_empty());
        let key_pair_id = id.ok_or_else(|| Denied::new(Reason::SignedMissing, "no Key-Pair-Id in URL or cookies"))?;
        let signature = signature.ok_or_else(|| invalid("no signature"))?;
        let signature = decode(signature, SIGNATURE_MAX).ok_or_else(|| invalid("the signature is not base64"))?;
        let hash = match hash {
            None | Some("SHA1") => Hash::Sha1,
            Some("SHA256") => Hash::Sha256,
            Some(_) => return Err(invalid("the hash is neither SHA1 nor SHA256")),
        };
        let terms = match (policy, expires) {
            (Some(policy), _) => {
                let policy = decode(policy, POLICY_TEXT_MAX).filter(|policy| policy.len() <= POLICY_MAX);
                Terms::Custom(policy.ok_or_else(|| invalid("the policy is not base64, or too long"))?)
            }
            (None, Some(expires)) => Terms::Canned(time(expires).ok_or_else(|| invalid("Expires is not a number"))?),
            (None, None) => return Err(invalid("neither Policy nor Expires")),
        };
        Ok(Parts { key_pair_id, signature, hash, terms })
    }
}

/// `query` without the parameters of a signature, as cache keys and origins see it; borrowed where there are none. Everything
/// else stays as it is, in its order.
pub fn strip_query(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(ours) {
        return Cow::Borrowed(query);
    }
    let mut kept = String::with_capacity(query.len());
    for (at, pair) in query.split('&').filter(|pair| !ours(pair)).enumerate() {
        if at > 0 {
            kept.push('&');
        }
        kept.push_str(pair);
    }
    Cow::Owned(kept)
}

/// CloudFront's base64: of the standard alphabet, three characters are replaced so that URLs and cookies can hold them.
pub fn encode(data: &[u8]) -> String {
    let text = BASE64.encode(data);
    let replaced = text.chars().map(|c| match c {
        '+' => '-',
        '=' => '_',
        '/' => '~',
        other => other,
    });
    replaced.collect()
}

/// The reverse of [`encode`]; `None` when `text` is something else, or longer than `limit` characters.
pub fn decode(text: &str, limit: usize) -> Option<Vec<u8>> {
    if text.len() > limit {
        return None;
    }
    let mut standard = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        standard.push(match byte {
            b'-' => b'+',
            b'_' => b'=',
            b'~' => b'/',
            b'+' | b'=' | b'/' => return None,
            other => other,
        });
    }
    BASE64.decode(standard).ok()
}

fn ours(pair: &str) -> bool {
    NAMES.contains(&pair.split_once('=').map_or(pair, |(name, _)| name))
}

fn gather<'a>(pairs: impl Iterator<Item = &'a [u8]>, prefix: &[u8]) -> Result<Sent<'a>, Denied> {
    let mut sent = Sent::default();
    for pair in pairs {
        let Some(pair) = pair.strip_prefix(prefix) else { continue };
        for (name, place) in NAMES.iter().zip(&mut sent) {
            let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            let Some(value) = value else { continue };
            let value = str::from_utf8(value).map_err(|_| invalid("a part is not text"))?;
            if place.replace(value).is_some() {
                return Err(invalid("a part is twice there"));
            }
        }
    }
    Ok(sent)
}

/// Digits only, as they stand in the canned policy; no leading zero, which the number would not have.
fn time(text: &str) -> Option<u64> {
    let plain = text.len() <= EXPIRES_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}
