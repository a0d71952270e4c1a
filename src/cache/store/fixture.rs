//! Fixture: objects for the store's tests.
//!
//! In: a number and a body. Out: the object they stand for. Never: used outside tests.

use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64};
use xxhash_rust::xxh3::xxh3_128;

use crate::cache::object::{Body, Meta, Object, Stamp};

/// An answer of now, fresh for a minute.
pub fn meta() -> Meta {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Meta {
        status: 200,
        responded_ms: now.as_millis() as u64,
        initial_age_ms: 0,
        lifetime_ms: 60_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(now.as_nanos() as u64),
        host: "shop.example".into(),
        uri: "/items?page=1".into(),
        tags: [].into(),
        vary: [].into(),
        variance: None,
        masked: false,
    }
}

/// Object number `n`.
pub fn object(n: u64, body: &[u8]) -> Object {
    let key: Box<[u8]> = format!("shop.example/items/{n}").into_bytes().into();
    Object {
        hash: xxh3_128(&key).to_le_bytes(),
        key,
        meta: meta(),
        head: format!("content-length: {}\r\ncontent-type: text/plain\r\n", body.len()).into_bytes().into(),
        body: Body::One(Bytes::copy_from_slice(body)),
        checked: AtomicU64::new(0),
        live: AtomicBool::new(true),
    }
}
