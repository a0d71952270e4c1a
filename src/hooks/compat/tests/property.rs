//! Property: no sequence of edits and no result, however odd, makes an invalid message, and none panics.

use proptest::prelude::*;
use serde_json::json;

use crate::hooks::exchange::{Edit, OriginChange, OriginPatch};
use crate::hooks::{fields, valid};

use super::*;

/// Pieces that rules have opinions about.
const PIECES: [&str; 40] = [
    "",
    "a",
    "/",
    "/a",
    "/a b",
    "/a?b",
    "/a#b",
    "//",
    "/%2",
    "/é",
    "\"",
    "<x>",
    "`",
    "a=1",
    "a=1&a=2",
    "&&",
    "=",
    " ",
    "\t",
    "\r\n",
    "\0",
    "\u{7f}",
    "\u{2028}",
    "host",
    "Host",
    "content-length",
    "transfer-encoding",
    "connection",
    "x-edge-a",
    "via",
    "warning",
    "x-a",
    "X-A",
    "set-cookie",
    "cookie",
    "accept",
    "a.example",
    "192.0.2.1",
    "text",
    "AAFhYg==",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => proptest::collection::vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect::<String>()),
        1 => (1usize..12_000).prop_map(|len| format!("/{}", "a".repeat(len))),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![piece().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..20)]
}

fn anywhere() -> impl Strategy<Value = (Event, Mode)> {
    let modes = proptest::sample::select(&[Mode::Strict, Mode::Extended][..]);
    (proptest::sample::select(&Event::ALL[..]), modes)
}

/// A host call of a native function.
#[derive(Debug, Clone)]
enum Call {
    Uri(String),
    Query(String),
    Set(String, Vec<u8>),
    Append(String, Vec<u8>),
    Remove(String),
    Body(usize),
    Status(u16),
    Origin(OriginPatch),
    Group(Vec<OriginPatch>, u16),
    Respond(u16, Vec<(String, Vec<u8>)>, usize),
}

fn call() -> impl Strategy<Value = Call> {
    let patch =
        (proptest::option::of(piece()), any::<Option<u16>>(), proptest::option::of(piece()), any::<Option<u8>>());
    prop_oneof![
        piece().prop_map(Call::Uri),
        piece().prop_map(Call::Query),
        (piece(), bytes()).prop_map(|(name, value)| Call::Set(name, value)),
        (piece(), bytes()).prop_map(|(name, value)| Call::Append(name, value)),
        piece().prop_map(Call::Remove),
        prop_oneof![Just(0), 0usize..100, 40_900usize..41_000].prop_map(Call::Body),
        prop_oneof![190u16..210, 300u16..310, 590u16..610, any::<u16>()].prop_map(Call::Status),
        patch.prop_map(|(host, port, path, secs)| Call::Origin(OriginPatch {
            host_header: host.clone(),
            host,
            port,
            path,
            read_timeout: secs.map(|secs| Duration::from_secs(secs.into())),
            ..OriginPatch::default()
        })),
        (proptest::collection::vec(member(), 0..4), 100u16..700)
            .prop_map(|(members, status)| Call::Group(members, status)),
        (any::<u16>(), proptest::collection::vec((piece(), bytes()), 0..4), 0usize..50_000)
            .prop_map(|(status, lines, body)| Call::Respond(200 + status % 410, lines, body)),
    ]
}

/// An origin of a group, or nearly one.
fn member() -> impl Strategy<Value = OriginPatch> {
    let base = proptest::option::of(prop_oneof![Just("blue".to_owned()), piece()]);
    (base, proptest::option::of(piece())).prop_map(|(base, host)| OriginPatch { base, host, ..OriginPatch::default() })
}

fn perform(exchange: &mut Exchange, call: Call) {
    // Whether it is accepted is for the tables; here only what is left counts.
    _ = match call {
        Call::Uri(uri) => exchange.set_uri(&uri),
        Call::Query(query) => exchange.set_query(&query),
        Call::Set(name, value) => exchange.set_header(&name, &value),
        Call::Append(name, value) => exchange.append_header(&name, &value),
        Call::Remove(name) => exchange.remove_header(&name),
        Call::Body(len) => exchange.set_body(Bytes::from(vec![0; len])),
        Call::Status(status) => exchange.set_status(status),
        Call::Origin(patch) => exchange.set_origin(OriginChange::To(patch)),
        Call::Group(members, status) => exchange
            .set_origin(OriginChange::Group { members, failover: StatusCode::from_u16(status).into_iter().collect() }),
        Call::Respond(status, lines, len) => {
            let lines = lines.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            exchange.respond(status, lines, Bytes::from(vec![0; len]))
        }
    };
}

