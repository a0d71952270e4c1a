//! Compress: whether an answer is compressed on its way, and with what.
//!
//! In: the policy, the viewer's Accept-Encoding, the answer's status and fields. Out: a coding, edited fields, an encoder.
//! Never: the cache key (its room calls [`negotiate`] and keys on the coding).

mod encoder;

pub use encoder::Encoder;

use super::cors::vary;
use crate::config::compiled::{Coding, Compress};
use crate::message::Fields;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Fields that describe the bytes before coding (RFC 1864, RFC 3230, RFC 9530): untrue after it.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// What Accept-Encoding says of each coding we know, in thousandths.
#[derive(Debug, Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

/// The coding for this viewer (RFC 9110 §12.5.3): of the configured ones, in their order, the first that the viewer accepts
/// (q > 0, by name or by `*`) and does not rank below an `identity` it named. No Accept-Encoding means no coding: a viewer
/// that says nothing rarely decodes anything.
pub fn negotiate<F: Fields>(compress: &Compress, request: &F) -> Option<Coding> {
    let weights = Weights::of(request);
    let identity = weights.identity.unwrap_or(0);
    compress.codings.iter().copied().find(|coding| {
        let named = match coding {
            Coding::Zstd => weights.zstd,
            Coding::Brotli => weights.brotli,
            Coding::Gzip => weights.gzip,
        };
        let q = named.or(weights.any).unwrap_or(0);
        q > 0 && q >= identity
    })
}

/// Whether an answer may be compressed here (AWS, "Serving compressed files"): 200, 403 or 404, a listed media type, no
/// coding yet, no `no-transform` (RFC 9111 §5.2.2.6), not a part (Content-Range), a length within the window.
///
/// CloudFront wants a Content-Length. We also take an answer without one when its media type is text (`text/*`, JSON,
/// JavaScript, XML): pages made on the fly and event streams have none, and always gain.
pub fn eligible(compress: &Compress, status: StatusCode, headers: &HeaderMap, method: &Method) -> bool {
    let statuses = [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
    if !statuses.contains(&status) || method == Method::CONNECT {
        return false;
    }
    let coded =
        headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded || headers.contains_key(CONTENT_RANGE) || no_transform(headers) {
        return false;
    }
    let Some(media) = headers.get(CONTENT_TYPE).map(|value| essence(value.as_bytes())) else { return false };
    if !compress.types.iter().any(|listed| listed_as(listed, media)) {
        return false;
    }
    match headers.get(CONTENT_LENGTH) {
        None => is_text(media),
        Some(length) => {
            let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
            length.is_some_and(|length| (compress.min_size..=compress.max_size).contains(&length))
        }
    }
}

/// Makes the fields true for the coded body: Content-Encoding; no length, ranges or digests of the plain one; a weak ETag
/// (RFC 9110 §8.8.3: same meaning, other bytes); Vary.
pub fn rewrite(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    for digest in &DIGESTS {
        headers.remove(digest);
    }
    let weak = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    if let Some(weak) = weak.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()) {
        headers.insert(ETAG, weak);
    }
    mark_negotiated(headers);
}

/// Whether a stored answer's coding may be one of our own. Another fill of the same version then has other bytes: they depend on how
/// the origin's came in. [`rewrite`] leaves no strong tag; an answer that has one was coded by its origin.
pub fn may_be_ours(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_ENCODING) && !headers.get(ETAG).is_some_and(|tag| tag.as_bytes().starts_with(b"\""))
}

/// `Vary: Accept-Encoding`, also due on the plain form of an answer that another viewer gets coded.
pub fn mark_negotiated(headers: &mut HeaderMap) {
    vary(headers, "accept-encoding");
}

// === impl Weights ===
impl Weights {
    /// Of a coding named twice, the first counts.
    fn of<F: Fields>(request: &F) -> Self {
        let mut weights = Weights::default();
        let members = request.lines(&ACCEPT_ENCODING).flat_map(|line| line.split(|b| *b == b','));
        for (name, q) in members.filter_map(member) {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            let slot = match name {
                _ if is(b"br") => &mut weights.brotli,
                // RFC 9110 §8.4.1.3: x-gzip is gzip.
                _ if is(b"gzip") || is(b"x-gzip") => &mut weights.gzip,
                _ if is(b"zstd") => &mut weights.zstd,
                _ if is(b"identity") => &mut weights.identity,
                b"*" => &mut weights.any,
                _ => continue,
            };
            slot.get_or_insert(q);
        }
        weights
    }
}

/// One member of Accept-Encoding with its weight in thousandths; `None` when it is no member. A broken weight is 0: what
/// the viewer may not want is not sent.
fn member(text: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = text.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let q = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    Some((name, q.map_or(1000, |q| thousandths(q).unwrap_or(0))))
}

/// RFC 9110 §12.4.2: `0`, `0.5`, `1.000`.
fn thousandths(q: &[u8]) -> Option<u16> {
    let (whole, digits) = match q {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut value = u16::from(whole.checked_sub(b'0').filter(|whole| *whole <= 1)?) * 1000;
    let mut unit = 100;
    for digit in digits {
        value += u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?) * unit;
        unit /= 10;
    }
    (value <= 1000).then_some(value)
}

