//! Asking: the viewer's request on its way to an origin.
//!
//! In: the session. Out: who asks for what, what is refused at once, the request as the origin gets it. Never: answers.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::behavior::{self, Answer, Viewer, path};
use crate::config::compiled::{Behavior, Coding, Limits, Listener, Origin};
use crate::listen::{self, Refusal};
use crate::message::Fields;
use crate::observe;
use crate::origin::rewrite::{Encoding, Facts};
use crate::origin::{self, hop, select};

use super::context::RequestCtx;
use super::plan::{self, Target, Unrouted};
use super::shared::Shared;
use super::{applying, handing, phases, respond, tiers, upstream};

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Notes who asks, and takes the request's time and trace.
pub fn arrive(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) {
    // Pingora takes whatever has the field for a tunnel, and a tunnel's bytes are nobody's to check.
    match hop::upgrades(&session.req_header().headers) {
        Some(asked) => _ = session.req_header_mut().insert_header(header::UPGRADE, asked),
        None => _ = session.req_header_mut().remove_header(&header::UPGRADE),
    }
    ctx.viewer = who(session.as_downstream(), &ctx.snapshot.config.listeners);
    ctx.trace = shared.observer.trace(session.req_header().headers.get(TRACEPARENT).map(|v| v.as_bytes()));
}

/// The viewer of a session that Pingora reads.
pub fn who(session: &ServerSession, listeners: &[Listener]) -> Option<SocketAddr> {
    let (peer, listener) = ends(session, listeners)?;
    Some(viewer(peer, listener, session.req_header().headers.lines(&X_FORWARDED_FOR)))
}

/// Who is behind the last hop of a request: the other end of its connection. A node of this fleet is no hop: the viewer whose request it
/// passed on is.
fn peer(session: &Session, ctx: &RequestCtx) -> Option<SocketAddr> {
    let here = || ends(session.as_downstream(), &ctx.snapshot.config.listeners).map(|(peer, _)| peer);
    if ctx.tier.asked.is_some() { ctx.viewer } else { here().or(ctx.viewer) }
}

/// The other end of a session's connection, and the listener it came in on.
pub fn ends<'l>(session: &ServerSession, listeners: &'l [Listener]) -> Option<(SocketAddr, Option<&'l Listener>)> {
    let socket = session.digest().and_then(|digest| digest.socket_digest.as_ref())?;
    let peer = socket.peer_addr().and_then(|addr| addr.as_inet().copied())?;
    Some((peer, local(session).and_then(|local| listener(listeners, local))))
}

/// This end of it.
pub fn local(session: &ServerSession) -> Option<SocketAddr> {
    session.digest()?.socket_digest.as_ref()?.local_addr()?.as_inet().copied()
}

/// The listener a connection came in on.
fn listener(listeners: &[Listener], local: SocketAddr) -> Option<&Listener> {
    let exact = listeners.iter().find(|l| l.address == local);
    exact.or_else(|| listeners.iter().find(|l| l.address.port() == local.port() && l.address.ip().is_unspecified()))
}

/// The viewer's address: the peer's, or behind trusted proxies the right-most hop that none of them is. `hops` are the
/// values of X-Forwarded-For, in order. A hop that is no address is somebody unknown, 0.0.0.0: not the proxy that tells of it.
pub fn viewer<'a>(peer: SocketAddr, listener: Option<&Listener>, hops: impl Iterator<Item = &'a [u8]>) -> SocketAddr {
    let Some(listener) = listener else { return peer };
    let trusted = |ip: IpAddr| listener.trusted_proxies.iter().any(|net| net.contains(&ip.to_canonical()));
    if !trusted(peer.ip()) {
        return peer;
    }
    let mut seen = peer.ip();
    let mut lines: Vec<&[u8]> = hops.collect();
    lines.reverse();
    // RFC 9110 §5.6.1.2: empty members of a list are none.
    let members = lines.iter().flat_map(|line| line.rsplit(|b| *b == b',')).map(<[u8]>::trim_ascii);
    for hop in members.filter(|hop| !hop.is_empty()) {
        seen = hop_address(hop).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if !trusted(seen) {
            break;
        }
    }
    SocketAddr::new(seen, if seen == peer.ip() { peer.port() } else { 0 })
}

