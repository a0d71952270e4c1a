//! Headers: every line of the reference's header tables, at each event, for each contract.

use serde_json::json;

use crate::hooks::EditError;

use super::*;

/// CloudFront Developer Guide, "Restrictions on edge functions", disallowed headers; a `*` has any ending.
const DISALLOWED: [&str; 27] = [
    "Connection",
    "Expect",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Trailer",
    "Upgrade",
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "X-Accel-Limit-Rate",
    "X-Accel-Redirect",
    "X-Amz-Cf-*",
    "X-Amzn-Auth",
    "X-Amzn-Cf-Billing",
    "X-Amzn-Cf-Id",
    "X-Amzn-Cf-Xff",
    "X-Amzn-Errortype",
    "X-Amzn-Fle-Profile",
    "X-Amzn-Header-Count",
    "X-Amzn-Header-Order",
    "X-Amzn-Lambda-Integration-Tag",
    "X-Amzn-RequestId",
    "X-Cache",
    "X-Edge-*",
    "X-Forwarded-Proto",
    "X-Real-IP",
];

/// The same page, read-only headers.
fn read_only(event: Event) -> &'static [&'static str] {
    match event {
        Event::ViewerRequest => &["Content-Length", "Host", "Transfer-Encoding", "Via"],
        Event::OriginRequest => &[
            "Accept-Encoding",
            "Content-Length",
            "If-Modified-Since",
            "If-None-Match",
            "If-Range",
            "If-Unmodified-Since",
            "Transfer-Encoding",
            "Via",
        ],
        Event::OriginResponse => &["Transfer-Encoding", "Via"],
        Event::ViewerResponse => &["Warning", "Via"],
    }
}

const MODES: [Mode; 2] = [Mode::Strict, Mode::Extended];

/// One line, in the contract's shape.
fn line(api: Api, name: &str, value: &str) -> Value {
    match api {
        Api::CloudFront => json!({ "value": value }),
        _ => json!([{ "key": name, "value": value }]),
    }
}

/// The exchange with `lines` in the message that is edited, and nothing else in its header section.
fn with(event: Event, mode: Mode, lines: &[(&str, &[u8])]) -> Exchange {
    let mut exchange = exchange(event, mode);
    match &mut exchange.response {
        Some(response) => response.headers = map(lines),
        None => exchange.request.headers = map(lines),
    }
    exchange
}

#[test]
fn disallowed_names_are_hidden_and_refused() {
    for (mode, event) in MODES.into_iter().flat_map(|mode| Event::ALL.map(|event| (mode, event))) {
        for name in DISALLOWED.map(|name| name.replace('*', "Thing").to_ascii_lowercase()) {
            for api in apis(event) {
                let mut there = with(event, mode, &[(&name, b"1"), ("x-a", b"1")]);
                assert!(given(&there, *api)["headers"].get(&name).is_none(), "{name} is shown at {event}");
                change(&mut there, *api, |_| {}).unwrap();
                assert_eq!(there.edits(), [], "{name} at {event}: what is hidden stays");
                change(&mut there, *api, |message| message["headers"][&name] = line(*api, &name, "1")).unwrap();
                assert_eq!(there.edits(), [], "{name} at {event}: unchanged");

                let added = change(&mut with(event, mode, &[]), *api, |message| {
                    message["headers"][&name] = line(*api, &name, "2");
                });
                assert_eq!(
                    words(added),
                    format!(
                        "the function's result failed validation: the header \"{name}\" is disallowed: functions may \
                         not add it"
                    )
                );
                if event.is_request() {
                    let status = if *api == Api::CloudFront { "statusCode" } else { "status" };
                    let answer = json!({ status: 200, "headers": { &name: line(*api, &name, "2") } });
                    let refused = words(accept(&mut exchange(event, mode), *api, &answer));
                    assert!(refused.contains(&format!("\"{name}\" is disallowed")), "{refused}");
                }
            }
            let mut native = exchange(event, mode);
            assert_eq!(native.set_header(&name, b"1"), Err(EditError::Forbidden), "{name}");
            assert_eq!(native.append_header(&name, b"1"), Err(EditError::Forbidden), "{name}");
            assert_eq!(native.remove_header(&name), Err(EditError::Forbidden), "{name}");
            assert_eq!(native.edits(), []);
        }
    }
}

#[test]
fn read_only_names_may_be_passed_through_and_nothing_else() {
    for (mode, event) in MODES.into_iter().flat_map(|mode| Event::ALL.map(|event| (mode, event))) {
        for name in read_only(event).iter().map(|name| name.to_ascii_lowercase()) {
            let refused = format!(
                "the function's result failed validation: the header \"{name}\" is read-only in the {event} event"
            );
            for api in apis(event) {
                let there = || with(event, mode, &[(&name, b"1"), ("x-a", b"1")]);
                let mut same = there();
                assert_eq!(given(&same, *api)["headers"][&name], line(*api, &titled(&name), "1"), "it is shown");
                change(&mut same, *api, |_| {}).unwrap();
                assert_eq!(same.edits(), []);

                let set = |message: &mut Value| message["headers"][&name] = line(*api, &name, "2");
                assert_eq!(words(change(&mut there(), *api, set)), refused, "changed");
                assert_eq!(words(change(&mut with(event, mode, &[]), *api, set)), refused, "added");
                let mut gone = there();
                let removed = change(&mut gone, *api, |message| {
                    message["headers"].as_object_mut().unwrap().remove(&name);
                });
                match mode {
                    Mode::Strict => assert_eq!(words(removed), refused, "removed"),
                    Mode::Extended => assert_eq!((removed, gone.edits()), (Ok(()), &[][..]), "left out, and stays"),
                }
            }
            let mut native = exchange(event, mode);
            assert_eq!(native.set_header(&name, b"1"), Err(EditError::ReadOnly), "{name}");
            assert_eq!(native.append_header(&name, b"1"), Err(EditError::ReadOnly), "{name}");
            assert_eq!(native.remove_header(&name), Err(EditError::ReadOnly), "{name}");
        }
    }
}

fn titled(name: &str) -> String {
    let mut out = String::new();
    super::super::write::title(&mut out, name);
    out
}
