//! Compat: an exchange in AWS's words, and a function's answer to it as edits.
//!
//! In: an exchange; the JSON that a function returned. Out: the event's JSON; edits of the exchange, or a failure that names what
//! was wrong. Never: a call; the engine carries the text. functions/wit/aws.md is the contract.
//!
//! `Mode::Strict` validates as AWS does. `Mode::Extended` lifts what is arbitrary:
//! * sizes of bodies, answers, paths and origins' fields (`Limits`);
//! * Lambda@Edge: the status and the body may change at viewer-response; an origin may be chosen at viewer-request;
//!   `CloudFront-Viewer-Country` may be set at viewer-request; an answer may carry the event's read-only fields, `Via` aside;
//! * CloudFront Functions: a field's name may have capitals; `set-cookie` and `cookie` may be given as fields; `statusCode` may be
//!   a string;
//! * both: a read-only field that is missing from a returned section stays, where AWS refuses that; numbers and booleans count as strings in fields, cookies and query parameters; `method`, `uri` or `headers` may be
//!   missing from a returned request and are then unchanged.
//!
//! An absent member is unchanged; `null` for a query string or cookies is none of them.
//!
//! An exchange whose result was refused holds some of its edits: it is not used any further.

mod answer;
mod cloudfront;
mod error;
mod fields;
mod lambda;
mod parse;
mod places;
mod write;

use super::exchange::Exchange;
use super::failure::{Api, Failure};

pub use error::{Thrown, guest_error};

/// What a function should know of a result that was accepted all the same.
pub type Warnings = Vec<String>;

/// The event as the function gets it. `Api::Native` functions get none: theirs is written as Lambda@Edge's.
pub fn event_json(exchange: &Exchange, api: Api) -> String {
    match api {
        Api::CloudFront => cloudfront::event(exchange),
        Api::LambdaEdge | Api::Native => lambda::event(exchange),
    }
}

/// The second argument of `lambda-edge.handle`.
pub fn context_json(exchange: &Exchange, function: &str, version: &str, remaining_ms: u32) -> String {
    let mut out = String::with_capacity(160);
    out.push('{');
    write::member(&mut out, "functionName", function);
    write::member(&mut out, "functionVersion", version);
    write::member(&mut out, "awsRequestId", &exchange.request_id);
    write::key(&mut out, "remainingMs");
    write::number(&mut out, u64::from(remaining_ms));
    // For `request.rawQueryString()` and `cf.edgeLocation`.
    write::key(&mut out, "rawQueryString");
    match (exchange.request.query.as_str(), exchange.request.has_query) {
        ("", false) => out.push_str("null"),
        (query, _) => write::string(&mut out, query),
    }
    write::key(&mut out, "edgeLocation");
    out.push('{');
    write::member(&mut out, "name", &exchange.site.pop);
    if let Some(address) = exchange.request.server_ip {
        write::member(&mut out, "serverIp", &address.to_string());
    }
    out.push_str("}}");
    out
}

/// Turns what a function returned into edits of the exchange: only what differs from its event is one.
pub fn accept(exchange: &mut Exchange, api: Api, result: &str) -> Result<Warnings, Failure> {
    let bound = exchange.limits().result();
    if result.len() > bound {
        return Err(error::invalid(format_args!("the result is larger than {bound} bytes")));
    }
    let mut warnings = Warnings::new();
    match api {
        Api::CloudFront => cloudfront::accept(exchange, result, &mut warnings)?,
        Api::LambdaEdge | Api::Native => lambda::accept(exchange, result, &mut warnings)?,
    }
    Ok(warnings)
}

#[cfg(test)]
pub mod tests;
