//! Who: who asks, as functions see it.
//!
//! In: what an access rule found. Out: one JSON object for every kind of function. Never: a credential; a decision.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who asks. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Who {
    /// "api_key", "jwt", "sigv4", "authorizer" or "certificate".
    pub kind: Cow<'static, str>,
    /// Unique within its kind and issuer.
    pub id: Arc<str>,
    /// The name of the `[[jwt]]`, `[[sigv4]]` or `[[authorizer]]`; "" for keys and certificates.
    pub issuer: Arc<str>,
    /// A token's claims, an authorizer's context.
    pub claims: Arc<Map<String, Value>>,
    /// The API key's name.
    pub api_key: Option<Arc<str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    kind: &'a str,
    id: &'a str,
    issuer: &'a str,
    claims: &'a Map<String, Value>,
    api_key: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    kind: String,
    id: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    api_key: Option<String>,
}

// === impl Who ===
impl Who {
    /// `{"kind", "id", "issuer", "claims": {…}, "apiKey": string or null}`.
    pub fn json(&self) -> String {
        let shown = Shown {
            kind: &self.kind,
            id: &self.id,
            issuer: &self.issuer,
            claims: &self.claims,
            api_key: self.api_key.as_deref(),
        };
        // Text keys and JSON values cannot fail to be written.
        serde_json::to_string(&shown).unwrap_or_default()
    }

    /// The same from a test event or a recording; `None` = it is no such object.
    pub fn read(value: &Value) -> Option<Self> {
        let written = Written::deserialize(value).ok()?;
        Some(Who {
            kind: written.kind.into(),
            id: written.id.into(),
            issuer: written.issuer.into(),
            claims: Arc::new(written.claims),
            api_key: written.api_key.map(Arc::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_back() {
        let value = json!({"kind": "jwt", "id": "u\"1", "issuer": "pool", "claims": {"groups": ["a"]}, "apiKey": null});
        let who = Who::read(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&who.json()).unwrap(), value);
        assert_eq!((&*who.kind, &*who.id, who.claims["groups"][0].as_str()), ("jwt", "u\"1", Some("a")));
        let least = Who::read(&json!({"kind": "api_key", "id": "acme", "apiKey": "acme"})).unwrap();
        assert_eq!(least.json(), r#"{"kind":"api_key","id":"acme","issuer":"","claims":{},"apiKey":"acme"}"#);
        for value in [json!("alice"), json!({"id": "a"}), json!({"kind": "jwt", "id": "a", "name": "x"})] {
            assert!(Who::read(&value).is_none(), "{value}");
        }
    }
}
