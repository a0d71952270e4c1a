//! Record: what both lanes tell the observer about a finished request.
//!
//! In: a request's context, or a hit and the head it answered. Out: one `observe::Record`. Never: formats.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{HeaderName, Version, header};
use pingora::Error;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::tls::SslDigest;
use pingora::proxy::Session;

use crate::access::Used;
use crate::listen::{self, Refusal};
use crate::observe::{Failure, Observer, Outcome, Record, Tls, Visit};

use super::context::{RequestCtx, Role};
use super::edge::RequestId;
use super::fast::Hit;
use super::pass::Pass;
use super::phases::now_ms;
use super::plan::{self, Target};
use super::snapshot::Snapshot;
use super::{asking, failure, respond};

/// A viewer whose address is not known (a connection that ended before it was read).
pub const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Tells the observer about a request of the full path. Subrequests are part of the viewer's request that caused them.
pub fn finish(observer: &Observer, session: &Session, error: Option<&Error>, ctx: &mut RequestCtx) {
    ctx.tier.ended.iter().for_each(|result| observer.metrics().tier(true, *result));
    ctx.tier.answered.iter().for_each(|result| observer.metrics().tier(false, *result));
    if !matches!(ctx.role, Role::Viewer) {
        observer.metrics().called(&ctx.hooks.calls);
        return;
    }
    if let Some(error) = error
        && ctx.answer.failure.is_none()
    {
        let (_, kind) = failure::classify(error);
        respond::fail(ctx, kind, failure::words(error));
    }
    let request = session.req_header();
    let (host, target) = asking::address(request);
    let target = Target::parse(ctx.hooks.asked_target.as_deref().unwrap_or(target));
    let value = |name: HeaderName| request.headers.get(name).map_or(&b""[..], |v| v.as_bytes());
    let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
    let duration = ctx.started.elapsed();
    let origin = ctx.origin.current.filter(|_| ctx.origin.attempts > 0).map(|id| Visit {
        origin: &ctx.snapshot.origin_metrics[id],
        target: ctx.origin.target.as_ref().and_then(|target| target.address),
        after_ns: ctx.origin.started.map_or(0, |at| nanos(at.saturating_duration_since(ctx.started))),
        connect_ns: ctx.origin.connect.map(nanos),
        first_byte_ns: ctx.origin.first_byte.map(nanos),
        total_ns: nanos(super::upstream::since(ctx.origin.started)),
        attempts: ctx.origin.attempts,
        status: ctx.origin.status,
    });
    let served = ctx.served();
    let unrouted = observer.metrics().unrouted().clone();
    let error_words = if ctx.answer.error.is_empty() { ctx.origin.error.as_str() } else { ctx.answer.error.as_str() };
    let secrets = &*ctx.snapshot.secrets;
    let query = secrets.loggable(target.query.unwrap_or(""));
    let referer = referer(secrets, value(header::REFERER));
    let record = Record {
        started_ms: ctx.started_ms,
        duration_ns: nanos(duration),
        first_byte_ns: nanos(ctx.answer.first_byte.unwrap_or(duration)),
        request_id: ctx.id.as_str(),
        viewer: ctx.viewer.unwrap_or(NOBODY),
        method: request.method.as_str(),
        scheme: if tls.is_some() { "https" } else { "http" },
        host: plan::host_name(host),
        path: target.path.as_bytes(),
        query: query.as_bytes(),
        protocol: protocol(request.version),
        tls: tls.map(|tls| tls_words(tls)),
        behavior: served.map_or(&*unrouted, |s| &*s.metrics),
        pattern: served.map_or("", |s| s.behavior.pattern.text.as_str()),
        status: ctx.answer.status,
        bytes_in: ctx.head_in + ctx.body_in.max(ctx.ahead.came()),
        bytes_out: session.body_bytes_sent() as u64 + session.response_written().map_or(0, answer_bytes),
        cache: ctx.answer.outcome.unwrap_or(Outcome::Error),
        reason: ctx.cache.why,
        ttl_s: ctx.cache.ttl_s,
        age_s: ctx.cache.age_s,
        origin,
        failure: ctx.answer.failure.or(ctx.origin.failure.filter(|_| answering_failed(ctx))),
        error: error_words,
        referer: &referer,
        user_agent: value(header::USER_AGENT),
        accept: value(header::ACCEPT),
        accept_encoding: value(header::ACCEPT_ENCODING),
        cookie: value(header::COOKIE),
        forwarded_for: value(asking::X_FORWARDED_FOR),
        content_type: &ctx.answer.content_type,
        content_length: ctx.answer.content_length,
        range: ctx.answer.range,
        trace: ctx.trace,
        calls: &ctx.hooks.calls,
        result: ctx.hooks.result,
        tier: &ctx.tier.words,
        asked_by: ctx.tier.asked.as_ref().map_or("", |ask| ask.from()),
        principal: ctx.entered.principal(),
    };
    ctx.snapshot.tally.count(record.status, record.first_byte_ns, record.calls);
    observer.finish(&record);
}

