//! Expression: which attributes an expression names, and what a projection leaves of an item.
//!
//! In: expressions and their substitutions. Out: names, values, items. Never: a refusal: the engine knows the grammar.

mod project;
mod token;

use serde_json::{Map, Value};

pub use project::Projection;
use token::{Token, tokens};

/// Words that are no attribute: an attribute with such a name must stand behind a `#`.
const KEYWORDS: [&str; 9] = ["AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"];

/// The top-level attributes that `text` names, each once, in order.
pub fn attributes(text: &str, names: Option<&Map<String, Value>>, found: &mut Vec<String>) {
    let all: Vec<Token<'_>> = tokens(text).collect();
    for (at, token) in all.iter().enumerate() {
        let Token::Name(name) = token else { continue };
        let inner = at > 0 && all.get(at - 1) == Some(&Token::Sign('.'));
        let function = all.get(at + 1) == Some(&Token::Sign('('));
        let keyword = KEYWORDS.iter().any(|word| word.eq_ignore_ascii_case(name));
        if inner || keyword || (function && !name.starts_with('#')) {
            continue;
        }
        let name = resolve(name, names);
        if !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
}

/// What the key condition `text` says that the attribute `key` equals: a value's placeholder, `:v`, or `None` if it says
/// nothing that plain.
pub fn equal_to<'a>(text: &'a str, key: &str, names: Option<&Map<String, Value>>) -> Option<&'a str> {
    let all: Vec<Token<'a>> = tokens(text).collect();
    let mut found = None;
    for three in all.windows(3) {
        let placeholder = match three {
            [Token::Name(name), Token::Sign('='), Token::Value(value)]
            | [Token::Value(value), Token::Sign('='), Token::Name(name)]
                if resolve(name, names) == key =>
            {
                *value
            }
            _ => continue,
        };
        // Said twice, it is no key condition: nothing is made of it here.
        if found.replace(placeholder).is_some() {
            return None;
        }
    }
    found
}

/// The bounds of each `BETWEEN :a AND :b` whose bounds are both values.
pub fn between(text: &str) -> Vec<(&str, &str)> {
    let all: Vec<Token<'_>> = tokens(text).collect();
    fn bounds<'a>(four: &[Token<'a>]) -> Option<(&'a str, &'a str)> {
        match four {
            [Token::Name(between), Token::Value(low), Token::Name(and), Token::Value(high)]
                if between.eq_ignore_ascii_case("BETWEEN") && and.eq_ignore_ascii_case("AND") =>
            {
                Some((low, high))
            }
            _ => None,
        }
    }
    all.windows(4).filter_map(bounds).collect()
}

/// The `#placeholders` of an expression.
pub fn placeholders(text: &str) -> Vec<String> {
    let name = |token| if let Token::Name(name) = token { Some(name) } else { None };
    tokens(text).filter_map(name).filter(|name| name.starts_with('#')).map(str::to_owned).collect()
}

/// The clauses of an update expression, in capitals: "SET", "DELETE".
pub fn clauses(text: &str) -> Vec<String> {
    let clause =
        |name: &str| KEYWORDS[5..].iter().find(|word| word.eq_ignore_ascii_case(name)).map(|word| (*word).to_owned());
    tokens(text).filter_map(|token| if let Token::Name(name) = token { clause(name) } else { None }).collect()
}

/// `#name` as what it stands for.
fn resolve<'a>(name: &'a str, names: Option<&'a Map<String, Value>>) -> &'a str {
    match name.starts_with('#') {
        true => names.and_then(|names| names.get(name)).and_then(Value::as_str).unwrap_or(name),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Map<String, Value> {
        json!({"#a": "alpha", "#s": "set"}).as_object().unwrap().clone()
    }

    #[test]
    fn attributes_are_found() {
        for (text, want) in [
            ("a = :a", &["a"][..]),
            ("#a.b[3].c, d", &["alpha", "d"]),
            (
                "SET a = if_not_exists(b, :z) + :one, #s = list_append(c, :l) REMOVE d[1].e",
                &["a", "b", "set", "c", "d"],
            ),
            ("attribute_exists(a) AND NOT contains(b.c, :v) OR size(a) > :n", &["a", "b"]),
            ("a BETWEEN :x AND :y AND b IN (:q, c)", &["a", "b", "c"]),
            ("#unknown = :v", &["#unknown"]),
            ("", &[]),
        ] {
            let mut found = Vec::new();
            attributes(text, Some(&names()), &mut found);
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn equal_keys() {
        for (text, key, want) in [
            ("pk = :p", "pk", Some(":p")),
            ("(pk = :p) AND begins_with(sk, :s)", "pk", Some(":p")),
            (":p = pk AND sk = :s", "pk", Some(":p")),
            ("sk = :s AND #a=:p", "alpha", Some(":p")),
            ("sk >= :s and pk = :p", "sk", None),
            ("pk = :p AND pk = :q", "pk", None),
            ("pk = other", "pk", None),
            ("x.pk = :p", "nothing", None),
        ] {
            assert_eq!(equal_to(text, key, Some(&names())), want, "{text}");
        }
    }

    #[test]
    fn bounds_and_clauses() {
        assert_eq!(between("a BETWEEN :b AND :a OR c between :d and :e"), [(":b", ":a"), (":d", ":e")]);
        assert_eq!(between("a BETWEEN b AND :a"), []);
        assert_eq!(clauses("delete a :v SET b = :b"), ["DELETE", "SET"]);
        assert_eq!(clauses("SET #delete = :v"), ["SET"]);
    }
}
