//! Request: what a function asks for, as a request that may be sent.
//!
//! In: method, URL, header fields and body as the function wrote them, its grant. Out: a valid request to a granted host. Never:
//! framing or connection management by the function's hand.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::Outgoing;
use crate::config::compiled::FetchGrant;
use crate::hooks::host::HostError;

/// Bytes of a URL.
const URL_MAX: usize = 8 << 10;
/// Bytes of all header fields.
const FIELDS_MAX: usize = 64 << 10;
/// Header fields.
const LINES_MAX: usize = 256;
/// Bytes of a body.
const BODY_MAX: usize = 8 << 20;

/// Checks everything that needs no network.
pub fn build(grant: &FetchGrant, outgoing: Outgoing) -> Result<Request<Full<Bytes>>, HostError> {
    let method = method(&outgoing.method)?;
    let uri = url(&outgoing.url)?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let port = port(&uri);
    // Before the name is looked up: DNS is a way out too.
    if !grant.allow.iter().any(|allowed| allowed.covers(&host, port)) {
        return Err(HostError::Denied(format!(
            "{host} port {port} is not among the hosts this function may ask; add it to `grants.fetch.allow`"
        )));
    }
    if outgoing.body.len() > BODY_MAX {
        let size = outgoing.body.len();
        return Err(HostError::TooLarge(format!("a body of {size} bytes, {BODY_MAX} are allowed")));
    }
    let headers = fields(&uri, &outgoing)?;
    let mut request = Request::new(Full::new(outgoing.body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The port of an http or https URL.
pub fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 })
}

/// Whether a field is for one connection only (RFC 9110 §7.6.1): the known ones, and those that `Connection` names.
pub fn hop_by_hop(headers: &HeaderMap, name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 7] =
        [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    NAMES.contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
        || headers.get_all(CONNECTION).iter().any(|value| {
            let mut named = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            named.any(|named| named.eq_ignore_ascii_case(name.as_str().as_bytes()))
        })
}

fn method(text: &str) -> Result<Method, HostError> {
    let method = Method::from_bytes(text.as_bytes()).ok();
    // A tunnel, and what shows a proxy's own fields, are nothing for a function.
    let method = method.filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE));
    method.ok_or_else(|| invalid("the method"))
}

fn url(text: &str) -> Result<Uri, HostError> {
    if text.len() > URL_MAX {
        return Err(HostError::TooLarge(format!("a URL of {} bytes, {URL_MAX} are allowed", text.len())));
    }
    let uri: Uri = text.parse().map_err(|_| invalid("the URL"))?;
    let scheme = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let authority = uri.authority().is_some_and(|authority| {
        // "user@host" is read in different ways by different programs; a port that is no number by http as none.
        let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        !authority.as_str().contains('@') && !authority.host().is_empty() && port.is_none_or(|_| uri.port().is_some())
    });
    if scheme && authority && port(&uri) != 0 { Ok(uri) } else { Err(invalid("the URL")) }
}

fn fields(uri: &Uri, outgoing: &Outgoing) -> Result<HeaderMap, HostError> {
    if outgoing.headers.len() > LINES_MAX {
        return Err(HostError::TooLarge(format!("{} header fields, {LINES_MAX} are allowed", outgoing.headers.len())));
    }
    let size: usize = outgoing.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if size > FIELDS_MAX {
        return Err(HostError::TooLarge(format!("header fields of {size} bytes, {FIELDS_MAX} are allowed")));
    }
    let mut headers = HeaderMap::with_capacity(outgoing.headers.len());
    for (name, value) in &outgoing.headers {
        // Both refuse CR, LF and NUL: no field can end another.
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("a header field's name"))?;
        let value = HeaderValue::from_bytes(value).map_err(|_| invalid("a header field's value"))?;
        headers.append(name, value);
    }
    let own = |name: &HeaderName, wanted: &str| headers.get_all(name).iter().any(|value| value != wanted);
    if own(&HOST, uri.authority().map_or("", |authority| authority.as_str())) {
        return Err(HostError::Invalid("Host has to be that of the URL".to_owned()));
    }
    if own(&CONTENT_LENGTH, &outgoing.body.len().to_string()) {
        return Err(HostError::Invalid("Content-Length is not that of the body".to_owned()));
    }
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| hop_by_hop(&headers, name))
        .cloned()
        .chain([HOST, CONTENT_LENGTH, EXPECT])
        .collect();
    for name in dropped {
        headers.remove(name);
    }
    Ok(headers)
}

fn invalid(what: &str) -> HostError {
    HostError::Invalid(format!("{what} is not valid"))
}
