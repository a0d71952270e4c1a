//! Lambda: handlers of any event, as Lambda's Node runs them, and the clients of DynamoDB that it carries.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rimward::access::sigv4::Verifier;
use rimward::config::compiled::{FetchGrant, FetchHost, Flavor, Grants, Signer};
use rimward::hooks::build::Source;
use serde_json::{Value, json};

use crate::bench::{Bench, text};
use crate::exchange::{NOW_MS, with_config};
use crate::wire::{ID, SECRET, Sent, signer, with_secret};

/// A bundle of these files, and what its handler is called.
fn bundle(files: &[(&str, &str)], handler: &str) -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    }
    let source = Source::Lambda { dir: dir.path().to_owned(), handler: handler.to_owned() };
    (dir, source)
}

/// What an engine's handler returned, as JSON, or threw.
pub async fn ask(bench: &Bench, event: &Value) -> Result<Value, String> {
    let (called, said) = bench.ask(&event.to_string()).await;
    let said = said.unwrap_or_else(|| panic!("{:?} {:?}", called.outcome, called.logs));
    said.map(|text| serde_json::from_str(&text).unwrap())
}

// --- what a handler is given

#[tokio::test]
async fn handlers_return_call_back_and_fail() {
    for (source, want) in [
        ("exports.handler = async (event) => ({ got: event.a });", Ok(json!({"got": 1}))),
        ("exports.handler = (event, context, callback) => callback(null, [event.a]);", Ok(json!([1]))),
        ("exports.handler = (event, context) => context.succeed('s');", Ok(json!("s"))),
        ("exports.handler = (event, context) => context.done(null, 'd');", Ok(json!("d"))),
        ("exports.handler = (event, context) => context.fail(new RangeError('f'));", Err("RangeError: f")),
        ("exports.handler = async () => { throw new TypeError('t'); };", Err("TypeError: t")),
        ("exports.handler = (event, context, callback) => { callback('words'); };", Err("string: words")),
        ("exports.handler = () => {};", Ok(Value::Null)),
        (
            "exports.handler = (event, context, callback) => {
                let late = 'no';
                setTimeout(() => { late = 'yes'; }, 50);
                context.callbackWaitsForEmptyEventLoop = false;
                callback(null, () => late);
                callback(null, late);
            };",
            Ok(Value::Null),
        ),
    ] {
        let bench = Bench::granted(&text("index.js", source), Flavor::LambdaEdge, 1, Grants::default());
        assert_eq!(ask(&bench, &json!({"a": 1})).await, want.map_err(str::to_owned), "{source}");
    }
}

#[tokio::test]
async fn the_context_is_lambdas_however_the_handler_is_written() {
    let of = "[context.functionName, context.awsRequestId, typeof context.functionVersion, context.memoryLimitInMB, context.callbackWaitsForEmptyEventLoop,
        context.getRemainingTimeInMillis() > 0 && context.getRemainingTimeInMillis() <= 30000, typeof context.done,
        context.invokedFunctionArn === `arn:aws:lambda:us-east-1:000000000000:function:js:${context.functionVersion}`]";
    for head in [
        "async (event, context) =>",
        "async function (event, context)",
        "async (event, context = {}) =>",
        "async function (event) { const context = arguments[1]; return go(context); }; function go(context)",
        "(event, ...rest) => go(...rest); async function go(context)",
        "(event, context, callback) => go(context).then((v) => callback(null, v)); async function go(context)",
    ] {
        let source = format!("exports.handler = {head} {{ return {of}; }};");
        let bench = Bench::granted(&text("index.js", &source), Flavor::LambdaEdge, 1, Grants::default());
        let want = json!(["js", "id", "string", "128", true, true, "function", true]);
        assert_eq!(ask(&bench, &json!({})).await, Ok(want), "{source}");
    }
}

#[tokio::test]
async fn the_environment_and_the_log_are_lambdas() {
    let source = "const table = process.env.TABLE, region = process.env.AWS_REGION;
        exports.handler = async () => {
            console.log('said', { a: 1 });
            console.error('failed');
            return [table, region, process.env.AWS_LAMBDA_FUNCTION_NAME, process.env.NONE ?? null, Object.keys(process.env).includes('TABLE')];
        };";
    let grants = with_config(&[("TABLE", "todo"), ("AWS_REGION", "eu-central-1")]);
    let bench = Bench::granted(&text("index.js", source), Flavor::LambdaEdge, 1, grants);
    let (called, said) = bench.ask("{}").await;
    let got: Value = serde_json::from_str(&said.unwrap().unwrap()).unwrap();
    assert_eq!(got, json!(["todo", "eu-central-1", "js", null, true]));
    let logs: Vec<&str> = called.logs.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(logs, ["said { a: 1 }", "failed"]);
}

