//! Message: an exchange as a recording keeps it.
//!
//! In: an exchange before a call. Out: plain data that serde reads and writes, and the exchange again. Never: a secret; an
//! origin's sensitive field is kept as its name.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::compiled::Mode;
use crate::hooks::exchange::{Body, Exchange, Origin, Request, Response, Site, shown};
use crate::hooks::{Event, Who, valid};

use super::TestEventError;

/// Bytes: a string when they are UTF-8, `{"base64": "…"}` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Raw {
    Text(String),
    Bytes { base64: String },
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    event: String,
    request_id: String,
    /// Milliseconds since the epoch.
    now_ms: u64,
    strict: bool,
    pop: String,
    behavior: String,
    domain: String,
    distribution: String,
    origins: Vec<String>,
    include_body: bool,
    request: Asked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Answered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    uri: String,
    query: String,
    /// A `?` with nothing behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    empty_query: bool,
    client_ip: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<Value>,
    version: String,
    tls: bool,
    headers: Vec<(String, Raw)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Raw>,
    #[serde(default)]
    body_truncated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<InForce>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InForce {
    name: String,
    host: String,
    port: u16,
    tls: bool,
    path: String,
    read_timeout_ms: u64,
    keepalive_timeout_ms: u64,
    headers: Vec<(String, Raw)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    status: u16,
    headers: Vec<(String, Raw)>,
}

// === impl Raw ===
impl Raw {
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Raw::Text(text.to_owned()),
            Err(_) => Raw::Bytes { base64: STANDARD.encode(bytes) },
        }
    }

    pub fn bytes(&self) -> Result<Bytes, TestEventError> {
        match self {
            Raw::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Raw::Bytes { base64 } => match STANDARD.decode(base64) {
                Ok(data) => Ok(data.into()),
                Err(_) => Err(TestEventError::member("base64", "is no base64")),
            },
        }
    }
}

// === impl Message ===
impl Message {
    pub fn of(exchange: &Exchange) -> Self {
        let (site, request) = (&exchange.site, &exchange.request);
        Message {
            event: exchange.event.to_string(),
            request_id: exchange.request_id.clone(),
            now_ms: exchange.now_ms,
            strict: site.mode == Mode::Strict,
            pop: site.pop.clone(),
            behavior: site.behavior.clone(),
            domain: site.domain.clone(),
            distribution: site.distribution.clone(),
            origins: site.origins.clone(),
            include_body: site.include_body,
            request: Asked {
                method: request.method.to_string(),
                uri: request.uri.clone(),
                query: request.query.clone(),
                empty_query: request.has_query && request.query.is_empty(),
                client_ip: request.client_ip,
                server_ip: request.server_ip,
                principal: request.who.as_ref().and_then(|who| serde_json::from_str(&who.json()).ok()),
                version: format!("{:?}", request.version),
                tls: request.tls,
                headers: lines(&request.headers),
                body: request.body.as_ref().map(|body| Raw::of(&body.data)),
                body_truncated: request.body.as_ref().is_some_and(|body| body.truncated),
                origin: request.origin.as_ref().map(InForce::of),
            },
            response: exchange
                .response
                .as_ref()
                .map(|response| Answered { status: response.status.as_u16(), headers: lines(&response.headers) }),
        }
    }

    pub fn exchange(&self) -> Result<Exchange, TestEventError> {
        let event: Event = self.event.parse().map_err(|words: String| TestEventError::member("event", words))?;
        let site = Arc::new(Site {
            pop: self.pop.clone(),
            behavior: self.behavior.clone(),
            domain: self.domain.clone(),
            distribution: self.distribution.clone(),
            origins: self.origins.clone(),
            mode: if self.strict { Mode::Strict } else { Mode::Extended },
            include_body: self.include_body,
        });
        let request = self.request.request()?;
        match (&self.response, event.is_request()) {
            (None, true) => Ok(Exchange::request(event, &site, &self.request_id, self.now_ms, request)),
            (Some(response), false) => {
                let status = StatusCode::from_u16(response.status);
                let response = Response {
                    status: status.map_err(|_| TestEventError::member("response.status", "is no status"))?,
                    headers: map(&response.headers, "response.headers")?,
                    body: None,
                };
                Ok(Exchange::response(event, &site, &self.request_id, self.now_ms, request, response))
            }
            _ => Err(TestEventError::member("response", "belongs to response events, and to all of them")),
        }
    }
}

// === impl Asked ===
impl Asked {
    fn request(&self) -> Result<Request, TestEventError> {
        if !valid::path(&self.uri) || !valid::query(&self.query) {
            return Err(TestEventError::member("request.uri", "is no path, or the query no query string"));
        }
        let version = match self.version.as_str() {
            "HTTP/1.0" => Version::HTTP_10,
            "HTTP/1.1" => Version::HTTP_11,
            "HTTP/2.0" => Version::HTTP_2,
            other => return Err(TestEventError::member("request.version", format!("{other} is no version"))),
        };
        let wrong = || TestEventError::member("request.principal", "is not what events have there");
        let who = self.principal.as_ref().map(|value| Who::read(value).ok_or_else(wrong));
        let method: Result<Method, _> = self.method.parse();
        let body = match &self.body {
            Some(raw) => Some(Body { data: raw.bytes()?, truncated: self.body_truncated }),
            None => None,
        };
        Ok(Request {
            method: method.map_err(|_| TestEventError::member("request.method", "is no method"))?,
            uri: self.uri.clone(),
            query: self.query.clone(),
            has_query: self.empty_query || !self.query.is_empty(),
            client_ip: self.client_ip,
            server_ip: self.server_ip,
            who: who.transpose()?.map(Arc::new),
            version,
            tls: self.tls,
            headers: map(&self.headers, "request.headers")?,
            body,
            origin: self.origin.as_ref().map(InForce::origin).transpose()?,
        })
    }
}

// === impl InForce ===
impl InForce {
    fn of(origin: &Origin) -> Self {
        let line = |(name, value): &(HeaderName, HeaderValue)| (name.to_string(), Raw::of(shown(value)));
        InForce {
            name: origin.name.clone(),
            host: origin.host.clone(),
            port: origin.port,
            tls: origin.tls,
            path: origin.path.clone(),
            read_timeout_ms: millis(origin.read_timeout),
            keepalive_timeout_ms: millis(origin.keepalive_timeout),
            headers: origin.headers.iter().map(line).collect(),
            signed: origin.signed,
        }
    }

    fn origin(&self) -> Result<Origin, TestEventError> {
        let headers = map(&self.headers, "request.origin.headers")?;
        Ok(Origin {
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            path: self.path.clone(),
            read_timeout: Duration::from_millis(self.read_timeout_ms),
            keepalive_timeout: Duration::from_millis(self.keepalive_timeout_ms),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            signed: self.signed,
        })
    }
}

pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn lines(headers: &HeaderMap) -> Vec<(String, Raw)> {
    headers.iter().map(|(name, value)| (name.to_string(), Raw::of(value.as_bytes()))).collect()
}

fn map(lines: &[(String, Raw)], place: &str) -> Result<HeaderMap, TestEventError> {
    let mut map = HeaderMap::new();
    for (name, raw) in lines {
        let wrong = || TestEventError::member(format!("{place}.{name}"), "is no valid header");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(&raw.bytes()?).map_err(|_| wrong())?;
        map.try_append(key, value).map_err(|_| wrong())?;
    }
    Ok(map)
}
