//! Who may do what, by policy, operation and request.

use super::super::parts;
use super::*;
use serde_json::json;

mod strays;

fn home() -> Home {
    Home { region: "eu-central-1".into(), account: "123456789012".into() }
}

fn table() -> Arc<Table> {
    let description = json!({"TableName": "t", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}]}]});
    Arc::new(Table::read(&description).unwrap())
}

fn may(statements: &Value, op: Op, request: Value) -> Result<(), Fault> {
    let policy = Policy::parse(&json!({ "Statement": statements }).to_string()).unwrap();
    let caller = Caller {
        arn: Some("arn:aws:iam::123456789012:user/alice".into()),
        policy: Some(Arc::new(policy)),
        ..Caller::inside()
    };
    // As the front does.
    let Value::Object(mut request) = request else { panic!("{op:?}") };
    parts::drop_nulls(op, &mut request);
    caller.may(op, &request, &[table()], &home(), 0)
}

fn key(value: &str) -> Value {
    json!({"pk": {"S": value}})
}

/// Alice may touch her own items of table t, and nothing else.
fn own() -> Value {
    json!([{"Effect": "Allow", "Action": ["dynamodb:*"],
        "Resource": ["arn:aws:dynamodb:eu-central-1:123456789012:table/t", "arn:aws:dynamodb:eu-central-1:123456789012:table/t/index/*"],
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["alice"]}}}])
}

