//! Payload: what a body must be, and whether it is, while it streams.
//!
//! In: a body's chunks. Out: bytes that may go to the origin, always short of the whole until the end is checked, so that
//! an altered body never completes there. Never: a buffer that grows with the body.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::HeaderName;
use subtle::ConstantTimeEq;

use super::chunked::{Chunked, Decoder, Kind};
use super::claim::{Algorithm, Claim, incomplete, invalid, unhex};
use super::{EMPTY, MAX_TRAILERS, Outcome, Verified, hex};
use crate::access::Denied;
use crate::config::compiled::PayloadPolicy;
use crate::crypto::sha256;
use crate::message::Fields;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
static DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
static TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

/// What the body of a verified request must be.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Its SHA-256 is signed.
    Hash([u8; 32]),
    /// Anything.
    Unsigned,
    /// aws-chunked: framed, each chunk or the trailer signed. What goes to the origin is decoded.
    Chunked(Box<Chunked>),
}

/// What a request says its payload is.
#[derive(Debug)]
pub enum Declared<'a> {
    /// One of these texts ends the canonical request.
    Known(Vec<(Cow<'a, str>, Payload)>),
    Streaming {
        text: &'a str,
        kind: Kind,
        length: u64,
        trailers: Vec<String>,
    },
    /// The body's hash, which is not known; or `UNSIGNED-PAYLOAD`.
    OfBody {
        or_unsigned: bool,
    },
}

/// Reads `x-amz-content-sha256` ("Create a canonical request", HashedPayload; S3's "Signature calculations: transferring
/// payload in multiple chunks").
///
/// # Errors
/// A value that is none, or that the policy does not accept.
pub fn declared<'a, F: Fields>(
    fields: &F,
    claim: &'a Claim<'_>,
    body: bool,
    policy: PayloadPolicy,
) -> Result<Declared<'a>, Denied> {
    let nothing = || (Cow::Owned(hex(&EMPTY)), Payload::Hash(EMPTY));
    let Some(text) = claim.content.as_deref() else {
        // S3 presigns with UNSIGNED-PAYLOAD and sends no header that says so.
        let or_unsigned = claim.presigned && policy.unsigned;
        if body {
            return Ok(Declared::OfBody { or_unsigned });
        }
        let unsigned = or_unsigned.then_some((Cow::Borrowed(UNSIGNED), Payload::Unsigned));
        return Ok(Declared::Known(std::iter::once(nothing()).chain(unsigned).collect()));
    };
    if text == UNSIGNED {
        return match policy.unsigned {
            true => Ok(Declared::Known(vec![(text.into(), Payload::Unsigned)])),
            false => Err(invalid("an unsigned payload is not accepted")),
        };
    }
    if text.starts_with("STREAMING-") {
        if !body {
            return Err(invalid("a chunked payload is announced and there is no body"));
        }
        return streaming(fields, claim, text, policy);
    }
    let hash = unhex(text.as_bytes()).and_then(|hash| <[u8; 32]>::try_from(hash).ok());
    let hash = hash.ok_or_else(|| incomplete("x-amz-content-sha256 cannot be read"))?;
    if !body && hash != EMPTY {
        return Err(invalid("the hash of a body is signed and there is no body"));
    }
    Ok(Declared::Known(vec![(text.into(), Payload::Hash(hash))]))
}

fn streaming<'a, F: Fields>(
    fields: &F,
    claim: &Claim<'_>,
    text: &'a str,
    policy: PayloadPolicy,
) -> Result<Declared<'a>, Denied> {
    let (signed, trailer) = match text {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => (Some(Algorithm::Hmac), false),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => (Some(Algorithm::Hmac), true),
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" => (Some(Algorithm::Ecdsa), false),
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => (Some(Algorithm::Ecdsa), true),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => (None, true),
        _ => return Err(incomplete("x-amz-content-sha256 cannot be read")),
    };
    if claim.presigned {
        return Err(invalid("a presigned request cannot have a chunked payload"));
    }
    if !policy.chunked {
        return Err(invalid("a chunked payload is not accepted"));
    }
    match signed {
        Some(algorithm) if algorithm != claim.algorithm => return Err(invalid("chunks are signed in another way")),
        // Nothing of the body is signed: chunked alone does not allow that.
        None if !policy.unsigned => return Err(invalid("an unsigned payload is not accepted")),
        _ => {}
    }
    let text_of = |name: &'static HeaderName| {
        let mut lines = fields.lines(name);
        let (first, second) = (lines.next(), lines.next());
        first.filter(|_| second.is_none()).and_then(|line| std::str::from_utf8(line.trim_ascii()).ok())
    };
    let length = text_of(&DECODED_LENGTH).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let length = length.and_then(|text| text.parse().ok());
    let length = length.ok_or_else(|| incomplete("x-amz-decoded-content-length cannot be read"))?;
    let mut trailers = Vec::new();
    if trailer {
        let names = text_of(&TRAILER).ok_or_else(|| incomplete("x-amz-trailer cannot be read"))?;
        trailers.extend(names.split(',').map(|name| name.trim().to_ascii_lowercase()));
        trailers.sort();
        trailers.dedup();
        if trailers.len() > MAX_TRAILERS {
            return Err(invalid("too many trailers"));
        }
    } else if fields.has(&TRAILER) {
        return Err(invalid("a trailer is announced that the payload's kind does not have"));
    }
    Ok(Declared::Streaming { text, kind: Kind { signed, trailer }, length, trailers })
}

