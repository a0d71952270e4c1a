//! DynamoDB: `[dynamodb]` becomes a front and its tables.
//!
//! In: schema. Out: compiled, secrets read. Never: a table opened.

use std::collections::HashSet;

use super::signer::{Service, keyed};
use super::{Checked, Report, all};
use crate::config::compiled::{
    CacheBounds, Capacity, Credentials, DynamoDb, DynamoEndpoint, DynamoFollow, DynamoIndex, DynamoKey,
    DynamoProjection, DynamoTable, Scaling, Units,
};
use crate::config::schema::{self, DynamodbSync, DynamodbView, Selection, Toggle};
use crate::config::source::At;

/// Threads and waiting requests: more would only wait elsewhere.
const THREADS_MAX: usize = 64;
const QUEUE_MAX: usize = 1 << 16;
/// Bytes of a key attribute's name (developer guide, "Naming rules").
const KEY_NAME_MAX: usize = 255;
/// Indexes of one table (developer guide, "Quotas").
const GLOBAL_MAX: usize = 20;
const LOCAL_MAX: usize = 5;
/// Units a second of one table, at most.
const UNITS_MAX: u32 = 1_000_000;

pub(super) fn dynamodb(written: schema::Dynamodb, signers: &[Service], report: &mut Report<'_>) -> Checked<DynamoDb> {
    let at = At::default().key("dynamodb");
    let listen = written.listen.as_ref().map(|text| report.address(&at.key("listen"), text)).transpose();
    let access =
        written.access.as_ref().map(|name| keyed(&at.key("access"), name, "dynamodb", signers, report)).transpose();
    if let (Ok(Some(address)), None) = (&listen, &written.access)
        && !address.ip().is_loopback()
    {
        report.refuse_with(
            &at.key("listen"),
            "tables that others can reach need signatures",
            "write access = \"name of a [[sigv4]]\", or listen on 127.0.0.1",
        );
    }
    let (endpoint, region) = endpoint(&at, &written, report)?;
    if written.account.len() != 12 || !written.account.bytes().all(|b| b.is_ascii_digit()) {
        report.refuse(&at.key("account"), format!("'{}' is no account: twelve digits", written.account));
    }
    if matches!(endpoint, DynamoEndpoint::Remote { .. }) && !written.table.is_empty() {
        report.refuse(&at.key("table"), "tables are made by the embedded engine only");
    }
    let threads = bounded(&at.key("threads"), written.threads, THREADS_MAX, report);
    let queue = bounded(&at.key("queue"), written.queue, QUEUE_MAX, report);
    let sweep = report.positive(&at.key("ttl_sweep"), written.ttl_sweep);
    let items = CacheBounds { ttl: written.items.ttl.get(), size: written.items.size.get() };
    let queries = CacheBounds { ttl: written.queries.ttl.get(), size: written.queries.size.get() };
    let cached = [items, queries].iter().any(|bounds| !bounds.ttl.is_zero() && bounds.size > 0);
    let follow = follow(&at.key("follow"), written.follow, &endpoint, cached, report);
    let mut taken = HashSet::new();
    let each = written.table.iter().enumerate();
    let tables = all(each
        .map(|(i, one)| {
            let at = at.key("table").index(i);
            if !taken.insert(one.name.as_str()) {
                report.refuse(&at.key("name"), format!("the name '{}' is taken", one.name));
            }
            table(&at, one, report)
        })
        .collect::<Vec<_>>());
    Ok(DynamoDb {
        listen: listen?,
        access: access?,
        endpoint,
        region,
        account: written.account,
        throttle: written.throttle,
        items,
        queries,
        follow: follow?,
        ttl_sweep: sweep?.get(),
        threads: threads?,
        queue: queue?,
        sync_full: written.sync == DynamodbSync::Full,
        node: String::new(),
        tables: tables?,
    })
}

fn follow(
    at: &At,
    written: Toggle<schema::DynamodbFollow>,
    endpoint: &DynamoEndpoint,
    cached: bool,
    report: &mut Report<'_>,
) -> Checked<Option<DynamoFollow>> {
    let Some(written) = written.on() else { return Ok(None) };
    if matches!(endpoint, DynamoEndpoint::Embedded) {
        let help = "leave 'follow' out: it is for another endpoint, to which others write too";
        return Err(report.refuse_with(
            at,
            "the embedded engine needs no following: all its writes come through it",
            help,
        ));
    }
    if !cached {
        let help = "give 'items' or 'queries' a ttl and a size, or leave 'follow' out";
        return Err(report.refuse_with(at, "there is nothing to follow for: both caches are off", help));
    }
    let lag = report.positive(&at.key("lag"), written.lag);
    let poll = report.positive(&at.key("poll"), written.poll);
    let (lag, poll) = (lag?, poll?);
    // What is read every `poll` is behind by that and by the time that reading takes.
    if lag.get() < poll.get() * 2 {
        return Err(report.refuse(&at.key("lag"), format!("lag ({lag}) is less than twice poll ({poll})")));
    }
    Ok(Some(DynamoFollow { lag: lag.get(), poll: poll.get() }))
}

