//! Error: why functions could not be loaded.
//!
//! In: what is wrong, where its cause is written. Out: the reason, at its place in the configuration. Never: a function.

use crate::config::compiled::{self, Config};
use crate::config::{At, Diagnostic};
use crate::hooks::host::kv::KvError;

/// Why functions could not be loaded, with the function's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("{0}")]
    Engine(String),
    #[error("{0}")]
    Access(String),
    /// At the place that names what cannot be used.
    #[error("{0}")]
    Placed(Box<Diagnostic>),
    #[error("key-value stores: {0}")]
    Stores(#[from] KvError),
}

// === impl LoadError ===
impl LoadError {
    /// About what is written at `at`.
    pub fn at(config: &Config, at: &At, message: String) -> Self {
        LoadError::Placed(Box::new(config.texts.find(at, message, None)))
    }

    /// About the file of what is written at `at`.
    pub(super) fn file(config: &Config, at: &At, spec: &compiled::Function, reason: &str) -> Self {
        let file = spec.file.display().to_string();
        // Some errors name the file themselves.
        let reason = reason.strip_prefix(&format!("{file}: ")).unwrap_or(reason);
        LoadError::at(config, &at.key("file"), format!("function '{}' ({file}): {reason}", spec.name))
    }

    pub(super) fn database(database: &compiled::Database, message: String) -> Self {
        LoadError::Placed(Box::new(Diagnostic { message, ..database.place.clone() }))
    }
}
