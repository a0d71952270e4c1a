//! Fields: names, values, methods and statuses of HTTP, as written in a configuration.
//!
//! In: text. Out: types of the `http` crate. Never: which of them a rule allows (each rule's own file says that).

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{Checked, Report, all};
use crate::config::compiled::{Select, StatusRange};
use crate::config::diagnose::nearest;
use crate::config::schema::{self, Methods, Selection};
use crate::config::source::At;

/// Methods CloudFront knows: what "all" means.
const ALL: [Method; 7] =
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];

/// Fields that frame a message or belong to one connection (RFC 9110 §7.6.1): never the configuration's to set.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

// === impl Report: fields ===
impl Report<'_> {
    pub(super) fn header_name(&mut self, at: &At, name: &str) -> Checked<HeaderName> {
        HeaderName::try_from(name.to_ascii_lowercase())
            .map_err(|_| self.refuse(at, format!("'{name}' is no header name")))
    }

    pub(super) fn header_names(&mut self, at: &At, names: &[String]) -> Checked<Vec<HeaderName>> {
        all(names.iter().enumerate().map(|(i, name)| self.header_name(&at.index(i), name)).collect::<Vec<_>>())
    }

    /// A name that a message's own framing does not need.
    pub(super) fn settable_name(&mut self, at: &At, name: &str) -> Checked<HeaderName> {
        let name = self.header_name(at, name)?;
        if FRAMING.contains(&name.as_str()) {
            return Err(self.refuse(at, format!("'{name}' frames the message and cannot be set")));
        }
        Ok(name)
    }

    pub(super) fn header_value(&mut self, at: &At, value: &str) -> Checked<HeaderValue> {
        HeaderValue::from_str(value).map_err(|_| self.refuse(at, "a header value is one line of visible text"))
    }

    pub(super) fn methods(&mut self, at: &At, methods: &Methods) -> Checked<Vec<Method>> {
        let names = match methods {
            Methods::All => return Ok(ALL.to_vec()),
            Methods::Only(names) => names,
        };
        if names.is_empty() {
            return Err(self.refuse(at, "no method is let through"));
        }
        let mut methods =
            all(names.iter().enumerate().map(|(i, name)| self.method(&at.index(i), name)).collect::<Vec<_>>())?;
        let mut seen = std::collections::HashSet::new();
        methods.retain(|method| seen.insert(method.clone()));
        Ok(methods)
    }

    fn method(&mut self, at: &At, name: &str) -> Checked<Method> {
        let upper = name.to_ascii_uppercase();
        match Method::from_bytes(name.as_bytes()) {
            Ok(Method::CONNECT | Method::TRACE) => Err(self.refuse(at, format!("{name} is never let through"))),
            Ok(method) if name == upper => {
                // Others are registered, and more may be invented (RFC 9110 §16.1): no reason to refuse one.
                let meant = nearest(name, ALL.iter().map(Method::as_str)).filter(|meant| *meant != name);
                if let Some(meant) = meant {
                    self.warn(at, format!("'{name}' is no method that is often seen: did you mean '{meant}'?"));
                }
                Ok(method)
            }
            Ok(_) => Err(self.refuse_with(
                at,
                format!("unknown method '{name}'"),
                format!("methods are upper case: \"{upper}\""),
            )),
            Err(_) => Err(self.refuse(at, format!("'{name}' is no method"))),
        }
    }

    /// One status within `from..=to`.
    pub(super) fn status(&mut self, at: &At, status: u16, from: u16, to: u16) -> Checked<StatusCode> {
        match StatusCode::from_u16(status) {
            Ok(code) if (from..=to).contains(&status) => Ok(code),
            _ => Err(self.refuse(at, format!("{status} is no status from {from} to {to}"))),
        }
    }

    /// Every status of some ranges, within 400 to 599: errors.
    pub(super) fn error_statuses(&mut self, at: &At, ranges: &[schema::StatusRange]) -> Checked<Vec<StatusCode>> {
        if ranges.is_empty() {
            return Err(self.refuse(at, "no status is named"));
        }
        let each =
            ranges.iter().enumerate().flat_map(|(i, range)| (range.from..=range.to).map(move |status| (i, status)));
        all(each.map(|(i, status)| self.status(&at.index(i), status, 400, 599)).collect::<Vec<_>>())
    }

    /// Names of cookies or query parameters.
    pub(super) fn select(&mut self, at: &At, selection: &Selection) -> Checked<Select> {
        let (names, at) = match selection {
            Selection::Only(names) => (names, at.clone()),
            Selection::Except(names) => (names, at.key("except")),
            Selection::None => return Ok(Select::None),
            Selection::All => return Ok(Select::All),
        };
        if let Some(empty) = names.iter().position(String::is_empty) {
            return Err(self.refuse(&at.index(empty), "a name is missing"));
        }
        Ok(match (selection, names.is_empty()) {
            (Selection::Only(_), true) => Select::None,
            (Selection::Only(names), false) => Select::Only(names.clone()),
            (_, true) => Select::All,
            (_, false) => Select::AllExcept(names.clone()),
        })
    }
}

pub(super) fn ranges(ranges: &[schema::StatusRange]) -> Vec<StatusRange> {
    ranges.iter().map(|range| StatusRange { from: range.from, to: range.to }).collect()
}
