//! Origin: `[[origin]]` and `[[origin_group]]` become targets, timeouts and names that resolve.
//!
//! In: schema. Out: compiled. Never: DNS, connections, health.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};

use super::function::{self, Known};
use super::{Checked, Refused, Report, all, fields, integration, table, target};
use crate::config::compiled::{
    Balance, Certificate, Dns, Eject, Generated, Health, HostHeader, HttpOrigin, Origin, OriginGroup, OriginId,
    OriginKind, OriginTls, Target, Tier, Upstream, UpstreamProtocol,
};
use crate::config::schema;
use crate::config::secret::Secret;
use crate::config::source::At;

/// Attempts at one origin: past this a retry is an attack on it.
const MAX_ATTEMPTS: u32 = 10;
/// Nodes asked one after another before the origin: each costs the viewer a round trip.
const ASK_PEERS_MAX: usize = 3;

/// Keys that only a server has a use for.
const SERVER_KEYS: [&str; 15] = [
    "url",
    "targets",
    "sign",
    "host",
    "headers",
    "timeouts",
    "attempts",
    "balance",
    "protocol",
    "tls",
    "dns",
    "health",
    "eject",
    "shield",
    "ask_peers",
];

/// Keys of which an origin has one.
const WITHIN_KEYS: [&str; 4] = ["lambda", "dynamodb", "function", "generated"];

/// Keys that a signed origin has no use for: its requests are sent one way.
const UNSIGNED_KEYS: [&str; 8] = ["targets", "host", "attempts", "balance", "protocol", "tls", "health", "eject"];

/// What behaviors and groups may call the origins and groups: their names, in the order written.
pub(super) struct Names {
    known: HashMap<String, Upstream>,
    /// For suggestions.
    order: Vec<String>,
    /// By `OriginId`: it is called, not asked as an HTTP server is.
    called: Vec<bool>,
}

// === impl Names ===
impl Names {
    /// Refuses names that are empty, too long or taken.
    pub(super) fn collect(
        origins: &[schema::Origin],
        groups: &[schema::OriginGroup],
        report: &mut Report<'_>,
    ) -> Names {
        let mut names = Names {
            known: HashMap::new(),
            order: Vec::new(),
            called: origins
                .iter()
                .map(|origin| origin.lambda.is_some() || !origin.dynamodb.0.is_empty() || origin.function.is_some())
                .collect(),
        };
        for (i, origin) in origins.iter().enumerate() {
            names.add(&At::default().key("origin").index(i).key("name"), &origin.name, Upstream::Origin(i), report);
        }
        for (i, group) in groups.iter().enumerate() {
            names.add(&At::default().key("origin_group").index(i).key("name"), &group.name, Upstream::Group(i), report);
        }
        names
    }

    fn add(&mut self, at: &At, name: &str, upstream: Upstream, report: &mut Report<'_>) {
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            report.refuse(at, "a name has 1 to 64 characters");
        } else if self.known.contains_key(name) {
            report.refuse(at, format!("the name '{name}' is taken"));
        } else {
            self.known.insert(name.to_owned(), upstream);
            self.order.push(name.to_owned());
        }
    }

    pub(super) fn find(&self, at: &At, name: &str, report: &mut Report<'_>) -> Checked<Upstream> {
        let known = self.order.iter().map(String::as_str);
        self.known.get(name).copied().ok_or_else(|| report.unknown(at, "origin", name, known))
    }

    /// Whether a function or a table answers.
    pub(super) fn is_called(&self, upstream: Upstream) -> bool {
        matches!(upstream, Upstream::Origin(id) if self.called.get(id).copied().unwrap_or(false))
    }

    /// The only origin, when there is exactly one.
    pub(super) fn only(&self) -> Option<Upstream> {
        match self.known.values().filter(|upstream| matches!(upstream, Upstream::Origin(_))).collect::<Vec<_>>()[..] {
            [one] => Some(*one),
            _ => None,
        }
    }
}

pub(super) fn groups(
    groups: Vec<schema::OriginGroup>,
    names: &Names,
    report: &mut Report<'_>,
) -> Checked<Vec<OriginGroup>> {
    let each = groups.into_iter().enumerate().map(|(i, group)| {
        let at = At::default().key("origin_group").index(i);
        let members = at.key("origins");
        if group.origins.is_empty() {
            return Err(report.refuse(&members, format!("group '{}' has no origins", group.name)));
        }
        let found = group.origins.iter().enumerate().map(|(i, name)| member(&members.index(i), name, names, report));
        let found = all(found.collect::<Vec<_>>());
        let failover = report.error_statuses(&at.key("failover"), &group.failover);
        let found = found?;
        if let Some(twice) =
            (1..found.len()).find(|i| found.get(..*i).is_some_and(|before| before.contains(&found[*i])))
        {
            return Err(report.refuse(&members.index(twice), "this origin is in the group already"));
        }
        Ok(OriginGroup { name: group.name, members: found, failover: failover? })
    });
    all(each.collect::<Vec<_>>())
}

