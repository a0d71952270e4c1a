//! Sidecar: what the embedded engine's database lacks, in the same file by a connection of our own.
//!
//! In: tables' stream views, the time. Out: an index on stream records, views remembered, old records deleted; which tables
//! have a TTL. Never: an item, a row of the engine's changed.
//!
//! The engine finds the next sequence number of a table by looking at all of its records, and never deletes any: with each
//! write, the next would take longer. The index makes that one look-up, and trimming keeps a day of records.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::DynamoError;

/// Records that one transaction deletes: the engine waits for no longer than that.
const TRIM_STEP: usize = 500;
/// How long to wait for the engine's own transaction.
const BUSY: Duration = Duration::from_secs(5);

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
            .map_err(failed)?;
        Ok(Sidecar { connection: Mutex::new(connection) })
    }

    /// The tables whose items expire.
    ///
    /// # Errors
    /// The database's.
    pub fn expiring(&self) -> rusqlite::Result<Vec<String>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached("SELECT table_name FROM _tables WHERE ttl_enabled = 1")?;
        query.query_map([], |row| row.get(0))?.collect()
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

    /// The oldest and the newest sequence numbers of a table's records, as the engine stores them.
    pub fn range(&self, table: &str) -> Result<Option<(i64, i64)>, rusqlite::Error> {
        let connection = self.connection.lock();
        let edge = |order: &str| {
            let query = format!(
                "SELECT CAST(sequence_number AS INTEGER) FROM _stream_records WHERE table_name = ?1
                     ORDER BY CAST(sequence_number AS INTEGER) {order} LIMIT 1"
            );
            connection.prepare_cached(&query)?.query_row(params![table], |row| row.get(0)).optional()
        };
        Ok(edge("ASC")?.zip(edge("DESC")?))
    }
}
