//! Condition: key conditions of the forms that callers write: "pk = :p", alone or with one condition on the sort key.
//!
//! In: an expression that the engine has taken once, values. Out: bounds of rows. Never: an expression judged: it is read as it
//! stands, and what is not of these forms is the engine's.

use serde_json::Value;

use super::schema::Schema;
use crate::dynamo::request::{Request, object, text};

/// An expression with the names of its values.
#[derive(Debug, PartialEq)]
pub struct Plan {
    hash: String,
    sort: Option<Sort>,
}

/// What must hold of the sort key.
#[derive(Debug, PartialEq)]
enum Sort {
    Compare(&'static str, String),
    Between(String, String),
    BeginsWith(String),
}

/// "=", "<", "<=", ">" or ">=", and the sort key as the engine has it.
pub type Bound = (&'static str, String);

/// Names an expression together with what its names mean, in one table as it is now.
pub fn form(schema: &Schema, request: &Request) -> Option<String> {
    let expression = text(request, "KeyConditionExpression")?;
    let mut form = format!("{}\0{}\0{expression}", schema.generation, schema.name);
    match request.get("ExpressionAttributeNames") {
        None => {}
        Some(Value::Object(names)) => {
            // In the order in which they were written: another order is another form of the same.
            for (name, meaning) in names {
                form.extend(["\0", name.as_str(), "\0", meaning.as_str()?]);
            }
        }
        Some(_) => return None,
    }
    Some(form)
}

/// Reads an expression.
pub fn read(schema: &Schema, request: &Request) -> Option<Plan> {
    let words = words(text(request, "KeyConditionExpression")?)?;
    let names = object(request, "ExpressionAttributeNames");
    let meaning = |word: &str| match word.starts_with('#') {
        true => names?.get(word)?.as_str().map(str::to_owned),
        false => Some(word.to_owned()),
    };
    let mut rest = words.as_slice();
    let (mut hash, mut sort) = (None, None);
    loop {
        let (name, condition, after) = one(rest)?;
        let name = meaning(name)?;
        match condition {
            Sort::Compare("=", value) if name == schema.hash.name && hash.is_none() => hash = Some(value),
            condition if schema.range.as_ref().is_some_and(|range| range.name == name) && sort.is_none() => {
                sort = Some(condition);
            }
            _ => return None,
        }
        match after {
            [] => break,
            [and, after @ ..] if and.eq_ignore_ascii_case("AND") => rest = after,
            _ => return None,
        }
    }
    Some(Plan { hash: hash?, sort })
}

/// One condition at the beginning: its attribute, what must hold, and what comes after.
fn one<'a>(words: &'a [&'a str]) -> Option<(&'a str, Sort, &'a [&'a str])> {
    let value = |word: &str| word.starts_with(':').then(|| word.to_owned());
    match words {
        ["begins_with", "(", name, ",", prefix, ")", after @ ..] => {
            Some((*name, Sort::BeginsWith(value(prefix)?), after))
        }
        [name, between, low, and, high, after @ ..]
            if between.eq_ignore_ascii_case("BETWEEN") && and.eq_ignore_ascii_case("AND") =>
        {
            Some((*name, Sort::Between(value(low)?, value(high)?), after))
        }
        [name, operator, right, after @ ..] => {
            let operator = ["=", "<", "<=", ">", ">="].into_iter().find(|known| known == operator)?;
            Some((*name, Sort::Compare(operator, value(right)?), after))
        }
        _ => None,
    }
}

/// The words of an expression; `None` for a character that is in none of the forms.
fn words(text: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' | ',' | '=' => 1,
            '<' | '>' => 1 + usize::from(rest[1..].starts_with('=')),
            '#' | ':' | '_' | 'a'..='z' | 'A'..='Z' => {
                let within = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                1 + rest[1..].find(|letter| !within(letter)).unwrap_or(rest.len() - 1)
            }
            _ => return None,
        };
        let (word, after) = rest.split_at(length);
        found.push(word);
        rest = after.trim_start();
    }
    Some(found)
}

// === impl Plan ===
impl Plan {
    /// The partition and the bounds for these values, of which there are no others.
    pub fn bind(&self, schema: &Schema, values: &Request) -> Option<(String, Vec<Bound>)> {
        let wanted = 1 + match &self.sort {
            None => 0,
            Some(Sort::Between(..)) => 2,
            Some(_) => 1,
        };
        if values.len() != wanted {
            return None;
        }
        let pk = schema.hash.text(values.get(&self.hash)?)?;
        let Some(sort) = &self.sort else { return Some((pk, Vec::new())) };
        let range = schema.range.as_ref()?;
        let value = |name: &str| range.text(values.get(name)?);
        let bounds = match sort {
            Sort::Compare(operator, name) => vec![(*operator, value(name)?)],
            Sort::Between(low, high) => {
                let (low, high) = (value(low)?, value(high)?);
                if low > high {
                    return None;
                }
                vec![(">=", low), ("<=", high)]
            }
            Sort::BeginsWith(_) if range.kind != "S" => return None,
            Sort::BeginsWith(prefix) => {
                let start = value(prefix)?;
                vec![("<", after(&start)?), (">=", start)]
            }
        };
        Some((pk, bounds))
    }
}

/// The first text that comes after all that begin with `prefix`, in the order of their bytes; `None` if that is not plain.
fn after(prefix: &str) -> Option<String> {
    let last = prefix.chars().next_back()?;
    let next = char::from_u32(u32::from(last).checked_add(1)?)?;
    let mut text = prefix[..prefix.len() - last.len_utf8()].to_owned();
    text.push(next);
    Some(text)
}
