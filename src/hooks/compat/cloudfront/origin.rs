//! Origin: what a CloudFront Function asked of the `cf` module, as a change of origin.
//!
//! In: the envelope's `origin`. Out: a patch, or a group. Never: a lookup; names are checked against what a function may choose.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::compiled::{Signing, is_region};
use crate::hooks::exchange::{EditError, Exchange, OriginChange, OriginPatch};
use crate::hooks::failure::Failure;
use crate::hooks::{fields, valid};

use super::super::Warnings;
use super::super::error::{invalid, property, quote, wrong_kind};
use super::super::lambda::scalar;
use super::super::parse::Node;
use super::super::places;

/// Services whose origins CloudFront signs for, as a signature calls them (API reference, "OriginAccessControlConfig").
const SIGNED_FOR: [&str; 4] = ["s3", "lambda", "mediastore", "mediapackagev2"];
/// Statuses that may move on to a group's next member (CloudFront Developer Guide, "Optimize high availability with origin
/// failover").
const FAILOVER: [u16; 10] = [400, 403, 404, 416, 429, 500, 501, 502, 503, 504];

pub fn accept(exchange: &mut Exchange, origin: &Node<'_>, warnings: &mut Warnings) -> Result<(), Failure> {
    let op = match origin {
        Node::Absent | Node::Null => return Ok(()),
        Node::Object(_) => origin.get("op").text().unwrap_or_default(),
        other => return Err(wrong_kind("origin", "an object", other)),
    };
    let change = match op {
        "update" => {
            let patch = patch("updateRequestOrigin", origin.get("origin"), None, warnings)?;
            if patch == OriginPatch::default() {
                return Ok(());
            }
            OriginChange::To(patch)
        }
        "select" => {
            let id = known(exchange, "selectRequestOriginById", origin.get("id"))?;
            let overrides = origin.get("overrides");
            OriginChange::To(patch("selectRequestOriginById", overrides, Some(id), warnings)?)
        }
        "group" => group(exchange, origin, warnings)?,
        other => return Err(invalid(format_args!("\"origin.op\" {} is not known", quote(other)))),
    };
    let event = exchange.event;
    exchange.set_origin(change).map_err(|why| property(event, "origin", why))
}

/// A configured origin or group.
fn known(exchange: &Exchange, call: &str, id: &Node<'_>) -> Result<String, Failure> {
    let Node::Text(id) = id else { return Err(wrong_kind(&format!("{call}: origin id"), "a string", id)) };
    if exchange.site.origins.iter().any(|name| name == id) {
        return Ok(id.clone().into_owned());
    }
    Err(invalid(format_args!("{call}: there is no origin {}", quote(id))))
}

fn patch(call: &str, of: &Node<'_>, base: Option<String>, warnings: &mut Warnings) -> Result<OriginPatch, Failure> {
    match of {
        Node::Absent | Node::Null => return Ok(OriginPatch { base, ..OriginPatch::default() }),
        Node::Object(_) => {}
        other => return Err(wrong_kind(call, "an object", other)),
    }
    unsupported(call, of, warnings)?;
    let (timeouts, own) = (of.get("timeouts"), of.get("customOriginConfig"));
    let host = text(call, of, "domainName")?;
    if let Some(host) = host.filter(|host| !valid::host(host)) {
        let words = "a domain name of at most 253 characters without port or address";
        return Err(invalid(format_args!("{call}: \"domainName\" must be {words}, not {}", quote(host))));
    }
    let host_header = text(call, of, "hostHeader")?;
    if let Some(header) = host_header.filter(|header| !valid::host_field(header.as_bytes())) {
        return Err(invalid(format_args!("{call}: \"hostHeader\" is not a host: {}", quote(header))));
    }
    let path = text(call, of, "originPath")?;
    if let Some(path) = path.filter(|path| !valid::prefix(path)) {
        let words = "\"\" or a path that begins with \"/\" and does not end with it";
        return Err(invalid(format_args!("{call}: \"originPath\" must be {words}, not {}", quote(path))));
    }
    let port = number(call, own, "port", 1..=65_535)?.and_then(|port| u16::try_from(port).ok());
    if port.is_some_and(|port| !valid::port(port)) {
        return Err(invalid(format_args!("{call}: \"port\" must be 80, 443 or 1024 to 65535")));
    }
    let tls = match text(call, own, "protocol")? {
        Some("https") => Some(true),
        Some("http") => Some(false),
        Some(other) => {
            return Err(invalid(format_args!(
                "{call}: \"protocol\" must be \"http\" or \"https\", not {}",
                quote(other)
            )));
        }
        None => None,
    };
    let secs = |name, range| number(call, timeouts, name, range).map(|secs| secs.map(Duration::from_secs));
    number(call, timeouts, "keepAliveTimeout", 1..=120)?;
    Ok(OriginPatch {
        base,
        host: host.map(str::to_owned),
        port,
        tls,
        path: path.map(str::to_owned),
        host_header: host_header.map(str::to_owned),
        sni: text(call, of, "sni")?.map(str::to_owned),
        headers: headers(call, of)?,
        connect_timeout: secs("connectionTimeout", 1..=10)?,
        read_timeout: secs("readTimeout", 1..=120)?,
        attempts: number(call, of, "connectionAttempts", 1..=3)?.and_then(|n| u32::try_from(n).ok()),
        signing: signing(call, of.get("originAccessControlConfig"), host)?,
    })
}

