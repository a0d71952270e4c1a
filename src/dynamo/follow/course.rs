//! Course: the shards of one stream, and up to which moment all of them were read.
//!
//! In: shards that are listed, pages that were read. Out: what to read next, that moment. Never: a shard before its parent is read to its
//! end; a request.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::Value;

/// A shard as `DescribeStream` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub id: String,
    pub parent: Option<String>,
    /// No more is written to it.
    pub closed: bool,
}

/// What came of one `GetRecords`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// When it was asked for.
    pub asked: Duration,
    /// `None` = the shard was read to its end.
    pub next: Option<String>,
    pub records: usize,
    /// When the last of its records was made, by the other side's clock.
    pub newest: Option<Duration>,
    /// As many records as a page can have: there are more.
    pub full: bool,
}

/// The shards of one stream.
#[derive(Debug)]
pub struct Course {
    ways: BTreeMap<String, Way>,
}

#[derive(Debug)]
struct Way {
    parent: Option<String>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// To be read from its oldest record.
    Fresh,
    At {
        iterator: String,
        read_to: Option<Duration>,
        /// Its last page was full.
        more: bool,
    },
    /// `since`: it was read to its end here, then.
    End { since: Option<Duration> },
}

// === impl Shard ===
impl Shard {
    /// From `DescribeStream`.
    pub fn read(value: &Value) -> Option<Shard> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let closed = value.pointer("/SequenceNumberRange/EndingSequenceNumber").is_some_and(Value::is_string);
        Some(Shard { id: text("ShardId")?, parent: text("ParentShardId"), closed })
    }
}

// === impl Course ===
impl Course {
    /// `iterators`: those of the shards that are open, at their latest records. What is in closed ones was written before; where none that
    /// goes on for one is listed, it is to come: `since` when it is waited for, if it is.
    pub fn new(listed: Vec<Shard>, mut iterators: BTreeMap<String, String>, since: Option<Duration>) -> Course {
        let parents: HashSet<String> = listed.iter().filter_map(|shard| shard.parent.clone()).collect();
        let way = |shard: Shard| {
            let place = match iterators.remove(&shard.id) {
                Some(iterator) => Place::At { iterator, read_to: None, more: false },
                None => Place::End { since: since.filter(|_| !parents.contains(&shard.id)) },
            };
            (shard.id, Way { parent: shard.parent, place })
        };
        Course { ways: listed.into_iter().map(way).collect() }
    }

    /// Takes in what is listed now: shards that were not there before are read from their oldest record.
    pub fn list(&mut self, listed: Vec<Shard>) {
        let ids: HashSet<String> = listed.iter().map(|shard| shard.id.clone()).collect();
        for shard in listed {
            self.ways.entry(shard.id).or_insert(Way { parent: shard.parent, place: Place::Fresh });
        }
        let parents: HashSet<String> = self.ways.values().filter_map(|way| way.parent.clone()).collect();
        self.ways.retain(|id, way| match way.place {
            Place::Fresh | Place::At { .. } => true,
            // One that was read to its end here is missed until its heir is there.
            Place::End { since } => ids.contains(id) || (since.is_some() && !parents.contains(id)),
        });
    }

    /// Shards to read, with their iterators; `None`: one at its oldest record is to be had first. Not `all`: only where more is known
    /// to be.
    pub fn due(&self, all: bool) -> Vec<(String, Option<String>)> {
        let each = self.ways.iter().filter_map(|(id, way)| match &way.place {
            Place::Fresh => self.first(way).then(|| (id.clone(), None)),
            Place::At { iterator, more, .. } => (all || *more).then(|| (id.clone(), Some(iterator.clone()))),
            Place::End { .. } => None,
        });
        each.collect()
    }

    /// There is something that need not be waited for.
    pub fn more(&self) -> bool {
        !self.due(false).is_empty()
    }

    /// A page of a shard, whose records the caches have forgotten by.
    pub fn page(&mut self, id: &str, page: Page) {
        let Some(way) = self.ways.get_mut(id) else { return };
        let before = match &way.place {
            Place::At { read_to, .. } => *read_to,
            _ => None,
        };
        // Records come in the order of their writes: with one of a moment, all from before it have come.
        let to = match page.records {
            0 => Some(page.asked),
            _ => page.newest.filter(|_| !page.full).map(|newest| newest.min(page.asked)),
        };
        way.place = match page.next {
            Some(iterator) => Place::At { iterator, read_to: before.max(to), more: page.full },
            None => Place::End { since: Some(page.asked) },
        };
    }

    /// All records of writes from before that moment were read. `None`: that cannot be said of every shard.
    pub fn read_to(&self) -> Option<Duration> {
        if self.unheired().is_some() {
            return None;
        }
        let open = self.ways.values().filter_map(|way| match &way.place {
            Place::Fresh => Some(None),
            Place::At { read_to, .. } => Some(*read_to),
            Place::End { .. } => None,
        });
        // `None` is the least of all.
        open.min().flatten()
    }

    /// Since when a shard has been read to its end without another one known that goes on for it.
    pub fn unheired(&self) -> Option<Duration> {
        let each = self.ways.iter().filter_map(|(id, way)| match &way.place {
            Place::End { since: Some(since) } => {
                let heir = self.ways.values().any(|other| other.parent.as_deref() == Some(id));
                (!heir).then_some(*since)
            }
            _ => None,
        });
        each.min()
    }

