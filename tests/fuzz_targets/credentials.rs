//! Credentials: whatever is sent as key, token, signature, signed URL or cookie, no rule lets anybody in by it, and the answer is one of AWS's.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use rimward::access::keys::{Key, Keys, hash};
use rimward::access::{Asked, Facts, Guards, Verdict, jwt};
use rimward::config::{self, compiled::Config};
use rimward::proxy::denying;

const RULES: [&str; 7] = [
    "\"api_key\"",
    "\"certificate\"",
    "{ jwt = \"pool\" }",
    "{ sigv4 = \"partners\" }",
    "{ signed = \"films\" }",
    "{ any = [\"api_key\", { jwt = \"pool\" }, { sigv4 = \"partners\" }, { signed = \"films\" }] }",
    "{ all = [{ none = [{ jwt = \"pool\" }] }, \"api_key\"] }",
];

const TABLES: &str = r#"
    [[origin]]
    name = "o"
    url = "http://h"
    [[jwt]]
    name = "pool"
    issuer = "https://issuer.example"
    audience = []
    from = ["header:authorization", "cookie:session", "query:token"]
    jwks = "file:jwks.json"
    [[sigv4]]
    name = "partners"
    regions = ["eu-central-1"]
    [[sigv4.key]]
    id = "AKIDEXAMPLE"
    secret = "file:secret"
    principal = "arn:aws:iam::123456789012:user/alice"
    [[key_group]]
    name = "films"
    key = [{ id = "K2", file = "public.pem" }]
"#;

/// The keys of RFC 7515 A.2 and A.3, whose private halves sign no input here.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
    6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
    -----END PUBLIC KEY-----\n";

struct World {
    config: Config,
    guards: Guards,
    keys: Keys,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, content) in [("jwks.json", JWKS), ("public.pem", PEM), ("secret", "nobody signs with this")] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let behaviors = RULES.iter().enumerate();
    let behaviors: String = behaviors
        .map(|(i, rule)| {
            format!("[[behavior]]\nname = \"b{i}\"\nmatch = \"/{i}/*\"\norigin = \"o\"\naccess = {rule}\n")
        })
        .collect();
    let config = config::parse(&format!("{TABLES}{behaviors}"), "t.toml", dir.path()).unwrap();
    let guards = Guards::new(&config, &jwt::Registry::new().unwrap()).unwrap();
    let key = Key { name: "acme".into(), enabled: false, plans: Vec::new(), made: 0 };
    World { config, guards, keys: Keys::new([(hash(b"disabled-key-0123456789"), key)]) }
});

/// A target, then `name: value` a line.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut fields = HeaderMap::new();
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (HeaderName::from_bytes(&line[..at]), line.get(at + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) {
            fields.append(name, value);
        }
    }
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    let World { config, guards, keys } = &*WORLD;
    for behavior in &config.behaviors {
        let Some(rule) = &behavior.access else { continue };
        let asked = Asked {
            method: "GET",
            host: "h",
            path,
            query,
            fields: &fields,
            tls: true,
            viewer: [127, 0, 0, 1].into(),
            // 2026-11-26.
            now_ms: 1_795_651_200_000,
        };
        let facts = Facts {
            stage: "prod",
            keys,
            certificate: None,
            country: &|| None,
            has_body: false,
            body: None,
            fetched: &[],
            decisions: &[],
        };
        match guards.judge(rule, &asked, &facts) {
            Verdict::Enter(entry) => panic!("{rule:?} lets {:?} in", entry.principal),
            Verdict::Wait(_) => {}
            Verdict::Deny(denied) => {
                let answer = denying::denied(&denied);
                assert!(matches!(answer.status.as_u16(), 400 | 401 | 403), "{denied}: {}", answer.status);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(body.starts_with("{\"") || body.starts_with("<?xml"), "{denied}: {body}");
            }
        }
    }
}
