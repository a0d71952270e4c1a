//! Head: whether the bytes at the front of a connection are one HTTP/1 request head, and how its body is framed.
//!
//! In: the bytes read so far, the limits. Out: a request with exactly one reading, or why it is refused. Never: I/O,
//! repair, allocation.
//!
//! `httparse` finds the tokens; what it lets pass (bare LF, any number of leading empty lines, every non-space byte in
//! the target) and what it does not look at (Host, framing, Connection) is decided here.

use self::control::Control;
use super::refuse::Refusal;
use super::target;
use crate::config::compiled::Limits;
use crate::message::{Fields, Head};
use bytes::{BufMut, BytesMut};
use http::header::HOST;
use httparse::{Header, Status};
use std::mem::MaybeUninit;

mod control;
#[cfg(test)]
mod tests;

/// Most header fields a head may have, whatever the configuration says: Pingora's own parser takes no more.
pub const MAX_FIELDS: usize = 256;

/// Room for the fields of one head, on the caller's stack.
pub type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Bytes a request line may have besides its target: method, version, spaces, line end.
const LINE_REST: usize = 64;

/// What the bytes read so far are.
#[derive(Debug)]
pub enum Parsed<'b> {
    /// The start of a head: read on.
    Partial,
    Complete(Request<'b>),
    /// Answer with [`Refusal::render`] and close: nothing after these bytes can be trusted to be a request.
    Refused(Refusal),
}

/// One request head that borrows the connection's buffer.
#[derive(Debug)]
pub struct Request<'b> {
    /// `target` is in origin-form (or `*`), whatever form it was sent in.
    pub head: Head<'b>,
    /// Bytes of the whole head, leading and final empty line included.
    pub len: usize,
    pub framing: Framing,
    /// Whether the viewer wants to go on with this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the body waits for `100 Continue` (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// Whether a `101` answer turns the connection into a tunnel (RFC 9110 §7.8). Never with a body, never to h2c.
    pub upgrade: bool,
    /// Bytes up to and including the request line's end.
    line_end: usize,
    /// Whether the bytes as sent are already the canonical ones.
    canonical: bool,
}

/// How long the body is (RFC 9112 §6.3). A request is never delimited by the connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Fresh slots for one call of [`parse`].
pub const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Reads one request head from the front of `buf`.
///
/// `slots` bounds the number of fields together with `limits.header_count`.
pub fn parse<'b>(buf: &'b [u8], slots: &'b mut [MaybeUninit<Header<'b>>], limits: &Limits) -> Parsed<'b> {
    match read(buf, slots, limits) {
        Ok(Some(request)) => Parsed::Complete(request),
        Ok(None) => Parsed::Partial,
        Err(refusal) => Parsed::Refused(refusal),
    }
}

fn read<'b>(
    buf: &'b [u8],
    slots: &'b mut [MaybeUninit<Header<'b>>],
    limits: &Limits,
) -> Result<Option<Request<'b>>, Refusal> {
    // RFC 9112 §2.2: an empty line before the request line is ignored. One, with its CR: more is not a request.
    let skipped = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = &buf[skipped..];
    match bytes.first() {
        None => return Ok(None),
        Some(b'\r') if bytes.len() == 1 && skipped == 0 => return Ok(None),
        Some(b'\r' | b'\n') => return Err(Refusal::bad("empty line before the request")),
        Some(_) => {}
    }

    let count = limits.header_count.min(slots.len());
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut slots[..count]) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return bounded(bytes, limits).map(|()| None),
        Err(error) => return Err(refused(error, bytes)),
    };
    let line_end = lines(&bytes[..len])?;

    let httparse::Request { method: Some(method), path: Some(sent), version: Some(minor), headers } = request else {
        return Err(Refusal::bad("incomplete request line"));
    };
    let fields: &'b [Header<'b>] = headers;
    if sent.len() > limits.uri_size {
        return Err(URI_TOO_LONG);
    }
    // The request line counts, as the pseudo fields do over HTTP/2: one request, one size, whatever it comes over.
    if len > limits.header_size {
        return Err(TOO_LARGE);
    }
    if method == "CONNECT" {
        return Err(Refusal { status: 501, reason: "CONNECT is not served here" });
    }

    let control = Control::read(fields, minor)?;
    let target = target::normalise(method, sent)?;
    let host = control.host(target.authority, minor)?;
    let framing = control.framing(minor, limits)?;
    let body = !matches!(framing, Framing::None | Framing::Length(0));

    Ok(Some(Request {
        head: Head { method, target: target.origin_form, host, minor, fields },
        len: skipped + len,
        framing,
        keep_alive: if minor == 1 { !control.close } else { control.keep_alive && !control.close },
        expect_continue: control.expect && minor == 1 && body,
        upgrade: control.upgrade_token && control.protocol && minor == 1 && framing == Framing::None,
        line_end: skipped + line_end,
        canonical: skipped == 0 && target.authority.is_none(),
    }))
}

