//! Deliver: one try of an event, and the word about those that ended.
//!
//! In: an event. Out: what to write: again later, forgotten, another event for whoever wants to know. Never: the disk.
//!
//! Lambda Developer Guide, "Retaining records of asynchronous invocations".

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{AGE_DEFAULT, Delivery, Event, Follow, Next, Outcome, RETRIES_DEFAULT, Rules, next_attempt};
use crate::lambda::name::{Asked, LATEST, Owner};
use crate::lambda::registry::Resolved;
use crate::lambda::run::{Answer, Reply};
use crate::lambda::schedule::Work;
use crate::lambda::{Inner, api, now, now_ms, time};

/// Events that tell of events; longer chains are loops (Lambda Developer Guide, "Recursive loop detection").
const HOPS: u32 = 16;

/// How long whoever is told may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Characters of a failure that the log shows.
const SHOWN_MAX: usize = 500;

/// Tells HTTP endpoints. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::lambda) struct Deliver {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Who is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) enum Target {
    Function(Asked),
    Url(Uri),
}

/// Reads a destination: the ARN of a function of this machine, or an `http` or `https` URL.
pub(in crate::lambda) fn target(text: &str, owner: &Owner<'_>) -> Option<Target> {
    if text.starts_with("arn:") {
        return Asked::parse(text, None, owner).ok().map(Target::Function);
    }
    let uri: Uri = text.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(Target::Url(uri))
}

// === impl Deliver ===
impl Deliver {
    /// Trusts the system's certificates. Reads them from disk.
    pub(in crate::lambda) fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let trusting = match builder()?.with_native_roots() {
            Ok(trusting) => trusting,
            Err(error) => {
                log::warn!(target: "lambda", "nobody can be told over https: {error}");
                builder()?.with_root_certificates(RootCertStore::empty())
            }
        };
        let tls = trusting.with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Deliver { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector) })
    }

    /// Whether `uri` took it.
    async fn post(&self, uri: Uri, event: &Event, attributes: &[(String, String)]) -> bool {
        let mut request =
            Request::builder().method(Method::POST).uri(uri).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in attributes {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(Full::new(event.payload.clone())) else { return false };
        let answered = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        answered.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
    }
}

// === impl Inner: events ===
impl Inner {
    /// Calls the event's function once.
    pub(super) async fn attempt(&self, event: &Event) -> Vec<Follow> {
        let spec = self.spec.load_full();
        let owner = Owner { region: &spec.region, account: &spec.account };
        let dice = rand::random::<f64>();
        let resolved = match self.registry.resolve(&event.function, event.qualifier.as_deref(), &owner, dice) {
            Ok(resolved) => resolved,
            Err(_) => {
                log::warn!(target: "lambda", "{}: gone, and with it the event {}", event.function, event.request_id);
                return vec![Follow::Forget];
            }
        };
        let configured = resolved.entry.function.events.get(event.qualifier.as_deref().unwrap_or(LATEST));
        let rules = Rules {
            retries: configured.and_then(|own| own.retries).unwrap_or(RETRIES_DEFAULT),
            age: configured.and_then(|own| own.age).map_or(AGE_DEFAULT, Duration::from_secs),
        };
        let answer = match self.seats.take(&resolved.version.name) {
            Err(_) => None,
            Ok(seat) => {
                let work = Work {
                    request_id: event.request_id.clone(),
                    payload: event.payload.clone(),
                    arn: resolved.arn.clone(),
                    trace: event.trace.clone(),
                    client_context: event.client_context.clone(),
                    streams: false,
                };
                self.schedule.run(Arc::clone(&resolved.version), work, seat).await
            }
        };
        let reply = match answer {
            Some(Answer::Whole(reply)) => Some(reply),
            // Only callers that ask for it get streams.
            Some(Answer::Stream { .. } | Answer::Throttled) | None => None,
        };
        let outcome = match &reply {
            Some(reply) if reply.failed => Outcome::Failed,
            Some(_) => Outcome::Succeeded,
            None => Outcome::Refused,
        };
        let (on_success, on_failure) =
            (configured.and_then(|own| own.on_success.as_ref()), configured.and_then(|own| own.on_failure.as_ref()));
        let dead_letter = resolved.dead_letter();
        let record = |condition: &str| record(event, &resolved, condition, reply.as_ref());
        let tell =
            |to: &String, payload: Bytes, attributes| told(event, to, payload, attributes, &owner).map(Follow::Add);
        let mut follow = vec![Follow::Forget];
        match next_attempt(event, outcome, rules, now_ms()) {
            Next::Done => follow.extend(on_success.and_then(|to| tell(to, record("Success"), Vec::new()))),
            Next::Again(next_ms) => {
                let (why, wait_ms) = (shown(reply.as_ref()), next_ms.saturating_sub(now_ms()));
                log::warn!(target: "lambda", "{}: event {}: {why}; tried again in {wait_ms} ms", event.function, event.request_id);
                let mut next = Event { next_ms, ..event.clone() };
                match outcome {
                    Outcome::Refused => next.refusals += 1,
                    _ => (next.failures, next.refusals) = (next.failures + 1, 0),
                }
                follow = vec![Follow::Keep(next)];
            }
            Next::GivenUp(why) => {
                log::warn!(target: "lambda", "{}: event {} is given up: {why}", event.function, event.request_id);
                follow.extend(on_failure.and_then(|to| tell(to, record(why), Vec::new())));
                let attributes = attributes(event, reply.as_ref(), why);
                follow.extend(dead_letter.and_then(|to| tell(to, event.payload.clone(), attributes)));
            }
        }
        follow
    }

