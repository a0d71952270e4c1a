//! Embedded: tables in this process, on disk.
//!
//! In: calls. Out: replies, once what they changed is committed. Never: a caller's thread blocked, a stack that a request
//! can exhaust.
//!
//! SQLite in WAL mode: a write that was acknowledged survives the end of the process, however it comes. It survives the end
//! of the machine too when `sync_full` is set; else the last moments may be lost, never the order of writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dynoxide::Database;
use tokio::sync::oneshot;

use super::super::fault::{DynamoError, Fault};
use super::super::front::Clock;
use super::super::op::Op;
use super::checkpoint::Checkpointer;
use super::direct::Direct;
use super::expiry::Expiry;
use super::queue::Queue;
use super::replicas::Replicas;
use super::sidecar::Sidecar;
use super::tokens::Tokens;
use super::work::Work;
use super::{Call, Engine, Reply, Swept};
use crate::config::compiled::DynamoTable;
use crate::dynamo::version::{Outgoing, Version};

const FILE: &str = "tables.db";
/// Pages of the log that a write of the engine's takes, and a direct one: rows, indexes and a stream record.
const PAGES: usize = 8;
const PAGES_DIRECT: usize = 2;

/// How it is opened.
#[derive(Clone)]
pub struct Settings {
    /// Made when missing.
    pub directory: PathBuf,
    /// Commits wait for the disk.
    pub sync_full: bool,
    pub threads: usize,
    /// Calls that may wait.
    pub queue: usize,
    /// In ARNs, in the place of the engine's own.
    pub region: String,
    pub account: String,
    pub clock: Clock,
}

/// The engine.
pub struct Embedded {
    db: Database,
    direct: Arc<Direct>,
    sidecar: Arc<Sidecar>,
    tokens: Arc<Tokens>,
    expiry: Arc<Expiry>,
    /// Where there are global tables.
    replicas: Option<Arc<Replicas>>,
    file: PathBuf,
    checkpointer: Checkpointer,
    region: String,
    clock: Clock,
    queue: Arc<Queue>,
    /// ":dynoxide:000000000000:" and what stands for it.
    ours: String,
}

const ENGINES: &str = ":dynoxide:000000000000:";

// === impl Embedded ===
impl Embedded {
    /// Opens or makes the database. Blocks.
    ///
    /// # Errors
    /// The directory, the file or the threads cannot be had.
    pub fn open(settings: &Settings) -> Result<Embedded, DynamoError> {
        let directory = &settings.directory;
        crate::durable::private_dir(directory)
            .map_err(|source| DynamoError::Directory { path: directory.clone(), source })?;
        let file = directory.join(FILE);
        let db = database(&file, settings.sync_full)?;
        let sidecar = Arc::new(Sidecar::open(&file, settings.sync_full)?);
        let direct = Arc::new(Direct::open(&file, settings.sync_full, settings.queue)?);
        let queue = Queue::open("dynamodb", settings.threads.max(1), settings.queue).map_err(DynamoError::Thread)?;
        Ok(Embedded {
            db,
            direct,
            sidecar,
            tokens: Arc::new(Tokens::new(&file, settings.sync_full)),
            expiry: Arc::new(Expiry::new(&file, settings.sync_full)),
            replicas: None,
            checkpointer: Checkpointer::open(&file)?,
            file,
            region: settings.region.clone(),
            clock: Arc::clone(&settings.clock),
            queue: Arc::new(queue),
            ours: format!(":{}:{}:", settings.region, settings.account),
        })
    }

    /// Makes these tables global, which are there; all others are not. `node` names this PoP in stamps.
    ///
    /// # Errors
    /// A table has other keys than it is to have; the database's.
    pub fn replicate(&mut self, tables: &[&DynamoTable], node: &str) -> Result<(), DynamoError> {
        self.replicas = Replicas::open(&self.db, &self.file, tables, node)?.map(Arc::new);
        if let Some(replicas) = &self.replicas {
            self.direct.replicate(replicas);
        }
        Ok(())
    }

    /// The global tables, if there are any.
    pub fn replicas(&self) -> Option<&Arc<Replicas>> {
        self.replicas.as_ref()
    }

    /// [`Replicas::untold`], on a thread of the engine.
    ///
    /// # Errors
    /// The database's, and that the engine is busy.
    pub async fn untold(&self, most: usize) -> Result<Vec<Outgoing>, Fault> {
        self.replicating(move |replicas, _| replicas.untold(most)).await
    }

    /// [`Replicas::told`], on a thread of the engine.
    ///
    /// # Errors
    /// The database's, and that the engine is busy.
    pub async fn told(&self, each: Vec<Outgoing>) -> Result<(), Fault> {
        self.replicating(move |replicas, _| replicas.told(&each)).await
    }

    /// [`Replicas::apply`], on a thread of the engine.
    ///
    /// # Errors
    /// The database's, and that the engine is busy.
    pub async fn apply(&self, heard: Arc<[(u64, Version)]>, position: u64) -> Result<Vec<usize>, Fault> {
        let pages = PAGES * heard.len();
        let applied =
            self.replicating(move |replicas, work| replicas.apply(&work.db, &heard, position, work.now)).await;
        self.checkpointer.wrote(pages);
        applied
    }

