//! Pages: custom error pages, fetched through the behaviors like any request.
//!
//! In: a behavior's error page rule. Out: the answer to serve in the origin's place. Never: pages of pages.

use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderValue, StatusCode, header};
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::proxy::subrequest::Ctx;

use crate::behavior::{Answer, ResultType, errors};
use crate::config::compiled::{ErrorPage, Generated, Page};
use crate::hooks::Failure;

use super::context::{RequestCtx, Role};
use super::plan::Target;
use super::snapshot::Snapshot;
use super::{asking, respond};

/// Largest error page that is fetched, in bytes; a larger one is given up for the plain error.
const PAGE_MAX: usize = 1 << 20;

/// The answer for `status` in the origin's place: the behavior's page, else the plain error.
pub async fn instead(session: &mut Session, ctx: &RequestCtx, status: u16, what: &str) -> Arc<Generated> {
    if let Some(page) = page(session, ctx, status).await {
        return Arc::new(page);
    }
    let mut plain = respond::error_answer(session, ctx, status, what);
    // It stands for what the origin would have said: the cache keeps it as long as an error of its own (`cache.error_ttl`).
    plain.headers.retain(|(name, _)| *name != header::CACHE_CONTROL);
    Arc::new(Generated { status: plain.status, headers: plain.headers, body: plain.body })
}

/// The behavior's page for `status`, where it has one that can be had.
pub async fn page(session: &mut Session, ctx: &RequestCtx, status: u16) -> Option<Generated> {
    let page = rule(session, ctx, status)?;
    page_answer(session, ctx, page, status).await
}

/// It as an answer of the edge's own.
pub fn answer(page: &Generated) -> Answer {
    Answer {
        status: page.status,
        headers: page.headers.clone(),
        body: page.body.clone(),
        result: ResultType::Error,
        failure: None,
    }
}

/// The rule for this status. A page never has a page, whether it is fetched for an error or asked for by a viewer: that one
/// would wait for itself.
pub fn rule<'c>(session: &Session, ctx: &'c RequestCtx, status: u16) -> Option<&'c ErrorPage> {
    if matches!(ctx.role, Role::Page(..)) {
        return None;
    }
    if ctx.hooks.failed.as_ref().is_some_and(Failure::is_limit) {
        // CloudFront has no pages for exceeded limits.
        return None;
    }
    let served = ctx.behavior.map(|id| ctx.snapshot.behavior(id))?;
    let page = errors::page_for(&served.behavior, StatusCode::from_u16(status).ok()?)?;
    let asked = Target::parse(asking::address(session.req_header()).1).path;
    let itself = matches!(&page.page, Page::Path(path) if Target::parse(path).path == asked);
    (!itself).then_some(page)
}

async fn page_answer(session: &mut Session, ctx: &RequestCtx, page: &ErrorPage, status: u16) -> Option<Generated> {
    let (kind, body) = match &page.page {
        Page::File { content_type, body } => (content_type.clone(), body.clone()),
        Page::Path(path) => fetch(session, path, &ctx.snapshot).await?,
    };
    let status = page.respond.or(StatusCode::from_u16(status).ok())?;
    // The lifetime is the rule's (CloudFront's ErrorCachingMinTTL), whatever the page itself says.
    let lifetime = HeaderValue::from_str(&format!("max-age={}", page.ttl.as_secs())).ok()?;
    Some(Generated { status, headers: vec![(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, lifetime)], body })
}

/// Fetches a page through the behaviors; `None` when it is not a 200 or too large.
async fn fetch(session: &mut Session, path: &str, snapshot: &Arc<Snapshot>) -> Option<(HeaderValue, bytes::Bytes)> {
    asking::make_copyable(session);
    let spawner = session.subrequest_spawner.as_ref()?;
    let role: Box<dyn std::any::Any + Send + Sync> = Box::new(Role::Page(path.to_owned(), snapshot.clone()));
    let (prepared, mut handle) =
        spawner.create_subrequest(session.as_downstream(), Ctx::builder().user_ctx(role).build());
    asking::restore(session);
    let running = tokio::spawn(prepared.run());
    let mut kind = None;
    let mut body = BytesMut::new();
    let mut complete = false;
    while let Some(task) = handle.rx.recv().await {
        let end = match task {
            HttpTask::Header(head, end) => {
                if head.status != StatusCode::OK {
                    break;
                }
                kind = head.headers.get(header::CONTENT_TYPE).cloned();
                end
            }
            HttpTask::Body(data, end) => {
                let data = data.unwrap_or_default();
                if body.len() + data.len() > PAGE_MAX {
                    break;
                }
                body.extend_from_slice(&data);
                end
            }
            HttpTask::Done => true,
            HttpTask::Failed(_) => break,
            _ => false,
        };
        if end {
            complete = true;
            break;
        }
    }
    // The page may still be on its way into the cache: let it finish by itself.
    tokio::spawn(async move {
        while handle.rx.recv().await.is_some() {}
        let _ = running.await;
    });
    complete.then(|| (kind.unwrap_or(HeaderValue::from_static("text/html")), body.freeze()))
}

/// Turns a copy of the viewer's request into the request for the page.
pub fn aim(session: &mut Session, path: &str) {
    let request = session.req_header_mut();
    request.set_method(http::Method::GET);
    if let Ok(uri) = path.parse() {
        request.set_uri(uri);
    }
    for name in [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
        header::EXPECT,
        header::UPGRADE,
        header::CACHE_CONTROL,
        header::PRAGMA,
    ] {
        request.remove_header(&name);
    }
}