/// A hop of X-Forwarded-For. Some proxies write the port too (Azure Application Gateway; AWS's load balancers, when told to), or quotes as
/// RFC 7239 has them.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address: Option<IpAddr> = bare.parse().ok().or_else(with_port);
    address.map(|address| address.to_canonical())
}

/// Host (with port) and target of a request, whatever protocol brought it.
pub fn address(request: &RequestHeader) -> (&str, &str) {
    let host = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
    };
    (host, std::str::from_utf8(request.raw_path()).unwrap_or("/"))
}

/// Gives an HTTP/2 request a Host like any other's, which is its `:authority`: limits, functions, Vary and copies of it read that. What
/// [`refuse`] has let pass is a valid value.
pub fn name_host(request: &mut RequestHeader) {
    if request.version == Version::HTTP_2
        && let Some(authority) = request.uri.authority()
        // The lane ahead of Pingora has asked already.
        && request.headers.get(header::HOST).is_none_or(|host| host.as_bytes() != authority.as_str().as_bytes())
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        let _ = request.insert_header(header::HOST, host);
    }
}

/// Makes an HTTP/2 request one that Pingora can copy for a background request: it writes the copy as HTTP/1.1 text and reads
/// it again, which for HTTP/2 has the wrong version. [`restore`] takes it back.
pub fn make_copyable(session: &mut Session) {
    if session.req_header().version == Version::HTTP_2 {
        session.req_header_mut().set_version(Version::HTTP_11);
    }
}

/// Gives an HTTP/2 request its version back.
pub fn restore(session: &mut Session) {
    session.req_header_mut().remove_header(&handing::FIELD);
    if session.as_http2().is_some() {
        session.req_header_mut().set_version(Version::HTTP_2);
    }
}

/// Bounds that HTTP/2 requests meet only here (HTTP/1 heads were bounded as they were read), and the announced body's.
pub fn refuse(request: &RequestHeader, limits: &Limits) -> Option<(u16, String)> {
    if request.version == Version::HTTP_2
        && let Err(why) = named(request)
    {
        return Some((why.status, why.reason.to_owned()));
    }
    if request.raw_path().len() > limits.uri_size {
        return Some((414, format!("the target is longer than {} bytes", limits.uri_size)));
    }
    // Host is as good as part of the target, and [`name_host`] may have put it there.
    let host = request.headers.get(header::HOST).map_or(0, |host| header::HOST.as_str().len() + host.len() + 4) as u64;
    if request.headers.len() - usize::from(host > 0) > limits.header_count {
        return Some((431, format!("more than {} header fields", limits.header_count)));
    }
    if head_bytes(request) - host > limits.header_size as u64 {
        return Some((431, format!("the header section is larger than {} bytes", limits.header_size)));
    }
    if request.method == Method::CONNECT {
        return Some((501, "CONNECT is not served".to_owned()));
    }
    if announced(request).is_some_and(|length| length > limits.body_size) {
        return Some((413, format!("the body is larger than {} bytes", limits.body_size)));
    }
    None
}

fn named(request: &RequestHeader) -> Result<&str, Refusal> {
    listen::host_named(request.uri.authority().map(Authority::as_str), request.headers.lines(&header::HOST))
}

/// Bytes of a head as HTTP/1.1 writes it; HTTP/2 packs it into fewer.
pub fn head_bytes(request: &RequestHeader) -> u64 {
    let fields: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (fields + request.raw_path().len() + request.method.as_str().len() + "  HTTP/1.1\r\n\r\n".len()) as u64
}

