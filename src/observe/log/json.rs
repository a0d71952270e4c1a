//! Json: one request as one JSON object on one line.
//!
//! In: a record. Out: a line appended to a buffer; what is empty or unknown is left out. Never: invalid JSON or a raw line
//! break, whatever bytes a viewer sent; cookies.

use super::digits::{Civil, push_i64, push_ip, push_padded, push_thousandths, push_u64};
use crate::observe::record::{Call, Record, Visit};
use crate::observe::trace::hex;

/// Appends the line, with its line feed.
pub fn write(out: &mut Vec<u8>, record: &Record<'_>, pop: &str) {
    let time = Civil::from_ms(record.started_ms);
    out.extend_from_slice(b"{\"time\":\"");
    time.push_date(out);
    out.push(b'T');
    time.push_time(out);
    out.push(b'.');
    push_padded(out, time.millis, 3);
    out.extend_from_slice(b"Z\"");
    text(out, "id", record.request_id.as_bytes());
    text(out, "pop", pop.as_bytes());
    out.extend_from_slice(b",\"viewer\":\"");
    push_ip(out, record.viewer.ip());
    out.push(b'"');
    number(out, "port", u64::from(record.viewer.port()));
    text(out, "method", record.method.as_bytes());
    text(out, "scheme", record.scheme.as_bytes());
    text(out, "host", record.host.as_bytes());
    text(out, "path", record.path);
    text(out, "query", record.query);
    text(out, "protocol", record.protocol.as_bytes());
    if let Some(tls) = &record.tls {
        text(out, "tls", tls.version.as_bytes());
        text(out, "cipher", tls.cipher.as_bytes());
        text(out, "sni", tls.sni.as_bytes());
    }
    text(out, "behavior", record.behavior.name().as_bytes());
    number(out, "status", u64::from(record.status));
    number(out, "bytes_in", record.bytes_in);
    number(out, "bytes_out", record.bytes_out);
    millis(out, "ms", record.duration_ns);
    millis(out, "first_byte_ms", record.first_byte_ns);
    text(out, "cache", record.cache.as_str().as_bytes());
    text(out, "reason", record.reason.as_bytes());
    if let Some(ttl) = record.ttl_s {
        key(out, "ttl");
        push_i64(out, ttl);
    }
    if let Some(age) = record.age_s {
        number(out, "age", age);
    }
    if let Some(visit) = &record.origin {
        origin(out, visit);
    }
    if let Some(failure) = record.failure {
        text(out, "failure", failure.as_str().as_bytes());
    }
    text(out, "error", record.error.as_bytes());
    text(out, "tier", record.tier.as_bytes());
    text(out, "principal", record.principal.as_bytes());
    text(out, "referer", record.referer);
    text(out, "user_agent", record.user_agent);
    text(out, "forwarded_for", record.forwarded_for);
    text(out, "content_type", record.content_type);
    if let Some(length) = record.content_length {
        number(out, "content_length", length);
    }
    if let Some((first, last)) = record.range {
        key(out, "range");
        out.push(b'[');
        push_u64(out, first);
        out.push(b',');
        push_u64(out, last);
        out.push(b']');
    }
    if let Some(result) = record.result {
        text(out, "result", result.as_bytes());
    }
    functions(out, record.calls);
    if let Some(trace) = &record.trace {
        let mut id = [0; 32];
        hex(&trace.trace, &mut id);
        text(out, "trace_id", &id);
        hex(&trace.server, &mut id);
        text(out, "span_id", &id[..16]);
    }
    out.extend_from_slice(b"}\n");
}

/// The same line with what only an explanation needs: the pattern that matched, CloudFront's words, when the origin was asked.
pub fn write_explained(out: &mut Vec<u8>, record: &Record<'_>, pop: &str) {
    write(out, record, pop);
    out.truncate(out.len().saturating_sub(2));
    text(out, "pattern", record.pattern.as_bytes());
    text(out, "result_type", record.result_type().as_bytes());
    text(out, "detailed_result_type", record.detailed_result_type().as_bytes());
    if let Some(visit) = &record.origin {
        millis(out, "origin_after_ms", visit.after_ns);
    }
    out.extend_from_slice(b"}\n");
}

