//! What goes to the other side, and what comes back.

use super::*;
use crate::config::secret::Secret;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// A server that says what it was asked, or fails as told by the table's name.
async fn server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                let refused = body.windows(7).any(|window| window == b"missing");
                let said = match refused {
                    true => r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}"#
                        .to_owned(),
                    false => {
                        serde_json::json!({"target": field("x-amz-target"), "authorization": field("authorization"),
                        "date": field("x-amz-date"), "body": std::str::from_utf8(&body).unwrap()})
                        .to_string()
                    }
                };
                let status = if refused { 400 } else { 200 };
                let mut answer = hyper::Response::new(Full::new(Bytes::from(said)));
                *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
                Ok::<_, hyper::Error>(answer)
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    format!("http://{address}")
}

fn remote(url: &str, signed: bool) -> Remote {
    let secret = |text: &str| Secret::new(text.to_owned());
    let credentials =
        Credentials { access_key: secret("AKID"), secret_key: secret("made up here"), session_token: None };
    let clock: Clock = Arc::new(|| Duration::from_secs(1_440_938_160));
    Remote::new(url, "eu-west-1", signed.then_some(&credentials), 2, clock).unwrap()
}

fn call(table: &str) -> Call {
    let request = serde_json::json!({ "TableName": table });
    Call { op: Op::DescribeTable, request: request.as_object().unwrap().clone(), metered: false }
}

#[tokio::test]
async fn requests_are_signed_and_answers_read() {
    let url = server().await;
    for signed in [true, false] {
        let reply = remote(&url, signed).call(call("ttt")).await.unwrap();
        let said: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(said["target"], "DynamoDB_20120810.DescribeTable");
        assert_eq!(said["body"], r#"{"TableName":"ttt"}"#);
        match signed {
            true => {
                let written = said["authorization"].as_str().unwrap();
                assert!(
                    written.starts_with("AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-west-1/dynamodb/aws4_request"),
                    "{written}"
                );
                assert!(written.contains("x-amz-target") && said["date"] == "20150830T123600Z");
            }
            false => assert!(said["authorization"].is_null()),
        }
    }
    let fault = remote(&url, true).call(call("missing")).await.unwrap_err();
    assert_eq!((fault.name(), fault.status, fault.message.as_deref()), ("ResourceNotFoundException", 400, Some("no")));
}

#[tokio::test]
async fn what_is_not_there_or_too_much_is_unavailable() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(remote(&format!("http://{gone}"), false).call(call("ttt")).await.unwrap_err().status, 503);
    let busy = remote(&server().await, false);
    let held = busy.turns.acquire_many(2).await.unwrap();
    assert_eq!(busy.call(call("ttt")).await.unwrap_err().status, 503);
    drop(held);
    assert!(busy.call(call("ttt")).await.is_ok());
    busy.close().await;
    assert_eq!(busy.call(call("ttt")).await.unwrap_err().status, 503);
}

#[test]
fn streams_have_a_host_of_their_own() {
    assert_eq!(streams("https://dynamodb.eu-west-1.amazonaws.com"), "https://streams.dynamodb.eu-west-1.amazonaws.com");
    assert_eq!(streams("http://127.0.0.1:8000"), "http://127.0.0.1:8000");
}
