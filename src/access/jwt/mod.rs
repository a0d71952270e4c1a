//! Jwt: tokens that an issuer signed: Cognito user pools, any OpenID Connect issuer.
//!
//! In: an issuer, a rule, a request. Out: the principal that the token names, or why not. Never: a token whose signature was not
//! verified, an algorithm that the issuer's configuration does not list, a request that waits while good keys are held.

mod claims;
mod fetch;
mod find;
mod jwks;
mod keys;
mod registry;
mod seen;
mod token;
mod verifier;

pub use fetch::Fetcher;
pub(super) use find::is_named;
pub use jwks::UNKNOWN_INTERVAL;
pub use keys::{KEYS_MAX, KeySet, SET_MAX, SetError, Verdict};
pub use registry::{IssuerError, Registry};
pub use seen::SEEN_TTL;
pub use token::{HEADER_MAX, Header, KID_MAX, Malformed, Parsed, TOKEN_MAX};
pub use verifier::{Fetch, Now, Verifier};

#[cfg(test)]
mod tests;
