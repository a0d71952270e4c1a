//! Wire: a signed request as text, and what the verifier says of it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rimward::access::sigv4::{Outcome, PayloadCheck, Verified, Verifier};
use rimward::access::{Asked, Denied};
use rimward::config::compiled::{AccessKey, KeyMaterial, PayloadPolicy, Signer};
use rimward::config::secret::Secret;
use rimward::message::Head;

pub const ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z.
pub const NOW: u64 = 1_440_938_160_000;

/// A request as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

// === impl Sent ===
impl Sent {
    /// Reads what the suites and a socket give: a line that may hold raw spaces, fields (also folded), a body.
    pub fn parse(text: &str) -> Sent {
        let (head, body) = match text.replace("\r\n", "\n") {
            text if text.contains("\n\n") => {
                text.split_once("\n\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap()
            }
            text => (text, String::new()),
        };
        let mut lines = head.lines();
        let line = lines.next().unwrap();
        let (method, rest) = line.split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(':') {
                Some((name, value)) if !line.starts_with(' ') => fields.push((name.to_owned(), value.to_owned())),
                _ => {
                    let (_, value) = fields.last_mut().unwrap();
                    value.push_str("\r\n");
                    value.push_str(line);
                }
            }
        }
        Sent { method: method.to_owned(), target: target.to_owned(), fields, body: body.trim_end().as_bytes().to_vec() }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn set(&mut self, name: &str, change: impl Fn(&str) -> String) {
        for (own, value) in &mut self.fields {
            if own.eq_ignore_ascii_case(name) {
                *value = change(value);
            }
        }
    }

    /// Verifies head and body, the way a proxy does.
    pub fn verify(&self, verifier: &Verifier, now_ms: u64) -> Result<Verified, Denied> {
        let lines: Vec<_> =
            self.fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let host = self.field("host").unwrap_or_default();
        let head = Head { method: &self.method, target: &self.target, host, minor: 1, fields: &lines };
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let asked = Asked {
            method: &self.method,
            host,
            path,
            query,
            fields: &head,
            tls: true,
            viewer: "203.0.113.7".parse().unwrap(),
            now_ms,
        };
        let hash = || <[u8; 32]>::try_from(digest(&SHA256, &self.body).as_ref()).unwrap();
        let verified = match verifier.verify(&asked, !self.body.is_empty())? {
            Outcome::Verified(verified) => verified,
            Outcome::NeedsBody(pending) => pending.finish(hash())?,
        };
        let mut check = PayloadCheck::new(&verified);
        check.push(self.body.clone().into())?;
        check.finish()?;
        Ok(verified)
    }
}

pub fn key(material: KeyMaterial, token: Option<&str>) -> AccessKey {
    AccessKey {
        id: ID.to_owned(),
        material,
        session_token: token.map(|token| Secret::new(token.to_owned())),
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        policy: None,
    }
}

pub fn with_secret(token: Option<&str>) -> AccessKey {
    key(KeyMaterial::Secret(Secret::new(SECRET.to_owned())), token)
}

pub fn signer(normalize: bool, key: AccessKey) -> Signer {
    Signer {
        name: "s".to_owned(),
        service: "service".to_owned(),
        regions: vec!["us-east-1".to_owned()],
        skew: Duration::from_secs(900),
        payload: PayloadPolicy::default(),
        normalize,
        keys: Arc::new(vec![key]),
        action: "execute-api:Invoke".to_owned(),
        resource: "arn:aws:execute-api:$region:123456789012:api/prod/$method/$path".to_owned(),
    }
}

/// Xorshift: the same requests in every run.
pub struct Dice(pub u64);

// === impl Dice ===
impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).unwrap()
    }
}
