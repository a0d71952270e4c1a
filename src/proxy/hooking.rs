//! Hooking: runs the functions of one event, one after another.
//!
//! In: a chain and the message as its event shows it. Out: go on with these edits, answer with this, or fail. Never: a session.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use pingora::Error;

use crate::config::compiled::{Generated, OriginGroup, OriginId};
use crate::hooks::engine::Called;
use crate::hooks::{Api, Edit, Event, Exchange, Failure, Request, Response};
use crate::observe::{Call, CallOutcome};

use super::functions::{Link, Loaded};
use super::recording::Recorder;
use super::rerouting::Way;

/// What functions did to one request.
#[derive(Debug, Default)]
pub struct HookNote {
    pub calls: Vec<Call>,
    /// CloudFront's result type, where a function decided it.
    pub result: Option<&'static str>,
    /// The failure that became the answer.
    pub failed: Option<Failure>,
    /// The same, of an origin-response function's call on a 304: what is stored is neither renewed nor served.
    pub refused: Option<Box<Error>>,
    /// Names this request to the background requests that copy it.
    pub call: Option<HeaderValue>,
    /// What functions changed in the viewer's request.
    pub viewer_edits: Vec<Edit>,
    /// The viewer's target, when a function changed it.
    pub asked_target: Option<String>,
    /// The request's body, when a function replaced it.
    pub request_body: Option<Bytes>,
    /// Where a function sends the request.
    pub way: Option<Way>,
    /// The origin that origin-request functions ran for, and their edits.
    pub ran_for: Option<OriginId>,
    pub origin_edits: Vec<Edit>,
    /// A function answered in the origin's place.
    pub answered: bool,
    /// Whether the origin's own status was 400 or above, where the answer's does not say so: functions had their turn, the edge answers
    /// in its place, or a node tells it.
    pub origin_failed: Option<bool>,
    /// The viewer's body, when a function replaced it.
    pub viewer_body: Option<Bytes>,
    /// It stands in for what the cache or the origin sends.
    pub body_sent: bool,
    /// The group that an origin-request function chose or made: its members are not shown to the functions again.
    pub chosen_group: Option<Arc<OriginGroup>>,
    /// What every origin is sent in the place of the viewer's body: it was read to check its signature, or viewer-request functions wrote
    /// it.
    pub asked_body: Option<Bytes>,
    /// A background request that did not find what its viewer's request became.
    pub orphan: bool,
    /// How the viewer-request and viewer-response functions ended that a lane ran: they do not run again.
    pub request_ran: Option<Ran>,
    pub response_ran: Option<Ran>,
}

// === impl HookNote ===
impl HookNote {
    /// Whether an answer of this status that is not stored had an origin's error behind it.
    pub fn failed_before(&self, status: StatusCode) -> bool {
        self.origin_failed.unwrap_or(status.as_u16() >= 400)
    }

    /// Whether that is not what its status says ([`crate::cache::object::Meta::masked`]).
    pub fn masks(&self, status: StatusCode) -> bool {
        masks(self.failed_before(status), status)
    }

    /// Has every origin sent `body`, until functions at an origin's event write another one.
    pub fn ask_with(&mut self, body: Bytes) {
        self.asked_body = Some(body.clone());
        self.request_body = Some(body);
    }
}

/// Whether an answer of this status does not say what is `failed`: whether there is an origin's error behind it.
pub fn masks(failed: bool, status: StatusCode) -> bool {
    failed != (status.as_u16() >= 400)
}

/// How a chain ended.
#[allow(clippy::large_enum_variant)] // One at a time, on its way out of a call.
#[derive(Debug)]
pub enum Ran {
    /// With these edits, and the request as it is with them.
    Go(Vec<Edit>, Option<Box<Request>>),
    Answer(Generated, Api),
    Fail(Failure, Api),
}

