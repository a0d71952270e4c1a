//! Handshakes over real sockets.

use super::super::certs::read_certificates;
use super::super::tests::certificate;
use super::*;
use crate::config::compiled::{Certificate, ClientAuth};
use pingora::protocols::ALPN;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATIENCE: Duration = Duration::from_secs(10);

fn tls(certificates: &[Certificate]) -> Tls {
    Tls { certificates: certificates.to_vec(), client_auth: ClientAuth::None, min_version: TlsVersion::V1_2 }
}

/// A viewer that trusts `roots` and offers what the arguments say.
struct Viewer<'a> {
    roots: &'a [&'a Certificate],
    alpn: &'a [&'a [u8]],
    versions: &'a [&'static rustls::SupportedProtocolVersion],
    certificate: Option<&'a Certificate>,
}

impl Viewer<'_> {
    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for root in self.roots {
            roots.add(leaf(&root.chain)).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.certificate {
            Some(file) => builder
                .with_client_auth_cert(vec![leaf(&file.chain)], PrivateKeyDer::from_pem_file(&file.key).unwrap())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// Asks `terminator` for `name`: both ends, or why the server gave up. A refusal in TLS 1.3 may reach the viewer
    /// with its first read only, so the server writes a byte.
    async fn meet(&self, terminator: &Terminator, name: &str) -> Met {
        meet(Arc::new(self.config()), terminator, name).await
    }
}

type Met = (Result<Stream, ListenError>, std::io::Result<TlsStream<TcpStream>>);

/// The same with a configuration that remembers sessions.
async fn meet(config: Arc<ClientConfig>, terminator: &Terminator, name: &str) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let name = name.to_owned().try_into().unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let server = async {
        let mut stream = terminator.accept(Box::new(Socket::from(accepted)), PATIENCE).await?;
        stream.write_all(b"!").await.unwrap();
        stream.flush().await.unwrap();
        Ok(stream)
    };
    let viewer = async {
        let mut stream = TlsConnector::from(config).connect(name, socket).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    tokio::join!(server, viewer)
}

fn leaf(chain: &Path) -> CertificateDer<'static> {
    read_certificates(chain).unwrap().remove(0)
}

#[tokio::test]
async fn a_handshake_settles_name_version_and_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let two = certificate(dir.path(), "two", &["*.two.example"]);
    let terminator = Terminator::new(&tls(&[one.clone(), two.clone()]), true).unwrap();
    let trusted = [&one, &two];
    for (name, file, alpn, want_alpn, version, want_version) in [
        ("one.example", &one, &[b"h2".as_slice(), b"http/1.1"][..], Some(ALPN::H2), &TLS13, "TLSv1.3"),
        ("a.two.example", &two, &[b"http/1.1".as_slice()][..], Some(ALPN::H1), &TLS12, "TLSv1.2"),
    ] {
        let viewer = Viewer { roots: &trusted, alpn, versions: &[version], certificate: None };
        let (server, client) = viewer.meet(&terminator, name).await;
        let (server, client) = (server.unwrap(), client.unwrap());
        assert_eq!(client.get_ref().1.peer_certificates().unwrap()[0], leaf(&file.chain), "{name}");
        assert_eq!(server.selected_alpn_proto(), want_alpn, "{name}");
        let digest = server.get_ssl_digest().unwrap();
        let session = Session::of(&digest);
        assert_eq!((session.server_name, session.version), (Some(name), want_version));
        assert!(!session.cipher.is_empty());
        assert_eq!(session.client_certificate, None);
    }
}

#[tokio::test]
async fn h2_is_offered_only_where_configured() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let terminator = Terminator::new(&tls(std::slice::from_ref(&one)), false).unwrap();
    let viewer = Viewer { roots: &[&one], alpn: &[b"h2", b"http/1.1"], versions: &[&TLS13], certificate: None };
    let (server, _) = viewer.meet(&terminator, "one.example").await;
    assert_eq!(server.unwrap().selected_alpn_proto(), Some(ALPN::H1));
}

#[tokio::test]
async fn the_minimum_version_holds() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let rule = Tls { min_version: TlsVersion::V1_3, ..tls(std::slice::from_ref(&one)) };
    let terminator = Terminator::new(&rule, true).unwrap();
    for (version, accepted) in [(&TLS12, false), (&TLS13, true)] {
        let viewer = Viewer { roots: &[&one], alpn: &[], versions: &[version], certificate: None };
        let (server, client) = viewer.meet(&terminator, "one.example").await;
        assert_eq!((server.is_ok(), client.is_ok()), (accepted, accepted), "{version:?}");
    }
}

