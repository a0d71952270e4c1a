//! Calls accepted for later: run at least once, whatever happens to this process; told of when they fail for good.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rimward::config::secret::Secret;
use rimward::lambda::Lambda;
use serde_json::{Value, json};

use super::running::until;
use super::tools::{Place, python, send};

/// Writes each event it gets to a file of its own, after waiting for `go`; fails when told to.
const HANDLER: &str = r#"
import json, os, time

def handler(event, context):
    marks = os.environ["MARKS"]
    while not os.path.exists(marks + "/go"):
        time.sleep(0.02)
    with open(f"{marks}/{context.function_name}.{context.aws_request_id}.new", "w") as f:
        json.dump(event, f)
    os.rename(f.name, f.name[:-4])
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("told to fail")
    return "fine"
"#;

fn add(place: &mut Place, name: &str, marks: &Path) {
    let function = place.function(name, "python3.13", "app.handler", "app.py", HANDLER);
    function.environment = vec![("MARKS".into(), Secret::new(marks.to_str().unwrap().to_owned()))];
}

/// Request ids that `function` was called with, and what with.
fn calls(marks: &Path, function: &str) -> Vec<(String, Value)> {
    let files = std::fs::read_dir(marks).unwrap().map(|file| file.unwrap().path());
    let named = files.filter_map(|path| {
        let id = path.file_name()?.to_str()?.strip_prefix(&format!("{function}."))?.to_owned();
        let done = !id.ends_with(".new");
        done.then(|| (id, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()))
    });
    named.collect()
}

async fn accept(lambda: &Lambda, name: &str, payload: &str) -> (u16, String) {
    let path = format!("/2015-03-31/functions/{name}/invocations");
    let got = send(lambda, "POST", &path, &[("x-amz-invocation-type", "Event")], payload.to_owned()).await;
    assert!(got.status != 202 || got.body.is_empty());
    (got.status, got.header("x-amzn-requestid").unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_runs_within_the_queues_bound() {
    let mut place = Place::new();
    let marks = tempfile::TempDir::new().unwrap();
    add(&mut place, "f", marks.path());
    place.spec.limits.queue = 2;
    place.spec.limits.event = 100;
    let lambda = place.open();
    let ids: BTreeSet<String> = [accept(&lambda, "f", "1").await, accept(&lambda, "f", "{\"a\":2}").await]
        .into_iter()
        .map(|(status, id)| {
            assert_eq!(status, 202);
            id
        })
        .collect();
    assert_eq!(accept(&lambda, "f", "3").await.0, 429, "the queue is full");
    assert_eq!(accept(&lambda, "f", &"1".repeat(101)).await.0, 413);
    assert_eq!(accept(&lambda, "none", "1").await.0, 404);
    assert_eq!(accept(&lambda, "f", "{").await.0, 400);
    std::fs::write(marks.path().join("go"), "").unwrap();
    until("both ran", || calls(marks.path(), "f").len() == 2).await;
    assert_eq!(calls(marks.path(), "f").into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), ids);
    // There is room again once they are done with.
    let mut status = 0;
    for _ in 0..100 {
        status = accept(&lambda, "f", "4").await.0;
        if status == 202 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 202);
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told() {
    let mut place = Place::new();
    let marks = tempfile::TempDir::new().unwrap();
    std::fs::write(marks.path().join("go"), "").unwrap();
    add(&mut place, "listener", marks.path());
    let lambda = place.open();
    let endpoint = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dead", endpoint.local_addr().unwrap());

    // Made through the API: the configuration's functions have no such rules.
    let package = {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("app.py", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(HANDLER.as_bytes()).unwrap();
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(zip.finish().unwrap().into_inner())
    };
    let create = json!({
        "FunctionName": "f", "Runtime": "python3.13", "Handler": "app.handler",
        "Role": "arn:aws:iam::000000000000:role/r", "Code": { "ZipFile": package },
        "Environment": { "Variables": { "MARKS": marks.path().to_str().unwrap() } },
        "DeadLetterConfig": { "TargetArn": url },
    });
    assert_eq!(send(&lambda, "POST", "/2015-03-31/functions", &[], create.to_string()).await.status, 201);
    let listener = "arn:aws:lambda:eu-west-1:000000000000:function:listener";
    let rules = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": {
        "OnFailure": { "Destination": listener }, "OnSuccess": { "Destination": listener } } });
    let put = send(&lambda, "PUT", "/2019-09-25/functions/f/event-invoke-config", &[], rules.to_string()).await;
    assert_eq!(put.status, 200, "{put:?}");

    let (_, failed) = accept(&lambda, "f", "{\"fail\":true}").await;
    until("it is told", || calls(marks.path(), "listener").len() == 1).await;
    let (_, record) = calls(marks.path(), "listener").remove(0);
    assert_eq!(record["requestContext"]["requestId"], json!(failed));
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["requestContext"]["functionArn"], "arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST");
    assert_eq!(record["requestPayload"], json!({"fail": true}));
    assert_eq!(
        record["responseContext"],
        json!({"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"})
    );
    assert_eq!(record["responsePayload"]["errorType"], "ValueError");

    // The dead letter: the event itself, and about it in the head.
    let letter = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = endpoint.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (head, body)
    });
    let (head, body) = letter.await.unwrap();
    assert!(head.starts_with("POST /dead ") && head.contains(&format!("requestid: {failed}")), "{head}");
    assert!(head.contains("errormessage: told to fail"), "{head}");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"fail": true}));

    let (_, fine) = accept(&lambda, "f", "{}").await;
    until("success is told", || calls(marks.path(), "listener").len() == 2).await;
    let records = calls(marks.path(), "listener");
    let record =
        records.iter().map(|(_, record)| record).find(|r| r["requestContext"]["requestId"] == json!(fine)).unwrap();
    assert_eq!(
        (&record["requestContext"]["condition"], &record["responsePayload"]),
        (&json!("Success"), &json!("fine"))
    );
    lambda.close().await;
}

/// Not a test of its own: the process that the next one kills. Says each accepted event's id once it is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("RIMWARD_LAMBDA_EVENTS") else { return };
    let (mut place, dir) = (Place::new(), Path::new(&dir));
    add(&mut place, "f", &dir.join("marks"));
    let lambda = Lambda::open(&place.spec, &dir.join("state"), None, None).unwrap();
    for n in 0.. {
        let (status, id) = accept(&lambda, "f", &n.to_string()).await;
        assert_eq!(status, 202);
        println!("accepted {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_accepted_event() {
    python();
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("marks")).unwrap();
    let marks = dir.path().join("marks");
    let mut accepted = BTreeSet::new();
    for round in 0..3usize {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "events::victim", "--nocapture"]);
        child.env("RIMWARD_LAMBDA_EVENTS", dir.path()).env("TMPDIR", dir.path());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut heard = 0;
        for line in lines {
            let Some((_, id)) = line.split_once("accepted ") else { continue };
            accepted.insert(id.to_owned());
            heard += 1;
            // Later each time, in the midst of accepting and of running.
            if heard == 3 + 7 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= 3 + 7 * round, "the victim ended by itself");
    }
    std::fs::write(marks.join("go"), "").unwrap();
    let mut place = Place::new();
    add(&mut place, "f", &marks);
    let lambda = Lambda::open(&place.spec, &dir.path().join("state"), None, None).unwrap();
    until("every accepted event ran", || {
        let ran: BTreeSet<String> = calls(&marks, "f").into_iter().map(|(id, _)| id).collect();
        accepted.is_subset(&ran)
    })
    .await;
    lambda.close().await;
}