#[test]
fn leading_keys_hold_everywhere() {
    let values = |value: &str| json!({":p": {"S": value}});
    let put = |value: &str| json!({"PutRequest": {"Item": key(value)}});
    let both = |kind: &str, value: &str| {
        json!({"TransactItems": [{"Put": {"TableName": "t", "Item": key("alice")}},
            {kind: {"TableName": "t", "Key": key(value), "ConditionExpression": "attribute_exists(pk)"}}]})
    };
    let queried = |condition: &str, value: &str| {
        json!({"TableName": "t", "KeyConditionExpression": condition, "ExpressionAttributeValues": values(value),
            "ExpressionAttributeNames": {"#o": "owner", "#p": "pk"}})
    };
    for (name, op, request, allowed) in [
        ("her item", Op::GetItem, json!({"TableName": "t", "Key": key("alice")}), true),
        ("another's", Op::GetItem, json!({"TableName": "t", "Key": key("bob")}), false),
        ("another table", Op::GetItem, json!({"TableName": "u", "Key": key("alice")}), false),
        ("no key at all", Op::GetItem, json!({"TableName": "t", "Key": {}}), false),
        ("a key of another type", Op::GetItem, json!({"TableName": "t", "Key": {"pk": {"N": "1"}}}), false),
        ("two types", Op::GetItem, json!({"TableName": "t", "Key": {"pk": {"S": "alice", "N": "1"}}}), false),
        ("put", Op::PutItem, json!({"TableName": "t", "Item": key("alice")}), true),
        ("put another's", Op::PutItem, json!({"TableName": "t", "Item": key("bob")}), false),
        (
            "put another's by her key",
            Op::PutItem,
            json!({"TableName": "t", "Key": key("alice"), "Item": key("bob")}),
            false,
        ),
        (
            "put hers by another's key",
            Op::PutItem,
            json!({"TableName": "t", "Key": key("bob"), "Item": key("alice")}),
            true,
        ),
        (
            "get another's by her item",
            Op::GetItem,
            json!({"TableName": "t", "Key": key("bob"), "Item": key("alice")}),
            false,
        ),
        (
            "batch put another's by her key",
            Op::BatchWriteItem,
            json!({"RequestItems": {"t": [{"PutRequest": {"Item": key("bob"), "Key": key("alice")}}]}}),
            false,
        ),
        (
            "batch delete another's by her item",
            Op::BatchWriteItem,
            json!({"RequestItems": {"t": [{"DeleteRequest": {"Key": key("bob"), "Item": key("alice")}}]}}),
            false,
        ),
        (
            "batch of two in one",
            Op::BatchWriteItem,
            json!({"RequestItems": {"t": [{"PutRequest": {"Item": key("alice")}, "DeleteRequest": {"Key": key("bob")}}]}}),
            false,
        ),
        (
            "transact put another's by her key",
            Op::TransactWriteItems,
            json!({"TransactItems": [{"Put": {"TableName": "t", "Key": key("alice"), "Item": key("bob")}}]}),
            false,
        ),
        (
            "transact update another's by her item",
            Op::TransactWriteItems,
            json!({"TransactItems": [{"Update": {"TableName": "t", "Key": key("bob"), "Item": key("alice")}}]}),
            false,
        ),
        ("update another's", Op::UpdateItem, json!({"TableName": "t", "Key": key("bob")}), false),
        ("query", Op::Query, queried("pk = :p", "alice"), true),
        ("query another's", Op::Query, queried("#p = :p", "bob"), false),
        ("query turned round", Op::Query, queried(":p = pk", "bob"), false),
        ("query said twice", Op::Query, queried("pk = :p AND pk = :p", "alice"), false),
        ("query without a key", Op::Query, json!({"TableName": "t"}), false),
        (
            "older query",
            Op::Query,
            json!({"TableName": "t", "KeyConditions": {"pk": {"ComparisonOperator": "EQ",
            "AttributeValueList": [{"S": "alice"}]}}}),
            true,
        ),
        (
            "older query of another's",
            Op::Query,
            json!({"TableName": "t", "KeyConditions": {"pk": {"ComparisonOperator": "EQ",
            "AttributeValueList": [{"S": "bob"}]}}}),
            false,
        ),
        ("batch", Op::BatchGetItem, json!({"RequestItems": {"t": {"Keys": [key("alice")]}}}), true),
        (
            "batch with another's",
            Op::BatchGetItem,
            json!({"RequestItems": {"t": {"Keys": [key("alice"), key("bob")]}}}),
            false,
        ),
        (
            "batch with another table",
            Op::BatchGetItem,
            json!({"RequestItems": {"t": {"Keys": [key("alice")]},
            "u": {"Keys": [key("alice")]}}}),
            false,
        ),
        ("batch put", Op::BatchWriteItem, json!({"RequestItems": {"t": [put("alice")]}}), true),
        ("batch put another's", Op::BatchWriteItem, json!({"RequestItems": {"t": [put("alice"), put("bob")]}}), false),
        (
            "batch delete another's",
            Op::BatchWriteItem,
            json!({"RequestItems": {"t": [{"DeleteRequest": {"Key": key("bob")}}]}}),
            false,
        ),
        ("transaction", Op::TransactWriteItems, both("Delete", "alice"), true),
        ("transaction on another's", Op::TransactWriteItems, both("Delete", "bob"), false),
        ("check of another's", Op::TransactWriteItems, both("ConditionCheck", "bob"), false),
        (
            "transact get",
            Op::TransactGetItems,
            json!({"TransactItems": [{"Get": {"TableName": "t", "Key": key("bob")}}]}),
            false,
        ),
        ("statement", Op::ExecuteStatement, json!({"Statement": "SELECT * FROM t WHERE pk = 'alice'"}), false),
        ("scan has no leading key", Op::Scan, json!({"TableName": "t"}), true),
    ] {
        assert_eq!(may(&own(), op, request).is_ok(), allowed, "{name}");
    }
    let mut index = queried("#o = :p", "alice");
    index["IndexName"] = json!("g");
    assert!(may(&own(), Op::Query, index.clone()).is_ok(), "an index has a leading key of its own");
    index["ExpressionAttributeValues"] = values("bob");
    assert!(may(&own(), Op::Query, index).is_err());
}

#[test]
fn numbers_are_what_they_mean() {
    let policy = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": "7"}}}]);
    for (written, allowed) in
        [("8", true), ("7", false), ("7.0", false), ("70e-1", false), ("07", false), ("seven", false)]
    {
        let request = json!({"TableName": "t", "Key": {"pk": {"N": written}}});
        assert_eq!(may(&policy, Op::GetItem, request).is_ok(), allowed, "{written}");
    }
}

