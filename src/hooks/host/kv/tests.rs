//! What stores promise: bounds, versions, all or nothing, and nothing lost.

use std::path::Path;

use super::*;

fn configured(name: &str) -> KvStore {
    KvStore { name: name.to_owned(), import: None, bounds: KvBounds::STRICT }
}

fn files(dir: &Path) -> KvFiles {
    let files = KvFiles::new(dir.join("kv"));
    files.attach(Duration::ZERO).unwrap();
    files
}

fn put(key: &str, value: &str) -> Change {
    Change::Put(Entry { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) })
}

fn open(files: &KvFiles, name: &str) -> KvHandle {
    files.stores(&[configured(name)]).unwrap().get(name).unwrap().clone()
}

#[test]
fn what_is_written_is_read_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    let new = store.state();
    assert!(new.is_new() && new.count == 0 && new.size == 0 && new.created_ms > 0);
    let state = store.update(vec![put("a", "1"), put("b", "22"), put("é", "")], None).unwrap();
    assert_eq!((state.count, state.size, state.created_ms), (3, 7, new.created_ms));
    assert_ne!(state.etag(), new.etag());
    let state =
        store.update(vec![put("a", "333"), Change::Delete("b".into()), Change::Delete("x".into())], None).unwrap();
    assert_eq!((state.count, state.size), (2, 6));
    assert_eq!(store.get("a").as_deref(), Some(&b"333"[..]));
    assert_eq!((store.get("b"), store.get("é")), (None, Some(Bytes::new())));
    drop((store, files));
    // After a restart the same, version included.
    let again = open(&self::files(dir.path()), "s");
    assert_eq!(again.state(), state);
    assert_eq!(again.get("a").as_deref(), Some(&b"333"[..]));
}

#[test]
fn cloudfronts_limits_hold_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let text = |size: usize| "x".repeat(size);
    let many = |count: usize, size: usize| -> Vec<Change> {
        (0..count).map(|n| put(&format!("{n:04}"), &text(size))).collect()
    };
    for (name, changes, bounds, want) in [
        ("key of 512", vec![put(&text(512), "")], KvBounds::STRICT, None),
        ("key of 513", vec![put(&text(513), "")], KvBounds::STRICT, Some("513 bytes")),
        ("no key", vec![put("", "v")], KvBounds::STRICT, Some("one character")),
        ("value of 1 KiB", vec![put("k", &text(1024))], KvBounds::STRICT, None),
        ("value of 1 KiB and one", vec![put("k", &text(1025))], KvBounds::STRICT, Some("1025 bytes")),
        ("the same, extended", vec![put("k", &text(1025))], KvBounds::EXTENDED, None),
        ("50 keys", many(50, 1), KvBounds::STRICT, None),
        ("51 keys", many(51, 1), KvBounds::STRICT, Some("51 keys")),
        ("twice", vec![put("k", "1"), Change::Delete("k".into())], KvBounds::STRICT, Some("twice")),
        ("3 MiB", many(48, 65532), KvBounds { value: 65536, ..KvBounds::STRICT }, None),
        (
            "3 MiB and one",
            [many(48, 65532), vec![put("x", "")]].concat(),
            KvBounds { value: 65536, ..KvBounds::STRICT },
            Some("3145729 bytes"),
        ),
    ] {
        let store = KvStore { bounds, ..configured(&format!("s{}", name.len())) };
        let stores = files.stores(std::slice::from_ref(&store)).unwrap();
        let got = stores.get(&store.name).unwrap().update(changes, None).map_err(|error| error.to_string());
        match want {
            None => assert!(got.is_ok(), "{name}: {got:?}"),
            Some(words) => assert!(got.as_ref().is_err_and(|error| error.contains(words)), "{name}: {got:?}"),
        }
    }
}

#[test]
fn a_store_is_never_larger_than_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let small = KvStore { bounds: KvBounds { store: 10, ..KvBounds::STRICT }, ..configured("s") };
    let store = files.stores(std::slice::from_ref(&small)).unwrap().get("s").unwrap().clone();
    store.update(vec![put("a", "1234"), put("b", "1234")], None).unwrap();
    for (change, want) in [
        (put("c", ""), Err(KvError::Full { size: 11, limit: 10 })),
        (put("a", "12345"), Err(KvError::Full { size: 11, limit: 10 })),
        (put("a", "4321"), Ok(10)),
        (Change::Delete("b".into()), Ok(5)),
    ] {
        assert_eq!(store.update(vec![change], None).map(|state| state.size), want);
    }
    // A smaller bound than what is there: it may shrink.
    let smaller = KvStore { bounds: KvBounds { store: 2, ..KvBounds::STRICT }, ..configured("s") };
    let store = files.stores(std::slice::from_ref(&smaller)).unwrap().get("s").unwrap().clone();
    assert!(store.update(vec![put("a", "12345")], None).is_err());
    assert_eq!(store.update(vec![put("a", "123")], None).unwrap().size, 4);
}

