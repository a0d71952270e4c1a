//! Method: whether a behavior takes a request's method.
//!
//! In: the behavior's methods, the request's. Out: nothing, or a 403. Never: the request's fields or body.

use super::answer::Answer;
use crate::config::compiled::Behavior;
use crate::observe::Failure;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

/// Refuses a method the behavior does not list: 403, CloudFront's InvalidRequestMethod (AWS, "HTTP methods"), with `Allow`.
pub fn allowed(behavior: &Behavior, method: &Method) -> Result<(), Answer> {
    if behavior.methods.contains(method) {
        return Ok(());
    }
    let mut answer =
        Answer::refuse(StatusCode::FORBIDDEN, Failure::InvalidMethod, "This method is not allowed here.\n");
    if let Ok(list) = HeaderValue::from_str(&join(&behavior.methods)) {
        answer.headers.push((ALLOW, list));
    }
    Err(answer)
}

/// Refuses a body on GET and HEAD with 403 (AWS, "Request and response behavior for custom origins", GET requests that
/// include a body): it has no meaning (RFC 9110 §9.3.1) and would not be part of the cache key.
pub fn without_body(method: &Method, has_body: bool) -> Result<(), Answer> {
    match has_body && (method == Method::GET || method == Method::HEAD) {
        false => Ok(()),
        true => Err(Answer::refuse(
            StatusCode::FORBIDDEN,
            Failure::InvalidRequest,
            "A GET or HEAD request must not have a body.\n",
        )),
    }
}

/// `GET, HEAD`: a list field's value.
pub(super) fn join(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sample::behavior;
    use super::*;

    #[test]
    fn only_listed_methods_pass() {
        let mut behavior = behavior();
        behavior.methods = vec![Method::GET, Method::HEAD];
        assert_eq!(allowed(&behavior, &Method::GET), Ok(()));
        let answer = allowed(&behavior, &Method::POST).unwrap_err();
        assert_eq!((answer.status, answer.failure), (StatusCode::FORBIDDEN, Some(Failure::InvalidMethod)));
        assert!(answer.headers.contains(&(ALLOW, HeaderValue::from_static("GET, HEAD"))));
    }

    #[test]
    fn get_and_head_carry_no_body() {
        for (method, body, want) in [
            (Method::GET, false, true),
            (Method::GET, true, false),
            (Method::HEAD, true, false),
            (Method::POST, true, true),
            (Method::DELETE, true, true),
        ] {
            assert_eq!(without_body(&method, body).is_ok(), want, "{method} {body}");
        }
    }
}
