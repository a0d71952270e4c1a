//! Shards, iterators and pages, with a clock of the test's.

use super::*;
use crate::dynamo::engine::{Call, Embedded, Settings};
use parking_lot::Mutex;
use std::sync::Arc;

struct World {
    engine: Embedded,
    now: Arc<Mutex<Duration>>,
    _directory: tempfile::TempDir,
}

fn world(view: &str) -> World {
    let directory = tempfile::tempdir().unwrap();
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Arc::new(Mutex::new(real));
    let clock = Arc::clone(&now);
    let engine = Embedded::open(&Settings {
        directory: directory.path().to_owned(),
        sync_full: false,
        threads: 1,
        queue: 8,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        clock: Arc::new(move || *clock.lock()),
    })
    .unwrap();
    let world = World { engine, now, _directory: directory };
    world.create(view);
    world
}

impl World {
    fn create(&self, view: &str) {
        let create = json!({"TableName": "ttt", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": view}});
        let made = self.call(Op::CreateTable, create).unwrap();
        assert_eq!(made["TableDescription"]["StreamSpecification"]["StreamViewType"], view);
    }

    /// All that a stream has.
    fn records_of(&self, arn: &Value) -> Vec<Value> {
        let described = self.call(Op::DescribeStream, json!({"StreamArn": arn})).unwrap();
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        let request = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.call(Op::GetShardIterator, request).unwrap()["ShardIterator"].clone();
        self.page(&iterator, None).unwrap().0
    }

    fn call(&self, op: Op, request: Value) -> Result<Value, Fault> {
        let Value::Object(request) = request else { panic!("an object") };
        let reply = self.engine.call_now(Call { op, request, metered: false })?;
        Ok(serde_json::from_slice(&reply.body).unwrap())
    }

    fn put(&self, key: &str, value: &str) {
        let item = json!({"pk": {"S": key}, "v": {"S": value}});
        self.call(Op::PutItem, json!({"TableName": "ttt", "Item": item})).unwrap();
    }

    fn stream(&self) -> (Value, Value) {
        let arn = self.call(Op::ListStreams, json!({})).unwrap()["Streams"][0]["StreamArn"].clone();
        let described = self.call(Op::DescribeStream, json!({"StreamArn": arn})).unwrap();
        (arn, described["StreamDescription"].clone())
    }

    fn iterator(&self, kind: &str, number: Option<&Value>) -> Result<Value, Fault> {
        let (arn, stream) = self.stream();
        let mut request =
            json!({"StreamArn": arn, "ShardId": stream["Shards"][0]["ShardId"], "ShardIteratorType": kind});
        if let Some(number) = number {
            request["SequenceNumber"] = number.clone();
        }
        self.call(Op::GetShardIterator, request).map(|answer| answer["ShardIterator"].clone())
    }

    fn page(&self, iterator: &Value, limit: Option<usize>) -> Result<(Vec<Value>, Value), Fault> {
        let mut request = json!({ "ShardIterator": iterator });
        if let Some(limit) = limit {
            request["Limit"] = json!(limit);
        }
        let mut answer = self.call(Op::GetRecords, request)?;
        let Value::Array(records) = answer["Records"].take() else { panic!("a list") };
        Ok((records, answer["NextShardIterator"].take()))
    }

    fn all(&self) -> Vec<Value> {
        self.page(&self.iterator("TRIM_HORIZON", None).unwrap(), None).unwrap().0
    }
}

#[test]
fn a_stream_has_aws_shape() {
    let world = world("NEW_AND_OLD_IMAGES");
    let (arn, stream) = world.stream();
    let shard = stream["Shards"][0]["ShardId"].as_str().unwrap().to_owned();
    assert_eq!((shard.len(), &shard[..8], &shard[28..29]), (37, "shardId-", "-"));
    assert!(arn.as_str().unwrap().starts_with("arn:aws:dynamodb:eu-central-1:123456789012:table/ttt/stream/"));
    assert_eq!(stream["KeySchema"], json!([{"AttributeName": "pk", "KeyType": "HASH"}]));
    assert_eq!(stream["Shards"][0]["SequenceNumberRange"].get("EndingSequenceNumber"), None, "it is open");
    let rest = world.call(Op::DescribeStream, json!({"StreamArn": arn, "ExclusiveStartShardId": shard})).unwrap();
    assert_eq!(rest["StreamDescription"]["Shards"], json!([]));
    world.put("a", "1");
    world.put("a", "2");
    world.put("a", "2");
    world.call(Op::DeleteItem, json!({"TableName": "ttt", "Key": {"pk": {"S": "a"}}})).unwrap();
    world.call(Op::DeleteItem, json!({"TableName": "ttt", "Key": {"pk": {"S": "a"}}})).unwrap();
    let records = world.all();
    let names: Vec<_> = records.iter().map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"], "what changes nothing is not recorded");
    let change = &records[1];
    assert_eq!(
        (&change["awsRegion"], &change["eventSource"], &change["eventVersion"]),
        (&json!("eu-central-1"), &json!("aws:dynamodb"), &json!("1.1"))
    );
    assert_eq!(change["dynamodb"]["Keys"], json!({"pk": {"S": "a"}}));
    assert_eq!(change["dynamodb"]["OldImage"]["v"], json!({"S": "1"}));
    assert_eq!(change["dynamodb"]["NewImage"]["v"], json!({"S": "2"}));
    assert_eq!(change["dynamodb"]["SizeBytes"], 3 + 2 * 5);
}

#[test]
fn views_show_what_they_say() {
    for (view, old, new) in [
        ("KEYS_ONLY", false, false),
        ("NEW_IMAGE", false, true),
        ("OLD_IMAGE", true, false),
        ("NEW_AND_OLD_IMAGES", true, true),
    ] {
        let world = world(view);
        world.put("a", "1");
        world.put("a", "1");
        world.put("a", "2");
        let records = world.all();
        assert_eq!(records.len(), 2, "{view}");
        let change = &records[1]["dynamodb"];
        assert_eq!((change.get("OldImage").is_some(), change.get("NewImage").is_some()), (old, new), "{view}");
        assert_eq!(change["StreamViewType"], view);
        assert_eq!(world.stream().1["StreamViewType"], view);
        let described = world.call(Op::DescribeTable, json!({"TableName": "ttt"})).unwrap();
        assert_eq!(described["Table"]["StreamSpecification"]["StreamViewType"], view);
    }
}

#[test]
fn pages_and_places() {
    let world = world("KEYS_ONLY");
    let latest = world.iterator("LATEST", None).unwrap();
    for number in 0..25 {
        world.put(&number.to_string(), "v");
        world.put(&number.to_string(), "v");
    }
    let keys = |records: &[Value]| -> Vec<String> {
        records.iter().map(|record| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned()).collect()
    };
    let (mut iterator, mut found) = (world.iterator("TRIM_HORIZON", None).unwrap(), Vec::new());
    for want in [10, 10, 5, 0] {
        let (records, next) = world.page(&iterator, Some(10)).unwrap();
        assert_eq!(records.len(), want);
        found.extend(records);
        iterator = next;
    }
    assert_eq!(keys(&found), (0..25).map(|number| number.to_string()).collect::<Vec<_>>());
    let number = &found[20]["dynamodb"]["SequenceNumber"];
    let at = world.page(&world.iterator("AT_SEQUENCE_NUMBER", Some(number)).unwrap(), None).unwrap().0;
    let after = world.page(&world.iterator("AFTER_SEQUENCE_NUMBER", Some(number)).unwrap(), None).unwrap().0;
    assert_eq!((keys(&at).len(), keys(&after).len()), (5, 4));
    assert_eq!(world.page(&latest, None).unwrap().0.len(), 25, "LATEST of an empty stream is its beginning");
    let now = world.iterator("LATEST", None).unwrap();
    assert_eq!(world.page(&now, None).unwrap().0.len(), 0);
    let large = "z".repeat(300_000);
    for key in ["x", "y", "z", "w"] {
        world.put(key, &large);
    }
    let world = self::world("NEW_IMAGE");
    for key in ["x", "y", "z", "w"] {
        world.put(key, &large);
    }
    let (first, next) = world.page(&world.iterator("TRIM_HORIZON", None).unwrap(), None).unwrap();
    assert_eq!((first.len(), world.page(&next, None).unwrap().0.len()), (3, 1), "a megabyte a page");
}

#[test]
fn what_is_refused() {
    let world = world("KEYS_ONLY");
    world.put("a", "1");
    let (arn, _) = world.stream();
    let iterator = world.iterator("TRIM_HORIZON", None).unwrap();
    for (name, result, want) in [
        (
            "no such stream",
            world.call(Op::DescribeStream, json!({"StreamArn": "arn:aws:dynamodb:r:1:table/x/stream/1"})),
            "ResourceNotFoundException",
        ),
        ("no stream at all", world.call(Op::DescribeStream, json!({})), "ResourceNotFoundException"),
        (
            "no such shard",
            world.call(
                Op::GetShardIterator,
                json!({"StreamArn": arn, "ShardId": "shardId-0", "ShardIteratorType": "LATEST"}),
            ),
            "ResourceNotFoundException",
        ),
        ("no such type", world.iterator("NEWEST", None), "ValidationException"),
        ("a number too much", world.iterator("LATEST", Some(&json!("1"))), "ValidationException"),
        ("no number", world.iterator("AT_SEQUENCE_NUMBER", None), "ValidationException"),
        ("no iterator", world.call(Op::GetRecords, json!({"ShardIterator": "x"})), "ValidationException"),
        ("limit", world.call(Op::GetRecords, json!({"ShardIterator": iterator, "Limit": 1001})), "ValidationException"),
        (
            "limit of none",
            world.call(Op::GetRecords, json!({"ShardIterator": iterator, "Limit": 0})),
            "ValidationException",
        ),
    ] {
        assert_eq!(result.unwrap_err().name(), want, "{name}");
    }
    *world.now.lock() += Duration::from_secs(15 * 60 + 1);
    assert_eq!(world.page(&iterator, None).unwrap_err().name(), "ExpiredIteratorException");
}

#[tokio::test]
async fn a_day_is_kept() {
    use crate::dynamo::engine::Engine as _;
    let world = world("NEW_IMAGE");
    for number in 0..1200 {
        world.put(&number.to_string(), "v");
    }
    let number = world.all()[0]["dynamodb"]["SequenceNumber"].clone();
    *world.now.lock() += KEPT + Duration::from_secs(60);
    assert_eq!(world.all(), Vec::<Value>::new(), "what is older is not shown even before it is deleted");
    world.engine.sweep().await.unwrap();
    assert_eq!(world.iterator("AT_SEQUENCE_NUMBER", Some(&number)).unwrap_err().name(), "TrimmedDataAccessException");
    *world.now.lock() -= KEPT;
    assert_eq!(world.all(), Vec::<Value>::new(), "and then it is gone");
}

#[test]
fn a_stream_that_was_turned_off_is_read_to_its_end() {
    let world = world("OLD_IMAGE");
    for value in ["1", "2", "3"] {
        world.put("a", value);
    }
    let (arn, stream) = world.stream();
    let first = world.iterator("TRIM_HORIZON", None).unwrap();
    let turn = |on: bool| {
        let stream = match on {
            true => json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}),
            false => json!({"StreamEnabled": false}),
        };
        world.call(Op::UpdateTable, json!({"TableName": "ttt", "StreamSpecification": stream})).unwrap()
    };
    turn(false);
    world.put("a", "unseen");
    let described = world.call(Op::DescribeTable, json!({"TableName": "ttt"})).unwrap();
    assert_eq!((&described["Table"]["LatestStreamArn"], described["Table"].get("StreamSpecification")), (&arn, None));
    let (listed, ended) = world.stream();
    assert_eq!(
        (&listed, &ended["StreamStatus"], &ended["StreamViewType"]),
        (&arn, &json!("DISABLED"), &json!("OLD_IMAGE"))
    );
    assert_eq!(ended["Shards"][0]["ShardId"], stream["Shards"][0]["ShardId"]);
    let (page, next) = world.page(&first, Some(2)).unwrap();
    assert_eq!(page.len(), 2);
    let (page, end) = world.page(&next, Some(2)).unwrap();
    assert_eq!((page.len(), &end), (1, &Value::Null), "the iterator ends with the stream");
    assert_eq!(page[0]["dynamodb"]["OldImage"]["v"], json!({"S": "2"}));
    assert_eq!(
        ended["Shards"][0]["SequenceNumberRange"]["EndingSequenceNumber"],
        page[0]["dynamodb"]["SequenceNumber"]
    );
    let latest = world.iterator("LATEST", None).unwrap();
    assert_eq!(world.page(&latest, None).unwrap(), (Vec::new(), Value::Null));
    // Turned on again, it is another one, which knows nothing of the first.
    turn(true);
    world.put("a", "4");
    let all = world.call(Op::ListStreams, json!({})).unwrap()["Streams"].clone();
    let arns: Vec<&Value> = all.as_array().unwrap().iter().map(|one| &one["StreamArn"]).collect();
    assert_eq!((arns.len(), arns[0]), (2, &arn));
    let page = world.call(Op::ListStreams, json!({"Limit": 1})).unwrap();
    assert_eq!((&page["Streams"][0]["StreamArn"], &page["LastEvaluatedStreamArn"]), (&arn, &arn));
    let rest = world.call(Op::ListStreams, json!({"ExclusiveStartStreamArn": arn})).unwrap();
    assert_eq!((&rest["Streams"][0]["StreamArn"], rest.get("LastEvaluatedStreamArn")), (arns[1], None));
    assert_eq!((world.records_of(&arn).len(), world.records_of(arns[1]).len()), (3, 1));
    // What is deleted is kept for a day too, and one that comes after it under its name begins anew.
    world.call(Op::DeleteTable, json!({"TableName": "ttt"})).unwrap();
    let gone = world.records_of(arns[1]);
    assert_eq!((gone.len(), gone[0]["dynamodb"].get("OldImage")), (1, None));
    world.create("NEW_IMAGE");
    world.put("a", "5");
    let all = world.call(Op::ListStreams, json!({})).unwrap()["Streams"].clone();
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(world.records_of(&all[2]["StreamArn"]).len(), 1);
    turn(false);
    let described = world.call(Op::DescribeTable, json!({"TableName": "ttt"})).unwrap();
    assert_eq!(described["Table"]["LatestStreamArn"], all[2]["StreamArn"]);
}

#[tokio::test]
async fn a_stream_that_was_turned_off_is_forgotten_after_a_day() {
    use crate::dynamo::engine::Engine as _;
    let world = world("KEYS_ONLY");
    world.put("a", "1");
    let (arn, _) = world.stream();
    world.call(Op::UpdateTable, json!({"TableName": "ttt", "StreamSpecification": {"StreamEnabled": false}})).unwrap();
    world.engine.sweep().await.unwrap();
    assert_eq!(world.records_of(&arn).len(), 1);
    *world.now.lock() += KEPT + Duration::from_secs(60);
    world.engine.sweep().await.unwrap();
    assert_eq!(world.call(Op::ListStreams, json!({})).unwrap()["Streams"], json!([]));
    let gone = world.call(Op::DescribeStream, json!({"StreamArn": arn})).unwrap_err();
    assert_eq!(gone.name(), "ResourceNotFoundException");
}
