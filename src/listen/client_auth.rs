//! Client auth: whether a viewer must show a certificate, and whose signature counts.
//!
//! In: the configured rule and its CA file. Out: a verifier for the handshake, and whose signature it was. Never: what the certificate may do.

use super::certs::read_certificates;
use super::error::ListenError;
use crate::config::compiled::ClientAuth;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};

/// The verifier for `rule`: every certificate of the CA file is a root.
///
/// # Errors
/// A CA file that cannot be read or holds no usable root.
pub(super) fn verifier(
    rule: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, Authorities), ListenError> {
    let (ca, required) = match rule {
        ClientAuth::None => {
            let none = Authorities { roots: Arc::new(RootCertStore::empty()), algorithms: &[] };
            return Ok((WebPkiClientVerifier::no_client_auth(), none));
        }
        ClientAuth::Optional { ca } => (ca, false),
        ClientAuth::Required { ca } => (ca, true),
    };
    let unusable = |reason: String| ListenError::ClientAuth { path: ca.clone(), reason };
    let roots = Arc::new(roots(ca)?);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| unusable(error.to_string()))?;
    Ok((verifier, Authorities { roots, algorithms: provider.signature_verification_algorithms.all }))
}

/// Whose signatures count.
pub(super) struct Authorities {
    roots: Arc<RootCertStore>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

// === impl Authorities ===
impl Authorities {
    /// The public key (value of its SubjectPublicKeyInfo) of the authority that the path of a verified certificate ends at: `chain` is that
    /// certificate, then what the viewer sent beside it. rustls finds the path and does not say which, and what a certificate says of its
    /// issuer may be said by another authority too.
    pub fn of(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<Vec<u8>> {
        let (leaf, between) = chain.split_first()?;
        let leaf = EndEntityCert::try_from(leaf).ok()?;
        let usage = KeyUsage::client_auth();
        let path = leaf.verify_for_usage(self.algorithms, &self.roots.roots, between, now, usage, None, None).ok()?;
        Some(path.anchor().subject_public_key_info.to_vec())
    }
}

fn roots(ca: &Path) -> Result<RootCertStore, ListenError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| ListenError::ClientAuth { path: ca.to_owned(), reason: error.to_string() })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::super::tests::certificate;
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;

    #[test]
    fn rules_become_verifiers() {
        let dir = tempfile::tempdir().unwrap();
        let ca = certificate(dir.path(), "ca", &["ca.example"]).chain;
        for (rule, offers, demands) in [
            (ClientAuth::None, false, false),
            (ClientAuth::Optional { ca: ca.clone() }, true, false),
            (ClientAuth::Required { ca }, true, true),
        ] {
            let (verifier, _) = verifier(&rule, &Arc::new(default_provider())).unwrap();
            assert_eq!(verifier.offer_client_auth(), offers, "{rule:?}");
            assert_eq!(offers && verifier.client_auth_mandatory(), demands, "{rule:?}");
        }
    }

    #[test]
    fn a_ca_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = certificate(dir.path(), "ca", &["ca.example"]).key;
        let error = verifier(&ClientAuth::Required { ca: key }, &Arc::new(default_provider())).err().unwrap();
        assert!(error.to_string().contains("ca.key: holds no certificate"), "{error}");
    }
}
