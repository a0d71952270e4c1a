//! Cloudfront: one request as the lines that tools written for CloudFront's logs read.
//!
//! In: a record. Out: 33 tab-separated fields (standard), or the real-time fields. Never: a raw tab or line break from a
//! viewer; an empty field (`-` stands for it).
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html>,
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/real-time-logs.html>

use super::digits::{Civil, push_ip, push_padded, push_thousandths, push_u64};
use crate::observe::record::{Record, Tls};
use crate::observe::trace::hex;

/// Heads every standard log file.
pub const STANDARD_HEADER: &str = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) \
    cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id \
    x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type \
    cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type \
    sc-content-type sc-content-len sc-range-start sc-range-end\n";

/// Real-time records have no header in CloudFront; ours says so that a file explains itself.
pub const REALTIME_HEADER: &str = "#Version: 1.0\n#Fields: timestamp c-ip time-to-first-byte sc-status sc-bytes cs-method \
    cs-protocol cs-host cs-uri-stem cs-bytes x-edge-location x-edge-request-id x-host-header time-taken \
    cs-protocol-version c-ip-version cs-user-agent cs-referer cs-cookie cs-uri-query x-edge-response-result-type \
    x-forwarded-for ssl-protocol ssl-cipher x-edge-result-type fle-encrypted-fields fle-status sc-content-type \
    sc-content-len sc-range-start sc-range-end c-port x-edge-detailed-result-type c-country cs-accept-encoding \
    cs-accept cache-behavior-path-pattern cs-headers cs-header-names cs-headers-count origin-fbl origin-lbl asn\n";

/// What a database says of a viewer's address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whence {
    /// ISO 3166-1 alpha-2.
    pub country: Option<[u8; 2]>,
    /// Autonomous system.
    pub asn: Option<u32>,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy)]
enum Field {
    Date,
    Time,
    Timestamp,
    Pop,
    BytesOut,
    BytesIn,
    Ip,
    IpVersion,
    Port,
    Method,
    Host,
    Path,
    Query,
    Status,
    Referer,
    UserAgent,
    Accept,
    AcceptEncoding,
    Cookie,
    ForwardedFor,
    Result,
    ResponseResult,
    DetailedResult,
    RequestId,
    Scheme,
    Protocol,
    TimeTaken,
    FirstByte,
    TlsVersion,
    Cipher,
    ContentType,
    ContentLength,
    RangeFirst,
    RangeLast,
    Pattern,
    OriginFirstByte,
    OriginLastByte,
    Country,
    Asn,
    /// A service we do not have (field-level encryption), or header copies we do not keep.
    Nothing,
}

/// In the order of [`STANDARD_HEADER`].
const STANDARD: [Field; 33] = {
    use Field::*;
    [
        Date,
        Time,
        Pop,
        BytesOut,
        Ip,
        Method,
        Host,
        Path,
        Status,
        Referer,
        UserAgent,
        Query,
        Cookie,
        Result,
        RequestId,
        Host,
        Scheme,
        BytesIn,
        TimeTaken,
        ForwardedFor,
        TlsVersion,
        Cipher,
        ResponseResult,
        Protocol,
        Nothing,
        Nothing,
        Port,
        FirstByte,
        DetailedResult,
        ContentType,
        ContentLength,
        RangeFirst,
        RangeLast,
    ]
};

/// In the order of [`REALTIME_HEADER`].
const REALTIME: [Field; 43] = {
    use Field::*;
    [
        Timestamp,
        Ip,
        FirstByte,
        Status,
        BytesOut,
        Method,
        Scheme,
        Host,
        Path,
        BytesIn,
        Pop,
        RequestId,
        Host,
        TimeTaken,
        Protocol,
        IpVersion,
        UserAgent,
        Referer,
        Cookie,
        Query,
        ResponseResult,
        ForwardedFor,
        TlsVersion,
        Cipher,
        Result,
        Nothing,
        Nothing,
        ContentType,
        ContentLength,
        RangeFirst,
        RangeLast,
        Port,
        DetailedResult,
        Country,
        AcceptEncoding,
        Accept,
        Pattern,
        Nothing,
        Nothing,
        Nothing,
        OriginFirstByte,
        OriginLastByte,
        Asn,
    ]
};

/// Appends a line of the standard log, with its line feed.
pub fn write_standard(out: &mut Vec<u8>, record: &Record<'_>, pop: &str) {
    write(out, &STANDARD, record, pop, Whence::default());
}

/// Appends a line of the real-time log, with its line feed.
pub fn write_realtime(out: &mut Vec<u8>, record: &Record<'_>, pop: &str, whence: Whence) {
    write(out, &REALTIME, record, pop, whence);
}

