//! Environments: concurrency, change, idleness, executables, and what is left when this process is killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rimward::config::secret::Secret;
use serde_json::json;

use super::tools::{Place, invoke, send, write};

/// A bootstrap in shell: answers with its process id and how many calls it had.
const BOOTSTRAP: &str = r#"#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
count=0
while :; do
  head=$(mktemp)
  event=$(curl -sS -D "$head" "$api/next") || exit 1
  id=$(grep -i '^lambda-runtime-aws-request-id:' "$head" | tr -d '\r' | cut -d' ' -f2)
  count=$((count + 1))
  case "$event" in *wait*)
    : > "$MARKS/began.$id"
    while [ ! -e "$MARKS/go" ]; do sleep 0.05; done ;;
  esac
  curl -sS -o /dev/null -d "{\"pid\":$$,\"count\":$count,\"open\":$(ulimit -n)}" "$api/$id/response"
done
"#;

fn place() -> Place {
    let mut place = Place::new();
    own(&mut place, "own");
    place
}

/// A function that can be held: it marks that it began, and ends when `marks/go` is there.
fn own(place: &mut Place, name: &str) {
    let marks = place.dir.path().join("marks");
    std::fs::create_dir_all(&marks).unwrap();
    let function = place.function(name, "provided.al2023", "any", "bootstrap", BOOTSTRAP);
    function.environment = vec![("MARKS".into(), Secret::new(marks.to_str().unwrap().to_owned()))];
}

fn began(place: &Place) -> usize {
    let marks = std::fs::read_dir(place.dir.path().join("marks")).unwrap();
    marks.filter(|mark| mark.as_ref().unwrap().file_name().to_str().unwrap().starts_with("began")).count()
}

