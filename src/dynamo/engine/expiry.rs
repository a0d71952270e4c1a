//! Expiry: items whose time has come are deleted, those whose time is long past are kept, as AWS does.
//!
//! In: tables with a TTL, the time. Out: items deleted by the engine, with its indexes and its streams. Never: an item deleted
//! that has got another time meanwhile, or whose table lost its TTL.
//!
//! The engine's own sweep deletes whatever is past: an item with 0, or with a time of the year 1970, would be lost.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::request::{Request, text};
use super::Swept;
use super::beside::Beside;
use super::direct::Direct;
use super::sidecar::{EXPIRED_STEP, Row, Sidecar};

/// "Items with a TTL timestamp older than five years are not deleted" (developer guide, "Using time to live (TTL)").
pub const PAST_MAX: Duration = Duration::from_secs(5 * 365 * 86_400);

/// Stream records of this connection are AWS's own deletions.
const SETUP: &str = "
    CREATE TEMP TRIGGER rimward_expired AFTER INSERT ON main._stream_records BEGIN
        UPDATE _stream_records SET user_identity = '{\"type\":\"Service\",\"principalId\":\"dynamodb.amazonaws.com\"}'
            WHERE id = NEW.id;
    END;";

/// What deletes.
pub struct Expiry(Beside);

/// A table whose items expire.
struct Expiring<'a> {
    table: &'a str,
    attribute: &'a str,
    /// Names of its key's attributes.
    keys: Vec<String>,
    /// Times that have expired, in seconds since the epoch.
    span: (i64, i64),
}

// === impl Expiry ===
impl Expiry {
    /// On the engine's file.
    pub fn new(path: &Path, sync_full: bool) -> Expiry {
        Expiry(Beside::new(path, sync_full, SETUP))
    }

    /// Deletes what has expired at `now`; takes turns with whoever writes. `schema`: the key schema of a table, as JSON.
    ///
    /// # Errors
    /// The database's, before anything was deleted.
    pub fn sweep(
        &self,
        sidecar: &Sidecar,
        direct: &Direct,
        now: Duration,
        schema: impl Fn(&str) -> Option<String>,
    ) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        for (table, attribute) in sidecar.expiring()? {
            // Gone meanwhile.
            let Some(keys) = schema(&table).and_then(|schema| names(&schema)) else { continue };
            let expiring = Expiring { table: &table, attribute: &attribute, keys, span: span(now) };
            let mut items = 0;
            let done = self.table(sidecar, direct, &expiring, &mut items);
            if items > 0 {
                swept.items += items;
                swept.tables.push(table);
            }
            if let Err(fault) = done {
                // What was deleted is to be told all the same, and other tables do not wait for this one.
                log::error!("dynamodb: expired items: {}", fault.kind);
            }
        }
        Ok(swept)
    }

    /// `items`: how many were deleted, however it ends.
    fn table(
        &self,
        sidecar: &Sidecar,
        direct: &Direct,
        expiring: &Expiring<'_>,
        items: &mut usize,
    ) -> Result<(), Fault> {
        let Expiring { table, attribute, span, .. } = expiring;
        let mut after = (String::new(), String::new());
        loop {
            let rows = match sidecar.expired(table, attribute, *span, (&after.0, &after.1)) {
                Ok(rows) => rows,
                // It may be gone.
                Err(_) if !sidecar.expires(table, attribute)? => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let count = rows.len();
            for row in &rows {
                let Some(request) = expired(expiring, row) else { continue };
                let _turn = direct.turn();
                if !sidecar.expires(table, attribute)? {
                    return Ok(());
                }
                let deleted = self.0.with(direct.generation(), |storage| super::dispatch::delete(storage, request));
                match deleted.as_ref().map_err(Fault::name) {
                    Ok(()) => *items += 1,
                    // It has another time now, or is gone.
                    Err("ConditionalCheckFailedException") => {}
                    Err(_) => deleted?,
                }
            }
            match rows.into_iter().next_back() {
                Some(Row { pk, sk, .. }) if count == EXPIRED_STEP => after = (pk, sk),
                _ => return Ok(()),
            }
        }
    }
}

/// What has expired at `now`.
fn span(now: Duration) -> (i64, i64) {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let most = i64::try_from(PAST_MAX.as_secs()).unwrap_or(i64::MAX);
    (now.saturating_sub(most).max(0), now.saturating_sub(1))
}

/// The request that deletes the item of `row` if it has expired, and still has when it is done.
fn expired(expiring: &Expiring<'_>, row: &Row) -> Option<Request> {
    let item: Request = serde_json::from_str(row.item.as_deref()?).ok()?;
    let at = text(item.get(expiring.attribute)?.as_object()?, "N")?;
    let (from, to) = expiring.span;
    // What is no whole number of seconds is no time.
    at.parse::<i64>().ok().filter(|at| (from..=to).contains(at))?;
    let part = |name: &String| Some((name.clone(), item.get(name)?.clone()));
    let key = expiring.keys.iter().map(part).collect::<Option<Map<String, Value>>>()?;
    let request = json!({"TableName": expiring.table, "Key": key, "ConditionExpression": "#at = :at",
        "ExpressionAttributeNames": {"#at": expiring.attribute}, "ExpressionAttributeValues": {":at": {"N": at}}});
    match request {
        Value::Object(request) => Some(request),
        _ => None,
    }
}

fn names(schema: &str) -> Option<Vec<String>> {
    let schema: Vec<Value> = serde_json::from_str(schema).ok()?;
    schema.iter().map(|key| Some(key.get("AttributeName")?.as_str()?.to_owned())).collect()
}
