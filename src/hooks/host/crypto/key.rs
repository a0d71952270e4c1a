//! Key: which public key a function means.
//!
//! In: PEM (SPKI, PKCS#1 or a certificate) or a JWK as JSON. Out: the key and its kind. Never: a private or shared key, a kind
//! that is guessed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::hooks::host::HostError;

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

/// The members of RFC 7517 and 7518 that verifying needs; others are ignored (RFC 7517 §4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

// === impl Key ===
impl Key {
    /// Reads a key that is to be used with `algorithm`: a JWK may be bound to another.
    pub fn parse(text: &str, algorithm: &str) -> Result<Self, HostError> {
        if text.len() > KEY_MAX {
            return Err(HostError::TooLarge(format!("the key has {} bytes, {KEY_MAX} are allowed", text.len())));
        }
        let text = text.trim();
        if text.starts_with('{') { jwk(text, algorithm) } else { pem(text) }
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
}

fn pem(text: &str) -> Result<Key, HostError> {
    let (_, pem) =
        parse_x509_pem(text.as_bytes()).map_err(|_| invalid("the key is neither PEM nor a JWK (a JSON object)"))?;
    match pem.label.as_str() {
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(&pem.contents) {
            Ok(([], info)) => spki(&info),
            _ => Err(invalid("the public key's DER is broken")),
        },
        "RSA PUBLIC KEY" => pkcs1(&pem.contents),
        "CERTIFICATE" => match X509Certificate::from_der(&pem.contents) {
            Ok(([], certificate)) => spki(certificate.public_key()),
            _ => Err(invalid("the certificate's DER is broken")),
        },
        // Never a private key by accident: whoever verifies needs none.
        label => {
            let shown: String = label.chars().take(32).collect();
            Err(invalid(&format!("a PEM '{shown}' is no public key: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")))
        }
    }
}

/// RFC 5280 §4.1.2.7 and RFC 8410 §3: the algorithm identifier says what the bits are.
fn spki(info: &SubjectPublicKeyInfo<'_>) -> Result<Key, HostError> {
    let bits = info.subject_public_key.data.as_ref();
    let oid = &info.algorithm.algorithm;
    if *oid == OID_PKCS1_RSAENCRYPTION {
        return pkcs1(bits);
    }
    if *oid == OID_SIG_ED25519 {
        return ed25519(bits.to_vec());
    }
    if *oid == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(Key::P256(bits.to_vec())),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(Key::P384(bits.to_vec())),
            _ => Err(invalid("the key's curve is not P-256 or P-384")),
        };
    }
    Err(invalid("the key is not RSA, P-256, P-384 or Ed25519"))
}

fn pkcs1(der: &[u8]) -> Result<Key, HostError> {
    match RSAPublicKey::from_der(der) {
        Ok(([], key)) => rsa(key.modulus, key.exponent),
        _ => Err(invalid("the RSA key's DER is broken")),
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Key, HostError> {
    let (n, e) = (without_zeros(n), without_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(invalid(&format!("an RSA key of {bits} bits: {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed")));
    }
    Ok(Key::Rsa { n: n.to_vec(), e: e.to_vec() })
}

fn ed25519(point: Vec<u8>) -> Result<Key, HostError> {
    if point.len() == 32 { Ok(Key::Ed25519(point)) } else { Err(invalid("an Ed25519 key has 32 bytes")) }
}

fn jwk(text: &str, algorithm: &str) -> Result<Key, HostError> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|error| invalid(&format!("the JWK cannot be read: {error}")))?;
    if jwk.alg.as_deref().is_some_and(|bound| bound != algorithm) {
        return Err(invalid(&format!("the JWK is for another algorithm than {algorithm}")));
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err(invalid("the JWK's `use` is not `sig`"));
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err(invalid("the JWK's `key_ops` do not allow `verify`"));
    }
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => rsa(&member("n", &jwk.n)?, &member("e", &jwk.e)?),
        ("EC", Some("P-256")) => Ok(Key::P256(point(&jwk, 32)?)),
        ("EC", Some("P-384")) => Ok(Key::P384(point(&jwk, 48)?)),
        ("OKP", Some("Ed25519")) => ed25519(member("x", &jwk.x)?),
        // `oct` is a shared secret: verifying with it as if it were public is how algorithms get confused.
        _ => Err(invalid("the JWK is not RSA, EC with P-256 or P-384, or OKP with Ed25519")),
    }
}

/// Both coordinates in full length (RFC 7518 §6.2.1.2), as an uncompressed point.
fn point(jwk: &Jwk, size: usize) -> Result<Vec<u8>, HostError> {
    let (x, y) = (member("x", &jwk.x)?, member("y", &jwk.y)?);
    if x.len() != size || y.len() != size {
        return Err(invalid(&format!("the JWK's coordinates have {size} bytes each")));
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn member(name: &str, value: &Option<String>) -> Result<Vec<u8>, HostError> {
    let value = value.as_ref().ok_or_else(|| invalid(&format!("the JWK has no `{name}`")))?;
    URL_SAFE_NO_PAD.decode(value).map_err(|_| invalid(&format!("the JWK's `{name}` is not base64url")))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn invalid(words: &str) -> HostError {
    HostError::Invalid(words.to_owned())
}
