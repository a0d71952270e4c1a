//! The API as its clients see it.

use serde_json::{Value, json};

use super::*;
use crate::config::compiled::{KvBounds, KvStore};
use crate::hooks::host::kv::KvFiles;

const ARN: &str = "arn%3Aaws%3Acloudfront%3A%3A123456789012%3Akey-value-store%2Fflags";

struct Desk {
    stores: KvStores,
    _files: KvFiles,
    _dir: tempfile::TempDir,
}

/// Status, exception, ETag and body of an answer.
struct Got {
    status: u16,
    exception: String,
    etag: String,
    body: Value,
}

// === impl Desk ===
impl Desk {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = KvFiles::new(dir.path().to_owned());
        files.attach(std::time::Duration::ZERO).unwrap();
        let store = KvStore { name: "flags".into(), import: None, bounds: KvBounds::STRICT };
        Desk { stores: files.stores(&[store]).unwrap(), _files: files, _dir: dir }
    }

    fn ask(&self, method: &str, path: &str, if_match: Option<&str>, body: &str) -> Got {
        let mut headers = HeaderMap::new();
        if let Some(etag) = if_match {
            headers.insert(IF_MATCH, etag.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = handle(&self.stores, &method, &path.parse().unwrap(), &headers, body.as_bytes());
        let text = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        Got {
            status: response.status().as_u16(),
            exception: text("x-amzn-errortype"),
            etag: text("etag"),
            body: serde_json::from_slice(response.body()).unwrap(),
        }
    }

    fn etag(&self) -> String {
        self.ask("GET", "/key-value-stores/flags", None, "").etag
    }
}

#[test]
fn every_operation() {
    let desk = Desk::open();
    let store = format!("/key-value-stores/{ARN}");
    let got = desk.ask("GET", &store, None, "");
    assert_eq!(got.status, 200);
    assert_eq!(got.body["KvsARN"], "arn:aws:cloudfront::123456789012:key-value-store/flags");
    assert_eq!((&got.body["ItemCount"], &got.body["Status"]), (&json!(0), &json!("READY")));
    assert!(got.body["Created"].as_f64().unwrap() > 1e9 && got.body["Created"].as_f64().unwrap() < 1e11);

    let put = desk.ask("PUT", &format!("{store}/keys/a%2Fb%20%C3%A9"), Some(&got.etag), r#"{"Value":"x"}"#);
    assert_eq!((put.status, put.body), (200, json!({"ItemCount": 1, "TotalSizeInBytes": 7})));
    let value = desk.ask("GET", "/key-value-stores/flags/keys/a%2Fb%20%C3%A9", None, "");
    assert_eq!(value.body, json!({"Key": "a/b é", "Value": "x", "ItemCount": 1, "TotalSizeInBytes": 7}));

    let body =
        r#"{"Puts":[{"Key":"k1","Value":"1"},{"Key":"k2","Value":"2"}],"Deletes":[{"Key":"a/b é"},{"Key":"no"}]}"#;
    let updated = desk.ask("POST", &format!("{store}/keys"), Some(&format!("\"{}\"", put.etag)), body);
    assert_eq!((updated.status, updated.body), (200, json!({"ItemCount": 2, "TotalSizeInBytes": 6})));

    let page = desk.ask("GET", &format!("{store}/keys?MaxResults=1"), None, "");
    assert_eq!(page.body["Items"], json!([{"Key": "k1", "Value": "1"}]));
    let token = page.body["NextToken"].as_str().unwrap();
    let page = desk.ask("GET", &format!("{store}/keys?NextToken={token}"), None, "");
    assert_eq!(page.body, json!({"Items": [{"Key": "k2", "Value": "2"}]}));

    let deleted = desk.ask("DELETE", &format!("{store}/keys/k1"), Some(&updated.etag), "");
    assert_eq!((deleted.status, deleted.body), (200, json!({"ItemCount": 1, "TotalSizeInBytes": 3})));
    assert_eq!(desk.etag(), deleted.etag);
}

#[test]
fn errors_are_those_of_the_service() {
    let desk = Desk::open();
    let (first, store) = (desk.etag(), "/key-value-stores/flags");
    let old = first.as_str();
    let now = desk.ask("PUT", "/key-value-stores/flags/keys/k", Some(old), r#"{"Value":"v"}"#);
    let now = now.etag.as_str();
    let long = "x".repeat(513);
    let large = format!(r#"{{"Value":"{}"}}"#, "x".repeat(1025));
    let many: Vec<Value> = (0..51).map(|n| json!({"Key": n.to_string(), "Value": ""})).collect();
    let many = json!({ "Puts": many }).to_string();
    for (method, path, if_match, body, status, exception) in [
        ("GET", "/key-value-stores/other", None, "", 404, "ResourceNotFoundException"),
        ("GET", "/key-value-stores/", None, "", 404, "ResourceNotFoundException"),
        ("GET", &format!("{store}/keys/none"), None, "", 404, "ResourceNotFoundException"),
        ("GET", &format!("{store}/keys/"), None, "", 404, "ResourceNotFoundException"),
        ("GET", &format!("{store}/values"), None, "", 404, "ResourceNotFoundException"),
        ("GET", "/key-value-stores/%zz", None, "", 400, "ValidationException"),
        ("GET", "/key-value-stores/flags/keys/%ff", None, "", 400, "ValidationException"),
        ("GET", &format!("{store}/keys?MaxResults=0"), None, "", 400, "ValidationException"),
        ("GET", &format!("{store}/keys?MaxResults=51"), None, "", 400, "ValidationException"),
        ("GET", &format!("{store}/keys?NextToken=*"), None, "", 400, "ValidationException"),
        ("PUT", &format!("{store}/keys/k"), None, r#"{"Value":"w"}"#, 400, "ValidationException"),
        ("PUT", &format!("{store}/keys/k"), Some(old), r#"{"Value":"w"}"#, 409, "ConflictException"),
        ("PUT", &format!("{store}/keys/k"), Some(now), r#"{"value":"w"}"#, 400, "ValidationException"),
        ("PUT", &format!("{store}/keys/k"), Some(now), &large, 400, "ValidationException"),
        ("PUT", &format!("{store}/keys/{long}"), Some(now), r#"{"Value":""}"#, 400, "ValidationException"),
        ("DELETE", &format!("{store}/keys/k"), Some(old), "", 409, "ConflictException"),
        ("DELETE", &format!("{store}/keys/none"), Some(now), "", 404, "ResourceNotFoundException"),
        ("DELETE", &format!("{store}/keys/k"), None, "", 400, "ValidationException"),
        ("POST", &format!("{store}/keys"), Some(now), "{}", 400, "ValidationException"),
        ("POST", &format!("{store}/keys"), Some(now), "[", 400, "ValidationException"),
        ("POST", &format!("{store}/keys"), Some(now), &many, 400, "ValidationException"),
        ("POST", &format!("{store}/keys"), Some(old), r#"{"Deletes":[{"Key":"k"}]}"#, 409, "ConflictException"),
        ("PATCH", store, None, "", 405, "UnknownOperationException"),
    ] {
        let got = desk.ask(method, path, if_match, body);
        assert_eq!((got.status, got.exception.as_str()), (status, exception), "{method} {path}");
        assert!(got.body["Message"].as_str().is_some_and(|words| !words.is_empty()), "{method} {path}");
    }
    // Nothing of it changed anything.
    assert_eq!(desk.etag(), now);
    assert_eq!(desk.ask("GET", "/key-value-stores/flags/keys/k", None, "").body["Value"], "v");
}

#[test]
fn a_full_store_is_a_quota_and_bytes_are_marked() {
    let desk = Desk::open();
    let handle = desk.stores.get("flags").unwrap();
    let value = Bytes::from_static(b"\xff\x00");
    handle.update(vec![Change::Put(Entry { key: "raw".into(), value })], None).unwrap();
    let got = desk.ask("GET", "/key-value-stores/flags/keys/raw", None, "");
    assert_eq!((&got.body["Value"], &got.body["Encoding"]), (&json!("/wA="), &json!("base64")));
    for n in 0..5200 / 50 {
        let put = |k| Change::Put(Entry { key: format!("{n:03}{k:03}"), value: vec![b'x'; 1000].into() });
        handle.update((0..50).map(put).collect(), None).unwrap();
    }
    let mut status = 200;
    for n in 0..50 {
        let body = format!(r#"{{"Value":"{}"}}"#, "x".repeat(1024));
        let got = desk.ask("PUT", &format!("/key-value-stores/flags/keys/more{n}"), Some(&desk.etag()), &body);
        status = got.status;
        if status != 200 {
            assert_eq!(got.exception, "ServiceQuotaExceededException");
            break;
        }
    }
    assert_eq!(status, 402);
    assert!(handle.state().size <= 5 << 20);
}