/// What origin access control says; where it says nothing, what is inherited is (CloudFront Developer Guide, "Helper methods for origin
/// modification").
fn signing(call: &str, control: &Node<'_>, host: Option<&str>) -> Result<Option<Signing>, Failure> {
    const PLACE: &str = "originAccessControlConfig";
    let own = host.and_then(|host| places::region(&host.to_ascii_lowercase()).map(str::to_owned));
    match control {
        Node::Absent | Node::Null => return Ok(host.map(|_| Signing::Kept { region: own })),
        Node::Object(_) => {}
        other => return Err(wrong_kind(&format!("{call}: {PLACE}"), "an object", other)),
    }
    let word = |name: &str, known: &[&str]| match text(call, control, name)? {
        Some(said) if !known.contains(&said) => Err(invalid(format_args!(
            "{call}: \"{PLACE}.{name}\" must be one of {}, not {}",
            known.join(", "),
            quote(said)
        ))),
        said => Ok(said.map(str::to_owned)),
    };
    let behavior = word("signingBehavior", &["always", "never", "no-override"])?;
    word("signingProtocol", &["sigv4"])?;
    let service = word("originType", &SIGNED_FOR)?;
    let region = text(call, control, "region")?.filter(|region| !region.is_empty());
    if let Some(region) = region.filter(|region| !is_region(region)) {
        return Err(invalid(format_args!("{call}: \"{PLACE}.region\" is not a region: {}", quote(region))));
    }
    match (control.get("enabled"), behavior.as_deref()) {
        (Node::Bool(false), _) | (Node::Bool(true), Some("never")) => Ok(Some(Signing::Off)),
        (Node::Bool(true), behavior) => {
            let service = service.ok_or_else(|| {
                invalid(format_args!("{call}: \"{PLACE}.originType\" says what requests are signed for"))
            })?;
            let always = behavior != Some("no-override");
            Ok(Some(Signing::On { service, region: region.map(str::to_owned).or(own), always }))
        }
        (other, _) => Err(wrong_kind(&format!("{call}: {PLACE}.enabled"), "a boolean", other)),
    }
}

/// What this edge has no part for: what would change who may read an answer is refused, the rest is only said.
fn unsupported(call: &str, of: &Node<'_>, warnings: &mut Warnings) -> Result<(), Failure> {
    if of.get("allowedCertificateNames").given() {
        return Err(invalid(format_args!("{call}: \"allowedCertificateNames\" is not available here")));
    }
    let (timeouts, shield) = (of.get("timeouts"), of.get("originShield"));
    let shield = if shield.get("enabled") == &Node::Bool(false) { &Node::Absent } else { shield };
    for (name, node) in [
        ("originShield", shield),
        ("timeouts.keepAliveTimeout", timeouts.get("keepAliveTimeout")),
        ("timeouts.responseCompletionTimeout", timeouts.get("responseCompletionTimeout")),
    ] {
        if node.given() {
            warnings.push(format!("{call}: \"{name}\" is ignored"));
        }
    }
    Ok(())
}

