//! Need: everything that one request has to be allowed to do.
//!
//! In: an operation and its request. Out: actions on resources, with the keys and attributes that they touch. Never: a
//! policy.

use std::sync::Arc;

use serde_json::Value;

use super::super::catalog::Table;
use super::super::engine;
use super::super::expression;
use super::super::op::Op;
use super::super::partiql::{self, Verb};
use super::super::request::{Request, list, object, text};
use super::Home;

/// One thing that has to be allowed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Need {
    /// "dynamodb:GetItem"
    pub action: &'static str,
    pub resource: String,
    /// Partition key values.
    pub keys: Vec<String>,
    /// Top-level attributes that are named.
    pub attributes: Vec<String>,
    pub select: Option<&'static str>,
    pub return_values: Option<String>,
    /// Keys or attributes cannot be told: no policy that looks at them can allow it.
    pub opaque: bool,
    /// What is asked for cannot be told: no policy can allow it.
    pub unread: bool,
}

/// Names of the tables that a request touches, each once. Names of ARNs stand for themselves.
pub fn tables(op: Op, request: &Request) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    };
    match op {
        Op::BatchGetItem | Op::BatchWriteItem => {
            object(request, "RequestItems").into_iter().flatten().for_each(|(name, _)| add(name));
        }
        Op::TransactGetItems | Op::TransactWriteItems => {
            for (_, action) in actions(request) {
                text(action, "TableName").into_iter().for_each(&mut add);
            }
        }
        Op::ExecuteStatement | Op::BatchExecuteStatement | Op::ExecuteTransaction => {
            for statement in statements(op, request) {
                partiql::about(statement).iter().for_each(|about| add(&about.table));
            }
        }
        _ => text(request, "TableName").into_iter().for_each(&mut add),
    }
    found
}

/// What `request` needs. `known` are the tables that it touches, those that there are.
pub fn needs(op: Op, request: &Request, known: &[Arc<Table>], home: &Home) -> Vec<Need> {
    let look = |name: &str| known.iter().find(|table| table.name == name).map(Arc::as_ref);
    match op {
        Op::GetItem | Op::PutItem | Op::UpdateItem | Op::DeleteItem => {
            vec![item(action(op), request, look, home)]
        }
        Op::Query | Op::Scan => vec![search(op, request, look, home)],
        Op::BatchGetItem => each(request, home, |name, asked, need| {
            need.action = "dynamodb:BatchGetItem";
            let Some(asked) = asked.as_object() else { return };
            named(asked, &mut need.attributes);
            need.select = Some(select(asked));
            for key in list(asked, "Keys").filter_map(Value::as_object) {
                keyed(key, look(name), need);
            }
        }),
        Op::BatchWriteItem => each(request, home, |name, asked, need| {
            need.action = "dynamodb:BatchWriteItem";
            for write in asked.as_array().into_iter().flatten().filter_map(Value::as_object) {
                for (kind, member) in [("PutRequest", "Item"), ("DeleteRequest", "Key")] {
                    if let Some(item) = object(write, kind).and_then(|part| object(part, member)) {
                        keyed(item, look(name), need);
                    }
                }
            }
        }),
        Op::TransactGetItems | Op::TransactWriteItems => {
            let one = |(kind, asked): (&str, &Request)| {
                let action = match kind {
                    "Get" => "dynamodb:GetItem",
                    "Put" => "dynamodb:PutItem",
                    "Update" => "dynamodb:UpdateItem",
                    "Delete" => "dynamodb:DeleteItem",
                    _ => "dynamodb:ConditionCheckItem",
                };
                item(action, asked, look, home)
            };
            actions(request).map(one).collect()
        }
        Op::ExecuteStatement | Op::BatchExecuteStatement | Op::ExecuteTransaction => {
            statements(op, request).map(|statement| stated(statement, home)).collect()
        }
        Op::ListTables | Op::ListStreams | Op::DescribeEndpoints | Op::DescribeLimits => {
            vec![Need { action: action(op), resource: "*".to_owned(), ..Need::default() }]
        }
        Op::TagResource | Op::UntagResource | Op::ListTagsOfResource => {
            let resource = text(request, "ResourceArn").unwrap_or("*").to_owned();
            vec![Need { action: action(op), resource, ..Need::default() }]
        }
        Op::DescribeStream | Op::GetShardIterator | Op::GetRecords => {
            // An iterator begins with its stream's ARN.
            let iterator = text(request, "ShardIterator").and_then(|text| text.split('|').next());
            let resource = text(request, "StreamArn").or(iterator).unwrap_or("*").to_owned();
            vec![Need { action: action(op), resource, ..Need::default() }]
        }
        _ => vec![Need {
            action: action(op),
            resource: home.table(text(request, "TableName").unwrap_or_default()),
            ..Need::default()
        }],
    }
}

