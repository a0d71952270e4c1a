//! Purge: what the operator asked to have removed.
//!
//! In: the body of `POST /purge`. Out: scopes that say exactly what they cover, or an error that says what is wrong.
//! Never: touches the cache.

use crate::cache::purge::{self, Scope};
use crate::observe::PurgeScope;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Scopes in one request.
pub const MAX_SCOPES: usize = 1000;
/// How long one request may wait for the other nodes.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// A purge that was understood: every scope at once, under one stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeRequest {
    /// At least one.
    pub scopes: Vec<Scope>,
    /// Mark stale instead of removing: the next request revalidates.
    pub soft: bool,
    /// How long to wait until every node of the fleet has it; `None` = only for this one.
    pub wait: Option<Duration>,
}

/// What the proxy says of a purge it applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeDone {
    /// Everything whose fetch began before this is covered (nanoseconds since the epoch).
    pub stamp: u64,
    /// Nodes that have it, and those that had not when the wait ended. Both empty when nobody waited.
    pub seen: Vec<String>,
    pub missing: Vec<String>,
}

/// Answer to `POST /purge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Number of scopes.
    pub purged: usize,
    pub soft: bool,
    /// As [`PurgeDone::stamp`].
    pub stamp: u64,
    /// As [`PurgeDone::seen`] and [`PurgeDone::missing`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// The body as written: one or several of each kind.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Body {
    #[serde(skip_serializing_if = "Several::is_empty")]
    pub url: Several,
    #[serde(skip_serializing_if = "Several::is_empty")]
    pub prefix: Several,
    #[serde(skip_serializing_if = "Several::is_empty")]
    pub host: Several,
    #[serde(skip_serializing_if = "Several::is_empty")]
    pub tag: Several,
    pub all: bool,
    pub soft: bool,
    /// Milliseconds, at most a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// A string or a list of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum Several {
    One(String),
    Many(Vec<String>),
}

/// Why a purge was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PurgeError {
    #[error("not a purge: {0}")]
    Json(String),
    #[error("nothing to purge")]
    Nothing,
    #[error("{0} scopes in one request, at most {MAX_SCOPES}")]
    TooMany(usize),
    #[error("a wait of {0} ms, at most {max}", max = WAIT_MAX.as_millis())]
    Wait(u64),
    #[error("{kind} {text:?}: {why}")]
    Scope { kind: &'static str, text: String, why: purge::PurgeError },
    #[error("url {text:?} has no path: write https://{host}/ for that one page, or purge the host")]
    Bare { text: String, host: Box<str> },
    #[error("{kind} {text:?} is no {kind}: it names {means}")]
    Kind { kind: &'static str, text: String, means: Scope },
}

// === impl PurgeError ===
impl PurgeError {
    /// What was meant, where it was written as a URL but means every URL that begins so.
    pub fn prefix(&self) -> Option<String> {
        match self {
            PurgeError::Scope { kind: "url", why: purge::PurgeError::NoHost(path), .. } => Some(path.clone()),
            PurgeError::Kind { kind: "url", means: means @ Scope::Prefix { .. }, .. } => {
                let text = means.to_string();
                Some(text.strip_suffix('*').unwrap_or(&text).to_owned())
            }
            _ => None,
        }
    }
}

// === impl PurgeRequest ===
impl PurgeRequest {
    /// Reads the JSON body.
    pub fn parse(json: &[u8]) -> Result<Self, PurgeError> {
        // A list would pass for the fields in order: [url, prefix, …].
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(PurgeError::Json("expected a JSON object".to_owned()));
        }
        let body: Body = serde_json::from_slice(json).map_err(|error| PurgeError::Json(error.to_string()))?;
        let mut scopes = Vec::new();
        for (kind, texts) in [("url", &body.url), ("prefix", &body.prefix), ("host", &body.host), ("tag", &body.tag)] {
            for text in texts.as_slice() {
                scopes.push(scope(kind, text)?);
            }
        }
        if body.all {
            scopes.push(Scope::All);
        }
        let wait = body.wait_ms.map(Duration::from_millis);
        if let Some(long) = body.wait_ms.filter(|_| wait > Some(WAIT_MAX)) {
            return Err(PurgeError::Wait(long));
        }
        match scopes.len() {
            0 => Err(PurgeError::Nothing),
            1..=MAX_SCOPES => Ok(PurgeRequest { scopes, soft: body.soft, wait }),
            many => Err(PurgeError::TooMany(many)),
        }
    }
}

