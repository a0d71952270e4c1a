//! Peering: the field with which one node of the fleet asks another, and the one it is answered with.
//!
//! In: what a node asks, the fleet's secret, the request line it goes with. Out: a signed text; or what a text asks, once it is known to
//! be a node's. Never: a right for what is not signed, too old, or meant for another node.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use aws_lc_rs::hmac;
use http::HeaderName;

use super::vector::Vector;
use crate::origin::tier::{Mode, VIA_MAX};

/// The field of both: no viewer's goes on to anyone, no origin's to a viewer.
pub const FIELD: HeaderName = HeaderName::from_static("rimward-peer");
/// How old a request of a node may be, and by how much two clocks may differ.
pub const AGE_MAX_MS: u64 = 30_000;
/// Bytes of a cache key that is sent along; what has a longer one is filled without other nodes.
pub const KEY_MAX: usize = 2048;

/// What one node asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The node that is asked.
    pub to: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The nodes that the request came through; the last one asks.
    pub via: Vec<String>,
    pub mode: Mode,
    /// The behavior's name.
    pub behavior: String,
    /// What the answer is stored under, the same on every node.
    pub key: Vec<u8>,
    /// Who asked the first node.
    pub viewer: IpAddr,
    /// Over TLS.
    pub tls: bool,
    /// The Authorization field was for the edge, and has done its work.
    pub authorized: bool,
    /// The request's id: 32 hex digits.
    pub id: String,
    /// What the asking node has seen of purges.
    pub seen: Vector,
}

/// The request that the field goes with.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
}

/// What became of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It was stored.
    Hit,
    /// The origin, or another node, was asked.
    Fill,
    /// It is not stored, and nobody was to be asked.
    Nothing,
    /// No origin could be asked, or not this way.
    Failed,
}

/// Why a request is no node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeeringError {
    #[error("malformed")]
    Malformed,
    #[error("not signed with this fleet's secret")]
    Signature,
    #[error("meant for another node")]
    Elsewhere,
    #[error("signed more than {} s ago, or ahead", AGE_MAX_MS / 1000)]
    Age,
}

// === impl Ask ===
impl Ask {
    /// The field's value; `None` when the key or the vector is too long to be sent.
    pub fn sign(&self, secret: &[u8], line: &Line<'_>) -> Option<String> {
        let seen = self.seen.text().filter(|_| self.key.len() <= KEY_MAX)?;
        let mut text = String::with_capacity(256 + 2 * self.key.len() + seen.len());
        let (to, at, via, mode) = (&self.to, self.at_ms, self.via.join(","), word(self.mode));
        let (tls, auth) = (u8::from(self.tls), u8::from(self.authorized));
        let (viewer, id) = (self.viewer, &self.id);
        // A string that grows cannot refuse.
        let _ = write!(text, "v1; to={to}; at={at}; via={via}; mode={mode}; behavior=");
        hex(self.behavior.as_bytes(), &mut text);
        text.push_str("; key=");
        hex(&self.key, &mut text);
        let _ = write!(text, "; viewer={viewer}; tls={tls}; auth={auth}; id={id}; seen={seen}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed(line, &text));
        text.push_str("; sig=");
        hex(tag.as_ref(), &mut text);
        Some(text)
    }

    /// What `text` asks of the node `me`. The signature is looked at before anything else is read.
    ///
    /// # Errors
    /// Whatever makes it no request of a node of this fleet to this node, now.
    pub fn verify(text: &str, secret: &[u8], line: &Line<'_>, me: &str, now_ms: u64) -> Result<Self, PeeringError> {
        let (text, tag) = text.rsplit_once("; sig=").ok_or(PeeringError::Malformed)?;
        let tag = unhex(tag).ok_or(PeeringError::Malformed)?;
        // In constant time.
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed(line, text), &tag)
            .map_err(|_| PeeringError::Signature)?;
        let ask = Ask::parse(text).ok_or(PeeringError::Malformed)?;
        if ask.to != me {
            return Err(PeeringError::Elsewhere);
        }
        match ask.at_ms.abs_diff(now_ms) <= AGE_MAX_MS {
            true => Ok(ask),
            false => Err(PeeringError::Age),
        }
    }

    /// The node that asks.
    pub fn from(&self) -> &str {
        self.via.last().map_or("", String::as_str)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split("; ");
        if parts.next()? != "v1" {
            return None;
        }
        let mut next = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let ask = Ask {
            to: next("to")?.to_owned(),
            at_ms: next("at")?.parse().ok()?,
            via: next("via")?.split(',').map(str::to_owned).collect(),
            mode: match next("mode")? {
                "fill" => Mode::Fill,
                "cached" => Mode::Cached,
                _ => return None,
            },
            behavior: String::from_utf8(unhex(next("behavior")?)?).ok()?,
            key: unhex(next("key")?)?,
            viewer: next("viewer")?.parse().ok()?,
            tls: flag(next("tls")?)?,
            authorized: flag(next("auth")?)?,
            id: next("id")?.to_owned(),
            seen: Vector::parse(next("seen")?).ok()?,
        };
        (parts.next().is_none() && ask.via.len() <= VIA_MAX && ask.key.len() <= KEY_MAX).then_some(ask)
    }
}

// === impl Did ===
impl Did {
    pub fn as_str(self) -> &'static str {
        match self {
            Did::Hit => "hit",
            Did::Fill => "fill",
            Did::Nothing => "none",
            Did::Failed => "failed",
        }
    }
}

impl FromStr for Did {
    type Err = PeeringError;