fn bounded(at: &At, value: usize, most: usize, report: &mut Report<'_>) -> Checked<usize> {
    match report.positive(at, value)? {
        value if value > most => Err(report.refuse(at, format!("at most {most}"))),
        value => Ok(value),
    }
}

fn endpoint(at: &At, written: &schema::Dynamodb, report: &mut Report<'_>) -> Checked<(DynamoEndpoint, String)> {
    let place = at.key("endpoint");
    let region = |text: &str, at: &At, report: &mut Report<'_>| {
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match fits {
            true => Ok(text.to_owned()),
            false => Err(report.refuse(at, format!("'{text}' is no region: like \"eu-central-1\""))),
        }
    };
    let (url, region) = match (written.endpoint.as_str(), written.endpoint.strip_prefix("aws:")) {
        ("embedded", _) => {
            if written.credentials.is_some() {
                report.refuse(&at.key("credentials"), "the embedded engine is asked without credentials");
            }
            return Ok((DynamoEndpoint::Embedded, region(&written.region, &at.key("region"), report)?));
        }
        (_, Some(name)) => {
            let name = region(name, &place, report)?;
            (format!("https://dynamodb.{name}.amazonaws.com"), name)
        }
        (url, None) => {
            let plain = url.parse::<http::Uri>().ok().filter(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some()
                    && uri.path() == "/"
                    && uri.query().is_none()
            });
            if plain.is_none() {
                return Err(report.refuse(
                    &place,
                    format!("'{url}' is no endpoint: \"embedded\", \"aws:REGION\", or a URL without a path"),
                ));
            }
            (url.trim_end_matches('/').to_owned(), region(&written.region, &at.key("region"), report)?)
        }
    };
    let credentials = written.credentials.as_ref().map(|one| {
        let at = at.key("credentials");
        let access_key = report.secret(&at.key("access_key"), &one.access_key.0);
        let secret_key = report.secret(&at.key("secret_key"), &one.secret_key.0);
        let token = one.session_token.as_ref().map(|token| report.secret(&at.key("session_token"), &token.0));
        Ok(Credentials { access_key: access_key?, secret_key: secret_key?, session_token: token.transpose()? })
    });
    let credentials = credentials.transpose()?;
    if credentials.is_none() && written.endpoint.starts_with("aws:") {
        return Err(report.refuse(&place, "AWS answers signed requests only: write 'credentials'"));
    }
    Ok((DynamoEndpoint::Remote { url, credentials }, region))
}

fn table(at: &At, written: &schema::DynamodbTable, report: &mut Report<'_>) -> Checked<DynamoTable> {
    let name = name(&at.key("name"), &written.name, report);
    let hash = key(&at.key("hash"), &written.hash, report)?;
    let range = written.range.as_ref().map(|text| key(&at.key("range"), text, report)).transpose()?;
    let each = written.index.iter().enumerate();
    let indexes = all(each
        .map(|(i, one)| index(&at.key("index").index(i), one, &hash, range.as_ref(), report))
        .collect::<Vec<_>>())?;
    let local = indexes.iter().filter(|index| index.local).count();
    if local > LOCAL_MAX || indexes.len() - local > GLOBAL_MAX {
        report.refuse(&at.key("index"), format!("at most {GLOBAL_MAX} global and {LOCAL_MAX} local indexes"));
    }
    agree(at, &hash, range.as_ref(), &indexes, report);
    if written.ttl.as_ref().is_some_and(|name| name.is_empty() || name.len() > KEY_NAME_MAX) {
        report.refuse(&at.key("ttl"), format!("an attribute's name: 1 to {KEY_NAME_MAX} bytes"));
    }
    let capacity = match (&written.read, &written.write) {
        (Some(read), Some(write)) => {
            let read = units(&at.key("read"), *read, report);
            let write = units(&at.key("write"), *write, report);
            Some(Capacity { read: read?, write: write? })
        }
        (None, None) => None,
        _ => return Err(report.refuse(at, "'read' and 'write' come together, or the table is on demand")),
    };
    let stream = written.stream.map(|view| match view {
        DynamodbView::KeysOnly => "KEYS_ONLY",
        DynamodbView::NewImage => "NEW_IMAGE",
        DynamodbView::OldImage => "OLD_IMAGE",
        DynamodbView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
    });
    Ok(DynamoTable {
        name: name?,
        hash,
        range,
        indexes,
        stream,
        ttl: written.ttl.clone(),
        global: written.global,
        capacity,
    })
}

