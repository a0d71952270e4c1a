//! Errors: what a viewer sees when something went wrong.
//!
//! In: a status, the behavior's error pages, the request's Accept. Out: the configured page, or the edge's own short body.
//! Never: details of the origin or of the edge's inside.

use super::answer::{Answer, ResultType};
use crate::config::compiled::{Behavior, ErrorPage};
use crate::message::Fields;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

/// What the edge's own error body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

/// The behavior's page for `status`, the first that lists it (AWS, "Custom error responses").
pub fn page_for(behavior: &Behavior, status: StatusCode) -> Option<&ErrorPage> {
    behavior.errors.iter().find(|page| page.statuses.contains(&status))
}

/// The standard error answer: status, one sentence (`what`), request id and PoP, never stored downstream. JSON for viewers
/// that accept `application/json`, HTML for those that accept `text/html`, whichever they name first; else plain text.
pub fn error_answer<F: Fields>(status: StatusCode, what: &str, request: &F, request_id: &str, pop: &str) -> Answer {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let (media, body) = match form(request) {
        Form::Text => ("text/plain; charset=utf-8", format!("{title}\n{what}\nRequest {request_id} at {pop}\n")),
        Form::Html => {
            let (what, id, pop) = (escape(what), escape(request_id), escape(pop));
            let body = format!(
                "<!doctype html><meta charset=utf-8><title>{title}</title>\n<h1>{title}</h1>\n<p>{what}</p>\n\
                 <p><small>Request {id} at {pop}</small></p>\n"
            );
            ("text/html; charset=utf-8", body)
        }
        Form::Json => {
            let body = serde_json::json!({
                "status": status.as_u16(), "error": what, "request_id": request_id, "pop": pop,
            });
            ("application/json", format!("{body}\n"))
        }
    };
    let headers =
        vec![(CONTENT_TYPE, HeaderValue::from_static(media)), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let result = ResultType::Error;
    Answer { status, headers, body: Bytes::from(body), result, failure: None }
}

fn form<F: Fields>(request: &F) -> Form {
    for range in request.lines(&ACCEPT).flat_map(|line| line.split(|b| *b == b',')) {
        let media = range.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if media.eq_ignore_ascii_case(b"application/json") {
            return Form::Json;
        }
        if media.eq_ignore_ascii_case(b"text/html") {
            return Form::Html;
        }
    }
    Form::Text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::sample::behavior;
    use super::*;
    use crate::config::compiled::Page;
    use http::HeaderMap;
    use std::time::Duration;

    #[test]
    fn first_page_that_lists_the_status() {
        let page = |statuses: &[u16], respond: u16| ErrorPage {
            statuses: statuses.iter().map(|s| StatusCode::from_u16(*s).unwrap()).collect(),
            respond: StatusCode::from_u16(respond).ok(),
            page: Page::Path("/e".into()),
            ttl: Duration::ZERO,
        };
        let mut behavior = behavior();
        behavior.errors = vec![page(&[403, 404], 200), page(&[404, 502], 503)];
        for (status, want) in [(404, Some(200)), (502, Some(503)), (500, None)] {
            let page = page_for(&behavior, StatusCode::from_u16(status).unwrap());
            assert_eq!(page.and_then(|p| p.respond).map(|s| s.as_u16()), want, "{status}");
        }
    }

    #[test]
    fn the_body_follows_accept() {
        for (accept, media, part) in [
            ("", "text/plain; charset=utf-8", "404 Not Found\n<nothing>\nRequest id1 at FRA\n"),
            ("*/*", "text/plain; charset=utf-8", "<nothing>"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "<p>&lt;nothing&gt;</p>"),
            ("application/json, text/plain", "application/json", "\"error\":\"<nothing>\""),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT, HeaderValue::from_static(accept));
            let answer = error_answer(StatusCode::NOT_FOUND, "<nothing>", &request, "id1", "FRA");
            assert_eq!(answer.headers[0].1, media, "{accept}");
            let body = std::str::from_utf8(&answer.body).unwrap();
            assert!(body.contains(part), "{accept}: {body}");
        }
    }
}
