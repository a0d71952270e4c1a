//! Frames: AWS's event stream, as a streamed answer is sent.
//!
//! In: payload chunks, and how it ended. Out: `application/vnd.amazon.eventstream` frames. Never: buffering.
//!
//! A frame is: total length, headers' length, CRC-32 of both, headers, payload, CRC-32 of all before it; big-endian
//! (Amazon Transcribe Developer Guide, "Event stream encoding").

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::json;

/// Bytes around headers and payload.
const AROUND: usize = 16;
/// Type of a header's value: text.
const TEXT: u8 = 7;

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// One piece of the answer.
pub(super) fn chunk(payload: &[u8]) -> Bytes {
    frame("PayloadChunk", "application/octet-stream", payload)
}

/// The end: of all of it, or (`error`: code and details) of as much as there was.
pub(super) fn complete(error: Option<(&str, &str)>, log: Option<&str>) -> Bytes {
    let mut end = serde_json::Map::new();
    if let Some((code, details)) = error {
        end.insert("ErrorCode".to_owned(), json!(code));
        end.insert("ErrorDetails".to_owned(), json!(details));
    }
    if let Some(log) = log {
        end.insert("LogResult".to_owned(), json!(log));
    }
    frame("InvokeComplete", "application/json", serde_json::Value::from(end).to_string().as_bytes())
}

fn frame(event: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let mut headers = BytesMut::with_capacity(96);
    for (name, value) in [(":event-type", event), (":content-type", content_type), (":message-type", "event")] {
        // Names and values above are short: they fit their length fields.
        headers.put_u8(name.len() as u8);
        headers.put_slice(name.as_bytes());
        headers.put_u8(TEXT);
        headers.put_u16(value.len() as u16);
        headers.put_slice(value.as_bytes());
    }
    let total = AROUND + headers.len() + payload.len();
    let mut out = BytesMut::with_capacity(total);
    out.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    out.put_u32(headers.len() as u32);
    out.put_u32(crc32fast::hash(&out));
    out.put_slice(&headers);
    out.put_slice(payload);
    out.put_u32(crc32fast::hash(&out));
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a frame apart by the format's description alone.
    fn parts(frame: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
        let u32_at = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(u32_at(0) as usize, frame.len());
        assert_eq!(u32_at(8), crc32fast::hash(&frame[..8]));
        assert_eq!(u32_at(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        let end = 12 + u32_at(4) as usize;
        let (mut at, mut headers) = (12, Vec::new());
        while at < end {
            let name = usize::from(frame[at]);
            let text = String::from_utf8(frame[at + 1..at + 1 + name].to_vec()).unwrap();
            at += 1 + name;
            assert_eq!(frame[at], 7);
            let value = usize::from(u16::from_be_bytes([frame[at + 1], frame[at + 2]]));
            headers.push((text, String::from_utf8(frame[at + 3..at + 3 + value].to_vec()).unwrap()));
            at += 3 + value;
        }
        (headers, frame[end..frame.len() - 4].to_vec())
    }

    #[test]
    fn frames_are_as_the_format_says() {
        let (headers, payload) = parts(&chunk(b"hello"));
        assert_eq!(payload, b"hello");
        let names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            names,
            [
                (":event-type", "PayloadChunk"),
                (":content-type", "application/octet-stream"),
                (":message-type", "event")
            ]
        );
        for (error, log, want) in [
            (None, None, "{}"),
            (Some(("Unhandled", "x")), None, r#"{"ErrorCode":"Unhandled","ErrorDetails":"x"}"#),
            (None, Some("bG9n"), r#"{"LogResult":"bG9n"}"#),
        ] {
            let (headers, payload) = parts(&complete(error, log));
            assert_eq!((headers[0].1.as_str(), String::from_utf8(payload).unwrap().as_str()), ("InvokeComplete", want));
        }
    }

    #[test]
    fn an_empty_chunk_is_a_whole_frame() {
        let frame = chunk(b"");
        assert!(parts(&frame).1.is_empty());
        assert!(frame.len() > AROUND);
    }
}
