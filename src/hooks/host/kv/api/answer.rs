//! Answer: what a KeyValueStore response looks like.
//!
//! In: a store's state, entries, errors. Out: responses in AWS's REST-JSON. Never: a decision.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::request::Listing;
use crate::hooks::host::kv::{Entry, KvError, KvHandle, Page, State};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The service's exceptions, and 405 for what it has no name for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Validation,
    NotFound,
    Conflict,
    Quota,
    Internal,
    NotAllowed,
}

/// An error answer.
#[derive(Debug)]
pub struct Refused {
    status: Status,
    words: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody<'a> {
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description<'a> {
    item_count: u64,
    total_size_in_bytes: u64,
    #[serde(rename = "KvsARN")]
    kvs_arn: &'a str,
    /// Seconds since the epoch.
    created: f64,
    last_modified: f64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Value<'a> {
    #[serde(flatten)]
    item: Item<'a>,
    item_count: u64,
    total_size_in_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item<'a> {
    key: &'a str,
    value: String,
    /// Ours: only where a function wrote what is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Items<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    item_count: u64,
    total_size_in_bytes: u64,
}

/// Answer of `DescribeKeyValueStore`.
pub fn description(store: &KvHandle, arn: &str) -> Response<Bytes> {
    let state = store.state();
    let body = Description {
        item_count: state.count,
        total_size_in_bytes: state.size,
        kvs_arn: arn,
        created: state.created_ms as f64 / 1000.0,
        last_modified: state.updated_ms as f64 / 1000.0,
        status: "READY",
    };
    with_etag(json(StatusCode::OK, &body), &state)
}

/// Answer of `GetKey`.
pub fn value(state: &State, entry: &Entry) -> Response<Bytes> {
    let body = Value { item: Item::of(entry), item_count: state.count, total_size_in_bytes: state.size };
    json(StatusCode::OK, &body)
}

/// Answer of `ListKeys`.
pub fn page(page: &Page) -> Response<Bytes> {
    let last = page.entries.last().filter(|_| page.more);
    let next_token = last.map(|entry| Listing::token(&entry.key));
    json(StatusCode::OK, &Items { next_token, items: page.entries.iter().map(Item::of).collect() })
}

/// Answer of `PutKey`, `DeleteKey` and `UpdateKeys`.
pub fn written(state: &State) -> Response<Bytes> {
    let body = Written { item_count: state.count, total_size_in_bytes: state.size };
    with_etag(json(StatusCode::OK, &body), state)
}

// === impl Item ===
impl<'a> Item<'a> {
    fn of(entry: &'a Entry) -> Self {
        match std::str::from_utf8(&entry.value) {
            Ok(text) => Item { key: &entry.key, value: text.to_owned(), encoding: None },
            Err(_) => Item { key: &entry.key, value: STANDARD.encode(&entry.value), encoding: Some("base64") },
        }
    }
}

// === impl Status ===
impl Status {
    fn code(self) -> StatusCode {
        match self {
            Status::Validation => StatusCode::BAD_REQUEST,
            Status::NotFound => StatusCode::NOT_FOUND,
            Status::Conflict => StatusCode::CONFLICT,
            Status::Quota => StatusCode::PAYMENT_REQUIRED,
            Status::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Status::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// AWS's name.
    fn name(self) -> &'static str {
        match self {
            Status::Validation => "ValidationException",
            Status::NotFound => "ResourceNotFoundException",
            Status::Conflict => "ConflictException",
            Status::Quota => "ServiceQuotaExceededException",
            Status::Internal => "InternalServerException",
            Status::NotAllowed => "UnknownOperationException",
        }
    }
}

// === impl Refused ===
impl Refused {
    pub fn new(status: Status, words: impl Into<String>) -> Self {
        Refused { status, words: words.into() }
    }

    pub fn invalid(words: impl Into<String>) -> Self {
        Refused::new(Status::Validation, words)
    }

    pub fn not_found(words: impl Into<String>) -> Self {
        Refused::new(Status::NotFound, words)
    }

    pub fn into_response(self) -> Response<Bytes> {
        let mut response = json(self.status.code(), &ErrorBody { message: &self.words });
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.status.name()));
        response
    }
}

impl From<KvError> for Refused {
    fn from(error: KvError) -> Self {
        let status = match &error {
            KvError::Invalid(_) | KvError::TooLarge(_) | KvError::Name(_) => Status::Validation,
            KvError::Full { .. } => Status::Quota,
            KvError::NoKey => Status::NotFound,
            KvError::Stale => Status::Conflict,
            _ => Status::Internal,
        };
        Refused::new(status, error.to_string())
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // These types have no map with other keys than text: nothing to fail on.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn with_etag(mut response: Response<Bytes>, state: &State) -> Response<Bytes> {
    if let Ok(etag) = HeaderValue::from_str(&state.etag()) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
