//! Viewer: the `CloudFront-…` request headers that say who and where the viewer is.
//!
//! In: address, place, User-Agent, protocol. Out: the headers that a behavior names. Never: what a viewer sent under these names.
//!
//! Source: CloudFront Developer Guide, "Add CloudFront request headers".

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use crate::config::compiled::{Behavior, ForwardHeaders};
use crate::geo::Place;

/// Headers that only the edge may set begin like this.
const PREFIXES: [&str; 3] = ["cloudfront-viewer-", "cloudfront-is-", "cloudfront-forwarded-proto"];

/// What the headers are made of.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub address: SocketAddr,
    pub place: Option<&'a Place>,
    pub version: Version,
    pub tls: Option<Tls<'a>>,
}

/// The viewer's TLS session.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// "TLSv1.3".
    pub version: &'a str,
    pub cipher: &'a str,
}

/// What a User-Agent looks like. A viewer is one of mobile, tablet, television and desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Device {
    mobile: bool,
    tablet: bool,
    television: bool,
    android: bool,
    ios: bool,
}

/// Whether only the edge may set this field.
pub fn is_ours(name: &str) -> bool {
    // `_` is `-` to some origins.
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    PREFIXES
        .iter()
        .any(|prefix| name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(a, b)| plain(a) == b))
}

