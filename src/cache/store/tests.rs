//! Tests: the tiers through Pingora's own interface, one rule each.
//!
//! In: scripted fills and readers. Out: what a viewer would get. Never: a wall-clock assertion.

use bytes::Bytes;
use futures::FutureExt;
use http::HeaderName;
use pingora::cache::key::CompactCacheKey;
use pingora::cache::storage::{HitHandler, MissHandler};
use pingora::cache::trace::{Span, SpanHandle};
use pingora::cache::{CacheKey, CacheMeta, HitStatus, HttpCache, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora::http::ResponseHeader;
use std::time::{Duration, SystemTime};
use xxhash_rust::xxh3::xxh3_128;

use super::{Admission, Stored, Tiers, fixture, stored};
use crate::cache::object::{KeyHash, Meta, Stamp, slot};
use crate::config::compiled;

pub fn config(memory: u64) -> compiled::Store {
    compiled::Store { memory, disk: None, collapse_timeout: Duration::from_secs(1), purge_scopes: 10 }
}

pub fn tiers(memory: u64) -> &'static Tiers {
    Tiers::open(&config(memory)).unwrap()
}

pub fn span() -> SpanHandle {
    Span::inactive().handle()
}

pub fn key(name: &str) -> CacheKey {
    let mut key = CacheKey::new(name.as_bytes(), "");
    key.set_primary_bin_override(xxh3_128(name.as_bytes()).to_le_bytes());
    key
}

pub fn hash(name: &str) -> KeyHash {
    xxh3_128(name.as_bytes()).to_le_bytes()
}

