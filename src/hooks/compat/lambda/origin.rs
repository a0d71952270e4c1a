//! Origin: `request.origin` of an origin-request result, as a change of origin.
//!
//! In: the member; the origin the event showed. Out: a patch of what differs. Never: a lookup; where it leads is the proxy's.

use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue};

use crate::config::compiled::{Mode, Signing, is_region};
use crate::hooks::exchange::{Exchange, Origin, OriginChange, OriginPatch, shown};
use crate::hooks::failure::Failure;
use crate::hooks::{fields, valid};

use super::super::Warnings;
use super::super::error::{invalid, property, quote, wrong_kind};
use super::super::parse::Node;
use super::super::places;
use super::super::write::same;

/// Bytes of a bucket's domain name (CloudFront Developer Guide, "Lambda@Edge event structure", S3 origin).
const BUCKET_MAX: usize = 128;
/// Seconds an origin's connection may be kept, and its silence be borne: AWS's present quota.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=120;
/// Values of `authMethod`: of an origin whose requests are signed, and of others.
pub const SIGNED: &str = "origin-access-identity";
pub const UNSIGNED: &str = "none";
/// Values of `sslProtocols`.
const PROTOCOLS: [&str; 5] = ["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3"];

type Lines = Vec<(HeaderName, HeaderValue)>;

/// `customHeaders` against the event's.
enum Own {
    Unsaid,
    Same,
    These(Lines),
}

// === impl Own ===
impl Own {
    /// Fields that nobody asked for stay with the host that they are for: another may not learn them.
    fn patch(self, elsewhere: bool) -> Option<Lines> {
        match self {
            Own::These(lines) => Some(lines),
            Own::Unsaid if elsewhere => Some(Lines::new()),
            Own::Unsaid | Own::Same => None,
        }
    }
}

pub fn accept(exchange: &mut Exchange, origin: &Node<'_>, warnings: &mut Warnings) -> Result<(), Failure> {
    let Node::Object(_) = origin else { return Err(wrong_kind("origin", "an object", origin)) };
    let patch = match (origin.get("custom"), origin.get("s3")) {
        (custom @ Node::Object(_), Node::Absent | Node::Null) => custom_patch(exchange, custom, warnings)?,
        (Node::Absent | Node::Null, s3 @ Node::Object(_)) => bucket_patch(exchange, s3, warnings)?,
        (Node::Absent | Node::Null, Node::Absent | Node::Null) => {
            return Err(invalid("\"origin\" must have \"custom\" or \"s3\""));
        }
        (Node::Object(_), Node::Object(_)) => {
            return Err(invalid("\"origin\" must have one of \"custom\" and \"s3\", not both"));
        }
        (Node::Absent | Node::Null, other) => return Err(wrong_kind("origin.s3", "an object", other)),
        (other, _) => return Err(wrong_kind("origin.custom", "an object", other)),
    };
    if patch == OriginPatch::default() {
        return Ok(());
    }
    let event = exchange.event;
    exchange.set_origin(OriginChange::To(patch)).map_err(|why| property(event, "origin", why))
}

fn custom_patch(exchange: &Exchange, custom: &Node<'_>, warnings: &mut Warnings) -> Result<OriginPatch, Failure> {
    let now = exchange.request.origin.as_ref();
    let host = text(custom, "origin.custom", "domainName", now.is_none())?;
    let host = host.filter(|host| now.is_none_or(|now| now.host != *host));
    if let Some(host) = host.filter(|host| !valid::host(host)) {
        let words = "a domain name of at most 253 characters without port or address";
        return Err(invalid(format_args!("\"origin.custom.domainName\" must be {words}, not {}", quote(host))));
    }
    let path = path(custom, "origin.custom", now)?;
    let port = match number(custom, "origin.custom", "port")? {
        // What was shown may come back, whatever it is; another host has the port of its scheme, unless one is named.
        Some(port) if now.is_some_and(|now| u64::from(now.port) == port) => {
            now.map(|now| now.port).filter(|port| host.is_some() && valid::port(*port))
        }
        Some(port) => match u16::try_from(port).ok().filter(|port| valid::port(*port)) {
            Some(port) => Some(port),
            None => return Err(invalid("\"origin.custom.port\" must be 80, 443 or 1024 to 65535")),
        },
        None => None,
    };
    let tls = match text(custom, "origin.custom", "protocol", now.is_none())? {
        Some("https") => Some(true),
        Some("http") => Some(false),
        Some(other) => {
            let other = quote(other);
            return Err(invalid(format_args!("\"origin.custom.protocol\" must be \"http\" or \"https\", not {other}")));
        }
        None => None,
    };
    let silence = seconds(custom, "readTimeout", now.map(|now| now.read_timeout))?;
    if seconds(custom, "keepaliveTimeout", now.map(|now| now.keepalive_timeout))?.is_some() {
        warnings.push("\"origin.custom.keepaliveTimeout\" is ignored: this edge keeps its own time".to_owned());
    }
    protocols(custom)?;
    Ok(OriginPatch {
        host: host.map(str::to_owned),
        // AWS sends what the request's Host says, whatever the origin is called.
        host_header: host.and_then(|_| host_header(exchange)),
        path,
        port,
        tls: tls.filter(|tls| host.is_some() || now.is_none_or(|now| now.tls != *tls)),
        read_timeout: silence.map(Duration::from_secs),
        headers: headers(exchange, custom, "origin.custom.customHeaders")?.patch(host.is_some()),
        ..OriginPatch::default()
    })
}

