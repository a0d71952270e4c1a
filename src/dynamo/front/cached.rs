//! Cached: calls that a cache may answer, and those that it must forget by.
//!
//! In: a call that its caller's policy allows. Out: its answer, with what a cache had to do with it. Never: a strongly
//! consistent or transactional read from a cache.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::written::{Forgetting, Through, writes};
use super::{Answer, Front, add};
use crate::dynamo::cache::epochs::Scope;
use crate::dynamo::cache::key::{self, Lookup};
use crate::dynamo::cache::{Mark, Outcome, Store};
use crate::dynamo::capacity::Consumed;
use crate::dynamo::capacity::consumed::Mode;
use crate::dynamo::catalog::Table;
use crate::dynamo::fault::Fault;
use crate::dynamo::op::Op;
use crate::dynamo::policy::leading;
use crate::dynamo::request::{Request, flag, object, text};

// === impl Front ===
impl Front {
    /// From a cache, or from the engine and into it.
    pub async fn through_caches(
        self: &Arc<Self>,
        op: Op,
        request: Request,
        known: Vec<Arc<Table>>,
    ) -> Result<Answer, Fault> {
        if !self.caches.any() {
            return self.fetch(op, request, &known).await;
        }
        match op {
            Op::GetItem => match &self.caches.items {
                Some(store) => self.item(store, request, &known).await,
                None => self.fetch(op, request, &known).await,
            },
            Op::BatchGetItem => match &self.caches.items {
                Some(store) => self.batch(store, request, &known).await,
                None => self.fetch(op, request, &known).await,
            },
            Op::Query | Op::Scan => match &self.caches.queries {
                Some(store) => self.search(store, op, request, &known).await,
                None => self.fetch(op, request, &known).await,
            },
            _ => {
                let writes = writes(op, &request, &known);
                if writes.is_empty() {
                    return self.fetch(op, request, &known).await;
                }
                // On a task of its own: a caller that goes must not keep the caches from hearing of its write.
                let front = Arc::clone(self);
                let write = tokio::spawn(async move {
                    let through = Through::new(&front, op, &request, &writes);
                    let forgetting = Forgetting::new(&front, writes);
                    let result = front.fetch(op, request, &known).await;
                    drop(forgetting);
                    if result.is_ok() {
                        through.into_iter().for_each(|through| through.keep(&front));
                    }
                    result
                });
                write.await.unwrap_or_else(|_| Err(Fault::internal()))
            }
        }
    }

    async fn item(self: &Arc<Self>, store: &Store, request: Request, known: &[Arc<Table>]) -> Result<Answer, Fault> {
        let name = text(&request, "TableName").unwrap_or_default().to_owned();
        let lookup = object(&request, "Key").and_then(|key| key::lookup(&request, key));
        let Some(lookup) = lookup else { return self.past(store, Op::GetItem, request, known).await };
        if lookup.form.as_ref().is_some_and(|form| !self.caches.forms.contains_key(form)) {
            // The engine judges an expression when it is first met.
            let answer = self.past(store, Op::GetItem, request, known).await?;
            lookup.form.into_iter().for_each(|form| self.caches.forms.insert(form, ()));
            return Ok(answer);
        }
        let lag = match self.may_serve([name.as_str()], known) {
            Ok(lag) => lag,
            Err(behind) => {
                return self.past_as(store, Op::GetItem, request, known, Outcome::Behind(behind)).await;
            }
        };
        let mode = mode(&request);
        let mark = self.caches.mark(&name, Scope::Item(&name, &lookup.key));
        let place = place(&name, &lookup.key);
        if let Some((body, age)) = store.get(&place, mark, (self.clock)()) {
            let outcome = Outcome::Hit { age: age.as_secs(), lag };
            store.count(outcome);
            return Ok(Answer { body: free(project(body, &lookup), &name, mode, true), cache: Some(outcome) });
        }
        let mut whole = request;
        whole.remove("ProjectionExpression");
        whole.remove("ExpressionAttributeNames");
        if !self.engine.meters() {
            // What is kept for minutes is to be what was written last.
            whole.insert("ConsistentRead".to_owned(), Value::Bool(true));
        }
        let (answer, asked) =
            self.flights.join(flight(&place, mark, mode), || self.fetch(Op::GetItem, whole, known)).await;
        let answer = answer?;
        let missed = Outcome::Miss { lag };
        store.count(missed);
        let (body, cost) = split(&answer.body, mode)?;
        if asked {
            store.put(place, mark, body.clone(), (self.clock)());
        }
        let mut body = project(body, &lookup);
        match cost.filter(|_| asked) {
            Some(cost) => {
                let mut bytes = Vec::from(body);
                add(&mut bytes, "ConsumedCapacity", &cost);
                body = bytes.into();
            }
            None => body = free(body, &name, mode, true),
        }
        Ok(Answer { body, cache: Some(missed) })
    }

