//! Lambda origins: functions behind the edge, over Lambda's API on the network; signed origins.
//!
//! In: a service that speaks Invoke and InvokeWithResponseStream as AWS does. Out: what the function was shown, what the viewer got.
//! Never: the members of each event (tests beside the code hold them).

use serde_json::{Value, json};

use crate::harness::{Origin, Pop, Setup, until};

const SECRET: &str = "not the secret of anybody";

/// A PoP whose only origin is a function; `{dir}` is the directory.
fn pop(service: &Origin, lambda: &str, behavior: &str) -> Pop {
    let mut setup = Setup::new("");
    setup.rest = format!(
        "[[origin]]\nname = \"f\"\nlambda = {{ function = \"todo:live\", endpoint = \"{}\", region = \"eu-central-1\", {lambda} }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"f\"\nmethods = \"all\"\nstage = \"prod\"\n{behavior}\n",
        service.url()
    );
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.start()
}

/// A function that answers with what it was shown.
fn echo() -> Origin {
    Origin::start(|x| {
        let event: Value = serde_json::from_slice(&x.request.body).unwrap();
        let body = json!({ "statusCode": 200, "body": event.to_string(), "headers": { "x-f": "1" }, "cookies": ["a=1", "b=2"] });
        x.reply("200 OK", "x-amzn-requestid: r-1\r\nx-amz-executed-version: 7\r\n", body.to_string());
    })
}

fn says(status: &'static str, fields: &'static str, body: &'static str) -> Origin {
    Origin::start(move |x| x.reply(status, fields, body))
}

#[test]
fn a_request_becomes_an_event_and_the_result_an_answer() {
    let service = echo();
    let signed = "credentials = { access_key = \"AKIDEXAMPLE\", secret_key = \"file:{dir}/secret\" }";
    let pop = pop(&service, signed, "forward = { headers = \"all\" }\ncache = false");
    let reply =
        pop.send("POST", "/todos/1?a=b&a=c", &[("Content-Type", "application/json"), ("X-Who", "me")], b"{\"x\":1}");
    assert_eq!(
        (reply.status, reply.field("x-f"), reply.field("x-amzn-requestid")),
        (200, Some("1"), Some("r-1")),
        "{reply:?}"
    );
    assert_eq!(reply.all("set-cookie"), ["a=1", "b=2"]);
    let event: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&event["version"], &event["rawPath"]), (&json!("2.0"), &json!("/prod/todos/1")));
    assert_eq!((&event["rawQueryString"], &event["body"]), (&json!("a=b&a=c"), &json!("{\"x\":1}")));
    assert_eq!((&event["headers"]["x-who"], &event["isBase64Encoded"]), (&json!("me"), &json!(false)));
    let context = &event["requestContext"];
    assert_eq!((&context["http"]["method"], &context["http"]["sourceIp"]), (&json!("POST"), &json!("127.0.0.1")));
    assert_eq!(context["requestId"].as_str(), reply.field("x-amz-cf-id"), "one id for one request");

    let asked = service.last();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/2015-03-31/functions/todo/invocations?Qualifier=live")
    );
    assert_eq!(asked.field("x-amz-invocation-type"), Some("RequestResponse"));
    let authorization = asked.field("authorization").unwrap();
    assert!(authorization.contains("/eu-central-1/lambda/aws4_request"), "{authorization}");
    assert_eq!(pop.log_line("/todos/1")["origin"]["name"], "f");
}

#[test]
fn answers_of_functions_are_kept_as_they_say() {
    let service = Origin::start(|x| {
        let event: Value = serde_json::from_slice(&x.request.body).unwrap();
        let seconds =
            if event["rawPath"] == "/prod/kept" { json!({ "cache-control": "max-age=60" }) } else { json!({}) };
        x.reply("200 OK", "", json!({ "statusCode": 200, "headers": seconds, "body": x.nth.to_string() }).to_string());
    });
    let pop = pop(&service, "", "");
    let bodies = |path: &str| [pop.get(path).text(), pop.get(path).text()];
    assert_eq!(bodies("/kept"), ["0", "0"]);
    assert_eq!(bodies("/silent"), ["1", "2"], "what says nothing is not kept");
}

