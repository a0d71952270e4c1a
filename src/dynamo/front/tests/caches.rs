//! What the caches answer, keep and forget, in whole calls.

use super::*;

fn cached() -> DynamoDb {
    let minutes = CacheBounds { ttl: Duration::from_secs(300), size: 1 << 20 };
    DynamoDb { items: minutes, queries: minutes, ..spec(true) }
}

#[tokio::test]
async fn items_are_cached_and_written_through() {
    let world = world_of(cached(), on_demand()).await;
    let get = |more: Value| {
        let mut request = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}, "ReturnConsumedCapacity": "TOTAL"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let ask = async |more: Value| {
        let answer = world.dynamo.call(&Caller::inside(), "GetItem", get(more)).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let cost = body["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap();
        (answer.cache.unwrap().to_string(), cost, body["Item"]["x"]["S"].as_str().map(str::len))
    };
    let says = |outcome: &str, cost: f64, length: Option<usize>| (outcome.to_owned(), cost, length);
    assert_eq!(ask(json!({})).await, says("miss", 0.5, None));
    assert_eq!(ask(json!({})).await, says("hit; age=0", 0.0, None), "that there is none is kept too");
    world.call("PutItem", put("a", 5000)).await.unwrap();
    assert_eq!(ask(json!({})).await, says("hit; age=0", 0.0, Some(5000)), "a put is written through");
    *world.now.lock() += Duration::from_secs(7);
    assert_eq!(ask(json!({})).await, says("hit; age=7", 0.0, Some(5000)));
    let projected = json!({"ProjectionExpression": "#x", "ExpressionAttributeNames": {"#x": "x"}});
    assert_eq!(ask(projected.clone()).await.0, "bypass", "the engine judges an expression once");
    assert_eq!(ask(projected).await, says("hit; age=7", 0.0, Some(5000)));
    assert_eq!(ask(json!({"ProjectionExpression": "pk"})).await.0, "bypass");
    assert_eq!(ask(json!({"ProjectionExpression": "pk"})).await, says("hit; age=7", 0.0, None));
    assert_eq!(ask(json!({"ConsistentRead": true})).await, says("bypass", 2.0, Some(5000)));
    let mut refused = put("a", 1);
    refused["ConditionExpression"] = json!("attribute_not_exists(pk)");
    assert!(world.call("PutItem", refused).await.is_err());
    assert_eq!(ask(json!({})).await, says("miss", 1.0, Some(5000)), "a put that failed is not kept");
    for (operation, request) in [
        (
            "UpdateItem",
            json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "SET x = :x",
            "ExpressionAttributeValues": {":x": {"S": "u"}}}),
        ),
        (
            "BatchWriteItem",
            json!({"RequestItems": {"todo": [{"PutRequest": {"Item": {"pk": {"S": "a"}, "x": {"S": "bb"}}}}]}}),
        ),
        ("TransactWriteItems", json!({"TransactItems": [{"Put": put("a", 3)}]})),
        (
            "TransactWriteItems",
            json!({"TransactItems": [{"Update": {"TableName": "todo", "Key": {"pk": {"S": "a"}}, "Item": {"pk": {"S": "other"}},
            "UpdateExpression": "SET x = :x", "ExpressionAttributeValues": {":x": {"S": "u"}}}}]}),
        ),
        ("ExecuteStatement", json!({"Statement": "UPDATE todo SET x = 'zzzz' WHERE pk = 'a'"})),
    ] {
        ask(json!({})).await;
        assert!(ask(json!({})).await.0.starts_with("hit"), "{operation}");
        world.call(operation, request).await.unwrap();
        assert_eq!(ask(json!({})).await.0, "miss", "{operation}");
    }
    world.call("DeleteItem", json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}})).await.unwrap();
    assert_eq!(ask(json!({})).await, says("hit; age=0", 0.0, None), "so is a delete");
    *world.now.lock() += Duration::from_secs(300);
    assert_eq!(ask(json!({})).await.0, "miss", "five minutes are over");
    world.call("PutItem", put("b", 1)).await.unwrap();
    assert_eq!(ask(json!({})).await.0, "hit; age=0", "another item is another item");
    let alice = json!({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]});
    let nobody = Caller { policy: Some(Arc::new(Policy::parse(&alice.to_string()).unwrap())), ..Caller::inside() };
    assert!(world.call_as(&nobody, "GetItem", get(json!({}))).await.is_err(), "a policy comes before the cache");
    assert!(world.dynamo.numbers().items.iter().all(|count| *count > 0));
}

/// What was written through is what the engine answers, for the direct way and the engine's own.
#[tokio::test]
async fn what_is_written_through_is_what_is_kept() {
    let world = world_of(cached(), on_demand()).await;
    for condition in [None, Some("attribute_exists(pk) OR attribute_not_exists(pk)")] {
        for value in [
            json!({"N": "1.0"}),
            json!({"N": "-0.00120e3"}),
            json!({"NS": ["10", "9.0", "-1"]}),
            json!({"SS": ["b", "a", "ä"]}),
            json!({"BS": ["/w==", "AA=="]}),
            json!({"B": "AAE="}),
            json!({"M": {"l": {"L": [{"N": "1e2"}, {"NULL": true}, {"BOOL": false}]}}}),
        ] {
            let mut request = json!({"TableName": "todo", "Item": {"pk": {"S": "a"}, "x": value}});
            if let Some(condition) = condition {
                request["ConditionExpression"] = json!(condition);
            }
            world.call("PutItem", request).await.unwrap();
            let get = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}});
            let answer = world.dynamo.call(&Caller::inside(), "GetItem", get.clone()).await.unwrap();
            assert_eq!(answer.cache, Some(crate::dynamo::Outcome::Hit { age: 0, lag: None }), "{value}");
            let mut strong = get;
            strong["ConsistentRead"] = json!(true);
            let kept = world.call("GetItem", strong).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), kept, "{value}");
        }
    }
}

