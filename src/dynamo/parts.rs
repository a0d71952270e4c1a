//! Parts: the items, actions and statements of a request, where the engine looks for them.
//!
//! In: an operation and its request. Out: what it does to which item. Never: a member that the operation does not have: engines
//! ignore those, and what judges a request must read it as they do.

use serde_json::{Map, Value};

use super::fault::Fault;
use super::op::Op;
use super::request::{Request, list, object, text};

/// What is done with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Get,
    Put,
    Update,
    Delete,
    /// Of a transaction.
    Check,
}

// === impl Deed ===
impl Deed {
    /// What an operation on one item does.
    pub fn of(op: Op) -> Option<Deed> {
        match op {
            Op::GetItem => Some(Deed::Get),
            Op::PutItem => Some(Deed::Put),
            Op::UpdateItem => Some(Deed::Update),
            Op::DeleteItem => Some(Deed::Delete),
            _ => None,
        }
    }

    /// By the name that a transaction calls it.
    pub fn named(op: Op, kind: &str) -> Option<Deed> {
        match (op, kind) {
            (Op::TransactGetItems, "Get") => Some(Deed::Get),
            (Op::TransactWriteItems, "Put") => Some(Deed::Put),
            (Op::TransactWriteItems, "Update") => Some(Deed::Update),
            (Op::TransactWriteItems, "Delete") => Some(Deed::Delete),
            (Op::TransactWriteItems, "ConditionCheck") => Some(Deed::Check),
            _ => None,
        }
    }

    /// What says which item it is: all of it when it is put, else its key.
    pub fn content(self, asked: &Request) -> Option<&Request> {
        object(asked, if self == Deed::Put { "Item" } else { "Key" })
    }

    /// What policies call it.
    pub fn action(self) -> &'static str {
        match self {
            Deed::Get => "dynamodb:GetItem",
            Deed::Put => "dynamodb:PutItem",
            Deed::Update => "dynamodb:UpdateItem",
            Deed::Delete => "dynamodb:DeleteItem",
            Deed::Check => "dynamodb:ConditionCheckItem",
        }
    }
}

/// Actions of a transaction.
pub fn actions(op: Op, request: &Request) -> impl Iterator<Item = (Deed, &Request)> {
    let each = list(request, "TransactItems").filter_map(Value::as_object).flatten();
    each.filter_map(move |(kind, action)| Some((Deed::named(op, kind)?, action.as_object()?)))
}

/// What says which items a table's part of a BatchWriteItem writes; `None` for a write that does not say it.
pub fn written(asked: &Value) -> impl Iterator<Item = Option<&Request>> {
    asked.as_array().into_iter().flatten().flat_map(|write| {
        let of = |kind: &str, deed: Deed| Some(write.get(kind)?.as_object().and_then(|part| deed.content(part)));
        let (put, deleted) = (of("PutRequest", Deed::Put), of("DeleteRequest", Deed::Delete));
        let neither = (put.is_none() && deleted.is_none()).then_some(None);
        put.into_iter().chain(deleted).chain(neither)
    })
}

/// PartiQL's statements.
pub fn statements(op: Op, request: &Request) -> impl Iterator<Item = &str> {
    let (one, many) = match op {
        Op::ExecuteStatement => (text(request, "Statement"), ""),
        Op::BatchExecuteStatement => (None, "Statements"),
        Op::ExecuteTransaction => (None, "TransactStatements"),
        _ => (None, ""),
    };
    one.into_iter().chain(list(request, many).filter_map(|one| one.get("Statement")?.as_str()))
}

