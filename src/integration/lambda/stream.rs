//! Stream: a streamed result, read as it comes.
//!
//! In: bytes of `application/vnd.amazon.eventstream`. Out: messages; the head that a function wrote ahead of its body. Never: I/O, a message
//! larger than its bound.
//!
//! A message is `u32 total, u32 headers, u32 CRC, headers, payload, u32 CRC`, numbers big-endian (AWS, "Event stream encoding"). A function
//! that streams for API Gateway writes JSON, 8 NUL bytes, then the body (API Gateway Developer Guide, "Response streaming").

use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Map, Value};

/// Bytes of one message: Lambda's are far smaller; AWS's limit is 24 MiB.
const MESSAGE_MAX: usize = 24 << 20;
/// Bytes in which the head of a streamed answer has to end.
pub const HEAD_MAX: usize = 16 << 10;
const DELIMITER: [u8; 8] = [0; 8];

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Chunk(Bytes),
    /// The end; `Err` has the function's error, "code: details".
    Complete(Result<(), String>),
    /// The service gave up: its exception and what it says.
    Exception(String, String),
}

/// Cuts bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

/// Where the head of a streamed answer ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// More bytes are needed.
    Partial,
    /// There is none: the bytes are the body.
    None,
    /// The head, and how many bytes it and the delimiter take.
    Json(Map<String, Value>, usize),
    Malformed(String),
}

