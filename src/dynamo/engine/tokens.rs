//! Tokens: transactions that name a `ClientRequestToken` are done once, whatever ends the process between.
//!
//! In: transactions. Out: their replies; of one that was done under the token already, a reply without an effect. Never: a
//! transaction committed without its token.
//!
//! The engine remembers tokens in memory only. Here triggers write the token in the transaction's own commit, with the first row that
//! it writes. One that wrote no row is remembered after it: it had no effect that a second one could repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynoxide::storage::Storage;
use dynoxide::{Database, DynoxideError};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::super::capacity::{Consumed, Side};
use super::super::fault::Fault;
use super::super::op::Op;
use super::super::partiql::{self, Verb};
use super::super::parts::{Deed, actions, statements};
use super::super::request::{Request, canonical, list, text};
use super::beside::Beside;
use super::ledger::quoted;
use super::{Call, Reply, dispatch};

/// "A client token is valid for 10 minutes after the first request that uses it is completed" (API reference,
/// "TransactWriteItems").
pub const KEPT: Duration = Duration::from_secs(600);
/// Tokens that are remembered; past it the oldest are forgotten before their time.
const TOKENS_MAX: usize = 1_000_000;
/// So many at once.
const FORGET_STEP: usize = 10_000;
/// Bytes of a token; the engine refuses longer ones.
const TOKEN_MAX: usize = 36;
/// Read units of an item of at most 4 KiB in a transaction.
const UNITS_LEAST: f64 = 2.0;

/// What it keeps tokens in, and finds old ones by.
pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS rimward_tokens (
        op TEXT NOT NULL, token TEXT NOT NULL, hash TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (op, token)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS rimward_tokens_at ON rimward_tokens (at);";

/// `rimward_coming` has a row while a transaction is done: its token.
const SETUP: &str = "CREATE TEMP TABLE rimward_coming (op TEXT, token TEXT, hash TEXT, at INTEGER)";

const REMEMBER: &str = "INSERT OR IGNORE INTO rimward_tokens SELECT op, token, hash, at FROM rimward_coming";

/// The tokens.
pub struct Tokens {
    beside: Beside,
    /// About how many are remembered; 0 = not counted yet.
    held: AtomicUsize,
}

/// What a transaction is known by.
struct Known<'a> {
    op: &'static str,
    token: &'a str,
    /// Of what it does.
    hash: String,
}

// === impl Tokens ===
impl Tokens {
    /// On the engine's file, in which [`TABLES`] are.
    pub fn new(path: &Path, sync_full: bool) -> Tokens {
        Tokens { beside: Beside::new(path, sync_full, SETUP), held: AtomicUsize::new(0) }
    }

    /// Whether a call is to be done here.
    pub fn has(&self, call: &Call) -> bool {
        known(call).is_some()
    }

    /// Does it, at `now`, or says that it was done. Nobody else may write meanwhile.
    ///
    /// # Errors
    /// What AWS would say: the token stands for another transaction, say.
    pub fn call(&self, db: &Database, generation: u64, now: Duration, call: Call) -> Result<Reply, Fault> {
        let op = call.op;
        let Some(known) = known(&call) else { return Err(Fault::internal()) };
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let reply = self.beside.with(generation, |storage| {
            let connection = storage.conn();
            let found: Option<(String, i64)> = connection
                .prepare_cached("SELECT hash, at FROM rimward_tokens WHERE op = ?1 AND token = ?2")?
                .query_row([known.op, known.token], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match found {
                Some((hash, at)) if now.saturating_sub(at) < kept => {
                    if hash == known.hash {
                        return Ok(None);
                    }
                    let words = "An error occurred (IdempotentParameterMismatchException)";
                    return Err(dispatch::fault(
                        op,
                        DynoxideError::IdempotentParameterMismatchException(words.to_owned()),
                    ));
                }
                Some(_) => {
                    let mut forget =
                        connection.prepare_cached("DELETE FROM rimward_tokens WHERE op = ?1 AND token = ?2")?;
                    forget.execute([known.op, known.token])?;
                }
                None => self.make_room(connection)?,
            }
            begin(storage, &call, &known, now)?;
            let reply = dispatch::transact(storage, op, call.request.clone());
            if reply.is_ok() {
                connection.prepare_cached(REMEMBER)?.execute([])?;
            }
            connection.prepare_cached("DELETE FROM rimward_coming")?.execute([])?;
            reply.map(Some)
        })?;
        match reply {
            Some(reply) => {
                self.held.fetch_add(1, Ordering::Relaxed);
                Ok(reply)
            }
            None => replayed(db, &call),
        }
    }

    /// For one more. The sweep forgets without a word: what is counted may be too many.
    fn make_room(&self, connection: &Connection) -> rusqlite::Result<()> {
        let held = self.held.load(Ordering::Relaxed);
        if (1..TOKENS_MAX).contains(&held) {
            return Ok(());
        }
        let mut held: usize = connection.query_row("SELECT count(*) FROM rimward_tokens", [], |row| row.get(0))?;
        if held >= TOKENS_MAX {
            log::warn!(
                "dynamodb: {held} tokens of transactions are remembered: the oldest are forgotten before their time"
            );
            held -= connection.execute(
                "DELETE FROM rimward_tokens WHERE (op, token) IN (SELECT op, token FROM rimward_tokens ORDER BY at LIMIT ?1)",
                params![FORGET_STEP],
            )?;
        }
        self.held.store(held, Ordering::Relaxed);
        Ok(())
    }
}

/// Transactions that write, under a token; all others are the engine's.
fn known(call: &Call) -> Option<Known<'_>> {
    let member = match call.op {
        Op::TransactWriteItems => "TransactItems",
        Op::ExecuteTransaction => "TransactStatements",
        _ => return None,
    };
    let token = text(&call.request, "ClientRequestToken").filter(|token| token.len() <= TOKEN_MAX)?;
    let reads = |one: &Value| verb(one) == Some(Verb::Select);
    if call.op == Op::ExecuteTransaction && list(&call.request, member).all(reads) {
        return None;
    }
    // What it is to say of its cost may differ.
    let hash = crate::crypto::sha256(canonical(call.request.get(member)?).as_bytes());
    Some(Known { op: call.op.name(), token, hash: crate::crypto::hex(&hash) })
}

