//! Authorizing: asks an authorizer's function about a request.
//!
//! In: the request, the question. Out: the function's decision, kept for the next that asks the same; who asks meanwhile waits for it.
//! Never: what the decision means.

use std::sync::Arc;

use http::Version;
use pingora::proxy::Session;

use crate::access::{About, Decision, Memo, Question};
use crate::config::compiled::{Asks, AuthorizerId, Mode};
use crate::hooks::engine::Budget;
use crate::hooks::{Event, Exchange, Site};

use super::context::RequestCtx;
use super::functions::Loaded;
use super::phases::now_ms;
use super::{about, entering, hooking, views};

/// What the function says; a failure is a decision too.
pub async fn ask(session: &Session, ctx: &mut RequestCtx, id: AuthorizerId, question: &Question) -> Arc<Decision> {
    let snapshot = ctx.snapshot.clone();
    let Some(memo) = snapshot.guards.authorizer(id) else {
        return Arc::new(Decision::Failed("there is no such authorizer".to_owned()));
    };
    let request_id = ctx.id;
    let stage = ctx.served().map_or("", |served| served.behavior.stage.as_str());
    let version = if session.as_http2().is_some() { Version::HTTP_2 } else { session.req_header().version };
    let about = About { request_id: request_id.as_str(), stage, protocol: about::protocol(version), api: "rimward" };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines: Vec<(String, String)> = session
        .req_header()
        .case_header_iter()
        .map(|(name, value)| (text(name.as_slice()), text(value.as_bytes())))
        .collect();
    let event = entering::with_asked(session, ctx, |asked| memo.event(asked, question, &about, &lines));
    memo.once(question, || say(session, ctx, id, memo, event)).await
}

/// Calls the function.
async fn say(session: &Session, ctx: &mut RequestCtx, id: AuthorizerId, memo: &Memo, event: String) -> Decision {
    let snapshot = ctx.snapshot.clone();
    match &memo.spec.asks {
        Asks::Function { id, cpu, timeout } => {
            let Some(loaded) = snapshot.functions.loaded.get(*id) else {
                return Decision::Failed("its function is gone".to_owned());
            };
            let memory = snapshot.config.functions.get(*id).map_or(usize::MAX, |function| function.memory);
            let budget = Budget { cpu: *cpu, timeout: *timeout, memory };
            here(session, ctx, memo, loaded, event, budget).await
        }
        Asks::Lambda(_) => {
            let Some(function) = snapshot.authorizers.get(id).and_then(Option::as_ref) else {
                return Decision::Failed("nothing runs its function".to_owned());
            };
            let said = function.ask(event).await;
            memo.understand(said.as_deref().map_err(String::as_str))
        }
    }
}

/// What a function of this PoP says.
async fn here(
    session: &Session,
    ctx: &mut RequestCtx,
    memo: &Memo,
    loaded: &Loaded,
    event: String,
    budget: Budget,
) -> Decision {
    let site = Arc::new(Site {
        pop: ctx.snapshot.config.pop.code.clone(),
        behavior: String::new(),
        domain: String::new(),
        distribution: String::new(),
        origins: Vec::new(),
        mode: Mode::Extended,
        include_body: false,
    });
    let message = views::viewer_request(session, ctx, None);
    let exchange = Exchange::request(Event::ViewerRequest, &site, ctx.id.as_str(), now_ms(), message);
    let (called, said) = loaded.function.ask(exchange, event, budget).await;
    ctx.hooks.calls.push(hooking::told(loaded, "authorizer", &called));
    hooking::say(loaded, ctx.id.as_str(), &called);
    match (&called.outcome, said) {
        (Ok(()), Some(said)) => memo.understand(said.as_deref().map_err(String::as_str)),
        (Ok(()), None) => Decision::Failed("it said nothing".to_owned()),
        (Err(failure), _) => memo.understand(Err(&failure.to_string())),
    }
}
