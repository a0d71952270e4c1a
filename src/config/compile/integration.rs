//! Integration: an origin's `lambda` and `sign` become functions, endpoints and credentials.
//!
//! In: schema. Out: compiled, every route and address read. Never: whether a function exists; that is asked when it is called.

use std::collections::HashSet;
use std::sync::Arc;

use http::Uri;

use super::{Checked, Report, all};
use crate::config::compiled::{
    AwsEndpoint, AwsRemote, Credentials, Invoke, LambdaOrigin, Payload, RouteKey, RouteSegment, SignedOrigin, Target,
    is_region,
};
use crate::config::schema;
use crate::config::source::At;

/// Lambda's longest timeout, in seconds (Lambda quotas).
const LONGEST: u64 = 900;
/// Bytes of a signed body that may be held in memory at most.
const BODY_MAX: u64 = 64 << 20;

pub(super) fn lambda(at: &At, written: &schema::LambdaOrigin, report: &mut Report<'_>) -> Checked<LambdaOrigin> {
    let (function, qualifier) = function(&at.key("function"), &written.function, report)?;
    let endpoint = endpoint(at, "lambda", written, report);
    let listed = at.key("routes");
    let keys = routes(&written.routes, |i| listed.index(i), report);
    let timeout = report.positive(&at.key("timeout"), written.timeout.get());
    if timeout.as_ref().is_ok_and(|timeout| timeout.as_secs() > LONGEST) {
        report.refuse(&at.key("timeout"), format!("a function takes at most {LONGEST}s"));
    }
    let payload = match written.payload {
        schema::Payload::Http2 => Payload::Http2,
        schema::Payload::Rest1 => Payload::Rest1,
        schema::Payload::FunctionUrl => Payload::FunctionUrl,
        schema::Payload::Alb => Payload::Alb { multi: false },
        schema::Payload::AlbMulti => Payload::Alb { multi: true },
    };
    if payload != Payload::Rest1 && !written.binary.is_empty() {
        report.refuse_with(&at.key("binary"), "only REST APIs have binary media types", "write payload = \"1.0\"");
    }
    if matches!(payload, Payload::Alb { .. }) && written.invoke == schema::Invoke::Streamed {
        report.refuse(&at.key("invoke"), "load balancers do not stream a function's answer");
    }
    Ok(LambdaOrigin {
        function,
        qualifier,
        endpoint: endpoint?,
        payload,
        invoke: match written.invoke {
            schema::Invoke::Buffered => Invoke::Buffered,
            schema::Invoke::Streamed => Invoke::Streamed,
            schema::Invoke::Event => Invoke::Event,
        },
        routes: keys?,
        binary: written.binary.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
        stage_variables: written.stage_variables.clone().into_iter().collect(),
        timeout: timeout?,
    })
}

/// Splits a qualifier off: "name:alias", or the eighth part of an ARN.
fn function(at: &At, text: &str, report: &mut Report<'_>) -> Checked<(String, Option<String>)> {
    let parts: Vec<&str> = text.split(':').collect();
    let good = |name: &str| {
        (1..=140).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_$".contains(&b))
    };
    match parts[..] {
        [name] if good(name) => Ok((name.to_owned(), None)),
        [name, qualifier] if good(name) && good(qualifier) => Ok((name.to_owned(), Some(qualifier.to_owned()))),
        ["arn", _, "lambda", _, _, "function", name] if good(name) => Ok((text.to_owned(), None)),
        ["arn", _, "lambda", _, _, "function", name, qualifier] if good(name) && good(qualifier) => {
            let end = text.len() - qualifier.len() - 1;
            Ok((text.get(..end).unwrap_or(text).to_owned(), Some(qualifier.to_owned())))
        }
        _ => Err(report.refuse_with(
            at,
            format!("'{text}' is no function"),
            "\"name\", \"name:alias\" or \"arn:aws:lambda:region:account:function:name\"",
        )),
    }
}

fn endpoint(at: &At, service: &str, written: &schema::LambdaOrigin, report: &mut Report<'_>) -> Checked<AwsEndpoint> {
    let credentials = written.credentials.as_ref().map(|c| credentials(&at.key("credentials"), c, report)).transpose();
    let at_endpoint = at.key("endpoint");
    if written.endpoint == "local" {
        if written.credentials.is_some() {
            report.refuse(&at.key("credentials"), "functions of this PoP are asked without a signature");
        }
        return Ok(AwsEndpoint::Local);
    }
    let (base, region) = match written.endpoint.strip_prefix("aws:") {
        Some(region) => {
            if written.credentials.is_none() {
                report.refuse_with(
                    &at_endpoint,
                    "AWS answers signed requests only",
                    "add credentials = { access_key = \"env:…\", secret_key = \"env:…\" }",
                );
            }
            if report.written(&at.key("region")) {
                report.refuse(&at.key("region"), "'endpoint' names the region already");
            }
            let base = format!("https://{service}.{region}.amazonaws.com");
            (base.parse::<Uri>().ok().filter(|_| is_region(region)), region.to_owned())
        }
        None => (written.endpoint.parse::<Uri>().ok(), written.region.clone()),
    };
    let plain = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path().trim_matches('/').is_empty()
            && uri.query().is_none()
    };
    match base.filter(plain) {
        Some(base) => Ok(AwsEndpoint::Remote(Arc::new(AwsRemote { base, region, credentials: credentials? }))),
        None => Err(report.refuse_with(
            &at_endpoint,
            format!("'{}' is no endpoint", written.endpoint),
            "\"local\", \"aws:eu-central-1\" or \"https://host:port\"",
        )),
    }
}

