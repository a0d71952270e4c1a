//! Words of the engine become words of the service.

use super::*;

#[test]
fn what_is_thrown_is_said_as_by_node() {
    for (thrown, want) in [
        (
            r#"{"errorType":"TypeError","errorMessage":"t","stackTrace":["at f"]}"#,
            json!({ "errorType": "TypeError", "errorMessage": "t", "trace": ["at f"] }),
        ),
        (r#"{"errorMessage":"t"}"#, json!({ "errorType": "Error", "errorMessage": "t", "trace": [] })),
        ("words", json!({ "errorType": "Error", "errorMessage": "words", "trace": [] })),
    ] {
        assert_eq!(thrown_document(thrown), want, "{thrown}");
    }
}

#[test]
fn failures_have_the_services_names() {
    let version = super::super::command::tests::version("javascript");
    let second = Duration::from_secs(1);
    for (failure, kind) in [
        (hooks::Failure::Timeout(second), "Sandbox.Timedout"),
        (hooks::Failure::Cpu(second), "Sandbox.Timedout"),
        (hooks::Failure::Memory(1), "Runtime.OutOfMemory"),
        (hooks::Failure::Execution("trap".into()), "Runtime.ExitError"),
    ] {
        assert_eq!(failed(&failure, &version).kind(), kind);
    }
    let document = failed(&hooks::Failure::Execution("trap".into()), &version).document("id");
    assert_eq!(
        serde_json::from_slice::<Value>(&document).unwrap(),
        json!({ "errorType": "Runtime.ExitError", "errorMessage": "RequestId: id Error: trap" })
    );
}

#[test]
fn the_context_says_who_is_called() {
    let version = super::super::command::tests::version("javascript");
    let order = Order {
        request_id: "id".into(),
        payload: Bytes::new(),
        arn: "arn:f:live".into(),
        trace: String::new(),
        client_context: Some(r#"{"custom":{"a":1}}"#.into()),
        deadline_ms: 0,
    };
    let got: Value = serde_json::from_str(&context(&order, &version)).unwrap();
    assert_eq!(
        got,
        json!({
            "functionName": "todo", "functionVersion": "$LATEST", "invokedFunctionArn": "arn:f:live", "memoryLimitInMB": "256",
            "awsRequestId": "id", "logGroupName": "/aws/lambda/todo", "logStreamName": "[$LATEST]engine",
            "clientContext": { "custom": { "a": 1 } },
        })
    );
}
