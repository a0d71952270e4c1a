//! Two fronts: one is somebody else's cluster, with writers of its own; the other keeps what it reads there, and follows.

mod rolling;
mod world;

use serde_json::json;

use super::*;
use crate::dynamo::{Caller, Outcome};
use world::*;

#[tokio::test]
async fn others_writes_are_seen_long_before_the_ttl() {
    for view in ["KEYS_ONLY", "NEW_AND_OLD_IMAGES"] {
        let cluster = cluster(Some(view)).await;
        let dynamo = follower(&cluster.url);
        let (all, other) = (reads("a"), &reads("b")[0]);
        assert!(matches!(ask(&dynamo, &all[0]).await.0, Outcome::Behind(_)), "nothing is known of its stream yet");
        for read in all.iter().chain([other]) {
            hits(&dynamo, read).await;
            assert!(!ask(&dynamo, read).await.1.contains("\"pk\""), "{read:?}");
        }
        let remove = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}});
        let update = json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "SET x = :x",
            "ExpressionAttributeValues": {":x": {"S": "second"}}});
        let first = json!({"pk": {"S": "a"}, "owner": {"S": "alice"}, "x": {"S": "first"}});
        for (operation, request, said) in [
            ("PutItem", json!({"TableName": "todo", "Item": first}), Some("first")),
            ("UpdateItem", update, Some("second")),
            ("DeleteItem", remove, None),
            ("BatchWriteItem", json!({"RequestItems": {"todo": [{"PutRequest": {"Item": first}}]}}), Some("first")),
        ] {
            cluster.ask(operation, request).await;
            for read in &all {
                let seen = async || {
                    let body = ask(&dynamo, read).await.1;
                    said.map_or(!body.contains("\"pk\""), |said| body.contains(said))
                };
                until(operation, seen).await;
                hits(&dynamo, read).await;
                assert!(seen().await, "{operation} {read:?}: nothing older comes back");
            }
        }
        assert!(matches!(ask(&dynamo, other).await.0, Outcome::Hit { .. }), "another item stays");
        let numbers = dynamo.numbers().follow.unwrap();
        assert_eq!(numbers.lags.iter().map(|(table, _)| table.as_str()).collect::<Vec<_>>(), ["todo"]);
        assert!(numbers.passed.iter().any(|(why, count)| *why == "starting" && *count > 0));
    }
}

#[tokio::test]
async fn a_stream_that_is_off_is_not_relied_on() {
    let cluster = cluster(Some("KEYS_ONLY")).await;
    let dynamo = follower(&cluster.url);
    let [get, _, query, ..] = reads("a");
    hits(&dynamo, &get).await;
    hits(&dynamo, &query).await;
    // Another stream in its place: what is written between the two is in neither.
    cluster.stream(None).await;
    cluster.put("a", "between").await;
    cluster.stream(Some("NEW_IMAGE")).await;
    for read in [&get, &query] {
        until("between", async || ask(&dynamo, read).await.1.contains("between")).await;
        hits(&dynamo, read).await;
        assert!(ask(&dynamo, read).await.1.contains("between"), "what was cached before is dropped");
    }
    cluster.put("a", "after").await;
    until("after", async || ask(&dynamo, &get).await.1.contains("after")).await;
    cluster.stream(None).await;
    passes(&dynamo, &get, Why::Off).await;
    for text in ["one", "two"] {
        cluster.put("a", text).await;
        for read in [&get, &query] {
            let (outcome, body) = ask(&dynamo, read).await;
            assert!(matches!(outcome, Outcome::Behind(_)) && body.contains(text), "{outcome} {body}");
        }
    }
}

