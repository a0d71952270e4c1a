//! Result: what a Lambda@Edge handler returned, as edits.
//!
//! In: the JSON text. Out: edits of the exchange, or a failure that names the member. Never: a repair.

use std::borrow::Cow;

use crate::config::compiled::Mode;
use crate::hooks::Event;
use crate::hooks::exchange::{EditError, Exchange};
use crate::hooks::failure::Failure;

use super::super::answer::{self, Bound};
use super::super::error::{invalid, no_object, property, quote, wrong_kind};
use super::super::fields::{self, Section, Wanted};
use super::super::parse::{Flaw, Lines, Map, Node, Read, Reader};
use super::super::{Warnings, write};
use super::origin;

/// A request or a response: the members of both.
#[derive(Debug, Default)]
struct Returned<'a> {
    status: Node<'a>,
    status_description: Node<'a>,
    headers: Map<'a, Lines<'a>>,
    body: Node<'a>,
    body_encoding: Node<'a>,
    client_ip: Node<'a>,
    method: Node<'a>,
    uri: Node<'a>,
    querystring: Node<'a>,
    origin: Node<'a>,
}

impl<'a> Read<'a> for Returned<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut returned = Returned::default();
        reader.object(|reader, name| {
            let member = match &*name {
                "headers" => {
                    returned.headers = Map::read(reader)?;
                    return Ok(());
                }
                "status" => &mut returned.status,
                "statusDescription" => &mut returned.status_description,
                "body" => &mut returned.body,
                "bodyEncoding" => &mut returned.body_encoding,
                "clientIp" => &mut returned.client_ip,
                "method" => &mut returned.method,
                "uri" => &mut returned.uri,
                "querystring" => &mut returned.querystring,
                "origin" => &mut returned.origin,
                _ => return reader.skip(),
            };
            *member = Node::read(reader)?;
            Ok(())
        })?;
        Ok(returned)
    }
}

pub fn accept(exchange: &mut Exchange, result: &str, warnings: &mut Warnings) -> Result<(), Failure> {
    let returned: Returned<'_> = object(result)?;
    let strict = exchange.site.mode == Mode::Strict;
    match (exchange.event.is_request(), returned.status.given()) {
        (true, false) => request(exchange, &returned, strict, warnings),
        (true, true) => {
            let status = answer::status("status", &returned.status, None)?;
            description(&returned.status_description)?;
            let lines = lines(&returned.headers, strict, warnings)?.unwrap_or_default();
            let body = answer::body(exchange, &returned.body, &returned.body_encoding)?;
            answer::respond(exchange, status, &lines, body)
        }
        (false, true) => response(exchange, &returned, strict, warnings),
        (false, false) if returned.uri.given() || returned.method.given() => {
            Err(invalid(format_args!("a request was returned in the {} event", exchange.event)))
        }
        (false, false) => Err(wrong_kind("status", "a string", &Node::Absent)),
    }
}

/// The text as one JSON object.
pub fn object<'a, T: Read<'a>>(result: &'a str) -> Result<T, Failure> {
    let mut reader = Reader::new(result);
    if reader.peek() != b'{' {
        return Err(no_object("the JSON output must be an object type"));
    }
    let read = T::read(&mut reader).and_then(|read| reader.end().map(|()| read));
    read.map_err(|flaw| match flaw.is_bound() {
        true => invalid(flaw),
        false => no_object(&format!("the JSON output is not parsable: {flaw}")),
    })
}

fn request(
    exchange: &mut Exchange,
    returned: &Returned<'_>,
    strict: bool,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    required(returned, strict)?;
    unchanged(exchange, returned)?;
    target(exchange, &returned.uri, &returned.querystring)?;
    if let Some(lines) = lines(&returned.headers, strict, warnings)? {
        country(exchange, &lines, strict)?;
        fields::apply(exchange, &lines, |_| true)?;
    }
    body(exchange, &returned.body)?;
    match (&returned.origin, exchange.event) {
        (Node::Absent | Node::Null, _) => Ok(()),
        (_, Event::ViewerRequest) if strict => {
            warnings.push("\"origin\" is ignored in the viewer-request event".to_owned());
            Ok(())
        }
        (origin, _) => origin::accept(exchange, origin, warnings),
    }
}

fn required(returned: &Returned<'_>, strict: bool) -> Result<(), Failure> {
    let headers = !matches!(returned.headers, Map::Absent);
    if !returned.uri.given() && !returned.method.given() && !headers {
        return Err(invalid("it is neither a request (no \"uri\") nor a response (no \"status\")"));
    }
    for (name, there) in [("uri", returned.uri.given()), ("method", returned.method.given()), ("headers", headers)] {
        if strict && !there {
            return Err(wrong_kind(name, "", &Node::Absent));
        }
    }
    Ok(())
}