    /// A parent that is not listed any more has nothing left to read.
    fn first(&self, way: &Way) -> bool {
        let parent = way.parent.as_ref().and_then(|parent| self.ways.get(parent));
        parent.is_none_or(|parent| matches!(parent.place, Place::End { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn shard(id: &str, parent: Option<&str>, closed: bool) -> Shard {
        Shard { id: id.into(), parent: parent.map(str::to_owned), closed }
    }

    fn course(listed: &[Shard]) -> Course {
        let open = listed.iter().filter(|shard| !shard.closed);
        Course::new(
            listed.to_vec(),
            open.map(|shard| (shard.id.clone(), format!("{}0", shard.id))).collect(),
            Some(at(0)),
        )
    }

    fn empty(asked: u64, next: Option<&str>) -> Page {
        Page { asked: at(asked), next: next.map(str::to_owned), records: 0, newest: None, full: false }
    }

    fn due(course: &Course, all: bool) -> String {
        let each = course.due(all).into_iter();
        each.map(|(id, iterator)| iterator.unwrap_or_else(|| format!("{id}*"))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn shards_are_read() {
        let open = json!({ "ShardId": "s", "ParentShardId": "p", "SequenceNumberRange": {} });
        assert_eq!(Shard::read(&open), Some(shard("s", Some("p"), false)));
        let closed = json!({ "ShardId": "s", "SequenceNumberRange": { "EndingSequenceNumber": "5" } });
        assert_eq!(Shard::read(&closed), Some(shard("s", None, true)));
        assert_eq!(Shard::read(&json!({})), None);
    }

    #[test]
    fn the_moment_is_that_of_the_shard_that_was_read_least() {
        let mut two = course(&[shard("a", Some("old"), false), shard("b", None, false), shard("old", None, true)]);
        assert_eq!((due(&two, true).as_str(), due(&two, false).as_str(), two.read_to()), ("a0 b0", "", None));
        two.page("a", empty(10, Some("a1")));
        assert_eq!(two.read_to(), None, "one of them was not read");
        two.page("b", empty(12, Some("b1")));
        assert_eq!(two.read_to(), Some(at(10)));
        two.page("a", empty(20, Some("a2")));
        assert_eq!((two.read_to(), due(&two, true).as_str()), (Some(at(12)), "a2 b1"));
    }

    #[test]
    fn a_page_with_records_says_when_they_were_made() {
        let page =
            |records, newest: Option<u64>, full| Page { records, newest: newest.map(at), full, ..empty(20, Some("n")) };
        for (name, page, want, more) in [
            ("empty", empty(20, Some("n")), Some(20), false),
            ("made before it was asked for", page(3, Some(15), false), Some(15), false),
            ("made after", page(3, Some(25), false), Some(20), false),
            ("who knows when", page(3, None, false), Some(10), false),
            ("older than what was read", page(3, Some(5), false), Some(10), false),
            ("full", page(1000, Some(20), true), Some(10), true),
        ] {
            let mut one = course(&[shard("a", None, false)]);
            one.page("a", empty(10, Some("a1")));
            one.page("a", page);
            assert_eq!((one.read_to(), one.more()), (want.map(at), more), "{name}");
        }
    }

    #[test]
    fn parents_first() {
        let mut course = course(&[shard("a", None, false)]);
        course.page("a", empty(10, Some("a1")));
        assert_eq!((course.read_to(), course.unheired()), (Some(at(10)), None));
        course.list(vec![shard("a", None, true), shard("b", Some("a"), false), shard("c", Some("b"), false)]);
        assert_eq!((due(&course, true).as_str(), course.read_to()), ("a1", None), "what goes on may have more");
        course.page("a", empty(11, None));
        assert_eq!((due(&course, true).as_str(), course.more()), ("b*", true));
        assert_eq!((course.unheired(), course.read_to()), (None, None));
        course.page("b", empty(12, None));
        course.page("c", empty(13, Some("c1")));
        assert_eq!((due(&course, true).as_str(), course.read_to()), ("c1", Some(at(13))));
        course.list(vec![shard("c", Some("b"), false)]);
        assert_eq!((due(&course, true).as_str(), course.ways.len()), ("c1", 1), "what is gone is forgotten");
    }

    #[test]
    fn a_shard_that_had_ended_before_has_an_heir_that_is_to_come() {
        let mut course = course(&[shard("a", None, false), shard("ended", None, true)]);
        course.page("a", empty(10, Some("a1")));
        assert_eq!((course.unheired(), course.read_to()), (Some(at(0)), None));
        course.list(vec![shard("a", None, false), shard("ended", None, true), shard("b", Some("ended"), false)]);
        assert_eq!((course.unheired(), due(&course, true).as_str()), (None, "a1 b*"));
        course.page("b", empty(12, Some("b1")));
        assert_eq!(course.read_to(), Some(at(10)));
    }

    #[test]
    fn an_end_without_an_heir_is_no_tip() {
        let mut course = course(&[shard("a", None, false), shard("b", None, false)]);
        course.page("b", empty(10, Some("b1")));
        course.page("a", empty(11, None));
        assert_eq!((course.unheired(), course.read_to()), (Some(at(11)), None));
        course.list(vec![shard("a", None, true), shard("b", None, false), shard("c", Some("a"), false)]);
        assert_eq!((course.unheired(), due(&course, false).as_str()), (None, "c*"));
        course.page("c", empty(12, Some("c1")));
        assert_eq!(course.read_to(), Some(at(10)));
        let mut all = super::tests::course(&[shard("a", None, false)]);
        all.page("a", empty(10, None));
        all.list(Vec::new());
        assert_eq!((all.unheired(), all.read_to(), due(&all, true).as_str()), (Some(at(10)), None, ""));
    }
}
