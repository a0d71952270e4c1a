//! Key: a private key that signs for CloudFront.
//!
//! In: PEM. Out: signatures, each verified with the public half before it is given away. Never: in the path of a request:
//! arithmetic here takes a time that depends on the key.

use aws_lc_rs::digest::{Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use x509_parser::der_parser::ber::{BerObject, BerObjectContent};
use x509_parser::der_parser::der::parse_der;
use x509_parser::pem::Pem;

use super::Hash;
use crate::crypto::{Algorithm, Form, Key, Prepared};

/// DigestInfo of a SHA-1 digest, up to it (RFC 8017 §9.2, note 1).
const SHA1_INFO: [u8; 15] = [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
/// Bytes of padding at least (RFC 8017 §9.2).
const PADDING_MIN: usize = 8;

/// A private key and its public half.
pub struct PrivateKey {
    kind: Private,
    public: Key,
}

enum Private {
    Rsa { pair: RsaKeyPair, modulus: BigUint, exponent: BigUint },
    P256(EcdsaKeyPair),
}

/// Why a key does not sign. The words hold nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFailed {
    #[error("there is no private key: PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY as PEM, not encrypted")]
    None,
    #[error("the private key is neither RSA of 2048 to 8192 bits nor P-256, or is broken")]
    Unusable,
    #[error("signing failed")]
    Signing,
}

// === impl PrivateKey ===
impl PrivateKey {
    /// The first private key of a PEM text.
    ///
    /// # Errors
    /// There is none, or of another kind.
    pub fn parse(text: &str) -> Result<Self, KeyFailed> {
        for pem in Pem::iter_from_buffer(text.as_bytes()) {
            let pem = pem.map_err(|_| KeyFailed::None)?;
            let der = pem.contents.as_slice();
            match pem.label.as_str() {
                "RSA PRIVATE KEY" => return rsa(der).ok_or(KeyFailed::Unusable),
                "EC PRIVATE KEY" => return p256(der).ok_or(KeyFailed::Unusable),
                "PRIVATE KEY" => {
                    let inner = || rsa(member(&sequence(der)?, 2)?);
                    return p256(der).or_else(inner).ok_or(KeyFailed::Unusable);
                }
                // "EC PARAMETERS" stands before the key that openssl writes.
                _ => {}
            }
        }
        Err(KeyFailed::None)
    }

    /// The public half, as key groups have it.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn public_pem(&self) -> Result<String, KeyFailed> {
        let (label, der) = match &self.kind {
            Private::Rsa { pair, .. } => ("RSA PUBLIC KEY", pair.public_key().as_ref().to_vec()),
            Private::P256(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyFailed::Unusable)?;
                ("PUBLIC KEY", der.as_ref().to_vec())
            }
        };
        Ok(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)))
    }

    /// RSASSA-PKCS1-v1_5, or ECDSA as DER.
    ///
    /// # Errors
    /// The signature is none that the public half verifies.
    pub fn sign(&self, hash: Hash, data: &[u8]) -> Result<Vec<u8>, KeyFailed> {
        let (algorithm, signature) = match (&self.kind, hash) {
            (Private::Rsa { pair, .. }, Hash::Sha256) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let done = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature);
                (Algorithm::Rs256, done.ok().map(|()| signature))
            }
            (Private::Rsa { modulus, exponent, .. }, Hash::Sha1) => {
                (Algorithm::RsaSha1, rsa_sha1(modulus, exponent, data))
            }
            (Private::P256(pair), Hash::Sha256) => {
                let signature = pair.sign(&SystemRandom::new(), data);
                (Algorithm::Es256, signature.ok().map(|signature| signature.as_ref().to_vec()))
            }
            (Private::P256(pair), Hash::Sha1) => (Algorithm::EcdsaSha1, ecdsa_sha1(pair, data)),
        };
        let public = Prepared::new(algorithm, Form::Der, &self.public).map_err(|_| KeyFailed::Unusable)?;
        // A fault in the arithmetic would give the key away.
        signature.filter(|signature| public.verify(data, signature)).ok_or(KeyFailed::Signing)
    }
}

fn rsa(der: &[u8]) -> Option<PrivateKey> {
    let pair = RsaKeyPair::from_der(der).ok()?;
    let members = sequence(der)?;
    let number = |at| Some(BigUint::from_bytes_be(member(&members, at)?));
    // RFC 8017 A.1.2: version, n, e, d.
    let (modulus, public, exponent) = (number(1)?, number(2)?, number(3)?);
    let public = Key::Rsa { n: modulus.to_bytes_be(), e: public.to_bytes_be() };
    Some(PrivateKey { kind: Private::Rsa { pair, modulus, exponent }, public })
}

/// PKCS#8 or SEC 1.
fn p256(der: &[u8]) -> Option<PrivateKey> {
    let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der).ok()?;
    let public = Key::P256(pair.public_key().as_ref().to_vec());
    Some(PrivateKey { kind: Private::P256(pair), public })
}

/// RSASSA-PKCS1-v1_5 with SHA-1 (RFC 8017 §8.2.1), which aws-lc verifies but does not make.
fn rsa_sha1(modulus: &BigUint, exponent: &BigUint, data: &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(modulus.bits().div_ceil(8)).ok()?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, data);
    let padding = len.checked_sub(3 + SHA1_INFO.len() + hash.as_ref().len()).filter(|len| *len >= PADDING_MIN)?;
    let message = [&[0, 1], vec![0xff; padding].as_slice(), &[0], &SHA1_INFO, hash.as_ref()].concat();
    let signature = BigUint::from_bytes_be(&message).modpow(exponent, modulus).to_bytes_be();
    let mut whole = vec![0; len.checked_sub(signature.len())?];
    whole.extend(signature);
    Some(whole)
}

/// ECDSA takes a digest as a number (SEC 1 §4.1.3): one of SHA-1 is the same as 32 bytes with zeros before it, which is what
/// aws-lc signs when told that it is one of SHA-256.
fn ecdsa_sha1(pair: &EcdsaKeyPair, data: &[u8]) -> Option<Vec<u8>> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, data);
    let mut padded = vec![0; SHA256.output_len().checked_sub(hash.as_ref().len())?];
    padded.extend_from_slice(hash.as_ref());
    let padded = Digest::import_less_safe(&padded, &SHA256).ok()?;
    Some(pair.sign_digest(&padded).ok()?.as_ref().to_vec())
}

fn sequence(der: &[u8]) -> Option<Vec<BerObject<'_>>> {
    let ([], object) = parse_der(der).ok()? else { return None };
    object.as_sequence().ok().cloned()
}

fn member<'a>(members: &[BerObject<'a>], at: usize) -> Option<&'a [u8]> {
    match members.get(at)?.content {
        BerObjectContent::Integer(bytes) | BerObjectContent::OctetString(bytes) => Some(bytes),
        _ => None,
    }
}
