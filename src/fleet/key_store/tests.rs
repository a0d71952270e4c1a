//! Tests of the key store: over a restart, between nodes, between processes.
//!
//! In: stores in directories of their own. Out: what they hold and tell. Never: a bus.

use super::*;

fn told(dirty: &[DirtyKey]) -> Vec<ToldKey> {
    let told = |one: &DirtyKey| ToldKey { name: one.name.clone(), record: one.record.clone(), gone: one.gone.clone() };
    dirty.iter().map(told).collect()
}

fn stored(name: &str, hash: u8) -> StoredKey {
    let hash = [hash; 32];
    let key = Key { name: name.into(), enabled: true, plans: vec!["gold".into()], made: keys::made(&hash) };
    StoredKey { key, hash, created_ms: 7 }
}

#[test]
fn keys_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.redb");
    let store = KeyStore::new(&path, 10);
    assert_eq!(store.list().unwrap(), []);
    assert!(!path.exists());
    store.create(stored("bob", 2)).unwrap();
    store.create(stored("alice", 1)).unwrap();
    store.create(stored("carol", 3)).unwrap();
    store.delete("carol").unwrap();
    let change = KeyChange { enabled: Some(false), plans: Some(vec!["free".into()]) };
    let changed = store.change("bob", &change).unwrap();
    assert_eq!((changed.key.enabled, &changed.key.plans[..]), (false, &["free".to_owned()][..]));
    assert_eq!(store.change("bob", &KeyChange::default()).unwrap(), changed);
    // Another process, while this one lives.
    let again = KeyStore::new(&path, 10);
    assert_eq!(again.list().unwrap(), [stored("alice", 1), changed]);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::new(&dir.path().join("keys.redb"), 2);
    store.create(stored("a", 1)).unwrap();
    let long = "x".repeat(NAME_MAX + 1);
    let many = StoredKey { key: Key { plans: vec!["p".into(); 11], ..stored("m", 9).key }, ..stored("m", 9) };
    let says = |result: Result<(), KeyStoreError>| result.unwrap_err().to_string();
    assert_eq!(says(store.create(stored("a", 2))), "there is a key \"a\" already");
    assert_eq!(says(store.create(stored("b", 1))), "another key, \"a\", has this value already");
    assert!(matches!(store.create(stored(&long, 3)), Err(KeyStoreError::Name)));
    assert!(matches!(store.create(stored("", 3)), Err(KeyStoreError::Name)));
    assert!(matches!(store.create(stored("a\nb", 3)), Err(KeyStoreError::Name)));
    assert!(matches!(store.create(many), Err(KeyStoreError::Plans)));
    store.create(stored("b", 2)).unwrap();
    assert!(matches!(store.create(stored("c", 3)), Err(KeyStoreError::Full(2))));
    assert!(matches!(store.delete("c"), Err(KeyStoreError::Unknown(_))));
    assert!(matches!(store.change("c", &KeyChange::default()), Err(KeyStoreError::Unknown(_))));
    assert_eq!(store.list().unwrap(), [stored("a", 1), stored("b", 2)]);
}

#[test]
fn what_others_are_to_be_told_and_what_they_told() {
    let dir = tempfile::tempdir().unwrap();
    let [here, there] =
        ["here", "there"].map(|name| KeyStore::telling(&dir.path().join(name), 10, Arc::new(Notify::new())));
    let carry = |from: &KeyStore, to: &KeyStore| {
        let dirty = from.dirty(10).unwrap();
        let changed = to.receive(&told(&dirty)).unwrap().changed;
        (dirty, changed)
    };
    here.create(stored("a", 1)).unwrap();
    here.create(stored("b", 2)).unwrap();
    let (dirty, changed) = carry(&here, &there);
    assert!(changed && there.list().unwrap() == here.list().unwrap());
    // Told of once, and what was received is not told on.
    assert!(there.dirty(10).unwrap().is_empty());
    here.delete("b").unwrap();
    here.told(&dirty).unwrap();
    let (dirty, changed) = carry(&here, &there);
    assert_eq!((dirty.len(), dirty[0].record.is_none(), changed), (1, true, true));
    assert_eq!(there.list().unwrap(), [stored("a", 1)]);
    assert!(!carry(&here, &there).1, "the same again changes nothing");
    // What the others do not know yet comes after what they tell.
    there.create(stored("c", 3)).unwrap();
    assert!(!there.receive(&[ToldKey { name: "c".into(), ..ToldKey::default() }]).unwrap().changed);
    let broken = ToldKey { name: "d".into(), record: Some(b"{}".to_vec()), ..ToldKey::default() };
    assert!(there.receive(&[broken]).is_err());
    assert_eq!(there.list().unwrap(), [stored("a", 1), stored("c", 3)]);
}

