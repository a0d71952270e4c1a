//! TLS: decides what an origin's certificate is checked against, and what we show it.
//!
//! In: the paths of a PEM bundle and of a client certificate. Out: both in the connector's own types, and a digest of
//! their bytes. Never: a panic on a bad file: the connector's types panic on what they cannot parse, so it is parsed here first.

use std::path::Path;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use xxhash_rust::xxh3::Xxh3;

use super::OriginError;
use crate::config::compiled::{Certificate, OriginTls};

/// Bytes of one certificate or key file at most.
const FILE_MAX: u64 = 4 << 20;

/// One origin's TLS files, read.
#[derive(Debug, Clone)]
pub struct Material {
    /// Instead of the public roots.
    pub roots: Option<Arc<CaType>>,
    pub client: Option<Arc<CertKey>>,
    /// Changes when any byte of the files does: connections opened under other files are not reused.
    pub digest: u64,
}

// === impl Material ===

impl Material {
    /// Reads the files that `tls` names.
    ///
    /// # Errors
    /// Name the file: unreadable, no certificate or key in it, not parsable, key of an unknown kind.
    pub fn load(tls: &OriginTls) -> Result<Self, OriginError> {
        let mut digest = Xxh3::new();
        let roots = tls.ca.as_deref().map(|file| roots(file, &mut digest)).transpose()?;
        let client = tls.client.as_ref().map(|pair| client(pair, &mut digest)).transpose()?;
        Ok(Material { roots, client, digest: digest.digest() })
    }
}

// === free functions ===

fn roots(file: &Path, digest: &mut Xxh3) -> Result<Arc<CaType>, OriginError> {
    let mut store = RootCertStore::empty();
    let mut roots = Vec::new();
    for der in certificates(file, digest)? {
        store.add(CertificateDer::from(der.as_slice())).map_err(|error| refused(file, &error))?;
        roots.push(WrappedX509::new(der, parse_x509));
    }
    Ok(Arc::from(roots))
}

fn client(pair: &Certificate, digest: &mut Xxh3) -> Result<Arc<CertKey>, OriginError> {
    let chain = certificates(&pair.chain, digest)?;
    let pem = read(&pair.key)?;
    digest.update(&pem);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| refused(&pair.key, &error))?;
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|error| refused(&pair.key, &error))?;
    let der = key.secret_der().to_vec();
    // The connector guesses the key's kind from its bytes again: what it cannot guess is refused now, not at connect.
    PrivateKeyDer::try_from(der.as_slice()).map_err(|error| refused(&pair.key, &error))?;
    Ok(Arc::new(CertKey::new(chain, der)))
}

/// At least one certificate, each parsed once.
fn certificates(file: &Path, digest: &mut Xxh3) -> Result<Vec<Vec<u8>>, OriginError> {
    let pem = read(file)?;
    digest.update(&pem);
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(file, &error))?;
        X509Certificate::from_der(&certificate).map_err(|error| refused(file, &error))?;
        found.push(certificate.to_vec());
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(refused(file, &"it holds no certificate")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, OriginError> {
    let error = |reason: String| OriginError::Read { file: file.to_owned(), reason };
    let size = std::fs::metadata(file).map_err(|e| error(e.to_string()))?.len();
    if size > FILE_MAX {
        return Err(error(format!("{size} bytes; {FILE_MAX} at most")));
    }
    std::fs::read(file).map_err(|e| error(e.to_string()))
}

fn refused(file: &Path, reason: &dyn std::fmt::Display) -> OriginError {
    OriginError::Certificate { file: file.to_owned(), reason: reason.to_string() }
}
