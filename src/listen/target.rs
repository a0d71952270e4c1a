//! Target: what a request line's target and its Host field may look like.
//!
//! In: the bytes as sent. Out: the origin-form, the authority. Never: percent-decoding, dot segments, default ports.

use super::refuse::Refusal;

/// A request target in its one reading (RFC 9112 §3.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'b> {
    /// Path and query, or `*`.
    pub(super) origin_form: &'b str,
    /// Only of a target in absolute-form.
    pub(super) authority: Option<&'b str>,
}

const PATH: u8 = 1;
const QUERY: u8 = 2;

/// Which bytes may stand in a path and in a query: visible ASCII without those that some recipient cuts or turns
/// (`#` starts a fragment, browsers read `\` in a path as `/`) and those that the `http` crate's `Uri` cannot hold.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let path = matches!(byte as u8, 0x21 | 0x22 | 0x24..=0x3B | 0x3D | 0x40..=0x5B | 0x5D..=0x5F | 0x61..=0x7E);
        let query = matches!(byte as u8, 0x21 | 0x24..=0x3B | 0x3D | 0x3F..=0x7E);
        table[byte] = (path as u8 * PATH) | (query as u8 * QUERY);
        byte += 1;
    }
    table
}

/// Brings `sent` into origin-form. `*` is for OPTIONS alone; authority-form belongs to CONNECT, which is not served.
pub(super) fn normalise<'b>(method: &str, sent: &'b str) -> Result<Target<'b>, Refusal> {
    const INVALID: Refusal = Refusal::bad("invalid request target");
    let asterisk = method == "OPTIONS";
    if sent == "*" {
        return if asterisk { Ok(Target { origin_form: sent, authority: None }) } else { Err(INVALID) };
    }
    if sent.starts_with('/') {
        return Ok(Target { origin_form: path_and_query(sent)?, authority: None });
    }
    // RFC 9112 §3.2.2: a server must accept the absolute-form.
    let rest = strip_scheme(sent).ok_or(INVALID)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = Some(host(authority.as_bytes())?);
    match path.as_bytes().first() {
        Some(b'/') => Ok(Target { origin_form: path_and_query(path)?, authority }),
        // RFC 9112 §3.2.4: OPTIONS without a path asks about the server.
        None if asterisk => Ok(Target { origin_form: "*", authority }),
        None => Ok(Target { origin_form: "/", authority }),
        // "http://host?query" would need a new string; no viewer sends it.
        Some(_) => Err(INVALID),
    }
}

fn strip_scheme(sent: &str) -> Option<&str> {
    let (scheme, rest) = sent.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

fn path_and_query(target: &str) -> Result<&str, Refusal> {
    const INVALID: Refusal = Refusal::bad("invalid byte in the request target");
    let mut bytes = target.as_bytes().iter();
    for &byte in bytes.by_ref() {
        if byte == b'?' {
            break;
        }
        if CLASSES[usize::from(byte)] & PATH == 0 {
            return Err(INVALID);
        }
    }
    match bytes.all(|&byte| CLASSES[usize::from(byte)] & QUERY != 0) {
        true => Ok(target),
        false => Err(INVALID),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), narrower than RFC 3986: a name of letters, digits, `-`, `.`, `_` and `~`,
/// or an address in brackets; no userinfo, no percent-encoding, no sub-delimiters; a port has digits and fits 16 bits.
pub(super) fn host(value: &[u8]) -> Result<&str, Refusal> {
    const INVALID: Refusal = Refusal::bad("invalid Host");
    let name_end = if value.first() == Some(&b'[') {
        let end = value.iter().position(|&byte| byte == b']').ok_or(INVALID)?;
        let address = value[1..end].iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        if !address || end < 3 {
            return Err(INVALID);
        }
        end + 1
    } else {
        let named = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        value.iter().take_while(named).count()
    };
    let (name, port) = value.split_at(name_end);
    let port_valid = match port {
        [] => true,
        [b':', digits @ ..] => port_number(digits).is_some(),
        _ => false,
    };
    if name.is_empty() || !port_valid {
        return Err(INVALID);
    }
    std::str::from_utf8(value).map_err(|_| INVALID)
}

/// The host of an HTTP/2 request, which says it in `:authority`, in Host, or alike in both but for a scheme's own port (RFC 9113 §8.3.1).
/// One grammar and one answer for both: a function, a rule or an origin that reads the other one would see another site's request.
///
/// # Errors
/// None, more than one, two that differ, or one that is no host.
pub fn host_named<'r>(
    authority: Option<&'r str>,
    mut hosts: impl Iterator<Item = &'r [u8]>,
) -> Result<&'r str, Refusal> {
    let named = match (authority, hosts.next()) {
        (Some(authority), Some(field))
            if !without_port(field).eq_ignore_ascii_case(without_port(authority.as_bytes())) =>
        {
            return Err(Refusal::bad("Host differs from :authority"));
        }
        (Some(authority), _) => authority.as_bytes(),
        (None, Some(field)) => field,
        (None, None) => return Err(Refusal::bad("neither :authority nor Host")),
    };
    if hosts.next().is_some() {
        return Err(Refusal::bad("more than one Host"));
    }
    host(named)
}

