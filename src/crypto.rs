//! Crypto: public keys, and whether a signature is theirs.
//!
//! In: PEM or JWK text, an algorithm that the caller decided on, data, a signature. Out: a prepared key, yes or no. Never: a
//! private or shared key, an algorithm that a key or a signature chooses.

mod algorithm;
mod jwk;
mod key;
mod prepared;

use aws_lc_rs::digest;

pub use algorithm::{Algorithm, Form};
pub use jwk::Jwk;
pub use key::{KEY_MAX, Key};
pub use prepared::Prepared;

/// Why a text is no key, or a key not for an algorithm. The words are for whoever wrote the key down, and hold none of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key has {0} bytes, {KEY_MAX} are allowed")]
    TooLarge(usize),
    #[error("{0}")]
    Invalid(String),
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut whole = [0; 32];
    // SHA-256 has 32 bytes.
    whole.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    whole
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)] as char;
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

// === impl KeyError ===
impl KeyError {
    fn invalid(words: impl Into<String>) -> Self {
        KeyError::Invalid(words.into())
    }
}

#[cfg(test)]
mod tests;
