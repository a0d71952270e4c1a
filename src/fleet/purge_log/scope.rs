//! Scope: a purge as bytes.
//!
//! In: purges. Out: the bytes that logs and messages have, and back. Never: the stamp, which every node gives by its own clock.

use crate::cache::object::Stamp;
use crate::cache::purge::{Purge, Scope};

/// One byte of kind (bit 7: soft), then the host with a zero byte after it where the kind has one, then the rest. Host names
/// have no zero byte.
pub(in crate::fleet) fn encode(purge: &Purge) -> Vec<u8> {
    let (kind, host, rest) = match &purge.scope {
        Scope::All => (0, None, ""),
        Scope::Host(host) => (1, None, &**host),
        Scope::Url { host, uri } => (2, Some(host), &**uri),
        Scope::Prefix { host: None, path } => (3, None, &**path),
        Scope::Prefix { host: Some(host), path } => (4, Some(host), &**path),
        Scope::Tag(tag) => (5, None, &**tag),
    };
    let mut out = vec![kind | if purge.soft { 0x80 } else { 0 }];
    if let Some(host) = host {
        out.extend_from_slice(host.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

pub(in crate::fleet) fn decode(at: Stamp, bytes: &[u8]) -> Option<Purge> {
    let (first, rest) = bytes.split_first()?;
    let rest = std::str::from_utf8(rest).ok()?;
    let pair = || rest.split_once('\0').map(|(host, rest)| (host.into(), rest.into()));
    let scope = match first & 0x7f {
        0 => Scope::All,
        1 => Scope::Host(rest.into()),
        2 => pair().map(|(host, uri)| Scope::Url { host, uri })?,
        3 => Scope::Prefix { host: None, path: rest.into() },
        4 => pair().map(|(host, path)| Scope::Prefix { host: Some(host), path })?,
        5 => Scope::Tag(rest.into()),
        _ => return None,
    };
    Some(Purge { scope, soft: first & 0x80 != 0, at })
}
