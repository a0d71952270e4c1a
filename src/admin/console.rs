//! Console: the operator's page.
//!
//! In: a browser's GET. Out: the page, its script and its style. Never: data (the script asks for that, with the token), anything from
//! elsewhere.

use super::answer;
use axum::extract::{Path, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const PAGE: &str =
    concat!(include_str!("console/head.html"), include_str!("console/land.inc"), include_str!("console/tail.html"));
const SCRIPT: &str = include_str!("console/app.js");
const DEPLOY: &str = include_str!("console/deploy.js");
const STYLE: &str = include_str!("console/style.css");

/// Nothing but the page's own files and calls; no inline script or style, no frame, no form that leaves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const FIELDS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// A person who types the address finds the page; a program is told what there is.
pub async fn home(request: Request) -> Response {
    let wants = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("text/html") {
        let to = HeaderValue::from_static("/console");
        return (StatusCode::SEE_OTHER, FIELDS, [(header::LOCATION, to)]).into_response();
    }
    answer::unknown(request).await.into_response()
}

pub async fn page() -> Response {
    asset("text/html; charset=utf-8", PAGE)
}

pub async fn file(Path(name): Path<String>, request: Request) -> Response {
    match name.as_str() {
        "app.js" => asset("text/javascript; charset=utf-8", SCRIPT),
        "deploy.js" => asset("text/javascript; charset=utf-8", DEPLOY),
        "style.css" => asset("text/css; charset=utf-8", STYLE),
        _ => answer::unknown(request).await.into_response(),
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    (FIELDS, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::Pop;

    #[test]
    fn the_page_is_there_without_a_token_and_holds_no_data() {
        let pop = Pop::start(Some("s3cret"));
        for (path, status) in [
            ("/console", 200),
            ("/console/app.js", 200),
            ("/console/deploy.js", 200),
            ("/console/style.css", 200),
            ("/console/other", 401),
            ("/console/../fleet", 401),
            ("/fleet", 401),
        ] {
            assert_eq!(pop.ask("GET", path, None, "").0, status, "{path}");
        }
        assert_eq!(pop.ask_with("/", Some(("accept", "application/json"))), 404);
        assert_eq!(pop.ask_with("/", Some(("accept", "text/html,*/*"))), 200, "after the redirect");
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for (name, text) in [("page", PAGE), ("script", SCRIPT), ("deploy", DEPLOY), ("style", STYLE)] {
            for sign in
                ["https://", "http://", "//cdn", "@import", "url(", "eval(", "innerHTML", " style=", " onclick="]
            {
                assert!(!text.contains(sign), "{sign} in the {name}");
            }
        }
        assert!(PAGE.contains("class=\"land\""));
    }
}