#[tokio::test]
async fn client_certificates_are_asked_for_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let known = certificate(dir.path(), "known", &["known.example"]);
    let stranger = certificate(dir.path(), "stranger", &["stranger.example"]);
    let ca = known.chain.clone();
    for (rule, shown, accepted) in [
        (ClientAuth::None, Some(&known), true),
        (ClientAuth::Optional { ca: ca.clone() }, None, true),
        (ClientAuth::Optional { ca: ca.clone() }, Some(&known), true),
        (ClientAuth::Optional { ca: ca.clone() }, Some(&stranger), false),
        (ClientAuth::Required { ca: ca.clone() }, None, false),
        (ClientAuth::Required { ca: ca.clone() }, Some(&known), true),
        (ClientAuth::Required { ca: ca.clone() }, Some(&stranger), false),
    ] {
        let asked = rule != ClientAuth::None;
        let name = format!("{rule:?} {shown:?}");
        let tls = Tls { client_auth: rule, ..tls(std::slice::from_ref(&one)) };
        let terminator = Terminator::new(&tls, true).unwrap();
        let viewer = Viewer { roots: &[&one], alpn: &[], versions: &[&TLS13], certificate: shown };
        let (server, client) = viewer.meet(&terminator, "one.example").await;
        assert_eq!((server.is_ok(), client.is_ok()), (accepted, accepted), "{name}");
        if let Ok(server) = server {
            let digest = server.get_ssl_digest().unwrap();
            let fingerprint = Session::of(&digest).client_certificate.map(<[u8]>::len);
            let shows = asked && shown.is_some();
            assert_eq!(fingerprint, shows.then_some(32), "{name}");
            let peer = Session::of(&digest).peer.cloned();
            assert_eq!(peer.is_some(), shows, "{name}");
            if let Some(peer) = peer {
                let own = webpki::anchor_from_trusted_cert(&leaf(&known.chain)).unwrap().to_owned();
                assert_eq!(peer.anchor, &*own.subject_public_key_info, "{name}");
                assert_eq!(peer.authority.strip_prefix("sha256:").map(str::len), Some(64), "{name}");
            }
        }
    }
}

/// A resumed session would stand for a certificate that nobody looks at again.
#[tokio::test]
async fn who_showed_a_certificate_shows_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let known = certificate(dir.path(), "known", &["known.example"]);
    let ca = known.chain.clone();
    for (rule, resumed) in [
        (ClientAuth::None, true),
        (ClientAuth::Optional { ca: ca.clone() }, false),
        (ClientAuth::Required { ca }, false),
    ] {
        let name = format!("{rule:?}");
        let terminator = Terminator::new(&Tls { client_auth: rule, ..tls(std::slice::from_ref(&one)) }, true).unwrap();
        for version in [&TLS12, &TLS13] {
            let viewer = Viewer { roots: &[&one], alpn: &[], versions: &[version], certificate: Some(&known) };
            let config = Arc::new(viewer.config());
            for kind in [HandshakeKind::Full, if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full }] {
                let (server, client) = meet(config.clone(), &terminator, "one.example").await;
                server.unwrap();
                assert_eq!(client.unwrap().get_ref().1.handshake_kind(), Some(kind), "{name} {version:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_reload_changes_the_next_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let old = certificate(dir.path(), "old", &["one.example"]);
    let new = certificate(dir.path(), "new", &["one.example"]);
    let terminator = Terminator::new(&tls(std::slice::from_ref(&old)), true).unwrap();
    for file in [&old, &new] {
        terminator.replace(&Terminator::new(&tls(std::slice::from_ref(file)), true).unwrap());
        let viewer = Viewer { roots: &[&old, &new], alpn: &[], versions: &[&TLS13], certificate: None };
        let (_, client) = viewer.meet(&terminator, "one.example").await;
        assert_eq!(client.unwrap().get_ref().1.peer_certificates().unwrap()[0], leaf(&file.chain));
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let one = certificate(dir.path(), "one", &["one.example"]);
    let terminator = Terminator::new(&tls(&[one]), true).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _viewer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let late = terminator.accept(Box::new(Socket::from(accepted)), Duration::from_millis(10)).await;
    assert!(matches!(late, Err(ListenError::HandshakeTimeout)));
    let (other, _) = tokio::io::duplex(1);
    assert!(matches!(terminator.accept(Box::new(other), PATIENCE).await, Err(ListenError::NoSocket)));
}
