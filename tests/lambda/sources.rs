//! Functions called with the changes of tables: in order, none skipped, whatever happens to this process.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rimward::config::compiled::{CacheBounds, DynamoDb, DynamoEndpoint, DynamoKey, DynamoTable, LambdaEvents};
use rimward::config::event_pattern::EventPattern;
use rimward::config::secret::Secret;
use rimward::dynamo::{Caller, Dynamo};
use rimward::lambda::Lambda;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::control::serve;
use super::running::until;
use super::tools::{Place, python};

/// Appends each call's records to a file, one line a call; fails when a record says so.
const HANDLER: &str = r#"
const fs = require("fs");
exports.handler = async (event, context) => {
  const file = process.env.MARKS + "/" + context.functionName;
  const calls = event.Records ?? [event];
  if (calls.some((one) => one.dynamodb?.Keys.pk.S.startsWith("bad"))) throw new Error("a bad record");
  fs.appendFileSync(file, JSON.stringify(calls) + "\n");
};
"#;

pub fn tables(state: &Path) -> Dynamo {
    let off = CacheBounds { ttl: Duration::ZERO, size: 0 };
    let table = |name: &str| DynamoTable {
        name: name.into(),
        hash: DynamoKey { name: "pk".into(), kind: "S" },
        range: None,
        indexes: Vec::new(),
        stream: Some("NEW_AND_OLD_IMAGES"),
        ttl: None,
        global: false,
        capacity: None,
    };
    let spec = DynamoDb {
        listen: None,
        access: None,
        endpoint: DynamoEndpoint::Embedded,
        region: "eu-west-1".into(),
        account: "000000000000".into(),
        throttle: false,
        items: off,
        queries: off,
        follow: None,
        ttl_sweep: Duration::from_secs(3600),
        threads: 1,
        queue: 1024,
        sync_full: false,
        node: "fra".into(),
        tables: vec![table("todo")],
    };
    Dynamo::open(&spec, state, Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap())).unwrap()
}

pub async fn put(tables: &Dynamo, key: &str, n: usize) {
    let item = json!({ "pk": { "S": key }, "n": { "N": n.to_string() } });
    tables.call(&Caller::inside(), "PutItem", json!({ "TableName": "todo", "Item": item })).await.unwrap();
}

pub fn events() -> LambdaEvents {
    LambdaEvents {
        table: "todo".into(),
        batch: 100,
        parallel: 1,
        window: Duration::ZERO,
        latest: false,
        patterns: Vec::new(),
        bisect: false,
        report: false,
        retries: None,
        age: None,
        on_failure: None,
    }
}

fn add(place: &mut Place, name: &str, marks: &Path, events: Vec<LambdaEvents>) {
    let function = place.function(name, "nodejs22.x", "app.handler", "app.js", HANDLER);
    function.environment = vec![("MARKS".into(), Secret::new(marks.to_str().unwrap().to_owned()))];
    function.events = events;
}

