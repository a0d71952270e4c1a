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
use super::super::parts::{Deed, actions, statements, written};
use super::super::request::{Request, list, object, text};
use super::Home;

/// Bytes of an ARN (API reference, "TagResource"; those of streams are shorter).
const ARN_MAX: usize = 1283;

/// Members that name attributes, and are no expressions: transactions do not have them.
const OLDER: [&str; 6] =
    ["AttributesToGet", "AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"];
/// Members by which each operation names attributes.
const OF_READS: &[&str] = &["ProjectionExpression", "AttributesToGet"];
const OF_WRITES: &[&str] = &["ConditionExpression", "Expected"];
const OF_UPDATES: &[&str] = &["UpdateExpression", "AttributeUpdates", "ConditionExpression", "Expected"];
const OF_QUERIES: &[&str] = &[
    "ProjectionExpression",
    "AttributesToGet",
    "FilterExpression",
    "QueryFilter",
    "KeyConditionExpression",
    "KeyConditions",
];
const OF_SCANS: &[&str] = &["ProjectionExpression", "AttributesToGet", "FilterExpression", "ScanFilter"];

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
            for (_, action) in actions(op, request) {
                text(action, "TableName").into_iter().for_each(&mut add);
            }
        }
        Op::ExecuteStatement | Op::BatchExecuteStatement | Op::ExecuteTransaction => {
            for statement in statements(op, request) {
                partiql::about(statement).iter().for_each(|about| add(&about.table));
            }
        }
        Op::ListTables | Op::DescribeEndpoints | Op::DescribeLimits => {}
        Op::TagResource | Op::UntagResource | Op::ListTagsOfResource => {}
        Op::ListStreams | Op::DescribeStream | Op::GetShardIterator | Op::GetRecords => {}
        _ => text(request, "TableName").into_iter().for_each(&mut add),
    }
    found
}