/// What policies call an operation that is named alike.
fn action(op: Op) -> &'static str {
    match op {
        Op::GetItem => "dynamodb:GetItem",
        Op::PutItem => "dynamodb:PutItem",
        Op::UpdateItem => "dynamodb:UpdateItem",
        Op::DeleteItem => "dynamodb:DeleteItem",
        Op::Query => "dynamodb:Query",
        Op::Scan => "dynamodb:Scan",
        Op::CreateTable => "dynamodb:CreateTable",
        Op::DeleteTable => "dynamodb:DeleteTable",
        Op::DescribeTable => "dynamodb:DescribeTable",
        Op::UpdateTable => "dynamodb:UpdateTable",
        Op::ListTables => "dynamodb:ListTables",
        Op::UpdateTimeToLive => "dynamodb:UpdateTimeToLive",
        Op::DescribeTimeToLive => "dynamodb:DescribeTimeToLive",
        Op::TagResource => "dynamodb:TagResource",
        Op::UntagResource => "dynamodb:UntagResource",
        Op::ListTagsOfResource => "dynamodb:ListTagsOfResource",
        Op::DescribeEndpoints => "dynamodb:DescribeEndpoints",
        Op::DescribeLimits => "dynamodb:DescribeLimits",
        Op::ListStreams => "dynamodb:ListStreams",
        Op::DescribeStream => "dynamodb:DescribeStream",
        Op::GetShardIterator => "dynamodb:GetShardIterator",
        Op::GetRecords => "dynamodb:GetRecords",
        // Those that touch several tables are taken apart above.
        Op::BatchGetItem
        | Op::BatchWriteItem
        | Op::TransactGetItems
        | Op::TransactWriteItems
        | Op::ExecuteStatement
        | Op::BatchExecuteStatement
        | Op::ExecuteTransaction => "dynamodb:*",
    }
}

/// One item that is read or written.
fn item<'t>(action: &'static str, asked: &Request, look: impl Fn(&str) -> Option<&'t Table>, home: &Home) -> Need {
    let name = text(asked, "TableName").unwrap_or_default();
    let mut need = Need { action, resource: home.table(name), ..Need::default() };
    let content = object(asked, "Key").or_else(|| object(asked, "Item"));
    match content {
        Some(content) => keyed(content, look(name), &mut need),
        None => need.opaque = true,
    }
    named(asked, &mut need.attributes);
    need.return_values = text(asked, "ReturnValues").map(str::to_owned);
    if action == "dynamodb:GetItem" {
        need.select = Some(select(asked));
    }
    need
}

/// A query or a scan.
fn search<'t>(op: Op, asked: &Request, look: impl Fn(&str) -> Option<&'t Table>, home: &Home) -> Need {
    let name = text(asked, "TableName").unwrap_or_default();
    let index = text(asked, "IndexName");
    let resource = index.map_or_else(|| home.table(name), |index| home.index(name, index));
    let mut need = Need { action: action(op), resource, select: Some(select(asked)), ..Need::default() };
    named(asked, &mut need.attributes);
    if op == Op::Query {
        match look(name).and_then(|table| table.hash_of(index)).and_then(|hash| leading(asked, hash)).and_then(scalar) {
            Some(key) => need.keys.push(key),
            None => need.opaque = true,
        }
    }
    need
}

/// The partition key value that a query is for.
pub fn leading<'a>(asked: &'a Request, hash: &str) -> Option<&'a Value> {
    let names = object(asked, "ExpressionAttributeNames");
    match text(asked, "KeyConditionExpression") {
        Some(condition) => {
            let placeholder = expression::equal_to(condition, hash, names)?;
            object(asked, "ExpressionAttributeValues")?.get(placeholder)
        }
        None => {
            let condition = object(asked, "KeyConditions")?.get(hash)?.as_object()?;
            if text(condition, "ComparisonOperator") != Some("EQ") {
                return None;
            }
            list(condition, "AttributeValueList").next()
        }
    }
}

