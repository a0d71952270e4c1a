//! Pass: a request that no cache takes part in, straight to one origin and back.
//!
//! In: a parsed HTTP/1.1 head; then the origin's answer. Out: the request as the origin gets it, the answer's lines, or "take
//! the full path". Never: waits, bytes of a body, anything the full path would decide differently: it asks the same functions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::ResponseHeader;

use crate::access::Asked;
use crate::behavior;
use crate::cache::policy;
use crate::cache::status::{self, CacheStatus, Outcome as StatusOutcome};
use crate::config::compiled::{Action, BehaviorId, OriginId, Upstream};
use crate::fleet::peering::FIELD;
use crate::limit::Refused;
use crate::listen::Peer;
use crate::listen::head::{self, Request};
use crate::message::section::Section;
use crate::message::{Fields, Head};
use crate::observe::TraceContext;
use crate::origin::answer::{self, Framing};
use crate::origin::rewrite::{self, Facts};
use crate::origin::{Needs, OriginError, Pick, hop, response};

use super::context::OriginNote;
use super::edge::{self, RequestId};
use super::entering::{self, Entered};
use super::fast::{self, Spans, names_fields};
use super::phases::now_ms;
use super::plan::{self, Scratch, Target};
use super::prior::{Prior, Trouble};
use super::shared::Shared;
use super::snapshot::{Served, Snapshot};
use super::{answering, asking, keeping};

/// Fields that ask for more than an answer.
const BEYOND: [HeaderName; 3] = [header::EXPECT, header::UPGRADE, FIELD];

/// Fields a head's room is kept for; past it the room is given back.
pub const ROOM: usize = 64;

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct From<'b> {
    /// The buffer the head borrows.
    pub raw: &'b [u8],
    /// The connection's other end.
    pub peer: IpAddr,
    /// The same, or whom trusted proxies name.
    pub viewer: SocketAddr,
    pub certificate: Option<&'b Peer>,
    pub tls: bool,
    /// Whether the connection goes on after the answer.
    pub keep_alive: bool,
    pub since: Instant,
    /// Where its host and path lead.
    pub behavior: Option<BehaviorId>,
}

/// One request on its way.
#[derive(Debug)]
pub struct Pass {
    pub snapshot: Arc<Snapshot>,
    pub served: Arc<Served>,
    pub origin: OriginId,
    pub id: RequestId,
    pub started: Instant,
    pub started_ms: u64,
    pub peer: IpAddr,
    /// What consistent balancing goes by.
    pub hash: u64,
    pub trace: Option<TraceContext>,
    pub spans: Spans,
    /// HEAD, not GET.
    pub head_asked: bool,
    /// Whether the viewer asked for a 304.
    pub conditional: bool,
    pub keep_alive: bool,
    /// Why the cache takes no part.
    pub why: &'static str,
    pub asked: OriginNote,
    pub told: Told,
    pub entered: Entered,
    tls: bool,
    viewer_host: HeaderValue,
    target: String,
    fields: HeaderMap,
}

/// What the viewer was told.
#[derive(Debug, Default)]
pub struct Told {
    /// 0 = nothing yet.
    pub status: u16,
    pub first_byte: Option<Duration>,
    pub content_type: Option<HeaderValue>,
    pub content_length: Option<u64>,
}

/// Takes `request` if the full path would send it to a plain origin, with nothing to decide on but what is decided here. It is
/// counted against the limits last.
///
/// # Errors
/// It could go, and is one too many.
pub fn plan(
    shared: &Shared,
    snapshot: &Arc<Snapshot>,
    request: &Request<'_>,
    from: From<'_>,
    scratch: &mut Scratch,
) -> Result<Option<Box<Pass>>, Box<Refused>> {
    let Some(mut pass) = planned(shared, snapshot, request, from, scratch) else { return Ok(None) };
    let path = Target::parse(request.head.target).path;
    if entering::is_limited(snapshot, &pass.served, path) || pass.entered.entry.is_some() {
        let served = pass.served.clone();
        let entry = pass.entered.entry.clone();
        pass.entered.admitted =
            entering::admit(shared, snapshot, &served, &asked(&request.head, from), entry.as_deref())?;
    }
    Ok(Some(pass))
}

/// The request as the rules about who may come see it.
fn asked<'a, 'b>(head: &'a Head<'b>, from: From<'_>) -> Asked<'a, Head<'b>> {
    let target = Target::parse(head.target);
    Asked {
        method: head.method,
        host: head.host,
        path: target.path,
        query: target.query,
        fields: head,
        tls: from.tls,
        viewer: from.viewer.ip(),
        now_ms: now_ms(),
    }
}

