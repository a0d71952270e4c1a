//! Tables and functions of this machine, behind the edge and at addresses of their own.
//!
//! In: a PoP with `[dynamodb]` and `[[lambda]]`. Out: what viewers and SDK-shaped clients get, also over a restart. Never: each operation's own
//! rules (tests/dynamo, tests/lambda and the tests beside the code).

use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::harness::credentials::{Aws, borrowed};
use crate::harness::raw::request;
use crate::harness::{Pop, Raw, Reply, Setup, until};

const SECRET: &str = "not the secret of anybody";

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends one operation to the API.
fn call(at: SocketAddr, operation: &str, body: &Value, more: &[(String, String)]) -> Reply {
    let target = format!("DynamoDB_20120810.{operation}");
    let host = at.to_string();
    let mut fields = vec![("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", target.as_str())];
    if !more.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        // A signature covers the harness's host.
        fields.push(("Host", host.as_str()));
    }
    fields.extend(borrowed(more));
    let mut raw = Raw::connect(at);
    raw.send(request("POST", "/", &fields, body.to_string().as_bytes()));
    raw.reply("POST")
}

fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

const TABLE: &str = "[[dynamodb.table]]\nname = \"todo\"\nhash = \"id:S\"\n";

#[test]
fn a_table_outlives_the_process() {
    let at = free();
    let mut setup = Setup::new("");
    setup.rest =
        format!("[[origin]]\nname = \"o\"\ngenerated = {{ body = \"x\" }}\n[dynamodb]\nlisten = \"{at}\"\n{TABLE}");
    let mut pop = setup.start();
    let put = json!({ "TableName": "todo", "Item": { "id": { "S": "1" }, "text": { "S": "write" } } });
    assert_eq!(call(at, "PutItem", &put, &[]).status, 200);
    pop.crash_and_restart();
    let get = json!({ "TableName": "todo", "Key": { "id": { "S": "1" } } });
    let reply = call(at, "GetItem", &get, &[]);
    assert_eq!(read(&reply)["Item"]["text"]["S"], "write");
    assert_eq!(reply.field("content-type"), Some("application/x-amz-json-1.0"));
    pop.counted("rimward_dynamodb_calls_total", &["operation=\"GetItem\"", "outcome=\"answered\""], 1.0);
    pop.counted("rimward_dynamodb_cache_reads_total", &["cache=\"items\"", "result=\"miss\""], 1.0);
    let page = [("Origin".to_owned(), "https://elsewhere.example".to_owned())];
    assert_eq!(call(at, "GetItem", &get, &page).status, 403, "a page of another site is not this machine");
    let mut rebound = Raw::connect(at);
    let target = [("X-Amz-Target", "DynamoDB_20120810.GetItem"), ("Content-Type", "application/x-amz-json-1.0")];
    rebound.send(request("POST", "/", &target, get.to_string().as_bytes()));
    assert_eq!(rebound.reply("POST").status, 403, "nor is who believes to ask another host");
    let wrong = call(at, "GetItem", &json!({ "TableName": "none", "Key": { "id": { "S": "1" } } }), &[]);
    assert_eq!(wrong.status, 400);
    assert!(read(&wrong)["__type"].as_str().unwrap().ends_with("#ResourceNotFoundException"), "{}", wrong.text());
}

#[test]
fn a_table_is_asked_with_signatures_and_policies() {
    let at = free();
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:PutItem"], "Resource": "arn:aws:dynamodb:*:*:table/todo",
          "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["mine"] } } },
    ]});
    let mut setup = Setup::new("");
    setup.rest = format!(
        "[[origin]]\nname = \"o\"\ngenerated = {{ body = \"x\" }}\n[dynamodb]\nlisten = \"{at}\"\naccess = \"users\"\n{TABLE}\
         [[sigv4]]\nname = \"users\"\nservice = \"dynamodb\"\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\nsecret = \"file:{{dir}}/secret\"\n\
         policy = \"{{dir}}/policy.json\"\n"
    );
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    std::fs::write(setup.dir().join("policy.json"), policy.to_string()).unwrap();
    let _pop = setup.start();
    let get = |id: &str, secret: &str| {
        let body = json!({ "TableName": "todo", "Key": { "id": { "S": id } } });
        let aws = Aws {
            id: "AKIDEXAMPLE",
            secret,
            service: "dynamodb",
            region: "us-east-1",
            tells_hash: false,
            at: SystemTime::now(),
        };
        let target = [("x-amz-target", "DynamoDB_20120810.GetItem")];
        let fields = aws.fields_with("POST", "/", &target, body.to_string().as_bytes());
        let reply = call(at, "GetItem", &body, &fields);
        (reply.status, read(&reply)["__type"].as_str().map(|kind| kind.rsplit('#').next().unwrap().to_owned()))
    };
    assert_eq!(get("mine", SECRET), (200, None));
    assert_eq!(get("yours", SECRET), (400, Some("AccessDeniedException".into())));
    assert_eq!(get("mine", "another"), (400, Some("InvalidSignatureException".into())));
    let unsigned = call(at, "ListTables", &json!({}), &[]);
    assert_eq!(unsigned.status, 400);
    assert!(unsigned.text().contains("MissingAuthenticationToken"), "{}", unsigned.text());
}