#[test]
fn failures_are_what_api_gateway_makes_of_them() {
    let unhandled = "{\"errorType\":\"Error\",\"errorMessage\":\"secret detail\"}";
    let throttled = "retry-after: 7\r\nx-amzn-errortype: TooManyRequestsException\r\n";
    let table = [
        (says("200 OK", "x-amz-function-error: Unhandled\r\n", unhandled), "1.0", 502, "Internal server error"),
        (says("200 OK", "x-amz-function-error: Unhandled\r\n", unhandled), "2.0", 500, "Internal Server Error"),
        (says("200 OK", "", "{\"statusCode\":200,\"unknown\":1}"), "1.0", 502, "Internal server error"),
        (says("429 Too Many Requests", throttled, "{}"), "1.0", 429, "Too Many Requests"),
        (
            says("404 Not Found", "x-amzn-errortype: ResourceNotFoundException\r\n", "{}"),
            "1.0",
            500,
            "Internal server error",
        ),
    ];
    for (service, payload, status, words) in table {
        let pop = pop(&service, &format!("payload = \"{payload}\""), "");
        let reply = pop.send("POST", "/x", &[], b"");
        assert_eq!((reply.status, reply.text()), (status, format!("{{\"message\":\"{words}\"}}")), "{payload}");
        assert_eq!(reply.field("retry-after"), (status == 429).then_some("7"));
        assert!(!reply.text().contains("secret"), "details are for the log");
        until("a line that says why", || pop.stderr().contains("function todo: ").then_some(()));
    }
    let gone = Origin::start(|x| x.close());
    let late = Origin::start(|x| {
        x.read();
    });
    for (service, status, keys) in [(gone, 502, ""), (late, 504, ", timeout = \"300ms\"")] {
        let pop = pop(&service, &format!("payload = \"1.0\"{keys}"), "");
        assert_eq!(pop.send("POST", "/x", &[], b"").status, status);
    }
}

#[test]
fn routes_take_what_they_name() {
    let service = echo();
    let pop =
        pop(&service, "payload = \"2.0\", routes = [\"GET /todos/{id}\", \"ANY /files/{path+}\"]", "cache = false");
    let event = |path: &str| serde_json::from_slice::<Value>(&pop.get(path).body).unwrap();
    let todo = event("/todos/a%2Fb");
    assert_eq!((&todo["routeKey"], &todo["pathParameters"]), (&json!("GET /todos/{id}"), &json!({ "id": "a%2Fb" })));
    assert_eq!(event("/files/x/y")["pathParameters"], json!({ "path": "x/y" }));
    let reply = pop.get("/other");
    assert_eq!((reply.status, reply.text()), (404, "{\"message\":\"Not Found\"}".to_owned()));
}

#[test]
fn an_event_is_queued_and_acknowledged() {
    let service = says("202 Accepted", "x-amzn-requestid: q-1\r\n", "");
    let pop = pop(&service, "invoke = \"event\"", "");
    let reply = pop.send("POST", "/work", &[], b"job");
    assert_eq!((reply.status, reply.body.len(), reply.field("x-amzn-requestid")), (202, 0, Some("q-1")));
    assert_eq!(service.last().field("x-amz-invocation-type"), Some("Event"));
}

#[test]
fn a_body_larger_than_lambda_takes_is_refused_before_the_call() {
    let service = echo();
    let pop = pop(&service, "payload = \"1.0\"", "");
    let reply = pop.send("POST", "/big", &[], &vec![b'a'; (6 << 20) + 1]);
    assert_eq!((reply.status, reply.text()), (413, "{\"message\":\"Request Too Long\"}".to_owned()));
    assert_eq!(service.count(), 0);
}

