//! Front: one viewer connection, request after request.
//!
//! In: an accepted stream. Out: hits answered here, plain requests passed to their origin and back, everything else handed to
//! Pingora with one message's bytes at a time.
//! Never: decides what an answer is.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use http::Version;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use crate::cache::status::CacheStatus;
use crate::config::compiled::Listener;
use crate::fleet::peering::FIELD;
use crate::limit;
use crate::listen::head::{self, Framing, Parsed, Request};
use crate::listen::{self, Endpoints, Gate, Refusal, Wire};
use crate::message::Fields;
use crate::observe::{self, Failure};

use super::fast::{self, Answer, Arrival, Spans};
use super::hooked::{self, Came, Candidate};
use super::pass::{self, Pass};
use super::phases::Phases;
use super::plan::{self, Scratch, Target};
use super::prior::{Before, Handed};
use super::record::Words;
use super::relay::{self, Passed};
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::streams::Streams;
use super::{asking, entering, handing, prior, record};

/// How long a drain leaves a connection open after it was made, or after an answer that promised more: a request may be on its way. It is
/// answered with `Connection: close`.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Ends [`LAST_REQUEST`] after a drain began.
async fn drained(shutdown: &ShutdownWatch) {
    // What it yields holds a lock.
    drop(shutdown.clone().wait_for(|closing| *closing).await);
    tokio::time::sleep(LAST_REQUEST).await;
}

/// The application behind every listener.
pub struct Front {
    pub shared: Arc<Shared>,
    pub proxy: Arc<HttpProxy<Phases>>,
    /// What speaks HTTP/2 on the connections handed to it.
    pub streams: Arc<Streams>,
    pub gate: Arc<Gate>,
    pub endpoints: Arc<Endpoints>,
}

/// What is known of a connection before its first request.
struct Viewer {
    address: SocketAddr,
    /// This end of it.
    local: SocketAddr,
    tls: Option<Arc<pingora::protocols::tls::SslDigest>>,
    listener: Arc<Listener>,
}

/// What became of an answer's bytes.
struct Sent {
    bytes: u64,
    failure: Option<Failure>,
}

/// What the bytes at hand ask for.
enum Step {
    Read,
    /// With whom the log names.
    Refuse(Refusal, SocketAddr),
    Answer {
        answer: Box<Answer>,
        len: usize,
        keep_alive: bool,
    },
    Show {
        candidate: Box<Candidate>,
        full: Full,
        spans: Spans,
        keep_alive: bool,
    },
    Pass {
        pass: Box<Pass>,
        full: Full,
    },
    Full(Full),
}

