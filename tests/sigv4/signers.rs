//! Signers: botocore, the JavaScript SDK's signer and curl sign; what they sent verifies.
//!
//! Their packages are kept in `target/`, so that only the first run needs a registry.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rimward::access::sigv4::Verifier;
use serde_json::Value;

use crate::wire::{self, ID, SECRET, Sent};

/// Methods, targets and bodies that all of them sign: SDKs escape what they send.
const REQUESTS: &str = r#"[
    ["GET", "/", ""], ["GET", "/pets/7", ""], ["GET", "/a%20b/c%2Fd/%C3%A9", ""], ["GET", "/a/./b/../c//d/", ""],
    ["GET", "/x?b=2&a=1&a=0&c=", ""], ["GET", "/x?q=%2F%20%C3%A9%2B&k=v%3Dw", ""], ["GET", "/~-_.", ""],
    ["POST", "/pets", "{\"name\":\"x\"}"], ["PUT", "/pets/7?v=2", "é"], ["DELETE", "/pets/7", ""]
]"#;

/// What a header signer signs as sent, which the documented form is not.
const RAW: &str =
    r#"[["GET", "/x?q=1+2", ""], ["GET", "/x?q=a%2fb", ""], ["GET", "/x?q=a/b?c*", ""], ["GET", "/x?b&a", ""]]"#;

const BOTOCORE: &str = r#"
import json, sys
from botocore.auth import SigV4Auth, SigV4QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
for way, token, requests in json.load(sys.stdin):
    for method, target, body in requests:
        credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
        # Its query signers move a body into the query.
        body = "" if "query" in way else body
        headers = {"x-custom": "a  b ", "Content-Type": "application/json"}
        request = AWSRequest(method, "https://api.example.com" + target, headers, body.encode() or None)
        auth = {"header": SigV4Auth, "query": SigV4QueryAuth, "s3": S3SigV4Auth, "s3query": S3SigV4QueryAuth}[way]
        auth(credentials, "service", "us-east-1").add_auth(request)
        fields = [["Host", "api.example.com"]] + [list(item) for item in request.headers.items()]
        print(json.dumps([way, token, method, request.url.replace("https://api.example.com", ""), fields, body]))
"#;

const JAVASCRIPT: &str = r#"
const { SignatureV4 } = require("@smithy/signature-v4");
const { Sha256 } = require("@aws-crypto/sha256-js");
const { HttpRequest } = require("@smithy/protocol-http");
const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
(async () => {
  for (const [way, token, requests] of JSON.parse(require("fs").readFileSync(0, "utf8")))
    for (const [method, target, body] of requests) {
      const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        ...(token ? { sessionToken: token } : {}) };
      const s3 = way.startsWith("s3");
      const signer = new SignatureV4({ credentials, region: "us-east-1", service: "service", sha256: Sha256,
        uriEscapePath: !s3, applyChecksum: s3 });
      const [path, text] = target.split("?");
      const query = {};
      for (const pair of (text || "").split("&").filter(Boolean)) {
        const [name, value] = pair.split("=").map((part) => decodeURIComponent(part || ""));
        query[name] = query[name] === undefined ? value : [].concat(query[name], value);
      }
      const request = new HttpRequest({ method, hostname: "api.example.com", path, query,
        headers: { host: "api.example.com", "x-custom": "a  b " }, body: body || undefined });
      const signed = way.endsWith("query") ? await signer.presign(request, { expiresIn: 600 }) : await signer.sign(request);
      const parts = [];
      for (const [name, value] of Object.entries(signed.query))
        for (const one of [].concat(value)) parts.push(escape(name) + "=" + escape(one));
      const sent = signed.path + (parts.length ? "?" + parts.join("&") : "");
      console.log(JSON.stringify([way, token, method, sent, Object.entries(signed.headers), body]));
    }
})();
"#;

