//! Hooked: a plain hit that viewer functions see, ahead of Pingora's state machine.
//!
//! In: a plain GET of a behavior with viewer functions. Out: the hit as they left it, or what they did, for the full path to go on
//! with. Never: a second call of the same functions; anything the full path would decide differently: it asks the same functions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::ResponseHeader;

use crate::hooks::{Edit, Event, Request};
use crate::limit::Refused;
use crate::observe::Call;

use super::edge::RequestId;
use super::entering::{self, Entered};
use super::fast::{self, Ask, Hit};
use super::hooking::{self, HookNote, Ran};
use super::phases::now_ms;
use super::plan::Target;
use super::shared::Shared;
use super::snapshot::{Served, Snapshot};
use super::{about, events, heads, views};

/// A plain GET that may be a hit, once functions have seen it. It is let in and counted.
#[derive(Debug)]
pub struct Candidate {
    snapshot: Arc<Snapshot>,
    served: Arc<Served>,
    id: RequestId,
    started: Instant,
    started_ms: u64,
    viewer: IpAddr,
    server: Option<IpAddr>,
    tls: bool,
    version: Version,
    host: String,
    target: String,
    headers: HeaderMap,
    entered: Entered,
}

/// What functions did to a hit.
#[derive(Debug)]
pub struct Hooked {
    pub calls: Vec<Call>,
    /// The request as they left it.
    pub request: Request,
    /// The answer as they left it; `None` = as it is stored, they did not see it.
    pub shown: Option<Shown>,
}

/// An answer that functions saw.
#[derive(Debug)]
pub struct Shown {
    pub head: ResponseHeader,
    /// Theirs, in the place of the stored one.
    pub body: Option<Bytes>,
}

/// A request that functions saw, and that is not a plain hit.
#[derive(Debug)]
pub struct Seen {
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub started: Instant,
    pub started_ms: u64,
    pub entered: Entered,
    pub note: HookNote,
}

/// What became of a candidate.
#[derive(Debug)]
pub enum Came {
    /// With the configuration that it was answered by.
    Hit(Box<Hit>, Arc<Snapshot>),
    Full(Box<Seen>),
}

/// Takes a plain GET whose behavior has viewer functions. `headers` makes a map of its fields. It is counted against the limits
/// last, and before the functions see it.
///
/// # Errors
/// It is one too many.
pub fn candidate(
    shared: &Shared,
    snapshot: &Arc<Snapshot>,
    ask: Ask<'_>,
    server: Option<IpAddr>,
    started: Instant,
    headers: impl FnOnce() -> Option<HeaderMap>,
) -> Result<Option<Box<Candidate>>, Box<Refused>> {
    let Some(served) = fast::behavior(snapshot, ask).filter(|served| served.hooked) else { return Ok(None) };
    // What only the edge may say is taken out on the full path.
    let Some(headers) = headers().filter(|map| !map.keys().any(|name| snapshot.is_edges(name.as_str()))) else {
        return Ok(None);
    };
    let Some(mut entered) = fast::enters(shared, snapshot, served, ask, &headers) else { return Ok(None) };
    if entered.used().any() {
        // What is asked for is not what was sent.
        return Ok(None);
    }
    let asked = fast::asked(ask, &headers);
    let viewer = asked.viewer;
    if entering::is_limited(snapshot, served, asked.path) || entered.entry.is_some() {
        entered.admitted = entering::admit(shared, snapshot, served, &asked, entered.entry.as_deref())?;
    }
    Ok(Some(Box::new(Candidate {
        snapshot: snapshot.clone(),
        served: served.clone(),
        id: RequestId::random(),
        started,
        started_ms: now_ms(),
        viewer,
        server,
        tls: ask.tls,
        version: ask.version,
        host: ask.host.to_owned(),
        target: ask.target.to_owned(),
        headers,
        entered,
    })))
}

