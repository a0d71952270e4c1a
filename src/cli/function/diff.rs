//! Diff: what a function made of a message, as lines that went and lines that came.
//!
//! In: the exchange before and after. Out: lines. Never: what stayed as it was.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::compiled::{Generated, Signing};
use crate::hooks::{Edit, Exchange, OriginChange, OriginPatch};

/// Bytes of a body that are shown.
const BODY_SHOWN: usize = 2048;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Gone(String),
    Come(String),
}

/// The differences, in the order of the message: its first line, its fields, its body, the origin.
pub fn lines(before: &Exchange, after: &Exchange) -> Vec<Line> {
    let mut lines = Vec::new();
    changed(&mut lines, first_line(before), first_line(after));
    fields(&mut lines, headers(before), headers(after));
    let (old, new) = (body(before), body(after));
    if old != new {
        lines.extend(old.map(|old| Line::Gone(format!("body: {}", shown(old)))));
        lines.extend(new.map(|new| Line::Come(format!("body: {}", shown(new)))));
    }
    for edit in after.edits() {
        if let Edit::Origin(change) = edit {
            lines.push(Line::Come(format!("origin: {}", origin(change))));
        }
    }
    lines
}

/// What is said of a message first: its method and target, or its status.
pub fn first_line(exchange: &Exchange) -> String {
    if let Some(response) = &exchange.response {
        return response.status.to_string();
    }
    let request = &exchange.request;
    let mark = if request.query.is_empty() { "" } else { "?" };
    format!("{} {}{mark}{}", request.method, request.uri, request.query)
}

/// An answer that a function gave by itself.
pub fn answer(answer: &Generated) -> Vec<String> {
    let mut lines = vec![answer.status.to_string()];
    lines.extend(answer.headers.iter().map(|(name, value)| field(name, value)));
    if !answer.body.is_empty() {
        lines.push(String::new());
        lines.extend(shown(&answer.body).lines().map(str::to_owned));
    }
    lines
}

/// Text as it is, its beginning when it is long, else how much there is.
pub fn shown(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) if text.len() <= BODY_SHOWN => text.to_owned(),
        Ok(text) => format!("{}… ({} bytes)", &text[..text.floor_char_boundary(BODY_SHOWN)], text.len()),
        Err(_) => format!("{} bytes", body.len()),
    }
}

/// Text for a terminal: what a guest or a viewer wrote moves no cursor and changes no colour.
pub fn printable(text: &str) -> Cow<'_, str> {
    let moves = |char: char| char.is_control() && !matches!(char, '\n' | '\t');
    if !text.contains(moves) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match moves(char) {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    Cow::Owned(out)
}

fn changed(lines: &mut Vec<Line>, old: String, new: String) {
    if old != new {
        lines.extend([Line::Gone(old), Line::Come(new)]);
    }
}

/// Lines of the same name that are on both sides are no difference, whatever their order.
fn fields(lines: &mut Vec<Line>, old: &HeaderMap, new: &HeaderMap) {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let mut come: Vec<&HeaderValue> = new.get_all(name).iter().collect();
        for value in old.get_all(name) {
            match come.iter().position(|other| *other == value) {
                Some(at) => drop(come.remove(at)),
                None => lines.push(Line::Gone(field(name, value))),
            }
        }
        lines.extend(come.into_iter().map(|value| Line::Come(field(name, value))));
    }
}

pub fn field(name: &HeaderName, value: &HeaderValue) -> String {
    format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
}

fn headers(exchange: &Exchange) -> &HeaderMap {
    exchange.response.as_ref().map_or(&exchange.request.headers, |response| &response.headers)
}

fn body(exchange: &Exchange) -> Option<&[u8]> {
    match &exchange.response {
        Some(response) => response.body.as_deref(),
        None => exchange.request.body.as_ref().map(|body| body.data.as_ref()),
    }
}