fn cache() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signers");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Verifies lines of `[way, token, method, target, fields, body]`; how many there were.
fn verify(lines: &str) -> usize {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |at: usize| value[at].as_str().unwrap_or_default().to_owned();
        let fields = value[4].as_array().unwrap().iter();
        let fields: Vec<_> = fields
            .map(|field| (field[0].as_str().unwrap().to_owned(), field[1].as_str().unwrap_or_default().to_owned()))
            .collect();
        let sent = Sent { method: text(2), target: text(3), fields, body: text(5).into_bytes() };
        let s3 = text(0).starts_with("s3");
        let mut signer = wire::signer(!s3, wire::with_secret(value[1].as_str()));
        signer.payload.unsigned = s3;
        let verifier = Verifier::new(&signer);
        if let Err(denied) = sent.verify(&verifier, now_ms()) {
            wrong.push(format!("{denied}\n    {sent:?}"));
        }
        let mut other = sent.clone();
        other.method = "PATCH".to_owned();
        assert!(other.verify(&verifier, now_ms()).is_err(), "{other:?}");
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    count
}

#[test]
fn botocore_signs() {
    let venv = cache().join("venv");
    let python = venv.join("bin/python");
    let mut ask = Command::new(&python);
    if !python.exists() || !ask.args(["-c", "import botocore"]).status().is_ok_and(|status| status.success()) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "");
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "botocore"]), "");
    }
    let input = format!(
        r#"[["header",null,{REQUESTS}],["query",null,{REQUESTS}],["header","tok/en",{REQUESTS}],["query","tok/en",{REQUESTS}],
            ["s3",null,{REQUESTS}],["s3query",null,{REQUESTS}],["header",null,{RAW}],["query",null,{RAW}]]"#
    );
    assert_eq!(verify(&run(Command::new(&python).args(["-c", BOTOCORE]), &input)), 68);
}

#[test]
fn the_javascript_sdk_signs() {
    let dir = cache().join("node");
    std::fs::create_dir_all(&dir).unwrap();
    if !dir.join("node_modules/@smithy/signature-v4").exists() {
        let packages = ["@smithy/signature-v4@5", "@aws-crypto/sha256-js@5", "@smithy/protocol-http@5"];
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&dir).args(packages);
        run(&mut npm, "");
    }
    let input = format!(
        r#"[["header",null,{REQUESTS}],["query",null,{REQUESTS}],["header","tok/en",{REQUESTS}],["query","tok/en",{REQUESTS}],
            ["s3",null,{REQUESTS}],["s3query",null,{REQUESTS}]]"#
    );
    assert_eq!(verify(&run(Command::new("node").args(["-e", JAVASCRIPT]).current_dir(&dir), &input)), 60);
}

/// The request that one connection sends, answered with 204.
fn capture(listener: &TcpListener) -> Sent {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
        if body.len() >= length.parse().unwrap() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            return Sent::parse(&text);
        }
    }
}

#[test]
fn curl_signs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let verifier = Verifier::new(&wire::signer(true, wire::with_secret(None)));
    let mut count = 0;
    // curl 7.88 signs the query as it stands: it must be sorted already.
    for (method, target, body) in [
        ("GET", "/", None),
        ("GET", "/pets/7", None),
        ("GET", "/pets/7/", None),
        ("GET", "/x?a=1&b=2", None),
        ("DELETE", "/pets/7", None),
        ("POST", "/pets", Some("{\"name\":\"x\"}")),
        ("PUT", "/pets/7?v=2", Some("y")),
    ] {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "--aws-sigv4",
            "aws:amz:us-east-1:service",
            "--user",
            &format!("{ID}:{SECRET}"),
            "-X",
            method,
        ]);
        curl.args(body.map(|body| ["-d", body]).into_iter().flatten()).arg(format!("http://{address}{target}"));
        let mut child = curl.spawn().unwrap();
        let sent = capture(&listener);
        assert!(child.wait().unwrap().success());
        let denied = sent.verify(&verifier, now_ms()).err();
        assert!(denied.is_none(), "{denied:?}\n    {sent:?}");
        count += 1;
    }
    assert_eq!(count, 7);
}