#[tokio::test]
async fn the_handler_has_the_name_that_lambda_gives_it() {
    for (files, handler, want) in [
        (
            vec![("src/app.js", "exports.other = async () => 1; exports.handler = async () => 2;")],
            "src/app.other",
            Ok(1),
        ),
        (vec![("app.mjs", "export const lambdaHandler = async () => 3;")], "app.lambdaHandler", Ok(3)),
        (vec![("a.js", "exports.api = { get: async () => 4 };")], "a.api.get", Ok(4)),
        (vec![("a.js", "exports.handler = async () => 5;")], "a.gone", Err("a.js does not export a function 'gone'")),
    ] {
        let (_dir, source) = bundle(&files, handler);
        match want {
            Ok(want) => {
                let bench = Bench::granted(&source, Flavor::LambdaEdge, 1, Grants::default());
                assert_eq!(ask(&bench, &json!({})).await, Ok(json!(want)), "{handler}");
            }
            Err(words) => {
                let error = crate::bench::build(&source, Flavor::LambdaEdge, rimward::config::compiled::Mode::Extended);
                let error = error.unwrap_err().to_string();
                assert!(error.contains(words), "{error}");
            }
        }
    }
}

// --- DynamoDB's clients

#[tokio::test]
async fn a_package_of_the_bundle_is_preferred() {
    let ask_all = "
        import * as client from '@aws-sdk/client-dynamodb';
        import { createRequire } from 'node:module';
        const lib = createRequire('/var/task/index.mjs')('@aws-sdk/lib-dynamodb');
        export const handler = async () => [client.mine ?? typeof client.DynamoDBClient, typeof lib.PutCommand];";
    let manifest = r#"{"name": "@aws-sdk/client-dynamodb", "main": "own.js"}"#;
    let own = [
        ("index.mjs", ask_all),
        ("node_modules/@aws-sdk/client-dynamodb/package.json", manifest),
        ("node_modules/@aws-sdk/client-dynamodb/own.js", "exports.mine = 'own';"),
    ];
    for (files, want) in [(&own[..], "own"), (&own[..1], "function")] {
        let (_dir, source) = bundle(files, "index.handler");
        let bench = Bench::granted(&source, Flavor::LambdaEdge, 1, Grants::default());
        assert_eq!(bench.built.deferred, None);
        assert_eq!(ask(&bench, &json!({})).await, Ok(json!([want, "function"])));
    }
}

#[tokio::test]
async fn other_packages_of_the_sdk_are_not_there() {
    for name in ["aws-sdk", "@aws-sdk/client-s3", "node:@aws-sdk/client-dynamodb", "@aws-sdk/client-dynamodb/x"] {
        let source = format!("exports.handler = async () => require('{name}');");
        let bench = Bench::granted(&text("index.js", &source), Flavor::LambdaEdge, 1, Grants::default());
        let error = ask(&bench, &json!({})).await.unwrap_err();
        assert!(error.contains(name.trim_start_matches("node:")), "{error}");
    }
}

/// What a table's endpoint was sent, and whether the signature was good.
type Heard = Arc<Mutex<Vec<(String, Result<(), String>, Value)>>>;

/// Answers in the order of `answers`, one request a connection, and keeps what it hears.
fn table(answers: &'static [(u16, &str)]) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Heard::default());
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        let verifier = Verifier::new(&Signer {
            service: "dynamodb".into(),
            regions: vec!["eu-central-1".into()],
            ..signer(true, with_secret(Some("session")))
        });
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let sent = read(&mut stream);
            let good = sent.verify(&verifier, NOW_MS).map(drop).map_err(|denied| format!("{denied:?}"));
            let target = sent.field("x-amz-target").unwrap_or_default().to_owned();
            kept.lock().push((target, good, serde_json::from_slice(&sent.body).unwrap()));
            let length = body.len();
            let head = "content-type: application/x-amz-json-1.0\r\nx-amzn-requestid: R\r\nconnection: close\r\n";
            write!(stream, "HTTP/1.1 {status} X\r\n{head}content-length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    (address, heard)
}

fn read(stream: &mut TcpStream) -> Sent {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the request is cut short");
        bytes.extend_from_slice(&piece[..count]);
        let sent = Sent::parse(std::str::from_utf8(&bytes).unwrap());
        if sent.field("content-length").is_some_and(|length| length == sent.body.len().to_string()) {
            return sent;
        }
    }
}

const HANDLER: &str = "
import { DynamoDBClient, ConditionalCheckFailedException } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, PutCommand, paginateQuery } from '@aws-sdk/lib-dynamodb';

const client = DynamoDBDocumentClient.from(new DynamoDBClient({}), { marshallOptions: { removeUndefinedValues: true } });
const TableName = process.env.TABLE;

