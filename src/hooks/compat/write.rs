//! Write: the pieces of JSON that events are made of.
//!
//! In: strings and raw field values. Out: JSON text. Never: a tree; each piece is appended to the one buffer.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::compiled::Mode;
use crate::hooks::exchange::Exchange;

/// A raw value as a function sees it: UTF-8 stays, anything else is taken for ISO-8859-1 (CloudFront Developer Guide,
/// "URI and query string encoding").
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
    }
}

/// Whether `bytes` are what a function sees as `seen`.
pub fn same(bytes: &[u8], seen: &str) -> bool {
    bytes == seen.as_bytes() || !bytes.is_ascii() && text(bytes) == seen
}

/// A JSON string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, b) in text.bytes().enumerate() {
        if b >= b' ' && b != b'"' && b != b'\\' {
            continue;
        }
        out.push_str(&text[from..at]);
        from = at + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            _ => _ = write!(out, "\\u{b:04x}"),
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

/// `"principal":{…}`, behind a comma: who asks, where an access rule says so. AWS's events have no such member; `mode = "strict"` leaves
/// it out.
pub fn principal(out: &mut String, exchange: &Exchange) {
    if let Some(who) = exchange.request.who.as_ref().filter(|_| exchange.site.mode != Mode::Strict) {
        key(out, "principal");
        out.push_str(&who.json());
    }
}

/// `"name":"value"`, behind a comma unless it is the first of its object.
pub fn member(out: &mut String, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

/// `"name":`, behind a comma unless it is the first of its object. `name` needs no escapes.
pub fn key(out: &mut String, name: &str) {
    comma(out);
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// A comma, unless what comes is the first of its object or list.
pub fn comma(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

pub fn number(out: &mut String, number: u64) {
    _ = write!(out, "{number}");
}

/// A JSON string of base64.
pub fn base64(out: &mut String, data: &[u8]) {
    out.push('"');
    STANDARD.encode_string(data, out);
    out.push('"');
}

/// A field name as HTTP/1.1 senders write it: every word with a capital.
pub fn title(out: &mut String, name: &str) {
    let mut first = true;
    for c in name.chars() {
        out.push(if first { c.to_ascii_uppercase() } else { c });
        first = c == '-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_a_reader() {
        for value in ["", "plain", "\"q\" \\ / \u{1}\u{7f}", "é\u{2028}𝄞", "\r\n\t\u{0}"] {
            let mut out = String::new();
            string(&mut out, value);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), value);
        }
    }

    #[test]
    fn raw_values_become_text() {
        for (raw, seen) in [(&b"abc"[..], "abc"), (b"\xc3\xa9", "é"), (b"\xe9", "é"), (b"\xff\xc3\xa9", "ÿÃ©")] {
            assert_eq!(text(raw), seen);
            assert!(same(raw, seen));
        }
        assert!(!same(b"\xe9", "e"));
    }

    #[test]
    fn titles() {
        for (name, want) in [("host", "Host"), ("x-amz-date", "X-Amz-Date"), ("a--b", "A--B"), ("etag", "Etag")] {
            let mut out = String::new();
            title(&mut out, name);
            assert_eq!(out, want);
        }
    }
}
