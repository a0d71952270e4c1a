//! Given: the event that a function is tested with.
//!
//! In: options, or a file with an event in AWS's form. Out: the exchange that a PoP would give it. Never: the function.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use super::time::Moment;
use super::{FnError, event_name, options, unread};
use crate::config::compiled::Mode;
use crate::hooks::exchange;
use crate::hooks::testevent::{self, Recording};
use crate::hooks::valid;
use crate::hooks::{Body, Event, Exchange, Request, Response, Site};

/// In place of a host that the request does not name.
const DOMAIN: &str = "d111111abcdef8.cloudfront.net";
const DISTRIBUTION: &str = "EDFDVBD6EXAMPLE";
/// An address of the documentation range (RFC 5737).
const CLIENT: &str = "203.0.113.178";
/// The origin in force at origin events, unless the event says otherwise.
const ORIGIN: &str = "origin";
/// What is read of a body from a file.
const BODY_MAX: usize = 64 << 20;

#[derive(Debug, Args)]
#[command(next_help_heading = "The event")]
pub struct Given {
    /// Run it on this event: Lambda@Edge's or CloudFront Functions' JSON, or a recorded call with its clock and mode; - is
    /// standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "header", "body", "status", "client_ip"])]
    pub event: Option<PathBuf>,
    /// Run it on this request: 'GET /path?query', or a path or URL alone
    #[arg(long, value_name = "LINE", value_parser = Line::from_str, default_value = "GET /")]
    pub request: Line,
    /// A field of the request
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = field)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// The body of the request; @FILE reads a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub body: Option<String>,
    /// Where it runs [default: what --event says, else the first it handles]
    #[arg(long, value_name = "EVENT", value_parser = event_name())]
    pub at: Option<Event>,
    /// Status of the response, at response events [default: 200]
    #[arg(long, value_name = "CODE", value_parser = status)]
    pub status: Option<StatusCode>,
    /// A field of the response, at response events
    #[arg(long, value_name = "NAME: VALUE", value_parser = field, conflicts_with = "event")]
    pub response_header: Vec<(HeaderName, HeaderValue)>,
    /// Address of the viewer
    #[arg(long, value_name = "ADDRESS", default_value = CLIENT)]
    pub client_ip: IpAddr,
    /// An origin or group that the function may choose
    #[arg(long, value_name = "NAME")]
    pub origin: Vec<String>,
}

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub method: Method,
    pub path: String,
    pub query: String,
    /// There is a `?`.
    pub has_query: bool,
    /// Of a whole URL.
    pub host: Option<String>,
    pub tls: bool,
}

// === impl Line ===
impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (method, target) = match words.as_slice() {
            [target] => ("GET", *target),
            [method, target] => (*method, *target),
            [method, target, version] if version.starts_with("HTTP/") => (*method, *target),
            _ => return Err("a request is like 'GET /path?query'".to_owned()),
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("'{method}' is no method"))?;
        let (origin, rest) = match target.split_once("://") {
            Some((_, rest)) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", target),
        };
        if !origin.is_empty() && origin.parse::<Uri>().is_err() {
            return Err(format!("'{origin}' is no host"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() && !origin.is_empty() { "/" } else { path };
        if !valid::path(path) || !valid::query(query) {
            let why = match rest.contains('#') {
                true => "a path has no '#', write it as %23",
                false => "it begins with '/' and has no spaces, write them as %20",
            };
            return Err(format!("'{target}' is no path: {why}"));
        }
        Ok(Line {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            has_query: rest.contains('?'),
            host: (!origin.is_empty()).then(|| origin.to_owned()),
            tls: !target.starts_with("http:"),
        })
    }
}

// === impl Given ===
impl Given {
    /// What the file of the event has. Read once, as standard input is.
    pub fn text(&self) -> Result<Option<String>, FnError> {
        self.event.as_deref().map(read).transpose()
    }

    /// The recorded call that `text` is, if it is one. It has its own clock and mode.
    ///
    /// # Errors
    /// It is not valid, or the options say where it runs too.
    pub fn recorded(&self, text: Option<&str>) -> Result<Option<Exchange>, FnError> {
        let (Some(path), Some(text)) = (&self.event, text) else { return Ok(None) };
        let Ok(recording) = Recording::read(text) else { return Ok(None) };
        if self.at.is_some() {
            return Err(FnError::Usage("a recorded call runs where it ran: leave out --at".to_owned()));
        }
        let exchange = recording.exchange.exchange();
        exchange.map(Some).map_err(|error| FnError::File { path: path.clone(), reason: error.to_string() })
    }

    /// The exchange: where the options or the file's `text` say, else at one of the events that are `handled`.
    pub fn exchange(
        &self,
        text: Option<&str>,
        handled: &[Event],
        mode: Mode,
        now: Moment,
    ) -> Result<Exchange, FnError> {
        if let (Some(path), Some(text)) = (&self.event, text) {
            return self.file(path, text, handled, mode, now);
        }
        let event = self.at.or(handled.first().copied()).unwrap_or(Event::ViewerRequest);
        let site = Arc::new(self.site(self.host(), mode));
        let request = self.request(event)?;
        let id = request_id();
        if event.is_request() {
            if self.status.is_some() || !self.response_header.is_empty() {
                let later: Vec<Event> = handled.iter().copied().filter(|event| !event.is_request()).collect();
                let or = if later.is_empty() { String::new() } else { format!(", or say --at {}", options(&later)) };
                let what = format!("{event} has no response: leave out --status and --response-header{or}");
                return Err(FnError::Usage(what));
            }
            return Ok(Exchange::request(event, &site, &id, now.0, request));
        }
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in &self.response_header {
            headers.append(name.clone(), value.clone());
        }
        if headers.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        }
        let response = Response { status: self.status.unwrap_or(StatusCode::OK), headers, body: None };
        Ok(Exchange::response(event, &site, &id, now.0, request, response))
    }

    /// An event in AWS's form.
    fn file(&self, path: &Path, text: &str, handled: &[Event], mode: Mode, now: Moment) -> Result<Exchange, FnError> {
        let wrong = |reason: String| FnError::File { path: path.to_owned(), reason };
        let site = self.site(DOMAIN, mode);
        let given = testevent::Given { site, event: self.at, among: handled.to_vec(), now_ms: now.0 };
        testevent::read(text, given).map(|(exchange, _)| exchange).map_err(|error| wrong(unread(&error)))
    }

    fn request(&self, event: Event) -> Result<Request, FnError> {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(self.host());
        headers.insert(HOST, host.map_err(|_| FnError::Usage("the host is no field value".to_owned()))?);
        for (at, (name, value)) in self.header.iter().enumerate() {
            match self.header[..at].iter().any(|(earlier, _)| earlier == name) {
                true => headers.append(name.clone(), value.clone()),
                false => headers.insert(name.clone(), value.clone()).is_some(),
            };
        }
        let data = self.body.as_deref().map(body).transpose()?;
        Ok(Request {
            method: self.request.method.clone(),
            uri: self.request.path.clone(),
            query: self.request.query.clone(),
            has_query: self.request.has_query,
            client_ip: self.client_ip,
            server_ip: None,
            who: None,
            version: Version::HTTP_11,
            tls: self.request.tls,
            headers,
            body: data.filter(|_| event.is_request()).map(|data| Body { data, truncated: false }),
            origin: (!event.is_viewer()).then(|| self.origin()),
        })
    }

    fn host(&self) -> &str {
        let named = self.header.iter().find(|(name, _)| *name == HOST).and_then(|(_, value)| value.to_str().ok());
        named.or(self.request.host.as_deref()).unwrap_or(DOMAIN)
    }

    fn origin(&self) -> exchange::Origin {
        exchange::Origin {
            name: self.origin.first().map_or(ORIGIN, String::as_str).to_owned(),
            host: "example.org".to_owned(),
            port: 443,
            tls: true,
            path: String::new(),
            read_timeout: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(5),
            headers: Vec::new(),
            signed: false,
        }
    }

    /// What a PoP would say of itself. Every request body is shown: whether an association includes it is the configuration's.
    fn site(&self, host: &str, mode: Mode) -> Site {
        let mut origins = self.origin.clone();
        if !origins.iter().any(|name| name == ORIGIN) {
            origins.push(ORIGIN.to_owned());
        }
        Site {
            pop: "DEV".to_owned(),
            behavior: "*".to_owned(),
            domain: host.to_owned(),
            distribution: DISTRIBUTION.to_owned(),
            origins,
            mode,
            include_body: true,
        }
    }
}

