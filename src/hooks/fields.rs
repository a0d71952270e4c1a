//! Fields: which header fields a function sees, and which it may change at which event.
//!
//! Source: CloudFront Developer Guide, "Restrictions on edge functions", sections "Disallowed headers" and "Read-only headers".

use crate::config::compiled::Mode;

use super::event::Event;
use super::exchange::EditError;

/// Never shown to a function and never set by one: without their `x-`, which most share.
const DISALLOWED_X: [&str; 17] = [
    "accel-buffering",
    "accel-charset",
    "accel-limit-rate",
    "accel-redirect",
    "amzn-auth",
    "amzn-cf-billing",
    "amzn-cf-id",
    "amzn-cf-xff",
    "amzn-errortype",
    "amzn-fle-profile",
    "amzn-header-count",
    "amzn-header-order",
    "amzn-lambda-integration-tag",
    "amzn-requestid",
    "cache",
    "forwarded-proto",
    "real-ip",
];

/// The same, by their beginning.
const DISALLOWED_PREFIXES: [&str; 2] = ["amz-cf-", "edge-"];

/// What may be read and not changed.
fn read_only_names(event: Event) -> &'static [&'static str] {
    match event {
        Event::ViewerRequest => &["content-length", "host", "transfer-encoding", "via"],
        Event::OriginRequest => &[
            "accept-encoding",
            "content-length",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "transfer-encoding",
            "via",
        ],
        Event::OriginResponse => &["transfer-encoding", "via"],
        Event::ViewerResponse => &["warning", "via"],
    }
}

/// Names that a custom origin's own headers may not have (CloudFront Developer Guide, "Custom headers that CloudFront can't add to
/// origin requests").
const NOT_FOR_ORIGINS: [&str; 20] = [
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "request-range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What becomes of a field that a function sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is sent.
    Write,
    /// It is accepted, and what the edge computes is sent: framing, where AWS lets a function write it.
    Edge,
}

/// Whether functions never see a field of that name (lower case).
pub fn hidden(name: &str) -> bool {
    match name.strip_prefix("x-") {
        // Most names that begin with x- are none of them: their first letter says so.
        Some(rest) if !rest.starts_with(['a', 'c', 'e', 'f', 'r']) => false,
        Some(rest) => DISALLOWED_X.contains(&rest) || DISALLOWED_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)),
        None => matches!(
            name,
            "connection"
                | "expect"
                | "keep-alive"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "trailer"
                | "upgrade"
        ),
    }
}

/// Whether a field of that name (lower case) may be read and not changed at `event`.
pub fn read_only(event: Event, name: &str) -> bool {
    read_only_names(event).contains(&name)
}

/// Whether a function may add, change or remove a field of that name (lower case) at `event`.
pub fn editable(event: Event, name: &str) -> Result<Access, EditError> {
    if hidden(name) {
        return Err(EditError::Forbidden);
    }
    if read_only(event, name) {
        return Err(EditError::ReadOnly);
    }
    Ok(if framing(name) { Access::Edge } else { Access::Write })
}

/// Whether an answer that a function generates at `event` may carry a field of that name (lower case). AWS refuses the event's
/// read-only names in answers too, Transfer-Encoding aside, which it takes out.
pub fn answerable(mode: Mode, event: Event, name: &str) -> Result<Access, EditError> {
    if hidden(name) {
        return Err(EditError::Forbidden);
    }
    let refused = match mode {
        Mode::Strict => read_only(event, name) && name != "transfer-encoding",
        Mode::Extended => name == "via",
    };
    if refused {
        return Err(EditError::ReadOnly);
    }
    Ok(if framing(name) { Access::Edge } else { Access::Write })
}

fn framing(name: &str) -> bool {
    matches!(name, "content-length" | "transfer-encoding")
}

/// Whether a custom origin's headers may carry that name (lower case).
pub fn for_origin(name: &str) -> bool {
    !hidden(name)
        && !NOT_FOR_ORIGINS.contains(&name)
        && !matches!(name, "via" | "x-real-ip")
        && !name.starts_with("x-amz-")
        && !name.starts_with("x-edge-")
}