#[test]
fn attributes_hold_everywhere() {
    let policy = json!([{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*", "Condition": {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "name"]},
        "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES", "dynamodb:ReturnValues": ["NONE", "UPDATED_NEW"]}}}]);
    let get = |projection: &str| json!({"TableName": "t", "Key": key("a"), "ProjectionExpression": projection, "ExpressionAttributeNames": {"#s": "secret"}});
    for (name, op, request, allowed) in [
        ("projection", Op::GetItem, get("name"), true),
        ("another attribute", Op::GetItem, get("name, secret"), false),
        ("behind a name", Op::GetItem, get("#s"), false),
        ("the whole item", Op::GetItem, json!({"TableName": "t", "Key": key("a")}), false),
        (
            "older projection",
            Op::GetItem,
            json!({"TableName": "t", "Key": key("a"), "AttributesToGet": ["name"]}),
            true,
        ),
        (
            "older projection of another",
            Op::GetItem,
            json!({"TableName": "t", "Key": key("a"), "AttributesToGet": ["secret"]}),
            false,
        ),
        ("batch of whole items", Op::BatchGetItem, json!({"RequestItems": {"t": {"Keys": [key("a")]}}}), false),
        ("put", Op::PutItem, json!({"TableName": "t", "Item": {"pk": {"S": "a"}, "name": {"S": "n"}}}), true),
        (
            "put of another",
            Op::PutItem,
            json!({"TableName": "t", "Item": {"pk": {"S": "a"}, "secret": {"S": "n"}}}),
            false,
        ),
        (
            "condition",
            Op::DeleteItem,
            json!({"TableName": "t", "Key": key("a"), "ConditionExpression": "secret = :v"}),
            false,
        ),
        (
            "update",
            Op::UpdateItem,
            json!({"TableName": "t", "Key": key("a"), "UpdateExpression": "SET name = :v"}),
            true,
        ),
        (
            "what comes back",
            Op::UpdateItem,
            json!({"TableName": "t", "Key": key("a"), "UpdateExpression": "SET name = :v",
            "ReturnValues": "ALL_NEW"}),
            false,
        ),
        (
            "older update",
            Op::UpdateItem,
            json!({"TableName": "t", "Key": key("a"), "AttributeUpdates": {"secret": {}}}),
            false,
        ),
        ("scan", Op::Scan, json!({"TableName": "t"}), false),
        ("scan of some", Op::Scan, json!({"TableName": "t", "ProjectionExpression": "name"}), true),
        (
            "put of another behind a key",
            Op::PutItem,
            json!({"TableName": "t", "Key": key("a"), "Item": {"pk": {"S": "a"}, "secret": {"S": "n"}}}),
            false,
        ),
        ("null", Op::GetItem, json!({"TableName": "t", "Key": key("a"), "ProjectionExpression": null}), false),
        ("older null", Op::GetItem, json!({"TableName": "t", "Key": key("a"), "AttributesToGet": null}), false),
        ("scan for null", Op::Scan, json!({"TableName": "t", "ProjectionExpression": null}), false),
        (
            "query for null",
            Op::Query,
            json!({"TableName": "t", "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}}, "ProjectionExpression": null}),
            false,
        ),
        (
            "batch for null",
            Op::BatchGetItem,
            json!({"RequestItems": {"t": {"Keys": [key("a")], "ProjectionExpression": null}}}),
            false,
        ),
        (
            "transaction for null",
            Op::TransactGetItems,
            json!({"TransactItems": [{"Get": {"TableName": "t", "Key": key("a"), "ProjectionExpression": null}}]}),
            false,
        ),
        (
            "what transactions do not have",
            Op::TransactGetItems,
            json!({"TransactItems": [{"Get": {"TableName": "t", "Key": key("a"), "AttributesToGet": ["name"]}}]}),
            false,
        ),
        (
            "what reads of one item do not have",
            Op::GetItem,
            json!({"TableName": "t", "Key": key("a"), "Select": "SPECIFIC_ATTRIBUTES"}),
            false,
        ),
    ] {
        assert_eq!(may(&policy, op, request).is_ok(), allowed, "{name}");
    }
}

#[test]
fn streams_are_those_that_are_read() {
    let stream = |table: &str| format!("arn:aws:dynamodb:eu-central-1:123456789012:table/{table}/stream/1");
    let own = json!([{"Effect": "Allow", "Action": "*", "Resource": stream("t")}]);
    let others = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": stream("secret")}]);
    let iterator = |arn: &str| json!({"ShardIterator": format!("{arn}|1|AAAA"), "StreamArn": stream("t")});
    let (hers, secret) = (stream("t"), stream("secret"));
    for (name, arn, allowed) in [
        ("hers", hers.as_str(), true),
        ("another's", &secret, false),
        ("another's by another account", "arn:aws:dynamodb:eu-central-1:0:table/secret/stream/1", false),
        ("another's behind what says nothing", "x|y:table/secret/stream/1", false),
        ("a very long one", &format!("{}:table/secret/stream/1", "x".repeat(2000)), false),
    ] {
        for policy in [&own, &others] {
            assert_eq!(may(policy, Op::GetRecords, iterator(arn)).is_ok(), allowed, "{name}");
            assert_eq!(may(policy, Op::DescribeStream, json!({ "StreamArn": arn })).is_ok(), allowed, "{name}");
        }
    }
    let deny = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:dynamodb:eu-central-1:123456789012:table/secret"}]);
    for arn in ["arn:aws:dynamodb:a:b:table/secret", "arn:aws:dynamodb:a:b:table/secret/x", "arn::table/:table/secret"]
    {
        assert!(may(&deny, Op::TagResource, json!({ "ResourceArn": arn })).is_err(), "{arn}");
    }
}

#[test]
fn actions_and_resources() {
    let allow = |action: &str, resource: &str| json!([{"Effect": "Allow", "Action": action, "Resource": resource}]);
    let t = "arn:aws:dynamodb:eu-central-1:123456789012:table/t";
    for (name, policy, op, request, allowed) in [
        ("by action", allow("dynamodb:GetItem", "*"), Op::GetItem, json!({"TableName": "t", "Key": key("a")}), true),
        ("by another", allow("dynamodb:PutItem", "*"), Op::GetItem, json!({"TableName": "t", "Key": key("a")}), false),
        ("an index is not its table", allow("*", t), Op::Query, json!({"TableName": "t", "IndexName": "g"}), false),
        (
            "select",
            allow("dynamodb:PartiQLSelect", t),
            Op::ExecuteStatement,
            json!({"Statement": "SELECT * FROM t"}),
            true,
        ),
        (
            "update",
            allow("dynamodb:PartiQLSelect", t),
            Op::ExecuteStatement,
            json!({"Statement": "UPDATE t SET a=1"}),
            false,
        ),
        (
            "another table",
            allow("*", t),
            Op::BatchExecuteStatement,
            json!({"Statements": [{"Statement": "SELECT * FROM t"},
            {"Statement": "SELECT * FROM u"}]}),
            false,
        ),
        ("what is not understood", allow("*", t), Op::ExecuteStatement, json!({"Statement": "WITH x"}), false),
        ("all tables", allow("dynamodb:ListTables", "*"), Op::ListTables, json!({}), true),
        ("create", allow("dynamodb:*", t), Op::CreateTable, json!({"TableName": "u"}), false),
        ("tag", allow("dynamodb:*", t), Op::TagResource, json!({"ResourceArn": t}), true),
    ] {
        assert_eq!(may(&policy, op, request).is_ok(), allowed, "{name}");
    }
    // A caller who may do everything is not allowed what nobody can tell.
    let all = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]);
    for (statement, allowed) in [("SELECT * FROM t", true), ("SELECT /* FROM t", false), ("#", false)] {
        assert_eq!(may(&all, Op::ExecuteStatement, json!({"Statement": statement})).is_ok(), allowed, "{statement}");
    }
    let deny = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "dynamodb:DeleteTable", "Resource": "*"}]);
    let fault = may(&deny, Op::DeleteTable, json!({"TableName": "t"})).unwrap_err();
    assert!(fault.message.is_some_and(|message| message.contains("explicit deny")));
}

#[test]
fn names_of_arns() {
    let home = home();
    for (text, want) in [
        ("t", Some("t")),
        ("arn:aws:dynamodb:eu-central-1:123456789012:table/t", Some("t")),
        ("arn:aws:dynamodb:eu-central-1:123456789012:table/t/index/g", Some("t")),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/t", None),
        ("arn:aws:s3:::t", None),
    ] {
        assert_eq!(home.name_of(text), want, "{text}");
    }
}

#[test]
fn tables_are_found() {
    for (op, request, want) in [
        (Op::BatchGetItem, json!({"RequestItems": {"a": {}, "b": {}}}), &["a", "b"][..]),
        (
            Op::TransactWriteItems,
            json!({"TransactItems": [{"Put": {"TableName": "a"}}, {"Delete": {"TableName": "b"}}]}),
            &["a", "b"],
        ),
        (Op::ExecuteStatement, json!({"Statement": "SELECT * FROM a"}), &["a"]),
        (Op::Scan, json!({"TableName": "a"}), &["a"]),
        (Op::GetRecords, json!({"TableName": "a"}), &[]),
        (Op::ListTables, json!({}), &[]),
    ] {
        assert_eq!(tables(op, request.as_object().unwrap()), want);
    }
}