/// Refuses lists where the API has structures. Engines may read one as the structure's members in some order, and what judges a
/// request would find none.
///
/// # Errors
/// As AWS says it.
pub fn shaped(op: Op, request: &Request) -> Result<(), Fault> {
    let of = |name: &str| request.get(name);
    let good = match op {
        Op::BatchGetItem => are_structures(of("RequestItems"), 1),
        Op::BatchWriteItem => members(of("RequestItems")).all(|asked| are_structures(Some(asked), 2)),
        Op::TransactGetItems | Op::TransactWriteItems => are_structures(of("TransactItems"), 2),
        Op::BatchExecuteStatement => are_structures(of("Statements"), 1),
        Op::ExecuteTransaction => are_structures(of("TransactStatements"), 1),
        _ => ["KeyConditions", "QueryFilter", "ScanFilter", "Expected", "AttributeUpdates"]
            .iter()
            .all(|name| are_structures(of(name), 1)),
    };
    match good {
        true => Ok(()),
        false => Err(Fault::serialization(Some("Unexpected value type in payload".to_owned()))),
    }
}

/// Whether no member is a list, nor any of theirs, so many levels down.
fn are_structures(of: Option<&Value>, levels: u8) -> bool {
    levels == 0 || members(of).all(|one| !one.is_array() && are_structures(Some(one), levels - 1))
}

