//! Units that follow what is consumed, and items that expire, with a clock of the test's.

use super::*;
use crate::config::compiled::{CacheBounds, Capacity, DynamoEndpoint, DynamoKey, DynamoTable, Units};
use crate::dynamo::{Caller, Dynamo};
use parking_lot::Mutex;

/// Without caches and tables.
fn spec() -> DynamoDb {
    let off = CacheBounds { ttl: Duration::ZERO, size: 0 };
    DynamoDb {
        listen: None,
        access: None,
        endpoint: DynamoEndpoint::Embedded,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        throttle: true,
        items: off,
        queries: off,
        follow: None,
        ttl_sweep: Duration::from_secs(3600),
        threads: 1,
        queue: 8,
        sync_full: false,
        node: "fra".into(),
        tables: Vec::new(),
    }
}

#[tokio::test]
async fn units_follow_what_is_consumed() {
    let scaling = Scaling { min: 5, max: 50, target: 50 };
    let fixed = Units { units: 5, scaling: None };
    let table = DynamoTable {
        name: "todo".into(),
        hash: DynamoKey { name: "pk".into(), kind: "S" },
        range: None,
        indexes: Vec::new(),
        stream: None,
        ttl: Some("expires".into()),
        global: false,
        capacity: Some(Capacity { read: fixed, write: Units { units: 5, scaling: Some(scaling) } }),
    };
    let spec = DynamoDb { tables: vec![table], ..spec() };
    let directory = tempfile::tempdir().unwrap();
    let now = Arc::new(Mutex::new(Duration::from_secs(1_700_000_040)));
    let clock = Arc::clone(&now);
    let dynamo = Dynamo::open(&spec, directory.path(), Arc::new(move || *clock.lock())).unwrap();
    let mut tracked: Vec<Tracked> = spec.tables.iter().filter_map(tracked).collect();
    let described = async || {
        let answer = dynamo.call(&Caller::inside(), "DescribeTable", json!({"TableName": "todo"})).await.unwrap();
        let table: Value = serde_json::from_slice(&answer.body).unwrap();
        let units = |name: &str| table["Table"]["ProvisionedThroughput"][name].as_u64().unwrap();
        (units("ReadCapacityUnits"), units("WriteCapacityUnits"))
    };
    assert_eq!(described().await, (5, 5));
    // Ten units a second for two minutes.
    for want in [(5, 5), (5, 20)] {
        for _ in 0..6 {
            let item = json!({"pk": {"S": "a"}, "x": {"S": "z".repeat(100 * 1024 - 10)}});
            dynamo.call(&Caller::inside(), "PutItem", json!({"TableName": "todo", "Item": item})).await.unwrap();
        }
        *now.lock() += MINUTE;
        scale(&dynamo.front, &mut tracked).await;
        assert_eq!(described().await, want);
    }
    let ttl = dynamo.call(&Caller::inside(), "DescribeTimeToLive", json!({"TableName": "todo"})).await.unwrap();
    let ttl: Value = serde_json::from_slice(&ttl.body).unwrap();
    assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "expires");
    dynamo.close().await;
    drop(dynamo);
    // Opened again, the table is there as it was left.
    let clock = Arc::clone(&now);
    let dynamo = Dynamo::open(&spec, directory.path(), Arc::new(move || *clock.lock())).unwrap();
    let answer = dynamo.call(&Caller::inside(), "ListTables", json!({})).await.unwrap();
    assert_eq!(&answer.body[..], br#"{"TableNames":["todo"]}"#);
}

