//! Table: the first behavior, in the order written, whose pattern matches a host and a path.
//!
//! In: patterns (indexed once), a host as sent, a path. Out: a [`BehaviorId`]. Never: allocation on a request.

use super::glob::{Glob, literal_end, literal_start};
use crate::config::compiled::{Behavior, BehaviorId, Pattern};
use crate::message::path;
use ahash::AHashMap;
use std::sync::Arc;

/// Longest host name that is looked up, in bytes (RFC 1035 §2.3.4); a longer one only matches patterns without a host.
const HOST_MAX: usize = 255;

/// Bytes of a pattern's literal end that are indexed; the match itself looks at all of it.
const END_MAX: usize = 32;

/// The index over all patterns: by host, then by the literal text a pattern starts or ends with.
///
/// Cost of a lookup: one hash a label of the host (none when no pattern names a host) and two binary searches a list found,
/// then a match only against patterns whose literal start or end the path has.
#[derive(Debug, Default)]
pub struct Table {
    any: Paths,
    exact: AHashMap<Box<str>, Paths>,
    /// Keyed by what follows `*.`.
    below: AHashMap<Box<str>, Paths>,
}

/// Patterns of one host: by the literal text they start with or, for those that start with a star, end with.
#[derive(Debug, Default)]
struct Paths {
    by_start: Tree,
    by_end: Tree,
}

/// Rules grouped by a literal that every matching path (read forwards or backwards) starts with, sorted by it.
#[derive(Debug, Default)]
struct Tree {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    literal: Box<[u8]>,
    /// The group with the longest literal that is a proper prefix of this one's.
    parent: Option<usize>,
    /// Ascending by id.
    rules: Vec<(BehaviorId, Glob)>,
}

// === impl Table ===
impl Table {
    /// Indexes `behaviors`; the ids [`Table::select`] returns are positions in it.
    pub fn new(behaviors: &[Arc<Behavior>]) -> Self {
        Table::of(behaviors.iter().map(|behavior| &behavior.pattern))
    }

    /// Indexes bare patterns; the ids are their positions.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> Self {
        let mut table = Table::default();
        for (id, pattern) in patterns.into_iter().enumerate() {
            let paths = match pattern.host.as_deref() {
                None | Some("*") => &mut table.any,
                Some(host) => match host.strip_prefix("*.") {
                    Some(domain) => table.below.entry(domain.to_ascii_lowercase().into()).or_default(),
                    None => table.exact.entry(host.to_ascii_lowercase().into()).or_default(),
                },
            };
            paths.push(id, &path::pattern(&pattern.path));
        }
        let lists = table.exact.values_mut().chain(table.below.values_mut());
        lists.chain([&mut table.any]).for_each(Paths::link);
        table
    }

    /// The first behavior in the order written that matches. `host` is taken as sent: case, port and a trailing dot do not
    /// count. `path` is the viewer's, before any rewriting, without its query, spelled as [`path::normal`] does.
    pub fn select(&self, host: &str, path: &str) -> Option<BehaviorId> {
        let path = path.as_bytes();
        let mut best = self.any.first(path, BehaviorId::MAX);
        if self.exact.is_empty() && self.below.is_empty() {
            return best;
        }
        let host = bare(host);
        let mut lower = [0; HOST_MAX];
        let Some(lower) = lower.get_mut(..host.len()) else { return best };
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        let Ok(host) = std::str::from_utf8(lower) else { return best };
        let exact = self.exact.get(host);
        let below = host.match_indices('.').filter_map(|(dot, _)| self.below.get(&host[dot + 1..]));
        for paths in exact.into_iter().chain(below) {
            best = paths.first(path, best.unwrap_or(BehaviorId::MAX)).or(best);
        }
        best
    }
}

// === impl Paths ===
impl Paths {
    fn push(&mut self, id: BehaviorId, pattern: &str) {
        let (start, end) = (literal_start(pattern), literal_end(pattern));
        let (tree, literal) = match start.len() > 1 || end.is_empty() {
            true => (&mut self.by_start, start),
            false => (&mut self.by_end, end.into_iter().rev().take(END_MAX).collect()),
        };
        tree.groups.push(Group { literal: literal.into(), parent: None, rules: vec![(id, Glob::new(pattern))] });
    }

    fn link(&mut self) {
        self.by_start.link();
        self.by_end.link();
    }

    /// The lowest id under `before` that matches.
    fn first(&self, path: &[u8], before: BehaviorId) -> Option<BehaviorId> {
        let best = self.by_start.first(path, path, before);
        let mut end = [0; END_MAX];
        end.iter_mut().zip(path.iter().rev()).for_each(|(to, from)| *to = *from);
        let end = &end[..path.len().min(END_MAX)];
        self.by_end.first(end, path, best.unwrap_or(before)).or(best)
    }
}