/// The same of a head nothing was done to yet but [`name_host`]: `:authority` is the Host that HTTP/1.1 writes.
pub fn sent_bytes(request: &RequestHeader) -> u64 {
    let authority = request.uri.authority().filter(|_| !request.headers.contains_key(header::HOST));
    head_bytes(request) + authority.map_or(0, |authority| ("host: \r\n".len() + authority.as_str().len()) as u64)
}

/// What the behavior answers before the cache is asked.
pub fn before_cache(session: &mut Session, behavior: &Behavior, host: &str, target: Target<'_>) -> Option<Answer> {
    // HTTP/2 needs no field to send one.
    let has_body = !session.as_mut().is_body_empty();
    let request = session.req_header();
    let viewer = Viewer {
        method: &request.method,
        version: request.version,
        tls: respond::is_tls(session),
        host,
        path: target.path,
        query: target.query,
    };
    behavior::before_cache(behavior, &viewer, &request.headers, has_body)
}

/// What is answered where no behavior serves the path. One that tries to get round a rule is an error for the log.
pub fn unrouted(session: &Session, ctx: &mut RequestCtx, why: Unrouted, host: &str) -> Answer {
    let what = format!("{why} (host {host:?})");
    let answer = respond::error_answer(session, ctx, why.status(), &what);
    if why != Unrouted::Nobody {
        respond::fail(ctx, observe::Failure::InvalidRequest, what);
    }
    answer
}

/// Why a request cannot be served by this behavior, whoever asks: status, words, and one word for the log.
pub fn unfit(session: &Session, ctx: &RequestCtx, behavior: &Behavior) -> Option<(u16, &'static str, &'static str)> {
    let fields = &session.req_header().headers;
    if ctx.is_viewer() && hop::loops(fields, &ctx.snapshot.config.pop.code) {
        return Some((508, "this request has passed through this PoP before", "loop"));
    }
    // The cache key, or the origin's trust in the edge, counts on a field that would be dropped on the way.
    let hides = hop::hides_key(fields, &behavior.cache.key) || hop::hides(fields, &behavior.identity.names());
    hides.then_some((400, "Connection names a field that this answer depends on", "hides-key"))
}

/// Turns the copy of the viewer's request into the one the origin gets.
pub fn forward(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    let Some(served) = ctx.served() else { return Ok(()) };
    let behavior = &served.behavior;
    let (_, target) = address(session.req_header());
    let target = Target::parse(target);
    let origin = ctx.origin.current.map(|id| &ctx.snapshot.config.origins[id]);
    let (asked, query) = origin_path(behavior, target);
    let (mut asked, mut query) = (asked.into_owned(), query.into_owned());
    let viewer_host = viewer_host(session, ctx);
    let host = ctx.origin.host.as_ref().or(viewer_host.as_ref());
    let coding = ctx.slot.as_ref().and_then(|slot| slot.coding);
    let codings = coding.as_slice();
    let facts = Facts {
        policy: &behavior.request,
        key: &behavior.cache.key,
        method: &session.req_header().method,
        version: session.req_header().version,
        peer: peer(session, ctx).map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip()),
        viewer_tls: tiers::is_tls(session, ctx),
        viewer_host: viewer_host.as_ref(),
        host: host.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(400), "host"))?,
        pop: &ctx.snapshot.config.pop.code,
        request_id: ctx.id.bytes(),
        encoding: encoding(behavior, codings),
        upgrade: session.is_upgrade_req(),
        grpc: upstream::is_grpc(session.req_header()),
        custom: match ctx.hooks.way.as_ref().and_then(|way| way.own.headers.as_deref()) {
            Some(headers) => headers,
            None => origin.map_or(&[], |origin| &origin.headers),
        },
    };
    // Taken apart and put together again, it forgets whether a body follows.
    let end = request.send_end_stream();
    let empty = RequestHeader::build_no_case(Method::GET, b"/", None)?;
    let mut parts: http::request::Parts = std::mem::replace(request, empty).into();
    if ctx.entered.entry.is_some() {
        // The viewer's own; what the operator adds stays.
        origin::rewrite::as_judged(&mut parts.headers);
    }
    origin::rewrite::request(&mut parts.headers, &facts);
    if let Some(trace) = &ctx.trace
        && let Ok(value) = HeaderValue::from_bytes(&trace.outgoing())
    {
        parts.headers.insert(TRACEPARENT, value);
    }
    applying::origin_request(&mut parts.headers, &mut asked, &mut query, &ctx.hooks.origin_edits);
    if let Some(verified) = ctx.entered.entry.as_ref().and_then(|entry| entry.payload.as_ref()) {
        origin::rewrite::unsigned(&mut parts.headers);
        if let Some(length) = verified.decoded_length() {
            hop::unchunk(&mut parts.headers, length);
        }
    }
    if let Some(body) = &ctx.hooks.request_body {
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    *request = parts.into();
    if let Some(end) = end {
        request.set_send_end_stream(end);
    }
    let prefix = ctx.hooks.way.as_ref().and_then(|way| way.own.path.as_deref());
    let to = joined(prefix.unwrap_or(origin.map_or("", |origin| origin.path.as_str())), &asked, &query);
    request.set_raw_path(to.as_bytes())
}

