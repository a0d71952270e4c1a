//! Phases: the whole request on Pingora's state machine; each line names the room that decides.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::HashBinary;
use pingora::cache::storage::HitHandler;
use pingora::cache::{CacheKey, CacheMeta, CachePhase, ForcedFreshness, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::cache::{policy, store, vary};
use crate::listen::Refusal;

use super::context::{RequestCtx, Role};
use super::plan::{self, Target};
use super::{
    answering, applying, asked, asking, collapsing, entering, events, failure, handing, keeping, pages, prior, record,
    respond, shared::Shared, soft, tiers, uploads, upstream,
};

/// The full path. All state is shared with the fast lane.
#[derive(Debug)]
pub struct Phases(pub Arc<Shared>);

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = RequestCtx;

    fn new_ctx(&self) -> RequestCtx {
        prior::context(&self.0.live)
    }

    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {
        // Compression is ours (`behavior::compress`): Pingora's module would compress every hit anew.
    }

    fn allow_spawning_subrequest(&self, _session: &Session, _ctx: &RequestCtx) -> bool {
        true
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<()> {
        ctx.role = Role::of(session);
        if ctx.head_in == 0 {
            ctx.head_in = asking::sent_bytes(session.req_header());
        }
        if let Role::Page(path, snapshot) = &ctx.role {
            pages::aim(session, path);
            ctx.snapshot = snapshot.clone();
        }
        let limits = &ctx.snapshot.config.limits;
        // The wire has its own deadlines; Pingora's would cut idle tunnels.
        session.set_read_timeout(None);
        session.set_write_timeout(Some(limits.write_timeout));
        let keep = (!session.is_process_shutting_down()).then(|| limits.idle_timeout.as_secs().max(1));
        session.set_keepalive(keep);
        // RFC 9110 §15.2: HTTP/1.0 has no interim answers.
        let old = session.req_header().version == http::Version::HTTP_10;
        session.set_ignore_info_resp(old);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        asking::arrive(&self.0, session, ctx);
        let marked = asked::receive(session, ctx);
        let passed = handing::receive(&self.0, session, ctx);
        if let Some((status, what)) = asking::refuse(session.req_header(), &ctx.snapshot.config.limits) {
            let answer = respond::error_answer(session, ctx, status, &what);
            respond::answer(session, ctx, answer, "refused").await?;
            return Ok(true);
        }
        asking::name_host(session.req_header_mut());
        if ctx.tier.asked.is_some() {
            return asked::enter(&self.0, session, ctx).await;
        }
        // Whoever had no such field was counted where the head was read.
        let early = marked.then(|| asked::early(&self.0, ctx)).flatten();
        if let Some(answer) = early.or_else(|| entering::flooded(ctx)) {
            respond::answer(session, ctx, answer, "refused").await?;
            return Ok(true);
        }
        let (host, target) = asking::address(session.req_header());
        let (host, target) = (host.to_owned(), target.to_owned());
        let routed = passed.as_ref().and_then(|passed| passed.behavior(ctx));
        let route = || plan::route(&ctx.snapshot, plan::host_name(&host), Target::parse(&target).path);
        let id = match routed.map_or_else(route, Ok) {
            Ok(id) => id,
            Err(why) => {
                let answer = asking::unrouted(session, ctx, why, &host);
                respond::answer(session, ctx, answer, "unrouted").await?;
                return Ok(true);
            }
        };
        ctx.behavior = Some(id);
        let snapshot = ctx.snapshot.clone();
        let behavior = &snapshot.behavior(id).behavior;
        if let Some(answer) = asking::before_cache(session, behavior, &host, Target::parse(&target)) {
            respond::answer(session, ctx, answer, "behavior").await?;
            return Ok(true);
        }
        if let Some((status, what, why)) = asking::unfit(session, ctx, behavior) {
            let answer = respond::error_answer(session, ctx, status, what);
            respond::answer(session, ctx, answer, why).await?;
            return Ok(true);
        }
        if let Some(passed) = &passed {
            ctx.viewer = passed.viewer;
            // What another behavior's rule said is nothing here.
            ctx.entered = routed.map(|_| passed.entered.clone()).unwrap_or_default();
        }
        if let Some(answer) = entering::enter(&self.0, session, ctx).await? {
            respond::answer(session, ctx, answer, "access").await?;
            return Ok(true);
        }
        asking::bound_body(session, ctx, asking::announced(session.req_header()).unwrap_or(0))?;
        if let Some(passed) = passed {
            ctx.hooks.way = passed.way;
            applying::viewer_request(session.req_header_mut(), passed.edits)?;
        } else if let Some(answer) = events::viewer_request(&self.0.guard.bodies, session, ctx).await? {
            respond::answer(session, ctx, answer, "function").await?;
            return Ok(true);
        }
        // A function may have changed what is asked for; who answers it is settled.
        let target = asking::address(session.req_header()).1.to_owned();
        keeping::plan(session, ctx, behavior, &host, Target::parse(&target));
        if ctx.is_viewer() {
            soft::give_time(&self.0, session, ctx).await;
        }
        Ok(false)
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<()> {
        collapsing::begin(&self.0, session, ctx);
        Ok(())
    }

    fn cache_key_callback(&self, _session: &Session, ctx: &mut RequestCtx) -> Result<CacheKey> {
        let slot = ctx.slot.as_ref().ok_or_else(|| Error::explain(ErrorType::InternalError, "no cache slot"))?;
        let mut key = CacheKey::new(slot.key.clone(), "");
        key.set_primary_bin_override(slot.hash);
        Ok(key)
    }

    fn cache_vary_filter(&self, meta: &CacheMeta, ctx: &mut RequestCtx, request: &RequestHeader) -> Option<HashBinary> {
        let names = keeping::vary_names(meta)?;
        let coding_in_key = ctx.served().is_some_and(|s| s.behavior.compress.is_some());
        ctx.cache.vary_found |= store::stored(meta).is_some();
        vary::variance(&names, &request.headers, coding_in_key)
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        meta: &CacheMeta,
        _handler: &mut HitHandler,
        _fresh: bool,
        ctx: &mut RequestCtx,
    ) -> Result<Option<ForcedFreshness>> {
        let verdict = keeping::judge(&self.0, session, meta, ctx);
        collapsing::found(&self.0, session, ctx);
        Ok(verdict)
    }

    fn should_serve_stale(&self, session: &mut Session, ctx: &mut RequestCtx, error: Option<&Error>) -> bool {
        match error {
            None => {
                let waits = ctx.is_viewer() && !asked::wants_stored(ctx);
                let serves = waits && (ctx.cache.while_revalidate || ctx.cache.soft_expired);
                if serves {
                    // What follows may be the background request; the answer's header restores this.
                    handing::pass(&self.0, session, ctx);
                    asking::make_copyable(session);
                }
                serves
            }
            Some(error) => {
                let bridged = upstream::is_bridged(session, ctx, error);
                if bridged {
                    collapsing::failed(&self.0, session, now_ms());
                }
                bridged
            }
        }
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        let only_if_cached =
            ctx.served().is_some_and(|s| policy::only_if_cached(&s.behavior.cache, &session.req_header().headers));
        if asked::wants_stored(ctx) {
            asked::nothing(session, ctx).await?;
            return Ok(false);
        }
        if only_if_cached && ctx.is_viewer() {
            // RFC 9111 §5.2.1.7
            let answer = respond::error_answer(
                session,
                ctx,
                504,
                "nothing is stored for this request, and it asked for nothing else",
            );
            respond::answer(session, ctx, answer, "only-if-cached").await?;
            return Ok(false);
        }
        if asking::expects_continue(session) {
            asking::send_continue(session).await?;
        }
        ctx.origin.fetch_start = self.0.stamps.next(now_nanos());
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
        upstream::peer(&self.0, session, ctx).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        ctx.origin.connect = (!reused).then(|| upstream::since(ctx.origin.started));
        ctx.origin.asked_ms = now_ms();
        uploads::begin(&ctx.upload);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        // Every attempt sends the whole body.
        entering::expect_body(session, ctx);
        match tiers::forward(session, request, ctx)? {
            true => Ok(()),
            false => asking::forward(session, request, ctx),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        ctx.ahead.lead(body, session);
        ctx.body_in += body.as_ref().map_or(0, |b| b.len() as u64);
        uploads::came(&ctx.upload, body.as_ref(), end);
        asking::bound_body(session, ctx, ctx.body_in)?;
        entering::check_body(ctx, body, end)?;
        events::request_body(&ctx.hooks, body, end);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestCtx,
        error: Box<Error>,
    ) -> Box<Error> {
        upstream::failed(session, ctx, error, false, false)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestCtx,
        reused: bool,
    ) -> Box<Error> {
        upstream::failed(session, ctx, error, true, reused)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != http::StatusCode::SWITCHING_PROTOCOLS {
            return respond::edit(response, crate::origin::hop::strip);
        }
        if !tiers::takes(response, ctx)? {
            return Err(failure::again(failure::FAILOVER));
        }
        let status = response.status.as_u16();
        asking::answered(ctx, status);
        if status == 101 && !session.is_upgrade_req() {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "the origin switched protocols unasked").into_up());
        }
        if status == 304 && session.cache.maybe_cache_meta().is_some() {
            if !ctx.tier.is_asking()
                && let Err(error) = events::origin_response(session, response, ctx).await
            {
                // Pingora would serve the bare 304: what is stored goes on its way, and becomes the error there.
                ctx.hooks.refused = Some(error);
                return Ok(());
            }
            return answering::confirm(session, response, ctx);
        }
        if status == 304 && !asking::conditional(session) {
            return Err(
                Error::explain(ErrorType::InvalidHTTPHeader, "the origin sent a 304 that nobody asked for").into_up()
            );
        }
        if ctx.tier.is_asking() {
            // Functions, failover and error pages had their turn where the origin was asked.
            if policy::is_failure(status) && (upstream::keeps_stale(ctx) || upstream::stays(session, ctx)) {
                return Err(Error::explain(ErrorType::HTTPStatus(status), "the stale answer stays").into_up());
            }
        } else if ctx.origin.instead.is_none() {
            if let Some(to) = upstream::next_member(session, ctx, upstream::cause(status)) {
                events::left_behind(session, response, ctx).await;
                upstream::move_on(ctx, to);
                return Err(failure::again(failure::FAILOVER));
            }
            if upstream::leaves_stale(session, ctx, status) {
                events::left_behind(session, response, ctx).await;
                return Err(Error::explain(ErrorType::HTTPStatus(status), "the stale answer stays").into_up());
            }
            events::origin_response(session, response, ctx).await?;
            // Error pages and what stays stored go by what the functions made of it.
            let status = response.status.as_u16();
            if policy::is_failure(status) && upstream::keeps_stale(ctx) {
                return Err(Error::explain(ErrorType::HTTPStatus(status), "the stale answer stays").into_up());
            }
            if pages::rule(session, ctx, status).is_some() && upstream::place(session, ctx, status) {
                return Err(failure::again(failure::ERROR_PAGE));
            }
        }
        ctx.origin.answered = true;
        answering::receive(session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<Option<Duration>> {
        answering::encode(ctx, body, end)?;
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut http::HeaderMap,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        answering::trailer(ctx)
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<RespCacheable> {
        keeping::admit(&self.0, session, response, ctx)
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _ctx: &mut RequestCtx,
    ) -> Result<bool> {
        Ok(answering::not_modified(session, response))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> RangeType {
        answering::range(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        asking::restore(session);
        if let Some(again) = answering::unconfirmed(session, ctx) {
            return Err(again);
        }
        if let Some(error) = ctx.hooks.refused.take() {
            return events::refuse_confirmed(session, response, ctx, &error).await;
        }
        if let Role::Revalidation(guard) = &mut ctx.role
            && session.cache.phase() != CachePhase::Stale
            && let Some(guard) = guard.take()
        {
            // The new answer's header is in the cache: viewers that waited find it there.
            guard.renewed();
        }
        keeping::invalidate(&self.0, session, response, ctx);
        answering::send(session, response, ctx)?;
        if events::viewer_response(session, response, ctx).await? {
            answering::note(response, ctx);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<Option<Duration>> {
        events::viewer_body(ctx, body);
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestCtx) -> FailToProxy {
        let (mut status, mut kind) = failure::classify(error);
        if ctx.hooks.failed.as_ref().is_some_and(|failed| !failed.is_limit()) {
            // A function's own fault: its status, 503, would say that there was too much of something.
            kind = crate::observe::Failure::Internal;
        }
        respond::fail(ctx, kind, failure::words(error));
        if let Some(refusal) = Refusal::of(error) {
            status = refusal.status;
            self.0.observer.metrics().refused(asking::refusal_kind(&refusal));
        }
        // Nobody reads a background request's answer.
        let unread = matches!(ctx.role, Role::Revalidation(_));
        if status == 0 || unread || respond::begun(session) {
            return FailToProxy { error_code: status, can_reuse_downstream: false };
        }
        let words = failure::told(ctx.origin.failure.unwrap_or(kind), error);
        let page = pages::instead(session, ctx, status, &words).await;
        let answer = match ctx.denied.take() {
            Some(denied) => super::denying::denied(&denied),
            None => pages::answer(&page),
        };
        // A body that was not read to its end cannot be skipped safely: such a connection closes.
        let reuse = session.is_body_done() && matches!(error.esource(), ErrorSource::Upstream);
        if !reuse {
            session.set_keepalive(None);
        }
        let written = respond::answer(session, ctx, answer, "error").await;
        ctx.answer.outcome = Some(crate::observe::Outcome::Error);
        FailToProxy { error_code: page.status.as_u16(), can_reuse_downstream: reuse && written.is_ok() }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestCtx) {
        record::finish(&self.0.observer, session, error, ctx);
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestCtx, _error: &Error) -> bool {
        // The access log says it, with the reason.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestCtx,
        _error: &Error,
        _context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Nanoseconds since the epoch.
pub fn now_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
