//! Front: the course of one call.
//!
//! In: a caller, an operation, a request. Out: its answer. Never: an answer that the caller's policy does not allow, a unit
//! that is not charged.
//!
//! guard → policy → cache → capacity → engine → charge.

mod batched;
mod cached;
pub mod written;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::cache::{Caches, Flights, Outcome};
use super::capacity::consumed::Mode;
use super::capacity::{Consumed, Meter, Side, size};
use super::catalog::{Catalog, Table};
use super::engine::{Call, Engine, Reply};
use super::fault::Fault;
use super::follow::Follow;
use super::metrics::Metrics;
use super::op::Op;
use super::policy::{Caller, Home, tables};
use super::request::{Request, object, text};
use super::{guard, local, parts, throttle};

/// Time since the epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// JSON; nothing for operations that answer nothing.
    pub body: Bytes,
    /// What a cache had to do with it, where there is one: "hit; age=3; lag=120", "miss" or "bypass".
    pub cache: Option<Outcome>,
}

/// All that one front has.
pub struct Front {
    pub engine: Arc<dyn Engine>,
    pub catalog: Catalog,
    pub meter: Meter,
    pub metrics: Metrics,
    pub caches: Caches,
    /// The streams of another endpoint's tables, if they are followed.
    pub follow: Option<Follow>,
    pub flights: Flights<Result<Answer, Fault>>,
    pub home: Home,
    pub throttle: bool,
    pub clock: Clock,
}

// === impl Front ===
impl Front {
    /// Does an operation, and counts it. `host`: the name by which the front was asked.
    ///
    /// # Errors
    /// What AWS would say.
    pub async fn call(
        self: &Arc<Self>,
        caller: &Caller,
        op: Op,
        request: Request,
        host: Option<&str>,
    ) -> Result<Answer, Fault> {
        let result = self.checked(caller, op, request, host).await;
        self.metrics.called(op, result.as_ref().map_or_else(|fault| fault.status, |_| 200));
        result
    }

    async fn checked(
        self: &Arc<Self>,
        caller: &Caller,
        op: Op,
        mut request: Request,
        host: Option<&str>,
    ) -> Result<Answer, Fault> {
        parts::drop_nulls(op, &mut request);
        parts::shaped(op, &request)?;
        guard::check(&request)?;
        self.shorten(op, &mut request);
        let metering = self.metering(op);
        let known = match caller.policy.is_some() || metering || self.caches.any() {
            true => self.tables(&tables(op, &request)).await?,
            false => Vec::new(),
        };
        let now = (self.clock)();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        caller.may(op, &request, &known, &self.home, now_ms).inspect_err(|_| self.metrics.denied())?;
        match op {
            Op::DescribeEndpoints => {
                return Ok(Answer { body: local::endpoints(host, &self.home.region).into(), cache: None });
            }
            Op::DescribeLimits => return Ok(Answer { body: local::limits().into(), cache: None }),
            _ => {}
        }
        self.through_caches(op, request, known).await
    }

    /// Past every cache.
    pub async fn fetch(&self, op: Op, mut request: Request, known: &[Arc<Table>]) -> Result<Answer, Fault> {
        let metering = self.metering(op);
        let mut unprocessed = Request::new();
        if metering {
            let now = (self.clock)();
            let admitted = throttle::admit(op, &mut request, known, &self.meter, &self.home, now);
            unprocessed = admitted.inspect_err(|_| self.metrics.throttled())?.unprocessed;
        }
        let reply = self.engine(op, request, known, metering).await?;
        self.finish(op, reply, unprocessed)
    }

    fn metering(&self, op: Op) -> bool {
        self.throttle && self.engine.meters() && op.metered()
    }

    /// Asks the engine, and charges what it cost.
    async fn engine(
        &self,
        op: Op,
        mut request: Request,
        known: &[Arc<Table>],
        metering: bool,
    ) -> Result<Costly, Fault> {
        let mode = text(&request, "ReturnConsumedCapacity").map_or(Some(Mode::None), Mode::read);
        // A word that is no mode is the engine's to refuse.
        let metered = self.engine.meters() && op.metered() && (mode.is_some_and(|mode| mode != Mode::None) || metering);
        let condition = (metering && mode.is_some()).then(|| Condition::watch(op, &mut request)).flatten();
        let metered = metered && mode.is_some();
        let name = text(&request, "TableName").map(str::to_owned);
        let cancelled = match metering && matches!(op, Op::TransactGetItems | Op::TransactWriteItems) {
            true => throttle::cancelled(op, &request),
            false => Vec::new(),
        };
        let result = self.engine.call(Call { op, request, metered }).await;
        if op.changes_table()
            && let Some(name) = &name
        {
            self.catalog.forget(name);
            if op == Op::DeleteTable && result.is_ok() {
                self.meter.forget(name);
            }
        }
        match (result, condition) {
            (Ok(reply), _) => {
                if metering {
                    self.charge(&reply.consumed, known);
                }
                Ok(Costly { reply, mode: mode.unwrap_or_default() })
            }
            (Err(mut fault), Some(condition)) if fault.name() == "ConditionalCheckFailedException" => {
                self.charge(&[condition.cost(&fault, name.unwrap_or_default())], known);
                if !condition.wants_item {
                    fault.more.remove("Item");
                }
                Err(fault)
            }
            (Err(fault), _) => {
                if fault.name() == "TransactionCanceledException" {
                    self.charge(&cancelled, known);
                }
                Err(fault)
            }
        }
    }

