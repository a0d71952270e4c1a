//! Project: what a ProjectionExpression leaves of an item.
//!
//! In: paths, an item. Out: the part of it. Never: the item changed.
//!
//! As DynamoDB does it (developer guide, "Projection expressions"): a path that leads nowhere is left out, and the elements
//! of a list that are asked for close up, in the list's order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::resolve;
use super::token::{Token, tokens};

/// Paths, as a tree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Projection {
    top: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Node {
    /// The path ends here: all that is below is wanted.
    whole: bool,
    members: BTreeMap<String, Node>,
    elements: BTreeMap<usize, Node>,
}

enum Step {
    Member(String),
    Element(usize),
}

// === impl Projection ===
impl Projection {
    /// Reads an expression; `None` when it is none that this understands, and the engine is to judge it.
    pub fn read(text: &str, names: Option<&Map<String, Value>>) -> Option<Projection> {
        let mut projection = Projection::default();
        let mut path: Vec<Step> = Vec::new();
        let mut parts = tokens(text).peekable();
        loop {
            match parts.next()? {
                Token::Name(name) if path.is_empty() => path.push(Step::Member(resolve(name, names).to_owned())),
                _ => return None,
            }
            loop {
                match parts.next() {
                    Some(Token::Sign('.')) => match parts.next()? {
                        Token::Name(name) => path.push(Step::Member(resolve(name, names).to_owned())),
                        _ => return None,
                    },
                    Some(Token::Sign('[')) => match (parts.next()?, parts.next()?) {
                        (Token::Number(digits), Token::Sign(']')) => path.push(Step::Element(digits.parse().ok()?)),
                        _ => return None,
                    },
                    Some(Token::Sign(',')) => {
                        projection.add(std::mem::take(&mut path));
                        break;
                    }
                    None => {
                        projection.add(path);
                        return Some(projection);
                    }
                    Some(_) => return None,
                }
            }
        }
    }

    /// Whole attributes: `AttributesToGet`.
    pub fn of(names: impl IntoIterator<Item = String>) -> Projection {
        let whole = || Node { whole: true, ..Node::default() };
        Projection { top: names.into_iter().map(|name| (name, whole())).collect() }
    }

    fn add(&mut self, path: Vec<Step>) {
        let mut steps = path.into_iter();
        let Some(Step::Member(first)) = steps.next() else { return };
        let mut node = self.top.entry(first).or_default();
        for step in steps {
            node = match step {
                Step::Member(name) => node.members.entry(name).or_default(),
                Step::Element(at) => node.elements.entry(at).or_default(),
            };
        }
        node.whole = true;
    }

    /// The part of `item` that is asked for.
    pub fn apply(&self, item: &Map<String, Value>) -> Map<String, Value> {
        let part = |(name, node): (&String, &Node)| Some((name.clone(), node.apply(item.get(name)?)?));
        self.top.iter().filter_map(part).collect()
    }
}

// === impl Node ===
impl Node {
    fn apply(&self, value: &Value) -> Option<Value> {
        if self.whole {
            return Some(value.clone());
        }
        if let Some(map) = value.get("M") {
            let part = |(name, node): (&String, &Node)| Some((name.clone(), node.apply(map.get(name)?)?));
            let found: Map<String, Value> = self.members.iter().filter_map(part).collect();
            return (!found.is_empty()).then(|| json!({ "M": found }));
        }
        if let Some(list) = value.get("L") {
            let found: Vec<Value> = self.elements.iter().filter_map(|(at, node)| node.apply(list.get(at)?)).collect();
            return (!found.is_empty()).then(|| json!({ "L": found }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_items() {
        let item = json!({
            "a": {"S": "x"}, "m": {"M": {"b": {"N": "1"}, "c": {"L": [{"S": "0"}, {"S": "1"}, {"M": {"d": {"S": "q"}}}]}}},
            "l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]}
        });
        let names = json!({"#m": "m"});
        for (text, want) in [
            ("a", json!({"a": {"S": "x"}})),
            ("a, missing", json!({"a": {"S": "x"}})),
            ("#m.b", json!({"m": {"M": {"b": {"N": "1"}}}})),
            ("m.c[2].d, m.c[0]", json!({"m": {"M": {"c": {"L": [{"S": "0"}, {"M": {"d": {"S": "q"}}}]}}}})),
            ("l[2], l[0]", json!({"l": {"L": [{"N": "0"}, {"N": "2"}]}})),
            ("l[7], a.b, m.x", json!({})),
        ] {
            let projection = Projection::read(text, names.as_object()).unwrap();
            assert_eq!(Value::Object(projection.apply(item.as_object().unwrap())), want, "{text}");
        }
        for bad in ["", "a,", "a.", "a[", "a[x]", "a b", "a = :b", ":a"] {
            assert_eq!(Projection::read(bad, None), None, "{bad}");
        }
        let whole = Projection::of(["a".to_owned()]).apply(item.as_object().unwrap());
        assert_eq!(Value::Object(whole), json!({"a": {"S": "x"}}));
    }
}
