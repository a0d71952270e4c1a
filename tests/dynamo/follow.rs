//! Follow: a front before another one, which others write to: what is cached follows the streams there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rimward::config::compiled::{DynamoDb, DynamoFollow};
use serde_json::{Value, json};

use super::server::{Server, before, cached, spec};

/// What a server answers: its status, what a cache had to do with it, the body.
struct Answer {
    status: u16,
    cache: String,
    body: String,
}

fn ask(server: &Server, operation: &str, request: &Value) -> Answer {
    let (at, body) = (server.url().replace("http://", ""), request.to_string());
    let mut socket = TcpStream::connect(&at).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let field = lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "x-rimward-dynamodb");
    Answer { status, cache: field.map(|(_, value)| value.to_owned()).unwrap_or_default(), body: body.to_owned() }
}

fn done(server: &Server, operation: &str, request: &Value) {
    let answer = ask(server, operation, request);
    assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
}

/// Asks until the answer is as it has to be.
fn until(what: &str, server: &Server, read: &(&str, Value), fits: impl Fn(&Answer) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = ask(server, read.0, &read.1);
        if fits(&answer) {
            return;
        }
        assert!(Instant::now() < end, "never: {what}: {} {} {}", answer.status, answer.cache, answer.body);
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn hit(answer: &Answer) -> bool {
    answer.cache.starts_with("hit; age=") && answer.cache.contains("; lag=")
}

fn following(behind: &Server) -> DynamoDb {
    let rules = DynamoFollow { lag: Duration::from_secs(30), poll: Duration::from_millis(20) };
    DynamoDb { follow: Some(rules), ..before(&behind.url(), cached(spec(true))) }
}

fn create(server: &Server) {
    let table = json!({"TableName": "todo", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}});
    done(server, "CreateTable", &table);
}

fn put(server: &Server, text: &str) {
    done(server, "PutItem", &json!({"TableName": "todo", "Item": {"pk": {"S": "a"}, "x": {"S": text}}}));
}

fn reads() -> [(&'static str, Value); 2] {
    let query = json!({"TableName": "todo", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}});
    [("GetItem", json!({"TableName": "todo", "Key": {"pk": {"S": "a"}}})), ("Query", query)]
}

#[test]
fn writes_of_others_are_seen_by_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let behind = Server::start(&spec(false), directory.path());
    create(&behind);
    put(&behind, "first");
    let front = Server::start(&following(&behind), directory.path());
    for read in &reads() {
        until("a hit", &front, read, |answer| hit(answer) && answer.body.contains("first"));
    }
    put(&behind, "second");
    for read in &reads() {
        until("the write", &front, read, |answer| answer.body.contains("second"));
        until("a hit again", &front, read, |answer| hit(answer) && answer.body.contains("second"));
    }
    // What is read from here on passes the caches by.
    let off = json!({"TableName": "todo", "StreamSpecification": {"StreamEnabled": false}});
    done(&behind, "UpdateTable", &off);
    for read in &reads() {
        until("a bypass", &front, read, |answer| answer.cache.starts_with("bypass; stream=off"));
    }
    put(&behind, "third");
    for read in &reads() {
        assert!(ask(&front, read.0, &read.1).body.contains("third"));
    }
}

#[test]
fn nothing_is_served_when_the_stream_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let behind = Server::start(&spec(false), directory.path());
    create(&behind);
    put(&behind, "first");
    let front = Server::start(&following(&behind), directory.path());
    let [get, _] = reads();
    until("a hit", &front, &get, hit);
    drop(behind);
    until("a failure", &front, &get, |answer| answer.status == 503);
}
