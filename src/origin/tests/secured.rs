//! TLS to an origin: what is verified, and what a bad file says.

use super::*;
use crate::config::compiled::Certificate;
use crate::origin::{OriginError, Origins, Pick};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::{Path, PathBuf};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// An HTTPS origin whose certificate names `origin.test`; asks for a client certificate when told to.
async fn secured(ca: &Authority, wants_client: bool) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["origin.test".to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match wants_client {
        true => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        ),
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_ok_and(|size| size > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    drop(stream.write_all(answer).await);
                }
            });
        }
    });
    address
}

/// The status of one request, or why there is none.
async fn ask(connector: &Connector, port: u16, tls: OriginTls) -> Result<u16, String> {
    let config = [origin("o", HttpOrigin { tls, ..http(vec![Target { tls: true, ..target("127.0.0.1", port) }]) })];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).map_err(|error| error.to_string())?;
    let picked = origins.pick(0, &Pick::default()).await.map_err(|error| error.to_string())?;
    let (mut session, _) = connector.get_http_session(&*picked.peer).await.map_err(|error| error.to_string())?;
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    request.insert_header("host", picked.host).unwrap();
    session.write_request_header(Box::new(request)).await.map_err(|error| error.to_string())?;
    session.read_response_header().await.map_err(|error| error.to_string())?;
    Ok(session.response_header().unwrap().status.as_u16())
}

#[tokio::test]
async fn the_origins_certificate_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (authority(), authority());
    let right = write(dir.path(), "right.pem", &ours.pem());
    let wrong = write(dir.path(), "wrong.pem", &other.pem());
    let port = secured(&ours, false).await.port();
    let connector = Connector::new(None);
    let named = Some("origin.test".to_owned());
    for (name, verify, sni, ca, want) in [
        ("its root and its name", true, named.clone(), Some(&right), true),
        ("another root", true, named.clone(), Some(&wrong), false),
        ("the public roots", true, named.clone(), None, false),
        ("another name", true, Some("other.test".to_owned()), Some(&right), false),
        ("no name: the address is what is verified", true, None, Some(&right), false),
        ("verification off", false, named.clone(), Some(&wrong), true),
    ] {
        let tls = OriginTls { verify, sni, ca: ca.cloned(), client: None };
        let got = ask(&connector, port, tls).await;
        assert_eq!(got.is_ok(), want, "{name}: {got:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let ca = authority();
    let port = secured(&ca, true).await.port();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["edge.test".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let client = Certificate {
        chain: write(dir.path(), "chain.pem", &cert.pem()),
        key: write(dir.path(), "key.pem", &key.serialize_pem()),
    };
    let roots = write(dir.path(), "ca.pem", &ca.pem());
    let tls = |client| OriginTls { verify: true, sni: Some("origin.test".into()), ca: Some(roots.clone()), client };
    let connector = Connector::new(None);
    assert_eq!(ask(&connector, port, tls(Some(client))).await, Ok(200));
    assert!(ask(&connector, port, tls(None)).await.is_err());
}

#[test]
fn a_bad_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), "good.pem", &authority().pem());
    let key = write(dir.path(), "key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let empty = write(dir.path(), "empty.pem", "");
    let broken = write(dir.path(), "broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let missing = dir.path().join("missing.pem");
    let pair = |chain: &PathBuf, key: &PathBuf| Some(Certificate { chain: chain.clone(), key: key.clone() });
    for (name, ca, client, bad) in [
        ("no such file", Some(&missing), None, &missing),
        ("no certificate", Some(&empty), None, &empty),
        ("not a certificate", Some(&broken), None, &broken),
        ("a key as certificate", Some(&key), None, &key),
        ("a certificate as key", None, pair(&good, &good), &good),
        ("no key", None, pair(&good, &missing), &missing),
        ("not a chain", None, pair(&broken, &key), &broken),
    ] {
        let tls = OriginTls { verify: true, sni: None, ca: ca.cloned(), client };
        let config = [origin("o", HttpOrigin { tls, ..http(vec![target("127.0.0.1", 1)]) })];
        match Origins::new(&config, &no_endpoints, None, &Arc::default()) {
            Err(OriginError::Read { file, .. } | OriginError::Certificate { file, .. }) => {
                assert_eq!(&file, bad, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
