//! Signatures: who may come in by an AWS signature, and which bodies.
//!
//! In: requests signed as AWS's clients sign them, altered ones. Out: what viewer, origin and log see. Never: canonical forms
//! (tests/sigv4 holds them against AWS's vectors).

use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::access::pop;
use crate::harness::credentials::{Aws, borrowed};
use crate::harness::raw::request;
use crate::harness::{H2, Origin, Pop, Raw, until};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

fn signer(origin: &Origin, more: &str, key: &str) -> Pop {
    signing(origin, more, key, "cache = false")
}

fn signing(origin: &Origin, more: &str, key: &str, behavior: &str) -> Pop {
    let setup = pop(
        origin,
        &format!(
            "[[sigv4]]\nname = \"partners\"\nregions = [\"eu-central-1\"]\n{more}\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
             secret = \"file:{{dir}}/secret\"\nprincipal = \"arn:aws:iam::123456789012:user/alice\"\n{key}"
        ),
        &format!("access = {{ sigv4 = \"partners\" }}\nidentity = {{ header = \"x-user\" }}\n{behavior}"),
    );
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*/*/*/pets/*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*/DELETE/*"},
    ]});
    std::fs::write(setup.dir().join("policy.json"), policy.to_string()).unwrap();
    setup.start()
}

fn aws() -> Aws<'static> {
    Aws {
        id: "AKIDEXAMPLE",
        secret: SECRET,
        service: "execute-api",
        region: "eu-central-1",
        tells_hash: false,
        at: SystemTime::now(),
    }
}

/// API Gateway keeps the signature's parameters to itself; so does the cache: one object, however often it is signed anew.
#[test]
fn what_is_presigned_is_asked_for_without_its_signature() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let behavior = "forward = { query = \"all\" }\ncache = { key.query = \"all\" }";
    let pop = signing(&origin, "", "", behavior);
    let now = SystemTime::now();
    let signed = |target: &str, ago: u64| Aws { at: now - Duration::from_secs(ago), ..aws() }.presigned(target);
    let first = pop.get(&signed("/pets?b=2&a=1", 0));
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(origin.last().target.ends_with("/pets?b=2&a=1"), "{:?}", origin.last().target);
    let again = pop.get(&signed("/pets?b=2&a=1", 60));
    assert!(again.hit() && again.text() == first.text(), "{:?}", again.cache());
    let h2 = H2::plain(pop.http).get(&signed("/pets?b=2&a=1", 30));
    assert_eq!((h2.status, h2.body.as_slice()), (200, first.text().as_bytes()));
    assert!(!pop.get(&signed("/pets?b=2&a=2", 0)).hit(), "the rest is part of what is asked for");
    assert_eq!(pop.get(&signed("/pets", 0)).status, 200);
    assert!(origin.last().target.ends_with("/pets"), "nor does a \"?\" remain: {:?}", origin.last().target);
    assert!(origin.requests().iter().all(|seen| !seen.target.contains("X-Amz-")));
    assert_eq!(pop.get("/pets?b=2&a=1").status, 403, "and what is stored is for who can sign");
    let lines = until("a line of every request", || Some(pop.access_lines()).filter(|lines| lines.len() == 6));
    assert!(lines.iter().all(|line| line.contains("/pets") && !line.contains("X-Amz-")), "nor does the log: {lines:?}");
}

const MISMATCH: &str = "The request signature we calculated does not match";

#[test]
fn a_signature_lets_in_and_everything_else_gets_one_answer() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "", "");
    let get = |aws: Aws<'_>, signed: &str, sent: &str| pop.get_with(sent, &borrowed(&aws.fields("GET", signed, b"")));
    let good = get(aws(), "/pets/1?b=2&a=1", "/pets/1?b=2&a=1");
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(origin.last().field("x-user"), Some("arn:aws:iam::123456789012:user/alice"));
    assert_eq!(pop.get(&aws().presigned("/pets/1?a=1")).status, 200);
    assert_eq!(origin.count(), 2);

    let late = SystemTime::now() - Duration::from_secs(1000);
    for (what, reply) in [
        ("another path", get(aws(), "/pets/1", "/pets/2")),
        ("another secret", get(Aws { secret: "no", ..aws() }, "/pets/1", "/pets/1")),
        ("an unknown key", get(Aws { id: "AKIDUNKNOWN", ..aws() }, "/pets/1", "/pets/1")),
        ("another region", get(Aws { region: "us-east-1", ..aws() }, "/pets/1", "/pets/1")),
        ("too old", get(Aws { at: late, ..aws() }, "/pets/1", "/pets/1")),
        ("a presigned URL changed", pop.get(&aws().presigned("/pets/1?a=1").replace("a=1", "a=2"))),
    ] {
        assert_eq!((reply.status, reply.field("x-amzn-errortype")), (403, Some("InvalidSignatureException")), "{what}");
        assert!(reply.text().contains(MISMATCH), "{what}: {}", reply.text());
    }
    let none = pop.get("/pets/1");
    assert_eq!((none.status, none.text().as_str()), (403, "{\"message\":\"Missing Authentication Token\"}"));
    let broken = pop.get_with("/pets/1", &[("Authorization", "AWS4-HMAC-SHA256 Credential=x")]);
    assert_eq!((broken.status, broken.field("x-amzn-errortype")), (403, Some("IncompleteSignatureException")));
    let line = until("the log", || {
        pop.access_log()
            .into_iter()
            .find(|line| line["error"].as_str().is_some_and(|error| error.contains("no such access key")))
    });
    assert_eq!(line["status"], 403, "the operator is told which it was");
    assert_eq!(origin.count(), 2);
}

/// The issue: "an altered body never completes at the origin".
#[test]
fn a_signed_body_is_checked_before_the_origin_has_it() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "", "");
    let large = vec![b'x'; 300_000];
    for (what, body) in [("small", &b"{\"a\":1}"[..]), ("larger than any buffer", &large)] {
        for tells_hash in [false, true] {
            let aws = Aws { tells_hash, ..aws() };
            let fields = aws.fields("POST", "/pets", body);
            let reply = pop.send("POST", "/pets", &borrowed(&fields), body);
            assert_eq!(reply.status, 200, "{what} {tells_hash}: {}", reply.text());
            let mut altered = body.to_vec();
            let last = altered.len() - 1;
            altered[last] ^= 1;
            // A field that nobody signed makes no tunnel of it, whose bytes would be nobody's to check.
            for more in [&[][..], &[("Upgrade", "x")], &[("Upgrade", "websocket"), ("Connection", "Upgrade")]] {
                let fields = [borrowed(&fields), more.to_vec()].concat();
                let reply = pop.send("POST", "/pets", &fields, &altered);
                assert_eq!(reply.status, 403, "{what} {tells_hash} {more:?}: {}", reply.text());
            }
        }
    }
    let requests = origin.requests();
    let whole = |seen: &&crate::harness::origin::Seen| {
        seen.field("content-length").is_some_and(|length| length == seen.body.len().to_string())
    };
    let bodies: Vec<&[u8]> = requests.iter().filter(whole).map(|seen| seen.body.as_slice()).collect();
    assert_eq!(bodies.len(), 4, "the origin never had an altered request as a whole");
    assert!(bodies.iter().all(|body| *body == b"{\"a\":1}" || *body == large));
}

/// What was read to check it is what every origin gets.
#[test]
fn a_signed_body_goes_to_the_next_member_of_a_group_whole() {
    let refusing = Origin::start(|x| x.reply("503 Busy", "", "no"));
    let next = Origin::counting("");
    let see = "exports.handler = async (event) => {\n  const { request } = event.Records[0].cf;\n  \
               request.headers['x-seen'] = [{ value: String(Buffer.from(request.body.data, 'base64').length) }];\n  \
               return request;\n};\n";
    let file = tempfile::tempdir().unwrap();
    std::fs::write(file.path().join("see.js"), see).unwrap();
    let behavior = |path: &str, hooks: &str| {
        format!(
            "[[behavior]]\nmatch = \"{path}\"\norigin = \"g\"\nmethods = \"all\"\ncache = false\naccess = {{ sigv4 = \"partners\" }}\n\
             forward = {{ headers = \"all\" }}\n{hooks}\n"
        )
    };
    let more = format!(
        "{}[[origin_group]]\nname = \"g\"\norigins = [\"o\", \"next\"]\nfailover = [503]\n\
         [[function]]\nname = \"see\"\nfile = \"{}\"\ncpu = \"5s\"\n{}{}",
        next.config("next"),
        file.path().join("see.js").display(),
        behavior("/plain", ""),
        behavior("/seen", "hooks = { origin_request = { function = \"see\", include_body = true } }"),
    );
    let pop = signer(&refusing, "chunked_payload = true", &more);
    for size in [30_000, 300_000] {
        let body = vec![b'x'; size];
        for path in ["/plain", "/seen"] {
            for tells_hash in [false, true] {
                let aws = Aws { tells_hash, ..aws() };
                let reply = pop.send("OPTIONS", path, &borrowed(&aws.fields("OPTIONS", path, &body)), &body);
                if tells_hash && path == "/plain" && size > 65_536 {
                    // It streamed to the first member: nothing has it to send it again.
                    assert_eq!(reply.status, 503, "{path} {size}");
                    continue;
                }
                assert_eq!(reply.status, 200, "{path} {tells_hash} {size}: {}", reply.text());
                assert!(next.last().body == body, "{path} {tells_hash} {size}: {} came", next.last().body.len());
                let seen = next.last().field("x-seen").map(str::to_owned);
                assert_eq!(seen, (path == "/seen").then(|| size.to_string()), "{path} {tells_hash} {size}");
            }
        }
        let (fields, framed) = Aws { tells_hash: true, ..aws() }.chunked("OPTIONS", "/seen", &body, 10_000);
        let reply = pop.send("OPTIONS", "/seen", &borrowed(&fields), &framed);
        assert_eq!(reply.status, 200, "in signed chunks, {size}: {} {:?}", reply.text(), pop.access_log().last());
        assert!(next.last().body == body, "in signed chunks, {size}: {} came", next.last().body.len());
    }
}

/// Bodies that must be read before anybody knows whose they are: one address cannot hold more memory with them than it may.
#[test]
fn unchecked_bodies_of_one_address_are_bounded() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "", "[limits]\nsigned_bodies_per_address = \"200KiB\"");
    let (large, second) = (vec![b'1'; 160_000], vec![b'2'; 100_000]);
    // Two that have room alone, not together: one is refused, or both where they were read in turns.
    let mut slow: Vec<(Raw, Vec<u8>)> = ["/a", "/b"]
        .iter()
        .map(|path| {
            let sent = request("POST", path, &borrowed(&aws().fields("POST", path, &large)), &large);
            let (begun, rest) = sent.split_at(sent.len() - 1000);
            let mut raw = Raw::connect(pop.http);
            // It may be refused before all of it is sent: the answer can be lost with the connection.
            let _ = raw.try_send(begun);
            (raw, rest.to_vec())
        })
        .collect();
    until("the bound in the log", || {
        pop.access_lines().iter().any(|line| line.contains("limits.signed_bodies_per_address")).then_some(())
    });
    let told = Aws { tells_hash: true, ..aws() }.fields("POST", "/told", &second);
    assert_eq!(
        pop.send("POST", "/told", &borrowed(&told), &second).status,
        200,
        "a told hash is checked as it streams"
    );
    let answers = slow.iter_mut().map(|(raw, rest)| raw.try_send(rest).ok().and_then(|()| raw.try_reply("POST").ok()));
    assert!(answers.flatten().filter(|reply| reply.status == 200).count() <= 1, "never both");
    let fields = aws().fields("POST", "/second", &second);
    assert_eq!(pop.send("POST", "/second", &borrowed(&fields), &second).status, 200, "there is room again");
}

/// A body that nobody can vouch for before it is read is waited for so long, and all of them have so much room.
#[test]
fn an_unchecked_body_has_its_time_and_its_room() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "", "[limits]\nsigned_body_timeout = \"1s\"");
    let body = vec![b'1'; 100_000];
    let sent = request("POST", "/slow", &borrowed(&aws().fields("POST", "/slow", &body)), &body);
    let mut slow = Raw::connect(pop.http);
    slow.send(&sent[..sent.len() - 1000]);
    let reply = slow.reply("POST");
    assert_eq!(reply.status, 408, "{}", reply.text());
    assert!(slow.closed());
    assert_eq!(origin.count(), 0);
    let pop = signer(&origin, "", "[limits]\nsigned_bodies = \"200KiB\"");
    let body = vec![b'1'; 300_000];
    let mut large = Raw::connect(pop.http);
    // It is refused before all of it is sent: the answer may be lost with the connection.
    let _ = large.try_send(request("POST", "/large", &borrowed(&aws().fields("POST", "/large", &body)), &body));
    let line = pop.log_line("/large");
    assert!(line.to_string().contains("(limits.signed_bodies)") && line["status"] == 503, "{line}");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_key_may_do_what_its_policy_allows() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "", "policy = \"{dir}/policy.json\"");
    let send =
        |method: &str, path: &str| pop.send(method, path, &borrowed(&aws().fields(method, path, b"")), b"").status;
    assert_eq!(send("GET", "/pets/1"), 200);
    let denied = pop.get_with("/owners/1", &borrowed(&aws().fields("GET", "/owners/1", b"")));
    assert_eq!((denied.status, denied.field("x-amzn-errortype")), (403, Some("AccessDeniedException")));
    let words = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: execute-api:Invoke on resource: \
                 arn:aws:execute-api:eu-central-1:000000000000:rimward/default/GET/owners/1";
    assert_eq!(denied.text(), json!({ "Message": words }).to_string());
    let explicit = pop.send("DELETE", "/pets/1", &borrowed(&aws().fields("DELETE", "/pets/1", b"")), b"");
    assert_eq!(explicit.status, 403);
    assert!(explicit.text().ends_with("/DELETE/pets/1 with an explicit deny\"}"), "{}", explicit.text());
    assert_eq!(origin.count(), 1);
}

/// A PoP may have derived keys in a secret's place.
#[test]
fn derived_keys_verify_without_the_secret() {
    let origin = Origin::counting("");
    let setup = pop(
        &origin,
        "[[sigv4]]\nname = \"partners\"\nregions = [\"eu-central-1\"]\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
         days = \"file:{dir}/days\"\nprincipal = \"arn:aws:iam::123456789012:user/alice\"\n",
        "access = { sigv4 = \"partners\" }\ncache = false",
    );
    let args = ["keys", "derive", "AKIDEXAMPLE", "--secret-env", "PARTNER", "--region", "eu-central-1"];
    let output = Command::new(env!("CARGO_BIN_EXE_rimward")).args(args).env("PARTNER", SECRET).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(setup.dir().join("days"), output.stdout).unwrap();
    let pop = setup.start();
    let signed = aws().fields("GET", "/pets/1", b"");
    assert_eq!(pop.get_with("/pets/1", &borrowed(&signed)).status, 200);
    let foreign = Aws { secret: "another secret", ..aws() }.fields("GET", "/pets/1", b"");
    assert_eq!(pop.get_with("/pets/1", &borrowed(&foreign)).status, 403);
}
