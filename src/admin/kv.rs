//! KV: CloudFront's KeyValueStore API on the admin address.
//!
//! In: requests that may ask, and signed ones. Out: what the stores answer, to those whose signature is good. Never: a signature that
//! was sent and not looked at where `admin.access` says whose counts.
//!
//! Unmodified AWS clients work with `endpoint_url = "http://localhost:PORT"`: they put the account of the store's ARN before
//! the name, and `*.localhost` is this machine. Without `admin.access` the guard in front decides: with `admin.token` set, the token
//! is the client's session token.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, REFERER, TRANSFER_ENCODING, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;

use super::AdminState;
use super::answer::now_ms;
use crate::access::iam::{self, Decision};
use crate::access::sigv4::{Outcome, Verified, Verifier};
use crate::access::{Asked, Denied, Reason};
use crate::hooks::host::kv::api;
use crate::proxy::denying;

/// Where these routes are: the rest of the path is the API's own.
pub const ROUTE: &str = "/key-value-stores/{*rest}";

/// Left by the guard with a request that is signed: this decides.
#[derive(Clone)]
pub struct Signed(pub Arc<Verifier>);

/// Whether a request says that it is signed.
pub fn is_signed(request: &Request) -> bool {
    let field = request.headers().get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    field || request.uri().query().is_some_and(|query| query.contains("X-Amz-Algorithm=AWS4-"))
}

pub async fn answer(State(state): State<AdminState>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    // Before the body is read, so that nobody is read who shows nothing.
    let claimed = match head.extensions.get::<Signed>().map(|Signed(verifier)| claimed(verifier, &head)).transpose() {
        Ok(claimed) => claimed,
        Err(denied) => return refusal(&denied),
    };
    let Ok(body) = axum::body::to_bytes(body, api::BODY_MAX).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} bytes a request", api::BODY_MAX)).into_response();
    };
    let body = match claimed {
        None => body,
        Some(outcome) => match permitted(outcome, &head, body) {
            Ok(body) => body,
            Err(denied) => return refusal(&denied),
        },
    };
    let stores = (state.kv)();
    let Parts { method, uri, headers, .. } = head;
    // Writes sync to disk: not on a worker.
    let answered = tokio::task::spawn_blocking(move || api::handle(&stores, &method, &uri, &headers, &body)).await;
    match answered {
        Ok(response) => response.map(|bytes: Bytes| Body::from(bytes)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn asked(head: &Parts) -> Asked<'_, HeaderMap> {
    let client = head.extensions.get::<ConnectInfo<SocketAddr>>();
    Asked {
        method: head.method.as_str(),
        host: head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        path: head.uri.path(),
        query: head.uri.query(),
        fields: &head.headers,
        tls: false,
        viewer: client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0.ip()),
        now_ms: now_ms(),
    }
}

fn claimed(verifier: &Verifier, head: &Parts) -> Result<Outcome, Denied> {
    let empty = head.headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    verifier.verify(&asked(head), !empty || head.headers.contains_key(TRANSFER_ENCODING))
}

/// The body within what it was sent in, once signature and policy allow the request.
fn permitted(outcome: Outcome, head: &Parts, body: Bytes) -> Result<Bytes, Denied> {
    let (verified, body) = outcome.proven(body)?;
    authorize(&verified, head)?;
    Ok(body)
}

/// Whether the key's policy allows it; a key without one may do everything.
fn authorize(verified: &Verified, head: &Parts) -> Result<(), Denied> {
    let Some(policy) = verified.policy() else { return Ok(()) };
    // What is no operation is answered as such.
    let Some((action, resource)) = api::action(&head.method, head.uri.path()) else { return Ok(()) };
    let asked = asked(head);
    let text = |name| asked.fields.get(name).and_then(|value| value.to_str().ok());
    let request = iam::Request {
        action,
        resource: &resource,
        source_ip: asked.viewer,
        now_ms: asked.now_ms,
        secure: asked.tls,
        principal_arn: Some(verified.principal()),
        user_agent: text(USER_AGENT),
        referer: text(REFERER),
        bare: None,
        dynamodb: iam::Items::default(),
    };
    match iam::evaluate(policy, &request) {
        Decision::Allow => Ok(()),
        Decision::ExplicitDeny | Decision::ImplicitDeny => {
            let words = format!("{} is not authorized to perform {action} on {resource:?}", verified.principal());
            Err(Denied::new(Reason::PolicyDenies, words))
        }
    }
}