#[tokio::test]
async fn expired_items_leave_the_cache() {
    let key = |name: &str| DynamoKey { name: name.into(), kind: "S" };
    let table = |name: &str, ttl: Option<&str>| DynamoTable {
        name: name.into(),
        hash: key("pk"),
        range: None,
        indexes: Vec::new(),
        stream: None,
        ttl: ttl.map(Into::into),
        global: false,
        capacity: None,
    };
    let on = CacheBounds { ttl: Duration::from_secs(300), size: 1 << 20 };
    let spec = DynamoDb {
        items: on,
        queries: on,
        tables: vec![table("passing", Some("expires")), table("lasting", None)],
        ..spec()
    };
    let directory = tempfile::tempdir().unwrap();
    let now = Duration::from_secs(1_700_000_000);
    let dynamo = Dynamo::open(&spec, directory.path(), Arc::new(move || now)).unwrap();
    let ask = async |operation: &str, table: &str| {
        let request = match operation {
            "PutItem" => {
                json!({"TableName": table, "Item": {"pk": {"S": "a"}, "expires": {"N": "1600000000"}}})
            }
            "GetItem" => json!({"TableName": table, "Key": {"pk": {"S": "a"}}}),
            _ => json!({"TableName": table, "KeyConditionExpression": "pk = :a",
                "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        };
        let answer = dynamo.call(&Caller::inside(), operation, request).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let found = body.get("Item").or_else(|| body.pointer("/Items/0")).is_some();
        (found, answer.cache.map(|cache| cache.to_string()).unwrap_or_default())
    };
    let (hit, miss) = ("hit; age=0".to_owned(), "miss".to_owned());
    for table in ["passing", "lasting"] {
        ask("PutItem", table).await;
        for operation in ["GetItem", "Query"] {
            ask(operation, table).await;
            assert_eq!(ask(operation, table).await, (true, hit.clone()), "{operation} {table}");
        }
    }
    sweep(&dynamo.front).await;
    for operation in ["GetItem", "Query"] {
        assert_eq!(ask(operation, "passing").await, (false, miss.clone()), "{operation}: it is gone");
        assert_eq!(ask(operation, "lasting").await, (true, hit.clone()), "{operation}: nothing expires there");
    }
    dynamo.close().await;
}

#[tokio::test]
async fn what_expired_long_ago_is_kept() {
    let key = |name: &str, kind: &'static str| DynamoKey { name: name.into(), kind };
    let table = DynamoTable {
        name: "passing".into(),
        hash: key("pk", "S"),
        range: Some(key("sk", "N")),
        indexes: Vec::new(),
        stream: Some("NEW_AND_OLD_IMAGES"),
        ttl: Some("it's \"when\"".into()),
        global: false,
        capacity: None,
    };
    let spec = DynamoDb { tables: vec![table], ..spec() };
    let directory = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let dynamo = Dynamo::open(&spec, directory.path(), Arc::new(move || now)).unwrap();
    let ask = async |operation: &str, request: Value| -> Value {
        let answer = dynamo.call(&Caller::inside(), operation, request).await.unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    };
    let seconds = i64::try_from(now.as_secs()).unwrap();
    let five_years = 5 * 365 * 86_400;
    let times = [
        json!({"N": "0"}),
        json!({"N": "-5"}),
        json!({"N": (seconds - five_years - 1).to_string()}),
        json!({"N": (seconds - five_years).to_string()}),
        json!({"N": (seconds - 1).to_string()}),
        json!({"N": seconds.to_string()}),
        json!({"N": (seconds * 1000).to_string()}),
        json!({"N": format!("{}.5", seconds - 10)}),
        json!({"S": (seconds - 1).to_string()}),
    ];
    // More than are looked at at once.
    for round in 0..30 {
        for (at, time) in times.iter().enumerate() {
            let sort = (round * times.len() + at).to_string();
            let item =
                json!({"pk": {"S": "a"}, "sk": {"N": sort}, "case": {"N": at.to_string()}, "it's \"when\"": time});
            ask("PutItem", json!({"TableName": "passing", "Item": item})).await;
        }
    }
    sweep(&dynamo.front).await;
    let left = ask("Scan", json!({"TableName": "passing"})).await;
    let mut cases: Vec<&str> =
        left["Items"].as_array().unwrap().iter().map(|item| item["case"]["N"].as_str().unwrap()).collect();
    cases.sort_unstable();
    cases.dedup();
    assert_eq!((left["Count"].as_u64(), cases), (Some(210), vec!["0", "1", "2", "5", "6", "7", "8"]));
    let arn = ask("ListStreams", json!({})).await["Streams"][0]["StreamArn"].clone();
    let shard =
        ask("DescribeStream", json!({"StreamArn": arn})).await["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let first = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = ask("GetShardIterator", first).await["ShardIterator"].clone();
    let records = ask("GetRecords", json!({"ShardIterator": iterator})).await["Records"].clone();
    let removed: Vec<&Value> =
        records.as_array().unwrap().iter().filter(|record| record["eventName"] == "REMOVE").collect();
    assert_eq!(removed.len(), 60);
    for record in removed {
        assert_eq!(record["userIdentity"], json!({"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}));
    }
    dynamo.close().await;
}
