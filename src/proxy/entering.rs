//! Entering: who comes in, and how often, before anything else is done for a request.
//!
//! In: the request, its behavior. Out: what is known of who asks, or the refusal. Never: a second count of the same request; a wait
//! in the lanes that do not wait.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use crate::access::sigv4::PayloadCheck;
use crate::access::{Asked, Certificate, Claim, Denied, Entry, Facts, Reason, Used, Verdict, Wait};
use crate::behavior::Answer;
use crate::behavior::viewer::{self, Known};
use crate::config::compiled::BehaviorId;
use crate::limit::headers::{RATE_LIMIT, RATE_LIMIT_POLICY, Shown};
use crate::limit::{Admitted, Kind, Refused, Who};
use crate::listen;
use crate::message::{Fields, path};

use super::ahead::{self, RETRY_BUFFER};
use super::context::{RequestCtx, Role};
use super::phases::now_ms;
use super::plan::{self, Target};
use super::shared::Shared;
use super::snapshot::{Served, Snapshot};
use super::{applying, asking, authorizing, denying, identity, record, respond, uploads};

/// Bytes of a body that is read before its signature can be checked: API Gateway's payload limit.
const SIGNED_BODY_MAX: usize = 10 << 20;

/// How often one request may wait for something before it is judged again: each rule of it once.
const WAITS_MAX: usize = 32;

/// What is known of who asks. Cheap to move; a background copy of the request shares it.
#[derive(Debug, Default, Clone)]
pub struct Entered {
    pub entry: Option<Arc<Entry>>,
    pub admitted: Option<Arc<Admitted>>,
}

// === impl Entered ===
impl Entered {
    /// Who asks, for the log; "" = nobody in particular.
    pub fn principal(&self) -> &str {
        self.entry.as_ref().and_then(|entry| entry.principal.as_ref()).map_or("", |principal| &*principal.id)
    }

    /// What keeps this principal's answers apart in the cache.
    pub fn apart(&self) -> &[u8] {
        self.entry.as_ref().map_or(&[], |entry| &entry.apart)
    }

    /// Which parameters of the query are not part of what is asked for.
    pub fn used(&self) -> &Used {
        static NOTHING: Used = Used { signed: false, presigned: false, tokens: Vec::new() };
        self.entry.as_ref().map_or(&NOTHING, |entry| &entry.used)
    }

    /// Whether the Authorization field was for the edge, and has done its work.
    pub fn used_authorization(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.authorization)
    }

    /// What the answer says of the limits.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let shown = self.admitted.as_ref().and_then(|admitted| admitted.shown.as_ref());
        shown.into_iter().flat_map(shown_fields)
    }
}

/// What is said of the tightest limit.
pub fn shown_fields(shown: &Shown) -> [(HeaderName, HeaderValue); 2] {
    [(RATE_LIMIT_POLICY, shown.policy()), (RATE_LIMIT, shown.rate_limit())]
}

/// Judges a request without a body in a lane that does not wait; `None` = the full path has to see it.
pub fn now<F: Fields>(
    shared: &Shared,
    snapshot: &Snapshot,
    served: &Served,
    asked: &Asked<'_, F>,
    certificate: Option<Certificate<'_>>,
) -> Option<Option<Arc<Entry>>> {
    let Some(rule) = &served.behavior.access else { return Some(None) };
    let country = || snapshot.country(asked.viewer);
    let keys = shared.guard.keys.load();
    let facts = Facts {
        stage: &served.behavior.stage,
        keys: &keys,
        certificate,
        country: &country,
        has_body: false,
        body: None,
        fetched: &[],
        decisions: &[],
    };
    match snapshot.guards.judge(rule, asked, &facts) {
        Verdict::Enter(entry) => Some(Some(Arc::new(identity::told(*entry, served).ok()?))),
        Verdict::Deny(_) | Verdict::Wait(_) => None,
    }
}

/// Whether an address may ask at all, before anything else is looked at.
///
/// # Errors
/// It asks too often.
pub fn early(shared: &Shared, snapshot: &Snapshot, address: impl FnOnce() -> IpAddr) -> Result<(), Box<Refused>> {
    match snapshot.config.rates.per_address {
        None => Ok(()),
        Some(_) => snapshot.bounds.early(address(), shared.guard.clock.now().ns).map_err(Box::new),
    }
}

/// Whether a request falls under limits, whoever asks: those of its behavior, of the account, or of a behavior that its path may
/// be read to.
pub fn is_limited(snapshot: &Snapshot, served: &Served, path: &str) -> bool {
    served.limited || (snapshot.limiting && plan::has_readings(path))
}

