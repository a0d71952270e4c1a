//! Dns: `[dns]` becomes a zone and the PoPs that it leads to.
//!
//! In: schema, the PoP catalogue, a zone file. Out: compiled. Never: a socket, a question answered.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use hickory_proto::rr::{LowerName, Name};

use super::{Checked, Report, all, origin, zone};
use crate::config::catalogue;
use crate::config::compiled::{DnsHint, DnsPop, GeoDns};
use crate::config::schema;
use crate::config::source::At;

const POPS_MAX: usize = 500;
const NAMES_MAX: usize = 100;
const SERVERS_MAX: usize = 13;
const ADDRESSES_MAX: usize = 8;

pub(super) fn dns(written: schema::GeoDns, report: &mut Report<'_>) -> Checked<GeoDns> {
    let at = At::default().key("dns");
    let apex = domain(&at.key("zone"), &written.zone, report)?;
    let listen = some(&at.key("listen"), &written.listen, usize::MAX, report).and_then(|listed| {
        all(listed
            .iter()
            .enumerate()
            .map(|(i, text)| report.address(&at.key("listen").index(i), text))
            .collect::<Vec<_>>())
    });
    let ns = some(&at.key("ns"), &written.ns, SERVERS_MAX, report).and_then(|listed| {
        all(listed.iter().enumerate().map(|(i, text)| domain(&at.key("ns").index(i), text, report)).collect::<Vec<_>>())
    });
    let contact = contact(&at.key("contact"), written.contact.as_deref(), &apex, report);
    let (steered, wildcards) = names(&at.key("names"), &written.names, &apex, report)?;
    let records = match &written.records {
        Some(path) => records(&at.key("records"), path, &apex, report),
        None => Ok(Vec::new()),
    };
    let health = written.health.as_ref().map(|rule| origin::health(&at.key("health"), rule, report)).transpose();
    let listed = some(&at.key("pop"), &written.pop, POPS_MAX, report)?;
    let each = listed.iter().enumerate();
    let pops =
        all(each.map(|(i, one)| pop(&at.key("pop").index(i), one, written.health_port, report)).collect::<Vec<_>>());
    let hint = hint(&at.key("hint"), &written.hint, report);
    let rate = many(&at.key("rate"), written.rate, report);
    let connections = many(&at.key("connections"), written.connections, report);
    let ttl = report.positive(&at.key("ttl"), written.ttl.get());
    let (ns, pops, records) = (ns?, pops?, records?);
    let codes: HashSet<&str> = pops.iter().map(|pop| pop.code.as_str()).collect();
    if codes.len() < pops.len() {
        return Err(report.refuse(&at.key("pop"), "two PoPs have one code"));
    }
    // What answers with PoPs has no addresses or aliases of its own; a server within the zone has addresses.
    let named: Vec<LowerName> =
        pops.iter().filter_map(|pop| apex.prepend_label(pop.code.to_ascii_lowercase()).ok()).map(Into::into).collect();
    let taken = |name: &LowerName| steered.contains(name) || named.contains(name);
    if let Some(record) = records.iter().find(|record| zone::addresses(record) && taken(&(&record.name).into())) {
        let message =
            format!("{} is answered with a PoP's addresses: leave its A and AAAA out of this file", record.name);
        return Err(report.refuse_with(&at.key("records"), message, "[[dns.pop]] has them"));
    }
    for (i, server) in ns.iter().enumerate().filter(|(_, server)| apex.zone_of(server)) {
        let name = LowerName::from(server);
        if !taken(&name)
            && !records.iter().any(|record| zone::addresses(record) && LowerName::from(&record.name) == name)
        {
            let help = "give it an A or AAAA record in the file of `dns.records`, or use a PoP's own name";
            report.refuse_with(
                &at.key("ns").index(i),
                format!("'{server}' is within the zone and has no address"),
                help,
            );
        }
    }
    Ok(GeoDns {
        listen: listen?,
        health_tls: written.health_tls.then(|| written.zone.trim_end_matches('.').to_ascii_lowercase()),
        zone: apex,
        ns,
        contact: contact?,
        steered,
        wildcards,
        ttl: ttl?,
        nearest: written.policy == schema::DnsPolicy::Nearest,
        records,
        pops,
        health: health?,
        hint: hint?,
        rate: rate?,
        connections: connections?,
    })
}

fn some<'w, T>(at: &At, listed: &'w [T], most: usize, report: &mut Report<'_>) -> Checked<&'w [T]> {
    match listed.len() {
        0 => Err(report.refuse(at, "at least one is needed")),
        n if n > most => Err(report.refuse(at, format!("at most {most}"))),
        _ => Ok(listed),
    }
}

fn many(at: &At, written: u32, report: &mut Report<'_>) -> Checked<NonZeroU32> {
    NonZeroU32::new(written).ok_or_else(|| report.refuse(at, "must be more than 0"))
}

