//! Answer: statuses and bodies that functions return, and answers made of them.
//!
//! In: parsed members. Out: a status, a body, an answer in the exchange; a failure that names the member. Never: a contract's
//! names for them; those are given.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::config::compiled::Mode;
use crate::hooks::exchange::{EditError, Exchange};
use crate::hooks::failure::Failure;
use crate::hooks::{fields, valid};

use super::error;
use super::fields::Wanted;
use super::parse::Node;

/// The usual alphabet; padding may be missing, as Java's and Node's decoders allow.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many bytes a body may have, as text and as base64.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub text: usize,
    pub base64: usize,
}

/// A status as a number or digits, 200 to 599, or the one the message has.
pub fn status(name: &str, node: &Node<'_>, now: Option<u16>) -> Result<u16, Failure> {
    let number = match node {
        Node::Number(number) if number.fract() == 0.0 && (0.0..=65535.0).contains(number) => Some(*number as u16),
        Node::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Node::Number(_) | Node::Text(_) => None,
        _ => return Err(error::wrong_kind(name, "a string or a number", node)),
    };
    match number {
        Some(status) if now == Some(status) || valid::status(status).is_ok() => Ok(status),
        _ => {
            let got = match node {
                Node::Text(text) => error::quote(text),
                Node::Number(number) => number.to_string(),
                _ => String::new(),
            };
            Err(error::invalid(format_args!("\"{name}\" must be a status from 200 to 599, not {got}")))
        }
    }
}

/// A response's body: a string whose encoding is a member beside it, or `{"encoding", "data"}`. `None` = the message's own.
pub fn body(exchange: &Exchange, node: &Node<'_>, encoding: &Node<'_>) -> Result<Option<Bytes>, Failure> {
    let limits = exchange.limits();
    let bound = Bound { text: limits.answer, base64: limits.answer.div_ceil(3) * 4 };
    match node {
        Node::Absent | Node::Null => Ok(None),
        Node::Text(text) => decode("body", text, encoding, "bodyEncoding", "text", bound).map(Some),
        Node::Object(members) => match node.get("data") {
            // Anything else was meant to be the body, and is none.
            Node::Absent | Node::Null if members.iter().all(|(name, _)| matches!(&**name, "data" | "encoding")) => {
                Ok(None)
            }
            Node::Text(text) => decode("body", text, node.get("encoding"), "body.encoding", "text", bound).map(Some),
            other => Err(error::wrong_kind("body.data", "a string", other)),
        },
        other => Err(error::wrong_kind("body", "a string or an object", other)),
    }
}

/// A body's bytes. `otherwise` is the encoding when none is named.
pub fn decode(
    name: &str,
    text: &str,
    encoding: &Node<'_>,
    encoding_name: &str,
    otherwise: &str,
    bound: Bound,
) -> Result<Bytes, Failure> {
    let encoding = match encoding {
        Node::Absent | Node::Null => otherwise,
        Node::Text(encoding) => encoding,
        other => return Err(error::wrong_kind(encoding_name, "\"text\" or \"base64\"", other)),
    };
    let (max, data) = match encoding {
        "text" => (bound.text, (text.len() <= bound.text).then(|| Bytes::copy_from_slice(text.as_bytes()))),
        "base64" if text.len() > bound.base64 => (bound.base64, None),
        "base64" => {
            let data = BASE64.decode(text);
            let data = data.map_err(|_| error::invalid(format_args!("\"{name}\" is not valid base64")))?;
            (bound.base64, Some(Bytes::from(data)))
        }
        other => {
            let other = error::quote(other);
            return Err(error::invalid(format_args!(
                "\"{encoding_name}\" must be \"text\" or \"base64\", not {other}"
            )));
        }
    };
    data.ok_or_else(|| error::invalid(format_args!("\"{name}\" exceeds the maximum size of {max} bytes as {encoding}")))
}

/// Answers with this.
pub fn respond(
    exchange: &mut Exchange,
    status: u16,
    lines: &[(Cow<'_, str>, Wanted<'_>)],
    body: Option<Bytes>,
) -> Result<(), Failure> {
    let (event, mode) = (exchange.event, exchange.site.mode);
    let body = body.unwrap_or_default();
    for (name, values) in lines {
        check(mode, event, name, values).map_err(|why| error::field(event, name, why))?;
    }
    if !body.is_empty() && valid::status(status).is_ok_and(valid::bodiless) {
        return Err(error::invalid(format_args!("\"body\" must be empty with status {status}")));
    }
    let flat = lines.iter().flat_map(|(name, values)| values.iter().map(move |value| (&**name, value.as_bytes())));
    exchange.respond(status, flat, body).map_err(|why| match why {
        EditError::TooLarge => {
            let max = exchange.limits().answer;
            error::invalid(format_args!(
                "the generated response exceeds the maximum size of {max} bytes with its headers"
            ))
        }
        why => error::property(event, "status", why),
    })
}

fn check(mode: Mode, event: crate::hooks::Event, name: &str, values: &[Cow<'_, str>]) -> Result<(), EditError> {
    let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
    fields::answerable(mode, event, name.as_str())?;
    let valid = values.iter().all(|value| http::HeaderValue::from_bytes(value.as_bytes()).is_ok());
    if valid { Ok(()) } else { Err(EditError::Invalid) }
}

/// Changes status and body of the message's response: a status without a body needs the body gone first, any other the other
/// way round.
pub fn update(exchange: &mut Exchange, name: &str, status: u16, body: Option<Bytes>) -> Result<(), Failure> {
    let event = exchange.event;
    let now = exchange.response.as_ref().map(|response| response.status.as_u16());
    let bodiless = valid::status(status).is_ok_and(valid::bodiless);
    let max = exchange.limits().answer;
    let mut body = body;
    if bodiless && body.as_ref().is_some_and(|body| !body.is_empty()) {
        return Err(error::invalid(format_args!("\"body\" must be empty with status {status}")));
    }
    if bodiless && let Some(body) = body.take() {
        exchange.set_body(body).map_err(|why| error::property(event, "body", why))?;
    }
    if now != Some(status) {
        exchange.set_status(status).map_err(|why| error::property(event, name, why))?;
    }
    let Some(body) = body else { return Ok(()) };
    // AWS counts a replaced response as a generated one: with its header section.
    let section: usize = match exchange.site.mode {
        Mode::Strict => Exchange::visible(super::fields::of(exchange))
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum(),
        Mode::Extended => 0,
    };
    if section + body.len() > max {
        return Err(error::invalid(format_args!("\"body\" exceeds the maximum size of {max} bytes with the headers")));
    }
    exchange.set_body(body).map_err(|why| error::property(event, "body", why))
}
