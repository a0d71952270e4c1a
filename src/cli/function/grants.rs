//! Grants: what a function may reach when it is run here.
//!
//! In: options. Out: grants as the configuration gives them, and the stores that they name. Never: more than was asked for; what is
//! missing fails as it does on a PoP.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::FnError;
use crate::config::compiled::{FetchGrant, FetchHost, Grants, KvBounds, KvGrant, KvStore};
use crate::config::secret::Secret;

/// As `[function.grants.fetch]` has them by default.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const FETCH_REQUESTS: u32 = 10;
const FETCH_BODY: usize = 1 << 20;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What it may reach")]
pub struct Granted {
    /// A key and value of its configuration, or environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub config: Vec<(String, String)>,
    /// A secret: NAME=VALUE, NAME=env:VARIABLE or NAME=file:PATH
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub secret: Vec<(String, String)>,
    /// A key-value store that it may read and write, empty or with what a file in CloudFront's import format has
    #[arg(long, value_name = "STORE[=FILE]")]
    pub kv: Vec<String>,
    /// A host it may ask: api.example.com, *.example.com or *, with :PORT where it is not 80 or 443
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub fetch: Vec<FetchHost>,
    /// A network that it may reach although it is private or loopback, like 127.0.0.0/8
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub fetch_private: Vec<IpNet>,
    /// A MaxMind database that addresses are looked up in
    #[arg(long, value_name = "FILE")]
    pub geo: Vec<PathBuf>,
}

// === impl Granted ===
impl Granted {
    /// The grants, and the stores they name.
    pub fn compile(&self) -> Result<(Grants, Vec<KvStore>), FnError> {
        let secrets = self.secret.iter().map(|(name, value)| Ok((name.clone(), Secret::new(secret(value)?))));
        let mut kv = Vec::new();
        let mut stores = Vec::new();
        for text in &self.kv {
            let (store, import) = match text.split_once('=') {
                Some((store, file)) => (store, Some(PathBuf::from(file))),
                None => (text.as_str(), None),
            };
            kv.push(KvGrant { store: store.to_owned(), write: true });
            stores.push(KvStore { name: store.to_owned(), import, bounds: KvBounds::EXTENDED });
        }
        let grants = Grants {
            config: self.config.clone(),
            secrets: secrets.collect::<Result<_, FnError>>()?,
            kv,
            geo: !self.geo.is_empty(),
            // The clock of a test stands still.
            clock: false,
            fetch: (!self.fetch.is_empty()).then(|| FetchGrant {
                allow: self.fetch.clone(),
                private: self.fetch_private.clone(),
                timeout: FETCH_TIMEOUT,
                requests: FETCH_REQUESTS,
                body: FETCH_BODY,
            }),
        };
        Ok((grants, stores))
    }
}

fn secret(value: &str) -> Result<Vec<u8>, FnError> {
    if let Some(name) = value.strip_prefix("env:") {
        let value =
            std::env::var(name).map_err(|error| FnError::Usage(format!("environment variable {name}: {error}")))?;
        return Ok(value.into_bytes());
    }
    match value.strip_prefix("file:") {
        Some(path) => {
            let text = std::fs::read(path).map_err(|source| FnError::Read { path: path.into(), source })?;
            Ok(text.trim_ascii_end().to_vec())
        }
        None => Ok(value.as_bytes().to_vec()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn host(text: &str) -> Result<FetchHost, String> {
    let wrong = || "like api.example.com, *.example.com, * or api.test:8080".to_owned();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let stem = name.strip_prefix("*.").unwrap_or(name);
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let valid = name == "*" || !stem.is_empty() && stem.bytes().all(letters);
    valid.then(|| FetchHost { pattern: name.to_ascii_lowercase(), port }).ok_or_else(wrong)
}

fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| "a network is like 127.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_pairs() {
        for (text, want) in [
            ("api.example", Some(("api.example", None))),
            ("API.example:8080", Some(("api.example", Some(8080)))),
            ("*", Some(("*", None))),
            ("*.example", Some(("*.example", None))),
            ("https://a", None),
            ("a:port", None),
            ("", None),
        ] {
            let got = host(text).ok();
            assert_eq!(got.as_ref().map(|host| (host.pattern.as_str(), host.port)), want, "{text}");
        }
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }

    #[test]
    fn only_what_was_asked_for_is_granted() {
        let (grants, stores) = Granted::default().compile().unwrap();
        assert!(grants.kv.is_empty() && grants.fetch.is_none() && !grants.geo && !grants.clock && stores.is_empty());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let asked = Granted {
            secret: vec![("a".into(), "plain".into()), ("b".into(), format!("file:{}", file.path().display()))],
            kv: vec!["flags=flags.json".into(), "empty".into()],
            fetch: vec![host("api.example").unwrap()],
            ..Granted::default()
        };
        let (grants, stores) = asked.compile().unwrap();
        assert_eq!(grants.secrets[0].1.expose(), b"plain");
        assert_eq!(grants.secrets[1].1.expose(), b"s3cret");
        assert_eq!(stores[0].import.as_deref(), Some(std::path::Path::new("flags.json")));
        assert_eq!((stores[1].name.as_str(), &stores[1].import), ("empty", &None));
        assert!(grants.fetch.is_some());
        let missing = Granted { secret: vec![("a".into(), "env:RIMWARD_NO_SUCH".into())], ..Granted::default() };
        assert_eq!(missing.compile().unwrap_err().exit_code(), 2);
    }
}