/// What the full path needs besides the head's bytes.
struct Full {
    len: usize,
    canonical: Option<BytesMut>,
    framing: Framing,
    expect_continue: bool,
    upgrade: bool,
    /// The connection ends with this request.
    last: bool,
    /// Functions will see it: a copy has to find what they make of it.
    changes: bool,
    /// What was done for it already.
    handed: Option<Handed>,
    /// The canary, when its viewer gets it.
    chosen: Option<Arc<Snapshot>>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let socket = stream.get_socket_digest();
        let inet =
            |address: Option<&pingora::protocols::l4::socket::SocketAddr>| address.and_then(|a| a.as_inet().copied());
        let address = inet(socket.as_ref().and_then(|digest| digest.peer_addr())).unwrap_or(record::NOBODY);
        let local = inet(socket.as_ref().and_then(|digest| digest.local_addr()))?;
        let metrics = self.shared.observer.metrics();
        let _permit = self.gate.admit(address.ip())?;
        let endpoint = self.endpoints.of(local)?;
        let limits = Arc::new(self.shared.live.peek().config.limits.clone());
        let stream = match &endpoint.tls {
            None => stream,
            Some(tls) => match tls.accept(stream, limits.header_timeout).await {
                Ok(stream) => stream,
                Err(error) => {
                    metrics.refused(observe::Refusal::TlsHandshake);
                    log::debug!("{address}: {error}");
                    return None;
                }
            },
        };
        let viewer = Viewer { address, local, tls: stream.get_ssl_digest(), listener: endpoint.listener() };
        let mut h2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let mut wire = Wire::new(stream, limits);
        if !h2 && viewer.tls.is_none() && viewer.listener.h2 {
            let speaks = tokio::select! {
                biased;
                speaks = wire.speaks_h2() => speaks,
                // Nothing came that a request could begin with.
                () = drained(shutdown) => return None,
            };
            h2 = match speaks {
                Ok(h2) => h2,
                Err(_) => {
                    self.late(wire, &viewer).await;
                    return None;
                }
            };
        }
        if h2 {
            self.streams.process_new(Box::new(wire.into_h2()), shutdown).await;
        } else {
            self.serve(wire, &viewer, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl Front {
    /// A head that did not come in time, or an idle connection that is over.
    async fn late(&self, wire: Wire, viewer: &Viewer) {
        if let Some(refusal) = wire.refusal() {
            self.refuse(wire, viewer, refusal, viewer.address).await;
        }
    }

    /// Requests of one HTTP/1 connection, until one side closes it.
    async fn serve(&self, mut wire: Wire, viewer: &Viewer, shutdown: &ShutdownWatch) {
        let mut scratch = Scratch::default();
        let mut served: u32 = 0;
        let mut since = Instant::now();
        let mut drain = shutdown.clone();
        // One for the whole connection: waiting anew for every request would take the watch's lock each time.
        let drain = drain.wait_for(|closing| *closing);
        tokio::pin!(drain);
        let mut draining = false;
        loop {
            let last = self.last(served + 1, shutdown);
            let step = match self.step(&wire, viewer, since, last, &mut scratch) {
                Step::Show { candidate, full, spans, keep_alive } => {
                    let keeps = || keep_alive && !*shutdown.borrow();
                    self.show(candidate, full, spans, keeps, viewer.tls.is_some(), &mut scratch).await
                }
                step => step,
            };
            match step {
                // It has become one of the others.
                Step::Show { .. } => return,
                Step::Read => {
                    let idle = wire.buffer().is_empty();
                    let over = async {
                        if !draining {
                            // What it yields holds a lock.
                            drop(drain.as_mut().await);
                            draining = true;
                        }
                        tokio::time::sleep_until((since + LAST_REQUEST).into()).await;
                    };
                    let filled = tokio::select! {
                        biased;
                        filled = wire.fill() => filled,
                        // An idle connection has nothing to lose when the process drains.
                        () = over, if idle => return,
                    };
                    match filled {
                        Ok(0) => return,
                        Ok(_) => {
                            if idle {
                                since = Instant::now();
                            }
                        }
                        Err(_) => return self.late(wire, viewer).await,
                    }
                }
                Step::Refuse(refusal, address) => return self.refuse(wire, viewer, refusal, address).await,
                Step::Answer { answer, len, keep_alive } => {
                    let before = wire.sent();
                    let written = self.write(&mut wire, &answer, &scratch).await;
                    let failure = (!written).then_some(Failure::ClientAborted);
                    let sent = Sent { bytes: wire.sent() - before, failure };
                    let words = words(&answer.spans, &wire.buffer()[..len], viewer, since, sent);
                    let words = words.seen(&answer.hit);
                    record::finish_hit(&self.shared.observer, &answer.hit, &words);
                    if !written {
                        return;
                    }
                    wire.skip_head(len);
                    since = Instant::now();
                    served += 1;
                    if !keep_alive {
                        return shut(wire).await;
                    }
                }
                Step::Pass { mut pass, full } => {
                    let head = wire.take_head(full.len);
                    let before = wire.sent();
                    let passed = relay::run(&self.shared, &mut wire, &mut pass, &mut scratch, shutdown).await;
                    pass.give_back(&mut scratch);
                    let (failure, error) = match passed {
                        Passed::Whole => (None, String::new()),
                        Passed::Broken(failure, error) => (Some(failure), error),
                        Passed::Full(prior) => {
                            let handed = Some(Handed::Attempt(prior));
                            let before = Before { handed, head: full.len as u64, ..Before::default() };
                            match prior::with(before, self.full(wire, head, full, shutdown)).await {
                                Some(same) => wire = same,
                                None => return,
                            }
                            (served, since) = (served + 1, Instant::now());
                            continue;
                        }
                    };
                    let sent = Sent { bytes: wire.sent() - before, failure };
                    let words = words(&pass.spans, &head, viewer, since, sent);
                    record::finish_pass(&self.shared.observer, &pass, &words, &error);
                    if failure.is_some() {
                        return;
                    }
                    (served, since) = (served + 1, Instant::now());
                    if !pass.keep_alive {
                        return shut(wire).await;
                    }
                }
                Step::Full(mut full) => {
                    let head = wire.take_head(full.len);
                    let (handed, chosen) = (full.handed.take(), full.chosen.take());
                    let before = Before { handed, chosen, upload: None, head: full.len as u64 };
                    match prior::with(before, self.full(wire, head, full, shutdown)).await {
                        Some(same) => wire = same,
                        None => return,
                    }
                    (served, since) = (served + 1, Instant::now());
                }
            }
        }
    }

    /// Has Pingora serve one request. The wire, when another may follow on it.
    async fn full(&self, mut wire: Wire, head: BytesMut, full: Full, shutdown: &ShutdownWatch) -> Option<Wire> {
        wire.begin(full.framing, full.expect_continue, full.upgrade);
        let mut session = ServerSession::new_http1(Box::new(wire));
        let head = full.canonical.unwrap_or(head);
        session.set_pipelined_prefix(if full.changes { marked(head) } else { head });
        if full.last {
            // The only switch that the request's own fields do not turn on again.
            session.set_keepalive_reuses_remaining(Some(0));
        }
        let (stream, _) = self.proxy.process_new_http(session, shutdown).await?.consume();
        let mut wire = *stream.into_any().downcast::<Wire>().ok()?;
        if !wire.next_request() {
            shut(wire).await;
            return None;
        }
        Some(wire)
    }

    /// Whether the connection ends with the request served now.
    fn last(&self, served: u32, shutdown: &ShutdownWatch) -> bool {
        *shutdown.borrow() || served >= self.shared.live.peek().config.limits.requests_per_connection
    }

    fn step(&self, wire: &Wire, viewer: &Viewer, since: Instant, last: bool, scratch: &mut Scratch) -> Step {
        let raw = wire.buffer();
        if raw.is_empty() {
            return Step::Read;
        }
        let snapshot = self.shared.live.peek();
        let mut slots = head::slots();
        let request = match head::parse(raw, &mut slots, &snapshot.config.limits) {
            Parsed::Partial => return Step::Read,
            Parsed::Refused(refusal) => return Step::Refuse(refusal, viewer.address),
            Parsed::Complete(request) => request,
        };
        let name = asking::X_FORWARDED_FOR;
        let address = asking::viewer(viewer.address, Some(&viewer.listener), request.head.lines(&name));
        let chosen = self.shared.live.canary_of(|| Some(address.ip()));
        let snapshot = chosen.as_ref().unwrap_or(&snapshot);
        // A node asks for many viewers: whether it is one is seen on the full path.
        if !request.head.has(&FIELD) && entering::early(&self.shared, snapshot, || address.ip()).is_err() {
            return Step::Refuse(Refusal::TOO_MANY, address);
        }
        let keep_alive = request.keep_alive && !last;
        let certificate = viewer.tls.as_deref().and_then(|digest| listen::Session::of(digest).peer);
        let tls = viewer.tls.is_some();
        // Looked for once: every lane that follows asks for it.
        let behavior =
            plan::route(snapshot, plan::host_name(request.head.host), Target::parse(request.head.target).path).ok();
        let arrival = Arrival { raw, viewer: address, certificate, tls, keep_alive, behavior };
        let (mut pass, mut candidate, mut handed) = (None, None, None);
        match fast::answer(&self.shared, snapshot, &request, arrival, scratch) {
            Ok(Some(answer)) => return Step::Answer { answer: Box::new(answer), len: request.len, keep_alive },
            Ok(None) => {
                let peer = viewer.address.ip();
                let from = pass::From { raw, peer, viewer: address, certificate, tls, keep_alive, since, behavior };
                let shown = self.candidate(snapshot, &request, arrival, viewer.local, since);
                let planned = shown.and_then(|shown| match shown {
                    Some(shown) => Ok((Some(shown), None)),
                    None => Ok((None, pass::plan(&self.shared, snapshot, &request, from, scratch)?)),
                });
                match planned {
                    Ok(planned) => (candidate, pass) = planned,
                    Err(refused) => handed = Some(Handed::Refused(refused)),
                }
            }
            Err(refused) => handed = Some(Handed::Refused(refused)),
        }
        let full = Full {
            handed,
            chosen: chosen.clone(),
            len: request.len,
            canonical: request.rewritten(&raw[..request.len]),
            // A copy of a canary's request is the canary's too.
            changes: chosen.is_some()
                || match &candidate {
                    Some(candidate) => candidate.changes(),
                    None => fast::is_changed(snapshot, behavior),
                },
            framing: request.framing,
            expect_continue: request.expect_continue,
            upgrade: request.upgrade,
            last,
        };
        match (candidate, pass) {
            (Some(candidate), _) => {
                Step::Show { candidate, full, spans: Spans::of(&request.head, raw, address), keep_alive }
            }
            (None, Some(pass)) => Step::Pass { pass, full },
            (None, None) => Step::Full(full),
        }
    }

    /// A request that viewer functions have to see before it is known whether it is a plain hit.
    fn candidate(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &Request<'_>,
        arrival: Arrival<'_>,
        local: SocketAddr,
        since: Instant,
    ) -> Result<Option<Box<Candidate>>, Box<limit::Refused>> {
        let Some(ask) = fast::ask(request, arrival) else { return Ok(None) };
        hooked::candidate(&self.shared, snapshot, ask, Some(local.ip()), since, || fast::map(&request.head))
    }

    /// Has functions see a request: what is to be done with it then.
    async fn show(
        &self,
        candidate: Box<Candidate>,
        full: Full,
        spans: Spans,
        keeps: impl Fn() -> bool,
        tls: bool,
        scratch: &mut Scratch,
    ) -> Step {
        match hooked::run(&self.shared, candidate, &mut scratch.key).await {
            Came::Hit(hit, snapshot) => {
                // The functions have had their time: what the head promises now is kept.
                let keep_alive = keeps();
                let answer = fast::written(&snapshot, *hit, spans, tls, keep_alive, scratch);
                Step::Answer { answer: Box::new(answer), len: full.len, keep_alive }
            }
            Came::Full(seen) => Step::Full(Full { handed: Some(Handed::Seen(seen)), ..full }),
        }
    }

    async fn write(&self, wire: &mut Wire, answer: &Answer, scratch: &Scratch) -> bool {
        if wire.write_all(&scratch.out).await.is_err() {
            return false;
        }
        if let (true, Some(body)) = (answer.body_apart, answer.hit.body())
            && wire.write_all(body).await.is_err()
        {
            return false;
        }
        wire.flush().await.is_ok()
    }

    async fn refuse(&self, wire: Wire, viewer: &Viewer, refusal: Refusal, address: SocketAddr) {
        let metrics = self.shared.observer.metrics();
        metrics.refused(asking::refusal_kind(&refusal));
        let mut status = String::new();
        // A string that grows cannot refuse.
        let _ = CacheStatus::refused(&self.shared.live.peek().config.pop.code, refusal.reason).write(&mut status);
        let answer = refusal.render(&status);
        let bytes = (wire.buffer().len() as u64, answer.len() as u64);
        record::finish_refusal(&self.shared.observer, &refusal, address, viewer.tls.as_deref(), bytes, None);
        wire.refuse(&answer).await;
    }
}

/// What the log says of a request whose head is `raw`.
fn words<'a>(spans: &Spans, raw: &'a [u8], viewer: &'a Viewer, since: Instant, sent: Sent) -> Words<'a> {
    let bytes = |span: &Range<usize>| &raw[span.clone()];
    let text = |span: &Range<usize>| std::str::from_utf8(bytes(span)).unwrap_or("");
    Words {
        viewer: spans.viewer,
        tls: viewer.tls.as_deref().map(record::tls_words),
        version: Version::HTTP_11,
        host: text(&spans.host),
        target: text(&spans.target),
        user_agent: bytes(&spans.user_agent),
        accept: bytes(&spans.accept),
        accept_encoding: bytes(&spans.accept_encoding),
        referer: bytes(&spans.referer),
        cookie: bytes(&spans.cookie),
        forwarded_for: bytes(&spans.forwarded_for),
        traceparent: bytes(&spans.traceparent),
        bytes_in: raw.len() as u64,
        bytes_out: sent.bytes,
        duration: since.elapsed(),
        failure: sent.failure,
    }
}

/// A head with the id under which a copy of the request finds what functions made of it.
fn marked(mut head: BytesMut) -> BytesMut {
    if let Some(end) = memchr::memchr(b'\n', &head) {
        let rest = head.split_off(end + 1);
        head.extend_from_slice(&handing::line());
        head.unsplit(rest);
    }
    head
}

/// Closes a connection that has nothing more to say.
async fn shut(mut wire: Wire) {
    pingora::protocols::Shutdown::shutdown(&mut wire).await;
}
