//! Crypto: digests, message authentication, signatures, random bytes.
//!
//! In: an algorithm's name, keys and data. Out: bytes or a verdict. Never: a signature of its own, a key that fits another
//! algorithm than the one named, a comparison whose time tells a secret.

mod verify;

use aws_lc_rs::{digest as sha, hmac as mac, rand};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

use super::HostError;

pub use verify::verify;

/// Bytes of data one call may hash or verify: about 20 ms of work at the slowest algorithm, which no deadline interrupts.
pub const DATA_MAX: usize = 8 << 20;
/// Bytes of an HMAC key.
pub const SECRET_MAX: usize = 64 << 10;
/// Random bytes of one call: what WebCrypto's getRandomValues gives.
pub const RANDOM_MAX: usize = 64 << 10;
/// Block of MD5 (RFC 2104 §2).
const MD5_BLOCK: usize = 64;

/// md5, sha1, sha256, sha384 or sha512 of `data`.
pub fn digest(algorithm: &str, data: &[u8]) -> Result<Vec<u8>, HostError> {
    bound(data)?;
    let algorithm = match algorithm {
        "md5" => return Ok(Md5::digest(data).to_vec()),
        "sha1" => &sha::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &sha::SHA256,
        "sha384" => &sha::SHA384,
        "sha512" => &sha::SHA512,
        _ => return Err(unknown(algorithm)),
    };
    Ok(sha::digest(algorithm, data).as_ref().to_vec())
}

/// HMAC (RFC 2104) with the same digests.
pub fn hmac(algorithm: &str, key: &[u8], data: &[u8]) -> Result<Vec<u8>, HostError> {
    bound(data)?;
    if key.len() > SECRET_MAX {
        return Err(HostError::TooLarge(format!("the key has {} bytes, {SECRET_MAX} are allowed", key.len())));
    }
    let algorithm = match algorithm {
        "md5" => return Ok(hmac_md5(key, data)),
        "sha1" => mac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => mac::HMAC_SHA256,
        "sha384" => mac::HMAC_SHA384,
        "sha512" => mac::HMAC_SHA512,
        _ => return Err(unknown(algorithm)),
    };
    Ok(mac::sign(&mac::Key::new(algorithm, key), data).as_ref().to_vec())
}

/// Whether both hold the same; the time tells only whether the lengths differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Bytes from the system's generator.
pub fn random(count: usize) -> Result<Vec<u8>, HostError> {
    if count > RANDOM_MAX {
        return Err(HostError::TooLarge(format!("{count} random bytes, {RANDOM_MAX} are allowed")));
    }
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).map_err(|_| HostError::Failed("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

fn hmac_md5(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0; MD5_BLOCK];
    let hashed;
    let key = if key.len() > MD5_BLOCK {
        hashed = Md5::digest(key);
        hashed.as_slice()
    } else {
        key
    };
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let inner = Md5::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(data).finalize();
    Md5::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn bound(data: &[u8]) -> Result<(), HostError> {
    if data.len() > DATA_MAX {
        return Err(HostError::TooLarge(format!("{} bytes of data, {DATA_MAX} are allowed", data.len())));
    }
    Ok(())
}

fn unknown(algorithm: &str) -> HostError {
    let shown: String = algorithm.chars().take(32).collect();
    HostError::Invalid(format!("there is no digest '{shown}': md5, sha1, sha256, sha384 or sha512"))
}

#[cfg(test)]
mod tests;
