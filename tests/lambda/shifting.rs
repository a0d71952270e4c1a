//! Calls of an alias move to another version, step by step, and back when it fails.

use std::io::Write as _;

use rimward::lambda::Lambda;
use serde_json::{Value, json};

use super::tools::{Got, Place, invoke, send};

const SHIFT: &str = "/2015-03-31/functions/f/aliases/live/shift";
const ALIAS: &str = "/2015-03-31/functions/f/aliases/live";

fn package(code: &str) -> String {
    use base64::Engine as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("app.js", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(code.as_bytes()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(zip.finish().unwrap().into_inner())
}

/// Versions 1 and 2 of `f`, and the alias `live` of 1.
async fn versions(lambda: &Lambda, second: &str) {
    let made = |got: Got| assert!(got.status < 300, "{got:?}");
    let create = json!({ "FunctionName": "f", "Runtime": "nodejs22.x", "Handler": "app.handler", "Publish": true,
        "Role": "arn:aws:iam::000000000000:role/r", "Code": { "ZipFile": package("exports.handler = async () => 1;") } });
    made(send(lambda, "POST", "/2015-03-31/functions", &[], create.to_string()).await);
    let update = json!({ "ZipFile": package(second), "Publish": true });
    made(send(lambda, "PUT", "/2015-03-31/functions/f/code", &[], update.to_string()).await);
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    made(send(lambda, "POST", "/2015-03-31/functions/f/aliases", &[], alias.to_string()).await);
}

async fn begin(lambda: &Lambda, body: Value) -> Got {
    send(lambda, "POST", SHIFT, &[], body.to_string()).await
}

async fn shown(lambda: &Lambda, path: &str) -> Value {
    send(lambda, "GET", path, &[], "").await.json()
}

/// Waits until the shift is over, with `each` in between.
async fn over(lambda: &Lambda, mut each: impl AsyncFnMut()) -> Value {
    for _ in 0..400 {
        let shift = shown(lambda, SHIFT).await;
        if shift["state"] != "InProgress" {
            return shift;
        }
        each().await;
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it never ends: {}", shown(lambda, SHIFT).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_version_gets_every_call() {
    let place = Place::new();
    let lambda = place.open();
    versions(&lambda, "exports.handler = async () => 2;").await;
    for (body, status) in [
        (json!({ "to": "3", "kind": "all-at-once" }), 400),
        (json!({ "to": "1", "kind": "all-at-once" }), 400),
        (json!({ "to": "$LATEST", "kind": "all-at-once" }), 400),
        (json!({ "to": "2", "kind": "soon" }), 400),
        (json!({ "to": "2", "kind": { "percent": 0, "interval": "1s", "steps": 1 } }), 400),
        (json!({ "to": "2", "kind": "all-at-once", "alarm": {} }), 400),
        (json!({ "to": "2", "kind": "all-at-once", "alarm": { "errors": "many" } }), 400),
        (json!({ "kind": "all-at-once" }), 400),
    ] {
        let got = begin(&lambda, body.clone()).await;
        assert_eq!(got.status, status, "{body}: {got:?}");
    }
    assert_eq!(send(&lambda, "GET", SHIFT, &[], "").await.status, 404);
    let steps = json!({ "to": "2", "kind": { "percent": 40, "interval": "200ms", "steps": 2 }, "alarm": { "errors": "5%", "p99": "60s" } });
    let got = begin(&lambda, steps.clone()).await;
    assert_eq!((got.status, got.json()["weight"].as_f64()), (201, Some(0.4)), "{got:?}");
    assert_eq!(begin(&lambda, steps).await.status, 409, "one at a time");
    let ended = over(&lambda, async || {}).await;
    assert_eq!((&ended["state"], &ended["weight"], &ended["from"]), (&json!("Succeeded"), &json!(1.0), &json!("1")));
    let alias = shown(&lambda, ALIAS).await;
    assert_eq!((&alias["FunctionVersion"], alias.get("RoutingConfig")), (&json!("2"), None));
    assert_eq!(invoke(&lambda, "f:live", "{}").await.json(), json!(2));
    let back = begin(&lambda, json!({ "to": "1", "kind": "all-at-once" })).await;
    assert_eq!((back.status, &back.json()["state"]), (201, &json!("Succeeded")));
    assert_eq!(invoke(&lambda, "f:live", "{}").await.json(), json!(1));
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_version_gets_no_more_calls() {
    let place = Place::new();
    let lambda = place.open();
    versions(&lambda, "exports.handler = async () => { throw new Error('bad'); };").await;
    let body = json!({ "to": "2", "kind": { "percent": 90, "interval": "1h", "steps": 1 }, "alarm": { "errors": "5%", "window": "10m" } });
    assert_eq!(begin(&lambda, body).await.status, 201);
    let mut failed = 0;
    let ended = over(&lambda, async || {
        failed += usize::from(invoke(&lambda, "f:live", "{}").await.header("x-amz-function-error").is_some());
    })
    .await;
    assert_eq!(ended["state"], "RolledBack");
    assert!(ended["reason"].as_str().unwrap().ends_with("calls failed, 5% are allowed"), "{ended}");
    assert!(failed >= 10, "so many calls an alarm needs");
    let alias = shown(&lambda, ALIAS).await;
    assert_eq!((&alias["FunctionVersion"], alias.get("RoutingConfig")), (&json!("1"), None));
    assert_eq!(invoke(&lambda, "f:live", "{}").await.json(), json!(1));
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shift_survives_a_restart_and_can_be_stopped() {
    let place = Place::new();
    let lambda = place.open();
    versions(&lambda, "exports.handler = async () => 2;").await;
    assert_eq!(begin(&lambda, json!({ "to": "2", "kind": "canary10percent5minutes" })).await.status, 201);
    let before = shown(&lambda, SHIFT).await;
    lambda.close().await;
    let lambda = place.open();
    let shift = shown(&lambda, SHIFT).await;
    assert_eq!((&shift["state"], &shift["began"]), (&json!("InProgress"), &before["began"]));
    assert_eq!(shown(&lambda, ALIAS).await["RoutingConfig"]["AdditionalVersionWeights"], json!({ "2": 0.1 }));
    let update = |body: Value| send(&lambda, "PUT", ALIAS, &[], body.to_string());
    assert_eq!(update(json!({ "FunctionVersion": "2" })).await.status, 409);
    assert_eq!(update(json!({ "Description": "d" })).await.status, 200);
    let stopped = send(&lambda, "DELETE", SHIFT, &[], "").await;
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &json!("RolledBack")));
    assert_eq!(send(&lambda, "DELETE", SHIFT, &[], "").await.status, 409);
    assert_eq!(shown(&lambda, ALIAS).await.get("RoutingConfig"), None);
    assert_eq!(update(json!({ "FunctionVersion": "2" })).await.status, 200);
    lambda.close().await;
}