/// Counts a request against every limit that it falls under.
///
/// # Errors
/// The first limit that it exceeds.
pub fn admit<F: Fields>(
    shared: &Shared,
    snapshot: &Snapshot,
    served: &Served,
    asked: &Asked<'_, F>,
    entry: Option<&Entry>,
) -> Result<Option<Arc<Admitted>>, Box<Refused>> {
    let key = entry.and_then(|entry| entry.key.as_ref());
    if key.is_none() && !is_limited(snapshot, served, asked.path) {
        return Ok(None);
    }
    let principal = entry.and_then(|entry| entry.principal.as_ref());
    let plan = key.and_then(|key| snapshot.bounds.plan(key.plans.iter().map(String::as_str), &served.behavior.stage));
    let (own, readings) = (path::normal(asked.path), path::readings(asked.path));
    let paths: SmallVec<[&str; 4]> = std::iter::once(&*own).chain(readings.iter().map(String::as_str)).collect();
    let mut behaviors: SmallVec<[BehaviorId; 4]> = SmallVec::from_slice(&[served.index]);
    if snapshot.limiting {
        let others = plan::reached(snapshot, plan::host_name(asked.host), asked.path);
        others.into_iter().for_each(|id| {
            if !behaviors.contains(&id) {
                behaviors.push(id)
            }
        });
    }
    let who = Who {
        behaviors: &behaviors,
        stage: &served.behavior.stage,
        method: asked.method,
        paths: &paths,
        address: asked.viewer,
        api_key: key.map(|key| &*key.name),
        key_made: key.map_or(0, |key| key.made),
        plan,
        principal: principal.map(|principal| (principal.kind.as_str(), &*principal.issuer, &*principal.id)),
        claim: &|name| principal.and_then(|principal| principal.claims.get(name)).map(Claim::words),
        header: &|name| asked.fields.first(name).map(<[u8]>::to_vec),
    };
    match snapshot.bounds.admit(&who, shared.guard.clock.now()) {
        Ok(admitted) => Ok(Some(Arc::new(admitted))),
        Err(refused) => Err(Box::new(refused)),
    }
}

/// Lets a request of the full path in, waiting where it must; `Some` = it is answered with this.
pub async fn enter(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) -> Result<Option<Answer>> {
    let Some(served) = ctx.served().cloned() else { return Ok(None) };
    if matches!(ctx.role, Role::Page(..)) {
        // The edge asks for it, on behalf of nobody.
        show(session, ctx, &served);
        return Ok(None);
    }
    let refused = ctx.refused.take();
    if ctx.entered.entry.is_none() && served.behavior.access.is_some() {
        match judge(shared, session, ctx, &served).await?.and_then(|entry| identity::told(*entry, &served)) {
            Ok(entry) => ctx.entered.entry = Some(Arc::new(entry)),
            Err(denied) => {
                let answer = denying::denied(&denied);
                respond::fail(ctx, answer.failure.unwrap_or(crate::observe::Failure::AccessDenied), denied.to_string());
                return Ok(Some(answer));
            }
        }
    }
    if let Some(refused) = refused {
        // A lane that does not wait has counted it; who asked was judged again for the log.
        return Ok(Some(refuse(ctx, &refused)));
    }
    if ctx.is_viewer() && ctx.entered.admitted.is_none() {
        let snapshot = ctx.snapshot.clone();
        let entry = ctx.entered.entry.clone();
        let admitted = with_asked(session, ctx, |asked| admit(shared, &snapshot, &served, asked, entry.as_deref()));
        match admitted {
            Ok(admitted) => ctx.entered.admitted = admitted,
            Err(refused) => return Ok(Some(refuse(ctx, &refused))),
        }
    }
    show(session, ctx, &served);
    if ctx.entered.used().any() {
        unsign(session, ctx)?;
    }
    verify_first(shared, session, ctx, &served).await
}

/// Verifies a signed body before functions see it: what they make of it is not what was signed.
async fn verify_first(
    shared: &Shared,
    session: &mut Session,
    ctx: &mut RequestCtx,
    served: &Served,
) -> Result<Option<Answer>> {
    let shown = [&served.chains.viewer_request, &served.chains.origin_request];
    let shown = shown.iter().any(|links| links.iter().any(|link| link.include_body));
    let verified = ctx.entered.entry.as_ref().and_then(|entry| entry.payload.clone());
    let Some(verified) = verified.filter(|_| shown && !ctx.verified && !session.is_body_empty()) else {
        return Ok(None);
    };
    let read = read_body(shared, session, ctx, served).await?;
    let mut check = PayloadCheck::new(&verified);
    let checked = check.push(read).and_then(|first| Ok([&first[..], &check.finish()?[..]].concat()));
    match checked {
        Ok(body) => {
            ctx.hooks.ask_with(body.into());
            ctx.verified = true;
            Ok(None)
        }
        Err(denied) => {
            respond::fail(ctx, crate::observe::Failure::AccessDenied, denied.to_string());
            Ok(Some(denying::denied(&denied)))
        }
    }
}