#[test]
fn an_update_is_all_or_nothing_and_for_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    let first = store.state().etag();
    let state = store.update(vec![put("a", "1")], Some(&first)).unwrap();
    assert_eq!(store.update(vec![put("a", "2")], Some(&first)), Err(KvError::Stale));
    let missing = vec![put("b", "1"), Change::DeleteExisting("c".into())];
    assert_eq!(store.update(missing, Some(&state.etag())), Err(KvError::NoKey));
    assert_eq!((store.get("a").as_deref(), store.get("b")), (Some(&b"1"[..]), None));
    assert_eq!(store.state(), state);
    assert_eq!(store.list(None, 9).unwrap().entries.len(), 1);
}

#[test]
fn pages_come_in_the_order_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    assert_eq!(store.list(None, 10).unwrap(), Page::default());
    for batch in (0..120).collect::<Vec<_>>().chunks(50) {
        store.update(batch.iter().map(|n| put(&format!("{:03}", (n * 7) % 120), "v")).collect(), None).unwrap();
    }
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = store.list(after.as_deref(), 1000).unwrap();
        pages += 1;
        after = page.entries.last().map(|entry| entry.key.clone());
        seen.extend(page.entries.into_iter().map(|entry| entry.key));
        if !page.more {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, (0..120).map(|n| format!("{n:03}")).collect::<Vec<_>>());
}