fn go(place: &Place) {
    std::fs::write(place.dir.path().join("marks/go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executable_is_a_runtime() {
    let mut place = place();
    place.function("none", "provided.al2023", "any", "other", "");
    let lambda = place.open();
    let (one, two) = (invoke(&lambda, "own", "{}").await.json(), invoke(&lambda, "own", "{}").await.json());
    assert_eq!((&one["count"], &two["count"], &one["open"]), (&json!(1), &json!(2), &json!(1024)));
    assert_eq!(one["pid"], two["pid"]);
    let none = invoke(&lambda, "none", "{}").await;
    assert_eq!(none.json()["errorType"], "Runtime.InvalidEntrypoint");
    lambda.close().await;
    assert!(!alive(&one["pid"]));
}

fn alive(pid: &serde_json::Value) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within ten seconds: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_is_counted() {
    let mut place = place();
    place.spec.concurrency = 3;
    place.spec.functions[0].concurrency = Some(2);
    own(&mut place, "other");
    let lambda = place.open();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let lambda = lambda.clone();
            tokio::spawn(async move { invoke(&lambda, "own", "\"wait\"").await.json() })
        })
        .collect();
    until("two calls run", || began(&place) == 2).await;
    let refused = send(&lambda, "POST", "/2015-03-31/functions/own/invocations", &[], "{}").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert_eq!(refused.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
    assert!(refused.header("retry-after").is_some());
    // One seat is left to all others.
    assert_eq!(invoke(&lambda, "other", "{}").await.status, 200);
    go(&place);
    let mut pids = Vec::new();
    for call in held {
        pids.push(call.await.unwrap()["pid"].clone());
    }
    assert_ne!(pids[0], pids[1], "one call at a time in one environment");
    assert_eq!(invoke(&lambda, "own", "{}").await.status, 200);
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_after_the_other_needs_one_seat_and_one_environment() {
    let mut place = place();
    place
        .function(
            "echo",
            "python3.13",
            "app.handler",
            "app.py",
            "import os\ndef handler(event, context): return os.getpid()\n",
        )
        .concurrency = Some(1);
    let lambda = place.open();
    let first = invoke(&lambda, "echo", "{}").await.json();
    for _ in 0..100 {
        let got = invoke(&lambda, "echo", "{}").await;
        assert_eq!((got.status, got.json()), (200, first.clone()));
    }
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_lets_calls_end_and_starts_anew() {
    let mut place = place();
    let lambda = place.open();
    let before = invoke(&lambda, "own", "{}").await.json();
    lambda.apply(&place.spec).unwrap();
    assert_eq!(invoke(&lambda, "own", "{}").await.json()["pid"], before["pid"], "nothing changed");
    let running = {
        let lambda = lambda.clone();
        tokio::spawn(async move { invoke(&lambda, "own", "\"wait\"").await })
    };
    until("the call runs", || began(&place) == 1).await;
    place.spec.functions[0].memory = 256;
    lambda.apply(&place.spec).unwrap();
    let fresh = invoke(&lambda, "own", "{}").await.json();
    assert_ne!(fresh["pid"], before["pid"]);
    go(&place);
    let ended = running.await.unwrap();
    assert_eq!((ended.status, &ended.json()["pid"]), (200, &before["pid"]), "it ended in peace");
    until("the old environment is gone", || !alive(&before["pid"])).await;
    place.spec.functions.clear();
    lambda.apply(&place.spec).unwrap();
    assert_eq!(invoke(&lambda, "own", "{}").await.status, 404);
    until("the last environment is gone", || !alive(&fresh["pid"])).await;
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_environments_are_frozen_and_end() {
    let mut place = place();
    place.spec.idle = Duration::from_secs(2);
    let lambda = place.open();
    let pid = invoke(&lambda, "own", "{}").await.json()["pid"].clone();
    let state = |pid: &serde_json::Value| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until("it is stopped", || state(&pid).contains(") T ")).await;
    until("it is gone", || !alive(&pid)).await;
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused() {
    let place = place();
    let lambda = place.open();
    let base = "/2015-03-31/functions/own/invocations";
    for (path, headers, body, status, kind) in [
        ("/2015-03-31/functions/none/invocations", vec![], "{}", 404, "ResourceNotFoundException"),
        ("/2015-03-31/functions/own/invocations?Qualifier=live", vec![], "{}", 404, "ResourceNotFoundException"),
        ("/2015-03-31/functions/a%20b/invocations", vec![], "{}", 400, "ValidationException"),
        (base, vec![], "{", 400, "InvalidRequestContentException"),
        (base, vec![("x-amz-invocation-type", "Never")], "{}", 400, "ValidationException"),
        (base, vec![("x-amz-log-type", "Head")], "{}", 400, "ValidationException"),
        (base, vec![("x-amz-client-context", "!")], "{}", 400, "InvalidRequestContentException"),
        ("/2015-03-31/nothing", vec![], "{}", 404, "UnknownOperationException"),
    ] {
        let got = send(&lambda, "POST", path, &headers, body).await;
        assert_eq!((got.status, got.header("x-amzn-errortype")), (status, Some(kind)), "{path} {headers:?} {got:?}");
        assert!(got.header("x-amzn-requestid").is_some());
        let said = got.json();
        assert!(said["message"].is_string() || said["Message"].is_string(), "{said}");
    }
    let dry = send(&lambda, "POST", base, &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!((dry.status, dry.body.len()), (204, 0));
    let arn = "/2015-03-31/functions/arn:aws:lambda:eu-west-1:000000000000:function:own:$LATEST/invocations";
    assert_eq!(send(&lambda, "POST", arn, &[], "{}").await.status, 200);
    lambda.close().await;
}

/// Not a test of its own: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("RIMWARD_LAMBDA_VICTIM") else { return };
    let mut place = Place::new();
    own(&mut place, "own");
    place.spec.freeze = std::env::var("RIMWARD_LAMBDA_FREEZE").is_ok();
    let lambda = place.open();
    let got = invoke(&lambda, "own", "{}").await;
    write(&Path::new(&dir).join("pid"), &got.json()["pid"].to_string());
    if !place.spec.freeze {
        // At work when the end comes.
        let _ = invoke(&lambda, "own", "\"wait\"").await;
    }
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_process_behind() {
    for freeze in [true, false] {
        let dir = tempfile::TempDir::new().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "running::victim", "--nocapture"])
            .env("RIMWARD_LAMBDA_VICTIM", dir.path())
            .env("TMPDIR", dir.path());
        if freeze {
            child.env("RIMWARD_LAMBDA_FREEZE", "1");
        }
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let file = dir.path().join("pid");
        until("the victim has called its function", || file.metadata().is_ok_and(|found| found.len() > 0)).await;
        let pid: serde_json::Value = std::fs::read_to_string(&file).unwrap().parse::<u64>().unwrap().into();
        assert!(alive(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        until("its environments are gone", || !alive(&pid)).await;
    }
}
