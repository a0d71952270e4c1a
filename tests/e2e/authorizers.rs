//! Authorizers: functions that decide, as API Gateway asks them.
//!
//! In: functions in JavaScript and WebAssembly, what viewers send. Out: who gets in, how often a function was asked. Never: events and answers in
//! detail (tests beside the code hold them).

use std::sync::Barrier;

use crate::access::pop;
use crate::harness::credentials::sha256;
use crate::harness::{Origin, Pop, until};

const ALLOW: &str =
    "policyDocument: { Version: '2012-10-17', Statement: [{ Action: '*', Effect: 'Allow', Resource: '*' }] }";

fn start(origin: &Origin, function: &str, authorizer: &str, behavior: &str) -> Pop {
    let tables = format!(
        "[[function]]\nname = \"auth\"\nfile = \"auth.js\"\ncpu = \"1s\"\n[[authorizer]]\nname = \"a\"\nfunction = \
         \"auth\"\n{authorizer}\n"
    );
    let setup = pop(origin, &tables, behavior);
    std::fs::write(setup.dir().join("auth.js"), function).unwrap();
    setup.start()
}

/// How often the function was asked, once `requests` are in the log.
fn asked(pop: &Pop, requests: usize) -> usize {
    let lines = until("the log", || Some(pop.access_log()).filter(|lines| lines.len() >= requests));
    let functions = lines.iter().filter_map(|line| line["functions"].as_array());
    functions.flatten().filter(|call| call["event"] == "authorizer").count()
}

/// `identityValidationExpression`: "it will return a 401 without calling the Lambda function".
#[test]
fn a_token_that_does_not_match_is_not_asked_about() {
    let origin = Origin::counting("");
    let function = format!("exports.handler = async (event) => ({{ principalId: 'user', {ALLOW} }});");
    let authorizer = "validate = \"Bearer [a-z0-9]+\"";
    let pop = start(&origin, &function, authorizer, "access = { authorizer = \"a\" }\ncache = false");
    for (token, want) in
        [("Bearer abc", 200), ("Bearer ", 401), ("Bearer abc!", 401), ("x Bearer abc", 401), ("Bearer abc\tx", 401)]
    {
        let reply = pop.get_with("/a", &[("Authorization", token)]);
        assert_eq!(reply.status, want, "{token:?}: {}", reply.text());
        if want == 401 {
            assert_eq!(reply.text(), "{\"message\":\"Unauthorized\"}");
            assert_eq!(reply.field("x-amzn-errortype"), Some("UnauthorizedException"));
        }
    }
    assert_eq!((asked(&pop, 5), origin.count()), (1, 1));
}

/// A function that is shown stage and host may decide by them: what it says of one is not taken for another.
#[test]
fn an_answer_opens_no_other_stage_and_no_other_host() {
    let origin = Origin::counting("");
    let simple = "exports.handler = async (event) => ({ isAuthorized: event.requestContext.stage === 'dev' && \
                  event.requestContext.domainName === 'a.example' });";
    let policy = "exports.handler = async (event) => ({ principalId: 'user', policyDocument: { Version: '2012-10-17', \
                  Statement: [{ Action: '*', Effect: 'Allow', Resource: '*:rimward/dev/*' }] } });";
    for (function, kind, by_host) in
        [(simple, "request-2.0", true), (policy, "request", false), (policy, "token", false)]
    {
        let dev = "[[behavior]]\nmatch = \"/dev/*\"\norigin = \"o\"\naccess = { authorizer = \"a\" }\ncache = false\nstage = \"dev\"";
        let prod = "access = { authorizer = \"a\" }\ncache = false\nstage = \"prod\"";
        let pop = start(&origin, function, &format!("kind = \"{kind}\"\n{dev}"), prod);
        let ask = |host, path| pop.get_with(path, &[("Host", host), ("Authorization", "t")]).status;
        assert_eq!((ask("a.example", "/dev/1"), ask("a.example", "/1")), (200, 403), "{kind}");
        assert_eq!(ask("b.example", "/dev/1"), if by_host { 403 } else { 200 }, "{kind}");
        assert_eq!(ask("a.example", "/dev/1"), 200, "{kind}");
    }
}

/// API Gateway Developer Guide, "Quotas": a method's ARN has at most 1600 bytes; of a longer one, nobody is asked.
#[test]
fn what_is_too_long_to_be_asked_about_is_refused() {
    let origin = Origin::counting("");
    let function = format!("exports.handler = async (event) => ({{ principalId: 'user', {ALLOW} }});");
    let pop = start(&origin, &function, "", "access = { authorizer = \"a\" }\ncache = false");
    let long = format!("/{}", "x".repeat(2000));
    for (path, want) in [("/a", 200), (long.as_str(), 414)] {
        let reply = pop.get_with(path, &[("Authorization", "t")]);
        assert_eq!(reply.status, want, "{}", reply.text());
    }
    assert_eq!((asked(&pop, 2), origin.count()), (1, 1));
}

