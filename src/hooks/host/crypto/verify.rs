//! Verify: whether a signature is by a public key.
//!
//! In: the algorithm that the caller decided on, a key, data, a signature. Out: yes or no; an error when the key is not for that
//! algorithm. Never: an algorithm that key or signature choose.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ED25519,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

use super::key::Key;
use crate::hooks::host::HostError;

/// The algorithms by the names of JWA (RFC 7518 §3.1, RFC 8037 §3.1), and CloudFront's own for signed URLs.
#[derive(Clone, Copy)]
enum Algorithm {
    Rsa(&'static RsaParameters),
    P256,
    P384,
    EdDsa,
}

/// Whether `signature` is `key`'s over `data`. Names: RS256, RS384, RS512, PS256, PS384, PS512, RSA-SHA1, ES256, ES384, EdDSA.
///
/// # Errors
/// The algorithm is unknown, the key cannot be read, or it is of another kind than the algorithm's.
pub fn verify(algorithm: &str, key: &str, data: &[u8], signature: &[u8]) -> Result<bool, HostError> {
    super::bound(data)?;
    let wanted = find(algorithm)?;
    let key = Key::parse(key, algorithm)?;
    let broken = |_| HostError::Invalid(format!("{} that is no valid one", key.kind()));
    match (wanted, &key) {
        (Algorithm::Rsa(parameters), Key::Rsa { n, e }) => {
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).map_err(broken)?;
            Ok(key.verify_sig(data, signature).is_ok())
        }
        (Algorithm::P256, Key::P256(point)) => {
            ecdsa(&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_ASN1, 64, point, data, signature).map_err(broken)
        }
        (Algorithm::P384, Key::P384(point)) => {
            ecdsa(&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_ASN1, 96, point, data, signature).map_err(broken)
        }
        (Algorithm::EdDsa, Key::Ed25519(point)) => {
            let key = ParsedPublicKey::new(&ED25519, point).map_err(broken)?;
            Ok(key.verify_sig(data, signature).is_ok())
        }
        _ => Err(HostError::Invalid(format!("{} is not for {algorithm}", key.kind()))),
    }
}

/// Both forms of a signature: two numbers of fixed length (RFC 7518 §3.4), or DER, which starts with a SEQUENCE and is, in all
/// but freak cases, of another length.
fn ecdsa(
    raw: &'static EcdsaVerificationAlgorithm,
    der: &'static EcdsaVerificationAlgorithm,
    raw_len: usize,
    point: &[u8],
    data: &[u8],
    signature: &[u8],
) -> Result<bool, aws_lc_rs::error::KeyRejected> {
    let as_raw = signature.len() == raw_len && ParsedPublicKey::new(raw, point)?.verify_sig(data, signature).is_ok();
    Ok(as_raw || ParsedPublicKey::new(der, point)?.verify_sig(data, signature).is_ok())
}

fn find(name: &str) -> Result<Algorithm, HostError> {
    Ok(match name {
        "RS256" => Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Algorithm::Rsa(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Algorithm::Rsa(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Algorithm::Rsa(&RSA_PSS_2048_8192_SHA512),
        "RSA-SHA1" => Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        "ES256" => Algorithm::P256,
        "ES384" => Algorithm::P384,
        "EdDSA" => Algorithm::EdDsa,
        _ => {
            let shown: String = name.chars().take(32).collect();
            return Err(HostError::Invalid(format!(
                "there is no algorithm '{shown}': RS256, RS384, RS512, PS256, PS384, PS512, RSA-SHA1, ES256, ES384 or EdDSA"
            )));
        }
    })
}
