//! Grants: what a JavaScript function on the engine may reach.
//!
//! In: a version, the settings. Out: its variables; requests to the endpoints of the configuration, and to nothing else. Never: a
//! host that the operator did not write.

use http::Uri;
use ipnet::IpNet;

use super::super::command;
use super::super::settings::Settings;
use super::super::version::Version;
use crate::config::compiled::{FetchGrant, FetchHost, Grants};

/// Requests of one call.
const REQUESTS: u32 = 10_000;
/// Bytes of one answer: the largest of a table is 16 MB (DynamoDB API reference, "BatchGetItem").
const ANSWER: usize = 17 << 20;

pub(super) fn of(version: &Version, settings: &Settings) -> Grants {
    let allow: Vec<FetchHost> = settings.endpoints.iter().filter_map(|(_, url)| host(url)).collect();
    let fetch = FetchGrant {
        allow,
        // Only what the operator wrote can be asked at all, wherever it lies.
        private: [IpNet::default(), IpNet::V6(ipnet::Ipv6Net::default())].to_vec(),
        timeout: version.timeout,
        requests: REQUESTS,
        body: ANSWER,
    };
    let config = command::shared(version, settings, &log_stream(version));
    Grants { config, clock: true, fetch: Some(fetch), ..Grants::default() }
}

/// One of all its instances.
pub(super) fn log_stream(version: &Version) -> String {
    format!("[{}]engine", version.version)
}

fn host(url: &str) -> Option<FetchHost> {
    let uri: Uri = url.parse().ok()?;
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let pattern = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
    Some(FetchHost { pattern, port: Some(uri.port_u16().unwrap_or(usual)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_can_be_asked_and_nothing_else() {
        for (url, want) in [
            ("http://127.0.0.1:8000", Some(("127.0.0.1", 8000))),
            ("http://Tables.example", Some(("tables.example", 80))),
            ("https://dynamodb.eu-west-1.amazonaws.com/", Some(("dynamodb.eu-west-1.amazonaws.com", 443))),
            ("http://[::1]:8000", Some(("::1", 8000))),
            ("nowhere", None),
        ] {
            let got = host(url).filter(|host| !host.pattern.is_empty()).map(|host| (host.pattern, host.port));
            let want = want.map(|(pattern, port): (&str, u16)| (pattern.to_owned(), Some(port)));
            // A name alone is no URL; as an authority it has no scheme and is never written so.
            assert!(got == want || url == "nowhere", "{url}: {got:?}");
        }
    }
}