/// A host name in ASCII, lower case, fully qualified.
fn domain(at: &At, text: &str, report: &mut Report<'_>) -> Checked<Name> {
    let fits =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let bare = text.strip_suffix('.').unwrap_or(text);
    let name = if bare.split('.').all(fits) { Name::from_ascii(bare).ok() } else { None };
    match name {
        Some(mut name) => {
            name.set_fqdn(true);
            Ok(name.to_lowercase())
        }
        None => Err(report.refuse_with(at, format!("'{text}' is no domain name"), "like \"edge.example\"")),
    }
}

/// As an SOA record has it: the part before the "@" is one label (RFC 1035, section 8).
fn contact(at: &At, written: Option<&str>, apex: &Name, report: &mut Report<'_>) -> Checked<Name> {
    let (user, domain) = match written.map(|text| (text, text.split_once('@'))) {
        None => ("hostmaster", Ok(apex.clone())),
        Some((_, Some((user, host)))) => (user, domain(at, host, report)),
        Some((text, None)) => return Err(report.refuse(at, format!("'{text}' is no mail address"))),
    };
    let refused = |report: &mut Report<'_>| report.refuse(at, "this is no mail address");
    domain?.prepend_label(user.as_bytes()).map_err(|_| refused(report))
}

type Names = (Vec<LowerName>, Vec<LowerName>);

fn names(at: &At, written: &[String], apex: &Name, report: &mut Report<'_>) -> Checked<Names> {
    let (mut steered, mut wildcards) = (Vec::new(), Vec::new());
    for (i, text) in some(at, written, NAMES_MAX, report)?.iter().enumerate() {
        let at = at.index(i);
        let (list, below) = match text.as_str() {
            "*" => (&mut wildcards, "@"),
            text => text.strip_prefix("*.").map_or((&mut steered, text), |below| (&mut wildcards, below)),
        };
        let name = match below {
            "@" => Ok(apex.clone()),
            below => domain(&at, below, report).and_then(|mut name| {
                name.set_fqdn(false);
                name.append_domain(apex).map_err(|_| report.refuse(&at, "this name is too long"))
            }),
        };
        list.push(name?.into());
    }
    Ok((steered, wildcards))
}

fn records(at: &At, path: &str, apex: &Name, report: &mut Report<'_>) -> Checked<Vec<hickory_proto::rr::Record>> {
    let (bytes, _) = report.content(at, path)?;
    let read =
        std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8".to_owned()).and_then(|text| zone::read(text, apex));
    read.map_err(|why| report.refuse(at, format!("{path}: {why}")))
}

fn pop(at: &At, written: &schema::DnsPop, port: u16, report: &mut Report<'_>) -> Checked<DnsPop> {
    let code = written.code.to_ascii_uppercase();
    if !(1..=8).contains(&code.len()) || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(report.refuse(&at.key("code"), format!("'{code}' is no code of a PoP: letters and digits")));
    }
    let place = match (written.latitude, written.longitude, catalogue::site(&code)) {
        (Some(latitude), Some(longitude), _) => Ok((latitude, longitude)),
        (None, None, Some(site)) => Ok((site.latitude, site.longitude)),
        (None, None, None) => {
            let help = "write its 'latitude' and 'longitude'";
            Err(report.refuse_with(&at.key("code"), format!("the catalogue has no '{code}'"), help))
        }
        _ => Err(report.refuse(at, "write both 'latitude' and 'longitude', or neither")),
    };
    let (latitude, longitude) = place?;
    // Also refuses what is no number.
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return Err(report.refuse(at, "latitudes go from -90 to 90, longitudes from -180 to 180"));
    }
    let listed = some(&at.key("addresses"), &written.addresses, ADDRESSES_MAX, report)?;
    let each = listed.iter().enumerate().map(|(i, text)| {
        let refused = |_| report.refuse(&at.key("addresses").index(i), format!("'{text}' is no address"));
        text.parse::<IpAddr>().map_err(refused)
    });
    let addresses = all(each.collect::<Vec<_>>())?;
    let probe = match &written.probe {
        Some(text) => report.address(&at.key("probe"), text)?,
        None => {
            let first = addresses.first().copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
            SocketAddr::new(first, port)
        }
    };
    Ok(DnsPop { code, addresses, weight: written.weight, latitude, longitude, probe })
}

fn hint(at: &At, written: &schema::DnsHint, report: &mut Report<'_>) -> Checked<DnsHint> {
    let named = !written.protocol.is_empty() && written.protocol.bytes().all(|b| b.is_ascii_alphanumeric());
    if !named {
        return Err(report.refuse(&at.key("protocol"), "an ALPN name of letters and digits, like \"h2\""));
    }
    let max_age = report.positive(&at.key("max_age"), written.max_age.get())?;
    let port = report.positive(&at.key("port"), written.port)?;
    Ok(DnsHint { protocol: written.protocol.clone(), port, max_age })
}
