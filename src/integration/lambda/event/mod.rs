//! Event: a request as Lambda functions see it behind API Gateway, a function URL or a load balancer.
//!
//! In: the request, what the edge knows of it, the route that takes it. Out: the event's JSON. Never: I/O.
//!
//! Sources: API Gateway Developer Guide ("Input format of a Lambda function for proxy integration", "Working with AWS Lambda proxy
//! integrations for HTTP APIs"), Lambda Developer Guide ("Invoking Lambda function URLs"), Elastic Load Balancing ("Lambda functions as
//! targets").

mod alb;
mod http_api;
mod rest;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::route::Matched;
use crate::config::compiled::{LambdaOrigin, Payload};
use crate::message::pairs;
use crate::origin::adapter::About;

/// Who calls and what is called, as events of this PoP say it.
pub const ACCOUNT: &str = "000000000000";
pub const API: &str = "rimward";

/// A request as it would go to an HTTP origin.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    /// As sent, not decoded.
    pub path: String,
    pub query: Option<String>,
    /// In order; names lower case.
    pub fields: Vec<(String, String)>,
    pub body: bytes::Bytes,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
}

/// The event for `asked`.
pub fn event(asked: &Asked, about: &About, route: &Matched<'_>, origin: &LambdaOrigin) -> String {
    let event = match origin.payload {
        Payload::Rest1 => rest::event(asked, about, route, origin),
        Payload::Http2 | Payload::FunctionUrl => http_api::event(asked, about, route, origin),
        Payload::Alb { multi } => alb::event(asked, about, multi),
    };
    event.to_string()
}

// === impl Asked ===
impl Asked {
    /// The value of a field, its lines joined.
    pub fn field(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> = self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(","))
    }

    /// Media type of the body, lower case, without parameters.
    pub fn media_type(&self) -> String {
        let kind = self.field("content-type").unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The body and whether it is base64: text goes as it is where `text` allows it.
    fn body(&self, text: bool) -> (Value, bool) {
        if self.body.is_empty() {
            return (Value::Null, false);
        }
        match std::str::from_utf8(&self.body) {
            Ok(body) if text => (body.into(), false),
            _ => (STANDARD.encode(&self.body).into(), true),
        }
    }

    /// Whether the body is sent as text: these media types, not compressed (Elastic Load Balancing, "Lambda functions as targets").
    fn is_text(&self) -> bool {
        let kind = self.media_type();
        let named = ["application/json", "application/javascript", "application/xml"].contains(&kind.as_str());
        let text = named || kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml");
        text && self.field("content-encoding").is_none()
    }

    /// `Root=1-<seconds>-<96 bits>`: the request's own, or one made of its id.
    fn trace(&self, about: &About) -> String {
        self.field("x-amzn-trace-id").unwrap_or_else(|| {
            let digest = crate::crypto::sha256(about.request_id.as_bytes());
            format!("Root=1-{:08x}-{}", self.now_ms / 1000, crate::crypto::hex(&digest[..12]))
        })
    }

    /// "26/Nov/2026:17:51:29 +0000".
    fn time(&self) -> String {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(self.now_ms);
        let text = httpdate::fmt_http_date(at);
        let parts: Vec<&str> = text.split(' ').collect();
        match parts[..] {
            [_, day, month, year, clock, _] => format!("{day}/{month}/{year}:{clock} +0000"),
            _ => text,
        }
    }
}

/// The first label of a host.
fn prefix(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

fn domain(about: &About) -> &str {
    pairs::without_port(&about.host)
}

/// The port that the viewer asked.
fn port(about: &About) -> String {
    let written = about.host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    written.unwrap_or(if about.tls { 443 } else { 80 }).to_string()
}

fn stage(about: &About) -> &str {
    if about.stage.is_empty() { "$default" } else { &about.stage }
}

/// Pairs as an object; `None` without any.
fn object(pairs: &[(impl AsRef<str>, String)]) -> Option<Value> {
    let map: Map<String, Value> =
        pairs.iter().map(|(name, value)| (name.as_ref().to_owned(), value.as_str().into())).collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

/// A claim as API Gateway writes it: text as it is, lists as "[a b]".
fn claim(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(claim).collect();
            format!("[{}]", list.join(" "))
        }
        other => other.to_string(),
    }
}

/// The account of an ARN.
fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

#[cfg(test)]
mod tests;
