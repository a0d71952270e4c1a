//! Store memory: what 100,000 cached objects of 1 KiB cost this process.
//!
//! In: objects as the memory tier keeps them. Out: resident bytes an object. Never: another test in this process, which
//! would be counted too.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta, Storage};
use pingora::http::ResponseHeader;
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::store::{Admission, Tiers};
use rimward::config::compiled;
use std::time::{Duration, SystemTime};
use xxhash_rust::xxh3::xxh3_128;

const OBJECTS: usize = 100_000;
/// Objects before counting starts: by then the code's own pages and tables are there.
const WARM_UP: usize = 1_000;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn admitted(name: &str) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    for (field, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "1024"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"5f3a-0123456789\""),
        ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ] {
        header.append_header(field, value).unwrap();
    }
    let now = SystemTime::now();
    let mut view = CacheMeta::new(now, now, 0, 0, header);
    let meta = Meta {
        status: 200,
        responded_ms: 0,
        initial_age_ms: 0,
        lifetime_ms: 60_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(0),
        host: "shop.example".into(),
        uri: name.into(),
        tags: [].into(),
        vary: [].into(),
        variance: None,
        masked: false,
    };
    let key = name.as_bytes().into();
    view.extensions_mut().insert(Admission { key, meta, strip: vec![], max_body: u64::MAX, confirmed: None });
    view
}

#[tokio::test]
async fn an_object_of_1_kib_costs_less_than_2_kib() {
    let config =
        compiled::Store { memory: 1 << 30, disk: None, collapse_timeout: Duration::from_secs(1), purge_scopes: 10 };
    let tiers = Tiers::open(&config).unwrap();
    let mut before = 0;
    for n in 0..OBJECTS {
        let name = format!("shop.example/items/{n:06}?page=1");
        let mut key = CacheKey::new(name.as_bytes(), "");
        key.set_primary_bin_override(xxh3_128(name.as_bytes()).to_le_bytes());
        let mut writer = tiers.get_miss_handler(&key, &admitted(&name), &Span::inactive().handle()).await.unwrap();
        writer.write_body(Bytes::from(vec![b'x'; 1024]), true).await.unwrap();
        writer.finish().await.unwrap();
        if n == WARM_UP {
            before = resident();
            let object = tiers.peek(&xxh3_128(name.as_bytes()).to_le_bytes(), name.as_bytes()).unwrap();
            assert!(object.weight() < 2048, "accounted {}", object.weight());
        }
    }
    let each = (resident() - before) / (OBJECTS - WARM_UP);
    assert!(each < 2048, "{each} resident bytes an object");
    let stats = tiers.stats();
    let accounted = stats.memory_bytes / stats.memory_objects.max(1);
    assert!(accounted as usize * 10 >= each * 9, "accounts {accounted} for {each} resident bytes");
}
