//! Failure: what a Pingora error means to a viewer and to an operator.
//!
//! In: the error. Out: status, kind, words. Never: writes anything.

use pingora::{Error, ErrorSource, ErrorType};

use crate::observe::Failure;

/// Our own reasons to leave an attempt; each retries.
pub const FAILOVER: &str = "status moves on to the next member of the group";
/// A function wrote the body of the answer that is served instead.
pub const REPLACED: &str = "a function replaced the answer";
/// The stored answer has to come from the origin again, past the cache.
pub const UNCONFIRMED: &str = "a 304 is about another answer than the stored one";
pub const ERROR_PAGE: &str = "status is replaced by an error page";

/// Has the origin, or another one, asked again.
pub fn again(why: &'static str) -> Box<Error> {
    let mut error = Error::new_up(ErrorType::Custom(why));
    error.set_retry(true);
    error
}

/// Status for the viewer (0 = the viewer is gone) and the kind for logs and metrics.
pub fn classify(error: &Error) -> (u16, Failure) {
    use ErrorType::*;
    if let HTTPStatus(status) = error.etype() {
        let failure = match status {
            413 | 414 | 431 | 503 => Failure::LimitExceeded,
            502 | 504 | 508 => Failure::OriginUnavailable,
            500 => Failure::Internal,
            _ => Failure::InvalidRequest,
        };
        return (*status, failure);
    }
    match error.esource() {
        ErrorSource::Upstream => match error.etype() {
            ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout => (504, Failure::OriginTimeout),
            ConnectRefused | ConnectNoRoute | ConnectError | SocketError | BindError | InternalError => {
                (502, Failure::OriginConnect)
            }
            TLSHandshakeFailure | InvalidCert | HandshakeError | TLSWantX509Lookup => (502, Failure::OriginTls),
            InvalidHTTPHeader | H1Error | H2Error | InvalidH2 | H2Downgrade => (502, Failure::OriginInvalid),
            Custom("PrematureBodyEnd") | ConnectionClosed => (502, Failure::OriginTruncated),
            WriteError => (502, Failure::OriginWrite),
            Custom("dns") => (502, Failure::OriginDns),
            Custom("unavailable") => (502, Failure::OriginUnavailable),
            _ => (502, Failure::OriginRead),
        },
        ErrorSource::Downstream => match error.etype() {
            WriteError | ReadError | ConnectionClosed | WriteTimedout => (0, Failure::ClientAborted),
            ReadTimedout => (408, Failure::ClientComm),
            _ => (400, Failure::InvalidRequest),
        },
        ErrorSource::Internal | ErrorSource::Unset => (500, Failure::Internal),
    }
}

/// One line for a viewer: never an origin's address or bytes, which the operator finds in the log.
pub fn told(kind: Failure, error: &Error) -> String {
    match error.etype() {
        ErrorType::HTTPStatus(_) => error.context.as_ref().map_or_else(String::new, |words| words.as_str().to_owned()),
        _ => origin_words(kind).to_owned(),
    }
}

/// What a failure of the origin's side is called to viewers.
pub fn origin_words(kind: Failure) -> &'static str {
    match kind {
        Failure::OriginDns => "the origin's name could not be resolved",
        Failure::OriginConnect => "the origin refused the connection, or there was no way to it",
        Failure::OriginTls => "no TLS connection to the origin could be made",
        Failure::OriginTimeout => "the origin did not answer in time",
        Failure::OriginRead | Failure::OriginWrite => "the connection to the origin broke",
        Failure::OriginInvalid | Failure::OriginHeaderTooBig => "the origin's answer is not valid HTTP",
        Failure::OriginTruncated => "the origin's answer ended early",
        Failure::OriginUnavailable => "no origin is available",
        Failure::Internal => "the edge failed",
        _ => "the request could not be served",
    }
}

/// One line for the operator: what failed and its causes.
pub fn words(error: &Error) -> String {
    match (&error.etype, &error.context, &error.cause) {
        // An answer of our own making: its words say all there is to say.
        (ErrorType::HTTPStatus(_), Some(context), None) => context.as_str().to_owned(),
        _ => error.to_string().trim_start().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (etype, source, want) in [
            (ErrorType::ConnectTimedout, ErrorSource::Upstream, (504, Failure::OriginTimeout)),
            (ErrorType::ConnectRefused, ErrorSource::Upstream, (502, Failure::OriginConnect)),
            (ErrorType::Custom("dns"), ErrorSource::Upstream, (502, Failure::OriginDns)),
            (ErrorType::ReadTimedout, ErrorSource::Downstream, (408, Failure::ClientComm)),
            (ErrorType::ConnectionClosed, ErrorSource::Downstream, (0, Failure::ClientAborted)),
            (ErrorType::HTTPStatus(413), ErrorSource::Unset, (413, Failure::LimitExceeded)),
            (ErrorType::InternalError, ErrorSource::Internal, (500, Failure::Internal)),
        ] {
            let error = Error::create(etype, source, None, None);
            assert_eq!(classify(&error), want, "{error}");
        }
    }
}