// === impl Decoder ===
impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// The bytes are no event stream.
    pub fn next(&mut self) -> Result<Option<Message>, String> {
        loop {
            let Some(prelude) = self.buffer.get(..12) else { return Ok(None) };
            let total = word(prelude, 0) as usize;
            let headers = word(prelude, 4) as usize;
            if crc32fast::hash(&prelude[..8]) != word(prelude, 8) {
                return Err("a message's prelude is damaged".to_owned());
            }
            if !(16..=MESSAGE_MAX).contains(&total) || headers > total - 16 {
                return Err(format!("a message of {total} bytes with {headers} of headers"));
            }
            if self.buffer.len() < total {
                return Ok(None);
            }
            let message = self.buffer.split_to(total).freeze();
            if crc32fast::hash(&message[..total - 4]) != word(&message, total - 4) {
                return Err("a message is damaged".to_owned());
            }
            let named = names(&message[12..12 + headers])?;
            let payload = message.slice(12 + headers..total - 4);
            if let Some(message) = read(&named, payload)? {
                return Ok(Some(message));
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |mut bytes| bytes.get_u32())
}

/// Names and values of headers that are text; others are passed over.
fn names(mut bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut named = Vec::new();
    let broken = || "a message's headers are cut off".to_owned();
    let take = |count: usize, bytes: &mut &[u8]| -> Result<Vec<u8>, String> {
        let (taken, rest) = bytes.split_at_checked(count).ok_or_else(broken)?;
        *bytes = rest;
        Ok(taken.to_vec())
    };
    while !bytes.is_empty() {
        let length = usize::from(take(1, &mut bytes)?[0]);
        let name = take(length, &mut bytes)?;
        let size = match take(1, &mut bytes)?[0] {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            9 => 16,
            kind @ (6 | 7) => {
                let length = take(2, &mut bytes)?;
                let value = take(usize::from(u16::from_be_bytes([length[0], length[1]])), &mut bytes)?;
                if kind == 7 {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    named.push((text(&name), text(&value)));
                }
                continue;
            }
            other => return Err(format!("a header of type {other}")),
        };
        take(size, &mut bytes)?;
    }
    Ok(named)
}

/// `None`: a message of a kind that is not known, which clients pass over.
fn read(named: &[(String, String)], payload: Bytes) -> Result<Option<Message>, String> {
    let value = |name: &str| named.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
    Ok(match (value(":message-type"), value(":event-type")) {
        ("event", "PayloadChunk") => Some(Message::Chunk(payload)),
        ("event", "InvokeComplete") => {
            let said: Value = serde_json::from_slice(&payload).unwrap_or_default();
            let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
            Some(Message::Complete(match text("ErrorCode") {
                "" => Ok(()),
                code => Err(format!("{code}: {}", text("ErrorDetails"))),
            }))
        }
        ("exception", _) => {
            let words = String::from_utf8_lossy(&payload).into_owned();
            Some(Message::Exception(value(":exception-type").to_owned(), words))
        }
        ("error", _) => Some(Message::Exception(value(":error-code").to_owned(), value(":error-message").to_owned())),
        _ => None,
    })
}

/// Looks for the head in the first bytes of a streamed result; `ended` when no more will come.
pub fn head(bytes: &[u8], ended: bool) -> Head {
    let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'{');
    if !json {
        return Head::None;
    }
    let window = bytes.get(..HEAD_MAX + DELIMITER.len()).unwrap_or(bytes);
    let Some(at) = memchr::memmem::find(window, &DELIMITER) else {
        return if ended || window.len() < bytes.len() { Head::None } else { Head::Partial };
    };
    match serde_json::from_slice(&bytes[..at]) {
        Ok(Value::Object(object)) => Head::Json(object, at + DELIMITER.len()),
        Ok(_) => Head::Malformed("its head is no object".to_owned()),
        Err(error) => Head::Malformed(format!("its head is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message, as AWS writes it.
    fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut named = Vec::new();
        for (name, value) in headers {
            named.push(name.len() as u8);
            named.extend(name.as_bytes());
            named.push(7);
            named.extend((value.len() as u16).to_be_bytes());
            named.extend(value.as_bytes());
        }
        let mut out = ((16 + named.len() + payload.len()) as u32).to_be_bytes().to_vec();
        out.extend((named.len() as u32).to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend(named);
        out.extend(payload);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn event(kind: &str, payload: &[u8]) -> Vec<u8> {
        message(&[(":message-type", "event"), (":event-type", kind), (":content-type", "x")], payload)
    }

    #[test]
    fn messages_are_cut_wherever_the_bytes_are() {
        let mut bytes = event("PayloadChunk", b"one");
        bytes.extend(event("Unknown", b"?"));
        bytes.extend(event("PayloadChunk", b""));
        bytes.extend(event("InvokeComplete", br#"{"ErrorCode":"Function.Error","ErrorDetails":"why"}"#));
        let exception = message(&[(":message-type", "exception"), (":exception-type", "Throttled")], b"slow");
        bytes.extend(exception);
        for size in [1, 7, 64, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(message) = decoder.next().unwrap() {
                    found.push(message);
                }
            }
            let expected = [
                Message::Chunk(Bytes::from_static(b"one")),
                Message::Chunk(Bytes::new()),
                Message::Complete(Err("Function.Error: why".into())),
                Message::Exception("Throttled".into(), "slow".into()),
            ];
            assert_eq!(found, expected, "pieces of {size}");
            assert!(decoder.buffer.is_empty());
        }
    }

    #[test]
    fn damage_is_found() {
        let whole = event("PayloadChunk", b"payload");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            let mut decoder = Decoder::default();
            decoder.push(&damaged);
            assert!(decoder.next().is_err(), "byte {at}");
        }
        let mut decoder = Decoder::default();
        decoder.push(&whole[..whole.len() - 1]);
        assert_eq!(decoder.next(), Ok(None));
        assert!(!decoder.buffer.is_empty());
    }

    #[test]
    fn the_head_ends_at_eight_nuls() {
        let table: &[(&[u8], bool, Head)] = &[
            (b"", false, Head::Partial),
            (b"", true, Head::None),
            (b"plain", false, Head::None),
            (b" {\"statusCode\":201}\0\0\0\0", false, Head::Partial),
            (b"{}\0\0\0\0\0\0\0\0rest", false, Head::Json(Map::new(), 10)),
            (b"{\"a\":1}", true, Head::None),
        ];
        for (bytes, ended, expected) in table {
            assert_eq!(head(bytes, *ended), *expected, "{bytes:?}");
        }
        assert!(matches!(head(b"{a}\0\0\0\0\0\0\0\0", false), Head::Malformed(_)));
        assert_eq!(head(&[b"{".as_slice(), &[b' '; HEAD_MAX + 8]].concat(), false), Head::None);
    }
}
