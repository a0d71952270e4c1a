//! Respond: the one file where the edge's own answers and errors are written to a viewer.
//!
//! In: an `Answer`, or an error. Out: a response on the session and the note for the log. Never: decides whether to answer.

use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::behavior::{Answer, ResultType, errors, headers};
use crate::cache::status::{CacheStatus, Outcome as StatusOutcome};
use crate::fleet::peering::FIELD;
use crate::observe::{Failure, Outcome};

use super::context::RequestCtx;
use super::{answering, asked, edge};

/// Writes an answer of the edge's own and notes it. The connection stays usable.
pub async fn answer(session: &mut Session, ctx: &mut RequestCtx, answer: Answer, why: &'static str) -> Result<()> {
    let Answer { status, headers, body, result, failure } = answer;
    ctx.answer.failure = ctx.answer.failure.or(failure);
    let mut response = ResponseHeader::build(status, Some(headers.len() + 6))?;
    for (name, value) in headers {
        response.append_header(name, value)?;
    }
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    }
    response.insert_header(http::header::DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    response.insert_header(http::header::VIA, ctx.snapshot.signature.via.clone())?;
    ctx.answer.outcome = Some(outcome_of(result));
    dress(session, ctx, &mut response, result, None, why)?;
    promise(session);
    note(ctx, &response, Some(body.len() as u64));
    let bodiless = session.req_header().method == http::Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(response), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// Says `Connection: close` where the process has begun to drain since the request came. To be called right before a head is written:
/// what it promises then is kept.
pub fn promise(session: &mut Session) {
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
}

/// Whether the viewer has seen a final answer's head; an interim one (1xx) leaves room for it.
pub fn begun(session: &Session) -> bool {
    session
        .response_written()
        .is_some_and(|head| !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS)
}

/// The plain error of the edge for `status`, in the format the viewer accepts.
pub fn error_answer(session: &Session, ctx: &RequestCtx, status: u16, what: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    errors::error_answer(status, what, &session.req_header().headers, ctx.id.as_str(), &ctx.snapshot.config.pop.code)
}

/// Fields every answer carries, and the behavior's response headers policy.
pub fn dress(
    session: &Session,
    ctx: &mut RequestCtx,
    response: &mut ResponseHeader,
    result: ResultType,
    status: Option<CacheStatus<'_>>,
    why: &'static str,
) -> Result<()> {
    let tls = is_tls(session);
    let mut fields = std::mem::take(&mut ctx.scratch);
    fields.clear();
    let snapshot = ctx.snapshot.clone();
    let status = status.unwrap_or(CacheStatus {
        pop: &snapshot.config.pop.code,
        outcome: match ctx.origin.attempts {
            0 => StatusOutcome::Here,
            _ => StatusOutcome::Fwd(answering::reason(ctx)),
        },
        ttl_s: None,
        stored: false,
        collapsed: false,
        fwd_status: (ctx.origin.status != 0).then_some(ctx.origin.status),
        key: None,
        detail: Some(why),
    });
    // A string that grows cannot refuse.
    let _ = status.write(&mut fields);
    let own = HeaderValue::from_str(&fields).map_err(|_| Error::explain(ErrorType::InternalError, "cache-status"))?;
    response.append_header(edge::CACHE_STATUS, own)?;
    response.insert_header(edge::X_CACHE, x_cache(ctx.hooks.result.unwrap_or(result.as_str())))?;
    if let Some(told) = asked::told(session, ctx, response.status, result, why) {
        // What a viewer gets is the asking node's to say.
        response.insert_header(FIELD, told)?;
        edit(response, |map| snapshot.signature.sign(&ctx.id, map))?;
        ctx.scratch = fields;
        return Ok(());
    }
    // A preflight answer is the CORS policy's already.
    let preflight = response.headers.contains_key(http::header::ACCESS_CONTROL_ALLOW_METHODS);
    if let Some(served) = ctx.served().filter(|_| !preflight) {
        edit(response, |map| headers::apply(&served.behavior.response, &session.req_header().headers, tls, map))?;
    }
    if ctx.served().is_some_and(|served| served.behavior.response.server_timing) {
        let origin = ctx
            .origin
            .first_byte
            .map(|first_byte| edge::OriginTimes { connect: ctx.origin.connect.unwrap_or_default(), first_byte });
        let line = edge::server_timing(result, &snapshot.config.pop.code, &ctx.id, origin);
        response.append_header(edge::SERVER_TIMING, line)?;
    }
    if tls && ctx.served().is_some_and(|served| served.behavior.response.steer) {
        // Who came by an earlier hint stays (RFC 7838, section 5): PoPs would send them to and fro.
        let moved = session.req_header().headers.contains_key("alt-used");
        let place = ctx.viewer.filter(|_| !moved).and_then(|viewer| snapshot.place(viewer.ip()));
        let steering = snapshot.steering.as_ref();
        if let Some(hint) = place.and_then(|place| steering?.hint(&place)) {
            response.insert_header(http::header::ALT_SVC, hint.clone())?;
        }
    }
    for (name, value) in ctx.entered.fields() {
        response.insert_header(name, value)?;
    }
    edit(response, |map| snapshot.signature.sign(&ctx.id, map))?;
    ctx.scratch = fields;
    Ok(())
}

/// Edits an answer's fields as a plain map: names go out in lower case, as HTTP/2 has them.
pub fn edit<T>(response: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> Result<T> {
    let empty = ResponseHeader::build_no_case(StatusCode::OK, None)?;
    let mut parts: http::response::Parts = std::mem::replace(response, empty).into();
    let out = change(&mut parts.headers);
    *response = parts.into();
    Ok(out)
}

/// What the log says of the answer.
pub fn note(ctx: &mut RequestCtx, response: &ResponseHeader, length: Option<u64>) {
    ctx.answer.status = response.status.as_u16();
    ctx.answer.first_byte = Some(ctx.started.elapsed());
    ctx.answer.content_length = length;
    let kind = response.headers.get(http::header::CONTENT_TYPE);
    ctx.answer.content_type = kind.map_or_else(Vec::new, |kind| kind.as_bytes().to_vec());
}

/// CloudFront's words, with our name: existing dashboards and tests read them.
fn x_cache(result: &str) -> String {
    format!("{result} from rimward")
}

pub fn is_tls(session: &Session) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}

fn outcome_of(result: ResultType) -> Outcome {
    match result {
        ResultType::Redirect => Outcome::Redirect,
        ResultType::Error => Outcome::Refused,
        _ => Outcome::Generated,
    }
}

/// Notes a failure of the viewer's side or ours.
pub fn fail(ctx: &mut RequestCtx, failure: Failure, words: String) {
    ctx.answer.failure = Some(failure);
    ctx.answer.error = words;
}