    /// Tells an endpoint once.
    pub(super) async fn deliver(&self, event: &Event, delivery: &Delivery) -> Vec<Follow> {
        let told = match delivery.to.parse() {
            Ok(uri) => self.deliver.post(uri, event, &delivery.attributes).await,
            Err(_) => return vec![Follow::Forget],
        };
        let outcome = if told { Outcome::Succeeded } else { Outcome::Refused };
        match next_attempt(event, outcome, Rules { retries: 0, age: AGE_DEFAULT }, now_ms()) {
            Next::Done => vec![Follow::Forget],
            Next::Again(next_ms) => {
                vec![Follow::Keep(Event { next_ms, refusals: event.refusals + 1, ..event.clone() })]
            }
            Next::GivenUp(_) => {
                log::error!(target: "lambda", "{}: {} never took the event {}", event.function, delivery.to, event.request_id);
                vec![Follow::Forget]
            }
        }
    }
}

/// The event that tells `to` what became of `event`.
pub(in crate::lambda) fn told(
    event: &Event,
    to: &str,
    payload: Bytes,
    attributes: Vec<(String, String)>,
    owner: &Owner<'_>,
) -> Option<Event> {
    if event.hops >= HOPS {
        log::error!(target: "lambda", "{}: {to} is not told of event {}: a loop", event.function, event.request_id);
        return None;
    }
    let now_ms = now_ms();
    let fresh = Event {
        hops: event.hops + 1,
        request_id: api::uuid(),
        accepted_ms: now_ms,
        next_ms: now_ms,
        failures: 0,
        refusals: 0,
        client_context: None,
        payload,
        ..event.clone()
    };
    match target(to, owner)? {
        Target::Function(asked) => {
            Some(Event { function: asked.name, qualifier: asked.qualifier, deliver: None, ..fresh })
        }
        Target::Url(_) => Some(Event { deliver: Some(Delivery { to: to.to_owned(), attributes }), ..fresh }),
    }
}

