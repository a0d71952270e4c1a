//! Throttle: which parts of a request may go ahead, and what the rest is told.
//!
//! In: a request, what its tables are, the meter. Out: the request, or what of it there is capacity for, or AWS's refusal.
//! Never: a unit charged.
//!
//! Single operations fail; batches leave out what there is no capacity for, and fail when that is all of it; transactions
//! are cancelled (API reference of each operation).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::capacity::{Consumed, Demand, Exhausted, Meter, Side, size};
use super::catalog::Table;
use super::fault::Fault;
use super::op::Op;
use super::partiql;
use super::parts::{Deed, actions};
use super::policy::Home;
use super::request::{Request, flag, list, object, text};

/// What a transaction costs more than its parts (developer guide, "Capacity unit consumption").
const TRANSACTIONAL: f64 = 2.0;

/// What may go ahead.
#[derive(Debug, Default, PartialEq)]
pub struct Admitted {
    /// What was taken out of a batch, in the shape of `UnprocessedItems` or `UnprocessedKeys`.
    pub unprocessed: Request,
}

/// What is asked for together: parts count on top of one another.
struct Running<'a> {
    meter: &'a Meter,
    known: &'a [Arc<Table>],
    now: Duration,
    sums: HashMap<(String, Side), Demand>,
}

/// Takes out of `request` what there is no capacity for.
///
/// # Errors
/// ProvisionedThroughputExceededException, ThrottlingException, or TransactionCanceledException.
pub fn admit(
    op: Op,
    request: &mut Request,
    known: &[Arc<Table>],
    meter: &Meter,
    home: &Home,
    now: Duration,
) -> Result<Admitted, Fault> {
    let mut running = Running { meter, known, now, sums: HashMap::new() };
    match op {
        Op::BatchGetItem | Op::BatchWriteItem => batch(op, request, &mut running, home),
        Op::TransactGetItems | Op::TransactWriteItems => transaction(op, request, &mut running, home),
        _ => {
            for demand in single(op, request, known) {
                running.add(demand).map_err(|exhausted| fault(&exhausted, home))?;
            }
            Ok(Admitted::default())
        }
    }
}

// === impl Running ===
impl Running<'_> {
    fn add(&mut self, demand: Demand) -> Result<(), Exhausted> {
        let Some(table) = self.known.iter().find(|table| table.name == demand.table) else { return Ok(()) };
        let place = (demand.table.clone(), demand.side);
        let sum = self.sums.get(&place).map_or_else(|| demand.clone(), |sum| sum.plus(&demand));
        self.meter.admit(table, &sum, self.now)?;
        self.sums.insert(place, sum);
        Ok(())
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.known.iter().find(|table| table.name == name).map(Arc::as_ref)
    }
}

/// The demands of an operation that is done whole or not at all.
fn single(op: Op, request: &Request, known: &[Arc<Table>]) -> Vec<Demand> {
    let table = |name: &str| known.iter().find(|table| table.name == name).map(Arc::as_ref);
    let name = text(request, "TableName").unwrap_or_default();
    match op {
        Op::GetItem => vec![read(name, flag(request, "ConsistentRead"))],
        Op::Query | Op::Scan => {
            let index = text(request, "IndexName");
            let global =
                index.filter(|index| table(name).and_then(|t| t.index(index)).is_some_and(|index| !index.local));
            match global {
                Some(index) => {
                    let indexes = vec![(index.to_owned(), 0.5)];
                    vec![Demand { table: name.to_owned(), side: Side::Read, units: 0.0, indexes }]
                }
                None => vec![read(name, flag(request, "ConsistentRead"))],
            }
        }
        Op::PutItem => vec![write(name, object(request, "Item"), table(name), 1.0)],
        Op::UpdateItem | Op::DeleteItem => vec![write(name, None, table(name), 1.0)],
        Op::ExecuteStatement => statement(request, 1.0).into_iter().collect(),
        Op::BatchExecuteStatement => {
            list(request, "Statements").filter_map(Value::as_object).filter_map(|one| statement(one, 1.0)).collect()
        }
        Op::ExecuteTransaction => {
            let each = list(request, "TransactStatements").filter_map(Value::as_object);
            each.filter_map(|one| statement(one, TRANSACTIONAL)).collect()
        }
        _ => Vec::new(),
    }
}

fn read(name: &str, consistent: bool) -> Demand {
    let units = if consistent { 1.0 } else { 0.5 };
    Demand { table: name.to_owned(), side: Side::Read, units, indexes: Vec::new() }
}

/// A write costs its item at least; what was there before may make it more. Of an item that is not in the request, any
/// index may be touched.
fn write(name: &str, item: Option<&Request>, table: Option<&Table>, factor: f64) -> Demand {
    let units = item.map_or(1.0, |item| size::write_units(size::item(item))) * factor;
    let global = table.into_iter().flat_map(|table| &table.indexes).filter(|index| !index.local);
    let touched = global.filter(|index| {
        let keys = std::iter::once(&index.hash).chain(&index.range);
        item.is_none_or(|item| keys.into_iter().all(|key| item.contains_key(key)))
    });
    let indexes = touched.map(|index| (index.name.clone(), 1.0)).collect();
    Demand { table: name.to_owned(), side: Side::Write, units, indexes }
}

fn statement(one: &Request, factor: f64) -> Option<Demand> {
    let about = partiql::about(text(one, "Statement")?)?;
    let (side, table) = (about.verb.side(), about.table);
    Some(match (side, about.index) {
        (Side::Read, Some(index)) => Demand { table, side, units: 0.0, indexes: vec![(index, 0.5)] },
        (Side::Read, None) => {
            Demand { units: read(&table, flag(one, "ConsistentRead")).units * factor, ..read(&table, false) }
        }
        (Side::Write, _) => Demand { table, side, units: factor, indexes: Vec::new() },
    })
}

