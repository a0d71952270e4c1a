//! Signing: signed URLs and cookies, chunked bodies and SigV4a, made by AWS's own signers, through a PoP.
//!
//! In: botocore, the JavaScript SDK's signer, the `aws-sigv4` crate. Out: who gets in, what the origin gets. Never: canonical forms
//! (tests/signed and tests/sigv4 hold them).

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::access::pop;
use crate::harness::credentials::{Aws, borrowed};
use crate::harness::{HOST, Origin, Pop, Setup, until};
use crate::signers;

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// A group of keys; each is a name, and a file `NAME.pem` beside the private half `NAME.key`.
fn group(names: &[&str]) -> String {
    let keys = names.iter().map(|name| format!("[[key_group.key]]\nid = \"{name}\"\nfile = \"{{dir}}/{name}.pem\"\n"));
    format!("[[key_group]]\nname = \"premium\"\n{}", keys.collect::<String>())
}

fn guarded(origin: &Origin, names: &[&str], made: &[&str]) -> Setup {
    let setup = pop(origin, &group(names), "access = { signed = \"premium\" }\nforward = { query = \"all\" }");
    for name in made {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(setup.dir().join(format!("{name}.pem")), key.public_key_pem()).unwrap();
        std::fs::write(setup.dir().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    setup
}

fn sign(pop: &Pop, key: &str, path: &str) -> String {
    let (url, file) = (format!("http://{HOST}{path}"), pop.dir().join(format!("{key}.key")));
    let args = ["sign", "url", &url, "--key-pair-id", key, "--key", file.to_str().unwrap(), "--expires", "1h"];
    let (status, out, err) = crate::harness::pop::run(&args);
    assert!(status.success(), "{err}");
    out.trim().strip_prefix(&format!("http://{HOST}")).unwrap().to_owned()
}

/// CloudFront Developer Guide, "Rotating key pairs": the new key is added, then signs, then the old one goes.
#[test]
fn keys_of_a_group_rotate() {
    let origin = Origin::counting("");
    let setup = guarded(&origin, &["K1"], &["K1", "K2"]);
    let rest = |names: &[&str]| setup.rest.replace(&group(&["K1"]), &group(names));
    let (both, new) = (rest(&["K1", "K2"]), rest(&["K2"]));
    let pop = setup.start();
    let (old_url, new_url) = (sign(&pop, "K1", "/film"), sign(&pop, "K2", "/film"));
    let get = || [pop.get(&old_url).status, pop.get(&new_url).status];
    assert_eq!(get(), [200, 403], "the new key is not there yet");
    for (rest, want) in [(&both, [200, 200]), (&new, [403, 200])] {
        let reply = pop.reload(rest);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(get(), want, "a good signature of a key that went is none");
    }
}

/// Canned and custom policies in cookies, as the JavaScript SDK and botocore make them.
#[test]
fn signed_cookies_of_real_signers_let_in() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = guarded(&origin, &["K2"], &["K2"]).start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let url = format!("http://{HOST}/film?part=1");
    let case = |after: Option<u64>, expires: u64| json!({ "url": url, "expires": expires, "after": after, "ip": null, "hash": "sha1" });
    let cases = [
        ("canned", case(None, now + 600), true),
        ("custom", case(Some(now - 60), now + 600), true),
        ("canned, expired", case(None, now - 60), false),
        ("custom, not yet", case(Some(now + 300), now + 600), false),
    ];
    let asked: Vec<&Value> = cases.iter().map(|(_, case, _)| case).collect();
    let key = pop.dir().join("K2.key");
    let script = json!({ "key": key, "modules": signers::modules(), "cases": asked });
    let sdk: Vec<Value> = signers::ask(Command::new("node").arg(signers::script("sdk_sign.mjs")), &script);
    let urls: Vec<String> =
        signers::ask(Command::new(signers::python()).arg(signers::script("botocore_sign.py")), &script);
    for (((what, _, good), made), theirs) in cases.iter().zip(&sdk).zip(&urls) {
        let cookies = made["cookies"].as_object().unwrap().iter();
        let cookies: Vec<String> =
            cookies.map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"'))).collect();
        // botocore signs URLs only: what it puts into the query are the cookies' values (CloudFront Developer Guide, "Use signed cookies").
        let (_, query) = theirs.split_once("part=1&").unwrap();
        let same: Vec<String> = query.split('&').map(|pair| format!("CloudFront-{pair}")).collect();
        for (who, cookies) in [("the SDK", cookies.join("; ")), ("botocore", same.join("; "))] {
            let reply = pop.get_with("/film?part=1", &[("Cookie", &cookies)]);
            assert_eq!(reply.status, if *good { 200 } else { 403 }, "{who}, {what}: {cookies}");
            assert_eq!(pop.get_with("/film?part=2", &[("Cookie", &cookies)]).status, 403, "{who}, {what}: another URL");
            let signature = cookies.split("Signature=").nth(1).unwrap();
            let flipped = if signature.starts_with('A') { "B" } else { "A" };
            let altered = cookies.replacen(signature, &format!("{flipped}{}", &signature[1..]), 1);
            assert_eq!(pop.get_with("/film?part=1", &[("Cookie", &altered)]).status, 403, "{who}, {what}: altered");
        }
    }
    assert_eq!(origin.count(), 1, "one object for all who may have it");
}

fn signer(origin: &Origin, lines: &str) -> Pop {
    let setup = pop(
        origin,
        &format!(
            "[[sigv4]]\nname = \"partners\"\nservice = \"s3\"\nnormalize = false\n{lines}\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
             secret = \"file:{{dir}}/secret\"\n"
        ),
        "access = { sigv4 = \"partners\" }\nidentity = { header = \"x-user\" }\ncache = false",
    );
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.start()
}

fn aws() -> Aws<'static> {
    let (id, secret, at) = ("AKIDEXAMPLE", SECRET, SystemTime::now());
    Aws { id, secret, service: "s3", region: "eu-central-1", tells_hash: true, at }
}

