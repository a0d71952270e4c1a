//! Beside: the engine's own code over a connection that we see, whose triggers add to its commits.
//!
//! In: SQL that sets the connection up, operations. Out: what the engine does. Never: a table known as it was before it changed.
//!
//! The engine lets nobody join its transactions. Temporary triggers do: they belong to one connection, so that no other write pays.

use std::path::{Path, PathBuf};

use dynoxide::DynoxideError;
use dynoxide::storage::Storage;
use futures::FutureExt as _;
use parking_lot::Mutex;

use super::super::fault::Fault;
use super::super::op::Op;
use super::dispatch;

/// The connection, once it is needed.
pub struct Beside {
    path: PathBuf,
    sync_full: bool,
    setup: &'static str,
    /// With the generation of tables that it knows.
    open: Mutex<Option<(u64, Storage)>>,
}

// === impl Beside ===
impl Beside {
    /// On the engine's file. `setup` is run whenever it is opened.
    pub fn new(path: &Path, sync_full: bool, setup: &'static str) -> Beside {
        Beside { path: path.to_owned(), sync_full, setup, open: Mutex::new(None) }
    }

    /// Does `job` over it. `generation` moves when what tables are may have changed: the engine remembers tables by connection.
    ///
    /// # Errors
    /// It cannot be opened; those of `job`.
    pub fn with<T>(&self, generation: u64, job: impl FnOnce(&Storage) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut open = self.open.lock();
        // One that a panic left in a transaction is of no more use.
        let known = open.take().filter(|(at, storage)| *at == generation && storage.conn().is_autocommit());
        let storage = match known {
            Some((_, storage)) => storage,
            None => self.opened()?,
        };
        let (_, storage) = open.insert((generation, storage));
        job(storage)
    }

    fn opened(&self) -> Result<Storage, Fault> {
        let path = self.path.to_str().ok_or_else(Fault::internal)?;
        let storage = Storage::new(path).map_err(|error| failed(&error))?;
        let connection = storage.conn();
        let synchronous = if self.sync_full { "FULL" } else { "NORMAL" };
        connection
            .pragma_update(None, "synchronous", synchronous)
            // The checkpointer's: a commit is not to wait for the disk.
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 0))
            .and_then(|()| connection.execute_batch(self.setup))
            .map_err(|error| failed(&error))?;
        Ok(storage)
    }
}

/// What an operation of the engine comes to over such a connection, which it never waits for.
///
/// # Errors
/// What AWS would say.
pub fn done<T>(op: Op, answer: impl Future<Output = Result<T, DynoxideError>>) -> Result<T, Fault> {
    answer.now_or_never().ok_or_else(Fault::internal)?.map_err(|error| dispatch::fault(op, error))
}

fn failed(error: &dyn std::error::Error) -> Fault {
    log::error!("dynamodb: a connection to the tables: {error}");
    Fault::internal()
}