/// Takes the parameters of a signature out of what is asked for.
fn unsign(session: &mut Session, ctx: &mut RequestCtx) -> Result<()> {
    let before = asking::address(session.req_header()).1.to_owned();
    let target = Target::parse(&before);
    let Some(query) = target.query else { return Ok(()) };
    let after = match ctx.entered.used().rest(Some(query)) {
        Some(rest) if rest == query => return Ok(()),
        Some(rest) => format!("{}?{rest}", target.path),
        None => target.path.to_owned(),
    };
    let after = Target::parse(&after);
    applying::aim(session.req_header_mut(), after.path, after.query)?;
    ctx.hooks.asked_target.get_or_insert(before);
    Ok(())
}

/// What is answered to an address that asks too often, when that was found where the stream began.
pub fn flooded(ctx: &mut RequestCtx) -> Option<Answer> {
    let refused = ctx.refused.take_if(|refused| refused.kind == Kind::Heavy)?;
    Some(refuse(ctx, &refused))
}

fn refuse(ctx: &mut RequestCtx, refused: &Refused) -> Answer {
    let words = format!("{:?}: limit '{}'", refused.kind, refused.limit);
    respond::fail(ctx, crate::observe::Failure::LimitExceeded, words);
    denying::refused(refused)
}

/// Asks the rule until nothing has to be waited for.
async fn judge(
    shared: &Shared,
    session: &mut Session,
    ctx: &mut RequestCtx,
    served: &Served,
) -> Result<std::result::Result<Box<Entry>, Denied>> {
    let Some(rule) = &served.behavior.access else { return Ok(Ok(Box::default())) };
    let snapshot = ctx.snapshot.clone();
    let has_body = !session.is_body_empty();
    let (mut body, mut fetched, mut decisions) = (None, Vec::new(), Vec::new());
    for _ in 0..WAITS_MAX {
        let verdict = {
            let digest = session.digest().and_then(|digest| digest.ssl_digest.clone());
            let certificate = digest.as_deref().and_then(|digest| certificate(listen::Session::of(digest).peer));
            with_asked(session, ctx, |asked| {
                let country = || snapshot.country(asked.viewer);
                let keys = shared.guard.keys.load();
                let facts = Facts {
                    stage: &served.behavior.stage,
                    keys: &keys,
                    certificate,
                    country: &country,
                    has_body,
                    body,
                    fetched: &fetched,
                    decisions: &decisions,
                };
                snapshot.guards.judge(rule, asked, &facts)
            })
        };
        match verdict {
            Verdict::Enter(entry) => return Ok(Ok(entry)),
            Verdict::Deny(denied) => return Ok(Err(denied)),
            Verdict::Wait(Wait::Keys(issuer, fetch)) => {
                let since_ms = fetch.since_ms();
                fetch.done().await;
                fetched.push((issuer, since_ms));
            }
            Verdict::Wait(Wait::Body) => {
                let read = read_body(shared, session, ctx, served).await?;
                body = Some(crate::crypto::sha256(&read));
                // It is read: from here on it is what was read, and what was signed.
                ctx.hooks.ask_with(read);
                ctx.verified = true;
            }
            Verdict::Wait(Wait::Authorizer(id, question)) => {
                decisions.push((id, authorizing::ask(session, ctx, id, &question).await));
            }
        }
    }
    Ok(Err(Denied::new(Reason::Excluded, "the rule waits for too much")))
}

/// The request as it came.
pub fn with_asked<T>(session: &Session, ctx: &RequestCtx, look: impl FnOnce(&Asked<'_, HeaderMap>) -> T) -> T {
    let request = session.req_header();
    let (host, target) = asking::address(request);
    let target = Target::parse(target);
    look(&Asked {
        method: request.method.as_str(),
        host,
        path: target.path,
        query: target.query,
        fields: &request.headers,
        tls: respond::is_tls(session),
        viewer: ctx.viewer.map_or(IpAddr::from([0, 0, 0, 0]), |viewer| viewer.ip()),
        now_ms: now_ms(),
    })
}

/// What a verified client certificate says.
pub fn certificate(peer: Option<&listen::Peer>) -> Option<Certificate<'_>> {
    peer.map(|peer| Certificate {
        subject: &peer.subject,
        names: &peer.names,
        authority: &peer.authority,
        anchor: &peer.anchor,
    })
}