/// What a function may pass through and not change.
fn unchanged(exchange: &Exchange, returned: &Returned<'_>) -> Result<(), Failure> {
    let ip = exchange.request.client_ip.to_string();
    for (name, node, now) in
        [("method", &returned.method, exchange.request.method.as_str()), ("clientIp", &returned.client_ip, &ip)]
    {
        match node {
            Node::Absent | Node::Null => {}
            Node::Text(text) if text == now => {}
            Node::Text(_) => return Err(property(exchange.event, name, EditError::ReadOnly)),
            other => return Err(wrong_kind(name, "a string", other)),
        }
    }
    Ok(())
}

fn target(exchange: &mut Exchange, uri: &Node<'_>, query: &Node<'_>) -> Result<(), Failure> {
    let uri = match uri {
        Node::Absent | Node::Null => None,
        Node::Text(uri) => Some(&**uri).filter(|uri| *uri != exchange.request.uri),
        other => return Err(wrong_kind("uri", "a string", other)),
    };
    let query = match query {
        Node::Absent => None,
        Node::Null => Some(""),
        Node::Text(query) => Some(&**query),
        other => return Err(wrong_kind("querystring", "a string", other)),
    };
    retarget(exchange, uri, query)
}

/// Sets what differs of path and query.
pub fn retarget(exchange: &mut Exchange, uri: Option<&str>, query: Option<&str>) -> Result<(), Failure> {
    let uri = uri.filter(|uri| *uri != exchange.request.uri);
    let query = query.filter(|query| *query != exchange.request.query);
    if uri.is_none() && query.is_none() {
        return Ok(());
    }
    exchange.set_target(uri, query).map_err(|why| {
        let max = exchange.limits().uri;
        match (why, uri, query) {
            (EditError::TooLarge, ..) => invalid(format_args!("\"uri\" and \"querystring\" exceed {max} bytes")),
            (EditError::Invalid, Some(uri), _) if !crate::hooks::valid::path(uri) => invalid(format_args!(
                "\"uri\" must begin with \"/\" and hold no space, control character, \"?\" or \"#\", not {}",
                quote(uri)
            )),
            (EditError::Invalid, _, Some(query)) => invalid(format_args!(
                "\"querystring\" must not hold a space, control character or \"#\", not {}",
                quote(query)
            )),
            (why, ..) => property(exchange.event, "uri", why),
        }
    })
}

/// The lines wanted for each name; `None` when the section was not returned.
fn lines<'a>(
    map: &'a Map<'_, Lines<'_>>,
    strict: bool,
    warnings: &mut Warnings,
) -> Result<Option<Section<'a>>, Failure> {
    let members = match map {
        Map::Absent => return Ok(None),
        Map::Members(members) => members,
        Map::Null | Map::Text(_) | Map::Wrong => return Err(invalid("\"headers\" must be an object")),
    };
    fields::bounded(members.len())?;
    let mut out: Section<'a> = Vec::with_capacity(members.len());
    let mut mixed = false;
    for (name, lines) in members {
        let Some(list) = lines.list() else {
            return Err(invalid(format_args!("the header {} must be an array of {{\"key\", \"value\"}}", quote(name))));
        };
        let mut wanted = Wanted::new();
        for line in list {
            key(name, &line.key, strict, warnings)?;
            values(name, &line.value, strict, &mut wanted)?;
        }
        let name = fields::lower(name);
        // Names have no case: what was given under another spelling is more of the same field.
        mixed |= matches!(name, Cow::Owned(_));
        match out.iter_mut().find(|(earlier, _)| mixed && *earlier == name) {
            Some((_, earlier)) => earlier.extend(wanted),
            None => out.push((name, wanted)),
        }
    }
    Ok(Some(out))
}

/// The name inside a line decides nothing: the map's does.
fn key(name: &str, key: &Node<'_>, strict: bool, warnings: &mut Warnings) -> Result<(), Failure> {
    match key {
        Node::Absent | Node::Null => {}
        Node::Text(key) if key.eq_ignore_ascii_case(name) => {}
        Node::Text(key) => {
            warnings.push(format!(
                "the header {} carries the key {}: {} is used",
                quote(name),
                quote(key),
                quote(name)
            ));
        }
        other if strict => {
            return Err(invalid(format_args!(
                "the header {}: \"key\" must be a string, not {}",
                quote(name),
                other.kind()
            )));
        }
        _ => {}
    }
    Ok(())
}

/// A value is a string; AWS also takes an array of them, one line each.
fn values<'a>(name: &str, value: &'a Node<'_>, strict: bool, out: &mut Wanted<'a>) -> Result<(), Failure> {
    match value {
        Node::List(list) => {
            for value in list {
                out.push(scalar(name, value, strict)?);
            }
        }
        value => out.push(scalar(name, value, strict)?),
    }
    Ok(())
}

