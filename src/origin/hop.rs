//! Hop: decides which fields end at this proxy, and how the proxy names itself.
//!
//! In: a message's fields, the PoP's code. Out: the fields without one connection's own (RFC 9110 §7.6.1), `Via` with us.
//! Never: touches `Transfer-Encoding` of an answer: pingora frames by it.

use std::fmt::{self, Display, Write};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version};
use smallvec::SmallVec;

use crate::config::compiled::{KeyPolicy, Select};
use crate::message::Fields;

/// Times our own name may stand in `Via` before a request is refused (508). Not 1: a request may well pass one PoP twice,
/// as edge and as shield.
pub const LOOPS_MAX: usize = 3;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A list field being put together, without an allocation if it is short.
#[derive(Default)]
struct Line(SmallVec<[u8; 128]>);

/// Of one connection, whether `Connection` names them or not.
const OURS: [HeaderName; 6] =
    [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::UPGRADE, HTTP2_SETTINGS];

/// Removes the hop-by-hop fields and those that `Connection` names. An end-to-end field's life does not depend on a
/// `Connection` that names it where pingora needs the field: those requests it refuses itself.
pub fn strip(fields: &mut HeaderMap) {
    let named: SmallVec<[HeaderName; 4]> = tokens(fields, header::CONNECTION).collect();
    for name in named.iter().filter(|name| **name != header::TRANSFER_ENCODING && **name != header::CONTENT_LENGTH) {
        fields.remove(name);
    }
    for name in &OURS {
        fields.remove(name);
    }
}

/// Makes the head of an aws-chunked body (SigV4) that of what is in it: `length` bytes.
pub fn unchunk(fields: &mut HeaderMap, length: u64) {
    let codings: Vec<String> = fields
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .map(str::to_owned)
        .collect();
    fields.remove(header::CONTENT_ENCODING);
    if let Ok(rest) = HeaderValue::from_str(&codings.join(", "))
        && !rest.is_empty()
    {
        fields.insert(header::CONTENT_ENCODING, rest);
    }
    fields.remove(header::TRANSFER_ENCODING);
    fields.remove("x-amz-decoded-content-length");
    fields.remove("x-amz-trailer");
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// Whether `Connection` names a field that the cache key holds: refuse such a request (400) before the key is built.
/// RFC 9110 §7.6.1 takes the field off on the way to the origin, so the answer stored under the field's value would be the
/// answer to a request without it: anyone could put the wrong object into the cache.
pub fn hides_key(fields: &HeaderMap, key: &KeyPolicy) -> bool {
    tokens(fields, header::CONNECTION).any(|name| {
        key.headers.contains(&name) || name == header::HOST || (name == header::COOKIE && key.cookies != Select::None)
    })
}

/// Whether `Connection` names one of `names`: such a field does not reach the origin.
pub fn hides(fields: &HeaderMap, names: &[HeaderName]) -> bool {
    tokens(fields, header::CONNECTION).any(|name| names.contains(&name))
}

/// Whether `Connection` names any field that is there and would go on without it: what the origin answers may be this request's alone.
pub fn hides_some(fields: &HeaderMap) -> bool {
    tokens(fields, header::CONNECTION).any(|name| !OURS.contains(&name) && fields.contains_key(&name))
}

/// Whether a request asks for another protocol: `Connection` names the field, and no body follows (RFC 9110 §7.8). Any other `Upgrade` is
/// ignored, and so is h2c's, which asks for this one in another form (RFC 9113 §3.1 has it no more).
/// What it asks for, then; nobody behind is offered h2c either, which would be a tunnel past every rule.
pub fn upgrades(fields: &HeaderMap) -> Option<HeaderValue> {
    let framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|name| fields.contains_key(name));
    if framed || !tokens(fields, header::CONNECTION).any(|name| name == header::UPGRADE) {
        return None;
    }
    let lines = fields.get_all(header::UPGRADE).iter();
    let protocols = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let asked: Vec<&[u8]> =
        protocols.filter(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c")).collect();
    if asked.is_empty() { None } else { HeaderValue::from_bytes(&asked.join(&b", "[..])).ok() }
}

/// Puts back what [`strip`] took from a handshake that goes on.
pub fn upgrade(fields: &mut HeaderMap, protocol: HeaderValue) {
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, protocol);
}

