//! Record: what a stream says of a write, in the write's own transaction.
//!
//! In: a table with a stream, the item before and after. Out: a record as the engine makes them. Never: a number out of order.

use std::time::{SystemTime, UNIX_EPOCH};

use dynoxide::types::Item;
use rusqlite::{Connection, OptionalExtension, params};

use super::schema::Schema;

const LAST: &str = "SELECT CAST(sequence_number AS INTEGER) FROM _stream_records WHERE table_name = ?1
                        ORDER BY CAST(sequence_number AS INTEGER) DESC LIMIT 1";
const INSERT: &str = "INSERT INTO _stream_records (table_name, event_name, keys_json, new_image, old_image,
                          sequence_number, shard_id, created_at, user_identity, event_id)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, ?9)";

/// The key of an item, as JSON.
pub fn keys(schema: &Schema, item: &Item) -> serde_json::Result<String> {
    let names = std::iter::once(&schema.hash).chain(&schema.range).map(|key| &key.name);
    let keys: Item = names.filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect();
    serde_json::to_string(&keys)
}

/// Records a change.
pub fn insert(
    connection: &Connection,
    schema: &Schema,
    keys: &str,
    new: Option<&str>,
    old: Option<&str>,
) -> rusqlite::Result<()> {
    let event = match (old, new) {
        (None, Some(_)) => "INSERT",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) => "REMOVE",
        (None, None) => return Ok(()),
    };
    let last: Option<i64> = connection.prepare_cached(LAST)?.query_row([&schema.name], |row| row.get(0)).optional()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Numbers ascend, and follow the clock: those of a table that is made anew come after those of the one before.
    let number = last.map_or(1, |last| last.saturating_add(1)).max(i64::try_from(now.as_micros()).unwrap_or(0));
    connection.prepare_cached(INSERT)?.execute(params![
        schema.name,
        event,
        keys,
        new,
        old,
        number.to_string(),
        dynoxide::streams::shard_id(&schema.name),
        i64::try_from(now.as_secs()).unwrap_or(0),
        format!("{:032x}", rand::random::<u128>())
    ])?;
    Ok(())
}