    async fn search(
        self: &Arc<Self>,
        store: &Store,
        op: Op,
        request: Request,
        known: &[Arc<Table>],
    ) -> Result<Answer, Fault> {
        let name = text(&request, "TableName").unwrap_or_default().to_owned();
        let index = text(&request, "IndexName").map(str::to_owned);
        let table = known.iter().find(|table| table.name == name);
        let Some(table) = table.filter(|_| !flag(&request, "ConsistentRead")) else {
            return self.past(store, op, request, known).await;
        };
        let lag = match self.may_serve([name.as_str()], known) {
            Ok(lag) => lag,
            Err(behind) => return self.past_as(store, op, request, known, Outcome::Behind(behind)).await,
        };
        let global = index.as_deref().and_then(|index| table.index(index)).filter(|index| !index.local);
        let leading = leading(&request, &table.hash).filter(|_| op == Op::Query);
        let partition = leading.and_then(key::scalar).map(|(kind, value)| format!("{kind}{value}"));
        let mark = match (global, &partition) {
            (Some(index), _) => self.caches.mark(&name, Scope::Index(&name, &index.name)),
            (None, Some(partition)) => self.caches.mark(&name, Scope::Partition(&name, partition)),
            (None, None) => self.caches.mark(&name, Scope::Anything(&name)),
        };
        let mode = mode(&request);
        let place = place(&name, key::search(op.name(), &request).as_bytes());
        if let Some((body, age)) = store.get(&place, mark, (self.clock)()) {
            let outcome = Outcome::Hit { age: age.as_secs(), lag };
            store.count(outcome);
            return Ok(Answer { body: free(body, &name, mode, true), cache: Some(outcome) });
        }
        let (answer, asked) = self.flights.join(flight(&place, mark, mode), || self.fetch(op, request, known)).await;
        let answer = answer?;
        let missed = Outcome::Miss { lag };
        store.count(missed);
        let (body, _) = split(&answer.body, mode)?;
        if asked {
            store.put(place, mark, body.clone(), (self.clock)());
            return Ok(Answer { cache: Some(missed), ..answer });
        }
        Ok(Answer { body: free(body, &name, mode, true), cache: Some(missed) })
    }

    /// Past a cache.
    pub async fn past(&self, store: &Store, op: Op, request: Request, known: &[Arc<Table>]) -> Result<Answer, Fault> {
        self.past_as(store, op, request, known, Outcome::Bypass).await
    }

    /// The same, and why.
    pub async fn past_as(
        &self,
        store: &Store,
        op: Op,
        request: Request,
        known: &[Arc<Table>],
        outcome: Outcome,
    ) -> Result<Answer, Fault> {
        store.count(outcome);
        let answer = self.fetch(op, request, known).await?;
        Ok(Answer { cache: Some(outcome), ..answer })
    }
}

/// How the cost is to be shown.
pub fn mode(request: &Request) -> Mode {
    text(request, "ReturnConsumedCapacity").and_then(Mode::read).unwrap_or_default()
}

/// Where a store keeps what belongs to a table.
pub fn place(table: &str, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(table.len() + 1 + key.len());
    place.extend_from_slice(table.as_bytes());
    place.push(0);
    place.extend_from_slice(key);
    place
}

/// Questions are the same when they come after the same writes, and ask for the same figures.
fn flight(place: &[u8], mark: Mark, mode: Mode) -> Vec<u8> {
    let mut key = place.to_vec();
    key.extend_from_slice(format!("\0{mark:?}{mode:?}").as_bytes());
    key
}

/// The part of an answer that a lookup asks for.
pub fn project(body: Bytes, lookup: &Lookup) -> Bytes {
    let Some(projection) = &lookup.projection else { return body };
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else { return body };
    if let Some(Value::Object(item)) = members.get_mut("Item") {
        *item = projection.apply(item);
    }
    serde_json::to_vec(&members).map_or(body, Bytes::from)
}

/// What is kept of an answer, and what it cost.
fn split(body: &Bytes, mode: Mode) -> Result<(Bytes, Option<Value>), Fault> {
    if mode == Mode::None {
        return Ok((body.clone(), None));
    }
    let mut members: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Fault::internal())?;
    let cost = members.remove("ConsumedCapacity");
    Ok((serde_json::to_vec(&members).map_err(|_| Fault::internal())?.into(), cost))
}

/// An answer that cost nothing, said as asked for.
pub fn free(body: Bytes, table: &str, mode: Mode, single: bool) -> Bytes {
    let nothing = Consumed { table: table.to_owned(), ..Consumed::default() };
    let Some(shown) = nothing.shown(mode) else { return body };
    let mut bytes = Vec::from(body);
    add(&mut bytes, "ConsumedCapacity", &if single { shown } else { Value::Array(vec![shown]) });
    bytes.into()
}
