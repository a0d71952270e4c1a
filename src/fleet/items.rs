//! Items: what became of items of global tables, as PoPs tell each other.
//!
//! In: versions. Out: messages whose newest of an item is all there is to know of it, and back. Never: which of two is the last.
//!
//! An item has 400 KB as DynamoDB counts, and may have many times that as JSON: what does not fit a message goes as a blob, and the
//! message says which.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Message;
use super::bus::{BODY_MAX, Delivered, Digest, Seq};
use crate::dynamo::{AT_MAX, Content, Outgoing, Stamp, Version};

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Version(Version),
    /// The blob says it.
    Blob(Digest),
}

/// A message to publish, after its blob if it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    pub message: Message,
    pub blob: Option<Bytes>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    table: String,
    schema: String,
    at: u64,
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    blob: String,
}

/// What to publish. The same version told for the same reason is the same message.
pub fn telling(outgoing: &Outgoing) -> Telling {
    let Outgoing { version, row: [pk, sk], news } = outgoing;
    let place = Digest::of(format!("{}\0{pk}\0{sk}", version.table).as_bytes());
    let subject = format!("{}.{place}", URL_SAFE_NO_PAD.encode(&version.table));
    let stamp = &version.stamp;
    let id = format!("{place}/{:x}/{}/{news:x}", stamp.at, stamp.node);
    let (item, gone) = match &version.content {
        Content::Item(item) => (Some(item.clone()), None),
        Content::Gone(key) => (None, Some(key.clone())),
    };
    let body = Body {
        table: version.table.clone(),
        schema: version.schema.clone(),
        at: stamp.at,
        node: stamp.node.clone(),
        item,
        gone,
    };
    let whole = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
    if whole.len() <= BODY_MAX {
        return Telling { message: Message { subject, id, body: whole }, blob: None };
    }
    let short = Elsewhere { blob: Digest::of(&whole).to_string() };
    let body = serde_json::to_vec(&short).unwrap_or_default().into();
    Telling { message: Message { subject, id, body }, blob: Some(whole) }
}

/// `None`: a node of another version wrote it.
pub fn heard(body: &[u8]) -> Option<Heard> {
    match serde_json::from_slice::<Elsewhere>(body) {
        Ok(Elsewhere { blob }) => Digest::parse(&blob).map(Heard::Blob),
        Err(_) => version(body).map(Heard::Version),
    }
}

/// What a blob says, or a message that has all.
pub fn version(body: &[u8]) -> Option<Version> {
    let Body { table, schema, at, node, item, gone } = serde_json::from_slice(body).ok()?;
    let content = match (item, gone) {
        (Some(item), None) => Content::Item(item),
        (None, Some(key)) => Content::Gone(key),
        _ => return None,
    };
    (at <= AT_MAX).then_some(Version { table, schema, stamp: Stamp { at, node }, content })
}

/// Which blobs the newest messages of items name, up to a position of the bus.
#[derive(Debug, Default)]
pub struct Named {
    position: Seq,
    /// By subject, of those that name one.
    blobs: HashMap<String, Digest>,
    /// Subjects of what a node of another version wrote: it may name any.
    unread: HashSet<String>,
}

// === impl Named ===
impl Named {
    /// Up to where the bus was taken in.
    pub fn position(&self) -> Seq {
        self.position
    }

    pub fn take(&mut self, delivered: Delivered) {
        match delivered {
            // Another log begins: what the one before it had is told again.
            Delivered::Lost { up_to } => *self = Named { position: up_to, ..Named::default() },
            Delivered::Message { seq, message: Message { subject, body, .. } } => {
                self.position = seq;
                self.blobs.remove(&subject);
                self.unread.remove(&subject);
                match heard(&body) {
                    Some(Heard::Blob(digest)) => drop(self.blobs.insert(subject, digest)),
                    Some(Heard::Version(_)) => {}
                    None => drop(self.unread.insert(subject)),
                }
            }
        }
    }

