//! Target: an origin's URLs become hosts, ports and the path they share.
//!
//! In: URLs as written. Out: targets. Never: names resolved.

use super::{Checked, Report, all};
use crate::config::compiled::Target;
use crate::config::schema;
use crate::config::source::At;

/// Weight of one target: the consistent ring has points in proportion.
const MAX_WEIGHT: u32 = 1_000;

/// All targets and the one path they share.
pub(super) fn targets(at: &At, origin: &schema::Origin, report: &mut Report<'_>) -> Checked<(Vec<Target>, String)> {
    let list = at.key("targets");
    let written = match (&origin.url, origin.targets.as_slice()) {
        (Some(url), []) => vec![target(&at.key("url"), url, 1, report)],
        (None, []) => {
            let help = "add url = \"http://host:port\", targets = […], lambda = { … }, dynamodb = { … }, function = { … } or generated = { … }";
            return Err(report.refuse_with(at, format!("origin '{}' is nowhere", origin.name), help));
        }
        (Some(_), _) => return Err(report.refuse(&list, "'url' and 'targets' say the same: write one of them")),
        (None, targets) => {
            let each = targets.iter().enumerate();
            each.map(|(i, written)| target(&list.index(i), &written.url, written.weight, report)).collect()
        }
    };
    let mut targets = Vec::new();
    let mut shared: Option<String> = None;
    for (i, (target, path)) in all(written)?.into_iter().enumerate() {
        if shared.get_or_insert_with(|| path.clone()) != &path {
            return Err(report.refuse(&list.index(i), "targets of one origin have the same path"));
        }
        targets.push(target);
    }
    Ok((targets, shared.unwrap_or_default()))
}

fn target(at: &At, url: &str, weight: u32, report: &mut Report<'_>) -> Checked<(Target, String)> {
    if !(1..=MAX_WEIGHT).contains(&weight) {
        return Err(report.refuse(&at.key("weight"), format!("a weight is 1 to {MAX_WEIGHT}")));
    }
    read_url(url).map(|(host, port, tls, path)| (Target { host, port, tls, weight }, path)).map_err(|why| {
        report.refuse_with(
            at,
            format!("'{url}' is no origin URL: {why}"),
            "like \"http://10.0.0.1:8080\" or \"https://host/base\"",
        )
    })
}

/// Host (lower case, IPv6 without brackets), port, TLS, and the path without its last "/".
fn read_url(url: &str) -> Result<(String, u16, bool, String), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err("the scheme is http or https"),
    };
    if rest.contains(['?', '#']) {
        return Err("a query or fragment has no place here");
    }
    let uri: http::Uri = url.parse().map_err(|_| "it does not parse")?;
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("a password has no place here: use 'headers'");
    }
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host) {
        Some("") => {
            if tls {
                443
            } else {
                80
            }
        }
        _ => authority.port_u16().filter(|port| *port != 0).ok_or("the port is 1 to 65535")?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() {
        return Err("it has no host");
    }
    Ok((host, port, tls, uri.path().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_urls() {
        let target = |host: &str, port, tls, path: &str| Ok((host.to_owned(), port, tls, path.to_owned()));
        for (url, want) in [
            ("http://Host", target("host", 80, false, "")),
            ("https://h/base/", target("h", 443, true, "/base")),
            ("http://h:8080/a/b", target("h", 8080, false, "/a/b")),
            ("http://[::1]:81", target("::1", 81, false, "")),
            ("https://[::1]", target("::1", 443, true, "")),
            ("h:80", Err("it has no scheme")),
            ("ftp://h", Err("the scheme is http or https")),
            ("http://", Err("it does not parse")),
            ("http://h:0", Err("the port is 1 to 65535")),
            ("http://h:99999", Err("the port is 1 to 65535")),
            ("http://u:p@h", Err("a password has no place here: use 'headers'")),
            ("http://h/?q", Err("a query or fragment has no place here")),
            ("http://h/#f", Err("a query or fragment has no place here")),
        ] {
            assert_eq!(read_url(url), want, "{url}");
        }
    }
}
