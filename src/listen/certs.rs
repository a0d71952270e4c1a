//! Certs: which certificate a viewer is shown.
//!
//! In: chain and key files, the name a viewer asks for. Out: a certificate whose key fits. Never: the network, names
//! that no certificate carries.

use super::error::ListenError;
use crate::config::compiled::Certificate;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The certificates of one listener by the DNS names they carry. Never changes: a reload makes a new one.
#[derive(Debug)]
pub struct Certs {
    /// Names without wildcard, lower case.
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// What follows `*.`, lower case.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// The first configured: for viewers that name no known host.
    default: Arc<CertifiedKey>,
}

/// What is read from one certificate besides its key.
struct Leaf {
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

// === impl Certs ===

impl Certs {
    /// Reads every file. Where two certificates carry one name, the first keeps it.
    ///
    /// A certificate that is expired or not yet valid at `now` is used, with a warning in the log: showing it tells the
    /// viewer more than a refused connection.
    ///
    /// # Errors
    /// The first file that cannot be read or used, or key that does not fit its certificate.
    pub fn load(files: &[Certificate], provider: &CryptoProvider, now: SystemTime) -> Result<Self, ListenError> {
        let mut exact = HashMap::new();
        let mut wildcard = HashMap::new();
        let mut default = None;
        for file in files {
            let (key, leaf) = load_one(file, provider)?;
            if let Some(problem) = leaf.problem(now) {
                log::warn!("{}: the certificate is {problem}", file.chain.display());
            }
            let key = Arc::new(key);
            default.get_or_insert_with(|| Arc::clone(&key));
            for name in leaf.names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_insert_with(|| Arc::clone(&key)),
                    None => exact.entry(name).or_insert_with(|| Arc::clone(&key)),
                };
            }
        }
        Ok(Self { exact, wildcard, default: default.ok_or(ListenError::NoCertificate)? })
    }

    /// The certificate for `name`: exact, then one wildcard label (RFC 9525 §6.3), then the default.
    pub fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name else { return &self.default };
        let name = name.to_ascii_lowercase();
        let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(&name).or_else(parent).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name())))
    }
}

// === impl Leaf ===

impl Leaf {
    fn problem(&self, now: SystemTime) -> Option<&'static str> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        match (now < self.not_before, now > self.not_after) {
            (true, _) => Some("not valid yet"),
            (_, true) => Some("expired"),
            (false, false) => None,
        }
    }
}

fn load_one(file: &Certificate, provider: &CryptoProvider) -> Result<(CertifiedKey, Leaf), ListenError> {
    let chain = read_certificates(&file.chain)?;
    let leaf = read_leaf(&file.chain, &chain)?;
    let pem = read(&file.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound => ListenError::Missing { path: file.key.clone(), what: "private key" },
        error => ListenError::Pem { path: file.key.clone(), reason: error.to_string() },
    })?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|source| ListenError::Key {
        chain: file.chain.clone(),
        key: file.key.clone(),
        source,
    })?;
    Ok((certified, leaf))
}

/// Every certificate of a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ListenError::Pem { path: path.to_owned(), reason: error.to_string() })?;
    if certificates.is_empty() {
        return Err(ListenError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, ListenError> {
    std::fs::read(path).map_err(|source| ListenError::Read { path: path.to_owned(), source })
}

fn read_leaf(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Leaf, ListenError> {
    let unusable = |reason: String| ListenError::Certificate { path: path.to_owned(), reason };
    let der = chain.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
    let (_, leaf) = X509Certificate::from_der(der).map_err(|error| unusable(error.to_string()))?;
    let alternatives = leaf.subject_alternative_name().map_err(|error| unusable(error.to_string()))?;
    let names =
        alternatives.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
    Ok(Leaf {
        names: names.collect(),
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::certificate;
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;
    use std::time::Duration;

    fn load(files: &[Certificate]) -> Result<Certs, ListenError> {
        Certs::load(files, &default_provider(), SystemTime::now())
    }

    #[test]
    fn names_choose_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            certificate(dir.path(), "first", &["one.example", "Shared.example"]),
            certificate(dir.path(), "second", &["*.example", "shared.example"]),
            certificate(dir.path(), "third", &["deep.two.example", "*.two.example"]),
        ];
        let certs = load(&files).unwrap();
        let leaves: Vec<_> = files.iter().map(|file| read_certificates(&file.chain).unwrap().remove(0)).collect();
        for (asked, want) in [
            (None, 0),
            (Some("one.example"), 0),
            (Some("ONE.Example"), 0),
            (Some("shared.example"), 0),
            (Some("two.example"), 1),
            (Some("deep.two.example"), 2),
            (Some("other.two.example"), 2),
            (Some("a.other.two.example"), 0),
            (Some("example"), 0),
            (Some("elsewhere.test"), 0),
        ] {
            assert_eq!(certs.find(asked).cert[0], leaves[want], "{asked:?}");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let good = certificate(dir.path(), "good", &["a.example"]);
        let other = certificate(dir.path(), "other", &["a.example"]);
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let broken = dir.path().join("broken.pem");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        let absent = dir.path().join("absent.pem");
        let pair = |chain: &Path, key: &Path| Certificate { chain: chain.to_owned(), key: key.to_owned() };
        for (file, want) in [
            (pair(&absent, &good.key), "absent.pem: No such file"),
            (pair(&empty, &good.key), "empty.pem: holds no certificate"),
            (pair(&good.key, &good.key), "good.key: holds no certificate"),
            (pair(&broken, &good.key), "broken.pem: not PEM"),
            (pair(&good.chain, &empty), "empty.pem: holds no private key"),
            (pair(&good.chain, &good.chain), "good.pem: holds no private key"),
            (pair(&good.chain, &other.key), "other.key: does not belong to the certificate in"),
        ] {
            let error = load(&[file]).unwrap_err().to_string();
            assert!(error.contains(want), "{error:?} does not say {want:?}");
        }
        assert!(matches!(load(&[]), Err(ListenError::NoCertificate)));
    }

    #[test]
    fn validity_is_judged_by_the_clock_given() {
        let leaf = Leaf { names: Vec::new(), not_before: 100, not_after: 200 };
        for (now, want) in [(99, Some("not valid yet")), (100, None), (200, None), (201, Some("expired"))] {
            assert_eq!(leaf.problem(UNIX_EPOCH + Duration::from_secs(now)), want, "{now}");
        }
    }
}
