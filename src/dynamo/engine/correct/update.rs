//! Update: updates of items that are not there.
//!
//! In: an UpdateItem request. Out: its reply as AWS has it. Never: a look at the item apart from the write.
//!
//! The engine answers ALL_OLD with the key of an item that it has just made, which cannot be told from the old item of a
//! table that holds nothing but keys; AWS answers with nothing. So such an update is made twice: on condition that the item
//! is there, then that it is not. An update that only deletes elements makes no item (API reference, "UpdateItem",
//! `DELETE`: nothing happens to an item that is not there): it is made on condition that the item is there.

use dynoxide::Database;
use serde_json::{Value, json};

use super::super::super::capacity::{Consumed, Side};
use super::super::super::expression;
use super::super::super::fault::Fault;
use super::super::super::op::Op;
use super::super::super::request::{Request, object, text};
use super::super::{Reply, dispatch};

/// Times that an item may come or go between the two conditions.
const TURNS: usize = 16;
/// A name that no request uses: it is checked.
const KEY: &str = "#rimward_key";

/// Does the update.
pub fn run(db: &Database, request: Request) -> Result<Reply, Fault> {
    let older = request.contains_key("AttributeUpdates") || request.contains_key("Expected");
    let Some(key) = object(&request, "Key").and_then(|key| key.keys().next()).cloned() else {
        return dispatch::run(db, Op::UpdateItem, request);
    };
    let all_old = text(&request, "ReturnValues") == Some("ALL_OLD");
    let deletes = text(&request, "UpdateExpression").is_some_and(only_deletes);
    let taken = object(&request, "ExpressionAttributeNames").is_some_and(|names| names.contains_key(KEY));
    if older || taken || !(all_old || (deletes && !request.contains_key("ConditionExpression"))) {
        return dispatch::run(db, Op::UpdateItem, request);
    }
    if !all_old {
        let table = text(&request, "TableName").unwrap_or_default().to_owned();
        let metered = request.get("ReturnConsumedCapacity") == Some(&Value::from("INDEXES"));
        return match dispatch::run(db, Op::UpdateItem, on_condition(&request, &key, true)) {
            Err(fault) if fault.name() == "ConditionalCheckFailedException" => {
                let consumed = metered.then(|| Consumed::of(&table, Side::Write, 1.0));
                Ok(Reply { body: b"{}".to_vec(), consumed: consumed.into_iter().collect() })
            }
            result => result,
        };
    }
    let conditional = request.contains_key("ConditionExpression");
    let mut failed = None;
    for _ in 0..TURNS {
        match dispatch::run(db, Op::UpdateItem, on_condition(&request, &key, true)) {
            Err(fault) if fault.name() == "ConditionalCheckFailedException" => failed = Some(fault),
            result => return result,
        }
        if deletes && !conditional {
            return Ok(Reply { body: b"{}".to_vec(), consumed: Vec::new() });
        }
        let mut made = on_condition(&request, &key, false);
        made.insert("ReturnValues".to_owned(), Value::from("NONE"));
        match dispatch::run(db, Op::UpdateItem, made) {
            Err(fault) if fault.name() == "ConditionalCheckFailedException" => {
                if conditional {
                    // Of the two failures, the one that met an item tells more.
                    let item = |fault: &Fault| fault.more.contains_key("Item");
                    return Err(failed.filter(item).unwrap_or(fault));
                }
                failed = Some(fault);
            }
            result => return result,
        }
    }
    Err(failed.unwrap_or_else(Fault::internal))
}

fn only_deletes(expression: &str) -> bool {
    let clauses = expression::clauses(expression);
    !clauses.is_empty() && clauses.iter().all(|clause| clause == "DELETE")
}

/// `request`, if the item is there, or is not.
fn on_condition(request: &Request, key: &str, there: bool) -> Request {
    let mut request = request.clone();
    let function = if there { "attribute_exists" } else { "attribute_not_exists" };
    let condition = match text(&request, "ConditionExpression") {
        Some(own) => format!("({own}) AND {function}({KEY})"),
        None => format!("{function}({KEY})"),
    };
    request.insert("ConditionExpression".to_owned(), Value::from(condition));
    match request.get_mut("ExpressionAttributeNames") {
        Some(Value::Object(names)) => drop(names.insert(KEY.to_owned(), Value::from(key))),
        _ => drop(request.insert("ExpressionAttributeNames".to_owned(), json!({ KEY: key }))),
    }
    request
}