/// What must hold of any exchange after any call.
pub fn check(before: &Exchange, after: &Exchange) {
    let (request, limits) = (&after.request, after.limits());
    let target = format!("{}?{}", request.uri, request.query);
    let parsed: http::Uri = target.parse().unwrap_or_else(|why| panic!("{why}: {target}"));
    assert_eq!((parsed.path(), parsed.query()), (&*request.uri, Some(&*request.query)));
    assert!(target.len() <= limits.uri + 1);
    section(before, after);
    let mut replayed = before.clone();
    after.edits().iter().for_each(|edit| replay(&mut replayed, edit));
    assert_eq!((&replayed.request.uri, &replayed.request.query), (&request.uri, &request.query));
    assert_eq!(super::super::fields::of(&replayed), super::super::fields::of(after), "edits say what was done");
    if let (Some(was), Some(is)) = (&before.response, &after.response) {
        assert!(is.status == was.status || valid::status(is.status.as_u16()).is_ok());
        let empty = is.body.as_ref().is_none_or(Bytes::is_empty);
        assert!(empty || !valid::bodiless(is.status));
        assert!(is.body.as_ref().is_none_or(|body| body.len() <= limits.answer));
        assert_eq!(
            replayed.response.map(|response| (response.status, response.body)),
            Some((is.status, is.body.clone()))
        );
    }
    assert!(request.body.as_ref().is_none_or(|body| body.data.len() <= limits.body_text));
    if let Some(answer) = after.answer() {
        assert!(after.event.is_request() && valid::status(answer.status.as_u16()).is_ok());
        assert!(answer.body.is_empty() || !valid::bodiless(answer.status));
        let size: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(size + answer.body.len() <= limits.answer && size <= limits.fields);
        for (name, _) in &answer.headers {
            let name = name.as_str();
            assert!(!fields::hidden(name) && !matches!(name, "content-length" | "transfer-encoding" | "via"), "{name}");
        }
    }
}

/// The header section: bounded, one Host, and what functions may not touch untouched.
fn section(before: &Exchange, after: &Exchange) {
    let (was, is) = (super::super::fields::of(before), super::super::fields::of(after));
    let size = |map: &HeaderMap| map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    assert!(is.len() <= 256 && size(is) <= size(was) + after.limits().fields);
    for name in was.keys().chain(is.keys()) {
        if fields::hidden(name.as_str()) || fields::read_only(after.event, name.as_str()) {
            assert!(was.get_all(name).iter().eq(is.get_all(name)), "{name} was touched");
        }
    }
    if after.event.is_request() {
        let hosts: Vec<_> = is.get_all("host").iter().collect();
        assert!(matches!(hosts[..], [host] if valid::host_field(host.as_bytes())), "{hosts:?}");
    }
}

/// What the proxy does with an edit.
fn replay(exchange: &mut Exchange, edit: &Edit) {
    let (request, response) = (&mut exchange.request, &mut exchange.response);
    let headers = response.as_mut().map_or(&mut request.headers, |response| &mut response.headers);
    match edit {
        Edit::Uri(uri) => request.uri.clone_from(uri),
        Edit::Query(query) => request.query.clone_from(query),
        Edit::Set(name, value) => _ = headers.insert(name.clone(), value.clone()),
        Edit::Append(name, value) => _ = headers.append(name.clone(), value.clone()),
        Edit::Remove(name) => _ = headers.remove(name),
        Edit::Status(status) => response.as_mut().unwrap().status = *status,
        Edit::Body(data) => match response {
            Some(response) => response.body = Some(data.clone()),
            None => request.body = Some(Body { data: data.clone(), truncated: false }),
        },
        Edit::Origin(_) => {}
    }
}

