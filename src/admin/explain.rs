//! Explain: what became of one request, in words.
//!
//! In: the request's line, the configuration that runs. Out: steps in the order of the request's way. Never: a guess: what the line does
//! not say is left out.

use crate::config::compiled::{Behavior, Config, Select};
use serde::Serialize;
use serde_json::Value;

/// One stop on the way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// request, behavior, access, limit, function, key, cache, origin or answer.
    pub at: &'static str,
    pub text: String,
    /// Whether it went wrong here.
    pub bad: bool,
}

/// The whole way.
pub fn steps(request: &Value, config: &Config) -> Vec<Step> {
    let line = Line(request);
    let behavior = config
        .behaviors
        .iter()
        .find(|behavior| behavior.name == line.text("behavior") && behavior.pattern.text == line.text("pattern"));
    let mut steps = vec![asked(line), matched(line)];
    steps.extend(guarded(line));
    steps.extend(line.0["functions"].as_array().into_iter().flatten().map(|call| called(Line(call))));
    steps.extend(behavior.filter(|behavior| behavior.cache.enabled).map(|behavior| key(line, behavior)));
    steps.push(Step::good("cache", cache(line)));
    steps.extend(line.0.get("origin").map(|origin| visited(line, Line(origin))));
    steps.push(answered(line));
    steps
}

#[derive(Clone, Copy)]
struct Line<'a>(&'a Value);

// === impl Line ===
impl<'a> Line<'a> {
    fn text(self, key: &str) -> &'a str {
        self.0[key].as_str().unwrap_or_default()
    }

    fn number(self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    fn millis(self, key: &str) -> Option<String> {
        self.0[key].as_f64().map(|ms| format!("{ms} ms"))
    }

    fn failure(self) -> &'a str {
        self.text("failure")
    }
}

// === impl Step ===
impl Step {
    fn good(at: &'static str, text: String) -> Self {
        Step { at, text, bad: false }
    }
}

fn asked(line: Line<'_>) -> Step {
    if line.text("method").is_empty() {
        return Step { at: "request", text: format!("Bytes from {} were no request.", line.text("viewer")), bad: true };
    }
    let query = line.text("query");
    let mark = if query.is_empty() { "" } else { "?" };
    let mut text = format!(
        "{} {}://{}{}{mark}{query} over {}",
        line.text("method"),
        line.text("scheme"),
        line.text("host"),
        line.text("path"),
        line.text("protocol")
    );
    if !line.text("tls").is_empty() {
        text += &format!(" and {}", line.text("tls"));
    }
    Step::good("request", text + &format!(", from {}.", line.text("viewer")))
}

fn matched(line: Line<'_>) -> Step {
    let (name, pattern) = (line.text("behavior"), line.text("pattern"));
    match pattern {
        "" => Step { at: "behavior", text: "It was refused before a behavior was looked for.".to_owned(), bad: true },
        _ if name == pattern => Step::good("behavior", format!("The behavior {pattern:?} matched.")),
        _ => Step::good("behavior", format!("The behavior {name:?} matched, with {pattern:?}.")),
    }
}

/// What rules and limits said.
fn guarded(line: Line<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let (principal, why) = (line.text("principal"), line.text("error"));
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    if !principal.is_empty() {
        steps.push(Step::good("access", format!("It came in as {principal:?}.")));
    }
    let (at, text) = match line.failure() {
        "access_denied" => ("access", format!("It was not let in{because}.")),
        "geo_blocked" => ("access", format!("The viewer's country is not served{because}.")),
        "limit_exceeded" => ("limit", format!("A limit was reached{because}.")),
        _ => return steps,
    };
    steps.push(Step { at, text, bad: true });
    steps
}

fn called(call: Line<'_>) -> Step {
    let outcome = call.text("outcome");
    let became = match outcome {
        "ok" if call.number("edits") == 1 => "1 edit".to_owned(),
        "ok" => format!("{} edits", call.number("edits")),
        "answered" => "it answered by itself".to_owned(),
        failed => match call.text("error") {
            "" => format!("it failed: {failed}"),
            why => format!("it failed: {failed}: {why}"),
        },
    };
    let cpu = call.millis("cpu_ms").unwrap_or_default();
    let text = format!(
        "{} at {}: {became}; {cpu} of CPU in {}.",
        call.text("name"),
        call.text("event"),
        call.millis("ms").unwrap_or_default()
    );
    Step { at: "function", text, bad: !matches!(outcome, "ok" | "answered") }
}

/// What requests must have in common to share an answer.
fn key(line: Line<'_>, behavior: &Behavior) -> Step {
    let policy = &behavior.cache.key;
    let mut parts = Vec::new();
    if !policy.ignore_host {
        parts.push(format!("host {}", line.text("host")));
    }
    parts.push(format!("path {}", line.text("path")));
    parts.extend(selected("query", &policy.query, line.text("query")));
    parts.extend(selected("cookies", &policy.cookies, "of the request"));
    parts.extend(policy.headers.iter().map(|name| format!("field {name}")));
    if behavior.compress.is_some() {
        parts.push("coding that the viewer takes".to_owned());
    }
    if behavior.per_principal {
        parts.push("principal".to_owned());
    }
    Step::good("key", format!("Answers are kept apart by: {}.", parts.join(", ")))
}

