//! Tests of rules as wholes: what is combined how, what keeps principals apart, what is waited for.

use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::access::keys::hash;
use crate::config;

const TABLES: &str = r#"
    [[origin]]
    name = "o"
    url = "http://h"
    [[address_list]]
    name = "here"
    nets = ["192.0.2.0/24"]
    [[address_list]]
    name = "there"
    nets = ["198.51.100.0/24"]
    [[jwt]]
    name = "pool"
    issuer = "https://issuer.example"
    audience = []
    [[usage_plan]]
    name = "gold"
    stages = ["prod"]
"#;

struct World {
    config: Config,
    guards: Guards,
    keys: Keys,
    fields: HeaderMap,
    stage: &'static str,
    names: Vec<String>,
}

fn world(rule: &str) -> World {
    let text = format!("{TABLES}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = {rule}\n");
    let config = config::parse(&text, "t.toml", Path::new("/")).unwrap_or_else(|errors| panic!("{rule}\n{errors}"));
    let guards = Guards::new(&config, &jwt::Registry::new().unwrap()).unwrap();
    let key = |name: &str, enabled: bool, plans: &[&str]| Key {
        name: name.into(),
        enabled,
        plans: plans.iter().map(|plan| (*plan).to_owned()).collect(),
        made: 0,
    };
    let keys = Keys::new([
        (hash(b"good-key-0123456789abc"), key("acme", true, &["gold"])),
        (hash(b"other-key-0123456789ab"), key("other", true, &["gold"])),
        (hash(b"off-key-0123456789abcd"), key("off", false, &["gold"])),
        (hash(b"plain-key-0123456789ab"), key("plain", true, &[])),
    ]);
    World { config, guards, keys, fields: HeaderMap::new(), stage: "prod", names: Vec::new() }
}

impl World {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.insert(name, HeaderValue::from_static(value));
        self
    }

    fn judge(&self) -> Verdict {
        let asked = Asked {
            method: "GET",
            host: "h",
            path: "/",
            query: None,
            fields: &self.fields,
            tls: false,
            viewer: IpAddr::from([192, 0, 2, 7]),
            now_ms: 0,
        };
        let subject = "CN=device";
        let certificate = (!self.names.is_empty()).then_some(Certificate {
            subject,
            names: &self.names,
            authority: "sha256:aa",
            anchor: b"a",
        });
        let facts = Facts {
            stage: self.stage,
            keys: &self.keys,
            certificate,
            country: &|| Some(*b"DE"),
            has_body: false,
            body: None,
            fetched: &[],
            decisions: &[],
        };
        self.guards.judge(self.config.behaviors[0].access.as_ref().unwrap(), &asked, &facts)
    }

    fn entry(&self) -> Entry {
        match self.judge() {
            Verdict::Enter(entry) => *entry,
            other => panic!("{other:?}"),
        }
    }

    fn reason(&self) -> Reason {
        match self.judge() {
            Verdict::Deny(denied) => denied.reason,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn combinations() {
    let key = |world: World| world.with("x-api-key", "good-key-0123456789abc");
    assert_eq!(world(r#""api_key""#).reason(), Reason::ApiKeyMissing);
    assert!(key(world(r#""api_key""#)).entry().principal.is_some());
    assert!(world(r#"{ any = ["api_key", { address = "here" }] }"#).entry().principal.is_none());
    assert_eq!(world(r#"{ all = ["api_key", { address = "here" }] }"#).reason(), Reason::ApiKeyMissing);
    assert_eq!(key(world(r#"{ all = ["api_key", { address = "there" }] }"#)).reason(), Reason::Address);
    assert_eq!(world(r#"{ none = [{ address = "here" }] }"#).reason(), Reason::Excluded);
    let said = |rule: &str| match world(rule).judge() {
        Verdict::Deny(denied) => denied.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(r#"{ none = [{ address = "here" }] }"#), "excluded: address 192.0.2.7");
    assert!(world(r#"{ none = [{ address = "there" }, "api_key"] }"#).entry().principal.is_none());
    assert_eq!(key(world(r#"{ none = [{ address = "there" }, "api_key"] }"#)).reason(), Reason::Excluded);
    // The most telling refusal is of what was shown.
    let wrong = world(r#"{ any = [{ address = "there" }, "api_key"] }"#).with("x-api-key", "no-such-key");
    assert_eq!(wrong.reason(), Reason::ApiKey);
    let token = world(r#"{ any = ["api_key", { jwt = "pool" }] }"#).with("authorization", "Bearer nonsense");
    assert_eq!(token.reason(), Reason::TokenInvalid);
}

#[test]
fn keys_open_the_stages_of_their_plans() {
    for (value, stage, want) in [
        ("good-key-0123456789abc", "prod", None),
        ("good-key-0123456789abc", "test", Some(Reason::ApiKey)),
        ("off-key-0123456789abcd", "prod", Some(Reason::ApiKey)),
        ("plain-key-0123456789ab", "prod", Some(Reason::ApiKey)),
        ("", "prod", Some(Reason::ApiKey)),
    ] {
        let mut world = world(r#""api_key""#).with("x-api-key", value);
        world.stage = stage;
        match want {
            None => assert_eq!(&*world.entry().key.unwrap().name, "acme"),
            Some(reason) => assert_eq!(world.reason(), reason, "{value} {stage}"),
        }
    }
}

#[test]
fn certificates_by_name_and_what_keeps_principals_apart() {
    let shown = |rule: &str, names: &[&str]| {
        let mut world = world(rule);
        world.names = names.iter().map(|name| (*name).to_owned()).collect();
        world
    };
    let any = r#""certificate""#;
    assert_eq!(shown(any, &[]).reason(), Reason::Certificate);
    assert_eq!(shown(r#"{ certificate_name = ["printer-*"] }"#, &["device-7"]).reason(), Reason::Certificate);
    assert!(
        shown(r#"{ certificate_name = ["a", "device-*.example"] }"#, &["x", "device-7.example"])
            .entry()
            .principal
            .is_some()
    );
    assert_ne!(shown(any, &["a"]).entry().apart, shown(any, &["b"]).entry().apart, "one subject, other names");
    let key = |value| world(r#""api_key""#).with("x-api-key", value).entry();
    let (acme, other) = (key("good-key-0123456789abc"), key("other-key-0123456789ab"));
    assert_ne!(acme.apart, other.apart);
    assert_eq!(acme.principal.unwrap().api_key.as_deref(), Some("acme"));
}

#[test]
fn an_issuers_keys_are_waited_for_only_by_a_token_that_could_be_good() {
    assert_eq!(world(r#"{ jwt = "pool" }"#).reason(), Reason::TokenMissing);
    assert_eq!(world(r#"{ jwt = "pool" }"#).with("authorization", "Basic x").reason(), Reason::TokenMissing);
    assert_eq!(world(r#"{ jwt = "pool" }"#).with("authorization", "Bearer a.b.c").reason(), Reason::TokenInvalid);
}

#[test]
fn wildcards_of_certificate_names() {
    for (pattern, text, want) in [
        ("*", "", true),
        ("*", "a", true),
        ("a*c", "abc", true),
        ("a*c", "ab", false),
        ("*.example", "x.example", true),
        ("*.example", "example", false),
        ("a*b*c", "aXbYbZc", true),
        ("", "a", false),
        ("", "", true),
    ] {
        assert_eq!(like(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
    }
}
