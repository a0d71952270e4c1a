//! Pull: one image out of its registry.
//!
//! In: an image, a login. Out: its manifest and its component, both verified. Never: a password to another host than the registry and the place
//! that it names for tokens, plain HTTP but to this machine, more bytes than were announced.
//!
//! Source: the OCI distribution specification 1.1, "Pulling manifests" and "Pulling blobs".

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::challenge::{self, Challenge};
use crate::config::compiled::{FetchGrant, FetchHost};
use crate::config::image::{ImageError, MANIFEST_MAX, Wanted};
use crate::hooks::host::HostError;
use crate::hooks::host::fetch::{Fetcher, Incoming, Outgoing, Share};

/// Manifests of images; both are JSON of the same shape.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Registries keep blobs elsewhere, and say where.
const REDIRECTS_MAX: usize = 4;
/// Bytes of an answer that brings a token.
const TOKEN_MAX: usize = 64 << 10;

/// Why an image is not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    #[error("{0}")]
    Failed(String),
    #[error("the registry does not have it")]
    NotFound,
    #[error("the registry wants to know who asks (status {0})")]
    Denied(u16),
    #[error("the registry answers with status {0}")]
    Status(u16),
    #[error("the registry leads to {0}, which is plain HTTP")]
    Plain(String),
    #[error("the registry leads from place to place")]
    Loop,
    #[error("no token: {0}")]
    Token(String),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("it took longer than {0:?}")]
    Slow(Duration),
    #[error("{0}")]
    Disk(String),
}

/// A row of requests for one image.
struct Session<'f> {
    fetch: Share,
    wanted: &'f Wanted,
    authorization: Option<String>,
    until: Instant,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// The manifest and the component, both what their digests say.
pub async fn pull(fetcher: &Fetcher, wanted: &Wanted, within: Duration) -> Result<[Bytes; 2], PullError> {
    let mut session = Session { fetch: fetcher.share(), wanted, authorization: None, until: Instant::now() + within };
    let image = &wanted.image;
    let manifest = session.get(&format!("manifests/sha256:{}", image.digest), MANIFESTS, MANIFEST_MAX).await?;
    let layer = image.layer(&manifest)?;
    let component = session.get(&format!("blobs/sha256:{}", layer.digest), "*/*", layer.size).await?;
    match layer.is(&component) {
        true => Ok([manifest, component]),
        false => Err(ImageError::Component.into()),
    }
}