/// Shows the functions what they see of a hit, in their order. What they did goes on with a request that is none.
pub async fn run(shared: &Shared, candidate: Box<Candidate>, key: &mut Vec<u8>) -> Came {
    let mut candidate = *candidate;
    let served = candidate.served.clone();
    let (id, started_ms) = (candidate.id, candidate.started_ms);
    let mut note = HookNote::default();
    let mut request = candidate.request();
    let mut edits = None;
    let links = &served.chains.viewer_request;
    if !links.is_empty() {
        match hooking::run(links, Event::ViewerRequest, id.as_str(), started_ms, (request, None), &mut note).await {
            Ran::Go(made, Some(after)) => (edits, request) = (Some(made), *after),
            ended => {
                note.request_ran = Some(ended);
                return candidate.full(note);
            }
        }
    }
    let went = |edits: Option<Vec<Edit>>| edits.map(|edits| Ran::Go(edits, None));
    let Some(mut hit) = candidate.hit(shared, &request, edits.as_deref().unwrap_or_default(), key) else {
        note.request_ran = went(edits);
        return candidate.full(note);
    };
    let links = &served.chains.viewer_response;
    let status = StatusCode::from_u16(hit.object.meta.status).unwrap_or(StatusCode::OK);
    let mut shown = None;
    if !links.is_empty() && events::is_shown(status, hit.object.meta.failed()) {
        let Some(mut head) = heads::header(&candidate.snapshot, &hit, candidate.tls) else {
            note.request_ran = went(edits);
            return candidate.full(note);
        };
        let message = (request, Some(views::response(&head)));
        match hooking::run(links, Event::ViewerResponse, id.as_str(), now_ms(), message, &mut note).await {
            Ran::Go(made, Some(after)) => {
                request = *after;
                // Edits that were checked as they were made cannot be refused.
                let body = events::show(&mut head, made, events::bodiless(status)).unwrap_or_default();
                shown = Some(Shown { head, body });
            }
            ended => {
                // What takes the answer's place is written on the full path.
                (note.request_ran, note.response_ran) = (went(edits), Some(ended));
                return candidate.full(note);
            }
        }
    }
    hit.started_ms = started_ms;
    hit.hooked = Some(Box::new(Hooked { calls: note.calls, request, shown }));
    Came::Hit(Box::new(hit), candidate.snapshot)
}

// === impl Candidate ===
impl Candidate {
    /// Whether a copy of it will have to be told what it became.
    pub fn changes(&self) -> bool {
        self.served.changes()
    }

    fn request(&mut self) -> Request {
        let headers = std::mem::take(&mut self.headers);
        let at = (self.host.as_str(), self.target.as_str());
        let request = views::request(&Method::GET, self.version, self.tls, at, self.viewer, headers);
        Request { who: about::who(&self.entered), server_ip: self.server, ..request }
    }

    /// The hit that answers the request as functions left it.
    fn hit(&mut self, shared: &Shared, request: &Request, edits: &[Edit], key: &mut Vec<u8>) -> Option<Hit> {
        let more = edits.iter().any(|edit| matches!(edit, Edit::Body(_) | Edit::Origin(_)));
        let names = request.headers.get_all(CONNECTION).iter().any(|value| fast::names_fields(value.as_bytes()));
        if more || fast::asks_more(&request.headers) || names {
            return None;
        }
        let aimed = edits.iter().any(|edit| matches!(edit, Edit::Uri(_) | Edit::Query(_)));
        let target = match aimed {
            true => {
                Target { path: &request.uri, query: Some(request.query.as_str()).filter(|query| !query.is_empty()) }
            }
            false => Target::parse(&self.target),
        };
        let entered = self.entered.clone();
        fast::look(shared, &self.served, self.id, entered, (self.tls, &self.host, target), &request.headers, key)
    }

    fn full(self, note: HookNote) -> Came {
        let Candidate { snapshot, id, started, started_ms, entered, .. } = self;
        Came::Full(Box::new(Seen { snapshot, id, started, started_ms, entered, note }))
    }
}

// === impl Hit ===
impl Hit {
    /// The answer's status as the viewer gets it.
    pub fn status(&self) -> u16 {
        self.shown().map_or(self.object.meta.status, |shown| shown.head.status.as_u16())
    }

    /// The answer's body as the viewer gets it. A status that functions set may have none: what would follow it is another answer.
    pub fn body(&self) -> Option<&Bytes> {
        if StatusCode::from_u16(self.status()).is_ok_and(events::bodiless) {
            return None;
        }
        self.shown().and_then(|shown| shown.body.as_ref()).or_else(|| self.object.body.whole())
    }

    /// The answer as functions left it.
    pub fn shown(&self) -> Option<&Shown> {
        self.hooked.as_ref()?.shown.as_ref()
    }

    /// The request's fields as functions left them.
    pub fn fields(&self) -> Option<&HeaderMap> {
        self.hooked.as_ref().map(|hooked| &hooked.request.headers)
    }

    /// The calls, for the log.
    pub fn calls(&self) -> &[Call] {
        self.hooked.as_ref().map_or(&[], |hooked| &hooked.calls)
    }

    /// What the answer says of its body's length, for the log.
    pub fn content_length(&self) -> Option<u64> {
        let Some(shown) = self.shown() else { return Some(self.object.body.len()) };
        shown.head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The answer's media type, for the log.
    pub fn content_type(&self) -> &[u8] {
        match self.shown() {
            Some(shown) => shown.head.headers.get(CONTENT_TYPE).map_or(&[], |value| value.as_bytes()),
            None => stored_type(&self.object.head),
        }
    }
}

/// The Content-Type among stored lines, which are in lower case.
fn stored_type(lines: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"content-type: ";
    let found = lines.split_inclusive(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(NAME));
    found.map_or(&[], |value| value.trim_ascii_end())
}
