//! Fleet: `[fleet]` becomes a node and its peers.
//!
//! In: schema. Out: compiled, secrets read, keys decoded. Never: a connection.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Checked, Report, all};
use crate::config::compiled::{Fleet, FleetBus, FleetPeer, Pop};
use crate::config::schema;
use crate::config::secret::Secret;
use crate::config::source::At;

/// Bytes of the secret between nodes, at least: as long as the hash that it keys (RFC 2104, section 3).
const SECRET_MIN: usize = 32;
/// Characters of a node's name.
const NODE_MAX: usize = 32;
const REVISIONS_MAX: usize = 1000;
/// Slower than this, and limits that nodes share would hold no bound worth the name.
const EXCHANGE_MAX: Duration = Duration::from_secs(60);

pub(super) fn fleet(written: schema::Fleet, pop: &Pop, report: &mut Report<'_>) -> Checked<Fleet> {
    let at = At::default().key("fleet");
    let node = written.node.unwrap_or_else(|| pop.code.to_ascii_lowercase());
    let node = named(&at.key("node"), node, report);
    let secret = written.secret.as_ref().map(|secret| {
        let at = at.key("secret");
        let text = report.secret(&at, &secret.0)?;
        match text.expose().len() >= SECRET_MIN {
            true => Ok(Secret::new(text.expose().clone().into_bytes())),
            false => Err(report.refuse(&at, format!("the secret has less than {SECRET_MIN} bytes"))),
        }
    });
    let bus = written.bus.map(|bus| bus_of(&at.key("bus"), bus, report)).transpose();
    let each = written.trust.iter().enumerate();
    let trust = all(each.map(|(i, text)| key(&at.key("trust").index(i), text, report)).collect::<Vec<_>>());
    if written.secret.is_none() && !written.peer.is_empty() {
        report.refuse_with(&at.key("peer"), "nodes that ask one another need a secret", "add secret = \"file:PATH\"");
    }
    let mut taken = HashSet::new();
    if let Ok(node) = &node {
        taken.insert(node.clone());
    }
    let ca = written.ca.map(|path| report.certificates(&at.key("ca"), &path)).transpose()?;
    let each = written.peer.into_iter().enumerate();
    let peers = all(each
        .map(|(i, one)| {
            let at = at.key("peer").index(i);
            if !taken.insert(one.node.clone()) {
                report.refuse(&at.key("node"), format!("the name '{}' is taken", one.node));
            }
            peer(&at, one, ca.clone(), report)
        })
        .collect::<Vec<_>>());
    let revisions = report.positive(&at.key("revisions"), written.revisions);
    if written.revisions > REVISIONS_MAX {
        report.refuse(&at.key("revisions"), format!("at most {REVISIONS_MAX}"));
    }
    let exchange = report.positive(&at.key("exchange"), written.exchange.get());
    if written.exchange.get() > EXCHANGE_MAX {
        report.refuse(&at.key("exchange"), format!("at most {}s", EXCHANGE_MAX.as_secs()));
    }
    let silence = report.positive(&at.key("silence"), written.silence.get());
    let purge_retention = report.positive(&at.key("purge_retention"), written.purge_retention.get());
    Ok(Fleet {
        node: node?,
        bus: bus?,
        secret: secret.transpose()?,
        trust: trust?,
        peers: peers?,
        shard: written.shard,
        purge_retention: purge_retention?,
        revisions: revisions?,
        revision_size: written.revision_size.get(),
        exchange: exchange?,
        silence: silence?,
    })
}

/// A node's name is part of subjects on the bus, and of headers.
fn named(at: &At, name: String, report: &mut Report<'_>) -> Checked<String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match (1..=NODE_MAX).contains(&name.len()) && name.bytes().all(good) {
        true => Ok(name),
        false => {
            let message = format!("'{name}' is no name of a node");
            Err(report.refuse_with(at, message, "1 to 32 lower-case letters, digits and '-', like \"fra-1\""))
        }
    }
}

fn bus_of(at: &At, written: schema::FleetBus, report: &mut Report<'_>) -> Checked<FleetBus> {
    let uri: Option<http::Uri> = written.url.parse().ok();
    if !uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("nats" | "tls")) && uri.host().is_some()) {
        let message = format!("'{}' is no NATS server", written.url);
        return Err(report.refuse_with(
            &at.key("url"),
            message,
            "like \"nats://127.0.0.1:4222\" or \"tls://hub.example:4222\"",
        ));
    }
    if written.domain.is_empty() || !written.domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        report.refuse(&at.key("domain"), format!("'{}' is no domain: letters, digits and '-'", written.domain));
    }
    let user = match (written.user, written.password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user, report.secret(&at.key("password"), &password.0)?)),
        _ => return Err(report.refuse(at, "write both 'user' and 'password', or neither")),
    };
    let ca = written.ca.map(|path| report.certificates(&at.key("ca"), &path)).transpose()?;
    Ok(FleetBus { url: written.url, domain: written.domain, user, ca })
}

fn key(at: &At, text: &str, report: &mut Report<'_>) -> Checked<[u8; 32]> {
    let written = report.maybe_secret(at, text)?;
    let decoded = written.expose().strip_prefix("ed25519:").and_then(|text| STANDARD.decode(text).ok());
    match decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(key) => Ok(key),
        None => {
            let help = "\"ed25519:\" and 32 bytes as base64, as `rimward deploy --new-key PATH` prints it";
            Err(report.refuse_with(at, format!("'{text}' is no public key"), help))
        }
    }
}

fn peer(at: &At, written: schema::FleetPeer, ca: Option<PathBuf>, report: &mut Report<'_>) -> Checked<FleetPeer> {
    let node = named(&at.key("node"), written.node, report)?;
    let uri: Option<http::Uri> = written.url.parse().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls))
    });
    let plain = uri.as_ref().is_some_and(|uri| uri.path().len() <= 1 && uri.query().is_none());
    match parts {
        Some((host, port, tls)) if plain => {
            Ok(FleetPeer { node, pop: written.pop.to_ascii_uppercase(), host, port, tls, ca })
        }
        _ => {
            let message = format!("'{}' is no address of a node", written.url);
            Err(report.refuse_with(&at.key("url"), message, "like \"http://10.0.0.2:8080\", without a path"))
        }
    }
}