fn group(exchange: &Exchange, of: &Node<'_>, warnings: &mut Warnings) -> Result<OriginChange, Failure> {
    const CALL: &str = "createRequestOriginGroup";
    let Node::List(ids) = of.get("originIds") else {
        return Err(wrong_kind(&format!("{CALL}: originIds"), "an array", of.get("originIds")));
    };
    if ids.len() != 2 {
        return Err(invalid(format_args!("{CALL}: \"originIds\" must be two origins, not {}", ids.len())));
    }
    let mut members = Vec::with_capacity(ids.len());
    for id in ids {
        let (name, differs) = match id {
            Node::Object(_) => (id.get("originId"), id.get("originOverrides")),
            _ => (id, &Node::Absent),
        };
        let name = known(exchange, CALL, name)?;
        if members.iter().any(|member: &OriginPatch| member.base.as_ref() == Some(&name)) {
            return Err(invalid(format_args!("{CALL}: \"originIds\" has {} twice", quote(&name))));
        }
        members.push(patch(CALL, differs, Some(name), warnings)?);
    }
    match of.get("selectionCriteria") {
        Node::Absent | Node::Null => {}
        Node::Text(how) if how == "default" => {}
        _ => return Err(invalid(format_args!("{CALL}: \"selectionCriteria\" must be \"default\""))),
    }
    let Node::List(codes) = of.get("statusCodes") else {
        return Err(invalid(format_args!("{CALL}: \"failoverCriteria.statusCodes\" must be an array")));
    };
    let mut failover = Vec::with_capacity(codes.len().min(FAILOVER.len()));
    for code in codes {
        let status = match code {
            Node::Number(code) => FAILOVER.into_iter().find(|known| f64::from(*known) == *code),
            _ => None,
        };
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or_else(|| {
            invalid(format_args!("{CALL}: \"failoverCriteria.statusCodes\" may hold only {FAILOVER:?}"))
        })?;
        if !failover.contains(&status) {
            failover.push(status);
        }
    }
    Ok(OriginChange::Group { members, failover })
}

/// `{"name": "value"}`, or as in events `{"name": {"value"}}`.
fn headers(call: &str, of: &Node<'_>) -> Result<Option<Vec<(HeaderName, HeaderValue)>>, Failure> {
    let members = match of.get("customHeaders") {
        Node::Absent | Node::Null => return Ok(None),
        Node::Object(members) => members,
        other => return Err(wrong_kind(&format!("{call}: customHeaders"), "an object", other)),
    };
    let mut out = Vec::with_capacity(members.len());
    for (name, node) in members {
        let bad = || invalid(format_args!("{call}: the header {} of \"customHeaders\" is not valid", quote(name)));
        let value = scalar(name, if matches!(node, Node::Object(_)) { node.get("value") } else { node }, true)?;
        let own = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if !fields::for_origin(own.as_str()) {
            return Err(super::super::error::field(
                crate::hooks::Event::ViewerRequest,
                own.as_str(),
                EditError::Forbidden,
            ));
        }
        out.push((own, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?));
    }
    Ok(Some(out))
}

fn text<'n>(call: &str, of: &'n Node<'_>, name: &str) -> Result<Option<&'n str>, Failure> {
    match of.get(name) {
        Node::Absent | Node::Null => Ok(None),
        Node::Text(text) => Ok(Some(text)),
        other => Err(wrong_kind(&format!("{call}: {name}"), "a string", other)),
    }
}

fn number(call: &str, of: &Node<'_>, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Failure> {
    match of.get(name) {
        Node::Absent | Node::Null => Ok(None),
        Node::Number(n) if n.fract() == 0.0 && (0.0..1e9).contains(n) && range.contains(&(*n as u64)) => {
            Ok(Some(*n as u64))
        }
        _ => Err(invalid(format_args!(
            "{call}: \"{name}\" must be a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}
