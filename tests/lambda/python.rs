//! Python handlers, run by AWS's own runtime client.

use serde_json::json;

use super::tools::{Place, invoke, send};

const HANDLERS: &str = r#"
import os, sys, time

def echo(event, context):
    print("hello from python")
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis() > 0, "name": context.function_name,
            "memory": context.memory_limit_in_mb, "pid": os.getpid(), "table": os.environ.get("TABLE"),
            "home": os.environ["HOME"], "dynamodb": os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
            "client": context.client_context.custom if context.client_context else None}

def fail(event, context):
    raise ValueError("no good")

def slow(event, context):
    time.sleep(60)

def leave(event, context):
    sys.exit(7)

def big(event, context):
    held = bytearray(200 << 20)
    for i in range(0, len(held), 4096):
        held[i] = 1
    time.sleep(30)

def long(event, context):
    return "x" * event
"#;

fn place() -> Place {
    let mut place = Place::new();
    for handler in ["echo", "fail", "slow", "leave", "big", "long"] {
        let function = place.function(handler, "python3.13", &format!("app.{handler}"), "app.py", HANDLERS);
        function.environment = vec![("TABLE".into(), rimward::config::secret::Secret::new("todo".into()))];
    }
    place.function("broken", "python3.13", "app.handler", "app.py", "import no_such_module");
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_see_what_they_see_at_aws() {
    let place = place();
    let lambda = place.open();
    let context = "eyJjdXN0b20iOnsiayI6InbDvCJ9fQ=="; // {"custom":{"k":"vü"}}
    let headers = [("x-amz-log-type", "Tail"), ("x-amz-client-context", context)];
    let got = send(&lambda, "POST", "/2015-03-31/functions/echo/invocations", &headers, r#"{"a":"ü"}"#).await;
    assert_eq!((got.status, got.header("x-amz-function-error")), (200, None), "{got:?}");
    assert_eq!(got.header("x-amz-executed-version"), Some("$LATEST"));
    let seen = got.json();
    let id = got.header("x-amzn-requestid").unwrap();
    assert_eq!((seen["id"].as_str(), &seen["event"]), (Some(id), &json!({"a": "ü"})));
    assert_eq!(seen["arn"], "arn:aws:lambda:eu-west-1:000000000000:function:echo");
    assert_eq!((&seen["left"], &seen["name"], &seen["table"]), (&json!(true), &json!("echo"), &json!("todo")));
    assert_eq!((&seen["memory"], &seen["dynamodb"]), (&json!("128"), &json!("http://127.0.0.1:8000")));
    assert_eq!(seen["client"], json!({"k": "vü"}));
    assert!(std::path::Path::new(seen["home"].as_str().unwrap()).starts_with(place.state()));
    let log = got.log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"), "{log}");
    assert_eq!(lines[1], "hello from python");
    assert_eq!(lines[2], format!("END RequestId: {id}"));
    assert!(lines[3].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")), "{log}");
    assert!(lines[3].contains("\tMemory Size: 128 MB\tMax Memory Used: ") && lines[3].contains("\tInit Duration: "));

    let again = invoke(&lambda, "echo", "").await;
    assert_eq!((again.json()["pid"].as_u64(), &again.json()["event"]), (seen["pid"].as_u64(), &json!({})));
    assert!(!again.log().contains("Init Duration"), "a warm call starts nothing");
    lambda.close().await;
    let home = seen["home"].as_str().unwrap();
    assert!(!std::path::Path::new(home).exists(), "an environment's directory goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_services_documents() {
    let mut place = place();
    for function in place.spec.functions.iter_mut().filter(|function| function.name == "slow") {
        function.timeout = std::time::Duration::from_secs(1);
    }
    let lambda = place.open();
    for (name, kind, message) in [
        ("fail", "ValueError", "no good"),
        ("slow", "Sandbox.Timedout", "Error: Task timed out after 1.00 seconds"),
        ("leave", "Runtime.ExitError", "Error: Runtime exited with error: exit status 7"),
        ("big", "Runtime.OutOfMemory", "Error: Runtime exited with error: signal: killed"),
        ("broken", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
    ] {
        // Twice: what failed does not spoil the next call.
        for _ in 0..2 {
            let got = invoke(&lambda, name, "{}").await;
            assert_eq!((got.status, got.header("x-amz-function-error")), (200, Some("Unhandled")), "{name} {got:?}");
            let error = got.json();
            // awslambdaric calls sys.exit in a handler what it is to it.
            let kinds = [kind, "Runtime.ExitError"];
            assert!(kinds.contains(&error["errorType"].as_str().unwrap()), "{name}: {error}");
            let said = error["errorMessage"].as_str().unwrap();
            assert!(said.ends_with(message) || said.contains(message), "{name}: {error}");
        }
    }
    let log = invoke(&lambda, "slow", "{}").await.log();
    assert!(log.contains("Task timed out after 1.00 seconds") && log.contains("\tStatus: timeout"), "{log}");
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_limits() {
    let place = place();
    let lambda = place.open();
    let (fits, over) = (invoke(&lambda, "long", "6291000").await, invoke(&lambda, "long", "6291555").await);
    assert_eq!((fits.status, fits.header("x-amz-function-error"), fits.body.len()), (200, None, 6_291_002));
    assert_eq!((over.status, over.header("x-amz-function-error")), (200, Some("Unhandled")));
    assert_eq!(over.json()["errorType"], "Function.ResponseSizeTooLarge");
    // The environment lives on.
    assert_eq!(invoke(&lambda, "long", "1").await.json(), json!("x"));
    let large = format!("\"{}\"", "x".repeat(6 << 20));
    let refused = invoke(&lambda, "echo", large).await;
    assert_eq!((refused.status, refused.header("x-amzn-errortype")), (413, Some("RequestEntityTooLargeException")));
    lambda.close().await;
}
