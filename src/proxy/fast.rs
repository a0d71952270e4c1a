//! Fast lane: answers a plain hit ahead of Pingora's state machine.
//!
//! In: a parsed HTTP/1.1 head, or the request of an HTTP/2 stream. Out: the answer's lines in one buffer, or "take the full
//! path". Never: waits, an origin, anything the full path would decide differently: it asks the same functions.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use crate::access::Asked;
use crate::behavior;
use crate::cache::object::{self, KeyHash, Object};
use crate::cache::status::{CacheStatus, Outcome as StatusOutcome};
use crate::cache::store::Tiers;
use crate::cache::vary;
use crate::config::compiled::BehaviorId;
use crate::fleet::peering::FIELD;
use crate::limit::Refused;
use crate::listen::Peer;
use crate::listen::head::{Framing, Request};
use crate::message::{Fields, Head};

use super::edge::{RequestId, put_decimal};
use super::entering::{self, Entered};
use super::hooked::Hooked;
use super::judge::{self, Verdict};
use super::phases::now_ms;
use super::plan::{self, Scratch, Target};
use super::shared::Shared;
use super::snapshot::{Served, Snapshot};

/// Bodies up to this many bytes leave in one write with their head; larger ones in a second, without a copy.
pub const INLINE_BODY: usize = 16 << 10;

pub const X_CACHE_HIT: &str = "Hit from rimward";

/// Fields that change what a hit means, or ask for more than a hit: the full path decides.
const BEYOND: [HeaderName; 11] = [
    header::RANGE,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::VIA,
    FIELD,
];

/// What is asked, whatever protocol brought it, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The connection's other end, or whom trusted proxies name.
    pub viewer: SocketAddr,
    pub certificate: Option<&'a Peer>,
    /// With its port, as sent.
    pub host: &'a str,
    /// Origin-form.
    pub target: &'a str,
    pub version: Version,
    pub tls: bool,
    /// Where its host and path lead.
    pub behavior: Option<BehaviorId>,
}

/// A stored answer that serves a request as it is.
#[derive(Debug)]
pub struct Hit {
    pub served: Arc<Served>,
    pub object: Arc<Object>,
    pub id: RequestId,
    pub started_ms: u64,
    pub ttl_s: i64,
    pub age_s: u64,
    pub entered: Entered,
    /// What functions did to it.
    pub hooked: Option<Box<Hooked>>,
}

/// A hit whose head (and body, when small) stands in `Scratch::out`.
#[derive(Debug)]
pub struct Answer {
    pub hit: Hit,
    /// The body is still to be written from the object.
    pub body_apart: bool,
    pub spans: Spans,
}

/// How a request came in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'b> {
    /// The buffer the head borrows.
    pub raw: &'b [u8],
    /// The connection's other end, or whom trusted proxies name.
    pub viewer: SocketAddr,
    pub certificate: Option<&'b Peer>,
    pub tls: bool,
    /// Whether the connection goes on after the answer.
    pub keep_alive: bool,
    /// Where its host and path lead.
    pub behavior: Option<BehaviorId>,
}

/// Who asked, and where in the head the parts stand that the log wants, once the answer has left.
#[derive(Debug)]
pub struct Spans {
    /// The connection's other end, or whom trusted proxies name.
    pub viewer: SocketAddr,
    pub host: Range<usize>,
    pub target: Range<usize>,
    pub user_agent: Range<usize>,
    pub accept: Range<usize>,
    pub accept_encoding: Range<usize>,
    pub referer: Range<usize>,
    pub cookie: Range<usize>,
    pub forwarded_for: Range<usize>,
    pub traceparent: Range<usize>,
}

/// The object that answers `request`, from the memory tier: the primary slot, or the variant its Vary leads to.
pub fn find<F: Fields>(
    tiers: &'static Tiers,
    hash: &KeyHash,
    key: &[u8],
    request: &F,
    coding_in_key: bool,
) -> Option<Arc<Object>> {
    let object = tiers.peek(hash, key)?;
    if object.meta.vary.is_empty() {
        return Some(object);
    }
    match vary::variance(&object.meta.vary, request, coding_in_key) {
        variance if variance == object.meta.variance => Some(object),
        Some(variance) => {
            let object = tiers.peek(&object::slot(hash, Some(&variance)), key)?;
            (object.meta.variance == Some(variance)).then_some(object)
        }
        None => None,
    }
}

