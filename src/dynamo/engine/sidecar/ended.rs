//! Ended: streams that were turned off or whose table is gone, and the records of all streams.
//!
//! In: a table, a part of its records. Out: which streams it had, where each begins and ends; records. Never: a stream that ends
//! and is not remembered: triggers do so in the engine's own transaction.
//!
//! The engine keeps all records of a table's name in one row of numbers. What a stream's own are is told by where it ended.

use dynoxide::actions::get_records::{Record, StreamRecord, UserIdentity};
use rusqlite::{OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Sidecar;

/// Streams that ended and are remembered; past it the oldest are forgotten.
const ENDED_MAX: usize = 10_000;

/// `begins`: its records are after that; `ends`: up to that; `gone`: its table is.
pub const TABLES: &str = "CREATE TABLE IF NOT EXISTS rimward_streams_ended (
        table_name TEXT NOT NULL, label TEXT NOT NULL, view TEXT NOT NULL, keys TEXT NOT NULL, begins INTEGER NOT NULL,
        ends INTEGER NOT NULL, ended_at INTEGER NOT NULL, gone INTEGER NOT NULL, PRIMARY KEY (table_name, label)) WITHOUT ROWID;";

/// Both are made anew whenever the file is opened.
pub fn triggers() -> String {
    let end = |gone: u8| {
        format!(
            "INSERT OR REPLACE INTO rimward_streams_ended
             SELECT OLD.table_name, coalesce(OLD.stream_label, ''),
                 coalesce((SELECT view FROM rimward_stream_views WHERE table_name = OLD.table_name), '{}'), OLD.key_schema,
                 earlier.ends, max(earlier.ends, coalesce((
                     SELECT CAST(sequence_number AS INTEGER) FROM _stream_records WHERE table_name = OLD.table_name
                         ORDER BY CAST(sequence_number AS INTEGER) DESC LIMIT 1), 0)),
                 unixepoch(), {gone}
             FROM (SELECT coalesce(max(ends), 0) AS ends FROM rimward_streams_ended
                       WHERE table_name = OLD.table_name) AS earlier
             WHERE OLD.stream_enabled = 1;",
            super::super::streams::ALL
        )
    };
    format!(
        "BEGIN IMMEDIATE;
         DROP TRIGGER IF EXISTS \"rimward_stream off\";
         DROP TRIGGER IF EXISTS \"rimward_stream gone\";
         CREATE TRIGGER \"rimward_stream off\" AFTER UPDATE OF stream_enabled, stream_label ON _tables
             WHEN NEW.stream_enabled = 0 OR NEW.stream_label IS NOT OLD.stream_label BEGIN {} END;
         CREATE TRIGGER \"rimward_stream gone\" AFTER DELETE ON _tables BEGIN
             UPDATE rimward_streams_ended SET gone = 1 WHERE table_name = OLD.table_name;
             {} END;
         COMMIT;",
        end(0),
        end(1)
    )
}

/// A stream that ended.
pub struct Ended {
    pub view: String,
    /// The key schema of its table, as JSON.
    pub keys: String,
    pub begins: i64,
    pub ends: i64,
}