/// Checks one body. Call [`PayloadCheck::push`] for every chunk, then [`PayloadCheck::finish`]; after an error the origin's
/// request must be torn down.
pub struct PayloadCheck(Check);

enum Check {
    Hash { expected: [u8; 32], context: Box<Context>, held: Bytes },
    Unsigned,
    Chunked(Box<Decoder>),
    Failed,
}

impl fmt::Debug for PayloadCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Check::Hash { .. } => "PayloadCheck(Hash)",
            Check::Unsigned => "PayloadCheck(Unsigned)",
            Check::Chunked(_) => "PayloadCheck(Chunked)",
            Check::Failed => "PayloadCheck(Failed)",
        })
    }
}

// === impl Outcome ===
impl Outcome {
    /// Whose request it is, and what its body, read whole, holds within the form it was sent in.
    ///
    /// # Errors
    /// The body is another than the one that was signed.
    pub fn proven(self, body: Bytes) -> Result<(Verified, Bytes), Denied> {
        let verified = match self {
            Outcome::Verified(verified) => verified,
            Outcome::NeedsBody(pending) => pending.finish(sha256(&body))?,
        };
        let mut check = PayloadCheck::new(&verified);
        let begun = check.push(body)?;
        let rest = check.finish()?;
        Ok((verified, if begun.is_empty() { rest } else { Bytes::from([begun, rest].concat()) }))
    }
}

// === impl PayloadCheck ===
impl PayloadCheck {
    pub fn new(verified: &Verified) -> Self {
        PayloadCheck(match &verified.payload {
            Payload::Hash(expected) => {
                Check::Hash { expected: *expected, context: Box::new(Context::new(&SHA256)), held: Bytes::new() }
            }
            Payload::Unsigned => Check::Unsigned,
            Payload::Chunked(chunked) => Check::Chunked(Box::new(Decoder::new(chunked))),
        })
    }

    /// The bytes of the decoded body when they are fewer than what is sent: `content-length` for the origin, whose
    /// request then has no `content-encoding: aws-chunked`.
    pub fn decoded_length(&self) -> Option<u64> {
        match &self.0 {
            Check::Chunked(decoder) => Some(decoder.length()),
            _ => None,
        }
    }

    /// Takes bytes as sent and gives those that may go on; they lag behind by one chunk at least.
    ///
    /// # Errors
    /// `SignatureInvalid`, for this and every later call.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, Denied> {
        let given = match &mut self.0 {
            Check::Hash { context, held, .. } => {
                if chunk.is_empty() {
                    return Ok(chunk);
                }
                context.update(&chunk);
                Ok(std::mem::replace(held, chunk))
            }
            Check::Unsigned => Ok(chunk),
            Check::Chunked(decoder) => decoder.push(&chunk),
            Check::Failed => Err(invalid("the payload has failed already")),
        };
        self.settle(given)
    }

    /// The rest, once the whole is checked.
    ///
    /// # Errors
    /// `SignatureInvalid`.
    pub fn finish(&mut self) -> Result<Bytes, Denied> {
        let given = match &mut self.0 {
            Check::Hash { expected, context, held } => {
                let hash = context.clone().finish();
                match bool::from(hash.as_ref().ct_eq(expected.as_slice())) {
                    true => Ok(std::mem::take(held)),
                    false => Err(invalid("the body is not the one whose hash is signed")),
                }
            }
            Check::Unsigned => Ok(Bytes::new()),
            Check::Chunked(decoder) => decoder.finish(),
            Check::Failed => Err(invalid("the payload has failed already")),
        };
        self.settle(given)
    }

    fn settle(&mut self, given: Result<Bytes, Denied>) -> Result<Bytes, Denied> {
        if given.is_err() {
            self.0 = Check::Failed;
        }
        given
    }
}
