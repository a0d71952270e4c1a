//! Tunnel: the connection to an origin that a request may turn into a tunnel.
//!
//! In: the target's address. Out: a socket whose reader lets a writer's task run first. Never: other requests' connections.
//!
//! Pingora 0.9.1 ends a tunnel at once when it sees a 101 before it took note that the request has no body: both wait in
//! one `select!` (proxy_h1.rs, `proxy_handle_upstream`), which picks at random when an origin is that fast. Here a read
//! that follows a write gives way once, so the note is always taken first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Connects with plain TCP; TLS, where the origin wants it, is laid over by Pingora.
#[derive(Debug)]
pub struct Tunnels;

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// Something was written since the last read.
    wrote: bool,
}

// === impl Tunnels ===

#[async_trait::async_trait]
impl L4Connect for Tunnels {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Err(Error::explain(ErrorType::ConnectError, "an upgrade needs a TCP origin").into_up());
        };
        let failed = |error: io::Error| {
            let etype = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                _ => ErrorType::ConnectError,
            };
            Error::because(etype, format!("connect to {address}"), error).into_up()
        };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Stream::from(VirtualSocketStream::new(Box::new(Socket { stream, wrote: false }))))
    }
}

// === impl Socket ===

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for Socket {
    /// Delay is off already; keep-alive is not needed where both sides talk or the idle timeout ends it.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_read_behind_a_write_gives_way_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut origin, _) = listener.accept().await.unwrap();
        let mut socket = Socket { stream, wrote: false };
        origin.write_all(b"101").await.unwrap();
        socket.stream.readable().await.unwrap();
        socket.write_all(b"GET").await.unwrap();
        let mut byte = [0];
        let first = std::future::poll_fn(|cx| {
            Poll::Ready(Pin::new(&mut socket).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending())
        });
        assert!(first.await, "though bytes are there");
        assert_eq!(socket.read_u8().await.unwrap(), b'1');
    }
}
