//! The DynamoDB front, asked by AWS's own clients over HTTP, and killed while it writes.
//!
//! Fetches boto3, the AWS CLI and the SDK for JavaScript into target/tmp the first time.
#![allow(clippy::unwrap_used)]

mod crash;
mod follow;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use server::{Server, before, cached, spec};

/// Every operation that is offered, by boto3.
#[test]
fn boto3_is_answered_as_by_aws() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&spec(false), directory.path());
    run("suite.py", &server);
}

/// The SDK for JavaScript, with its document client and its paginators.
#[test]
fn the_javascript_sdk_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&spec(true), directory.path());
    let modules = server::modules();
    done(Command::new("node").arg(script("suite.mjs")).arg(server.url()).arg(modules));
}

/// The AWS CLI.
#[test]
fn the_command_line_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&spec(true), directory.path());
    let tools = server::python();
    let path = format!("{}:{}", tools.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.arg(script("suite.sh")).arg(server.url()).env("PATH", path);
    done(command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test"));
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

fn run(name: &str, server: &Server) {
    done(Command::new(server::python()).arg(script(name)).arg(server.url()));
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dynamo").join(name)
}

/// Runs what says "all done" at its end, and no sooner.
fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all done"), "{said}");
}
