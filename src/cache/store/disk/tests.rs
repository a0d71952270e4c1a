//! Tests: what the disk tier holds after what may happen to it, one rule each.
//!
//! In: a directory, filled, damaged and opened again. Out: what a viewer would get. Never: a wall-clock assertion.

use bytes::Bytes;
use pingora::cache::{CacheKey, Storage};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Disk, codec, segment};
use crate::cache::object::{Meta, Stamp};
use crate::cache::store::tests::{admitted, begin, config, confirming, fetched, fill, find, hash, key, read, span};
use crate::cache::store::{StoreError, Stored, Tiers, fixture, stored};
use crate::config::compiled;

const MIB: u64 = 1 << 20;

/// Opens the tiers; who had the directory before has ended.
fn open(path: &Path, memory: u64, size: u64) -> &'static Tiers {
    thread_local!(static BEFORE: Cell<Option<&'static Tiers>> = const { Cell::new(None) });
    if let Some(before) = BEFORE.take() {
        disk(before).unlock();
    }
    let disk = Some(compiled::Disk { path: path.to_owned(), size });
    let tiers = Tiers::open(&compiled::Store { disk, ..config(memory) }).unwrap();
    BEFORE.set(Some(tiers));
    settle(tiers);
    tiers
}

fn disk(tiers: &'static Tiers) -> &'static Disk {
    tiers.disk().unwrap()
}

fn settle(tiers: &'static Tiers) {
    disk(tiers).settle();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    // Neither the lock nor the list of invalidated URLs, which a thread may just be beginning, holds answers.
    let apart = ["lock", "invalidated", "invalidated.draft"];
    let mut files: Vec<_> = files.filter(|path| apart.iter().all(|name| !path.ends_with(name))).collect();
    files.sort();
    files
}

fn writable(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn body(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + n) as u8).collect()
}

async fn get(tiers: &'static Tiers, name: &str) -> Option<Vec<u8>> {
    Some(read(find(tiers, &key(name)).await?.1).await.unwrap())
}

/// Forgets what memory has, so that the disk answers.
fn forget(tiers: &'static Tiers, name: &str) {
    assert!(tiers.memory.remove(&hash(name)), "{name} was in memory");
}

#[tokio::test]
async fn answers_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), MIB, 64 * MIB);
    let meta = Meta {
        tags: ["t".into()].into(),
        fetch_start: Stamp(7),
        vary: [http::header::ACCEPT].into(),
        variance: Some([9; 16]),
        ..fixture::meta()
    };
    let mut view = admitted("a", meta.clone(), &[("etag", "\"1\"")], u64::MAX);
    view.set_variance_key([9; 16]);
    let mut writer = first.get_miss_handler(&key("a"), &view, &span()).await.unwrap();
    writer.write_body(Bytes::from_static(b"hello"), true).await.unwrap();
    writer.finish().await.unwrap();
    settle(first);
    assert_eq!(first.stats().disk_objects, 1);

    let second = open(dir.path(), MIB, 64 * MIB);
    assert!(second.peek(&hash("a"), b"a").is_none(), "on disk only");
    let (view, reader) = find(second, &key("a")).await.unwrap();
    assert_eq!(stored(&view).unwrap().meta(), &meta);
    assert_eq!(&*second.peek(&hash("a"), b"a").unwrap().head, b"content-length: 5\r\netag: \"1\"\r\n");
    assert_eq!(read(reader).await.unwrap(), b"hello");
    assert!(second.peek(&hash("a"), b"a").is_some(), "a hit moved it up");
    let mut collision = CacheKey::new("another key", "");
    collision.set_primary_bin_override(hash("a"));
    forget(second, "a");
    assert!(find(second, &collision).await.is_none(), "the key is compared");
}

/// RFC 9111 §4: of several answers the newest counts, also of those that only the disk has.
#[tokio::test]
async fn an_older_answer_that_ends_later_takes_nobodys_place_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), MIB, 64 * MIB);
    for large in [false, true] {
        let body = |byte| vec![byte; if large { 2 * MIB as usize } else { 5 }];
        let name = if large { "large" } else { "small" };
        let mut older = begin(tiers, name, Some(body(b'o').len())).await;
        fill(tiers, name, &body(b'n')).await;
        settle(tiers);
        tiers.memory.remove(&hash(name));
        older.write_body(Bytes::from(body(b'o')), true).await.unwrap();
        older.finish().await.unwrap();
        settle(tiers);
        assert!(get(tiers, name).await.unwrap() == body(b'n'), "{name}");
    }
}

