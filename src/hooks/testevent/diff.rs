//! Diff: what a call changed, for people.
//!
//! In: an exchange before and after. Out: lines that begin with `+`, `-` or `~`; none when nothing changed. Never: a secret.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue};

use crate::config::compiled::Generated;
use crate::hooks::compat::seen;
use crate::hooks::exchange::{Edit, Exchange, OriginChange, OriginPatch};

/// Characters of a body that are shown.
const SHOWN: usize = 200;

pub fn diff(before: &Exchange, after: &Exchange) -> String {
    let mut out = String::new();
    changed(&mut out, "uri", &before.request.uri, &after.request.uri);
    changed(&mut out, "query", &before.request.query, &after.request.query);
    if let (Some(was), Some(is)) = (&before.response, &after.response) {
        changed(&mut out, "status", was.status.as_str(), is.status.as_str());
        fields(&mut out, &was.headers, &is.headers);
    } else {
        fields(&mut out, &before.request.headers, &after.request.headers);
    }
    for edit in after.edits() {
        match edit {
            Edit::Body(data) => _ = writeln!(out, "~ body: {}", body(data)),
            Edit::Origin(change) => _ = writeln!(out, "~ origin: {}", origin(change)),
            _ => {}
        }
    }
    if let Some(answer) = after.answer() {
        generated(&mut out, answer);
    }
    out
}

fn changed(out: &mut String, name: &str, was: &str, is: &str) {
    if was != is {
        _ = writeln!(out, "~ {name}: {was} -> {is}");
    }
}

fn fields(out: &mut String, was: &HeaderMap, is: &HeaderMap) {
    let lines = |map: &HeaderMap, name| map.get_all(name).iter().map(text).collect::<Vec<_>>();
    let new = is.keys().filter(|name| !was.contains_key(*name));
    for name in was.keys().chain(new) {
        let (old, new) = (lines(was, name), lines(is, name));
        if old == new {
            continue;
        }
        // Lines that stayed are not told.
        let stayed = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        old[stayed..].iter().for_each(|line| _ = writeln!(out, "- {name}: {line}"));
        new[stayed..].iter().for_each(|line| _ = writeln!(out, "+ {name}: {line}"));
    }
}

fn text(value: &HeaderValue) -> String {
    seen(value.as_bytes()).into_owned()
}

fn body(data: &[u8]) -> String {
    let size = format!("{} bytes", data.len());
    match std::str::from_utf8(data) {
        Ok("") => size,
        Ok(text) => {
            let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
            format!("{size} \"{shown}{}\"", if text.chars().nth(SHOWN).is_some() { "…" } else { "" })
        }
        Err(_) => size,
    }
}

fn origin(change: &OriginChange) -> String {
    let patch = match change {
        OriginChange::Group { members, failover } => {
            let statuses: Vec<&str> = failover.iter().map(http::StatusCode::as_str).collect();
            return format!("group of {}, next on {}", members.join(", "), statuses.join(", "));
        }
        OriginChange::To(patch) => patch,
    };
    let OriginPatch { base, host, port, tls, path, host_header, sni, headers, connect_timeout, read_timeout, attempts } =
        patch;
    let mut parts: Vec<String> = Vec::new();
    parts.extend(base.iter().map(|name| format!("\"{name}\"")));
    parts.extend(host.iter().map(|host| format!("host {host}")));
    parts.extend(port.iter().map(|port| format!("port {port}")));
    parts.extend(tls.iter().map(|tls| (if *tls { "https" } else { "http" }).to_owned()));
    parts.extend(path.iter().map(|path| format!("path \"{path}\"")));
    parts.extend(host_header.iter().map(|host| format!("Host {host}")));
    parts.extend(sni.iter().map(|name| format!("SNI {name}")));
    parts.extend(connect_timeout.iter().map(|time| format!("connect timeout {time:?}")));
    parts.extend(read_timeout.iter().map(|time| format!("read timeout {time:?}")));
    parts.extend(attempts.iter().map(|n| format!("{n} attempts")));
    for (name, value) in headers.iter().flatten() {
        parts.push(format!("{name}: {}", if value.is_sensitive() { "***".to_owned() } else { text(value) }));
    }
    if headers.as_ref().is_some_and(Vec::is_empty) {
        parts.push("no headers of its own".to_owned());
    }
    parts.join(", ")
}

fn generated(out: &mut String, answer: &Generated) {
    _ = writeln!(out, "+ answer: {}", answer.status.as_str());
    for (name, value) in &answer.headers {
        _ = writeln!(out, "+   {name}: {}", text(value));
    }
    _ = writeln!(out, "+   body: {}", body(&answer.body));
}
