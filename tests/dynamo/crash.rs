//! Crash: a process that is killed while it writes keeps what it acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
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

/// Runs a test of this file as a process of its own, kills it after so many acknowledgements, and gives all that it made.
fn killed(test: &str, environment: &[(&str, &str)], after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("crash::{test}"), "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = |line: String| line.rsplit_once("acknowledged ").map(|(_, rest)| rest.to_owned());
    let mut acknowledged: Vec<String> = lines.by_ref().filter_map(said).take(after).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(lines.filter_map(said));
    acknowledged
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
        let lines = killed("writes_until_killed", &[(DIRECTORY, directory.path().to_str().unwrap())], after);
        let acknowledged: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
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

const TOKENS: &str = "RIMWARD_TEST_DYNAMO_TOKENS";

/// Adds 1 under a token of this number, to two items; every other one by PartiQL.
fn added(number: u32, by: u32) -> (&'static str, Value) {
    let (token, by) = (number.to_string(), by.to_string());
    if number.is_multiple_of(2) {
        let update = |table: &str| {
            json!({"Update": {"TableName": table, "Key": {"pk": {"S": "sum"}}, "UpdateExpression": "ADD n :by",
                "ExpressionAttributeValues": {":by": {"N": by}}}})
        };
        return (
            "TransactWriteItems",
            json!({"TransactItems": [update("writes"), update("plain")], "ClientRequestToken": token}),
        );
    }
    let update = |table: &str| json!({"Statement": format!("UPDATE {table} SET n = n + ? WHERE pk = 'sum'"), "Parameters": [{"N": by}]});
    (
        "ExecuteTransaction",
        json!({"TransactStatements": [update("writes"), update("plain")], "ClientRequestToken": token}),
    )
}

/// The child: adds until it is killed.
#[test]
fn adds_until_killed() {
    let Ok(directory) = std::env::var(TOKENS) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dynamo = open(Path::new(&directory));
        for number in 0..100_000 {
            let (operation, request) = added(number, 1);
            ask(&dynamo, operation, request).await;
            println!("acknowledged {number}");
        }
    });
}

#[test]
fn a_transaction_under_a_token_is_done_once_across_the_end_of_the_process() {
    for after in [1, 2, 33, 400] {
        let directory = tempfile::tempdir().unwrap();
        let done = killed("adds_until_killed", &[(TOKENS, directory.path().to_str().unwrap())], after);
        let next = u32::try_from(done.len()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dynamo = open(directory.path());
            // The last may have been committed without an answer: a client cannot know, and asks again.
            for number in (0..=next).rev().take(20) {
                let (operation, request) = added(number, 1);
                ask(&dynamo, operation, request).await;
                let (operation, other) = added(number, 2);
                let refused = dynamo.call(&Caller::inside(), operation, other).await.unwrap_err();
                assert_eq!(refused.name(), "IdempotentParameterMismatchException", "{number}");
            }
            for table in ["writes", "plain"] {
                let key = json!({"TableName": table, "Key": {"pk": {"S": "sum"}}});
                let found = ask(&dynamo, "GetItem", key).await;
                assert_eq!(found["Item"]["n"]["N"], (next + 1).to_string(), "{table}");
            }
            dynamo.close().await;
        });
    }
}

const MIXED: &str = "RIMWARD_TEST_DYNAMO_MIXED";
const SEED: &str = "RIMWARD_TEST_DYNAMO_SEED";
/// Tasks that write at once; how often they are killed.
const WORKERS: u64 = 4;
const ROUNDS: usize = 4;
/// Keys of each worker.
const KEYS: u32 = 6;

/// What a worker does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u32),
    /// Adds 1 to its counter.
    Add(u32),
    Delete(u32),
    /// Puts, adds to the next and deletes the one after, in one transaction over both tables.
    All(u32),
    /// Adds 1 to a counter of all workers.
    Shared,
}

/// The steps of a worker.
fn steps(seed: u64, worker: u64) -> impl Iterator<Item = Step> {
    let mut dice = StdRng::seed_from_u64(seed.wrapping_mul(WORKERS) + worker);
    std::iter::repeat_with(move || {
        let key = dice.random_range(0..KEYS);
        match dice.random_range(0..6) {
            0 => Step::Put(key),
            1 | 2 => Step::Add(key),
            3 => Step::Delete(key),
            4 => Step::All(key),
            _ => Step::Shared,
        }
    })
}

/// Even keys are in the table with an index.
fn place(worker: u64, key: u32) -> (&'static str, Value) {
    let table = if key.is_multiple_of(2) { "writes" } else { "plain" };
    (table, json!({"pk": {"S": format!("{worker}-{key}")}}))
}