/// Adds this hop to `Via`: `1.1 FRA.rimward (Rimward)`, with the version of the message received (RFC 9110 §7.6.3).
pub fn via(fields: &mut HeaderMap, received: Version, pop: &str) {
    let version = match received {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    push(fields, header::VIA, format_args!("{version} {pop}.rimward (Rimward)"));
}

/// Counts this hop in `Max-Forwards`, which OPTIONS and TRACE have a meaning for (RFC 9110 §7.6.2). What is no number stays.
pub fn count_down(fields: &mut HeaderMap, method: &Method) {
    if *method != Method::OPTIONS && *method != Method::TRACE {
        return;
    }
    let hops = fields.get(header::MAX_FORWARDS).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if let Some(hops) = hops {
        fields.insert(header::MAX_FORWARDS, HeaderValue::from(hops.saturating_sub(1)));
    }
}

/// Whether this request came through this PoP [`LOOPS_MAX`] times already: answer 508 (RFC 5842 §7.2).
pub fn loops(fields: &impl Fields, pop: &str) -> bool {
    let hops = fields.lines(&header::VIA).flat_map(|line| line.split(|byte| *byte == b','));
    let ours = hops.filter(|hop| {
        let by = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1).unwrap_or_default();
        let name = by.get(..pop.len()).zip(by.get(pop.len()..));
        name.is_some_and(|(code, rest)| {
            code.eq_ignore_ascii_case(pop.as_bytes()) && rest.eq_ignore_ascii_case(b".rimward")
        })
    });
    ours.count() >= LOOPS_MAX
}