// === impl Tree ===
impl Tree {
    /// Sorts, merges groups of the same literal and links each to its parent.
    fn link(&mut self) {
        // Stable: the rules of one literal stay in the order written.
        self.groups.sort_by(|a, b| a.literal.cmp(&b.literal));
        self.groups.dedup_by(|next, kept| {
            let same = next.literal == kept.literal;
            if same {
                kept.rules.append(&mut next.rules);
            }
            same
        });
        for at in 1..self.groups.len() {
            let mut parent = Some(at - 1);
            while let Some(above) = parent
                && !self.groups[at].literal.starts_with(&self.groups[above].literal)
            {
                parent = self.groups[above].parent;
            }
            self.groups[at].parent = parent;
        }
    }

    /// The lowest id under `before` whose literal `text` starts with and that matches `path`.
    ///
    /// Every literal that is a prefix of `text` sorts at or before it, and so does everything between; the last group at or
    /// before `text` therefore lies below all of them in the tree of prefixes, and its parents are the only candidates.
    fn first(&self, text: &[u8], path: &[u8], before: BehaviorId) -> Option<BehaviorId> {
        let mut best = None;
        let mut at = self.groups.partition_point(|group| *group.literal <= *text).checked_sub(1);
        while let Some(group) = at.and_then(|at| self.groups.get(at)) {
            if text.starts_with(&group.literal) {
                let mut rules = group.rules.iter().take_while(|(id, _)| *id < best.unwrap_or(before));
                best = rules.find(|(_, glob)| glob.matches(path)).map(|(id, _)| *id).or(best);
            }
            at = group.parent;
        }
        best
    }
}

/// A host without port and trailing dot; the brackets of an IPv6 address stay.
fn bare(host: &str) -> &str {
    let end = match host.starts_with('[') {
        true => host.find(']').map_or(host.len(), |at| at + 1),
        false => host.find(':').unwrap_or(host.len()),
    };
    let host = &host[..end];
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::glob::tests::naive;
    use super::*;
    use proptest::prelude::*;

    fn table(rules: &[(Option<&str>, &str)]) -> Table {
        let pattern = |(host, path): &(Option<&str>, &str)| Pattern {
            text: String::new(),
            host: host.map(str::to_owned),
            path: (*path).to_owned(),
        };
        Table::of(&rules.iter().map(pattern).collect::<Vec<_>>())
    }

    #[test]
    fn first_in_the_order_written() {
        let table = table(&[
            (Some("shop.example"), "/api/*"),
            (Some("*.example"), "/api/v1/*"),
            (None, "/api/v1/users"),
            (None, "*.png"),
            (Some("shop.example"), "*"),
            (Some("[::1]"), "*"),
            (None, "/api/*"),
        ]);
        for (host, path, want) in [
            ("shop.example", "/api/v1/users", Some(0)),
            ("SHOP.example.:8443", "/api/v1/users", Some(0)),
            ("a.b.example", "/api/v1/users", Some(1)),
            ("example", "/api/v1/users", Some(2)),
            ("other", "/api/v1/x.png", Some(3)),
            ("shop.example", "/x.png", Some(3)),
            ("shop.example", "/x", Some(4)),
            ("[::1]:80", "/x", Some(5)),
            ("", "/api/", Some(6)),
            // A question mark of the path's own is encoded in it.
            ("other", "/api/a%3Fb", Some(6)),
            ("other", "/apis", None),
            (&"x".repeat(300), "/api/", Some(6)),
        ] {
            assert_eq!(table.select(host, path), want, "{host} {path}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_naive_first_match(
            rules in prop::collection::vec((prop::option::of("(\\*\\.)?[ab](\\.[ab])?"), "(/[ab?*/]{0,5}|\\*)"), 0..20),
            host in "[abAB](\\.[ab]){0,2}",
            path in "/[ab/]{0,6}",
        ) {
            let rules: Vec<_> = rules.iter().map(|(host, path)| (host.as_deref(), path.as_str())).collect();
            let lower = host.to_lowercase();
            let naive = rules.iter().position(|(want, pattern)| {
                let host = match want {
                    None => true,
                    Some(want) => match want.strip_prefix('*') {
                        Some(suffix) => lower.ends_with(suffix) && lower.len() > suffix.len(),
                        None => lower == *want,
                    },
                };
                host && naive(pattern.as_bytes(), path.as_bytes())
            });
            prop_assert_eq!(table(&rules).select(&host, &path), naive);
        }
    }
}
