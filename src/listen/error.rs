//! Error: why an endpoint cannot be opened, or a viewer cannot be let in.
//!
//! In: the failures of this room. Out: one sentence that names the file or address. Never: key material.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: not PEM: {reason}", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("{}: holds no {what}", path.display())]
    Missing { path: PathBuf, what: &'static str },
    #[error("{}: not a usable certificate: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("{}: does not belong to the certificate in {}: {source}", key.display(), chain.display())]
    Key { chain: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("no certificate is configured")]
    NoCertificate,
    #[error("{}: not usable to verify viewers: {reason}", path.display())]
    ClientAuth { path: PathBuf, reason: String },
    #[error("TLS settings: {0}")]
    Settings(String),
    #[error("TLS handshake: {0}")]
    Handshake(String),
    #[error("TLS handshake took too long")]
    HandshakeTimeout,
    #[error("the connection is no socket")]
    NoSocket,
}