/// What `request` needs. `known` are the tables that it touches, those that there are.
pub fn needs(op: Op, request: &Request, known: &[Arc<Table>], home: &Home) -> Vec<Need> {
    let look = |name: &str| known.iter().find(|table| table.name == name).map(Arc::as_ref);
    if let Some(deed) = Deed::of(op) {
        return vec![item(deed, request, false, look, home)];
    }
    match op {
        Op::Query | Op::Scan => vec![search(op, request, look, home)],
        Op::BatchGetItem => each(request, home, |name, asked, need| {
            need.action = "dynamodb:BatchGetItem";
            let Some(asked) = asked.as_object() else {
                need.opaque = true;
                return;
            };
            named(asked, OF_READS, &mut need.attributes);
            need.select = Some(projected(asked, OF_READS));
            for key in list(asked, "Keys").filter_map(Value::as_object) {
                keyed(key, look(name), need);
            }
        }),
        Op::BatchWriteItem => each(request, home, |name, asked, need| {
            need.action = "dynamodb:BatchWriteItem";
            for content in written(asked) {
                match content {
                    Some(content) => keyed(content, look(name), need),
                    None => need.opaque = true,
                }
            }
        }),
        Op::TransactGetItems | Op::TransactWriteItems => {
            actions(op, request).map(|(deed, asked)| item(deed, asked, true, look, home)).collect()
        }
        Op::ExecuteStatement | Op::BatchExecuteStatement | Op::ExecuteTransaction => {
            statements(op, request).map(|statement| stated(statement, home)).collect()
        }
        Op::ListTables | Op::ListStreams | Op::DescribeEndpoints | Op::DescribeLimits => {
            vec![Need { action: action(op), resource: "*".to_owned(), ..Need::default() }]
        }
        Op::TagResource | Op::UntagResource | Op::ListTagsOfResource => {
            let arn = text(request, "ResourceArn");
            of_arn(action(op), arn, home, |rest| rest.split('/').next().unwrap_or_default())
        }
        Op::DescribeStream | Op::GetShardIterator => of_arn(action(op), text(request, "StreamArn"), home, |rest| rest),
        Op::GetRecords => {
            // An iterator begins with its stream's ARN, and says alone what is read.
            let iterator = text(request, "ShardIterator").map(|text| match text.split_once("|1|") {
                Some((arn, _)) => arn,
                None => text.split('|').next().unwrap_or_default(),
            });
            of_arn(action(op), iterator, home, |rest| rest)
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

/// What is asked of the resource `arn`. Engines look at the table's name in it and not whose it is: what they may find is needed
/// too. `part`: what they take of all that follows "table/".
fn of_arn(action: &'static str, arn: Option<&str>, home: &Home, part: fn(&str) -> &str) -> Vec<Need> {
    let arn = arn.unwrap_or("*");
    let need = |resource: String| Need { action, resource, ..Need::default() };
    if arn.len() > ARN_MAX {
        return vec![Need { unread: true, ..need("*".to_owned()) }];
    }
    let mut needs = vec![need(arn.to_owned())];
    for (at, found) in arn.match_indices(":table/") {
        let own = home.table(part(arn.get(at + found.len()..).unwrap_or_default()));
        if own != arn {
            needs.push(need(own));
        }
    }
    needs
}

/// One item that is read or written.
fn item<'t>(
    deed: Deed,
    asked: &Request,
    transacted: bool,
    look: impl Fn(&str) -> Option<&'t Table>,
    home: &Home,
) -> Need {
    let name = text(asked, "TableName").unwrap_or_default();
    let mut need = Need { action: deed.action(), resource: home.table(name), ..Need::default() };
    match deed.content(asked) {
        Some(content) => keyed(content, look(name), &mut need),
        None => need.opaque = true,
    }
    let members = match deed {
        Deed::Get => OF_READS,
        Deed::Update => OF_UPDATES,
        Deed::Put | Deed::Delete | Deed::Check => OF_WRITES,
    };
    let members: Vec<&str> = members.iter().copied().filter(|name| !(transacted && OLDER.contains(name))).collect();
    named(asked, &members, &mut need.attributes);
    match deed {
        Deed::Get => need.select = Some(projected(asked, &members)),
        _ if transacted => {}
        _ => need.return_values = text(asked, "ReturnValues").map(str::to_owned),
    }
    need
}

/// A query or a scan.
fn search<'t>(op: Op, asked: &Request, look: impl Fn(&str) -> Option<&'t Table>, home: &Home) -> Need {
    let name = text(asked, "TableName").unwrap_or_default();
    let index = text(asked, "IndexName");
    let resource = index.map_or_else(|| home.table(name), |index| home.index(name, index));
    let mut need = Need { action: action(op), resource, select: Some(select(asked)), ..Need::default() };
    named(asked, if op == Op::Query { OF_QUERIES } else { OF_SCANS }, &mut need.attributes);
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

/// Notes the attributes that these members of a request name: expressions and their older counterparts.
fn named(asked: &Request, members: &[&str], found: &mut Vec<String>) {
    let names = object(asked, "ExpressionAttributeNames");
    for member in members {
        match asked.get(*member) {
            Some(Value::String(text)) if !OLDER.contains(member) => expression::attributes(text, names, found),
            Some(Value::Object(of)) if OLDER.contains(member) => of.keys().for_each(|name| note(name, found)),
            Some(Value::Array(of)) if OLDER.contains(member) => {
                of.iter().filter_map(Value::as_str).for_each(|name| note(name, found))
            }
            _ => {}
        }
    }
}

fn note(name: &str, found: &mut Vec<String>) {
    if !found.iter().any(|known| known == name) {
        found.push(name.to_owned());
    }
}

/// `Select`, or what it comes to when it is left out (API reference, "Query").
fn select(asked: &Request) -> &'static str {
    match (text(asked, "Select"), projected(asked, OF_READS)) {
        (Some("COUNT"), _) => "COUNT",
        (Some("ALL_PROJECTED_ATTRIBUTES"), _) => "ALL_PROJECTED_ATTRIBUTES",
        (Some("ALL_ATTRIBUTES"), _) => "ALL_ATTRIBUTES",
        (_, "ALL_ATTRIBUTES") if asked.contains_key("IndexName") => "ALL_PROJECTED_ATTRIBUTES",
        (_, projected) => projected,
    }
}

/// What `Select` comes to where there is none: by the members that may ask for some attributes only.
fn projected(asked: &Request, members: &[&str]) -> &'static str {
    match members.iter().any(|member| OF_READS.contains(member) && asked.contains_key(*member)) {
        true => "SPECIFIC_ATTRIBUTES",
        false => "ALL_ATTRIBUTES",
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