// === impl Request ===

impl Request<'_> {
    /// The head with its target in origin-form, a Host, and no leading empty line, when it was sent in another form.
    ///
    /// `raw` is the buffer's first [`len`](Request::len) bytes. What is forwarded must be what was decided on.
    pub fn rewritten(&self, raw: &[u8]) -> Option<BytesMut> {
        if self.canonical {
            return None;
        }
        let Head { method, target, host, minor, .. } = self.head;
        let mut out = BytesMut::with_capacity(raw.len() + host.len() + 16);
        out.put_slice(method.as_bytes());
        out.put_slice(b" ");
        out.put_slice(target.as_bytes());
        out.put_slice(if minor == 1 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        if !host.is_empty() && !self.head.has(&HOST) {
            // HTTP/1.0 in absolute-form: the authority was in the target alone.
            out.put_slice(b"Host: ");
            out.put_slice(host.as_bytes());
            out.put_slice(b"\r\n");
        }
        out.put_slice(raw.get(self.line_end..self.len).unwrap_or_default());
        Some(out)
    }
}

const TOO_LARGE: Refusal = Refusal { status: 431, reason: "header section too large" };
const URI_TOO_LONG: Refusal = Refusal { status: 414, reason: "request target too long" };
const BARE_LF: Refusal = Refusal::bad("line end without CR");

/// Whether an unfinished head may still become one within the limits.
fn bounded(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line > limits.uri_size.saturating_add(LINE_REST) {
        return Err(URI_TOO_LONG);
    }
    if bytes.len() > limits.header_size { Err(TOO_LARGE) } else { Ok(()) }
}

/// Where the request line ends; every line must end with CR LF (RFC 9112 §2.2: a bare LF may be taken for a line end
/// by one recipient and not by the next).
fn lines(head: &[u8]) -> Result<usize, Refusal> {
    let mut first = None;
    for end in memchr::memchr_iter(b'\n', head) {
        if end == 0 || head[end - 1] != b'\r' {
            return Err(BARE_LF);
        }
        first.get_or_insert(end + 1);
    }
    first.ok_or(BARE_LF)
}

fn refused(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal { status: 431, reason: "too many header fields" },
        httparse::Error::Version if names_version(bytes) => {
            Refusal { status: 505, reason: "HTTP version not supported" }
        }
        httparse::Error::Version => Refusal::bad("invalid HTTP version"),
        httparse::Error::HeaderName => Refusal::bad("invalid header field name"),
        httparse::Error::HeaderValue => Refusal::bad("invalid header field value"),
        httparse::Error::NewLine => Refusal::bad("CR without LF"),
        httparse::Error::Token | httparse::Error::Status => Refusal::bad("invalid request line"),
    }
}

/// Whether the request line's third word is like `HTTP/2.0`: a version, only not one of ours.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    let version = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
