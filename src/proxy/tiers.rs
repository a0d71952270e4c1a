//! Tiers: what this node asks of the fleet's other nodes before an origin, and what became of it.
//!
//! In: a request that is to be filled. Out: the next node to ask, the request as it gets it, whether its answer is taken. Never: a body
//! on its way, an unsafe method, a question without an answer: the origin comes after the last node.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use smallvec::SmallVec;

use crate::cache::key;
use crate::config::compiled::{OriginId, OriginKind};
use crate::fleet::peering::{self, Ask, Did, Line};
use crate::fleet::vector::LINEAGES_MAX;
use crate::observe::TierResult;
use crate::origin::tier::{Hop, Hops};
use crate::origin::{Outcome, TargetRef, hop, rewrite};

use super::context::{RequestCtx, Role};
use super::phases::now_ms;
use super::plan::{self, Target};
use super::shared::Shared;
use super::{asking, edge, failure, respond, upstream};

/// Fields of a node's answer that are about its own viewer.
const OF_ITS_OWN: [http::HeaderName; 4] = [peering::FIELD, edge::X_CACHE, edge::POP, edge::REQUEST_ID];

/// Fields that are added to what the viewer sent.
const ADDED: usize = 3;

/// Bytes of those, at most, besides key and vector.
const ADDED_BYTES: u64 = 1024;

/// What other nodes have to do with a request.
#[derive(Debug, Default)]
pub struct TierNote {
    /// The node that asks, and what: known to be one of the fleet's.
    pub asked: Option<Box<Ask>>,
    /// Nodes still to ask; `None` = not thought about yet.
    left: Option<Hops>,
    /// The node asked now.
    current: Option<Current>,
    /// Its answer is taken.
    taken: bool,
    /// A kept connection failed, and the same node was asked once more.
    again: bool,
    /// For the log: each node that was asked, and how that ended.
    pub words: String,
    /// The same for the metrics.
    pub ended: SmallVec<[TierResult; 4]>,
    /// What the asking node was told, or why a request that said it was a node's is none.
    pub answered: Option<TierResult>,
}

/// The node asked now.
#[derive(Debug)]
struct Current {
    hop: Hop,
    target: TargetRef,
    /// The field, signed.
    field: HeaderValue,
}

// === impl TierNote ===
impl TierNote {
    /// Whether a node, and no origin, is being asked.
    pub fn is_asking(&self) -> bool {
        self.current.is_some()
    }

    /// Whether a node is being asked, and nobody has read yet what its answer is: its status is no origin's before it is taken.
    pub fn awaits_word(&self) -> bool {
        self.is_asking() && !self.taken
    }

    /// Whether the request's Authorization field was for the edge where the viewer asked.
    pub fn used_authorization(&self) -> bool {
        self.asked.as_ref().is_some_and(|ask| ask.authorized)
    }
}

/// The next node to ask for this request, if there is one.
pub async fn next(
    shared: &Shared,
    session: &mut Session,
    ctx: &mut RequestCtx,
    origin: OriginId,
) -> Option<Box<HttpPeer>> {
    (ctx.tier.current, ctx.tier.taken) = (None, false);
    if ctx.tier.left.is_none() {
        ctx.tier.left = Some(hops(shared, session, ctx, origin));
    }
    let snapshot = ctx.snapshot.clone();
    loop {
        let left = ctx.tier.left.as_mut().filter(|left| !left.is_empty())?;
        let hop = left.remove(0);
        let patience = patience(&snapshot.config.origins[origin].kind);
        let field = sign(shared, session, ctx, hop);
        let picked = snapshot.origins.nodes().pick(hop.peer, hop.mode, patience).await;
        match (field, picked) {
            (Some(field), Ok(picked)) => {
                ctx.tier.current = Some(Current { hop, target: picked.target, field });
                return Some(picked.peer);
            }
            // What cannot be sent to one node cannot be sent to another.
            (None, _) => ctx.tier.left = Some(Hops::new()),
            (_, Err(error)) => {
                log::debug!("node {}: {error}", snapshot.origins.nodes().name(hop.peer));
                ended(ctx, hop, TierResult::Away);
            }
        }
    }
}

