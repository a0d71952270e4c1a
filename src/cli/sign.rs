//! Sign: URLs and cookies of CloudFront's kind, made with a private key.
//!
//! In: a URL or pattern, a key, until when. Out: the URL, or cookies, on standard output. Never: a signature that the public half
//! of the key does not verify.

mod key;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use http::{HeaderMap, Uri};
use ipnet::IpNet;
use serde_json::Value;

use super::admin::Colour;
use super::function::time::Moment;
use crate::access::Asked;
use crate::access::signed::{self, Group};
use crate::config::compiled::KeyGroup;
use crate::config::units::Duration;
use key::{KeyFailed, PrivateKey};

/// Sign URLs and cookies that a `signed` rule accepts, as CloudFront's signers do
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    openssl genrsa -out private.pem 2048 && openssl rsa -in private.pem -pubout -out public.pem\n  \
    rimward sign url https://shop.example/film.mp4 --key-pair-id K2 --key private.pem --expires 1h\n  \
    rimward sign url https://shop.example/a --key-pair-id K2 --key private.pem --ip 192.0.2.0/24\n  \
    rimward sign url https://shop.example/a --key-pair-id K2 --key private.pem --at 2026-12-31\n  \
    rimward sign cookie 'https://shop.example/films/*' --key-pair-id K2 --key private.pem --expires 8h\n  \
    curl $(rimward sign cookie 'https://shop.example/*' --key-pair-id K2 --key private.pem --curl)\n\n\
    The public half belongs into a key group of the configuration, under the same id. A canned policy\n\
    is used unless an option, or a * in the resource, needs a custom one.")]
pub struct Sign {
    #[command(subcommand)]
    pub command: SignCommand,
}

#[derive(Debug, Subcommand)]
pub enum SignCommand {
    /// Print the URL with a signature
    Url(SignUrl),
    /// Print cookies with a signature, as Set-Cookie fields
    Cookie(SignCookie),
}

#[derive(Debug, Args)]
pub struct SignUrl {
    /// The whole URL, as the viewer will ask for it
    pub url: String,
    /// What the signature is for, when that is more than the URL: * is any run of characters, ? any one
    #[arg(long, value_name = "PATTERN")]
    pub resource: Option<String>,
    #[command(flatten)]
    pub terms: Terms,
}

#[derive(Debug, Args)]
pub struct SignCookie {
    /// What the cookies are for: a URL, in which * is any run of characters and ? any one
    pub resource: String,
    /// Domain attribute: the cookies are for its subdomains too [default: the host that sets them]
    #[arg(long, value_name = "NAME", conflicts_with = "curl")]
    pub domain: Option<String>,
    /// Path attribute
    #[arg(long, default_value = "/", conflicts_with = "curl")]
    pub path: String,
    /// Print an option for curl instead: -bNAME=VALUE;…
    #[arg(long)]
    pub curl: bool,
    #[command(flatten)]
    pub terms: Terms,
}

/// Who signs, and what is allowed.
#[derive(Debug, Args)]
pub struct Terms {
    /// The key's id in the key group
    #[arg(long, value_name = "ID")]
    pub key_pair_id: String,
    /// Private key as PEM: RSA of at least 2048 bits (PKCS#8, PKCS#1), or P-256 (PKCS#8, SEC 1)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How long from now
    #[arg(long, value_name = "TIME", default_value = "1h", conflicts_with = "at", allow_hyphen_values = true)]
    pub expires: Duration,
    /// Until this moment: 2026-12-31T23:59:59Z, or seconds since 1970
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// Not before this moment
    #[arg(long, value_name = "MOMENT")]
    pub not_before: Option<Moment>,
    /// Only from this address or range
    #[arg(long, value_name = "CIDR", value_parser = range)]
    pub ip: Option<IpNet>,
    /// What is signed over; sha256 is named in the URL or cookies
    #[arg(long, default_value = "sha1")]
    pub hash: Hash,
}

