//! Batched: BatchGetItem, item by item from the cache.
//!
//! In: a batch that its caller's policy allows. Out: what the cache has, and the engine's answer for the rest. Never: a batch
//! that the engine has to judge as a whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::cached::{free, mode, place, project};
use super::{Answer, Front};
use crate::dynamo::cache::epochs::Scope;
use crate::dynamo::cache::{Mark, Outcome, Store, key};
use crate::dynamo::catalog::Table;
use crate::dynamo::fault::Fault;
use crate::dynamo::op::Op;
use crate::dynamo::request::{Request, object};

/// Keys of one BatchGetItem.
const BATCH_MAX: usize = 100;

/// A key that the engine has to be asked for.
struct Missing {
    table: String,
    key: Vec<u8>,
    mark: Mark,
    found: bool,
}

/// What the cache has for a key: its table, the item if there is one, and its age.
type Found = (String, Option<Value>, Duration);

// === impl Front ===
impl Front {
    pub async fn batch(
        self: &Arc<Self>,
        store: &Store,
        mut request: Request,
        known: &[Arc<Table>],
    ) -> Result<Answer, Fault> {
        let names = object(&request, "RequestItems").into_iter().flat_map(Map::keys).map(String::as_str);
        let lag = match self.may_serve(names, known) {
            Ok(lag) => lag,
            // One table that is behind: SDKs ask for the whole as one.
            Err(behind) => {
                return self.past_as(store, Op::BatchGetItem, request, known, Outcome::Behind(behind)).await;
            }
        };
        let now = (self.clock)();
        let Some((found, missing)) = self.sort(store, &mut request, now) else {
            return self.past(store, Op::BatchGetItem, request, known).await;
        };
        let mode = mode(&request);
        if missing.is_empty() {
            let age = found.iter().map(|(.., age)| age.as_secs()).max().unwrap_or(0);
            let names: Vec<String> = found.iter().map(|(table, ..)| table.clone()).collect();
            let mut body = Map::from_iter([("UnprocessedKeys".to_owned(), Value::Object(Map::new()))]);
            merge(&mut body, found);
            let mut bytes = Bytes::from(serde_json::to_vec(&body).map_err(|_| Fault::internal())?);
            if let Some(name) = names.first() {
                bytes = free(bytes, name, mode, false);
            }
            let outcome = Outcome::Hit { age, lag };
            store.count(outcome);
            return Ok(Answer { body: bytes, cache: Some(outcome) });
        }
        let mut asked = request.clone();
        if let (false, Some(Value::Object(tables))) = (self.engine.meters(), asked.get_mut("RequestItems")) {
            // What is kept for minutes is to be what was written last.
            for table in tables.values_mut().filter_map(Value::as_object_mut) {
                table.insert("ConsistentRead".to_owned(), Value::Bool(true));
            }
        }
        let answer = self.fetch(Op::BatchGetItem, asked, known).await?;
        let missed = Outcome::Miss { lag };
        store.count(missed);
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&answer.body) else { return Err(Fault::internal()) };
        self.keep(store, &request, &body, missing, known);
        merge(&mut body, found);
        let bytes = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
        Ok(Answer { body: bytes.into(), cache: Some(missed) })
    }

    /// Takes out of a batch what the cache has. `None`: the batch is not for the cache.
    fn sort(&self, store: &Store, request: &mut Request, now: Duration) -> Option<(Vec<Found>, Vec<Missing>)> {
        let mut whole = request.clone();
        let Some(Value::Object(tables)) = whole.get_mut("RequestItems") else { return None };
        let (mut found, mut missing, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (name, asked) in tables.iter_mut() {
            let asked = asked.as_object_mut()?;
            let Some(Value::Array(keys)) = asked.remove("Keys") else { return None };
            let mut left = Vec::new();
            for wanted in keys {
                let lookup = key::lookup(asked, wanted.as_object()?)?;
                let judged = lookup.form.as_ref().is_none_or(|form| self.caches.forms.contains_key(form));
                let place = place(name, &lookup.key);
                // A key twice is an error, and the engine's to say.
                if !judged || !seen.insert(place.clone()) {
                    return None;
                }
                let mark = self.caches.mark(name, Scope::Item(name, &lookup.key));
                match store.get(&place, mark, now) {
                    Some((body, age)) => {
                        let item = serde_json::from_slice::<Value>(&project(body, &lookup)).ok()?;
                        found.push((name.clone(), item.get("Item").cloned(), age));
                    }
                    None => {
                        left.push(wanted);
                        missing.push(Missing { table: name.clone(), key: lookup.key, mark, found: false });
                    }
                }
            }
            asked.insert("Keys".to_owned(), Value::Array(left));
        }
        if seen.is_empty() || seen.len() > BATCH_MAX {
            return None;
        }
        tables.retain(|_, asked| asked.get("Keys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty()));
        *request = whole;
        Some((found, missing))
    }

    /// Keeps the whole items of a batch, and that others are not there.
    fn keep(
        &self,
        store: &Store,
        request: &Request,
        answer: &Map<String, Value>,
        mut missing: Vec<Missing>,
        known: &[Arc<Table>],
    ) {
        let now = (self.clock)();
        let whole = |name: &str| {
            let asked = object(request, "RequestItems").and_then(|tables| object(tables, name));
            asked.is_some_and(|asked| !asked.contains_key("ProjectionExpression"))
        };
        for (name, items) in object(answer, "Responses").into_iter().flatten() {
            let Some(table) = known.iter().find(|table| table.name == *name).filter(|_| whole(name)) else { continue };
            for item in items.as_array().into_iter().flatten().filter_map(Value::as_object) {
                let Some(key) = key::item(&key::of_item(item, &table.hash, table.range.as_deref())) else { continue };
                let place_in = missing.iter_mut().find(|one| one.table == *name && one.key == key);
                let Some(one) = place_in else { continue };
                one.found = true;
                let body = Map::from_iter([("Item".to_owned(), Value::Object(item.clone()))]);
                if let Ok(body) = serde_json::to_vec(&body) {
                    store.put(place(name, &key), one.mark, body.into(), now);
                }
            }
        }
        let unprocessed = object(answer, "UnprocessedKeys").is_none_or(|left| !left.is_empty());
        for one in missing.into_iter().filter(|one| !one.found && !unprocessed && whole(&one.table)) {
            store.put(place(&one.table, &one.key), one.mark, Bytes::from_static(b"{}"), now);
        }
    }
}

/// Adds items of the cache to a batch's answer.
fn merge(body: &mut Map<String, Value>, found: Vec<Found>) {
    let responses = body.entry("Responses").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(responses) = responses else { return };
    for (table, item, _) in found {
        if let Value::Array(items) = responses.entry(table).or_insert_with(|| Value::Array(Vec::new())) {
            items.extend(item);
        }
    }
}