fn member(at: &At, name: &str, names: &Names, report: &mut Report<'_>) -> Checked<OriginId> {
    match names.find(at, name, report)? {
        Upstream::Origin(origin) => Ok(origin),
        Upstream::Group(_) => Err(report.refuse(at, format!("'{name}' is a group: a group has origins only"))),
    }
}

/// `functions`: what functions may be granted, and the most memory one may have.
pub(super) fn origins(
    origins: Vec<schema::Origin>,
    functions: (&Known, u64),
    report: &mut Report<'_>,
) -> Checked<Vec<Origin>> {
    let each = origins.into_iter().enumerate();
    all(each
        .map(|(i, origin)| self::origin(&At::default().key("origin").index(i), origin, functions, report))
        .collect::<Vec<_>>())
}

fn origin(at: &At, origin: schema::Origin, functions: (&Known, u64), report: &mut Report<'_>) -> Checked<Origin> {
    if let Some((key, kind)) = within(at, &origin, functions, report)? {
        let senseless = SERVER_KEYS.into_iter().chain(WITHIN_KEYS).filter(|other| *other != key);
        for other in senseless.filter(|other| matches!(key, "generated" | "dynamodb") || *other != "headers") {
            if report.written(&at.key(other)) {
                report.refuse(&at.key(other), format!("'{other}' means nothing beside '{key}'"));
            }
        }
        let headers = headers(at, &origin, report)?;
        return Ok(Origin { name: origin.name, kind, headers, path: String::new(), tier: Tier::default() });
    }
    let headers = headers(at, &origin, report);
    let tier = tier(at, &origin, report);
    let (targets, path) = target::targets(at, &origin, report)?;
    if let Some(sign) = &origin.sign {
        for key in UNSIGNED_KEYS {
            if report.written(&at.key(key)) {
                report.refuse(&at.key(key), format!("'{key}' means nothing beside 'sign'"));
            }
        }
        let signed = integration::signed(&at.key("sign"), sign, &origin, &targets, report)?;
        let kind = OriginKind::Signed(Arc::new(signed));
        return Ok(Origin { name: origin.name, kind, headers: headers?, path, tier: tier? });
    }
    let kind = OriginKind::Http(Box::new(http(at, &origin, targets, report)?));
    Ok(Origin { name: origin.name, kind, headers: headers?, path, tier: tier? })
}

