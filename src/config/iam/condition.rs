//! Condition: a statement's `Condition` block, operators and keys by name.
//!
//! In: the block's JSON. Out: [`Condition`]s. Never: an operator or key that it does not know.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{Condition, Key, Match, Order, PolicyError, Test, refuse, strings, time};

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Number(Order),
    Date(Order),
    Flag,
    Text(Match),
    Null,
}

/// # Errors
/// Names the operator, key or value that is not understood.
pub fn read(block: &Value) -> Result<Vec<Condition>, PolicyError> {
    let Value::Object(operators) = block else { return refuse("Condition is an object") };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let Value::Object(keys) = keys else { return refuse(format!("Condition {name:?} is an object of keys")) };
        if keys.is_empty() {
            return refuse(format!("Condition {name:?} has no key"));
        }
        for (key, values) in keys {
            conditions.push(one(name, key, values)?);
        }
    }
    Ok(conditions)
}

fn one(name: &str, key_name: &str, values: &Value) -> Result<Condition, PolicyError> {
    let (set, rest) = match name.split_once(':') {
        Some(("ForAnyValue", rest)) => (Some(false), rest),
        Some(("ForAllValues", rest)) => (Some(true), rest),
        Some(_) => return refuse(format!("there is no condition operator {name:?}")),
        None => (None, name),
    };
    let (base, if_exists) = match rest.strip_suffix("IfExists") {
        Some(base) => (base, true),
        None => (rest, false),
    };
    let Some((kind, negated)) = operator(base) else {
        return refuse(format!("there is no condition operator {name:?}"));
    };
    let Some(key) = key(key_name) else { return refuse(format!("the condition key {key_name:?} is not supported")) };
    if !fits(kind, key) || (kind == Kind::Null && (if_exists || set.is_some())) {
        return refuse(format!("{name} does not go with {key_name}"));
    }
    let several = matches!(key, Key::DynamoLeadingKeys | Key::DynamoAttributes);
    if several && set.is_none() && kind != Kind::Null {
        return refuse(format!("{key_name} has several values: write ForAllValues:{name} or ForAnyValue:{name}"));
    }
    let test = test(kind, key_name, values)?;
    // An absent key: ForAllValues holds for a set of none and ForAnyValue does not; IfExists holds; else it is as if it had
    // another value than any.
    let absent = if_exists || set.unwrap_or(negated);
    Ok(Condition { key, absent, negated, every: set == Some(true), test })
}

/// What an operator compares, and whether it is a negation.
fn operator(name: &str) -> Option<(Kind, bool)> {
    Some(match name {
        "IpAddress" => (Kind::Address, false),
        "NotIpAddress" => (Kind::Address, true),
        "Bool" => (Kind::Flag, false),
        "Null" => (Kind::Null, false),
        "StringEquals" => (Kind::Text(Match::Exact), false),
        "StringNotEquals" => (Kind::Text(Match::Exact), true),
        "StringEqualsIgnoreCase" => (Kind::Text(Match::IgnoreCase), false),
        "StringNotEqualsIgnoreCase" => (Kind::Text(Match::IgnoreCase), true),
        "StringLike" => (Kind::Text(Match::Like), false),
        "StringNotLike" => (Kind::Text(Match::Like), true),
        "ArnEquals" | "ArnLike" => (Kind::Text(Match::Arn), false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Text(Match::Arn), true),
        _ => {
            let (number, order) = match (name.strip_prefix("Numeric"), name.strip_prefix("Date")) {
                (Some(order), _) => (true, order),
                (None, Some(order)) => (false, order),
                (None, None) => return None,
            };
            let (order, negated) = match order {
                "Equals" => (Order::Equal, false),
                "NotEquals" => (Order::Equal, true),
                "LessThan" => (Order::Less, false),
                "LessThanEquals" => (Order::LessOrEqual, false),
                "GreaterThan" => (Order::Greater, false),
                "GreaterThanEquals" => (Order::GreaterOrEqual, false),
                _ => return None,
            };
            (if number { Kind::Number(order) } else { Kind::Date(order) }, negated)
        }
    })
}

/// Keys are the same in any case (IAM User Guide, "Condition").
fn key(name: &str) -> Option<Key> {
    Some(match name.to_ascii_lowercase().as_str() {
        "aws:sourceip" => Key::SourceIp,
        "aws:currenttime" => Key::CurrentTime,
        "aws:epochtime" => Key::EpochTime,
        "aws:securetransport" => Key::SecureTransport,
        "aws:principalarn" => Key::PrincipalArn,
        "aws:username" => Key::Username,
        "aws:useragent" => Key::UserAgent,
        "aws:referer" => Key::Referer,
        "dynamodb:leadingkeys" => Key::DynamoLeadingKeys,
        "dynamodb:attributes" => Key::DynamoAttributes,
        "dynamodb:select" => Key::DynamoSelect,
        "dynamodb:returnvalues" => Key::DynamoReturnValues,
        _ => return None,
    })
}

fn fits(kind: Kind, key: Key) -> bool {
    match kind {
        Kind::Null => true,
        Kind::Address => key == Key::SourceIp,
        Kind::Number(_) => key == Key::EpochTime,
        Kind::Date(_) => matches!(key, Key::CurrentTime | Key::EpochTime),
        Kind::Flag => key == Key::SecureTransport,
        Kind::Text(Match::Arn) => key == Key::PrincipalArn,
        Kind::Text(_) => !matches!(key, Key::SourceIp | Key::CurrentTime | Key::EpochTime | Key::SecureTransport),
    }
}

fn test(kind: Kind, name: &str, values: &Value) -> Result<Test, PolicyError> {
    let texts = strings(name, &as_text(values))?;
    Ok(match kind {
        Kind::Address => Test::Address(each(name, &texts, net)?),
        Kind::Number(order) => Test::Time(order, each(name, &texts, |text| text.parse().ok())?),
        Kind::Date(order) => Test::Time(order, each(name, &texts, time::read)?),
        Kind::Flag => Test::Flag(each(name, &texts, flag)?),
        Kind::Null => Test::Absent(each(name, &texts, flag)?),
        Kind::Text(how) => Test::Text(how, texts),
    })
}

/// Numbers and booleans may be written with or without quotes.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.iter().map(as_text).collect()),
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        other => other.clone(),
    }
}

fn each<T>(name: &str, texts: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, PolicyError> {
    let read = |text: &String| read(text).ok_or_else(|| PolicyError(format!("{name}: {text:?} is no value for it")));
    texts.iter().map(read).collect()
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A network, or one address.
fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
