//! Generated: the reference's header tables for answers that functions make themselves, by contract, event and spelling.

use serde_json::json;

use crate::hooks::EditError;
use crate::hooks::compat::write;

use super::*;

/// CloudFront Developer Guide, "Restrictions on edge functions", disallowed headers; of those that share a beginning, one.
const DISALLOWED: [&str; 27] = [
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
    "x-amz-cf-thing",
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
    "x-edge-thing",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The same page, read-only headers, and where they are.
const READ_ONLY: [(&str, &[Event]); 10] = [
    ("accept-encoding", &[Event::OriginRequest]),
    ("content-length", &[Event::ViewerRequest, Event::OriginRequest]),
    ("host", &[Event::ViewerRequest]),
    ("if-modified-since", &[Event::OriginRequest]),
    ("if-none-match", &[Event::OriginRequest]),
    ("if-range", &[Event::OriginRequest]),
    ("if-unmodified-since", &[Event::OriginRequest]),
    ("transfer-encoding", &[Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse]),
    ("via", &Event::ALL),
    ("warning", &[Event::ViewerResponse]),
];

/// Names like those, which are anybody's.
const FREE: [&str; 18] = [
    "x-a",
    "x-edge",
    "x-edges-a",
    "x-amz-cf",
    "x-amz-meta-a",
    "x-amzn-trace-id",
    "x-amzn-request",
    "x-caches",
    "x-forwarded-for",
    "x-forwarded-protocol",
    "x-real-ips",
    "edge-a",
    "amz-cf-id",
    "connections",
    "expect-ct",
    "upgrade-insecure-requests",
    "vias",
    "warnings",
];

const MODES: [Mode; 2] = [Mode::Strict, Mode::Extended];

/// What becomes of a name in an answer or a response of a function's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Disallowed,
    ReadOnly,
    /// It is taken, and the edge's own is sent.
    Edge,
    Sent,
}

/// Every name of the tables, and what becomes of it at an event.
pub fn fates(mode: Mode, event: Event) -> impl Iterator<Item = (&'static str, Fate)> {
    let listed = READ_ONLY.into_iter().map(move |(name, events)| {
        let framing = matches!(name, "content-length" | "transfer-encoding");
        let read_only = match (event.is_request(), mode) {
            (false, _) => events.contains(&event),
            // AWS takes Transfer-Encoding out of answers.
            (true, Mode::Strict) => events.contains(&event) && name != "transfer-encoding",
            (true, Mode::Extended) => name == "via",
        };
        let fate = match (read_only, framing) {
            (true, _) => Fate::ReadOnly,
            (false, true) => Fate::Edge,
            (false, false) => Fate::Sent,
        };
        (name, fate)
    });
    DISALLOWED.into_iter().map(|name| (name, Fate::Disallowed)).chain(listed).chain(FREE.map(|name| (name, Fate::Sent)))
}

/// A field of these lines, in the contract's shape.
fn field(api: Api, name: &str, lines: &[&str]) -> Value {
    let values = lines.iter();
    match api {
        Api::CloudFront => {
            let all: Vec<Value> = values.map(|line| json!({ "value": line })).collect();
            json!({ "value": lines.first(), "multiValue": all })
        }
        _ => values.map(|line| json!({ "key": name, "value": line })).collect(),
    }
}

/// A status of 200 and these fields.
fn whole(api: Api, headers: Value) -> Value {
    let status = if api == Api::CloudFront { "statusCode" } else { "status" };
    json!({ status: 200, "headers": headers })
}

/// A name as people write it.
fn spellings(name: &str) -> [String; 3] {
    let mut title = String::new();
    write::title(&mut title, name);
    [name.to_owned(), title, name.to_ascii_uppercase()]
}

/// The message that is edited, with these lines and no others.
fn with(event: Event, mode: Mode, lines: &[(&str, &[u8])]) -> Exchange {
    let mut exchange = exchange(event, mode);
    match &mut exchange.response {
        Some(response) => response.headers = map(lines),
        None => exchange.request.headers = map(lines),
    }
    exchange
}

fn places(events: [Event; 2]) -> impl Iterator<Item = (Mode, Event)> {
    MODES.into_iter().flat_map(move |mode| events.map(|event| (mode, event)))
}

/// What a refusal says of a name.
fn refusal(fate: Fate, event: Event, name: &str) -> Option<String> {
    match fate {
        Fate::Disallowed => Some(format!("the header \"{name}\" is disallowed: functions may not add it")),
        Fate::ReadOnly => Some(format!("the header \"{name}\" is read-only in the {event} event")),
        Fate::Edge | Fate::Sent => None,
    }
}

