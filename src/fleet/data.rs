//! Data: entries of key-value stores and API keys, as other nodes are told of them.
//!
//! In: an entry and what it is now. Out: a message whose newest is all there is to know of it, and back. Never: whether it is new.
//!
//! Everybody applies messages in the bus's order, so the last in it wins everywhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Message;

const KV: &str = "kv";
const KEY: &str = "key";

/// What something is now; `value` is `None` when it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datum {
    Entry {
        store: String,
        key: String,
        value: Option<Bytes>,
    },
    /// The record as JSON, without the key's own value.
    ApiKey {
        name: String,
        value: Option<Bytes>,
    },
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

// === impl Datum ===
impl Datum {
    /// `id` names this state of it, unlike any other.
    pub fn message(&self, id: String) -> Message {
        let (subject, value) = match self {
            Datum::Entry { store, key, value } => (format!("{KV}.{store}.{}", URL_SAFE_NO_PAD.encode(key)), value),
            Datum::ApiKey { name, value } => (format!("{KEY}.{}", URL_SAFE_NO_PAD.encode(name)), value),
        };
        let body = Body { value: value.as_ref().map(|value| STANDARD_NO_PAD.encode(value)) };
        Message { subject, id, body: serde_json::to_vec(&body).unwrap_or_default().into() }
    }

    /// `None`: a node of another version wrote it.
    pub fn read(message: &Message) -> Option<Datum> {
        let body: Body = serde_json::from_slice(&message.body).ok()?;
        let value = body.value.map(|text| STANDARD_NO_PAD.decode(text)).transpose().ok()?.map(Bytes::from);
        let text = |encoded: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok();
        let mut parts = message.subject.split('.');
        match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
            (KV, store, Some(key), None) => Some(Datum::Entry { store: store.to_owned(), key: text(key)?, value }),
            (KEY, name, None, None) => Some(Datum::ApiKey { name: text(name)?, value }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let entry = |key: &str, value: Option<&'static [u8]>| Datum::Entry {
            store: "flags".into(),
            key: key.into(),
            value: value.map(Bytes::from_static),
        };
        for datum in [
            entry("beta", Some(b"on")),
            entry("a.b*> c/\u{e9}", Some(b"\xff\x00")),
            entry("gone", None),
            entry("empty", Some(b"")),
            Datum::ApiKey { name: "alice & co.".into(), value: Some(Bytes::from_static(b"{}")) },
            Datum::ApiKey { name: "bob".into(), value: None },
        ] {
            let message = datum.message("1".into());
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            assert!(message.subject.bytes().all(plain), "{}", message.subject);
            assert_eq!(Datum::read(&message), Some(datum));
        }
    }

    #[test]
    fn what_is_neither() {
        let good = Datum::ApiKey { name: "a".into(), value: None }.message("1".into());
        for (subject, body) in [
            ("kv.flags", "{}"),
            ("kv.flags.YQ.YQ", "{}"),
            ("kv.flags.!", "{}"),
            ("key", "{}"),
            ("other.YQ", "{}"),
            ("key.YQ", "[1]"),
            ("key.YQ", "{\"value\":\"!\"}"),
        ] {
            let message = Message { subject: subject.into(), body: body.to_owned().into(), ..good.clone() };
            assert_eq!(Datum::read(&message), None, "{subject} {body}");
        }
    }
}
