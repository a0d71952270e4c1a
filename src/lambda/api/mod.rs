//! API: Lambda's REST interface, operation by operation.
//!
//! In: one request. Out: one answer in the service's shape. Never: who may ask (that was decided before).

mod aliases;
mod extras;
mod functions;
mod input;
mod invoke;
mod path;
mod shifts;
mod sources;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;

use super::fault::{Fault, Kind};
use super::name::{Asked, Owner};
use super::{Body, Inner, full, now};
use path::Target;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// One request, taken apart.
struct Call<'r> {
    /// Also the request id that a function sees.
    id: &'r str,
    target: &'r Target,
    headers: &'r http::HeaderMap,
    body: Bytes,
}

/// See [`super::Lambda::plain_path`].
pub(super) fn plain_path(uri: &http::Uri, owner: &Owner<'_>) -> Option<String> {
    let mut segments = Target::parse(uri)?.segments;
    let at = segments.iter().position(|segment| segment == "functions")? + 1;
    let asked = Asked::parse(segments.get(at)?, None, owner).ok()?;
    *segments.get_mut(at)? = asked.name;
    Some(format!("/{}", segments.join("/")))
}

pub(super) async fn handle(inner: &Arc<Inner>, request: Request<Bytes>) -> Response<Body> {
    let id = uuid();
    let (head, body) = request.into_parts();
    let answer = match Target::parse(&head.uri) {
        Some(target) => {
            let call = Call { id: &id, target: &target, headers: &head.headers, body };
            route(inner, &head.method, call).await
        }
        None => Err(unknown()),
    };
    let mut response = answer.unwrap_or_else(|fault| fault.response());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Versions of the API's parts; each operation has the one of the year that it came in.
async fn route(inner: &Arc<Inner>, method: &Method, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let segments: Vec<&str> = call.target.segments.iter().map(String::as_str).collect();
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["2015-03-31", "functions", name, "invocations"]) => invoke::whole(inner, name, call).await,
        ("POST", ["2021-11-15", "functions", name, "response-streaming-invocations"]) => {
            invoke::streamed(inner, name, call).await
        }
        ("POST", ["2014-11-13", "functions", name, "invoke-async"]) => invoke::legacy(inner, name, call).await,
        (method, ["2015-03-31", "functions", rest @ ..]) => function(inner, method, rest, call).await,
        (method, ["2015-03-31", "event-source-mappings", rest @ ..]) => match (method, rest) {
            ("POST", []) => sources::create(inner, call).await,
            ("GET", []) => sources::list(inner, &call),
            ("GET", [uuid]) => sources::get(inner, uuid),
            ("PUT", [uuid]) => sources::update(inner, uuid, call).await,
            ("DELETE", [uuid]) => sources::delete(inner, uuid).await,
            _ => Err(unknown()),
        },
        (method, ["2017-10-31", "functions", name, "concurrency"]) => match method {
            "PUT" => extras::put_concurrency(inner, name, call).await,
            "DELETE" => extras::delete_concurrency(inner, name, call).await,
            _ => Err(unknown()),
        },
        ("GET", ["2019-09-30", "functions", name, "concurrency"]) => extras::get_concurrency(inner, name, &call),
        (method, ["2021-10-31", "functions", name, "url"]) => match method {
            "POST" => extras::put_url(inner, name, call, true).await,
            "PUT" => extras::put_url(inner, name, call, false).await,
            "GET" => extras::get_url(inner, name, &call),
            "DELETE" => extras::delete_url(inner, name, call).await,
            _ => Err(unknown()),
        },
        ("GET", ["2021-10-31", "functions", name, "urls"]) => extras::list_urls(inner, name, &call),
        (method, ["2019-09-25", "functions", name, "event-invoke-config"]) => match method {
            "PUT" => extras::put_events(inner, name, call, true).await,
            "POST" => extras::put_events(inner, name, call, false).await,
            "GET" => extras::get_events(inner, name, &call),
            "DELETE" => extras::delete_events(inner, name, call).await,
            _ => Err(unknown()),
        },
        ("GET", ["2019-09-25", "functions", name, "event-invoke-config", "list"]) => {
            extras::list_events(inner, name, &call)
        }
        ("GET", ["2016-08-19", "account-settings"]) => extras::account(inner),
        (method, ["2017-03-31", "tags", arn]) => match method {
            "GET" => extras::get_tags(inner, arn, &call),
            "POST" => extras::put_tags(inner, arn, call).await,
            "DELETE" => extras::delete_tags(inner, arn, call).await,
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

async fn function(inner: &Arc<Inner>, method: &str, rest: &[&str], call: Call<'_>) -> Result<Response<Body>, Fault> {
    match (method, rest) {
        ("POST", []) => functions::create(inner, call).await,
        ("GET", []) => functions::list(inner, &call),
        ("GET", [name]) => functions::get(inner, name, &call, true),
        ("DELETE", [name]) => functions::delete(inner, name, call).await,
        ("PUT", [name, "code"]) => functions::update_code(inner, name, call).await,
        ("GET", [name, "configuration"]) => functions::get(inner, name, &call, false),
        ("PUT", [name, "configuration"]) => functions::update_configuration(inner, name, call).await,
        ("POST", [name, "versions"]) => functions::publish(inner, name, call).await,
        ("GET", [name, "versions"]) => functions::versions(inner, name, &call),
        ("POST", [name, "aliases"]) => aliases::create(inner, name, call).await,
        ("GET", [name, "aliases"]) => aliases::list(inner, name, &call),
        ("GET", [name, "aliases", alias]) => aliases::get(inner, name, alias, &call),
        ("PUT", [name, "aliases", alias]) => aliases::update(inner, name, alias, call).await,
        ("DELETE", [name, "aliases", alias]) => aliases::delete(inner, name, alias, call).await,
        ("POST", [name, "aliases", alias, "shift"]) => shifts::begin(inner, name, alias, call).await,
        ("GET", [name, "aliases", alias, "shift"]) => shifts::get(inner, name, alias, &call),
        ("DELETE", [name, "aliases", alias, "shift"]) => shifts::stop(inner, name, alias, call).await,
        _ => Err(unknown()),
    }
}

/// A document.
fn answer(status: StatusCode, body: &Value) -> Result<Response<Body>, Fault> {
    let mut response = Response::new(full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn unknown() -> Fault {
    Fault::new(Kind::UnknownOperation, "This operation is not known.")
}

/// A random identifier (RFC 9562 §5.4).
pub(super) fn uuid() -> String {
    uuid_from(rand::random(), 4)
}

/// A new trace, which is not sampled (X-Ray Developer Guide, "Tracing header").
pub(super) fn trace() -> String {
    let (root, parent) = (rand::random::<u128>() >> 32, rand::random::<u64>());
    format!("Root=1-{:08x}-{root:024x};Parent={parent:016x};Sampled=0", now().as_secs())
}

/// An identifier of `bits`.
pub(super) fn uuid_from(bits: u128, version: u8) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | u128::from(version) << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_random_uuids() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }

    #[test]
    fn a_function_has_one_path_for_policies() {
        let owner = Owner { region: "us-east-1", account: "000000000000" };
        let plain = |path: &str| plain_path(&path.parse().unwrap(), &owner);
        for name in [
            "secret",
            "function%3Asecret",
            "000000000000:function:secret",
            "arn:aws:lambda:us-east-1:000000000000:function:secret",
            "secret:live",
            "%73ecret",
        ] {
            let path = format!("/2015-03-31/functions/{name}/invocations");
            assert_eq!(plain(&path).as_deref(), Some("/2015-03-31/functions/secret/invocations"), "{name}");
        }
        assert_eq!(plain("/2016-08-19/account-settings"), None);
    }
}
