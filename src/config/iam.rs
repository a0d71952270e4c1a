//! Iam: policy documents in AWS's JSON language.
//!
//! In: the document's text. Out: a [`Policy`] that cannot be wrong. Never: a decision (`access::iam` decides).
//!
//! The grammar is AWS's (IAM User Guide, "Grammar of the IAM JSON policy language"), less what needs AWS to answer:
//! `Principal`, policy variables, and condition keys that a proxy does not know. All of that is refused by name: what is
//! not understood must not allow.

mod condition;
mod document;
pub mod time;

use ipnet::IpNet;
use serde_json::Value;

/// Bytes of a document. AWS allows 6144 characters for a managed policy and about 8 KiB for an authorizer's.
pub const MAX_DOCUMENT: usize = 65_536;

/// A policy document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    pub statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statement {
    pub sid: Option<String>,
    /// `Effect`: Allow, or Deny.
    pub allow: bool,
    pub actions: Patterns,
    pub resources: Patterns,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
}

/// What a statement is about: `Action`, `Resource`, or with `not` everything else. `*` is any run of characters, `?` any
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    pub not: bool,
    /// Never empty.
    pub any: Vec<String>,
}

/// One key of one condition operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub key: Key,
    /// What it comes to when the request has no such key.
    pub absent: bool,
    /// It holds when the test does not.
    pub negated: bool,
    /// Of a key with several values, each has to do (`ForAllValues`), not just one (`ForAnyValue`).
    pub every: bool,
    pub test: Test,
}

/// What a request is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `aws:SourceIp`
    SourceIp,
    /// `aws:CurrentTime`
    CurrentTime,
    /// `aws:EpochTime`
    EpochTime,
    /// `aws:SecureTransport`
    SecureTransport,
    /// `aws:PrincipalArn`
    PrincipalArn,
    /// `aws:username`
    Username,
    /// `aws:UserAgent`
    UserAgent,
    /// `aws:Referer`
    Referer,
    /// `dynamodb:LeadingKeys`: partition key values of the items that are asked for. Several.
    DynamoLeadingKeys,
    /// `dynamodb:Attributes`: top-level attributes that the request names. Several.
    DynamoAttributes,
    /// `dynamodb:Select`
    DynamoSelect,
    /// `dynamodb:ReturnValues`
    DynamoReturnValues,
}

/// A key's value against the document's values: one of them must do. Lists are never empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Address(Vec<IpNet>),
    /// Seconds since the epoch.
    Time(Order, Vec<i64>),
    Flag(Vec<bool>),
    Text(Match, Vec<String>),
    /// `Null`: whether the key is absent.
    Absent(Vec<bool>),
}

/// How the request's value must stand to the document's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How strings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    Exact,
    IgnoreCase,
    /// With `*` and `?`.
    Like,
    /// With `*` and `?`, part by part.
    Arn,
}

/// Why a document is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

// === impl Policy ===
impl Policy {
    /// Reads a document: `Version` ("2012-10-17", "2008-10-17" or none), `Id`, and `Statement`, one or a list.
    ///
    /// # Errors
    /// Not JSON, too long, a member twice, not a policy document, or anything that is not supported.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        if text.len() > MAX_DOCUMENT {
            return refuse(format!("the policy has {} bytes; {MAX_DOCUMENT} is the most", text.len()));
        }
        Policy::from_value(&document::read(text)?)
    }

    /// The same from JSON that is read already, as in an authorizer's answer.
    ///
    /// # Errors
    /// As [`Policy::parse`], but for what only the text shows: its length and members that are there twice.
    pub fn from_value(document: &Value) -> Result<Policy, PolicyError> {
        let Value::Object(members) = document else { return refuse("a policy is a JSON object") };
        let mut statements = None;
        for (name, value) in members {
            match name.as_str() {
                "Version" if matches!(value.as_str(), Some("2012-10-17" | "2008-10-17")) => {}
                "Version" => return refuse(format!("Version {value} is not known: \"2012-10-17\"")),
                "Id" if value.is_string() => {}
                "Id" => return refuse("Id is a string"),
                "Statement" => statements = Some(value),
                other => return refuse(format!("a policy has no member {other:?}")),
            }
        }
        let statements = match statements {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            Some(_) => return refuse("Statement is an object or a list of objects"),
            None => return refuse("a policy has a Statement"),
        };
        let read = statements.iter().enumerate();
        let read = read.map(|(at, value)| statement(value).map_err(|e| PolicyError(format!("Statement {at}: {e}"))));
        Ok(Policy { statements: read.collect::<Result<_, _>>()? })
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError(why.into()))
}

fn statement(value: &Value) -> Result<Statement, PolicyError> {
    let Value::Object(members) = value else { return refuse("it is no object") };
    let (mut sid, mut allow, mut actions, mut resources, mut conditions) = (None, None, None, None, Vec::new());
    for (name, value) in members {
        match name.as_str() {
            "Sid" => sid = Some(value.as_str().ok_or_else(|| PolicyError("Sid is a string".to_owned()))?.to_owned()),
            "Effect" => match value.as_str() {
                Some("Allow") => allow = Some(true),
                Some("Deny") => allow = Some(false),
                _ => return refuse(format!("Effect is \"Allow\" or \"Deny\", not {value}")),
            },
            "Action" | "NotAction" if actions.is_some() => return refuse("Action and NotAction exclude each other"),
            "Action" | "NotAction" => actions = Some(patterns(name, value)?),
            "Resource" | "NotResource" if resources.is_some() => {
                return refuse("Resource and NotResource exclude each other");
            }
            "Resource" | "NotResource" => resources = Some(patterns(name, value)?),
            "Condition" => conditions = condition::read(value)?,
            "Principal" | "NotPrincipal" => {
                return refuse(format!("{name} is not supported: the policy belongs to the one who asks"));
            }
            other => return refuse(format!("a statement has no member {other:?}")),
        }
    }
    let missing = |what: &str| PolicyError(format!("{what} is missing"));
    let actions = actions.ok_or_else(|| missing("Action"))?;
    if let Some(odd) = actions.any.iter().find(|action| *action != "*" && !action.contains(':')) {
        return refuse(format!("the action {odd:?} names no service: \"service:Action\""));
    }
    Ok(Statement {
        sid,
        allow: allow.ok_or_else(|| missing("Effect"))?,
        actions,
        resources: resources.ok_or_else(|| missing("Resource"))?,
        conditions,
    })
}

fn patterns(name: &str, value: &Value) -> Result<Patterns, PolicyError> {
    let any = strings(name, value)?;
    if any.iter().any(String::is_empty) {
        return refuse(format!("{name} has an empty string"));
    }
    Ok(Patterns { not: name.starts_with("Not"), any })
}

/// A string or a list of them, not empty, without policy variables.
fn strings(name: &str, value: &Value) -> Result<Vec<String>, PolicyError> {
    let values = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if values.is_empty() {
        return refuse(format!("{name} is an empty list"));
    }
    let text = |value: &Value| match value {
        Value::String(text) if text.contains("${") => refuse(format!("{name}: variables are not supported: {text:?}")),
        Value::String(text) => Ok(text.clone()),
        other => refuse(format!("{name} is a string or a list of strings, not {other}")),
    };
    values.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
