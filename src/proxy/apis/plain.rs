//! Plain: one connection to the tables' API, for as long as its requests are plain: a POST to "/" with one reading, whose body is
//! small and has its length said.
//!
//! In: a connection. Out: answers, one after another; or, at the first request that is not plain, its bytes as they came, for the
//! general server. Never: a request repaired or refused here, a wait without an end.
//!
//! SDKs send nothing else. The general server hands a body from one part of itself to another, sets a timer and takes it back for
//! each request, which costs as much as all that a look-up of an item does.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::patient::Patient;
use super::{BODY_TIMEOUT, HEAD_TIMEOUT, over};
use crate::config::compiled::Limits;
use crate::listen::head::{self, Framing, Parsed};

/// How a plain request begins.
const LINE: &[u8] = b"POST / HTTP/1.1\r\n";
/// Bytes of a plain request's body: of what no room is kept for.
const BODY_MAX: usize = 16 << 10;
/// Bytes that are read at once at least.
const ROOM: usize = 8 << 10;
/// Bytes of a body that is copied, to leave in one piece with its head.
const COPIED_MAX: usize = 16 << 10;

/// What the bytes at hand are.
enum Look {
    /// The start of a head.
    Partial,
    /// Not plain, or no request at all.
    Other,
    Plain {
        parts: Box<Parts>,
        head: usize,
        body: usize,
    },
}

/// Answers by `answer` what is plain. Nothing: the connection is over; else what was read of it and not answered.
///
/// # Errors
/// The connection's.
pub async fn serve<A: Future<Output = Response<Bytes>>>(
    stream: &mut TcpStream,
    limits: &Limits,
    ended: &watch::Receiver<bool>,
    answer: impl Fn(Parts, Bytes) -> A,
) -> std::io::Result<Option<BytesMut>> {
    let (mut buffer, mut out) = (BytesMut::with_capacity(ROOM), BytesMut::new());
    let mut date = Date::default();
    let mut end = ended.clone();
    let mut end = std::pin::pin!(over(&mut end));
    // One timer for all waits: it is looked at when it runs out.
    let mut timer = std::pin::pin!(sleep(HEAD_TIMEOUT));
    let (mut since, mut most) = (Instant::now(), HEAD_TIMEOUT);
    let mut plain: Option<(Box<Parts>, usize, usize)> = None;
    loop {
        if plain.is_none() {
            match look(&buffer, limits) {
                Look::Partial => {}
                Look::Other => return Ok(Some(buffer)),
                Look::Plain { parts, head, body } => {
                    plain = Some((parts, head, body));
                    (since, most) = (Instant::now(), BODY_TIMEOUT);
                }
            }
        }
        if let Some((parts, head, body)) = plain.take_if(|(_, head, body)| buffer.len() >= *head + *body) {
            let content = buffer.split_to(head + body).freeze().slice(head..);
            let response = answer(*parts, content).await;
            let last = *ended.borrow();
            write(&mut out, &response, &mut date, last);
            let mut client = Patient::new(&mut *stream, limits.write_timeout);
            client.write_all(&out).await?;
            if response.body().len() > COPIED_MAX {
                client.write_all(response.body()).await?;
            }
            if last {
                return Ok(None);
            }
            (since, most) = (Instant::now(), HEAD_TIMEOUT);
            continue;
        }
        buffer.reserve(ROOM);
        tokio::select! {
            biased;
            read = stream.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Ok(None);
                }
            }
            () = timer.as_mut() => {
                if since.elapsed() >= most {
                    // Who waits for a body says that it did not come.
                    return Ok(plain.map(|_| buffer));
                }
                timer.as_mut().reset(since + most);
            }
            () = end.as_mut(), if buffer.is_empty() && plain.is_none() => return Ok(None),
        }
    }
}

