//! Behavior: `[[behavior]]` becomes a pattern, an action and its policies.
//!
//! In: schema, the origins' names. Out: compiled behaviors in the order written. Never: choosing one for a request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::function::{self, Known};
use super::{Checked, Report, access, all, cache, limit, origin, pattern, response};
use crate::config::compiled::{
    Action, Behavior, CachePolicy, Coding, Compress, ErrorPage, ForwardHeaders, Page, PathRewrite, Pattern, Redirect,
    RequestPolicy, Rule, Select, ViewerProtocol,
};
use crate::config::diagnose::suggest;
use crate::config::schema::{self, HeaderSelection, Toggle};
use crate::config::source::At;

/// What a redirect's `to` may name.
const VARIABLES: [&str; 5] = ["scheme", "host", "path", "query", "uri"];

/// What behaviors may name.
pub(super) struct Names<'a> {
    pub origins: &'a origin::Names,
    pub functions: &'a Known,
    pub guards: &'a access::Guards,
}

pub(super) fn behaviors(
    written: Vec<schema::Behavior>,
    names: &Names<'_>,
    body_size: u64,
    report: &mut Report<'_>,
) -> Checked<Vec<Arc<Behavior>>> {
    if written.is_empty() && names.origins.only().is_none() {
        let help =
            "write a [[behavior]] for each kind of request; only a single [[origin]] serves everything without one";
        return Err(report.refuse_with(&At::default(), "nothing is served: there is no [[behavior]]", help));
    }
    let written = if written.is_empty() { vec![schema::Behavior::everything()] } else { written };
    let each = written.into_iter().enumerate();
    let behaviors = all(each.map(|(i, one)| behavior(&place(i), one, names, body_size, report)).collect::<Vec<_>>())?;
    let behaviors = unique_names(behaviors, report)?;
    for (i, later) in behaviors.iter().enumerate() {
        if let Some(earlier) =
            behaviors.iter().take(i).find(|earlier| pattern::covers(&earlier.pattern, &later.pattern))
        {
            let message =
                format!("'{}' is never reached: '{}' before it takes all it matches", later.name, earlier.name);
            report.warn(&place(i).key("match"), message);
        }
    }
    Ok(behaviors.into_iter().map(Arc::new).collect())
}

fn place(index: usize) -> At {
    At::default().key("behavior").index(index)
}

/// Written names must differ; patterns used as names that do not get a number.
fn unique_names(behaviors: Vec<Behavior>, report: &mut Report<'_>) -> Checked<Vec<Behavior>> {
    let mut taken = HashSet::new();
    let each = behaviors.into_iter().enumerate().map(|(i, mut behavior)| {
        if !taken.insert(behavior.name.clone()) {
            let at = place(i).key("name");
            if report.written(&at) {
                return Err(report.refuse(&at, format!("the name '{}' is taken", behavior.name)));
            }
            behavior.name = format!("{} #{}", behavior.name, i + 1);
            taken.insert(behavior.name.clone());
        }
        Ok(behavior)
    });
    all(each.collect::<Vec<_>>())
}

