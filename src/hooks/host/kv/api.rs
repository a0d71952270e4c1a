//! KV API: CloudFront's KeyValueStore data plane (API version 2022-07-26), as requests and responses.
//!
//! In: a request's parts, the stores. Out: what CloudFront would answer. Never: who may ask (the admin room decides), a
//! listener.
//!
//! Paths: `/key-value-stores/{KvsARN}[/keys[/{Key}]]`, each part percent-encoded. A store is named by the last part of its ARN,
//! or by its plain name. Every write carries the store's version in `If-Match`.

mod answer;
mod request;

use bytes::Bytes;
use http::header::IF_MATCH;
use http::{HeaderMap, Method, Response, Uri};

use super::{Change, Entry, KvHandle, KvStores};
use answer::{Refused, Status};
use request::{Call, Listing, Put, Target, Update};

/// Where the paths of this API begin.
pub const PREFIX: &str = "/key-value-stores/";
/// Bytes of a request's body: the largest update, every fourth byte an escape.
pub const BODY_MAX: usize = 16 << 20;

/// Answers one request. Blocks on the disk, reads aside.
pub fn handle(stores: &KvStores, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
    answer(stores, method, uri, headers, body).unwrap_or_else(Refused::into_response)
}

/// What a request asks to do, as IAM's policies say it: the action, and the store's ARN with the account 000000000000. `None`: it asks for
/// nothing that there is.
pub fn action(method: &Method, path: &str) -> Option<(&'static str, String)> {
    let call = Call::parse(path).ok()?;
    let action = match (method, call.target) {
        (&Method::GET, Target::Store) => "cloudfront-keyvaluestore:DescribeKeyValueStore",
        (&Method::GET, Target::Keys) => "cloudfront-keyvaluestore:ListKeys",
        (&Method::GET, Target::Key(_)) => "cloudfront-keyvaluestore:GetKey",
        (&Method::PUT, Target::Key(_)) => "cloudfront-keyvaluestore:PutKey",
        (&Method::DELETE, Target::Key(_)) => "cloudfront-keyvaluestore:DeleteKey",
        (&Method::POST, Target::Keys) => "cloudfront-keyvaluestore:UpdateKeys",
        _ => return None,
    };
    Some((action, format!("{}{}", request::ARN_BEFORE, call.store)))
}

fn answer(
    stores: &KvStores,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Bytes>, Refused> {
    let call = Call::parse(uri.path())?;
    let store = stores.get(&call.store).ok_or_else(|| Refused::not_found("there is no such key value store"))?;
    match (method, call.target) {
        (&Method::GET, Target::Store) => Ok(answer::description(store, &call.arn)),
        (&Method::GET, Target::Keys) => list(store, &Listing::parse(uri.query().unwrap_or_default())?),
        (&Method::GET, Target::Key(key)) => get(store, key),
        (&Method::PUT, Target::Key(key)) => {
            let put = Put::parse(body)?;
            write(store, headers, vec![Change::Put(Entry { key, value: put.value.into() })])
        }
        (&Method::DELETE, Target::Key(key)) => write(store, headers, vec![Change::DeleteExisting(key)]),
        (&Method::POST, Target::Keys) => write(store, headers, Update::parse(body)?.into_changes()?),
        _ => Err(Refused::new(Status::NotAllowed, "this API has no such operation")),
    }
}

fn get(store: &KvHandle, key: String) -> Result<Response<Bytes>, Refused> {
    let value = store.get(&key).ok_or_else(|| Refused::not_found("there is no such key"))?;
    Ok(answer::value(&store.state(), &Entry { key, value }))
}

fn list(store: &KvHandle, listing: &Listing) -> Result<Response<Bytes>, Refused> {
    Ok(answer::page(&store.list(listing.after.as_deref(), listing.max)?))
}

fn write(store: &KvHandle, headers: &HeaderMap, changes: Vec<Change>) -> Result<Response<Bytes>, Refused> {
    let expected = headers.get(IF_MATCH).and_then(|value| value.to_str().ok());
    let expected = expected.ok_or_else(|| Refused::invalid("If-Match has to name the store's version (ETag)"))?;
    Ok(answer::written(&store.update(changes, Some(expected.trim_matches('"')))?))
}

#[cfg(test)]
mod tests;
