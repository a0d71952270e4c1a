//! Dispatch: one operation of the embedded engine, by its typed entry points: a request's JSON is read once, and a reply's
//! written once.
//!
//! In: an operation and its request. Out: a [`Reply`]. Never: another thread.

use dynoxide::errors::DynoxideError;
use dynoxide::storage::Storage;
use dynoxide::{Database, actions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::capacity::{Consumed, Side};
use super::super::fault::Fault;
use super::super::op::Op;
use super::super::request::Request;
use super::{Reply, beside, capacity, malformed};

/// Does an operation. Blocks, and wants a deep stack.
pub fn run(db: &Database, op: Op, request: Request) -> Result<Reply, Fault> {
    let failed = |error: DynoxideError| fault(op, error);
    match op {
        Op::GetItem => {
            let mut answer = db.get_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Read)
        }
        Op::PutItem => {
            let mut answer = db.put_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Write)
        }
        Op::UpdateItem => {
            let mut answer = db.update_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Write)
        }
        Op::DeleteItem => {
            let mut answer = db.delete_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Write)
        }
        Op::Query => {
            let mut answer = db.query(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Read)
        }
        Op::Scan => {
            let mut answer = db.scan(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, Side::Read)
        }
        Op::BatchGetItem => {
            let mut answer = db.batch_get_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Read)
        }
        Op::BatchWriteItem => {
            let mut answer = db.batch_write_item(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Write)
        }
        Op::TransactGetItems => {
            let mut answer = db.transact_get_items(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Read)
        }
        Op::TransactWriteItems => {
            let mut answer = db.transact_write_items(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Write)
        }
        Op::ExecuteStatement => {
            let side = statement_side(request.get("Statement"));
            let mut answer = db.execute_statement(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units, side)
        }
        Op::BatchExecuteStatement => {
            let side = statements_side(&request, "Statements");
            let mut answer = db.batch_execute_statement(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), side)
        }
        Op::ExecuteTransaction => {
            let side = statements_side(&request, "TransactStatements");
            let mut answer = db.execute_transaction(read(request)?).map_err(failed)?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), side)
        }
        Op::CreateTable => plain(&db.create_table(read(request)?).map_err(failed)?),
        Op::DeleteTable => plain(&db.delete_table(read(request)?).map_err(failed)?),
        Op::DescribeTable => plain(&db.describe_table(read(request)?).map_err(failed)?),
        Op::UpdateTable => plain(&db.update_table(read(request)?).map_err(failed)?),
        Op::ListTables => plain(&db.list_tables(read(request)?).map_err(failed)?),
        Op::UpdateTimeToLive => plain(&db.update_time_to_live(read(request)?).map_err(failed)?),
        Op::DescribeTimeToLive => plain(&db.describe_time_to_live(read(request)?).map_err(failed)?),
        Op::TagResource => {
            db.tag_resource(read(request)?).map_err(failed)?;
            Ok(Reply::default())
        }
        Op::UntagResource => {
            db.untag_resource(read(request)?).map_err(failed)?;
            Ok(Reply::default())
        }
        Op::ListTagsOfResource => plain(&db.list_tags_of_resource(read(request)?).map_err(failed)?),
        Op::ListStreams => plain(&db.list_streams(read(request)?).map_err(failed)?),
        Op::DescribeStream => plain(&db.describe_stream(read(request)?).map_err(failed)?),
        Op::GetShardIterator => plain(&db.get_shard_iterator(read(request)?).map_err(failed)?),
        Op::GetRecords => plain(&db.get_records(read(request)?).map_err(failed)?),
        Op::DescribeEndpoints | Op::DescribeLimits => Err(Fault::unknown_operation()),
    }
}

/// Does a transaction that writes, over a connection beside the engine's; the token in it is the caller's affair.
pub fn transact(storage: &Storage, op: Op, request: Request) -> Result<Reply, Fault> {
    match op {
        Op::TransactWriteItems => {
            let mut answer = beside::done(op, actions::transact_write_items::execute(storage, read(request)?))?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Write)
        }
        Op::ExecuteTransaction => {
            let mut answer = beside::done(op, actions::execute_transaction::execute(storage, read(request)?))?;
            let units = answer.consumed_capacity.take();
            metered(&answer, units.into_iter().flatten(), Side::Write)
        }
        _ => Err(Fault::internal()),
    }
}

/// Deletes an item over such a connection.
pub fn delete(storage: &Storage, request: Request) -> Result<(), Fault> {
    beside::done(Op::DeleteItem, actions::delete_item::execute(storage, read(request)?)).map(drop)
}

fn read<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(request)).map_err(|error| malformed::fault(&error))
}

fn plain(answer: &impl Serialize) -> Result<Reply, Fault> {
    write(answer, Vec::new())
}

fn metered(
    answer: &impl Serialize,
    units: impl IntoIterator<Item = dynoxide::types::ConsumedCapacity>,
    side: Side,
) -> Result<Reply, Fault> {
    write(answer, capacity::consumed(units, side))
}

fn write(answer: &impl Serialize, consumed: Vec<Consumed>) -> Result<Reply, Fault> {
    match serde_json::to_vec(answer) {
        Ok(body) => Ok(Reply { body, consumed }),
        Err(error) => {
            log::error!("dynamodb: a reply of the embedded engine cannot be written: {error}");
            Err(Fault::internal())
        }
    }
}

fn statement_side(statement: Option<&Value>) -> Side {
    let text = statement.and_then(Value::as_str).unwrap_or_default().trim_start();
    let selects = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    if selects { Side::Read } else { Side::Write }
}

/// All statements of a batch or transaction read, or all write.
fn statements_side(request: &Request, member: &str) -> Side {
    let first = request.get(member).and_then(Value::as_array).and_then(|list| list.first());
    statement_side(first.and_then(|one| one.get("Statement")))
}

/// The engine's errors have AWS's shape already; what is inside of a failure of its own is for the log.
pub fn fault(op: Op, error: DynoxideError) -> Fault {
    let status = error.status_code();
    if status >= 500 {
        log::error!("dynamodb: the embedded engine failed at {}: {error}", op.name());
        return Fault::internal();
    }
    let envelope = matches!(error, DynoxideError::EnvelopedValidation(_))
        && matches!(op, Op::PutItem | Op::UpdateItem | Op::DeleteItem);
    let mut fault = Fault::read(status, error.to_json().as_bytes());
    if let (true, Some(message)) = (envelope, &mut fault.message)
        && !message.contains("validation error detected")
    {
        message.insert_str(0, "1 validation error detected: ");
    }
    fault
}
