//! Key: what a signature is checked with, derived once.
//!
//! In: an access key's material, a day, a region. Out: a [`Prover`]. Never: a request.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use aws_lc_rs::{agreement, hmac};
use parking_lot::RwLock;

use crate::config::compiled::{AccessKey, DayKey, KeyMaterial};

/// Signing keys kept at once, over all access keys, days and regions. Past it those of other days go, then all.
pub const MAX_DAY_KEYS: usize = 4096;
/// n - 2 of P-256 (SP 800-186 §3.2.1.3), big-endian.
const ORDER_LESS_TWO: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
];
/// Stands in for a key that does not exist.
const NOBODY: &str = "no such access key";
/// For its secret: as long as AWS's.
const NOBODY_SECRET: &str = "nobody has this secret, it opens nothing";

/// An access key from which no SigV4a key comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no P-256 key can be derived from this access key")]
pub struct Underivable;

/// The signing key of one day, region and service: HMAC of HMAC of … of the secret ("Create a signed AWS API request",
/// step 4). `date` is `YYYYMMDD`.
pub fn derive_day_key(secret: &str, date: &str, region: &str, service: &str) -> [u8; 32] {
    #[cfg(test)]
    DERIVED.with(|derived| derived.set(derived.get() + 1));
    let mut start = Vec::with_capacity(4 + secret.len());
    start.extend_from_slice(b"AWS4");
    start.extend_from_slice(secret.as_bytes());
    let link = |key: &[u8], data: &str| {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref());
        out
    };
    let region = link(&link(&start, date), region);
    link(&link(&region, service), "aws4_request")
}

/// The public half of the key that SigV4a derives from a secret: SP 800-108's KDF in counter mode, the first candidate
/// that is a scalar ("AWS Signature Version 4A"). An uncompressed point, 65 bytes.
///
/// # Errors
/// No candidate fits, which happens to no key in practice.
pub fn sigv4a_public_point(access_key_id: &str, secret: &str) -> Result<Vec<u8>, Underivable> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4A{secret}").as_bytes());
    for counter in 1..=254_u8 {
        let mut context = hmac::Context::with_key(&key);
        context.update(&1_u32.to_be_bytes());
        context.update(b"AWS4-ECDSA-P256-SHA256\0");
        context.update(access_key_id.as_bytes());
        context.update(&[counter]);
        context.update(&256_u32.to_be_bytes());
        let mut scalar = [0; 32];
        scalar.copy_from_slice(context.sign().as_ref());
        if scalar > ORDER_LESS_TWO {
            continue;
        }
        for digit in scalar.iter_mut().rev() {
            let (sum, carry) = digit.overflowing_add(1);
            *digit = sum;
            if !carry {
                break;
            }
        }
        let private =
            agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, &scalar).map_err(|_| Underivable)?;
        return private.compute_public_key().map(|point| point.as_ref().to_vec()).map_err(|_| Underivable);
    }
    Err(Underivable)
}

/// Checks signatures of one key: of one day, region and service, or for all of them.
#[derive(Debug, Clone)]
pub enum Prover {
    Hmac(Arc<hmac::Key>),
    Point(Arc<ParsedPublicKey>),
}

// === impl Prover ===
impl Prover {
    /// Whether `signature` (32 bytes, or DER) is this key's over `text`, in constant time.
    pub fn proves(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Prover::Hmac(key) => hmac::verify(key, text, signature).is_ok(),
            Prover::Point(key) => key.verify_sig(text, signature).is_ok(),
        }
    }
}

/// Where a request's signing key comes from.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `YYYYMMDD`.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// What a signature is checked with.
#[derive(Debug)]
pub struct Found {
    pub prover: Prover,
    /// It is the access key's own.
    pub own: bool,
    /// It was derived just now, not found.
    pub derived: bool,
}

/// By access key and day: a key for each region.
type Days = HashMap<(usize, u32), Vec<(Box<str>, Arc<hmac::Key>)>>;

/// The signing keys of one signer's access keys, by index.
#[derive(Debug)]
pub struct Keys {
    keys: Arc<Vec<AccessKey>>,
    days: RwLock<Days>,
    points: Vec<OnceLock<Option<Arc<ParsedPublicKey>>>>,
    nobody: Arc<hmac::Key>,
    nobody_point: OnceLock<Option<Arc<ParsedPublicKey>>>,
}

