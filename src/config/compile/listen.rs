//! Listen: `[pop]`, `[[listener]]` and `[limits]` become addresses, certificates and bounds.
//!
//! In: schema. Out: compiled. Never: sockets opened, keys matched with certificates (the listen room does both).

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Checked, Refused, Report, all};
use crate::config::compiled::{Certificate, ClientAuth, Limits, Listener, Pop, Tls, TlsVersion};
use crate::config::schema;
use crate::config::source::At;

/// Where viewers are accepted when nothing says where: reachable from this machine only.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

pub(super) fn pop(pop: schema::Pop, report: &mut Report<'_>) -> Checked<Pop> {
    let at = At::default().key("pop");
    let code = pop.code.to_ascii_uppercase();
    let shaped = (3..=16).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !shaped {
        let message = format!("'{}' is no PoP code", pop.code);
        return Err(report.refuse_with(
            &at.key("code"),
            message,
            "3 to 16 letters, digits or '-', best an IATA code like \"FRA\"",
        ));
    }
    Ok(Pop {
        code,
        threads: pop.threads,
        state_dir: report.path(&at.key("state_dir"), &pop.state_dir),
        drain: pop.drain.get(),
    })
}

pub(super) fn listeners(
    pop: &schema::Pop,
    tables: Vec<schema::Listener>,
    report: &mut Report<'_>,
) -> Checked<Vec<Listener>> {
    let at = At::default().key("pop").key("listen");
    let default = || if tables.is_empty() { vec![DEFAULT_ADDRESS.to_owned()] } else { vec![] };
    let plain = pop.listen.clone().unwrap_or_else(default);
    if plain.is_empty() && tables.is_empty() {
        return Err(report.refuse(&at, "no address to listen on"));
    }

    let mut places = Vec::new();
    let mut listeners = Vec::new();
    for (i, address) in plain.iter().enumerate() {
        let address = report.address(&at.index(i), address);
        places.push(at.index(i));
        listeners.push(address.map(|address| Listener { address, tls: None, h2: true, trusted_proxies: vec![] }));
    }
    for (i, table) in tables.into_iter().enumerate() {
        let at = At::default().key("listener").index(i);
        listeners.push(listener(&at, table, report));
        places.push(at.key("address"));
    }

    let addresses: Vec<Option<SocketAddr>> = listeners.iter().map(|l| l.as_ref().ok().map(|l| l.address)).collect();
    for (i, (listener, at)) in listeners.iter_mut().zip(&places).enumerate() {
        let earlier = addresses.iter().take(i).flatten();
        if matches!(listener, Ok(l) if earlier.clone().any(|other| clash(*other, l.address))) {
            *listener = Err(report.refuse(at, "this address is listened on already"));
        }
    }
    all(listeners)
}

/// Whether two sockets cannot both be bound. Port 0 asks the system for a free port: twice is two ports.
pub(super) fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || a.is_ipv4() == b.is_ipv4() && everywhere)
}

fn listener(at: &At, table: schema::Listener, report: &mut Report<'_>) -> Checked<Listener> {
    let address = report.address(&at.key("address"), &table.address);
    let tls = table.tls.map(|tls_table| tls(&at.key("tls"), tls_table, report)).transpose();
    let trusted_proxies = networks(&at.key("trusted_proxies"), &table.trusted_proxies, report);
    Ok(Listener { address: address?, tls: tls?, h2: table.h2, trusted_proxies: trusted_proxies? })
}

fn networks(at: &At, texts: &[String], report: &mut Report<'_>) -> Checked<Vec<IpNet>> {
    let each = texts.iter().enumerate();
    let blocks =
        each.map(|(i, text)| match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(block) if block.trunc() == block => Ok(block),
            Ok(block) => {
                let message = format!("'{text}' is an address within {}: write the one or the other", block.trunc());
                Err(report.refuse(&at.index(i), message))
            }
            Err(_) => {
                let message = format!("'{text}' is no address or CIDR block, like \"10.0.0.0/8\"");
                Err(report.refuse(&at.index(i), message))
            }
        });
    all(blocks.collect::<Vec<_>>())
}

fn tls(at: &At, table: schema::ListenerTls, report: &mut Report<'_>) -> Checked<Tls> {
    let list = at.key("certificates");
    if table.certificates.is_empty() {
        report.refuse(&list, "TLS needs at least one certificate");
    }
    let certificates: Vec<_> = table
        .certificates
        .iter()
        .enumerate()
        .map(|(i, pair)| {
            let chain = report.certificates(&list.index(i).key("cert"), &pair.cert);
            let key = report.private_key(&list.index(i).key("key"), &pair.key);
            Ok(Certificate { chain: chain?, key: key? })
        })
        .collect();
    let client_auth = client_auth(at, &table, report);
    let min_version = match table.min_version {
        schema::TlsVersion::V1_2 => TlsVersion::V1_2,
        schema::TlsVersion::V1_3 => TlsVersion::V1_3,
    };
    Ok(Tls { certificates: all(certificates)?, client_auth: client_auth?, min_version })
}