/// The hit that answers a GET without a body and without a field that asks for more than a hit (`BEYOND`). It is counted against
/// the limits last: what the full path has to see is not counted twice.
///
/// # Errors
/// There is a hit, and it is one too many.
pub fn decide<F: Fields>(
    shared: &Shared,
    snapshot: &Snapshot,
    ask: Ask<'_>,
    fields: &F,
    key: &mut Vec<u8>,
) -> Result<Option<Hit>, Box<Refused>> {
    let Some((served, mut hit)) = found(shared, snapshot, ask, fields, key) else { return Ok(None) };
    if entering::is_limited(snapshot, served, Target::parse(ask.target).path) || hit.entered.entry.is_some() {
        let entry = hit.entered.entry.clone();
        hit.entered.admitted = entering::admit(shared, snapshot, served, &asked(ask, fields), entry.as_deref())?;
    }
    Ok(Some(hit))
}

/// The request as the rules about who may come see it.
pub fn asked<'a, F: Fields>(ask: Ask<'a>, fields: &'a F) -> Asked<'a, F> {
    let target = Target::parse(ask.target);
    Asked {
        method: "GET",
        host: ask.host,
        path: target.path,
        query: target.query,
        fields,
        tls: ask.tls,
        viewer: ask.viewer.ip(),
        now_ms: now_ms(),
    }
}

fn found<'s, F: Fields>(
    shared: &Shared,
    snapshot: &'s Snapshot,
    ask: Ask<'_>,
    fields: &F,
    key: &mut Vec<u8>,
) -> Option<(&'s Arc<Served>, Hit)> {
    let mut target = Target::parse(ask.target);
    let served = behavior(snapshot, ask)?;
    if served.hooked {
        return None;
    }
    let entered = enters(shared, snapshot, served, ask, fields)?;
    let rest;
    if entered.used().any() {
        rest = entered.used().rest(target.query);
        target.query = rest.as_deref();
    }
    let id = RequestId::random();
    Some((served, look(shared, served, id, entered, (ask.tls, ask.host, target), fields, key)?))
}

/// The behavior of a request, if its hits are the same for everyone.
pub fn behavior<'s>(snapshot: &'s Snapshot, ask: Ask<'_>) -> Option<&'s Arc<Served>> {
    let served = snapshot.behavior(ask.behavior?);
    served.edits[usize::from(ask.tls)].as_ref()?;
    served.behavior.cache.enabled.then_some(served)
}

/// Who asks, when nothing but a hit can be the answer to a GET so far.
pub fn enters<F: Fields>(
    shared: &Shared,
    snapshot: &Snapshot,
    served: &Served,
    ask: Ask<'_>,
    fields: &F,
) -> Option<Entered> {
    let target = Target::parse(ask.target);
    let rules = &served.behavior;
    let viewer = behavior::Viewer {
        method: &Method::GET,
        version: ask.version,
        tls: ask.tls,
        host: ask.host,
        path: target.path,
        query: target.query,
    };
    if behavior::before_cache(rules, &viewer, fields, false).is_some() {
        return None;
    }
    let mut entered = Entered::default();
    if rules.access.is_some() {
        let certificate = entering::certificate(ask.certificate);
        entered.entry = entering::now(shared, snapshot, served, &asked(ask, fields), certificate)?;
    }
    Some(entered)
}