fn batch(op: Op, request: &mut Request, running: &mut Running<'_>, home: &Home) -> Result<Admitted, Fault> {
    let Some(Value::Object(tables)) = request.get_mut("RequestItems") else { return Ok(Admitted::default()) };
    let (mut unprocessed, mut last, mut going) = (Request::new(), None, 0);
    for (name, asked) in tables.iter_mut() {
        let consistent = asked.get("ConsistentRead") == Some(&Value::Bool(true));
        let parts = match asked {
            Value::Array(writes) => Some(writes),
            Value::Object(keys) => keys.get_mut("Keys").and_then(Value::as_array_mut),
            _ => None,
        };
        let Some(parts) = parts else { continue };
        let (mut stay, mut left) = (Vec::with_capacity(parts.len()), Vec::new());
        for part in std::mem::take(parts) {
            let demand = match op {
                Op::BatchGetItem => read(name, consistent),
                _ => {
                    let item = part.pointer("/PutRequest/Item").and_then(Value::as_object);
                    write(name, item, running.table(name), 1.0)
                }
            };
            match running.add(demand) {
                Ok(()) => stay.push(part),
                Err(exhausted) => {
                    last = Some(exhausted);
                    left.push(part);
                }
            }
        }
        going += stay.len();
        *parts = stay;
        if !left.is_empty() {
            let mut shape = asked.clone();
            match &mut shape {
                Value::Object(keys) => drop(keys.insert("Keys".to_owned(), Value::Array(left))),
                other => *other = Value::Array(left),
            }
            unprocessed.insert(name.clone(), shape);
        }
    }
    match last {
        Some(exhausted) if going == 0 => Err(fault(&exhausted, home)),
        Some(_) => {
            tables.retain(|_, asked| match asked {
                Value::Array(writes) => !writes.is_empty(),
                other => other.get("Keys").and_then(Value::as_array).is_none_or(|keys| !keys.is_empty()),
            });
            Ok(Admitted { unprocessed })
        }
        None => Ok(Admitted::default()),
    }
}

fn transaction(op: Op, request: &Request, running: &mut Running<'_>, home: &Home) -> Result<Admitted, Fault> {
    let mut reasons = Vec::new();
    let mut cancelled = false;
    for action in list(request, "TransactItems").filter_map(Value::as_object) {
        let exhausted = action.iter().find_map(|(kind, asked)| {
            let demand = action_of(Deed::named(op, kind)?, asked.as_object()?, running.known)?;
            running.add(demand).err()
        });
        cancelled |= exhausted.is_some();
        reasons.push(match exhausted {
            Some(exhausted) => {
                let fault = fault(&exhausted, home);
                let code = if fault.name() == "ThrottlingException" {
                    "ThrottlingError"
                } else {
                    "ProvisionedThroughputExceeded"
                };
                json!({"Code": code, "Message": fault.message})
            }
            None => json!({"Code": "None"}),
        });
    }
    if !cancelled {
        return Ok(Admitted::default());
    }
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.get("Code")?.as_str()).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let mut fault = Fault::service("TransactionCanceledException", message);
    fault.more.insert("CancellationReasons".to_owned(), Value::Array(reasons));
    Err(fault)
}

/// The least that one action of a transaction costs.
fn action_of(deed: Deed, asked: &Request, known: &[Arc<Table>]) -> Option<Demand> {
    let name = text(asked, "TableName")?;
    let table = known.iter().find(|table| table.name == name).map(Arc::as_ref);
    Some(match deed {
        Deed::Get => Demand { units: TRANSACTIONAL, ..read(name, true) },
        Deed::Check => write(name, None, None, TRANSACTIONAL),
        Deed::Put => write(name, deed.content(asked), table, TRANSACTIONAL),
        Deed::Update | Deed::Delete => write(name, None, table, TRANSACTIONAL),
    })
}

/// What a transaction that was cancelled costs: its parts at least (developer guide, "Capacity management for
/// transactions"). Of the items that it met, only those of the request are known.
pub fn cancelled(op: Op, request: &Request) -> Vec<Consumed> {
    let demands = actions(op, request).filter_map(|(deed, asked)| action_of(deed, asked, &[]));
    demands.map(|demand| Consumed::of(&demand.table, demand.side, demand.units)).collect()
}

/// What the caller is told (botocore's model: `ThrottlingReasons` with `reason` and `resource`).
pub fn fault(exhausted: &Exhausted, home: &Home) -> Fault {
    let side = if exhausted.side == Side::Read { "Read" } else { "Write" };
    let (what, resource) = match &exhausted.index {
        Some(index) => ("Index", home.index(&exhausted.table, index)),
        None => ("Table", home.table(&exhausted.table)),
    };
    let (name, why, message) = match (exhausted.on_demand, &exhausted.index) {
        (true, _) => (
            "ThrottlingException",
            "MaxOnDemandThroughputExceeded",
            "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your \
             table or index so please try again shortly.",
        ),
        (false, None) => (
            "ProvisionedThroughputExceededException",
            "ProvisionedThroughputExceeded",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        ),
        (false, Some(_)) => (
            "ProvisionedThroughputExceededException",
            "ProvisionedThroughputExceeded",
            "The level of configured provisioned throughput for one or more global secondary indexes of the table was \
             exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes \
             with the UpdateTable API",
        ),
    };
    let mut fault = Fault::service(name, message);
    let reasons = json!([{"reason": format!("{what}{side}{why}"), "resource": resource}]);
    fault.more.insert("ThrottlingReasons".to_owned(), reasons);
    fault
}

#[cfg(test)]
mod tests;