#[test]
fn the_same_is_asked_once_however_many_wait() {
    let origin = Origin::counting("");
    let slow = "for (let n = 0; n < 400000; n++) { sum = (sum * 31 + n) % 65521; }";
    let function = format!(
        "exports.handler = async (event) => {{ let sum = 0; {slow} if (event.authorizationToken === 'bad') throw new Error('no'); \
         return {{ principalId: 'user', context: {{ sum }}, {ALLOW} }}; }};"
    );
    let pop = start(&origin, &function, "", "access = { authorizer = \"a\" }\ncache = false");
    let barrier = Barrier::new(12);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(pop.get_with("/a", &[("Authorization", "good")]).status, 200);
            });
        }
    });
    assert_eq!((asked(&pop, 12), origin.count()), (1, 12));
    let failed = pop.get_with("/a", &[("Authorization", "bad")]);
    assert_eq!((failed.status, failed.text().as_str()), (500, "{\"message\":null}"));
    assert_eq!(pop.get_with("/a", &[("Authorization", "bad")]).status, 500);
    assert_eq!(asked(&pop, 14), 3, "a failure is not kept");
}

const KEYS: [(&str, &str); 2] = [("acme", "acme-key-0123456789abcdef"), ("other", "other-key-0123456789abcd")];

/// API Gateway's key sources: HEADER and AUTHORIZER.
#[test]
fn an_api_key_that_an_authorizer_gives_counts_wherever_the_rule_stands() {
    let origin = Origin::counting("");
    let [(_, acme), (_, other)] = KEYS;
    let function = format!(
        "exports.handler = async (event) => ({{ principalId: 'user', {ALLOW}, usageIdentifierKey: event.authorizationToken === 'keyed' ? \
         '{acme}' : undefined }});"
    );
    let keys: String = KEYS
        .iter()
        .map(|(name, key)| format!("[[api_key]]\nname = \"{name}\"\nsha256 = \"{}\"\n", sha256(key)))
        .collect();
    for (rule, header_counts, principal) in [
        ("[{ authorizer = \"a\" }, \"api_key\"]", true, "user"),
        ("[\"api_key\", { authorizer = \"a\" }]", true, "acme"),
        ("[{ authorizer = \"a\" }, \"authorizer_key\"]", false, "user"),
        ("[{ all = [\"authorizer_key\"] }, { authorizer = \"a\" }]", false, "acme"),
    ] {
        let pop = start(
            &origin,
            &function,
            &keys,
            &format!(
                "access = {{ all = {rule} }}\ncache = false\nlimit = {{ per = \"api_key\", rate = \"1/h\", burst = 2 }}\n\
                 identity = {{ header = \"x-user\" }}"
            ),
        );
        let get = |token: &str, fields: &[(&str, &str)]| {
            let fields: Vec<(&str, &str)> =
                [("Authorization", token)].into_iter().chain(fields.iter().copied()).collect();
            pop.get_with("/a", &fields)
        };
        // Both use up the bucket of the key that the function gave, whatever the viewer sent.
        assert_eq!([get("keyed", &[]).status, get("keyed", &[("X-Api-Key", other)]).status], [200, 200], "{rule}");
        assert_eq!(origin.last().field("x-user"), Some(principal), "{rule}: who is named first");
        assert_eq!(get("keyed", &[("X-Api-Key", other)]).status, 429, "{rule}");
        let own = get("plain", &[("X-Api-Key", other)]);
        assert_eq!(own.status, if header_counts { 200 } else { 403 }, "{rule}: {}", own.text());
        let none = get("plain", &[]);
        assert_eq!((none.status, none.text().as_str()), (403, "{\"message\":\"Forbidden\"}"), "{rule}");
    }
}

/// What a function may have decided by is who asks: without identity sources that is all it was shown.
#[test]
fn without_identity_sources_answers_are_shared_by_nobody() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let function = "exports.handler = async (event) => ({ isAuthorized: event.headers['x-who'] !== 'eve' });";
    let authorizer = "kind = \"request-2.0\"\nidentity = []\nttl = \"0s\"";
    let pop = start(&origin, function, authorizer, "access = { authorizer = \"a\" }");
    let get = |path: &str, who: &str| pop.get_with(path, &[("X-Who", who)]);
    let alice = get("/a", "alice");
    assert_eq!(alice.status, 200, "{}", alice.text());
    let bob = get("/a", "bob");
    assert!(!bob.hit() && bob.text() != alice.text(), "{:?}", bob.cache());
    assert!(get("/a", "alice").hit() && get("/a", "bob").hit());
    let eve = get("/a", "eve");
    assert_eq!((eve.status, eve.text().as_str()), (403, "{\"message\":\"Forbidden\"}"), "as HTTP APIs say it");
    assert_eq!(asked(&pop, 5), 5);
}

