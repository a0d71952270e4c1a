//! Correct: where the embedded engine differs from AWS, and that can be put right around it.
//!
//! In: calls. Out: the same as AWS answers them. Never: a rule that the engine keeps already, an answer that another
//! request could falsify: what depends on whether an item exists is a condition of the write itself.
//!
//! Put right here: `ALL_OLD` of an item that an update made, updates that only delete from an item that is not there,
//! attributes that a local index does not hold, `BETWEEN` with its bounds reversed, names of keys, tags and TTL.

mod control;
mod local;
mod update;

use dynoxide::Database;

use super::super::expression;
use super::super::fault::Fault;
use super::super::op::Op;
use super::super::request::{Request, object, text};
use super::dispatch::run;
use super::{Call, Reply};

/// Does a call. Blocks, and wants a deep stack.
pub fn call(db: &Database, call: Call) -> Result<Reply, Fault> {
    let Call { op, request, .. } = call;
    match op {
        Op::CreateTable | Op::UpdateTable => control::names(&request)?,
        Op::TagResource => control::tags(&request)?,
        Op::UpdateTimeToLive => control::ttl(db, &request)?,
        Op::PutItem | Op::DeleteItem | Op::Scan => between(&request)?,
        Op::UpdateItem => {
            between(&request)?;
            return update::run(db, request);
        }
        Op::Query => {
            between(&request)?;
            if request.contains_key("IndexName") {
                return local::run(db, request);
            }
        }
        _ => {}
    }
    run(db, op, request)
}

/// AWS compares the bounds of a BETWEEN when both are values; the engine does so in key conditions only.
fn between(request: &Request) -> Result<(), Fault> {
    for member in ["ConditionExpression", "FilterExpression"] {
        let Some(condition) = text(request, member) else { continue };
        for (low, high) in expression::between(condition) {
            let value = |name| object(request, "ExpressionAttributeValues")?.get(name)?.as_object()?.iter().next();
            let (Some((kind, from)), Some((other, to))) = (value(low), value(high)) else { continue };
            if kind == other && from.as_str().zip(to.as_str()).is_some_and(|(from, to)| follows(kind, from, to)) {
                let (from, to) = (from.as_str().unwrap_or_default(), to.as_str().unwrap_or_default());
                return Err(Fault::validation(format!(
                    "Invalid {member}: The BETWEEN operator requires upper bound to be greater than or equal to lower \
                     bound; lower bound operand: AttributeValue: {{{kind}:{from}}}, upper bound operand: \
                     AttributeValue: {{{kind}:{to}}}"
                )));
            }
        }
    }
    Ok(())
}

/// Whether `left` comes after `right`, as the engine sorts values of this type.
fn follows(kind: &str, left: &str, right: &str) -> bool {
    match kind {
        "S" => left > right,
        "N" => {
            let sorted = dynoxide::types::normalize_number_for_sort;
            dynoxide::types::validate_dynamo_number(left).is_ok()
                && dynoxide::types::validate_dynamo_number(right).is_ok()
                && sorted(left) > sorted(right)
        }
        "B" => {
            use base64::Engine as _;
            let bytes = |text| base64::engine::general_purpose::STANDARD.decode(text).ok();
            bytes(left).zip(bytes(right)).is_some_and(|(left, right)| left > right)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
