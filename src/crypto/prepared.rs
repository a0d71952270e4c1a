//! Prepared: a key that verifies without being read again.
//!
//! In: an algorithm and a key of its kind. Out: whether signatures are that key's. Never: a key of another kind than the
//! algorithm's.

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents,
};

use super::{Algorithm, Form, Key, KeyError};

/// A key, read and checked for one algorithm: reading an RSA key anew adds a fifth to each verification (benches/jwt).
#[derive(Debug)]
pub struct Prepared {
    parsed: Parsed,
}

#[derive(Debug)]
enum Parsed {
    One(ParsedPublicKey),
    /// ECDSA with signatures of this many bytes, and with DER ones, which start with a SEQUENCE and are, in all but freak cases,
    /// of another length.
    Both {
        fixed: ParsedPublicKey,
        len: usize,
        der: ParsedPublicKey,
    },
}

// === impl Prepared ===
impl Prepared {
    /// # Errors
    /// The key is of another kind than the algorithm's, or no valid one: an even modulus, a point off the curve.
    pub fn new(algorithm: Algorithm, form: Form, key: &Key) -> Result<Self, KeyError> {
        let parsed = match (algorithm, key) {
            (Algorithm::Es256, Key::P256(point)) => {
                ecdsa(&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_ASN1, 64, form, point)
            }
            (Algorithm::Es384, Key::P384(point)) => {
                ecdsa(&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_ASN1, 96, form, point)
            }
            (Algorithm::EcdsaSha1, Key::P256(point)) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA1_ASN1, point).map(Parsed::One)
            }
            (Algorithm::EdDsa, Key::Ed25519(point)) => ParsedPublicKey::new(&ED25519, point).map(Parsed::One),
            (_, Key::Rsa { n, e }) => {
                let parameters = rsa(algorithm).ok_or_else(|| not_for(key, algorithm))?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).map(Parsed::One)
            }
            _ => return Err(not_for(key, algorithm)),
        };
        let parsed = parsed.map_err(|_| KeyError::Invalid(format!("{} that is no valid one", key.kind())))?;
        Ok(Prepared { parsed })
    }

    /// Whether `signature` is this key's over `data`.
    pub fn verify(&self, data: &[u8], signature: &[u8]) -> bool {
        let good = |key: &ParsedPublicKey| key.verify_sig(data, signature).is_ok();
        match &self.parsed {
            Parsed::One(key) => good(key),
            Parsed::Both { fixed, len, der } => (signature.len() == *len && good(fixed)) || good(der),
        }
    }
}

fn ecdsa(
    fixed: &'static EcdsaVerificationAlgorithm,
    der: &'static EcdsaVerificationAlgorithm,
    len: usize,
    form: Form,
    point: &[u8],
) -> Result<Parsed, KeyRejected> {
    Ok(match form {
        Form::Fixed => Parsed::One(ParsedPublicKey::new(fixed, point)?),
        Form::Der => Parsed::One(ParsedPublicKey::new(der, point)?),
        Form::Either => {
            Parsed::Both { fixed: ParsedPublicKey::new(fixed, point)?, len, der: ParsedPublicKey::new(der, point)? }
        }
    })
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa | Algorithm::EcdsaSha1 => return None,
    })
}

fn not_for(key: &Key, algorithm: Algorithm) -> KeyError {
    KeyError::Invalid(format!("{} is not for {}", key.kind(), algorithm.name()))
}
