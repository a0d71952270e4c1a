//! JavaScript functions within this process: the engine instead of processes.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use rimward::config::secret::Secret;
use rimward::dynamo::Caller;
use rimward::hooks::build::{Builder, ENGINE};
use rimward::hooks::engine::{Engine, EngineSettings};
use rimward::hooks::host::fetch::Fetcher;
use rimward::lambda::{Lambda, Scripts};
use serde_json::{Value, json};

use super::sources::{events, put, serve_tables, tables};
use super::tools::{Place, invoke, send};

/// Bytes that an instance may have.
const MEMORY: usize = 256 << 20;

/// Compiling the engine takes seconds: once for all tests.
fn scripts() -> Scripts {
    static SHARED: OnceLock<(Engine, Arc<Builder>, tempfile::TempDir)> = OnceLock::new();
    let (engine, builder, _) = SHARED.get_or_init(|| {
        let dir = tempfile::TempDir::new().unwrap();
        let settings = EngineSettings { concurrency: 32, memory: MEMORY, artifacts: dir.path().join("artifacts") };
        (Engine::new(&settings).unwrap(), Arc::new(Builder::new(ENGINE)), dir)
    });
    Scripts::new(engine.clone(), Arc::clone(builder), Arc::new(Fetcher::new().unwrap()))
}

