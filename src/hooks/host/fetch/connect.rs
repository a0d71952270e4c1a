//! Connect: a connection to a host, to an address that may be asked.
//!
//! In: a URL's host and port. Out: a TCP stream. Never: an address that was not checked: the one that is connected to is the one
//! that was looked at, whatever the name means a moment later (DNS rebinding).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use super::names::Names;
use crate::public::is_public;

/// How long one of several addresses may take before the next is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("none of its addresses may be asked")]
    Address,
    #[error("{0}")]
    Name(String),
    #[error("{0}")]
    Connect(String),
}

/// Opens connections under one set of private addresses.
#[derive(Debug, Clone)]
pub struct Connector {
    pub names: Arc<Names>,
    /// Connections that its function may still open.
    pub own: Arc<Semaphore>,
    /// Those that all functions may.
    pub turns: Arc<Semaphore>,
    pub private: Arc<[IpNet]>,
}

/// A connection, counted for as long as it is open.
#[derive(Debug)]
pub struct Stream {
    io: TokioIo<TcpStream>,
    _turns: [OwnedSemaphorePermit; 2],
}

// === impl Connector ===
impl Connector {
    async fn connect(self, uri: Uri) -> Result<Stream, Refused> {
        let host = uri.host().unwrap_or_default();
        let port = super::request::port(&uri);
        let addresses = self.names.addresses(host).await.map_err(Refused::Name)?;
        let allowed: Vec<SocketAddr> = addresses
            .into_iter()
            .filter(|address| allowed(*address, &self.private))
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if allowed.is_empty() {
            return Err(Refused::Address);
        }
        let closed = |error: AcquireError| Refused::Connect(error.to_string());
        // The function's own first: what waits for that takes no turn from others.
        let own = self.own.acquire_owned().await.map_err(closed)?;
        let turn = self.turns.acquire_owned().await.map_err(closed)?;
        let mut reason = String::new();
        for address in allowed {
            match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Small requests leave at once; a socket that cannot do it works all the same.
                    let _ = stream.set_nodelay(true);
                    return Ok(Stream { io: TokioIo::new(stream), _turns: [own, turn] });
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("no answer within {ADDRESS_TIMEOUT:?}"),
            }
        }
        Err(Refused::Connect(reason))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

// === impl Stream ===
impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

/// Whether a function may connect to `address`: it is public, or among `private`.
fn allowed(address: IpAddr, private: &[IpNet]) -> bool {
    let address = address.to_canonical();
    private.iter().any(|net| net.contains(&address)) || is_public(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ones_by_grant_only() {
        let private: Vec<IpNet> =
            ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        for (address, want) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::10.1.2.3", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("169.254.169.254", false),
            ("1.1.1.1", true),
        ] {
            assert_eq!(allowed(address.parse().unwrap(), &private), want, "{address}");
        }
    }
}