/// Whether the answer may be stored, here or at the node that asks, for hosts that share it: then no origin is told which of them this
/// viewer asked for, whose word would be everybody's.
pub fn shares_hosts(ctx: &RequestCtx) -> bool {
    let kept = ctx.slot.is_some() || ctx.tier.asked.is_some();
    kept && ctx.served().is_some_and(|served| served.behavior.cache.key.ignore_host)
}

/// The Host that an origin is told the viewer asked for, if it is told.
pub fn viewer_host(session: &Session, ctx: &RequestCtx) -> Option<HeaderValue> {
    if shares_hosts(ctx) {
        return None;
    }
    let (host, _) = address(session.req_header());
    HeaderValue::from_str(plan::host_sent(host, tiers::is_tls(session, ctx))).ok()
}

/// The target an origin is asked for: with its prefix, the behavior's path, and the query that goes on.
pub fn origin_target(behavior: &Behavior, origin: Option<&Origin>, target: Target<'_>) -> String {
    let (path, query) = origin_path(behavior, target);
    joined(origin.map_or("", |origin| origin.path.as_str()), &path, &query)
}

/// Path and query that the behavior makes of the viewer's; "" = no query.
fn origin_path<'t>(behavior: &Behavior, target: Target<'t>) -> (Cow<'t, str>, Cow<'t, str>) {
    let query = target.query.map(|query| select::query(query, &behavior.request.query, &behavior.cache.key.query));
    (path::origin_path(behavior, target.path), query.unwrap_or_default())
}

fn joined(prefix: &str, path: &str, query: &str) -> String {
    let mut to = String::with_capacity(prefix.len() + path.len() + query.len() + 1);
    to.push_str(prefix);
    to.push_str(path);
    if !query.is_empty() {
        to.push('?');
        to.push_str(query);
    }
    to
}

/// What an origin is told about codings; `codings` are those the cache keeps apart.
pub fn encoding<'a>(behavior: &Behavior, codings: &'a [Coding]) -> Encoding<'a> {
    match (&behavior.compress, codings) {
        (None, _) => Encoding::Pass,
        (Some(_), []) => Encoding::Identity,
        (Some(_), codings) => Encoding::Only(codings),
    }
}

/// Bytes that a request says its body has.
pub fn announced(request: &RequestHeader) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Ends a request of whose body more `bytes` came, or were announced, than its behavior takes.
pub fn bound_body(session: &Session, ctx: &RequestCtx, bytes: u64) -> Result<()> {
    let limit = ctx
        .served()
        .map_or(u64::MAX, |served| served.behavior.request.body_size)
        .min(ctx.snapshot.config.limits.body_size);
    if bytes > limit && !session.is_upgrade_req() {
        return Err(Error::explain(ErrorType::HTTPStatus(413), format!("the body is larger than {limit} bytes")));
    }
    Ok(())
}