/// Which nodes are to be asked. None for what no cache takes part in, what has a body, what functions sent elsewhere, and for origins
/// inside this process, which are told more of who asks than goes from node to node. None either for a URL that an unsafe request
/// changed through this node: others have not seen it.
fn hops(shared: &Shared, session: &mut Session, ctx: &RequestCtx, origin: OriginId) -> Hops {
    let (config, nodes) = (&ctx.snapshot.config, ctx.snapshot.origins.nodes());
    let bodiless = session.is_body_empty();
    let request = session.req_header();
    let reads = [Method::GET, Method::HEAD].contains(&request.method);
    let cached = session.cache.enabled() && !session.cache.bypassing();
    let plain = bodiless && !session.is_upgrade_req() && ctx.hooks.request_body.is_none();
    let role = matches!(ctx.role, Role::Viewer | Role::Revalidation(_));
    let kind = config.origins.get(origin).map(|origin| &origin.kind);
    let server = matches!(kind, Some(OriginKind::Http(_) | OriginKind::Signed(_)));
    let (Some(slot), Some(_)) = (&ctx.slot, &config.fleet.secret) else { return Hops::new() };
    if nodes.is_empty() || !reads || !cached || !plain || !role || !server || ctx.hooks.way.is_some() {
        return Hops::new();
    }
    if changed_here(shared, ctx, request) {
        return Hops::new();
    }
    // What another node would refuse for its size is not sent.
    let added = ADDED_BYTES + 2 * slot.key.len() as u64 + 40 * LINEAGES_MAX as u64;
    let limits = &config.limits;
    let fits = asking::head_bytes(request) + added <= limits.header_size as u64
        && request.headers.len() + ADDED <= limits.header_count;
    if !fits {
        return Hops::new();
    }
    let hash = u64::from_le_bytes(slot.hash[..8].try_into().unwrap_or_default());
    let via = ctx.tier.asked.as_ref().map_or(&[][..], |ask| &ask.via);
    nodes.hops(hash, &config.origins[origin].tier, via)
}

fn changed_here(shared: &Shared, ctx: &RequestCtx, request: &RequestHeader) -> bool {
    let Some(served) = ctx.served() else { return false };
    let (host, target) = asking::address(request);
    let (target, policy) = (Target::parse(target), &served.behavior.cache.key);
    let host = if policy.ignore_host { "" } else { plan::host_name(host) };
    shared.tiers.invalidated().knows(host, &key::uri(policy, target.path, target.query))
}

fn patience(kind: &OriginKind) -> Duration {
    match kind {
        OriginKind::Http(http) => http.connect_timeout.saturating_add(http.read_timeout),
        OriginKind::Signed(signed) => signed.timeout,
        _ => Duration::ZERO,
    }
}

/// What a node is asked, signed.
fn sign(shared: &Shared, session: &Session, ctx: &RequestCtx, hop: Hop) -> Option<HeaderValue> {
    let (fleet, slot) = (&ctx.snapshot.config.fleet, ctx.slot.as_ref()?);
    let mut via = ctx.tier.asked.as_ref().map_or_else(Vec::new, |ask| ask.via.clone());
    via.push(fleet.node.clone());
    let ask = Ask {
        to: ctx.snapshot.origins.nodes().name(hop.peer).to_owned(),
        at_ms: now_ms(),
        via,
        mode: hop.mode,
        behavior: ctx.served()?.behavior.name.clone(),
        key: slot.key.clone(),
        viewer: ctx.viewer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |viewer| viewer.ip()),
        tls: is_tls(session, ctx),
        authorized: ctx.entered.used_authorization() || ctx.tier.used_authorization(),
        id: ctx.id.as_str().to_owned(),
        seen: shared.seen.asks(shared.marks.is_held()),
    };
    let (host, target) = asking::address(session.req_header());
    // The whole object is asked for, whatever of it the viewer wants.
    let line = Line { method: Method::GET.as_str(), host, target };
    HeaderValue::from_str(&ask.sign(fleet.secret.as_ref()?.expose(), &line)?).ok()
}