/// What a function was called with, call by call.
fn calls(marks: &Path, function: &str) -> Vec<Vec<Value>> {
    let text = std::fs::read_to_string(marks.join(function)).unwrap_or_default();
    // A line that is being written is none yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(calls: &[Vec<Value>]) -> Vec<String> {
    let of = |record: &Value| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
    calls.iter().flatten().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_calls_functions() {
    let (mut place, marks) = (Place::new(), tempfile::TempDir::new().unwrap());
    let listener = "arn:aws:lambda:eu-west-1:000000000000:function:listener".to_owned();
    let pattern = r#"{"eventName":["MODIFY"],"dynamodb":{"NewImage":{"n":{"N":[{"numeric":[">",1]}]}}}}"#;
    add(
        &mut place,
        "all",
        marks.path(),
        vec![LambdaEvents { bisect: true, retries: Some(1), on_failure: Some(listener), ..events() }],
    );
    add(
        &mut place,
        "few",
        marks.path(),
        vec![LambdaEvents { patterns: vec![EventPattern::parse(pattern).unwrap()], batch: 1, ..events() }],
    );
    add(&mut place, "late", marks.path(), vec![LambdaEvents { latest: true, ..events() }]);
    add(&mut place, "listener", marks.path(), Vec::new());
    let tables = tables(&place.state());
    for key in ["a", "b", "bad", "c", "a", "a"] {
        put(&tables, key, 1).await;
    }
    put(&tables, "a", 2).await;
    put(&tables, "a", 3).await;
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), None).unwrap();
    until("every record but the bad one", || keys(&calls(marks.path(), "all")).len() == 5).await;
    // What changed nothing is no record.
    assert_eq!(keys(&calls(marks.path(), "all")), ["a", "b", "c", "a", "a"]);
    let record = calls(marks.path(), "all")[0][0].clone();
    assert_eq!((&record["eventName"], &record["eventSource"]), (&json!("INSERT"), &json!("aws:dynamodb")));
    assert_eq!((&record["eventVersion"], &record["awsRegion"]), (&json!("1.1"), &json!("eu-west-1")));
    let arn = record["eventSourceARN"].as_str().unwrap().to_owned();
    assert!(arn.starts_with("arn:aws:dynamodb:eu-west-1:000000000000:table/todo/stream/"), "{arn}");
    assert_eq!(record["dynamodb"]["NewImage"]["n"], json!({ "N": "1" }));

    until("the changes that fit", || calls(marks.path(), "few").len() == 2).await;
    let numbers: Vec<_> =
        calls(marks.path(), "few").iter().map(|call| call[0]["dynamodb"]["NewImage"]["n"]["N"].clone()).collect();
    assert_eq!(numbers, ["2", "3"], "one record a call");

    until("it is told", || calls(marks.path(), "listener").len() == 1).await;
    let told = calls(marks.path(), "listener")[0][0].clone();
    assert_eq!(told["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(told["responseContext"]["functionError"], "Unhandled");
    let info = &told["DDBStreamBatchInfo"];
    assert_eq!((&info["batchSize"], &info["streamArn"]), (&json!(1), &json!(arn)));
    assert_eq!(info["startSequenceNumber"], info["endSequenceNumber"]);

    let named = |name: &str| lambda.sources().into_iter().find(|source| source.function == name).unwrap();
    until("it is at the end", || named("late").state == "Enabled").await;
    put(&tables, "new", 1).await;
    until("what is new", || !calls(marks.path(), "late").is_empty()).await;
    assert_eq!(keys(&calls(marks.path(), "late")), ["new"]);
    until("it is counted", || named("all").records == 7).await;
    let all = named("all");
    assert_eq!((all.given_up, all.result.as_str(), all.stream.as_ref()), (1, "OK", Some(&arn)));

    // Without the table's function, and with it again: it goes on where it was.
    let with = std::mem::take(&mut place.spec.functions[0].events);
    lambda.apply(&place.spec).unwrap();
    put(&tables, "while away", 1).await;
    until("the others go on", || keys(&calls(marks.path(), "late")).len() == 2).await;
    assert_eq!(keys(&calls(marks.path(), "all")).last().unwrap(), "new");
    place.spec.functions[0].events = with;
    lambda.apply(&place.spec).unwrap();
    until("it goes on", || keys(&calls(marks.path(), "all")).len() == 7).await;
    assert_eq!(keys(&calls(marks.path(), "all"))[5..], ["new", "while away"]);
    lambda.close().await;
    tables.close().await;
}

/// Serves tables without asking who calls.
pub async fn serve_tables(tables: Dynamo) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tables = tables.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let tables = tables.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let answer = tables.handle(&Caller::inside(), Request::from_parts(head, body)).await;
                    Ok::<_, Infallible>(answer.map(Full::new))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_maps_streams_to_functions() {
    let (mut place, marks) = (Place::new(), tempfile::TempDir::new().unwrap());
    add(&mut place, "f", marks.path(), Vec::new());
    add(&mut place, "configured", marks.path(), vec![events()]);
    let tables = tables(&place.state());
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), None).unwrap();
    let urls =
        [format!("http://{}", serve(lambda.clone()).await), format!("http://{}", serve_tables(tables.clone()).await)];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lambda/sources.py");
    let mut script = tokio::process::Command::new(python()).arg(script).args(urls).arg(marks.path()).spawn().unwrap();
    assert!(script.wait().await.unwrap().success());
    lambda.close().await;
    tables.close().await;
}

