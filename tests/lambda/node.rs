//! Node handlers, run by our own client.

use serde_json::json;

use super::tools::{Place, events, invoke, send};

const COMMON: &str = r#"
exports.async = async (event, context) => {
  console.log("hello from node");
  return { event, id: context.awsRequestId, left: context.getRemainingTimeInMillis() > 0,
           name: context.functionName, pid: process.pid };
};
exports.callback = (event, context, done) => setTimeout(() => done(null, { got: event }), 5);
exports.failing = async () => { throw new TypeError("no good"); };
exports.failback = (event, context, done) => done(new RangeError("not in range"));
exports.nothing = () => {};
exports.crash = () => new Promise(() => setTimeout(() => { throw new Error("out of nowhere"); }, 5));
exports.deep = { er: async () => "deep" };
exports.stream = awslambda.streamifyResponse(async (event, out, context) => {
  out = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { "x-a": "1" }, cookies: ["c=1"] });
  for (let i = 0; i < event.parts; i++) out.write(`part ${i};`);
  out.end();
});
exports.midway = awslambda.streamifyResponse(async (event, out) => {
  await new Promise((resolve) => out.write("some", resolve));
  throw new Error("broke");
});
exports.early = awslambda.streamifyResponse(async () => { throw new Error("too early"); });
"#;

const MODULE: &str = r#"
import { basename } from "node:path";
const at = await Promise.resolve("top level");
export const handler = async (event) => [basename("/a/b"), at, event];
export const extra = async () => "other";
"#;

fn place() -> Place {
    let mut place = Place::new();
    let names = ["async", "callback", "failing", "failback", "nothing", "crash", "stream", "midway", "early", "deep"];
    for name in names {
        let handler = if name == "deep" { "app.deep.er".to_owned() } else { format!("app.{name}") };
        place.function(name, "nodejs20.x", &handler, "app.js", COMMON);
    }
    place.function("module", "nodejs20.x", "app.handler", "app.mjs", MODULE);
    let typed = place.function("typed", "nodejs20.x", "app.handler", "app.js", MODULE).code.clone();
    std::fs::write(typed.join("package.json"), r#"{"type":"module"}"#).unwrap();
    place.function("absent", "nodejs20.x", "app.absent", "app.js", "exports.x = 1");
    place.function("syntax", "nodejs20.x", "app.handler", "app.js", "exports.x = (");
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_handler_is_called() {
    let place = place();
    let lambda = place.open();
    let got = invoke(&lambda, "async", r#"{"a":1}"#).await;
    assert_eq!((got.status, got.header("x-amz-function-error")), (200, None), "{got:?}");
    let seen = got.json();
    assert_eq!((&seen["event"], &seen["left"], &seen["name"]), (&json!({"a": 1}), &json!(true), &json!("async")));
    assert_eq!(seen["id"].as_str(), got.header("x-amzn-requestid"));
    assert!(got.log().contains("hello from node"));
    assert_eq!(invoke(&lambda, "async", "{}").await.json()["pid"], seen["pid"], "warm");
    for (name, want) in [
        ("callback", json!({"got": 7})),
        ("nothing", json!(null)),
        ("deep", json!("deep")),
        ("module", json!(["b", "top level", 7])),
        ("typed", json!(["b", "top level", 7])),
    ] {
        for _ in 0..2 {
            let got = invoke(&lambda, name, "7").await;
            assert_eq!((got.header("x-amz-function-error"), got.json()), (None, want.clone()), "{name}");
        }
    }
    for (name, kind, message) in [
        ("failing", "TypeError", "no good"),
        ("failback", "RangeError", "not in range"),
        ("crash", "Error", "out of nowhere"),
        ("absent", "Runtime.HandlerNotFound", "app.absent is undefined or not exported"),
        ("syntax", "SyntaxError", "Unexpected"),
        ("early", "Error", "too early"),
    ] {
        for _ in 0..2 {
            let got = invoke(&lambda, name, "7").await;
            assert_eq!((got.status, got.header("x-amz-function-error")), (200, Some("Unhandled")), "{name} {got:?}");
            let error = got.json();
            assert_eq!(error["errorType"], kind, "{name}");
            assert!(error["errorMessage"].as_str().unwrap().contains(message), "{name}: {error}");
        }
    }
    lambda.close().await;
}

async fn streamed(lambda: &rimward::lambda::Lambda, name: &str, payload: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("/2021-11-15/functions/{name}/response-streaming-invocations");
    let got = send(lambda, "POST", &path, &[("x-amz-log-type", "Tail")], payload.to_owned()).await;
    assert_eq!((got.status, got.header("content-type")), (200, Some("application/vnd.amazon.eventstream")));
    assert_eq!(got.header("x-amz-executed-version"), Some("$LATEST"));
    events(&got.body)
}

fn payload(events: &[(String, Vec<u8>)]) -> Vec<u8> {
    events.iter().filter(|(kind, _)| kind == "PayloadChunk").flat_map(|(_, payload)| payload.clone()).collect()
}

fn end(events: &[(String, Vec<u8>)]) -> serde_json::Value {
    let (kind, payload) = events.last().unwrap();
    assert_eq!(kind, "InvokeComplete");
    serde_json::from_slice(payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stream() {
    let place = place();
    let lambda = place.open();
    let want =
        [&br#"{"statusCode":201,"headers":{"x-a":"1"},"cookies":["c=1"]}"#[..], &[0; 8], b"part 0;part 1;"].concat();
    for _ in 0..2 {
        let events = streamed(&lambda, "stream", r#"{"parts":2}"#).await;
        assert_eq!(payload(&events), want);
        assert!(end(&events)["ErrorCode"].is_null() && end(&events)["LogResult"].is_string());
        // Asked for whole, it is collected.
        let whole = invoke(&lambda, "stream", r#"{"parts":2}"#).await;
        assert_eq!((whole.status, &whole.body[..]), (200, &want[..]));
    }
    let many = payload(&streamed(&lambda, "stream", r#"{"parts":10000}"#).await);
    assert_eq!(many.len(), want.len() - 14 + (0..10_000).map(|i| format!("part {i};").len()).sum::<usize>());

    let broken = streamed(&lambda, "midway", "{}").await;
    assert_eq!(payload(&broken), b"some");
    assert_eq!(end(&broken)["ErrorCode"], "Unhandled");
    assert!(end(&broken)["ErrorDetails"].as_str().unwrap().contains("broke"));

    // A handler that does not stream comes as one piece; one that fails before it streams has none.
    assert_eq!(payload(&streamed(&lambda, "deep", "{}").await), b"\"deep\"");
    let early = streamed(&lambda, "early", "{}").await;
    assert!(payload(&early).is_empty() && end(&early)["ErrorDetails"].as_str().unwrap().contains("too early"));
    lambda.close().await;
}
