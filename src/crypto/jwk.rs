//! Jwk: a public key as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2).
//!
//! In: one JWK's members. Out: the key, and what it says about its use. Never: a symmetric key, a use that it does not allow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Key, KeyError};

/// The members of RFC 7517 and 7518 that verifying needs; others are ignored (RFC 7517 §4).
#[derive(Debug, Clone, Deserialize)]
pub struct Jwk {
    pub kty: String,
    pub kid: Option<String>,
    /// The one algorithm that it is for, where it says so.
    pub alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

// === impl Jwk ===
impl Jwk {
    /// # Errors
    /// It is not JSON, a member is twice there, or `kty` is missing.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        serde_json::from_str(text).map_err(|error| unreadable(&error))
    }

    /// The same from JSON that was read already.
    ///
    /// # Errors
    /// It is not an object, a member is of a wrong type, or `kty` is missing.
    pub fn from_value(value: serde_json::Value) -> Result<Self, KeyError> {
        serde_json::from_value(value).map_err(|error| unreadable(&error))
    }

    /// The public key in it.
    ///
    /// # Errors
    /// It is not for verifying signatures (RFC 7517 §4.2, §4.3), of a kind that is not known, or a member is missing or wrong.
    pub fn key(&self) -> Result<Key, KeyError> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(KeyError::invalid("the JWK's `use` is not `sig`"));
        }
        if self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err(KeyError::invalid("the JWK's `key_ops` do not allow `verify`"));
        }
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&member("n", self.n.as_ref())?, &member("e", self.e.as_ref())?),
            ("EC", Some("P-256")) => Ok(Key::P256(self.point(32)?)),
            ("EC", Some("P-384")) => Ok(Key::P384(self.point(48)?)),
            ("OKP", Some("Ed25519")) => Key::ed25519(member("x", self.x.as_ref())?),
            // `oct` is a shared secret: verifying with it as if it were public is how algorithms get confused.
            _ => Err(KeyError::invalid("the JWK is not RSA, EC with P-256 or P-384, or OKP with Ed25519")),
        }
    }

    /// Both coordinates in full length (RFC 7518 §6.2.1.2), as an uncompressed point.
    fn point(&self, size: usize) -> Result<Vec<u8>, KeyError> {
        let (x, y) = (member("x", self.x.as_ref())?, member("y", self.y.as_ref())?);
        if x.len() != size || y.len() != size {
            return Err(KeyError::Invalid(format!("the JWK's coordinates have {size} bytes each")));
        }
        Ok([&[4], x.as_slice(), y.as_slice()].concat())
    }
}

fn unreadable(error: &serde_json::Error) -> KeyError {
    KeyError::Invalid(format!("the JWK cannot be read: {error}"))
}

fn member(name: &str, value: Option<&String>) -> Result<Vec<u8>, KeyError> {
    let value = value.ok_or_else(|| KeyError::Invalid(format!("the JWK has no `{name}`")))?;
    URL_SAFE_NO_PAD.decode(value).map_err(|_| KeyError::Invalid(format!("the JWK's `{name}` is not base64url")))
}