/// In the words of the configuration.
fn origin(change: &OriginChange) -> String {
    match change {
        OriginChange::To(patch) => differences(patch),
        OriginChange::Group { members, failover } => {
            let statuses: Vec<&str> = failover.iter().map(|status| status.as_str()).collect();
            let members: Vec<String> = members.iter().map(differences).collect();
            format!("group of {} on {}", members.join("; "), statuses.join(", "))
        }
    }
}

fn differences(patch: &OriginPatch) -> String {
    let OriginPatch { base, host, port, tls, path, host_header, sni, headers, .. } = patch;
    let mut parts: Vec<String> = Vec::new();
    parts.extend(base.clone());
    parts.extend(host.as_ref().map(|host| format!("host {host}")));
    parts.extend(port.map(|port| format!("port {port}")));
    parts.extend(tls.map(|tls| if tls { "https" } else { "http" }.to_owned()));
    parts.extend(path.as_ref().filter(|path| !path.is_empty()).map(|path| format!("path {path}")));
    parts.extend(host_header.as_ref().map(|host| format!("Host {host}")));
    parts.extend(sni.as_ref().map(|sni| format!("SNI {sni}")));
    parts.extend(headers.iter().flatten().map(|(name, value)| field(name, value)));
    parts.extend(patch.connect_timeout.map(|time| format!("connect_timeout {time:?}")));
    parts.extend(patch.read_timeout.map(|time| format!("read_timeout {time:?}")));
    parts.extend(patch.attempts.map(|attempts| format!("attempts {attempts}")));
    parts.extend(match &patch.signing {
        Some(Signing::Off) => Some("not signed".to_owned()),
        Some(Signing::On { service, region, .. }) => Some(format!(
            "signed for {service}{}",
            region.iter().map(|region| format!(" in {region}")).collect::<String>()
        )),
        Some(Signing::Kept { .. }) | None => None,
    });
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::function::fixture::exchange;
    use crate::hooks::Event;

    #[test]
    fn edits_are_lines_that_went_and_came() {
        let before =
            exchange(Event::OriginRequest, "GET /docs/?a=1", &[("accept", "a"), ("x-two", "1"), ("x-two", "2")]);
        let mut after = before.clone();
        after.set_uri("/docs/index.html").unwrap();
        after.set_header("accept", b"b").unwrap();
        after.append_header("x-two", b"3").unwrap();
        after.append_header("x-new", b"n").unwrap();
        after.set_body("text".into()).unwrap();
        let patch =
            OriginPatch { base: Some("origin".into()), port: Some(8443), tls: Some(true), ..Default::default() };
        after.set_origin(OriginChange::To(patch)).unwrap();
        let got: Vec<String> = lines(&before, &after)
            .into_iter()
            .map(|line| match line {
                Line::Gone(text) => format!("- {text}"),
                Line::Come(text) => format!("+ {text}"),
            })
            .collect();
        let want = [
            "- GET /docs/?a=1",
            "+ GET /docs/index.html?a=1",
            "- accept: a",
            "+ accept: b",
            "+ x-two: 3",
            "+ x-new: n",
            "+ body: text",
            "+ origin: origin, port 8443, https",
        ];
        assert_eq!(got, want);
        assert!(lines(&before, &before.clone()).is_empty());
    }

    #[test]
    fn what_moves_a_terminal_is_escaped() {
        for (text, want) in [
            ("plain é …", "plain é …"),
            ("two\n\tlines", "two\n\tlines"),
            ("\x1b]0;title\x07\x1b[2J", "\\u{1b}]0;title\\u{7}\\u{1b}[2J"),
            ("a\rb\x7f\0", "a\\rb\\u{7f}\\u{0}"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
        ] {
            assert_eq!(printable(text), want);
        }
    }

    #[test]
    fn bodies_are_shown_as_far_as_they_are_text() {
        assert_eq!(shown(b"text"), "text");
        assert_eq!(shown(&[0xff, 0xfe]), "2 bytes");
        let long = shown("é".repeat(BODY_SHOWN).as_bytes());
        assert!(long.ends_with("é… (4096 bytes)"), "{long}");
    }
}