fn functions(out: &mut Vec<u8>, calls: &[Call]) {
    for (i, call) in calls.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b",\"functions\":[{\"name\":\"" } else { &b",{\"name\":\""[..] });
        escape(out, call.function.name().as_bytes());
        out.push(b'"');
        text(out, "event", call.event.as_bytes());
        text(out, "outcome", call.outcome.as_str().as_bytes());
        millis(out, "cpu_ms", call.cpu_ns);
        millis(out, "ms", call.wall_ns);
        number(out, "edits", u64::from(call.edits));
        if let Some(result) = call.result {
            text(out, "result", result.as_bytes());
        }
        if !call.error.is_empty() {
            text(out, "error", call.error.as_bytes());
        }
        out.push(b'}');
    }
    if !calls.is_empty() {
        out.push(b']');
    }
}

fn origin(out: &mut Vec<u8>, visit: &Visit<'_>) {
    out.extend_from_slice(b",\"origin\":{\"name\":\"");
    escape(out, visit.origin.name().as_bytes());
    out.push(b'"');
    if let Some(target) = visit.target {
        out.extend_from_slice(b",\"target\":\"");
        push_ip(out, target.ip());
        out.push(b'"');
        number(out, "port", u64::from(target.port()));
    }
    if let Some(connect) = visit.connect_ns {
        millis(out, "connect_ms", connect);
    }
    if let Some(first_byte) = visit.first_byte_ns {
        millis(out, "first_byte_ms", first_byte);
    }
    millis(out, "ms", visit.total_ns);
    number(out, "attempts", u64::from(visit.attempts));
    number(out, "status", u64::from(visit.status));
    out.push(b'}');
}

