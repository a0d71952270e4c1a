//! Tests of the dynamic interface: one operation in, its answer or its refusal out.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Version};
use serde_json::{Value, json};

use super::call;
use crate::config::compiled::{FetchGrant, FetchHost, Grants, KvBounds, KvGrant, KvStore, Mode};
use crate::config::secret::Secret;
use crate::geo::Db;
use crate::hooks::host::fetch::Fetcher;
use crate::hooks::host::kv::{Change, Entry, KvFiles};
use crate::hooks::host::{CallState, Identity, Services};
use crate::hooks::{Event, Exchange, Request, Site};

fn state(dir: &Path, grants: Grants) -> CallState {
    let files = KvFiles::new(dir.to_owned());
    files.attach(Duration::ZERO).unwrap();
    let store = |name: &str| KvStore { name: name.into(), import: None, bounds: KvBounds::EXTENDED };
    let kv = files.stores(&[store("read"), store("write"), store("other")]).unwrap();
    let entry = Entry { key: "k".into(), value: "v".into() };
    kv.get("read").unwrap().update(vec![Change::Put(entry)], None).unwrap();
    let geo = Some(Arc::new(Db::open(&["geo/test.mmdb".into()]).unwrap()));
    let services = Arc::new(Services { geo, ..Services::new(kv, Arc::new(Fetcher::new().unwrap())) });
    let site = Site {
        pop: "FRA".into(),
        behavior: "default".into(),
        domain: "d1.cloudfront.net".into(),
        distribution: "E1".into(),
        origins: Vec::new(),
        mode: Mode::Extended,
        include_body: false,
    };
    let request = Request {
        method: Method::GET,
        uri: "/".into(),
        query: String::new(),
        has_query: false,
        client_ip: [192, 0, 2, 1].into(),
        server_ip: None,
        who: None,
        version: Version::HTTP_11,
        tls: false,
        headers: HeaderMap::new(),
        body: None,
        origin: None,
    };
    let exchange = Exchange::request(Event::ViewerRequest, &Arc::new(site), "id-1", 1_700_000_000_000, request);
    let (name, version, fetch) = ("f".into(), "0123456789ab".into(), services.fetch.share());
    let identity = Arc::new(Identity { name, version, grants, fetch, lines: Default::default() });
    CallState::new(exchange.into(), &identity, &services, Instant::now() + Duration::from_secs(10))
}

fn all() -> Grants {
    let grant = |store: &str, write| KvGrant { store: store.into(), write };
    Grants {
        config: vec![("COLOR".into(), "blue".into())],
        secrets: vec![("token".into(), Secret::new(b"s3cret".to_vec()))],
        kv: vec![grant("read", false), grant("write", true)],
        geo: true,
        clock: false,
        fetch: Some(FetchGrant {
            allow: Vec::new(),
            private: Vec::new(),
            timeout: Duration::from_secs(1),
            requests: 2,
            body: 1000,
        }),
    }
}

/// Parts with their length, and the rest.
fn parts(parts: &[&str], rest: &str) -> Vec<u8> {
    let part = |part: &&str| [(part.len() as u32).to_le_bytes().as_slice(), part.as_bytes()].concat();
    [parts.iter().flat_map(part).collect(), rest.as_bytes().to_vec()].concat()
}

