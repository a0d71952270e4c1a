//! Link: one plain HTTP/1.1 connection to an origin, for requests that pass straight through.
//!
//! In: an address, bytes to send, how long either side may be silent. Out: the bytes that came, or a Pingora error like the
//! full path's. Never: what the bytes mean; TLS (those origins are asked on the full path).

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pingora::{Error, ErrorType, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::peer;

/// Room for one read, in bytes: at first, and once an answer has filled that.
const READ: usize = 8 << 10;
const READ_MORE: usize = 64 << 10;

/// How long an origin may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// Read and not yet used.
    pub buffer: BytesMut,
    room: usize,
    /// Whether it has served a request before.
    pub reused: bool,
    pub patience: Patience,
    /// Since when the current read or write waits.
    since: Option<Instant>,
    /// Made when something first has to be waited for. It is never moved back: it fires early once, and is set again then.
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Link ===

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Refused, no way, or not within `patience.connect`.
    pub async fn connect(address: SocketAddr, patience: Patience) -> Result<Self> {
        let stream = match timeout(patience.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unconnected(address, error)),
            Err(_) => return Err(Error::explain(ErrorType::ConnectTimedout, address.to_string()).into_up()),
        };
        let keepalive = TcpKeepalive::new()
            .with_time(peer::KEEPALIVE_IDLE)
            .with_interval(peer::KEEPALIVE_INTERVAL)
            .with_retries(peer::KEEPALIVE_COUNT as u32);
        stream
            .set_nodelay(true)
            .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive))
            .map_err(|error| Error::because(ErrorType::SocketError, "origin", error).into_up())?;
        let (buffer, room) = (BytesMut::new(), READ);
        Ok(Link { stream, buffer, room, reused: false, patience, since: None, sleep: None })
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The connection broke, or nothing moved for `patience.write`.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        poll_fn(|cx| self.poll_send(cx, &mut bytes)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut &[u8]) -> Poll<Result<()>> {
        while !bytes.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.since = None;
                    bytes.advance(n);
                }
                Poll::Ready(Ok(_)) => {
                    return Poll::Ready(Err(broken(ErrorType::WriteError, ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(ErrorType::WriteError, error))),
                Poll::Pending => {
                    ready!(self.poll_late(cx, self.patience.write));
                    return Poll::Ready(Err(Error::explain(ErrorType::WriteTimedout, "origin").into_up()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more into the buffer; 0 = the origin sends no more.
    ///
    /// # Errors
    /// The connection broke, or nothing came for `patience.read`.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.buffer.reserve(self.room);
        let read = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx);
        match read {
            Poll::Ready(Ok(n)) => {
                self.since = None;
                if n >= self.room {
                    self.room = READ_MORE;
                }
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(broken(ErrorType::ReadError, error))),
            Poll::Pending => {
                ready!(self.poll_late(cx, self.patience.read));
                Poll::Ready(Err(Error::explain(ErrorType::ReadTimedout, "origin").into_up()))
            }
        }
    }

    /// Whether nothing came since the last answer, not even the end: only then may another request be sent.
    pub fn is_quiet(&mut self) -> bool {
        let mut scrap = [0; 1];
        let read = pin!(self.stream.read(&mut scrap)).poll(&mut Context::from_waker(Waker::noop()));
        read.is_pending()
    }

    /// Makes it ready to wait for another request.
    pub fn rest(&mut self) {
        self.reused = true;
        self.since = None;
        self.room = READ;
        self.buffer.clear();
        if self.buffer.capacity() > 2 * READ {
            // What one large answer needed is not kept for every idle connection.
            self.buffer = BytesMut::new();
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        let now = Instant::now();
        let deadline = *self.since.get_or_insert(now) + patience;
        if now >= deadline {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            // It was set for an earlier wait, or the time has just come: look again with a new clock.
            sleep.as_mut().reset(deadline);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Pingora's names for what a connect can fail with: `proxy::failure` knows them.
fn unconnected(address: SocketAddr, error: io::Error) -> Box<Error> {
    let etype = match error.kind() {
        ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        ErrorKind::AddrNotAvailable => ErrorType::BindError,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    };
    Error::because(etype, format!("connecting to {address}"), error).into_up()
}

fn broken(etype: ErrorType, error: io::Error) -> Box<Error> {
    Error::because(etype, "origin", error).into_up()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    const TINY: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    async fn pair(read: Duration) -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let patience = Patience { connect: LONG, read, write: LONG, idle: LONG };
        let link = Link::connect(listener.local_addr().unwrap(), patience).await.unwrap();
        (link, listener.accept().await.unwrap().0)
    }

    async fn fill(link: &mut Link) -> Result<usize> {
        poll_fn(|cx| link.poll_fill(cx)).await
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_silence_is_an_error() {
        let (mut link, mut origin) = pair(TINY).await;
        link.send(b"ask").await.unwrap();
        let mut asked = [0; 3];
        origin.read_exact(&mut asked).await.unwrap();
        for round in 1..4 {
            origin.write_all(b"answer").await.unwrap();
            while link.buffer.len() < 6 * round {
                fill(&mut link).await.unwrap();
            }
        }
        assert_eq!(fill(&mut link).await.unwrap_err().etype(), &ErrorType::ReadTimedout);
        drop(origin);
        let (mut link, origin) = pair(LONG).await;
        drop(origin);
        assert_eq!(fill(&mut link).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn only_a_quiet_link_is_used_again() {
        let (mut link, mut origin) = pair(LONG).await;
        assert!(link.is_quiet());
        origin.write_all(b"unasked").await.unwrap();
        link.stream.readable().await.unwrap();
        assert!(!link.is_quiet());
        let (mut link, origin) = pair(LONG).await;
        drop(origin);
        link.stream.readable().await.unwrap();
        assert!(!link.is_quiet());
    }

    #[tokio::test]
    async fn nobody_there_is_a_refusal() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let patience = Patience { connect: LONG, read: LONG, write: LONG, idle: LONG };
        assert_eq!(Link::connect(free, patience).await.unwrap_err().etype(), &ErrorType::ConnectRefused);
    }
}
