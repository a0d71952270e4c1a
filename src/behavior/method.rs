//! Method: whether a behavior takes a request's method.
//!
//! In: the behavior's methods, the request's. Out: nothing, a 403, or what OPTIONS asks of this hop. Never: the request's body.

use super::answer::{Answer, ResultType};
use crate::config::compiled::Behavior;
use crate::message::Fields;
use crate::observe::Failure;
use bytes::Bytes;
use http::header::{ALLOW, MAX_FORWARDS};
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

/// Answers an OPTIONS that goes no further than this hop (RFC 9110 §7.6.2, §9.3.7): `Max-Forwards: 0`.
pub fn last_hop<F: Fields>(behavior: &Behavior, method: &Method, request: &F) -> Option<Answer> {
    if method != Method::OPTIONS || request.first(&MAX_FORWARDS)? != b"0" {
        return None;
    }
    let headers = HeaderValue::from_str(&join(&behavior.methods)).ok().map(|list| (ALLOW, list)).into_iter().collect();
    Some(Answer {
        status: StatusCode::NO_CONTENT,
        headers,
        body: Bytes::new(),
        result: ResultType::Miss,
        failure: None,
    })
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
    fn options_may_ask_this_hop_alone() {
        let fields = |value: &'static str| {
            http::HeaderMap::from_iter((!value.is_empty()).then(|| (MAX_FORWARDS, HeaderValue::from_static(value))))
        };
        for (method, value, want) in [
            (Method::OPTIONS, "0", true),
            (Method::OPTIONS, "1", false),
            (Method::OPTIONS, "", false),
            (Method::GET, "0", false),
        ] {
            assert_eq!(last_hop(&behavior(), &method, &fields(value)).is_some(), want, "{method} {value}");
        }
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