/// What a destination is told.
fn record(event: &Event, resolved: &Resolved, condition: &str, reply: Option<&Reply>) -> Bytes {
    let version = &resolved.version.version;
    let tries = event.failures + u32::from(reply.is_some());
    let about = json!({
        "version": "1.0",
        "timestamp": time::iso_z(now()),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": format!("{}:{}", resolved.version.arn, event.qualifier.as_deref().unwrap_or(version)),
            "condition": condition,
            "approximateInvokeCount": tries,
        },
    });
    let context = reply.map(|reply| {
        let mut context = json!({ "statusCode": 200, "executedVersion": version });
        if let (true, Some(context)) = (reply.failed, context.as_object_mut()) {
            context.insert("functionError".to_owned(), json!("Unhandled"));
        }
        context
    });
    let mut all = vec![("requestPayload", as_json(&event.payload))];
    if let (Some(reply), Some(context)) = (reply, context) {
        all.extend([("responseContext", context.to_string()), ("responsePayload", as_json(&reply.payload))]);
    }
    Bytes::from(with(about.to_string(), &all))
}

/// What became of a try that did not succeed, short enough for a line of log.
fn shown(reply: Option<&Reply>) -> String {
    let Some(reply) = reply else { return "nothing was free to run it".to_owned() };
    String::from_utf8_lossy(&reply.payload).chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

/// JSON as it was said, each digit and escape of it; anything else as a string.
fn as_json(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let is_json = matches!(text, Cow::Borrowed(_)) && serde_json::from_str::<IgnoredAny>(&text).is_ok();
    if is_json { text.into_owned() } else { Value::String(text.into_owned()).to_string() }
}

/// The text of an object that is not empty, with members more whose values are JSON.
fn with(mut object: String, members: &[(&str, String)]) -> String {
    object.truncate(object.rfind('}').unwrap_or(0));
    for (name, value) in members {
        object.extend([",\"", *name, "\":", value.as_str()]);
    }
    object.push('}');
    object
}

/// What a dead letter says beside the event (Lambda Developer Guide, "Dead-letter queues": RequestID, ErrorCode, ErrorMessage).
fn attributes(event: &Event, reply: Option<&Reply>, why: &str) -> Vec<(String, String)> {
    let error = reply.and_then(|reply| serde_json::from_slice::<Value>(&reply.payload).ok());
    let message = error.as_ref().and_then(|error| error.get("errorMessage")?.as_str()).unwrap_or(why);
    // As a header carries it; 1 KB as the service cuts it.
    let message: String = message.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(1024).collect();
    let code = if reply.is_some() { "200" } else { "429" };
    [("RequestID", event.request_id.as_str()), ("ErrorCode", code), ("ErrorMessage", &message)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_records_are_as_they_were_said() {
        for (payload, want) in [
            (&br#"{"n":1e999}"#[..], r#"{"n":1e999}"#),
            (br#"{"s":"\ud800"}"#, r#"{"s":"\ud800"}"#),
            (b"[12345678901234567890123]", "[12345678901234567890123]"),
            (b" {} ", " {} "),
            (b"plain \"text\"", r#""plain \"text\"""#),
            (b"\"\xff\"", "\"\\\"\u{fffd}\\\"\""),
            (b"", r#""""#),
        ] {
            assert_eq!(as_json(payload), want);
        }
        let members = [("b", "1e999".to_owned()), ("c", "{}".to_owned())];
        assert_eq!(with(r#"{"a":{"x":{}}}"#.to_owned(), &members), r#"{"a":{"x":{}},"b":1e999,"c":{}}"#);
    }

    #[test]
    fn dead_letters_are_the_event_itself() {
        let payload = Bytes::from_static(br#"{"n":1e999,"big":12345678901234567890123,"s":"\ud800"}"#);
        let event = Event {
            request_id: "1".to_owned(),
            function: "f".to_owned(),
            qualifier: None,
            trace: String::new(),
            client_context: None,
            accepted_ms: 0,
            next_ms: 0,
            failures: 0,
            refusals: 0,
            hops: 0,
            deliver: None,
            payload: payload.clone(),
        };
        let owner = Owner { region: "us-east-1", account: "000000000000" };
        let letter = told(&event, "http://127.0.0.1:1/", event.payload.clone(), Vec::new(), &owner).unwrap();
        assert_eq!((letter.payload, letter.hops), (payload, 1));
    }
}
