//! Wire: HTTP around calls.
//!
//! In: a request with its whole body. Out: an answer with AWS's headers. Never: a call judged.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use rand::RngCore;

use super::fault::Fault;
use super::front::Answer;
use super::guard;
use super::op::Op;
use super::request::Request as Members;

/// Bytes of a request's body (developer guide, "Quotas": 16 MB for batches, the most there is).
pub const BODY_MAX: usize = 16 << 20;
const AMZ_JSON: &str = "application/x-amz-json-1.0";
const JSON: &str = "application/json";
const NOT_FOUND: &str = "<UnknownOperationException/>\n";
/// What a cache had to do with an answer.
const CACHE: HeaderName = HeaderName::from_static("x-rimward-dynamodb");
/// Letters and digits of a request's id.
const ID_LENGTH: usize = 52;

/// What a request turns out to be.
pub enum Asked {
    /// To be done; the answer is of this type.
    Call { op: Op, members: Members, kind: &'static str },
    /// Answered already.
    Answered(Response<Bytes>),
}

/// Reads a request.
pub fn read(request: &Request<Bytes>, region: &str) -> Asked {
    let headers = request.headers();
    match *request.method() {
        Method::POST if request.uri().path() == "/" => {}
        Method::GET if request.uri().path() == "/" => {
            return Asked::Answered(plain(StatusCode::OK, &format!("healthy: dynamodb.{region}.amazonaws.com ")));
        }
        Method::OPTIONS if headers.contains_key(header::ORIGIN) => return Asked::Answered(preflight(headers)),
        _ => return Asked::Answered(plain(StatusCode::NOT_FOUND, NOT_FOUND)),
    }
    let Some(kind) = kind(headers, request.body().is_empty()) else {
        return Asked::Answered(plain(StatusCode::NOT_FOUND, NOT_FOUND));
    };
    let refuse = |fault: Fault| Asked::Answered(refusal(&fault, kind));
    if request.body().len() > BODY_MAX {
        let message = Some("Request entity too large".to_owned());
        return refuse(Fault { status: 413, ..Fault::serialization(message) });
    }
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some(op) = target.and_then(Op::targeted) else { return refuse(Fault::unknown_operation()) };
    match guard::read(request.body()) {
        Ok(members) => Asked::Call { op, members, kind },
        Err(fault) => refuse(fault),
    }
}

/// The answer's type is the request's; `None`: AWS answers 404 to others.
fn kind(headers: &HeaderMap, empty: bool) -> Option<&'static str> {
    let Some(written) = headers.get(header::CONTENT_TYPE) else { return empty.then_some(JSON) };
    let base = written.to_str().ok()?.split(';').next()?.trim();
    [AMZ_JSON, JSON].into_iter().find(|known| base.eq_ignore_ascii_case(known))
}

/// Writes what came of a call.
pub fn answer(result: Result<Answer, Fault>, kind: &'static str) -> Response<Bytes> {
    match result {
        Ok(answer) => {
            let cache = answer.cache.and_then(|outcome| HeaderValue::from_str(&outcome.to_string()).ok());
            let mut response = finish(StatusCode::OK, Some(kind), answer.body);
            if let Some(cache) = cache {
                response.headers_mut().insert(CACHE, cache);
            }
            response
        }
        Err(fault) => refusal(&fault, kind),
    }
}

fn refusal(fault: &Fault, kind: &'static str) -> Response<Bytes> {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    finish(status, Some(kind), fault.body().into())
}

fn plain(status: StatusCode, body: &str) -> Response<Bytes> {
    finish(status, None, Bytes::copy_from_slice(body.as_bytes()))
}