/// One message of `application/vnd.amazon.eventstream`.
fn message(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut named = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", kind)] {
        named.push(name.len() as u8);
        named.extend(name.as_bytes());
        named.push(7);
        named.extend((value.len() as u16).to_be_bytes());
        named.extend(value.as_bytes());
    }
    let mut out = ((16 + named.len() + payload.len()) as u32).to_be_bytes().to_vec();
    out.extend((named.len() as u32).to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(named);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

#[test]
fn a_streamed_answer_comes_as_it_is_written() {
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let opened = parking_lot::Mutex::new(opened);
    let service = Origin::start(move |x| {
        x.head("200 OK", "transfer-encoding: chunked\r\ncontent-type: application/vnd.amazon.eventstream\r\n");
        let head = b"{\"statusCode\":201,\"headers\":{\"x-s\":\"1\"},\"cookies\":[\"c=1\"]}\0\0\0\0\0\0\0\0first ";
        x.chunk(message("PayloadChunk", head));
        opened.lock().recv().unwrap();
        x.chunk(message("PayloadChunk", b"second"));
        x.chunk(message("InvokeComplete", b"{}"));
        x.last_chunk("");
    });
    let pop = pop(&service, "invoke = \"streamed\", payload = \"function-url\"", "cache = false");
    let mut raw = pop.raw();
    raw.send("GET /s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = raw.head().unwrap();
    assert_eq!((head.status, head.field("x-s"), head.field("set-cookie")), (201, Some("1"), Some("c=1")));
    assert_eq!(raw.chunk().unwrap().unwrap(), b"first ");
    gate.send(()).unwrap();
    assert_eq!(raw.chunk().unwrap().unwrap(), b"second");
    assert_eq!(raw.chunk().unwrap(), None, "the end");
    assert_eq!(service.last().target, "/2021-11-15/functions/todo/response-streaming-invocations?Qualifier=live");
}

/// A function that wrote something and failed, once the gate lets it.
fn failing(gate: impl Fn() + Send + Sync + 'static) -> Origin {
    Origin::start(move |x| {
        x.head("200 OK", "transfer-encoding: chunked\r\n");
        x.chunk(message("PayloadChunk", b"plain bytes"));
        gate();
        x.chunk(message("InvokeComplete", b"{\"ErrorCode\":\"Unhandled\",\"ErrorDetails\":\"x\"}"));
        x.last_chunk("");
    })
}

#[test]
fn a_streamed_answer_that_fails_in_the_middle_is_not_whole() {
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let opened = parking_lot::Mutex::new(opened);
    let service = failing(move || opened.lock().recv().unwrap());
    let pop = pop(&service, "invoke = \"streamed\", payload = \"function-url\"", "cache = { ttl = \"1h\" }");
    for _ in 0..2 {
        let mut raw = pop.raw();
        raw.send("GET /s HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(raw.head().unwrap().status, 200);
        assert_eq!(raw.chunk().unwrap().unwrap(), b"plain bytes");
        gate.send(()).unwrap();
        assert!(raw.chunk().is_err(), "the viewer sees that it is not whole");
    }
    assert_eq!(service.count(), 2, "nothing of it is kept");
}

/// The failure may come before the viewer was told anything: it is told of the failure then, in a whole answer.
#[test]
fn a_streamed_answer_that_fails_at_once_is_no_success() {
    let service = failing(|| {});
    let pop = pop(
        &service,
        "invoke = \"streamed\", payload = \"function-url\"",
        "cache = { ttl = \"1h\", error_ttl = \"0s\" }",
    );
    for asked in 1..=10 {
        if let Ok(reply) = pop.raw_get("/s") {
            assert_eq!(reply.status, 502, "{reply:?}");
        }
        assert_eq!(service.count(), asked, "nothing of it is kept");
    }
}

/// Another PoP checks the signature, as AWS would: its check passes AWS's own vectors.
#[test]
fn a_signed_origin_gets_signed_bodies() {
    let echo = Origin::start(|x| {
        let body = x.request.body.clone();
        x.reply("200 OK", "cache-control: no-store\r\n", body);
    });
    let mut checks = Setup::new("");
    checks.rest = format!(
        "{}[[sigv4]]\nname = \"aws\"\nservice = \"lambda\"\nregions = [\"eu-central-1\"]\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
         secret = \"file:{{dir}}/secret\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\naccess = {{ sigv4 = \"aws\" }}\ncache = false\n",
        echo.config("o")
    );
    std::fs::write(checks.dir().join("secret"), SECRET).unwrap();
    let checks = checks.start();
    let signs = |secret: &str, function: &str| {
        let mut setup = Setup::new("");
        setup.rest = format!(
            "[[origin]]\nname = \"url\"\nurl = \"http://{}\"\nsign = {{ service = \"lambda\", region = \"eu-central-1\", \
             credentials = {{ access_key = \"AKIDEXAMPLE\", secret_key = \"file:{{dir}}/secret\" }} }}\n\
             [[behavior]]\nmatch = \"*\"\norigin = \"url\"\nmethods = \"all\"\ncache = false\n{}",
            checks.http,
            if function.is_empty() {
                ""
            } else {
                "hooks = { origin_request = \"f\" }\n[[function]]\nname = \"f\"\nfile = \"f.js\"\n"
            }
        );
        std::fs::write(setup.dir().join("f.js"), function).unwrap();
        std::fs::write(setup.dir().join("secret"), secret).unwrap();
        setup.start()
    };
    let pop = signs(SECRET, "");
    let body = vec![b'x'; 100_000];
    for path in ["/", "/a%20b/c?z=1&a=%2F&a=b", "/a//b/c", "/%C3%BC?q=a%2Bb"] {
        let reply = pop.send("POST", path, &[("Content-Type", "text/plain"), ("X-Amz-Date", "forged")], &body);
        assert_eq!((reply.status, reply.body == body), (200, true), "{path}: {}", reply.text());
    }
    assert_eq!(pop.get("/get").status, 200);
    assert_eq!(signs("another secret", "").send("POST", "/", &[], b"x").status, 403, "the check does check");
    // What a function leaves of it is what is signed for; a time of its own makes it no other origin.
    let function = "exports.handler = async ({ Records: [{ cf: { request } }] }) => { request.origin.custom.readTimeout = 7; return request; };";
    assert_eq!(signs(SECRET, function).get("/get").status, 200);
}

#[test]
fn a_lambda_function_decides_who_comes_in() {
    let service = Origin::start(|x| {
        let event: Value = serde_json::from_slice(&x.request.body).unwrap();
        match event["authorizationToken"].as_str().unwrap() {
            "throw" => {
                let error = json!({ "errorType": "Error", "errorMessage": "Unauthorized" }).to_string();
                x.reply("200 OK", "x-amz-function-error: Unhandled\r\n", error);
            }
            token => {
                let effect = if token == "allow" { "Allow" } else { "Deny" };
                let statement =
                    json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"] });
                let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
                let said = json!({ "principalId": "u", "policyDocument": policy, "context": { "plan": "gold" } });
                x.reply("200 OK", "", said.to_string());
            }
        }
    });
    let origin = Origin::counting("");
    let mut setup = Setup::new("");
    setup.rest = format!(
        "{}[[origin]]\nname = \"auth\"\nlambda = {{ function = \"auth\", endpoint = \"{}\" }}\n[[authorizer]]\nname = \"who\"\nlambda = \"auth\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = {{ authorizer = \"who\" }}\nidentity = {{ header = \"x-user\", claims = {{ x-plan = \"plan\" }} }}\n",
        origin.config("o"),
        service.url()
    );
    let pop = setup.start();
    let status = |token: &str| pop.get_with("/a", &[("Authorization", token)]).status;
    assert_eq!([status("allow"), status("deny"), status("throw")], [200, 403, 401]);
    assert_eq!((origin.last().field("x-user"), origin.last().field("x-plan")), (Some("u"), Some("gold")));
    let asked = service.count();
    assert_eq!([status("allow"), status("deny")], [200, 403]);
    assert_eq!(service.count(), asked, "its answers are kept");
}
