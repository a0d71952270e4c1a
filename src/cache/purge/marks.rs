//! Marks: whether a stored object is older than a purge that covers it.
//!
//! In: purges in any order, an object's meta. Out: [`Verdict`]. Never: storage, the clock, a scan over objects.

use super::prefixes::Prefixes;
use super::scope::{Purge, Scope};
use crate::cache::object::{Meta, Stamp};
use ahash::AHashMap;

/// When the bound is reached, this part of the scopes (1/n, the oldest) folds into `all` at once, so that the next ones are cheap.
const FOLD_PART: usize = 8;

/// What a hit must become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Stale since `at`: validate before use, or serve while validating where staleness is allowed.
    Soft {
        at: Stamp,
    },
    Gone,
}

/// The newest hard and soft purge of one scope; zero = none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    hard: Stamp,
    soft: Stamp,
}

/// Everything purged so far, folded to the newest stamps per scope. The order of purges does not matter, repeats do nothing.
///
/// Memory: about 100 bytes a scope, at most `bound` scopes; past it the oldest fold into "everything older than it", which is
/// safe: it purges more than was asked, never less.
#[derive(Debug, Clone)]
pub struct Marks {
    all: Mark,
    hosts: AHashMap<Box<str>, HostMarks>,
    anywhere: Prefixes<Mark>,
    tags: AHashMap<Box<str>, Mark>,
    len: usize,
    bound: usize,
}

#[derive(Debug, Clone, Default)]
struct HostMarks {
    /// The host itself, when `named`.
    own: Mark,
    urls: AHashMap<Box<str>, Mark>,
    prefixes: Prefixes<Mark>,
}

// === impl Mark ===
impl Mark {
    /// Takes a purge in; whether it was newer than what was there.
    fn raise(&mut self, soft: bool, at: Stamp) -> bool {
        let slot = if soft { &mut self.soft } else { &mut self.hard };
        let newer = at > *slot;
        *slot = at.max(*slot);
        newer
    }

    fn merge(&mut self, other: Mark) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }

    fn newest(self) -> Stamp {
        self.hard.max(self.soft)
    }

    fn is_none(self) -> bool {
        self == Mark::default()
    }

    /// Whether a purge adds nothing to this mark: what it covers is covered at least as hard.
    fn covers(self, soft: bool, at: Stamp) -> bool {
        at <= self.hard || (soft && at <= self.soft)
    }
}

// === impl HostMarks ===
impl HostMarks {
    /// What marks `uri` at this host.
    fn of(&self, uri: &str) -> Mark {
        let mut mark = self.own;
        mark.merge(self.urls.get(uri).copied().unwrap_or_default());
        self.prefixes.of(uri, |found| mark.merge(*found));
        mark
    }
}

// === impl Marks ===
impl Marks {
    /// No purges; at most `bound` scopes besides "all" (at least 1).
    pub fn new(bound: usize) -> Self {
        Marks {
            all: Mark::default(),
            hosts: AHashMap::new(),
            anywhere: Prefixes::default(),
            tags: AHashMap::new(),
            len: 0,
            bound: bound.max(1),
        }
    }

