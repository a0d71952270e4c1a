//! Policy: what a signature allows.
//!
//! In: the policy's text, whose signature was verified; a request. Out: whether it is allowed. Never: a condition that is not
//! understood taken for one that holds.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Map, Value};

use super::{invalid, resource, scheme};
use crate::access::{Asked, Denied, json};
use crate::message::path;

/// A custom policy's one statement. Times are seconds since the epoch.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// `None` = everything.
    resource: Option<String>,
    before: u64,
    after: Option<u64>,
    source: Option<IpNet>,
}

/// The text that a canned policy's signature is over ("Create a signature for a signed URL that uses a canned policy"): no white
/// space, in this order. `expires` is in seconds since the epoch.
pub fn canned(url: &str, expires: u64) -> String {
    let url = Value::from(url);
    format!(r#"{{"Statement":[{{"Resource":{url},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#)
}

/// Whether it is earlier than `expires` seconds.
pub fn before(expires: u64, now_ms: u64) -> Result<(), Denied> {
    if now_ms / 1000 < expires { Ok(()) } else { Err(invalid("it has expired")) }
}

// === impl Policy ===
impl Policy {
    /// # Errors
    /// It is not a policy with one statement, or says something that is not understood.
    pub fn parse(text: &[u8]) -> Result<Self, Denied> {
        let mut policy = json::object(text).map_err(|_| invalid("the policy is not a JSON object"))?;
        let statement = policy.remove("Statement");
        only(&policy)?;
        let mut statement = match statement {
            Some(Value::Object(statement)) => statement,
            Some(Value::Array(mut list)) if list.len() == 1 => match list.pop() {
                Some(Value::Object(statement)) => statement,
                _ => return Err(invalid("the policy's statement is not an object")),
            },
            _ => return Err(invalid("the policy has not one statement")),
        };
        let resource = match statement.remove("Resource") {
            None => None,
            Some(Value::String(resource)) => Some(resource),
            Some(_) => return Err(invalid("the policy's resource is not text")),
        };
        let Some(Value::Object(mut condition)) = statement.remove("Condition") else {
            return Err(invalid("the policy has no condition"));
        };
        only(&statement)?;
        let before = time(&mut condition, "DateLessThan")?.ok_or_else(|| invalid("the policy has no DateLessThan"))?;
        let after = time(&mut condition, "DateGreaterThan")?;
        let source = match inner(&mut condition, "IpAddress", "AWS:SourceIp")? {
            None => None,
            Some(Value::String(net)) => Some(network(&net).ok_or_else(|| invalid("the policy's address is none"))?),
            Some(_) => return Err(invalid("the policy's address is not text")),
        };
        only(&condition)?;
        Ok(Policy { resource, before, after, source })
    }

    /// `query` is the request's without the parameters of the signature.
    ///
    /// # Errors
    /// [`super::Reason::SignedInvalid`] when it is too late, too early, from another address or for something else.
    pub fn check<F>(&self, asked: &Asked<'_, F>, query: Option<&str>) -> Result<(), Denied> {
        before(self.before, asked.now_ms)?;
        if self.after.is_some_and(|after| asked.now_ms / 1000 <= after) {
            return Err(invalid("it does not count yet"));
        }
        if self.source.is_some_and(|net| !covers(&net, asked.viewer)) {
            return Err(invalid("it is for another address"));
        }
        let Some(pattern) = &self.resource else { return Ok(()) };
        let (scheme, host) = (scheme(asked.tls), asked.host);
        let fits = resource::matches(pattern, scheme, host, asked.path, query);
        // What an origin may read must not be more than was signed.
        let covers = |reading: &String| resource::covers_reading(pattern, scheme, host, reading, query);
        match fits && path::readings(asked.path).iter().all(covers) {
            true => Ok(()),
            false => Err(invalid("it is for something else")),
        }
    }
}

/// The guide's way to say "any address" is 0.0.0.0/0: also one of IPv6.
fn covers(net: &IpNet, viewer: IpAddr) -> bool {
    net.contains(&viewer.to_canonical()) || *net == IpNet::V4(Ipv4Net::default())
}

/// A range, or one address. CloudFront knows IPv4 only; IPv6 is our extension.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn time(condition: &mut Map<String, Value>, name: &str) -> Result<Option<u64>, Denied> {
    match inner(condition, name, "AWS:EpochTime")? {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid("a time of the policy is not a number")),
    }
}

/// Takes the one member of a condition.
fn inner(condition: &mut Map<String, Value>, operator: &str, key: &str) -> Result<Option<Value>, Denied> {
    match condition.remove(operator) {
        None => Ok(None),
        Some(Value::Object(mut members)) => {
            let value = members.remove(key);
            only(&members)?;
            value.map(Some).ok_or_else(|| invalid("a condition of the policy is empty"))
        }
        Some(_) => Err(invalid("a condition of the policy is not an object")),
    }
}

/// What is not understood must not allow.
fn only(left: &Map<String, Value>) -> Result<(), Denied> {
    if left.is_empty() { Ok(()) } else { Err(invalid("the policy has a member that is not known")) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_wildcard_covers_what_an_origin_may_read_or_nothing() {
        for (resource, path, good) in [
            ("https://h/videos/*.jpg", "/videos/a.jpg", true),
            ("https://h/videos/*.jpg", "/videos/a%20b.jpg", true),
            ("https://h/videos/*.jpg", "/videos/a;v=1/b.jpg", true),
            ("https://h/videos/*.jpg", "/videos/secret.mp4;x.jpg", false),
            ("https://h/videos/*.jpg", "/videos/secret.mp4%3Fx.jpg", false),
            ("https://h/videos/*", "/videos/..%2fother/a", false),
            ("https://h/.hidden/*.jpg", "/.hidden/secret.mp4;x.jpg", false),
            ("h/videos/*.jpg", "/videos/secret.mp4;x.jpg", false),
            ("https://h/v?deos/*.jpg", "/videos/secret.mp4;x.jpg", false),
            // However the pattern is spelled.
            ("https://h/users/me%40x.com/*", "/users/me%40x.com/a;b", true),
            ("https://h/caf%c3%a9/*", "/caf%c3%a9//a", true),
            ("https://h/users/me%40x.com/*.jpg", "/users/me%40x.com/a.mp4;b.jpg", false),
            // One path, or one that is ambiguous itself: as it was signed.
            ("https://h/a;b", "/a;b", true),
            ("https://h/a//*", "/a//b", true),
        ] {
            let text = format!(
                r#"{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":9}}}}}}]}}"#
            );
            let asked = Asked {
                method: "GET",
                host: "h",
                path,
                query: None,
                fields: &HeaderMap::new(),
                tls: true,
                viewer: Ipv4Addr::LOCALHOST.into(),
                now_ms: 0,
            };
            assert_eq!(Policy::parse(text.as_bytes()).unwrap().check(&asked, None).is_ok(), good, "{resource} {path}");
        }
    }
}