fn selected(what: &str, select: &Select, whole: &str) -> Option<String> {
    match select {
        Select::None => None,
        Select::All if whole.is_empty() => Some(format!("no {what}")),
        Select::All => Some(format!("{what} {whole}")),
        Select::Only(names) => Some(format!("{what}: only {}", names.join(", "))),
        Select::AllExcept(names) => Some(format!("{what}: all but {}", names.join(", "))),
    }
}

fn cache(line: Line<'_>) -> String {
    let mut text = match line.text("cache") {
        "hit" => "The cache had a fresh answer",
        "stale" => "The cache answered with a stale object",
        "revalidated" => "The cache had a stale object, and the origin confirmed it",
        "miss" => "The cache had no answer",
        "pass" => "The cache took no part",
        "error" => "The edge answered for an origin that could not",
        "redirect" => "The edge redirected the viewer, without cache or origin",
        "generated" => "The edge, or a function, made the answer itself",
        "refused" => "The request was not accepted",
        other => other,
    }
    .to_owned();
    let reason = line.text("reason");
    if !reason.is_empty() {
        text += &format!(": {}", words(reason));
    }
    if let Some(age) = line.0["age"].as_u64() {
        text += &format!("; {age} s old");
    }
    match line.0["ttl"].as_i64() {
        Some(ttl) if ttl >= 0 && line.text("cache") == "miss" => text += &format!("; the new one is fresh for {ttl} s"),
        Some(ttl) if ttl >= 0 => text += &format!("; fresh for {ttl} s more"),
        Some(ttl) => text += &format!("; stale for {} s", ttl.unsigned_abs()),
        None => {}
    }
    text + "."
}

/// The reasons of `Cache-Status` and of the cache's own rules, for people; what is not here is shown as it is.
fn words(reason: &str) -> &str {
    match reason {
        "uri-miss" => "nothing is stored under this key",
        "vary-miss" => "what is stored varies, and no variant fits",
        "miss" => "nothing that fits is stored",
        "stale" => "what is stored is no longer fresh",
        "purged" => "what is stored was purged",
        "purged-soft" => "what is stored was purged softly",
        "bypass" => "the behavior does not cache",
        "method" => "the method is not cached",
        "upgrade" => "the connection changes its protocol",
        "precondition" => "only the origin can judge its condition",
        "request-no-store" | "request-no-cache" | "request-max-age" | "request-min-fresh" | "request" => {
            "the request asks for that (Cache-Control)"
        }
        "policy" => "the behavior does not store it",
        "status" => "answers of this status are not stored",
        "partial" => "a part of an answer is not stored",
        "no-store" => "the origin says no-store",
        "private" => "the origin says private",
        "no-cache" => "the origin says no-cache",
        "authorization" => "the request carries credentials, and the origin does not say public",
        "set-cookie" => "the answer sets a cookie",
        "vary-star" => "the answer says Vary: *",
        "edge-vary" => "the answer varies by a field that the edge writes",
        "hidden-vary" => "the answer varies by a field that the request kept from the origin",
        "expired" => "the answer was old when it came",
        "no-lifetime" => "nothing says for how long it is fresh",
        "too-large" => "it is too large",
        "must-revalidate" => "it must be confirmed once it is stale",
        other => other,
    }
}

fn visited(line: Line<'_>, origin: Line<'_>) -> Step {
    let mut text = format!("The origin {:?} was asked", origin.text("name"));
    if !origin.text("target").is_empty() {
        text += &format!(" at {}:{}", origin.text("target"), origin.number("port"));
    }
    if let Some(after) = line.millis("origin_after_ms") {
        text += &format!(", {after} after the request began");
    }
    let attempts = origin.number("attempts");
    if attempts > 1 {
        text += &format!(", {attempts} times");
    }
    text += &match origin.millis("connect_ms") {
        Some(connect) => format!("; a new connection took {connect}"),
        None => "; a connection was there".to_owned(),
    };
    if let Some(first) = origin.millis("first_byte_ms") {
        text += &format!("; its first byte came after {first}");
    }
    text += &format!("; {} in all", origin.millis("ms").unwrap_or_default());
    let status = origin.number("status");
    text += &if status == 0 { "; it gave no answer.".to_owned() } else { format!("; it answered {status}.") };
    Step { at: "origin", text, bad: status == 0 || status >= 500 }
}