    fn from_str(text: &str) -> Result<Self, PeeringError> {
        let all = [Did::Hit, Did::Fill, Did::Nothing, Did::Failed];
        all.into_iter().find(|did| did.as_str() == text).ok_or(PeeringError::Malformed)
    }
}

// === free functions ===

/// What the signature covers.
fn signed(line: &Line<'_>, text: &str) -> Vec<u8> {
    // None of the first three can hold a line break.
    [line.method, line.host, line.target, text].join("\n").into_bytes()
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Fill => "fill",
        Mode::Cached => "cached",
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // A string that grows cannot refuse.
        let _ = write!(out, "{byte:02x}");
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const LINE: Line<'static> = Line { method: "GET", host: "shop.example", target: "/a?b=1" };

    fn secret() -> [u8; 32] {
        rand::random()
    }

    fn ask() -> Ask {
        Ask {
            to: "fra-1".into(),
            at_ms: NOW,
            via: vec!["iad-1".into(), "nrt-1".into()],
            mode: Mode::Fill,
            behavior: "shop.example/*; sig=".into(),
            key: vec![0, 1, 0xfe, b';'],
            viewer: "2001:db8::1".parse().unwrap(),
            tls: true,
            authorized: false,
            id: "0123456789abcdef0123456789abcdef".into(),
            seen: [(7, 3), (9, 1)].into_iter().collect(),
        }
    }

    #[test]
    fn what_is_signed_is_read() {
        let secret = secret();
        let empty = Ask { mode: Mode::Cached, key: Vec::new(), seen: Vector::default(), ..ask() };
        for ask in [ask(), empty] {
            let text = ask.sign(&secret, &LINE).unwrap();
            assert!(http::HeaderValue::from_str(&text).is_ok());
            assert_eq!(Ask::verify(&text, &secret, &LINE, "fra-1", NOW).as_ref(), Ok(&ask));
            assert_eq!(ask.from(), "nrt-1");
        }
    }

    #[test]
    fn what_is_no_nodes_request() {
        let secret = secret();
        let text = ask().sign(&secret, &LINE).unwrap();
        let other = super::tests::secret();
        let changed = |from: &str, to: &str| text.replacen(from, to, 1);
        let post = Line { method: "POST", ..LINE };
        let host = Line { host: "other.example", ..LINE };
        let target = Line { target: "/a?b=2", ..LINE };
        for (name, text, secret, line, me, now, want) in [
            ("another secret", text.clone(), &other, LINE, "fra-1", NOW, PeeringError::Signature),
            ("another method", text.clone(), &secret, post, "fra-1", NOW, PeeringError::Signature),
            ("another host", text.clone(), &secret, host, "fra-1", NOW, PeeringError::Signature),
            ("another target", text.clone(), &secret, target, "fra-1", NOW, PeeringError::Signature),
            ("another mode", changed("mode=fill", "mode=cached"), &secret, LINE, "fra-1", NOW, PeeringError::Signature),
            ("less seen", changed("seen=7:3", "seen=7:2"), &secret, LINE, "fra-1", NOW, PeeringError::Signature),
            ("a shorter way", changed("iad-1,", ""), &secret, LINE, "fra-1", NOW, PeeringError::Signature),
            ("half a signature", text[..text.len() - 2].into(), &secret, LINE, "fra-1", NOW, PeeringError::Signature),
            ("no signature", changed("; sig=", "; gis="), &secret, LINE, "fra-1", NOW, PeeringError::Malformed),
            ("no hex", format!("{text}zz"), &secret, LINE, "fra-1", NOW, PeeringError::Malformed),
            ("another node", text.clone(), &secret, LINE, "fra-2", NOW, PeeringError::Elsewhere),
            ("too old", text.clone(), &secret, LINE, "fra-1", NOW + AGE_MAX_MS + 1, PeeringError::Age),
            ("too far ahead", text.clone(), &secret, LINE, "fra-1", NOW - AGE_MAX_MS - 1, PeeringError::Age),
        ] {
            assert_eq!(Ask::verify(&text, secret, &line, me, now), Err(want), "{name}");
        }
        assert!(Ask::verify(&text, &secret, &LINE, "fra-1", NOW + AGE_MAX_MS).is_ok(), "as old as may be");
    }

    #[test]
    fn a_signature_alone_does_not_make_it_readable() {
        let secret = secret();
        let good = ask().sign(&secret, &LINE).unwrap();
        let (good, _) = good.rsplit_once("; sig=").unwrap();
        for (name, text) in [
            ("empty", String::new()),
            ("another version", good.replacen("v1", "v2", 1)),
            ("a field too many", format!("{good}; more=1")),
            ("a field too few", good.rsplit_once("; ").unwrap().0.to_owned()),
            ("no mode", good.replacen("mode=fill", "mode=all", 1)),
            ("no flag", good.replacen("tls=1", "tls=yes", 1)),
            ("no address", good.replacen("viewer=2001", "viewer=x", 1)),
            ("too long a way", good.replacen("via=", "via=a,b,c,d,e,f,g,h,", 1)),
        ] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signed(&LINE, &text));
            let mut whole = format!("{text}; sig=");
            hex(tag.as_ref(), &mut whole);
            assert_eq!(Ask::verify(&whole, &secret, &LINE, "fra-1", NOW), Err(PeeringError::Malformed), "{name}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let long = Ask { key: vec![0; KEY_MAX + 1], ..ask() };
        assert_eq!(long.sign(&secret(), &LINE), None);
        let many = Ask { seen: (1..=super::super::vector::LINEAGES_MAX as u64 + 1).map(|i| (i, 1)).collect(), ..ask() };
        assert_eq!(many.sign(&secret(), &LINE), None);
    }
}
