//! Jwk: whatever stands for a key or a key set, what is taken can be prepared, and verifies no made-up signature.

use rimward::access::jwt::{KEYS_MAX, KeySet};
use rimward::crypto::{Algorithm, Form, Key, Prepared};

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for algorithm in ALGORITHMS {
        let prepared = Key::parse(&text, algorithm).and_then(|key| Prepared::new(algorithm, Form::Either, &key));
        if let Ok(prepared) = prepared {
            assert!(!prepared.verify(b"data", &[0; 64]) && !prepared.verify(b"data", data));
        }
    }
    if let Ok(set) = KeySet::parse(data) {
        assert!(set.usable() > 0 && set.usable() <= KEYS_MAX * 4 && set.skipped < KEYS_MAX);
    }
}
