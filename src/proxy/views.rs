//! Views: the message as each event shows it to a function.
//!
//! In: the session, what is known of the request. Out: requests and responses that a function may own. Never: an edit.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::config::compiled::{Config, OriginId, OriginKind, Signing};
use crate::hooks::{Body, Request, Response, exchange};

use super::context::RequestCtx;
use super::plan::Target;
use super::rerouting::Way;
use super::{about, asking, tiers};

/// The viewer's request.
pub fn viewer_request(session: &Session, ctx: &RequestCtx, body: Option<Body>) -> Request {
    let sent = session.req_header();
    let address = asking::address(sent);
    let tls = tiers::is_tls(session, ctx);
    let request = request(&sent.method, sent.version, tls, address, client(ctx), sent.headers.clone());
    Request { who: about::who(&ctx.entered), server_ip: server(session), body, ..request }
}

/// A request at a viewer event; `address` is host and target.
pub fn request(
    method: &Method,
    version: Version,
    tls: bool,
    address: (&str, &str),
    client_ip: IpAddr,
    mut headers: HeaderMap,
) -> Request {
    let (host, target) = address;
    let target = Target::parse(target);
    if !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(host)
    {
        // HTTP/2 says it in `:authority`.
        headers.insert(header::HOST, host);
    }
    Request {
        method: method.clone(),
        uri: target.path.to_owned(),
        query: target.query.unwrap_or("").to_owned(),
        has_query: target.query.is_some(),
        client_ip,
        server_ip: None,
        who: None,
        version,
        tls,
        headers,
        body: None,
        origin: None,
    }
}

/// What the origin would be sent, before any function changed it.
pub fn origin_request(session: &Session, ctx: &RequestCtx, origin: OriginId, body: Option<Body>) -> Result<Request> {
    let mut sent = session.req_header().clone();
    asking::forward(session, &mut sent, ctx)?;
    let config = &ctx.snapshot.config;
    let way = ctx.hooks.way.as_ref();
    let prefix = way.and_then(|way| way.own.path.as_deref()).unwrap_or(&config.origins[origin].path).len();
    let target = String::from_utf8_lossy(sent.raw_path()).into_owned();
    let target = Target::parse(target.get(prefix..).unwrap_or("/"));
    Ok(Request {
        method: sent.method.clone(),
        uri: target.path.to_owned(),
        query: target.query.unwrap_or("").to_owned(),
        has_query: target.query.is_some(),
        client_ip: client(ctx),
        server_ip: server(session),
        who: about::who(&ctx.entered),
        version: session.req_header().version,
        tls: tiers::is_tls(session, ctx),
        headers: sent.headers.clone(),
        body,
        origin: Some(in_force(config, origin, way)),
    })
}

/// The request that belongs to an answer of an origin: what that origin was sent.
pub fn asked(session: &Session, ctx: &RequestCtx) -> Result<Request> {
    let Some(origin) = ctx.origin.current else { return Ok(viewer_request(session, ctx, None)) };
    origin_request(session, ctx, origin, None)
}

/// An answer's head; its body is never shown.
pub fn response(response: &ResponseHeader) -> Response {
    Response { status: response.status, headers: response.headers.clone(), body: None }
}

/// As much of a body as functions see: `most` bytes.
pub fn beginning(whole: &Bytes, most: usize) -> Body {
    Body { data: whole.slice(..whole.len().min(most)), truncated: whole.len() > most }
}

fn server(session: &Session) -> Option<IpAddr> {
    asking::local(session.as_downstream()).map(|address| address.ip())
}

fn client(ctx: &RequestCtx) -> IpAddr {
    ctx.viewer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |viewer| viewer.ip())
}

fn in_force(config: &Config, id: OriginId, way: Option<&Way>) -> exchange::Origin {
    let origin = &config.origins[id];
    let (http, target) = match &origin.kind {
        OriginKind::Http(http) => (Some(&**http), http.targets.first().cloned()),
        OriginKind::Signed(signed) => (None, Some(signed.target())),
        _ => (None, None),
    };
    let differs = way.and_then(|way| way.own.reroute.as_ref());
    let target = match differs {
        Some(differs) if target.is_some() || differs.host.is_some() => Some(differs.target(target.as_ref())),
        _ => target,
    };
    let own = way.and_then(|way| way.own.headers.as_ref()).unwrap_or(&origin.headers);
    let mut seen = exchange::Origin {
        name: origin.name.clone(),
        port: target.as_ref().map_or(80, |target| target.port),
        tls: target.as_ref().is_some_and(|target| target.tls),
        host: target.map_or_else(|| origin.name.clone(), |target| target.host),
        path: origin.path.clone(),
        read_timeout: match &origin.kind {
            OriginKind::Http(http) => http.read_timeout,
            OriginKind::Signed(signed) => signed.timeout,
            _ => std::time::Duration::from_secs(30),
        },
        keepalive_timeout: http.map_or(std::time::Duration::from_secs(5), |http| http.keepalive_timeout),
        headers: own.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect(),
        signed: matches!(origin.kind, OriginKind::Signed(_)),
    };
    if let Some(path) = way.and_then(|way| way.own.path.as_ref()) {
        seen.path.clone_from(path);
    }
    if let Some(differs) = differs {
        seen.read_timeout = differs.read_timeout.unwrap_or(seen.read_timeout);
        seen.signed = Signing::holds(differs.signing.as_ref(), seen.signed);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_query_and_an_empty_one_differ() {
        for (target, query, has_query) in [("/", "", false), ("/?", "", true), ("/?a", "a", true)] {
            let at = ("example.com", target);
            let seen = request(&Method::GET, Version::HTTP_11, true, at, Ipv4Addr::LOCALHOST.into(), HeaderMap::new());
            assert_eq!((seen.query.as_str(), seen.has_query), (query, has_query), "{target}");
        }
    }
}