/// Runs `links` in order; each sees what the ones before it made of the message.
pub async fn run(
    links: &[Link],
    event: Event,
    request_id: &str,
    now_ms: u64,
    message: (Request, Option<Response>),
    note: &mut HookNote,
) -> Ran {
    let (mut request, mut response) = message;
    let mut edits = Vec::new();
    for link in links {
        let kept = link.skip_on_error.then(|| (request.clone(), response.clone()));
        // Another function of the chain asked for the body; this one's association did not.
        let unseen = if link.include_body { None } else { request.body.take() };
        let exchange = match response {
            None => Exchange::request(event, &link.site, request_id, now_ms, request),
            Some(response) => Exchange::response(event, &link.site, request_id, now_ms, request, response),
        };
        let recorded = Recorder::sample(link.loaded.record, &exchange);
        let mut called = link.loaded.function.call(exchange, link.budget).await;
        note.calls.push(told(&link.loaded, event.as_str(), &called));
        say(&link.loaded, request_id, &called);
        if let (Some(before), Some(recorder)) = (recorded, &link.loaded.recorder) {
            recorder.keep(&link.loaded.function, link.budget, before, &called);
        }
        let api = link.loaded.function.api();
        match (called.outcome, kept) {
            (Ok(()), _) => {}
            (Err(_), Some((before, after))) => {
                (request, response) = (before, after);
                continue;
            }
            (Err(failure), None) => return Ran::Fail(failure, api),
        }
        if let Some(answer) = called.exchange.take_answer() {
            return Ran::Answer(answer, api);
        }
        edits.append(&mut called.exchange.take_edits());
        (request, response) = (called.exchange.request, called.exchange.response);
        request.body = request.body.or(unseen);
    }
    Ran::Go(edits, Some(Box::new(request)))
}

/// Bytes of a failed call's words that its request's record has.
const ERROR_MAX: usize = 512;

/// How a call is counted.
fn outcome(called: &Called) -> CallOutcome {
    match &called.outcome {
        Ok(()) if called.exchange.answer().is_some() => CallOutcome::Answered,
        Ok(()) => CallOutcome::Ok,
        Err(Failure::Validation(_)) => CallOutcome::Validation,
        Err(Failure::Memory(_)) => CallOutcome::Memory,
        Err(Failure::Cpu(_)) => CallOutcome::Cpu,
        Err(Failure::Timeout(_)) => CallOutcome::Timeout,
        Err(Failure::Throttled(_)) => CallOutcome::Throttled,
        Err(Failure::Exhausted(_)) => CallOutcome::Exhausted,
        Err(_) => CallOutcome::Execution,
    }
}

/// What the record says of a call at `event`.
pub fn told(loaded: &Loaded, event: &'static str, called: &Called) -> Call {
    let failure = called.outcome.as_ref().err();
    Call {
        function: Arc::clone(&loaded.metrics),
        event,
        outcome: outcome(called),
        cpu_ns: u64::try_from(called.cpu.as_nanos()).unwrap_or(u64::MAX),
        wall_ns: u64::try_from(called.wall.as_nanos()).unwrap_or(u64::MAX),
        edits: u32::try_from(called.exchange.edits().len()).unwrap_or(u32::MAX),
        error: failure.map(words).unwrap_or_default(),
        result: failure.map(|failure| failure.result_type(loaded.function.api())),
    }
}

/// The beginning of why a call failed.
fn words(failure: &Failure) -> Box<str> {
    let mut words = failure.to_string();
    words.truncate(words.floor_char_boundary(ERROR_MAX));
    words.into_boxed_str()
}

/// The function's own lines, and why it failed, joined to the request by its id.
pub fn say(loaded: &Loaded, request_id: &str, called: &Called) {
    let name = loaded.function.name();
    for line in &called.logs {
        log::log!(target: "function", level(line.level), "{request_id} {name}: {}", line.message);
    }
    if let Err(failure) = &called.outcome {
        log::warn!(target: "function", "{request_id} {name} failed: {failure}");
    }
}

fn level(level: crate::hooks::host::Level) -> log::Level {
    use crate::hooks::host::Level;
    match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    }
}
