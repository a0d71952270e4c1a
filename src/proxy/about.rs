//! About: what an origin inside this process is told of a request.
//!
//! In: the request as the viewer sent it, who asks. Out: an [`About`] for the adapter lane. Never: anything a viewer could forge.

use std::net::IpAddr;
use std::sync::Arc;

use http::Version;
use pingora::proxy::Session;

use crate::access::{Kind, Principal};
use crate::hooks::Who;
use crate::origin::adapter::{About, Caller, CallerKind};

use super::context::RequestCtx;
use super::entering::Entered;
use super::plan::Target;
use super::{asking, tiers};

/// Says what the edge knows of this request.
pub fn about(session: &Session, ctx: &RequestCtx) -> Arc<About> {
    let request = session.req_header();
    let (host, target) = asking::address(request);
    let version = if session.as_http2().is_some() { Version::HTTP_2 } else { request.version };
    let written = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Arc::new(About {
        request_id: ctx.id.as_str().to_owned(),
        stage: ctx.served().map_or_else(String::new, |served| served.behavior.stage.clone()),
        viewer: ctx.viewer.map_or(IpAddr::from([0, 0, 0, 0]), |viewer| viewer.ip()),
        host: if asking::shares_hosts(ctx) { String::new() } else { host.to_owned() },
        path: Target::parse(target).path.to_owned(),
        tls: tiers::is_tls(session, ctx),
        protocol: protocol(version),
        names: request
            .case_header_iter()
            .map(|(name, _)| name.as_slice())
            .filter(|name| name.iter().any(u8::is_ascii_uppercase))
            .map(written)
            .collect(),
        caller: ctx.entered.entry.as_ref().and_then(|entry| entry.principal.as_ref()).map(caller),
    })
}

/// As events write it.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// The same for functions.
pub fn who(entered: &Entered) -> Option<Arc<Who>> {
    let principal = entered.entry.as_ref()?.principal.as_ref()?;
    Some(Arc::new(Who {
        kind: principal.kind.as_str().into(),
        id: Arc::clone(&principal.id),
        issuer: Arc::clone(&principal.issuer),
        claims: Arc::clone(principal.claims.all()),
        api_key: principal.api_key.clone(),
    }))
}

fn caller(principal: &Principal) -> Caller {
    Caller {
        kind: match principal.kind {
            Kind::ApiKey => CallerKind::ApiKey,
            Kind::Jwt => CallerKind::Jwt,
            Kind::SigV4 => CallerKind::SigV4,
            Kind::Authorizer => CallerKind::Authorizer,
            Kind::Certificate => CallerKind::Certificate,
        },
        id: Arc::clone(&principal.id),
        issuer: Arc::clone(&principal.issuer),
        claims: Arc::clone(principal.claims.all()),
        api_key: principal.api_key.clone(),
    }
}