/// What the proxy would admit: a 200 with these fields.
pub fn admitted(name: &str, meta: Meta, fields: &[(&'static str, &str)], max_body: u64) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    for (name, value) in fields {
        header.append_header(*name, *value).unwrap();
    }
    let now = SystemTime::now();
    let mut view = CacheMeta::new(now + Duration::from_secs(60), now, 0, 0, header);
    let strip = vec![HeaderName::from_static("set-cookie")];
    view.extensions_mut().insert(Admission { key: name.as_bytes().into(), meta, strip, max_body, confirmed: None });
    view
}

/// What the proxy would make of a 304 for what was fetched at `confirmed`.
pub fn confirming(name: &str, confirmed: Stamp, meta: Meta, fields: &[(&'static str, &str)]) -> CacheMeta {
    let mut view = admitted(name, meta.clone(), fields, u64::MAX);
    let strip = vec![HeaderName::from_static("set-cookie")];
    let key = name.as_bytes().into();
    view.extensions_mut().insert(Admission { key, meta, strip, max_body: u64::MAX, confirmed: Some(confirmed) });
    view
}

/// When the answer in memory was fetched.
pub fn fetched(tiers: &Tiers, name: &str) -> Stamp {
    tiers.memory.get(&hash(name), name.as_bytes()).unwrap().meta.fetch_start
}

pub async fn begin(tiers: &'static Tiers, name: &str, length: Option<usize>) -> MissHandler {
    let length = length.map(|length| length.to_string());
    let fields: Vec<_> = length.iter().map(|length| ("content-length", length.as_str())).collect();
    tiers.get_miss_handler(&key(name), &admitted(name, fixture::meta(), &fields, u64::MAX), &span()).await.unwrap()
}

pub async fn fill(tiers: &'static Tiers, name: &str, body: &[u8]) {
    let mut writer = begin(tiers, name, Some(body.len())).await;
    for chunk in body.chunks(64 << 10) {
        writer.write_body(Bytes::copy_from_slice(chunk), false).await.unwrap();
    }
    writer.finish().await.unwrap();
}

pub async fn find(tiers: &'static Tiers, key: &CacheKey) -> Option<(CacheMeta, HitHandler)> {
    tiers.lookup(key, &span()).await.unwrap()
}

pub async fn read(mut reader: HitHandler) -> pingora::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(bytes) = reader.read_body().await? {
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

async fn get(tiers: &'static Tiers, name: &str) -> Option<Vec<u8>> {
    Some(read(find(tiers, &key(name)).await?.1).await.unwrap())
}

#[tokio::test]
async fn what_was_stored_is_found() {
    let tiers = tiers(1 << 20);
    assert!(find(tiers, &key("a")).await.is_none());
    let meta = Meta { tags: ["t1".into()].into(), uri: "/a".into(), ..fixture::meta() };
    let fields = [("etag", "\"1\""), ("set-cookie", "s=1"), ("transfer-encoding", "chunked")];
    let mut writer =
        tiers.get_miss_handler(&key("a"), &admitted("a", meta.clone(), &fields, 100), &span()).await.unwrap();
    writer.write_body(Bytes::from_static(b"hello "), false).await.unwrap();
    writer.write_body(Bytes::from_static(b"world"), true).await.unwrap();
    writer.finish().await.unwrap();

    let (view, reader) = find(tiers, &key("a")).await.unwrap();
    assert_eq!(view.headers()["etag"], "\"1\"");
    assert_eq!(view.headers()["content-length"], "11", "known once the body is whole");
    assert_eq!(view.headers().len(), 2, "no cookie, no framing");
    assert_eq!(stored(&view).unwrap().meta(), &meta);
    assert!(matches!(stored(&view), Some(Stored::Object(_))));
    assert_eq!(read(reader).await.unwrap(), b"hello world");
    let object = tiers.peek(&hash("a"), b"a").unwrap();
    assert_eq!(object.body.whole().unwrap(), "hello world");
    assert_eq!(&object.head[..], b"content-length: 11\r\netag: \"1\"\r\n");
    assert!(tiers.peek(&hash("a"), b"b").is_none(), "the key is compared, not the hash alone");
}

#[tokio::test]
async fn an_answer_must_say_how_it_is_admitted() {
    let tiers = tiers(1 << 20);
    let now = SystemTime::now();
    let view = CacheMeta::new(now, now, 0, 0, ResponseHeader::build(200, None).unwrap());
    assert!(tiers.get_miss_handler(&key("a"), &view, &span()).await.is_err());
    assert!(tiers.update_meta(&key("a"), &view, &span()).await.is_err());
}

#[tokio::test]
async fn readers_follow_a_fill() {
    let tiers = tiers(1 << 20);
    let mut writer = begin(tiers, "a", Some(6)).await;
    let (view, mut early) = find(tiers, &key("a")).await.unwrap();
    assert!(matches!(stored(&view), Some(Stored::Filling(_))));
    assert!(tiers.peek(&hash("a"), b"a").is_none(), "not complete");
    assert!(early.read_body().now_or_never().is_none(), "waits, and may be cancelled");
    writer.write_body(Bytes::from_static(b"abc"), false).await.unwrap();
    assert_eq!(early.read_body().await.unwrap().unwrap(), "abc");
    let late = find(tiers, &key("a")).await.unwrap().1;
    let late = tokio::spawn(read(late));
    writer.write_body(Bytes::from_static(b"def"), true).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(early).await.unwrap(), b"def");
    assert_eq!(late.await.unwrap().unwrap(), b"abcdef");
    drop(view);
    assert_eq!((tiers.stats().fills_in_flight, tiers.stats().fill_bytes), (0, 0));
}

#[tokio::test]
async fn a_fill_that_vanishes_is_an_error_to_its_readers() {
    let tiers = tiers(1 << 20);
    for written in [0, 3] {
        let mut writer = begin(tiers, "a", None).await;
        writer.write_body(Bytes::from(vec![1; written]), false).await.unwrap();
        let mut reader = find(tiers, &key("a")).await.unwrap().1;
        if written > 0 {
            assert_eq!(reader.read_body().await.unwrap().unwrap().len(), written);
        }
        let waiting = tokio::spawn(read(reader));
        tokio::task::yield_now().await;
        drop(writer);
        assert!(waiting.await.unwrap().is_err(), "pingora#932, {written} bytes in");
        assert!(find(tiers, &key("a")).await.is_none());
    }
    assert_eq!(tiers.stats().fills_failed, 2);
}

#[tokio::test]
async fn a_body_of_the_wrong_length_is_not_stored() {
    let tiers = tiers(1 << 20);
    let mut short = begin(tiers, "a", Some(5)).await;
    short.write_body(Bytes::from_static(b"1234"), true).await.unwrap();
    let reader = find(tiers, &key("a")).await.unwrap().1;
    assert!(short.finish().await.is_err());
    assert!(read(reader).await.is_err());
    let mut long = begin(tiers, "a", Some(5)).await;
    assert!(long.write_body(Bytes::from_static(b"123456"), true).await.is_err());
    drop(long);
    assert!(find(tiers, &key("a")).await.is_none());
}

#[tokio::test]
async fn ranges_come_from_whole_and_from_filling_answers() {
    let tiers = tiers(1 << 20);
    let mut writer = begin(tiers, "a", Some(10)).await;
    writer.write_body(Bytes::from_static(b"0123"), false).await.unwrap();
    let mut written = find(tiers, &key("a")).await.unwrap().1;
    written.seek(1, Some(3)).unwrap();
    assert_eq!(read(written).await.unwrap(), b"12", "ends without waiting for the rest");
    let mut ahead = find(tiers, &key("a")).await.unwrap().1;
    assert!(ahead.seek(10, None).is_err());
    ahead.seek(6, Some(8)).unwrap();
    assert!(ahead.read_body().now_or_never().is_none());
    let ahead = tokio::spawn(read(ahead));
    writer.write_body(Bytes::from_static(b"456789"), true).await.unwrap();
    assert_eq!(ahead.await.unwrap().unwrap(), b"67", "what will be written");
    writer.finish().await.unwrap();
    let mut whole = find(tiers, &key("a")).await.unwrap().1;
    assert!(whole.can_seek() && whole.can_seek_multipart());
    for (start, end, want) in [(0, Some(2), &b"01"[..]), (8, None, b"89"), (3, Some(99), b"3456789")] {
        whole.seek_multipart(start, end).unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = whole.read_body().await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        assert_eq!(got, want);
    }
    assert!(whole.seek(10, None).is_err());
}

#[tokio::test]
async fn a_writer_finds_its_own_fill() {
    let tiers = tiers(1 << 20);
    let first = begin(tiers, "a", Some(1)).await;
    let mut second = begin(tiers, "a", Some(1)).await;
    let tag = second.streaming_write_tag().unwrap().to_vec();
    let (_, own) = tiers.lookup_streaming_write(&key("a"), Some(&tag), &span()).await.unwrap().unwrap();
    drop(first);
    second.write_body(Bytes::from_static(b"2"), true).await.unwrap();
    second.finish().await.unwrap();
    assert_eq!(read(own).await.unwrap(), b"2");
    assert!(tiers.lookup_streaming_write(&key("a"), Some(&tag), &span()).await.unwrap().is_none(), "it is over");
}

#[tokio::test]
async fn a_body_too_large_to_keep_passes_to_its_viewer() {
    let tiers = tiers(8 << 20);
    assert_eq!(tiers.max_object(), 1 << 20);
    let mut writer = begin(tiers, "a", None).await;
    let tag = writer.streaming_write_tag().unwrap().to_vec();
    let (_, mut own) = tiers.lookup_streaming_write(&key("a"), Some(&tag), &span()).await.unwrap().unwrap();
    // Pingora's loop: one task brings up to four chunks, then gives its viewer one read.
    let (mut sent, mut got) = (0, 0);
    for round in 0..1024 {
        for n in 0..4 {
            writer.write_body(Bytes::from(vec![(round + n) as u8; 16 << 10]), false).await.unwrap();
            sent += 16 << 10;
        }
        got += own.read_body().await.unwrap().unwrap().len();
        assert!(tiers.stats().fill_bytes < 6 << 20);
    }
    assert_eq!(sent, 64 << 20);
    assert!(find(tiers, &key("a")).await.is_none(), "nobody joins it");
    writer.finish().await.unwrap();
    assert_eq!(got + read(own).await.unwrap().len(), sent);
    assert!(find(tiers, &key("a")).await.is_none());
    assert_eq!(tiers.stats().fills_unstored, 1);
}

#[tokio::test]
async fn the_policys_own_limit_counts_too() {
    let tiers = tiers(8 << 20);
    let view = admitted("a", fixture::meta(), &[], 10);
    let mut writer = tiers.get_miss_handler(&key("a"), &view, &span()).await.unwrap();
    let tag = writer.streaming_write_tag().unwrap().to_vec();
    let own = tiers.lookup_streaming_write(&key("a"), Some(&tag), &span()).await.unwrap().unwrap().1;
    writer.write_body(Bytes::from_static(b"12345678901"), false).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(own).await.unwrap().len(), 11);
    assert!(find(tiers, &key("a")).await.is_none());
}

#[tokio::test]
async fn all_fills_together_are_bounded() {
    let tiers = tiers(8 << 20);
    let mut writers = Vec::new();
    for n in 0..8 {
        let mut writer = begin(tiers, &n.to_string(), None).await;
        let tag = writer.streaming_write_tag().unwrap().to_vec();
        let own = tiers.lookup_streaming_write(&key(&n.to_string()), Some(&tag), &span()).await.unwrap().unwrap().1;
        writer.write_body(Bytes::from(vec![0; 900 << 10]), false).await.unwrap();
        writers.push((writer, own));
    }
    let joinable = futures::future::join_all((0..8).map(|n| async move { get_now(tiers, n).await })).await;
    assert_eq!(joinable.iter().filter(|joined| **joined).count(), 2, "a quarter of memory");
}

async fn get_now(tiers: &'static Tiers, n: usize) -> bool {
    find(tiers, &key(&n.to_string())).await.is_some()
}

#[tokio::test]
async fn a_304_renews_fields_and_meta_and_keeps_the_body() {
    let tiers = tiers(1 << 20);
    fill(tiers, "a", b"body").await;
    let renewed = Meta { lifetime_ms: 99_000, ..fixture::meta() };
    let fields = [("etag", "\"2\""), ("set-cookie", "s=2"), ("content-length", "0")];
    let view = confirming("a", fetched(tiers, "a"), renewed.clone(), &fields);
    assert!(tiers.update_meta(&key("a"), &view, &span()).await.unwrap());
    let (view, reader) = find(tiers, &key("a")).await.unwrap();
    assert_eq!((view.headers()["etag"].as_bytes(), view.headers().len()), (&b"\"2\""[..], 2));
    assert_eq!(view.headers()["content-length"], "4");
    assert_eq!(stored(&view).unwrap().meta(), &renewed);
    assert_eq!(read(reader).await.unwrap(), b"body");
    let gone = confirming("b", renewed.fetch_start, renewed, &[]);
    assert!(!tiers.update_meta(&key("b"), &gone, &span()).await.unwrap());
}

/// RFC 9111 §4: of several answers the newest counts, not the one that took longest.
#[tokio::test]
async fn an_older_answer_that_ends_later_takes_nobodys_place() {
    let tiers = tiers(1 << 20);
    let mut older = begin(tiers, "a", Some(5)).await;
    fill(tiers, "a", b"newer").await;
    older.write_body(Bytes::from_static(b"older"), true).await.unwrap();
    older.finish().await.unwrap();
    let (_, reader) = find(tiers, &key("a")).await.unwrap();
    assert_eq!(read(reader).await.unwrap(), b"newer");
}

/// RFC 9111 §4.3.4: a 304 is about the answer whose validator was sent, not about what has taken its place meanwhile.
#[tokio::test]
async fn a_304_changes_nothing_of_a_newer_answer() {
    let tiers = tiers(1 << 20);
    fill(tiers, "a", b"old").await;
    let old = fetched(tiers, "a");
    fill(tiers, "a", b"newer").await;
    let newer = fetched(tiers, "a");
    assert_ne!(old, newer);
    let view = confirming("a", old, Meta { lifetime_ms: 99_000, ..fixture::meta() }, &[("etag", "\"old\"")]);
    assert!(!tiers.update_meta(&key("a"), &view, &span()).await.unwrap());
    let (view, reader) = find(tiers, &key("a")).await.unwrap();
    assert_eq!((view.headers().get("etag"), stored(&view).unwrap().meta().fetch_start), (None, newer));
    assert_eq!(read(reader).await.unwrap(), b"newer");
}

#[tokio::test]
async fn variants_have_their_own_slots() {
    let tiers = tiers(1 << 20);
    for (variance, secondary, body) in [([1; 16], false, "one"), ([2; 16], true, "two")] {
        let mut view = admitted("a", fixture::meta(), &[("vary", "accept")], 99);
        view.set_variance_key(variance);
        let mut key = key("a");
        if secondary {
            key.set_variance_key(variance);
        }
        let mut writer = tiers.get_miss_handler(&key, &view, &span()).await.unwrap();
        writer.write_body(Bytes::from_static(body.as_bytes()), true).await.unwrap();
        writer.finish().await.unwrap();
    }
    let (primary, reader) = find(tiers, &key("a")).await.unwrap();
    assert_eq!((primary.variance(), read(reader).await.unwrap()), (Some([1; 16]), b"one".to_vec()));
    let mut second = key("a");
    second.set_variance_key([2; 16]);
    let (view, reader) = find(tiers, &second).await.unwrap();
    assert_eq!((view.variance(), read(reader).await.unwrap()), (Some([2; 16]), b"two".to_vec()));
    assert!(view.created() >= primary.provenance(), "else Pingora takes it for purged");
    assert!(tiers.peek(&slot(&hash("a"), Some(&[2; 16])), b"a").is_some());
    second.set_variance_key([3; 16]);
    assert!(find(tiers, &second).await.is_none());
}

#[tokio::test]
async fn removal_reaches_what_is_coming_in() {
    let tiers = tiers(1 << 20);
    fill(tiers, "a", b"old").await;
    let mut writer = begin(tiers, "a", Some(3)).await;
    let reader = find(tiers, &key("a")).await.unwrap().1;
    let target: CompactCacheKey = key("a").to_compact();
    let purge = || tiers.purge(PurgeTarget::Active(&target), PurgeType::Invalidation, &SPAN);
    assert_eq!(purge().await.unwrap(), PurgeOutcome::Purged(None));
    assert!(find(tiers, &key("a")).await.is_none(), "neither the old nor the coming one");
    writer.write_body(Bytes::from_static(b"new"), true).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(reader).await.unwrap(), b"new", "who reads it reads on");
    assert!(get(tiers, "a").await.is_none());
    assert_eq!(purge().await.unwrap(), PurgeOutcome::NotFound);
}

static SPAN: std::sync::LazyLock<SpanHandle> = std::sync::LazyLock::new(span);

#[tokio::test]
async fn larger_bodies_are_kept_in_their_chunks() {
    let tiers = tiers(64 << 20);
    let body: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    fill(tiers, "a", &body).await;
    assert!(tiers.peek(&hash("a"), b"a").unwrap().body.whole().is_none());
    let mut reader = find(tiers, &key("a")).await.unwrap().1;
    reader.seek(100_000, Some(200_001)).unwrap();
    assert_eq!(read(reader).await.unwrap(), body[100_000..200_001]);
    assert_eq!(get(tiers, "a").await.unwrap(), body);
}

#[tokio::test]
async fn pingoras_state_machine_fills_serves_and_revalidates() {
    let tiers = tiers(1 << 20);
    let cache = || {
        let mut cache = HttpCache::new();
        cache.enable(tiers, None, None, None, None);
        cache.set_cache_key(key("a"));
        cache
    };
    let mut first = cache();
    assert!(first.cache_lookup().await.unwrap().is_none());
    first.cache_miss();
    first.set_cache_meta(admitted("a", fixture::meta(), &[("etag", "\"1\"")], 99));
    first.set_miss_handler().await.unwrap();
    first.miss_handler().unwrap().write_body(Bytes::from_static(b"body"), true).await.unwrap();
    assert_eq!(first.miss_body_reader().unwrap().read_body().await.unwrap().unwrap(), "body");
    first.finish_miss_handler().await.unwrap();
    assert!(first.miss_body_reader().unwrap().read_body().await.unwrap().is_none());
    first.finish_hit_handler().await.unwrap();

    let mut second = cache();
    let (meta, reader) = second.cache_lookup().await.unwrap().unwrap();
    let confirmed = stored(&meta).unwrap().meta().fetch_start;
    second.cache_found(meta, reader, HitStatus::Expired);
    let renewed = Meta { lifetime_ms: 7, ..fixture::meta() };
    let merged = confirming("a", confirmed, renewed.clone(), &[("etag", "\"2\"")]);
    assert!(second.revalidate_cache_meta(merged).await.unwrap());
    assert_eq!(second.hit_handler().read_body().await.unwrap().unwrap(), "body", "the body read before goes on");

    let (meta, _) = cache().cache_lookup().await.unwrap().unwrap();
    assert_eq!((stored(&meta).unwrap().meta(), meta.headers()["etag"].as_bytes()), (&renewed, &b"\"2\""[..]));
}
