//! Tests of the purge log: what is on disk after crashes, and in what order.

use super::*;
use crate::cache::purge::Marks;
use crate::cache::purge::Scope;
use crate::cache::purge::tests::meta;

fn purge(scope: Scope, soft: bool, at: u64) -> Purge {
    Purge { scope, soft, at: Stamp(at) }
}

fn tag(n: u64, at: u64) -> Purge {
    purge(Scope::Tag(format!("t{n}").into()), false, at)
}

fn accept(log: &PurgeLog, purges: &[Purge]) -> u64 {
    let (number, outcome) = log.accept(|_| purges.to_vec());
    outcome.unwrap();
    number
}

fn one_of_each() -> Vec<Purge> {
    vec![
        purge(Scope::All, false, 1),
        purge(Scope::Host("h".into()), true, 2),
        purge(Scope::Url { host: "h".into(), uri: "/a?b".into() }, false, 3),
        purge(Scope::Prefix { host: None, path: "/".into() }, true, 4),
        purge(Scope::Prefix { host: Some("h".into()), path: "/a".into() }, false, 5),
        purge(Scope::Tag("t".into()), true, 6),
    ]
}

#[test]
fn every_scope_reads_back() {
    for purge in one_of_each() {
        assert_eq!(decode(purge.at, &encode(&purge)), Some(purge));
    }
    for broken in [&b""[..], b"\x06", b"\x02no end", b"\x05\xff"] {
        assert_eq!(decode(Stamp(1), broken), None, "{broken:?}");
    }
}

#[test]
fn reopening_returns_what_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("purges.redb");
    let Opened { log, purges: before, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!((before.len(), log.last()), (0, Stamp(0)));
    log.append(&one_of_each()).unwrap();
    // Twice, and several at one stamp.
    log.append(&one_of_each()).unwrap();
    log.append(&[tag(1, 6)]).unwrap();
    drop(log);
    let Opened { log, purges, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!(log.last(), Stamp(6));
    let mut want = one_of_each();
    want.push(tag(1, 6));
    assert_eq!(purges.len(), want.len());
    assert!(want.iter().all(|purge| purges.contains(purge)));
    assert!(purges.is_sorted_by_key(|purge| purge.at));
}

#[test]
fn a_kill_loses_nothing_that_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (path, image) = (dir.path().join("purges.redb"), dir.path().join("killed.redb"));
    let Opened { log, .. } = PurgeLog::open(&path).unwrap();
    for n in 1..20 {
        log.append(&[tag(n, n)]).unwrap();
    }
    // A write that never commits, and the file as a killed process leaves it: nothing was closed.
    let unfinished = log.db.with(|db| {
        let write = db.begin_write()?;
        write.open_table(PURGES)?.insert((99, &b"\x05lost"[..]), ())?;
        std::fs::copy(&path, &image).unwrap();
        Ok(())
    });
    unfinished.unwrap();
    let Opened { log: killed, purges, .. } = PurgeLog::open(&image).unwrap();
    assert_eq!(purges, (1..20).map(|n| tag(n, n)).collect::<Vec<_>>());
    assert_eq!(killed.last(), Stamp(19));
}

#[test]
fn callers_that_overlap_all_become_durable() {
    const CALLERS: u64 = 16;
    const EACH: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("purges.redb");
    let Opened { log, .. } = PurgeLog::open(&path).unwrap();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let log = &log;
            scope.spawn(move || {
                for n in 1..=EACH {
                    let at = caller * EACH + n;
                    log.append(&[tag(at, at)]).unwrap();
                    assert!(log.last() >= Stamp(at));
                }
            });
        }
    });
    drop(log);
    let Opened { purges, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!(purges, (1..=CALLERS * EACH).map(|n| tag(n, n)).collect::<Vec<_>>());
}

