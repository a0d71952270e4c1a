//! Answer: what the bytes an HTTP/1.1 origin sent are: a header section, and how the body after it ends.
//!
//! In: the bytes read so far; then the cleaned fields. Out: status, version, fields; the framing, or why it cannot be
//! trusted. Never: I/O, repair of what two readers could read in two ways.
//!
//! It takes what Pingora's reader takes (spaces after a name, folded lines), so that both lanes see the same answer.

use std::mem::MaybeUninit;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};

use super::{OriginError, response};
use crate::message::section::Section;

/// Fields of one answer, and bytes of its header section: Pingora's bounds.
pub const FIELDS_MAX: usize = 256;
pub const HEAD_MAX: usize = 1_048_575;

/// One header section, interim (1xx) or final.
#[derive(Debug)]
pub struct Head {
    /// Bytes of it, empty line included.
    pub len: usize,
    pub status: StatusCode,
    pub version: Version,
    /// As received, but for a Content-Length beside a Transfer-Encoding, which overrides it (RFC 9112 §6.3).
    pub fields: HeaderMap,
    /// Whether the connection may serve another request after this answer.
    pub keeps: bool,
}

/// How the body ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// Reads one header section from the front of `bytes` into `fields` (whose room is used again); `None` = read on.
///
/// # Errors
/// Why this is no HTTP/1 answer.
pub fn parse(bytes: &[u8], fields: &mut HeaderMap) -> Result<Option<Head>, String> {
    let mut slots: [MaybeUninit<Header<'_>>; FIELDS_MAX] = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    let len = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if bytes.len() > HEAD_MAX => return Err("header section too large".to_owned()),
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("no status")?;
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut fields = std::mem::take(fields);
    fields.clear();
    let section = Section::new(bytes.get(..len).unwrap_or(bytes));
    for field in parsed.headers.iter().filter(|field| !field.name.is_empty()) {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| error.to_string())?;
        // A folded value becomes one line.
        let value = section.value(field.value);
        fields.append(name, value.unwrap_or_else(|_| pingora::http::header_value_from_slice(field.value)));
    }
    let coded = fields.contains_key(TRANSFER_ENCODING);
    let both = coded && fields.remove(CONTENT_LENGTH).is_some();
    if !agree(&fields) {
        return Err("invalid Content-Length".to_owned());
    }
    // RFC 9112 §6.1: after both framings, or a coding from HTTP/1.0, the connection's bytes cannot be trusted.
    let keeps = persistent(&fields, version) && !both && !(coded && version == Version::HTTP_10);
    Ok(Some(Head { len, status, version, fields, keeps }))
}

/// How the body of a final answer ends; `fields` are cleaned already.
///
/// # Errors
/// Framing that two readers could read in two ways.
pub fn framing(head_asked: bool, status: StatusCode, fields: &HeaderMap) -> Result<Framing, OriginError> {
    let length = response::length(fields)?;
    if response::bodiless(head_asked, status) {
        return Ok(Framing::None);
    }
    Ok(match length {
        Some(length) => Framing::Length(length),
        None if fields.contains_key(TRANSFER_ENCODING) => Framing::Chunked,
        None => Framing::Close,
    })
}

/// Whether every Content-Length says the same (RFC 9110 §8.6). Whether it may be said twice, [`response::length`] decides.
fn agree(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(CONTENT_LENGTH).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    let Some(first) = values.next() else { return true };
    let number = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u64>().ok())
    };
    let first = number(first);
    first.is_some() && values.all(|value| number(value) == first)
}

/// RFC 9112 §9.3.
fn persistent(fields: &HeaderMap, version: Version) -> bool {
    let mut tokens = fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    let has = |token: &[u8], word: &str| token.eq_ignore_ascii_case(word.as_bytes());
    if version == Version::HTTP_10 {
        let (mut keep, mut close) = (false, false);
        for token in tokens {
            keep |= has(token, "keep-alive");
            close |= has(token, "close");
        }
        return keep && !close;
    }
    !tokens.any(|token| has(token, "close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, String> {
        parse(text.as_bytes(), &mut HeaderMap::new())
    }

    #[test]
    fn heads() {
        for (text, want) in [
            ("", None),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", Some((200, 25, true))),
            ("HTTP/1.1 200\r\nConnection: x, Close\r\n\r\n", Some((200, 38, false))),
            ("HTTP/1.0 200 OK\r\n\r\n", Some((200, 19, false))),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", Some((200, 43, true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Some((200, 66, false))),
        ] {
            let got = read(text).unwrap().map(|head| (head.status.as_u16(), head.len, head.keeps));
            assert_eq!(got, want, "{text}");
        }
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7, 8\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn folded_lines_are_one_value() {
        let head = read("HTTP/1.1 200 OK\r\nA: b\r\n c\r\nA : d\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.fields.get_all("a").iter().collect::<Vec<_>>(), ["b c", "d"]);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_MAX));
        assert!(read(&endless).is_err());
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FIELDS_MAX + 1));
        assert!(read(&many).is_err());
    }

    #[test]
    fn bodies() {
        use Framing::{Chunked, Close, Length, None as Nothing};
        for (lines, head_asked, status, want) in [
            ("", false, 200, Ok(Close)),
            ("Content-Length: 7\r\n", false, 200, Ok(Length(7))),
            ("Content-Length: 7\r\n", true, 200, Ok(Nothing)),
            ("Content-Length: 7\r\n", false, 304, Ok(Nothing)),
            ("", false, 204, Ok(Nothing)),
            ("Transfer-Encoding: Chunked\r\n", false, 200, Ok(Chunked)),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", false, 200, Ok(Chunked)),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", false, 200, Err(())),
            ("Content-Length: 7, 7\r\n", true, 200, Err(())),
            ("Transfer-Encoding: gzip, chunked\r\n", false, 200, Err(())),
        ] {
            let head = read(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n")).unwrap().unwrap();
            assert_eq!(framing(head_asked, head.status, &head.fields).map_err(drop), want, "{lines} {status}");
        }
    }
}