/// CRUD with no function between.
fn direct() -> Pop {
    Pop::start(format!(
        r#"[dynamodb]
{TABLE}
[[origin]]
name = "todos"

[[origin.dynamodb]]
route   = "GET /todos/{{id}}"
action  = "GetItem"
request = """{{ "TableName": "todo", "Key": {{ "id": {{ "S": "$input.params('id')" }} }} }}"""

[[origin.dynamodb.response]]
template = """
#set($item = $input.path('$.Item'))
#if($item.id.S == '')
#set($context.responseOverride.status = 404)
{{ "message": "no such todo" }}
#else
{{ "id": "$item.id.S", "text": "$util.escapeJavaScript($item.text.S)", "from": "$item.from.S" }}
#end"""

[[origin.dynamodb]]
route   = "PUT /todos/{{id}}"
action  = "PutItem"
request = """{{ "TableName": "todo", "Item": {{ "id": {{ "S": "$input.params('id')" }},
  "text": {{ "S": "$util.escapeJavaScript($input.path('$.text'))" }}, "from": {{ "S": "$context.identity.sourceIp" }} }} }}"""

[[origin.dynamodb.response]]
pattern = "4.."
status  = 422

[[origin.dynamodb.response]]
status   = 201
template = "{{}}"
headers  = {{ x-request = "context.requestId", x-fixed = "'yes'" }}

[[behavior]]
match   = "*"
methods = "all"
origin  = "todos"
cache   = {{ ttl = "1m" }}
"#
    ))
}

#[test]
fn a_route_is_one_operation_with_no_function_between() {
    let pop = direct();
    let json_body = [("Content-Type", "application/json")];
    let made = pop.send("PUT", "/todos/7", &json_body, br#"{"text": "say \"hi\""}"#);
    assert_eq!((made.status, made.text(), made.field("x-fixed")), (201, "{}".to_owned(), Some("yes")));
    assert_eq!(made.field("x-request"), made.field("x-amz-cf-id"));
    let found = pop.get("/todos/7");
    assert_eq!((found.status, found.field("content-type")), (200, Some("application/json")), "{}", found.text());
    assert_eq!(read(&found), json!({ "id": "7", "text": "say \"hi\"", "from": "127.0.0.1" }));
    assert!(pop.get("/todos/7").hit(), "an operation's answer is kept like any other");
    let missing = pop.get("/todos/8");
    assert_eq!((missing.status, read(&missing)), (404, json!({ "message": "no such todo" })));
    let long = format!("/todos/{}", "x".repeat(2049));
    let refused = pop.send("PUT", &long, &json_body, br#"{"text": "x"}"#);
    assert_eq!(refused.status, 422, "what the table refuses is what the mapping says: {}", refused.text());
    let broken = pop.send("PUT", "/todos/1", &json_body, b"{not json");
    assert_eq!(
        (broken.status, broken.field("x-amzn-errortype")),
        (400, Some("BadRequestException")),
        "{}",
        broken.text()
    );
}

#[test]
fn what_no_route_takes_is_not_there() {
    let pop = direct();
    assert_eq!(pop.get("/elsewhere").status, 404);
    assert_eq!(pop.send("DELETE", "/todos/7", &[], b"").status, 404);
}

/// A function of this machine, run by Node.
#[test]
fn a_function_of_this_machine_answers() {
    let api = free();
    let mut setup = Setup::new("");
    std::fs::create_dir(setup.dir().join("code")).unwrap();
    let handler = "let calls = 0;\nexports.handler = async (event, context) => {\n  if (event.rawPath === '/throw') throw new Error('why');\n\
                   console.log('asked for', event.rawPath);\n\
                   return { statusCode: 200, headers: { 'x-calls': String(++calls) }, body: JSON.stringify({ path: event.rawPath, word: process.env.WORD, left: context.getRemainingTimeInMillis() > 0 }) };\n};\n";
    std::fs::write(setup.dir().join("code/index.js"), handler).unwrap();
    setup.rest = format!(
        "[local_lambda]\nlisten = \"{api}\"\n[[lambda]]\nname = \"site\"\nruntime = \"nodejs22.x\"\nhandler = \"index.handler\"\ncode = \"{{dir}}/code\"\n\
         timeout = \"20s\"\nenvironment = {{ WORD = \"hi\" }}\n[[origin]]\nname = \"f\"\nlambda = {{ function = \"site\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"f\"\nmethods = \"all\"\ncache = false\n"
    );
    let mut pop = setup.start();
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.field("x-calls")), (200, Some("1")), "{} {}", reply.text(), pop.stderr());
    assert_eq!(read(&reply), json!({ "path": "/a", "word": "hi", "left": true }));
    assert_eq!(pop.get("/b").field("x-calls"), Some("2"), "the same environment, warm");
    let failed = pop.get("/throw");
    assert_eq!((failed.status, failed.text()), (500, "{\"message\":\"Internal Server Error\"}".to_owned()));
    let mut raw = Raw::connect(api);
    raw.send(request(
        "POST",
        "/2015-03-31/functions/site/invocations",
        &[("X-Amz-Log-Type", "Tail"), ("Host", "127.0.0.1")],
        b"{\"rawPath\":\"/direct\"}",
    ));
    let direct = raw.reply("POST");
    assert_eq!((direct.status, direct.field("x-amz-executed-version")), (200, Some("$LATEST")), "{}", direct.text());
    assert!(direct.field("x-amz-log-result").is_some());
    pop.signal("TERM");
    assert!(pop.wait().success(), "it ends in peace, and its functions with it");
    until("the function's process to end", || {
        let left = std::process::Command::new("pgrep").args(["-f", pop.dir().to_str().unwrap()]).output().unwrap();
        left.stdout.is_empty().then_some(())
    });
}