/// A bucket is an origin like any other here, over TLS. Where the configured one's requests are signed, those to another may be, with the
/// same keys.
fn bucket_patch(exchange: &Exchange, s3: &Node<'_>, warnings: &mut Warnings) -> Result<OriginPatch, Failure> {
    let now = exchange.request.origin.as_ref();
    let bucket = now.filter(|now| places::bucket(&now.host).is_some());
    let signed = bucket.is_some_and(|now| now.signed);
    let host = text(s3, "origin.s3", "domainName", true)?.unwrap_or_default();
    let moved = bucket.is_none_or(|now| now.host != host);
    if moved && (!valid::host(host) || host.len() > BUCKET_MAX || host.bytes().any(|b| b.is_ascii_uppercase())) {
        let words = "a lower-case domain name of at most 128 characters";
        return Err(invalid(format_args!("\"origin.s3.domainName\" must be {words}, not {}", quote(host))));
    }
    let region = text(s3, "origin.s3", "region", false)?.filter(|region| !region.is_empty());
    let (elsewhere, signing) = match text(s3, "origin.s3", "authMethod", false)? {
        Some(UNSIGNED) => (moved || signed, None),
        None => (moved, None),
        Some(SIGNED) if signed && moved => (true, Some(bucket_signing(host, region)?)),
        Some(SIGNED) if signed => (false, None),
        Some(SIGNED) => {
            return Err(invalid(
                "\"origin.s3.authMethod\" \"origin-access-identity\" is not available here: use \"none\", or choose a configured origin that signs",
            ));
        }
        Some(other) => {
            return Err(invalid(format_args!("\"origin.s3.authMethod\" must be \"none\", not {}", quote(other))));
        }
    };
    if region.is_some_and(|region| places::bucket(host).is_some_and(|own| own != region)) {
        warnings.push("\"origin.s3.region\" is ignored: \"origin.s3.domainName\" says where the bucket is".to_owned());
    }
    let path = match text(s3, "origin.s3", "path", false)? {
        None => elsewhere.then_some(""),
        Some(path) => Some(path).filter(|path| elsewhere || now.is_none_or(|now| now.path != *path)),
    };
    Ok(OriginPatch {
        host: elsewhere.then(|| host.to_owned()),
        // A signature is for the bucket's own name, and the same bucket has none but that.
        host_header: (moved && signing.is_none()).then(|| host_header(exchange)).flatten(),
        path: path.map(|path| prefix("origin.s3", path)).transpose()?,
        port: elsewhere.then_some(443),
        tls: elsewhere.then_some(true),
        headers: headers(exchange, s3, "origin.s3.customHeaders")?.patch(elsewhere),
        signing,
        ..OriginPatch::default()
    })
}

/// As the configured bucket's requests are signed, where `host` is.
fn bucket_signing(host: &str, region: Option<&str>) -> Result<Signing, Failure> {
    if let Some(region) = region.filter(|region| !is_region(region)) {
        return Err(invalid(format_args!("\"origin.s3.region\" is not a region: {}", quote(region))));
    }
    let region = places::region(host).or(region).map(str::to_owned);
    Ok(Signing::On { service: "s3".to_owned(), region, always: true })
}

/// The request's Host, in the form it has after the function's own edits.
fn host_header(exchange: &Exchange) -> Option<String> {
    let value = exchange.request.headers.get(HOST)?.to_str().ok()?;
    valid::host_field(value.as_bytes()).then(|| value.to_owned())
}

fn text<'n>(of: &'n Node<'_>, place: &str, name: &str, needed: bool) -> Result<Option<&'n str>, Failure> {
    match of.get(name) {
        Node::Text(text) => Ok(Some(text)),
        Node::Absent | Node::Null if !needed => Ok(None),
        other => Err(wrong_kind(&format!("{place}.{name}"), "a string", other)),
    }
}

