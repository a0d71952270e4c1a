//! Triggers: every write to a global table gets its stamp, in the transaction that makes it.
//!
//! In: a table. Out: SQL. Never: a way of writing that is missed: single items, batches, transactions, statements and the TTL sweep all
//! put or delete rows of the engine's table.

use rusqlite::Connection;

use super::super::super::version::COUNT_BITS;
use super::super::expiry::PAST_MAX;
use super::Shared;

/// Milliseconds since the epoch.
pub const NOW: &str = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";

/// `rimward_global` is one row: the newest stamp that was given or heard, this node, how far the bus was read.
/// `rimward_global_coming` has a row while a version of another PoP is applied: its stamp.
/// `gone` is the key of a deleted item, `untold` why the others are to be told: 0 = they know.
pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS rimward_global (
        one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, node TEXT NOT NULL, position INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS rimward_global_coming (
        table_name TEXT NOT NULL, pk TEXT NOT NULL, sk TEXT NOT NULL, at INTEGER NOT NULL, node TEXT NOT NULL,
        PRIMARY KEY (table_name, pk, sk)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS rimward_global_tables (table_name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS rimward_global_items (
        table_name TEXT NOT NULL, pk TEXT NOT NULL, sk TEXT NOT NULL, at INTEGER NOT NULL, node TEXT NOT NULL,
        gone TEXT, untold INTEGER NOT NULL, PRIMARY KEY (table_name, pk, sk)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS rimward_global_untold ON rimward_global_items (untold) WHERE untold > 0;";

const PREFIX: &str = "rimward_global ";

/// Those that there are.
pub fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE ?1")?;
    query.query_map([format!("{PREFIX}%")], |row| row.get(0))?.collect()
}

/// A name, in SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The table's triggers. `now`: an expression.
///
/// The engine puts rows with INSERT OR REPLACE, which deletes what it replaces without a trigger. What the sweep or a caller deletes
/// that has expired gets the stamp next to the write that it ends: every PoP comes to the same, and a write that a sweep did not know
/// of outlives it.
pub fn of(table: &Shared, now: &str) -> String {
    let (name, own) = (quoted(&table.name), text(&table.name));
    let (put, gone) = (quoted(&format!("{PREFIX}put {}", table.name)), quoted(&format!("{PREFIX}gone {}", table.name)));
    let keys = table.keys.iter().map(|key| text(key)).collect::<Vec<_>>().join(", ");
    let shift = 1_u64 << COUNT_BITS;
    let tick = |row: &str| {
        format!(
            "UPDATE rimward_global SET last = max(last + 2, {now} * {shift}) WHERE NOT EXISTS (
                 SELECT 1 FROM rimward_global_coming WHERE table_name = {own} AND pk = {row}.pk AND sk = {row}.sk);
             INSERT OR REPLACE INTO rimward_global_items
             SELECT {own}, {row}.pk, {row}.sk"
        )
    };
    let coming = |row: &str| {
        format!(
            "rimward_global AS here LEFT JOIN rimward_global_coming AS coming
                 ON coming.table_name = {own} AND coming.pk = {row}.pk AND coming.sk = {row}.sk"
        )
    };
    let (put_tick, gone_tick, put_coming, gone_coming) = (tick("NEW"), tick("OLD"), coming("NEW"), coming("OLD"));
    // What expired longer ago is not swept.
    let past = PAST_MAX.as_secs();
    let ttl = "CAST(json_extract(e.value, '$.N') AS INTEGER)";
    format!(
        "CREATE TRIGGER {put} AFTER INSERT ON {name} BEGIN
             {put_tick}, coalesce(coming.at, here.last), coalesce(coming.node, here.node), NULL, coming.at IS NULL
             FROM {put_coming};
         END;
         CREATE TRIGGER {gone} AFTER DELETE ON {name} BEGIN
             {gone_tick}, coalesce(coming.at, expired.at | 1, here.last), coalesce(coming.node, expired.node, here.node),
                 (SELECT json_group_object(key, json(value)) FROM json_each(OLD.item_json) WHERE key IN ({keys})),
                 coming.at IS NULL
             FROM {gone_coming} LEFT JOIN rimward_global_items AS expired
                 ON expired.table_name = {own} AND expired.pk = OLD.pk AND expired.sk = OLD.sk AND EXISTS (
                     SELECT 1 FROM _tables AS t, json_each(OLD.item_json) AS e
                     WHERE t.table_name = {own} AND t.ttl_enabled = 1 AND e.key = t.ttl_attribute
                         AND {ttl} BETWEEN max(0, {now} / 1000 - {past}) AND {now} / 1000 - 1);
         END;"
    )
}
