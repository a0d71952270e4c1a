//! Exchange: a message in a few words, and what became of it as text.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use rimward::config::compiled::{Grants, Mode};
use rimward::hooks::Event;
use rimward::hooks::engine::Called;
use rimward::hooks::exchange::{Edit, Exchange, Origin, OriginChange, Request, Response, Site};

/// The time of every call, in milliseconds since the epoch: 2027-01-15.
pub const NOW_MS: u64 = 1_800_000_000_000;

/// One message and what must become of it.
pub struct Case {
    pub about: &'static str,
    pub want: Vec<String>,
    /// Host of the origin in force.
    pub origin: &'static str,
    uri: String,
    query: String,
    ip: [u8; 4],
    headers: Vec<(String, String)>,
    /// At response events.
    response: Vec<(String, String)>,
}

/// GET for a path, with an optional query string.
pub fn get(about: &'static str, target: &str) -> Case {
    let (uri, query) = target.split_once('?').unwrap_or((target, ""));
    Case {
        about,
        want: Vec::new(),
        origin: "origin.example",
        uri: uri.to_owned(),
        query: query.to_owned(),
        ip: [192, 0, 2, 7],
        headers: Vec::new(),
        response: Vec::new(),
    }
}

/// Grants of nothing but config.
pub fn with_config(pairs: &[(&str, &str)]) -> Grants {
    let config = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Grants { config, ..Grants::default() }
}

// === impl Case ===
impl Case {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn asked_from(mut self, ip: [u8; 4]) -> Self {
        self.ip = ip;
        self
    }

    pub fn answered(mut self, name: &str, value: &str) -> Self {
        self.response.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The edits in order, or an answer or failure: see [`lines`].
    pub fn gives(mut self, want: &[&str]) -> Self {
        self.want = want.iter().map(|line| (*line).to_owned()).collect();
        self
    }

    pub fn exchange(&self, event: Event) -> Exchange {
        let site = Arc::new(Site {
            pop: "FRA".into(),
            behavior: "default".into(),
            domain: "d1.cloudfront.net".into(),
            distribution: "E1".into(),
            origins: vec!["main".into(), "next".into()],
            mode: Mode::Extended,
            include_body: false,
        });
        let request = Request {
            method: Method::GET,
            uri: self.uri.clone(),
            query: self.query.clone(),
            has_query: !self.query.is_empty(),
            client_ip: self.ip.into(),
            server_ip: None,
            who: None,
            version: Version::HTTP_2,
            tls: true,
            headers: headers(&self.headers),
            body: None,
            origin: (event != Event::ViewerRequest).then(|| Origin {
                name: "main".into(),
                host: self.origin.into(),
                port: 443,
                tls: true,
                path: String::new(),
                read_timeout: Duration::from_secs(30),
                keepalive_timeout: Duration::from_secs(5),
                headers: Vec::new(),
                signed: false,
            }),
        };
        if event.is_request() {
            return Exchange::request(event, &site, "id", NOW_MS, request);
        }
        let response = Response { status: StatusCode::OK, headers: headers(&self.response), body: None };
        Exchange::response(event, &site, "id", NOW_MS, request, response)
    }
}

fn headers(fields: &[(String, String)]) -> HeaderMap {
    let field = |(name, value): &(String, String)| -> (HeaderName, HeaderValue) {
        (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

/// A call's result as text, one line for each edit: "uri /x", "set name: value", "answer 302", and so on.
pub fn lines(called: Called) -> Vec<String> {
    let mut exchange = called.exchange;
    if let Err(failure) = called.outcome {
        for line in called.logs {
            eprintln!("{:?} {}", line.level, line.message);
        }
        return vec![format!("{}: {failure}", failure.reason())];
    }
    if let Some(answer) = exchange.take_answer() {
        let fields = answer.headers.iter().map(|(name, value)| line("", name, value));
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let body = (!body.is_empty()).then(|| format!("body {body}"));
        return std::iter::once(format!("answer {}", answer.status.as_u16())).chain(fields).chain(body).collect();
    }
    exchange.take_edits().iter().map(edit).collect()
}

fn line(what: &str, name: &HeaderName, value: &HeaderValue) -> String {
    format!("{what}{name}: {}", String::from_utf8_lossy(value.as_bytes()))
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::Uri(uri) => format!("uri {uri}"),
        Edit::Query(query) => format!("query {query}"),
        Edit::Set(name, value) => line("set ", name, value),
        Edit::Append(name, value) => line("append ", name, value),
        Edit::Remove(name) => format!("remove {name}"),
        Edit::Body(body) => format!("body {}", String::from_utf8_lossy(body)),
        Edit::Status(status) => format!("status {}", status.as_u16()),
        Edit::Origin(change) => match &**change {
            OriginChange::To(patch) => format!("origin {}", patch.base.as_deref().unwrap_or("of its own")),
            OriginChange::Group { members, .. } => {
                let names: Vec<&str> = members.iter().filter_map(|member| member.base.as_deref()).collect();
                format!("origins {}", names.join(" "))
            }
        },
    }
}
