//! The architectures of config/: each is started with its one command, driven by its smoke script, then by boto3.
//!
//! Fetches boto3 and moto into target/tmp the first time.
#![allow(clippy::unwrap_used)]

#[path = "../support/nats.rs"]
mod nats;
mod place;

use std::process::{Command, Stdio};

use place::{Place, python, until};

/// Runs one function of client.py.
fn client(place: &Place, function: &str) {
    let mut command = Command::new(python());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/architectures/client.py")).arg(function);
    for (name, port) in [("EDGE", 8080), ("DYNAMODB", 8000), ("FAR", 7002), ("LAKE", 5000)] {
        command.env(name, format!("http://{}", place.address(port)));
    }
    let output = command.env("EXAMPLE", place.dir()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{function}: {out}{err}\n{}", place.log());
}

#[test]
fn todo_api() {
    let mut place = Place::new("todo-api");
    place.start();
    place.smoke();
    client(&place, "todo_api");
}

#[test]
fn global_website() {
    let mut place = Place::new("global-website");
    place.start();
    place.smoke();
    client(&place, "global_website");
}

#[test]
fn microservices() {
    let mut place = Place::new("microservices");
    place.start();
    place.smoke();
    client(&place, "microservices");
}

#[test]
fn paid_content() {
    let mut place = Place::new("paid-content");
    place.start();
    place.smoke();
    client(&place, "paid_content");
}

#[test]
fn fleet() {
    let mut place = Place::new("fleet");
    place.start();
    place.smoke();
}

#[test]
fn ingestion() {
    let mut place = Place::new("ingestion");
    let at = place.address(5000);
    let mut lake = Command::new(python().with_file_name("moto_server"))
        .args(["-H", "127.0.0.1", "-p", &at.port().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("moto listens", || std::net::TcpStream::connect(at).ok());
    // It outlives the PoP; a panic within ends it too.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        place.start();
        place.smoke();
        client(&place, "ingestion");
        // What was acknowledged comes to the lake, though the process is killed at once.
        client(&place, "send");
        place.crash();
        place.start();
        client(&place, "sent");
        // What cannot be done is kept. Without tries again, which are minutes apart.
        place.edit("retries     = 2", "retries     = 0");
        lake.kill().unwrap();
        client(&place, "parked");
    }));
    let _ = lake.kill();
    lake.wait().unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