/// Whether the viewer waits for a 100 before it sends the body (RFC 9110 §10.1.1: HTTP/1.0 does not).
pub fn expects_continue(session: &Session) -> bool {
    let request = session.req_header();
    request.version != Version::HTTP_10
        && request.headers.get(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Sends the 100 that the viewer waits for.
pub async fn send_continue(session: &mut Session) -> Result<()> {
    // Pingora takes the interim answer for the final one, and closes the connection behind it.
    session.set_close_on_response_before_downstream_finish(false);
    session.write_continue_response().await?;
    session.set_close_on_response_before_downstream_finish(true);
    // Once is enough.
    session.req_header_mut().remove_header(&header::EXPECT);
    Ok(())
}

/// Whether the request that went to the origin carried the viewer's own conditions: with the cache in force, Pingora takes
/// them out.
pub fn conditional(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    !session.upstream_headers_mutated_for_cache()
        && (headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MODIFIED_SINCE))
}

/// Notes that a header section came from the origin.
pub fn answered(ctx: &mut RequestCtx, status: u16) {
    if ctx.origin.instead.is_none() {
        ctx.origin.status = status;
    }
    ctx.origin.first_byte = Some(upstream::since(ctx.origin.started));
    if ctx.origin.asked_ms == 0 {
        ctx.origin.asked_ms = phases::now_ms();
    }
    if let (Some(origin), Some(target)) = (ctx.origin.current, &ctx.origin.target)
        && ctx.origin.instead.is_none()
        && !upstream::is_rerouted(ctx)
    {
        ctx.snapshot.origins.report(origin, target, origin::Outcome::Ok { status });
    }
}

/// How metrics name a refused connection.
pub fn refusal_kind(refusal: &Refusal) -> observe::Refusal {
    match refusal.status {
        _ if *refusal == Refusal::SLOW_BODY => observe::Refusal::Slow,
        408 => observe::Refusal::HeaderTimeout,
        429 => observe::Refusal::Rate,
        _ => observe::Refusal::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn the_viewer_behind_trusted_proxies() {
        let listener = Listener {
            address: "0.0.0.0:80".parse().unwrap(),
            tls: None,
            h2: true,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        };
        for (peer, hops, want) in [
            ("192.0.2.1:5", vec!["203.0.113.7"], "192.0.2.1:5"),
            ("10.0.0.1:5", vec!["203.0.113.7"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["198.51.100.1, 203.0.113.7, 10.9.9.9"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["198.51.100.1", "203.0.113.7"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["203.0.113.7:4711"], "203.0.113.7:0"),
            // A listener on [::] sees IPv4 so, and Node.js writes it so.
            ("[::ffff:10.0.0.1]:5", vec!["203.0.113.7"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["203.0.113.7, ::ffff:10.9.9.9"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["::ffff:203.0.113.7"], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["\"203.0.113.7\""], "203.0.113.7:0"),
            ("10.0.0.1:5", vec!["[2001:db8::1]:5"], "[2001:db8::1]:0"),
            ("10.0.0.1:5", vec!["\"[2001:db8::1]\""], "[2001:db8::1]:0"),
            ("10.0.0.1:5", vec!["203.0.113.7,, ", "", "10.9.9.9:80,"], "203.0.113.7:0"),
            // Whoever it is, it is not the proxy.
            ("10.0.0.1:5", vec!["203.0.113.7, unknown"], "0.0.0.0:0"),
            ("10.0.0.1:5", vec!["_hidden, 10.9.9.9"], "0.0.0.0:0"),
            ("10.0.0.1:5", vec![], "10.0.0.1:5"),
        ] {
            let mut fields = HeaderMap::new();
            for hop in &hops {
                fields.append(X_FORWARDED_FOR, hop.parse().unwrap());
            }
            let got = viewer(peer.parse().unwrap(), Some(&listener), fields.lines(&X_FORWARDED_FOR));
            assert_eq!(got.to_string(), want, "{peer} {hops:?}");
        }
    }
}
