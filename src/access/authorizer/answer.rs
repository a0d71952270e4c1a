//! Answer: what an authorizer function said.
//!
//! In: its result as JSON, or what it threw. Out: a [`Decision`]. Never: a request; a policy is looked at for each anew.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::{Claim, Claims, iam};
use crate::config::compiled::AuthorizerKind;
use crate::config::iam::Policy;

/// What an authorizer decided about an identity.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Policy {
        id: String,
        policy: Policy,
        context: Arc<Claims>,
        usage_key: Option<String>,
    },
    /// `enableSimpleResponses`.
    Simple {
        allowed: bool,
        id: String,
        context: Arc<Claims>,
    },
    /// It threw "Unauthorized".
    Unauthorized,
    /// It failed, or what it said is no answer.
    Failed(String),
}

/// Reads what the function said.
pub fn understand(kind: AuthorizerKind, said: Result<&str, &str>) -> Decision {
    let text = match said {
        Ok(text) => text,
        // "You must throw exactly this" (API Gateway Developer Guide).
        Err(thrown) if thrown == "Unauthorized" || thrown.ends_with(": Unauthorized") => return Decision::Unauthorized,
        Err(thrown) => return Decision::Failed(thrown.to_owned()),
    };
    match read(kind, text) {
        Ok(decision) => decision,
        Err(why) => Decision::Failed(why),
    }
}

fn read(kind: AuthorizerKind, text: &str) -> Result<Decision, String> {
    let Ok(Value::Object(said)) = serde_json::from_str::<Value>(text) else {
        return Err("it answered with something else than an object".to_owned());
    };
    let simple = kind == AuthorizerKind::Request2;
    let context = Arc::new(Claims::from(context(said.get("context"), simple)?));
    if simple && let Some(allowed) = said.get("isAuthorized") {
        let Some(allowed) = allowed.as_bool() else { return Err("isAuthorized is no boolean".to_owned()) };
        let id = context.get("principalId").or_else(|| context.get("sub")).and_then(Claim::as_str).unwrap_or_default();
        return Ok(Decision::Simple { allowed, id: id.to_owned(), context });
    }
    let Some(id) = said.get("principalId").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
        return Err("it answered without a principalId".to_owned());
    };
    let Some(document) = said.get("policyDocument").filter(|document| document.is_object()) else {
        return Err("it answered without a policyDocument".to_owned());
    };
    let policy = Policy::parse(&document.to_string()).map_err(|error| format!("its policy: {error}"))?;
    let policy = iam::spelled(policy);
    let usage_key = match said.get("usageIdentifierKey") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(_) => return Err("its usageIdentifierKey is no string".to_owned()),
    };
    Ok(Decision::Policy { id: id.to_owned(), policy, context, usage_key })
}

/// With payload format 1.0 only strings, numbers and booleans are allowed.
fn context(context: Option<&Value>, any: bool) -> Result<Map<String, Value>, String> {
    match context {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => {
            let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
            match map.iter().find(|(_, value)| !any && !plain(value)) {
                Some((name, _)) => Err(format!("its context's '{name}' is no string, number or boolean")),
                None => Ok(map.clone()),
            }
        }
        Some(_) => Err("its context is no object".to_owned()),
    }
}