// Inlined, so that every field name is a constant store: a third of the whole line's cost.
#[inline(always)]
fn key(out: &mut Vec<u8>, name: &'static str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[inline(always)]
fn number(out: &mut Vec<u8>, name: &'static str, value: u64) {
    key(out, name);
    push_u64(out, value);
}

#[inline(always)]
fn millis(out: &mut Vec<u8>, name: &'static str, nanos: u64) {
    key(out, name);
    push_thousandths(out, nanos / 1000);
}

#[inline(always)]
fn text(out: &mut Vec<u8>, name: &'static str, value: &[u8]) {
    if !value.is_empty() {
        key(out, name);
        out.push(b'"');
        escape(out, value);
        out.push(b'"');
    }
}

/// Appends `value` as the inside of a JSON string (RFC 8259 §7). Bytes that are not UTF-8 become U+FFFD; DEL and the two
/// separators that JavaScript takes for line breaks are escaped as well.
pub fn escape(out: &mut Vec<u8>, value: &[u8]) {
    // Without a branch a byte, so that the compiler looks at many bytes at once: nearly every value passes.
    let special = |byte: u8| !(0x20..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
    if !value.iter().fold(false, |any, &byte| any | special(byte)) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for char in chunk.valid().chars() {
            escape_char(out, char);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape_char(out: &mut Vec<u8>, char: char) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{2028}' => out.extend_from_slice(b"\\u2028"),
        '\u{2029}' => out.extend_from_slice(b"\\u2029"),
        '\0'..='\u{1f}' | '\u{7f}' => {
            let mut digits = [0; 2];
            hex(&[char as u8], &mut digits);
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::{Failure, Outcome, sample};
    use crate::observe::{Metrics, TraceContext};
    use serde_json::{Value, json};

    fn line(record: &Record<'_>) -> Value {
        let mut out = Vec::new();
        write(&mut out, record, "FRA");
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_hit() {
        let metrics = Metrics::new("FRA", 0);
        assert_eq!(
            line(&sample(metrics.unrouted())),
            json!({
                "time": "2023-11-14T22:13:20.123Z", "id": "id-1", "pop": "FRA", "viewer": "192.0.2.7", "port": 5000,
                "method": "GET", "scheme": "https", "host": "shop.example", "path": "/a b", "query": "x=1",
                "protocol": "HTTP/2.0", "tls": "TLSv1.3", "cipher": "TLS13_AES_128_GCM_SHA256", "sni": "shop.example",
                "behavior": "unrouted", "status": 200, "bytes_in": 90, "bytes_out": 1200, "ms": 1.234,
                "first_byte_ms": 1.0, "cache": "hit", "reason": "fresh", "ttl": 55, "age": 5,
                "user_agent": "curl/8 \"x\"", "content_type": "text/html", "content_length": 1024
            })
        );
    }

    #[test]
    fn a_stale_answer_says_what_the_origin_did() {
        let metrics = Metrics::new("FRA", 0);
        let origins = metrics.origins(["shop \"1\""]);
        let visit = Visit {
            origin: &origins[0],
            target: Some("[2001:db8::1]:443".parse().unwrap()),
            after_ns: 30_000,
            connect_ns: Some(5_000_000),
            first_byte_ns: None,
            total_ns: 3_000_000_000,
            attempts: 3,
            status: 0,
        };
        let trace = TraceContext { trace: [0xab; 16], parent: None, server: [1; 8], client: [2; 8], sampled: true };
        let got = line(&Record {
            cache: Outcome::Stale,
            reason: "stale-if-error",
            ttl_s: Some(-30),
            origin: Some(visit),
            failure: Some(Failure::OriginTimeout),
            error: "no answer\nin 3s",
            cookie: b"secret=1",
            range: Some((0, 99)),
            trace: Some(trace),
            ..sample(metrics.unrouted())
        });
        assert_eq!(
            got["origin"],
            json!({"name": "shop \"1\"", "target": "2001:db8::1", "port": 443, "connect_ms": 5.0, "ms": 3000.0,
                   "attempts": 3, "status": 0})
        );
        assert_eq!((&got["failure"], &got["error"]), (&json!("timeout"), &json!("no answer\nin 3s")));
        assert_eq!((&got["ttl"], &got["range"]), (&json!(-30), &json!([0, 99])));
        assert_eq!((&got["trace_id"], &got["span_id"]), (&json!("ab".repeat(16)), &json!("01".repeat(8))));
        assert!(!got.to_string().contains("secret"), "cookies are credentials");
    }

    #[test]
    fn every_byte_comes_back_or_is_replaced() {
        for byte in 0..=255_u8 {
            let value = [b'a', byte, b'z'];
            let mut out = vec![b'"'];
            escape(&mut out, &value);
            out.push(b'"');
            assert!(out.iter().all(|byte| !byte.is_ascii_control()), "{byte:#x}");
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, String::from_utf8_lossy(&value), "{byte:#x}");
        }
    }

    #[test]
    fn text_beyond_ascii() {
        for (name, value, want) in [
            ("two bytes", "é".as_bytes(), "é"),
            ("four bytes", "🦀\"".as_bytes(), "🦀\\\""),
            ("line separator", "\u{2028}".as_bytes(), "\\u2028"),
            ("cut short", b"\xf0\x9f\xa6", "\u{fffd}"),
            ("overlong", b"\xc0\xaf", "\u{fffd}\u{fffd}"),
            ("surrogate", b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            ("escape and delete", b"\x1b\x7f", "\\u001b\\u007f"),
        ] {
            let mut out = Vec::new();
            escape(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_viewer_sends_is_one_line_of_json(bytes: Vec<u8>) {
            let metrics = Metrics::new("FRA", 0);
            let got = line(&Record { path: &bytes, user_agent: &bytes, ..sample(metrics.unrouted()) });
            let want = String::from_utf8_lossy(&bytes);
            proptest::prop_assert_eq!(got["path"].as_str().unwrap_or_default(), &want);
        }
    }
}
