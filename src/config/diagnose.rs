//! Diagnose: which names in the text the schema does not know, and which one was meant.
//!
//! In: the JSON Schema, the places of a file's values. Out: one finding per unknown key or word. Never: types (serde checks
//! those), rules between keys (compile checks those).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::source::{Kind, Node};

/// A name that means nothing where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// Checks one file's tables against the whole schema.
pub fn unknown_names(schema: &Value, tables: &BTreeMap<String, Node>) -> Vec<Unknown> {
    let walk = Walk { root: schema };
    let mut found = Vec::new();
    walk.table(&walk.forms(schema), tables, &mut found);
    found
}

/// The candidate nearest to `name`, when it is near enough to be a slip of the hand.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// What to say of an unknown word: the nearest one, and the others while they are few.
fn suggest_word(word: &str, words: &[&str]) -> Option<String> {
    // HS256 is near to RS256 and ES256, and neither is meant.
    if words.contains(&"RS256") && word.to_ascii_uppercase().starts_with("HS") {
        return Some(format!(
            "algorithms with a shared secret (HS…) are not verified here: whoever can check such a token can make one; one of: {}",
            words.join(", ")
        ));
    }
    let nearest = nearest(word, words.iter().copied());
    // A word without what tells the kinds of it apart: each of them.
    let kind = |known: &&str| known.strip_prefix(word).is_some_and(|rest| rest.starts_with('-'));
    let kinds: Vec<String> = words.iter().copied().filter(kind).map(|known| format!("'{known}'")).collect();
    if nearest.is_none() && kinds.len() > 1 {
        return Some(format!("did you mean {}?", kinds.join(" or ")));
    }
    match suggest(word, words.iter().copied()) {
        Some(meant) if nearest.is_some() && words.len() <= WORDS_SHOWN => {
            Some(format!("{meant} one of: {}", words.join(", ")))
        }
        said => said,
    }
}

/// What to say below "unknown …": the nearest name, else all of them when they fit on a line.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(name, candidates.iter().copied()) {
        Some(meant) => Some(format!("did you mean '{meant}'?")),
        None if candidates.is_empty() => None,
        None => Some(format!("one of: {}", candidates.join(", "))),
    }
}

/// Words that are all shown beside the nearest.
const WORDS_SHOWN: usize = 8;

struct Walk<'s> {
    root: &'s Value,
}