fn verb(statement: &Value) -> Option<Verb> {
    partiql::about(statement.get("Statement")?.as_str()?).map(|about| about.verb)
}

/// Whatever is written from now on, is written under the token.
fn begin(storage: &Storage, call: &Call, known: &Known<'_>, now: i64) -> Result<(), Fault> {
    let connection = storage.conn();
    for table in BTreeSet::from_iter(tables(call)) {
        // The engine is to say so of one that is not there.
        if !storage.table_exists(&table).map_err(|error| dispatch::fault(call.op, error))? {
            continue;
        }
        for (word, event) in [("put", "INSERT"), ("changed", "UPDATE"), ("gone", "DELETE")] {
            connection.execute_batch(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS {} AFTER {event} ON main.{}
                     WHEN EXISTS (SELECT 1 FROM rimward_coming) BEGIN {REMEMBER}; END",
                quoted(&format!("rimward {word} {table}")),
                quoted(&table)
            ))?;
        }
    }
    connection.prepare_cached("DELETE FROM rimward_coming")?.execute([])?;
    let mut coming = connection.prepare_cached("INSERT INTO rimward_coming VALUES (?1, ?2, ?3, ?4)")?;
    coming.execute(params![known.op, known.token, known.hash, now])?;
    Ok(())
}

/// The tables of what a transaction does, one for each part.
fn tables(call: &Call) -> Vec<String> {
    match call.op {
        Op::TransactWriteItems => actions(call.op, &call.request)
            .filter_map(|(_, action)| text(action, "TableName").map(str::to_owned))
            .collect(),
        _ => {
            statements(call.op, &call.request).filter_map(|statement| Some(partiql::about(statement)?.table)).collect()
        }
    }
}

/// The answer of a transaction that was done before; it costs what reading its items does ("the number of read capacity units
/// consumed in reading the item").
fn replayed(db: &Database, call: &Call) -> Result<Reply, Fault> {
    let body = match call.op {
        Op::TransactWriteItems => json!({}),
        _ => json!({"Responses": []}),
    };
    let body = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
    if !call.metered {
        return Ok(Reply { body, consumed: Vec::new() });
    }
    let read = gets(db, call).and_then(|gets| dispatch::run(db, Op::TransactGetItems, gets).ok());
    let consumed = read.map_or_else(|| least(call), |reply| reply.consumed);
    Ok(Reply { body, consumed })
}

/// Reads the items of a `TransactWriteItems`.
fn gets(db: &Database, call: &Call) -> Option<Request> {
    if call.op != Op::TransactWriteItems {
        return None;
    }
    let get = |(deed, action): (Deed, &Request)| {
        let table = text(action, "TableName")?;
        let content = deed.content(action)?;
        let key = match deed {
            Deed::Put => {
                let schema: Vec<Value> = serde_json::from_str(&db.get_table_metadata(table).ok()??.key_schema).ok()?;
                let part = |key: &Value| {
                    let name = key.get("AttributeName")?.as_str()?;
                    Some((name.to_owned(), content.get(name)?.clone()))
                };
                schema.iter().map(part).collect::<Option<Map<String, Value>>>()?
            }
            _ => content.clone(),
        };
        Some(json!({"Get": {"TableName": table, "Key": key}}))
    };
    let all = actions(call.op, &call.request).map(get).collect::<Option<Vec<Value>>>()?;
    let mode = Value::from("INDEXES");
    Some(Request::from_iter([
        ("TransactItems".to_owned(), Value::from(all)),
        ("ReturnConsumedCapacity".to_owned(), mode),
    ]))
}

/// As if each of its items were small: which they are is known to the engine only.
fn least(call: &Call) -> Vec<Consumed> {
    let mut units: BTreeMap<String, f64> = BTreeMap::new();
    for table in tables(call) {
        *units.entry(table).or_default() += UNITS_LEAST;
    }
    let each = units.into_iter();
    each.map(|(table, units)| Consumed { apart: true, ..Consumed::of(&table, Side::Read, units) }).collect()
}

#[cfg(test)]
mod tests;