fn behavior(
    at: &At,
    written: schema::Behavior,
    names: &Names<'_>,
    body_size: u64,
    report: &mut Report<'_>,
) -> Checked<Behavior> {
    let pattern: Checked<Pattern> =
        pattern::read(&written.pattern).map_err(|(message, help)| report.refuse_with(&at.key("match"), message, help));
    let name = written.name.clone().unwrap_or_else(|| written.pattern.clone());
    if name.is_empty() || name.len() > 512 || name.chars().any(char::is_control) {
        report.refuse(&at.key("name"), "a name has 1 to 512 characters");
    }
    let action = action(at, &written, names.origins, report);
    let methods = report.methods(&at.key("methods"), &written.methods);
    let shared = matches!(&written.cache, Toggle::Table(rules) if rules.shared);
    // What an HTTP server says nothing about is kept as CloudFront keeps it; what a function says nothing about, not at all.
    let called = matches!(&action, Ok(Action::Forward(upstream)) if names.origins.is_called(*upstream));
    let silent = if called { Duration::ZERO } else { cache::DAY };
    let cache = cache::policy(&at.key("cache"), written.cache, silent, report);
    let cached = cache.as_ref().is_ok_and(|cache: &CachePolicy| cache.enabled);
    let request = request(&at.key("forward"), &written.forward, cached, body_size, report);
    let response = response::policy(&at.key("response"), &written.response, report);
    if let (Ok(methods), Ok(response)) = (&methods, &response)
        && response.cors.is_some()
        && !methods.contains(&http::Method::OPTIONS)
    {
        let message = format!("'{name}' answers no CORS preflight: its 'methods' leave out OPTIONS");
        report.warn(&at.key("response"), message);
    }
    let compress = written.compress.on().map(|table| compress(&at.key("compress"), table, report)).transpose();
    let errors = errors(&at.key("errors"), &written.errors, report);
    let root_object = written.root_object.map(|name| relative(&at.key("root_object"), name, report)).transpose();
    let index = written.index.map(|name| relative(&at.key("index"), name, report)).transpose();
    let strip = written.strip_prefix.map(|path| prefix(&at.key("strip_prefix"), &path, report)).transpose();
    let add = written.add_prefix.map(|path| prefix(&at.key("add_prefix"), &path, report)).transpose();
    let hooks = function::hooks(&at.key("hooks"), &written.hooks, names.functions, report);
    let rule =
        written.access.as_ref().map(|rule| access::rule(&at.key("access"), rule, names.guards, report)).transpose();
    if written.redirect.is_some() && (written.access.is_some() || !written.limit.0.is_empty()) {
        let key = if written.access.is_some() { "access" } else { "limit" };
        report.refuse(&at.key(key), "a redirect is answered before anybody is asked who they are");
    }
    let limits = limit::limits(&at.key("limit"), &written.limit.0, report);
    let stage = written.stage.map(|stage| limit::stage(&at.key("stage"), stage, report)).transpose();
    let identity = access::identity(&at.key("identity"), &written.identity, report);
    Ok(Behavior {
        name,
        pattern: pattern?,
        action: action?,
        methods: methods?,
        viewer_protocol: match written.viewer_protocol {
            schema::ViewerProtocol::AllowAll => ViewerProtocol::AllowAll,
            schema::ViewerProtocol::HttpsOnly => ViewerProtocol::HttpsOnly,
            schema::ViewerProtocol::RedirectToHttps => ViewerProtocol::RedirectToHttps,
        },
        cache: cache?,
        request: request?,
        response: response?,
        compress: compress?,
        errors: errors?,
        root_object: root_object?,
        index: index?,
        rewrite: PathRewrite { strip_prefix: strip?, add_prefix: add? },
        hooks: hooks?,
        per_principal: cached
            && !shared
            && rule.as_ref().is_ok_and(|rule| rule.as_ref().is_some_and(Rule::names_principal)),
        canary: None,
        access: rule?,
        limits: limits?,
        stage: stage?.unwrap_or_default(),
        identity: identity?,
    })
}

fn action(at: &At, written: &schema::Behavior, names: &origin::Names, report: &mut Report<'_>) -> Checked<Action> {
    match (&written.origin, &written.redirect) {
        (Some(_), Some(_)) => {
            Err(report.refuse(&at.key("redirect"), "a behavior asks an origin or redirects, not both"))
        }
        (Some(name), None) => names.find(&at.key("origin"), name, report).map(Action::Forward),
        (None, Some(written)) => redirect(&at.key("redirect"), written, report).map(Action::Redirect),
        (None, None) => names.only().map(Action::Forward).ok_or_else(|| {
            let message = format!("behavior '{}' has no origin", written.pattern);
            report.refuse_with(
                at,
                message,
                "add origin = \"name of an [[origin]] or [[origin_group]]\", or redirect = { to = … }",
            )
        }),
    }
}

fn redirect(at: &At, written: &schema::Redirect, report: &mut Report<'_>) -> Checked<Redirect> {
    let status = match written.status {
        301 | 302 | 303 | 307 | 308 => report.status(&at.key("status"), written.status, 301, 308),
        other => {
            Err(report.refuse(&at.key("status"), format!("{other} is no redirect: write 301, 302, 303, 307 or 308")))
        }
    };
    let to = at.key("to");
    if written.to.is_empty() {
        return Err(report.refuse(&to, "where to?"));
    }
    report.header_value(&to, &written.to)?;
    for part in written.to.split('$').skip(1) {
        let name: String = part.chars().take_while(char::is_ascii_lowercase).collect();
        if !VARIABLES.contains(&name.as_str()) {
            let help = suggest(&name, VARIABLES).unwrap_or_default();
            return Err(report.refuse_with(&to, format!("unknown variable '${name}'"), help));
        }
    }
    Ok(Redirect { status: status?, to: written.to.clone() })
}

/// What goes to the origin. Without a cache nothing is shared, so everything may go.
fn request(
    at: &At,
    written: &schema::Forward,
    cached: bool,
    most: u64,
    report: &mut Report<'_>,
) -> Checked<RequestPolicy> {
    let headers = match (&written.headers, cached) {
        (None, true) | (Some(HeaderSelection::Default), _) => Ok(ForwardHeaders::Default),
        (None, false) | (Some(HeaderSelection::All), _) => Ok(ForwardHeaders::All),
        (Some(HeaderSelection::Only(names)), _) => {
            report.header_names(&at.key("headers"), names).map(ForwardHeaders::Only)
        }
        (Some(HeaderSelection::Except(names)), _) => {
            report.header_names(&at.key("headers").key("except"), names).map(ForwardHeaders::AllExcept)
        }
    };
    let rest = if cached { Select::None } else { Select::All };
    let mut select = |key: &str, selection: &Option<schema::Selection>| match selection {
        Some(selection) => report.select(&at.key(key), selection),
        None => Ok(rest.clone()),
    };
    let cookies = select("cookies", &written.cookies);
    let query = select("query", &written.query);
    let body_size = match written.body_size.map(|size| size.get()) {
        Some(size) if size > most => Err(report.refuse(&at.key("body_size"), "more than 'limits.body_size' lets in")),
        size => Ok(size.unwrap_or(most)),
    };
    Ok(RequestPolicy {
        headers: headers?,
        cookies: cookies?,
        query: query?,
        forwarded: written.forwarded,
        body_size: body_size?,
    })
}

