//! Ledger: who wrote each item of a global table last, in the engine's file by a connection of our own.
//!
//! In: tables, versions of others. Out: stamps; what the others do not know; how far the bus was read. Never: an item changed, a
//! write that has no stamp: triggers give it one in the engine's own transaction.
//!
//! A row an item, kept after the item is gone: its tombstone. A row is also the outbox: a write marks it, and what is on the bus
//! unmarks it, unless another write came between. So nothing that was acknowledged stays untold, whenever the process ends.

mod triggers;

pub use triggers::quoted;

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::super::version::{Stamp, Verdict, judge};

/// How long to wait for the engine's own transaction.
const BUSY: Duration = Duration::from_secs(5);
/// Bytes of items that are read at once, at least one item.
const BYTES_MAX: usize = 8 << 20;

/// Statements that are kept ready: those of this file, and one a table.
const STATEMENTS: usize = 64;

/// The connection.
pub struct Ledger {
    connection: Mutex<Connection>,
}

/// One item's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub table: String,
    /// As the engine has them: "S:a"; the sort key is empty where there is none.
    pub pk: String,
    pub sk: String,
}

/// What the others do not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Untold {
    pub place: Place,
    pub stamp: Stamp,
    /// JSON: the item, or the key of one that is gone.
    pub item: Result<String, String>,
    pub news: u64,
}

/// A table that is to be global.
pub struct Shared {
    pub name: String,
    /// Names of its key attributes.
    pub keys: Vec<String>,
}

