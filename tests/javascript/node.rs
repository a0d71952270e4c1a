//! Node: its modules as this engine has them. Each file under functions/js-engine/tests gives a list of results; beside it lies what
//! Node 20 gives.

use std::fs;

use rimward::hooks::build::Source;

use crate::bench::{Bench, file};
use crate::exchange::get;

const INDEX: &str = "const list = require('./case.js');
exports.handler = async () => ({ status: '200', body: JSON.stringify(await list.handler()) });";

async fn check(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.js"), INDEX).unwrap();
    fs::copy(file(&format!("tests/{name}.js")), dir.path().join("case.js")).unwrap();
    let bench = Bench::of(&Source::Path(dir.path().to_owned()), 1);
    assert_eq!(bench.built.deferred, None);
    let called = bench.run("viewer-request", &get("", "/")).await;
    called.outcome.unwrap_or_else(|failure| panic!("{name}: {failure}: {:?}", called.logs));
    let mut exchange = called.exchange;
    let body = exchange.take_answer().unwrap().body;
    let got: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    let want: Vec<serde_json::Value> =
        serde_json::from_slice(&fs::read(file(&format!("tests/{name}.json"))).unwrap()).unwrap();
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(got.len(), want.len(), "{name}");
}

#[tokio::test]
async fn async_storage_as_in_node() {
    check("async").await;
}

#[tokio::test]
async fn buffer_as_in_node() {
    check("buffer").await;
}

#[tokio::test]
async fn crypto_as_in_node() {
    check("crypto").await;
}

/// The clients of `@aws-sdk`: beside it lies what the packages of that name give.
#[tokio::test]
async fn dynamodb_as_in_its_packages() {
    check("dynamodb").await;
}

#[tokio::test]
async fn events_streams_and_timers_as_in_node() {
    check("events").await;
}

/// What well-known packages of npm ask for, also of modules that do nothing here.
#[tokio::test]
async fn what_packages_ask_for_as_in_node() {
    check("packages").await;
}

#[tokio::test]
async fn text_as_in_node() {
    check("text").await;
}

#[tokio::test]
async fn url_as_in_node() {
    check("url").await;
}