/// A node that was away changed a key that the others deleted, or switched off, meanwhile: it tells of it late.
#[test]
fn what_is_revoked_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let [here, away] =
        ["here", "away"].map(|name| KeyStore::telling(&dir.path().join(name), 10, Arc::new(Notify::new())));
    here.create(stored("a", 1)).unwrap();
    here.create(stored("b", 2)).unwrap();
    let dirty = here.dirty(10).unwrap();
    away.receive(&told(&dirty)).unwrap();
    here.told(&dirty).unwrap();
    here.delete("a").unwrap();
    here.change("b", &KeyChange { enabled: Some(false), plans: None }).unwrap();
    let revoked = here.dirty(10).unwrap();
    here.told(&revoked).unwrap();
    let plans = KeyChange { enabled: None, plans: Some(vec!["new".into()]) };
    away.change("a", &plans).unwrap();
    away.change("b", &plans).unwrap();
    let late = away.dirty(10).unwrap();
    // There they count at once, whatever it has yet to tell.
    let received = away.receive(&told(&revoked)).unwrap();
    assert_eq!(received, ReceivedKeys { changed: true, passed: true });
    let off = |plan: &str| {
        let key = stored("b", 2);
        StoredKey { key: Key { enabled: false, plans: vec![plan.into()], ..key.key }, ..key }
    };
    assert_eq!(away.list().unwrap(), [off("new")]);
    away.told(&late).unwrap();
    here.receive(&told(&late)).unwrap();
    assert_eq!(here.list().unwrap(), [off("new")]);
    // What it told last is not what counts: the others are told again, and no more once they were.
    let again = here.dirty(10).unwrap();
    assert_eq!(again.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    away.receive(&told(&again)).unwrap();
    here.told(&again).unwrap();
    assert!(here.dirty(10).unwrap().is_empty() && away.dirty(10).unwrap().is_empty());
    assert_eq!(away.list().unwrap(), here.list().unwrap());
    assert!(matches!(away.create(stored("a", 1)), Err(KeyStoreError::Gone(_))));
    away.create(stored("a", 3)).unwrap();
    // A hub that lost its disk is told of all that it lacks.
    here.tell_again(&["b".to_owned()].into()).unwrap();
    let names = here.dirty(10).unwrap().into_iter().map(|one| (one.name, one.gone.len()));
    assert_eq!(names.collect::<Vec<_>>(), [("a".to_owned(), 1)]);
}

#[test]
fn threads_and_stores_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.redb");
    let stores = [KeyStore::new(&path, 100), KeyStore::new(&path, 100)];
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let store = &stores[usize::from(n % 2)];
            scope.spawn(move || store.create(stored(&n.to_string(), n)).unwrap());
        }
    });
    assert_eq!(stores[0].list().unwrap().len(), 8);
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.redb");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let error = KeyStore::new(&path, 1).list().unwrap_err();
    assert!(matches!(error, KeyStoreError::Store { .. }));
    let said = error.to_string();
    assert!(said.contains("keys.redb: ") && said.contains("move the file away, and put a backup of it"), "{said}");
    // What another process or the disk does is no reason to give keys up.
    for passing in [redb::Error::DatabaseAlreadyOpen, redb::Error::Io(std::io::ErrorKind::StorageFull.into())] {
        let error = KeyStoreError::Store { path: path.clone(), source: std::sync::Arc::new(passing) };
        assert!(!error.to_string().contains("move"), "{error}");
    }
}
