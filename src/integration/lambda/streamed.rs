//! Streamed: a function's answer, passed on as it comes.
//!
//! In: an event stream. Out: an answer whose body is its chunks; one that ends before its end is broken off. Never: more in memory than the
//! head and a chunk.

use std::time::Duration;

use super::answer::{self, Failure};
use super::call::Function;
use super::stream::{Decoder, Head, Message, head};
use crate::config::compiled::Payload;
use crate::origin::adapter::{Body, BodyError};
use bytes::{Buf, Bytes, BytesMut};
use futures::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

/// The function's bytes, out of the event stream.
struct Chunks {
    body: Body,
    decoder: Decoder,
    patience: Duration,
    done: bool,
}

/// Calls the function and waits for its head.
///
/// # Errors
/// It was not called, failed before its first byte, or wrote a head that is none.
pub(super) async fn ask(function: &Function, event: Bytes) -> Result<Response<Body>, Failure> {
    let response = function.stream(event).await?;
    let mut chunks =
        Chunks { body: response.into_body(), decoder: Decoder::default(), patience: function.patience(), done: false };
    let mut begun = BytesMut::new();
    let (status, headers) = loop {
        let chunk = chunks.next().await?;
        let ended = chunk.is_none();
        begun.extend_from_slice(&chunk.unwrap_or_default());
        match head(&begun, ended) {
            Head::Partial => {}
            Head::Malformed(why) => return Err(Failure::Malformed(why)),
            Head::Json(written, length) => {
                begun.advance(length);
                break answer::head(&written).map_err(Failure::Malformed)?;
            }
            Head::None if function.spec.payload == Payload::Rest1 => {
                return Err(Failure::Malformed("it has no head: JSON and 8 NUL bytes".to_owned()));
            }
            Head::None => {
                let kind = http::HeaderValue::from_static("application/octet-stream");
                break (StatusCode::OK, http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, kind)]));
            }
        }
    };
    let begun = (!begun.is_empty()).then(|| begun.freeze());
    let frames = stream::unfold((begun, Some(chunks)), |(begun, chunks)| async move {
        let mut chunks = chunks?;
        if let Some(begun) = begun {
            return Some((Ok(Frame::data(begun)), (None, Some(chunks))));
        }
        match chunks.next().await {
            Ok(Some(chunk)) => Some((Ok(Frame::data(chunk)), (None, Some(chunks)))),
            Ok(None) => None,
            // The connection ends without the last chunk: whoever reads it sees that it is not whole.
            Err(failure) => Some((Err(BodyError::from(failure.to_string())), (None, None))),
        }
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

// === impl Chunks ===
impl Chunks {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while !self.done {
            match self.decoder.next().map_err(Failure::Unreachable)? {
                Some(Message::Chunk(chunk)) if chunk.is_empty() => continue,
                Some(Message::Chunk(chunk)) => return Ok(Some(chunk)),
                Some(Message::Complete(Ok(()))) => {
                    self.done = true;
                    break;
                }
                Some(Message::Complete(Err(error))) => return Err(Failure::Function(error)),
                Some(Message::Exception(kind, words)) => return Err(Failure::Refused(format!("{kind}: {words}"))),
                None => {}
            }
            match tokio::time::timeout(self.patience, self.body.frame()).await {
                Err(_) => return Err(Failure::Timeout("it stopped in the middle of its answer".to_owned())),
                Ok(None) => return Err(Failure::Unreachable("its answer broke off".to_owned())),
                Ok(Some(Err(error))) => return Err(Failure::Unreachable(error.to_string())),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(&data);
                    }
                }
            }
        }
        Ok(None)
    }
}
