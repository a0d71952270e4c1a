//! Vectors: the suite inside AWS's own signer. All of it: 38 SigV4 directories with a header and a query form, two with only
//! a header, 38 SigV4a directories with both forms, checked with the secret and with the public key alone.
//!
//! Requests whose path no HTTP parser takes (raw spaces, raw UTF-8) reach the verifier as the suite has them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use rimward::access::sigv4::{Verifier, derive_day_key};
use rimward::config::compiled::{KeyMaterial, Signer};
use rimward::config::secret::Secret;
use serde_json::Value;

use crate::wire::{self, ID, NOW, SECRET, Sent};

/// One signed request of the suite.
pub struct Vector {
    pub name: String,
    pub sent: Sent,
    pub signer: Signer,
    pub asymmetric: bool,
    pub presigned: bool,
}

/// Where cargo keeps the crate's suite.
static SUITE: LazyLock<PathBuf> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Crates of other platforms are in the lock file, and nobody has fetched them.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let asked = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &platform];
    let output = Command::new(cargo).args(asked).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "aws-sigv4").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().join("aws-signing-test-suite")
});

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn directories(version: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(SUITE.join(version)).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// Every vector that has a context: 76 of each version.
pub fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for version in ["v4", "v4a"] {
        for dir in directories(version).into_iter().filter(|dir| dir.join("context.json").exists()) {
            let context: Value = serde_json::from_str(&read(&dir.join("context.json"))).unwrap();
            assert_eq!(context["credentials"]["access_key_id"], ID);
            assert_eq!(context["credentials"]["secret_access_key"], SECRET);
            assert_eq!(context["timestamp"], "2015-08-30T12:36:00Z");
            let token = context["credentials"]["token"].as_str();
            let signer = wire::signer(context["normalize"].as_bool().unwrap(), wire::with_secret(token));
            for place in ["header", "query"] {
                vectors.push(Vector {
                    name: format!("{version}/{}/{place}", dir.file_name().unwrap().to_string_lossy()),
                    sent: Sent::parse(&read(&dir.join(format!("{place}-signed-request.txt")))),
                    signer: signer.clone(),
                    asymmetric: version == "v4a",
                    presigned: place == "query",
                });
            }
        }
    }
    vectors
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_vector_verifies() {
    let vectors = all();
    let mut wrong = Vec::new();
    let mut right = [0, 0];
    for vector in &vectors {
        match vector.sent.verify(&Verifier::new(&vector.signer), NOW) {
            Ok(verified) => {
                assert_eq!((verified.access_key_id(), verified.region.as_str()), (ID, "us-east-1"));
                right[usize::from(vector.asymmetric)] += 1;
            }
            Err(denied) => wrong.push(format!("{}: {denied}", vector.name)),
        }
    }
    report(&wrong);
    assert_eq!(right, [76, 76]);
}

#[test]
fn every_asymmetric_vector_verifies_with_the_public_key_alone() {
    let mut right = 0;
    for vector in all().into_iter().filter(|vector| vector.asymmetric) {
        let dir = SUITE.join("v4a").join(vector.name.split('/').nth(1).unwrap());
        let public: Value = serde_json::from_str(&read(&dir.join("public-key.json"))).unwrap();
        let hex = format!("04{}{}", public["X"].as_str().unwrap(), public["Y"].as_str().unwrap());
        let point = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let token = vector.signer.keys[0].session_token.as_ref().map(|token| token.expose().as_str());
        let signer = wire::signer(vector.signer.normalize, wire::key(KeyMaterial::Public(point), token));
        vector.sent.verify(&Verifier::new(&signer), NOW).unwrap_or_else(|denied| panic!("{}: {denied}", vector.name));
        right += 1;
    }
    assert_eq!(right, 76);
}

/// The two directories without a context give a request and its canonical form, which is signed here.
#[test]
fn paths_are_encoded_twice() {
    let mut right = 0;
    for dir in directories("v4").into_iter().filter(|dir| !dir.join("context.json").exists()) {
        let canonical = read(&dir.join("header-canonical-request.txt"));
        let mut sent = Sent::parse(&read(&dir.join("request.txt")));
        let date = canonical.lines().find_map(|line| line.strip_prefix("x-amz-date:")).unwrap();
        sent.set("x-amz-date", |_| date.to_owned());
        let scope = format!("{}/us-east-1/service/aws4_request", &date[..8]);
        let hash = hex(digest(&SHA256, canonical.trim_end().as_bytes()).as_ref());
        let key = derive_day_key(SECRET, &date[..8], "us-east-1", "service");
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let signature = hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()).as_ref());
        let value =
            format!("AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}");
        sent.fields.push(("Authorization".to_owned(), value));
        let signer = wire::signer(true, wire::with_secret(None));
        // 2021-05-11T15:40:45Z.
        let verified = sent.verify(&Verifier::new(&signer), 1_620_747_645_000);
        verified.unwrap_or_else(|denied| panic!("{}: {denied}", dir.display()));
        right += 1;
    }
    assert_eq!(right, 2);
}

/// And one of them is signed, with the keys of the crate's own tests.
#[test]
fn the_signed_one_of_the_two_verifies() {
    let sent = Sent::parse(&read(&SUITE.join("v4/double-encode-path/header-signed-request.txt")));
    let secret = Secret::new("notrealrnrELgWzOk3IfjzDKtFBhDby".to_owned());
    let mut key = wire::key(KeyMaterial::Secret(secret), None);
    key.id = "ANOTREAL".to_owned();
    sent.verify(&Verifier::new(&wire::signer(true, key)), NOW).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