fn name(at: &At, text: &str, report: &mut Report<'_>) -> Checked<String> {
    let fits = (3..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match fits {
        true => Ok(text.to_owned()),
        false => Err(report.refuse(at, format!("'{text}' is no name: 3 to 255 of letters, digits, '-', '_' and '.'"))),
    }
}

/// "pk:S"
fn key(at: &At, text: &str, report: &mut Report<'_>) -> Checked<DynamoKey> {
    let found = text.rsplit_once(':').and_then(|(name, kind)| {
        let kind = ["S", "N", "B"].into_iter().find(|known| *known == kind)?;
        ((1..=KEY_NAME_MAX).contains(&name.len())).then(|| DynamoKey { name: name.to_owned(), kind })
    });
    found.ok_or_else(|| report.refuse(at, format!("'{text}' is no key: a name and S, N or B, like \"pk:S\"")))
}

fn index(
    at: &At,
    written: &schema::DynamodbIndex,
    hash: &DynamoKey,
    range: Option<&DynamoKey>,
    report: &mut Report<'_>,
) -> Checked<DynamoIndex> {
    let name = name(&at.key("name"), &written.name, report);
    let own = written.hash.as_ref().map(|text| key(&at.key("hash"), text, report)).transpose()?;
    let sort = written.range.as_ref().map(|text| key(&at.key("range"), text, report)).transpose()?;
    let local = own.is_none();
    if local && (sort.is_none() || range.is_none()) {
        return Err(report.refuse_with(
            at,
            "a local index has a sort key, and so has its table",
            "write 'range', or 'hash' for a global index",
        ));
    }
    let projection = match &written.projection {
        Selection::All => DynamoProjection::All,
        Selection::None => DynamoProjection::KeysOnly,
        Selection::Only(names) if (1..=20).contains(&names.len()) => DynamoProjection::Include(names.clone()),
        _ => return Err(report.refuse(&at.key("projection"), "\"all\", \"none\", or a list of 1 to 20 attributes")),
    };
    Ok(DynamoIndex { name: name?, local, hash: own.unwrap_or_else(|| hash.clone()), range: sort, projection })
}

/// An attribute has one type, and an index one name.
fn agree(at: &At, hash: &DynamoKey, range: Option<&DynamoKey>, indexes: &[DynamoIndex], report: &mut Report<'_>) {
    let mut keys: Vec<&DynamoKey> = std::iter::once(hash).chain(range).collect();
    for (i, index) in indexes.iter().enumerate() {
        let at = at.key("index").index(i);
        if indexes.iter().take(i).any(|other| other.name == index.name) {
            report.refuse(&at.key("name"), format!("the name '{}' is taken", index.name));
        }
        for key in std::iter::once(&index.hash).chain(&index.range) {
            if keys.iter().any(|known| known.name == key.name && known.kind != key.kind) {
                report.refuse(&at, format!("'{}' has another type elsewhere in the table", key.name));
            }
            keys.push(key);
        }
    }
}

fn units(at: &At, written: schema::DynamodbUnits, report: &mut Report<'_>) -> Checked<Units> {
    let scaling = match (written.min, written.max) {
        (Some(min), Some(max)) if 1 <= min && min <= max => {
            let target = written.target.get();
            if !(20..=90).contains(&target) {
                return Err(report.refuse(&at.key("target"), "from 20 to 90"));
            }
            Some(Scaling { min, max, target })
        }
        (Some(_), Some(_)) => return Err(report.refuse(at, "'min' is at least 1, and at most 'max'")),
        (None, None) => None,
        _ => return Err(report.refuse(at, "'min' and 'max' come together")),
    };
    match written.units.or(written.min) {
        Some(units) if units == 0 || units > UNITS_MAX => {
            Err(report.refuse(&at.key("units"), format!("1 to {UNITS_MAX} units")))
        }
        Some(units) => Ok(Units { units, scaling }),
        None => Err(report.refuse(at, "write 'units', or 'min' and 'max'")),
    }
}
