//! Shards: which of a stream's shards can be read now.
//!
//! In: a stream's shards, how far each is done with. Out: those to begin with, the places that can be forgotten. Never: a shard
//! before its parent is read to its end.

use std::collections::HashSet;

use super::{Place, Progress};
use crate::dynamo::Shard;

/// The shards to read, without those in `active`.
pub(super) fn ready<'s>(
    shards: &'s [Shard],
    progress: &'s Progress,
    active: &'s HashSet<String>,
) -> impl Iterator<Item = &'s Shard> {
    let known: HashSet<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
    let ended = |id: &str| progress.shards.get(id) == Some(&Place::End);
    shards.iter().filter(move |shard| {
        let parent = shard.parent.as_deref();
        // A parent that is not listed any more has nothing left to read.
        let first = parent.is_none_or(|parent| ended(parent) || !known.contains(parent));
        first && !ended(&shard.id) && !active.contains(&shard.id)
    })
}

/// Whether all of them are read to their end.
pub(super) fn read(shards: &[Shard], progress: &Progress) -> bool {
    shards.iter().all(|shard| progress.shards.get(&shard.id) == Some(&Place::End))
}

/// Forgets shards that are gone.
pub(super) fn prune(progress: &mut Progress, shards: &[Shard]) {
    progress.shards.retain(|id, _| shards.iter().any(|shard| shard.id == *id || shard.parent.as_ref() == Some(id)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parents_first() {
        let shard = |id: &str, parent: Option<&str>| {
            Shard::read(&json!({ "ShardId": id, "ParentShardId": parent, "SequenceNumberRange": {} })).unwrap()
        };
        let shards = [shard("a", Some("gone")), shard("b", Some("a")), shard("c", Some("b")), shard("d", None)];
        let ids = |places: &[(&str, Place)], active: &[&str]| {
            let shards_of = places.iter().map(|(id, place)| ((*id).to_owned(), place.clone())).collect();
            let progress = Progress { shards: shards_of, ..Progress::default() };
            let active = active.iter().map(|id| (*id).to_owned()).collect();
            ready(&shards, &progress, &active).map(|shard| shard.id.clone()).collect::<Vec<_>>().join(",")
        };
        let at = || Place::After("1".into());
        assert_eq!(ids(&[], &[]), "a,d");
        assert_eq!(ids(&[("a", at())], &["d"]), "a");
        assert_eq!(ids(&[("a", Place::End), ("d", at())], &[]), "b,d");
        assert_eq!(ids(&[("a", Place::End), ("b", Place::End)], &["d"]), "c");
        let ended = |ids: &[&str]| {
            let places = ids.iter().map(|id| ((*id).to_owned(), Place::End)).collect();
            read(&shards, &Progress { shards: places, ..Progress::default() })
        };
        assert!(ended(&["a", "b", "c", "d", "x"]) && !ended(&["a", "b", "d"]) && !ended(&[]));
        let mut progress = Progress::default();
        progress.shards.extend(["x", "gone", "a", "d"].map(|id| (id.to_owned(), Place::End)));
        prune(&mut progress, &shards);
        assert_eq!(progress.shards.into_keys().collect::<Vec<_>>(), ["a", "d", "gone"]);
    }
}
