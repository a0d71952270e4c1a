//! Access: who may come in.
//!
//! In: a rule, a request as it was sent, now. Out: a [`Principal`], or [`Denied`] with the reason for the log. Never: an answer to
//! the viewer, how often somebody may come (`limit`).

pub mod addresses;
mod authorizer;
mod claims;
pub mod iam;
mod json;
mod judge;
pub mod jwt;
pub mod keys;
mod resource;
pub mod signed;
pub mod sigv4;
mod used;

pub use authorizer::{About, Decision, Memo, Question};
pub use claims::{Claim, Claims};
pub use judge::{Certificate, Entry, Facts, Guards, Verdict, Wait};
pub use used::Used;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// A request, as the rules see it: as sent, before any function or rewrite.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a, F> {
    pub method: &'a str,
    /// With its port, as sent: `Host`, or `:authority`.
    pub host: &'a str,
    /// As sent, not decoded.
    pub path: &'a str,
    /// Without `?`; `Some("")` when the target ends with `?`.
    pub query: Option<&'a str>,
    pub fields: &'a F,
    pub tls: bool,
    /// Behind trusted proxies the one that they name.
    pub viewer: IpAddr,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
}

/// Who asks, once a rule has held. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    pub kind: Kind,
    /// Unique within its kind and issuer: a key's name, `sub`, an access key's ARN, a certificate's subject.
    pub id: Arc<str>,
    /// Who vouches for it: the name of the issuer, signer or authorizer; the fingerprint of a certificate's authority; "" for keys.
    pub issuer: Arc<str>,
    /// A token's claims, an authorizer's context.
    pub claims: Arc<Claims>,
    /// The API key's name, where one was sent or an authorizer gave one.
    pub api_key: Option<Arc<str>>,
}

/// How a principal showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    ApiKey,
    Jwt,
    SigV4,
    Authorizer,
    Certificate,
}

/// Why a rule did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Denied {
    pub reason: Reason,
    /// For the log, never for the viewer; holds no secret.
    pub detail: String,
    pub told: Told,
}

/// Which words the viewer gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Told {
    /// Those of the reason, as a REST API has them.
    #[default]
    Usual,
    /// Those of an HTTP API, which says less.
    Less,
    /// These: about nothing but what the viewer itself has shown.
    Words(String),
}

/// What the viewer may know of it. Each has one status and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No API key where one is wanted.
    ApiKeyMissing,
    /// An API key that is unknown or disabled, or whose plans do not open this stage.
    ApiKey,
    /// No token where one is wanted.
    TokenMissing,
    /// A token that is malformed, expired, of another issuer, or whose signature is wrong.
    TokenInvalid,
    /// A good token without the scope or group.
    TokenScope,
    /// No keys to check a token with.
    TokenKeys,
    /// No signature where one is wanted.
    SignatureMissing,
    /// A signature whose parts cannot be read.
    SignatureIncomplete,
    /// Anything else about a signature: one answer for all, so that nobody learns which keys exist.
    SignatureInvalid,
    /// A good signature, but the key's policy does not allow this.
    PolicyDenies,
    /// No `Key-Pair-Id` in URL or cookies.
    SignedMissing,
    /// A signed URL or cookie that is malformed, expired, altered or for something else.
    SignedInvalid,
    /// A source of identity that the authorizer wants is missing, or the function threw "Unauthorized".
    AuthorizerUnauthorized,
    AuthorizerDenies,
    /// The function's answer allows other resources.
    AuthorizerNotAllowed,
    AuthorizerFailed,
    /// A path that is too long to be asked about.
    AuthorizerTooLong,
    Country,
    Address,
    Certificate,
    /// A rule under `none` held.
    Excluded,
}

// === impl Kind ===
impl Kind {
    /// As functions are told it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ApiKey => "api_key",
            Kind::Jwt => "jwt",
            Kind::SigV4 => "sigv4",
            Kind::Authorizer => "authorizer",
            Kind::Certificate => "certificate",
        }
    }
}

// === impl Principal ===
impl Principal {
    /// Nobody whom claims say anything of.
    pub fn new(kind: Kind, id: impl Into<Arc<str>>, issuer: impl Into<Arc<str>>) -> Self {
        // All of these share them: they are made for every request.
        static CLAIMS: LazyLock<Arc<Claims>> = LazyLock::new(Arc::default);
        Principal { kind, id: id.into(), issuer: issuer.into(), claims: CLAIMS.clone(), api_key: None }
    }

    fn with_claims(self, claims: Arc<Claims>) -> Self {
        Principal { claims, ..self }
    }
}

// === impl Reason ===
impl Reason {
    /// Label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ApiKeyMissing => "api_key_missing",
            Reason::ApiKey => "api_key",
            Reason::TokenMissing => "token_missing",
            Reason::TokenInvalid => "token_invalid",
            Reason::TokenScope => "token_scope",
            Reason::TokenKeys => "token_keys",
            Reason::SignatureMissing => "signature_missing",
            Reason::SignatureIncomplete => "signature_incomplete",
            Reason::SignatureInvalid => "signature_invalid",
            Reason::PolicyDenies => "policy_denies",
            Reason::SignedMissing => "signed_missing",
            Reason::SignedInvalid => "signed_invalid",
            Reason::AuthorizerUnauthorized => "authorizer_unauthorized",
            Reason::AuthorizerDenies => "authorizer_denies",
            Reason::AuthorizerNotAllowed => "authorizer_not_allowed",
            Reason::AuthorizerFailed => "authorizer_failed",
            Reason::AuthorizerTooLong => "authorizer_too_long",
            Reason::Country => "country",
            Reason::Address => "address",
            Reason::Certificate => "certificate",
            Reason::Excluded => "excluded",
        }
    }

    /// Whether it could not be found out if the rule holds.
    pub fn is_unknown(self) -> bool {
        matches!(self, Reason::AuthorizerFailed | Reason::AuthorizerTooLong | Reason::TokenKeys)
    }

    /// Whether nothing was shown at all.
    pub fn is_missing(self) -> bool {
        matches!(
            self,
            Reason::ApiKeyMissing
                | Reason::TokenMissing
                | Reason::SignatureMissing
                | Reason::SignedMissing
                | Reason::Certificate
                | Reason::Address
                | Reason::Country
        )
    }
}

// === impl Denied ===
impl Denied {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Denied { reason, detail: detail.into(), told: Told::Usual }
    }

    pub fn telling(self, told: Told) -> Self {
        Denied { told, ..self }
    }
}