/// The issue: "an altered body never completes at the origin", chunk by chunk.
#[test]
fn a_body_in_signed_chunks_is_checked_as_it_streams() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "chunked_payload = true");
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (fields, sent) = aws().chunked("PUT", "/bucket/object", &body, 65_536);
    let reply = pop.send("PUT", "/bucket/object", &borrowed(&fields), &sent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = origin.last();
    assert!(seen.body == body, "without the chunks");
    assert_eq!(
        (seen.field("content-length"), seen.field("content-encoding")),
        (Some("300000"), None),
        "{:?}",
        seen.fields
    );
    let whole = || {
        let requests = origin.requests();
        requests.iter().filter(|seen| seen.body.len() == body.len()).count()
    };
    // The first chunk's data, the third's, the last one's signature, and the end cut off by another length.
    for at in [500, 140_000, sent.len() - 10] {
        let mut altered = sent.clone();
        altered[at] ^= 1;
        let reply = pop.send("PUT", "/bucket/object", &borrowed(&fields), &altered);
        assert_eq!(reply.status, 403, "byte {at}: {}", reply.text());
    }
    let (fewer, short) = aws().chunked("PUT", "/bucket/object", &body[..200_000], 65_536);
    let swapped: Vec<(String, String)> = fewer
        .into_iter()
        .map(
            |(name, value)| {
                if name == "x-amz-decoded-content-length" { (name, "300000".to_owned()) } else { (name, value) }
            },
        )
        .collect();
    assert_eq!(
        pop.send("PUT", "/bucket/object", &borrowed(&swapped), &short).status,
        403,
        "another length than was signed"
    );
    assert_eq!(whole(), 1, "no altered body was ever complete at the origin");
    let plain = signer(&origin, "");
    assert_eq!(
        plain.send("PUT", "/bucket/object", &borrowed(&fields), &sent).status,
        403,
        "chunks only where they are taken"
    );
}

/// SigV4a: one signature for several regions, checked with a public key.
#[test]
fn a_signature_for_several_regions_lets_in_where_it_says() {
    let origin = Origin::counting("");
    let pop = signer(&origin, "regions = [\"eu-central-1\"]");
    for (regions, want) in [("eu-central-1", 200), ("us-east-1,eu-*", 200), ("*", 200), ("us-east-1", 403)] {
        let fields = aws().fields_for_regions(regions, "GET", "/a?b=1");
        let reply = pop.get_with("/a?b=1", &borrowed(&fields));
        assert_eq!(reply.status, want, "{regions}: {}", reply.text());
        assert_eq!(pop.get_with("/a?b=2", &borrowed(&fields)).status, 403, "{regions}: another query");
    }
    let other = Aws { secret: "another", ..aws() }.fields_for_regions("eu-central-1", "GET", "/a?b=1");
    let reply = pop.get_with("/a?b=1", &borrowed(&other));
    assert_eq!((reply.status, reply.field("x-amzn-errortype")), (403, Some("InvalidSignatureException")));
    assert_eq!(origin.last().field("x-user"), Some("arn:aws:iam::000000000000:access-key/AKIDEXAMPLE"));
    until("the log", || pop.access_log().into_iter().find(|line| line["status"] == 403));
}
