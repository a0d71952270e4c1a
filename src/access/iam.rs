//! Iam: whether a policy document allows a request (IAM User Guide, "Policy evaluation logic").
//!
//! In: a [`Policy`], what is asked. Out: a [`Decision`]. Never: a document's text, a clock.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::config::iam::{Condition, Key, Match, Order, Patterns, Policy, Statement, Test};
use crate::message::path;

/// What a policy is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// "execute-api:Invoke".
    pub action: &'a str,
    /// "arn:aws:execute-api:us-east-1:123456789012:api/prod/GET/pets".
    pub resource: &'a str,
    /// The resource without the slash that its path ends with.
    pub bare: Option<&'a str>,
    pub source_ip: IpAddr,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
    /// Over TLS.
    pub secure: bool,
    /// `None` before anybody is known, as for an authorizer's document.
    pub principal_arn: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub referer: Option<&'a str>,
    /// What DynamoDB's condition keys ask for; nothing elsewhere.
    pub dynamodb: Items<'a>,
}

/// What a request to DynamoDB is about (Service Authorization Reference, "Condition keys for Amazon DynamoDB").
#[derive(Debug, Clone, Copy, Default)]
pub struct Items<'a> {
    /// Partition key values, as text.
    pub leading_keys: &'a [String],
    /// Top-level attributes that are named.
    pub attributes: &'a [String],
    pub select: Option<&'a str>,
    pub return_values: Option<&'a str>,
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    Allow,
    /// A statement denies it: no other may allow it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

/// Decides: any Deny that matches denies, else any Allow that matches allows, else it is denied.
pub fn evaluate(policy: &Policy, request: &Request<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for statement in &policy.statements {
        if decision == Decision::Allow && statement.allow {
            continue;
        }
        if matches(statement, request) {
            if !statement.allow {
                return Decision::ExplicitDeny;
            }
            decision = Decision::Allow;
        }
    }
    decision
}

/// A policy about paths, with its resources in the spelling that [`evaluate_path`] asks in.
pub fn spelled(mut policy: Policy) -> Policy {
    for pattern in policy.statements.iter_mut().flat_map(|statement| &mut statement.resources.any) {
        if let Cow::Owned(spelled) = path::pattern(pattern) {
            *pattern = spelled;
        }
    }
    policy
}

/// Decides about a path, whose `resource` is asked about as [`path::spelled`] and in every way that an origin may read it: all must
/// be allowed. To many origins a slash at the end is nothing: what keeps away from the path without it keeps away from it, too.
pub fn evaluate_path(policy: &Policy, path: &str, resource: impl Fn(&str) -> String, request: Request<'_>) -> Decision {
    let decide = |path: &str| {
        let bare = path::bare(path).map(&resource);
        evaluate(policy, &Request { resource: &resource(path), bare: bare.as_deref(), ..request })
    };
    let own = path::spelled(path);
    let readings = path::readings(path);
    for reading in std::iter::once(&*own).chain(readings.iter().map(String::as_str)) {
        match decide(reading) {
            Decision::Allow => {}
            refused => return refused,
        }
    }
    Decision::Allow
}

fn matches(statement: &Statement, request: &Request<'_>) -> bool {
    covers(&statement.actions, |pattern| like(pattern, request.action, true))
        && covers(&statement.resources, |pattern| {
            // What keeps away: a Deny's resources, and those that an Allow leaves out.
            let wide = statement.allow == statement.resources.not;
            arn(pattern, request.resource, wide) || (wide && request.bare.is_some_and(|bare| arn(pattern, bare, wide)))
        })
        && statement.conditions.iter().all(|condition| holds(condition, request))
}

fn covers(patterns: &Patterns, matches: impl Fn(&str) -> bool) -> bool {
    patterns.any.iter().any(|pattern| matches(pattern)) != patterns.not
}

fn holds(condition: &Condition, request: &Request<'_>) -> bool {
    let seconds = || i64::try_from(request.now_ms / 1000).unwrap_or(i64::MAX);
    let found = match &condition.test {
        Test::Absent(values) => Some(values.contains(&is_absent(condition.key, request))),
        Test::Address(nets) => {
            let address = request.source_ip.to_canonical();
            Some(nets.iter().any(|net| net.contains(&address)))
        }
        Test::Time(order, values) => Some(values.iter().any(|value| ordered(*order, seconds(), *value))),
        Test::Flag(values) => Some(values.contains(&request.secure)),
        Test::Text(how, values) => {
            let found = |text: &str| values.iter().any(|value| alike(*how, value, text));
            match several(condition.key, request) {
                Some([]) => None,
                Some(texts) => {
                    let mut each = texts.iter().map(|text| found(text) != condition.negated);
                    return if condition.every { each.all(|holds| holds) } else { each.any(|holds| holds) };
                }
                None => text(condition.key, request).map(found),
            }
        }
    };
    found.map_or(condition.absent, |found| found != condition.negated)
}

fn ordered(order: Order, left: i64, right: i64) -> bool {
    match order {
        Order::Equal => left == right,
        Order::Less => left < right,
        Order::LessOrEqual => left <= right,
        Order::Greater => left > right,
        Order::GreaterOrEqual => left >= right,
    }
}

