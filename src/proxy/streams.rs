//! Streams: the requests of HTTP/2 connections, one stream each.
//!
//! In: a stream's request as Pingora read it. Out: plain hits answered here, everything else handed to Pingora untouched.
//! Never: decides what an answer is.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Method, Version, header};
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::limit::Refused;
use crate::listen::{self, Refusal};
use crate::observe::Failure;

use super::fast::{self, Ask, Hit};
use super::hooked::{self, Came, Candidate};
use super::phases::Phases;
use super::plan::{self, Target};
use super::prior::{self, Before, Handed};
use super::record::{self, Words};
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::uploads::Upload;
use super::{asking, entering, failure, heads};

/// The application behind HTTP/2.
pub struct Streams {
    pub shared: Arc<Shared>,
    pub proxy: Arc<HttpProxy<Phases>>,
}

#[async_trait]
impl HttpServerApp for Streams {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let started = Instant::now();
        let mut snapshot = self.shared.live.load();
        let viewer = || Some(asking::who(&session, &snapshot.config.listeners)?.ip());
        let chosen = self.shared.live.canary_of(viewer);
        if let Some(canary) = &chosen {
            snapshot = canary.clone();
        }
        let found = match self.found(&mut session, &snapshot, started) {
            Ok(Found::Candidate(candidate)) => match hooked::run(&self.shared, candidate, &mut Vec::new()).await {
                Came::Hit(hit, _) => Ok(Found::Hit(hit)),
                Came::Full(seen) => Err(Some(Handed::Seen(seen))),
            },
            Ok(found) => Ok(found),
            Err(refused) => Err(Some(Handed::Refused(refused))),
        };
        let found = found.and_then(|found| match found {
            Found::Hit(hit) => header(&snapshot, &hit, is_tls(&session)).map(|answer| (hit, answer)).ok_or(None),
            _ => Err(None),
        });
        let (hit, answer) = match found {
            Ok(found) => found,
            Err(handed) => {
                let before = Before { handed, chosen, ..Before::default() };
                return self.full(session, &snapshot, before, shutdown).await;
            }
        };
        session.set_write_timeout(Some(snapshot.config.limits.write_timeout));
        let written = write(&mut session, answer, &hit).await;
        let failure = written.err().map(|error| failure::classify(&error).1);
        self.note(&session, &snapshot, &hit, started, failure);
        // What could not be written ends with the stream.
        let _ = session.finish().await;
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}

/// What may be answered ahead of Pingora.
enum Found {
    Hit(Box<Hit>),
    /// Viewer functions have to see it first.
    Candidate(Box<Candidate>),
    Nothing,
}

impl Streams {
    /// The hit that answers this request, or what may be one.
    fn found(
        &self,
        session: &mut ServerSession,
        snapshot: &Arc<Snapshot>,
        started: Instant,
    ) -> Result<Found, Box<Refused>> {
        let viewer = asking::who(session, &snapshot.config.listeners);
        if let Some(viewer) = viewer {
            entering::early(&self.shared, snapshot, || viewer.ip())?;
        }
        let plain = session.is_body_empty();
        let tls = is_tls(session);
        let request = session.req_header();
        if !plain
            || request.method != Method::GET
            || request.version != Version::HTTP_2
            || fast::asks_more(&request.headers)
            || asking::refuse(request, &snapshot.config.limits).is_some()
        {
            return Ok(Found::Nothing);
        }
        asking::name_host(session.req_header_mut());
        let request = session.req_header();
        let (host, target) = asking::address(request);
        let Some(viewer) = viewer else { return Ok(Found::Nothing) };
        let certificate = session.digest().and_then(|digest| digest.ssl_digest.as_deref());
        let certificate = certificate.and_then(|digest| listen::Session::of(digest).peer);
        let behavior = plan::route(snapshot, plan::host_name(host), Target::parse(target).path).ok();
        let ask = Ask { viewer, certificate, host, target, version: request.version, tls, behavior };
        let mut key = Vec::with_capacity(128);
        if let Some(hit) = fast::decide(&self.shared, snapshot, ask, &request.headers, &mut key)? {
            return Ok(Found::Hit(Box::new(hit)));
        }
        let server = asking::local(session).map(|address| address.ip());
        let headers = || Some(request.headers.clone());
        let candidate = hooked::candidate(&self.shared, snapshot, ask, server, started, headers)?;
        Ok(candidate.map_or(Found::Nothing, Found::Candidate))
    }

    /// Has Pingora serve a stream; one whose body comes too slowly is reset.
    async fn full(
        &self,
        mut session: ServerSession,
        snapshot: &Snapshot,
        before: Before,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Some(upload) = Upload::of(&mut session) else {
            return prior::with(before, self.proxy.process_new_http(session, shutdown)).await;
        };
        let head = session.req_header().clone();
        let viewer = asking::who(&session, &snapshot.config.listeners).unwrap_or(record::NOBODY);
        let tls = session.digest().and_then(|digest| digest.ssl_digest.clone());
        let before = Before { upload: Some(upload.clone()), ..before };
        tokio::select! {
            biased;
            done = prior::with(before, self.proxy.process_new_http(session, shutdown)) => done,
            () = upload.late(&snapshot.config.limits) => {
                let (refusal, observer) = (Refusal::SLOW_BODY, &self.shared.observer);
                observer.metrics().refused(asking::refusal_kind(&refusal));
                let seen = asking::sent_bytes(&head) + upload.bytes();
                // A stream is reset without a word.
                record::finish_refusal(observer, &refusal, viewer, tls.as_deref(), (seen, 0), Some((&head, snapshot)));
                None
            }
        }
    }

    fn note(
        &self,
        session: &ServerSession,
        snapshot: &Snapshot,
        hit: &Hit,
        started: Instant,
        failure: Option<Failure>,
    ) {
        let request = session.req_header();
        let (host, target) = asking::address(request);
        let value = |name: HeaderName| request.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let tls = session.digest().and_then(|digest| digest.ssl_digest.as_deref());
        let words = Words {
            viewer: asking::who(session, &snapshot.config.listeners).unwrap_or(record::NOBODY),
            tls: tls.map(record::tls_words),
            version: request.version,
            host,
            target,
            user_agent: value(header::USER_AGENT),
            accept: value(header::ACCEPT),
            accept_encoding: value(header::ACCEPT_ENCODING),
            referer: value(header::REFERER),
            cookie: value(header::COOKIE),
            forwarded_for: value(asking::X_FORWARDED_FOR),
            traceparent: value(asking::TRACEPARENT),
            bytes_in: asking::sent_bytes(request),
            bytes_out: session.body_bytes_sent() as u64,
            duration: started.elapsed(),
            failure,
        };
        record::finish_hit(&self.shared.observer, hit, &words.seen(hit));
    }
}

/// The header section of a hit's answer.
fn header(snapshot: &Snapshot, hit: &Hit, tls: bool) -> Option<ResponseHeader> {
    match hit.shown() {
        Some(shown) => Some(shown.head.clone()),
        None => heads::header(snapshot, hit, tls),
    }
}

async fn write(session: &mut ServerSession, answer: ResponseHeader, hit: &Hit) -> pingora::Result<()> {
    session.write_response_header(Box::new(answer)).await?;
    session.write_response_body(hit.body().cloned().unwrap_or_else(Bytes::new), true).await
}

fn is_tls(session: &ServerSession) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}