/// An origin's failure counts for this request when the viewer saw it, or was served stale because of it.
fn answering_failed(ctx: &RequestCtx) -> bool {
    ctx.origin.instead.is_some() || ctx.answer.outcome == Some(Outcome::Stale)
}

/// Bytes of an answer's header section as HTTP/1.1 writes it; HTTP/2 packs it into fewer.
fn answer_bytes(answer: &ResponseHeader) -> u64 {
    let fields: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let reason = answer.get_reason_phrase().unwrap_or_default().len();
    (fields + reason + "HTTP/1.1 200 \r\n\r\n".len()) as u64
}

/// What the log says of a hit besides the hit itself.
#[derive(Debug)]
pub struct Words<'a> {
    pub viewer: SocketAddr,
    pub tls: Option<Tls<'a>>,
    pub version: Version,
    pub host: &'a str,
    pub target: &'a str,
    pub user_agent: &'a [u8],
    pub accept: &'a [u8],
    pub accept_encoding: &'a [u8],
    pub referer: &'a [u8],
    pub cookie: &'a [u8],
    pub forwarded_for: &'a [u8],
    pub traceparent: &'a [u8],
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
    pub failure: Option<Failure>,
}

// === impl Words ===
impl<'a> Words<'a> {
    /// The same with what functions made of the request that a hit answers.
    pub fn seen(self, hit: &'a Hit) -> Self {
        let Some(fields) = hit.fields() else { return self };
        let value = |name: HeaderName| fields.get(name).map_or(&b""[..], |value| value.as_bytes());
        Words {
            user_agent: value(header::USER_AGENT),
            accept: value(header::ACCEPT),
            accept_encoding: value(header::ACCEPT_ENCODING),
            referer: value(header::REFERER),
            cookie: value(header::COOKIE),
            forwarded_for: value(asking::X_FORWARDED_FOR),
            ..self
        }
    }
}

/// Tells the observer about a hit of the fast lane.
pub fn finish_hit(observer: &Observer, hit: &Hit, words: &Words<'_>) {
    let target = Target::parse(words.target);
    let query = hit.served.secrets.loggable(target.query.unwrap_or(""));
    let referer = referer(&hit.served.secrets, words.referer);
    let record = Record {
        started_ms: hit.started_ms,
        duration_ns: nanos(words.duration),
        first_byte_ns: nanos(words.duration),
        request_id: hit.id.as_str(),
        viewer: words.viewer,
        method: "GET",
        scheme: if words.tls.is_some() { "https" } else { "http" },
        host: plan::host_name(words.host),
        path: target.path.as_bytes(),
        query: query.as_bytes(),
        protocol: protocol(words.version),
        tls: words.tls,
        behavior: &hit.served.metrics,
        pattern: &hit.served.behavior.pattern.text,
        status: hit.status(),
        bytes_in: words.bytes_in,
        bytes_out: words.bytes_out,
        cache: Outcome::Hit,
        reason: "",
        ttl_s: Some(hit.ttl_s),
        age_s: Some(hit.age_s),
        origin: None,
        failure: words.failure,
        error: "",
        referer: &referer,
        user_agent: words.user_agent,
        accept: words.accept,
        accept_encoding: words.accept_encoding,
        cookie: words.cookie,
        forwarded_for: words.forwarded_for,
        content_type: hit.content_type(),
        content_length: hit.content_length(),
        range: None,
        trace: observer.trace(Some(words.traceparent)),
        calls: hit.calls(),
        result: None,
        tier: "",
        asked_by: "",
        principal: hit.entered.principal(),
    };
    hit.served.tally.count(record.status, record.first_byte_ns, record.calls);
    observer.finish(&record);
}

