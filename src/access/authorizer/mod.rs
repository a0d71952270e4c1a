//! Authorizer: a function that decides, asked and understood as API Gateway does.
//!
//! In: a request; what the function answered. Out: what to ask it, or what its answer means. Never: the call itself (the proxy makes
//! it), an answer kept longer than its time.
//!
//! Source: API Gateway Developer Guide, "Input to an API Gateway Lambda authorizer", "Output from an API Gateway Lambda authorizer",
//! "AWS Lambda authorizers for HTTP APIs".

mod answer;
mod event;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Asked, Claims, Denied, Kind, Principal, Reason, Told, iam, resource};
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
    /// Answers that are on their way, by what they are kept under: no more than requests that wait for one.
    asked: Mutex<HashMap<[u8; 32], Flight>>,
}

/// An answer that several wait for. Whoever is first asks; when that one goes away, the next does.
type Flight = Arc<OnceCell<Arc<Decision>>>;

/// Longest ARN of a method that a REST API asks about, in bytes ("Output from an API Gateway Lambda authorizer").
const MAX_ARN: usize = 1600;

/// What a request says to an authorizer.
#[derive(Debug)]
pub struct Question {
    /// The method's ARN.
    resource: String,
    stage: String,
    identity: Vec<u8>,
    /// The values of its identity sources, in order.
    sources: Vec<String>,
    /// What its answer is kept under.
    kept: [u8; 32],
    /// Everything that the function is shown of who asks, where it has no identity sources, or is asked each time.
    shown: Option<[u8; 32]>,
}

/// Somebody who waits, or has given up.
struct Waiting<'m> {
    memo: &'m Memo,
    digest: [u8; 32],
    flight: Flight,
}

// === impl Waiting ===
impl<'m> Waiting<'m> {
    fn new(memo: &'m Memo, digest: [u8; 32]) -> Self {
        let flight = memo.asked.lock().entry(digest).or_default().clone();
        Waiting { memo, digest, flight }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut asked = self.memo.asked.lock();
        let own = asked.get(&self.digest).is_some_and(|own| Arc::ptr_eq(own, &self.flight));
        // Two hold it: the table, and this one, who is the last.
        if own && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            asked.remove(&self.digest);
        }
    }
}

// === impl Question ===
impl Question {
    /// Names the identity that was shown: SHA-256 of its sources.
    pub fn digest(&self) -> [u8; 32] {
        crypto::sha256(&self.identity)
    }

    /// What keeps principals apart whom the function calls the same: the identity, or, of a function without identity sources, all that it
    /// may have decided by.
    pub fn apart(&self) -> [u8; 32] {
        self.shown.unwrap_or_else(|| self.digest())
    }
}

// === impl Memo ===
impl Memo {
    pub fn new(spec: &Authorizer) -> Self {
        let kept = (!spec.ttl.is_zero())
            .then(|| Cache::builder().max_capacity(spec.entries as u64).time_to_live(spec.ttl).build());
        // Policies are asked about resources in one spelling.
        let resource = path::pattern(&spec.resource).into_owned();
        Memo { spec: Authorizer { resource, ..spec.clone() }, kept, asked: Mutex::default() }
    }

    /// What to ask about a request in this stage ("" = none).
    ///
    /// # Errors
    /// A source of identity is missing or empty, or the method's ARN too long: the function is not asked.
    pub fn question<F: Fields>(&self, asked: &Asked<'_, F>, stage: &str) -> Result<Question, Denied> {
        let sources = Vec::with_capacity(self.spec.identity.len());
        // What is asked anew each time may decide by anything: no source says who is who.
        let shown = (self.spec.identity.is_empty() || self.spec.ttl.is_zero()).then(|| everything(asked));
        let resource = self.resource(stage, asked.method, asked.path);
        if resource.len() > MAX_ARN && self.spec.kind != AuthorizerKind::Request2 {
            let words = format!("{}: the method's ARN has {} bytes of {MAX_ARN}", self.spec.name, resource.len());
            return Err(Denied::new(Reason::AuthorizerTooLong, words));
        }
        let stage = stage.to_owned();
        let mut question = Question { resource, stage, identity: Vec::new(), sources, kept: [0; 32], shown };
        for source in &self.spec.identity {
            // Of several, the function may be shown another than the one that its answer is kept under.
            let only = |values: Vec<String>| match <[String; 1]>::try_from(values) {
                Ok([value]) => Ok(value),
                Err(values) if values.is_empty() => Ok(String::new()),
                Err(_) => Err(Denied::new(Reason::AuthorizerUnauthorized, format!("{source} is there more than once"))),
            };
            let value = match source {
                IdentitySource::Header(name) => {
                    let lines: Vec<_> = asked.fields.lines(name).map(String::from_utf8_lossy).collect();
                    if lines.len() > 1 && (self.spec.kind == AuthorizerKind::Token || *name == AUTHORIZATION) {
                        // A credential is no list: joined, it is one that nobody has.
                        let words = format!("{source} is there more than once");
                        return Err(Denied::new(Reason::AuthorizerUnauthorized, words));
                    }
                    lines.join(",")
                }
                IdentitySource::Query(name) => only(event::parameters(asked.query, name))?,
                IdentitySource::Cookie(name) => only(event::cookies_named(asked.fields, name))?,
                IdentitySource::Path => asked.path.to_owned(),
                IdentitySource::Method => asked.method.to_owned(),
            };
            if value.is_empty() {
                return Err(Denied::new(Reason::AuthorizerUnauthorized, format!("{source} is missing")));
            }
            if self.spec.validate.as_ref().is_some_and(|pattern| !pattern.fits(&value)) {
                return Err(Denied::new(Reason::AuthorizerUnauthorized, format!("{source} does not match `validate`")));
            }
            push(&mut question.identity, value.as_bytes());
            question.sources.push(value);
        }
        // API Gateway keeps answers for a stage of an API. The function is shown stage and host, and may decide by them.
        let mut kept = question.identity.clone();
        push(&mut kept, question.stage.as_bytes());
        if self.spec.kind != AuthorizerKind::Token {
            push(&mut kept, asked.host.to_ascii_lowercase().as_bytes());
        }
        question.kept = crypto::sha256(&kept);
        Ok(question)
    }

