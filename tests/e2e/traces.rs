//! Traces: what a collector receives of a request (OTLP over HTTP), and how that hangs together with what viewer and origin know.
//!
//! In: requests with and without a `traceparent`, a scripted collector. Out: spans, read from the bytes on the wire. Never: a library that
//! would read back what it wrote.

use crate::harness::{Origin, Pop, until};

/// A protocol buffer's field: a number, or bytes.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by their numbers (protobuf.dev, "Encoding").
fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().expect("a varint");
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        panic!("a varint of more than ten bytes")
    }
    fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(len);
        *bytes = rest;
        taken
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => Value::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut bytes) as usize;
                Value::Bytes(take(&mut bytes, len))
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()))),
            kind => panic!("wire type {kind}"),
        };
        found.push((tag >> 3, value));
    }
    found
}

/// All of a message's fields with number `wanted` that are messages or text.
fn inner<'a>(bytes: &'a [u8], wanted: u64) -> Vec<&'a [u8]> {
    let of = |(number, value): (u64, Value<'a>)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

fn number(bytes: &[u8], wanted: u64) -> u64 {
    let found = fields(bytes).into_iter().find_map(|(number, value)| match value {
        Value::Number(value) if number == wanted => Some(value),
        _ => None,
    });
    found.unwrap_or(0)
}

fn text(bytes: &[u8], wanted: u64) -> String {
    inner(bytes, wanted).first().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

fn hex(bytes: &[u8], wanted: u64) -> String {
    inner(bytes, wanted).first().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}

/// opentelemetry/proto/trace/v1/trace.proto, `Span`.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// 2: server, 3: client.
    kind: u64,
    began: u64,
    ended: u64,
    attributes: Vec<(String, String)>,
    /// 0: unset, 2: error.
    status: u64,
}

// === impl Span ===
impl Span {
    fn read(bytes: &[u8]) -> Self {
        let attribute = |pair: &[u8]| {
            let value = inner(pair, 2)[0];
            let text = text(value, 1);
            (self::text(pair, 1), if text.is_empty() { number(value, 3).to_string() } else { text })
        };
        Span {
            trace: hex(bytes, 1),
            id: hex(bytes, 2),
            parent: hex(bytes, 4),
            name: text(bytes, 5),
            kind: number(bytes, 6),
            began: number(bytes, 7),
            ended: number(bytes, 8),
            attributes: inner(bytes, 9).into_iter().map(attribute).collect(),
            status: inner(bytes, 15).first().map_or(0, |status| number(status, 3)),
        }
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// Every span that `collector` has received.
fn spans(collector: &Origin) -> Vec<Span> {
    let requests = collector.requests();
    let mut found = Vec::new();
    for request in &requests {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.field("content-type"), Some("application/x-protobuf"));
        for resource in inner(&request.body, 1) {
            let about = String::from_utf8_lossy(inner(resource, 1)[0]).into_owned();
            assert!(about.contains("service.name") && about.contains("rimward") && about.contains("TST"), "{about:?}");
            for scope in inner(resource, 2) {
                found.extend(inner(scope, 2).into_iter().map(Span::read));
            }
        }
    }
    found
}

/// The spans of the request for `path`: its own, and that of its visit to the origin.
fn of(collector: &Origin, path: &str, count: usize) -> Vec<Span> {
    until(&format!("{count} spans of {path}"), || {
        let spans = spans(collector);
        let trace = spans.iter().find(|span| span.attribute("url.path") == path)?.trace.clone();
        let mut spans: Vec<Span> = spans.into_iter().filter(|span| span.trace == trace).collect();
        spans.sort_by_key(|span| span.kind);
        (spans.len() >= count).then_some(spans)
    })
}

fn start(origin: &Origin, collector: &Origin, percent: u8) -> Pop {
    Pop::start(format!(
        "[observe.traces]\nendpoint = \"{}/v1/traces\"\nsample_percent = {percent}\n{}attempts = 1\n\
         [[behavior]]\nname = \"all\"\nmatch = \"*\"\norigin = \"o\"\ncache = {{ key.query = \"all\" }}\n",
        collector.url(),
        origin.config("o")
    ))
}

fn collector() -> Origin {
    Origin::start(|x| x.reply("200 OK", "Content-Type: application/x-protobuf\r\n", ""))
}

#[test]
fn a_request_is_a_span_in_the_viewers_trace_and_its_visit_to_the_origin_one_below() {
    let (origin, collector) = (Origin::fixed("Cache-Control: max-age=600\r\n", "hello"), collector());
    let pop = start(&origin, &collector, 100);
    let (trace, viewer) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let traceparent = format!("00-{trace}-{viewer}-01");
    pop.get_with("/a", &[("traceparent", &traceparent), ("User-Agent", "test/1")]);
    let [server, client] = &of(&collector, "/a", 2)[..] else { panic!("two spans") };
    assert_eq!((server.trace.as_str(), server.parent.as_str(), server.kind), (trace, viewer, 2));
    assert_eq!((server.name.as_str(), server.status), ("GET *", 0));
    assert!(0 < server.began && server.began <= client.began && client.began <= client.ended);
    assert!(client.ended <= server.ended + 1_000_000, "the visit lies within the request: {server:?} {client:?}");
    for (name, want) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("server.address", crate::harness::HOST),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "test/1"),
        ("rimward.behavior", "all"),
        ("rimward.cache", "miss"),
        ("rimward.cache_reason", "uri-miss"),
    ] {
        assert_eq!(server.attribute(name), want, "{name}");
    }
    assert_eq!((client.kind, client.parent.as_str(), client.trace.as_str()), (3, server.id.as_str(), trace));
    assert_eq!((client.attribute("rimward.origin"), client.attribute("http.response.status_code")), ("o", "200"));
    assert_eq!(client.attribute("network.peer.port"), origin.address.port().to_string());
    // The origin goes on from there.
    assert_eq!(origin.last().field("traceparent"), Some(format!("00-{trace}-{}-01", client.id).as_str()));
}

