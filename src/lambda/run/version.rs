//! Version: one runnable state of a function.
//!
//! In: configuration, or what the API stored. Out: everything a start needs. Never: processes.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::compiled::LambdaRuntime;
use crate::config::secret::Secret;

/// What is started and called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Of the function, without a qualifier.
    pub arn: String,
    pub runtime: LambdaRuntime,
    pub handler: String,
    /// The directory that holds the code.
    pub code: PathBuf,
    /// Base64 of the code's SHA-256: with it, a change of the code is a change of the version.
    pub code_sha256: String,
    /// Instead of the runtime's own command; empty = the runtime's own.
    pub command: Vec<String>,
    /// MB.
    pub memory: u32,
    pub timeout: Duration,
    pub environment: Vec<(String, Secret<String>)>,
}