fn stated(statement: &str, home: &Home) -> Need {
    match partiql::about(statement) {
        Some(about) => Need {
            action: about.verb.action(),
            resource: match &about.index {
                Some(index) => home.index(&about.table, index),
                None => home.table(&about.table),
            },
            opaque: true,
            ..Need::default()
        },
        // It may be a write of any table.
        None => Need { action: Verb::Update.action(), resource: "*".to_owned(), unread: true, ..Need::default() },
    }
}

fn each(request: &Request, home: &Home, fill: impl Fn(&str, &Value, &mut Need)) -> Vec<Need> {
    let one = |(name, asked): (&String, &Value)| {
        let mut need = Need { resource: home.table(name), ..Need::default() };
        fill(name, asked, &mut need);
        need
    };
    object(request, "RequestItems").into_iter().flatten().map(one).collect()
}

/// Notes an item's partition key value and the attributes it names.
fn keyed(content: &Request, table: Option<&Table>, need: &mut Need) {
    let key = table.and_then(|table| content.get(&table.hash)).and_then(scalar);
    match key {
        Some(key) if !need.keys.contains(&key) => need.keys.push(key),
        Some(_) => {}
        None => need.opaque = true,
    }
    for name in content.keys() {
        note(name, &mut need.attributes);
    }
}

/// Notes the attributes that expressions and their older counterparts name.
fn named(asked: &Request, found: &mut Vec<String>) {
    let names = object(asked, "ExpressionAttributeNames");
    for member in [
        "ProjectionExpression",
        "ConditionExpression",
        "FilterExpression",
        "KeyConditionExpression",
        "UpdateExpression",
    ] {
        text(asked, member).into_iter().for_each(|text| expression::attributes(text, names, found));
    }
    for member in ["AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"] {
        object(asked, member).into_iter().flatten().for_each(|(name, _)| note(name, found));
    }
    list(asked, "AttributesToGet").filter_map(Value::as_str).for_each(|name| note(name, found));
}

fn note(name: &str, found: &mut Vec<String>) {
    if !found.iter().any(|known| known == name) {
        found.push(name.to_owned());
    }
}

/// `Select`, or what it comes to when it is left out (API reference, "Query").
fn select(asked: &Request) -> &'static str {
    let projects = asked.contains_key("ProjectionExpression") || asked.contains_key("AttributesToGet");
    match text(asked, "Select") {
        Some("COUNT") => "COUNT",
        Some("ALL_PROJECTED_ATTRIBUTES") => "ALL_PROJECTED_ATTRIBUTES",
        Some("ALL_ATTRIBUTES") => "ALL_ATTRIBUTES",
        _ if projects => "SPECIFIC_ATTRIBUTES",
        _ if asked.contains_key("IndexName") => "ALL_PROJECTED_ATTRIBUTES",
        _ => "ALL_ATTRIBUTES",
    }
}

/// A key value as policies write it: a string's characters, a number's digits as DynamoDB keeps them, a binary's base64.
fn scalar(value: &Value) -> Option<String> {
    let (kind, value) = value.as_object().filter(|typed| typed.len() == 1)?.iter().next()?;
    match (kind.as_str(), value.as_str()?) {
        ("S" | "B", text) => Some(text.to_owned()),
        ("N", text) => engine::plain_number(text),
        _ => None,
    }
}

/// Actions of a transaction, with their kind: "Put".
fn actions(request: &Request) -> impl Iterator<Item = (&str, &Request)> {
    let each = list(request, "TransactItems").filter_map(Value::as_object).flatten();
    each.filter_map(|(kind, action)| Some((kind.as_str(), action.as_object()?)))
}

fn statements(op: Op, request: &Request) -> impl Iterator<Item = &str> {
    let member = if op == Op::BatchExecuteStatement { "Statements" } else { "TransactStatements" };
    let many = list(request, member).filter_map(|one| one.get("Statement").and_then(Value::as_str));
    let one = if op == Op::ExecuteStatement { text(request, "Statement") } else { None };
    one.into_iter().chain(many)
}
