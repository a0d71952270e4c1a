//! Store: what the API made, and the calls it accepted for later, on disk.
//!
//! In: functions, mappings and their progress, events: to keep, change or forget. Out: all of them again after a restart. Never: an answer
//! before what it says is on disk (redb commits with fsync).
//!
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`.

use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;

use super::super::source::{Mapping, Progress};
use super::model::Function;
use crate::durable::Durable;

/// JSON by name.
type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

/// By name: a [`Function`] as JSON.
const FUNCTIONS: Rows = TableDefinition::new("functions");
/// By number, in the order of arrival: an event as its room writes it.
const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");

/// By UUID: a [`Mapping`], and its [`Progress`], as JSON.
const MAPPINGS: Rows = TableDefinition::new("mappings");
const PROGRESS: Rows = TableDefinition::new("progress");

/// redb's page cache, in bytes.
const PAGE_CACHE: usize = 16 << 20;
/// How long another process (one that drains, during an upgrade) may have the file, and how often this one looks.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(20);

/// One file; one process at a time has it.
#[derive(Debug)]
pub(in crate::lambda) struct Store {
    db: Durable,
}

/// What is to become of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) enum EventChange {
    Put(u64, Vec<u8>),
    Remove(u64),
}

// === impl Store ===
impl Store {
    pub(in crate::lambda) fn open(path: &Path) -> Result<Self, Box<redb::Error>> {
        let until = Instant::now() + PATIENCE;
        let db = loop {
            match Durable::open(path, PAGE_CACHE) {
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < until => {
                    std::thread::park_timeout(RETRY);
                }
                opened => break opened.map_err(boxed)?,
            }
        };
        // All tables are there from now on, so that reading needs no other case.
        let tables = |db: &Database| -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            write.open_table(FUNCTIONS)?;
            write.open_table(EVENTS)?;
            write.open_table(MAPPINGS)?;
            write.open_table(PROGRESS)?;
            Ok(write.commit()?)
        };
        db.with(tables).map_err(boxed)?;
        Ok(Store { db })
    }

    /// Lets go of the file, so that another process can have it. Waits for what is being written.
    pub(in crate::lambda) fn close(&self) {
        self.db.close();
    }

    fn read(&self) -> Result<ReadTransaction, Box<redb::Error>> {
        self.db.with(|db| Ok(db.begin_read()?)).map_err(boxed)
    }

    /// Every function that the API made, and how many more there are that cannot be read.
    pub(in crate::lambda) fn functions(&self) -> Result<(Vec<Function>, usize), Box<redb::Error>> {
        self.rows(FUNCTIONS)
    }

    /// Every event source mapping that the API made.
    pub(in crate::lambda) fn mappings(&self) -> Result<Vec<Mapping>, Box<redb::Error>> {
        Ok(self.rows(MAPPINGS)?.0)
    }

    /// How far a mapping has come; `None`: it never began.
    pub(in crate::lambda) fn progress(&self, uuid: &str) -> Result<Option<Progress>, Box<redb::Error>> {
        let read = self.read()?;
        let table = read.open_table(PROGRESS).map_err(boxed)?;
        let Some(found) = table.get(uuid).map_err(boxed)? else { return Ok(None) };
        serde_json::from_slice(found.value()).map(Some).map_err(unwritten)
    }

    fn rows<T: DeserializeOwned>(&self, table: Rows) -> Result<(Vec<T>, usize), Box<redb::Error>> {
        let read = self.read()?;
        let rows = read.open_table(table).map_err(boxed)?;
        let (mut all, mut unread) = (Vec::new(), 0);
        for entry in rows.iter().map_err(boxed)? {
            let (name, value) = entry.map_err(boxed)?;
            match serde_json::from_slice(value.value()) {
                Ok(one) => all.push(one),
                // It stays on disk; what cannot be read must not take the others with it.
                Err(error) => {
                    log::error!(target: "lambda", "{} of {table} cannot be read: {error}", name.value());
                    unread += 1;
                }
            }
        }
        Ok((all, unread))
    }

    /// Keeps `function`, or forgets the one called `name`.
    pub(in crate::lambda) fn set(&self, name: &str, function: Option<&Function>) -> Result<(), Box<redb::Error>> {
        self.put(&[(FUNCTIONS, name, function.map(serde_json::to_vec).transpose().map_err(unwritten)?)])
    }

    /// Keeps a mapping, or forgets it and how far it has come.
    pub(in crate::lambda) fn set_mapping(&self, uuid: &str, mapping: Option<&Mapping>) -> Result<(), Box<redb::Error>> {
        match mapping {
            Some(mapping) => self.put(&[(MAPPINGS, uuid, Some(serde_json::to_vec(mapping).map_err(unwritten)?))]),
            None => self.put(&[(MAPPINGS, uuid, None), (PROGRESS, uuid, None)]),
        }
    }

    pub(in crate::lambda) fn set_progress(&self, uuid: &str, progress: &Progress) -> Result<(), Box<redb::Error>> {
        self.put(&[(PROGRESS, uuid, Some(serde_json::to_vec(progress).map_err(unwritten)?))])
    }

    /// Writes or removes rows, all of them or none.
    fn put(&self, rows: &[(Rows, &str, Option<Vec<u8>>)]) -> Result<(), Box<redb::Error>> {
        let put = |db: &Database| -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            for (table, key, value) in rows {
                let mut table = write.open_table(*table)?;
                match value {
                    Some(value) => drop(table.insert(*key, value.as_slice())?),
                    None => drop(table.remove(*key)?),
                }
            }
            Ok(write.commit()?)
        };
        self.db.with(put).map_err(boxed)
    }

    /// Calls `each` with every event.
    pub(in crate::lambda) fn events(&self, mut each: impl FnMut(u64, &[u8])) -> Result<(), Box<redb::Error>> {
        let read = self.read()?;
        let table = read.open_table(EVENTS).map_err(boxed)?;
        for entry in table.iter().map_err(boxed)? {
            let (id, value) = entry.map_err(boxed)?;
            each(id.value(), value.value());
        }
        Ok(())
    }

    pub(in crate::lambda) fn event(&self, id: u64) -> Result<Option<Vec<u8>>, Box<redb::Error>> {
        let read = self.read()?;
        let table = read.open_table(EVENTS).map_err(boxed)?;
        Ok(table.get(id).map_err(boxed)?.map(|value| value.value().to_vec()))
    }

    /// All of `changes` or none.
    pub(in crate::lambda) fn change<'c>(
        &self,
        changes: impl IntoIterator<Item = &'c EventChange>,
    ) -> Result<(), Box<redb::Error>> {
        let change = |db: &Database| -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            {
                let mut table = write.open_table(EVENTS)?;
                for change in changes {
                    match change {
                        EventChange::Put(id, value) => drop(table.insert(id, value.as_slice())?),
                        EventChange::Remove(id) => drop(table.remove(id)?),
                    }
                }
            }
            Ok(write.commit()?)
        };
        self.db.with(change).map_err(boxed)
    }
}

fn unwritten(error: serde_json::Error) -> Box<redb::Error> {
    boxed(redb::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_loses_nothing_that_was_kept() {
        let dir = tempfile::TempDir::new().unwrap();
        let (path, image) = (dir.path().join("s.redb"), dir.path().join("image.redb"));
        let store = Store::open(&path).unwrap();
        for n in 0..20u64 {
            store.change(&[EventChange::Put(n, vec![n as u8; 100])]).unwrap();
            if n % 3 == 0 {
                store.change(&[EventChange::Remove(n)]).unwrap();
            }
            // The file as a killed process leaves it: nothing was closed.
            std::fs::copy(&path, &image).unwrap();
            let killed = Store::open(&image).unwrap();
            let mut ids = Vec::new();
            killed
                .events(|id, value| {
                    assert_eq!(value, vec![id as u8; 100]);
                    ids.push(id);
                })
                .unwrap();
            assert_eq!(ids, (0..=n).filter(|id| id % 3 != 0).collect::<Vec<_>>());
            assert_eq!(killed.event(n).unwrap().is_some(), n % 3 != 0);
        }
    }
    #[test]
    fn a_closed_store_is_another_ones() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("s.redb");
        let store = Store::open(&path).unwrap();
        store.change(&[EventChange::Put(1, vec![1])]).unwrap();
        store.close();
        let next = Store::open(&path).unwrap();
        assert_eq!(next.event(1).unwrap(), Some(vec![1]));
        assert!(store.event(1).is_err() && store.change(&[EventChange::Remove(1)]).is_err());
        assert_eq!(next.event(1).unwrap(), Some(vec![1]));
    }
}
