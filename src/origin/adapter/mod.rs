//! Adapter: decides how an origin inside this process is reached as if it were a server.
//!
//! In: an endpoint's configuration. Out: a peer whose connections end in this process.
//! Never: a socket, a pooled connection, a second copy of the caching rules.

mod about;
mod endpoint;
mod socket;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::upstreams::peer::{ALPN, HttpPeer};

pub use self::about::{About, Caller, CallerKind};
pub use self::endpoint::{Body, BodyError, Endpoint, whole};
use self::socket::DuplexSocket;
use super::set::Picked;
use super::target::{TargetRef, TargetStatus};
use crate::config::compiled::{Generated, OriginId, SignedOrigin};

/// Bytes buffered in each direction of one connection: a writer waits when its reader is that far behind.
const DUPLEX_BYTES: usize = 64 << 10;

/// The Host of a request that came without one (HTTP/1.0).
const HOSTLESS: HeaderValue = HeaderValue::from_static("localhost");

/// One origin of the adapter lane.
#[derive(Debug)]
pub struct Adapter {
    name: Arc<str>,
    base: HttpPeer,
    endpoint: Arc<dyn Endpoint>,
}

/// Makes the connection of one request to one endpoint.
#[derive(Debug)]
struct Virtual {
    endpoint: Arc<dyn Endpoint>,
    about: Arc<About>,
}

// === impl Adapter ===

impl Adapter {
    /// An origin that always gives the same answer. `name` keeps its connections apart from other origins'.
    pub fn generated(name: &str, generated: &Arc<Generated>) -> Self {
        Self::new(name, Arc::new(Arc::clone(generated)))
    }

    /// An origin that `endpoint` answers for.
    pub fn new(name: &str, endpoint: Arc<dyn Endpoint>) -> Self {
        // Nobody connects to this address: it only fills pingora's field.
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let patience = endpoint.patience();
        let mut base = HttpPeer::new(nowhere, false, String::new());
        base.group_key = xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), 0xada9);
        base.options.alpn = ALPN::H1;
        base.options.connection_timeout = Some(patience);
        base.options.total_connection_timeout = Some(patience);
        base.options.read_timeout = Some(patience);
        base.options.write_timeout = Some(patience);
        base.options.idle_timeout = Some(Duration::ZERO);
        Adapter { name: Arc::from(name), base, endpoint }
    }

    /// The configuration's name of the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same origin at another server, where it is one whose requests are signed. As [`Endpoint::at`].
    pub fn at(&self, to: SignedOrigin, known: bool) -> Option<Adapter> {
        let name = format!("{} rerouted", self.name);
        self.endpoint.at(to, known).map(|endpoint| Adapter::new(&name, endpoint))
    }

    /// The Host that the endpoint sees: the viewer's, where it is told.
    pub fn host(viewer_host: Option<&HeaderValue>) -> HeaderValue {
        viewer_host.unwrap_or(&HOSTLESS).clone()
    }

    /// The peer of one request. The endpoint sees the viewer's Host, and what `about` says.
    pub fn pick(&self, viewer_host: Option<&HeaderValue>, about: Arc<About>) -> Picked {
        let mut peer = Box::new(self.base.clone());
        peer.options.custom_l4 = Some(Arc::new(Virtual { endpoint: Arc::clone(&self.endpoint), about }));
        Picked {
            peer,
            target: TargetRef { index: 0, name: Arc::clone(&self.name), address: None },
            host: Self::host(viewer_host),
        }
    }

    pub fn describe(&self, origin: OriginId) -> TargetStatus {
        TargetStatus {
            origin,
            origin_name: self.name.to_string(),
            target: Arc::clone(&self.name),
            up: true,
            resting: false,
            last_error: None,
            addresses: Vec::new(),
        }
    }
}

// === impl Virtual ===

#[async_trait::async_trait]
impl L4Connect for Virtual {
    async fn connect(&self, _: &pingora::protocols::l4::socket::SocketAddr) -> pingora::Result<Stream> {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let (endpoint, about) = (Arc::clone(&self.endpoint), Arc::clone(&self.about));
        // Ends with the exchange, or when the proxy drops its half.
        tokio::spawn(async move { endpoint::serve(&*endpoint, &about, theirs).await });
        Ok(Stream::from(VirtualSocketStream::new(Box::new(DuplexSocket::new(ours)))))
    }
}
