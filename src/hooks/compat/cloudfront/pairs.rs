//! Pairs: query parameters and cookies by name, and what a function made of them.
//!
//! In: a query string, the lines of Cookie or Set-Cookie; the returned members. Out: groups in order of first appearance; the
//! text of each pair wanted, or nothing when all is as it was. Never: a decision on names; they stay percent-encoded.

use std::borrow::Cow;

use ahash::AHashMap;

use crate::hooks::failure::Failure;

use super::super::error::{invalid, quote};
use super::super::lambda::scalar;
use super::super::parse::{Member, Node};

/// Pairs from which on names are looked up in a table.
const MANY: usize = 12;

/// One occurrence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    pub name: &'a str,
    pub value: &'a str,
    /// Of a response's cookie.
    pub attributes: Option<&'a str>,
    /// As it stands in the message.
    pub raw: &'a str,
}

/// What a name has in a message: its occurrences, in order.
pub type Group<'a> = Vec<Pair<'a>>;

/// A value wanted, and where it was unchanged the pair it was.
struct Item<'a> {
    value: Cow<'a, str>,
    attributes: Option<Cow<'a, str>>,
    raw: Option<&'a str>,
}

/// `a=1&b` (CloudFront Developer Guide, "CloudFront Functions event structure", query string).
pub fn query(text: &str) -> impl Iterator<Item = Pair<'_>> {
    text.split('&').filter(|raw| !raw.is_empty()).map(|raw| pair(raw, raw))
}

/// `a=1; b=2`
pub fn cookies(line: &str) -> impl Iterator<Item = Pair<'_>> {
    line.split(';').map(str::trim).filter(|raw| !raw.is_empty()).map(|raw| pair(raw, raw))
}

/// `a=1; Path=/; Secure`
pub fn set_cookie(line: &str) -> Pair<'_> {
    let (first, attributes) = match line.split_once(';') {
        Some((first, attributes)) => (first, Some(attributes.trim())),
        None => (line, None),
    };
    Pair { attributes: attributes.filter(|text| !text.is_empty()), ..pair(first.trim(), line) }
}

fn pair<'a>(text: &'a str, raw: &'a str) -> Pair<'a> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Pair { name, value, attributes: None, raw }
}

/// Occurrences by name, in order of first appearance.
pub fn group<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: AHashMap<&str, usize> = AHashMap::new();
    for pair in pairs {
        let place = if groups.len() < MANY {
            groups.iter().position(|group| group[0].name == pair.name)
        } else {
            if places.is_empty() {
                places.extend(groups.iter().enumerate().map(|(at, group)| (group[0].name, at)));
            }
            places.get(pair.name).copied()
        };
        match place {
            Some(at) => groups[at].push(pair),
            None => {
                if !places.is_empty() {
                    places.insert(pair.name, groups.len());
                }
                groups.push(vec![pair]);
            }
        }
    }
    groups
}

/// The pairs a function wants, as text; `None` when they are those of the message, in its order or JavaScript's.
pub fn merge<'a>(
    place: &str,
    groups: &[Group<'a>],
    members: &'a [(Cow<'_, str>, Member<'_>)],
    strict: bool,
    attributes: bool,
) -> Result<Option<Vec<String>>, Failure> {
    let table: AHashMap<&str, usize> = groups.iter().enumerate().map(|(at, group)| (group[0].name, at)).collect();
    let mut changed = false;
    let mut wanted = Vec::with_capacity(members.len());
    for (name, member) in members {
        let at = table.get(&**name).copied();
        let old = at.map(|at| groups[at].as_slice()).unwrap_or_default();
        let items = wanted_of(place, name, old, member, strict, attributes)?;
        changed |= items.len() != old.len() || items.iter().any(|item| item.raw.is_none());
        wanted.push((at, name, items));
    }
    let places: Vec<Option<usize>> = wanted.iter().map(|(at, ..)| *at).collect();
    let order: Vec<usize> = places.iter().flatten().copied().collect();
    let in_order = order.is_sorted() || order == script_order(groups);
    if !changed && in_order && places.len() == groups.len() {
        return Ok(None);
    }
    if in_order {
        // Names the function did not move keep their places; its own come last, in its order.
        wanted.sort_by_key(|(at, ..)| at.unwrap_or(usize::MAX));
    }
    let texts = wanted.iter().flat_map(|(_, name, items)| items.iter().map(move |item| item.text(name)));
    Ok(Some(texts.collect()))
}

// === impl Item ===
impl Item<'_> {
    fn text(&self, name: &str) -> String {
        match (self.raw, self.attributes.as_deref().filter(|text| !text.is_empty())) {
            (Some(raw), _) => raw.to_owned(),
            (None, Some(attributes)) => format!("{name}={}; {attributes}", self.value),
            (None, None) => format!("{name}={}", self.value),
        }
    }
}

/// CloudFront Developer Guide, "Duplicate query strings, headers, and cookies": `multiValue`, where it is there and not as it
/// was, is what counts; otherwise `value` is the first of them.
fn wanted_of<'a>(
    place: &str,
    name: &str,
    old: &[Pair<'a>],
    member: &'a Member<'_>,
    strict: bool,
    attributes: bool,
) -> Result<Vec<Item<'a>>, Failure> {
    let item = |at: usize, value: &'a Node<'_>, own: &'a Node<'_>| -> Result<Item<'a>, Failure> {
        let value = scalar(name, value, strict)?;
        let own = match own {
            Node::Absent | Node::Null => None,
            _ if !attributes => None,
            own => Some(scalar(name, own, strict)?),
        };
        let before = old.get(at).filter(|pair| {
            let own = own.as_deref().filter(|own| !own.is_empty());
            pair.value == value && pair.attributes == own
        });
        Ok(Item { value, attributes: own, raw: before.map(|pair| pair.raw) })
    };
    if member.wrong {
        return Err(invalid(format_args!("\"{place}\": {} must be an object with \"value\"", quote(name))));
    }
    match &member.multi {
        Node::Absent | Node::Null => {}
        Node::List(list) => {
            let all = list.iter().enumerate();
            let all: Vec<Item<'a>> =
                all.map(|(at, one)| item(at, one.get("value"), one.get("attributes"))).collect::<Result<_, _>>()?;
            if all.len() != old.len() || all.iter().any(|item| item.raw.is_none()) {
                // A new name with an empty list and a value is that value.
                if !all.is_empty() || !old.is_empty() || !member.value.given() {
                    return Ok(all);
                }
            }
        }
        other => {
            let name = quote(name);
            return Err(invalid(format_args!(
                "\"{place}\": \"multiValue\" of {name} must be an array, not {}",
                other.kind()
            )));
        }
    }
    let mut all = vec![item(0, &member.value, &member.attributes)?];
    all.extend(old.iter().skip(1).map(|pair| Item {
        value: Cow::Borrowed(pair.value),
        attributes: pair.attributes.map(Cow::Borrowed),
        raw: Some(pair.raw),
    }));
    Ok(all)
}

/// Positions of the groups in the order in which JavaScript lists an object's names: array indexes first, ascending.
fn script_order(groups: &[Group<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let index = |at: usize| {
        let name = groups[at][0].name;
        let canonical = name == "0" || !name.starts_with('0') && name.bytes().all(|b| b.is_ascii_digit());
        name.parse::<u32>().ok().filter(|n| canonical && *n != u32::MAX)
    };
    order.sort_by_key(|at| index(*at).map_or((1, 0), |n| (0, n)));
    order
}
