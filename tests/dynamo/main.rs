//! The DynamoDB front, asked by AWS's own clients over HTTP, and killed while it writes.
//!
//! Fetches boto3 into target/tmp the first time.
#![allow(clippy::unwrap_used)]

mod crash;
mod server;

use std::process::Command;

use server::{Server, before, cached, spec};

/// Every operation that is offered, by boto3.
#[test]
fn boto3_is_answered_as_by_aws() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&spec(false), directory.path());
    run("suite.py", &server);
}

/// The caches change no answer.
#[test]
fn boto3_sees_no_cache() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&cached(spec(true)), directory.path());
    run("suite.py", &server);
}

/// A front before another: what it asks is signed, and its caches change no answer either.
#[test]
fn boto3_sees_no_second_front() {
    let directory = tempfile::tempdir().unwrap();
    let behind = Server::start(&spec(false), directory.path());
    let server = Server::start(&before(&behind.url(), cached(spec(true))), directory.path());
    run("suite.py", &server);
}

/// Provisioned tables throttle; on-demand tables do not; boto3's own retries see AWS's shapes.
#[test]
fn boto3_is_throttled_as_by_aws() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&spec(true), directory.path());
    run("throttle.py", &server);
}

fn run(script: &str, server: &Server) {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dynamo").join(script);
    let output = Command::new(server::python()).arg(script).arg(server.url()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all done"), "{said}");
}