    fn charge(&self, consumed: &[Consumed], known: &[Arc<Table>]) {
        let now = (self.clock)();
        for one in consumed {
            let total = one.total();
            self.metrics.consumed(total.read, total.write);
            if let Some(table) = known.iter().find(|table| table.name == one.table) {
                self.meter.charge(table, one, now);
            }
        }
    }

    fn finish(&self, op: Op, costly: Costly, unprocessed: Request) -> Result<Answer, Fault> {
        let Costly { reply, mode } = costly;
        let mut body = reply.body;
        if !unprocessed.is_empty() {
            let member = if op == Op::BatchGetItem { "UnprocessedKeys" } else { "UnprocessedItems" };
            let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else { return Err(Fault::internal()) };
            self.metrics.unprocessed(unprocessed.values().map(parts).sum());
            members.insert(member.to_owned(), Value::Object(unprocessed));
            body = serde_json::to_vec(&members).map_err(|_| Fault::internal())?;
        }
        let shown: Vec<Value> = reply.consumed.iter().filter_map(|consumed| consumed.shown(mode)).collect();
        if !shown.is_empty() {
            let single = matches!(
                op,
                Op::GetItem
                    | Op::PutItem
                    | Op::UpdateItem
                    | Op::DeleteItem
                    | Op::Query
                    | Op::Scan
                    | Op::ExecuteStatement
            );
            let value = match (single, shown.as_slice()) {
                (true, [one]) => one.clone(),
                _ => Value::Array(shown),
            };
            add(&mut body, "ConsumedCapacity", &value);
        }
        Ok(Answer { body: body.into(), cache: None })
    }

    /// Tables by name, those that there are.
    pub async fn tables(&self, names: &[String]) -> Result<Vec<Arc<Table>>, Fault> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            if let Some(table) = self.catalog.get(name, (self.clock)()) {
                found.push(table);
                continue;
            }
            let generation = self.catalog.generation();
            let request = Request::from_iter([("TableName".to_owned(), json!(name))]);
            let call = Call { op: Op::DescribeTable, request, metered: false };
            match self.engine.call(call).await {
                Ok(reply) => {
                    let description: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    if let Some(table) = description.get("Table").and_then(Table::read) {
                        found.push(self.catalog.put(table, generation, (self.clock)()));
                    }
                }
                Err(fault) if fault.status < 500 => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    /// ARNs in the place of table names become names.
    fn shorten(&self, op: Op, request: &mut Request) {
        let shorten = |members: &mut Request| {
            let name = text(members, "TableName").filter(|name| name.starts_with("arn:"));
            if let Some(short) = name.and_then(|name| self.home.name_of(name)).map(str::to_owned) {
                members.insert("TableName".to_owned(), json!(short));
            }
        };
        shorten(request);
        match op {
            Op::TransactGetItems | Op::TransactWriteItems => {
                let items = request.get_mut("TransactItems").and_then(Value::as_array_mut);
                let actions = items.into_iter().flatten().filter_map(Value::as_object_mut).flatten();
                actions.filter_map(|(_, action)| action.as_object_mut()).for_each(shorten);
            }
            Op::BatchGetItem | Op::BatchWriteItem => {
                let Some(Value::Object(items)) = request.get_mut("RequestItems") else { return };
                if items.keys().any(|name| name.starts_with("arn:")) {
                    let short = |name: String| self.home.name_of(&name).map(str::to_owned).unwrap_or(name);
                    let all = std::mem::take(items).into_iter();
                    *items = all.map(|(name, asked)| (short(name), asked)).collect();
                }
            }
            _ => {}
        }
    }
}

/// A reply, and how its cost is to be shown.
struct Costly {
    reply: Reply,
    mode: Mode,
}

/// What a failed condition costs: the item that it met is asked for, and taken out again.
struct Condition {
    wants_item: bool,
    /// Units of the item that was to be put.
    put: f64,
}

impl Condition {
    fn watch(op: Op, request: &mut Request) -> Option<Condition> {
        const MEMBER: &str = "ReturnValuesOnConditionCheckFailure";
        if !matches!(op, Op::PutItem | Op::UpdateItem | Op::DeleteItem) {
            return None;
        }
        let item = object(request, "Item").filter(|_| op == Op::PutItem);
        let put = item.map_or(1.0, |item| size::write_units(size::item(item)));
        let wants_item = text(request, MEMBER) == Some("ALL_OLD");
        let plain = text(request, MEMBER).is_none_or(|text| text == "NONE");
        if plain && request.contains_key("ConditionExpression") {
            request.insert(MEMBER.to_owned(), json!("ALL_OLD"));
        }
        Some(Condition { wants_item, put })
    }

    fn cost(&self, fault: &Fault, table: String) -> Consumed {
        let old = fault.more.get("Item").and_then(Value::as_object);
        let units = old.map_or(1.0, |item| size::write_units(size::item(item))).max(self.put);
        Consumed::of(&table, Side::Write, units)
    }
}

fn parts(asked: &Value) -> usize {
    match asked {
        Value::Array(writes) => writes.len(),
        other => other.get("Keys").and_then(Value::as_array).map_or(0, Vec::len),
    }
}

/// Adds a member to an object that is text already.
pub fn add(body: &mut Vec<u8>, name: &str, value: &Value) {
    if body.pop() == Some(b'}') {
        if body.last() != Some(&b'{') {
            body.push(b',');
        }
        body.extend_from_slice(format!("\"{name}\":{value}}}").as_bytes());
    }
}

#[cfg(test)]
mod tests;