/// Writes of one item at once: what is served once all have ended is what the engine has.
#[tokio::test]
async fn racing_puts_leave_nothing_that_is_older() {
    let world = Arc::new(world_of(cached(), on_demand()).await);
    for round in 0..50 {
        let writes = (0..4).map(|which| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.call("PutItem", put("a", 1 + round * 4 + which)).await.map(drop) })
        });
        for write in futures::future::join_all(writes).await {
            write.unwrap().unwrap();
        }
        let get = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}});
        let served = world.call("GetItem", get.clone()).await.unwrap();
        let mut strong = get;
        strong["ConsistentRead"] = json!(true);
        assert_eq!(served, world.call("GetItem", strong).await.unwrap(), "{round}");
    }
}

#[tokio::test]
async fn batches_take_from_the_cache() {
    let world = world_of(cached(), on_demand()).await;
    let writes = ["a", "b", "c"].map(|key| json!({"PutRequest": {"Item": put(key, 1)["Item"]}}));
    world.call("BatchWriteItem", json!({"RequestItems": {"todo": writes}})).await.unwrap();
    let ask = async |keys: &[&str]| {
        let keys: Vec<Value> = keys.iter().map(|key| json!({"pk": {"S": key}})).collect();
        let request = json!({"RequestItems": {"todo": {"Keys": keys}}, "ReturnConsumedCapacity": "TOTAL"});
        let answer = world.dynamo.call(&Caller::inside(), "BatchGetItem", request).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let mut found: Vec<String> = body["Responses"]["todo"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["pk"]["S"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(body["UnprocessedKeys"], json!({}));
        (
            found.concat(),
            body["ConsumedCapacity"][0]["CapacityUnits"].as_f64().unwrap(),
            answer.cache.unwrap().to_string(),
        )
    };
    assert_eq!(ask(&["a", "b", "none"]).await, ("ab".into(), 1.5, "miss".into()));
    assert_eq!(ask(&["a", "b", "none"]).await, ("ab".into(), 0.0, "hit; age=0".into()));
    assert_eq!(ask(&["a", "c"]).await, ("ac".into(), 0.5, "miss".into()));
    let get = world
        .dynamo
        .call(&Caller::inside(), "GetItem", json!({"TableName": "todo", "Key": {"pk": {"S": "c"}}}))
        .await
        .unwrap();
    assert_eq!(get.cache, Some(crate::dynamo::Outcome::Hit { age: 0, lag: None }));
    world.call("PutItem", put("none", 1)).await.unwrap();
    assert_eq!(ask(&["a", "none"]).await, ("anone".into(), 0.0, "hit; age=0".into()), "a put is written through");
    let twice = json!({"RequestItems": {"todo": {"Keys": [{"pk": {"S": "a"}}, {"pk": {"S": "a"}}]}}});
    assert_eq!(world.call("BatchGetItem", twice).await.unwrap_err().name(), "ValidationException");
}

#[tokio::test]
async fn results_are_dropped_by_writes_to_their_partition() {
    let world = world_of(cached(), on_demand()).await;
    let query = |key: &str| json!({"TableName": "todo", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": key}}});
    let owner = json!({"TableName": "todo", "IndexName": "by-owner", "KeyConditionExpression": "#o = :p",
        "ExpressionAttributeNames": {"#o": "owner"}, "ExpressionAttributeValues": {":p": {"S": "alice"}}});
    let ask = async |operation: &str, request: &Value| {
        let answer = world.dynamo.call(&Caller::inside(), operation, request.clone()).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.cache.unwrap().to_string(), body["Count"].as_u64().unwrap())
    };
    let scan = json!({"TableName": "todo"});
    for (operation, request) in
        [("Query", query("a")), ("Query", query("b")), ("Query", owner.clone()), ("Scan", scan.clone())]
    {
        assert_eq!(ask(operation, &request).await, ("miss".into(), 0));
        assert_eq!(ask(operation, &request).await, ("hit; age=0".into(), 0));
    }
    world.call("PutItem", put("a", 1)).await.unwrap();
    assert_eq!(ask("Query", &query("a")).await, ("miss".into(), 1));
    assert_eq!(ask("Query", &query("b")).await, ("hit; age=0".into(), 0), "another partition");
    assert_eq!(ask("Query", &owner).await, ("miss".into(), 0), "an index may hold it");
    assert_eq!(ask("Scan", &scan).await, ("miss".into(), 1));
    let mut strong = query("a");
    strong["ConsistentRead"] = json!(true);
    assert_eq!(ask("Query", &strong).await, ("bypass".into(), 1));
}