/// Whether two names are one to an origin that takes `_` for `-` (CGI, RFC 3875 §4.1.18).
pub fn alike(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

/// The names among them that a behavior keys its answers by, or sends to its origin.
pub fn wanted(behavior: &Behavior) -> Vec<HeaderName> {
    let forwarded: &[HeaderName] = match &behavior.request.headers {
        ForwardHeaders::Only(names) => names,
        _ => &[],
    };
    let mut names: Vec<HeaderName> = behavior.cache.key.headers.iter().chain(forwarded).cloned().collect();
    names.retain(|name| is_ours(name.as_str()));
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Drops what the viewer sent under these names, and sets those that are `wanted` and known.
pub fn set(fields: &mut HeaderMap, wanted: &[HeaderName], known: &Known<'_>) {
    let forged: Vec<HeaderName> = fields.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in forged {
        fields.remove(name);
    }
    let count = fields.len();
    for name in wanted {
        if let Some(value) =
            value(name.as_str(), fields, count, known).and_then(|text| HeaderValue::from_str(&text).ok())
        {
            fields.insert(name.clone(), value);
        }
    }
}

fn value(name: &str, fields: &HeaderMap, count: usize, known: &Known<'_>) -> Option<String> {
    let place = known.place;
    let truth = |is: bool| Some(is.to_string());
    let device = || device(fields.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default());
    match name {
        "cloudfront-viewer-address" => Some(format!("{}:{}", known.address.ip().to_canonical(), known.address.port())),
        "cloudfront-viewer-asn" => place?.asn.map(|asn| asn.to_string()),
        "cloudfront-viewer-country" => place?.country.clone(),
        "cloudfront-viewer-country-name" => place?.country_name.as_deref().map(encoded),
        "cloudfront-viewer-country-region" => place?.region.clone(),
        "cloudfront-viewer-country-region-name" => place?.region_name.as_deref().map(encoded),
        "cloudfront-viewer-city" => place?.city.as_deref().map(encoded),
        "cloudfront-viewer-postal-code" => place?.postal_code.clone(),
        "cloudfront-viewer-metro-code" => place?.metro_code.map(|code| code.to_string()),
        "cloudfront-viewer-time-zone" => place?.time_zone.clone(),
        "cloudfront-viewer-latitude" => place?.latitude.map(|degrees| format!("{degrees:.5}")),
        "cloudfront-viewer-longitude" => place?.longitude.map(|degrees| format!("{degrees:.5}")),
        "cloudfront-viewer-http-version" => {
            Some(if known.version == Version::HTTP_2 { "2.0" } else { "1.1" }.to_owned())
        }
        "cloudfront-viewer-header-count" => Some(count.to_string()),
        "cloudfront-viewer-tls" => known.tls.map(|tls| format!("{}:{}:fullHandshake", tls.version, tls.cipher)),
        "cloudfront-forwarded-proto" => Some(if known.tls.is_some() { "https" } else { "http" }.to_owned()),
        "cloudfront-is-mobile-viewer" => truth(device().mobile),
        "cloudfront-is-tablet-viewer" => truth(device().tablet),
        "cloudfront-is-smarttv-viewer" => truth(device().television),
        "cloudfront-is-android-viewer" => truth(device().android),
        "cloudfront-is-ios-viewer" => truth(device().ios),
        "cloudfront-is-desktop-viewer" => {
            let device = device();
            truth(!(device.mobile || device.tablet || device.television))
        }
        _ => None,
    }
}

/// Names of places may have letters that a header value has not: percent-encoded UTF-8.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn device(agent: &str) -> Device {
    let agent = agent.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let television = has(&[
        "smart-tv", "smarttv", "appletv", "apple tv", "googletv", "hbbtv", "netcast", "tizen tv", "web0s", "roku",
        "aft", "bravia", "crkey",
    ]) && !agent.contains("aftermarket");
    let android = agent.contains("android");
    let ios = has(&["iphone", "ipad", "ipod"]);
    // Android tablets leave "Mobile" out.
    let tablet = !television
        && (has(&["ipad", "tablet", "kindle", "silk/", "playbook"]) || android && !agent.contains("mobile"));
    let mobile =
        !television && !tablet && has(&["mobile", "iphone", "ipod", "android", "opera mini", "iemobile", "blackberry"]);
    Device { mobile, tablet, television, android, ios }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<HeaderName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn what_viewers_send_is_dropped_and_what_is_wanted_is_set() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("cloudfront-viewer-country", "US"),
            ("cloudfront-is-mobile-viewer", "true"),
            ("cloudfront-forwarded-proto", "https"),
            ("accept", "*/*"),
        ] {
            fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let place =
            Place { country: Some("DE".into()), city: Some("München".into()), asn: Some(64_496), ..Place::default() };
        let known = Known {
            address: "192.0.2.1:4711".parse().unwrap(),
            place: Some(&place),
            version: Version::HTTP_2,
            tls: Some(Tls { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" }),
        };
        let wanted = names(&[
            "cloudfront-viewer-country",
            "cloudfront-viewer-city",
            "cloudfront-viewer-asn",
            "cloudfront-viewer-address",
            "cloudfront-viewer-http-version",
            "cloudfront-viewer-tls",
            "cloudfront-viewer-header-count",
            "cloudfront-viewer-latitude",
            "cloudfront-unheard-of",
        ]);
        set(&mut fields, &wanted, &known);
        let get = |name: &str| fields.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(get("cloudfront-viewer-country"), Some("DE"));
        assert_eq!(get("cloudfront-viewer-city"), Some("M%C3%BCnchen"));
        assert_eq!(get("cloudfront-viewer-asn"), Some("64496"));
        assert_eq!(get("cloudfront-viewer-address"), Some("192.0.2.1:4711"));
        assert_eq!(get("cloudfront-viewer-http-version"), Some("2.0"));
        assert_eq!(get("cloudfront-viewer-tls"), Some("TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake"));
        assert_eq!(get("cloudfront-viewer-header-count"), Some("1"));
        assert_eq!(get("cloudfront-viewer-latitude"), None, "not known, and what was sent is gone");
        assert_eq!(get("cloudfront-is-mobile-viewer"), None);
        assert_eq!(get("cloudfront-forwarded-proto"), None);
    }

    #[test]
    fn devices() {
        for (agent, want) in [
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148", "mobile ios"),
            ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X)", "tablet ios"),
            ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120.0 Mobile Safari/537.36", "mobile android"),
            ("Mozilla/5.0 (Linux; Android 13; SM-X700) Chrome/120.0 Safari/537.36", "tablet android"),
            ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)", "television"),
            ("Mozilla/5.0 (X11; Linux x86_64) Firefox/121.0", ""),
            ("", ""),
        ] {
            let device = device(agent);
            let words = [
                (device.mobile, "mobile"),
                (device.tablet, "tablet"),
                (device.television, "television"),
                (device.android, "android"),
                (device.ios, "ios"),
            ];
            let got: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            assert_eq!(got.join(" "), want, "{agent}");
        }
    }
}