/// Turns the copy of the viewer's request into the one that the node being asked gets: what its rules about origins are to be applied to.
/// `false` = no node is being asked.
pub fn forward(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<bool> {
    let Some(current) = &ctx.tier.current else { return Ok(false) };
    let (host, target) = asking::address(session.req_header());
    let host = HeaderValue::from_str(host).map_err(|_| Error::explain(ErrorType::HTTPStatus(400), "host"))?;
    let end = request.send_end_stream();
    let empty = RequestHeader::build_no_case(Method::GET, b"/", None)?;
    let mut parts: http::request::Parts = std::mem::replace(request, empty).into();
    let fields = &mut parts.headers;
    hop::strip(fields);
    for name in [header::EXPECT, header::TRAILER, header::TRANSFER_ENCODING] {
        fields.remove(name);
    }
    if ctx.entered.entry.is_some() {
        rewrite::as_judged(fields);
    }
    if ctx.entered.entry.as_ref().is_some_and(|entry| entry.payload.is_some()) {
        rewrite::unsigned(fields);
    }
    if let Some(trace) = &ctx.trace
        && let Ok(value) = HeaderValue::from_bytes(&trace.outgoing())
    {
        fields.insert(asking::TRACEPARENT, value);
    }
    fields.insert(header::HOST, host);
    hop::via(fields, session.req_header().version, &ctx.snapshot.config.pop.code);
    fields.insert(peering::FIELD, current.field.clone());
    *request = parts.into();
    if let Some(end) = end {
        request.set_send_end_stream(end);
    }
    request.set_raw_path(target.as_bytes())?;
    Ok(true)
}

/// Whether the answer of the node being asked is taken; otherwise the next one is asked, or the origin. What is about that node only is
/// taken off.
pub fn takes(response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<bool> {
    let Some(current) = &ctx.tier.current else { return Ok(true) };
    let (hop, target) = (current.hop, current.target.clone());
    let did = said(&response.headers, "did=").and_then(|did| did.parse().ok());
    // What its functions and pages made of an error is one here too.
    let masked = said(&response.headers, "masked=") == Some("1");
    respond::edit(response, |fields| OF_ITS_OWN.iter().for_each(|name| drop(fields.remove(name))))?;
    let result = match did {
        Some(Did::Hit) => TierResult::Hit,
        Some(Did::Fill) => TierResult::Fill,
        Some(Did::Nothing) => TierResult::Nothing,
        Some(Did::Failed) => TierResult::Failed,
        // It did not take the question for a node's: its answer is one to a viewer.
        None => TierResult::Away,
    };
    let status = response.status.as_u16();
    let outcome = match result {
        TierResult::Away if status >= 500 => Outcome::ReadFailed,
        _ => Outcome::Ok { status: 200 },
    };
    ctx.snapshot.origins.nodes().report(hop.peer, &target, outcome);
    ended(ctx, hop, result);
    let taken = matches!(result, TierResult::Hit | TierResult::Fill);
    ctx.tier.taken = taken;
    if taken {
        ctx.hooks.origin_failed = Some((status >= 400) != masked);
    } else {
        ctx.tier.current = None;
    }
    Ok(taken)
}

/// The node being asked did not answer: the same error, with what follows.
///
/// # Errors
/// The error as it was: no node was being asked, or part of its answer is on its way.
pub fn failed(
    session: &Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    reused: bool,
) -> std::result::Result<Box<Error>, Box<Error>> {
    if ctx.origin.answered {
        // Part of its answer is on its way: as with an origin, nothing can follow.
        return Err(error);
    }
    let Some(current) = ctx.tier.current.take() else { return Err(error) };
    let hop = current.hop;
    if reused && !ctx.tier.again {
        // A kept connection that was closed just then says nothing about the node (RFC 9112, section 9.3.1).
        ctx.tier.again = true;
        ctx.tier.left.get_or_insert_default().insert(0, hop);
    } else {
        let (_, kind) = failure::classify(&error);
        ctx.snapshot.origins.nodes().report(hop.peer, &current.target, upstream::outcome(kind));
        log::debug!("node {}: {}", ctx.snapshot.origins.nodes().name(hop.peer), failure::words(&error));
        ended(ctx, hop, TierResult::Away);
    }
    error.set_retry(!respond::begun(session));
    Ok(error)
}

/// Whether the viewer's connection, to whichever node, was encrypted.
pub fn is_tls(session: &Session, ctx: &RequestCtx) -> bool {
    ctx.tier.asked.as_ref().map_or_else(|| respond::is_tls(session), |ask| ask.tls)
}

/// What a node says in its field after `name`.
fn said<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h str> {
    fields.get(peering::FIELD)?.to_str().ok()?.split("; ").find_map(|part| part.strip_prefix(name))
}

fn ended(ctx: &mut RequestCtx, hop: Hop, result: TierResult) {
    ctx.tier.ended.push(result);
    let name = ctx.snapshot.origins.nodes().name(hop.peer);
    let comma = if ctx.tier.words.is_empty() { "" } else { ", " };
    // A string that grows cannot refuse.
    let _ = write!(ctx.tier.words, "{comma}{name} {}", result.as_str());
}