fn look(buffer: &[u8], limits: &Limits) -> Look {
    let begun = buffer.len().min(LINE.len());
    if buffer.get(..begun) != LINE.get(..begun) {
        return Look::Other;
    }
    let mut slots = head::slots();
    let request = match head::parse(buffer, &mut slots, limits) {
        Parsed::Complete(request) => request,
        // A head within its limits is still to come, or the general server says what is wrong.
        Parsed::Partial => return Look::Partial,
        Parsed::Refused(_) => return Look::Other,
    };
    let body = match request.framing {
        Framing::Length(length) => usize::try_from(length).ok().filter(|length| *length <= BODY_MAX),
        Framing::None | Framing::Chunked => None,
    };
    let Some(body) = body.filter(|_| request.keep_alive && !request.expect_continue && !request.upgrade) else {
        return Look::Other;
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::POST;
    parts.headers.reserve(request.head.fields.len());
    for field in request.head.fields {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
        else {
            return Look::Other;
        };
        parts.headers.append(name, value);
    }
    Look::Plain { parts: Box::new(parts), head: request.len, body }
}

/// The answer's bytes; of a long body, its head only.
fn write(out: &mut BytesMut, response: &Response<Bytes>, date: &mut Date, last: bool) {
    let (status, body) = (response.status(), response.body());
    out.clear();
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let length = HeaderValue::from(body.len());
    let own = [("content-length", length.as_bytes()), ("date", date.now())];
    let close = last.then_some(("connection", &b"close"[..]));
    let fields = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in fields.chain(own).chain(close) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    if body.len() <= COPIED_MAX {
        out.extend_from_slice(body);
    }
}

/// The field `Date`, written once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

// === impl Date ===
impl Date {
    fn now(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.text.is_empty() {
            (self.second, self.text) = (second, httpdate::fmt_http_date(now));
        }
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits {
        connections: 1,
        connections_per_address: 1,
        connections_exempt: Vec::new(),
        header_timeout: Duration::MAX,
        header_count: 100,
        header_size: 16 << 10,
        uri_size: 8 << 10,
        idle_timeout: Duration::MAX,
        body_timeout: Duration::MAX,
        body_min_rate: 0,
        body_grace: Duration::MAX,
        body_size: 1 << 30,
        signed_bodies: 1,
        signed_bodies_per_address: 1,
        signed_body_timeout: Duration::MAX,
        write_timeout: Duration::MAX,
        requests_per_connection: 1000,
        h2_streams: 1,
        h2_resets: 1,
        h2_reset_window: Duration::MAX,
    };

    /// Serves what a client sends; what it gets, and what is left over.
    async fn served(sent: &[&str], ended: bool) -> (String, Option<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let (_end, ended) = watch::channel(ended);
        let echo = |parts: Parts, body: Bytes| async move {
            let name = parts.headers.get("x").map_or(&b""[..], HeaderValue::as_bytes);
            Response::new(Bytes::from([name, body.as_ref()].concat()))
        };
        if *ended.borrow() {
            client.write_all(sent[0].as_bytes()).await.unwrap();
            stream.readable().await.unwrap();
        }
        let sent = if *ended.borrow() { &[] } else { sent };
        let serving = async {
            let other = serve(&mut stream, &LIMITS, &ended, echo).await.unwrap();
            // What is left unread would tear what was answered.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
            drop(stream);
            other.map(|other| String::from_utf8(other.to_vec()).unwrap())
        };
        let asking = async {
            for part in sent {
                client.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let mut got = String::new();
            client.read_to_string(&mut got).await.unwrap();
            got
        };
        let (other, got) = tokio::join!(serving, asking);
        (got, other)
    }

    #[tokio::test]
    async fn one_after_another() {
        let post = |name: &str, body: &str| {
            format!("POST / HTTP/1.1\r\nhost: h\r\nx: {name}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        let bodies = |got: &str| -> Vec<String> {
            let heads = got.split("HTTP/1.1 200 OK\r\n").skip(1);
            heads.map(|head| head.split_once("\r\n\r\n").unwrap().1.to_owned()).collect()
        };
        let (first, second, long) = (post("a", "1"), post("b", ""), post("c", &"x".repeat(BODY_MAX)));
        let (head, body) = first.split_at(20);
        for sent in [
            &[first.as_str(), &second, &long][..],
            &[&[first.clone(), second.clone(), long.clone()].concat()],
            &[head, body, &second, &long],
        ] {
            let (got, other) = served(sent, false).await;
            assert_eq!(
                (bodies(&got), other),
                (vec!["a1".into(), "b".into(), format!("c{}", "x".repeat(BODY_MAX))], None)
            );
        }
        let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
        let (got, other) = served(&[&first, get, &second], false).await;
        assert_eq!(bodies(&got), ["a1"]);
        assert!(other.unwrap().starts_with(get), "as it came");
        let (got, other) = served(&[&[first.clone(), second].concat()], true).await;
        assert_eq!(
            (bodies(&got), other, got.contains("connection: close")),
            (vec!["a1".into()], None, true),
            "the last one"
        );
        assert_eq!(served(&[&first[..first.len() - 1]], false).await, (String::new(), None), "half a request is none");
    }

    #[test]
    fn what_is_plain() {
        let limits = LIMITS;
        let fields = "host: x\r\ncontent-type: application/x-amz-json-1.0\r\n";
        let post = |more: &str| format!("POST / HTTP/1.1\r\n{fields}{more}\r\n{{}}");
        let plain = post("content-length: 2\r\n");
        let Look::Plain { parts, head, body } = look(plain.as_bytes(), &limits) else { panic!("{plain}") };
        assert_eq!((head, body, parts.uri.path()), (plain.len() - 2, 2, "/"));
        assert_eq!(parts.headers["content-type"], "application/x-amz-json-1.0");
        for (text, partial) in [
            (String::new(), true),
            ("POST / HT".to_owned(), true),
            (post("content-length: 2\r\n").trim_end_matches("\r\n{}").to_owned(), true),
            ("GET / HTTP/1.1\r\n".to_owned(), false),
            ("POST /x HTTP/1.1\r\n".to_owned(), false),
            ("POST / HTTP/1.0\r\n".to_owned(), false),
            ("POST http://x/ HTTP/1.1\r\n".to_owned(), false),
            (post(""), false),
            (post("content-length: 2\r\ncontent-length: 2\r\n"), false),
            (post("content-length: 2\r\ntransfer-encoding: chunked\r\n"), false),
            (post("transfer-encoding: chunked\r\n"), false),
            (post("content-length: 2\r\nexpect: 100-continue\r\n"), false),
            (post("content-length: 2\r\nconnection: close\r\n"), false),
            (post(&format!("content-length: {}\r\n", BODY_MAX + 1)), false),
            (post("content-length: 2\r\n").replace("host: x\r\n", ""), false),
        ] {
            let found = look(text.as_bytes(), &limits);
            assert_eq!(
                (matches!(found, Look::Partial), matches!(found, Look::Plain { .. })),
                (partial, false),
                "{text}"
            );
        }
    }

    #[test]
    fn answers_have_one_form() {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response.headers_mut().insert("x-amz-crc32", HeaderValue::from_static("1"));
        let (mut out, mut date) = (BytesMut::new(), Date { second: u64::MAX, text: String::new() });
        write(&mut out, &response, &mut date, true);
        let text = String::from_utf8(out.to_vec()).unwrap();
        let want = format!(
            "HTTP/1.1 400 Bad Request\r\nx-amz-crc32: 1\r\ncontent-length: 2\r\ndate: {}\r\nconnection: close\r\n\r\n{{}}",
            date.text
        );
        assert_eq!(text, want);
        write(&mut out, &response.map(|_| Bytes::from(vec![b'x'; COPIED_MAX + 1])), &mut date, false);
        assert!(
            out.ends_with(b"\r\n\r\n") && !out.windows(5).any(|part| part == b"close"),
            "the body leaves by itself"
        );
    }
}
