//! Exchange: one message in a function's hands.
//!
//! In: the message as the event shows it. Out: the same after every accepted edit, and the list of them. Never: an edit that makes
//! an invalid message; each is checked as it is made, and a refused one changes nothing.

mod origin;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::config::compiled::{Generated, Mode, Signing};

use super::event::Event;
use super::fields::{self, Access};
use super::limits::Limits;
use super::{Who, valid};

pub use origin::{Origin, shown};

/// Why an edit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("it is read-only at this event")]
    ReadOnly,
    #[error("functions may not set it")]
    Forbidden,
    #[error("it is not valid")]
    Invalid,
    #[error("it is too large")]
    TooLarge,
    #[error("there is no such thing at this event")]
    WrongEvent,
    #[error("the configuration has no origin of that name")]
    NoOrigin,
}

/// One accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Uri(String),
    Query(String),
    /// Replaces all lines of that name.
    Set(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
    Remove(HeaderName),
    /// Of the request at request events, of the response at response events.
    Body(Bytes),
    Status(StatusCode),
    Origin(Box<OriginChange>),
}

/// Another way to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginChange {
    To(OriginPatch),
    /// An origin group for this request only, of origins of the configuration: each has a `base`, and what differs from it.
    Group {
        members: Vec<OriginPatch>,
        failover: Vec<StatusCode>,
    },
}

/// An origin described by what differs from another: absent parts are inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginPatch {
    /// An origin or group of the configuration; `None` = the one in force.
    pub base: Option<String>,
    /// Name only: no port, no address literal.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: Option<bool>,
    /// "" or "/prefix".
    pub path: Option<String>,
    /// Sent as Host instead of `host`.
    pub host_header: Option<String>,
    pub sni: Option<String>,
    pub headers: Option<Vec<(HeaderName, HeaderValue)>>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub attempts: Option<u32>,
    pub signing: Option<Signing>,
}

// === impl OriginPatch ===
impl OriginPatch {
    /// Whether requests to it are signed: to a host of its own, without a word, they are not.
    pub fn signing(&self) -> Option<Signing> {
        self.signing.clone().or(self.host.is_some().then_some(Signing::Off))
    }
}

/// What does not change from one call of an association to the next.
#[derive(Debug, Clone)]
pub struct Site {
    /// IATA code.
    pub pop: String,
    pub behavior: String,
    /// What AWS's events name: host of the distribution and its id.
    pub domain: String,
    pub distribution: String,
    /// Names of origins and groups that a function may choose.
    pub origins: Vec<String>,
    pub mode: Mode,
    pub include_body: bool,
}

/// A request, owned by the call.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Path only, percent-encoding kept; starts with '/'.
    pub uri: String,
    /// Without '?'.
    pub query: String,
    /// There is a '?', which a query of nothing has too.
    pub has_query: bool,
    pub client_ip: IpAddr,
    /// The address of this PoP that the viewer's connection came to, where that is known.
    pub server_ip: Option<IpAddr>,
    /// Who asks, where an access rule says so.
    pub who: Option<Arc<Who>>,
    pub version: Version,
    pub tls: bool,
    pub headers: HeaderMap,
    /// Present when the association includes it.
    pub body: Option<Body>,
    /// The origin in force, at origin events.
    pub origin: Option<Origin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub data: Bytes,
    /// There is more than this.
    pub truncated: bool,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Set by the function; what the origin sent is never shown.
    pub body: Option<Bytes>,
}

/// The message, the edits so far, and the rules for more.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub event: Event,
    pub site: Arc<Site>,
    pub request_id: String,
    pub now_ms: u64,
    pub request: Request,
    /// At response events.
    pub response: Option<Response>,
    limits: Limits,
    /// Bytes of fields that this call added.
    added: usize,
    edits: Vec<Edit>,
    answer: Option<Generated>,
}

/// Field lines a message may have after a function edited it: what Pingora reads and writes.
const FIELDS_MAX: usize = 256;
/// Statuses that move on to a group's next member: as many as there are from 400 to 599.
const FAILOVER_MAX: usize = 200;

// === impl Exchange ===
impl Exchange {
    pub fn request(event: Event, site: &Arc<Site>, request_id: &str, now_ms: u64, request: Request) -> Self {
        Self::new(event, site, request_id, now_ms, request, None)
    }

