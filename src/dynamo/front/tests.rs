//! Whole calls on a database of their own, with a clock of the test's.

use super::*;
use crate::config::compiled::{CacheBounds, DynamoDb, DynamoEndpoint};
use crate::config::iam::Policy;
use crate::dynamo::Dynamo;
use parking_lot::Mutex;

mod caches;

struct World {
    dynamo: Dynamo,
    now: Arc<Mutex<Duration>>,
    _directory: tempfile::TempDir,
}

fn spec(throttle: bool) -> DynamoDb {
    let off = CacheBounds { ttl: Duration::ZERO, size: 0 };
    DynamoDb {
        listen: None,
        access: None,
        endpoint: DynamoEndpoint::Embedded,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        throttle,
        items: off,
        queries: off,
        follow: None,
        ttl_sweep: Duration::from_secs(3600),
        threads: 2,
        queue: 64,
        sync_full: false,
        node: "fra".into(),
        tables: Vec::new(),
    }
}

async fn world(throttle: bool, mode: Value) -> World {
    world_of(spec(throttle), mode).await
}

async fn world_of(spec: DynamoDb, mode: Value) -> World {
    let directory = tempfile::tempdir().unwrap();
    let now = Arc::new(Mutex::new(Duration::from_secs(1_700_000_000)));
    let clock = Arc::clone(&now);
    let dynamo = Dynamo::open(&spec, directory.path(), Arc::new(move || *clock.lock())).unwrap();
    let world = World { dynamo, now, _directory: directory };
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let mut create = json!({"TableName": "todo", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [attribute("pk"), attribute("owner")],
        "GlobalSecondaryIndexes": [{"IndexName": "by-owner", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}}]});
    create.as_object_mut().unwrap().extend(mode.as_object().unwrap().clone());
    if let (Some(units), Value::Object(index)) =
        (mode.get("ProvisionedThroughput"), &mut create["GlobalSecondaryIndexes"][0])
    {
        index.insert("ProvisionedThroughput".into(), units.clone());
    }
    world.call("CreateTable", create).await.unwrap();
    world
}

fn on_demand() -> Value {
    json!({"BillingMode": "PAY_PER_REQUEST"})
}

fn provisioned(units: u64) -> Value {
    json!({"ProvisionedThroughput": {"ReadCapacityUnits": units, "WriteCapacityUnits": units}})
}

impl World {
    async fn call(&self, operation: &str, request: Value) -> Result<Value, Fault> {
        self.call_as(&Caller::inside(), operation, request).await
    }