/// Reads a whole body whose signature covers it. Pingora sends a body that is read already only from its retry buffer, so that
/// the last part is read with that buffer on; what goes to the origin is all of it.
async fn read_body(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx, served: &Served) -> Result<Bytes> {
    if asking::expects_continue(session) {
        asking::send_continue(session).await?;
    }
    let announced = ahead::announced(session);
    let bound = usize::try_from(served.behavior.request.body_size).unwrap_or(usize::MAX).min(SIGNED_BODY_MAX);
    let most = if announced.is_some() { bound } else { bound.min(RETRY_BUFFER) };
    let too_large = || {
        let what = format!("a body without x-amz-content-sha256 has at most {most} bytes here");
        Error::explain(ErrorType::HTTPStatus(413), what)
    };
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut hold = shared.guard.bodies.begin(ctx.viewer.unwrap_or(record::NOBODY).ip());
    let mut body = BytesMut::new();
    let deadline = Instant::now() + ctx.snapshot.config.limits.signed_body_timeout;
    loop {
        if announced.unwrap_or(0) - body.len().min(announced.unwrap_or(0)) <= RETRY_BUFFER {
            session.as_mut().enable_retry_buffering();
        }
        uploads::wait(&ctx.upload);
        let part = match timeout_at(deadline, session.as_mut().read_request_body()).await {
            Ok(read) => read.map_err(|error| error.into_down())?,
            Err(_) => {
                let what = "a signed body took longer than limits.signed_body_timeout";
                return Err(Error::explain(ErrorType::HTTPStatus(408), what));
            }
        };
        uploads::came(&ctx.upload, part.as_ref(), part.is_none());
        let Some(part) = part else { break };
        if body.len() + part.len() > most {
            return Err(too_large());
        }
        let limits = &ctx.snapshot.config.limits;
        hold.more(part.len(), limits.signed_bodies, limits.signed_bodies_per_address)
            .map_err(|full| Error::explain(ErrorType::HTTPStatus(503), full.to_string()))?;
        body.extend_from_slice(&part);
    }
    ctx.held = Some(hold);
    ctx.body_in += body.len() as u64;
    Ok(body.freeze())
}

/// Puts what the edge knows of the viewer into the request, and takes out what only the edge may say.
fn show(session: &mut Session, ctx: &RequestCtx, served: &Served) {
    let names = served.behavior.identity.names();
    let sent = session.req_header().headers.keys();
    let forged: Vec<HeaderName> = sent.filter(|name| ctx.snapshot.is_edges(name.as_str())).cloned().collect();
    if forged.is_empty() && served.viewer_fields.is_empty() && names.is_empty() {
        return;
    }
    let digest = session.digest().and_then(|digest| digest.ssl_digest.clone());
    let tls = digest.as_deref().map(|digest| {
        let session = listen::Session::of(digest);
        viewer::Tls { version: session.version, cipher: session.cipher }
    });
    let address = ctx.viewer.unwrap_or(super::record::NOBODY);
    let place = (!served.viewer_fields.is_empty()).then(|| ctx.snapshot.place(address.ip())).flatten();
    let version = if session.as_http2().is_some() { Version::HTTP_2 } else { Version::HTTP_11 };
    let known = Known { address, place: place.as_ref(), version, tls };
    let mut fields = session.req_header().headers.clone();
    viewer::set(&mut fields, &served.viewer_fields, &known);
    identity::identify(&mut fields, served, ctx.entered.entry.as_deref());
    let request = session.req_header_mut();
    for name in &forged {
        request.remove_header(name);
    }
    for name in served.viewer_fields.iter().chain(&names) {
        request.remove_header(name);
        if let Some(value) = fields.get(name) {
            // A name and a value that are valid already cannot be refused.
            let _ = request.insert_header(name.clone(), value.clone());
        }
    }
}

/// Makes ready to check a body that is sent now.
pub fn expect_body(session: &Session, ctx: &mut RequestCtx) {
    let verified = ctx.entered.entry.as_ref().and_then(|entry| entry.payload.as_ref());
    // A body that was read before it went on is checked already; a tunnel has none.
    let checked = ctx.verified || session.is_upgrade_req();
    ctx.payload = verified.filter(|_| !checked).map(|verified| Box::new(PayloadCheck::new(verified)));
}

/// Lets a piece of a signed body go on once it is known to be what was signed.
///
/// # Errors
/// The body is not what was signed: the origin never gets its end.
pub fn check_body(ctx: &mut RequestCtx, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    let Some(check) = &mut ctx.payload else { return Ok(()) };
    let mut released = match body.take() {
        Some(part) => check.push(part),
        None => Ok(Bytes::new()),
    };
    if end && let Ok(first) = &released {
        released =
            check.finish().map(|last| if first.is_empty() { last } else { [&first[..], &last[..]].concat().into() });
    }
    match released {
        Ok(bytes) => {
            *body = Some(bytes);
            Ok(())
        }
        Err(denied) => {
            respond::fail(ctx, crate::observe::Failure::AccessDenied, denied.to_string());
            ctx.denied = Some(denied);
            Err(Error::explain(ErrorType::HTTPStatus(403), "the body is not what was signed").into_down())
        }
    }
}
