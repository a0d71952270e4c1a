//! Data: entries of key-value stores and API keys, as other nodes are told of them.
//!
//! In: an entry and what it is now. Out: a message whose newest is all there is to know of it, and back. Never: whether it is new.
//!
//! Everybody applies messages in the bus's order, so the last in it wins everywhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::key_store::Hash;
use super::{Delivered, Message, Seq, ToldKey};
use crate::hooks::host::kv::{Change, Entry};

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
        /// SHA-256 of the values that were deleted under this name; a node of an earlier version tells none.
        gone: Vec<Hash>,
    },
}

/// What a row of deliveries comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Before the first of them: from here on the topic is read again when something of it was passed over.
    pub before: Seq,
    /// By store: each key once.
    pub stores: BTreeMap<String, Vec<Change>>,
    /// API keys, each once.
    pub keys: Vec<ToldKey>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
}

// === impl Batch ===
impl Batch {
    /// Of each key the last counts.
    pub fn of(deliveries: &[Delivered]) -> Self {
        let mut entries: BTreeMap<(String, String), Option<Bytes>> = BTreeMap::new();
        let mut keys: BTreeMap<String, ToldKey> = BTreeMap::new();
        let mut before = None;
        for delivered in deliveries {
            let Delivered::Message { seq, message } = delivered else { continue };
            before.get_or_insert(Seq(seq.0.saturating_sub(1)));
            match Datum::read(message) {
                Some(Datum::Entry { store, key, value }) => drop(entries.insert((store, key), value)),
                Some(Datum::ApiKey { name, value, gone }) => {
                    keys.insert(name.clone(), ToldKey { name, record: value.map(Vec::from), gone });
                }
                None => log::warn!("{}: not understood here", message.subject),
            }
        }
        let mut stores: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for ((store, key), value) in entries {
            let change = match value {
                Some(value) => Change::Put(Entry { key, value }),
                None => Change::Delete(key),
            };
            stores.entry(store).or_default().push(change);
        }
        Batch { before: before.unwrap_or_default(), stores, keys: keys.into_values().collect() }
    }
}

// === impl Datum ===
impl Datum {
    /// `id` names this state of it, unlike any other.
    pub fn message(&self, id: String) -> Message {
        let (subject, value) = match self {
            Datum::Entry { store, key, value } => (format!("{KV}.{store}.{}", URL_SAFE_NO_PAD.encode(key)), value),
            Datum::ApiKey { name, value, .. } => (format!("{KEY}.{}", URL_SAFE_NO_PAD.encode(name)), value),
        };
        let gone = match self {
            Datum::Entry { .. } => &[][..],
            Datum::ApiKey { gone, .. } => gone,
        };
        let body = Body {
            value: value.as_ref().map(|value| STANDARD_NO_PAD.encode(value)),
            gone: gone.iter().map(|hash| STANDARD_NO_PAD.encode(hash)).collect(),
        };
        Message { subject, id, body: serde_json::to_vec(&body).unwrap_or_default().into() }
    }

    /// `None`: a node of another version wrote it.
    pub fn read(message: &Message) -> Option<Datum> {
        let body: Body = serde_json::from_slice(&message.body).ok()?;
        let value = body.value.map(|text| STANDARD_NO_PAD.decode(text)).transpose().ok()?.map(Bytes::from);
        let hash = |text: &String| STANDARD_NO_PAD.decode(text).ok()?.try_into().ok();
        let gone: Vec<Hash> = body.gone.iter().map(hash).collect::<Option<_>>()?;
        let text = |encoded: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok();
        let mut parts = message.subject.split('.');
        match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
            (KV, store, Some(key), None) => Some(Datum::Entry { store: store.to_owned(), key: text(key)?, value }),
            (KEY, name, None, None) => Some(Datum::ApiKey { name: text(name)?, value, gone }),
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
            Datum::ApiKey { name: "alice & co.".into(), value: Some(Bytes::from_static(b"{}")), gone: Vec::new() },
            Datum::ApiKey { name: "bob".into(), value: None, gone: vec![[7; 32], [255; 32]] },
        ] {
            let message = datum.message("1".into());
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            assert!(message.subject.bytes().all(plain), "{}", message.subject);
            assert_eq!(Datum::read(&message), Some(datum));
        }
    }

    #[test]
    fn the_last_of_each_counts() {
        let told = |seq, key: &str, value: Option<&'static [u8]>| {
            let value = value.map(Bytes::from_static);
            let datum = Datum::Entry { store: "s".into(), key: key.into(), value };
            Delivered::Message { seq: Seq(seq), message: datum.message(seq.to_string()) }
        };
        let key = |seq, value: Option<&'static [u8]>| {
            let datum = Datum::ApiKey { name: "k".into(), value: value.map(Bytes::from_static), gone: vec![[1; 32]] };
            Delivered::Message { seq: Seq(seq), message: datum.message(seq.to_string()) }
        };
        let batch = Batch::of(&[
            told(5, "a", Some(b"1")),
            key(6, None),
            told(7, "b", Some(b"2")),
            told(8, "a", None),
            key(9, Some(b"{}")),
        ]);
        let put = |key: &str, value: &'static [u8]| Entry { key: key.into(), value: Bytes::from_static(value) };
        assert_eq!(batch.before, Seq(4));
        assert_eq!(
            batch.stores,
            BTreeMap::from([("s".into(), vec![Change::Delete("a".into()), Change::Put(put("b", b"2"))])])
        );
        let told = ToldKey { name: "k".to_owned(), record: Some(b"{}".to_vec()), gone: vec![[1; 32]] };
        assert_eq!(batch.keys, [told]);
    }

    #[test]
    fn what_is_neither() {
        let good = Datum::ApiKey { name: "a".into(), value: None, gone: Vec::new() }.message("1".into());
        for (subject, body) in [
            ("kv.flags", "{}"),
            ("kv.flags.YQ.YQ", "{}"),
            ("kv.flags.!", "{}"),
            ("key", "{}"),
            ("other.YQ", "{}"),
            ("key.YQ", "[1]"),
            ("key.YQ", "{\"value\":\"!\"}"),
            ("key.YQ", "{\"gone\":[\"YQ\"]}"),
        ] {
            let message = Message { subject: subject.into(), body: body.to_owned().into(), ..good.clone() };
            assert_eq!(Datum::read(&message), None, "{subject} {body}");
        }
    }
}
