//! Settings: what holds for every environment.
//!
//! In: the configuration. Out: plain data. Never: one function's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::compiled::{LambdaLimits, LocalLambda};
use crate::config::secret::Secret;

/// Where programs are looked for when this process does not know.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub region: String,
    pub account: String,
    pub path: String,
    pub python: String,
    pub node: String,
    pub endpoints: Vec<(String, String)>,
    /// As variables.
    pub credentials: Vec<(String, Secret<String>)>,
    pub freeze: bool,
    pub idle: Duration,
    pub limits: LambdaLimits,
    /// Where our own runtime clients lie, and the one for Node.
    pub runtime_dir: PathBuf,
    pub node_client: PathBuf,
    /// Where environments have their directories.
    pub homes: PathBuf,
}

// === impl Settings ===
impl Settings {
    /// `dir` is the room's own directory.
    pub(crate) fn new(spec: &LocalLambda, dir: &Path) -> Self {
        // Made up, so that SDKs sign at all: what checks signatures on this machine says whose it takes.
        let made_up = || ("local".to_owned(), "local".to_owned(), Some("local".to_owned()));
        let (access, secret, token) = spec.credentials.as_ref().map_or_else(made_up, |own| {
            let token = own.session_token.as_ref().map(|token| token.expose().clone());
            (own.access_key.expose().clone(), own.secret_key.expose().clone(), token)
        });
        let mut credentials = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), Secret::new(access)),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), Secret::new(secret)),
        ];
        credentials.extend(token.map(|token| ("AWS_SESSION_TOKEN".to_owned(), Secret::new(token))));
        let runtime_dir = dir.join("runtime");
        Settings {
            region: spec.region.clone(),
            account: spec.account.clone(),
            path: std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned()),
            python: spec.python.clone(),
            node: spec.node.clone(),
            endpoints: spec.endpoints.clone(),
            credentials,
            freeze: spec.freeze,
            idle: spec.idle,
            limits: spec.limits,
            node_client: runtime_dir.join("client.mjs"),
            runtime_dir,
            homes: dir.join("homes"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings {
            region: "eu-west-1".into(),
            account: "000000000000".into(),
            path: "/bin:/usr/bin".into(),
            python: "python3".into(),
            node: "node".into(),
            endpoints: vec![("dynamodb".into(), "http://127.0.0.1:8000".into())],
            credentials: vec![("AWS_ACCESS_KEY_ID".into(), Secret::new("local".into()))],
            freeze: true,
            idle: Duration::from_secs(600),
            limits: limits(),
            runtime_dir: "/runtime".into(),
            node_client: "/runtime/client.mjs".into(),
            homes: "/homes".into(),
        }
    }

    pub(crate) fn limits() -> LambdaLimits {
        LambdaLimits {
            timeout: Duration::from_secs(900),
            memory: 10_240,
            init: Duration::from_secs(10),
            payload: 6 << 20,
            event: 1 << 20,
            stream: 200 << 20,
            package: 50 << 20,
            unpacked: 250 << 20,
            queue: 100_000,
            queue_size: 1 << 30,
        }
    }
}