/// SHA-1 is what CloudFront's signers use unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    Sha1,
    Sha256,
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignFailed {
    #[error("{0}")]
    Usage(String),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Key { path: PathBuf, source: KeyFailed },
    /// Standard output is gone.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// A signature's parts by their names in a query, in the order of CloudFront's signers.
type Parts = Vec<(&'static str, String)>;

// === impl Sign ===
impl Sign {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let mut out = io::stdout().lock();
        match self.print(Moment::now(), &mut out).and_then(|()| Ok(out.flush()?)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(SignFailed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(failed) => {
                eprintln!("{} {failed}", Colour::of(&io::stderr()).paint("31;1", "error:"));
                ExitCode::from(if matches!(failed, SignFailed::Output(_)) { 1 } else { 2 })
            }
        }
    }

    fn print(&self, now: Moment, out: &mut impl Write) -> Result<(), SignFailed> {
        match &self.command {
            SignCommand::Url(url) => writeln!(out, "{}", url.signed(now)?)?,
            SignCommand::Cookie(cookie) => {
                let parts = cookie.terms.parts(&cookie.resource, false, now)?;
                let pairs = parts.iter().map(|(name, value)| format!("CloudFront-{name}={value}"));
                if cookie.curl {
                    writeln!(out, "-b{}", pairs.collect::<Vec<_>>().join(";"))?;
                } else {
                    let domain = cookie.domain.as_ref().map(|name| format!("; Domain={name}")).unwrap_or_default();
                    for pair in pairs {
                        writeln!(out, "Set-Cookie: {pair}{domain}; Path={}; Secure; HttpOnly", cookie.path)?;
                    }
                }
            }
        }
        Ok(())
    }
}

// === impl SignUrl ===
impl SignUrl {
    fn signed(&self, now: Moment) -> Result<String, SignFailed> {
        let uri: Option<Uri> = self.url.parse().ok();
        let whole = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !whole || self.url.contains('#') {
            return Err(SignFailed::Usage(format!("'{}' is no http or https URL without a fragment", self.url)));
        }
        let query = self.url.split_once('?').map(|(_, query)| query);
        if query.is_some_and(|query| signed::strip_query(query) != query) {
            return Err(SignFailed::Usage(format!("'{}' has parameters of a signature already", self.url)));
        }
        let resource = self.resource.as_ref().unwrap_or(&self.url);
        let parts = self.terms.parts(resource, self.resource.is_some(), now)?;
        let mark = if query.is_some() { '&' } else { '?' };
        let pairs: Vec<String> = parts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let url = format!("{}{mark}{}", self.url, pairs.join("&"));
        match &self.resource {
            Some(resource) if !self.terms.would_count(&url, now)? => {
                let words = format!("'{resource}' does not cover {}: the signature would never count", self.url);
                Err(SignFailed::Usage(words))
            }
            _ => Ok(url),
        }
    }
}

// === impl Terms ===
impl Terms {
    fn parts(&self, resource: &str, custom: bool, now: Moment) -> Result<Parts, SignFailed> {
        if !resource.is_ascii() || resource.contains(char::is_whitespace) {
            return Err(SignFailed::Usage(format!("'{resource}': spaces and letters beyond ASCII have to be encoded")));
        }
        if self.key_pair_id.is_empty() || !self.key_pair_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SignFailed::Usage("a key's id is letters and digits".to_owned()));
        }
        let expires = self.end(now)?;
        let failed = |source| SignFailed::Key { path: self.key.clone(), source };
        let key = self.private_key()?;
        let mut parts = Parts::new();
        let policy = if custom || self.not_before.is_some() || self.ip.is_some() || resource.contains('*') {
            let policy = self.policy(resource, expires);
            parts.push(("Policy", signed::encode(policy.as_bytes())));
            policy
        } else {
            parts.push(("Expires", expires.to_string()));
            signed::canned(resource, expires)
        };
        let signature = key.sign(self.hash, policy.as_bytes()).map_err(failed)?;
        parts.push(("Signature", signed::encode(&signature)));
        parts.push(("Key-Pair-Id", self.key_pair_id.clone()));
        if self.hash == Hash::Sha256 {
            parts.push(("Hash-Algorithm", "SHA256".to_owned()));
        }
        Ok(parts)
    }

    /// When it ends, in seconds: later than now, and than it begins.
    fn end(&self, now: Moment) -> Result<u64, SignFailed> {
        let (now, span) = (now.0 / 1000, self.expires.get().as_secs());
        let end = self.at.map_or_else(|| now.saturating_add(span), |at| at.0 / 1000);
        let words = match self.at {
            None if span == 0 => "--expires is less than a second".to_owned(),
            Some(at) if end <= now => format!("--at {at} has passed"),
            // A policy counts in the seconds between the two, neither of them included.
            _ if self.not_before.is_some_and(|from| from.0 / 1000 + 1 >= end) => {
                "--not-before is no earlier than the end".to_owned()
            }
            _ => return Ok(end),
        };
        Err(SignFailed::Usage(format!("{words}: the signature would never count")))
    }

    /// Whether a `signed` rule with the public half accepts `url` at some moment, from an address that is allowed.
    fn would_count(&self, url: &str, now: Moment) -> Result<bool, SignFailed> {
        let failed = |source| SignFailed::Key { path: self.key.clone(), source };
        let public = self.private_key()?.public_pem().map_err(failed)?;
        let group = KeyGroup { name: String::new(), keys: vec![(self.key_pair_id.clone(), public)] };
        let group = Group::new(&group).map_err(|_| failed(KeyFailed::Unusable))?;
        let Ok(uri) = url.parse::<Uri>() else { return Ok(false) };
        let asked = Asked {
            method: "GET",
            host: uri.authority().map_or("", |authority| authority.as_str()),
            path: uri.path(),
            query: uri.query(),
            fields: &HeaderMap::new(),
            tls: uri.scheme_str() == Some("https"),
            viewer: self.ip.map_or(IpAddr::from([0, 0, 0, 0]), |net| net.addr()),
            now_ms: now.0.max(self.not_before.map_or(0, |from| (from.0 / 1000 + 1) * 1000)),
        };
        Ok(group.verify(&asked).is_ok())
    }

    fn private_key(&self) -> Result<PrivateKey, SignFailed> {
        let text =
            std::fs::read_to_string(&self.key).map_err(|source| SignFailed::Read { path: self.key.clone(), source })?;
        PrivateKey::parse(&text).map_err(|source| SignFailed::Key { path: self.key.clone(), source })
    }

    /// A custom policy, its members in the order of botocore's signer.
    fn policy(&self, resource: &str, expires: u64) -> String {
        let resource = Value::from(resource);
        let ip = self.ip.map(|net| format!(r#","IpAddress":{{"AWS:SourceIp":"{net}"}}"#)).unwrap_or_default();
        let after = self.not_before.map(|from| format!(r#","DateGreaterThan":{{"AWS:EpochTime":{}}}"#, from.0 / 1000));
        let after = after.unwrap_or_default();
        format!(
            r#"{{"Statement":[{{"Resource":{resource},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}{ip}{after}}}}}]}}"#
        )
    }
}

fn range(text: &str) -> Result<IpNet, String> {
    let net = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    net.map_err(|_| "neither an address nor a range like 192.0.2.0/24".to_owned())
}

#[cfg(test)]
mod tests;
