//! Keys: which API key a request has sent.
//!
//! In: the value that was sent. Out: the key it is, by its hash. Never: a key's value kept or shown, a comparison whose time
//! tells how much of a hash was right.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

use crate::config::compiled::ApiKey;
use crate::config::secret::Secret;
use crate::crypto::sha256;

/// Characters of a value (API Gateway, "API keys": "alphanumeric", 20 to 128).
pub const SHORTEST: usize = 20;
pub const LONGEST: usize = 128;

/// Characters of a value that is made here: 238 bits.
const MADE: usize = 40;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An API key, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Names the principal; unique.
    pub name: Arc<str>,
    pub enabled: bool,
    /// Names of its usage plans, in the order in which they count.
    pub plans: Vec<String>,
    /// Tells it from a deleted key of that name, whose answers and counts are not its own: [`made`]; 0 for a key of the configuration,
    /// which the operator may give another value.
    pub made: u64,
}

/// All keys of a PoP, by hash.
#[derive(Debug, Default)]
pub struct Keys {
    /// By the first bytes of the hash, which tell nothing of the value: to find one in time that depends on it is no leak.
    by_hash: HashMap<u64, Alike, RandomState>,
}

/// Keys whose hashes begin alike: one, but for chance.
type Alike = Vec<([u8; 32], Arc<Key>)>;

// === impl Keys ===
impl Keys {
    /// Keys with the hashes of their values. Of two with one hash or one name the first counts: put those of the
    /// configuration first.
    pub fn new(keys: impl IntoIterator<Item = ([u8; 32], Key)>) -> Self {
        let mut by_hash: HashMap<u64, Alike, RandomState> = HashMap::default();
        let mut names = std::collections::HashSet::new();
        for (hash, key) in keys {
            let alike = by_hash.entry(prefix(&hash)).or_default();
            if alike.iter().all(|(other, _)| *other != hash) && names.insert(key.name.clone()) {
                alike.push((hash, Arc::new(key)));
            }
        }
        Keys { by_hash }
    }

    /// The key whose value was sent, enabled or not. Values that cannot be one are none.
    pub fn lookup(&self, sent: &[u8]) -> Option<Arc<Key>> {
        if sent.is_empty() || sent.len() > LONGEST {
            return None;
        }
        let hash = hash(sent);
        let alike = self.by_hash.get(&prefix(&hash))?;
        let mut found = None;
        for (known, key) in alike {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(key.clone());
            }
        }
        found
    }
}

impl From<&ApiKey> for Key {
    fn from(key: &ApiKey) -> Self {
        Key { name: key.name.as_str().into(), enabled: key.enabled, plans: key.plans.clone(), made: 0 }
    }
}

/// SHA-256 of a value: what is kept of it. Values are random, so that no salt or slow hash is needed.
pub fn hash(value: &[u8]) -> [u8; 32] {
    sha256(value)
}

/// Whether a value may be an API key: 20 to 128 letters and digits.
pub fn valid(value: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The operating system has no randomness to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// A new value: 40 letters and digits, each as likely as any other.
pub fn generate() -> Result<Secret<String>, NoRandomness> {
    /// Bytes from here on would make some characters likelier.
    const FAIR: u8 = (256 / ALPHABET.len() * ALPHABET.len()) as u8;
    let random = SystemRandom::new();
    let mut value = String::with_capacity(MADE);
    let mut bytes = [0u8; 64];
    while value.len() < MADE {
        random.fill(&mut bytes).map_err(|_| NoRandomness)?;
        let fair = bytes.iter().filter(|&&byte| byte < FAIR);
        let left = MADE - value.len();
        value.extend(fair.take(left).map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])));
    }
    Ok(Secret::new(value))
}

/// Tells keys that were made here apart, by the hashes of their values.
pub fn made(hash: &[u8; 32]) -> u64 {
    prefix(hash)
}

fn prefix(hash: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn key(name: &str, enabled: bool) -> Key {
        Key { name: name.into(), enabled, plans: vec!["gold".into()], made: 0 }
    }

    #[test]
    fn a_key_is_found_by_what_was_sent() {
        let (a, b) = ("a".repeat(20), "b".repeat(128));
        let keys = Keys::new([
            (hash(a.as_bytes()), key("alice", true)),
            (hash(b.as_bytes()), key("bob", false)),
            // Neither a second key of that value nor a second value of that name.
            (hash(a.as_bytes()), key("mallory", true)),
            (hash(b"c"), key("alice", true)),
        ]);
        for (sent, want) in [
            (a.as_str(), Some("alice")),
            (b.as_str(), Some("bob")),
            ("A".repeat(20).as_str(), None),
            ("", None),
            ("c", None),
            ("b".repeat(129).as_str(), None),
        ] {
            assert_eq!(keys.lookup(sent.as_bytes()).map(|key| key.name.clone()).as_deref(), want, "{sent}");
        }
        assert!(keys.lookup(&[0xff; 30]).is_none());
        assert!(Keys::default().lookup(a.as_bytes()).is_none());
    }

    #[test]
    fn values() {
        for (value, want) in [
            ("a".repeat(19), false),
            ("a".repeat(20), true),
            ("Z9".repeat(64), true),
            ("a".repeat(129), false),
            ("a-".repeat(20), false),
            ("ä".repeat(20), false),
        ] {
            assert_eq!(valid(&value), want, "{value}");
        }
        let made: HashSet<_> = (0..100).map(|_| generate().unwrap().expose().clone()).collect();
        assert_eq!(made.len(), 100);
        assert!(made.iter().all(|value| valid(value) && value.len() == MADE));
        let used: HashSet<_> = made.iter().flat_map(|value| value.bytes()).collect();
        assert!(used.len() > 55, "{}", used.len());
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4, example of one block.
        assert_eq!(hash(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