#[test]
fn hits_begin_their_own_traces_and_failures_are_errors() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/broken" => x.reset(),
        _ => x.reply("200 OK", "Cache-Control: max-age=600\r\n", "hello"),
    });
    let collector = collector();
    let pop = start(&origin, &collector, 100);
    pop.get("/a?warm");
    pop.get("/broken");
    // A hit of the fast lane has no visit.
    pop.get_with("/a?warm", &[("traceparent", "00-00000000000000000000000000000001-0000000000000002-00")]);
    let [server, client] = &of(&collector, "/broken", 2)[..] else { panic!("two spans") };
    assert_eq!((server.status, client.status), (2, 2));
    assert_eq!((server.parent.as_str(), server.attribute("http.response.status_code")), ("", "502"));
    assert!(!server.attribute("error.type").is_empty());
    let hit = until("the hit", || spans(&collector).into_iter().find(|span| span.attribute("rimward.cache") == "hit"));
    assert_eq!((hit.trace.as_str(), hit.parent.as_str()), ("00000000000000000000000000000001", "0000000000000002"));
    assert!(spans(&collector).iter().all(|span| span.trace == hit.trace || span.trace.len() == 32));
    assert!(!spans(&collector).iter().any(|span| span.parent == hit.id), "nothing lies below a hit");
    assert_ne!(of(&collector, "/a", 1)[0].trace, server.trace);
}

#[test]
fn what_is_not_sampled_is_told_to_the_origin_and_to_no_collector() {
    let (origin, collector) = (Origin::fixed("Cache-Control: no-store\r\n", "hello"), collector());
    let mut pop = start(&origin, &collector, 0);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    pop.get_with("/a", &[("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))]);
    let told = origin.last().field("traceparent").expect("the trace goes on").to_owned();
    assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-00"), "{told}");
    // What waited is exported before the process ends.
    pop.signal("TERM");
    pop.wait();
    assert_eq!(collector.count(), 0);
}