#[tokio::test]
async fn removals_and_renewals_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), MIB, 64 * MIB);
    for name in ["removed", "renewed", "again", "void"] {
        fill(first, name, name.as_bytes()).await;
        if name != "void" {
            settle(first);
        }
    }
    for name in ["removed", "again", "void"] {
        assert!(first.remove(&hash(name)), "{name}");
    }
    fill(first, "again", b"newer").await;
    let renewed = Meta { lifetime_ms: 99, ..fixture::meta() };
    let view = confirming("renewed", fetched(first, "renewed"), renewed.clone(), &[("etag", "\"2\"")]);
    assert!(first.update_meta(&key("renewed"), &view, &span()).await.unwrap());
    // Of what only the disk has, a 304 for another answer changes nothing either.
    let other = confirming("again", renewed.fetch_start, renewed.clone(), &[("etag", "\"other\"")]);
    settle(first);
    first.memory.remove(&hash("again"));
    assert!(first.update_meta(&key("again"), &other, &span()).await.unwrap(), "it is found out when it is written");
    settle(first);
    for tiers in [first, open(dir.path(), MIB, 64 * MIB), open(dir.path(), MIB, 64 * MIB)] {
        tiers.memory.remove(&hash("renewed"));
        assert!(get(tiers, "removed").await.is_none());
        assert!(get(tiers, "void").await.is_none());
        assert!(find(tiers, &key("again")).await.unwrap().0.headers().get("etag").is_none());
        assert_eq!(get(tiers, "again").await.unwrap(), b"newer");
        let (view, reader) = find(tiers, &key("renewed")).await.unwrap();
        assert_eq!(stored(&view).unwrap().meta(), &renewed);
        assert_eq!(
            (view.headers()["etag"].as_bytes(), view.headers()["content-length"].as_bytes()),
            (&b"\"2\""[..], &b"7"[..])
        );
        assert_eq!(read(reader).await.unwrap(), b"renewed");
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_cut_off() {
    for (cut, garbage, whole) in [(1, 0, 2), (0, 100, 3), (2000, 5, 1), (9_999_999, 0, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), MIB, 64 * MIB);
        for n in 0..3 {
            fill(first, &n.to_string(), &body(n, 1000)).await;
        }
        settle(first);
        let segment = files(dir.path()).pop().unwrap();
        let len = writable(&segment).metadata().unwrap().len();
        let kept = len.saturating_sub(cut).max(8);
        writable(&segment).set_len(kept).unwrap();
        writable(&segment).write_all_at(&vec![0xAA; garbage], kept).unwrap();

        for round in 0..2 {
            let tiers = open(dir.path(), MIB, 64 * MIB);
            assert_eq!(tiers.stats().disk_objects, whole as u64 + round, "cut {cut}");
            for n in 0..3 {
                let got = get(tiers, &n.to_string()).await;
                assert_eq!(got, (n < whole).then(|| body(n, 1000)), "cut {cut}, {n}");
            }
            fill(tiers, "later", b"later").await;
            settle(tiers);
        }
    }
}

#[tokio::test]
async fn strange_files_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), MIB, 64 * MIB);
    fill(first, "a", b"a").await;
    settle(first);
    for (name, content) in [
        ("00000fff.segment", &b""[..]),
        ("00000ffe.segment", b"OTHERVER and more"),
        ("00000ffd.segment", b"RIMSEG01"),
        ("7.spool", b"left over"),
        ("notes.txt", b"not ours"),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let tiers = open(dir.path(), MIB, 64 * MIB);
    assert_eq!(get(tiers, "a").await.unwrap(), b"a");
    fill(tiers, "b", b"b").await;
    settle(tiers);
    let names: Vec<_> = files(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(names.iter().any(|name| name == "notes.txt") && !names.iter().any(|name| name == "7.spool"));
    assert_eq!(get(open(dir.path(), MIB, 64 * MIB), "b").await.unwrap(), b"b");
}

#[test]
fn an_unusable_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let disk = Some(compiled::Disk { path: path.clone(), size: MIB });
    let error = Tiers::open(&compiled::Store { disk, ..config(MIB) }).unwrap_err();
    assert!(matches!(error, StoreError::Path { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn one_process_at_a_time_uses_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path(), MIB, 64 * MIB);
    fill(old, "a", b"old").await;
    let shared = compiled::Disk { path: dir.path().to_owned(), size: 64 * MIB };
    let new = Tiers::open(&compiled::Store { disk: Some(shared), ..config(MIB) }).unwrap();
    assert!(new.disk().is_none(), "not its turn");
    fill(new, "b", b"memory").await;
    assert_eq!(get(new, "b").await.unwrap(), b"memory");
    for name in ["removed", "renewed"] {
        fill(old, name, b"old").await;
    }
    assert!(!new.remove(&hash("removed")), "not seen yet");
    fill(new, "renewed", b"new").await;
    settle(old);
    disk(old).unlock();
    while new.disk().is_none() {
        tokio::task::yield_now().await;
    }
    settle(new);
    assert_eq!(get(new, "a").await.unwrap(), b"old");
    forget(new, "renewed");
    disk(new).unlock();
    for tiers in [new, open(dir.path(), MIB, 64 * MIB)] {
        assert!(get(tiers, "removed").await.is_none(), "changed before its turn");
        assert!(get(tiers, "renewed").await.is_none(), "the disk has an older one");
    }
}

#[tokio::test]
async fn a_damaged_block_is_a_miss_or_an_error_never_a_body() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 64 * MIB, 256 * MIB);
    let (small, large) = (body(1, 1000), body(2, 3 << 20));
    fill(tiers, "small", &small).await;
    fill(tiers, "large", &large).await;
    settle(tiers);
    for name in ["small", "large"] {
        let place = disk(tiers).index.get(&hash(name)).unwrap();
        let file = disk(tiers).journal.file(place.body_seg).unwrap();
        // The first block of the small one, a late one of the large one.
        let at = place.body_at + if name == "small" { 500 } else { 2 << 20 };
        file.write_all_at(&[0xFF, 0xFE, 0xFD], at).unwrap();
        forget(tiers, name);
    }
    assert!(find(tiers, &key("small")).await.is_none());
    let (view, reader) = find(tiers, &key("large")).await.unwrap();
    assert!(matches!(stored(&view), Some(Stored::OnDisk(_))));
    assert!(read(reader).await.is_err(), "not a short end");
    assert!(find(tiers, &key("large")).await.is_none(), "dropped");
    settle(tiers);
    assert_eq!((tiers.stats().disk_errors, tiers.stats().disk_objects), (2, 0));
    let again = open(dir.path(), 64 * MIB, 256 * MIB);
    assert!(find(again, &key("large")).await.is_none(), "for good");
}

