//! Keys: an issuer's key set (RFC 7517 §5), read once, ready to verify.
//!
//! In: the set's JSON, a token taken apart. Out: whether one of its keys signed that. Never: a key that is not for signatures, an
//! algorithm that does not fit the key.

use std::collections::HashMap;

use ahash::RandomState;
use serde_json::Value;

use super::token::{KID_MAX, Parsed};
use crate::access::json;
use crate::config::compiled::JwtAlgorithm;
use crate::crypto::{Algorithm, Form, Jwk, Key, KeyError, Prepared};

/// Bytes of a set: API Gateway's bound.
pub const SET_MAX: usize = 150_000;
/// Keys of a set.
pub const KEYS_MAX: usize = 100;
/// Keys of one name: a set may have one a kind of key (RFC 7517 §4.5).
const SAME_KID_MAX: usize = 8;

const ALGORITHMS: [JwtAlgorithm; 7] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Rs384,
    JwtAlgorithm::Rs512,
    JwtAlgorithm::Ps256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::Es384,
    JwtAlgorithm::EdDsa,
];

/// The keys that verify signatures, by `kid`.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Usable>,
    /// Positions in `keys`.
    named: HashMap<Box<str>, Vec<usize>, RandomState>,
    /// How many keys of the set are for something else, or of a kind that is not known.
    pub skipped: usize,
}

/// One key with one of the algorithms that it fits.
#[derive(Debug)]
struct Usable {
    algorithm: JwtAlgorithm,
    key: Prepared,
}

/// What a set says about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Not by the key that it names.
    Bad(&'static str),
    /// No key of that name.
    Unknown,
}

/// Why a text is no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("the key set has more than {SET_MAX} bytes")]
    TooLarge,
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooMany,
    #[error("the key set is not JSON with a list of `keys`: {0}")]
    Malformed(String),
    #[error("the key set has no key that verifies signatures{0}")]
    Useless(String),
}

// === impl KeySet ===
impl KeySet {
    /// A key that cannot be used is skipped (RFC 7517 §5): issuers publish keys for encryption beside those for signatures.
    ///
    /// # Errors
    /// The text is too large, no key set, or has no key that can be used.
    pub fn parse(text: &[u8]) -> Result<Self, SetError> {
        if text.len() > SET_MAX {
            return Err(SetError::TooLarge);
        }
        let mut document = json::object(text).map_err(|error| SetError::Malformed(error.to_string()))?;
        let Some(Value::Array(keys)) = document.remove("keys") else {
            return Err(SetError::Malformed("there is no such list".to_owned()));
        };
        if keys.len() > KEYS_MAX {
            return Err(SetError::TooMany);
        }
        let mut set = KeySet { keys: Vec::new(), named: HashMap::default(), skipped: 0 };
        let mut reason = String::new();
        for key in keys {
            if let Err(error) = set.add(key) {
                set.skipped += 1;
                reason = format!(": {error}");
            }
        }
        if set.keys.is_empty() { Err(SetError::Useless(reason)) } else { Ok(set) }
    }

    /// How many keys verify signatures; one counts once for each algorithm that it fits.
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// Whether the key that the token names made its signature. A token without `kid` is accepted where only one key fits its
    /// algorithm (OpenID Connect Core §10.1).
    pub fn verify(&self, token: &Parsed<'_>) -> Verdict {
        let fits = |usable: &&Usable| usable.algorithm == token.header.alg;
        let good = |usable: &Usable| usable.key.verify(token.signed, &token.signature);
        match &token.header.kid {
            Some(kid) => {
                let Some(positions) = self.named.get(kid.as_str()) else { return Verdict::Unknown };
                let keys = || positions.iter().filter_map(|at| self.keys.get(*at)).filter(fits);
                if keys().any(good) {
                    Verdict::Good
                } else if keys().next().is_some() {
                    Verdict::Bad("the signature is wrong")
                } else {
                    Verdict::Bad("`alg` does not fit the key that `kid` names")
                }
            }
            None => {
                let mut keys = self.keys.iter().filter(fits);
                match (keys.next(), keys.next()) {
                    (Some(key), None) if good(key) => Verdict::Good,
                    (Some(_), None) => Verdict::Bad("the signature is wrong"),
                    (None, _) => Verdict::Bad("no key fits `alg`"),
                    (Some(_), Some(_)) => Verdict::Bad("there is no `kid`, and several keys fit"),
                }
            }
        }
    }

    fn add(&mut self, jwk: Value) -> Result<(), KeyError> {
        let jwk = Jwk::from_value(jwk)?;
        let key = jwk.key()?;
        let kid = jwk.kid.as_deref();
        if kid.is_some_and(|kid| kid.len() > KID_MAX) {
            return Err(KeyError::Invalid(format!("the JWK's `kid` has more than {KID_MAX} bytes")));
        }
        let fitting = ALGORITHMS.into_iter().filter(|algorithm| {
            fits(*algorithm, &key) && jwk.alg.as_deref().is_none_or(|bound| bound == signs(*algorithm).name())
        });
        let mut added = false;
        for algorithm in fitting {
            let key = Prepared::new(signs(algorithm), Form::Fixed, &key)?;
            let at = self.keys.len();
            if let Some(kid) = kid {
                let same = self.named.entry(kid.into()).or_default();
                if same.len() >= SAME_KID_MAX {
                    return Err(KeyError::Invalid("too many keys of one name".to_owned()));
                }
                same.push(at);
            }
            self.keys.push(Usable { algorithm, key });
            added = true;
        }
        if added { Ok(()) } else { Err(KeyError::Invalid("the JWK's `alg` is none of the known ones".to_owned())) }
    }
}

fn fits(algorithm: JwtAlgorithm, key: &Key) -> bool {
    match algorithm {
        JwtAlgorithm::Rs256 | JwtAlgorithm::Rs384 | JwtAlgorithm::Rs512 | JwtAlgorithm::Ps256 => {
            matches!(key, Key::Rsa { .. })
        }
        JwtAlgorithm::Es256 => matches!(key, Key::P256(_)),
        JwtAlgorithm::Es384 => matches!(key, Key::P384(_)),
        JwtAlgorithm::EdDsa => matches!(key, Key::Ed25519(_)),
    }
}

fn signs(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Rs256 => Algorithm::Rs256,
        JwtAlgorithm::Rs384 => Algorithm::Rs384,
        JwtAlgorithm::Rs512 => Algorithm::Rs512,
        JwtAlgorithm::Ps256 => Algorithm::Ps256,
        JwtAlgorithm::Es256 => Algorithm::Es256,
        JwtAlgorithm::Es384 => Algorithm::Es384,
        JwtAlgorithm::EdDsa => Algorithm::EdDsa,
    }
}