fn planned(
    shared: &Shared,
    snapshot: &Arc<Snapshot>,
    request: &Request<'_>,
    from: From<'_>,
    scratch: &mut Scratch,
) -> Option<Box<Pass>> {
    let head = &request.head;
    let method = match head.method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        _ => return None,
    };
    if head.minor != 1 || request.framing != head::Framing::None || beyond(head) {
        return None;
    }
    let target = Target::parse(head.target);
    let served = snapshot.behavior(from.behavior?);
    let rules = &served.behavior;
    let Action::Forward(Upstream::Origin(origin)) = rules.action else { return None };
    // An error page may take the answer's place; a response policy may depend on the request.
    if !rules.errors.is_empty() || served.edits[usize::from(from.tls)].is_none() || !snapshot.origins.is_plain(origin) {
        return None;
    }
    if !served.chains.is_empty() {
        return None;
    }
    let why = keeping::bypass(rules, &method, false, head)?;
    let mut entered = Entered::default();
    if rules.access.is_some() {
        let certificate = entering::certificate(from.certificate);
        entered.entry = entering::now(shared, snapshot, served, &asked(head, from), certificate)?;
        if entered.used().any() {
            // What is asked for is not what was sent.
            return None;
        }
    }
    let viewer = behavior::Viewer {
        method: &method,
        version: Version::HTTP_11,
        tls: from.tls,
        host: head.host,
        path: target.path,
        query: target.query,
    };
    if behavior::before_cache(rules, &viewer, head, false).is_some()
        || policy::only_if_cached(&rules.cache, head)
        || hop::loops(head, &snapshot.config.pop.code)
    {
        return None;
    }
    let mut fields = std::mem::take(&mut scratch.asked);
    fields.clear();
    let section = Section::new(from.raw.get(..request.len).unwrap_or(from.raw));
    for field in head.fields {
        if snapshot.is_edges(field.name) {
            continue;
        }
        let (name, value) = (HeaderName::from_bytes(field.name.as_bytes()), section.value(field.value));
        fields.append(name.ok()?, value.ok()?);
    }
    Some(Box::new(Pass {
        snapshot: snapshot.clone(),
        served: served.clone(),
        origin,
        id: RequestId::random(),
        started: from.since,
        started_ms: now_ms(),
        peer: from.peer,
        hash: Pick::unkeyed(head.host, head.target),
        trace: shared.observer.trace(head.first(&asking::TRACEPARENT)),
        spans: Spans::of(head, from.raw, from.viewer),
        head_asked: method == Method::HEAD,
        conditional: head.has(&header::IF_NONE_MATCH) || head.has(&header::IF_MODIFIED_SINCE),
        keep_alive: from.keep_alive,
        why,
        asked: OriginNote { current: Some(origin), ..OriginNote::default() },
        told: Told::default(),
        entered,
        tls: from.tls,
        viewer_host: section.value(plan::host_sent(head.host, from.tls).as_bytes()).ok()?,
        target: asking::origin_target(rules, Some(&snapshot.config.origins[origin]), target),
        fields,
    }))
}