pub(super) fn credentials(at: &At, written: &schema::Credentials, report: &mut Report<'_>) -> Checked<Credentials> {
    let access_key = report.maybe_secret(&at.key("access_key"), &written.access_key.0);
    let secret_key = report.secret(&at.key("secret_key"), &written.secret_key.0);
    let token = &written.session_token;
    let session_token = token.as_ref().map(|t| report.secret(&at.key("session_token"), &t.0)).transpose();
    Ok(Credentials { access_key: access_key?, secret_key: secret_key?, session_token: session_token? })
}

pub(super) fn signed(
    at: &At,
    written: &schema::Sign,
    origin: &schema::Origin,
    targets: &[Target],
    report: &mut Report<'_>,
) -> Checked<SignedOrigin> {
    let [target] = targets else { return Err(report.refuse(at, "a signed origin has one 'url'")) };
    let credentials = credentials(&at.key("credentials"), &written.credentials, report);
    for (key, text) in [("service", &written.service), ("region", &written.region)] {
        if !is_region(text) {
            report.refuse(&at.key(key), format!("'{text}' is none: lower case letters, digits and '-'"));
        }
    }
    if written.body.get() > BODY_MAX {
        report.refuse(&at.key("body"), format!("a body is held in memory: at most {} MiB", BODY_MAX >> 20));
    }
    let timeout = report.positive(&at.key("timeouts").key("read"), origin.timeouts.read.get());
    let base = target.uri().map_err(|error| report.refuse(at, format!("the origin's url cannot be signed: {error}")));
    Ok(SignedOrigin {
        base: base?,
        service: written.service.clone(),
        region: written.region.clone(),
        credentials: credentials?,
        body: usize::try_from(written.body.get()).unwrap_or(usize::MAX),
        timeout: timeout?,
        always: true,
        host: None,
    })
}

/// Every route, each of a shape of its own. `place` says where one is written.
pub(super) fn routes(
    written: &[String],
    place: impl Fn(usize) -> At,
    report: &mut Report<'_>,
) -> Checked<Vec<RouteKey>> {
    let each = written.iter().enumerate().map(|(i, text)| route(&place(i), text, report));
    let keys = all(each.collect::<Vec<_>>())?;
    let mut seen = HashSet::new();
    match keys.iter().position(|key| !seen.insert((key.method.as_deref(), shape(key)))) {
        Some(twice) => Err(report.refuse(&place(twice), "a route before this one takes the same requests")),
        None => Ok(keys),
    }
}

/// "GET /todos/{id}", "ANY /{proxy+}" or "$default" (API Gateway Developer Guide, "Develop routes for HTTP APIs").
fn route(at: &At, text: &str, report: &mut Report<'_>) -> Checked<RouteKey> {
    if text == "$default" {
        return Ok(RouteKey { text: text.to_owned(), method: None, segments: None });
    }
    let help = "like \"GET /todos/{id}\", \"ANY /files/{path+}\" or \"$default\"";
    let Some((method, path)) = text.split_once(' ').filter(|(_, path)| path.starts_with('/')) else {
        return Err(report.refuse_with(at, format!("'{text}' is no route"), help));
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(report.refuse_with(at, format!("'{method}' is no method"), help));
    }
    let mut names = HashSet::new();
    let mut segments = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
    for (i, part) in parts.iter().enumerate() {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            if part.contains(['{', '}', '?', '#']) {
                return Err(report.refuse_with(at, format!("'{part}' is no part of a path"), help));
            }
            segments.push(RouteSegment::Text((*part).to_owned()));
            continue;
        };
        let (name, rest) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(report.refuse_with(at, format!("'{part}' is no variable"), help));
        }
        if !names.insert(name) {
            return Err(report.refuse(at, format!("the variable '{name}' is there twice")));
        }
        if rest && i + 1 != parts.len() {
            return Err(report.refuse(at, format!("'{part}' takes the rest of the path: it is the last part")));
        }
        let name = name.to_owned();
        segments.push(if rest { RouteSegment::Rest(name) } else { RouteSegment::One(name) });
    }
    let method = (method != "ANY").then(|| method.to_owned());
    Ok(RouteKey { text: text.to_owned(), method, segments: Some(segments) })
}

/// A route without the names of its variables: two of one shape take the same requests.
fn shape(key: &RouteKey) -> Option<Vec<Option<(bool, &str)>>> {
    Some(
        key.segments
            .as_ref()?
            .iter()
            .map(|segment| match segment {
                RouteSegment::Text(text) => Some((true, text.as_str())),
                RouteSegment::One(_) => Some((false, "")),
                RouteSegment::Rest(_) => None,
            })
            .collect(),
    )
}
