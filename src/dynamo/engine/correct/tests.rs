//! What AWS answers and the engine alone does not.

use super::*;
use serde_json::{Value, json};

fn database() -> Database {
    let db = Database::memory().unwrap();
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let create = json!({"TableName": "ttt", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("sk"), attribute("l")],
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "LocalSecondaryIndexes": [{"IndexName": "lsi", "KeySchema": [key("pk", "HASH"), key("l", "RANGE")],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["held"]}}]});
    try_on(&db, Op::CreateTable, create).unwrap();
    db
}

fn try_on(db: &Database, op: Op, request: Value) -> Result<Value, Fault> {
    let Value::Object(request) = request else { panic!("an object") };
    let reply = call(db, Call { op, request, metered: false })?;
    Ok(serde_json::from_slice(&reply.body).unwrap())
}

fn key(sort: &str) -> Value {
    json!({"pk": {"S": "a"}, "sk": {"S": sort}})
}

#[test]
fn all_old_of_what_was_not_there_is_nothing() {
    let db = database();
    let update = |sort: &str, condition: Option<&str>| {
        let mut request = json!({"TableName": "ttt", "Key": key(sort), "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"N": "1"}}, "ReturnValues": "ALL_OLD"});
        if let Some(condition) = condition {
            request["ConditionExpression"] = json!(condition);
            request["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
        }
        try_on(&db, Op::UpdateItem, request)
    };
    assert_eq!(update("1", None), Ok(json!({})));
    assert_eq!(update("1", None).unwrap()["Attributes"]["v"], json!({"N": "1"}));
    try_on(&db, Op::PutItem, json!({"TableName": "ttt", "Item": key("2")})).unwrap();
    assert_eq!(update("2", None).unwrap()["Attributes"], key("2"), "an old item of nothing but its key");
    assert_eq!(update("3", Some("attribute_not_exists(v)")), Ok(json!({})));
    let fault = update("3", Some("attribute_not_exists(v)")).unwrap_err();
    assert_eq!((fault.name(), &fault.more["Item"]["v"]), ("ConditionalCheckFailedException", &json!({"N": "1"})));
    let fault = update("4", Some("attribute_exists(v)")).unwrap_err();
    assert_eq!((fault.name(), fault.more.len()), ("ConditionalCheckFailedException", 0));
}

#[test]
fn deleting_from_nothing_makes_nothing() {
    let db = database();
    let update = |sort: &str, text: &str| {
        try_on(
            &db,
            Op::UpdateItem,
            json!({"TableName": "ttt", "Key": key(sort), "UpdateExpression": text,
            "ExpressionAttributeValues": {":v": {"SS": ["x"]}}}),
        )
    };
    let there =
        |sort: &str| try_on(&db, Op::GetItem, json!({"TableName": "ttt", "Key": key(sort)})).unwrap() != json!({});
    assert_eq!((update("1", "DELETE v :v"), there("1")), (Ok(json!({})), false));
    assert_eq!((update("2", "ADD v :v"), there("2")), (Ok(json!({})), true));
    assert_eq!(update("2", "DELETE v :v"), Ok(json!({})));
    let left = try_on(&db, Op::GetItem, json!({"TableName": "ttt", "Key": key("2")})).unwrap();
    assert_eq!(left["Item"], key("2"), "an item that is there loses its elements");
}

#[test]
fn local_indexes_fetch_what_they_do_not_hold() {
    let db = database();
    for (sort, extra) in [("1", "yes"), ("2", "no")] {
        let mut item = key(sort);
        item["l"] = json!({"S": sort});
        item["held"] = json!({"S": "h"});
        item["extra"] = json!({"S": extra});
        try_on(&db, Op::PutItem, json!({"TableName": "ttt", "Item": item})).unwrap();
    }
    let query = |more: Value| {
        let mut request = json!({"TableName": "ttt", "IndexName": "lsi", "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if request.get("FilterExpression").is_some() {
            request["ExpressionAttributeValues"][":e"] = json!({"S": "yes"});
        }
        try_on(&db, Op::Query, request).unwrap()
    };
    let projected = query(json!({"ProjectionExpression": "#e", "ExpressionAttributeNames": {"#e": "extra"}}));
    assert_eq!(projected["Items"], json!([{"extra": {"S": "yes"}}, {"extra": {"S": "no"}}]));
    let filtered = query(json!({"FilterExpression": "extra = :e"}));
    assert_eq!(filtered["Items"], json!([{"pk": {"S": "a"}, "sk": {"S": "1"}, "l": {"S": "1"}, "held": {"S": "h"}}]));
    let counted = query(json!({"FilterExpression": "extra = :e", "Select": "COUNT"}));
    assert_eq!((&counted["Count"], &counted["ScannedCount"], counted.get("Items")), (&json!(1), &json!(2), None));
    assert_eq!(
        query(json!({"AttributesToGet": ["extra"], "KeyConditionExpression": null, "ExpressionAttributeValues": null,
        "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}}}))["Items"],
        json!([{"extra": {"S": "yes"}}, {"extra": {"S": "no"}}])
    );
    assert_eq!(
        query(json!({"ProjectionExpression": "held"}))["Items"],
        json!([{"held": {"S": "h"}}, {"held": {"S": "h"}}])
    );
}

#[test]
fn what_aws_refuses() {
    let db = database();
    let between = |low: Value, high: Value| {
        json!({"TableName": "ttt", "Item": key("1"), "ConditionExpression": "v BETWEEN :l AND :h OR attribute_not_exists(v)",
            "ExpressionAttributeValues": {":l": low, ":h": high}})
    };
    let ttl = |enabled: bool| json!({"TableName": "ttt", "TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": "exp"}});
    let tag = |name: &str| json!({"ResourceArn": "arn:aws:dynamodb:dynoxide:000000000000:table/ttt", "Tags": [{"Key": name, "Value": "v"}]});
    let long = "p".repeat(256);
    let named = |name: &str| {
        json!({"TableName": "long", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"}]})
    };
    for (name, op, request, refused) in [
        (
            "reversed strings",
            Op::PutItem,
            between(json!({"S": "b"}), json!({"S": "a"})),
            Some("The BETWEEN operator requires"),
        ),
        (
            "reversed numbers",
            Op::PutItem,
            between(json!({"N": "10"}), json!({"N": "9"})),
            Some("The BETWEEN operator requires"),
        ),
        ("numbers are no strings", Op::PutItem, between(json!({"N": "9"}), json!({"N": "10"})), None),
        (
            "negative numbers",
            Op::PutItem,
            between(json!({"N": "-9"}), json!({"N": "-10"})),
            Some("The BETWEEN operator requires"),
        ),
        ("equal", Op::PutItem, between(json!({"S": "a"}), json!({"S": "a"})), None),
        ("enable", Op::UpdateTimeToLive, ttl(true), None),
        ("enable twice", Op::UpdateTimeToLive, ttl(true), Some("TimeToLive is already enabled")),
        ("disable", Op::UpdateTimeToLive, ttl(false), None),
        ("disable twice", Op::UpdateTimeToLive, ttl(false), Some("TimeToLive is already disabled")),
        ("a tag", Op::TagResource, tag("a b_c.d:e/f=g+h-i@j"), None),
        ("a tag with another sign", Op::TagResource, tag("a!b"), Some("a tag may have")),
        ("AWS's own tag", Op::TagResource, tag("aws:x"), Some("reserved")),
        ("a long key name", Op::CreateTable, named(&long), Some("less than or equal to 255")),
        ("as long as may be", Op::CreateTable, named(&long[1..]), None),
    ] {
        let request = Call { op, request: request.as_object().unwrap().clone(), metered: false };
        let found = call(&db, request).err().and_then(|fault| fault.message);
        match refused {
            Some(words) => assert!(found.as_deref().is_some_and(|found| found.contains(words)), "{name}: {found:?}"),
            None => assert_eq!(found, None, "{name}"),
        }
    }
}