// === impl Keys ===
impl Keys {
    pub fn new(keys: Arc<Vec<AccessKey>>) -> Self {
        Keys {
            days: RwLock::default(),
            points: keys.iter().map(|_| OnceLock::new()).collect(),
            nobody: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, NOBODY.as_bytes())),
            nobody_point: OnceLock::new(),
            keys,
        }
    }

    /// The index of an access key.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.keys.binary_search_by(|key| key.id.as_str().cmp(id)).ok()
    }

    pub fn get(&self, index: usize) -> Option<&AccessKey> {
        self.keys.get(index)
    }

    /// What checks an HMAC of this scope. An access key that does not exist, or has no key for the scope, gets one that nobody has.
    pub fn symmetric(&self, index: Option<usize>, scope: &Scope<'_>) -> Found {
        let nobody = || Found { prover: Prover::Hmac(self.nobody.clone()), own: false, derived: false };
        let Some((index, key)) = index.and_then(|index| Some((index, self.keys.get(index)?))) else { return nobody() };
        let Ok(day) = scope.date.parse::<u32>() else { return nobody() };
        if let Some(regions) = self.days.read().get(&(index, day))
            && let Some((_, key)) = regions.iter().find(|(region, _)| **region == *scope.region)
        {
            return Found { prover: Prover::Hmac(key.clone()), own: true, derived: false };
        }
        let mut derives = true;
        let derived = match &key.material {
            KeyMaterial::Secret(secret) => derive_day_key(secret.expose(), scope.date, scope.region, scope.service),
            KeyMaterial::Days(days) => {
                let same = |d: &&DayKey| d.date == scope.date && d.region == scope.region && d.service == scope.service;
                let Some(day) = days.iter().find(same) else { return nobody() };
                derives = false;
                *day.key.expose()
            }
            KeyMaterial::Public(_) => return nobody(),
        };
        let prover = Prover::Hmac(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derived)));
        Found { prover, own: true, derived: derives }
    }

    /// What checks an ECDSA signature.
    pub fn asymmetric(&self, index: Option<usize>) -> Option<Found> {
        let mut derived = false;
        let own = index.and_then(|index| {
            let (cell, key) = (self.points.get(index)?, self.keys.get(index)?);
            let derive = || {
                derived = matches!(key.material, KeyMaterial::Secret(_));
                point(key)
            };
            cell.get_or_init(derive).clone()
        });
        if let Some(own) = own {
            return Some(Found { prover: Prover::Point(own), own: true, derived });
        }
        let nobody = self.nobody_point.get_or_init(|| parse(&sigv4a_public_point(NOBODY, NOBODY).ok()?));
        nobody.clone().map(|point| Found { prover: Prover::Point(point), own: false, derived })
    }

    /// What a refusal owes where nothing was derived for it: whether a key exists, and whether it was used today, must not show in the
    /// time that a "no" takes.
    pub fn pay(prover: &Prover, scope: &Scope<'_>) {
        match prover {
            Prover::Hmac(_) => {
                std::hint::black_box(derive_day_key(NOBODY_SECRET, scope.date, scope.region, scope.service));
            }
            Prover::Point(_) => {
                std::hint::black_box(sigv4a_public_point(NOBODY, NOBODY_SECRET).ok().and_then(|point| parse(&point)));
            }
        }
    }

    /// Keeps a signing key that [`Keys::symmetric`] gave.
    pub fn keep(&self, index: usize, scope: &Scope<'_>, prover: &Prover) {
        let (Prover::Hmac(key), Ok(day)) = (prover, scope.date.parse::<u32>()) else { return };
        let known = |days: &Days| {
            days.get(&(index, day)).is_some_and(|regions| regions.iter().any(|(region, _)| **region == *scope.region))
        };
        if known(&self.days.read()) {
            return;
        }
        let mut days = self.days.write();
        if known(&days) {
            return;
        }
        if count(&days) >= MAX_DAY_KEYS {
            days.retain(|(_, other), _| *other == day);
            if count(&days) >= MAX_DAY_KEYS {
                days.clear();
            }
        }
        days.entry((index, day)).or_default().push((scope.region.into(), key.clone()));
    }
}

fn count(days: &Days) -> usize {
    days.values().map(Vec::len).sum()
}

fn point(key: &AccessKey) -> Option<Arc<ParsedPublicKey>> {
    match &key.material {
        KeyMaterial::Secret(secret) => parse(&sigv4a_public_point(&key.id, secret.expose()).ok()?),
        KeyMaterial::Public(point) => parse(point),
        KeyMaterial::Days(_) => None,
    }
}

fn parse(point: &[u8]) -> Option<Arc<ParsedPublicKey>> {
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok().map(Arc::new)
}

#[cfg(test)]
std::thread_local! {
    /// Signing keys derived by this thread.
    pub static DERIVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
impl Keys {
    pub fn kept(&self) -> usize {
        count(&self.days.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::sigv4::hex;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn the_day_key_is_the_documented_one() {
        let key = derive_day_key(SECRET, "20150830", "us-east-1", "iam");
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn the_point_is_the_suites() {
        let point = sigv4a_public_point("AKIDEXAMPLE", SECRET).unwrap();
        let expected = "04b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1\
                        865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518";
        assert_eq!(hex(&point), expected);
    }
}