fn tier(at: &At, origin: &schema::Origin, report: &mut Report<'_>) -> Checked<Tier> {
    if origin.ask_peers > ASK_PEERS_MAX {
        report.refuse(&at.key("ask_peers"), format!("at most {ASK_PEERS_MAX}: each costs the viewer a round trip"));
    }
    let shield = origin.shield.as_ref().map(|code| {
        let good = (1..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
        match good {
            true => Ok(code.to_ascii_uppercase()),
            false => {
                let help = "the code of a PoP, like \"FRA\"";
                Err(report.refuse_with(&at.key("shield"), format!("'{code}' is no PoP"), help))
            }
        }
    });
    Ok(Tier { shield: shield.transpose()?, ask_peers: origin.ask_peers })
}

/// The origin's kind, if it is inside this process, and the key that says so.
fn within(
    at: &At,
    origin: &schema::Origin,
    functions: (&Known, u64),
    report: &mut Report<'_>,
) -> Checked<Option<(&'static str, OriginKind)>> {
    if let Some(generated) = &origin.generated {
        let generated = self::generated(&at.key("generated"), generated, report)?;
        return Ok(Some(("generated", OriginKind::Generated(Arc::new(generated)))));
    }
    if let Some(lambda) = &origin.lambda {
        let lambda = integration::lambda(&at.key("lambda"), lambda, report)?;
        return Ok(Some(("lambda", OriginKind::Lambda(Arc::new(lambda)))));
    }
    if !origin.dynamodb.0.is_empty() {
        let table = table::origin(&at.key("dynamodb"), &origin.dynamodb.0, report)?;
        return Ok(Some(("dynamodb", OriginKind::Table(Arc::new(table)))));
    }
    if let Some(written) = &origin.function {
        let function = function::origin(&at.key("function"), &origin.name, written, functions, report)?;
        return Ok(Some(("function", OriginKind::Function(Arc::new(function)))));
    }
    Ok(None)
}

/// Fields that every request to the origin gets. Those that stand elsewhere (`env:`, `file:`) are sensitive: functions see their names.
fn headers(
    at: &At,
    origin: &schema::Origin,
    report: &mut Report<'_>,
) -> Checked<Vec<(HeaderName, Secret<HeaderValue>)>> {
    let headers = at.key("headers");
    let each = origin.headers.iter().map(|(name, value)| {
        let at = headers.key(name);
        let name = match report.settable_name(&at, name) {
            Ok(name) if name == HOST => {
                Err(report.refuse_with(&at, "two ways to say one thing", "use the origin's 'host'"))
            }
            name => name,
        };
        let secret = report.reference(&at, &value.0)?;
        let mut line = HeaderValue::from_str(secret.as_ref().unwrap_or(&value.0)).map_err(|_| -> Refused {
            report.refuse_hidden(&at, "a header value is one line of visible text", "this one, once resolved, is not")
        })?;
        line.set_sensitive(secret.is_some());
        Ok((name?, Secret::new(line)))
    });
    all(each.collect::<Vec<_>>())
}

fn http(at: &At, origin: &schema::Origin, targets: Vec<Target>, report: &mut Report<'_>) -> Checked<HttpOrigin> {
    let https = targets.iter().any(|target| target.tls);
    let host = match origin.host.as_str() {
        "origin" => Ok(HostHeader::Origin),
        "viewer" => Ok(HostHeader::Viewer),
        fixed => match fixed.parse::<http::uri::Authority>() {
            Ok(_) if !fixed.contains('@') => report.header_value(&at.key("host"), fixed).map(HostHeader::Fixed),
            _ => Err(report.refuse_with(
                &at.key("host"),
                format!("'{fixed}' is no host"),
                "\"origin\", \"viewer\" or a name",
            )),
        },
    };
    let timeouts = at.key("timeouts");
    let connect_timeout = report.positive(&timeouts.key("connect"), origin.timeouts.connect.get());
    let read_timeout = report.positive(&timeouts.key("read"), origin.timeouts.read.get());
    let write_timeout = report.positive(&timeouts.key("write"), origin.timeouts.write.get());
    if !(1..=MAX_ATTEMPTS).contains(&origin.attempts) {
        report.refuse(&at.key("attempts"), format!("attempts are 1 to {MAX_ATTEMPTS}"));
    }
    let protocol = match origin.protocol {
        schema::Protocol::H1 => Ok(UpstreamProtocol::H1),
        schema::Protocol::H2 => Ok(UpstreamProtocol::H2),
        schema::Protocol::Negotiate if targets.iter().all(|target| target.tls) => Ok(UpstreamProtocol::Negotiate),
        schema::Protocol::Negotiate => Err(report.refuse_with(
            &at.key("protocol"),
            "only TLS can negotiate",
            "use https targets, \"h1\" or \"h2\"",
        )),
    };
    if !https && report.written(&at.key("tls")) {
        report.warn(&at.key("tls"), format!("origin '{}' has no https target: 'tls' has no effect", origin.name));
    }
    if https && !origin.tls.verify {
        report.warn(
            &at.key("tls").key("verify"),
            format!("origin '{}' is not verified: anyone may pose as it", origin.name),
        );
    }
    let tls = tls(&at.key("tls"), &origin.tls, report);
    let dns = dns(&at.key("dns"), &origin.dns, report);
    let health = origin.health.as_ref().map(|written| health(&at.key("health"), written, report)).transpose();
    let eject = origin.eject.as_ref().map(|written| eject(&at.key("eject"), written, report)).transpose();
    Ok(HttpOrigin {
        targets,
        host: host?,
        balance: match origin.balance {
            schema::Balance::RoundRobin => Balance::RoundRobin,
            schema::Balance::Random => Balance::Random,
            schema::Balance::Consistent => Balance::Consistent,
        },
        protocol: protocol?,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        write_timeout: write_timeout?,
        keepalive_timeout: origin.timeouts.keepalive.get(),
        attempts: origin.attempts,
        tls: tls?,
        dns: dns?,
        health: health?,
        eject: eject?,
    })
}

fn tls(at: &At, tls: &schema::OriginTls, report: &mut Report<'_>) -> Checked<OriginTls> {
    let ca = tls.ca.as_ref().map(|path| report.certificates(&at.key("ca"), path)).transpose();
    let client = match (&tls.cert, &tls.key) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => {
            let chain = report.certificates(&at.key("cert"), chain);
            let key = report.private_key(&at.key("key"), key);
            chain.and_then(|chain| Ok(Some(Certificate { chain, key: key? })))
        }
        (Some(_), None) => Err(report.refuse(&at.key("cert"), "a certificate needs its 'key'")),
        (None, Some(_)) => Err(report.refuse(&at.key("key"), "a key needs its 'cert'")),
    };
    Ok(OriginTls { verify: tls.verify, sni: tls.sni.clone(), ca: ca?, client: client? })
}

