//! Rewrites a page on its way from the origin: images load lazily, plain-HTTP links become HTTPS, a banner comes first.
//!
//! Event: origin-request: what it answers is cached, so a page is rewritten once. Grants: `fetch` for the origin; config
//! `origin` = "https://origin.example", `banner` = HTML. The body of an origin's response is never shown to a function, so this
//! one fetches the page itself. All but HTML goes through as it came.

mod page;

use rimward_edge::{Field, answer, config, fetch, field, hooks, request};

hooks!(origin_request);

fn origin_request() -> Result<(), String> {
    if request::method() != "GET" {
        return Ok(());
    }
    let from = fetch::send(&fetch::Outgoing {
        method: "GET".to_owned(),
        url: url()?,
        headers: request::header("accept-language").map(|value| field("accept-language", value)).into_iter().collect(),
        body: Vec::new(),
        timeout_ms: 0,
    })?;
    let html = value(&from.headers, "content-type").is_some_and(|kind| kind.starts_with(b"text/html"));
    let plain = value(&from.headers, "content-encoding").is_none();

    let body = match std::str::from_utf8(&from.body) {
        Ok(text) if html && plain => page::rewrite(text, &config::get("banner").unwrap_or_default()).into_bytes(),
        _ => from.body,
    };
    // Framing and validators belong to the page as it was.
    let kept = |name: &str| !matches!(name, "content-length" | "transfer-encoding" | "connection" | "etag" | "last-modified");
    let headers: Vec<Field> = from.headers.into_iter().filter(|field| kept(&field.name)).collect();
    Ok(answer::respond(from.status, &headers, &body)?)
}

fn url() -> Result<String, String> {
    let query = request::querystring();
    let mark = if query.is_empty() { "" } else { "?" };
    let origin = config::get("origin").ok_or("config has no 'origin'")?;
    Ok([origin.trim_end_matches('/'), &request::uri(), mark, &query].concat())
}

fn value<'h>(headers: &'h [Field], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|field| field.name == name).map(|field| &field.value[..])
}
