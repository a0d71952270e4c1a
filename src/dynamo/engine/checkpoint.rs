//! Checkpoint: the write-ahead log taken into the database, beside the writes.
//!
//! In: that something was written. Out: a short log. Never: a write that waits for the disk, unless the log is past its bound.
//!
//! SQLite would do it within every thousandth page's commit, and sync the disk twice while all requests wait. A connection of
//! its own does it meanwhile; the engine's then finds nothing to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::super::fault::DynamoError;

/// Pages of the log, as far as is known, after which it is time. At a thousand SQLite would do it within a commit of the engine's.
const STEP: usize = 512;
/// Pages of the log past which writes wait until it begins anew: 64 MiB.
const LOG_MAX: i64 = 16_384;
/// How long to wait for writes under way then.
const BUSY: Duration = Duration::from_secs(5);

/// The thread that does it; it ends when this goes.
pub struct Checkpointer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    written: AtomicUsize,
    closed: Mutex<bool>,
    wake: Condvar,
}

// === impl Checkpointer ===
impl Checkpointer {
    /// # Errors
    /// The file or a thread cannot be had.
    pub fn open(path: &Path) -> Result<Checkpointer, DynamoError> {
        let failed = |error: rusqlite::Error| DynamoError::Database(error.to_string());
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("dynamodb-log".to_owned());
        thread.spawn(move || own.work(&connection)).map_err(DynamoError::Thread)?;
        Ok(Checkpointer { shared })
    }

    /// Something was written: about so many pages of the log.
    pub fn wrote(&self, pages: usize) {
        if self.shared.written.fetch_add(pages, Ordering::Relaxed) + pages >= STEP {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.shared.closed.lock() = true;
        self.shared.wake.notify_one();
    }
}

// === impl Shared ===
impl Shared {
    fn work(&self, connection: &Connection) {
        loop {
            let mut closed = self.closed.lock();
            while !*closed && self.written.load(Ordering::Relaxed) < STEP {
                self.wake.wait(&mut closed);
            }
            if *closed {
                return;
            }
            drop(closed);
            self.written.store(0, Ordering::Relaxed);
            if let Err(error) = checkpoint(connection) {
                log::warn!("dynamodb: the log cannot be taken into the database: {error}");
            }
        }
    }
}

/// Takes the log in; how many pages it had.
fn checkpoint(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let take = |how: &str| {
        connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
    };
    let (pages, taken) = take("PASSIVE")?;
    if pages > LOG_MAX && taken < pages {
        take("RESTART")?;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_taken_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let log = Connection::open(&path).unwrap();
        for _ in 0..100 {
            writer.execute("INSERT INTO t VALUES (zeroblob(9000))", []).unwrap();
        }
        assert!(checkpoint(&log).unwrap() > 200);
        writer.execute("INSERT INTO t VALUES (1)", []).unwrap();
        assert!(checkpoint(&log).unwrap() < 10, "it begins anew");
    }

    #[test]
    fn its_thread_works_and_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (x)").unwrap();
        let checkpointer = Checkpointer::open(&path).unwrap();
        checkpointer.wrote(STEP - 1);
        checkpointer.wrote(1);
        while checkpointer.shared.written.load(Ordering::Relaxed) != 0 {
            std::thread::yield_now();
        }
        let shared = Arc::downgrade(&checkpointer.shared);
        drop(checkpointer);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