fn write(out: &mut Vec<u8>, fields: &[Field], record: &Record<'_>, pop: &str, whence: Whence) {
    for (at, &field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        let before = out.len();
        put(out, field, record, pop, whence);
        if out.len() == before {
            out.push(b'-');
        }
    }
    out.push(b'\n');
}

fn put(out: &mut Vec<u8>, field: Field, record: &Record<'_>, pop: &str, whence: Whence) {
    match field {
        Field::Date => Civil::from_ms(record.started_ms).push_date(out),
        Field::Time => Civil::from_ms(record.started_ms).push_time(out),
        Field::Timestamp => push_thousandths(out, record.started_ms),
        Field::Pop => encode(out, pop.as_bytes()),
        Field::BytesOut => push_u64(out, record.bytes_out),
        Field::BytesIn => push_u64(out, record.bytes_in),
        Field::Ip => push_ip(out, record.viewer.ip()),
        Field::IpVersion => {
            let v4 = record.viewer.ip().to_canonical().is_ipv4();
            out.extend_from_slice(if v4 { b"IPv4" } else { b"IPv6" });
        }
        Field::Port => push_u64(out, u64::from(record.viewer.port())),
        Field::Method => encode(out, record.method.as_bytes()),
        Field::Host => encode(out, record.host.as_bytes()),
        Field::Path => encode(out, record.path),
        Field::Query => encode(out, record.query),
        Field::Status => push_padded(out, u64::from(record.status), 3),
        Field::Referer => encode(out, record.referer),
        Field::UserAgent => encode(out, record.user_agent),
        Field::Accept => encode(out, record.accept),
        Field::AcceptEncoding => encode(out, record.accept_encoding),
        Field::Cookie => encode(out, record.cookie),
        Field::ForwardedFor => encode(out, record.forwarded_for),
        Field::Result => out.extend_from_slice(record.result_type().as_bytes()),
        Field::ResponseResult => out.extend_from_slice(record.response_result_type().as_bytes()),
        Field::DetailedResult => out.extend_from_slice(record.detailed_result_type().as_bytes()),
        Field::RequestId => encode(out, record.request_id.as_bytes()),
        Field::Scheme => encode(out, record.scheme.as_bytes()),
        Field::Protocol => encode(out, record.protocol.as_bytes()),
        Field::TimeTaken => seconds(out, record.duration_ns),
        Field::FirstByte => seconds(out, record.first_byte_ns),
        Field::TlsVersion => encode(out, record.tls.map_or(b"", |Tls { version, .. }| version.as_bytes())),
        Field::Cipher => encode(out, record.tls.map_or(b"", |Tls { cipher, .. }| cipher.as_bytes())),
        Field::ContentType => encode(out, record.content_type),
        Field::ContentLength => record.content_length.into_iter().for_each(|length| push_u64(out, length)),
        Field::RangeFirst => record.range.into_iter().for_each(|(first, _)| push_u64(out, first)),
        Field::RangeLast => record.range.into_iter().for_each(|(_, last)| push_u64(out, last)),
        Field::Pattern => encode(out, record.pattern.as_bytes()),
        Field::OriginFirstByte => {
            record.origin.and_then(|visit| visit.first_byte_ns).into_iter().for_each(|nanos| seconds(out, nanos));
        }
        Field::OriginLastByte => record.origin.into_iter().for_each(|visit| seconds(out, visit.total_ns)),
        Field::Country => encode(out, whence.country.as_ref().map_or(b"", |code| code)),
        Field::Asn => whence.asn.into_iter().for_each(|asn| push_u64(out, asn.into())),
        Field::Nothing => {}
    }
}

fn seconds(out: &mut Vec<u8>, nanos: u64) {
    push_thousandths(out, nanos / 1_000_000);
}

/// Whether CloudFront percent-encodes a byte: codes 0–32 and from 127 up, and the characters of its table.
const ENCODED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte <= 0x20 || byte >= 0x7f;
        byte += 1;
    }
    let listed = b"<>\"#%{}|\\^~[]`'";
    let mut at = 0;
    while at < listed.len() {
        table[listed[at] as usize] = true;
        at += 1;
    }
    table
};