/// Not a test of its own: the process that the next one kills. Writes items and says so, while a function is called with them.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("RIMWARD_LAMBDA_SOURCES") else { return };
    let (mut place, dir) = (Place::new(), Path::new(&dir));
    let round = std::env::var("RIMWARD_LAMBDA_ROUND").unwrap();
    add(&mut place, "f", &dir.join("marks"), vec![LambdaEvents { batch: 5, ..events() }]);
    let tables = tables(&dir.join("state"));
    let _lambda = Lambda::open(&place.spec, &dir.join("state"), Some(tables.clone()), None).unwrap();
    for n in 0.. {
        put(&tables, &format!("{}", n % 3), n).await;
        println!("written {round}.{n}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_skips_no_record() {
    python();
    let dir = tempfile::TempDir::new().unwrap();
    let marks = dir.path().join("marks");
    std::fs::create_dir(&marks).unwrap();
    let mut written = 0;
    for round in 0..3usize {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "sources::victim", "--nocapture"]);
        child.env("RIMWARD_LAMBDA_SOURCES", dir.path()).env("RIMWARD_LAMBDA_ROUND", round.to_string());
        let mut child = child.env("TMPDIR", dir.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (before, mut heard) = (calls(&marks, "f").len(), 0);
        for line in lines {
            if !line.contains("written ") {
                continue;
            }
            heard += 1;
            // In the midst of writing and of calling: later each time.
            if heard >= 40 && calls(&marks, "f").len() > before + 2 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= 40, "the victim ended by itself");
        written += heard;
    }
    let mut place = Place::new();
    add(&mut place, "f", &marks, vec![LambdaEvents { batch: 5, ..events() }]);
    let tables = tables(&dir.path().join("state"));
    let lambda = Lambda::open(&place.spec, &dir.path().join("state"), Some(tables.clone()), None).unwrap();
    put(&tables, "last", 0).await;
    until("the last record", || keys(&calls(&marks, "f")).last().is_some_and(|key| key == "last")).await;
    lambda.close().await;

    // The stream itself says what there was; the first time that each record was called with is in its order.
    let ask = async |operation: &str, request: Value| -> Value {
        let answer = tables.call(&Caller::inside(), operation, request).await.unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    };
    let arn = ask("DescribeTable", json!({ "TableName": "todo" })).await["Table"]["LatestStreamArn"].clone();
    let shard = ask("DescribeStream", json!({ "StreamArn": arn })).await["StreamDescription"]["Shards"][0].clone();
    let from = json!({ "StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON" });
    let mut iterator = ask("GetShardIterator", from).await["ShardIterator"].clone();
    let number = |record: &Value| record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned();
    let mut want = Vec::new();
    loop {
        let page = ask("GetRecords", json!({ "ShardIterator": iterator })).await;
        let records = page["Records"].as_array().unwrap();
        if records.is_empty() {
            break;
        }
        want.extend(records.iter().map(number));
        iterator = page["NextShardIterator"].clone();
    }
    assert!(want.len() > written, "{} records of {written} writes", want.len());
    let mut seen = std::collections::HashSet::new();
    let got: Vec<String> =
        calls(&marks, "f").iter().flatten().map(number).filter(|one| seen.insert(one.clone())).collect();
    assert_eq!(got, want);
    tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_turned_off_is_read_to_its_end() {
    let (mut place, marks) = (Place::new(), tempfile::TempDir::new().unwrap());
    add(&mut place, "behind", marks.path(), vec![events()]);
    let tables = tables(&place.state());
    for key in ["a", "b", "c"] {
        put(&tables, key, 1).await;
    }
    let off = json!({ "TableName": "todo", "StreamSpecification": { "StreamEnabled": false } });
    tables.call(&Caller::inside(), "UpdateTable", off).await.unwrap();
    put(&tables, "d", 1).await;
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), None).unwrap();
    until("what was written while the stream was on", || keys(&calls(marks.path(), "behind")).len() == 3).await;
    assert_eq!(keys(&calls(marks.path(), "behind")), ["a", "b", "c"]);
    lambda.close().await;
    tables.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_turned_off_and_on_between_two_looks_loses_nothing() {
    let (mut place, marks) = (Place::new(), tempfile::TempDir::new().unwrap());
    add(&mut place, "all", marks.path(), vec![events()]);
    let tables = tables(&place.state());
    let turn = async |on: bool| {
        let mut streams = json!({ "StreamEnabled": on });
        if on {
            streams["StreamViewType"] = "NEW_AND_OLD_IMAGES".into();
        }
        let change = json!({ "TableName": "todo", "StreamSpecification": streams });
        tables.call(&Caller::inside(), "UpdateTable", change).await.unwrap();
    };
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), None).unwrap();
    put(&tables, "a", 1).await;
    until("the first record", || keys(&calls(marks.path(), "all")).len() == 1).await;
    lambda.close().await;
    // Nobody looks meanwhile.
    put(&tables, "b", 1).await;
    turn(false).await;
    put(&tables, "of no stream", 1).await;
    turn(true).await;
    put(&tables, "c", 1).await;
    turn(false).await;
    turn(true).await;
    put(&tables, "d", 1).await;
    let lambda = Lambda::open(&place.spec, &place.state(), Some(tables.clone()), None).unwrap();
    until("the records of all streams", || keys(&calls(marks.path(), "all")).len() == 4).await;
    assert_eq!(keys(&calls(marks.path(), "all")), ["a", "b", "c", "d"]);
    lambda.close().await;
    tables.close().await;
}