#[test]
fn a_new_store_begins_with_its_import_and_no_other_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("import.json");
    let one = KvStore { import: Some(file.clone()), ..configured("s") };
    let entries: Vec<String> = (0..60).map(|n| format!(r#"{{"key":"k{n}","value":"v{n}"}}"#)).collect();
    // More than one update may change: an import is no update.
    std::fs::write(&file, format!(r#"{{"data":[{}]}}"#, entries.join(","))).unwrap();
    let files = files(dir.path());
    let store = files.stores(std::slice::from_ref(&one)).unwrap().get("s").unwrap().clone();
    assert_eq!((store.state().count, store.get("k59").as_deref()), (60, Some(&b"v59"[..])));
    store.update((0..50).map(|n| Change::Delete(format!("k{n}"))).collect(), None).unwrap();
    store.update((50..60).map(|n| Change::Delete(format!("k{n}"))).collect(), None).unwrap();
    drop((store, files));
    // Emptied is not new.
    let files = self::files(dir.path());
    assert_eq!(files.stores(&[one]).unwrap().get("s").unwrap().state().count, 0);
    for (name, text, says) in [
        ("missing", None, "No such file"),
        ("no JSON", Some("{"), "EOF"),
        ("other shape", Some(r#"{"data":[{"key":"k","value":1}]}"#), "string"),
        ("unknown member", Some(r#"{"data":[{"key":"k","value":"v","ttl":1}]}"#), "ttl"),
        ("twice", Some(r#"{"data":[{"key":"k","value":"v"},{"key":"k","value":"w"}]}"#), "twice"),
        ("empty key", Some(r#"{"data":[{"key":"","value":"v"}]}"#), "one character"),
    ] {
        let file = dir.path().join("bad.json");
        let _ = std::fs::remove_file(&file);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let bad = KvStore { import: Some(file), ..configured("bad") };
        let error = files.stores(&[bad]).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("bad.json"), "{name}: {error}");
    }
    // What failed is still new: the next attempt imports.
    let good = KvStore { import: Some(file), ..configured("bad") };
    assert_eq!(files.stores(&[good]).unwrap().get("bad").unwrap().state().count, 60);
}

/// The file was ignored in silence, right or wrong.
#[test]
fn an_import_that_is_not_read_again_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("import.json");
    let one = KvStore { import: Some(file.clone()), ..configured("s") };
    let not_read = format!("kv store 's' is in use: {0} is not read again; `rimward kv import s {0}`", file.display());
    let wrong = format!("store 's': cannot import {}: ", file.display());
    let mut files = self::files(dir.path());
    // What the file says, what is written then, what is told.
    for (value, written, told) in [
        (Some("1"), None, None),
        (Some("1"), Some(put("k", "9")), None),
        (Some("2"), None, Some(&not_read)),
        (None, None, Some(&wrong)),
        (Some("2"), Some(put("k", "2")), None),
        (Some("3"), Some(put("more", "")), Some(&not_read)),
    ] {
        let text = value.map_or("{".to_owned(), |value| format!(r#"{{"data":[{{"key":"k","value":"{value}"}}]}}"#));
        std::fs::write(&file, text).unwrap();
        for restarted in [false, true] {
            if restarted {
                files.close();
                files = self::files(dir.path());
            }
            let stores = files.stores(std::slice::from_ref(&one)).unwrap();
            let store = stores.get("s").unwrap();
            if let Some(change) = written.clone() {
                store.update(vec![change], None).unwrap();
            }
            let unread = stores.unread(std::slice::from_ref(&one));
            assert_eq!(unread.len(), usize::from(told.is_some()), "{value:?} {restarted}: {unread:?}");
            assert!(told.is_none_or(|told| unread[0].starts_with(told)), "{value:?} {restarted}: {unread:?}");
        }
    }
    // One in force is not filled by a reload, which may yet be refused.
    let empty = open(&files, "t");
    let two = [KvStore { import: Some(file), ..configured("t") }];
    let unread = files.stores(&two).unwrap().unread(&two);
    assert!(empty.get("k").is_none() && unread[0].contains("is not read before the next start"), "{unread:?}");
    files.close();
    files = self::files(dir.path());
    assert_eq!(files.stores(&two).unwrap().get("t").unwrap().get("k").as_deref(), Some(&b"3"[..]));
}

#[test]
fn stores_outlive_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let first = files.stores(&[configured("a"), configured("b")]).unwrap();
    first.get("a").unwrap().update(vec![put("k", "1")], None).unwrap();
    // `b` is gone, `a` is shared: what one writes the other reads.
    let second = files.stores(&[configured("a")]).unwrap();
    second.get("a").unwrap().update(vec![put("k", "2")], None).unwrap();
    assert_eq!(first.get("a").unwrap().get("k").as_deref(), Some(&b"2"[..]));
    assert_eq!(second.iter().map(KvHandle::name).collect::<Vec<_>>(), ["a"]);
    // Still in use, and asked for again.
    let third = files.stores(&[configured("a"), configured("b")]).unwrap();
    first.get("b").unwrap().update(vec![put("k", "3")], None).unwrap();
    assert_eq!(third.get("b").unwrap().get("k").as_deref(), Some(&b"3"[..]));
    drop((first, third));
    files.stores(&[configured("a")]).unwrap();
    // No longer used: its file stayed, and is opened again.
    assert_eq!(open(&files, "b").get("k").as_deref(), Some(&b"3"[..]));
    for name in ["", "a/b", "..", "a b", &"x".repeat(65)] {
        assert!(matches!(files.stores(&[configured(name)]), Err(KvError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_process_that_takes_over_waits_for_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let old = files(dir.path());
    let store = open(&old, "s");
    store.update(vec![put("k", "1")], None).unwrap();
    let new = KvFiles::new(dir.path().join("kv"));
    let taken = new.stores(&[configured("s")]).unwrap().get("s").unwrap().clone();
    assert_eq!(taken.update(vec![put("k", "2")], None), Err(KvError::HandedOver));
    assert!(matches!(new.attach(Duration::ZERO), Err(KvError::Open { .. })));
    old.close();
    assert_eq!(store.update(vec![put("k", "2")], None), Err(KvError::HandedOver));
    assert_eq!(store.get("k").as_deref(), Some(&b"1"[..]));
    let new = KvFiles::new(dir.path().join("kv"));
    let taken = new.stores(&[configured("s")]).unwrap().get("s").unwrap().clone();
    new.attach(Duration::ZERO).unwrap();
    assert_eq!(taken.get("k").as_deref(), Some(&b"1"[..]));
    taken.update(vec![put("k", "2")], None).unwrap();
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    let mut last = store.state();
    for n in 0..30 {
        last = store.update(vec![put(&format!("k{n}"), "v"), put("n", &n.to_string())], None).unwrap();
        // The file as a killed process leaves it: nothing was closed.
        if n % 10 == 9 {
            let image = tempfile::tempdir().unwrap();
            std::fs::create_dir(image.path().join("kv")).unwrap();
            std::fs::copy(dir.path().join("kv/s.redb"), image.path().join("kv/s.redb")).unwrap();
            let killed = open(&self::files(image.path()), "s");
            assert_eq!(killed.state(), last);
            assert_eq!(killed.get("n"), Some(n.to_string().into()));
        }
    }
    assert_eq!(last.count, 31);
}

#[test]
fn readers_see_whole_updates_while_writers_write() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    store.update(vec![put("a", "0"), put("b", "0")], None).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..20 {
                        let value = format!("{writer}.{n}");
                        store.update(vec![put("a", &value), put("b", &value), put(&value, "")], None).unwrap();
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            let live = store.store.live.load_full();
            assert_eq!(live.get("a"), live.get("b"));
        }
    });
    assert_eq!(store.state().count, 82);
}

#[test]
fn a_functions_write_is_bounded_and_durable() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let store = open(&files, "s");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.write(put("k", "v")).await.unwrap();
        assert!(matches!(store.write(put("", "v")).await, Err(HostError::Invalid(_))));
        assert!(matches!(store.write(put("k", &"v".repeat(2000))).await, Err(HostError::TooLarge(_))));
        let _all = store.store.waiting.clone().acquire_many_owned(store::WAITING_MAX as u32).await.unwrap();
        assert_eq!(store.write(put("k", "w")).await, Err(KvError::Busy.into()));
    });
    assert_eq!(store.get("k").as_deref(), Some(&b"v"[..]));
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    std::fs::create_dir(dir.path().join("kv")).unwrap();
    std::fs::write(dir.path().join("kv/s.redb"), vec![b'x'; 8192]).unwrap();
    assert!(matches!(files.stores(&[configured("s")]), Err(KvError::Open { .. })));
}