/// Adds an element to a list field, keeping one line. An element that cannot be a field value is left out.
pub fn push(fields: &mut HeaderMap, name: HeaderName, element: impl Display) {
    let mut list = Line::default();
    for line in fields.get_all(&name) {
        let line = line.as_bytes().trim_ascii();
        if !line.is_empty() {
            list.0.extend_from_slice(line);
            list.0.extend_from_slice(b", ");
        }
    }
    // A buffer that grows cannot refuse.
    let _ = write!(list, "{element}");
    if let Ok(value) = HeaderValue::from_bytes(&list.0) {
        fields.insert(name, value);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The fields that the lines of `name` name, but for the words of nearly every `Connection`, which name none that anybody else has.
fn tokens(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = HeaderName> {
    let lines = fields.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
        .filter(|token| !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(':').unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.trim().parse().unwrap());
        }
        map
    }

    #[test]
    fn one_connections_fields_end_here() {
        let mut fields = map(
            "connection: close, X-Hop\nconnection: x-other\nx-hop: 1\nx-other: 2\nkeep-alive: timeout=5\nte: gzip\n\
             proxy-connection: x\nupgrade: h2c\nhttp2-settings: AA\nx-end: 3\ntransfer-encoding: chunked",
        );
        strip(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["transfer-encoding", "x-end"]);
    }

    #[test]
    fn what_asks_for_another_protocol() {
        for (lines, want) in [
            ("connection: upgrade\nupgrade: websocket", Some("websocket")),
            ("connection: keep-alive, Upgrade\nupgrade: h2c, WebSocket", Some("WebSocket")),
            ("connection: upgrade\nupgrade: h2c\nupgrade: websocket", Some("websocket")),
            ("connection: upgrade\nupgrade: foo/1.0, websocket", Some("foo/1.0, websocket")),
            // curl --http2: a form of HTTP that is not spoken here, so the request is an ordinary one (RFC 9110 §7.8).
            ("connection: Upgrade, HTTP2-Settings\nupgrade: h2c\nhttp2-settings: AA", None),
            ("connection: upgrade\nupgrade: ", None),
            ("upgrade: websocket", None),
            ("connection: upgrade\nupgrade: websocket\ncontent-length: 1", None),
        ] {
            assert_eq!(upgrades(&map(lines)), want.map(HeaderValue::from_static), "{lines}");
        }
    }

    #[test]
    fn hops_are_counted_where_they_mean_something() {
        for (method, sent, want) in [
            (Method::OPTIONS, "5", "4"),
            (Method::TRACE, "1", "0"),
            (Method::OPTIONS, "0", "0"),
            (Method::OPTIONS, "many", "many"),
            (Method::GET, "5", "5"),
        ] {
            let mut fields = map(&format!("max-forwards: {sent}"));
            count_down(&mut fields, &method);
            assert_eq!(fields["max-forwards"], want, "{method} {sent}");
        }
    }

    #[test]
    fn framing_cannot_be_named_away() {
        let mut fields = map("connection: content-length, transfer-encoding\ncontent-length: 3");
        strip(&mut fields);
        assert_eq!(fields["content-length"], "3");
    }

    #[test]
    fn a_keyed_field_cannot_be_named_away() {
        let keyed = |cookies| KeyPolicy {
            headers: vec![HeaderName::from_static("x-lang")],
            cookies,
            query: Select::None,
            sort_query: false,
            ignore_host: false,
        };
        for (name, lines, cookies, want) in [
            ("nothing named", "x-lang: de", Select::None, false),
            ("another field", "connection: close, x-other", Select::None, false),
            ("a keyed field", "connection: close, X-Lang", Select::None, true),
            ("on a second line", "connection: close\nconnection: x-lang", Select::None, true),
            ("the host", "connection: host", Select::None, true),
            ("cookies that are not keyed", "connection: cookie", Select::None, false),
            ("cookies that are", "connection: cookie", Select::All, true),
        ] {
            assert_eq!(hides_key(&map(lines), &keyed(cookies)), want, "{name}");
        }
    }

    #[test]
    fn what_is_of_one_connection_anyway_hides_nothing() {
        for (lines, want) in [
            ("", false),
            ("connection: keep-alive", false),
            ("connection: close, TE", false),
            ("connection: Upgrade, HTTP2-Settings", false),
            ("connection: close, X-Lang", false),
            ("connection: close, X-Lang\nx-lang: de", true),
            ("connection: te\nconnection: x-lang\nx-lang: de", true),
        ] {
            assert_eq!(hides_some(&map(lines)), want, "{lines}");
        }
    }

    #[test]
    fn via_grows() {
        for (name, lines, version, want) in [
            ("first", "", Version::HTTP_11, "1.1 FRA.rimward (Rimward)"),
            ("h2", "", Version::HTTP_2, "2.0 FRA.rimward (Rimward)"),
            ("after others", "via: 1.0 fred", Version::HTTP_10, "1.0 fred, 1.0 FRA.rimward (Rimward)"),
            ("lines are joined", "via: 1.0 a\nvia: 1.1 b", Version::HTTP_11, "1.0 a, 1.1 b, 1.1 FRA.rimward (Rimward)"),
        ] {
            let mut fields = map(lines);
            via(&mut fields, version, "FRA");
            assert_eq!(fields.get_all("via").iter().count(), 1, "{name}");
            assert_eq!(fields["via"], want, "{name}");
        }
    }

    #[test]
    fn loops_are_counted() {
        for (name, lines, want) in [
            ("none", "", false),
            ("once", "via: 1.1 FRA.rimward (Rimward)", false),
            ("edge and shield", "via: 1.1 FRA.rimward (Rimward), 1.1 AMS.rimward (Rimward), 1.1 FRA.rimward", false),
            ("three times over lines", "via: 1.1 FRA.rimward, 2.0 fra.RIMWARD (x)\nvia: 1.1  FRA.rimward", true),
            ("another PoP three times", "via: 1.1 AMS.rimward, 1.1 AMS.rimward, 1.1 AMS.rimward", false),
            ("only alike", "via: 1.1 FRA.rimwards, 1.1 XFRA.rimward, 1.1 FRA, 1.1 F", false),
        ] {
            assert_eq!(loops(&map(lines), "FRA"), want, "{name}");
        }
    }
}
