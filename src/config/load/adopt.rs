//! Adopt: what stands in a node's own files and in a revision as well.
//!
//! In: the texts of both. Out: the own ones without what the revision has too, and what that was. Never: a table that says who a node is taken
//! from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeArray, DeTable, DeValue};

use crate::config::source::{Kind, Node, places};

/// In a revision's directory: it takes the place of what the own files have as well. Its contents do not matter.
pub const ADOPTS: &str = ".adopts";

/// Tables that no revision takes the place of.
const OF_NODES: [&str; 3] = ["pop", "admin", "fleet"];

/// What behaviors are told apart by, besides names.
const MATCH: &str = "match";

/// What a revision has, by what must not be there twice.
#[derive(Debug, Default)]
pub struct Theirs {
    /// Whether it takes their place.
    adopts: bool,
    tables: BTreeSet<String>,
    entries: BTreeSet<(String, String)>,
}

/// A part of the own files that the revision has as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// As the operator would call it.
    pub what: String,
    pub span: Range<usize>,
}

// === impl Theirs ===
impl Theirs {
    pub fn new(adopts: bool) -> Self {
        Theirs { adopts, ..Theirs::default() }
    }

    /// Takes in one of its texts; what cannot be read is said elsewhere.
    pub fn take(&mut self, text: &str) {
        let (table, _) = DeTable::parse_recoverable(text);
        for (name, node) in places(0, table.get_ref()) {
            match &node.kind {
                Kind::Array(items) => {
                    let names = items.iter().flat_map(|item| names(&name, item));
                    // Two behaviors may match the same where each stays: the first one serves.
                    self.entries.extend(names.filter(|(kind, _)| self.adopts || kind != MATCH));
                }
                _ => drop(self.tables.insert(name)),
            }
        }
    }

    /// Takes out of one of the own texts what the revision has as well.
    pub fn cover(&self, table: &mut DeTable<'_>, nodes: &mut BTreeMap<String, Node>) -> Vec<Covered> {
        let mut covered = Vec::new();
        for name in self.tables.iter().filter(|name| !OF_NODES.contains(&name.as_str())) {
            let Some(node) = nodes.remove(name) else { continue };
            table.remove(name.as_str());
            covered.push(Covered { what: format!("[{name}]"), span: node.key.unwrap_or(node.span) });
        }
        for (kind, node) in nodes.iter_mut() {
            let Kind::Array(items) = &mut node.kind else { continue };
            let theirs = |item: &Node| names(kind, item).iter().any(|name| self.entries.contains(name));
            let gone: Vec<bool> = items.iter().map(theirs).collect();
            if !gone.contains(&true) {
                continue;
            }
            let each = std::mem::take(items).into_iter().zip(&gone);
            for (item, gone) in each {
                match gone {
                    true => covered.push(Covered { what: called(kind, &item), span: item.span }),
                    false => items.push(item),
                }
            }
            let Some(value) = table.get_mut(kind.as_str()) else { continue };
            if let DeValue::Array(array) = value.get_mut() {
                let mut kept = DeArray::new();
                let each = std::mem::replace(array, DeArray::new()).into_iter().zip(&gone);
                each.filter(|(_, gone)| !**gone).for_each(|(item, _)| kept.push(item));
                *array = kept;
            }
        }
        covered
    }
}

/// What must not be there twice. Groups are named like origins; of two behaviors that match the same, one would never be met.
fn names(kind: &str, entry: &Node) -> Vec<(String, String)> {
    let text = |key: &str| match &entry.kind {
        Kind::Table(children) => match &children.get(key)?.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let among = |kind: &str, name: Option<String>| name.map(|name| (kind.to_owned(), name));
    let all = match kind {
        "origin" | "origin_group" => [among("origin", text("name")), None],
        "behavior" => [among("behavior", text("name")), among(MATCH, text("match"))],
        "listener" => [among(kind, text("address")), None],
        "registry" => [among(kind, text("host")), None],
        _ => [among(kind, text("name")), None],
    };
    all.into_iter().flatten().collect()
}

fn called(kind: &str, entry: &Node) -> String {
    let name = names(kind, entry).into_iter().next().map(|(_, name)| name).unwrap_or_default();
    format!("{} '{name}'", kind.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(own: &str, theirs: &str, adopts: bool) -> (Vec<String>, String) {
        let mut known = Theirs::new(adopts);
        known.take(theirs);
        let (mut table, _) = DeTable::parse_recoverable(own);
        let mut nodes = places(0, table.get_ref());
        let covered = known.cover(table.get_mut(), &mut nodes);
        let what = |one: &Covered| format!("{}: {}", own[..one.span.start].matches('\n').count() + 1, one.what);
        let left = nodes.iter().map(|(name, node)| match &node.kind {
            Kind::Array(items) => format!("{name} {}", items.len()),
            _ => name.clone(),
        });
        let of_table =
            |value: &DeValue<'_>| value.as_array().map_or(String::new(), |array| format!(" {}", array.len()));
        let in_table: Vec<String> = table
            .get_ref()
            .iter()
            .map(|(key, value)| format!("{}{}", key.get_ref(), of_table(value.get_ref())))
            .collect();
        let left: Vec<String> = left.collect();
        assert_eq!(left, in_table, "the places are those of the table");
        (covered.iter().map(what).collect(), left.join(", "))
    }

    #[test]
    fn what_is_in_both() {
        let own = "[pop]\ncode = \"FRA\"\n[limits]\nconnections = 9\n[[origin]]\nname = \"a\"\n[[origin]]\nname = \"b\"\n\
                   [[behavior]]\nmatch = \"/x\"\n[[behavior]]\nname = \"rest\"\nmatch = \"*\"\n[[listener]]\naddress = \"[::]:80\"\n";
        for (theirs, want, left) in [
            ("", &[][..], "behavior 2, limits, listener 1, origin 2, pop"),
            ("[[origin]]\nname = \"b\"\n", &["7: origin 'b'"], "behavior 2, limits, listener 1, origin 1, pop"),
            ("[[origin_group]]\nname = \"a\"\n", &["5: origin 'a'"], "behavior 2, limits, listener 1, origin 1, pop"),
            ("[[function]]\nname = \"a\"\n", &[], "behavior 2, limits, listener 1, origin 2, pop"),
            ("[limits]\nconnections = 1\n", &["3: [limits]"], "behavior 2, listener 1, origin 2, pop"),
            (
                "[[behavior]]\nmatch = \"*\"\n",
                &["11: behavior 'rest'"],
                "behavior 1, limits, listener 1, origin 2, pop",
            ),
            (
                "[[behavior]]\nname = \"rest\"\nmatch = \"/y\"\n[[behavior]]\nname = \"n\"\nmatch = \"/x\"\n",
                &["9: behavior '/x'", "11: behavior 'rest'"],
                "behavior 0, limits, listener 1, origin 2, pop",
            ),
            (
                "[[listener]]\naddress = \"[::]:80\"\n",
                &["14: listener '[::]:80'"],
                "behavior 2, limits, listener 0, origin 2, pop",
            ),
            ("[pop]\ncode = \"NRT\"\n", &[], "behavior 2, limits, listener 1, origin 2, pop"),
        ] {
            let want: Vec<String> = want.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(covered(own, theirs, true), (want, left.to_owned()), "{theirs}");
        }
        let both = "[[behavior]]\nmatch = \"*\"\n[[origin]]\nname = \"b\"\n";
        assert_eq!(covered(own, both, false).0, ["7: origin 'b'"], "the own behavior may stay, and serves");
    }
}