fn answered(line: Line<'_>) -> Step {
    let status = line.number("status");
    let mut text = match status {
        0 => "The viewer went away before it had an answer".to_owned(),
        status => format!("The viewer got {status}, {} bytes", line.number("bytes_out")),
    };
    text +=
        &format!(", in {}; CloudFront calls it {}", line.millis("ms").unwrap_or_default(), line.text("result_type"));
    let (failure, error) = (line.failure(), line.text("error"));
    if !failure.is_empty() {
        text += &format!(" ({failure}");
        text += &if error.is_empty() { ")".to_owned() } else { format!(": {error})") };
    }
    Step { at: "answer", text: text + ".", bad: status == 0 || status >= 500 || !failure.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::observe::log::json;
    use crate::observe::record::{Call, CallOutcome, sample};
    use crate::observe::{Failure, Metrics, Outcome, Record, Visit};

    const CONFIG: &str = "[pop]\ncode = \"FRA\"\nlisten = [\"127.0.0.1:8080\"]\n\
        [[origin]]\nname = \"shop\"\nurl = \"http://127.0.0.1:9000\"\n\
        [[behavior]]\nname = \"assets\"\nmatch = \"shop.example/*\"\norigin = \"shop\"\n\
        cache = { key = { query = [\"x\"], headers = [\"accept-language\"] } }\n";

    fn explained(record: &Record<'_>) -> String {
        let config = config::parse(CONFIG, "edge.toml", std::path::Path::new(".")).unwrap();
        let mut line = Vec::new();
        json::write_explained(&mut line, record, "FRA");
        let steps = steps(&serde_json::from_slice(&line).unwrap(), &config);
        let words = |step: &Step| format!("{}{}: {}\n", if step.bad { "! " } else { "" }, step.at, step.text);
        steps.iter().map(words).collect()
    }

    #[test]
    fn a_hit() {
        let metrics = Metrics::new("FRA", 0);
        let assets = metrics.behaviors(["assets"]).remove(0);
        let got = explained(&Record { reason: "", ..sample(&assets) });
        let want = "\
request: GET https://shop.example/a b?x=1 over HTTP/2.0 and TLSv1.3, from 192.0.2.7.
behavior: The behavior \"assets\" matched, with \"shop.example/*\".
key: Answers are kept apart by: host shop.example, path /a b, query: only x, field accept-language.
cache: The cache had a fresh answer; 5 s old; fresh for 55 s more.
answer: The viewer got 200, 1200 bytes, in 1.234 ms; CloudFront calls it Hit.
";
        assert_eq!(got, want, "\n{got}");
    }

    #[test]
    fn a_miss_with_functions_and_an_origin() {
        let metrics = Metrics::new("FRA", 0);
        let (assets, origin) = (metrics.behaviors(["assets"]).remove(0), metrics.origins(["shop"]).remove(0));
        let function = metrics.functions(["auth"]).remove(0);
        let call = |outcome, edits| Call {
            function: function.clone(),
            event: "viewer-request",
            outcome,
            cpu_ns: 40_000,
            wall_ns: 50_000,
            edits,
            error: if edits == 0 { "it asked for more than 1 MiB".into() } else { "".into() },
            result: None,
        };
        let calls = [call(CallOutcome::Ok, 2), call(CallOutcome::Memory, 0)];
        let visit = Visit {
            origin: &origin,
            target: Some("127.0.0.1:9000".parse().unwrap()),
            after_ns: 200_000,
            connect_ns: Some(300_000),
            first_byte_ns: None,
            total_ns: 5_000_000,
            attempts: 2,
            status: 0,
        };
        let got = explained(&Record {
            calls: &calls,
            cache: Outcome::Error,
            reason: "uri-miss",
            origin: Some(visit),
            failure: Some(Failure::OriginTimeout),
            error: "no answer in 5s",
            status: 504,
            ttl_s: None,
            age_s: None,
            principal: "arn:aws:iam::123456789012:user/ada",
            ..sample(&assets)
        });
        for line in [
            "access: It came in as \"arn:aws:iam::123456789012:user/ada\".",
            "function: auth at viewer-request: 2 edits; 0.04 ms of CPU in 0.05 ms.",
            "! function: auth at viewer-request: it failed: memory: it asked for more than 1 MiB; 0.04 ms of CPU in 0.05 ms.",
            "cache: The edge answered for an origin that could not: nothing is stored under this key.",
            "! origin: The origin \"shop\" was asked at 127.0.0.1:9000, 0.2 ms after the request began, 2 times; a new connection took \
             0.3 ms; 5 ms in all; it gave no answer.",
            "! answer: The viewer got 504, 1200 bytes, in 1.234 ms; CloudFront calls it Error (timeout: no answer in 5s).",
        ] {
            assert!(got.lines().any(|one| one == line), "{line}\n\n{got}");
        }
    }

    #[test]
    fn those_that_were_not_let_in() {
        let metrics = Metrics::new("FRA", 0);
        let unrouted = metrics.unrouted();
        for (failure, want) in [
            (Failure::AccessDenied, "! access: It was not let in: expired.\n"),
            (Failure::GeoBlocked, "! access: The viewer's country is not served: expired.\n"),
            (Failure::LimitExceeded, "! limit: A limit was reached: expired.\n"),
        ] {
            let got = explained(&Record { failure: Some(failure), error: "expired", pattern: "", ..sample(unrouted) });
            assert!(got.contains(want), "{got}");
            assert!(got.contains("! behavior: It was refused before"), "{got}");
        }
    }
}