#[tokio::test]
async fn ranges_are_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 64 * MIB, 256 * MIB);
    let large = body(3, 3 << 20);
    fill(tiers, "a", &large).await;
    settle(tiers);
    forget(tiers, "a");
    let mut reader = find(tiers, &key("a")).await.unwrap().1;
    for (start, end) in [(0, 10), (100, 2 << 20), (65_535, 65_537), (3_000_000, 3 << 20)] {
        reader.seek(start, Some(end)).unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = reader.read_body().await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        assert!(got == large[start..end], "{start}..{end}");
    }
    assert!(reader.seek(3 << 20, None).is_err());
}

#[tokio::test]
async fn the_size_holds_and_what_is_read_lives_longer() {
    let dir = tempfile::tempdir().unwrap();
    let size = 8 * MIB;
    let tiers = open(dir.path(), MIB, size);
    for n in 0..2000 {
        fill(tiers, &n.to_string(), &body(n, 20_000)).await;
        settle(tiers);
        tiers.memory.remove(&hash(&n.to_string()));
        tiers.memory.remove(&hash("0"));
        assert!(n > 1000 || get(tiers, "0").await.is_some(), "read from disk all the time, until {n}");
        let on_disk: u64 = files(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(on_disk <= size, "{on_disk}");
        assert_eq!(tiers.stats().disk_bytes, on_disk);
    }
    assert!(tiers.stats().disk_evictions > 10);
    let held = tiers.stats().disk_objects;
    assert!((250..320).contains(&held), "{held}");
    let again = open(dir.path(), MIB, size);
    assert_eq!(again.stats().disk_objects, held);
    assert_eq!(get(again, "1999").await.unwrap(), body(1999, 20_000));
    assert!(get(again, "1").await.is_none());
}

#[tokio::test]
async fn what_memory_holds_stays_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 64 * MIB, 8 * MIB);
    for n in 0..1000 {
        fill(tiers, &n.to_string(), &body(n, 20_000)).await;
        settle(tiers);
        assert!(n == 0 || tiers.memory.remove(&hash(&n.to_string())));
    }
    let again = open(dir.path(), 64 * MIB, 8 * MIB);
    assert!(get(again, "0").await.is_some(), "never read from disk, but hot");
    assert!(get(again, "1").await.is_none());
}