fn request(worker: u64, number: usize, step: Step) -> (&'static str, Value) {
    let put = |key: u32| {
        let (table, mut item) = place(worker, key);
        item["v"] = json!({"N": number.to_string()});
        item["parity"] = json!({"S": (number % 2).to_string()});
        json!({"TableName": table, "Item": item})
    };
    let add = |(table, key): (&str, Value)| {
        json!({"TableName": table, "Key": key, "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}}})
    };
    let delete = |key: u32| {
        let (table, key) = place(worker, key);
        json!({"TableName": table, "Key": key})
    };
    match step {
        Step::Put(key) => ("PutItem", put(key)),
        Step::Add(key) => ("UpdateItem", add(place(worker, key))),
        Step::Delete(key) => ("DeleteItem", delete(key)),
        Step::All(key) => {
            let [second, third] = [(key + 1) % KEYS, (key + 2) % KEYS];
            let items = json!([{"Put": put(key)}, {"Update": add(place(worker, second))}, {"Delete": delete(third)}]);
            ("TransactWriteItems", json!({ "TransactItems": items }))
        }
        Step::Shared => ("UpdateItem", add(("writes", json!({"pk": {"S": "shared"}})))),
    }
}

/// What the keys of a worker hold after so many steps: `v` and `n` of each that is there.
fn held(seed: u64, worker: u64, count: usize) -> Vec<Option<(Option<usize>, u32)>> {
    let mut held = vec![None; KEYS as usize];
    let added = |old: Option<(Option<usize>, u32)>| old.map_or(Some((None, 1)), |(v, n)| Some((v, n + 1)));
    for (number, step) in steps(seed, worker).take(count).enumerate() {
        match step {
            Step::Put(key) => held[key as usize] = Some((Some(number), 0)),
            Step::Add(key) => held[key as usize] = added(held[key as usize]),
            Step::Delete(key) => held[key as usize] = None,
            Step::All(key) => {
                let [second, third] = [(key + 1) % KEYS, (key + 2) % KEYS].map(|key| key as usize);
                held[key as usize] = Some((Some(number), 0));
                held[second] = added(held[second]);
                held[third] = None;
            }
            Step::Shared => {}
        }
    }
    held
}

/// The child.
#[test]
fn does_everything_until_killed() {
    let (Ok(directory), Ok(seed)) = (std::env::var(MIXED), std::env::var(SEED)) else { return };
    let seed: u64 = seed.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dynamo = open(Path::new(&directory));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let dynamo = dynamo.clone();
                tokio::spawn(async move {
                    for (number, step) in steps(seed, worker).take(100_000).enumerate() {
                        let (operation, request) = request(worker, number, step);
                        ask(&dynamo, operation, request).await;
                        println!("acknowledged {worker}");
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

/// Each worker has one call under way at most: what is there is what its acknowledged calls made, or these and the next.
#[test]
fn whatever_was_acknowledged_is_there_and_no_more_than_was_under_way() {
    for _ in 0..ROUNDS {
        let seed: u64 = rand::random();
        let after = StdRng::seed_from_u64(seed).random_range(1..1500);
        println!("seed {seed}: killed after {after}");
        let directory = tempfile::tempdir().unwrap();
        let environment = [(MIXED, directory.path().to_str().unwrap()), (SEED, &seed.to_string())];
        let lines = killed("does_everything_until_killed", &environment, after);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dynamo = open(directory.path());
            let number = |item: &Value, name: &str| item[name]["N"].as_str().map(|text| text.parse::<u32>().unwrap());
            let (mut least, mut most) = (0, 0);
            for worker in 0..WORKERS {
                let count = lines.iter().filter(|line| **line == worker.to_string()).count();
                let mut found = Vec::new();
                for key in 0..KEYS {
                    let (table, key) = place(worker, key);
                    let item = ask(&dynamo, "GetItem", json!({"TableName": table, "Key": key})).await["Item"].take();
                    let held =
                        |item: &Value| (number(item, "v").map(|v| v as usize), number(item, "n").unwrap_or_default());
                    found.push((!item.is_null()).then(|| held(&item)));
                }
                let (done, next) = (held(seed, worker, count), held(seed, worker, count + 1));
                assert!(found == done || found == next, "seed {seed}, {worker}: {found:?}\n{done:?}\n{next:?}");
                let shared =
                    |count: usize| steps(seed, worker).take(count).filter(|step| matches!(step, Step::Shared)).count();
                (least, most) = (least + shared(count), most + shared(count + 1));
            }
            let key = json!({"TableName": "writes", "Key": {"pk": {"S": "shared"}}});
            let sum = number(&ask(&dynamo, "GetItem", key).await["Item"], "n").unwrap_or_default() as usize;
            assert!((least..=most).contains(&sum), "seed {seed}: {least} <= {sum} <= {most}");
            dynamo.close().await;
        });
    }
}
