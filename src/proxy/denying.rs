//! Denying: what a viewer is told that may not come in, or not now.
//!
//! In: the reason. Out: AWS's status, type and body. Never: the reason's details, which the operator finds in the log.
//!
//! Source: API Gateway Developer Guide, "Gateway response types", "Troubleshoot 403 errors" and "AWS Lambda authorizers for HTTP APIs";
//! CloudFront Developer Guide, "Use signed
//! URLs"; RFC 6750 §3 (`WWW-Authenticate`).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::access::{Denied, Reason, Told};
use crate::behavior::{Answer, ResultType};
use crate::limit::{self, Kind, Refused};
use crate::observe::Failure;

use super::entering;

const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Status, error type, body and challenge of each reason.
type Row = (u16, &'static str, Cow<'static, str>, Option<&'static str>);

const UNAUTHORIZED: &str = r#"{"message":"Unauthorized"}"#;
const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
/// An HTTP API's, with a capital S.
const FAILED: &str = r#"{"message":"Internal Server Error"}"#;
const MISMATCH: &str = r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#;
const INCOMPLETE: &str = r#"{"message":"The request signature does not conform to AWS standards."}"#;
const NOT_AUTHORIZED: &str = r#"{"Message":"User is not authorized to access this resource"}"#;
const EXPLICIT: &str = r#"{"Message":"User is not authorized to access this resource with an explicit deny"}"#;
const TOO_LONG: &str = r#"{"message":"Request URI too long"}"#;
const MISSING_KEY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>MissingKey</Code><Message>Missing Key-Pair-Id query parameter or cookie value</Message></Error>"#;
const ACCESS_DENIED: &str =
    r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>"#;

fn row(denied: &Denied) -> Row {
    let (status, kind, body, challenge) = match (denied.reason, &denied.told) {
        (Reason::AuthorizerDenies | Reason::AuthorizerNotAllowed, Told::Less) => {
            (403, "ForbiddenException", FORBIDDEN, None)
        }
        (Reason::AuthorizerFailed, Told::Less) => (500, "InternalServerErrorException", FAILED, None),
        (reason, Told::Usual | Told::Less) => usual(reason),
        (reason, Told::Words(words)) => {
            let (status, kind, _, challenge) = usual(reason);
            return (status, kind, json!({ "Message": words }).to_string().into(), challenge);
        }
    };
    (status, kind, body.into(), challenge)
}

fn usual(reason: Reason) -> (u16, &'static str, &'static str, Option<&'static str>) {
    match reason {
        Reason::ApiKeyMissing | Reason::ApiKey | Reason::Address | Reason::Certificate | Reason::Excluded => {
            (403, "ForbiddenException", FORBIDDEN, None)
        }
        Reason::Country => (403, "ForbiddenException", r#"{"message":"This is not served in your country"}"#, None),
        Reason::TokenMissing => (401, "UnauthorizedException", UNAUTHORIZED, Some("Bearer")),
        Reason::TokenInvalid => {
            (401, "UnauthorizedException", UNAUTHORIZED, Some(r#"Bearer scope="" error="invalid_token""#))
        }
        Reason::TokenScope => (403, "ForbiddenException", FORBIDDEN, Some(r#"Bearer error="insufficient_scope""#)),
        Reason::TokenKeys => (500, "InternalServerErrorException", FAILED, None),
        Reason::SignatureMissing => {
            (403, "MissingAuthenticationTokenException", r#"{"message":"Missing Authentication Token"}"#, None)
        }
        Reason::SignatureIncomplete => (403, "IncompleteSignatureException", INCOMPLETE, None),
        Reason::SignatureInvalid => (403, "InvalidSignatureException", MISMATCH, None),
        Reason::PolicyDenies | Reason::AuthorizerNotAllowed => (403, "AccessDeniedException", NOT_AUTHORIZED, None),
        Reason::AuthorizerDenies => (403, "AccessDeniedException", EXPLICIT, None),
        Reason::AuthorizerUnauthorized => (401, "UnauthorizedException", UNAUTHORIZED, None),
        Reason::AuthorizerFailed => (500, "AuthorizerConfigurationException", r#"{"message":null}"#, None),
        Reason::AuthorizerTooLong => (414, "", TOO_LONG, None),
        Reason::SignedMissing => (403, "", MISSING_KEY, None),
        Reason::SignedInvalid => (403, "", ACCESS_DENIED, None),
    }
}

/// The answer to somebody who is not let in.
pub fn denied(denied: &Denied) -> Answer {
    let (status, kind, body, challenge) = row(denied);
    let xml = body.starts_with('<');
    let mut answer = answer(status, kind, if xml { "text/xml" } else { "application/json" }, body);
    if let Some(challenge) = challenge {
        answer.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
    }
    answer.failure = Some(match denied.reason {
        Reason::Country => Failure::GeoBlocked,
        Reason::TokenKeys | Reason::AuthorizerFailed => Failure::Internal,
        _ => Failure::AccessDenied,
    });
    answer
}

/// The answer to somebody who comes too often. Its `RateLimit` fields and `Retry-After` say when to come again.
pub fn refused(refused: &Refused) -> Answer {
    let (status, kind, body) = match refused.kind {
        Kind::QuotaExceeded => (429, "LimitExceededException", r#"{"message":"Limit Exceeded"}"#),
        Kind::Uncounted => (503, "ServiceUnavailableException", r#"{"message":"Service Unavailable"}"#),
        Kind::Throttled | Kind::Concurrency | Kind::Account | Kind::Heavy => {
            (429, "TooManyRequestsException", r#"{"message":"Too Many Requests"}"#)
        }
    };
    let mut answer = answer(status, kind, "application/json", body.into());
    answer.headers.push((RETRY_AFTER, HeaderValue::from(limit::headers::retry_after(refused.retry_after))));
    answer.headers.extend(refused.shown.as_ref().into_iter().flat_map(entering::shown_fields));
    answer.failure = Some(Failure::LimitExceeded);
    answer
}

fn answer(status: u16, kind: &'static str, media: &'static str, body: Cow<'static, str>) -> Answer {
    let mut headers =
        vec![(CONTENT_TYPE, HeaderValue::from_static(media)), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    if !kind.is_empty() {
        headers.push((X_AMZN_ERRORTYPE, HeaderValue::from_static(kind)));
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN),
        headers,
        body: match body {
            Cow::Borrowed(body) => Bytes::from_static(body.as_bytes()),
            Cow::Owned(body) => body.into(),
        },
        result: ResultType::Error,
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "secret details";

    /// Status, type, body and challenge by reason.
    #[test]
    fn answers_name_aws_types_and_nothing_of_the_details() {
        let invalid = Some(r#"Bearer scope="" error="invalid_token""#);
        let scope = Some(r#"Bearer error="insufficient_scope""#);
        for (reason, status, kind, body, challenge) in [
            (Reason::ApiKeyMissing, 403, "ForbiddenException", FORBIDDEN, None),
            (Reason::ApiKey, 403, "ForbiddenException", FORBIDDEN, None),
            (Reason::Address, 403, "ForbiddenException", FORBIDDEN, None),
            (Reason::Certificate, 403, "ForbiddenException", FORBIDDEN, None),
            (Reason::Excluded, 403, "ForbiddenException", FORBIDDEN, None),
            (Reason::Country, 403, "ForbiddenException", r#"{"message":"This is not served in your country"}"#, None),
            (Reason::TokenMissing, 401, "UnauthorizedException", UNAUTHORIZED, Some("Bearer")),
            (Reason::TokenInvalid, 401, "UnauthorizedException", UNAUTHORIZED, invalid),
            (Reason::TokenScope, 403, "ForbiddenException", FORBIDDEN, scope),
            (Reason::TokenKeys, 500, "InternalServerErrorException", FAILED, None),
            (
                Reason::SignatureMissing,
                403,
                "MissingAuthenticationTokenException",
                r#"{"message":"Missing Authentication Token"}"#,
                None,
            ),
            (Reason::SignatureIncomplete, 403, "IncompleteSignatureException", INCOMPLETE, None),
            (Reason::SignatureInvalid, 403, "InvalidSignatureException", MISMATCH, None),
            (Reason::PolicyDenies, 403, "AccessDeniedException", NOT_AUTHORIZED, None),
            (Reason::AuthorizerNotAllowed, 403, "AccessDeniedException", NOT_AUTHORIZED, None),
            (Reason::AuthorizerDenies, 403, "AccessDeniedException", EXPLICIT, None),
            (Reason::AuthorizerUnauthorized, 401, "UnauthorizedException", UNAUTHORIZED, None),
            (Reason::AuthorizerFailed, 500, "AuthorizerConfigurationException", r#"{"message":null}"#, None),
            (Reason::AuthorizerTooLong, 414, "", TOO_LONG, None),
            (Reason::SignedMissing, 403, "", MISSING_KEY, None),
            (Reason::SignedInvalid, 403, "", ACCESS_DENIED, None),
        ] {
            let answer = denied(&Denied::new(reason, SECRET));
            assert_eq!(shown(&answer), (status, kind, body, challenge), "{reason:?}");
            let media = if body.starts_with('<') { "text/xml" } else { "application/json" };
            assert_eq!(field(&answer, &CONTENT_TYPE), media, "{reason:?}");
        }
    }

    /// Payload format 2.0, and a signature whose policy says no.
    #[test]
    fn http_apis_say_less_and_policies_more() {
        for (reason, told, status, kind, body) in [
            (Reason::AuthorizerDenies, Told::Less, 403, "ForbiddenException", FORBIDDEN),
            (Reason::AuthorizerNotAllowed, Told::Less, 403, "ForbiddenException", FORBIDDEN),
            (Reason::AuthorizerFailed, Told::Less, 500, "InternalServerErrorException", FAILED),
            (Reason::AuthorizerUnauthorized, Told::Less, 401, "UnauthorizedException", UNAUTHORIZED),
            (
                Reason::PolicyDenies,
                Told::Words("User: \"a\" is not".into()),
                403,
                "AccessDeniedException",
                r#"{"Message":"User: \"a\" is not"}"#,
            ),
        ] {
            let answer = denied(&Denied::new(reason, SECRET).telling(told));
            assert_eq!(shown(&answer), (status, kind, body, None), "{reason:?}");
        }
    }

    #[test]
    fn who_comes_too_often() {
        for (kind, status, name, body) in [
            (Kind::Throttled, 429, "TooManyRequestsException", r#"{"message":"Too Many Requests"}"#),
            (Kind::Concurrency, 429, "TooManyRequestsException", r#"{"message":"Too Many Requests"}"#),
            (Kind::Account, 429, "TooManyRequestsException", r#"{"message":"Too Many Requests"}"#),
            (Kind::Heavy, 429, "TooManyRequestsException", r#"{"message":"Too Many Requests"}"#),
            (Kind::QuotaExceeded, 429, "LimitExceededException", r#"{"message":"Limit Exceeded"}"#),
            (Kind::Uncounted, 503, "ServiceUnavailableException", r#"{"message":"Service Unavailable"}"#),
        ] {
            let retry_after = std::time::Duration::from_secs(1);
            let answer = refused(&Refused { kind, limit: "l".into(), retry_after, shown: None });
            assert_eq!(shown(&answer), (status, name, body, None), "{kind:?}");
            assert_eq!(field(&answer, &RETRY_AFTER), "1");
        }
    }

    fn field<'a>(answer: &'a Answer, name: &HeaderName) -> &'a str {
        let found = answer.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.to_str().unwrap())
    }

    fn shown(answer: &Answer) -> (u16, &str, &str, Option<&str>) {
        let challenge = Some(field(answer, &WWW_AUTHENTICATE)).filter(|text| !text.is_empty());
        let body = std::str::from_utf8(&answer.body).unwrap();
        (answer.status.as_u16(), field(answer, &X_AMZN_ERRORTYPE), body, challenge)
    }
}