/// The fresh object for `at`: whether it came over TLS, the host as sent, the target.
pub fn look<F: Fields>(
    shared: &Shared,
    served: &Arc<Served>,
    id: RequestId,
    entered: Entered,
    at: (bool, &str, Target<'_>),
    fields: &F,
    key: &mut Vec<u8>,
) -> Option<Hit> {
    let rules = &served.behavior;
    let (hash, _) = plan::slot(rules, at, fields, entered.apart(), key);
    let object = find(shared.tiers, &hash, key, fields, rules.compress.is_some())?;
    object.body.whole()?;
    let started_ms = now_ms();
    let verdict = judge::judge(
        &shared.marks,
        shared.tiers.invalidated(),
        rules,
        &object.meta,
        Some(&object.checked),
        fields,
        started_ms,
    );
    if verdict != Verdict::Fresh {
        return None;
    }
    let (ttl_s, age_s) = (object.meta.ttl_ms(started_ms).div_euclid(1000), object.meta.age_ms(started_ms) / 1000);
    Some(Hit { served: served.clone(), object, id, started_ms, ttl_s, age_s, entered, hooked: None })
}

/// Whether a copy of this request will have to be told what the request became.
pub fn is_changed(snapshot: &Snapshot, behavior: Option<BehaviorId>) -> bool {
    behavior.is_some_and(|id| snapshot.behavior(id).changes())
}

/// Answers `request` if it is a plain hit.
///
/// # Errors
/// It is one, and one too many.
pub fn answer(
    shared: &Shared,
    snapshot: &Snapshot,
    request: &Request<'_>,
    arrival: Arrival<'_>,
    scratch: &mut Scratch,
) -> Result<Option<Answer>, Box<Refused>> {
    let Some(ask) = ask(request, arrival) else { return Ok(None) };
    let Some(hit) = decide(shared, snapshot, ask, &request.head, &mut scratch.key)? else { return Ok(None) };
    Ok(Some(written(
        snapshot,
        hit,
        Spans::of(&request.head, arrival.raw, arrival.viewer),
        arrival.tls,
        arrival.keep_alive,
        scratch,
    )))
}

/// What is asked, when it is a plain GET.
pub fn ask<'a>(request: &'a Request<'_>, arrival: Arrival<'a>) -> Option<Ask<'a>> {
    let Arrival { viewer, certificate, tls, behavior, .. } = arrival;
    let head = &request.head;
    if head.method != "GET" || head.minor != 1 || request.framing != Framing::None || beyond(head) {
        return None;
    }
    let version = Version::HTTP_11;
    Some(Ask { viewer, certificate, host: head.host, target: head.target, version, tls, behavior })
}

/// Writes a hit's head, and its body when that is small, to `Scratch::out`.
pub fn written(
    snapshot: &Snapshot,
    hit: Hit,
    spans: Spans,
    tls: bool,
    keep_alive: bool,
    scratch: &mut Scratch,
) -> Answer {
    // What is stored had a status.
    let status = http::StatusCode::from_u16(hit.status()).unwrap_or(http::StatusCode::OK);
    let body_apart = hit.body().is_some_and(|body| body.len() > INLINE_BODY);
    let out = &mut scratch.out;
    out.clear();
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.put_slice(b"\r\n");
    match hit.shown() {
        Some(shown) => shown.head.headers.iter().for_each(|(name, value)| line(name, value, out)),
        None => lines(snapshot, &hit, tls, out),
    }
    if !keep_alive {
        out.put_slice(b"connection: close\r\n");
    }
    out.put_slice(b"\r\n");
    if let (false, Some(body)) = (body_apart, hit.body()) {
        out.put_slice(body);
    }
    Answer { hit, body_apart, spans }
}

/// Appends the header lines of a hit's answer, in lower case: what was stored, with the behavior's edits, and the edge's own.
pub fn lines(snapshot: &Snapshot, hit: &Hit, tls: bool, out: &mut BytesMut) {
    stored_lines(hit, tls, out);
    out.put_slice(b"age: ");
    put_decimal(hit.age_s, out);
    out.put_slice(b"\r\ncache-status: ");
    // A buffer that grows cannot refuse.
    let _ = words(snapshot, hit).write(out);
    out.put_slice(b"\r\nx-cache: ");
    out.put_slice(X_CACHE_HIT.as_bytes());
    out.put_slice(b"\r\n");
    limit_lines(&hit.entered, out);
    snapshot.signature.write(&hit.id, out);
}

/// What the answer says of the limits.
pub fn limit_lines(entered: &Entered, out: &mut BytesMut) {
    for (name, value) in entered.fields() {
        line(&name, &value, out);
    }
}

fn line(name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_slice(b"\r\n");
}

/// The part of them that is the same for every hit.
pub fn stored_lines(hit: &Hit, tls: bool, out: &mut BytesMut) {
    match &hit.served.edits[usize::from(tls)] {
        Some(edits) => edits.render(&hit.object.head, out),
        None => out.put_slice(&hit.object.head),
    }
}

