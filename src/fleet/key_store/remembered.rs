//! Remembered: the keys as they were read last, less what others revoked since and the disk does not take.
//!
//! In: what is read, what others told that could not be written. Out: which keys count. Never: a key that counts more than before; more names
//! than the store has.

use std::collections::BTreeMap;

use super::merge::{Hash, Known, Record};
use super::{StoredKey, ToldKey, stored};

#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// By name.
    records: BTreeMap<String, Record>,
    /// The values of those of them that do not count any more, whatever the disk says.
    refused: BTreeMap<String, Hash>,
}

// === impl Remembered ===
impl Remembered {
    /// This is what the disk says.
    pub fn read(&mut self, records: Vec<(String, Record)>) {
        self.records = records.into_iter().collect();
        let records = &self.records;
        self.refused.retain(|name, hash| records.get(name).is_some_and(|record| record.hash == *hash));
    }

    /// Others told this, and it cannot be written: of it, only what revokes something counts.
    pub fn refuse(&mut self, told: &[ToldKey]) {
        for one in told {
            let Some(here) = self.records.get(&one.name) else { continue };
            let record = one.record.as_deref().and_then(|record| serde_json::from_slice(record).ok());
            let there = Known { record, gone: one.gone.clone() };
            let (known, _) = Known { record: Some(here.clone()), gone: Vec::new() }.merge(&there, true);
            if !known.record.is_some_and(|record| record.enabled) {
                self.refused.insert(one.name.clone(), here.hash);
            }
        }
    }

    /// It is on disk; whether some of it was refused before.
    pub fn written(&mut self, told: &[ToldKey]) -> bool {
        let before = self.refused.len();
        self.refused.retain(|name, _| told.iter().all(|one| one.name != *name));
        self.refused.len() < before
    }

    /// Every key, by name. What is refused is not enabled.
    pub fn list(&self) -> Vec<StoredKey> {
        let each = self.records.iter().map(|(name, record)| {
            let refused = self.refused.get(name) == Some(&record.hash);
            stored(name, Record { enabled: record.enabled && !refused, ..record.clone() })
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hash: u8, switched: u64, enabled: bool) -> Record {
        Record { hash: [hash; 32], enabled, plans: Vec::new(), created_ms: 7, switched }
    }

    #[test]
    fn what_counts_no_more() {
        let (here, other) = (|| record(1, 2, true), || record(2, 0, true));
        for (name, there, gone, counts) in [
            ("deleted", None, vec![1], false),
            ("made anew", Some(other()), vec![1], false),
            ("switched off", Some(record(1, 3, false)), vec![], false),
            ("switched off at the same time", Some(record(1, 2, false)), vec![], false),
            ("switched off before it was on here", Some(record(1, 1, false)), vec![], true),
            ("changed", Some(record(1, 2, true)), vec![], true),
            ("another was deleted", Some(here()), vec![9], true),
            ("two of one name", Some(other()), vec![], true),
        ] {
            let record = there.map(|record| serde_json::to_vec(&record).unwrap());
            let gone = gone.into_iter().map(|hash| [hash; 32]).collect();
            let told = [ToldKey { name: "a".into(), record, gone }];
            let mut keys = Remembered::default();
            keys.read(vec![("a".into(), here()), ("b".into(), other())]);
            keys.refuse(&told);
            let list = |keys: &Remembered| keys.list().iter().map(|stored| stored.key.enabled).collect::<Vec<_>>();
            assert_eq!(list(&keys), [counts, true], "{name}");
            // The disk is read again, and says what it said.
            keys.read(vec![("a".into(), here()), ("b".into(), other())]);
            assert_eq!(list(&keys), [counts, true], "{name}");
            assert_eq!(keys.written(&told), !counts, "{name}");
            assert_eq!(list(&keys), [true, true], "{name}");
        }
    }

    #[test]
    fn names_that_are_not_here_are_not_remembered() {
        let mut keys = Remembered::default();
        keys.refuse(&[ToldKey { name: "a".into(), record: None, gone: vec![[1; 32]] }]);
        assert!(keys.refused.is_empty());
        keys.read(vec![("a".into(), record(1, 0, true))]);
        keys.refuse(&[ToldKey { name: "a".into(), record: None, gone: vec![[1; 32]] }]);
        // Another value now.
        keys.read(vec![("a".into(), record(2, 0, true))]);
        assert!(keys.refused.is_empty());
    }
}
