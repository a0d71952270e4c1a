//! Algorithm: the ways of signing that are known.
//!
//! In: a name. Out: the algorithm, or none. Never: a shared secret's (HS256), "none".

/// The algorithms of JWA (RFC 7518 §3.1, RFC 8037 §3.1), and CloudFront's own for signed URLs: both with SHA-1, which nothing
/// else should use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-1.
    RsaSha1,
    /// ECDSA with P-256 and SHA-1; DER signatures only.
    EcdsaSha1,
}

/// How an ECDSA signature is written. Other algorithms have one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Two numbers of fixed length (RFC 7518 §3.4).
    Fixed,
    /// A DER SEQUENCE of two (RFC 3279 §2.2.3).
    Der,
    /// Whichever of the two it is.
    Either,
}

// === impl Algorithm ===
impl Algorithm {
    /// Those that a caller may name.
    const NAMED: [Algorithm; 10] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::RsaSha1,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];

    /// By its name: RS256, RS384, RS512, PS256, PS384, PS512, RSA-SHA1, ES256, ES384 or EdDSA. Case matters (RFC 7515 §4.1.1).
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|one| one.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::RsaSha1 => "RSA-SHA1",
            Algorithm::EcdsaSha1 => "ECDSA-SHA1",
        }
    }
}
