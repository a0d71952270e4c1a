//! Origin: where a request goes, as functions see it and change it.
//!
//! In: the origin in force; a patch of it. Out: what a function is shown, what it meant. Never: the value of a secret.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::OriginPatch;
use crate::config::compiled::Signing;

/// The origin in force, as a function sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub path: String,
    pub read_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Sensitive values are secrets: functions are shown nothing of them, and keep them with the name and an empty value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Requests to it carry a signature (SigV4).
    pub signed: bool,
}

// === impl Origin ===
impl Origin {
    /// What a function sees of the origin after a change of it; of another origin of the configuration only its name is known here.
    pub(super) fn patch(&mut self, patch: &OriginPatch) {
        if let Some(name) = &patch.base {
            self.name.clone_from(name);
        }
        if let Some(host) = &patch.host {
            self.host.clone_from(host);
        }
        if let Some(path) = &patch.path {
            self.path.clone_from(path);
        }
        match (&patch.headers, &patch.base) {
            (Some(headers), _) => self.headers.clone_from(headers),
            (None, Some(_)) => self.headers.clear(),
            (None, None) => {}
        }
        self.port = patch.port.unwrap_or(self.port);
        self.tls = patch.tls.unwrap_or(self.tls);
        self.read_timeout = patch.read_timeout.unwrap_or(self.read_timeout);
        self.signed = Signing::holds(patch.signing().as_ref(), self.signed && patch.base.is_none());
    }

    /// Its own fields as functions see them: of a secret, the name.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), shown(value)))
    }

    /// The fields that a function means by `said`: a secret that comes back as it was shown stays what it is.
    pub fn meant(&self, said: Vec<(HeaderName, HeaderValue)>) -> Vec<(HeaderName, HeaderValue)> {
        let mut secrets: Vec<_> = self.headers.iter().filter(|(_, value)| value.is_sensitive()).collect();
        let meant = said.into_iter().map(|(name, value)| {
            let kept = secrets.iter().position(|(own, _)| value.is_empty() && *own == name);
            kept.map_or((name, value), |at| secrets.remove(at).clone())
        });
        meant.collect()
    }
}

/// What a function sees of an origin's own field: of a secret, nothing.
pub fn shown(value: &HeaderValue) -> &[u8] {
    if value.is_sensitive() { &[] } else { value.as_bytes() }
}
