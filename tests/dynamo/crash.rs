//! Crash: a process that is killed while it writes keeps what it acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rimward::dynamo::{Caller, Dynamo};
use serde_json::{Value, json};

use super::server::spec;

/// Names the directory that a child of this test writes to.
const DIRECTORY: &str = "RIMWARD_TEST_DYNAMO_WRITES";
/// Acknowledged writes after which the child is killed, once for each number.
const AFTER: [usize; 4] = [1, 57, 400, 1500];

fn open(directory: &Path) -> Dynamo {
    let mut spec = spec(false);
    let key = |name: &str| rimward::config::compiled::DynamoKey { name: name.into(), kind: "S" };
    let index = || rimward::config::compiled::DynamoIndex {
        name: "by-parity".into(),
        local: false,
        hash: key("parity"),
        range: None,
        projection: rimward::config::compiled::DynamoProjection::All,
    };
    for (name, indexed) in [("writes", true), ("plain", false)] {
        spec.tables.push(rimward::config::compiled::DynamoTable {
            name: name.into(),
            hash: key("pk"),
            range: None,
            indexes: indexed.then(index).into_iter().collect(),
            stream: Some("NEW_AND_OLD_IMAGES"),
            ttl: None,
            global: false,
            capacity: None,
        });
    }
    Dynamo::open(&spec, directory, Arc::new(|| Duration::from_secs(1_700_000_000))).unwrap()
}

async fn ask(dynamo: &Dynamo, operation: &str, request: Value) -> Value {
    let answer = dynamo.call(&Caller::inside(), operation, request).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// The child: writes until it is killed, and says what was acknowledged.
#[test]
fn writes_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dynamo = open(Path::new(&directory));
        for number in 0..100_000u32 {
            let parity = if number % 2 == 0 { "even" } else { "odd" };
            let item = json!({"pk": {"S": number.to_string()}, "parity": {"S": parity}});
            match number % 4 {
                // Its table has no index: it is written directly.
                3 => ask(&dynamo, "PutItem", json!({"TableName": "plain", "Item": item})).await,
                0 => ask(&dynamo, "PutItem", json!({"TableName": "writes", "Item": item})).await,
                1 => {
                    let write = json!({"Put": {"TableName": "writes", "Item": item}});
                    ask(&dynamo, "TransactWriteItems", json!({ "TransactItems": [write] })).await
                }
                _ => {
                    let write = json!({"PutRequest": {"Item": item}});
                    ask(&dynamo, "BatchWriteItem", json!({"RequestItems": {"writes": [write]}})).await
                }
            };
            println!("acknowledged {number}");
        }
    });
}

#[test]
fn what_was_acknowledged_survives_the_process() {
    for after in AFTER {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_killed", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let numbered =
            |line: &String| line.rsplit_once("acknowledged ").and_then(|(_, number)| number.parse::<u32>().ok());
        let mut acknowledged: Vec<u32> = lines.by_ref().filter_map(|line| numbered(&line)).take(after).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.filter_map(|line| numbered(&line)));
        assert!(acknowledged.len() >= after);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dynamo = open(directory.path());
            for number in &acknowledged {
                let table = if number % 4 == 3 { "plain" } else { "writes" };
                let key = json!({"TableName": table, "Key": {"pk": {"S": number.to_string()}}});
                let found = ask(&dynamo, "GetItem", key).await;
                assert!(found.get("Item").is_some(), "{number} of {}", acknowledged.len());
            }
            // Indexes and the stream hold exactly what the table holds.
            let count = async |request: Value| ask(&dynamo, "Scan", request).await["Count"].as_u64().unwrap();
            let items = count(json!({"TableName": "writes", "Select": "COUNT"})).await;
            assert_eq!(items, count(json!({"TableName": "writes", "IndexName": "by-parity", "Select": "COUNT"})).await);
            let all = items + count(json!({"TableName": "plain", "Select": "COUNT"})).await;
            assert!(all == acknowledged.len() as u64 || all == acknowledged.len() as u64 + 1, "one was under way");
            dynamo.close().await;
        });
    }
}
