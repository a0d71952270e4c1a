//! Origin: a scripted HTTP/1.1 server that may misbehave in any way.
//!
//! In: a script called once a request. Out: raw bytes, and a record of what was received. Never: a byte the script did not write.

use super::reply::{fill, head_end, parse_head};
use super::{Duplex, PATIENCE, until};
use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One request as the origin received it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// Names in lower case, wire order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One request on its connection, for the script to answer.
pub struct Exchange<'a> {
    pub request: Seen,
    /// Requests this origin had received before, on any connection.
    pub nth: usize,
    stream: &'a mut dyn Duplex,
    tcp: &'a TcpStream,
    buf: &'a mut Vec<u8>,
    open: bool,
    cut: bool,
    log: &'a Mutex<Vec<Seen>>,
}

type Script = dyn Fn(&mut Exchange<'_>) + Send + Sync;

pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Box<Script>,
    tls: Option<Arc<ServerConfig>>,
    /// Whether bodies are read before the script is called.
    reads: bool,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

// === impl Origin ===
impl Origin {
    pub fn start(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Origin::launch(Box::new(script), None, true)
    }

    /// The same behind TLS.
    pub fn tls(config: Arc<ServerConfig>, script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Origin::launch(Box::new(script), Some(config), true)
    }

    /// Every request gets the same 200 with these extra field lines (each ending in CRLF) and this body.
    pub fn fixed(fields: &'static str, body: &'static str) -> Self {
        Origin::start(move |x| x.reply("200 OK", fields, body))
    }

    /// The n-th request's answer says so: body `v1`, `v2`, … with these extra field lines.
    pub fn counting(fields: &'static str) -> Self {
        Origin::start(move |x| {
            let body = format!("v{}", x.nth + 1);
            x.reply("200 OK", fields, body);
        })
    }

    /// The script is called when the head is there and takes the body's bytes itself with [`Exchange::read`].
    pub fn unread(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Origin::launch(Box::new(script), None, false)
    }

    fn launch(script: Box<Script>, tls: Option<Arc<ServerConfig>>, reads: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script,
            tls,
            reads,
            seen: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&shared);
                state.connections.fetch_add(1, Ordering::AcqRel);
                std::thread::spawn(move || serve(&state, tcp));
            }
        });
        Origin { address, state }
    }

    pub fn url(&self) -> String {
        let scheme = if self.state.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// `[[origin]]` with this name, and nothing but the address.
    pub fn config(&self, name: &str) -> String {
        format!("[[origin]]\nname = \"{name}\"\nurl = \"{}\"\n", self.url())
    }

    /// Requests received so far.
    pub fn count(&self) -> usize {
        self.state.seen.lock().len()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    pub fn last(&self) -> Seen {
        self.state.seen.lock().last().expect("the origin was asked").clone()
    }

    /// Waits until `n` requests have been received.
    pub fn wait(&self, n: usize) {
        until(&format!("{n} requests at the origin"), || (self.count() >= n).then_some(()));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

// === impl Exchange ===
impl Exchange<'_> {
    /// A complete answer with a `Content-Length`.
    pub fn reply(&mut self, status: &str, fields: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        self.write(&head);
        if self.request.method != "HEAD" {
            self.write(body);
        }
    }

    /// A head without framing fields of its own.
    pub fn head(&mut self, status: &str, fields: &str) {
        self.write(format!("HTTP/1.1 {status}\r\n{fields}\r\n"));
    }

    pub fn chunk(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        self.write([format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat());
    }

    /// The last chunk with these trailer lines (each ending in CRLF).
    pub fn last_chunk(&mut self, trailers: &str) {
        self.write(format!("0\r\n{trailers}\r\n"));
    }

    /// Bytes as they are; whether they were taken. A peer that went away ends the exchange, not the test.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok();
        self.open &= sent;
        sent
    }

    /// Bytes that come after the request (an upgraded connection); `None` at the peer's end.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        if self.buf.is_empty() && !matches!(fill(self.stream, self.buf), Ok(n) if n > 0) {
            return None;
        }
        Some(std::mem::take(self.buf))
    }

    /// Closes the connection after what was written.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Ends the connection with a reset, whatever was still on its way.
    pub fn reset(&mut self) {
        (self.open, self.cut) = (false, true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        let tcp = self.tcp.try_clone().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let _ = tokio::net::TcpStream::from_std(tcp).map(|tcp| tcp.set_zero_linger());
    }

    /// The request's first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.request.field(name)
    }

    /// Reads the request's body and keeps it.
    fn body(&mut self) {
        self.request.body = read_body(self.stream, self.buf, &self.request).unwrap_or_default();
        if let Some(entry) = self.log.lock().get_mut(self.nth) {
            entry.body.clone_from(&self.request.body);
        }
    }
}

// === impl Seen ===
impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn serve(state: &State, tcp: TcpStream) {
    let _ = (tcp.set_nodelay(true), tcp.set_read_timeout(Some(PATIENCE)), tcp.set_write_timeout(Some(PATIENCE)));
    let mut stream: Box<dyn Duplex> = match &state.tls {
        None => Box::new(tcp.try_clone().unwrap()),
        Some(config) => {
            let tls = ServerConnection::new(Arc::clone(config)).unwrap();
            Box::new(StreamOwned::new(tls, tcp.try_clone().unwrap()))
        }
    };
    let mut buf = Vec::new();
    while let Some(request) = read_request(&mut *stream, &mut buf) {
        let nth = {
            let mut seen = state.seen.lock();
            seen.push(request.clone());
            seen.len() - 1
        };
        let mut exchange = Exchange {
            request,
            nth,
            stream: &mut *stream,
            tcp: &tcp,
            buf: &mut buf,
            open: true,
            cut: false,
            log: &state.seen,
        };
        if state.reads {
            exchange.body();
        }
        (state.script)(&mut exchange);
        if exchange.cut {
            return;
        }
        if !exchange.open {
            break;
        }
    }
    drop(stream);
    let _ = tcp.shutdown(Shutdown::Write);
}

fn read_request(stream: &mut dyn Duplex, buf: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = head_end(buf) {
            break end;
        }
        if !matches!(fill(stream, buf), Ok(n) if n > 0) {
            return None;
        }
    };
    let head: Vec<u8> = buf.drain(..end).collect();
    let (start, fields) = parse_head(&head);
    let mut parts = start.split(' ').map(str::to_owned);
    let (method, target) = (parts.next()?, parts.next()?);
    Some(Seen { method, target, fields, body: Vec::new() })
}

fn read_body(stream: &mut dyn Duplex, buf: &mut Vec<u8>, request: &Seen) -> std::io::Result<Vec<u8>> {
    let mut want = |buf: &mut Vec<u8>| match fill(stream, buf)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok::<(), std::io::Error>(()),
    };
    if request.field("transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let size = loop {
                if let Some(at) = buf.windows(2).position(|w| w == b"\r\n") {
                    let line: Vec<u8> = buf.drain(..at + 2).collect();
                    let text = String::from_utf8_lossy(&line[..at]).into_owned();
                    break usize::from_str_radix(&text, 16).map_err(std::io::Error::other)?;
                }
                want(buf)?;
            };
            while buf.len() < size + 2 {
                want(buf)?;
            }
            body.extend(buf.drain(..size));
            buf.drain(..2);
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = request.field("content-length").map_or(0, |n| n.parse().unwrap_or(0));
    while buf.len() < length {
        want(buf)?;
    }
    Ok(buf.drain(..length).collect())
}
