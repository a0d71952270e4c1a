//! Denying: what a viewer is told that may not come in, or not now.
//!
//! In: the reason. Out: AWS's status, type and body. Never: the reason's details, which the operator finds in the log.
//!
//! Source: API Gateway Developer Guide, "Gateway response types" and "Troubleshoot 403 errors"; CloudFront Developer Guide, "Use signed
//! URLs"; RFC 6750 §3 (`WWW-Authenticate`).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::access::{Denied, Reason};
use crate::behavior::{Answer, ResultType};
use crate::limit::{self, Kind, Refused};
use crate::observe::Failure;

use super::entering;

const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Status, error type, body and challenge of each reason.
type Row = (u16, &'static str, &'static str, Option<&'static str>);

const UNAUTHORIZED: &str = r#"{"message":"Unauthorized"}"#;
const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
const MISMATCH: &str = r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#;
const INCOMPLETE: &str = r#"{"message":"The request signature does not conform to AWS standards."}"#;
const NOT_AUTHORIZED: &str = r#"{"Message":"User is not authorized to access this resource"}"#;
const EXPLICIT: &str = r#"{"Message":"User is not authorized to access this resource with an explicit deny"}"#;
const MISSING_KEY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>MissingKey</Code><Message>Missing Key-Pair-Id query parameter or cookie value</Message></Error>"#;
const ACCESS_DENIED: &str =
    r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>"#;

fn row(reason: Reason) -> Row {
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
        Reason::TokenKeys => (500, "InternalServerErrorException", r#"{"message":"Internal server error"}"#, None),
        Reason::SignatureMissing => {
            (403, "MissingAuthenticationTokenException", r#"{"message":"Missing Authentication Token"}"#, None)
        }
        Reason::SignatureIncomplete => (403, "IncompleteSignatureException", INCOMPLETE, None),
        Reason::SignatureInvalid => (403, "InvalidSignatureException", MISMATCH, None),
        Reason::PolicyDenies | Reason::AuthorizerNotAllowed => (403, "AccessDeniedException", NOT_AUTHORIZED, None),
        Reason::AuthorizerDenies => (403, "AccessDeniedException", EXPLICIT, None),
        Reason::AuthorizerUnauthorized => (401, "UnauthorizedException", UNAUTHORIZED, None),
        Reason::AuthorizerFailed => (500, "AuthorizerConfigurationException", r#"{"message":null}"#, None),
        Reason::SignedMissing => (403, "", MISSING_KEY, None),
        Reason::SignedInvalid => (403, "", ACCESS_DENIED, None),
    }
}

/// The answer to somebody who is not let in.
pub fn denied(denied: &Denied) -> Answer {
    let (status, kind, body, challenge) = row(denied.reason);
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
    let mut answer = answer(status, kind, "application/json", body);
    answer.headers.push((RETRY_AFTER, HeaderValue::from(limit::headers::retry_after(refused.retry_after))));
    answer.headers.extend(refused.shown.as_ref().into_iter().flat_map(entering::shown_fields));
    answer.failure = Some(Failure::LimitExceeded);
    answer
}

fn answer(status: u16, kind: &'static str, media: &'static str, body: &'static str) -> Answer {
    let mut headers =
        vec![(CONTENT_TYPE, HeaderValue::from_static(media)), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    if !kind.is_empty() {
        headers.push((X_AMZN_ERRORTYPE, HeaderValue::from_static(kind)));
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        result: ResultType::Error,
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_aws_types_and_nothing_of_the_details() {
        for (reason, status, kind, body) in [
            (Reason::ApiKeyMissing, 403, "ForbiddenException", r#"{"message":"Forbidden"}"#),
            (Reason::ApiKey, 403, "ForbiddenException", r#"{"message":"Forbidden"}"#),
            (Reason::TokenMissing, 401, "UnauthorizedException", r#"{"message":"Unauthorized"}"#),
            (Reason::TokenScope, 403, "ForbiddenException", r#"{"message":"Forbidden"}"#),
            (
                Reason::SignatureMissing,
                403,
                "MissingAuthenticationTokenException",
                r#"{"message":"Missing Authentication Token"}"#,
            ),
            (Reason::SignatureInvalid, 403, "InvalidSignatureException", MISMATCH),
            (Reason::AuthorizerDenies, 403, "AccessDeniedException", EXPLICIT),
            (Reason::AuthorizerFailed, 500, "AuthorizerConfigurationException", r#"{"message":null}"#),
        ] {
            let answer = denied(&Denied::new(reason, "secret details"));
            assert_eq!(answer.status.as_u16(), status, "{reason:?}");
            let named =
                answer.headers.iter().find(|(name, _)| *name == X_AMZN_ERRORTYPE).map(|(_, value)| value.as_bytes());
            assert_eq!(named, Some(kind.as_bytes()), "{reason:?}");
            assert_eq!(answer.body, body, "{reason:?}");
        }
        let xml = denied(&Denied::new(Reason::SignedMissing, ""));
        assert!(xml.body.starts_with(b"<?xml") && xml.headers[0].1 == "text/xml");
    }
}