fn no_transform(headers: &HeaderMap) -> bool {
    let mut directives = headers.get_all(CACHE_CONTROL).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// `type/subtype` without parameters.
fn essence(media: &[u8]) -> &[u8] {
    media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

fn listed_as(listed: &str, media: &[u8]) -> bool {
    match listed.strip_suffix('*') {
        Some(kind) => media.len() >= kind.len() && media[..kind.len()].eq_ignore_ascii_case(kind.as_bytes()),
        None => media.eq_ignore_ascii_case(listed.as_bytes()),
    }
}

fn is_text(media: &[u8]) -> bool {
    let media = media.to_ascii_lowercase();
    let kinds: [&[u8]; 3] = [b"application/json", b"application/javascript", b"application/xml"];
    media.starts_with(b"text/") || media.ends_with(b"+json") || media.ends_with(b"+xml") || kinds.contains(&&*media)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Compress {
        Compress {
            codings: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip],
            min_size: 1000,
            max_size: 10_000_000,
            types: ["text/*", "application/json", "image/svg+xml", "font/ttf"].map(str::to_owned).into(),
        }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn rfc9110_12_5_3() {
        use Coding::*;
        for (accept, want) in [
            (None, None),
            (Some(""), None),
            (Some("gzip"), Some(Gzip)),
            (Some("x-gzip"), Some(Gzip)),
            (Some("gzip, br"), Some(Brotli)),
            (Some("gzip, deflate, br, zstd"), Some(Zstd)),
            (Some("GZIP;q=0.8 , BR;q=0.1"), Some(Brotli)),
            (Some("br;q=0, gzip"), Some(Gzip)),
            (Some("br;q=0.000, *"), Some(Zstd)),
            (Some("*;q=0"), None),
            (Some("*;q=0, gzip;q=0.5"), Some(Gzip)),
            (Some("identity"), None),
            (Some("identity;q=1, gzip;q=0.5"), None),
            (Some("identity;q=0, gzip;q=0.5"), Some(Gzip)),
            (Some("gzip;q=1.5"), None),
            (Some("gzip;q=0.1234"), None),
            (Some("gzip;q="), None),
            (Some("gzip;level=1;Q=0.1"), Some(Gzip)),
            (Some("deflate,,"), None),
        ] {
            let request = fields(&accept.map(|accept| ("accept-encoding", accept)).into_iter().collect::<Vec<_>>());
            assert_eq!(negotiate(&policy(), &request), want, "{accept:?}");
        }
    }

    #[test]
    fn which_answers() {
        let html = ("content-type", "text/html; charset=utf-8");
        let length = ("content-length", "5000");
        for (name, status, lines, want) in [
            ("plain", 200, &[html, length][..], true),
            ("error page", 404, &[html, length], true),
            ("redirect", 302, &[html, length], false),
            ("part", 206, &[html, length], false),
            ("part by field", 200, &[html, length, ("content-range", "bytes 0-1/2")], false),
            ("too small", 200, &[html, ("content-length", "999")], false),
            ("smallest", 200, &[html, ("content-length", "1000")], true),
            ("too big", 200, &[html, ("content-length", "10000001")], false),
            ("broken length", 200, &[html, ("content-length", "5k")], false),
            ("coded", 200, &[html, length, ("content-encoding", "gzip")], false),
            ("coded as nothing", 200, &[html, length, ("content-encoding", "identity")], true),
            ("no-transform", 200, &[html, length, ("cache-control", "max-age=1, No-Transform")], false),
            ("not listed", 200, &[("content-type", "image/png"), length], false),
            ("upper case", 200, &[("content-type", "Application/JSON"), length], true),
            ("no type", 200, &[length], false),
            ("unknown length, text", 200, &[html], true),
            ("unknown length, svg", 200, &[("content-type", "image/svg+xml")], true),
            ("unknown length, font", 200, &[("content-type", "font/ttf")], false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(eligible(&policy(), status, &fields(lines), &Method::GET), want, "{name}");
        }
    }

    #[test]
    fn whose_coding_it_may_be() {
        let dated = ("last-modified", "Mon, 05 Jan 2026 00:00:00 GMT");
        for (lines, want) in [
            (&[dated][..], false),
            (&[dated, ("etag", "W/\"a\"")], false),
            (&[dated, ("content-encoding", "gzip")], true),
            (&[dated, ("content-encoding", "gzip"), ("etag", "W/\"a\"")], true),
            (&[dated, ("content-encoding", "gzip"), ("etag", "a")], true),
            // Its origin's: another version has another tag.
            (&[dated, ("content-encoding", "gzip"), ("etag", "\"a\"")], false),
        ] {
            assert_eq!(may_be_ours(&fields(lines)), want, "{lines:?}");
        }
        let mut headers = fields(&[dated, ("etag", "\"a\"")]);
        rewrite(&mut headers, Coding::Gzip);
        assert!(may_be_ours(&headers));
    }

    #[test]
    fn fields_after_coding() {
        let mut headers = fields(&[
            ("content-length", "5000"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("etag", "\"a\""),
            ("vary", "cookie"),
        ]);
        rewrite(&mut headers, Coding::Brotli);
        let mut want = fields(&[("content-encoding", "br"), ("etag", "W/\"a\""), ("vary", "cookie")]);
        want.append("vary", HeaderValue::from_static("accept-encoding"));
        assert_eq!(headers, want);
        rewrite(&mut headers, Coding::Brotli);
        assert_eq!(headers, want);
    }
}