#[test]
fn a_function_of_an_http_api_that_fails_is_told_as_there() {
    let origin = Origin::counting("");
    let function = "exports.handler = async () => { throw new Error('broken'); };";
    let pop = start(&origin, function, "kind = \"request-2.0\"", "access = { authorizer = \"a\" }\ncache = false");
    let reply = pop.get_with("/a", &[("Authorization", "t")]);
    assert_eq!((reply.status, reply.text().as_str()), (500, "{\"message\":\"Internal Server Error\"}"));
}

/// What cannot be known is not known not to be: a wrong credential beside it makes it no more certain.
#[test]
fn none_of_what_cannot_be_judged_lets_nobody_in() {
    let origin = Origin::counting("");
    let function = "exports.handler = async () => { throw new Error('broken'); };";
    let rule = "access = { none = [{ any = [\"api_key\", { authorizer = \"a\" }] }] }\ncache = false";
    let pop = start(&origin, function, "", rule);
    for fields in [&[("Authorization", "t")][..], &[("Authorization", "t"), ("X-Api-Key", "bogus")]] {
        assert_eq!(pop.get_with("/a", fields).status, 500, "{fields:?}");
    }
    assert_eq!(origin.count(), 0);
}

/// Of any language: it takes the event as text, and gives its decision as text. This one allows `GET /pets/*` to whose token begins with
/// "o", and throws "Unauthorized" otherwise.
#[test]
fn a_module_of_another_language_decides() {
    const SAYS: &str = r#"{"principalId":"wat","policyDocument":{"Statement":[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"arn:aws:execute-api:*:*:*/GET/pets/*"}]},"context":{"by":"wat"}}"#;
    let data: String = SAYS.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    // It looks for what stands behind `nToken":"` in the event.
    let wat = format!(
        r#"(module
          (memory (export "memory") 4)
          (global $next (mut i32) (i32.const 131072))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 3))))
          (func (export "rimward:edge/lambda-edge@0.1.0#handle") (param $at i32) (param $len i32) (param i32 i32) (result i32)
            (local $end i32)
            (local.set $end (i32.add (local.get $at) (local.get $len)))
            (i32.store (i32.const 0) (i32.const 1))
            (i32.store (i32.const 4) (i32.const 1010))
            (i32.store (i32.const 8) (i32.const 12))
            (loop $next
              (if (i32.and
                    (i64.eq (i64.load (local.get $at)) (i64.load (i32.const 1000)))
                    (i32.eq (i32.load8_u offset=9 (local.get $at)) (i32.const 111)))
                (then
                  (i32.store (i32.const 0) (i32.const 0))
                  (i32.store (i32.const 4) (i32.const 1024))
                  (i32.store (i32.const 8) (i32.const {}))))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
            (i32.const 0))
          (data (i32.const 1000) "nToken\":\"")
          (data (i32.const 1010) "Unauthorized")
          (data (i32.const 1024) "{data}"))"#,
        SAYS.len()
    );
    let origin = Origin::counting("");
    let tables =
        "[[function]]\nname = \"auth\"\nfile = \"auth.wat\"\n[[authorizer]]\nname = \"a\"\nfunction = \"auth\"\n";
    let behavior = "access = { authorizer = \"a\" }\ncache = false\nidentity = { header = \"x-user\", claims = { x-by = \"by\" } }";
    let setup = pop(&origin, tables, behavior);
    std::fs::write(setup.dir().join("auth.wat"), wat).unwrap();
    let pop = setup.start();
    let ask = |token: &str, path: &str| pop.get_with(path, &[("Authorization", token)]);
    let reply = ask("open", "/pets/1");
    assert_eq!(reply.status, 200, "{} {:?}", reply.text(), pop.access_lines());
    let seen = origin.last();
    assert_eq!((seen.field("x-user"), seen.field("x-by")), (Some("wat"), Some("wat")));
    assert_eq!(ask("open", "/owners/1").status, 403, "the policy is for pets");
    assert_eq!(ask("shut", "/pets/1").status, 401, "it threw \"Unauthorized\"");
    assert_eq!(origin.count(), 1);
}
