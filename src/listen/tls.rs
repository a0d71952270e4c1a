//! TLS: how a viewer's connection is encrypted, and what is known about it after.
//!
//! In: a listener's TLS settings, accepted sockets. Out: encrypted streams whose digest carries the session's facts.
//! Never: HTTP, what a client certificate may do.
//!
//! Pingora's own listener settings cannot set a minimum version and are fixed once they are built. Listeners are
//! therefore opened as plain TCP, and the handshake is made here, with Pingora's acceptor around a configuration that a
//! reload can replace.

use super::certs::Certs;
use super::client_auth::{self, Authorities};
use super::error::ListenError;
use crate::config::compiled::{ClientAuth, Tls, TlsVersion};
use crate::crypto::{hex, sha256};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::tls::{SslDigest, TlsRef};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Makes the handshakes of one listener.
pub struct Terminator {
    acceptor: ArcSwap<Acceptor>,
}

/// What a handshake settled, for logs and rules. Borrowed from the connection's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session<'d> {
    /// SNI.
    pub server_name: Option<&'d str>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'d str,
    /// IANA name.
    pub cipher: &'d str,
    /// SHA-256 of the verified client certificate's DER, when the viewer sent one.
    pub client_certificate: Option<&'d [u8]>,
    /// Who it says the viewer is.
    pub peer: Option<&'d Peer>,
}

/// What a verified client certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The distinguished name, most significant part first, as the certificate has it: "C=DE, O=Acme, CN=device-7".
    pub subject: String,
    /// The subject's common names, then the DNS and URI subject alternative names.
    pub names: Vec<String>,
    /// The authority that vouches for it: "sha256:" and the hex digest of its public key.
    pub authority: String,
    /// That key: the value of its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub anchor: Vec<u8>,
}

/// The facts that Pingora's digest does not carry by itself.
struct Facts {
    server_name: Option<String>,
    peer: Option<Peer>,
}

struct Remember {
    authorities: Authorities,
}

// === impl Terminator ===

impl Terminator {
    /// Reads certificates and CA. `h2` offers HTTP/2 by ALPN before HTTP/1.1.
    ///
    /// # Errors
    /// Files that cannot be used, each named.
    pub fn new(tls: &Tls, h2: bool) -> Result<Self, ListenError> {
        Ok(Self { acceptor: ArcSwap::from_pointee(acceptor(tls, h2)?) })
    }

    /// Takes over what `new` was made from, for the handshakes to come. Session tickets given out before are not taken
    /// after: they would stand for client certificates that the new rules may no longer trust.
    pub fn replace(&self, new: &Terminator) {
        self.acceptor.store(new.acceptor.load_full());
    }

    /// Makes the handshake on an accepted TCP stream.
    ///
    /// # Errors
    /// What the viewer did wrong, or that it took longer than `patience`.
    pub async fn accept(&self, stream: Stream, patience: Duration) -> Result<Stream, ListenError> {
        let socket = stream.into_any().downcast::<Socket>().map_err(|_| ListenError::NoSocket)?;
        let acceptor = self.acceptor.load_full();
        match timeout(patience, acceptor.tls_handshake(*socket)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(ListenError::Handshake(error.to_string())),
            Err(_) => Err(ListenError::HandshakeTimeout),
        }
    }
}

impl std::fmt::Debug for Terminator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

// === impl Session ===

impl<'d> Session<'d> {
    /// The facts in a connection's digest.
    pub fn of(digest: &'d SslDigest) -> Self {
        Self {
            server_name: digest.extension.get::<Facts>().and_then(|facts| facts.server_name.as_deref()),
            version: match digest.version.as_ref() {
                "TLSv1_2" => "TLSv1.2",
                "TLSv1_3" => "TLSv1.3",
                other => other,
            },
            cipher: digest.cipher.as_ref(),
            client_certificate: (!digest.cert_digest.is_empty()).then_some(digest.cert_digest.as_slice()),
            peer: digest.extension.get::<Facts>().and_then(|facts| facts.peer.as_ref()),
        }
    }
}

// === impl Peer ===
impl Peer {
    /// `None`: a certificate that rustls took and that cannot be read again, or that ended meanwhile.
    fn read(chain: &[CertificateDer<'_>], authorities: &Authorities) -> Option<Self> {
        let anchor = authorities.of(chain, UnixTime::now())?;
        let der = chain.first()?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let mut names: Vec<String> = common.map(str::to_owned).collect();
        if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
            names.extend(alternative.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        Some(Peer {
            subject: certificate.subject().to_string(),
            names,
            authority: format!("sha256:{}", hex(&sha256(&anchor))),
            anchor,
        })
    }
}

#[async_trait]
impl TlsAccept for Remember {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let server_name = tls.server_name().map(str::to_owned);
        let peer = tls.peer_cert_chain_der().and_then(|chain| Peer::read(chain, &self.authorities));
        Some(Arc::new(Facts { server_name, peer }))
    }
}

fn acceptor(tls: &Tls, h2: bool) -> Result<Acceptor, ListenError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certs = Arc::new(Certs::load(&tls.certificates, &provider, SystemTime::now())?);
    let versions: &[_] = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS12, &TLS13],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let (verifier, authorities) = client_auth::verifier(&tls.client_auth, &provider)?;
    let settings = |error: rustls::Error| ListenError::Settings(error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(settings)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&certs) as _);
    config.alpn_protocols = if h2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    match tls.client_auth {
        ClientAuth::None => config.ticketer = aws_lc_rs::Ticketer::new().map_err(settings)?,
        ClientAuth::Optional { .. } | ClientAuth::Required { .. } => {
            // A resumed session stands for the certificate of its first handshake, which nobody looks at again: it may have ended since.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
    }

    // The only way to an acceptor with a callback is through the settings; what it accepts with is ours.
    let mut outer = TlsSettings::with_callbacks(Box::new(Remember { authorities }))
        .map_err(|error| ListenError::Settings(error.to_string()))?;
    outer.set_cert_resolver(certs);
    let mut acceptor = outer.build();
    acceptor.acceptor = Arc::new(config).into();
    Ok(acceptor)
}

#[cfg(test)]
mod tests;
