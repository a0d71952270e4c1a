//! Direct: plain reads and writes of items by statements of our own that are kept ready, in the engine's file.
//!
//! In: calls. Out: the engine's own answers, sooner. Never: a call whose answer is not certain: all but GetItem and Query by
//! key, and PutItem and DeleteItem without a condition, and whatever of these is not plain, is left to the engine.
//!
//! The engine reads a statement's SQL anew for each call, does one thing at a time, and commits each write by itself. Here
//! reads have connections of their own and writes that wait together are committed together. What a table is, and whether an
//! expression is right, the engine is asked first: a call of a new table or a new form goes its way, and is remembered.

mod asked;
mod condition;
mod reader;
mod record;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::Database;
use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::super::fault::{DynamoError, Fault};
use super::super::op::Op;
use super::super::request::{Request, text};
use super::replicas::Replicas;
use super::{Call, Reply};
use asked::{Find, Get, Write};
use condition::Plan;
use reader::Readers;
use schema::Schema;
use writer::Writer;

/// Tables that are remembered; past it all are asked for again.
const TABLES_MAX: usize = 2500;
/// Key conditions that the engine has taken once.
const FORMS_MAX: u64 = 10_000;
/// Items of a result that is read on the caller's thread; longer ones are read on the engine's.
const SHORT: usize = 100;

/// The direct way to the engine's file.
pub struct Direct {
    tables: RwLock<HashMap<String, Arc<Schema>>>,
    /// Moves when what a table is may have changed.
    generation: Arc<AtomicU64>,
    forms: Cache<String, Arc<Plan>>,
    readers: Readers,
    writer: Writer,
    /// Held by whoever writes: SQLite's own waiting sleeps.
    turn: Arc<Mutex<()>>,
}

/// What is to be remembered of a call once the engine has taken it.
pub struct Lesson {
    table: Option<Schema>,
    form: Option<(String, Plan)>,
}

// === impl Direct ===
impl Direct {
    /// On the engine's file, which the engine has opened before. `waiting`: writes that may wait.
    ///
    /// # Errors
    /// The file or a thread cannot be had.
    pub fn open(path: &Path, sync_full: bool, waiting: usize) -> Result<Direct, DynamoError> {
        let failed = |error: rusqlite::Error| DynamoError::Database(error.to_string());
        let (turn, generation) = (Arc::new(Mutex::new(())), Arc::new(AtomicU64::new(0)));
        Ok(Direct {
            tables: RwLock::default(),
            forms: Cache::new(FORMS_MAX),
            readers: Readers::open(path).map_err(failed)?,
            writer: Writer::open(path, sync_full, waiting, Arc::clone(&turn), Arc::clone(&generation))?,
            generation,
            turn,
        })
    }

    /// These tables are global from now on; to be called before any write.
    pub fn replicate(&self, replicas: &Arc<Replicas>) {
        self.writer.replicate(replicas);
        self.changed();
    }

    /// To be held while the engine writes.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Moves when what tables are may have changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What tables are may be something else from now on.
    pub fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.tables.write().clear();
    }

    /// Reads on this thread, when that takes no longer than a moment; `None`: the engine is to be asked.
    pub fn read_now(&self, call: &Call) -> Option<Reply> {
        let schema = self.schema(call)?;
        match call.op {
            Op::GetItem => self.get(&Get::read(schema, &call.request)?, call.metered, false),
            Op::Query => {
                let find = self.find(schema, &call.request)?;
                find.limit.filter(|limit| *limit <= SHORT)?;
                self.query(&find, call.metered, false)
            }
            _ => None,
        }
    }

    /// The same however long it takes. Blocks.
    pub fn read(&self, call: &Call) -> Option<Reply> {
        let schema = self.schema(call)?;
        match call.op {
            Op::GetItem => self.get(&Get::read(schema, &call.request)?, call.metered, true),
            Op::Query => self.query(&self.find(schema, &call.request)?, call.metered, true),
            _ => None,
        }
    }

    /// What a call writes, if it can be written directly.
    pub fn writes(&self, call: &Call) -> Option<Write> {
        match call.op {
            Op::PutItem => Write::put(self.schema(call)?, &call.request, call.metered),
            Op::DeleteItem => Write::delete(self.schema(call)?, &call.request, call.metered),
            _ => None,
        }
    }

    /// Writes it, once it is its turn; `None`: the engine is to be asked, and nothing was written.
    ///
    /// # Errors
    /// Too many wait, or the writer is closed.
    pub async fn write(&self, write: Write) -> Result<Option<Reply>, Fault> {
        self.writer.write(write).await
    }

    /// To be asked before the engine does a call that was not done directly.
    pub fn study(&self, db: &Database, call: &Call) -> Option<Lesson> {
        if !matches!(call.op, Op::GetItem | Op::Query | Op::PutItem | Op::DeleteItem) {
            return None;
        }
        let name = text(&call.request, "TableName")?;
        let known = self.known(name);
        let table = match &known {
            Some(_) => None,
            None => {
                let generation = self.generation.load(Ordering::Acquire);
                Some(Schema::read(&db.get_table_metadata(name).ok()??, generation)?)
            }
        };
        let schema = known.as_deref().or(table.as_ref())?;
        let form = match call.op {
            Op::Query => condition::form(schema, &call.request).zip(condition::read(schema, &call.request)),
            _ => None,
        };
        Some(Lesson { table, form })
    }

    /// The engine has taken the call.
    pub fn learn(&self, lesson: Lesson) {
        if let Some(table) = lesson.table {
            let mut tables = self.tables.write();
            if tables.len() >= TABLES_MAX {
                tables.clear();
            }
            tables.insert(table.name.clone(), Arc::new(table));
        }
        if let Some((form, plan)) = lesson.form {
            self.forms.insert(form, Arc::new(plan));
        }
    }

    /// Takes no more writes, and waits for those it has; blocks.
    pub fn close(&self) {
        self.writer.join();
    }

    fn schema(&self, call: &Call) -> Option<Arc<Schema>> {
        self.known(text(&call.request, "TableName")?)
    }

    fn known(&self, name: &str) -> Option<Arc<Schema>> {
        // Whoever changes tables is not waited for.
        let tables = self.tables.try_read()?;
        let schema = tables.get(name).filter(|schema| self.fresh(schema))?;
        Some(Arc::clone(schema))
    }

    fn fresh(&self, schema: &Schema) -> bool {
        schema.generation == self.generation.load(Ordering::Acquire)
    }

    fn find(&self, schema: Arc<Schema>, request: &Request) -> Option<Find> {
        let plan = self.forms.get(&condition::form(&schema, request)?)?;
        Find::read(schema, request, &plan)
    }

    fn get(&self, get: &Get, metered: bool, wait: bool) -> Option<Reply> {
        let reply = self.readers.with(wait, |reader| reader::get(reader, get, metered));
        // A table that came anew meanwhile may have other keys.
        reply.filter(|_| self.fresh(&get.schema))
    }

    fn query(&self, find: &Find, metered: bool, wait: bool) -> Option<Reply> {
        let reply = self.readers.with(wait, |reader| reader::find(reader, find, metered));
        reply.filter(|_| self.fresh(&find.schema))
    }
}