fn open(place: &Place) -> Lambda {
    Lambda::open(&place.spec, &place.state(), None, Some(scripts())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_run_as_by_nodes_runtime() {
    let mut place = Place::new();
    let code = r#"
        let calls = 0;
        const table = process.env.TABLE;
        exports.handler = async (event, context) => {
            console.log("said", event.a);
            console.error("failed");
            return { event, calls: ++calls, table, region: process.env.AWS_REGION, context: [
                context.functionName, context.functionVersion, context.invokedFunctionArn, context.memoryLimitInMB,
                context.awsRequestId.length, context.getRemainingTimeInMillis() > 0] };
        };"#;
    let function = place.function("f", "javascript", "app.handler", "app.js", code);
    function.environment = vec![("TABLE".into(), Secret::new("todo".into()))];
    let lambda = open(&place);
    let first = invoke(&lambda, "f", "{\"a\":1}").await;
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    let want = |a: u32, calls: u32| {
        json!({ "event": { "a": a }, "calls": calls, "table": "todo", "region": "eu-west-1",
            "context": ["f", "$LATEST", arn, "128", 36, true] })
    };
    assert_eq!((first.status, first.header("x-amz-function-error"), first.json()), (200, None, want(1, 1)));
    let (log, id) = (first.log(), first.header("x-amzn-requestid").unwrap().to_owned());
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert!(lines[1].ends_with(&format!("\t{id}\tINFO\tsaid 1")) && lines[2].ends_with("\tERROR\tfailed"), "{log}");
    assert_eq!(lines[3], format!("END RequestId: {id}"));
    assert!(lines[4].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")), "{log}");
    assert!(
        lines[4].contains("\tMemory Size: 128 MB\tMax Memory Used: ") && lines[4].contains("\tInit Duration: "),
        "{log}"
    );
    let second = invoke(&lambda, "f", "{\"a\":2}").await;
    assert_eq!(second.json(), want(2, 2), "what the handler keeps, it finds again");
    assert!(!second.log().contains("Init Duration"));
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_as_by_the_service() {
    let mut place = Place::new();
    let thrown = "exports.handler = async () => { throw new TypeError('t'); };";
    place.function("throws", "javascript", "app.handler", "app.js", thrown);
    place.function("loops", "javascript", "app.handler", "app.js", "exports.handler = async () => { for (;;); };");
    place.spec.functions.last_mut().unwrap().timeout = std::time::Duration::from_millis(300);
    let grows = "exports.handler = async () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20)); };";
    place.function("grows", "javascript", "app.handler", "app.js", grows);
    place.function("syntax", "javascript", "app.handler", "app.js", "exports.handler = async () => {");
    place.function("none", "javascript", "app.gone", "app.js", "exports.handler = async () => 1;");
    place.function(
        "large",
        "javascript",
        "app.handler",
        "app.js",
        "exports.handler = async () => 'x'.repeat(7 << 20);",
    );
    place.function(
        "nowhere",
        "javascript",
        "app.handler",
        "app.js",
        "exports.handler = async () => (await fetch('http://127.0.0.1:1/')).status;",
    );
    let lambda = open(&place);
    for (name, kind) in [
        ("throws", "TypeError"),
        ("loops", "Sandbox.Timedout"),
        ("syntax", "Runtime.UserCodeSyntaxError"),
        ("none", "Runtime.HandlerNotFound"),
        ("large", "Function.ResponseSizeTooLarge"),
    ] {
        let got = invoke(&lambda, name, "{}").await;
        assert_eq!((got.status, got.header("x-amz-function-error")), (200, Some("Unhandled")), "{name}: {got:?}");
        assert_eq!(got.json()["errorType"], kind, "{name}: {got:?}");
    }
    let got = invoke(&lambda, "throws", "{}").await;
    assert_eq!(got.json()["errorMessage"], "t");
    assert!(got.json()["trace"].is_array() && got.log().contains("\tERROR\tInvoke Error \t{"), "{got:?} {}", got.log());
    let got = invoke(&lambda, "loops", "{}").await;
    assert!(
        got.log().contains("Task timed out after 0.30 seconds") && got.log().contains("Status: timeout"),
        "{}",
        got.log()
    );
    // Out of memory may be the engine's or the handler's own to say.
    for name in ["grows", "nowhere"] {
        let got = invoke(&lambda, name, "{}").await;
        assert_eq!((got.status, got.header("x-amz-function-error")), (200, Some("Unhandled")), "{name}: {got:?}");
    }
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_api_are_versions_too() {
    let place = Place::new();
    let lambda = open(&place);
    let package = |text: &str| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("app.mjs", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(zip.finish().unwrap().into_inner())
    };
    let code = |n: u32| package(&format!("export const handler = async (event) => [{n}, event];"));
    let role = "arn:aws:iam::000000000000:role/r";
    let create = json!({ "FunctionName": "f", "Runtime": "javascript", "Handler": "app.handler", "Role": role, "Publish": true, "Code": { "ZipFile": code(1) } });
    assert_eq!(send(&lambda, "POST", "/2015-03-31/functions", &[], create.to_string()).await.status, 201);
    assert_eq!(invoke(&lambda, "f", "7").await.json(), json!([1, 7]));
    let update = json!({ "ZipFile": code(2) }).to_string();
    assert_eq!(send(&lambda, "PUT", "/2015-03-31/functions/f/code", &[], update).await.status, 200);
    assert_eq!(invoke(&lambda, "f", "7").await.json(), json!([2, 7]));
    assert_eq!(invoke(&lambda, "f:1", "7").await.json(), json!([1, 7]));
    // Many at once, and more than the engine has room for are throttled, not failed.
    let calls = (0..64).map(|n| {
        let lambda = lambda.clone();
        tokio::spawn(async move { invoke(&lambda, "f", n.to_string()).await })
    });
    for (n, call) in calls.enumerate().collect::<Vec<_>>() {
        let got = call.await.unwrap();
        match got.status {
            200 => assert_eq!(got.json(), json!([2, n])),
            status => assert_eq!((status, got.header("x-amzn-errortype")), (429, Some("TooManyRequestsException"))),
        }
    }
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_reach_the_tables() {
    let mut place = Place::new();
    let tables = tables(&place.state());
    place.spec.endpoints = vec![("dynamodb".into(), format!("http://{}", serve_tables(tables.clone()).await))];
    let code = r#"
        const { DynamoDBClient } = require("@aws-sdk/client-dynamodb");
        const { DynamoDBDocumentClient, GetCommand, PutCommand } = require("@aws-sdk/lib-dynamodb");
        const client = DynamoDBDocumentClient.from(new DynamoDBClient({}));
        exports.handler = async (event) => {
            if (event.Records) {
                const seen = event.Records.map((record) => record.dynamodb.Keys.pk.S).filter((key) => !key.startsWith("seen"));
                for (const key of seen) await client.send(new PutCommand({ TableName: "todo", Item: { pk: "seen " + key, n: 1 } }));
                return null;
            }
            return (await client.send(new GetCommand({ TableName: "todo", Key: { pk: event.key } }))).Item ?? null;
        };"#;
    place.function("f", "javascript", "app.handler", "app.js", code).events = vec![events()];
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), Some(scripts())).unwrap();
    put(&tables, "a", 5).await;
    assert_eq!(invoke(&lambda, "f", "{\"key\":\"a\"}").await.json(), json!({ "pk": "a", "n": 5 }));
    let asked = json!({ "TableName": "todo", "Key": { "pk": { "S": "seen a" } } });
    let mut item = None;
    for _ in 0..400 {
        let found = tables.call(&Caller::inside(), "GetItem", asked.clone()).await.unwrap();
        item = serde_json::from_slice::<Value>(&found.body).unwrap().get("Item").cloned();
        if item.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(item, Some(json!({ "pk": { "S": "seen a" }, "n": { "N": "1" } })), "its stream called it");
    lambda.close().await;
    tables.close().await;
}