// === impl Sidecar: streams that ended, and records ===
impl Sidecar {
    /// The stream of this label.
    ///
    /// # Errors
    /// The database's.
    pub fn ended(&self, table: &str, label: &str) -> rusqlite::Result<Option<Ended>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT view, keys, begins, ends FROM rimward_streams_ended WHERE table_name = ?1 AND label = ?2",
        )?;
        let read =
            |row: &Row<'_>| Ok(Ended { view: row.get(0)?, keys: row.get(1)?, begins: row.get(2)?, ends: row.get(3)? });
        query.query_row(params![table, label], read).optional()
    }

    /// Tables and labels of all, of one table or of every table.
    ///
    /// # Errors
    /// The database's.
    pub fn all_ended(&self, table: Option<&str>) -> rusqlite::Result<Vec<(String, String)>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT table_name, label FROM rimward_streams_ended WHERE ?1 IS NULL OR table_name = ?1",
        )?;
        query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// The label of the last that a table had which is still there.
    ///
    /// # Errors
    /// The database's.
    pub fn last_ended(&self, table: &str) -> rusqlite::Result<Option<String>> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT label FROM rimward_streams_ended WHERE table_name = ?1 AND gone = 0 ORDER BY label DESC LIMIT 1",
        )?;
        query.query_row([table], |row| row.get(0)).optional()
    }

    /// The records of a stream that is on are after this.
    ///
    /// # Errors
    /// The database's.
    pub fn begins(&self, table: &str) -> rusqlite::Result<i64> {
        let connection = self.connection.lock();
        let mut query = connection
            .prepare_cached("SELECT coalesce(max(ends), 0) FROM rimward_streams_ended WHERE table_name = ?1")?;
        query.query_row([table], |row| row.get(0))
    }

    /// Forgets those that ended before `cutoff`, in seconds since the epoch: their records are gone.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_ended(&self, cutoff: u64) -> rusqlite::Result<()> {
        let connection = self.connection.lock();
        connection.execute(
            "DELETE FROM rimward_streams_ended WHERE ended_at < ?1",
            params![i64::try_from(cutoff).unwrap_or(i64::MAX)],
        )?;
        connection
            .execute(
                "DELETE FROM rimward_streams_ended WHERE (table_name, label) IN (
                     SELECT table_name, label FROM rimward_streams_ended ORDER BY ended_at DESC LIMIT -1 OFFSET ?1)",
                params![ENDED_MAX],
            )
            .map(drop)
    }

    /// The oldest and the newest sequence numbers of a table's records after `begins` and up to `ends`, as the engine stores them.
    ///
    /// # Errors
    /// The database's.
    pub fn range(&self, table: &str, begins: i64, ends: i64) -> rusqlite::Result<Option<(i64, i64)>> {
        let connection = self.connection.lock();
        let edge = |order: &str| {
            let query = format!(
                "SELECT CAST(sequence_number AS INTEGER) FROM _stream_records WHERE table_name = ?1
                     AND CAST(sequence_number AS INTEGER) > ?2 AND CAST(sequence_number AS INTEGER) <= ?3
                     ORDER BY CAST(sequence_number AS INTEGER) {order} LIMIT 1"
            );
            connection.prepare_cached(&query)?.query_row(params![table, begins, ends], |row| row.get(0)).optional()
        };
        Ok(edge("ASC")?.zip(edge("DESC")?))
    }

    /// Shows the table's records after `begins` and up to `ends`, at most `most` and as long as `each` wants more. Whether these
    /// were all.
    ///
    /// # Errors
    /// The database's.
    pub fn records(
        &self,
        table: &str,
        (begins, ends): (i64, i64),
        most: usize,
        mut each: impl FnMut(i64, Record) -> bool,
    ) -> rusqlite::Result<bool> {
        let connection = self.connection.lock();
        let mut query = connection.prepare_cached(
            "SELECT CAST(sequence_number AS INTEGER), event_name, keys_json, new_image, old_image, created_at, user_identity,
                 coalesce(event_id, sequence_number) FROM _stream_records WHERE table_name = ?1
                 AND CAST(sequence_number AS INTEGER) > ?2 AND CAST(sequence_number AS INTEGER) <= ?3
                 ORDER BY CAST(sequence_number AS INTEGER)",
        )?;
        let mut rows = query.query(params![table, begins, ends])?;
        for _ in 0..most {
            let Some(row) = rows.next()? else { return Ok(true) };
            let (at, record) = read(row)?;
            if !each(at, record) {
                break;
            }
        }
        Ok(rows.next()?.is_none())
    }
}

/// A record as the engine would make it; its numbers, size and view are the caller's to say.
fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Record)> {
    let (keys, new, old): (String, Option<String>, Option<String>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let identity = row.get::<_, Option<String>>(6)?.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let word = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let record = Record {
        event_id: row.get(7)?,
        event_name: row.get(1)?,
        event_version: "1.1".to_owned(),
        event_source: "aws:dynamodb".to_owned(),
        dynamodb: StreamRecord {
            keys: parsed(&keys).unwrap_or_default(),
            new_image: new.as_deref().and_then(parsed),
            old_image: old.as_deref().and_then(parsed),
            approximate_creation_date_time: row.get::<_, i64>(5)? as f64,
            ..StreamRecord::default()
        },
        user_identity: identity.map(|value| UserIdentity {
            identity_type: word(&value, "type"),
            principal_id: word(&value, "principalId"),
        }),
        ..Record::default()
    };
    Ok((row.get(0)?, record))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
