//! Key: which public key is meant.
//!
//! In: PEM (SPKI, PKCS#1 or a certificate) or a JWK as JSON. Out: the key and its kind. Never: a private or shared key, a kind
//! that is guessed.

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, Jwk, KeyError};

/// Bytes of a key's text: a certificate with a long list of names fits.
pub const KEY_MAX: usize = 16 << 10;
/// Smallest modulus (RFC 7518 §3.3).
const RSA_BITS_MIN: usize = 2048;
/// Largest: what aws-lc verifies.
const RSA_BITS_MAX: usize = 8192;

/// A public key and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed or compressed point (SEC 1 §2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

// === impl Key ===
impl Key {
    /// Reads PEM or a JWK that is to be used with `algorithm`: a JWK may be bound to another.
    ///
    /// # Errors
    /// The text is longer than [`KEY_MAX`] bytes, no public key, or a key for something else.
    pub fn parse(text: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        let text = bounded(text)?;
        if !text.starts_with('{') {
            return pem(text);
        }
        let jwk = Jwk::parse(text)?;
        if jwk.alg.as_deref().is_some_and(|bound| bound != algorithm.name()) {
            return Err(KeyError::Invalid(format!("the JWK is for another algorithm than {}", algorithm.name())));
        }
        jwk.key()
    }

    /// Reads PEM: PUBLIC KEY (RFC 5280 §4.1.2.7), RSA PUBLIC KEY (RFC 8017 A.1.1) or CERTIFICATE.
    ///
    /// # Errors
    /// As [`Key::parse`].
    pub fn pem(text: &str) -> Result<Self, KeyError> {
        pem(bounded(text)?)
    }

    /// For error texts.
    pub fn kind(&self) -> &'static str {
        match self {
            Key::Rsa { .. } => "an RSA key",
            Key::P256(_) => "a P-256 key",
            Key::P384(_) => "a P-384 key",
            Key::Ed25519(_) => "an Ed25519 key",
        }
    }

    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            let words = format!("an RSA key of {bits} bits: {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed");
            return Err(KeyError::Invalid(words));
        }
        Ok(Key::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    pub(super) fn ed25519(point: Vec<u8>) -> Result<Self, KeyError> {
        if point.len() == 32 { Ok(Key::Ed25519(point)) } else { Err(KeyError::invalid("an Ed25519 key has 32 bytes")) }
    }
}

fn bounded(text: &str) -> Result<&str, KeyError> {
    if text.len() > KEY_MAX { Err(KeyError::TooLarge(text.len())) } else { Ok(text.trim()) }
}

fn pem(text: &str) -> Result<Key, KeyError> {
    let (_, pem) = parse_x509_pem(text.as_bytes())
        .map_err(|_| KeyError::invalid("the key is neither PEM nor a JWK (a JSON object)"))?;
    match pem.label.as_str() {
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(&pem.contents) {
            Ok(([], info)) => spki(&info),
            _ => Err(KeyError::invalid("the public key's DER is broken")),
        },
        "RSA PUBLIC KEY" => pkcs1(&pem.contents),
        "CERTIFICATE" => match X509Certificate::from_der(&pem.contents) {
            Ok(([], certificate)) => spki(certificate.public_key()),
            _ => Err(KeyError::invalid("the certificate's DER is broken")),
        },
        // Never a private key by accident: whoever verifies needs none.
        label => {
            let shown: String = label.chars().take(32).collect();
            let words = format!("a PEM '{shown}' is no public key: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE");
            Err(KeyError::Invalid(words))
        }
    }
}

/// RFC 5280 §4.1.2.7 and RFC 8410 §3: the algorithm identifier says what the bits are.
fn spki(info: &SubjectPublicKeyInfo<'_>) -> Result<Key, KeyError> {
    let bits = info.subject_public_key.data.as_ref();
    let oid = &info.algorithm.algorithm;
    if *oid == OID_PKCS1_RSAENCRYPTION {
        return pkcs1(bits);
    }
    if *oid == OID_SIG_ED25519 {
        return Key::ed25519(bits.to_vec());
    }
    if *oid == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(Key::P256(bits.to_vec())),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(Key::P384(bits.to_vec())),
            _ => Err(KeyError::invalid("the key's curve is not P-256 or P-384")),
        };
    }
    Err(KeyError::invalid("the key is not RSA, P-256, P-384 or Ed25519"))
}

fn pkcs1(der: &[u8]) -> Result<Key, KeyError> {
    match RSAPublicKey::from_der(der) {
        Ok(([], key)) => Key::rsa(key.modulus, key.exponent),
        _ => Err(KeyError::invalid("the RSA key's DER is broken")),
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