fn encode(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&byte| ENCODED[usize::from(byte)]) {
        let mut digits = [0; 2];
        hex(&[rest[at]], &mut digits);
        out.extend_from_slice(&rest[..at]);
        out.push(b'%');
        out.extend_from_slice(&digits.map(|digit| digit.to_ascii_uppercase()));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::observe::record::{Failure, sample};

    fn columns(
        write: impl Fn(&mut Vec<u8>, &Record<'_>, &str),
        header: &str,
        record: &Record<'_>,
    ) -> Vec<(String, String)> {
        let mut out = Vec::new();
        write(&mut out, record, "FRA");
        let line = String::from_utf8(out).unwrap();
        let names: Vec<&str> = header.lines().nth(1).unwrap().split(' ').skip(1).collect();
        let values: Vec<&str> = line.strip_suffix('\n').unwrap().split('\t').collect();
        assert_eq!(names.len(), values.len());
        assert!(values.iter().all(|value| !value.is_empty() && !value.contains(['\n', ' '])), "{values:?}");
        names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_33_fields_of_a_standard_line() {
        let metrics = Metrics::new("FRA", 0);
        let got = columns(write_standard, STANDARD_HEADER, &sample(metrics.unrouted()));
        let want = [
            ("date", "2023-11-14"),
            ("time", "22:13:20"),
            ("x-edge-location", "FRA"),
            ("sc-bytes", "1200"),
            ("c-ip", "192.0.2.7"),
            ("cs-method", "GET"),
            ("cs(Host)", "shop.example"),
            ("cs-uri-stem", "/a%20b"),
            ("sc-status", "200"),
            ("cs(Referer)", "-"),
            ("cs(User-Agent)", "curl/8%20%22x%22"),
            ("cs-uri-query", "x=1"),
            ("cs(Cookie)", "-"),
            ("x-edge-result-type", "Hit"),
            ("x-edge-request-id", "id-1"),
            ("x-host-header", "shop.example"),
            ("cs-protocol", "https"),
            ("cs-bytes", "90"),
            ("time-taken", "0.001"),
            ("x-forwarded-for", "-"),
            ("ssl-protocol", "TLSv1.3"),
            ("ssl-cipher", "TLS13_AES_128_GCM_SHA256"),
            ("x-edge-response-result-type", "Hit"),
            ("cs-protocol-version", "HTTP/2.0"),
            ("fle-status", "-"),
            ("fle-encrypted-fields", "-"),
            ("c-port", "5000"),
            ("time-to-first-byte", "0.001"),
            ("x-edge-detailed-result-type", "Hit"),
            ("sc-content-type", "text/html"),
            ("sc-content-len", "1024"),
            ("sc-range-start", "-"),
            ("sc-range-end", "-"),
        ];
        assert_eq!(got, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_viewer_that_hung_up() {
        let metrics = Metrics::new("FRA", 0);
        let record = Record {
            status: 0,
            failure: Some(Failure::ClientAborted),
            range: Some((5, 9)),
            cookie: b"a=b; c=d\te",
            ..sample(metrics.unrouted())
        };
        let got = columns(write_standard, STANDARD_HEADER, &record);
        for (at, want) in [
            (8, "000"),
            (12, "a=b;%20c=d%09e"),
            (13, "Error"),
            (22, "Hit"),
            (28, "ClientHungUpRequest"),
            (31, "5"),
            (32, "9"),
        ] {
            assert_eq!(got[at].1, want, "{}", got[at].0);
        }
    }

    #[test]
    fn a_real_time_line() {
        let metrics = Metrics::new("FRA", 0);
        let record = Record { viewer: "[2001:db8::1]:9".parse().unwrap(), ..sample(metrics.unrouted()) };
        let got = {
            let whence = Whence { country: Some(*b"DE"), asn: Some(3320) };
            columns(|out, record, pop| write_realtime(out, record, pop, whence), REALTIME_HEADER, &record)
        };
        for (name, want) in [
            ("timestamp", "1700000000.123"),
            ("c-ip", "2001:db8::1"),
            ("c-ip-version", "IPv6"),
            ("cs-host", "shop.example"),
            ("cache-behavior-path-pattern", "shop.example/*"),
            ("origin-fbl", "-"),
            ("c-country", "DE"),
            ("asn", "3320"),
        ] {
            assert!(got.contains(&(name.to_owned(), want.to_owned())), "{name}: {got:?}");
        }
    }

    #[test]
    fn encoding_leaves_what_cloudfront_leaves() {
        for (value, want) in [
            ("/a-b_c.d/e=f&g+h,i;j:k@l!m$n(o)*?", "/a-b_c.d/e=f&g+h,i;j:k@l!m$n(o)*?"),
            ("%20", "%2520"),
            ("<>\"#%{}|\\^~[]`'", "%3C%3E%22%23%25%7B%7D%7C%5C%5E%7E%5B%5D%60%27"),
            ("é\n\t\0\x7f", "%C3%A9%0A%09%00%7F"),
        ] {
            let mut out = Vec::new();
            encode(&mut out, value.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
