//! Purge: a scope that is read reads back from its text and from its bytes, tags are folded and bounded, and what another node's message
//! is taken for would be told in the same way. The input is all of these: text, field, record, message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderName;
use rimward::cache::object::Stamp;
use rimward::cache::purge::{Purge, Scope, TAG_MAX, TAGS_MAX, parse_scope, parse_tags};
use rimward::fleet::{Delivered, Message, Outgoing, Progress, Received, Seq};
use rimward::message::Head;

pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(scope) = parse_scope(text)
    {
        assert_eq!(parse_scope(&scope.to_string()).as_ref(), Ok(&scope));
        for soft in [false, true] {
            back(Purge { scope: scope.clone(), soft, at: Stamp(0) });
        }
    }
    for name in ["surrogate-key", "cache-tag", "x-tags"] {
        let fields = [httparse::Header { name, value: data }];
        let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };
        let tags = parse_tags(&[HeaderName::from_static(name)], &head);
        assert!(tags.len() <= TAGS_MAX);
        for (at, tag) in tags.iter().enumerate() {
            assert!((1..=TAG_MAX).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_graphic()));
            assert!(!tag.bytes().any(|b| b.is_ascii_uppercase()) && !tags[..at].contains(tag));
        }
    }
    // One record as logs and messages have it.
    let record = STANDARD_NO_PAD.encode(data);
    let told = format!("{{\"lineage\":\"7\",\"first\":1,\"last\":1,\"purges\":[[1,\"{record}\"]]}}");
    for purge in taken(told.into_bytes()) {
        back(purge);
    }
    taken(data.to_vec());
}

/// What a node makes of a message with this body.
fn taken(body: Vec<u8>) -> Vec<Purge> {
    let mut received = Received::default();
    let message = Message { subject: "purge".to_owned(), id: String::new(), body: body.into() };
    received.take(&Delivered::Message { seq: Seq(1), message }, 9, &mut Progress::default());
    received.purges
}

/// A purge that is told is the purge that is taken.
fn back(purge: Purge) {
    let told = Outgoing { first: 1, last: 1, purges: vec![(1, purge.clone())] }.message(7);
    let everything = Purge { scope: Scope::All, soft: false, at: Stamp(0) };
    let again = taken(told.body.to_vec());
    assert_eq!(
        again,
        std::slice::from_ref(&purge),
        "{}",
        if again == [everything] { "it was not read" } else { "another" }
    );
}
