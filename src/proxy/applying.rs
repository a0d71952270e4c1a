//! Applying: a function's edits, on the messages that the request path works with.
//!
//! In: accepted edits. Out: changed heads. Never: checks; every edit was checked when it was made.

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use crate::hooks::{Edit, OriginChange, valid};

use super::respond;

/// What edits of a response come to, besides its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub status: Option<StatusCode>,
    pub body: Option<Bytes>,
    /// A function set Content-Encoding: it describes the body that it wrote.
    pub coding_set: bool,
}

/// What edits of a request come to, besides its head.
#[derive(Debug, Default)]
pub struct Asked {
    pub body: Option<Bytes>,
    pub origins: Vec<OriginChange>,
    pub target: bool,
}

/// Puts edits on the viewer's request.
pub fn viewer_request(request: &mut RequestHeader, edits: Vec<Edit>) -> Result<Asked> {
    let mut asked = Asked::default();
    let raw = String::from_utf8_lossy(request.raw_path()).into_owned();
    let (mut path, mut query) = match raw.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (raw, None),
    };
    for edit in edits {
        match edit {
            Edit::Uri(uri) => (path, asked.target) = (uri, true),
            Edit::Query(text) => (query, asked.target) = ((!text.is_empty()).then_some(text), true),
            Edit::Set(name, value) => request.insert_header(name, value)?,
            Edit::Append(name, value) => {
                request.append_header(name, value)?;
            }
            Edit::Remove(name) => {
                request.remove_header(&name);
            }
            Edit::Body(data) => asked.body = Some(data),
            Edit::Origin(change) => asked.origins.push(*change),
            Edit::Status(_) => {}
        }
    }
    if asked.target {
        aim(request, &path, query.as_deref())?;
    }
    Ok(asked)
}

/// Puts edits on the request that an origin is sent. `path` and `query` are what it is asked for without the origin's own
/// prefix.
pub fn origin_request(headers: &mut HeaderMap, path: &mut String, query: &mut String, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Uri(uri) => path.clone_from(uri),
            Edit::Query(text) => query.clone_from(text),
            Edit::Body(_) | Edit::Origin(_) | Edit::Status(_) => {}
            field => fields(headers, field),
        }
    }
}

/// Puts edits on an answer's head.
pub fn response(response: &mut ResponseHeader, edits: Vec<Edit>) -> Result<Changed> {
    let mut changed = Changed::default();
    respond::edit(response, |headers| {
        for edit in edits {
            match edit {
                Edit::Status(status) => changed.status = Some(status),
                Edit::Body(data) => changed.body = Some(data),
                Edit::Uri(_) | Edit::Query(_) | Edit::Origin(_) => {}
                field => {
                    changed.coding_set |= matches!(&field, Edit::Set(name, _) if *name == header::CONTENT_ENCODING);
                    fields(headers, &field);
                }
            }
        }
    })?;
    Ok(changed)
}

/// Frames an answer whose body a function wrote.
pub fn reframe(headers: &mut HeaderMap, body: &Bytes, coding_set: bool) {
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONTENT_RANGE);
    if !coding_set {
        headers.remove(header::CONTENT_ENCODING);
    }
    headers.insert(header::CONTENT_LENGTH, body.len().into());
}

fn fields(headers: &mut HeaderMap, edit: &Edit) {
    match edit {
        Edit::Set(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Edit::Append(name, value) => {
            headers.append(name.clone(), value.clone());
        }
        Edit::Remove(name) => {
            headers.remove(name);
        }
        _ => {}
    }
}

/// Sets path and query, and keeps the authority that HTTP/2 has in the same place.
/// Aims a request at another path and query, whatever protocol brought it.
pub fn aim(request: &mut RequestHeader, path: &str, query: Option<&str>) -> Result<()> {
    let target = match query {
        Some(query) => format!("{}?{}", valid::sendable(path), valid::sendable(query)),
        None => valid::sendable(path).into_owned(),
    };
    if request.uri.authority().is_none() {
        return request.set_raw_path(target.as_bytes());
    }
    let refuse = |_| Error::explain(ErrorType::InternalError, "a function's path cannot be sent over HTTP/2");
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|e| refuse(e.to_string()))?);
    request.set_uri(Uri::from_parts(parts).map_err(|e| refuse(e.to_string()))?);
    Ok(())
}
