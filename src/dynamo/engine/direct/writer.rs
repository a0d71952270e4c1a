//! Writer: a thread that writes, and commits together what waits together.
//!
//! In: writes. Out: what they consumed, once they are committed. Never: a write answered that is not committed, or one committed
//! that is said to be the engine's.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dynoxide::types::{Item, table_write_capacity_units};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::asked::{What, Write};
use super::record;
use crate::dynamo::capacity::{Consumed, Side};
use crate::dynamo::engine::Reply;
use crate::dynamo::engine::replicas::Replicas;
use crate::dynamo::fault::{DynamoError, Fault};

/// Writes of one transaction.
const TOGETHER_MAX: usize = 128;
/// Statements that are kept ready.
const STATEMENTS: usize = 256;
/// How long to wait for a transaction of the sweep, the ledger or the log.
const BUSY: Duration = Duration::from_secs(5);

/// The thread.
pub struct Writer {
    shared: Arc<Shared>,
    bound: usize,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    turn: Arc<Mutex<()>>,
    generation: Arc<AtomicU64>,
    replicas: OnceLock<Arc<Replicas>>,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    closed: bool,
}

struct Job {
    write: Write,
    answer: oneshot::Sender<Option<Reply>>,
}

// === impl Writer ===
impl Writer {
    /// `turn` is held while something is written. `generation`: what was asked under another is the engine's.
    pub fn open(
        path: &Path,
        sync_full: bool,
        bound: usize,
        turn: Arc<Mutex<()>>,
        generation: Arc<AtomicU64>,
    ) -> Result<Writer, DynamoError> {
        let failed = |error: rusqlite::Error| DynamoError::Database(error.to_string());
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "synchronous", if sync_full { "FULL" } else { "NORMAL" }).map_err(failed)?;
        // The checkpointer's: a commit is not to wait for the disk.
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
        let (waiting, arrived, replicas) = (Mutex::default(), Condvar::new(), OnceLock::new());
        let shared = Arc::new(Shared { waiting, arrived, turn, generation, replicas });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("dynamodb-write".to_owned());
        let thread = thread.spawn(move || own.work(&connection)).map_err(DynamoError::Thread)?;
        Ok(Writer { shared, bound, thread: Mutex::new(Some(thread)) })
    }

    /// Some tables are global.
    pub fn replicate(&self, replicas: &Arc<Replicas>) {
        // There is one opening, by one thread.
        let _ = self.shared.replicas.set(Arc::clone(replicas));
    }

    /// Writes it; `None`: nothing was written, and the engine is to be asked.
    pub async fn write(&self, write: Write) -> Result<Option<Reply>, Fault> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting.lock();
            if waiting.closed || waiting.jobs.len() >= self.bound {
                return Err(Fault::unavailable());
            }
            waiting.jobs.push(Job { write, answer });
        }
        self.shared.arrived.notify_one();
        answered.await.map_err(|_| Fault::internal())
    }

    /// Takes no more; what waits is still done. Blocks.
    pub fn join(&self) {
        self.close();
        if let Some(thread) = self.thread.lock().take() {
            // A panic was answered by dropped channels.
            let _ = thread.join();
        }
    }

    fn close(&self) {
        self.shared.waiting.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Shared ===
impl Shared {
    fn work(&self, connection: &Connection) {
        let mut jobs = Vec::with_capacity(TOGETHER_MAX);
        while self.take(&mut jobs) {
            // A panic costs those who wait for it, not the thread.
            let write = std::panic::AssertUnwindSafe(|| self.write(connection, &mut jobs));
            if std::panic::catch_unwind(write).is_err() {
                log::error!("dynamodb: a write panicked");
                jobs.clear();
            }
        }
    }

    /// Waits for writes; whether there are any, or the thread is to end.
    fn take(&self, jobs: &mut Vec<Job>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return false;
            }
            self.arrived.wait(&mut waiting);
        }
        let count = waiting.jobs.len().min(TOGETHER_MAX);
        jobs.extend(waiting.jobs.drain(..count));
        true
    }

    fn write(&self, connection: &Connection, jobs: &mut Vec<Job>) {
        let done = {
            // Versions of other PoPs are applied when nobody writes.
            let _writing = self.replicas.get().map(|replicas| replicas.writing());
            let _turn = self.turn.lock();
            let all: Vec<&Write> = jobs.iter().map(|job| &job.write).collect();
            match self.together(connection, &all) {
                Ok(done) => done,
                // One of them may be to blame.
                Err(_) if all.len() > 1 => {
                    let alone = |write| self.together(connection, &[write]).ok().and_then(|mut done| done.pop()?);
                    all.into_iter().map(alone).collect()
                }
                Err(error) => {
                    log::debug!("dynamodb: left to the engine: {error}");
                    vec![None]
                }
            }
        };
        for (job, reply) in jobs.drain(..).zip(done) {
            // Whoever asked may have gone.
            let _ = job.answer.send(reply);
        }
    }

    /// All or none; `None` for those that are the engine's.
    fn together(&self, connection: &Connection, writes: &[&Write]) -> rusqlite::Result<Vec<Option<Reply>>> {
        let say = |word: &str| connection.prepare_cached(word)?.execute([]).map(drop);
        let each = |()| writes.iter().map(|write| self.one(connection, write)).collect::<rusqlite::Result<Vec<_>>>();
        let done = say("BEGIN IMMEDIATE").and_then(each).and_then(|done| say("COMMIT").map(|()| done));
        if done.is_err() && !connection.is_autocommit() {
            say("ROLLBACK")?;
        }
        done
    }

    fn one(&self, connection: &Connection, write: &Write) -> rusqlite::Result<Option<Reply>> {
        let Write { schema, pk, sk, what, metered } = write;
        if schema.generation != self.generation.load(Ordering::Acquire) {
            return Ok(None);
        }
        let old: Option<(usize, Option<String>)> = match *metered || schema.stream {
            true => {
                let mut query = connection.prepare_cached(&schema.old)?;
                let item = |row: &rusqlite::Row<'_>| if schema.stream { row.get(1).map(Some) } else { Ok(None) };
                query.query_row([pk, sk], |row| Ok((row.get(0)?, item(row)?))).optional()?
            }
            false => None,
        };
        let new = match what {
            What::Put { item, size, hash, .. } => {
                let global = self.replicas.get().is_some_and(|replicas| replicas.has(&schema.name));
                // Its triggers know the engine's way of putting only.
                let sql = if global { &schema.replace } else { &schema.put };
                connection.prepare_cached(sql)?.execute(params![pk, sk, item, size, hash])?;
                Some(*size)
            }
            What::Delete => {
                connection.prepare_cached(&schema.delete)?.execute([pk, sk])?;
                None
            }
        };
        if schema.stream {
            let before = old.as_ref().and_then(|(_, item)| item.as_deref());
            match what {
                What::Put { item, keys: Some(keys), .. } => {
                    record::insert(connection, schema, keys, Some(item), before)?
                }
                _ => {
                    if let Some(before) = before {
                        let item: Item = serde_json::from_str(before).map_err(unreadable)?;
                        let keys = record::keys(schema, &item).map_err(unreadable)?;
                        record::insert(connection, schema, &keys, None, Some(before))?;
                    }
                }
            }
        }
        let units = metered.then(|| table_write_capacity_units(old.map(|(size, _)| size), new));
        let consumed = units.map(|units| Consumed::of(&schema.name, Side::Write, units)).into_iter().collect();
        Ok(Some(Reply { body: b"{}".to_vec(), consumed }))
    }
}

fn unreadable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