export const lambdaHandler = async (event) => {
  const { Item, $metadata } = await client.send(new GetCommand({ TableName, Key: { id: event.pathParameters.id } }));
  const body = { item: { ...Item, tags: [...Item.tags], bytes: Item.bytes.length }, attempts: $metadata.attempts };
  try {
    await client.send(new PutCommand({ TableName, Item: { ...Item, gone: undefined, seen: 2 }, ConditionExpression: 'attribute_not_exists(id)' }));
  } catch (e) {
    if (!(e instanceof ConditionalCheckFailedException)) throw e;
    body.failed = e.message;
  }
  body.pages = [];
  for await (const page of paginateQuery({ client }, { TableName, KeyConditionExpression: 'a = :a', ExpressionAttributeValues: { ':a': 'é' } })) body.pages.push(page.Items);
  return { statusCode: 200, body };
};
";

#[tokio::test]
async fn a_handler_signs_its_requests_to_a_table() {
    let (address, heard) = table(&[
        (500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"again"}"#),
        (200, r#"{"Item":{"id":{"S":"7"},"n":{"N":"1.5"},"tags":{"SS":["x","y"]},"bytes":{"B":"AQID"}}}"#),
        (
            400,
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#,
        ),
        (200, r#"{"Items":[{"a":{"N":"1"}}],"LastEvaluatedKey":{"a":{"N":"1"}}}"#),
        (200, r#"{"Items":[{"a":{"NULL":true}}]}"#),
    ]);
    let mut grants = with_config(&[
        ("TABLE", "todo"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &format!("http://{address}")),
    ]);
    grants.fetch = Some(FetchGrant {
        allow: vec![FetchHost { pattern: "127.0.0.1".into(), port: Some(address.port()) }],
        private: vec!["127.0.0.0/8".parse().unwrap()],
        timeout: Duration::from_secs(10),
        requests: 8,
        body: 1 << 20,
    });
    let (_dir, source) = bundle(&[("src/app.mjs", HANDLER)], "src/app.lambdaHandler");
    let bench = Bench::granted(&source, Flavor::LambdaEdge, 1, grants);
    assert_eq!(bench.built.deferred.as_deref(), Some("process.env.TABLE"));
    let got = ask(&bench, &json!({"pathParameters": {"id": "7"}})).await.unwrap();
    let want = json!({
        "item": {"id": "7", "n": 1.5, "tags": ["x", "y"], "bytes": 3}, "attempts": 2,
        "failed": "The conditional request failed", "pages": [[{"a": 1}], [{"a": null}]],
    });
    assert_eq!(got["body"], want);
    let key = json!({"TableName": "todo", "Key": {"id": {"S": "7"}}});
    let query = json!({"TableName": "todo", "KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "é"}}});
    let mut next = query.clone();
    next["ExclusiveStartKey"] = json!({"a": {"N": "1"}});
    let item = json!({"id": {"S": "7"}, "n": {"N": "1.5"}, "tags": {"SS": ["x", "y"]}, "bytes": {"B": "AQID"}, "seen": {"N": "2"}});
    let put = json!({"TableName": "todo", "Item": item, "ConditionExpression": "attribute_not_exists(id)"});
    let heard = heard.lock();
    for ((target, good, body), want) in
        heard.iter().zip([("GetItem", &key), ("GetItem", &key), ("PutItem", &put), ("Query", &query), ("Query", &next)])
    {
        assert_eq!((target.as_str(), good), (format!("DynamoDB_20120810.{}", want.0).as_str(), &Ok(())));
        assert_eq!(body, want.1);
    }
    assert_eq!(heard.len(), 5);
}

#[tokio::test]
async fn a_table_that_was_not_granted_is_not_asked() {
    let source = "const { DynamoDB } = require('@aws-sdk/client-dynamodb');
        const tables = new DynamoDB({ region: 'eu-central-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } });
        exports.handler = async () => tables.listTables({});";
    let bench = Bench::granted(&text("index.js", source), Flavor::LambdaEdge, 1, Grants::default());
    assert_eq!(bench.built.deferred, None);
    assert_eq!(
        ask(&bench, &json!({})).await,
        Err("Error: denied: fetch was not granted; add `grants.fetch = { allow = [\"host\"] }` to the function"
            .to_owned())
    );
    let source = "exports.handler = async () => { await fetch('https://example.com/'); };";
    let bench = Bench::granted(&text("index.js", source), Flavor::LambdaEdge, 1, Grants::default());
    let error = ask(&bench, &json!({})).await.unwrap_err();
    let want = "TypeError: fetch failed (cause: Error: denied: fetch was not granted; add `grants.fetch = {";
    assert!(error.starts_with(want), "{error}");
    let bench = Bench::granted(
        &text(
            "index.js",
            "exports.handler = async () => new (require('@aws-sdk/client-dynamodb').DynamoDBClient)({}).config.credentials();",
        ),
        Flavor::LambdaEdge,
        1,
        Grants::default(),
    );
    let error = ask(&bench, &json!({})).await.unwrap_err();
    assert!(error.starts_with("CredentialsProviderError: "), "{error}");
}