    /// Those of `blobs` that no item names; none while something was not understood.
    pub fn unneeded(&self, mut blobs: Vec<Digest>) -> Vec<Digest> {
        let named: HashSet<&Digest> = self.blobs.values().collect();
        blobs.retain(|digest| self.unread.is_empty() && !named.contains(digest));
        blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_blobs_items_name() {
        let [one, two, other] = ["1", "2", "3"].map(|text| Digest::of(text.as_bytes()));
        let names = |blob: Digest| json!({"blob": blob.to_string()}).to_string();
        let whole =
            json!({"table": "t", "schema": "pk:S", "at": 1, "node": "a", "item": {"pk": {"S": "a"}}}).to_string();
        let mut named = Named::default();
        let mut seq = 0;
        for (subject, body, want) in [
            ("t.a", names(one), vec![two, other]),
            ("t.b", names(two), vec![other]),
            // Two items with the same content.
            ("t.c", names(two), vec![other]),
            ("t.b", whole.clone(), vec![other]),
            ("t.c", names(one), vec![two, other]),
            ("t.a", whole.clone(), vec![two, other]),
            ("t.d", "{}".to_owned(), vec![]),
            ("t.d", whole, vec![two, other]),
        ] {
            seq += 1;
            let message = Message { subject: subject.to_owned(), id: seq.to_string(), body: body.clone().into() };
            named.take(Delivered::Message { seq: Seq(seq), message });
            assert_eq!(named.unneeded(vec![one, two, other]), want, "{subject} {body}");
        }
        assert_eq!(named.position(), Seq(8));
        named.take(Delivered::Lost { up_to: Seq(90) });
        assert_eq!((named.position(), named.unneeded(vec![one])), (Seq(90), vec![one]));
    }

    fn outgoing(content: Content) -> Outgoing {
        let stamp = Stamp { at: 77 << 16, node: "fra-1".into() };
        let version = Version { table: "orders.eu".into(), schema: "pk:S".into(), stamp, content };
        Outgoing { version, row: ["S:a".into(), String::new()], news: 1 }
    }

    #[test]
    fn what_is_told_is_heard() {
        let members = |value: serde_json::Value| value.as_object().unwrap().clone();
        let item = members(json!({"pk": {"S": "a"}, "n": {"N": "1"}, "blob": {"S": "x"}}));
        for content in [Content::Item(item.clone()), Content::Gone(members(json!({"pk": {"S": "a"}})))] {
            let told = outgoing(content);
            let Telling { message, blob } = telling(&told);
            assert_eq!((message.checked().is_ok(), blob), (true, None));
            assert_eq!(heard(&message.body), Some(Heard::Version(told.version.clone())));
            let again = telling(&Outgoing { news: 9, ..told.clone() }).message;
            assert_eq!((again.subject == message.subject, again.id == message.id), (true, false));
            let other = telling(&Outgoing { row: ["S:a".into(), "S:b".into()], ..told }).message;
            assert_ne!(other.subject, message.subject);
        }
        let large = outgoing(Content::Item(members(json!({"pk": {"S": "a"}, "x": {"S": "\u{1}".repeat(200_000)}}))));
        let Telling { message, blob } = telling(&large);
        let blob = blob.unwrap();
        assert_eq!(heard(&message.body), Some(Heard::Blob(Digest::of(&blob))));
        assert_eq!(version(&blob), Some(large.version));
    }

    #[test]
    fn what_is_neither() {
        for body in [
            "",
            "[]",
            "{\"blob\":\"77\"}",
            "{\"table\":\"t\",\"schema\":\"pk:S\",\"at\":1,\"node\":\"a\"}",
            "{\"table\":\"t\",\"schema\":\"pk:S\",\"at\":1,\"node\":\"a\",\"item\":{},\"gone\":{}}",
            "{\"table\":\"t\",\"schema\":\"pk:S\",\"at\":9223372036854775807,\"node\":\"a\",\"gone\":{}}",
        ] {
            assert_eq!(heard(body.as_bytes()), None, "{body}");
        }
    }
}