fn client_auth(at: &At, table: &schema::ListenerTls, report: &mut Report<'_>) -> Checked<ClientAuth> {
    use schema::ClientAuth as Written;
    let ca = at.key("client_ca");
    match (table.client_auth, &table.client_ca) {
        (Written::None, None) => Ok(ClientAuth::None),
        (Written::None, Some(_)) => Err(report.refuse_with(
            &ca,
            "authorities without a question: 'client_auth' is \"none\"",
            "write client_auth = \"required\" or \"optional\"",
        )),
        (_, None) => Err(report.refuse_with(
            &at.key("client_auth"),
            "who signs the viewers' certificates?",
            "add client_ca = \"ca.pem\"",
        )),
        (Written::Optional, Some(path)) => Ok(ClientAuth::Optional { ca: report.certificates(&ca, path)? }),
        (Written::Required, Some(path)) => Ok(ClientAuth::Required { ca: report.certificates(&ca, path)? }),
    }
}

pub(super) fn limits(written: schema::Limits, report: &mut Report<'_>) -> Checked<Limits> {
    let at = At::default().key("limits");
    let limits = Limits {
        connections: written.connections,
        connections_per_address: written.connections_per_address,
        connections_exempt: networks(&at.key("connections_exempt"), &written.connections_exempt, report)?,
        header_timeout: written.header_timeout.get(),
        header_count: written.header_count,
        header_size: bytes(&at.key("header_size"), written.header_size.get(), report)?,
        uri_size: bytes(&at.key("uri_size"), written.uri_size.get(), report)?,
        idle_timeout: written.idle_timeout.get(),
        body_timeout: written.body_timeout.get(),
        body_min_rate: written.body_min_rate.get(),
        body_grace: written.body_grace.get(),
        body_size: written.body_size.get(),
        signed_bodies: usize::try_from(written.signed_bodies.get()).unwrap_or(usize::MAX),
        signed_bodies_per_address: usize::try_from(written.signed_bodies_per_address.get()).unwrap_or(usize::MAX),
        signed_body_timeout: written.signed_body_timeout.get(),
        write_timeout: written.write_timeout.get(),
        requests_per_connection: written.requests_per_connection,
        h2_streams: written.h2_streams,
        h2_resets: written.h2_resets,
        h2_reset_window: written.h2_reset_window.get(),
    };
    let checks = [
        report.positive(&at.key("connections"), limits.connections).map(drop),
        report.positive(&at.key("connections_per_address"), limits.connections_per_address).map(drop),
        report.positive(&at.key("header_timeout"), limits.header_timeout).map(drop),
        report.positive(&at.key("header_count"), limits.header_count).map(drop),
        report.positive(&at.key("uri_size"), limits.uri_size).map(drop),
        report.positive(&at.key("idle_timeout"), limits.idle_timeout).map(drop),
        report.positive(&at.key("body_timeout"), limits.body_timeout).map(drop),
        report.positive(&at.key("signed_body_timeout"), limits.signed_body_timeout).map(drop),
        report.positive(&at.key("write_timeout"), limits.write_timeout).map(drop),
        report.positive(&at.key("requests_per_connection"), limits.requests_per_connection).map(drop),
        report.positive(&at.key("h2_streams"), limits.h2_streams).map(drop),
        report.positive(&at.key("h2_resets"), limits.h2_resets).map(drop),
        report.positive(&at.key("h2_reset_window"), limits.h2_reset_window).map(drop),
        at_most(
            limits.uri_size,
            limits.header_size,
            "a target longer than 'header_size' cannot arrive",
            &at.key("uri_size"),
            report,
        ),
    ];
    all(checks).map(|_| limits)
}

fn at_most(value: usize, bound: usize, message: &str, at: &At, report: &mut Report<'_>) -> Checked<()> {
    if value <= bound { Ok(()) } else { Err(report.refuse(at, message)) }
}

/// A size that is held in memory at once, at most 1 MiB.
fn bytes(at: &At, size: u64, report: &mut Report<'_>) -> Checked<usize> {
    const MOST: u64 = 1 << 20;
    usize::try_from(size).ok().filter(|_| size <= MOST).ok_or_else(|| report.refuse(at, "at most 1MiB"))
}

// === impl Report: addresses ===
impl Report<'_> {
    pub(super) fn address(&mut self, at: &At, text: &str) -> Checked<SocketAddr> {
        text.parse().map_err(|_| -> Refused {
            let help = match text.rsplit_once(':') {
                Some(("localhost", port)) => format!("write the address: \"127.0.0.1:{port}\""),
                Some(("" | "*", port)) => {
                    format!("for every address: \"0.0.0.0:{port}\", or \"[::]:{port}\" with IPv6")
                }
                _ => "an IP address and a port: \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned(),
            };
            self.refuse_with(at, format!("'{text}' is no address to listen on"), help)
        })
    }
}
