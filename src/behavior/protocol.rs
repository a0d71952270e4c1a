//! Protocol: whether a viewer may stay on plain HTTP.
//!
//! In: the behavior's viewer protocol policy, the request's line. Out: nothing, a redirect to https or a 403. Never: TLS.

use super::answer::Answer;
use super::decide::Viewer;
use super::redirect;
use crate::config::compiled::ViewerProtocol;
use crate::observe::Failure;
use http::{Method, StatusCode, Version};

/// What a request without TLS gets (AWS, "Viewer protocol policy" and "HTTP to HTTPS redirection"): https-only is 403;
/// redirect-to-https is 301 for GET and HEAD, 307 for other methods so that they are repeated as they are, and 403 for
/// those over HTTP/1.0, which has no 307. `Location` keeps path and query byte for byte and drops the port.
pub fn check(policy: ViewerProtocol, viewer: &Viewer<'_>) -> Option<Answer> {
    if viewer.tls || policy == ViewerProtocol::AllowAll {
        return None;
    }
    let reads = viewer.method == Method::GET || viewer.method == Method::HEAD;
    let status = match reads {
        _ if policy == ViewerProtocol::HttpsOnly => None,
        true => Some(StatusCode::MOVED_PERMANENTLY),
        false if viewer.version > Version::HTTP_10 => Some(StatusCode::TEMPORARY_REDIRECT),
        false => None,
    };
    Some(match status {
        Some(status) => redirect::to_https(status, viewer),
        None => {
            Answer::refuse(StatusCode::FORBIDDEN, Failure::InvalidRequest, "This resource is served over HTTPS only.\n")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use http::header::LOCATION;

    #[test]
    fn cloudfront_table() {
        use ViewerProtocol::*;
        for (policy, method, version, tls, want) in [
            (AllowAll, Method::GET, Version::HTTP_11, false, None),
            (HttpsOnly, Method::GET, Version::HTTP_11, true, None),
            (HttpsOnly, Method::GET, Version::HTTP_11, false, Some(403)),
            (RedirectToHttps, Method::GET, Version::HTTP_11, true, None),
            (RedirectToHttps, Method::GET, Version::HTTP_10, false, Some(301)),
            (RedirectToHttps, Method::HEAD, Version::HTTP_2, false, Some(301)),
            (RedirectToHttps, Method::POST, Version::HTTP_11, false, Some(307)),
            (RedirectToHttps, Method::OPTIONS, Version::HTTP_2, false, Some(307)),
            (RedirectToHttps, Method::POST, Version::HTTP_10, false, Some(403)),
        ] {
            let viewer = Viewer { version, ..sample::viewer(&method, tls, "/", None) };
            let answer = check(policy, &viewer);
            assert_eq!(answer.map(|a| a.status.as_u16()), want, "{policy:?} {method} {version:?} {tls}");
        }
    }

    #[test]
    fn location_keeps_path_and_query() {
        for (path, query, want) in [
            ("/a%2Fb/", None, "https://www.example.com/a%2Fb/"),
            ("/a", Some("x=1&y=%20"), "https://www.example.com/a?x=1&y=%20"),
            ("/a", Some(""), "https://www.example.com/a?"),
            ("//evil/", None, "https://www.example.com//evil/"),
        ] {
            let answer = check(ViewerProtocol::RedirectToHttps, &sample::viewer(&Method::GET, false, path, query));
            let (name, value) = answer.unwrap().headers.remove(0);
            assert_eq!((name, value.to_str().unwrap()), (LOCATION, want));
        }
    }
}