fn finish(status: StatusCode, kind: Option<&'static str>, body: Bytes) -> Response<Bytes> {
    let crc = HeaderValue::from(crc32fast::hash(&body));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert("x-amz-crc32", crc);
    if let Ok(id) = HeaderValue::from_bytes(&id()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

fn id() -> [u8; ID_LENGTH] {
    const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut id = [0; ID_LENGTH];
    rand::rng().fill_bytes(&mut id);
    // It names, and keeps nothing secret: that some letters are a little more frequent is no harm.
    id.map(|random| LETTERS[usize::from(random) % LETTERS.len()])
}

/// A page may ask whatever it can sign: AWS's endpoints say so too.
fn preflight(headers: &HeaderMap) -> Response<Bytes> {
    let mut response = finish(StatusCode::OK, None, Bytes::new());
    let answers = response.headers_mut();
    answers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
    for (asked, allowed) in [
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
    ] {
        if let Some(value) = headers.get(asked) {
            answers.insert(allowed, value.clone());
        }
    }
    response
}

/// Lets pages read the answer.
pub fn for_pages(headers: &HeaderMap, response: &mut Response<Bytes>) {
    if headers.contains_key(header::ORIGIN) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        method: Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Request<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn requests_that_are_no_calls() {
        let json = ("content-type", AMZ_JSON);
        let get = ("x-amz-target", "DynamoDB_20120810.GetItem");
        for (name, request, status, body) in [
            ("health", request(Method::GET, "/", &[], ""), 200, "healthy: dynamodb.r.amazonaws.com "),
            ("method", request(Method::PUT, "/", &[], ""), 404, NOT_FOUND),
            ("path", request(Method::POST, "/x", &[json, get], "{}"), 404, NOT_FOUND),
            ("type", request(Method::POST, "/", &[("content-type", "text/plain"), get], "{}"), 404, NOT_FOUND),
            ("no type", request(Method::POST, "/", &[get], "{}"), 404, NOT_FOUND),
            ("no target", request(Method::POST, "/", &[json], "{}"), 400, "#UnknownOperationException\"}"),
            (
                "unknown target",
                request(Method::POST, "/", &[json, ("x-amz-target", "X.Y")], "{}"),
                400,
                "#UnknownOperationException\"}",
            ),
            ("no body", request(Method::POST, "/", &[json, get], ""), 400, "#SerializationException\"}"),
            ("no JSON", request(Method::POST, "/", &[json, get], "{"), 400, "#SerializationException\"}"),
        ] {
            let Asked::Answered(response) = read(&request, "r") else { panic!("{name}") };
            assert_eq!(response.status(), status, "{name}");
            let text = std::str::from_utf8(response.body()).unwrap();
            assert!(text.ends_with(body), "{name}: {text}");
            let crc = response.headers()["x-amz-crc32"].to_str().unwrap();
            assert_eq!(crc, crc32fast::hash(response.body()).to_string(), "{name}");
            assert_eq!(response.headers()["x-amzn-requestid"].len(), ID_LENGTH);
        }
        let large = request(Method::POST, "/", &[json, get], "").map(|_| Bytes::from(vec![b' '; BODY_MAX + 1]));
        assert!(matches!(read(&large, "r"), Asked::Answered(response) if response.status() == 413));
    }

    #[test]
    fn calls_keep_their_type() {
        for (written, kind) in [(AMZ_JSON, AMZ_JSON), ("application/json; charset=utf-8", JSON)] {
            let request = request(
                Method::POST,
                "/",
                &[("content-type", written), ("x-amz-target", "DynamoDB_20120810.ListTables")],
                "{}",
            );
            assert!(
                matches!(read(&request, "r"), Asked::Call { op: Op::ListTables, kind: found, .. } if found == kind)
            );
            let response = answer(Ok(Answer::default()), kind);
            assert_eq!(response.headers()["content-type"], kind);
        }
    }

    #[test]
    fn pages_may_ask() {
        let asked = [("origin", "https://x"), ("access-control-request-headers", "x-amz-target")];
        let request = request(Method::OPTIONS, "/", &asked, "");
        let Asked::Answered(mut response) = read(&request, "r") else { panic!("a preflight") };
        for_pages(request.headers(), &mut response);
        assert_eq!(response.headers()["access-control-allow-headers"], "x-amz-target");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
}
