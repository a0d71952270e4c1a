//! Vector: how much of every lineage of purges a node has seen.
//!
//! In: a lineage and the highest sequence number up to which nothing is missing. Out: whether one node has seen all that another one
//! has; a text for a field. Never: what the messages were.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Lineages in a text: as many as 8 KiB of a field have room for, and some times the nodes of a large fleet.
pub const LINEAGES_MAX: usize = 192;

/// A lineage that no node has.
const NOBODY: u64 = 0;

/// Per lineage the highest sequence number up to which everything was seen. Nothing of a lineage that is not in it: 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vector(BTreeMap<u64, u64>);

/// Why a text is no vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    #[error("more than {LINEAGES_MAX} lineages")]
    TooMany,
    #[error("not 'hex:decimal' between commas")]
    Malformed,
    #[error("a lineage stands there twice")]
    Twice,
}

/// What this node has seen, as it tells others and as it answers others. A purge is announced before it has a stamp here and done after
/// it has taken effect: in between, this node asks for what is newer, and says that it has nothing as new itself. With one vector for
/// both, or a stamp from before the announcement, an answer from before a purge could be kept under a stamp from after it.
#[derive(Debug, Default)]
pub struct Seen {
    told: ArcSwap<Vector>,
    done: ArcSwap<Vector>,
}

// === impl Seen ===
impl Seen {
    /// A node that starts with all of `vector` in effect.
    pub fn new(vector: Vector) -> Self {
        let both = Arc::new(vector);
        Seen { told: ArcSwap::new(both.clone()), done: ArcSwap::new(both) }
    }

    /// Everything of `lineage` up to `sequence` is about to take effect. To be called before it has a stamp.
    pub fn announce(&self, lineage: u64, sequence: u64) {
        raise(&self.told, lineage, sequence);
    }

    /// It has taken effect.
    pub fn done(&self, lineage: u64, sequence: u64) {
        raise(&self.told, lineage, sequence);
        raise(&self.done, lineage, sequence);
    }

    /// The same for all of `vector`.
    pub fn announce_all(&self, vector: &Vector) {
        vector.iter().for_each(|(lineage, sequence)| self.announce(lineage, sequence));
    }

    /// The same for all of `vector`.
    pub fn done_all(&self, vector: &Vector) {
        vector.iter().for_each(|(lineage, sequence)| self.done(lineage, sequence));
    }

    /// What is sent along with a question. `held`: purges may be missing here that the other node has not seen either. Then it names what
    /// nobody has seen, so that whoever is asked fetches anew.
    pub fn asks(&self, held: bool) -> Vector {
        let mut seen = Vector::clone(&self.told());
        if held {
            seen.advance(NOBODY, u64::MAX);
        }
        seen
    }

    /// How far this node is.
    pub fn told(&self) -> Arc<Vector> {
        self.told.load_full()
    }

    /// Whether what is stored here may answer one who has seen `other`.
    pub fn covers(&self, other: &Vector) -> bool {
        self.done.load().covers(other)
    }
}

fn raise(vector: &ArcSwap<Vector>, lineage: u64, sequence: u64) {
    vector.rcu(|seen| {
        let mut raised = Vector::clone(seen);
        raised.advance(lineage, sequence);
        raised
    });
}

// === impl Vector ===
impl Vector {
    /// Takes in that everything of `lineage` up to `sequence` was seen. Never goes back.
    pub fn advance(&mut self, lineage: u64, sequence: u64) {
        if sequence > 0 {
            let seen = self.0.entry(lineage).or_default();
            *seen = sequence.max(*seen);
        }
    }

    /// 0 where nothing of it was seen.
    pub fn get(&self, lineage: u64) -> u64 {
        self.0.get(&lineage).copied().unwrap_or(0)
    }

    /// Whether everything that `other` has seen was seen here too.
    pub fn covers(&self, other: &Vector) -> bool {
        other.0.iter().all(|(lineage, sequence)| self.get(*lineage) >= *sequence)
    }

    /// By lineage, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(lineage, sequence)| (*lineage, *sequence))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `hex:decimal,…`, which [`Vector::parse`] reads; `None` when there are more than [`LINEAGES_MAX`].
    pub fn text(&self) -> Option<String> {
        (self.0.len() <= LINEAGES_MAX).then(|| self.to_string())
    }