    async fn call_as(&self, caller: &Caller, operation: &str, request: Value) -> Result<Value, Fault> {
        let answer = self.dynamo.call(caller, operation, request).await?;
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Units that a call is said to have consumed.
    async fn units(&self, operation: &str, mut request: Value) -> Value {
        request["ReturnConsumedCapacity"] = json!("INDEXES");
        self.call(operation, request).await.unwrap()["ConsumedCapacity"].take()
    }
}

fn put(key: &str, bytes: usize) -> Value {
    json!({"TableName": "todo", "Item": {"pk": {"S": key}, "x": {"S": "z".repeat(bytes)}}})
}

/// Section 1.5 of the reference, each rule once.
#[tokio::test]
async fn units_are_exact() {
    let world = world(false, on_demand()).await;
    let key = |key: &str| json!({"TableName": "todo", "Key": {"pk": {"S": key}}});
    let with = |mut request: Value, more: Value| {
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    // pk + a + x = 4 bytes beside the z's.
    for (name, operation, request, want) in [
        ("1024 bytes", "PutItem", put("a", 1020), 1.0),
        ("1025 bytes", "PutItem", put("a", 1021), 2.0),
        ("the larger of before and after", "PutItem", put("a", 1), 2.0),
        ("and then the smaller", "PutItem", put("a", 4092), 4.0),
        ("4096 bytes, eventual", "GetItem", key("a"), 0.5),
        ("4096 bytes, strong", "GetItem", with(key("a"), json!({"ConsistentRead": true})), 1.0),
        ("one byte more", "PutItem", put("a", 4093), 5.0),
        ("4097 bytes, strong", "GetItem", with(key("a"), json!({"ConsistentRead": true})), 2.0),
        ("a projection costs the item", "GetItem", with(key("a"), json!({"ProjectionExpression": "pk"})), 1.0),
        ("nothing there", "GetItem", key("none"), 0.5),
        ("delete of nothing", "DeleteItem", key("none"), 1.0),
        ("delete", "DeleteItem", key("a"), 5.0),
        (
            "an entry of an index",
            "PutItem",
            json!({"TableName": "todo", "Item": {"pk": {"S": "i"}, "owner": {"S": "o"}}}),
            2.0,
        ),
        (
            "an entry that moves",
            "PutItem",
            json!({"TableName": "todo", "Item": {"pk": {"S": "i"}, "owner": {"S": "p"}}}),
            3.0,
        ),
        (
            "an entry that stays",
            "PutItem",
            json!({"TableName": "todo", "Item": {"pk": {"S": "i"}, "owner": {"S": "p"}}}),
            1.0,
        ),
    ] {
        assert_eq!(world.units(operation, request).await["CapacityUnits"], json!(want), "{name}");
    }
    let items = |list: Value| json!({ "TransactItems": list });
    let transact = world.units("TransactWriteItems", items(json!([{"Put": put("t", 1021)}]))).await;
    assert_eq!((&transact[0]["CapacityUnits"], &transact[0]["WriteCapacityUnits"]), (&json!(4.0), &json!(4.0)));
    let transact = world.units("TransactGetItems", items(json!([{"Get": key("t")}]))).await;
    assert_eq!(transact[0]["CapacityUnits"], json!(2.0));
    for number in 0..3 {
        world.call("PutItem", put(&format!("s{number}"), 3000)).await.unwrap();
    }
    let keys = json!({"todo": {"Keys": [{"pk": {"S": "s0"}}, {"pk": {"S": "s1"}}]}});
    let batch = world.units("BatchGetItem", json!({ "RequestItems": keys })).await;
    assert_eq!(batch[0]["CapacityUnits"], json!(1.0), "each item rounds by itself");
    let scan = world.units("Scan", json!({"TableName": "todo", "FilterExpression": "begins_with(pk, :s)", "ExpressionAttributeValues": {":s": {"S": "s"}}})).await;
    assert_eq!(scan["CapacityUnits"], json!(1.5), "the sum of what was evaluated rounds once: 10 KB and a little");
    let total = json!({"TableName": "todo", "Item": {"pk": {"S": "n"}}, "ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(
        world.call("PutItem", total).await.unwrap()["ConsumedCapacity"],
        json!({"TableName": "todo", "CapacityUnits": 1.0})
    );
    let odd = json!({"TableName": "todo", "Item": {"pk": {"S": "n"}}, "ReturnConsumedCapacity": "ODD"});
    assert_eq!(world.call("PutItem", odd).await.unwrap_err().name(), "ValidationException");
}

#[tokio::test]
async fn throttling_counts_are_exact() {
    let world = world(true, provisioned(1)).await;
    let mut through = 0;
    let fault = loop {
        match world.call("PutItem", put("a", 10)).await {
            Ok(answer) => assert_eq!(answer, json!({})),
            Err(fault) => break fault,
        }
        through += 1;
    };
    assert_eq!((through, fault.name()), (300, "ProvisionedThroughputExceededException"));
    *world.now.lock() += Duration::from_secs(5);
    for want in [true, true, false] {
        assert_eq!(world.call("PutItem", put("a", 1500)).await.is_ok(), want, "two units each, ten seconds of one");
        if want {
            *world.now.lock() += Duration::from_millis(0);
        }
    }
    let put = |key: &str| json!({"PutRequest": {"Item": {"pk": {"S": key}}}});
    let batch = json!({"RequestItems": {"todo": [put("b"), put("c"), put("d")]}});
    let answer = world.call("BatchWriteItem", batch).await.unwrap();
    assert_eq!(answer["UnprocessedItems"], json!({"todo": [put("c"), put("d")]}));
    assert_eq!(world.dynamo.numbers().unprocessed, 2);
    assert_eq!(world.dynamo.numbers().throttled, 2);
}

#[tokio::test]
async fn failed_conditions_are_charged() {
    let world = world(true, provisioned(1)).await;
    world.call("PutItem", put("a", 100_000)).await.unwrap();
    let before = world.dynamo.numbers().write_units;
    let mut conditional = put("a", 1);
    conditional["ConditionExpression"] = json!("attribute_not_exists(pk)");
    let fault = world.call("PutItem", conditional.clone()).await.unwrap_err();
    assert_eq!((fault.name(), fault.more.get("Item")), ("ConditionalCheckFailedException", None));
    assert_eq!(world.dynamo.numbers().write_units - before, 98.0);
    conditional["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let fault = world.call("PutItem", conditional).await.unwrap_err();
    assert_eq!(fault.more["Item"]["pk"], json!({"S": "a"}));
    let before = world.dynamo.numbers().write_units;
    let check = json!({"ConditionCheck": {"TableName": "todo", "Key": {"pk": {"S": "a"}}, "ConditionExpression": "attribute_not_exists(pk)"}});
    let transaction = json!({"TransactItems": [check, {"Put": put("b", 1)}]});
    assert_eq!(world.call("TransactWriteItems", transaction).await.unwrap_err().name(), "TransactionCanceledException");
    assert_eq!(world.dynamo.numbers().write_units - before, 4.0);
}

#[tokio::test]
async fn policies_come_first_and_arns_are_names() {
    let world = world(true, on_demand()).await;
    let policy = json!({"Statement": [{"Effect": "Allow", "Action": "dynamodb:GetItem",
        "Resource": "arn:aws:dynamodb:eu-central-1:123456789012:table/todo",
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["alice"]}}}]});
    let alice = Caller { policy: Some(Arc::new(Policy::parse(&policy.to_string()).unwrap())), ..Caller::inside() };
    world.call("PutItem", put("alice", 1)).await.unwrap();
    let get = |key: &str| json!({"TableName": "arn:aws:dynamodb:eu-central-1:123456789012:table/todo", "Key": {"pk": {"S": key}}});
    assert_eq!(world.call_as(&alice, "GetItem", get("alice")).await.unwrap()["Item"]["pk"], json!({"S": "alice"}));
    for (operation, request) in [
        ("GetItem", get("bob")),
        ("PutItem", put("alice", 1)),
        ("ListTables", json!({})),
        ("Query", json!({"TableName": "todo"})),
    ] {
        assert_eq!(
            world.call_as(&alice, operation, request).await.unwrap_err().name(),
            "AccessDeniedException",
            "{operation}"
        );
    }
    assert_eq!(world.dynamo.numbers().denied, 4);
    let described = world.call("DescribeTable", json!({"TableName": "todo"})).await.unwrap();
    assert_eq!(described["Table"]["TableArn"], "arn:aws:dynamodb:eu-central-1:123456789012:table/todo");
    let tag = json!({"ResourceArn": described["Table"]["TableArn"], "Tags": [{"Key": "a", "Value": "b"}]});
    assert_eq!(world.call("TagResource", tag).await, Ok(Value::Null));
    let transact = json!({"TransactItems": [{"Get": get("alice")}]});
    assert_eq!(
        world.call("TransactGetItems", transact).await.unwrap()["Responses"][0]["Item"]["pk"],
        json!({"S": "alice"})
    );
}

/// A policy on attributes and leading keys, as a client meets it.
#[tokio::test]
async fn policies_hold_on_the_wire() {
    let world = world(true, on_demand()).await;
    world.call("PutItem", put("victim", 1)).await.unwrap();
    let policy = json!({"Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*", "Condition": {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["alice"], "dynamodb:Attributes": ["pk"]},
        "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}}}]});
    let alice = Caller { policy: Some(Arc::new(Policy::parse(&policy.to_string()).unwrap())), ..Caller::inside() };
    let ask = async |operation: &str, body: Value| {
        let request = http::Request::post("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .body(Bytes::from(body.to_string()));
        world.dynamo.handle(&alice, request.unwrap()).await.status().as_u16()
    };
    let (own, victims) = (json!({"pk": {"S": "alice"}}), json!({"pk": {"S": "victim"}}));
    let get = |more: Value| {
        let mut request = json!({"TableName": "todo", "Key": own});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    for (name, operation, request, status) in [
        ("some", "GetItem", get(json!({"ProjectionExpression": "pk"})), 200),
        ("null", "GetItem", get(json!({"ProjectionExpression": null})), 400),
        (
            "some, and null",
            "GetItem",
            get(json!({"ProjectionExpression": "pk", "ExpressionAttributeNames": null})),
            200,
        ),
        ("put", "PutItem", json!({"TableName": "todo", "Item": own}), 200),
        ("put by a key", "PutItem", json!({"TableName": "todo", "Item": victims, "Key": own}), 400),
    ] {
        assert_eq!(ask(operation, request).await, status, "{name}");
    }
    // Lists that an engine would read as structures.
    let hers = json!({"pk": {"S": "victim"}, "x": {"S": "hers"}});
    for (operation, request) in [
        ("TransactWriteItems", json!({"TransactItems": [{"Put": ["todo", hers]}]})),
        ("TransactWriteItems", json!({"TransactItems": [[{"TableName": "todo", "Item": hers}]]})),
        ("BatchWriteItem", json!({"RequestItems": {"todo": [{"PutRequest": [hers]}]}})),
        ("BatchGetItem", json!({"RequestItems": {"todo": [[victims]]}})),
        ("BatchExecuteStatement", json!({"Statements": [["DELETE FROM todo WHERE pk = 'victim'"]]})),
        ("ExecuteTransaction", json!({"TransactStatements": [["DELETE FROM todo WHERE pk = 'victim'"]]})),
    ] {
        let fault = world.call_as(&alice, operation, request.clone()).await.unwrap_err();
        assert_eq!(fault.name(), "SerializationException", "{operation} {request}");
    }
    let kept = world.call("GetItem", json!({"TableName": "todo", "Key": victims})).await.unwrap();
    assert_eq!(kept["Item"]["x"], json!({"S": "z"}), "{kept}");
    for item in [json!({"pk": {"S": "alice"}, "x": null}), json!({"pk": {"S": "alice"}, "x": {"S": null}})] {
        let fault = world.call("PutItem", json!({"TableName": "todo", "Item": item})).await.unwrap_err();
        assert_eq!(fault.name(), "ValidationException", "a null is no value of an attribute: {item}");
    }
}

/// No request stops the process, however it is nested.
#[tokio::test]
async fn nesting_is_refused_not_survived_by_luck() {
    let world = world(false, on_demand()).await;
    let get = |member: &str, text: String| {
        let mut request = json!({"TableName": "todo", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}});
        request[member] = Value::from(text);
        request
    };
    let nest = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for times in [1, 50, 299, 300, 301, 1000, 4000] {
        for text in [
            nest("(", "a = :p", ")", times),
            "(".repeat(times),
            nest("NOT (", "a = :p", ")", times),
            "NOT ".repeat(times),
            ")".repeat(times),
        ] {
            let answer = world.call("Query", get("FilterExpression", text.clone())).await;
            if let Err(fault) = answer {
                assert_eq!(fault.name(), "ValidationException", "{times} of {}", &text[..text.len().min(20)]);
            }
        }
        let statement = json!({"Statement": format!("SELECT * FROM todo WHERE {}", nest("(", "pk = 'a'", ")", times))});
        if let Err(fault) = world.call("ExecuteStatement", statement).await {
            assert_eq!(fault.name(), "ValidationException", "{times}");
        }
    }
    let mut deep = json!({"S": "x"});
    for _ in 0..31 {
        deep = json!({"M": {"a": deep}});
    }
    let item = |value: &Value| json!({"TableName": "todo", "Item": {"pk": {"S": "deep"}, "v": value}});
    assert!(world.call("PutItem", item(&deep)).await.is_ok(), "31 maps and a value are 32 levels");
    for _ in 0..4 {
        deep = json!({"L": [deep]});
    }
    assert_eq!(world.call("PutItem", item(&deep)).await.unwrap_err().name(), "ValidationException");
}

/// Whatever is written in an expression: an answer or a refusal.
#[tokio::test]
async fn random_expressions_are_answered() {
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};
    const PARTS: [&str; 28] = [
        "(", ")", "[", "]", "{", "}", "<<", ">>", "NOT ", "AND ", "OR ", "BETWEEN ", "IN ", "a", "pk", "#n", ":p", "=",
        "<>", "+", ",", ".", "size(", "SET ", "'", "\"", "0", " ",
    ];
    let world = world(true, on_demand()).await;
    let mut random = StdRng::seed_from_u64(42);
    for _ in 0..1500 {
        let length = random.random_range(1..400);
        let same = random.random_bool(0.3);
        let first = *PARTS.choose(&mut random).unwrap();
        let text: String = (0..length).map(|_| if same { first } else { PARTS.choose(&mut random).unwrap() }).collect();
        let base = json!({"TableName": "todo", "ExpressionAttributeNames": {"#n": "n"}, "ExpressionAttributeValues": {":p": {"S": "a"}}});
        let with = |more: Value| {
            let mut request = base.clone();
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            request
        };
        let key = json!({"pk": {"S": "a"}});
        for (operation, request) in [
            ("Scan", with(json!({ "FilterExpression": text }))),
            ("Query", with(json!({ "KeyConditionExpression": text }))),
            ("UpdateItem", with(json!({"Key": key, "UpdateExpression": text, "ReturnValues": "ALL_OLD"}))),
            ("GetItem", json!({"TableName": "todo", "Key": key, "ProjectionExpression": text})),
            ("ExecuteStatement", json!({"Statement": format!("SELECT * FROM todo WHERE {text}")})),
        ] {
            if let Err(fault) = world.call(operation, request).await {
                assert_eq!(fault.status, 400, "{operation} {text}: {fault:?}");
            }
        }
    }
}
