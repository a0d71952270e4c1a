//! Parse: a function's result, read once, borrowed where it can be.
//!
//! In: JSON text. Out: typed members that remember what they were instead of what was wanted, so that an error names the
//! member. Never: a judgement; an unknown member is skipped.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Members a map of fields, query parameters or cookies may have.
const MEMBERS_MAX: usize = 32 << 10;

/// Any JSON value.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Node<'a> {
    /// There is no such member.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// An object whose members' names are the message's: fields, query parameters, cookies.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Map<'a, T> {
    #[default]
    Absent,
    Null,
    /// A string where an object was due: CloudFront takes one for a query string.
    Text(Cow<'a, str>),
    /// Neither.
    Wrong,
    Members(Vec<(Cow<'a, str>, T)>),
}

/// What Lambda@Edge's events have under a field's name: `[{"key", "value"}]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Lines<'a> {
    List(Vec<Line<'a>>),
    Wrong,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line<'a> {
    pub key: Node<'a>,
    pub value: Node<'a>,
}

/// What CloudFront Functions' events have under a name: `{"value", "attributes", "multiValue"}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member<'a> {
    pub value: Node<'a>,
    pub attributes: Node<'a>,
    pub multi: Node<'a>,
    /// It is no object.
    pub wrong: bool,
}

// === impl Node ===
impl<'a> Node<'a> {
    /// Neither absent nor null.
    pub fn given(&self) -> bool {
        !matches!(self, Node::Absent | Node::Null)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> &Node<'a> {
        const ABSENT: &Node<'static> = &Node::Absent;
        match self {
            Node::Object(members) => members.iter().rev().find(|(key, _)| key == name).map_or(ABSENT, |(_, node)| node),
            _ => ABSENT,
        }
    }

    /// What it is, for an error.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Absent => "absent",
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::Text(_) => "a string",
            Node::List(_) => "an array",
            Node::Object(_) => "an object",
        }
    }
}

/// A member's name, borrowed unless it has escapes.
struct Name<'a>(Cow<'a, str>);

/// How a type is made of whatever JSON has in its place. What it does not say is skipped and wrong.
trait Shape<'de>: Sized {
    fn scalar(node: Node<'de>) -> Self;

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::scalar(Node::Bool(false)))
    }

    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::scalar(Node::Bool(false)))
    }
}

/// The one visitor behind all of them.
struct Reader<T>(PhantomData<T>);

// === impl Reader ===
impl<'de, T: Shape<'de>> Reader<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de, T: Shape<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::scalar(Node::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::scalar(Node::Bool(value)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::scalar(Node::Number(value as f64)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::scalar(Node::Number(value as f64)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(T::scalar(Node::Number(value)))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<T, E> {
        Ok(T::scalar(Node::Text(Cow::Borrowed(value))))
    }
    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::scalar(Node::Text(Cow::Owned(value.to_owned()))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::object(map)
    }
}

impl<'de> Shape<'de> for Node<'de> {
    fn scalar(node: Node<'de>) -> Self {
        node
    }
    fn list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        elements(list).map(Node::List)
    }
    fn object<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        members(map).map(Node::Object)
    }
}

impl<'de, T: Deserialize<'de>> Shape<'de> for Map<'de, T> {
    fn scalar(node: Node<'de>) -> Self {
        match node {
            Node::Text(text) => Map::Text(text),
            Node::Null => Map::Null,
            _ => Map::Wrong,
        }
    }
    fn object<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        members(map).map(Map::Members)
    }
}

impl<'de> Shape<'de> for Lines<'de> {
    fn scalar(_: Node<'de>) -> Self {
        Lines::Wrong
    }
    fn list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        elements(list).map(Lines::List)
    }
}

impl<'de> Shape<'de> for Line<'de> {
    fn scalar(_: Node<'de>) -> Self {
        Line::default()
    }
    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut line = Line::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "key" => line.key = map.next_value()?,
                "value" => line.value = map.next_value()?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(line)
    }
}

impl<'de> Shape<'de> for Member<'de> {
    fn scalar(_: Node<'de>) -> Self {
        Member { wrong: true, ..Member::default() }
    }
    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut member = Member::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "value" => member.value = map.next_value()?,
                "attributes" => member.attributes = map.next_value()?,
                "multiValue" => member.multi = map.next_value()?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(member)
    }
}

impl<'de> Shape<'de> for Option<Name<'de>> {
    fn scalar(node: Node<'de>) -> Self {
        match node {
            Node::Text(text) => Some(Name(text)),
            _ => None,
        }
    }
}

fn elements<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(mut list: A) -> Result<Vec<T>, A::Error> {
    let mut out = Vec::new();
    while let Some(element) = list.next_element()? {
        bounded::<A::Error>(out.len())?;
        out.push(element);
    }
    Ok(out)
}

fn members<'de, A: MapAccess<'de>, T: Deserialize<'de>>(mut map: A) -> Result<Vec<(Cow<'de, str>, T)>, A::Error> {
    let mut out = Vec::new();
    while let Some((Name(name), value)) = map.next_entry()? {
        bounded::<A::Error>(out.len())?;
        out.push((name, value));
    }
    Ok(out)
}

fn bounded<E: serde::de::Error>(count: usize) -> Result<(), E> {
    if count < MEMBERS_MAX { Ok(()) } else { Err(E::custom("more members than a message has room for")) }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::<Node<'de>>::read(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Reader::<Option<Name<'de>>>::read(deserializer)?;
        name.ok_or_else(|| D::Error::custom("a name is a string"))
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Map<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::<Map<'de, T>>::read(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lines<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::<Lines<'de>>::read(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Line<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::<Line<'de>>::read(deserializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::<Member<'de>>::read(deserializer)
    }
}
