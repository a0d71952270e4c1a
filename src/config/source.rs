//! Source: where in the text a value was written.
//!
//! In: TOML texts, a path of keys. Out: file, line and column of the value, or of the nearest table around it. Never: meaning.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Diagnostic;

/// The texts of one configuration, and every value's place in them, merged as their tables are.
#[derive(Default)]
pub struct Sources {
    files: Vec<SourceFile>,
    root: BTreeMap<String, Node>,
}

/// One text.
#[derive(Debug)]
pub struct SourceFile {
    /// As the operator named it.
    pub name: String,
    pub text: String,
    /// Where relative paths in it start.
    pub base: PathBuf,
}

/// One value's place.
#[derive(Debug)]
pub struct Node {
    pub file: usize,
    /// Of the key, where it has one.
    pub key: Option<Range<usize>>,
    pub span: Range<usize>,
    pub kind: Kind,
}

/// What of a value matters for finding things.
#[derive(Debug)]
pub enum Kind {
    Text(String),
    Scalar,
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// A path of keys and positions: `behavior[3].cache.ttl`.
#[derive(Debug, Clone, Default)]
pub struct At(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

// === impl At ===
impl At {
    pub fn key(&self, key: &str) -> At {
        self.with(Step::Key(key.to_owned()))
    }

    pub fn index(&self, index: usize) -> At {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> At {
        let mut steps = self.0.clone();
        steps.push(step);
        At(steps)
    }
}

// === impl Sources ===
impl Sources {
    /// Takes one more text in; its number names it in [`Sources::point`].
    pub fn add(&mut self, name: String, text: String, base: PathBuf) -> usize {
        self.files.push(SourceFile { name, text, base });
        self.files.len() - 1
    }

    /// All texts, in the order they were added.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Merges one file's values in: arrays of tables append; answers the places of top-level tables that exist already.
    pub fn merge(&mut self, nodes: BTreeMap<String, Node>) -> Vec<(String, usize, Range<usize>)> {
        let mut twice = Vec::new();
        for (name, node) in nodes {
            match (self.root.get_mut(&name), node) {
                (None, node) => drop(self.root.insert(name, node)),
                (Some(Node { kind: Kind::Array(old), .. }), Node { kind: Kind::Array(new), .. }) => old.extend(new),
                (Some(_), node) => twice.push((name, node.file, node.key.unwrap_or(node.span))),
            }
        }
        twice
    }

    /// A finding about the value at `at`, or about the nearest table around it when there is none.
    pub fn find(&self, at: &At, message: String, help: Option<String>) -> Diagnostic {
        match self.locate(at) {
            Some((node, _)) => self.point(node.file, node.span.clone(), message, help),
            None => Diagnostic { source: None, ..self.point(0, 0..0, message, help) },
        }
    }

    /// A finding about a value that must not be shown.
    pub fn find_hidden(&self, at: &At, message: String, help: Option<String>) -> Diagnostic {
        let mut found = self.find(at, message, help);
        if let Some(line) = &mut found.source {
            let before: String = line.chars().take(found.column.saturating_sub(1)).collect();
            *line = format!("{before}\"…\"");
            found.width = 3;
        }
        found
    }

    /// Whether anything is written at `at` itself.
    pub fn has(&self, at: &At) -> bool {
        self.locate(at).is_some_and(|(_, rest)| rest == 0)
    }

    /// Where a relative path written at `at` starts; one that nobody wrote starts at the first text.
    pub fn base(&self, at: &At) -> &Path {
        let file = self.locate(at).map_or(0, |(node, _)| node.file);
        self.files.get(file).map_or(Path::new(""), |file| &file.base)
    }

    /// The value at `at` or the nearest one around it, and how many steps it is away.
    fn locate(&self, at: &At) -> Option<(&Node, usize)> {
        let (first, rest) = at.0.split_first()?;
        let Step::Key(first) = first else { return None };
        let mut node = self.root.get(first)?;
        for (walked, step) in rest.iter().enumerate() {
            let next = match (step, &node.kind) {
                (Step::Key(key), Kind::Table(children)) => children.get(key),
                (Step::Index(index), Kind::Array(items)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return Some((node, rest.len() - walked)),
            }
        }
        Some((node, 0))
    }

    /// The value that is bytes `span` of file number `file`, and the keys that lead to it; the innermost, where several are.
    pub fn at_span(&self, file: usize, span: &Range<usize>) -> Option<(Vec<&str>, &Node)> {
        self.root.iter().find_map(|(key, node)| node.at_span(file, span, vec![key]))
    }

    /// A finding about bytes `span` of file number `file`. A span over several lines is cut to its first.
    pub fn point(&self, file: usize, span: Range<usize>, message: String, help: Option<String>) -> Diagnostic {
        let (name, text) = self.files.get(file).map_or(("", ""), |file| (&file.name, &file.text));
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let from_line = text.get(line_start..).unwrap_or("");
        let source = from_line.lines().next().unwrap_or("");
        let end = span.end.min(line_start + source.len()).max(span.start);
        Diagnostic {
            file: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: text.get(line_start..span.start).map_or(0, |part| part.chars().count()) + 1,
            source: Some(source.to_owned()),
            width: text.get(span.start..end).map_or(0, |part| part.chars().count()).max(1),
            message,
            help,
        }
    }
}

/// By their names: what is written is shown by its findings alone.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.name)).finish()
    }
}

// === impl Node ===
impl Node {
    /// See [`Sources::at_span`]; `path` leads to this one.
    fn at_span<'a>(&'a self, file: usize, span: &Range<usize>, path: Vec<&'a str>) -> Option<(Vec<&'a str>, &'a Node)> {
        let inner = match &self.kind {
            Kind::Table(children) => children
                .iter()
                .find_map(|(key, node)| node.at_span(file, span, path.iter().copied().chain([key.as_str()]).collect())),
            Kind::Array(items) => items.iter().find_map(|item| item.at_span(file, span, path.clone())),
            Kind::Text(_) | Kind::Scalar => None,
        };
        inner.or_else(|| (self.file == file && self.span == *span).then_some((path, self)))
    }
}

/// The places of one file's values.
pub fn places(file: usize, table: &DeTable<'_>) -> BTreeMap<String, Node> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), node(file, Some(key.span()), value))).collect()
}

// Depth is bounded by the TOML parser's own recursion limit.
fn node(file: usize, key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Array(items) => Kind::Array(items.iter().map(|item| node(file, None, item)).collect()),
        DeValue::Table(table) => Kind::Table(places(file, table)),
        _ => Kind::Scalar,
    };
    Node { file, key, span: value.span(), kind }
}

/// Takes out every entry whose key or value is one of `spans`, so that the rest can be read.
pub fn prune(table: &mut DeTable<'_>, spans: &HashSet<Range<usize>>) {
    let named = |(key, value): &(&Spanned<_>, &Spanned<DeValue<'_>>)| {
        spans.contains(&key.span()) || spans.contains(&value.span())
    };
    let gone: Vec<String> = table.iter().filter(named).map(|(key, _)| key.get_ref().to_string()).collect();
    for key in gone {
        table.remove(key.as_str());
    }
    table.iter_mut().for_each(|(_, value)| prune_value(value.get_mut(), spans));
}

fn prune_value(value: &mut DeValue<'_>, spans: &HashSet<Range<usize>>) {
    match value {
        DeValue::Table(table) => prune(table, spans),
        DeValue::Array(items) => items.iter_mut().for_each(|item| prune_value(item.get_mut(), spans)),
        _ => {}
    }
}