    pub fn response(
        event: Event,
        site: &Arc<Site>,
        request_id: &str,
        now_ms: u64,
        request: Request,
        response: Response,
    ) -> Self {
        Self::new(event, site, request_id, now_ms, request, Some(response))
    }

    fn new(
        event: Event,
        site: &Arc<Site>,
        request_id: &str,
        now_ms: u64,
        request: Request,
        response: Option<Response>,
    ) -> Self {
        let limits = Limits::of(site.mode, event);
        Exchange {
            event,
            site: site.clone(),
            request_id: request_id.to_owned(),
            now_ms,
            request,
            response,
            limits,
            added: 0,
            edits: Vec::new(),
            answer: None,
        }
    }

    /// One with nothing in it.
    pub fn empty(event: Event, site: &Arc<Site>) -> Self {
        let empty = Request {
            method: Method::GET,
            uri: String::new(),
            query: String::new(),
            has_query: false,
            client_ip: Ipv4Addr::UNSPECIFIED.into(),
            server_ip: None,
            who: None,
            version: Version::HTTP_11,
            tls: false,
            headers: HeaderMap::new(),
            body: None,
            origin: None,
        };
        Self::request(event, site, "", 0, empty)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The answer that the function gave instead of going on.
    pub fn answer(&self) -> Option<&Generated> {
        self.answer.as_ref()
    }

    pub fn take_answer(&mut self) -> Option<Generated> {
        self.answer.take()
    }

    pub fn take_edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.edits)
    }

    /// Fields of the message that this event edits, without what functions never see.
    pub fn visible(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        headers.iter().filter(|(name, _)| !fields::hidden(name.as_str()))
    }

    pub fn set_uri(&mut self, uri: &str) -> Result<(), EditError> {
        self.set_target(Some(uri), None)
    }

    pub fn set_query(&mut self, query: &str) -> Result<(), EditError> {
        self.set_target(None, Some(query))
    }

    /// Path, query or both: the bound is on both together.
    pub fn set_target(&mut self, uri: Option<&str>, query: Option<&str>) -> Result<(), EditError> {
        self.at_request()?;
        if uri.is_some_and(|uri| !valid::path(uri)) || query.is_some_and(|query| !valid::query(query)) {
            return Err(EditError::Invalid);
        }
        let (uri, query) = (uri.map(valid::sendable), query.map(valid::sendable));
        let path = uri.as_deref().unwrap_or(&self.request.uri).len();
        let rest = query.as_deref().unwrap_or(&self.request.query).len();
        if path + usize::from(rest > 0) + rest > self.limits.uri {
            return Err(EditError::TooLarge);
        }
        if let Some(uri) = uri.map(Cow::into_owned) {
            self.request.uri.clone_from(&uri);
            self.record(Edit::Uri(uri));
        }
        if let Some(query) = query.map(Cow::into_owned) {
            self.request.query.clone_from(&query);
            self.request.has_query = !query.is_empty();
            self.record(Edit::Query(query));
        }
        Ok(())
    }

    /// Replaces all lines of a field: of the request at request events, of the response at response events.
    pub fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let Some((name, value)) = self.field(name, value, false)? else { return Ok(()) };
        self.headers_mut().insert(name.clone(), value.clone());
        self.edits.push(Edit::Set(name, value));
        Ok(())
    }

    pub fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let Some((name, value)) = self.field(name, value, true)? else { return Ok(()) };
        self.headers_mut().append(name.clone(), value.clone());
        self.edits.push(Edit::Append(name, value));
        Ok(())
    }

    /// Removing what is not there is no edit.
    pub fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
        if fields::editable(self.event, name.as_str())? == Access::Edge {
            return Ok(());
        }
        // A request without it is none.
        if name == HOST && self.response.is_none() {
            return Err(EditError::Invalid);
        }
        if self.headers_mut().remove(&name).is_some() {
            self.edits.push(Edit::Remove(name));
        }
        Ok(())
    }

    /// Replaces the request's body, or at response events the response's; an empty one drops it.
    pub fn set_body(&mut self, data: Bytes) -> Result<(), EditError> {
        match &mut self.response {
            Some(response) => {
                if data.len() > self.limits.answer {
                    return Err(EditError::TooLarge);
                }
                if valid::bodiless(response.status) && !data.is_empty() {
                    return Err(EditError::Invalid);
                }
                response.body = Some(data.clone());
            }
            None => {
                if !self.site.include_body {
                    return Err(EditError::WrongEvent);
                }
                if data.len() > self.limits.body_text {
                    return Err(EditError::TooLarge);
                }
                self.request.body = Some(Body { data: data.clone(), truncated: false });
            }
        }
        self.record(Edit::Body(data));
        Ok(())
    }

    /// 200 to 599; one that has no body needs an empty one first, where the function set one.
    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        let response = self.response.as_mut().ok_or(EditError::WrongEvent)?;
        let status = valid::status(status)?;
        if valid::bodiless(status) && response.body.as_ref().is_some_and(|body| !body.is_empty()) {
            return Err(EditError::Invalid);
        }
        response.status = status;
        self.record(Edit::Status(status));
        Ok(())
    }

    pub fn set_origin(&mut self, change: OriginChange) -> Result<(), EditError> {
        self.at_request()?;
        let own = self.request.origin.as_ref().map(|origin| origin.headers.as_slice()).unwrap_or_default();
        let check = |patch: &OriginPatch| match &patch.base {
            Some(name) if !self.site.origins.contains(name) => Err(EditError::NoOrigin),
            _ => valid::patch(self.site.mode, patch, own),
        };
        match &change {
            OriginChange::To(patch) => check(patch)?,
            OriginChange::Group { members, failover } => {
                let errors = failover.iter().all(|status| (400..=599).contains(&status.as_u16()));
                let count = (2..=valid::GROUP_MAX).contains(&members.len()) && failover.len() <= FAILOVER_MAX;
                if !count || !errors || members.iter().any(|member| member.base.is_none()) {
                    return Err(EditError::Invalid);
                }
                members.iter().try_for_each(check)?;
            }
        }
        if let (OriginChange::To(patch), Some(origin)) = (&change, &mut self.request.origin) {
            origin.patch(patch);
        }
        self.record(Edit::Origin(Box::new(change)));
        Ok(())
    }

    /// Answers instead of going on. The last answer counts.
    pub fn respond<'f>(
        &mut self,
        status: u16,
        headers: impl Iterator<Item = (&'f str, &'f [u8])>,
        body: Bytes,
    ) -> Result<(), EditError> {
        self.at_request()?;
        let status = valid::status(status)?;
        let (mut size, mut out) = (0, Vec::new());
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid)?;
            size += size_of_line(&name, &value);
            if out.len() >= FIELDS_MAX || size > self.limits.fields {
                return Err(EditError::TooLarge);
            }
            if fields::answerable(self.site.mode, self.event, name.as_str())? == Access::Write {
                out.push((name, value));
            }
        }
        if size + body.len() > self.limits.answer {
            return Err(EditError::TooLarge);
        }
        if valid::bodiless(status) && !body.is_empty() {
            return Err(EditError::Invalid);
        }
        self.answer = Some(Generated { status, headers: out, body });
        Ok(())
    }

    fn at_request(&self) -> Result<(), EditError> {
        if self.event.is_request() { Ok(()) } else { Err(EditError::WrongEvent) }
    }

    /// A line that may be added or set; `None` = accepted, and the edge's own is sent.
    fn field(
        &mut self,
        name: &str,
        value: &[u8],
        append: bool,
    ) -> Result<Option<(HeaderName, HeaderValue)>, EditError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
        let access = fields::editable(self.event, name.as_str())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid)?;
        if access == Access::Edge {
            return Ok(None);
        }
        let there = self.headers_mut().contains_key(&name);
        // One Host, that names one.
        if name == HOST && self.response.is_none() && (append && there || !valid::host_field(value.as_bytes())) {
            return Err(EditError::Invalid);
        }
        let added = self.added + size_of_line(&name, &value);
        let full = self.headers_mut().len() >= FIELDS_MAX && (append || !there);
        if added > self.limits.fields || full {
            return Err(EditError::TooLarge);
        }
        self.added = added;
        Ok(Some((name, value)))
    }

    /// Keeps the last of what can only be one: a function that sets it again and again holds no more memory.
    fn record(&mut self, edit: Edit) {
        let kind = std::mem::discriminant(&edit);
        match self.edits.iter_mut().find(|earlier| std::mem::discriminant(*earlier) == kind) {
            Some(earlier) => *earlier = edit,
            None => self.edits.push(edit),
        }
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        match &mut self.response {
            Some(response) => &mut response.headers,
            None => &mut self.request.headers,
        }
    }
}

/// As in a header section of HTTP/1.1: name, colon, space, value, line end.
fn size_of_line(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + 4
}

#[cfg(test)]
mod tests;