#[test]
fn answers_of_every_contract_keep_to_the_tables_however_names_are_spelled() {
    for (mode, event) in places([Event::ViewerRequest, Event::OriginRequest]) {
        for ((name, fate), spelled) in fates(mode, event).flat_map(|row| spellings(row.0).map(|spelled| (row, spelled)))
        {
            let check = |exchange: &Exchange, about: &str| {
                let mut want = map(&[("x-first", b"0")]);
                if fate == Fate::Sent {
                    want.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
                }
                let got = exchange.answer().map(|answer| answer.headers.iter().cloned().collect::<HeaderMap>());
                let refused = matches!(fate, Fate::Disallowed | Fate::ReadOnly);
                assert_eq!(got, (!refused).then_some(want), "{spelled} at {event}, {mode:?}, {about}");
            };
            let mut native = exchange(event, mode);
            let lines = [("x-first", &b"0"[..]), (spelled.as_str(), &b"1"[..])];
            let done = native.respond(200, lines.into_iter(), Bytes::new());
            let want = match fate {
                Fate::Disallowed => Err(EditError::Forbidden),
                Fate::ReadOnly => Err(EditError::ReadOnly),
                Fate::Edge | Fate::Sent => Ok(()),
            };
            assert_eq!(done, want, "{spelled} at {event}, {mode:?}");
            check(&native, "native");
            for api in apis(event) {
                let mut headers = json!({ "x-first": field(*api, "x-first", &["0"]) });
                headers[&spelled] = field(*api, &spelled, &["1"]);
                let mut answered = exchange(event, mode);
                let done = accept(&mut answered, *api, &whole(*api, headers));
                if *api == Api::CloudFront && mode == Mode::Strict && spelled != name {
                    let refused = words(done);
                    assert!(refused.ends_with(&format!("the header \"{spelled}\" must be lower-case")), "{refused}");
                    continue;
                }
                match refusal(fate, event, name) {
                    Some(want) => assert!(words(done).ends_with(&want), "{spelled} at {event}, {mode:?}, {api:?}"),
                    None => assert_eq!(done, Ok(()), "{spelled} at {event}, {mode:?}, {api:?}"),
                }
                check(&answered, &format!("{api:?}"));
            }
        }
    }
}

/// A response that repeats nothing of the one there was.
#[test]
fn responses_made_anew_keep_to_the_tables() {
    for (mode, event) in places([Event::OriginResponse, Event::ViewerResponse]) {
        for ((name, fate), api) in fates(mode, event).flat_map(|row| apis(event).iter().map(move |api| (row, *api))) {
            let mut made = with(event, mode, &[("x-was", b"1")]);
            let mut headers = json!({});
            headers[name] = field(api, name, &["1"]);
            let done = accept(&mut made, api, &whole(api, headers));
            match refusal(fate, event, name) {
                Some(want) => assert!(words(done).ends_with(&want), "{name} at {event}, {mode:?}, {api:?}"),
                None => {
                    assert_eq!(done, Ok(()), "{name} at {event}, {mode:?}, {api:?}");
                    let want = if fate == Fate::Sent { map(&[(name, b"1")]) } else { map(&[]) };
                    assert_eq!(made.response.unwrap().headers, want, "{name} at {event}, {mode:?}, {api:?}");
                }
            }
        }
    }
}

/// Of a read-only field all lines are as they were, in their order, whatever the name's spelling.
#[test]
fn read_only_lines_are_repeated_one_by_one() {
    for (mode, event) in MODES.into_iter().flat_map(|mode| Event::ALL.map(|event| (mode, event))) {
        for (name, _) in READ_ONLY.into_iter().filter(|(_, events)| events.contains(&event)) {
            let there = || with(event, mode, &[(name, b"1"), (name, b"2"), ("x-a", b"1")]);
            for api in apis(event) {
                for (lines, same) in [
                    (&["1", "2"][..], true),
                    (&["2", "1"], false),
                    (&["1"], false),
                    (&["2"], false),
                    (&["1", "2", "3"], false),
                    (&["1", "1", "2"], false),
                    (&["1, 2"], false),
                    (&[], false),
                ] {
                    let about = format!("{name}: {lines:?} at {event}, {mode:?}, {api:?}");
                    let mut exchange = there();
                    let done = change(&mut exchange, *api, |message| {
                        message["headers"][name] = field(*api, name, lines);
                    });
                    match same {
                        true => assert_eq!(done, Ok(()), "{about}"),
                        false => {
                            let want = refusal(Fate::ReadOnly, event, name).unwrap();
                            assert!(words(done).ends_with(&want), "{about}");
                        }
                    }
                    assert_eq!(exchange.edits(), [], "{about}");
                }
                for spelled in &spellings(name)[1..] {
                    let mut exchange = there();
                    let done = change(&mut exchange, *api, |message| {
                        let headers = message["headers"].as_object_mut().unwrap();
                        let lines = headers.remove(name).unwrap();
                        headers.insert(spelled.clone(), lines);
                    });
                    let strict = *api == Api::CloudFront && mode == Mode::Strict;
                    assert_eq!(done.is_err(), strict, "{spelled} at {event}, {mode:?}, {api:?}: {done:?}");
                    assert_eq!(exchange.edits(), [], "{spelled} at {event}, {mode:?}, {api:?}");
                }
            }
        }
    }
}