#[test]
fn compaction_keeps_verdicts() {
    const SCOPES: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("purges.redb");
    let Opened { log, .. } = PurgeLog::open(&path).unwrap();
    let cell = MarksCell::new(Marks::new(SCOPES));
    for at in 1..=200 {
        let purge = Purge { soft: at % 3 == 0, ..tag(at * 7 % 13, at) };
        log.append(std::slice::from_ref(&purge)).unwrap();
        cell.apply(&[purge]);
    }
    assert!(log.overgrown(SCOPES));
    assert!(log.compact(&cell).unwrap() > 150);
    assert!(!log.overgrown(SCOPES));
    drop(log);
    let Opened { log, purges, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!(log.last(), Stamp(200));
    let again = MarksCell::new(Marks::new(SCOPES));
    again.apply(&purges);
    for n in 0..14 {
        for began in 0..=201 {
            let meta = meta("h", "/", &[&format!("t{n}")], began);
            assert_eq!(again.verdict(&meta), cell.verdict(&meta), "t{n} {began}");
        }
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("purges.redb");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    assert!(matches!(PurgeLog::open(&path), Err(FleetError::Open { .. })));
}

#[test]
fn what_others_are_to_be_told_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("purges.redb");
    let Opened { log, progress, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!((log.outgoing(10).unwrap(), progress), (None, Progress::default()));
    log.append(&[tag(0, 1)]).unwrap();
    assert_eq!(log.outgoing(10).unwrap(), None, "it concerns this node alone");
    assert_eq!(accept(&log, &[tag(1, 2), tag(2, 3)]), 1);
    assert_eq!(accept(&log, &[tag(3, 4)]), 2);
    let lineage = log.lineage();
    drop(log);
    let Opened { log, purges, .. } = PurgeLog::open(&path).unwrap();
    assert_eq!((log.lineage(), purges.len()), (lineage, 4));
    let bare = |n: u64, purge: Purge| (n, Purge { at: Stamp(0), ..purge });
    let both = Outgoing { first: 1, last: 2, purges: vec![bare(1, tag(1, 2)), bare(1, tag(2, 3)), bare(2, tag(3, 4))] };
    assert_eq!(log.outgoing(10).unwrap(), Some(both.clone()));
    // One number is never cut in two.
    assert_eq!(log.outgoing(1).unwrap(), Some(Outgoing { last: 1, purges: both.purges[..2].to_vec(), ..both.clone() }));
    log.sent(1).unwrap();
    assert_eq!(log.outgoing(10).unwrap(), Some(Outgoing { first: 2, purges: both.purges[2..].to_vec(), ..both }));
    log.sent(2).unwrap();
    assert_eq!(log.outgoing(10).unwrap(), None);
    assert_eq!(accept(&log, &[tag(4, 5)]), 3);
    assert_eq!(log.number(), 3);
}

#[test]
fn a_purge_and_the_note_that_it_was_seen_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, image) = (dir.path().join("purges.redb"), dir.path().join("killed.redb"));
    let Opened { log, mut progress, .. } = PurgeLog::open(&path).unwrap();
    for n in 1..20 {
        progress.position = Seq(n);
        progress.seen.note(7, n, n);
        log.receive(&[tag(n, n)], &progress).unwrap();
        std::fs::copy(&path, &image).unwrap();
        let killed = PurgeLog::open(&image).unwrap();
        assert_eq!((killed.purges.len() as u64, &killed.progress), (n, &progress));
        assert_eq!(killed.progress.seen.vector().get(7), n);
    }
}

#[test]
fn one_message_holds_what_a_bus_takes() {
    let dir = tempfile::tempdir().unwrap();
    let Opened { log, .. } = PurgeLog::open(&dir.path().join("purges.redb")).unwrap();
    // Requests as large as they may be.
    for n in 1..=4 {
        let long = |m: u64| purge(Scope::Tag(format!("{m:08000}").into()), false, n);
        accept(&log, &(0..32).map(long).collect::<Vec<_>>());
    }
    let mut told = 0;
    while let Some(outgoing) = log.outgoing(usize::MAX).unwrap() {
        assert_eq!(outgoing.first, told + 1);
        outgoing.message(7).checked().unwrap();
        told = outgoing.last;
        log.sent(told).unwrap();
    }
    assert_eq!(told, 4);
}

#[test]
fn a_disk_that_is_well_again_is_written_again() {
    let full = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let backend = Tight { bytes: Arc::default(), full: full.clone() };
    let open: Opener = Box::new(move || Database::builder().create_with_backend(backend.clone()));
    let Opened { log, .. } = PurgeLog::load(open, Path::new("purges"), 7).unwrap();
    assert_eq!(accept(&log, &[tag(1, 1)]), 1);
    full.store(true, Ordering::Release);
    for n in 2..=3 {
        let (number, outcome) = log.accept(|_| vec![tag(n, n)]);
        assert_eq!((number, outcome.is_err()), (n, true));
    }
    full.store(false, Ordering::Release);
    assert_eq!(accept(&log, &[tag(4, 4)]), 4);
    let outgoing = log.outgoing(9).unwrap().unwrap();
    assert_eq!((outgoing.first, outgoing.last), (1, 4));
    assert_eq!(outgoing.purges.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 4], "what was refused is not told");
}

/// A disk that may be full.
#[derive(Debug, Clone)]
struct Tight {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<std::sync::atomic::AtomicBool>,
}

impl Tight {
    fn room(&self) -> std::io::Result<()> {
        if self.full.load(Ordering::Acquire) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl redb::StorageBackend for Tight {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        out.copy_from_slice(&self.bytes.lock()[offset as usize..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.room()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.room()?;
        self.bytes.lock()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}
