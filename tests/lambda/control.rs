//! The control API, as boto3 uses it, and what is left of it after a restart.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rimward::lambda::Lambda;
use serde_json::json;
use tokio::net::TcpListener;

use super::tools::{Place, invoke, python, send};

/// Serves the API without asking who calls.
pub async fn serve(lambda: Lambda) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let lambda = lambda.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let lambda = lambda.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(lambda.handle(Request::from_parts(head, body)).await)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_makes_changes_calls_and_removes_functions() {
    let mut place = Place::new();
    let code = "def handler(event, context):\n    return 'from the configuration'\n";
    let function = place.function("configured", "python3.13", "app.handler", "app.py", code);
    function.environment = vec![("SECRET".into(), rimward::config::secret::Secret::new("s".into()))];
    let lambda = place.open();
    let address = serve(lambda.clone()).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lambda/control.py");
    let mut script =
        tokio::process::Command::new(python()).args([script, &format!("http://{address}")]).spawn().unwrap();
    assert!(script.wait().await.unwrap().success());

    // As a killed process leaves it: the file, and nothing closed.
    let image = tempfile::TempDir::new().unwrap();
    let kept = image.path().join("lambda");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::copy(place.state().join("lambda/state.redb"), kept.join("state.redb")).unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(place.state().join("lambda/code")).arg(&kept).status();
    assert!(copied.unwrap().success());
    let half = kept.join("code/newXYZ");
    std::fs::create_dir(&half).unwrap();
    let again = Lambda::open(&place.spec, image.path(), None, None).unwrap();
    let answer = invoke(&again, "f:live", "{}").await;
    assert_eq!((answer.status, answer.json()), (200, json!(["two", "w", "2"])));
    let listed = send(&again, "GET", "/2015-03-31/functions/", &[], "").await.json();
    let names: Vec<_> = listed["Functions"].as_array().unwrap().iter().map(|one| one["FunctionName"].clone()).collect();
    assert_eq!(names, ["configured", "f", "p3"]);
    assert!(!half.exists() && std::fs::read_dir(kept.join("code")).unwrap().count() == 2, "what is not used is gone");
    again.close().await;
    lambda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_can_be_closed_to_changes() {
    let mut place = Place::new();
    place.spec.api = false;
    let lambda = place.open();
    let body = json!({ "FunctionName": "f", "Runtime": "provided", "Role": "arn:aws:iam::000000000000:role/r", "Code": { "ZipFile": "" } });
    let got = send(&lambda, "POST", "/2015-03-31/functions", &[], body.to_string()).await;
    assert_eq!((got.status, got.header("x-amzn-errortype")), (403, Some("AccessDeniedException")), "{got:?}");
    assert_eq!(send(&lambda, "GET", "/2015-03-31/functions", &[], "").await.json(), json!({ "Functions": [] }));
    lambda.close().await;
    // What was closed is free for the next process, although this one still holds on to it.
    let next = place.open();
    let event = [("x-amz-invocation-type", "Event")];
    assert_eq!(send(&next, "POST", "/2015-03-31/functions/f/invocations", &event, "").await.status, 404);
    next.close().await;
}