// === impl Ledger ===
impl Ledger {
    /// On the engine's file, which the engine has opened before and in which the tables are. Writes to `tables` are stamped from
    /// now on, in the name of `node`; those to others no longer.
    ///
    /// # Errors
    /// The database's.
    pub fn open(path: &Path, tables: &[Shared], node: &str) -> rusqlite::Result<Ledger> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // What is lost with the machine's last moments is told or read again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ledger::of(connection, tables, node, triggers::NOW)
    }

    /// `now`: the time in milliseconds, as an expression.
    fn of(mut connection: Connection, tables: &[Shared], node: &str, now: &str) -> rusqlite::Result<Ledger> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(triggers::TABLES)?;
        change.execute(
            "INSERT INTO rimward_global (one, last, node, position) VALUES (1, 0, ?1, 0)
                 ON CONFLICT DO UPDATE SET node = ?1",
            params![node],
        )?;
        change.execute("DELETE FROM rimward_global_coming", [])?;
        for name in triggers::names(&change)? {
            change.execute_batch(&format!("DROP TRIGGER {}", triggers::quoted(&name)))?;
        }
        let known: Vec<String> = {
            let mut query = change.prepare("SELECT table_name FROM rimward_global_tables")?;
            query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        for gone in known.iter().filter(|known| !tables.iter().any(|table| table.name == **known)) {
            change.execute("DELETE FROM rimward_global_tables WHERE table_name = ?1", params![gone])?;
            change.execute("DELETE FROM rimward_global_items WHERE table_name = ?1", params![gone])?;
        }
        for table in tables {
            change.execute_batch(&triggers::of(table, now))?;
            if !known.contains(&table.name) {
                seed(&change, &table.name, node)?;
            }
        }
        change.commit()?;
        Ok(Ledger { connection: Mutex::new(connection) })
    }

    /// At most `most` versions that the others do not know, and no more once they have many bytes.
    ///
    /// # Errors
    /// The database's.
    pub fn untold(&self, most: usize) -> rusqlite::Result<Vec<Untold>> {
        let mut connection = self.connection.lock();
        // Stamps and items of one moment.
        let read = connection.transaction()?;
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut query = read.prepare_cached(
            "SELECT table_name, pk, sk, at, node, gone, untold FROM rimward_global_items
                 WHERE untold > 0 ORDER BY untold LIMIT ?1",
        )?;
        let mut rows = query.query(params![i64::try_from(most).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let place = Place { table: row.get(0)?, pk: row.get(1)?, sk: row.get(2)? };
            let gone: Option<String> = row.get(5)?;
            let item = match gone {
                Some(key) => Err(key),
                None => Ok(item(&read, &place)?.unwrap_or_default()),
            };
            bytes += item.as_ref().map_or_else(String::len, String::len);
            found.push(Untold { place, stamp: stamp(row, 3)?, item, news: count(row, 6)? });
            if bytes >= BYTES_MAX {
                break;
            }
        }
        Ok(found)
    }

    /// They are on the bus: nothing more is to be told of those that are still the last.
    ///
    /// # Errors
    /// The database's.
    pub fn told<'a>(&self, each: impl Iterator<Item = (&'a Place, &'a Stamp, u64)>) -> rusqlite::Result<()> {
        let mut connection = self.connection.lock();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (place, stamp, news) in each {
            change
                .prepare_cached(
                    "UPDATE rimward_global_items SET untold = 0
                         WHERE table_name = ?1 AND pk = ?2 AND sk = ?3 AND at = ?4 AND node = ?5 AND untold = ?6",
                )?
                .execute(params![place.table, place.pk, place.sk, signed(stamp.at), stamp.node, signed(news)])?;
        }
        change.commit()
    }

    /// Takes in a version that is at `position` of the bus: judges it, and has it written by `write`, which puts or deletes the item by
    /// the engine. `gone`: the key of one that was deleted, as JSON. Nobody else may write there meanwhile.
    ///
    /// # Errors
    /// The database's and those of `write`: it may be given again, after [`Ledger::over`].
    pub fn take<E: From<rusqlite::Error>>(
        &self,
        place: &Place,
        stamp: &Stamp,
        gone: Option<&str>,
        position: u64,
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<Verdict, E> {
        let verdict = judge(self.stamp(place)?.as_ref(), stamp);
        match (verdict, gone) {
            (Verdict::Ignore, _) => {}
            (Verdict::Retell, _) => self.retell(place, position)?,
            (Verdict::Apply, Some(key)) if !self.holds(place)? => self.bury(place, stamp, key)?,
            (Verdict::Apply, _) => {
                self.coming(place, stamp)?;
                write()?;
            }
        }
        Ok(verdict)
    }

    /// Who wrote it last.
    fn stamp(&self, place: &Place) -> rusqlite::Result<Option<Stamp>> {
        let connection = self.connection.lock();
        connection
            .prepare_cached("SELECT at, node FROM rimward_global_items WHERE table_name = ?1 AND pk = ?2 AND sk = ?3")?
            .query_row(params![place.table, place.pk, place.sk], |row| stamp(row, 0))
            .optional()
    }

    /// Whether the table has it.
    fn holds(&self, place: &Place) -> rusqlite::Result<bool> {
        item(&self.connection.lock(), place).map(|item| item.is_some())
    }

    /// What the engine writes there from now on is this version, until [`Ledger::over`].
    fn coming(&self, place: &Place, stamp: &Stamp) -> rusqlite::Result<()> {
        let mut connection = self.connection.lock();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        hear(&change, stamp)?;
        change.prepare_cached("DELETE FROM rimward_global_coming")?.execute([])?;
        change.prepare_cached("INSERT INTO rimward_global_coming VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            place.table,
            place.pk,
            place.sk,
            signed(stamp.at),
            stamp.node
        ])?;
        change.commit()
    }

    /// The engine's writes are its own again.
    ///
    /// # Errors
    /// The database's.
    pub fn over(&self) -> rusqlite::Result<()> {
        self.connection.lock().prepare_cached("DELETE FROM rimward_global_coming")?.execute([]).map(drop)
    }

    /// The tombstone of an item that is not here. `key`: its attributes, as JSON.
    fn bury(&self, place: &Place, stamp: &Stamp, key: &str) -> rusqlite::Result<()> {
        let mut connection = self.connection.lock();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        hear(&change, stamp)?;
        change
            .prepare_cached("INSERT OR REPLACE INTO rimward_global_items VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)")?
            .execute(params![place.table, place.pk, place.sk, signed(stamp.at), stamp.node, key])?;
        change.commit()
    }

    /// The bus has something older at `position`: what is here is told again.
    fn retell(&self, place: &Place, position: u64) -> rusqlite::Result<()> {
        let statement = "UPDATE rimward_global_items SET untold = max(untold, ?4)
                             WHERE table_name = ?1 AND pk = ?2 AND sk = ?3";
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached(statement)?;
        statement.execute(params![place.table, place.pk, place.sk, signed(position)]).map(drop)
    }

    /// How far the bus was read.
    ///
    /// # Errors
    /// The database's.
    pub fn position(&self) -> rusqlite::Result<u64> {
        let connection = self.connection.lock();
        connection.query_row("SELECT position FROM rimward_global", [], |row| count(row, 0))
    }

    /// It was read up to here.
    ///
    /// # Errors
    /// The database's.
    pub fn read_to(&self, position: u64) -> rusqlite::Result<()> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached("UPDATE rimward_global SET position = ?1")?;
        statement.execute(params![signed(position)]).map(drop)
    }

    /// The bus is another, and knows nothing: everything is told to it, and read from it.
    ///
    /// # Errors
    /// The database's.
    pub fn afresh(&self) -> rusqlite::Result<()> {
        self.connection.lock().execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE rimward_global_items SET untold = 1 WHERE untold = 0;
             UPDATE rimward_global SET position = 0;
             COMMIT;",
        )
    }
}

/// What was there before the table was global has the first of all stamps, and what the bus has is read from its beginning.
fn seed(change: &Transaction<'_>, table: &str, node: &str) -> rusqlite::Result<()> {
    change.execute("INSERT INTO rimward_global_tables VALUES (?1)", params![table])?;
    change.execute("UPDATE rimward_global SET position = 0", [])?;
    let statement = format!(
        "INSERT OR IGNORE INTO rimward_global_items SELECT ?1, pk, sk, 0, ?2, NULL, 1 FROM {}",
        triggers::quoted(table)
    );
    change.execute(&statement, params![table, node]).map(drop)
}

/// Stamps of writes here come after it from now on.
fn hear(connection: &Connection, stamp: &Stamp) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE rimward_global SET last = max(last, ?1)")?;
    statement.execute(params![signed(stamp.at & !1)]).map(drop)
}

fn item(connection: &Connection, place: &Place) -> rusqlite::Result<Option<String>> {
    let statement = format!("SELECT item_json FROM {} WHERE pk = ?1 AND sk = ?2", triggers::quoted(&place.table));
    let mut query = connection.prepare_cached(&statement)?;
    query.query_row(params![place.pk, place.sk], |row| row.get(0)).optional()
}

fn stamp(row: &Row<'_>, at: usize) -> rusqlite::Result<Stamp> {
    Ok(Stamp { at: count(row, at)?, node: row.get(at + 1)? })
}

fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
}

/// SQLite's numbers are signed.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