// === impl Pass ===
impl Pass {
    /// What is asked of the origin's targets.
    pub fn pick(&self) -> Pick<'_> {
        let (hash, viewer_host) = (self.hash, Some(&self.viewer_host));
        Pick { hash, tried: &[], viewer_host, needs: Needs::default(), about: None }
    }

    /// Writes the request as the origin gets it.
    pub fn compose(&mut self, host: &HeaderValue, out: &mut BytesMut) {
        let behavior = &self.served.behavior;
        let method = if self.head_asked { Method::HEAD } else { Method::GET };
        let facts = Facts {
            policy: &behavior.request,
            key: &behavior.cache.key,
            method: &method,
            version: Version::HTTP_11,
            peer: self.peer,
            viewer_tls: self.tls,
            viewer_host: Some(&self.viewer_host),
            host,
            pop: &self.snapshot.config.pop.code,
            request_id: self.id.bytes(),
            encoding: asking::encoding(behavior, &[]),
            upgrade: false,
            grpc: false,
            custom: &self.snapshot.config.origins[self.origin].headers,
        };
        if self.entered.entry.is_some() {
            rewrite::as_judged(&mut self.fields);
        }
        rewrite::request(&mut self.fields, &facts);
        if self.entered.entry.as_ref().is_some_and(|entry| entry.payload.is_some()) {
            rewrite::unsigned(&mut self.fields);
        }
        if let Some(trace) = &self.trace
            && let Ok(value) = HeaderValue::from_bytes(&trace.outgoing())
        {
            self.fields.insert(asking::TRACEPARENT, value);
        }
        out.clear();
        out.put_slice(method.as_str().as_bytes());
        out.put_slice(b" ");
        out.put_slice(self.target.as_bytes());
        out.put_slice(b" HTTP/1.1\r\n");
        // Names as the full path spells them.
        let mut parts = http::Response::new(()).into_parts().0;
        parts.headers = std::mem::take(&mut self.fields);
        let lines = ResponseHeader::from(parts);
        lines.header_to_h1_wire(out);
        self.fields = http::response::Parts::from(lines).headers;
        out.put_slice(b"\r\n");
    }

    /// Writes an interim answer (1xx) as it goes on.
    pub fn interim(&self, head: &mut answer::Head, out: &mut BytesMut) {
        hop::strip(&mut head.fields);
        start(head.status, out);
        put_lines(&head.fields, out);
        out.put_slice(b"\r\n");
    }

    /// Writes the final answer's head as the viewer gets it; how its body ends.
    ///
    /// # Errors
    /// The origin's framing cannot be trusted.
    pub fn dress(
        &mut self,
        head: &mut answer::Head,
        lines: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Framing, OriginError> {
        let (snapshot, fields) = (&self.snapshot, &mut head.fields);
        response::uncode(fields);
        response::clean(fields, head.status, head.version, &snapshot.config.pop.code, SystemTime::now());
        status::sift(fields);
        let framing = answer::framing(self.head_asked, head.status, fields)?;
        response::unframe(fields, head.status);
        if framing == Framing::Close {
            // An end that a viewer can see, on a connection that goes on.
            fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let length = fields.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        self.told = Told {
            status: head.status.as_u16(),
            first_byte: Some(self.started.elapsed()),
            content_type: fields.get(header::CONTENT_TYPE).cloned(),
            content_length: length,
        };
        for name in [FIELD, edge::X_CACHE, edge::POP, edge::REQUEST_ID] {
            fields.remove(name);
        }
        for (name, _) in self.entered.fields() {
            fields.remove(name);
        }
        lines.clear();
        put_lines(fields, lines);
        lines.put_slice(b"cache-status: ");
        let words = CacheStatus {
            pop: &snapshot.config.pop.code,
            outcome: StatusOutcome::Fwd(answering::passed(self.why)),
            ttl_s: None,
            stored: false,
            collapsed: false,
            fwd_status: Some(head.status.as_u16()),
            key: None,
            detail: Some(self.why),
        };
        // A buffer that grows cannot refuse.
        let _ = words.write(lines);
        lines.put_slice(b"\r\nx-cache: Miss from rimward\r\n");
        fast::limit_lines(&self.entered, lines);
        out.clear();
        start(head.status, out);
        // A preflight answer is the CORS policy's already.
        match &self.served.edits[usize::from(self.tls)] {
            Some(edits) if !fields.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) => edits.render(lines, out),
            _ => out.put_slice(lines),
        }
        snapshot.signature.write(&self.id, out);
        if !self.keep_alive {
            out.put_slice(b"connection: close\r\n");
        }
        out.put_slice(b"\r\n");
        Ok(framing)
    }

    /// Hands the request over to the full path, with the attempt that was made.
    pub fn hand_over(&mut self, trouble: Trouble) -> Box<Prior> {
        Box::new(Prior {
            snapshot: self.snapshot.clone(),
            id: self.id,
            started: self.started,
            started_ms: self.started_ms,
            trace: self.trace,
            origin: std::mem::take(&mut self.asked),
            entered: std::mem::take(&mut self.entered),
            trouble,
        })
    }

    /// Gives the room of its fields back.
    pub fn give_back(&mut self, scratch: &mut Scratch) {
        if self.fields.capacity() <= ROOM {
            scratch.asked = std::mem::take(&mut self.fields);
        }
    }
}

/// Whether a head asks for more than an answer, or its Connection names fields.
fn beyond(head: &Head<'_>) -> bool {
    head.fields.iter().any(|field| match field.name.len() {
        6 | 7 | 12 => BEYOND.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_str())),
        10 => field.name.eq_ignore_ascii_case("connection") && names_fields(field.value),
        _ => false,
    })
}

fn start(status: http::StatusCode, out: &mut BytesMut) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.put_slice(b"\r\n");
}

fn put_lines(fields: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in fields {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}