fn dns(at: &At, dns: &schema::Dns, report: &mut Report<'_>) -> Checked<Dns> {
    if dns.min_ttl > dns.max_ttl {
        return Err(report.refuse(at, format!("min_ttl ({}) is more than max_ttl ({})", dns.min_ttl, dns.max_ttl)));
    }
    let servers = at.key("servers");
    let each = dns.servers.iter().enumerate().map(|(i, text)| {
        let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let read = text.parse::<SocketAddr>().or_else(|_| bare());
        read.map_err(|_| report.refuse(&servers.index(i), format!("'{text}' is no resolver address, like \"1.1.1.1\"")))
    });
    let servers = all(each.collect::<Vec<_>>())?;
    Ok(Dns { min_ttl: dns.min_ttl.get(), max_ttl: dns.max_ttl.get(), servers })
}

pub(super) fn health(at: &At, health: &schema::Health, report: &mut Report<'_>) -> Checked<Health> {
    if !health.path.starts_with('/') || health.path.parse::<http::uri::PathAndQuery>().is_err() {
        report.refuse(&at.key("path"), format!("'{}' is no path: it starts with \"/\"", health.path));
    }
    let host = health.host.as_ref().map(|host| report.header_value(&at.key("host"), host)).transpose();
    if health.timeout > health.interval {
        report.refuse(
            &at.key("timeout"),
            format!("timeout ({}) is more than interval ({})", health.timeout, health.interval),
        );
    }
    if health.statuses.is_empty() {
        report.refuse(&at.key("statuses"), "no status is well: every target would be down");
    }
    let interval = report.positive(&at.key("interval"), health.interval.get());
    let timeout = report.positive(&at.key("timeout"), health.timeout.get());
    let rise = report.positive(&at.key("rise"), health.rise);
    let fall = report.positive(&at.key("fall"), health.fall);
    Ok(Health {
        path: health.path.clone(),
        host: host?,
        interval: interval?,
        timeout: timeout?,
        statuses: fields::ranges(&health.statuses),
        rise: rise?,
        fall: fall?,
    })
}

fn eject(at: &At, eject: &schema::Eject, report: &mut Report<'_>) -> Checked<Eject> {
    let failures = report.positive(&at.key("failures"), eject.failures);
    let window = report.positive(&at.key("window"), eject.window.get());
    let rest = report.positive(&at.key("rest"), eject.rest.get());
    Ok(Eject { failures: failures?, window: window?, rest: rest?, max_percent: eject.max_percent.get() })
}

fn generated(at: &At, written: &schema::Generated, report: &mut Report<'_>) -> Checked<Generated> {
    let status = report.status(&at.key("status"), written.status, 200, 599);
    let each = written.headers.iter().map(|(name, value)| {
        let at = at.key("headers").key(name);
        let name = report.settable_name(&at, name);
        let value = report.header_value(&at, value);
        Ok((name?, value?))
    });
    let headers = all(each.collect::<Vec<_>>());
    let (body, kind) = match (&written.body, &written.body_file) {
        (Some(_), Some(_)) => {
            return Err(report.refuse(&at.key("body_file"), "'body' and 'body_file' say the same: write one of them"));
        }
        (Some(body), None) => (body.clone().into(), Some(HeaderValue::from_static("text/plain; charset=utf-8"))),
        (None, Some(path)) => report.content(&at.key("body_file"), path).map(|(body, kind)| (body, Some(kind)))?,
        (None, None) => (bytes::Bytes::new(), None),
    };
    let (status, mut headers) = (status?, headers?);
    // RFC 9110 §15.3.5, §15.4.5: these answers have no content.
    if matches!(status.as_u16(), 204 | 304) && !body.is_empty() {
        return Err(report.refuse(&at.key("status"), format!("an answer {status} has no body")));
    }
    if let Some(kind) = kind
        && !headers.iter().any(|(name, _)| name == CONTENT_TYPE)
    {
        headers.push((CONTENT_TYPE, kind));
    }
    Ok(Generated { status, headers, body })
}