// === impl Walk ===
impl<'s> Walk<'s> {
    fn forms(&self, schema: &'s Value) -> Vec<&'s Value> {
        forms(self.root, schema)
    }

    fn node(&self, forms: &[&'s Value], node: &Node, found: &mut Vec<Unknown>) {
        match &node.kind {
            Kind::Table(children) => self.table(forms, children, found),
            Kind::Array(items) => {
                let forms = self.children(forms, |form| form.get("items"));
                items.iter().for_each(|item| self.node(&forms, item, found));
            }
            Kind::Text(text) => word(forms, text, &node.span, found),
            Kind::Scalar => {}
        }
    }

    fn table(&self, forms: &[&'s Value], children: &BTreeMap<String, Node>, found: &mut Vec<Unknown>) {
        let names: BTreeSet<&str> = forms
            .iter()
            .filter_map(|form| form.get("properties")?.as_object())
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect();
        let rest = self.children(forms, |form| form.get("additionalProperties").filter(|rest| rest.is_object()));
        if names.is_empty() && rest.is_empty() {
            return;
        }
        for (name, child) in children {
            let known = self.children(forms, |form| form.get("properties")?.get(name));
            match (known.is_empty(), rest.is_empty()) {
                (false, _) => self.node(&known, child, found),
                (true, false) => self.node(&rest, child, found),
                (true, true) => found.push(Unknown {
                    span: child.key.clone().unwrap_or_else(|| child.span.clone()),
                    message: format!("unknown key '{name}'"),
                    help: suggest(name, names.iter().copied()),
                }),
            }
        }
    }

    fn children(&self, forms: &[&'s Value], child: impl Fn(&'s Value) -> Option<&'s Value>) -> Vec<&'s Value> {
        forms.iter().filter_map(|form| child(form)).flat_map(|child| self.forms(child)).collect()
    }
}

/// Every form a value may take: the schema with its references (into `root`) and alternatives laid side by side.
pub fn forms<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut all = vec![schema];
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        all.extend(forms(root, target));
    }
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        for form in schema.get(alternatives).and_then(Value::as_array).into_iter().flatten() {
            all.extend(forms(root, form));
        }
    }
    all
}

/// A word where only certain words are allowed, or tables with one key.
fn word(forms: &[&Value], text: &str, span: &Range<usize>, found: &mut Vec<Unknown>) {
    let (mut words, mut tables) = (Vec::new(), Vec::new());
    for form in forms {
        if let Some(word) = form.get("const").and_then(Value::as_str) {
            words.push(word);
        } else if let Some(list) = form.get("enum").and_then(Value::as_array) {
            words.extend(list.iter().filter_map(Value::as_str));
        } else if takes_text(form) {
            return;
        }
        tables.extend(only_key(form).map(|key| format!("{{ {key} = … }}")));
    }
    if words.is_empty() || words.contains(&text) {
        return;
    }
    let help = match suggest_word(text, &words) {
        Some(help) if !tables.is_empty() && help.contains("one of: ") => Some(format!("{help}, {}", tables.join(", "))),
        help => help,
    };
    found.push(Unknown { span: span.clone(), message: format!("unknown value '{text}'"), help });
}

/// The key of a table that has one, and must have it.
fn only_key(form: &Value) -> Option<&str> {
    let [required] = form.get("required")?.as_array()?.as_slice() else { return None };
    let only = form.get("properties")?.as_object()?.len() == 1;
    required.as_str().filter(|_| only)
}

fn takes_text(form: &Value) -> bool {
    match form.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::places;

    fn findings(text: &str) -> Vec<(String, Option<String>)> {
        let table = toml::de::DeTable::parse(text).unwrap();
        let unknown = unknown_names(&crate::config::schema_json(), &places(0, table.get_ref()));
        unknown.into_iter().map(|u| (format!("{} @ {}", u.message, &text[u.span]), u.help)).collect()
    }

    #[test]
    fn names_and_words_the_schema_does_not_know() {
        for (text, want, help) in [
            ("[[behavior]]\norgin = 'x'", "unknown key 'orgin' @ orgin", "did you mean 'origin'?"),
            ("[behaviour]", "unknown key 'behaviour' @ behaviour", "did you mean 'behavior'?"),
            ("[[behavior]]\ncache.key.cokies = 'all'", "unknown key 'cokies' @ cokies", "did you mean 'cookies'?"),
            ("[[behavior]]\ncache = { tll = '1m' }", "unknown key 'tll' @ tll", "did you mean 'ttl'?"),
            ("[[origin]]\ntargets = [{ uri = 'x' }]", "unknown key 'uri' @ uri", "did you mean 'url'?"),
            ("[[origin]]\nprotocol = 'h3'", "unknown value 'h3' @ 'h3'", "did you mean 'h1'?"),
            ("[[behavior]]\nviewer_protocol = 'https'", "unknown value 'https' @ 'https'", "one of: "),
            (
                "[[behavior]]\nlimit = [{ per = 'header:x-k' }]",
                "unknown value 'header:x-k' @ 'header:x-k'",
                "one of: address, api_key, principal, behavior, { network = … }, { claim = … }, { header = … }",
            ),
            ("[observe]\naccess_log.format = 'jsn'", "unknown value 'jsn' @ 'jsn'", "did you mean 'json'?"),
            (
                "[[jwt]]\nalgorithms = ['HS256']",
                "unknown value 'HS256' @ 'HS256'",
                "algorithms with a shared secret (HS…) are not verified here: whoever can check such a token can make one; one of: RS256, RS384, RS512, PS256, ES256, ES384, EdDSA",
            ),
            ("[[jwt]]\nalgorithms = ['ES265']", "unknown value 'ES265' @ 'ES265'", "did you mean 'ES256'?"),
            (
                "[[function]]\nflavor = 'cloudfront'",
                "unknown value 'cloudfront' @ 'cloudfront'",
                "did you mean 'cloudfront-1.0' or 'cloudfront-2.0'?",
            ),
            ("[[behavior]]\ncache.key.query = 'al'", "unknown value 'al' @ 'al'", "did you mean 'all'?"),
        ] {
            let got = findings(text);
            assert_eq!(got.len(), 1, "{text}: {got:?}");
            assert_eq!(got[0].0, want, "{text}");
            assert!(got[0].1.as_deref().is_some_and(|h| h.starts_with(help)), "{text}: {got:?}");
        }
    }

    #[test]
    fn free_names_and_free_text_pass() {
        for text in [
            "[[origin]]\nheaders = { x-anything = 'env:A' }",
            "[[behavior]]\nresponse.set = { x-anything = 'a' }",
            "[[behavior]]\ncache = false\ncompress = true",
            "[[origin]]\nhost = 'whatever.example'\ntargets = ['http://a', { url = 'http://b', weight = 2 }]",
            "[[behavior]]\nmethods = ['GET']\ncache.key.query = { except = ['utm'] }",
        ] {
            assert_eq!(findings(text), [], "{text}");
        }
    }
}
