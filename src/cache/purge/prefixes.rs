//! Prefixes: which of many strings a uri starts with.
//!
//! In: prefixes with a value each, a uri. Out: the values of all prefixes of the uri. Never: a walk over all entries.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Sorted prefixes. A lookup jumps from the greatest entry not above the uri to the greatest not above what both have in
/// common, and so on: at most one binary search a byte of the uri, mostly a handful.
#[derive(Debug, Clone)]
pub(super) struct Prefixes<V>(pub(super) BTreeMap<Box<str>, V>);

// === impl Prefixes ===
impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Prefixes(BTreeMap::new())
    }
}

impl<V> Prefixes<V> {
    /// Calls `found` with every value whose key `uri` starts with, longest first.
    pub(super) fn of(&self, uri: &str, mut found: impl FnMut(&V)) {
        let mut left = uri;
        while let Some((key, value)) = self.0.range::<str, _>((Bound::Unbounded, Bound::Included(left))).next_back() {
            // Every prefix of `left` sorts at or before `key`, so it is a prefix of what both have in common.
            let common = common(key, left);
            if common == key.len() {
                found(value);
                // What remains are proper prefixes of `key`.
                let Some((last, _)) = key.char_indices().next_back() else { return };
                left = &left[..last];
            } else {
                left = &left[..common];
            }
        }
    }
}

/// Length of the common start, at a character's end.
fn common(a: &str, b: &str) -> usize {
    let equal = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    (0..=equal).rev().find(|at| b.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_starts_with(keys in prop::collection::btree_set("[/aü]{0,5}", 0..20), uri in "[/abüä]{0,8}") {
            let mut prefixes = Prefixes::default();
            prefixes.0.extend(keys.iter().map(|key| (key.as_str().into(), key.clone())));
            let mut have = Vec::new();
            prefixes.of(&uri, |key| have.push(key.clone()));
            have.sort();
            let want: Vec<_> = keys.into_iter().filter(|key| uri.starts_with(key.as_str())).collect();
            prop_assert_eq!(have, want);
        }
    }
}