/// Always the same: a test that prints it stays the same.
fn request_id() -> String {
    "4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_1oF26ClkoUSEQ==".to_owned()
}

fn read(path: &Path) -> Result<String, FnError> {
    let text = match path.as_os_str() == "-" {
        true => io::read_to_string(io::stdin()),
        false => std::fs::read_to_string(path),
    };
    text.map_err(|source| FnError::Read { path: path.to_owned(), source })
}

fn body(text: &str) -> Result<Bytes, FnError> {
    let Some(path) = text.strip_prefix('@') else { return Ok(Bytes::from(text.to_owned())) };
    let path = Path::new(path);
    let data = std::fs::read(path).map_err(|source| FnError::Read { path: path.to_owned(), source })?;
    if data.len() > BODY_MAX {
        return Err(FnError::File { path: path.to_owned(), reason: format!("more than {BODY_MAX} bytes") });
    }
    Ok(data.into())
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a field is like 'name: value'")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("'{name}' is no field name"))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("'{value}' is no field value"))?;
    Ok((name, value))
}

fn status(text: &str) -> Result<StatusCode, String> {
    text.parse().map_err(|_| "a status is 100 to 999".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        for (text, want) in [
            ("GET /a?x=1", Some("GET None /a ?x=1 tls")),
            ("/a", Some("GET None /a  tls")),
            ("/a?", Some("GET None /a ? tls")),
            ("POST /a HTTP/1.1", Some("POST None /a  tls")),
            ("GET https://shop.example/a?b", Some("GET Some(\"shop.example\") /a ?b tls")),
            ("http://shop.example:8080", Some("GET Some(\"shop.example:8080\") /  plain")),
            ("https://shop.example?x", Some("GET Some(\"shop.example\") / ?x tls")),
            ("GET /a b c", None),
            ("GET a", None),
            ("G@T /", None),
            ("/a#b", None),
            ("", None),
        ] {
            let got = Line::from_str(text).ok().map(|line| {
                let tls = if line.tls { "tls" } else { "plain" };
                let mark = if line.has_query { "?" } else { "" };
                format!("{} {:?} {} {mark}{} {tls}", line.method, line.host, line.path, line.query)
            });
            assert_eq!(got.as_deref(), want, "{text}");
        }
        for (text, why) in
            [("FOO /x#c", "a path has no '#'"), ("/x?a#c", "a path has no '#'"), ("x", "begins with '/'")]
        {
            let error = Line::from_str(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn fields() {
        let (name, value) = field("X-A:  b: c ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-a", "b: c"));
        for text in ["no colon", "bad name: x", ": x", "x: \n"] {
            assert!(field(text).is_err() || text == "x: \n", "{text}");
        }
    }
}
