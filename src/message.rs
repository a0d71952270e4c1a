//! Message: how a rule reads a request's or an answer's fields, whatever holds them.
//!
//! In: a field name. Out: its values as bytes, in wire order. Never: ownership, edits, allocation.

pub mod pairs;
pub mod path;
pub mod section;

use http::{HeaderMap, HeaderName};

/// Header fields that can be asked by name. Two holders exist: `http::HeaderMap` on the full path, and the borrowed
/// slices of a parsed head in the fast lane; the same rules run on both.
pub trait Fields {
    /// Every value of `name` (lower case), one per field line, in order.
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> + 'a;

    /// The name of every field line, in no order and in any case; a name may come more than once.
    fn names(&self) -> impl Iterator<Item = &str>;

    /// The first value of `name`.
    fn first<'a>(&'a self, name: &'a HeaderName) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// Whether any line of `name` exists.
    fn has(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }
}

impl Fields for HeaderMap {
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.keys().map(HeaderName::as_str)
    }
}

/// A parsed request head that borrows the connection's buffer.
#[derive(Debug)]
pub struct Head<'b> {
    pub method: &'b str,
    /// Origin-form target: path and optional query, as sent.
    pub target: &'b str,
    /// Host, lower case not guaranteed, port kept.
    pub host: &'b str,
    /// 0 or 1: HTTP/1.x.
    pub minor: u8,
    pub fields: &'b [httparse::Header<'b>],
}

impl Fields for Head<'_> {
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> + 'a {
        let name = name.as_str();
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_holders_answer_alike() {
        let mut map = HeaderMap::new();
        map.append("accept", "a".parse().unwrap());
        map.append("accept", "b".parse().unwrap());
        let fields = [
            httparse::Header { name: "Accept", value: b"a" },
            httparse::Header { name: "X", value: b"y" },
            httparse::Header { name: "ACCEPT", value: b"b" },
        ];
        let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };
        let name = HeaderName::from_static("accept");
        let a: Vec<_> = map.lines(&name).collect();
        let b: Vec<_> = head.lines(&name).collect();
        assert_eq!(a, b);
        assert_eq!(a, [b"a", b"b"]);
    }
}