/// What a list or an object holds.
fn members(of: Option<&Value>) -> Box<dyn Iterator<Item = &Value> + '_> {
    match of {
        Some(Value::Array(list)) => Box::new(list.iter()),
        Some(Value::Object(map)) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Takes out members that are null, which AWS takes as left out: whoever reads the request afterwards need not know of them. What
/// has the caller's names in it, items and maps of attributes, stays as it is.
pub fn drop_nulls(op: Op, request: &mut Request) {
    present(request);
    match op {
        Op::BatchGetItem => objects(request.get_mut("RequestItems")).for_each(present),
        Op::BatchWriteItem => {
            let tables = request.get_mut("RequestItems").and_then(Value::as_object_mut);
            for asked in tables.into_iter().flat_map(Map::values_mut) {
                objects(Some(asked)).for_each(nested);
            }
        }
        Op::TransactGetItems | Op::TransactWriteItems => objects(request.get_mut("TransactItems")).for_each(nested),
        Op::BatchExecuteStatement => objects(request.get_mut("Statements")).for_each(present),
        Op::ExecuteTransaction => objects(request.get_mut("TransactStatements")).for_each(present),
        _ => {}
    }
}

fn present(members: &mut Request) {
    members.retain(|_, value| !value.is_null());
}

/// Members, and those of their objects.
fn nested(members: &mut Request) {
    present(members);
    members.values_mut().filter_map(Value::as_object_mut).for_each(present);
}

/// The objects that a list or an object holds.
fn objects(of: Option<&mut Value>) -> Box<dyn Iterator<Item = &mut Request> + '_> {
    match of {
        Some(Value::Array(list)) => Box::new(list.iter_mut().filter_map(Value::as_object_mut)),
        Some(Value::Object(map)) => Box::new(map.values_mut().filter_map(Value::as_object_mut)),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_of_the_api_are_left_out_and_others_stay() {
        for (op, request, want) in [
            (
                Op::GetItem,
                json!({"TableName": "t", "Key": {"pk": null}, "ProjectionExpression": null}),
                json!({"TableName": "t", "Key": {"pk": null}}),
            ),
            (
                Op::PutItem,
                json!({"Item": {"pk": {"S": null}, "n": {"NULL": true}, "Item": null}, "Expected": {"a": null}}),
                json!({"Item": {"pk": {"S": null}, "n": {"NULL": true}, "Item": null}, "Expected": {"a": null}}),
            ),
            (
                Op::BatchGetItem,
                json!({"RequestItems": {"t": {"Keys": [{"a": null}, null], "AttributesToGet": null}, "u": null}}),
                json!({"RequestItems": {"t": {"Keys": [{"a": null}, null]}, "u": null}}),
            ),
            (
                Op::BatchWriteItem,
                json!({"RequestItems": {"t": [{"PutRequest": {"Item": {"a": null}, "Key": null}, "DeleteRequest": null}]}}),
                json!({"RequestItems": {"t": [{"PutRequest": {"Item": {"a": null}}}]}}),
            ),
            (
                Op::TransactWriteItems,
                json!({"TransactItems": [{"Put": null, "Update": {"Key": {"a": null}, "ConditionExpression": null}}, null]}),
                json!({"TransactItems": [{"Update": {"Key": {"a": null}}}, null]}),
            ),
            (
                Op::BatchExecuteStatement,
                json!({"Statements": [{"Statement": "s", "Parameters": null}]}),
                json!({"Statements": [{"Statement": "s"}]}),
            ),
            (
                Op::ExecuteTransaction,
                json!({"TransactStatements": [{"Statement": "s", "Parameters": [null]}], "ClientRequestToken": null}),
                json!({"TransactStatements": [{"Statement": "s", "Parameters": [null]}]}),
            ),
        ] {
            let Value::Object(mut members) = request else { panic!("{op:?}") };
            drop_nulls(op, &mut members);
            assert_eq!(Value::Object(members), want, "{op:?}");
        }
    }

    #[test]
    fn a_list_is_no_structure() {
        for (op, request, good) in [
            (
                Op::TransactWriteItems,
                json!({"TransactItems": [{"Put": {"TableName": "t", "Item": {"l": {"L": []}}}}]}),
                true,
            ),
            (Op::TransactWriteItems, json!({"TransactItems": [[{"TableName": "t", "Item": {}}]]}), false),
            (Op::TransactWriteItems, json!({"TransactItems": [{"Put": ["t", {}]}]}), false),
            (Op::TransactGetItems, json!({"TransactItems": [{"Get": [{}, "t"]}]}), false),
            (Op::BatchExecuteStatement, json!({"Statements": [{"Statement": "s", "Parameters": []}]}), true),
            (Op::BatchExecuteStatement, json!({"Statements": [["DELETE FROM t WHERE pk='x'"]]}), false),
            (Op::ExecuteTransaction, json!({"TransactStatements": [["s"]]}), false),
            (
                Op::BatchGetItem,
                json!({"RequestItems": {"t": {"Keys": [{"pk": {"S": "a"}}], "AttributesToGet": ["a"]}}}),
                true,
            ),
            (Op::BatchGetItem, json!({"RequestItems": {"t": [[{"pk": {"S": "a"}}]]}}), false),
            (Op::BatchWriteItem, json!({"RequestItems": {"t": [{"PutRequest": {"Item": {"l": {"L": []}}}}]}}), true),
            (Op::BatchWriteItem, json!({"RequestItems": {"t": [[{"Item": {}}]]}}), false),
            (Op::BatchWriteItem, json!({"RequestItems": {"t": [{"PutRequest": [{}]}]}}), false),
            (Op::Query, json!({"KeyConditions": {"pk": {"AttributeValueList": [], "ComparisonOperator": "EQ"}}}), true),
            (Op::Query, json!({"KeyConditions": {"pk": [[], "EQ"]}}), false),
            (Op::PutItem, json!({"Item": {"pk": []}, "Expected": {"a": {"AttributeValueList": []}}}), true),
            (Op::PutItem, json!({"Expected": {"a": ["x"]}}), false),
        ] {
            let Value::Object(members) = &request else { panic!("{op:?}") };
            assert_eq!(shaped(op, members).is_ok(), good, "{op:?} {request}");
        }
    }

    #[test]
    fn writes_of_a_batch() {
        let (a, b) = (json!({"pk": {"S": "a"}}), json!({"pk": {"S": "b"}}));
        let asked = json!([
            {"PutRequest": {"Item": a, "Key": b}}, {"DeleteRequest": {"Key": b, "Item": a}},
            {"PutRequest": {"Item": a}, "DeleteRequest": {"Key": b}}, {"PutRequest": {"Key": b}}, {}, 1
        ]);
        let found: Vec<_> = written(&asked).collect();
        let (a, b) = (a.as_object(), b.as_object());
        assert_eq!(found, [a, b, a, b, None, None, None]);
    }
}
