//! Socket: an in-memory pipe that pingora takes for a connection.
//!
//! In: one half of a duplex pipe. Out: the same bytes. Never: socket options; there is no socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// The proxy's half.
#[derive(Debug)]
pub struct DuplexSocket(DuplexStream);

// === impl DuplexSocket ===

impl DuplexSocket {
    pub fn new(half: DuplexStream) -> Self {
        DuplexSocket(half)
    }
}

impl AsyncRead for DuplexSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for DuplexSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl VirtualSocket for DuplexSocket {
    /// Keep-alive and delay mean nothing to a pipe.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
