//! Verify: whether a signature is by a public key that a function holds.
//!
//! In: the algorithm that the function decided on, a key, data, a signature. Out: yes or no; an error when the key is not for
//! that algorithm. Never: an algorithm that key or signature choose.

use crate::crypto::{Algorithm, Form, Key, KeyError, Prepared};
use crate::hooks::host::HostError;

/// Whether `signature` is `key`'s over `data`. Names: RS256, RS384, RS512, PS256, PS384, PS512, RSA-SHA1, ES256, ES384, EdDSA.
///
/// # Errors
/// The algorithm is unknown, the key cannot be read, or it is of another kind than the algorithm's.
pub fn verify(algorithm: &str, key: &str, data: &[u8], signature: &[u8]) -> Result<bool, HostError> {
    super::bound(data)?;
    let algorithm = Algorithm::find(algorithm).ok_or_else(|| unknown(algorithm))?;
    let key = Key::parse(key, algorithm)?;
    Ok(Prepared::new(algorithm, Form::Either, &key)?.verify(data, signature))
}

// === impl HostError ===
impl From<KeyError> for HostError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::TooLarge(_) => HostError::TooLarge(error.to_string()),
            KeyError::Invalid(words) => HostError::Invalid(words),
        }
    }
}

fn unknown(name: &str) -> HostError {
    let shown: String = name.chars().take(32).collect();
    HostError::Invalid(format!(
        "there is no algorithm '{shown}': RS256, RS384, RS512, PS256, PS384, PS512, RSA-SHA1, ES256, ES384 or EdDSA"
    ))
}