/// Any JSON, with the names that results have.
fn node() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(200.0), Just(204.0), Just(404.0), Just(199.0), any::<f64>()].prop_map(Value::from),
        prop_oneof![piece(), Just("200".to_owned()), Just("replace".to_owned()), Just("base64".to_owned())]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![
            piece(),
            proptest::sample::select(&["key", "value", "multiValue", "attributes", "data", "encoding", "action"][..])
                .prop_map(str::to_owned),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A place in a valid result and what to put there.
fn mutation() -> impl Strategy<Value = (Vec<prop::sample::Index>, Option<String>, Option<Value>)> {
    (
        proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        proptest::option::of(piece()),
        proptest::option::of(node()),
    )
}

/// Walks into the value and replaces, adds or removes a member.
fn mutate(value: &mut Value, path: &[prop::sample::Index], name: Option<&str>, new: Option<&Value>) {
    let Some((step, rest)) = path.split_first() else {
        if let Some(new) = new {
            value.clone_from(new);
        }
        return;
    };
    match value {
        Value::Object(map) => match (name, map.len()) {
            (Some(name), _) if rest.is_empty() => _ = map.insert(name.to_owned(), new.cloned().unwrap_or(json!("x"))),
            (_, 0) => {}
            (_, len) => {
                let key = map.keys().nth(step.index(len)).unwrap().clone();
                match (rest.is_empty(), new) {
                    (true, None) => _ = map.remove(&key),
                    _ => mutate(map.get_mut(&key).unwrap(), rest, name, new),
                }
            }
        },
        Value::Array(list) if !list.is_empty() => {
            let at = step.index(list.len());
            mutate(&mut list[at], rest, name, new);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn edits_never_make_an_invalid_message((event, mode) in anywhere(), calls in proptest::collection::vec(call(), 0..12)) {
        let before = exchange(event, mode);
        let mut after = before.clone();
        for call in calls {
            perform(&mut after, call);
        }
        check(&before, &after);
    }

    #[test]
    fn results_never_make_an_invalid_message(
        (event, mode) in anywhere(),
        cloudfront in any::<bool>(),
        answer in any::<bool>(),
        mutations in proptest::collection::vec(mutation(), 0..4),
    ) {
        let api = if cloudfront && event.is_viewer() { Api::CloudFront } else { Api::LambdaEdge };
        let before = exchange(event, mode);
        let mut result = given(&before, api);
        if answer && event.is_request() {
            result = match api {
                Api::CloudFront => json!({"statusCode": 200, "headers": {"x-a": {"value": "1"}}, "body": "x"}),
                _ => json!({"status": "200", "headers": {"x-a": [{"value": "1"}]}, "body": "x"}),
            };
        }
        for (path, name, new) in &mutations {
            mutate(&mut result, path, name.as_deref(), new.as_ref());
        }
        let mut after = before.clone();
        let done = accept(&mut after, api, &result);
        if done.is_ok() && mutations.is_empty() && after.answer().is_none() {
            prop_assert_eq!(after.edits(), &[]);
        }
        // Half an outcome is no outcome, but it is a valid message too.
        check(&before, &after);
    }

    #[test]
    fn an_unchanged_event_is_no_edit(
        (event, mode) in anywhere(),
        lines in proptest::collection::vec((piece(), bytes()), 0..8),
        query in piece(),
    ) {
        let mut before = exchange(event, mode);
        if valid::query(&query) {
            before.request.query = query;
        }
        let headers = before.response.as_mut().map_or(&mut before.request.headers, |response| &mut response.headers);
        for (name, value) in lines {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
                headers.append(name, value);
            }
        }
        for api in apis(event) {
            let text = super::super::event_json(&before, *api);
            let returned = if event.is_request() { "\"request\":" } else { "\"response\":" };
            let end = if *api == Api::CloudFront { 1 } else { "}}]}".len() };
            let message = &text[text.find(returned).unwrap() + returned.len()..text.len() - end];
            let result = if *api == Api::CloudFront { format!("{{\"result\":{message}}}") } else { message.to_owned() };
            let mut after = before.clone();
            super::super::accept(&mut after, *api, &result).unwrap();
            prop_assert_eq!(after.edits(), &[]);
        }
    }
}
