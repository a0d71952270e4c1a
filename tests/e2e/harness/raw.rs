//! Raw: a viewer's connection, byte by byte.
//!
//! In: bytes to send. Out: strictly parsed answers, and what is left over. Never: a retry or a hidden reconnect.

use super::reply::{Broken, Framing, Reply, fill, framing, head_end, parse_field, parse_head};
use super::{Duplex, PATIENCE};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

pub struct Raw {
    stream: Box<dyn Duplex>,
    tcp: TcpStream,
    buf: Vec<u8>,
}

// === impl Raw ===
impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        Raw::try_connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    /// A connection; an error when nobody takes it.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect(address).map(Raw::on)
    }

    fn on(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        Raw { stream: Box::new(tcp.try_clone().unwrap()), tcp, buf: Vec::new() }
    }

    /// A TLS connection; `Err` when the handshake fails on either side.
    pub fn tls(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<(Self, ClientConnection)> {
        let raw = Raw::connect(address);
        let mut tcp = raw.tcp.try_clone()?;
        let mut tls =
            ClientConnection::new(config, name.to_owned().try_into().unwrap()).map_err(std::io::Error::other)?;
        while tls.is_handshaking() {
            let (read, _) = tls.complete_io(&mut tcp)?;
            if read == 0 && tls.is_handshaking() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok((raw, tls))
    }

    /// A TLS connection ready for requests.
    pub fn secure(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let (mut raw, tls) = Raw::tls(address, name, config)?;
        raw.stream = Box::new(StreamOwned::new(tls, raw.tcp.try_clone()?));
        Ok(raw)
    }

    /// The address this viewer comes from.
    pub fn local(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("send");
    }

    /// Sends bytes; an error when the peer has gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// No more bytes from us; the other direction stays open.
    pub fn finish(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// A request with a Host and no body, answered.
    pub fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    /// A bodiless request, answered whole.
    pub fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(request(method, path, fields, b""));
        self.reply(method)
    }

    /// The next answer; panics when it does not arrive whole.
    pub fn reply(&mut self, method: &str) -> Reply {
        self.try_reply(method).unwrap_or_else(|broken| panic!("{method}: {broken:?}"))
    }

    /// The next answer's head with an empty body; 1xx are answers of their own here.
    pub fn head(&mut self) -> Result<Reply, Broken> {
        let end = loop {
            if let Some(end) = head_end(&self.buf) {
                break end;
            }
            match fill(&mut *self.stream, &mut self.buf) {
                Ok(0) => return Err(self.broken(None, "closed before a head")),
                Ok(_) => {}
                Err(e) => return Err(self.broken(None, &format!("before a head: {e}"))),
            }
        };
        let head: Vec<u8> = self.buf.drain(..end).collect();
        let (start, fields) = parse_head(&head);
        let mut parts = start.splitn(3, ' ');
        assert!(parts.next().unwrap().starts_with("HTTP/1."), "bad status line {start:?}");
        let status = parts.next().unwrap().parse().unwrap();
        Ok(Reply { status, fields, ..Reply::default() })
    }

    /// The next final answer, or how it broke. Interim answers (1xx but 101) are skipped.
    pub fn try_reply(&mut self, method: &str) -> Result<Reply, Broken> {
        let reply = loop {
            let reply = self.head()?;
            if reply.status / 100 != 1 || reply.status == 101 {
                break reply;
            }
        };
        self.body(method, reply)
    }

    /// Reads the body that belongs to a head.
    pub fn body(&mut self, method: &str, mut reply: Reply) -> Result<Reply, Broken> {
        match framing(method, &reply) {
            Framing::None => {}
            Framing::Length(n) => {
                while self.buf.len() < n {
                    if let Err(why) = self.more() {
                        reply.body = std::mem::take(&mut self.buf);
                        return Err(self.broken(Some(reply), &why));
                    }
                }
                reply.body = self.buf.drain(..n).collect();
            }
            Framing::Chunked => {
                while let Some(chunk) = self.chunk().map_err(|why| self.broken(Some(reply.clone()), &why))? {
                    reply.body.extend(chunk);
                }
                loop {
                    let line = self.line().map_err(|why| self.broken(Some(reply.clone()), &why))?;
                    if line.is_empty() {
                        break;
                    }
                    reply.trailers.push(parse_field(&line));
                }
            }
            Framing::UntilClose => {
                let end = loop {
                    match fill(&mut *self.stream, &mut self.buf) {
                        Ok(0) => break None,
                        Ok(_) => {}
                        Err(e) => break Some(e.to_string()),
                    }
                };
                reply.body = std::mem::take(&mut self.buf);
                if let Some(why) = end {
                    return Err(self.broken(Some(reply), &why));
                }
            }
        }
        Ok(reply)
    }

    /// The next chunk of a chunked body; `None` is the last one.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, String> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("bad chunk size {line:?}"));
        if size == 0 {
            return Ok(None);
        }
        while self.buf.len() < size + 2 {
            self.more()?;
        }
        let chunk = self.buf.drain(..size).collect();
        let end: Vec<u8> = self.buf.drain(..2).collect();
        assert_eq!(end, b"\r\n", "chunk data is not followed by CRLF");
        Ok(Some(chunk))
    }

    /// Exactly `n` bytes as they come.
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.buf.len() < n {
            self.more().expect("more bytes");
        }
        self.buf.drain(..n).collect()
    }

    /// Exactly `n` bytes; `None` when the connection ends first.
    pub fn try_exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buf.len() < n {
            self.more().ok()?;
        }
        Some(self.buf.drain(..n).collect())
    }

    /// Body bytes of an answer until at least `n` have come, whatever its framing (a stream that has not ended).
    pub fn body_prefix(&mut self, reply: &Reply, n: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while got.len() < n {
            if framing("GET", reply) == Framing::Chunked {
                got.extend(self.chunk().expect("chunk").expect("more body"));
            } else {
                if self.buf.is_empty() {
                    self.more().expect("more body");
                }
                got.append(&mut self.buf);
            }
        }
        got
    }

    /// Reads and counts the rest of a `Content-Length` body without keeping it; calls `seen` with every run.
    pub fn drain(&mut self, mut rest: u64, mut seen: impl FnMut(&[u8])) {
        loop {
            let run = std::mem::take(&mut self.buf);
            seen(&run);
            rest -= run.len() as u64;
            if rest == 0 {
                return;
            }
            self.more().expect("more body");
        }
    }

    /// Waits for the peer's end; whether it came without another byte before it. A reset counts as an end.
    pub fn closed(&mut self) -> bool {
        let before = self.buf.len();
        loop {
            match fill(&mut *self.stream, &mut self.buf) {
                Ok(0) => return self.buf.len() == before,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(_) => return self.buf.len() == before,
            }
        }
    }

    /// Everything until the peer's end.
    pub fn rest(&mut self) -> Vec<u8> {
        while matches!(fill(&mut *self.stream, &mut self.buf), Ok(n) if n > 0) {}
        std::mem::take(&mut self.buf)
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.buf.iter().position(|b| *b == b'\n') {
                assert!(at > 0 && self.buf[at - 1] == b'\r', "bare LF in chunked framing");
                let line: Vec<u8> = self.buf.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line[..at - 1]).into_owned());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), String> {
        match fill(&mut *self.stream, &mut self.buf) {
            Ok(0) => Err("closed early".to_owned()),
            Ok(_) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }

    fn broken(&self, partial: Option<Reply>, why: &str) -> Broken {
        Broken { partial, why: why.to_owned() }
    }
}

/// The bytes of a request to [`super::HOST`], unless `fields` name another host; `content-length` is added to a body.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("Host: {}\r\n", super::HOST));
    }
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}
