//! Tests of the key routes: what they answer, what they never show.

use super::*;
use crate::admin::fixture::Pop;
use serde_json::{Value, json};

#[test]
fn keys_are_made_changed_counted_and_deleted() {
    let pop = Pop::start(None);
    let ask = |method: &str, path: &str, body: &str| {
        let (status, text) = pop.ask(method, path, None, body);
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, made) = ask("POST", "/keys", r#"{"name": "a/b ü", "plans": ["gold"]}"#);
    let value = made["value"].as_str().unwrap().to_owned();
    assert!(status == 201 && keys::valid(&value), "{made}");
    assert_eq!(&*pop.key(&value).unwrap().name, "a/b ü");
    let (_, listed) = ask("GET", "/keys", "");
    assert_eq!(listed["keys"][0], json!({"name": "fixed", "enabled": true, "plans": ["gold"], "created_ms": null}));
    assert_eq!(listed["keys"][1]["name"], "a/b ü");
    assert!(!listed.to_string().contains(&value));
    let path = "/keys/a%2Fb%20%C3%BC";
    let (status, changed) = ask("PATCH", path, r#"{"enabled": false}"#);
    assert_eq!((status, &changed["enabled"], &changed["plans"]), (200, &json!(false), &json!(["gold"])));
    assert!(!pop.key(&value).unwrap().enabled);
    let (status, usage) = ask("GET", "/keys/fixed/usage?from=2026-11-25&to=2026-11-26", "");
    let days = json!([
        {"date": "2026-11-25", "used": 0, "remaining": 100},
        {"date": "2026-11-26", "used": 3, "remaining": 97}
    ]);
    let plan = json!({"plan": "gold", "limit": 100, "period": "MONTH", "shared": false, "days": days});
    assert_eq!((status, usage), (200, json!({"name": "fixed", "plans": [plan]})));
    assert_eq!(ask("GET", &format!("{path}/usage"), "").0, 200);
    assert_eq!(ask("DELETE", path, ""), (200, json!({"done": "deleted"})));
    assert!(pop.key(&value).is_none());
}

#[test]
fn a_key_that_is_there_with_its_value_stays_as_it_is() {
    let pop = Pop::start(None);
    let (one, fixed) = ("1".repeat(20), "f".repeat(20));
    let made = |name: &str, value: &str, enabled: bool| {
        pop.ask("POST", "/keys", None, &json!({"name": name, "value": value, "enabled": enabled}).to_string()).0
    };
    for (name, value, enabled, want) in [
        ("a", &one, false, 201),
        ("a", &one, true, 200),
        ("b", &one, true, 409),
        ("a", &"2".repeat(20), true, 409),
        ("fixed", &fixed, true, 200),
        ("fixed", &one, true, 409),
    ] {
        assert_eq!(made(name, value, enabled), want, "{name} {value}");
    }
    assert!(!pop.key(&one).unwrap().enabled);
}

#[test]
fn refusals_say_what_to_do() {
    let pop = Pop::start(None);
    let twenty = "x".repeat(20);
    pop.ask("POST", "/keys", None, &json!({"name": "taken", "value": twenty}).to_string());
    for (method, path, body, status, says) in [
        ("POST", "/keys", r#"{"name": "n", "plans": ["silver"]}"#.to_owned(), 400, "there are: gold, bronze"),
        ("POST", "/keys", r#"{"name": "n", "plans": ["gold", "bronze"]}"#.to_owned(), 400, "one plan a stage"),
        ("POST", "/keys", r#"{"name": "n", "value": "short"}"#.to_owned(), 400, "20 to 128"),
        ("POST", "/keys", r#"{"name": ""}"#.to_owned(), 400, "1 to 1024"),
        ("POST", "/keys", r#"{"nome": "n"}"#.to_owned(), 400, "unknown field"),
        ("POST", "/keys", "{".to_owned(), 400, "send {"),
        ("POST", "/keys", r#"{"name": "taken"}"#.to_owned(), 409, "already"),
        ("POST", "/keys", json!({"name": "n", "value": twenty}).to_string(), 409, "has this value"),
        ("POST", "/keys", json!({"name": "n", "value": "f".repeat(20)}).to_string(), 409, "has this value"),
        ("POST", "/keys", r#"{"name": "fixed"}"#.to_owned(), 409, "in the configuration"),
        ("PATCH", "/keys/fixed", "{}".to_owned(), 409, "change it there"),
        ("DELETE", "/keys/fixed", String::new(), 409, "change it there"),
        ("DELETE", "/keys/none", String::new(), 404, "GET /keys"),
        ("PATCH", "/keys/none", "{}".to_owned(), 404, "there is no key"),
        ("PATCH", "/keys/taken", r#"{"plans": ["x"]}"#.to_owned(), 400, "there is no plan"),
        (
            "PATCH",
            "/keys/taken",
            r#"{"plans": ["bronze", "gold"]}"#.to_owned(),
            400,
            "that \\\"bronze\\\" opens already",
        ),
        ("GET", "/keys/none/usage", String::new(), 404, "there is no key \\\"none\\\"\""),
        ("GET", "/keys/fixed/usage?from=yesterday", String::new(), 400, "YYYY-MM-DD"),
        ("GET", "/keys/fixed/usage?from=1900-01-01", String::new(), 400, "from 1970-01-01 to 9999-12-31"),
        ("GET", "/keys/fixed/usage?from=9999-12-30", String::new(), 400, "9999-12-30 is in the future"),
        ("GET", "/keys/fixed/usage?from=9999-12-30&to=9999-12-31", String::new(), 400, "today is 2"),
        ("GET", "/keys/fixed/usage?from=2026-11-26&to=2026-11-25", String::new(), 400, "wrong order"),
        ("GET", "/keys/fixed/usage?from=2025-11-26&to=2026-11-26", String::new(), 400, "100 days"),
        ("GET", "/keys/fixed/usage?since=1", String::new(), 400, "from=YYYY"),
        ("PUT", "/keys", String::new(), 405, "PUT is not for"),
    ] {
        let (got, text) = pop.ask(method, path, None, &body);
        assert_eq!(got, status, "{method} {path} {body}: {text}");
        assert!(text.contains(says), "{method} {path} {body}: {text}");
        assert!(text.contains("\"hint\""), "{text}");
    }
    assert_eq!(pop.ask_as("text/plain", "POST", "/keys", None, "{}").0, 415);
    let guarded = Pop::start(Some("s3cret"));
    assert_eq!(guarded.ask("GET", "/keys", None, "").0, 401);
}
