//! A stream whose shards end and are gone on for by others, told by an engine that has nothing else.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::world::{spec, until};
use super::*;
use crate::dynamo::cache::Caches;
use crate::dynamo::catalog::Catalog;
use crate::dynamo::engine::{Call, Engine, Reply, Swept};
use crate::dynamo::fault::Fault;
use crate::dynamo::op::Op;
use crate::dynamo::policy::Home;
use crate::dynamo::request::text;
use crate::dynamo::{Clock, Dynamo};

/// Records of one page.
const PAGE: usize = 2;

#[derive(Debug, Default)]
struct Told {
    shards: BTreeMap<String, Shard>,
    /// What was asked for: shards and kinds of iterators.
    iterators: Vec<String>,
    reading: HashSet<String>,
    /// Of the one item that there is.
    version: u32,
    /// GetRecords waits.
    stuck: bool,
}

#[derive(Debug, Default, Clone)]
struct Shard {
    parent: Option<&'static str>,
    closed: bool,
    records: usize,
}

#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[async_trait]
impl Engine for Script {
    async fn call(&self, call: Call) -> Result<Reply, Fault> {
        let member = |name: &str| text(&call.request, name).unwrap_or_default().to_owned();
        let answer = match call.op {
            Op::DescribeTable => {
                json!({"Table": {"TableName": "todo", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "StreamSpecification": {"StreamEnabled": true}, "LatestStreamArn": "arn"}})
            }
            Op::GetItem => json!({"Item": {"pk": {"S": "a"}, "version": {"N": self.0.lock().version.to_string()}}}),
            // An old replica, unless it is to be read consistently.
            Op::BatchGetItem => {
                let asked = &call.request["RequestItems"]["todo"];
                let strong = asked["ConsistentRead"] == json!(true);
                let version = if strong { self.0.lock().version.to_string() } else { "-1".to_owned() };
                let keys = asked["Keys"].as_array().into_iter().flatten();
                let items: Vec<Value> = keys.map(|key| json!({"pk": key["pk"], "version": {"N": version}})).collect();
                json!({"Responses": {"todo": items}, "UnprocessedKeys": {}})
            }
            // One a page.
            Op::DescribeStream => {
                let (told, after) = (self.0.lock(), member("ExclusiveStartShardId"));
                let mut rest = told.shards.iter().filter(|(id, _)| **id > after);
                let (id, shard) = rest.next().unwrap();
                let mut described = json!({"ShardId": id, "SequenceNumberRange": {"StartingSequenceNumber": "1"}});
                if let Some(parent) = shard.parent {
                    described["ParentShardId"] = json!(parent);
                }
                if shard.closed {
                    described["SequenceNumberRange"]["EndingSequenceNumber"] = json!("9");
                }
                let mut description = json!({"StreamStatus": "ENABLED", "Shards": [described]});
                if rest.next().is_some() {
                    description["LastEvaluatedShardId"] = json!(id);
                }
                json!({ "StreamDescription": description })
            }
            Op::GetShardIterator => {
                let (shard, kind) = (member("ShardId"), member("ShardIteratorType"));
                let mut told = self.0.lock();
                told.iterators.push(format!("{shard} {kind}"));
                let at = if kind == "LATEST" { told.shards[&shard].records } else { 0 };
                json!({"ShardIterator": format!("{shard}:{at}")})
            }
            _ => {
                let iterator = member("ShardIterator");
                let (shard, at) = iterator.split_once(':').unwrap();
                let at: usize = at.parse().unwrap();
                assert!(self.0.lock().reading.insert(shard.to_owned()), "one request a shard");
                tokio::time::sleep(Duration::from_millis(1)).await;
                while self.0.lock().stuck {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let mut told = self.0.lock();
                told.reading.remove(shard);
                let known = &told.shards[shard];
                let end = known.records.min(at + PAGE);
                let record = json!({"dynamodb": {"Keys": {"pk": {"S": "a"}}, "ApproximateCreationDateTime": 1.7e9}});
                let mut page = json!({"Records": vec![record; end - at]});
                if !known.closed || end < known.records {
                    page["NextShardIterator"] = json!(format!("{shard}:{end}"));
                }
                page
            }
        };
        Ok(Reply { body: answer.to_string().into_bytes(), consumed: Vec::new() })
    }

    fn meters(&self) -> bool {
        false
    }

    async fn sweep(&self) -> Result<Swept, Fault> {
        Ok(Swept::default())
    }

    async fn close(&self) {}
}

fn open(script: &Script, clock: Clock) -> Dynamo {
    let rules = DynamoFollow { lag: Duration::from_secs(2), poll: Duration::from_millis(5) };
    let endpoint = DynamoEndpoint::Remote { url: "http://told".into(), credentials: None };
    let spec = spec(endpoint, 3600, Some(rules));
    let front = Arc::new(Front {
        engine: Arc::new(script.clone()),
        catalog: Catalog::new(Duration::MAX),
        meter: Default::default(),
        metrics: Default::default(),
        caches: Caches::new(spec.items, spec.queries),
        follow: Follow::new(&spec),
        flights: Default::default(),
        home: Home { region: spec.region.clone(), account: spec.account.clone() },
        throttle: false,
        clock,
    });
    Dynamo { front, global: None }
}

#[tokio::test]
async fn shards_that_split_are_read_on() {
    let now = Arc::new(Mutex::new(Duration::from_secs(1_700_000_000)));
    let later = |seconds: u64| *now.lock() += Duration::from_secs(seconds);
    let (script, clock) = (Script::default(), Arc::clone(&now));
    let shard = |id: &str, parent, closed, records| {
        script.0.lock().shards.insert(id.to_owned(), Shard { parent, closed, records });
    };
    shard("a", None, true, 7);
    shard("b", Some("a"), false, 7);
    let dynamo = open(&script, Arc::new(move || *clock.lock()));
    let ask = async || {
        let get = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}});
        let answer = dynamo.call(&Caller::inside(), "GetItem", get).await.unwrap();
        let item: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.cache.unwrap(), item["Item"]["version"]["N"].as_str().unwrap().to_owned())
    };
    let hit = async |version: &str| {
        until(version, async || {
            let (outcome, found) = ask().await;
            matches!(outcome, Outcome::Hit { .. }) && found == version
        })
        .await;
    };
    let behind = |why, lag| Outcome::Behind(Behind { why, lag });
    hit("0").await;
    assert_eq!(script.0.lock().iterators, ["b LATEST"]);

    // A record more than what was read before, and more than one page of them.
    script.0.lock().version = 1;
    shard("b", Some("a"), false, 12);
    hit("1").await;

    // It ends, and what goes on for it is not told yet.
    script.0.lock().version = 2;
    shard("b", Some("a"), true, 12);
    later(3);
    until("no tip", async || ask().await.0 == behind(Why::Behind, Some(3000))).await;
    shard("c", Some("b"), false, 3);
    shard("d", Some("b"), false, 0);
    hit("2").await;
    let mut asked = script.0.lock().iterators.clone();
    asked.sort();
    assert_eq!(asked, ["b LATEST", "c TRIM_HORIZON", "d TRIM_HORIZON"], "what was written to them meanwhile is read");

    // An answer that does not come.
    script.0.lock().stuck = true;
    later(3);
    until("a lag", async || matches!(ask().await.0, Outcome::Behind(Behind { why: Why::Behind, .. }))).await;
    script.0.lock().stuck = false;
    hit("2").await;

    // Nothing goes on for one: all is begun anew in time.
    script.0.lock().version = 3;
    shard("c", Some("b"), true, 3);
    until("no tip", async || {
        later(1);
        matches!(ask().await.0, Outcome::Behind(_))
    })
    .await;
    until("a beginning", async || {
        later(1);
        script.0.lock().iterators.last().is_some_and(|last| last == "d LATEST")
    })
    .await;
    hit("3").await;
}

#[tokio::test]
async fn what_a_batch_fills_the_cache_with_is_read_consistently() {
    let script = Script::default();
    script.0.lock().version = 7;
    script.0.lock().shards.insert("a".to_owned(), Shard::default());
    let dynamo = open(&script, Arc::new(|| Duration::from_secs(1_700_000_000)));
    let batch = json!({"RequestItems": {"todo": {"Keys": [{"pk": {"S": "b"}}]}}});
    let ask = async || dynamo.call(&Caller::inside(), "BatchGetItem", batch.clone()).await.unwrap();
    until("a hit", async || matches!(ask().await.cache, Some(Outcome::Hit { .. }))).await;
    let kept: Value = serde_json::from_slice(&ask().await.body).unwrap();
    assert_eq!(kept["Responses"]["todo"], json!([{"pk": {"S": "b"}, "version": {"N": "7"}}]));
}