#[tokio::test]
async fn operations_answer_as_the_contract_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(dir.path(), all());
    for (operation, payload, want) in [
        ("log.write", br#"{"level":"warn","message":"said"}"#.to_vec(), b"".to_vec()),
        ("config.all", vec![], br#"{"COLOR":"blue"}"#.to_vec()),
        ("secrets.get", br#"{"name":"token"}"#.to_vec(), b"s3cret".to_vec()),
        ("kv.stores", vec![], br#"["read","write"]"#.to_vec()),
        ("kv.get", br#"{"store":"read","key":"k"}"#.to_vec(), b"\x01v".to_vec()),
        ("kv.get", br#"{"store":"read","key":"x"}"#.to_vec(), b"\x00".to_vec()),
        ("kv.exists", br#"{"store":"read","key":"k"}"#.to_vec(), b"true".to_vec()),
        ("kv.put", br#"{"store":"write","key":"n","value":"dmFs"}"#.to_vec(), b"".to_vec()),
        ("kv.get", br#"{"store":"write","key":"n"}"#.to_vec(), b"\x01val".to_vec()),
        ("kv.delete", br#"{"store":"write","key":"n"}"#.to_vec(), b"".to_vec()),
        ("kv.exists", br#"{"store":"write","key":"n"}"#.to_vec(), b"false".to_vec()),
        ("geo.lookup", br#"{"ip":"no address"}"#.to_vec(), b"null".to_vec()),
        (
            "crypto.digest",
            parts(&["md5"], "abc"),
            b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72".into(),
        ),
        ("clock.now", vec![], b"1700000000000".to_vec()),
    ] {
        let got = call(&mut state, operation, &payload).await;
        assert_eq!(got.as_deref(), Ok(&want[..]), "{operation}");
    }
    assert_eq!(state.log.take()[0].message, "said");
    let hmac = call(&mut state, "crypto.hmac", &parts(&["sha256", "key"], "data")).await.unwrap();
    assert_eq!(hmac.len(), 32);
    let random = call(&mut state, "crypto.random", &20u32.to_le_bytes()).await.unwrap();
    assert_eq!(random.len(), 20);
    assert_ne!(call(&mut state, "crypto.random", &20u32.to_le_bytes()).await.unwrap(), random);
}

#[tokio::test]
async fn answers_in_json_have_their_members() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(dir.path(), all());
    let about = call(&mut state, "kv.describe", br#"{"store":"read"}"#).await.unwrap();
    let about: Value = serde_json::from_slice(&about).unwrap();
    assert_eq!(about["keyCount"], 1);
    assert!(about["createdMs"].is_u64() && about["updatedMs"].is_u64());
    let info: Value = serde_json::from_slice(&call(&mut state, "call.info", &[]).await.unwrap()).unwrap();
    assert!(info["remainingMs"].as_u64().unwrap() > 1000);
    for (member, want) in [
        ("requestId", "id-1"),
        ("event", "viewer-request"),
        ("pop", "FRA"),
        ("behavior", "default"),
        ("function", "f"),
        ("version", "0123456789ab"),
    ] {
        assert_eq!(info[member], want);
    }
}

#[tokio::test]
async fn what_was_not_granted_is_denied_when_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let mut full = state(dir.path(), all());
    let other = tempfile::tempdir().unwrap();
    let mut none = state(other.path(), Grants::default());
    let fetch = json!({"url": "http://api.test/"}).to_string().into_bytes();
    for (granted, operation, payload, want) in [
        (true, "kv.get", br#"{"store":"other","key":"k"}"#.to_vec(), "store 'other' was not granted"),
        (true, "kv.put", br#"{"store":"read","key":"k","value":""}"#.to_vec(), "for reading only"),
        (true, "kv.delete", br#"{"store":"read","key":"k"}"#.to_vec(), "for reading only"),
        (true, "secrets.get", br#"{"name":"other"}"#.to_vec(), "secret 'other' was not granted"),
        (true, "fetch.send", fetch.clone(), "api.test"),
        (false, "kv.get", br#"{"store":"read","key":"k"}"#.to_vec(), "not granted"),
        (false, "secrets.get", br#"{"name":"token"}"#.to_vec(), "not granted"),
        (false, "geo.lookup", br#"{"ip":"192.0.2.1"}"#.to_vec(), "not granted"),
        (false, "fetch.send", fetch, "fetch was not granted"),
    ] {
        let state = if granted { &mut full } else { &mut none };
        let words = call(state, operation, &payload).await.unwrap_err();
        assert!(words.starts_with("denied: ") && words.contains(want), "{operation}: {words}");
    }
}

#[tokio::test]
async fn requests_of_one_call_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(dir.path(), all());
    let two = json!([{"url": "http://a.test/"}, {"url": "http://b.test/"}]).to_string();
    let answers: Value =
        serde_json::from_slice(&call(&mut state, "fetch.send-all", two.as_bytes()).await.unwrap()).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 2);
    assert!(answers[0]["err"].as_str().unwrap().starts_with("denied: "), "{answers}");
    let one_more = call(&mut state, "fetch.send", br#"{"url":"http://a.test/"}"#).await.unwrap_err();
    assert_eq!(one_more, "denied: one call may make 2 requests");
}

/// A list of requests that never ends well: a reader that went on behind what it may hold would say so.
fn endless(count: usize) -> Vec<u8> {
    format!("[{}", r#"{"url":""},"#.repeat(count)).into_bytes()
}

#[tokio::test]
async fn requests_beyond_the_grant_are_not_even_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut full = state(dir.path(), all());
    let other = tempfile::tempdir().unwrap();
    let mut none = state(other.path(), Grants::default());
    for operation in ["fetch.send", "fetch.send-all"] {
        let words = call(&mut none, operation, &endless(100_000)).await.unwrap_err();
        assert!(words.starts_with("denied: fetch was not granted"), "{operation}: {words}");
    }
    let words = call(&mut full, "fetch.send-all", &endless(100_000)).await.unwrap_err();
    assert_eq!(words, "denied: one call may make 2 requests");
    // As many as are granted are read, and what follows is judged.
    let words = call(&mut full, "fetch.send-all", &endless(2)).await.unwrap_err();
    assert!(words.starts_with("invalid: "), "{words}");
    let lines = vec![("", ""); super::LINES_MAX + 1];
    let one = json!({"url": "http://a.test/", "headers": lines}).to_string();
    let words = call(&mut full, "fetch.send", one.as_bytes()).await.unwrap_err();
    assert!(words.starts_with("invalid: ") && words.contains("at most 256"), "{words}");
}

#[tokio::test]
async fn payloads_have_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(dir.path(), all());
    for (operation, most) in
        [("fetch.send", super::FETCH_MAX), ("kv.put", super::NAMES_MAX), ("geo.lookup", super::NAMES_MAX)]
    {
        let words = call(&mut state, operation, &vec![b' '; most + 1]).await.unwrap_err();
        assert!(words.starts_with("too large: "), "{operation}: {words}");
    }
}

/// A request on its way held its call: nothing else could happen until it was answered.
#[tokio::test]
async fn a_started_request_leaves_its_call_free() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut grants = all();
    if let Some(fetch) = &mut grants.fetch {
        fetch.allow = vec![FetchHost { pattern: "127.0.0.1".into(), port: Some(address.port()) }];
        fetch.private = vec!["127.0.0.0/8".parse().unwrap()];
        fetch.timeout = Duration::from_secs(10);
    }
    let mut state = state(dir.path(), grants);
    let asked = json!({"url": format!("http://{address}/")}).to_string();
    let next = async |state: &mut CallState, bound: Value| {
        let answer = call(state, "fetch.next", bound.to_string().as_bytes()).await?;
        Ok::<Value, String>(serde_json::from_slice(&answer).unwrap())
    };
    assert_eq!(call(&mut state, "fetch.start", asked.as_bytes()).await.as_deref(), Ok(&b"1"[..]));
    let none = next(&mut state, json!({"timeoutMs": 5})).await.unwrap();
    assert!(none["elapsedMs"].as_u64().unwrap() >= 5 && none["done"] == json!([]), "{none}");
    // One that is refused is over at once, whatever else is on its way.
    let denied = json!({"url": "http://api.test/"}).to_string();
    assert_eq!(call(&mut state, "fetch.start", denied.as_bytes()).await.as_deref(), Ok(&b"2"[..]));
    let done = next(&mut state, json!({})).await.unwrap();
    assert_eq!(done["done"][0][0], 2);
    assert!(done["done"][0][1]["err"].as_str().unwrap().starts_with("denied: "), "{done}");
    let one_more = call(&mut state, "fetch.start", asked.as_bytes()).await.unwrap_err();
    assert_eq!(one_more, "denied: one call may make 2 requests");
    // Given up, its connection ends.
    let (mut stream, _) = silent.accept().await.unwrap();
    call(&mut state, "fetch.abort", b"1").await.unwrap();
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(next(&mut state, json!({})).await.unwrap_err(), "invalid: no request is on its way");
}

#[tokio::test]
async fn malformed_payloads_are_errors_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state(dir.path(), all());
    for (operation, payload) in [
        ("kv.get", &b"{"[..]),
        ("kv.put", br#"{"store":"write","key":"k","value":"not base64"}"#),
        ("crypto.digest", b"\xff\xff\xff\xffmd5"),
        ("crypto.verify", b"\x01\x00"),
        ("crypto.random", b"\x01"),
        ("fetch.send-all", b"{}"),
        ("shell.run", b""),
    ] {
        let words = call(&mut state, operation, payload).await.unwrap_err();
        assert!(words.starts_with("invalid: "), "{operation}: {words}");
    }
}