// === impl Session ===
impl Session<'_> {
    /// What the repository has at `path`, of at most `most` bytes.
    async fn get(&mut self, path: &str, accept: &str, most: u64) -> Result<Bytes, PullError> {
        let image = &self.wanted.image;
        // Docker's registry has another name than its images.
        let host = if image.host == "docker.io" { "registry-1.docker.io" } else { &image.host };
        let scheme = if is_here(host) { "http" } else { "https" };
        let url = format!("{scheme}://{host}/v2/{}/{path}", image.repository);
        let mut answer = self.ask(&url, accept, self.authorization.as_deref(), most).await?;
        if answer.status == 401 && self.authorization.is_none() {
            self.authorization = Some(self.authorize(&answer).await?);
            answer = self.ask(&url, accept, self.authorization.as_deref(), most).await?;
        }
        let mut from = url;
        for _ in 0..REDIRECTS_MAX {
            match answer.status {
                200 => return Ok(answer.body),
                301 | 302 | 303 | 307 | 308 => {
                    from = followed(&from, field(&answer, &LOCATION).unwrap_or_default())?;
                    // What lets in at the registry is nothing for others.
                    answer = self.ask(&from, accept, None, most).await?;
                }
                404 => return Err(PullError::NotFound),
                status @ (401 | 403) => return Err(PullError::Denied(status)),
                status => return Err(PullError::Status(status)),
            }
        }
        Err(PullError::Loop)
    }

    /// What to send so that the registry answers.
    async fn authorize(&self, refused: &Incoming) -> Result<String, PullError> {
        let scope = format!("repository:{}:pull", self.wanted.image.repository);
        let basic = self.wanted.login.as_ref().map(|(user, password)| {
            let text = format!("{user}:{}", password.expose());
            format!("Basic {}", STANDARD.encode(text))
        });
        let fields = refused.headers.iter().filter(|(name, _)| *name == WWW_AUTHENTICATE);
        let mut challenges = fields.filter_map(|(_, value)| challenge::parse(value.to_str().ok()?, &scope));
        match challenges.next() {
            Some(Challenge::Bearer { url }) => {
                self.encrypted(&url)?;
                let answer = self.ask(&url, "application/json", basic.as_deref(), TOKEN_MAX as u64).await?;
                match answer.status {
                    200 => {}
                    status @ (401 | 403) => return Err(PullError::Denied(status)),
                    status => return Err(PullError::Token(format!("{url} answers with status {status}"))),
                }
                let token: Token = serde_json::from_slice(&answer.body)
                    .map_err(|error| PullError::Token(format!("{url} answers with something else: {error}")))?;
                Ok(format!("Bearer {}", token.token))
            }
            Some(Challenge::Basic) => basic.ok_or(PullError::Denied(401)),
            None => Err(PullError::Denied(401)),
        }
    }

    /// A registry of this machine may name a place of this machine, and no other may.
    fn encrypted(&self, url: &str) -> Result<(), PullError> {
        let here = |url: &str| url.parse::<Uri>().is_ok_and(|url| is_here(url.authority().map_or("", |a| a.as_str())));
        match url.starts_with("https://") || (here(url) && is_here(&self.wanted.image.host)) {
            true => Ok(()),
            false => Err(PullError::Plain(url.to_owned())),
        }
    }

    async fn ask(
        &self,
        url: &str,
        accept: &str,
        authorization: Option<&str>,
        most: u64,
    ) -> Result<Incoming, PullError> {
        self.encrypted(url)?;
        let uri: Uri = url.parse().map_err(|_| PullError::Failed(format!("{url:?} is no URL")))?;
        // The operator names the registry, wherever it is, and it names the rest.
        let allow = |port| FetchHost { pattern: "*".to_owned(), port };
        let everywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(|net| net.parse().ok());
        let left = self.until.saturating_duration_since(Instant::now());
        let grant = FetchGrant {
            allow: vec![allow(None), allow(uri.port_u16())],
            private: everywhere.collect(),
            timeout: left,
            requests: 1,
            body: usize::try_from(most).unwrap_or(usize::MAX),
        };
        let mut headers = vec![(ACCEPT.to_string(), accept.as_bytes().to_vec())];
        headers.extend(authorization.map(|text| (AUTHORIZATION.to_string(), text.as_bytes().to_vec())));
        let outgoing = Outgoing { method: "GET".to_owned(), url: url.to_owned(), headers, ..Outgoing::default() };
        let answer = self.fetch.send(&grant, outgoing, self.until).await;
        answer.map_err(|error| match error {
            HostError::Denied(why)
            | HostError::Invalid(why)
            | HostError::Timeout(why)
            | HostError::TooLarge(why)
            | HostError::Failed(why) => PullError::Failed(why),
        })
    }
}

// === impl PullError ===
impl PullError {
    /// What to do about it.
    pub fn help(&self, wanted: &Wanted) -> Option<String> {
        let host = &wanted.image.host;
        match self {
            PullError::Denied(_) if wanted.login.is_some() => {
                Some(format!("user name and password in [[registry]] of \"{host}\" are not taken for this repository"))
            }
            PullError::Denied(_) => {
                Some(format!("write [[registry]] with host = \"{host}\", username and password = \"env:NAME\""))
            }
            _ => None,
        }
    }
}

fn field<'a>(answer: &'a Incoming, name: &http::HeaderName) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str().ok())
}

/// Whether an authority is this machine by its address or by the name that always means it.
fn is_here(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Where an answer at `from` leads.
fn followed(from: &str, location: &str) -> Result<String, PullError> {
    if location.starts_with("https://") || location.starts_with("http://") {
        return Ok(location.to_owned());
    }
    let origin = from.parse::<Uri>().ok().and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
    match origin {
        Some(origin) if location.starts_with('/') && !location.starts_with("//") => Ok(format!("{origin}{location}")),
        _ => Err(PullError::Failed(format!("the registry leads to {location:?}, which is no place"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_others() {
        for (authority, want) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]", true),
            ("10.0.0.1", false),
            ("localhost.test", false),
            ("127.0.0.1.test", false),
            ("", false),
        ] {
            assert_eq!(is_here(authority), want, "{authority}");
        }
    }

    #[test]
    fn where_an_answer_leads() {
        for (location, want) in [
            ("https://b.test/x?y", Some("https://b.test/x?y")),
            ("http://b.test/x", Some("http://b.test/x")),
            ("/x", Some("https://a.test:5/x")),
            ("//b.test/x", None),
            ("x", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(followed("https://a.test:5/v2/", location).ok().as_deref(), want, "{location}");
        }
    }
}