/// A string; in extended mode numbers and booleans are taken for their text.
pub fn scalar<'a>(name: &str, value: &'a Node<'_>, strict: bool) -> Result<Cow<'a, str>, Failure> {
    match value {
        Node::Text(text) => Ok(Cow::Borrowed(text)),
        Node::Number(number) if !strict => Ok(Cow::Owned(number.to_string())),
        Node::Bool(flag) if !strict => Ok(Cow::Borrowed(if *flag { "true" } else { "false" })),
        other => Err(invalid(format_args!("the value of {} must be a string, not {}", quote(name), other.kind()))),
    }
}

/// CloudFront Developer Guide, "Restrictions on Lambda@Edge", CloudFront headers.
fn country(exchange: &Exchange, lines: &[(Cow<'_, str>, Wanted<'_>)], strict: bool) -> Result<(), Failure> {
    const COUNTRY: &str = "cloudfront-viewer-country";
    if !strict || exchange.event != Event::ViewerRequest {
        return Ok(());
    }
    let Some((_, wanted)) = lines.iter().find(|(name, _)| name == COUNTRY) else { return Ok(()) };
    let now: Vec<_> = exchange.request.headers.get_all(COUNTRY).iter().collect();
    if now.len() == wanted.len() && now.iter().zip(wanted).all(|(now, line)| write::same(now.as_bytes(), line)) {
        return Ok(());
    }
    Err(invalid(format_args!("the header \"{COUNTRY}\" may not be set in the {} event", exchange.event)))
}

/// The request's body: replaced only where `action` says so.
fn body(exchange: &mut Exchange, body: &Node<'_>) -> Result<(), Failure> {
    match body {
        Node::Absent | Node::Null => return Ok(()),
        Node::Object(_) => {}
        other => return Err(wrong_kind("body", "an object", other)),
    }
    match (body.get("inputTruncated"), &exchange.request.body) {
        (Node::Absent | Node::Null, _) | (Node::Bool(_), None) => {}
        (Node::Bool(flag), Some(body)) if *flag == body.truncated => {}
        (Node::Bool(_), _) => return Err(property(exchange.event, "body.inputTruncated", EditError::ReadOnly)),
        (other, _) => return Err(wrong_kind("body.inputTruncated", "a boolean", other)),
    }
    match body.get("action") {
        Node::Absent | Node::Null => return Ok(()),
        Node::Text(action) if action == "read-only" => return Ok(()),
        Node::Text(action) if action == "replace" => {}
        Node::Text(other) => {
            let other = quote(other);
            return Err(invalid(format_args!("\"body.action\" must be \"read-only\" or \"replace\", not {other}")));
        }
        other => return Err(wrong_kind("body.action", "a string", other)),
    }
    let Node::Text(text) = body.get("data") else {
        return Err(wrong_kind("body.data", "a string", body.get("data")));
    };
    let limits = exchange.limits();
    let bound = Bound { text: limits.body_text, base64: limits.body_base64 };
    let data = answer::decode("body.data", text, body.get("encoding"), "body.encoding", "base64", bound)?;
    if exchange.request.body.as_ref().is_some_and(|body| !body.truncated && body.data == data) {
        return Ok(());
    }
    let event = exchange.event;
    exchange.set_body(data).map_err(|why| match why {
        EditError::WrongEvent => invalid("\"body\" cannot be replaced: the association does not include the body"),
        why => property(event, "body.data", why),
    })
}

fn response(
    exchange: &mut Exchange,
    returned: &Returned<'_>,
    strict: bool,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let now = exchange.response.as_ref().map(|response| response.status.as_u16());
    let status = answer::status("status", &returned.status, now)?;
    description(&returned.status_description)?;
    let fixed = strict && exchange.event == Event::ViewerResponse;
    if fixed && now != Some(status) {
        return Err(property(exchange.event, "status", EditError::ReadOnly));
    }
    let body = answer::body(exchange, &returned.body, &returned.body_encoding)?;
    if fixed && body.is_some() {
        return Err(property(exchange.event, "body", EditError::ReadOnly));
    }
    if let Some(lines) = lines(&returned.headers, strict, warnings)? {
        fields::apply(exchange, &lines, |_| true)?;
    }
    answer::update(exchange, "status", status, body)
}

/// Nobody reads it any more: HTTP/2 has none. It is still a string.
fn description(node: &Node<'_>) -> Result<(), Failure> {
    match node {
        Node::Absent | Node::Null | Node::Text(_) => Ok(()),
        other => Err(wrong_kind("statusDescription", "a string", other)),
    }
}
