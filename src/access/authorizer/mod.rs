//! Authorizer: a function that decides, asked and understood as API Gateway does.
//!
//! In: a request; what the function answered. Out: what to ask it, or what its answer means. Never: the call itself (the proxy makes
//! it), an answer kept longer than its time.
//!
//! Source: API Gateway Developer Guide, "Input to an API Gateway Lambda authorizer", "Output from an API Gateway Lambda authorizer",
//! "AWS Lambda authorizers for HTTP APIs".

mod answer;
mod event;

use std::net::IpAddr;
use std::sync::Arc;

use moka::sync::Cache;
use serde_json::Map;

use super::{Asked, Denied, Kind, Principal, Reason, iam};
use crate::config::compiled::{Authorizer, AuthorizerKind, IdentitySource};
use crate::crypto;
use crate::message::{Fields, path};

pub use answer::Decision;
pub use event::About;

/// One authorizer with the answers it gave.
#[derive(Debug)]
pub struct Memo {
    pub spec: Authorizer,
    kept: Option<Cache<[u8; 32], Arc<Decision>>>,
}

/// What a request says to an authorizer.
#[derive(Debug)]
pub struct Question {
    identity: Vec<u8>,
    /// The values of its identity sources, in order.
    sources: Vec<String>,
}

// === impl Question ===
impl Question {
    /// Names the identity that was shown: SHA-256 of its sources.
    pub fn digest(&self) -> [u8; 32] {
        crypto::sha256(&self.identity)
    }
}

// === impl Memo ===
impl Memo {
    pub fn new(spec: &Authorizer) -> Self {
        let kept = (!spec.ttl.is_zero())
            .then(|| Cache::builder().max_capacity(spec.entries as u64).time_to_live(spec.ttl).build());
        Memo { spec: spec.clone(), kept }
    }

    /// What to ask.
    ///
    /// # Errors
    /// A source of identity is missing or empty: the function is not asked.
    pub fn question<F: Fields>(&self, asked: &Asked<'_, F>) -> Result<Question, Denied> {
        let mut question = Question { identity: Vec::new(), sources: Vec::with_capacity(self.spec.identity.len()) };
        for source in &self.spec.identity {
            // Of several, the function may be shown another than the one that its answer is kept under.
            let only = |values: Vec<String>| match <[String; 1]>::try_from(values) {
                Ok([value]) => Ok(value),
                Err(values) if values.is_empty() => Ok(String::new()),
                Err(_) => {
                    Err(Denied::new(Reason::AuthorizerUnauthorized, format!("{source:?} is there more than once")))
                }
            };
            let value = match source {
                IdentitySource::Header(name) => {
                    let lines: Vec<_> = asked.fields.lines(name).map(String::from_utf8_lossy).collect();
                    lines.join(",")
                }
                IdentitySource::Query(name) => only(event::parameters(asked.query, name))?,
                IdentitySource::Cookie(name) => only(event::cookies_named(asked.fields, name))?,
                IdentitySource::Path => asked.path.to_owned(),
                IdentitySource::Method => asked.method.to_owned(),
            };
            if value.is_empty() {
                return Err(Denied::new(Reason::AuthorizerUnauthorized, format!("{source:?} is missing")));
            }
            question.identity.extend_from_slice(&(value.len() as u64).to_be_bytes());
            question.identity.extend_from_slice(value.as_bytes());
            question.sources.push(value);
        }
        Ok(question)
    }

    /// What it answered last time, if that is still good.
    pub fn recall(&self, question: &Question) -> Option<Arc<Decision>> {
        self.kept.as_ref()?.get(&question.digest())
    }

    /// Keeps an answer. Failures are not kept.
    pub fn keep(&self, question: &Question, decision: &Arc<Decision>) {
        if let (Some(kept), false) = (&self.kept, matches!(**decision, Decision::Failed(_))) {
            kept.insert(question.digest(), Arc::clone(decision));
        }
    }

    /// The event that asks it.
    pub fn event<F: Fields>(
        &self,
        asked: &Asked<'_, F>,
        question: &Question,
        about: &About<'_>,
        lines: &[(String, String)],
    ) -> String {
        let resource = self.resource(asked.method, asked.path);
        match self.spec.kind {
            AuthorizerKind::Token => event::token(question.sources.first().map_or("", String::as_str), &resource),
            AuthorizerKind::Request1 => event::request_1(asked, about, lines, &resource),
            AuthorizerKind::Request2 => event::request_2(asked, about, lines, &question.sources, &resource),
        }
    }

    /// What the function said: its result as JSON, or what it threw.
    pub fn understand(&self, said: Result<&str, &str>) -> Decision {
        answer::understand(self.spec.kind, said)
    }

    /// Whether `decision` lets this request in: a policy is looked at anew for every resource.
    ///
    /// # Errors
    /// It does not.
    pub fn judge<F>(
        &self,
        asked: &Asked<'_, F>,
        question: &Question,
        decision: &Decision,
    ) -> Result<(Principal, Option<String>), Denied> {
        let say = |reason, words: &str| Err(Denied::new(reason, format!("{}: {words}", self.spec.name)));
        let principal = |id: &str, context: &Arc<Map<String, serde_json::Value>>| Principal {
            kind: Kind::Authorizer,
            id: id.into(),
            issuer: self.spec.name.as_str().into(),
            claims: Arc::clone(context),
            api_key: None,
        };
        match decision {
            Decision::Unauthorized => say(Reason::AuthorizerUnauthorized, "it threw \"Unauthorized\""),
            Decision::Failed(why) => say(Reason::AuthorizerFailed, why),
            Decision::Simple { allowed: false, .. } => say(Reason::AuthorizerDenies, "isAuthorized is false"),
            Decision::Simple { allowed: true, id, context } if id.is_empty() => {
                let digest: String = question.digest().iter().map(|byte| format!("{byte:02x}")).collect();
                Ok((principal(&digest, context), None))
            }
            Decision::Simple { allowed: true, id, context } => Ok((principal(id, context), None)),
            Decision::Policy { id, policy, context, usage_key } => {
                let resolved = path::resolved(asked.path);
                for path in std::iter::once(asked.path).chain(resolved.as_deref()) {
                    let resource = self.resource(asked.method, path);
                    let request = iam::Request {
                        action: "execute-api:Invoke",
                        resource: &resource,
                        source_ip: asked.viewer,
                        now_ms: asked.now_ms,
                        secure: asked.tls,
                        principal_arn: Some(id),
                        user_agent: None,
                        referer: None,
                        dynamodb: iam::Items::default(),
                    };
                    let (reason, words) = match iam::evaluate(policy, &request) {
                        iam::Decision::Allow => continue,
                        iam::Decision::ExplicitDeny => (Reason::AuthorizerDenies, "denied"),
                        iam::Decision::ImplicitDeny => (Reason::AuthorizerNotAllowed, "not allowed"),
                    };
                    return say(reason, &format!("{resource} is {words}"));
                }
                Ok((principal(id, context), usage_key.clone()))
            }
        }
    }

    fn resource(&self, method: &str, path: &str) -> String {
        let path = path.strip_prefix('/').unwrap_or(path);
        self.spec.resource.replace("$method", method).replace("$path", path)
    }
}

/// The viewer's address as events say it.
fn address(viewer: IpAddr) -> String {
    viewer.to_canonical().to_string()
}

#[cfg(test)]
mod tests;
