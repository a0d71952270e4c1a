//! Members where they do not belong: neither policies nor caches may take them for those that the engine reads.

use super::*;
use crate::dynamo::front::written::writes;

/// Members of all operations; "…Item" and the like are those of requests, not of what is in them.
const MEMBERS: [&str; 24] = [
    "TableName",
    "IndexName",
    "Item",
    "Key",
    "Keys",
    "RequestItems",
    "TransactItems",
    "Statement",
    "Statements",
    "TransactStatements",
    "ResourceArn",
    "StreamArn",
    "ShardIterator",
    "Select",
    "ReturnValues",
    "ProjectionExpression",
    "AttributesToGet",
    "ConditionExpression",
    "FilterExpression",
    "UpdateExpression",
    "AttributeUpdates",
    "Expected",
    "KeyConditions",
    "Put",
];

/// What a member says that wants to be taken for another.
fn stray(member: &str) -> Value {
    let other = json!({"pk": {"S": "other"}, "more": {"S": "m"}});
    match member {
        "Item" | "Key" | "AttributeUpdates" | "Expected" | "KeyConditions" => other,
        "Keys" => json!([other]),
        "RequestItems" => json!({"u": {"Keys": [other]}}),
        "Put" => json!({"TableName": "u", "Item": other}),
        "TransactItems" => json!([{"Put": {"TableName": "u", "Item": other}}]),
        "Statement" => json!("DELETE FROM u WHERE pk = 'other'"),
        "Statements" | "TransactStatements" => json!([{"Statement": "DELETE FROM u WHERE pk = 'other'"}]),
        "AttributesToGet" => json!(["more"]),
        "Select" => json!("COUNT"),
        "ReturnValues" => json!("ALL_OLD"),
        member if member.ends_with("Expression") => json!("more"),
        "ResourceArn" | "StreamArn" | "ShardIterator" => {
            json!("arn:aws:dynamodb:eu-central-1:123456789012:table/u/stream/1|1|AAAA")
        }
        _ => json!("u"),
    }
}

#[test]
fn members_that_an_operation_does_not_have_say_nothing() {
    let known = [table()];
    let arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/t/stream/1";
    let (read, write) = (["ProjectionExpression", "AttributesToGet"], ["ConditionExpression", "Expected"]);
    for op in Op::ALL {
        // A request, where further members are put, and those of them that the operation has there.
        let one = json!({"TableName": "t", "Key": key("a")});
        let places: &[(&str, Vec<&str>)] = &match op {
            Op::GetItem => vec![("", [&["TableName", "Key"][..], &read].concat())],
            Op::PutItem => vec![("", [&["TableName", "Item", "ReturnValues"][..], &write].concat())],
            Op::DeleteItem => vec![("", [&["TableName", "Key", "ReturnValues"][..], &write].concat())],
            Op::UpdateItem => {
                let own = ["TableName", "Key", "ReturnValues", "UpdateExpression", "AttributeUpdates"];
                vec![("", [&own[..], &write].concat())]
            }
            Op::Query => {
                let own = ["TableName", "IndexName", "Select", "FilterExpression", "KeyConditions"];
                vec![("", [&own[..], &read].concat())]
            }
            Op::Scan => vec![("", [&["TableName", "IndexName", "Select", "FilterExpression"][..], &read].concat())],
            Op::BatchGetItem => {
                vec![("", vec!["RequestItems"]), ("/RequestItems/t", [&["Keys"][..], &read].concat())]
            }
            Op::BatchWriteItem => vec![
                ("", vec!["RequestItems"]),
                ("/RequestItems/t/0", vec![]),
                ("/RequestItems/t/0/PutRequest", vec!["Item"]),
                ("/RequestItems/t/1/DeleteRequest", vec!["Key"]),
            ],
            Op::TransactGetItems => vec![
                ("", vec!["TransactItems"]),
                ("/TransactItems/0", vec![]),
                ("/TransactItems/0/Get", vec!["TableName", "Key", "ProjectionExpression"]),
            ],
            Op::TransactWriteItems => vec![
                ("", vec!["TransactItems"]),
                ("/TransactItems/0", vec!["Put"]),
                ("/TransactItems/0/Put", vec!["TableName", "Item", "ConditionExpression"]),
                ("/TransactItems/1/Update", vec!["TableName", "Key", "ConditionExpression", "UpdateExpression"]),
                ("/TransactItems/2/Delete", vec!["TableName", "Key", "ConditionExpression"]),
                ("/TransactItems/3/ConditionCheck", vec!["TableName", "Key", "ConditionExpression"]),
            ],
            Op::ExecuteStatement => vec![("", vec!["Statement"])],
            Op::BatchExecuteStatement => vec![("", vec!["Statements"]), ("/Statements/0", vec!["Statement"])],
            Op::ExecuteTransaction => {
                vec![("", vec!["TransactStatements"]), ("/TransactStatements/0", vec!["Statement"])]
            }
            Op::TagResource | Op::UntagResource | Op::ListTagsOfResource => vec![("", vec!["ResourceArn"])],
            Op::DescribeStream | Op::GetShardIterator => vec![("", vec!["StreamArn"])],
            Op::GetRecords => vec![("", vec!["ShardIterator"])],
            Op::ListTables | Op::ListStreams | Op::DescribeEndpoints | Op::DescribeLimits => vec![("", vec![])],
            _ => vec![("", vec!["TableName"])],
        };
        let statement = json!({"Statement": "SELECT * FROM t"});
        let base = match op {
            Op::PutItem => json!({"TableName": "t", "Item": key("a")}),
            Op::Query => json!({"TableName": "t", "KeyConditionExpression": "pk = :p",
                "ExpressionAttributeValues": {":p": {"S": "a"}}}),
            Op::BatchGetItem => json!({"RequestItems": {"t": {"Keys": [key("a")]}}}),
            Op::BatchWriteItem => json!({"RequestItems": {"t":
                [{"PutRequest": {"Item": key("a")}}, {"DeleteRequest": {"Key": key("b")}}]}}),
            Op::TransactGetItems => json!({"TransactItems": [{"Get": one}]}),
            Op::TransactWriteItems => json!({"TransactItems": [{"Put": {"TableName": "t", "Item": key("a")}},
                {"Update": one}, {"Delete": one}, {"ConditionCheck": one}]}),
            Op::ExecuteStatement => statement,
            Op::BatchExecuteStatement => json!({"Statements": [statement]}),
            Op::ExecuteTransaction => json!({"TransactStatements": [statement]}),
            Op::TagResource | Op::UntagResource | Op::ListTagsOfResource => json!({ "ResourceArn": arn }),
            Op::DescribeStream | Op::GetShardIterator => json!({ "StreamArn": arn }),
            Op::GetRecords => json!({"ShardIterator": format!("{arn}|1|AAAA")}),
            Op::ListTables | Op::ListStreams | Op::DescribeEndpoints | Op::DescribeLimits => json!({}),
            _ => one,
        };
        let of = |request: &Value| {
            let request = request.as_object().unwrap();
            let written = writes(op, request, &known);
            (needs(op, request, &known, &home()), written, tables(op, request))
        };
        for (place, own) in places {
            for member in MEMBERS.iter().filter(|member| !own.contains(member)) {
                let mut more = base.clone();
                more.pointer_mut(place).unwrap()[*member] = stray(member);
                assert_eq!(of(&more), of(&base), "{op:?} {place} {member}");
            }
        }
    }
}