    /// Asks with `ask`, unless the same is being asked already: then that answer is waited for. Without a `ttl` everybody asks.
    pub async fn once<A: Future<Output = Decision>>(
        &self,
        question: &Question,
        ask: impl FnOnce() -> A,
    ) -> Arc<Decision> {
        if self.kept.is_none() {
            return Arc::new(ask().await);
        }
        let waiting = Waiting::new(self, question.kept);
        let asked = async {
            // It may have been answered since it was looked for.
            if let Some(decision) = self.recall(question) {
                return decision;
            }
            let decision = Arc::new(ask().await);
            self.keep(question, &decision);
            decision
        };
        waiting.flight.get_or_init(|| asked).await.clone()
    }

    /// What it answered last time, if that is still good.
    pub fn recall(&self, question: &Question) -> Option<Arc<Decision>> {
        self.kept.as_ref()?.get(&question.kept)
    }

    /// Keeps an answer. Failures are not kept.
    fn keep(&self, question: &Question, decision: &Arc<Decision>) {
        if let (Some(kept), false) = (&self.kept, matches!(**decision, Decision::Failed(_))) {
            kept.insert(question.kept, Arc::clone(decision));
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
        let Question { resource, sources, .. } = question;
        match self.spec.kind {
            AuthorizerKind::Token => event::token(sources.first().map_or("", String::as_str), resource),
            AuthorizerKind::Request1 => event::request_1(asked, about, lines, resource),
            AuthorizerKind::Request2 => event::request_2(asked, about, lines, sources, resource),
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
        // Only HTTP APIs have payload format 2.0.
        let told = if self.spec.kind == AuthorizerKind::Request2 { Told::Less } else { Told::Usual };
        let say = |reason, words: &str| {
            Err(Denied::new(reason, format!("{}: {words}", self.spec.name)).telling(told.clone()))
        };
        let principal = |id: &str, context: &Arc<Claims>| {
            Principal::new(Kind::Authorizer, id, self.spec.name.as_str()).with_claims(Arc::clone(context))
        };
        match decision {
            Decision::Unauthorized => say(Reason::AuthorizerUnauthorized, "it threw \"Unauthorized\""),
            Decision::Failed(why) => say(Reason::AuthorizerFailed, why),
            Decision::Simple { allowed: false, .. } => say(Reason::AuthorizerDenies, "isAuthorized is false"),
            Decision::Simple { allowed: true, id, context } if id.is_empty() => {
                Ok((principal(&crypto::hex(&question.digest()), context), None))
            }
            Decision::Simple { allowed: true, id, context } => Ok((principal(id, context), None)),
            Decision::Policy { id, policy, context, usage_key } => {
                let request = iam::Request {
                    action: "execute-api:Invoke",
                    resource: "",
                    bare: None,
                    source_ip: asked.viewer,
                    now_ms: asked.now_ms,
                    secure: asked.tls,
                    principal_arn: Some(id),
                    user_agent: None,
                    referer: None,
                    dynamodb: iam::Items::default(),
                };
                let named = |path: &str| self.resource(&question.stage, asked.method, path);
                let (reason, words) = match iam::evaluate_path(policy, asked.path, named, request) {
                    iam::Decision::Allow => return Ok((principal(id, context), usage_key.clone())),
                    iam::Decision::ExplicitDeny => (Reason::AuthorizerDenies, "denied"),
                    iam::Decision::ImplicitDeny => (Reason::AuthorizerNotAllowed, "not allowed"),
                };
                say(reason, &format!("{} is {words}", question.resource))
            }
        }
    }

    fn resource(&self, stage: &str, method: &str, path: &str) -> String {
        resource::named(&self.spec.resource, resource::Parts { region: None, stage, method, path })
    }
}

/// Adds a part so that no other parts read the same.
fn push(to: &mut Vec<u8>, part: &[u8]) {
    to.extend_from_slice(&(part.len() as u64).to_be_bytes());
    to.extend_from_slice(part);
}

/// SHA-256 of all that a function may decide by: address, host, query and fields; not what one viewer's requests differ in.
fn everything<F: Fields>(asked: &Asked<'_, F>) -> [u8; 32] {
    let mut shown = Vec::with_capacity(1024);
    let mut part = |bytes: &[u8]| push(&mut shown, bytes);
    part(address(asked.viewer).as_bytes());
    part(asked.host.as_bytes());
    part(asked.query.unwrap_or_default().as_bytes());
    let mut names: Vec<String> = asked.fields.names().map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for line in asked.fields.lines(&name) {
            part(name.as_str().as_bytes());
            part(line);
        }
    }
    crypto::sha256(&shown)
}

/// The viewer's address as events say it.
fn address(viewer: IpAddr) -> String {
    viewer.to_canonical().to_string()
}

#[cfg(test)]
mod tests;