/// Tells the observer about a request of the pass-through lane. `error` are the words for what failed.
pub fn finish_pass(observer: &Observer, pass: &Pass, words: &Words<'_>, error: &str) {
    let target = Target::parse(words.target);
    let query = pass.served.secrets.loggable(target.query.unwrap_or(""));
    let referer = referer(&pass.served.secrets, words.referer);
    let asked = &pass.asked;
    let after = asked.started.map_or(Duration::ZERO, |at| at.saturating_duration_since(pass.started));
    let record = Record {
        started_ms: pass.started_ms,
        duration_ns: nanos(words.duration),
        first_byte_ns: nanos(pass.told.first_byte.unwrap_or(words.duration)),
        request_id: pass.id.as_str(),
        viewer: words.viewer,
        method: if pass.head_asked { "HEAD" } else { "GET" },
        scheme: if words.tls.is_some() { "https" } else { "http" },
        host: plan::host_name(words.host),
        path: target.path.as_bytes(),
        query: query.as_bytes(),
        protocol: protocol(words.version),
        tls: words.tls,
        behavior: &pass.served.metrics,
        pattern: &pass.served.behavior.pattern.text,
        status: pass.told.status,
        bytes_in: words.bytes_in,
        bytes_out: words.bytes_out,
        // Without an answer there was none to pass on.
        cache: if pass.told.status == 0 { Outcome::Error } else { Outcome::Pass },
        reason: pass.why,
        ttl_s: None,
        age_s: None,
        origin: Some(Visit {
            origin: &pass.snapshot.origin_metrics[pass.origin],
            target: asked.target.as_ref().and_then(|target| target.address),
            after_ns: nanos(after),
            connect_ns: asked.connect.map(nanos),
            first_byte_ns: asked.first_byte.map(nanos),
            total_ns: nanos(super::upstream::since(asked.started)),
            attempts: asked.attempts,
            status: asked.status,
        }),
        failure: words.failure,
        error,
        referer: &referer,
        user_agent: words.user_agent,
        accept: words.accept,
        accept_encoding: words.accept_encoding,
        cookie: words.cookie,
        forwarded_for: words.forwarded_for,
        content_type: pass.told.content_type.as_ref().map_or(b"", |kind| kind.as_bytes()),
        content_length: pass.told.content_length,
        range: None,
        trace: pass.trace,
        calls: &[],
        result: None,
        tier: "",
        asked_by: "",
        principal: pass.entered.principal(),
    };
    pass.served.tally.count(record.status, record.first_byte_ns, record.calls);
    observer.finish(&record);
}

/// The page that led here, without what its query may not be written down with.
fn referer<'v>(secrets: &Used, value: &'v [u8]) -> Cow<'v, [u8]> {
    let Some(at) = value.iter().position(|byte| *byte == b'?').filter(|_| secrets.has_secrets()) else {
        return Cow::Borrowed(value);
    };
    let (page, query) = (&value[..at], &value[at + 1..]);
    match str::from_utf8(query).ok().and_then(|query| secrets.rest(Some(query))) {
        Some(rest) => Cow::Owned([page, b"?", rest.as_bytes()].concat()),
        None => Cow::Borrowed(page),
    }
}

/// Tells the observer about bytes that were refused. Of those that were no request with one valid reading, and so have no
/// `head`, nothing is quoted but their number.
pub fn finish_refusal(
    observer: &Observer,
    refusal: &Refusal,
    viewer: SocketAddr,
    tls: Option<&SslDigest>,
    (bytes_in, bytes_out): (u64, u64),
    head: Option<(&RequestHeader, &Snapshot)>,
) {
    let id = RequestId::random();
    let (host, target) = head.map_or(("", ""), |(head, _)| asking::address(head));
    let target = Target::parse(target);
    let query = head.map(|(_, snapshot)| snapshot.secrets.loggable(target.query.unwrap_or(""))).unwrap_or_default();
    observer.finish(&Record {
        started_ms: now_ms(),
        duration_ns: 0,
        first_byte_ns: 0,
        request_id: id.as_str(),
        viewer,
        method: head.map_or("", |(head, _)| head.method.as_str()),
        scheme: if tls.is_some() { "https" } else { "http" },
        host: plan::host_name(host),
        path: target.path.as_bytes(),
        query: query.as_bytes(),
        protocol: head.map_or("HTTP/1.1", |(head, _)| protocol(head.version)),
        tls: tls.map(tls_words),
        behavior: observer.metrics().unrouted(),
        pattern: "",
        status: refusal.status,
        bytes_in,
        bytes_out,
        cache: Outcome::Refused,
        reason: refusal.reason,
        ttl_s: None,
        age_s: None,
        origin: None,
        failure: Some(match refusal.status {
            408 => Failure::ClientComm,
            413 | 414 | 429 | 431 => Failure::LimitExceeded,
            _ => Failure::InvalidRequest,
        }),
        error: refusal.reason,
        referer: b"",
        user_agent: b"",
        accept: b"",
        accept_encoding: b"",
        cookie: b"",
        forwarded_for: b"",
        content_type: b"",
        content_length: None,
        range: None,
        trace: None,
        calls: &[],
        result: None,
        tier: "",
        asked_by: "",
        principal: "",
    });
}

/// A TLS session in the log's words.
pub fn tls_words(digest: &SslDigest) -> Tls<'_> {
    let session = listen::Session::of(digest);
    Tls { version: session.version, cipher: session.cipher, sni: session.server_name.unwrap_or("") }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
