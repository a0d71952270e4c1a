//! Sidecar: what the embedded engine's database lacks, in the same file by a connection of our own.
//!
//! In: tables' stream views, the time. Out: an index on stream records, views and ended streams remembered, old records deleted;
//! what has expired; tokens of transactions forgotten. Never: an item, a row of the engine's changed.
//!
//! The engine finds the next sequence number of a table by looking at all of its records, and never deletes any: with each
//! write, the next would take longer. The index makes that one look-up, and trimming keeps a day of records.

mod ended;

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::DynamoError;
use super::ledger::quoted;
use super::tokens;

/// Records that one transaction deletes: the engine waits for no longer than that.
const TRIM_STEP: usize = 500;
/// Rows that are looked at for expired items at once.
pub const EXPIRED_STEP: usize = 100;
/// How long to wait for the engine's own transaction.
const BUSY: Duration = Duration::from_secs(5);

/// A row of a table whose items expire.
pub struct Row {
    pub pk: String,
    pub sk: String,
    /// JSON, of those that may have expired.
    pub item: Option<String>,
}

/// The connection.
pub struct Sidecar {
    connection: Mutex<Connection>,
}

// === impl Sidecar ===
impl Sidecar {
    /// On the engine's file, which the engine has opened before.
    ///
    /// # Errors
    /// The file is not the engine's.
    pub fn open(path: &Path, sync_full: bool) -> Result<Sidecar, DynamoError> {
        let failed = |error: rusqlite::Error| DynamoError::Database(error.to_string());
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.pragma_update(None, "synchronous", if sync_full { "FULL" } else { "NORMAL" }).map_err(failed)?;
        connection
            .execute_batch(
                "CREATE INDEX IF NOT EXISTS rimward_stream_order
                     ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
                 CREATE TABLE IF NOT EXISTS rimward_stream_views (table_name TEXT PRIMARY KEY, view TEXT NOT NULL);",
            )
            .and_then(|()| connection.execute_batch(ended::TABLES))
            .and_then(|()| connection.execute_batch(&ended::triggers()))
            .and_then(|()| connection.execute_batch(tokens::TABLES))
            .map_err(failed)?;
        Ok(Sidecar { connection: Mutex::new(connection) })
    }

    /// The tables whose items expire, and the attribute that says when.
    ///
    /// # Errors
    /// The database's.
    pub fn expiring(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT table_name, ttl_attribute FROM _tables WHERE ttl_enabled = 1 AND ttl_attribute IS NOT NULL",
        )?;
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Whether the items of `table` still expire by `attribute`.
    ///
    /// # Errors
    /// The database's.
    pub fn expires(&self, table: &str, attribute: &str) -> rusqlite::Result<bool> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM _tables WHERE table_name = ?1 AND ttl_enabled = 1 AND ttl_attribute = ?2)",
        )?;
        query.query_row(params![table, attribute], |row| row.get(0))
    }

    /// The next rows of `table` after one of this key, with the items whose `attribute` may be a time in `span`.
    ///
    /// # Errors
    /// The database's: the table is gone, say.
    pub fn expired(
        &self,
        table: &str,
        attribute: &str,
        span: (i64, i64),
        (pk, sk): (&str, &str),
    ) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(&format!(
            "SELECT pk, sk, CASE WHEN (
                 SELECT CAST(json_extract(e.value, '$.N') AS INTEGER) FROM json_each(item_json) AS e WHERE e.key = ?1
                 ) BETWEEN ?2 AND ?3 THEN item_json END
             FROM {} WHERE (pk, sk) > (?4, ?5) ORDER BY pk, sk LIMIT ?6",
            quoted(table)
        ))?;
        let row = |row: &rusqlite::Row<'_>| Ok(Row { pk: row.get(0)?, sk: row.get(1)?, item: row.get(2)? });
        query.query_map(params![attribute, span.0, span.1, pk, sk, EXPIRED_STEP], row)?.collect()
    }

    /// Forgets tokens of transactions from before `cutoff`, in milliseconds since the epoch.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_tokens(&self, cutoff: u64) -> rusqlite::Result<()> {
        let cutoff = i64::try_from(cutoff).unwrap_or(i64::MAX);
        let statement = "DELETE FROM rimward_tokens WHERE (op, token) IN (
                             SELECT op, token FROM rimward_tokens WHERE at <= ?1 ORDER BY at LIMIT ?2)";
        while self.connection.lock().execute(statement, params![cutoff, TRIM_STEP])? == TRIM_STEP {}
        Ok(())
    }

    /// What the stream of `table` is to show; all, when nothing was remembered.
    pub fn view(&self, table: &str) -> String {
        let connection = self.connection.lock();
        let found = connection
            .prepare_cached("SELECT view FROM rimward_stream_views WHERE table_name = ?1")
            .and_then(|mut query| query.query_row(params![table], |row| row.get(0)).optional());
        match found {
            Ok(view) => view.unwrap_or_else(|| super::streams::ALL.to_owned()),
            Err(error) => {
                log::error!("dynamodb: the view of a stream cannot be read: {error}");
                // The one that shows least.
                "KEYS_ONLY".to_owned()
            }
        }
    }

    /// Remembers it.
    ///
    /// # Errors
    /// The database's.
    pub fn set_view(&self, table: &str, view: &str) -> Result<(), rusqlite::Error> {
        let connection = self.connection.lock();
        let statement = "INSERT INTO rimward_stream_views VALUES (?1, ?2) ON CONFLICT DO UPDATE SET view = ?2";
        connection.execute(statement, params![table, view]).map(|_| ())
    }

    /// Deletes records made before `cutoff`, in seconds since the epoch; how many.
    ///
    /// # Errors
    /// The database's.
    pub fn trim(&self, cutoff: u64) -> Result<usize, rusqlite::Error> {
        let cutoff = i64::try_from(cutoff).unwrap_or(i64::MAX);
        let mut trimmed = 0;
        loop {
            // Ids ascend as records are made: the oldest are looked at only.
            let deleted = self.connection.lock().execute(
                "DELETE FROM _stream_records WHERE created_at < ?1
                     AND id IN (SELECT id FROM _stream_records ORDER BY id LIMIT ?2)",
                params![cutoff, TRIM_STEP],
            )?;
            trimmed += deleted;
            if deleted < TRIM_STEP {
                return Ok(trimmed);
            }
        }
    }
}