#[tokio::test]
async fn a_body_larger_than_memory_streams_through_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 8 * MIB, 512 * MIB);
    assert_eq!(tiers.max_object(), 64 * MIB);
    let large = body(4, 40 << 20);
    for (name, length) in [("stated", Some(large.len())), ("unstated", None)] {
        let mut writer = begin(tiers, name, length).await;
        let tag = writer.streaming_write_tag().unwrap().to_vec();
        let own = tiers.lookup_streaming_write(&key(name), Some(&tag), &span()).await.unwrap().unwrap().1;
        for (n, chunk) in large.chunks(60_000).enumerate() {
            writer.write_body(Bytes::copy_from_slice(chunk), false).await.unwrap();
            assert!(tiers.stats().fill_bytes < 2 * MIB);
            if n == 300 {
                let follower = find(tiers, &key(name)).await.unwrap().1;
                let want = large.clone();
                tokio::spawn(async move { assert!(read(follower).await.unwrap() == want) });
            }
        }
        writer.finish().await.unwrap();
        assert!(read(own).await.unwrap() == large, "its viewer began to read at the very end");
        assert!(tiers.peek(&hash(name), name.as_bytes()).is_none());
    }
    for tiers in [tiers, open(dir.path(), 8 * MIB, 512 * MIB)] {
        for name in ["stated", "unstated"] {
            let (view, mut reader) = find(tiers, &key(name)).await.unwrap();
            assert_eq!(view.headers()["content-length"], large.len().to_string());
            reader.seek(33_000_000, Some(33_000_003)).unwrap();
            assert_eq!(reader.read_body().await.unwrap().unwrap(), large[33_000_000..33_000_003]);
            assert!(get(tiers, name).await.unwrap() == large);
        }
    }
}

#[tokio::test]
async fn a_spooled_fill_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 8 * MIB, 512 * MIB);
    let mut writer = begin(tiers, "a", Some(20 << 20)).await;
    for _ in 0..100 {
        writer.write_body(Bytes::from(vec![1; 60_000]), false).await.unwrap();
    }
    let mut reader = find(tiers, &key("a")).await.unwrap().1;
    assert!(reader.read_body().await.unwrap().is_some());
    assert!(disk(tiers).journal.spooling() > 0);
    assert!(files(dir.path()).iter().any(|path| path.extension().unwrap() == "spool"));
    drop(writer);
    assert!(read(reader).await.is_err());
    assert_eq!(disk(tiers).journal.spooling(), 0);
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn a_body_too_large_for_the_disk_goes_on_to_its_viewer() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 8 * MIB, 64 * MIB);
    let large = body(5, 20 << 20);
    let mut writer = begin(tiers, "a", None).await;
    let tag = writer.streaming_write_tag().unwrap().to_vec();
    let mut own = tiers.lookup_streaming_write(&key("a"), Some(&tag), &span()).await.unwrap().unwrap().1;
    let mut got = Vec::new();
    for (n, chunk) in large.chunks(60_000).enumerate() {
        writer.write_body(Bytes::copy_from_slice(chunk), false).await.unwrap();
        // Far behind at first: the beginning is read from the spool.
        if n > 100 {
            got.extend_from_slice(&own.read_body().await.unwrap().unwrap());
        }
        assert!(tiers.stats().fill_bytes < 12 * MIB);
    }
    writer.finish().await.unwrap();
    while let Some(bytes) = own.read_body().await.unwrap() {
        got.extend_from_slice(&bytes);
    }
    assert!(got == large);
    drop(own);
    assert!(find(tiers, &key("a")).await.is_none());
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn what_a_full_queue_refuses_is_not_served_from_an_older_record() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path(), 64 * MIB, 256 * MIB);
    fill(tiers, "a", b"old").await;
    settle(tiers);
    // More than the queue holds, faster than it is written.
    for round in 0..3 {
        for n in 0..12 {
            fill(tiers, &n.to_string(), &vec![(n + round) as u8; 7 << 20]).await;
        }
        fill(tiers, "a", format!("new {round}").as_bytes()).await;
    }
    settle(tiers);
    let again = open(dir.path(), 64 * MIB, 256 * MIB);
    if let Some(got) = get(again, "a").await {
        assert_eq!(got, b"new 2");
    }
    for n in 0..12 {
        if let Some(got) = get(again, &n.to_string()).await {
            assert!(got == vec![(n + 2) as u8; 7 << 20], "{n}");
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_records_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let size = 1024 * MIB;
    let first = open(dir.path(), MIB, size);
    let body = Bytes::from_static(b"small body");
    for n in 0..100_000 {
        let name = n.to_string();
        let described = codec::encode(name.as_bytes(), &fixture::meta(), b"content-length: 10\r\n");
        disk(first).journal.put(hash(&name), &described, vec![&body], body.len() as u64).unwrap();
    }
    let again = open(dir.path(), MIB, size);
    assert_eq!(again.stats().disk_objects, 100_000);
    for n in [0, 50_000, 99_999] {
        assert_eq!(get(again, &n.to_string()).await.unwrap(), body);
    }
    // The first segments had been sealed, the last one not: it is now.
    for path in files(dir.path()) {
        let file = writable(&path);
        let len = file.metadata().unwrap().len();
        assert!(segment::read_table(&file, segment::id(&path).unwrap(), len).is_some(), "{path:?}");
    }
}
