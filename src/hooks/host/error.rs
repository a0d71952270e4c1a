//! Host error: what can go wrong with something that the host does for a function.

/// The `host-error` of functions/wit/edge.wit: the words are for the function's author, and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not among what was granted: this store, secret, host or address.
    #[error("denied: {0}")]
    Denied(String),
    /// The request for it cannot be understood.
    #[error("invalid: {0}")]
    Invalid(String),
    /// It took longer than allowed.
    #[error("timeout: {0}")]
    Timeout(String),
    /// Larger than the bound.
    #[error("too large: {0}")]
    TooLarge(String),
    #[error("failed: {0}")]
    Failed(String),
}
