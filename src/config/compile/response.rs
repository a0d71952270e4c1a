//! Response: a behavior's `response` becomes header edits and CORS rules.
//!
//! In: schema. Out: compiled, presets spelled out. Never: an answer's own headers.

use http::{HeaderName, HeaderValue};

use super::{Checked, Report, all};
use crate::config::compiled::{Cors, CorsHeaders, Origins, ResponsePolicy, SetHeader};
use crate::config::schema;
use crate::config::source::At;

/// CloudFront's managed SecurityHeadersPolicy (67f7725c-6f97-4210-82d7-5512b31e9d03): name, value, replaces the origin's.
const MANAGED: [(&str, &str, bool); 5] = [
    ("strict-transport-security", "max-age=31536000", false),
    ("x-content-type-options", "nosniff", true),
    ("x-frame-options", "SAMEORIGIN", false),
    ("referrer-policy", "strict-origin-when-cross-origin", false),
    ("x-xss-protection", "1; mode=block", false),
];

pub(super) fn policy(at: &At, written: &schema::Response, report: &mut Report<'_>) -> Checked<ResponsePolicy> {
    let remove = at.key("remove");
    let names = written.remove.iter().enumerate().map(|(i, name)| report.settable_name(&remove.index(i), name));
    let remove = all(names.collect::<Vec<_>>());
    // What the operator wrote comes before the preset where either only fills a gap, and after it where either replaces.
    let mut set = Vec::new();
    set.extend(headers(&at.key("set_default"), &written.set_default, false, report));
    if written.security == schema::Security::Managed {
        set.extend(MANAGED.map(|(name, value, over)| {
            Ok(SetHeader { name: HeaderName::from_static(name), value: HeaderValue::from_static(value), over })
        }));
    }
    set.extend(headers(&at.key("set"), &written.set, true, report));
    let cors = written.cors.as_ref().map(|table| cors(&at.key("cors"), table, report)).transpose();
    Ok(ResponsePolicy {
        remove: remove?,
        set: all(set)?,
        cors: cors?,
        server_timing: written.server_timing,
        steer: written.steer,
    })
}

fn headers(
    at: &At,
    written: &std::collections::BTreeMap<String, String>,
    over: bool,
    report: &mut Report<'_>,
) -> Vec<Checked<SetHeader>> {
    let each = written.iter().map(|(name, value)| {
        let at = at.key(name);
        let name = report.settable_name(&at, name);
        let value = report.header_value(&at, value);
        Ok(SetHeader { name: name?, value: value?, over })
    });
    each.collect()
}

fn cors(at: &At, written: &schema::Cors, report: &mut Report<'_>) -> Checked<Cors> {
    let place = at.key("origins");
    let any = |list: &[String]| list.iter().any(|item| item == "*");
    let origins = if written.origins.is_empty() {
        Err(report.refuse(&place, "no origin is allowed: leave 'cors' out"))
    } else if any(&written.origins) {
        Ok(Origins::Any)
    } else {
        let each = written.origins.iter().enumerate().map(|(i, text)| web_origin(&place.index(i), text, report));
        all(each.collect::<Vec<_>>()).map(Origins::List)
    };
    // Fetch standard, "CORS protocol and credentials": a wildcard never goes with credentials.
    if written.credentials && any(&written.origins) {
        report.refuse_with(&at.key("credentials"), "credentials for every origin", "name the origins that are trusted");
    }
    let headers = match any(&written.headers) {
        true => Ok(CorsHeaders::Any),
        false => report.header_names(&at.key("headers"), &written.headers).map(CorsHeaders::List),
    };
    let methods = report.methods(&at.key("methods"), &written.methods);
    let expose = report.header_names(&at.key("expose"), &written.expose);
    Ok(Cors {
        origins: origins?,
        methods: methods?,
        headers: headers?,
        expose: expose?,
        credentials: written.credentials,
        max_age: written.max_age.map(|age| age.get()),
        over: written.over,
    })
}

/// `scheme://host[:port]`, as browsers send it (RFC 6454 §6.2), the host perhaps with a leading `*.`.
fn web_origin(at: &At, text: &str, report: &mut Report<'_>) -> Checked<String> {
    let lower = text.to_ascii_lowercase();
    let plain = lower.replacen("://*.", "://", 1);
    let parsed: Option<http::Uri> = plain.parse().ok();
    let good = parsed.as_ref().is_some_and(|uri| {
        let bare = uri
            .authority()
            .is_some_and(|authority| plain.ends_with(authority.as_str()) && !authority.as_str().contains('@'));
        bare && matches!(uri.scheme_str(), Some("http" | "https")) && !plain.contains('*')
    });
    match good {
        true => Ok(lower),
        false => Err(report.refuse_with(
            at,
            format!("'{text}' is no web origin"),
            "like \"https://app.example.com\" or \"https://*.example.com\"",
        )),
    }
}
