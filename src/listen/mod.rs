//! Listen: TCP, TLS, HTTP/1 framing, and what a connection may cost.
//!
//! In: sockets and `compiled::{Listener, Limits}`. Out: connections whose requests have exactly one reading. Never:
//! routing, caching, what a request means.

mod alarm;
mod certs;
mod client_auth;
mod endpoint;
mod error;
pub mod frames;
pub mod framing;
mod gate;
pub mod head;
mod pace;
mod refuse;
mod target;
mod tls;
mod wire;

/// Bytes of a request body that one read brings at most: what was read for a function and what one more read brings must fit into
/// the 64 KiB that Pingora can send again.
pub const BODY_READ_MAX: usize = 24 << 10;

pub use endpoint::{Endpoint, Endpoints, h2_options};
pub use error::ListenError;
pub use gate::{Counts, Gate, Permit};
pub use pace::Pace;
pub use refuse::Refusal;
pub use target::host_named;
pub use tls::{Peer, Session, Terminator};
pub use wire::Wire;

#[cfg(test)]
pub(crate) mod tests {
    use crate::config::compiled::{Certificate, Limits};
    use std::path::Path;
    use std::time::Duration;

    /// A self-signed certificate for `names` in `dir`: `{stem}.pem` and `{stem}.key`.
    pub(super) fn certificate(dir: &Path, stem: &str, names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let file = Certificate { chain: dir.join(format!("{stem}.pem")), key: dir.join(format!("{stem}.key")) };
        std::fs::write(&file.chain, made.cert.pem()).unwrap();
        std::fs::write(&file.key, made.signing_key.serialize_pem()).unwrap();
        file
    }

    /// Limits wide enough for every test that does not try one.
    pub(crate) fn limits() -> Limits {
        Limits {
            connections: 1000,
            connections_per_address: 100,
            connections_exempt: Vec::new(),
            header_timeout: Duration::from_secs(10),
            header_count: 100,
            header_size: 16 << 10,
            uri_size: 8 << 10,
            idle_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            body_min_rate: 0,
            body_grace: Duration::from_secs(10),
            body_size: 1 << 30,
            signed_bodies: 1 << 20,
            signed_bodies_per_address: 1 << 20,
            signed_body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            requests_per_connection: 1000,
            h2_streams: 100,
            h2_resets: 100,
            h2_reset_window: Duration::from_secs(10),
        }
    }
}