fn alike(how: Match, pattern: &str, text: &str) -> bool {
    match how {
        Match::Exact => pattern == text,
        Match::IgnoreCase => pattern.eq_ignore_ascii_case(text),
        Match::Like => like(pattern, text, false),
        Match::Arn => arn(pattern, text, true),
    }
}

fn is_absent(key: Key, request: &Request<'_>) -> bool {
    match key {
        Key::SourceIp | Key::CurrentTime | Key::EpochTime | Key::SecureTransport => false,
        _ => several(key, request).map_or_else(|| text(key, request).is_none(), <[String]>::is_empty),
    }
}

fn text<'a>(key: Key, request: &Request<'a>) -> Option<&'a str> {
    match key {
        Key::PrincipalArn => request.principal_arn,
        Key::Username => request.principal_arn.and_then(username),
        Key::UserAgent => request.user_agent,
        Key::Referer => request.referer,
        Key::DynamoSelect => request.dynamodb.select,
        Key::DynamoReturnValues => request.dynamodb.return_values,
        Key::SourceIp | Key::CurrentTime | Key::EpochTime | Key::SecureTransport => None,
        Key::DynamoLeadingKeys | Key::DynamoAttributes => None,
    }
}

/// The values of a key that has several.
fn several<'a>(key: Key, request: &Request<'a>) -> Option<&'a [String]> {
    match key {
        Key::DynamoLeadingKeys => Some(request.dynamodb.leading_keys),
        Key::DynamoAttributes => Some(request.dynamodb.attributes),
        _ => None,
    }
}

/// `aws:username` is there for IAM users only: "arn:aws:iam::1:user/path/alice".
fn username(principal: &str) -> Option<&str> {
    let user = principal.splitn(6, ':').nth(5)?.strip_prefix("user/")?;
    user.rsplit('/').next()
}

/// `*` is any run of characters, `?` any one character; linear in practice, and never worse than their product.
pub fn like(pattern: &str, text: &str, ignore_case: bool) -> bool {
    glob(pattern.as_bytes(), text, ignore_case, width, |_| false)
}

/// As [`like`], but within the five parts before an ARN's resource `?` is no `:`, and `*` runs over none but from the end
/// of its part (IAM User Guide, "Resource"), and even there only when `wide`: what a Deny names. A path may hold colons,
/// and what an Allow names must not be found in one.
fn arn(pattern: &str, text: &str, wide: bool) -> bool {
    let bytes = pattern.as_bytes();
    let head = match pattern.starts_with("arn:") {
        true => pattern.bytes().enumerate().filter(|(_, b)| *b == b':').nth(4).map_or(pattern.len(), |(at, _)| at),
        false => 0,
    };
    let stays = |at: usize| match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'*'), None) => false,
        (Some(b'*'), Some(b':')) => at < head && !wide,
        _ => at < head,
    };
    glob(bytes, text, false, width_spelled, stays)
}

/// `stays` tells of which wildcards of the pattern, by position, match no `:`. Goes back to the last `*` only, or to the
/// one before where the last may not go on: a `:` is then matched by an earlier one.
fn glob(
    pattern: &[u8],
    text: &str,
    ignore_case: bool,
    width: fn(&[u8]) -> usize,
    stays: impl Fn(usize) -> bool,
) -> bool {
    let bytes = text.as_bytes();
    let same = |a: u8, b: u8| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let (mut p, mut t) = (0, 0);
    // The last `*` that may run over a `:`, the last of all, and where in the text each goes on.
    let mut far: Option<(usize, usize)> = None;
    let mut near: Option<(usize, usize)> = None;
    while t < bytes.len() {
        match pattern.get(p) {
            Some(b'*') if stays(p) => {
                near = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'*') => {
                (far, near) = (Some((p, t)), None);
                p += 1;
                continue;
            }
            Some(b'?') if !(stays(p) && bytes[t] == b':') => {
                p += 1;
                t += width(&bytes[t..]);
                continue;
            }
            Some(other) if *other != b'?' && same(*other, bytes[t]) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match (near, far) {
            (Some((at, from)), _) if bytes[from] != b':' => {
                near = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            (_, Some((at, from))) => {
                (near, far) = (None, Some((at, from + 1)));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p.min(pattern.len())..].iter().all(|b| *b == b'*')
}

/// Bytes of the UTF-8 character that begins so.
fn width(text: &[u8]) -> usize {
    match text.first().copied().unwrap_or_default() {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// The same of an ARN, where each byte of a path's character may be encoded. One that is cut short ends where it is.
fn width_spelled(text: &[u8]) -> usize {
    let Some(first) = path::escaped(text) else { return width(text) };
    let continues = |at: &usize| text.get(*at..).and_then(path::escaped).is_some_and(|byte| byte & 0xc0 == 0x80);
    let more = (1..width(&[first])).map(|n| 3 * n).take_while(continues).count();
    3 * (1 + more)
}

#[cfg(test)]
mod tests;