fn number(of: &Node<'_>, place: &str, name: &str) -> Result<Option<u64>, Failure> {
    match of.get(name) {
        Node::Absent | Node::Null => Ok(None),
        Node::Number(number) if number.fract() == 0.0 && (0.0..1e9).contains(number) => Ok(Some(*number as u64)),
        other => Err(wrong_kind(&format!("{place}.{name}"), "a whole number", other)),
    }
}

/// Another time than the one that was shown.
fn seconds(custom: &Node<'_>, name: &str, shown: Option<Duration>) -> Result<Option<u64>, Failure> {
    match number(custom, "origin.custom", name)? {
        Some(secs) if shown.is_some_and(|shown| shown.as_secs() == secs) => Ok(None),
        Some(secs) if !SECONDS.contains(&secs) => {
            Err(invalid(format_args!("\"origin.custom.{name}\" must be 1 to 120 seconds, not {secs}")))
        }
        secs => Ok(secs),
    }
}

fn protocols(custom: &Node<'_>) -> Result<(), Failure> {
    match custom.get("sslProtocols") {
        Node::Absent | Node::Null => Ok(()),
        Node::List(list) if list.iter().all(|node| node.text().is_some_and(|text| PROTOCOLS.contains(&text))) => Ok(()),
        _ => Err(invalid("\"origin.custom.sslProtocols\" must be an array of TLS versions such as \"TLSv1.2\"")),
    }
}

fn path(of: &Node<'_>, place: &str, now: Option<&Origin>) -> Result<Option<String>, Failure> {
    match text(of, place, "path", false)? {
        Some(path) if now.is_some_and(|now| now.path == path) => Ok(None),
        Some(path) => prefix(place, path).map(Some),
        None => Ok(None),
    }
}

fn prefix(place: &str, path: &str) -> Result<String, Failure> {
    if valid::prefix(path) {
        return Ok(path.to_owned());
    }
    let words = "\"\" or a URL-encoded path of at most 255 characters that begins with \"/\" and does not end with it";
    Err(invalid(format_args!("\"{place}.path\" must be {words}, not {}", quote(path))))
}

/// What becomes of the origin's own fields. A secret that comes back as it was shown stays what it is.
fn headers(exchange: &Exchange, of: &Node<'_>, place: &str) -> Result<Own, Failure> {
    let members = match of.get("customHeaders") {
        Node::Absent | Node::Null => return Ok(Own::Unsaid),
        Node::Object(members) => members,
        other => return Err(wrong_kind(place, "an object", other)),
    };
    let now = exchange.request.origin.as_ref().map(|origin| origin.headers.as_slice()).unwrap_or_default();
    let mut wanted = Lines::new();
    for (name, list) in members {
        let Node::List(list) = list else {
            return Err(invalid(format_args!("the header {} of {place} must be an array", quote(name))));
        };
        let own = HeaderName::from_bytes(name.as_bytes());
        let own = own.map_err(|_| invalid(format_args!("the header {} of {place} is not valid", quote(name))))?;
        let mut before = now.iter().filter(|(there, _)| *there == own).map(|(_, value)| value);
        for line in list {
            let Node::Text(text) = line.get("value") else {
                return Err(invalid(format_args!("the header {} of {place} needs a string as its value", quote(name))));
            };
            let value = match before.next().filter(|value| same(shown(value), text)) {
                Some(value) => value.clone(),
                None => HeaderValue::from_bytes(text.as_bytes())
                    .map_err(|_| invalid(format_args!("the header {} of {place} is not valid", quote(name))))?,
            };
            wanted.push((own.clone(), value));
        }
    }
    if wanted.is_empty() && now.is_empty() {
        // The event showed none, or does not know them: another host is told none.
        return Ok(Own::Unsaid);
    }
    if wanted.len() == now.len() && wanted.iter().all(|line| now.contains(line)) {
        return Ok(Own::Same);
    }
    for (name, value) in &wanted {
        // What the operator configured may stay, whatever it is called.
        if now.iter().any(|(there, was)| there == name && was == value) {
            continue;
        }
        if !fields::for_origin(name.as_str()) {
            return Err(invalid(format_args!("the header \"{name}\" is disallowed in {place}")));
        }
        if exchange.site.mode == Mode::Strict && exchange.request.headers.contains_key(name) {
            return Err(invalid(format_args!("the header \"{name}\" of {place} is already in the request's headers")));
        }
    }
    Ok(Own::These(wanted))
}