    /// [`Replicas::position`], on a thread of the engine.
    ///
    /// # Errors
    /// The database's, and that the engine is busy.
    pub async fn position(&self) -> Result<u64, Fault> {
        self.replicating(|replicas, _| replicas.position()).await
    }

    /// [`Replicas::afresh`], on a thread of the engine.
    ///
    /// # Errors
    /// The database's, and that the engine is busy.
    pub async fn afresh(&self) -> Result<(), Fault> {
        self.replicating(|replicas, _| replicas.afresh()).await
    }

    fn wrote(&self, pages: usize) {
        self.checkpointer.wrote(pages);
        if let Some(replicas) = &self.replicas {
            replicas.wrote();
        }
    }

    async fn replicating<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Replicas, &Work) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let run = |work: Work| match &work.replicas {
            Some(replicas) => job(replicas, &work),
            None => Err(Fault::internal()),
        };
        self.on_thread(run).await.and_then(|result| result)
    }

    /// Does a call on this thread, which it blocks: before there are others.
    ///
    /// # Errors
    /// As [`Engine::call`].
    pub fn call_now(&self, mut call: Call) -> Result<Reply, Fault> {
        self.inward(&mut call);
        let op = call.op;
        self.outward(op, self.work().done(call))
    }

    fn work(&self) -> Work {
        Work {
            db: self.db.clone(),
            direct: Arc::clone(&self.direct),
            sidecar: Arc::clone(&self.sidecar),
            tokens: Arc::clone(&self.tokens),
            expiry: Arc::clone(&self.expiry),
            replicas: self.replicas.clone(),
            region: self.region.clone(),
            now: (self.clock)(),
        }
    }

    /// Runs `job` on one of the engine's threads.
    async fn on_thread<T: Send + 'static>(&self, job: impl FnOnce(Work) -> T + Send + 'static) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let work = self.work();
        let queued = self.queue.push(move || {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(job(work));
        });
        queued.map_err(|_| Fault::unavailable())?;
        answered.await.map_err(|_| Fault::internal())
    }

    /// ARNs that came with a request, as the engine knows them.
    fn inward(&self, call: &mut Call) {
        for name in ["ResourceArn", "ExclusiveStartStreamArn"] {
            if let Some(serde_json::Value::String(arn)) = call.request.get_mut(name)
                && arn.contains(&self.ours)
            {
                *arn = arn.replacen(&self.ours, ENGINES, 1);
            }
        }
    }

    /// The engine's ARNs, as the world knows them. Only answers about tables hold any.
    fn outward(&self, op: Op, result: Result<Reply, Fault>) -> Result<Reply, Fault> {
        if op.metered() {
            return result;
        }
        match result {
            Ok(reply) => {
                let text = String::from_utf8(reply.body).map_err(|_| Fault::internal())?;
                Ok(Reply { body: text.replace(ENGINES, &self.ours).into_bytes(), ..reply })
            }
            Err(fault) => {
                let message = fault.message.map(|message| message.replace(ENGINES, &self.ours));
                Err(Fault { message, ..fault })
            }
        }
    }
}

fn database(path: &Path, sync_full: bool) -> Result<Database, DynamoError> {
    let failed = |error: dynoxide::DynoxideError| DynamoError::Database(error.to_string());
    let text = path.to_str().ok_or_else(|| DynamoError::Database("its path is not UTF-8".to_owned()))?;
    let db = Database::new(text).map_err(failed)?;
    if !sync_full {
        // The engine's only way to NORMAL. As it opens, SQLite's own default holds, which is FULL.
        db.disable_bulk_loading().map_err(failed)?;
    }
    Ok(db)
}

#[async_trait]
impl Engine for Embedded {
    async fn call(&self, mut call: Call) -> Result<Reply, Fault> {
        let op = call.op;
        if let Some(reply) = self.direct.read_now(&call) {
            return Ok(reply);
        }
        if let Some(write) = self.direct.writes(&call)
            && let Some(reply) = self.direct.write(write).await?
        {
            self.wrote(PAGES_DIRECT);
            return Ok(reply);
        }
        self.inward(&mut call);
        let result = self.on_thread(move |work| work.done(call)).await.and_then(|result| result);
        if op.metered() && !op.reads() {
            self.wrote(PAGES);
        }
        self.outward(op, result)
    }

    fn meters(&self) -> bool {
        true
    }

    async fn sweep(&self) -> Result<Swept, Fault> {
        let swept = self.on_thread(|work| work.sweep()).await.and_then(|result| result)?;
        if swept.items > 0 {
            self.wrote(PAGES * swept.items);
        }
        Ok(swept)
    }

    async fn close(&self) {
        let (queue, direct) = (Arc::clone(&self.queue), Arc::clone(&self.direct));
        let close = move || {
            queue.join();
            direct.close();
        };
        if let Err(error) = tokio::task::spawn_blocking(close).await {
            log::error!("dynamodb: the embedded engine did not close: {error}");
        }
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}
