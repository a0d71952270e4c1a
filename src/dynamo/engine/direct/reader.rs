//! Reader: connections that only read.
//!
//! In: what is asked. Out: answers made of the text that is stored. Never: a row changed, a wait for who writes.

use std::path::Path;

use dynoxide::types::read_capacity_units_with_consistency as units;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::Value;

use super::asked::{Find, Get};
use crate::dynamo::capacity::{Consumed, Side};
use crate::dynamo::engine::Reply;
use crate::dynamo::request::Request;

/// Connections: no more threads than these read at once.
const READERS_MAX: usize = 8;
/// Statements that each keeps ready.
const STATEMENTS: usize = 128;
/// KiB of pages that each keeps.
const PAGES: i64 = 8192;
/// Bytes of items that one result holds, the last of one item aside (API reference, "Query").
const RESULT_MAX: usize = 1 << 20;

/// The connections.
pub struct Readers(Vec<Mutex<Connection>>);

// === impl Readers ===
impl Readers {
    pub fn open(path: &Path) -> rusqlite::Result<Readers> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
        let open = |_| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            connection.pragma_update(None, "cache_size", -PAGES)?;
            Ok(Mutex::new(connection))
        };
        Ok(Readers((0..count).map(open).collect::<rusqlite::Result<_>>()?))
    }

    /// Reads with a connection that is free, or, if `wait`, the next that is. `None`: there is none, or the read failed, which
    /// the engine may say better.
    pub fn with<T>(&self, wait: bool, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let free = self.0.iter().find_map(Mutex::try_lock);
        let connection = match free {
            Some(connection) => connection,
            None if wait => self.0.first()?.lock(),
            None => return None,
        };
        read(&connection).inspect_err(|error| log::debug!("dynamodb: left to the engine: {error}")).ok()
    }
}

/// GetItem's answer.
pub fn get(connection: &Connection, get: &Get, metered: bool) -> rusqlite::Result<Reply> {
    let mut query = connection.prepare_cached(&get.schema.get)?;
    let mut rows = query.query([&get.pk, &get.sk])?;
    let (mut body, mut size) = (Vec::new(), 0);
    match rows.next()? {
        Some(row) => {
            let item = row.get_ref(0)?.as_bytes()?;
            body.reserve_exact(item.len() + r#"{"Item":}"#.len());
            body.extend_from_slice(br#"{"Item":"#);
            body.extend_from_slice(item);
            size = row.get(1)?;
        }
        None => body.push(b'{'),
    }
    body.push(b'}');
    Ok(Reply { body, consumed: consumed(&get.schema.name, size, get.consistent, metered) })
}

/// Query's answer.
pub fn find(connection: &Connection, find: &Find, metered: bool) -> rusqlite::Result<Reply> {
    let mut sql = find.schema.find.clone();
    for (at, (operator, _)) in find.bounds.iter().enumerate() {
        sql.push_str(&format!(" AND sk {operator} ?{}", at + 2));
    }
    sql.push_str(if find.forward { " ORDER BY sk ASC" } else { " ORDER BY sk DESC" });
    let mut query = connection.prepare_cached(&sql)?;
    let values = std::iter::once(&find.pk).chain(find.bounds.iter().map(|(_, value)| value));
    let mut rows = query.query(params_from_iter(values))?;
    let mut body = br#"{"Items":["#.to_vec();
    let (mut count, mut bytes, mut last, mut more) = (0, 0, 0, false);
    while find.limit.is_none_or(|limit| count < limit) {
        let Some(row) = rows.next()? else { break };
        let (item, size): (_, usize) = (row.get_ref(0)?.as_bytes()?, row.get(1)?);
        if bytes + size > RESULT_MAX && count > 0 {
            more = true;
            break;
        }
        if count > 0 {
            body.push(b',');
        }
        last = body.len();
        body.extend_from_slice(item);
        bytes += size;
        count += 1;
    }
    let next = match more || find.limit == Some(count) {
        true => Some(key(find, body.get(last..).unwrap_or_default())?),
        false => None,
    };
    body.extend_from_slice(format!(r#"],"Count":{count},"ScannedCount":{count}"#).as_bytes());
    if let Some(next) = next {
        body.extend_from_slice(format!(r#","LastEvaluatedKey":{next}"#).as_bytes());
    }
    body.push(b'}');
    Ok(Reply { body, consumed: consumed(&find.schema.name, bytes, find.consistent, metered) })
}

/// The key of an item, as JSON.
fn key(find: &Find, item: &[u8]) -> rusqlite::Result<Value> {
    let item: Request =
        serde_json::from_slice(item).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let names = std::iter::once(&find.schema.hash).chain(&find.schema.range).map(|key| &key.name);
    Ok(Value::Object(names.filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect()))
}

fn consumed(table: &str, size: usize, consistent: bool, metered: bool) -> Vec<Consumed> {
    match metered {
        true => vec![Consumed::of(table, Side::Read, units(size, consistent))],
        false => Vec::new(),
    }
}
