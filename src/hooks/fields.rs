//! Fields: which header fields a function sees, and which it may change at which event.
//!
//! Source: CloudFront Developer Guide, "Restrictions on edge functions", sections "Disallowed headers" and "Read-only headers".

use super::event::Event;
use super::exchange::EditError;

/// Never shown to a function and never set by one.
const DISALLOWED: [&str; 24] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "upgrade",
    "x-accel-buffering",
    "x-accel-charset",
    "x-accel-limit-rate",
    "x-accel-redirect",
    "x-amzn-auth",
    "x-amzn-cf-billing",
    "x-amzn-cf-id",
    "x-amzn-cf-xff",
    "x-amzn-errortype",
    "x-amzn-fle-profile",
    "x-amzn-header-count",
    "x-amzn-header-order",
    "x-amzn-lambda-integration-tag",
    "x-amzn-requestid",
    "x-cache",
    "x-forwarded-proto",
];

/// The same, and shorter to look for.
const DISALLOWED_TOO: &str = "x-real-ip";

/// The same, by their beginning.
const DISALLOWED_PREFIXES: [&str; 2] = ["x-amz-cf-", "x-edge-"];

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

/// Whether functions never see a field of that name (lower case).
pub fn hidden(name: &str) -> bool {
    DISALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name == DISALLOWED_TOO
        || DISALLOWED.binary_search(&name).is_ok()
}

/// Whether a field of that name (lower case) may be read and not changed at `event`. Framing fields are always the edge's own.
pub fn read_only(event: Event, name: &str) -> bool {
    read_only_names(event).contains(&name)
        || matches!(name, "content-length" | "transfer-encoding") && !event.is_request()
}

/// Whether a function may add, change or remove a field of that name (lower case) at `event`.
pub fn editable(event: Event, name: &str) -> Result<(), EditError> {
    if hidden(name) {
        return Err(EditError::Forbidden);
    }
    if read_only(event, name) {
        return Err(EditError::ReadOnly);
    }
    Ok(())
}

/// Whether a generated answer may carry a field of that name (lower case). Framing is the edge's.
pub fn answerable(name: &str) -> bool {
    !hidden(name)
}

/// Whether a custom origin's headers may carry that name (lower case).
pub fn for_origin(name: &str) -> bool {
    !NOT_FOR_ORIGINS.contains(&name)
        && !matches!(name, "via" | "x-real-ip")
        && !name.starts_with("x-amz-")
        && !name.starts_with("x-edge-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(DISALLOWED.is_sorted());
    }
}