// === impl Several ===
impl Several {
    fn as_slice(&self) -> &[String] {
        match self {
            Several::One(one) => std::slice::from_ref(one),
            Several::Many(many) => many,
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl Default for Several {
    fn default() -> Self {
        Several::Many(Vec::new())
    }
}

/// Reads what stands under `kind` with the parser of [`purge::parse_scope`]; what names another kind of scope is refused.
fn scope(kind: &'static str, text: &str) -> Result<Scope, PurgeError> {
    let typed = match kind {
        "tag" => format!("#{text}"),
        // People write CloudFront's trailing `*`, or leave it out.
        "prefix" => text.trim().strip_suffix('*').unwrap_or(text).to_owned(),
        _ => text.to_owned(),
    };
    let wrong = |why| PurgeError::Scope { kind, text: text.to_owned(), why };
    match (kind, purge::parse_scope(&typed)) {
        ("prefix", Err(purge::PurgeError::NoHost(path))) => Ok(Scope::Prefix { host: None, path: path.into() }),
        (_, Err(why)) => Err(wrong(why)),
        ("url", Ok(scope @ Scope::Url { .. }))
        | ("host", Ok(scope @ Scope::Host(_)))
        | ("tag", Ok(scope @ Scope::Tag(_))) => Ok(scope),
        // `https://host/*` is a host by its scope, but was written as a URL.
        ("url", Ok(Scope::Host(host))) if typed.trim_ascii().ends_with('*') => {
            let means = Scope::Prefix { host: Some(host), path: "/".into() };
            Err(PurgeError::Kind { kind, text: text.to_owned(), means })
        }
        ("url", Ok(Scope::Host(host))) if !typed.contains("://") => {
            Err(PurgeError::Bare { text: text.to_owned(), host })
        }
        ("url", Ok(Scope::Host(host))) => Ok(Scope::Url { host, uri: "/".into() }),
        ("prefix", Ok(Scope::Url { host, uri })) => Ok(Scope::Prefix { host: Some(host), path: uri }),
        ("prefix", Ok(Scope::Host(host))) => Ok(Scope::Prefix { host: Some(host), path: "/".into() }),
        (_, Ok(means)) => Err(PurgeError::Kind { kind, text: text.to_owned(), means }),
    }
}

/// The label that counts a scope.
pub fn label(scope: &Scope) -> PurgeScope {
    match scope {
        Scope::Url { .. } => PurgeScope::Url,
        Scope::Prefix { .. } => PurgeScope::Prefix,
        Scope::Host(_) => PurgeScope::Host,
        Scope::Tag(_) => PurgeScope::Tag,
        Scope::All => PurgeScope::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, uri: &str) -> Scope {
        Scope::Url { host: host.into(), uri: uri.into() }
    }

    fn prefix(host: &str, uri: &str) -> Scope {
        Scope::Prefix { host: Some(host.into()), path: uri.into() }
    }

    #[test]
    fn bodies_that_are_understood() {
        for (body, scopes, soft) in [
            (r#"{"url":"https://Shop.Example:8443/a?b=C"}"#, vec![url("shop.example", "/a?b=C")], false),
            (r#"{"url":"https://shop.example"}"#, vec![url("shop.example", "/")], false),
            (r#"{"url":"shop.example/a?u=http://x/"}"#, vec![url("shop.example", "/a?u=http://x/")], false),
            (r#"{"url":"http://[::1]:80/a"}"#, vec![url("[::1]", "/a")], false),
            (r#"{"prefix":"shop.example/img/*","soft":true}"#, vec![prefix("shop.example", "/img/")], true),
            (r#"{"prefix":"shop.example"}"#, vec![prefix("shop.example", "/")], false),
            (r#"{"prefix":"/img/"}"#, vec![Scope::Prefix { host: None, path: "/img/".into() }], false),
            (r#"{"host":"Shop.Example:80"}"#, vec![Scope::Host("shop.example".into())], false),
            (r#"{"all":true}"#, vec![Scope::All], false),
            (
                r#"{"tag":["A","b-1"],"url":["h/1","h/2"]}"#,
                vec![url("h", "/1"), url("h", "/2"), Scope::Tag("a".into()), Scope::Tag("b-1".into())],
                false,
            ),
        ] {
            assert_eq!(PurgeRequest::parse(body.as_bytes()), Ok(PurgeRequest { scopes, soft, wait: None }), "{body}");
        }
    }

    #[test]
    fn a_prefix_that_was_written_as_a_url_is_told() {
        for (body, want) in [
            (r#"{"url":"/a"}"#, Some("/a")),
            (r#"{"url":"/a*"}"#, Some("/a")),
            (r#"{"url":"h/a*"}"#, Some("https://h/a")),
            (r#"{"url":"https://h/*"}"#, Some("https://h/")),
            (r#"{"url":"x"}"#, None),
            (r#"{"host":"h/a*"}"#, None),
            (r#"{"url":"h/a b"}"#, None),
        ] {
            let error = PurgeRequest::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.prefix().as_deref(), want, "{body}");
            if let Some(prefix) = want {
                let asked = serde_json::json!({ "prefix": prefix }).to_string();
                assert!(PurgeRequest::parse(asked.as_bytes()).is_ok(), "{prefix}");
            }
        }
    }

    #[test]
    fn bodies_that_are_not() {
        let long = format!(r#"{{"url":"h/{}"}}"#, "x".repeat(8192));
        let many = serde_json::json!({ "tag": vec!["t"; MAX_SCOPES + 1] }).to_string();
        for (body, says) in [
            ("", "not a purge"),
            ("[]", "not a purge"),
            (r#"{"url":5}"#, "expected a string or a list of strings"),
            (r#"{"urls":"h/"}"#, "unknown field `urls`"),
            (r#"{}"#, "nothing to purge"),
            (r#"{"all":true,"wait_ms":60001}"#, "a wait of 60001 ms, at most 60000"),
            (r#"{"all":false,"tag":[]}"#, "nothing to purge"),
            (r#"{"url":"/only/path"}"#, "names no host"),
            (r#"{"url":"x"}"#, "write https://x/ for that one page, or purge the host"),
            (r#"{"url":"Shop.Example:80"}"#, "write https://shop.example/"),
            (r#"{"url":"ftp://h/"}"#, "not http or https"),
            (r#"{"url":"https://h/*"}"#, "it names https://h/*"),
            (r#"{"url":"h/a*"}"#, "it names https://h/a*"),
            (r##"{"url":"#a"}"##, "it names #a"),
            (r#"{"url":"h/a b"}"#, "percent-encode"),
            (r##"{"url":"h/a#b"}"##, "fragment"),
            (r#"{"url":"user@h/"}"#, "not a host name"),
            (r#"{"host":"h/path"}"#, "it names https://h/path"),
            (r#"{"tag":"a b"}"#, "percent-encode"),
            (r#"{"tag":""}"#, "1 to 256 characters"),
            (&long, "longer than 8192"),
            (&many, "at most 1000"),
        ] {
            let error = PurgeRequest::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{body:.80}: {error}");
        }
    }
}