/// What AWS says to those who are not let in.
fn refusal(denied: &Denied) -> Response<Body> {
    log::info!("key-value stores: not let in: {denied}");
    let answer = denying::denied(denied);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().extend(answer.headers);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign};
    use aws_sigv4::sign::{v4, v4a};
    use bytes::Bytes;
    use serde_json::Value;

    use crate::admin::fixture::Pop;
    use crate::config::compiled::{AccessKey, KeyMaterial, PayloadPolicy, Signer};
    use crate::config::iam::Policy;
    use crate::config::secret::Secret;

    const SERVICE: &str = "cloudfront-keyvaluestore";
    const STORE: &str = "/key-value-stores/arn%3Aaws%3Acloudfront%3A%3A123456789012%3Akey-value-store%2Fflags";

    /// A key `WRITER` for everything, a key `READER` whose policy lets it read `flags`; each one's secret is its name twice.
    fn signer() -> Signer {
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cloudfront-keyvaluestore:Get*",
                          "Resource":"arn:aws:cloudfront::*:key-value-store/flags"}]}"#;
        let key = |id: &str, policy: Option<&str>| AccessKey {
            id: id.to_owned(),
            material: KeyMaterial::Secret(Secret::new(id.repeat(2))),
            session_token: None,
            principal: format!("arn:aws:iam::000000000000:access-key/{id}"),
            policy: policy.map(|text| Arc::new(Policy::parse(text).unwrap())),
        };
        Signer {
            name: "kvs".to_owned(),
            service: SERVICE.to_owned(),
            regions: Vec::new(),
            skew: Duration::from_secs(900),
            payload: PayloadPolicy::default(),
            normalize: true,
            keys: Arc::new(vec![key("READER", Some(policy)), key("WRITER", None)]),
            action: "execute-api:Invoke".to_owned(),
            resource: String::new(),
        }
    }

    /// Signed as AWS's clients do it: SigV4a, or SigV4.
    fn signed(
        pop: &Pop,
        asymmetric: bool,
        (id, secret): (&str, &str),
        what: (&str, &str, &str),
    ) -> http::Request<Bytes> {
        let (method, path, body) = what;
        let url = format!("{}{path}", pop.url());
        let identity = Credentials::new(id, secret, None, None, "test").into();
        let (time, settings) = (SystemTime::now(), SigningSettings::default());
        let params: SigningParams<'_> = if asymmetric {
            let params = v4a::SigningParams::builder().identity(&identity).region_set("*").name(SERVICE);
            params.time(time).settings(settings).build().unwrap().into()
        } else {
            let params = v4::SigningParams::builder().identity(&identity).region("us-east-1").name(SERVICE);
            params.time(time).settings(settings).build().unwrap().into()
        };
        let mut request = http::Request::builder().method(method).uri(&url).body(Bytes::from(body.to_owned())).unwrap();
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(method, url, std::iter::empty(), bytes).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    #[test]
    fn signatures_are_checked_where_keys_are_configured() {
        let writer = ("WRITER", "WRITERWRITER");
        let get = format!("{STORE}/keys/beta");
        let put = format!("{STORE}/keys/new");
        for token in [None, Some("s3cret")] {
            let pop = Pop::with(token, Some(&signer()));
            for asymmetric in [false, true] {
                for (name, key, what, want) in [
                    ("read", writer, ("GET", &get, ""), (200, "")),
                    (
                        "If-Match is missing, past the signature",
                        writer,
                        ("PUT", &put, r#"{"Value":"1"}"#),
                        (400, "ValidationException"),
                    ),
                    (
                        "a wrong secret",
                        ("WRITER", "writerwriter"),
                        ("GET", &get, ""),
                        (403, "InvalidSignatureException"),
                    ),
                    (
                        "a key that is none",
                        ("NOBODY", "NOBODYNOBODY"),
                        ("GET", &get, ""),
                        (403, "InvalidSignatureException"),
                    ),
                    ("allowed by the policy", ("READER", "READERREADER"), ("GET", &get, ""), (200, "")),
                    (
                        "not allowed",
                        ("READER", "READERREADER"),
                        ("GET", &STORE.to_owned(), ""),
                        (403, "AccessDeniedException"),
                    ),
                ] {
                    let (method, path, body) = what;
                    let (status, exception, text) =
                        pop.send(signed(&pop, asymmetric, key, (method, path.as_str(), body)));
                    assert_eq!((status, exception.as_str()), want, "{name}: {text}");
                }
            }
            let mut altered = signed(&pop, false, writer, ("PUT", put.as_str(), r#"{"Value":"1"}"#));
            *altered.body_mut() = Bytes::from_static(br#"{"Value":"2"}"#);
            let (status, exception, text) = pop.send(altered);
            assert_eq!((status, exception.as_str()), (403, "InvalidSignatureException"), "{text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(value["message"].as_str().unwrap().starts_with("The request signature we calculated"), "{text}");
        }
    }

    #[test]
    fn keys_open_nothing_else_and_close_nothing() {
        let pop = Pop::with(Some("s3cret"), Some(&signer()));
        let status = signed(&pop, false, ("WRITER", "WRITERWRITER"), ("GET", "/status", ""));
        assert_eq!(pop.send(status).0, 401);
        // Whoever has the token needs no signature.
        assert_eq!(pop.ask("GET", "/key-value-stores/flags", Some("s3cret"), "").0, 200);
        assert_eq!(pop.ask("GET", "/key-value-stores/flags", None, "").0, 401);
        assert_eq!(Pop::with(None, Some(&signer())).ask("GET", "/key-value-stores/flags", None, "").0, 200);
    }

    #[test]
    fn stores_are_reached_by_those_who_may_ask() {
        let open = Pop::start(None);
        let (status, text) = open.ask("GET", "/key-value-stores/flags/keys/beta", None, "");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &value["Value"]), (200, &Value::from("on")));
        let guarded = Pop::start(Some("s3cret"));
        for (name, session, status) in
            [("none", None, 401), ("the token", Some("s3cret"), 200), ("another", Some("s3creT"), 401)]
        {
            let got = guarded.ask_with("/key-value-stores/flags", session.map(|token| ("x-amz-security-token", token)));
            assert_eq!(got, status, "{name}");
        }
        // Only there: elsewhere it is no credential.
        assert_eq!(guarded.ask_with("/status", Some(("x-amz-security-token", "s3cret"))), 401);
        let large = "x".repeat(super::api::BODY_MAX + 1);
        assert_eq!(open.ask("POST", "/key-value-stores/flags/keys", None, &large).0, 413);
        // As an AWS client names it: the account before the endpoint's name.
        let port = open.address.port();
        let host = format!("123456789012.localhost:{port}");
        assert_eq!(open.ask_with("/key-value-stores/flags", Some(("host", &host))), 200);
        assert_eq!(open.ask_with("/key-value-stores/flags", Some(("host", "localhost.evil.example"))), 403);
    }
}