#[tokio::test]
async fn a_place_that_is_lost_is_begun_anew() {
    let cluster = cluster(Some("KEYS_ONLY")).await;
    let dynamo = follower(&cluster.url);
    let [get, _, query, ..] = reads("a");
    for (status, name) in
        [(400, "ExpiredIteratorException"), (400, "TrimmedDataAccessException"), (500, "InternalServerError")]
    {
        hits(&dynamo, &get).await;
        hits(&dynamo, &query).await;
        *cluster.failing.lock() = Some((status, name));
        passes(&dynamo, &get, Why::Failing).await;
        cluster.put("a", name).await;
        *cluster.failing.lock() = None;
        for read in [&get, &query] {
            hits(&dynamo, read).await;
            assert!(ask(&dynamo, read).await.1.contains(name), "{name}");
        }
    }
}

#[tokio::test]
async fn nothing_is_served_without_the_other_side() {
    let cluster = cluster(Some("KEYS_ONLY")).await;
    let dynamo = follower(&cluster.url);
    let [get, ..] = reads("a");
    hits(&dynamo, &get).await;
    cluster.serving.abort();
    until("an error", async || dynamo.call(&Caller::inside(), get.0, get.1.clone()).await.is_err()).await;
    let passed = dynamo.numbers().follow.unwrap().passed;
    assert!(passed.iter().any(|(why, count)| *why == "failing" && *count > 0), "{passed:?}");
}

#[tokio::test]
async fn a_table_without_a_stream_keeps_to_the_ttl() {
    let cluster = cluster(None).await;
    let dynamo = follower(&cluster.url);
    let [get, ..] = reads("a");
    until("a hit", async || matches!(ask(&dynamo, &get).await.0, Outcome::Hit { lag: None, .. })).await;
    cluster.put("a", "unseen").await;
    let (outcome, body) = ask(&dynamo, &get).await;
    assert!(matches!(outcome, Outcome::Hit { lag: None, .. }) && !body.contains("unseen"), "{outcome} {body}");
}

#[tokio::test]
async fn reading_ends_with_the_front() {
    let cluster = cluster(Some("KEYS_ONLY")).await;
    let [get, ..] = reads("a");
    let closed = follower(&cluster.url);
    hits(&closed, &get).await;
    closed.close().await;
    let table = Arc::clone(&closed.front.follow.as_ref().unwrap().tables.read()["todo"]);
    // That of the tables, and ours.
    until("no reader", async || Arc::strong_count(&table) == 2).await;
    let dropped = follower(&cluster.url);
    hits(&dropped, &get).await;
    let front = Arc::downgrade(&dropped.front);
    drop(dropped);
    until("no front", async || front.strong_count() == 0).await;
}

#[tokio::test]
async fn tables_are_bounded_and_let_go_of() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let now = Arc::new(Mutex::new(Duration::from_secs(1_700_000_000)));
    let clock = Arc::clone(&now);
    let dynamo = open(&format!("http://{gone}"), 300, Arc::new(move || *clock.lock()));
    let front = &dynamo.front;
    let names: Vec<String> = (0..=FOLLOWED_MAX).map(|number| format!("t{number}")).collect();
    let known: Vec<Arc<Table>> =
        names.iter().map(|name| Arc::new(Table { name: name.clone(), ..Table::default() })).collect();
    let asked = |name: &str| front.may_serve([name], &known);
    for name in &names[..FOLLOWED_MAX] {
        assert_eq!(asked(name), Err(Behind { why: Why::Starting, lag: None }), "{name}");
    }
    assert_eq!(asked(&names[FOLLOWED_MAX]), Ok(None), "one too many");
    assert!(asked("unknown").is_err() && front.may_serve([], &known) == Ok(None));
    let several = front.may_serve([names[FOLLOWED_MAX].as_str(), names[0].as_str()], &known);
    assert!(several.is_err(), "one that is behind is enough");
    *now.lock() += Duration::from_secs(301);
    assert!(asked(&names[7]).is_err());
    let left = || front.follow.as_ref().unwrap().tables.read().keys().cloned().collect::<Vec<_>>();
    until("those are left that are asked for", async || left() == ["t7"]).await;
}