/// The same without `:80` or `:443`.
fn without_port(host: &[u8]) -> &[u8] {
    host.strip_suffix(b":443").or_else(|| host.strip_suffix(b":80")).unwrap_or(host)
}

fn port_number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u16, |port, &byte| match byte {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_http_2() {
        let twice: &[&[u8]] = &[b"a.example", b"a.example"];
        type Row = (Option<&'static str>, &'static [&'static [u8]], Result<&'static str, &'static str>);
        let table: &[Row] = &[
            (Some("a.example:8443"), &[], Ok("a.example:8443")),
            (Some("a.example"), &[b"A.Example"], Ok("a.example")),
            (None, &[b"a.example"], Ok("a.example")),
            (None, &[], Err("neither :authority nor Host")),
            (Some("a.example"), &[b"b.example"], Err("Host differs from :authority")),
            (Some("a.example"), &[b"a.example:443"], Ok("a.example")),
            (Some("a.example:80"), &[b"a.example"], Ok("a.example:80")),
            (Some("a.example"), &[b"a.example:8443"], Err("Host differs from :authority")),
            (Some("a.example"), &[b""], Err("Host differs from :authority")),
            (Some("a.example"), twice, Err("more than one Host")),
            (None, twice, Err("more than one Host")),
            (Some("u@a.example"), &[], Err("invalid Host")),
            (None, &[b"a.example\xff"], Err("invalid Host")),
            (None, &[b""], Err("invalid Host")),
        ];
        for (authority, fields, want) in table {
            let got = host_named(*authority, fields.iter().copied()).map_err(|refusal| refusal.reason);
            assert_eq!(got, *want, "{authority:?} {fields:?}");
        }
    }

    #[test]
    fn targets() {
        for (method, sent, want) in [
            ("GET", "/", Some(("/", None))),
            ("GET", "/a/b?c=d&e=%20", Some(("/a/b?c=d&e=%20", None))),
            ("GET", "//evil/a", Some(("//evil/a", None))),
            ("GET", "/a?b?c", Some(("/a?b?c", None))),
            ("GET", "/a|b{c}\"`", None),
            ("GET", "/a|b{c}\"", Some(("/a|b{c}\"", None))),
            ("GET", "/a?x=`{|}\\", Some(("/a?x=`{|}\\", None))),
            ("GET", "/a\\b", None),
            ("GET", "/a#b", None),
            ("GET", "/a?b#c", None),
            ("GET", "/a<b", None),
            ("GET", "/\u{e9}", None),
            ("GET", "http://h/a?b", Some(("/a?b", Some("h")))),
            ("GET", "HTTPS://H:443/", Some(("/", Some("H:443")))),
            ("GET", "http://h", Some(("/", Some("h")))),
            ("OPTIONS", "http://h", Some(("*", Some("h")))),
            ("GET", "http://h?b", None),
            ("GET", "http:///a", None),
            ("GET", "http://u@h/a", None),
            ("GET", "http://h\\x/a", None),
            ("GET", "http:/h/a", None),
            ("GET", "ftp://h/a", None),
            ("GET", "h:80", None),
            ("GET", "a", None),
            ("GET", "?a", None),
            ("GET", "*", None),
            ("OPTIONS", "*", Some(("*", None))),
        ] {
            let got = normalise(method, sent).ok().map(|target| (target.origin_form, target.authority));
            assert_eq!(got, want, "{method} {sent}");
        }
    }

    #[test]
    fn hosts() {
        for (value, valid) in [
            ("example.com", true),
            ("Example.COM:8080", true),
            ("a_b.example", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("[::1]:443", true),
            ("", false),
            (":80", false),
            ("a:", false),
            ("a:65536", false),
            ("a:+80", false),
            ("a:80:80", false),
            ("a b", false),
            ("a,b", false),
            ("a/b", false),
            ("a@b", false),
            ("a%20", false),
            ("[]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[zz]", false),
            ("\u{e9}", false),
        ] {
            assert_eq!(host(value.as_bytes()).is_ok(), valid, "{value:?}");
        }
    }

    /// What is accepted here must be held by the type that the rest of the proxy reads paths from.
    #[test]
    fn every_accepted_byte_fits_a_uri() {
        for byte in 0x21..0x7F_u8 {
            for target in [format!("/{}", char::from(byte)), format!("/?{}", char::from(byte))] {
                if path_and_query(&target).is_ok() {
                    let uri: http::uri::PathAndQuery = target.parse().unwrap();
                    assert_eq!(uri.as_str(), target);
                }
            }
        }
    }
}
