//! Table: an origin that is DynamoDB operations, with no function between (API Gateway's AWS integration).
//!
//! In: a request on the adapter lane. Out: what the mapping of its route makes of the operation's answer. Never: how a template is rendered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::lambda::route::{self, Matched};
use super::local::Local;
use super::mapping::{self, Refusal, Returned};
use crate::config::compiled::{TableOperation, TableOrigin};
use crate::dynamo::Caller;
use crate::message::pairs;
use crate::origin::adapter::{About, Body, CallerKind, Endpoint, whole};
use crate::vtl::Context;

/// Bytes of a request's body: API Gateway's payload limit.
const BODY_MAX: usize = 10 << 20;
/// How long an operation may take: API Gateway's integration timeout.
const PATIENCE: Duration = Duration::from_secs(29);

/// One operation as an origin.
#[derive(Debug)]
pub struct Table {
    name: String,
    spec: Arc<TableOrigin>,
    local: Arc<Local>,
}

// === impl Table ===
impl Table {
    pub fn new(name: &str, spec: &Arc<TableOrigin>, local: Arc<Local>) -> Self {
        Table { name: name.to_owned(), spec: Arc::clone(spec), local }
    }

    async fn ask(&self, request: Request<Incoming>, about: &About) -> Result<Response<Body>, Refused> {
        let (head, mut body) = request.into_parts();
        let content = match Limited::new(&mut body, BODY_MAX).collect().await {
            Ok(content) => content.to_bytes(),
            Err(_) => {
                // The proxy may still be writing.
                while let Some(Ok(_)) = body.frame().await {}
                return Err(Refused::TooLarge);
            }
        };
        let Some(dynamo) = self.local.dynamo() else { return Err(Refused::NotThere) };
        let route = route::find(&self.spec.routes, head.method.as_str(), head.uri.path()).ok_or(Refused::NoRoute)?;
        let chosen = self.spec.routes.iter().position(|key| key.text == route.key).unwrap_or_default();
        let operation = self.spec.operations.get(chosen).ok_or(Refused::NoRoute)?;
        let context = context(&head, &content, about, &route, operation);
        let call = mapping::call(&operation.mapping, &head.headers, &context)?;
        let asked: Value = serde_json::from_str(&call.body)
            .map_err(|error| Refusal::Configuration(format!("the request template's output is no JSON: {error}")))?;
        let caller = Caller {
            arn: about.caller.as_ref().filter(|caller| caller.kind == CallerKind::SigV4).map(|c| c.id.to_string()),
            policy: operation.policy.clone(),
            source_ip: about.viewer,
            secure: about.tls,
            user_agent: None,
        };
        let (status, said) = match dynamo.call(&caller, &call.operation, asked).await {
            Ok(answer) => (StatusCode::OK, String::from_utf8_lossy(&answer.body).into_owned()),
            Err(fault) => {
                let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, String::from_utf8_lossy(&fault.body()).into_owned())
            }
        };
        let returned = Returned { status, headers: &HeaderMap::new(), body: &said };
        let answer = mapping::answer(&operation.mapping, &head.headers, context, call, returned)?;
        let mut response = Response::new(whole(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Why there is no answer of the operation's.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Mapping(#[from] Refusal),
    #[error("the request's body is too large")]
    TooLarge,
    #[error("the tables are not open yet")]
    NotThere,
    #[error("none of its routes takes the request")]
    NoRoute,
}

#[async_trait::async_trait]
impl Endpoint for Table {
    async fn answer(&self, request: Request<Incoming>, about: &About) -> Response<Body> {
        let refused = match tokio::time::timeout(PATIENCE, self.ask(request, about)).await {
            Ok(Ok(response)) => return response,
            Ok(Err(refused)) => refused,
            Err(_) => {
                return said(
                    StatusCode::GATEWAY_TIMEOUT,
                    "EndpointRequestTimedOutException",
                    "Endpoint request timed out",
                );
            }
        };
        log::warn!("origin {}: {refused} ({})", self.name, about.request_id);
        match refused {
            Refused::Mapping(refusal) => {
                let (status, kind, body) = refusal.parts();
                answered(status, kind, body)
            }
            Refused::TooLarge => said(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLongException", "Request Too Long"),
            Refused::NoRoute => said(StatusCode::NOT_FOUND, "NotFoundException", "Not Found"),
            Refused::NotThere => {
                said(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", "Service Unavailable")
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE.saturating_add(Duration::from_secs(1))
    }
}

fn said(status: StatusCode, kind: &'static str, words: &str) -> Response<Body> {
    answered(status, kind, json!({ "message": words }).to_string())
}

fn answered(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}

/// What templates see of a request (API Gateway Developer Guide, "Variables for data transformations").
fn context(
    head: &http::request::Parts,
    content: &Bytes,
    about: &About,
    route: &Matched<'_>,
    operation: &TableOperation,
) -> Context {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let named = |name: &http::HeaderName| {
        let sent = about.names.iter().find(|sent| sent.eq_ignore_ascii_case(name.as_str()));
        sent.map_or_else(|| name.as_str().to_owned(), String::clone)
    };
    let path = head.uri.path();
    let stage = if about.stage.is_empty() { "$default" } else { &about.stage };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let agent = head.headers.get(http::header::USER_AGENT).map(text);
    let mut context = json!({
        "requestId": about.request_id,
        "extendedRequestId": about.request_id,
        "httpMethod": head.method.as_str(),
        "path": path,
        "resourcePath": route.resource,
        "protocol": about.protocol,
        "domainName": pairs::without_port(&about.host),
        "stage": stage,
        "requestTimeEpoch": now,
        "identity": { "sourceIp": about.viewer.to_canonical().to_string(), "userAgent": agent },
    });
    if let Some(caller) = &about.caller {
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let told: Map<String, Value> =
            caller.claims.iter().map(|(name, value)| (name.clone(), plain(value).into())).collect();
        match caller.kind {
            CallerKind::Jwt => context["authorizer"] = json!({ "claims": told, "principalId": &*caller.id }),
            CallerKind::Authorizer => {
                let mut told = told;
                told.insert("principalId".into(), (*caller.id).into());
                context["authorizer"] = told.into();
            }
            CallerKind::SigV4 => {
                context["identity"]["userArn"] = (*caller.id).into();
                context["identity"]["caller"] = (*caller.id).into();
            }
            CallerKind::ApiKey | CallerKind::Certificate => {}
        }
        if let Some(key) = &caller.api_key {
            context["identity"]["apiKeyId"] = (**key).into();
        }
    }
    Context {
        body: String::from_utf8_lossy(content).into_owned(),
        path: route.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        querystring: pairs::of_query(head.uri.query()),
        header: head.headers.iter().map(|(name, value)| (named(name), text(value))).collect(),
        context,
        stage_variables: operation.stage_variables.clone(),
        overrides: Default::default(),
    }
}
