//! Sends a visitor to the site of their country, once.
//!
//! Event: viewer-request. Grants: `geo`; config `sites` = "de=/de fr=/fr at=/de". A visitor who is on one of these sites
//! already, who chose one (cookie `site`), or whose country has none goes on as they are.

use rimward_edge::{config, cookie, geo, hooks, redirect, request};

hooks!(viewer_request);

fn viewer_request() -> Result<(), String> {
    let uri = request::uri();
    let sites = config::get("sites").ok_or("config has no 'sites'")?;
    let sites = || sites.split_whitespace().filter_map(|site| site.split_once('='));

    let below = |prefix: &str| uri.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if sites().any(|(_, prefix)| below(prefix)) || cookie("site").is_some() {
        return Ok(());
    }
    let Some(country) = geo::lookup(&request::client_ip()).and_then(|place| place.country) else { return Ok(()) };
    let Some((_, prefix)) = sites().find(|(code, _)| country.eq_ignore_ascii_case(code)) else { return Ok(()) };

    let query = request::querystring();
    let mark = if query.is_empty() { "" } else { "?" };
    redirect(302, &[prefix, &uri, mark, &query].concat())
}