    /// Distinct scopes held, without "all".
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.all.is_none()
    }

    /// Folds one purge in. Idempotent and independent of order, so replaying a log after a crash is harmless.
    pub fn apply(&mut self, purge: &Purge) {
        let (soft, at) = (purge.soft, purge.at);
        if purge.scope == Scope::All {
            if self.all.raise(soft, at) {
                self.forget_covered();
            }
            return;
        }
        if self.all.covers(soft, at) || at == Stamp::default() {
            return;
        }
        let mark = match &purge.scope {
            Scope::All => &mut self.all,
            Scope::Host(host) => &mut self.hosts.entry(host.clone()).or_default().own,
            Scope::Url { host, uri } => {
                self.hosts.entry(host.clone()).or_default().urls.entry(uri.clone()).or_default()
            }
            Scope::Prefix { host: Some(host), path } => {
                self.hosts.entry(host.clone()).or_default().prefixes.0.entry(path.clone()).or_default()
            }
            Scope::Prefix { host: None, path } => self.anywhere.0.entry(path.clone()).or_default(),
            Scope::Tag(tag) => self.tags.entry(tag.clone()).or_default(),
        };
        let new = mark.is_none();
        mark.raise(soft, at);
        self.len += usize::from(new);
        if self.len > self.bound {
            self.fold();
        }
    }

    /// What an object must become. Cost: one lookup each for host, url and every tag, and two of prefixes.
    pub fn verdict(&self, meta: &Meta) -> Verdict {
        let host = self.hosts.get(&meta.host).map(|host| host.of(&meta.uri));
        self.judge(meta, host.unwrap_or_default())
    }

    /// The same for an object that hosts share: `shares` says which. A purge of any of them covers it, whichever asked for it first.
    /// Cost: the lookups of a host for each that has something purged.
    pub fn verdict_shared(&self, meta: &Meta, shares: impl Fn(&str) -> bool) -> Verdict {
        let mut hosts = Mark::default();
        for (_, host) in self.hosts.iter().filter(|(name, _)| shares(name)) {
            hosts.merge(host.of(&meta.uri));
        }
        self.judge(meta, hosts)
    }

    /// What an object must become that its hosts' purges mark so.
    fn judge(&self, meta: &Meta, hosts: Mark) -> Verdict {
        let mut mark = self.all;
        mark.merge(hosts);
        self.anywhere.of(&meta.uri, |found| mark.merge(*found));
        if !self.tags.is_empty() {
            for tag in &meta.tags {
                mark.merge(self.tags.get(tag).copied().unwrap_or_default());
            }
        }
        let reached = |at: Stamp| at != Stamp::default() && meta.fetch_start <= at;
        match mark {
            Mark { hard, .. } if reached(hard) => Verdict::Gone,
            Mark { soft, .. } if reached(soft) => Verdict::Soft { at: soft },
            _ => Verdict::Keep,
        }
    }

    /// Whether these marks hold something newer that makes `purge` needless: a log may forget it.
    pub fn supersedes(&self, purge: &Purge) -> bool {
        let mark = match &purge.scope {
            Scope::All => None,
            Scope::Host(host) => self.hosts.get(host).map(|host| host.own),
            Scope::Url { host, uri } => self.hosts.get(host).and_then(|host| host.urls.get(uri)).copied(),
            Scope::Prefix { host: Some(host), path } => {
                self.hosts.get(host).and_then(|host| host.prefixes.0.get(path)).copied()
            }
            Scope::Prefix { host: None, path } => self.anywhere.0.get(path).copied(),
            Scope::Tag(tag) => self.tags.get(tag).copied(),
        };
        let newer = |mark: Mark| purge.at < mark.hard || (purge.soft && purge.at < mark.soft);
        let whole = if purge.scope == Scope::All { newer(self.all) } else { self.all.covers(purge.soft, purge.at) };
        whole || mark.is_some_and(newer)
    }

    /// The purges of everything that "all" stands for: what a compacted log needs besides the entries it keeps.
    pub fn all(&self) -> impl Iterator<Item = Purge> + use<> {
        let all = self.all;
        let hard = (all.hard > Stamp::default()).then_some(Purge { scope: Scope::All, soft: false, at: all.hard });
        let soft = (all.soft > all.hard).then_some(Purge { scope: Scope::All, soft: true, at: all.soft });
        hard.into_iter().chain(soft)
    }

    /// Makes room: the oldest scopes become part of "all".
    fn fold(&mut self) {
        let mut stamps: Vec<Stamp> = Vec::with_capacity(self.len);
        self.retain(|mark| {
            stamps.push(mark.newest());
            true
        });
        let oldest = stamps.len().saturating_sub(1).min(self.bound / FOLD_PART);
        let (_, limit, _) = stamps.select_nth_unstable(oldest);
        let limit = *limit;
        let mut all = self.all;
        self.retain(|mark| {
            let stays = mark.newest() > limit;
            if !stays {
                all.merge(*mark);
            }
            stays
        });
        self.all = all;
        self.forget_covered();
    }

    /// Drops the marks that "all" covers.
    fn forget_covered(&mut self) {
        let all = self.all;
        self.retain(|mark| !(all.covers(false, mark.hard) && all.covers(true, mark.soft)));
        self.hosts.retain(|_, host| !(host.own.is_none() && host.urls.is_empty() && host.prefixes.0.is_empty()));
    }

    /// Keeps the marks that `stays` wants and counts them.
    fn retain(&mut self, mut stays: impl FnMut(&Mark) -> bool) {
        let mut len = 0;
        let mut keep = |mark: &Mark| {
            let kept = stays(mark);
            len += usize::from(kept);
            kept
        };
        for host in self.hosts.values_mut() {
            if !host.own.is_none() && !keep(&host.own) {
                host.own = Mark::default();
            }
            host.urls.retain(|_, mark| keep(mark));
            host.prefixes.0.retain(|_, mark| keep(mark));
        }
        self.anywhere.0.retain(|_, mark| keep(mark));
        self.tags.retain(|_, mark| keep(mark));
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::meta;
    use super::*;
    use proptest::prelude::*;

    fn purge(scope: Scope, soft: bool, at: u64) -> Purge {
        Purge { scope, soft, at: Stamp(at) }
    }

    /// The definition: replay a list.
    fn naive(purges: &[Purge], meta: &Meta) -> Verdict {
        let covers = |scope: &Scope| match scope {
            Scope::All => true,
            Scope::Host(host) => *host == meta.host,
            Scope::Url { host, uri } => *host == meta.host && *uri == meta.uri,
            Scope::Prefix { host, path } => {
                host.as_ref().is_none_or(|host| *host == meta.host) && meta.uri.starts_with(&**path)
            }
            Scope::Tag(tag) => meta.tags.contains(tag),
        };
        let hits = purges.iter().filter(|purge| purge.at >= meta.fetch_start && covers(&purge.scope));
        let (soft, hard): (Vec<&Purge>, Vec<&Purge>) = hits.partition(|purge| purge.soft);
        match soft.iter().map(|purge| purge.at).max() {
            _ if !hard.is_empty() => Verdict::Gone,
            Some(at) => Verdict::Soft { at },
            None => Verdict::Keep,
        }
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let host = "[ab]";
        let uri = "/[ab/]{0,3}";
        prop_oneof![
            1 => Just(Scope::All),
            3 => host.prop_map(|host| Scope::Host(host.into())),
            3 => (host, uri).prop_map(|(host, uri)| Scope::Url { host: host.into(), uri: uri.into() }),
            3 => (prop::option::of(host), uri)
                .prop_map(|(host, path)| Scope::Prefix { host: host.map(Into::into), path: path.into() }),
            3 => "[xyz]".prop_map(|tag| Scope::Tag(tag.into())),
        ]
    }

    fn purges() -> impl Strategy<Value = Vec<Purge>> {
        let one = (scopes(), any::<bool>(), 1..20u64).prop_map(|(scope, soft, at)| purge(scope, soft, at));
        prop::collection::vec(one, 0..30)
    }

    fn metas() -> impl Strategy<Value = Meta> {
        ("[ab]", "/[ab/]{0,4}", prop::collection::vec("[xyz]", 0..3), 0..22u64).prop_map(|(host, uri, tags, began)| {
            meta(&host, &uri, &tags.iter().map(String::as_str).collect::<Vec<_>>(), began)
        })
    }

    proptest! {
        #[test]
        fn equals_replaying_the_list(purges in purges(), meta in metas()) {
            let mut marks = Marks::new(100);
            purges.iter().for_each(|purge| marks.apply(purge));
            prop_assert_eq!(marks.verdict(&meta), naive(&purges, &meta));
            // Again and in another order: nothing changes.
            purges.iter().rev().for_each(|purge| marks.apply(purge));
            prop_assert_eq!(marks.verdict(&meta), naive(&purges, &meta));
        }

        #[test]
        fn at_the_bound_more_is_purged_never_less(purges in purges(), meta in metas(), bound in 1..6usize) {
            let mut marks = Marks::new(bound);
            purges.iter().for_each(|purge| marks.apply(purge));
            prop_assert!(marks.len() <= bound);
            let rank = |verdict| match verdict {
                Verdict::Keep => 0,
                Verdict::Soft { .. } => 1,
                Verdict::Gone => 2,
            };
            prop_assert!(rank(marks.verdict(&meta)) >= rank(naive(&purges, &meta)));
        }

        #[test]
        fn what_is_superseded_may_be_forgotten(purges in purges(), meta in metas(), bound in 1..20usize) {
            let mut marks = Marks::new(bound);
            purges.iter().for_each(|purge| marks.apply(purge));
            let mut again = Marks::new(100);
            let kept = purges.iter().filter(|purge| !marks.supersedes(purge)).cloned();
            kept.chain(marks.all()).for_each(|purge| again.apply(&purge));
            prop_assert_eq!(again.verdict(&meta), marks.verdict(&meta));
        }
    }

    #[test]
    fn hosts_that_share_an_object_share_its_purges() {
        let object = meta("first", "/a/b", &[], 5);
        let shares = |host: &str| matches!(host, "first" | "second");
        let url = |host: &str, uri: &str| Scope::Url { host: host.into(), uri: uri.into() };
        let prefix = |host: &str| Scope::Prefix { host: Some(host.into()), path: "/a/".into() };
        // (what is purged, gone for all that share it)
        let table = [
            (url("first", "/a/b"), true),
            (url("second", "/a/b"), true),
            (url("second", "/a/c"), false),
            (url("third", "/a/b"), false),
            (Scope::Host("second".into()), true),
            (Scope::Host("third".into()), false),
            (prefix("second"), true),
            (prefix("third"), false),
            (Scope::Prefix { host: None, path: "/a".into() }, true),
            (Scope::Tag("x".into()), false),
            (Scope::All, true),
        ];
        for (scope, gone) in table {
            let mut marks = Marks::new(10);
            marks.apply(&purge(scope.clone(), false, 6));
            let want = if gone { Verdict::Gone } else { Verdict::Keep };
            assert_eq!(marks.verdict_shared(&object, shares), want, "{scope:?}");
            assert_eq!(marks.verdict_shared(&meta("first", "/a/b", &[], 7), shares), Verdict::Keep, "{scope:?}");
        }
        let mut marks = Marks::new(10);
        marks.apply(&purge(Scope::Host("second".into()), true, 6));
        marks.apply(&purge(url("first", "/a/b"), true, 8));
        assert_eq!(marks.verdict_shared(&object, shares), Verdict::Soft { at: Stamp(8) });
    }

    #[test]
    fn purging_everything_frees_the_scopes() {
        let mut marks = Marks::new(10);
        for n in 1..6 {
            marks.apply(&purge(Scope::Tag(n.to_string().into()), false, n));
        }
        marks.apply(&purge(Scope::All, false, 5));
        assert_eq!((marks.len(), marks.is_empty()), (0, false));
    }
}
