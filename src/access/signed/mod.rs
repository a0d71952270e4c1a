//! Signed: URLs and cookies of CloudFront's kind, that somebody with a private key has handed out.
//!
//! In: the public keys of a key group, a request. Out: whether one of them signed for this request. Never: a request without a
//! signature, a time or address that the policy does not allow.
//!
//! Source of all rules: Amazon CloudFront Developer Guide, "Serve private content with signed URLs and signed cookies".

mod glob;
mod parts;
mod policy;
mod resource;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::access::{Asked, Denied, Reason};
use crate::config::compiled::KeyGroup;
use crate::crypto::{Algorithm, Form, Key, KeyError, Prepared};
use crate::message::Fields;
use parts::{Hash, Parts, Terms};
use policy::Policy;

pub use parts::{POLICY_MAX, decode, encode, strip_query};
pub use policy::canned;

/// The keys of one group, ready to verify.
#[derive(Debug)]
pub struct Group {
    keys: HashMap<String, Pair>,
}

/// One key with either hash.
#[derive(Debug)]
struct Pair {
    sha1: Prepared,
    sha256: Prepared,
}

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key '{id}': {reason}")]
pub struct GroupError {
    pub id: String,
    pub reason: KeyError,
}

// === impl Group ===
impl Group {
    /// Reads the keys: RSA of at least 2048 bits, or P-256.
    ///
    /// # Errors
    /// A key cannot be read, or is of another kind.
    pub fn new(group: &KeyGroup) -> Result<Self, GroupError> {
        let keys = group.keys.iter().map(|(id, pem)| {
            let pair = Pair::new(pem).map_err(|reason| GroupError { id: id.clone(), reason })?;
            Ok((id.clone(), pair))
        });
        Ok(Group { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Whether the request is for what was signed, by whom and when it is allowed. A signature in the URL counts, whatever the
    /// cookies say ("Decide to use signed URLs or signed cookies").
    ///
    /// # Errors
    /// [`Reason::SignedMissing`] without a `Key-Pair-Id`, else [`Reason::SignedInvalid`].
    pub fn verify<F: Fields>(&self, asked: &Asked<'_, F>) -> Result<(), Denied> {
        let parts = Parts::find(asked)?;
        let pair = self.keys.get(parts.key_pair_id).ok_or_else(|| invalid("no key of that id in the group"))?;
        let key = match parts.hash {
            Hash::Sha1 => &pair.sha1,
            Hash::Sha256 => &pair.sha256,
        };
        let query = stripped(asked.query);
        let query = query.as_deref();
        let wrong = || invalid("the signature is wrong");
        match parts.terms {
            Terms::Canned(expires) => {
                let text = canned(&url(asked, query), expires);
                if !key.verify(text.as_bytes(), &parts.signature) {
                    return Err(wrong());
                }
                policy::before(expires, asked.now_ms)
            }
            Terms::Custom(text) => {
                if !key.verify(&text, &parts.signature) {
                    return Err(wrong());
                }
                Policy::parse(&text)?.check(asked, query)
            }
        }
    }
}

// === impl Pair ===
impl Pair {
    fn new(pem: &str) -> Result<Self, KeyError> {
        let key = Key::pem(pem)?;
        let (sha1, sha256) = match key {
            Key::Rsa { .. } => (Algorithm::RsaSha1, Algorithm::Rs256),
            _ => (Algorithm::EcdsaSha1, Algorithm::Es256),
        };
        // OpenSSL and the SDKs write ECDSA signatures as DER.
        Ok(Pair { sha1: Prepared::new(sha1, Form::Der, &key)?, sha256: Prepared::new(sha256, Form::Der, &key)? })
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// The URL as whoever signed it wrote it: without our parameters.
fn url<F>(asked: &Asked<'_, F>, query: Option<&str>) -> String {
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    [scheme(asked.tls), "://", asked.host, asked.path, mark, query].concat()
}

fn invalid(words: &str) -> Denied {
    Denied::new(Reason::SignedInvalid, words)
}

/// `query` without the signature, for cache keys and origins: CloudFront drops the "?" with its own parameters; one that the
/// viewer sent alone stays.
pub fn stripped(query: Option<&str>) -> Option<Cow<'_, str>> {
    let before = query?;
    let after = strip_query(before);
    (!after.is_empty() || before.is_empty()).then_some(after)
}

#[cfg(test)]
mod tests;