    /// # Errors
    /// Anything but what [`Vector::text`] writes: spaces, signs, an empty part, a zero, a lineage twice.
    pub fn parse(text: &str) -> Result<Self, VectorError> {
        let mut own = BTreeMap::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            if own.len() == LINEAGES_MAX {
                return Err(VectorError::TooMany);
            }
            let (lineage, sequence) = part.split_once(':').ok_or(VectorError::Malformed)?;
            let plain = lineage.bytes().all(|b| b.is_ascii_hexdigit()) && sequence.bytes().all(|b| b.is_ascii_digit());
            let lineage = u64::from_str_radix(lineage, 16).ok().filter(|_| plain);
            let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0);
            let (lineage, sequence) = lineage.zip(sequence).ok_or(VectorError::Malformed)?;
            if own.insert(lineage, sequence).is_some() {
                return Err(VectorError::Twice);
            }
        }
        Ok(Vector(own))
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (lineage, sequence)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{lineage:x}:{sequence}")?;
        }
        Ok(())
    }
}

impl FromIterator<(u64, u64)> for Vector {
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(each: T) -> Self {
        let mut own = Vector::default();
        each.into_iter().for_each(|(lineage, sequence)| own.advance(lineage, sequence));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(u64, u64)]) -> Vector {
        pairs.iter().copied().collect()
    }

    #[test]
    fn who_has_seen_all_of_the_other() {
        for (name, own, other, want) in [
            ("nothing of nothing", vector(&[]), vector(&[]), true),
            ("nothing is always seen", vector(&[(1, 4)]), vector(&[]), true),
            ("a lineage that is unknown here", vector(&[]), vector(&[(1, 1)]), false),
            ("as much", vector(&[(1, 4)]), vector(&[(1, 4)]), true),
            ("more", vector(&[(1, 5), (2, 1)]), vector(&[(1, 4)]), true),
            ("less", vector(&[(1, 3), (2, 9)]), vector(&[(1, 4)]), false),
            ("more of one, less of the other", vector(&[(1, 9), (2, 1)]), vector(&[(1, 4), (2, 2)]), false),
        ] {
            assert_eq!(own.covers(&other), want, "{name}");
        }
    }

    #[test]
    fn what_is_about_to_take_effect_is_asked_for_and_not_answered() {
        let seen = Seen::new(vector(&[(1, 4)]));
        seen.announce(1, 5);
        assert_eq!(*seen.told(), vector(&[(1, 5)]));
        assert!(seen.covers(&vector(&[(1, 4)])) && !seen.covers(&seen.told()));
        seen.done(1, 5);
        assert!(seen.covers(&seen.told()));
        assert!(seen.covers(&seen.asks(false)) && !seen.covers(&seen.asks(true)));
    }

    #[test]
    fn it_never_goes_back() {
        let mut own = vector(&[(7, 5)]);
        own.advance(7, 3);
        own.advance(8, 0);
        assert_eq!(own, vector(&[(7, 5)]));
        own.advance(7, 6);
        assert_eq!((own.get(7), own.get(8)), (6, 0));
    }

    #[test]
    fn what_is_written_is_read() {
        for (own, text) in [
            (vector(&[]), ""),
            (vector(&[(10, 3)]), "a:3"),
            (vector(&[(u64::MAX, u64::MAX), (1, 1)]), "1:1,ffffffffffffffff:18446744073709551615"),
        ] {
            assert_eq!(own.text().as_deref(), Some(text));
            assert_eq!(Vector::parse(text), Ok(own));
        }
    }

    #[test]
    fn what_is_no_vector() {
        for (text, want) in [
            ("a", VectorError::Malformed),
            (":1", VectorError::Malformed),
            ("a:", VectorError::Malformed),
            ("a:0", VectorError::Malformed),
            ("a:+1", VectorError::Malformed),
            ("+a:1", VectorError::Malformed),
            (" a:1", VectorError::Malformed),
            ("a:1,", VectorError::Malformed),
            ("a:1:2", VectorError::Malformed),
            ("g:1", VectorError::Malformed),
            ("a:18446744073709551616", VectorError::Malformed),
            ("10000000000000000:1", VectorError::Malformed),
            ("a:1,A:2", VectorError::Twice),
        ] {
            assert_eq!(Vector::parse(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_bounded() {
        let full: Vector = (1..=LINEAGES_MAX as u64).map(|lineage| (lineage, 1)).collect();
        assert_eq!(full.text().map(|text| Vector::parse(&text)), Some(Ok(full.clone())));
        let over: Vector = (1..=LINEAGES_MAX as u64 + 1).map(|lineage| (lineage, 1)).collect();
        assert_eq!(over.text(), None);
        assert_eq!(Vector::parse(&over.to_string()), Err(VectorError::TooMany));
    }
}