fn compress(at: &At, table: schema::Compress, report: &mut Report<'_>) -> Checked<Compress> {
    let mut codings: Vec<Coding> = Vec::new();
    for coding in &table.codings {
        let coding = match coding {
            schema::Coding::Br => Coding::Brotli,
            schema::Coding::Zstd => Coding::Zstd,
            schema::Coding::Gzip => Coding::Gzip,
        };
        if !codings.contains(&coding) {
            codings.push(coding);
        }
    }
    if codings.is_empty() {
        return Err(report.refuse_with(
            &at.key("codings"),
            "nothing to compress with",
            "write compress = false to turn it off",
        ));
    }
    if table.min_size > table.max_size {
        let message = format!("min_size ({}) is more than max_size ({})", table.min_size, table.max_size);
        return Err(report.refuse(&at.key("min_size"), message));
    }
    let each = table.types.iter().enumerate().map(|(i, text)| match text.split_once('/') {
        Some((kind, sub)) if !kind.is_empty() && !sub.is_empty() && !text.contains([';', ' ']) => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(report
            .refuse(&at.key("types").index(i), format!("'{text}' is no media type, like \"text/html\" or \"text/*\""))),
    });
    let types = all(each.collect::<Vec<_>>())?;
    Ok(Compress { codings, min_size: table.min_size.get(), max_size: table.max_size.get(), types })
}

fn errors(at: &At, pages: &[schema::ErrorPage], report: &mut Report<'_>) -> Checked<Vec<ErrorPage>> {
    let mut taken: HashSet<StatusCode> = HashSet::new();
    let each = pages.iter().enumerate().map(|(i, written)| {
        let at = at.index(i);
        let page = error_page(&at, written, report)?;
        match page.statuses.iter().find(|status| !taken.insert(**status)) {
            Some(status) => Err(report.refuse(&at.key("status"), format!("{} has a page already", status.as_u16()))),
            None => Ok(page),
        }
    });
    all(each.collect::<Vec<_>>())
}

fn error_page(at: &At, written: &schema::ErrorPage, report: &mut Report<'_>) -> Checked<ErrorPage> {
    let statuses = report.error_statuses(&at.key("status"), &written.status);
    let respond = written.respond.map(|status| report.status(&at.key("respond"), status, 200, 599)).transpose();
    let page = match (&written.page, &written.file) {
        (Some(_), Some(_)) => Err(report.refuse(&at.key("file"), "'page' and 'file' say the same: write one of them")),
        (Some(path), None) if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() => {
            Err(report.refuse(&at.key("page"), format!("'{path}' is no path: it starts with \"/\"")))
        }
        (Some(path), None) => Ok(Page::Path(path.clone())),
        (None, Some(file)) => {
            report.content(&at.key("file"), file).map(|(body, content_type)| Page::File { content_type, body })
        }
        (None, None) => Err(report.refuse_with(
            at,
            "neither 'page' nor 'file' is given",
            "how long an error without a page is kept is `cache.error_ttl`",
        )),
    };
    Ok(ErrorPage { statuses: statuses?, respond: respond?, page: page?, ttl: written.ttl.get() })
}

/// A path below "/", without leading "/".
fn relative(at: &At, name: String, report: &mut Report<'_>) -> Checked<String> {
    match format!("/{name}").parse::<http::uri::PathAndQuery>() {
        Ok(path) if !name.is_empty() && !name.starts_with('/') && path.query().is_none() => Ok(name),
        _ => Err(report.refuse_with(
            at,
            format!("'{name}' is no object name"),
            "like \"index.html\", without a leading \"/\"",
        )),
    }
}

/// A prefix that starts with "/" and does not end with it.
fn prefix(at: &At, path: &str, report: &mut Report<'_>) -> Checked<String> {
    let trimmed = path.trim_end_matches('/');
    match trimmed.parse::<http::uri::PathAndQuery>() {
        Ok(parsed) if trimmed.starts_with('/') && parsed.query().is_none() => Ok(trimmed.to_owned()),
        _ => Err(report.refuse_with(at, format!("'{path}' is no path prefix"), "like \"/api\"")),
    }
}
