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

/// Aims a request at another path and query, whatever protocol brought it: the authority that HTTP/2 has in the same place stays.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue, Method, Version};
    use proptest::prelude::*;

    use super::*;
    use crate::config::compiled::Mode;
    use crate::hooks::{Event, Exchange, Request, Response, Site};

    const PIECES: [&str; 22] = [
        "",
        "/",
        "/a",
        "/a b",
        "/a?b",
        "//",
        "/%2",
        "/é",
        "\"",
        "<x>",
        "a=1&b",
        "?",
        "#",
        " ",
        "\r\n",
        "\0",
        "host",
        "x-a",
        "X-A",
        "content-length",
        "content-encoding",
        "set-cookie",
    ];

    /// A host call of a function.
    #[derive(Debug, Clone)]
    enum Call {
        Uri(String),
        Query(String),
        Set(String, String),
        Append(String, String),
        Remove(String),
        Body(String),
        Status(u16),
    }

    fn piece() -> impl Strategy<Value = String> {
        let known = proptest::sample::select(&PIECES[..]).prop_map(str::to_owned);
        prop_oneof![4 => known, 1 => "\\PC{0,12}", 1 => "/[ -~]{0,20}"]
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            piece().prop_map(Call::Uri),
            piece().prop_map(Call::Query),
            (piece(), piece()).prop_map(|(name, value)| Call::Set(name, value)),
            (piece(), piece()).prop_map(|(name, value)| Call::Append(name, value)),
            piece().prop_map(Call::Remove),
            piece().prop_map(Call::Body),
            (190u16..610).prop_map(Call::Status),
        ]
    }

    /// The exchange after the calls: what is not accepted leaves nothing.
    fn called(event: Event, mode: Mode, calls: &[Call]) -> Exchange {
        let site = Site {
            pop: "FRA".to_owned(),
            behavior: "*".to_owned(),
            domain: "shop.example".to_owned(),
            distribution: "RIMWARDFRA".to_owned(),
            origins: Vec::new(),
            mode,
            include_body: true,
        };
        let own = |name: &'static str, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let request = Request {
            method: Method::POST,
            uri: "/was".to_owned(),
            query: "q".to_owned(),
            has_query: true,
            client_ip: [192, 0, 2, 1].into(),
            server_ip: None,
            who: None,
            version: Version::HTTP_11,
            tls: true,
            headers: HeaderMap::from_iter([own("host", "shop.example"), own("x-a", "1")]),
            body: None,
            origin: None,
        };
        let mut exchange = if event.is_request() {
            Exchange::request(event, &Arc::new(site), "id", 0, request)
        } else {
            let headers = HeaderMap::from_iter([own("content-length", "3"), own("x-a", "1")]);
            let response = Response { status: StatusCode::OK, headers, body: None };
            Exchange::response(event, &Arc::new(site), "id", 0, request, response)
        };
        for call in calls {
            // Whether it is accepted is for the tables of `hooks`.
            _ = match call {
                Call::Uri(uri) => exchange.set_uri(uri),
                Call::Query(query) => exchange.set_query(query),
                Call::Set(name, value) => exchange.set_header(name, value.as_bytes()),
                Call::Append(name, value) => exchange.append_header(name, value.as_bytes()),
                Call::Remove(name) => exchange.remove_header(name),
                Call::Body(data) => exchange.set_body(Bytes::from(data.clone())),
                Call::Status(status) => exchange.set_status(*status),
            };
        }
        exchange
    }

    /// What the calls left is what goes out, as a message that a parser takes.
    fn asks(request: &RequestHeader, exchange: &Exchange) {
        let raw = String::from_utf8(request.raw_path().to_vec()).unwrap();
        let parsed: Uri = raw.parse().unwrap_or_else(|why| panic!("{why}: {raw:?}"));
        let want = |part: &str| valid::sendable(part).into_owned();
        assert_eq!(parsed.path(), want(&exchange.request.uri));
        assert_eq!(parsed.query().unwrap_or_default(), want(&exchange.request.query));
        assert_eq!(request.headers, exchange.request.headers);
        assert_eq!(request.headers.get_all(header::HOST).iter().count(), 1);
    }

    proptest! {
        #[test]
        fn edits_of_a_viewers_request_leave_a_valid_one(calls in proptest::collection::vec(call(), 0..8), strict: bool) {
            let mode = if strict { Mode::Strict } else { Mode::Extended };
            let mut exchange = called(Event::ViewerRequest, mode, &calls);
            let edits = exchange.take_edits();
            for authority in [None, Some("shop.example")] {
                let mut request = RequestHeader::build(Method::POST, b"/was?q", None).unwrap();
                if let Some(authority) = authority {
                    request.set_uri(format!("https://{authority}/was?q").parse().unwrap());
                }
                for (name, value) in [("host", "shop.example"), ("x-a", "1")] {
                    request.insert_header(name, value).unwrap();
                }
                viewer_request(&mut request, edits.clone()).unwrap();
                asks(&request, &exchange);
                prop_assert_eq!(request.uri.authority().map(|authority| authority.as_str()), authority);
            }
        }

        #[test]
        fn edits_of_an_origins_request_are_what_the_calls_left(calls in proptest::collection::vec(call(), 0..8)) {
            let mut exchange = called(Event::OriginRequest, Mode::Extended, &calls);
            let edits = exchange.take_edits();
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
            headers.insert("x-a", HeaderValue::from_static("1"));
            let (mut path, mut query) = ("/was".to_owned(), "q".to_owned());
            origin_request(&mut headers, &mut path, &mut query, &edits);
            prop_assert_eq!((&path, &query), (&exchange.request.uri, &exchange.request.query));
            prop_assert_eq!(&headers, &exchange.request.headers);
        }

        #[test]
        fn edits_of_an_answer_leave_one_framing(calls in proptest::collection::vec(call(), 0..8), viewer: bool) {
            let event = if viewer { Event::ViewerResponse } else { Event::OriginResponse };
            let mut exchange = called(event, Mode::Extended, &calls);
            let edits = exchange.take_edits();
            let mut answer = ResponseHeader::build(StatusCode::OK, None).unwrap();
            for (name, value) in [("content-length", "3"), ("x-a", "1")] {
                answer.insert_header(name, value).unwrap();
            }
            let changed = response(&mut answer, edits).unwrap();
            let after = exchange.response.as_ref().unwrap();
            prop_assert_eq!(changed.status.unwrap_or(StatusCode::OK), after.status);
            prop_assert_eq!(changed.body.as_ref(), after.body.as_ref());
            prop_assert_eq!(&answer.headers, &after.headers);
            if let Some(body) = &changed.body {
                respond::edit(&mut answer, |headers| reframe(headers, body, changed.coding_set)).unwrap();
                let lengths: Vec<_> = answer.headers.get_all(header::CONTENT_LENGTH).iter().cloned().collect();
                prop_assert_eq!(lengths, [HeaderValue::from(body.len())]);
                prop_assert!(!answer.headers.contains_key(header::TRANSFER_ENCODING));
            }
        }
    }
}