/// What `Cache-Status` says of a hit.
pub fn words<'a>(snapshot: &'a Snapshot, hit: &Hit) -> CacheStatus<'a> {
    CacheStatus {
        pop: &snapshot.config.pop.code,
        outcome: StatusOutcome::Hit,
        ttl_s: Some(hit.ttl_s),
        stored: false,
        collapsed: false,
        fwd_status: None,
        key: None,
        detail: None,
    }
}

/// Whether any of `fields` asks for more than a hit.
pub fn asks_more(fields: &HeaderMap) -> bool {
    fields.keys().any(|name| BEYOND.contains(name))
}

/// The fields of a head as a map of their own.
pub fn map(head: &Head<'_>) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(head.fields.len());
    for field in head.fields {
        let (name, value) = (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value));
        map.append(name.ok()?, value.ok()?);
    }
    Some(map)
}

fn beyond(head: &Head<'_>) -> bool {
    head.fields.iter().any(|field| {
        let name = field.name;
        match name.len() {
            // Cheap first: the lengths of the names in `BEYOND`.
            2 | 3 | 5 | 6 | 7 | 8 | 12 | 13 | 17 | 19 => BEYOND.iter().any(|b| name.eq_ignore_ascii_case(b.as_str())),
            10 => name.eq_ignore_ascii_case("connection") && names_fields(field.value),
            _ => false,
        }
    })
}

/// Whether a Connection field names more than what becomes of the connection: fields that the key may count on.
pub fn names_fields(connection: &[u8]) -> bool {
    !connection.eq_ignore_ascii_case(b"keep-alive") && !connection.eq_ignore_ascii_case(b"close")
}

// === impl Spans ===
impl Spans {
    pub fn of(head: &Head<'_>, raw: &[u8], viewer: SocketAddr) -> Self {
        let mut spans = Spans {
            viewer,
            host: within(raw, head.host.as_bytes()),
            target: within(raw, head.target.as_bytes()),
            user_agent: 0..0,
            accept: 0..0,
            accept_encoding: 0..0,
            referer: 0..0,
            cookie: 0..0,
            forwarded_for: 0..0,
            traceparent: 0..0,
        };
        for field in head.fields {
            let slot = match field.name.len() {
                6 if field.name.eq_ignore_ascii_case("cookie") => &mut spans.cookie,
                6 if field.name.eq_ignore_ascii_case("accept") => &mut spans.accept,
                7 if field.name.eq_ignore_ascii_case("referer") => &mut spans.referer,
                10 if field.name.eq_ignore_ascii_case("user-agent") => &mut spans.user_agent,
                11 if field.name.eq_ignore_ascii_case("traceparent") => &mut spans.traceparent,
                15 if field.name.eq_ignore_ascii_case("accept-encoding") => &mut spans.accept_encoding,
                15 if field.name.eq_ignore_ascii_case("x-forwarded-for") => &mut spans.forwarded_for,
                _ => continue,
            };
            if slot.start == slot.end {
                *slot = within(raw, field.value);
            }
        }
        spans
    }
}

/// Where `part` stands in `raw`, which it was cut from; empty when it was not.
fn within(raw: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
    match start.checked_add(part.len()) {
        Some(end) if end <= raw.len() => start..end,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_point_into_the_buffer() {
        let raw = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(within(raw, &raw[4..6]), 4..6);
        assert_eq!(within(raw, b"elsewhere entirely, and longer than the buffer it is not in"), 0..0);
    }

    #[test]
    fn a_connection_that_names_fields_takes_the_full_path() {
        for (value, want) in [("keep-alive", false), ("Close", false), ("x-lang", true), ("keep-alive, x-lang", true)] {
            let fields = [httparse::Header { name: "Connection", value: value.as_bytes() }];
            let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };
            assert_eq!(beyond(&head), want, "{value}");
        }
    }

    #[test]
    fn every_field_beyond_a_hit_is_seen_whatever_its_case() {
        for name in BEYOND {
            let upper = name.as_str().to_ascii_uppercase();
            let fields = [httparse::Header { name: &upper, value: b"x" }];
            assert!(beyond(&Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields }), "{name}");
            assert!(asks_more(&HeaderMap::from_iter([(name.clone(), http::HeaderValue::from_static("x"))])), "{name}");
        }
    }
}
