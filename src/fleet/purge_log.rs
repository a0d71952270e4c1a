//! Purge log: every accepted purge, on disk before it counts.
//!
//! In: purges. Out: all purges again after a restart. Never: which objects they cover (the marks decide).
//!
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`. The order for a new purge is `append`, then
//! [`MarksCell::apply`]: what viewers stopped getting must not come back after a crash. When [`PurgeLog::open`] fails, what
//! was purged is unknown: the caller must set the file aside, open a new log and append a purge of everything.

use super::FleetError;
use crate::cache::object::Stamp;
use crate::cache::purge::{MarksCell, Purge, Scope};
use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Stamp and encoded scope. Both are the key: purges made at once may share a stamp, and writing one twice is harmless.
const PURGES: TableDefinition<'static, (u64, &[u8]), ()> = TableDefinition::new("purges");

/// Entries looked at or removed by compaction before it lets purges through again.
const STEP: usize = 4096;

/// redb's page cache for the log, in bytes: it is written far more than read.
const PAGE_CACHE: usize = 4 << 20;

/// The durable log of one PoP.
#[derive(Debug)]
pub struct PurgeLog {
    db: Database,
    queue: Mutex<Queue>,
    committed: Condvar,
    /// Newest stamp that is durable.
    last: AtomicU64,
    /// Entries on disk.
    len: AtomicU64,
}

/// Group commit: callers that come while a commit runs share the next one. It holds at most what the callers blocked in
/// [`PurgeLog::append`] brought.
#[derive(Debug, Default)]
struct Queue {
    gathering: Arc<Batch>,
    waiting: Vec<Purge>,
    /// Whether one of the callers is writing for all.
    writing: bool,
}

/// One commit, and how it went once it is over.
#[derive(Debug, Default)]
struct Batch(OnceLock<Result<(), FleetError>>);

// === impl PurgeLog ===
impl PurgeLog {
    /// Opens or creates the log and returns all purges in it, oldest first.
    pub fn open(path: &Path) -> Result<(PurgeLog, Vec<Purge>), FleetError> {
        let failed = |e: redb::Error| FleetError::Open { path: path.to_owned(), source: Arc::new(e) };
        let db = Database::builder().set_cache_size(PAGE_CACHE).create(path).map_err(|e| failed(e.into()))?;
        // The table must exist before the first read.
        let create = || -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            write.open_table(PURGES)?;
            Ok(write.commit()?)
        };
        create().map_err(failed)?;
        let mut purges = Vec::new();
        let log = PurgeLog {
            db,
            queue: Mutex::default(),
            committed: Condvar::new(),
            last: AtomicU64::new(0),
            len: AtomicU64::new(0),
        };
        log.each(|purge| purges.push(purge))?;
        log.len.store(purges.len() as u64, Ordering::Relaxed);
        log.last.store(purges.last().map_or(0, |purge| purge.at.0), Ordering::Relaxed);
        Ok((log, purges))
    }

    /// The newest stamp in the log: new stamps must come after it (`Stamps::after`).
    pub fn last(&self) -> Stamp {
        Stamp(self.last.load(Ordering::Acquire))
    }

    /// Whether the log holds more than twice what `scopes` distinct scopes need: time to [`PurgeLog::compact`].
    pub fn overgrown(&self, scopes: usize) -> bool {
        // Each scope has a hard and a soft mark at most, "all" as well.
        self.len.load(Ordering::Relaxed) > 2 * (scopes as u64 + 1)
    }

    /// Writes purges; when it returns `Ok` they are on disk (fsync). Callers that overlap share one commit.
    pub fn append(&self, purges: &[Purge]) -> Result<(), FleetError> {
        let mut queue = self.queue.lock();
        queue.waiting.extend_from_slice(purges);
        let mine = queue.gathering.clone();
        loop {
            if let Some(outcome) = mine.0.get() {
                return outcome.clone();
            }
            if queue.writing {
                self.committed.wait(&mut queue);
                continue;
            }
            // Nobody writes, so the batch being gathered is still mine: write it for everyone in it.
            queue.writing = true;
            let (batch, purges) = (mem::take(&mut queue.gathering), mem::take(&mut queue.waiting));
            drop(queue);
            let outcome = self.write(&purges).map_err(|e| FleetError::Write(Arc::new(e)));
            queue = self.queue.lock();
            queue.writing = false;
            // Set once: only the caller that took the batch does.
            let _ = batch.0.set(outcome);
            self.committed.notify_all();
        }
    }

    /// Forgets entries that newer ones made needless; returns how many. All purges in `marks` must be in the log already
    /// (`append` before `apply`). Purges go on meanwhile, and a crash at any point keeps every verdict.
    pub fn compact(&self, marks: &MarksCell) -> Result<usize, FleetError> {
        let mut needless = Vec::new();
        let mut step = Vec::with_capacity(STEP);
        let mut judge = |step: &mut Vec<Purge>| {
            marks.read(|marks| step.retain(|purge| marks.supersedes(purge)));
            needless.append(step);
        };
        self.each(|purge| {
            step.push(purge);
            if step.len() == STEP {
                judge(&mut step);
            }
        })?;
        judge(&mut step);
        // Scopes folded into "all" left no entry of their own for it: written before theirs go.
        let all: Vec<Purge> = marks.read(|marks| marks.all().collect());
        let failed = |e: redb::Error| FleetError::Write(Arc::new(e));
        self.write(&all).map_err(failed)?;
        for purges in needless.chunks(STEP) {
            self.forget(purges).map_err(failed)?;
        }
        Ok(needless.len())
    }

    /// One durable commit (redb's default durability is an fsync).
    fn write(&self, purges: &[Purge]) -> Result<(), redb::Error> {
        let write = self.db.begin_write()?;
        let len = {
            let mut table = write.open_table(PURGES)?;
            for purge in purges {
                table.insert((purge.at.0, encode(purge).as_slice()), ())?;
            }
            table.len()?
        };
        write.commit()?;
        self.len.store(len, Ordering::Relaxed);
        let newest = purges.iter().map(|purge| purge.at.0).max().unwrap_or(0);
        self.last.fetch_max(newest, Ordering::AcqRel);
        Ok(())
    }

    fn forget(&self, purges: &[Purge]) -> Result<(), redb::Error> {
        let write = self.db.begin_write()?;
        let len = {
            let mut table = write.open_table(PURGES)?;
            for purge in purges {
                table.remove((purge.at.0, encode(purge).as_slice()))?;
            }
            table.len()?
        };
        write.commit()?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    /// Every entry as of now, oldest first.
    fn each(&self, mut visit: impl FnMut(Purge)) -> Result<(), FleetError> {
        let failed = |e: redb::Error| FleetError::Read(Arc::new(e));
        let read = self.db.begin_read().map_err(|e| failed(e.into()))?;
        let table = read.open_table(PURGES).map_err(|e| failed(e.into()))?;
        for entry in table.iter().map_err(|e| failed(e.into()))? {
            let (key, _) = entry.map_err(|e| failed(e.into()))?;
            let (stamp, bytes) = key.value();
            visit(decode(Stamp(stamp), bytes).ok_or(FleetError::Entry { stamp })?);
        }
        Ok(())
    }
}

/// One byte of kind (bit 7: soft), then the host with a zero byte after it where the kind has one, then the rest. Host names
/// have no zero byte.
fn encode(purge: &Purge) -> Vec<u8> {
    let (kind, host, rest) = match &purge.scope {
        Scope::All => (0, None, ""),
        Scope::Host(host) => (1, None, &**host),
        Scope::Url { host, uri } => (2, Some(host), &**uri),
        Scope::Prefix { host: None, path } => (3, None, &**path),
        Scope::Prefix { host: Some(host), path } => (4, Some(host), &**path),
        Scope::Tag(tag) => (5, None, &**tag),
    };
    let mut out = vec![kind | if purge.soft { 0x80 } else { 0 }];
    if let Some(host) = host {
        out.extend_from_slice(host.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn decode(at: Stamp, bytes: &[u8]) -> Option<Purge> {
    let (first, rest) = bytes.split_first()?;
    let rest = std::str::from_utf8(rest).ok()?;
    let pair = || rest.split_once('\0').map(|(host, rest)| (host.into(), rest.into()));
    let scope = match first & 0x7f {
        0 => Scope::All,
        1 => Scope::Host(rest.into()),
        2 => pair().map(|(host, uri)| Scope::Url { host, uri })?,
        3 => Scope::Prefix { host: None, path: rest.into() },
        4 => pair().map(|(host, path)| Scope::Prefix { host: Some(host), path })?,
        5 => Scope::Tag(rest.into()),
        _ => return None,
    };
    Some(Purge { scope, soft: first & 0x80 != 0, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::purge::Marks;
    use crate::cache::purge::tests::meta;

    fn purge(scope: Scope, soft: bool, at: u64) -> Purge {
        Purge { scope, soft, at: Stamp(at) }
    }

    fn tag(n: u64, at: u64) -> Purge {
        purge(Scope::Tag(format!("t{n}").into()), false, at)
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
        let (log, before) = PurgeLog::open(&path).unwrap();
        assert_eq!((before.len(), log.last()), (0, Stamp(0)));
        log.append(&one_of_each()).unwrap();
        // Twice, and several at one stamp.
        log.append(&one_of_each()).unwrap();
        log.append(&[tag(1, 6)]).unwrap();
        drop(log);
        let (log, purges) = PurgeLog::open(&path).unwrap();
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
        let (log, _) = PurgeLog::open(&path).unwrap();
        for n in 1..20 {
            log.append(&[tag(n, n)]).unwrap();
        }
        // A write that never commits, and the file as a killed process leaves it: nothing was closed.
        let write = log.db.begin_write().unwrap();
        write.open_table(PURGES).unwrap().insert((99, &b"\x05lost"[..]), ()).unwrap();
        std::fs::copy(&path, &image).unwrap();
        drop(write);
        let (killed, purges) = PurgeLog::open(&image).unwrap();
        assert_eq!(purges, (1..20).map(|n| tag(n, n)).collect::<Vec<_>>());
        assert_eq!(killed.last(), Stamp(19));
    }

    #[test]
    fn callers_that_overlap_all_become_durable() {
        const CALLERS: u64 = 16;
        const EACH: u64 = 25;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let (log, _) = PurgeLog::open(&path).unwrap();
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
        let (_, purges) = PurgeLog::open(&path).unwrap();
        assert_eq!(purges, (1..=CALLERS * EACH).map(|n| tag(n, n)).collect::<Vec<_>>());
    }

    #[test]
    fn compaction_keeps_verdicts() {
        const SCOPES: usize = 8;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let (log, _) = PurgeLog::open(&path).unwrap();
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
        let (log, purges) = PurgeLog::open(&path).unwrap();
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
}
