//! World: a cluster that fails as told, a front that follows it, and what is read there.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::config::compiled::CacheBounds;
use crate::dynamo::fault::Fault;
use crate::dynamo::{Caller, Clock, Dynamo, Outcome};

/// What GetRecords fails with: a status and a name.
pub type Failing = Arc<Mutex<Option<(u16, &'static str)>>>;

pub struct Cluster {
    pub dynamo: Dynamo,
    pub url: String,
    pub failing: Failing,
    pub serving: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

pub fn clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

pub fn spec(endpoint: DynamoEndpoint, ttl: u64, follow: Option<DynamoFollow>) -> DynamoDb {
    let bounds = CacheBounds { ttl: Duration::from_secs(ttl), size: 1 << 20 };
    DynamoDb {
        listen: None,
        access: None,
        endpoint,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        throttle: false,
        items: bounds,
        queries: bounds,
        follow,
        ttl_sweep: Duration::from_secs(3600),
        threads: 1,
        queue: 64,
        sync_full: false,
        node: "fra".into(),
        tables: Vec::new(),
    }
}

/// With a table that has a global index, and a stream if `view` says so.
pub async fn cluster(view: Option<&str>) -> Cluster {
    let directory = tempfile::tempdir().unwrap();
    let dynamo = Dynamo::open(&spec(DynamoEndpoint::Embedded, 0, None), directory.path(), clock()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (front, failing) = (dynamo.clone(), Failing::default());
    let fails = Arc::clone(&failing);
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let (front, fails) = (front.clone(), Arc::clone(&fails));
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (front, fails) = (front.clone(), Arc::clone(&fails));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let records =
                        head.headers.get("x-amz-target").is_some_and(|op| op.as_bytes().ends_with(b".GetRecords"));
                    let failing = fails.lock().filter(|_| records);
                    if let Some((status, name)) = failing {
                        let body = Bytes::from(Fault::service(name, "as told").body());
                        return Ok(hyper::Response::builder().status(status).body(Full::new(body)).unwrap());
                    }
                    let answer = front.handle(&Caller::inside(), http::Request::from_parts(head, body)).await;
                    Ok::<_, hyper::Error>(answer.map(Full::new))
                }
            });
            connections
                .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let mut create = json!({"TableName": "todo", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [attribute("pk"), attribute("owner")],
        "GlobalSecondaryIndexes": [{"IndexName": "by-owner", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}}]});
    if let Some(view) = view {
        create["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
    }
    let cluster = Cluster { dynamo, url, failing, serving, _directory: directory };
    cluster.ask("CreateTable", create).await;
    cluster
}

impl Cluster {
    /// As one of its own writers.
    pub async fn ask(&self, operation: &str, request: Value) {
        self.dynamo.call(&Caller::inside(), operation, request).await.unwrap();
    }

    pub async fn put(&self, key: &str, x: &str) {
        let item = json!({"pk": {"S": key}, "owner": {"S": "alice"}, "x": {"S": x}});
        self.ask("PutItem", json!({"TableName": "todo", "Item": item})).await;
    }

    pub async fn stream(&self, view: Option<&str>) {
        let stream = match view {
            Some(view) => json!({"StreamEnabled": true, "StreamViewType": view}),
            None => json!({"StreamEnabled": false}),
        };
        self.ask("UpdateTable", json!({"TableName": "todo", "StreamSpecification": stream})).await;
    }
}

pub fn open(url: &str, ttl: u64, clock: Clock) -> Dynamo {
    // What is behind by so much is another test's.
    let rules = DynamoFollow { lag: Duration::from_secs(60), poll: Duration::from_millis(10) };
    let endpoint = DynamoEndpoint::Remote { url: url.to_owned(), credentials: None };
    Dynamo::open(&spec(endpoint, ttl, Some(rules)), std::path::Path::new("/nonexistent"), clock).unwrap()
}

pub fn follower(url: &str) -> Dynamo {
    open(url, 3600, clock())
}

/// Every kind of read that is cached, of the item `key` and what it is among.
pub fn reads(key: &str) -> [(&'static str, Value); 5] {
    let query = |condition: &str, value: &str| {
        json!({"TableName": "todo", "KeyConditionExpression": condition,
        "ExpressionAttributeNames": {"#k": if value == "alice" { "owner" } else { "pk" }}, "ExpressionAttributeValues": {":v": {"S": value}}})
    };
    let mut owner = query("#k = :v", "alice");
    owner["IndexName"] = json!("by-owner");
    [
        ("GetItem", json!({"TableName": "todo", "Key": {"pk": {"S": key}}})),
        ("BatchGetItem", json!({"RequestItems": {"todo": {"Keys": [{"pk": {"S": key}}]}}})),
        ("Query", query("#k = :v", key)),
        ("Query", owner),
        ("Scan", json!({"TableName": "todo"})),
    ]
}

/// What is read, and what a cache had to do with it.
pub async fn ask(dynamo: &Dynamo, read: &(&str, Value)) -> (Outcome, String) {
    let answer = dynamo.call(&Caller::inside(), read.0, read.1.clone()).await.unwrap();
    (answer.cache.unwrap(), String::from_utf8(answer.body.to_vec()).unwrap())
}

pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn hits(dynamo: &Dynamo, read: &(&str, Value)) {
    until("a hit", async || matches!(ask(dynamo, read).await.0, Outcome::Hit { lag: Some(_), .. })).await;
}

pub async fn passes(dynamo: &Dynamo, read: &(&str, Value), why: Why) {
    let passed = async || matches!(ask(dynamo, read).await.0, Outcome::Behind(behind) if behind.why == why);
    until(why.as_str(), passed).await;
}
