//! Exchange: one message in a function's hands.
//!
//! In: the message as the event shows it. Out: the same after every accepted edit, and the list of them. Never: an edit that makes
//! an invalid message; each is checked as it is made, and a refused one changes nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::config::compiled::{Generated, Mode};

use super::event::Event;
use super::fields;
use super::limits::Limits;

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
    /// An origin group for this request only, of origins of the configuration.
    Group {
        members: Vec<String>,
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
    pub client_ip: IpAddr,
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

/// The origin in force, as a function sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub path: String,
    pub read_timeout: Duration,
    pub keepalive_timeout: Duration,
    /// Names only where the values are secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
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
        self.at_request()?;
        if uri.len() + self.request.query.len() > self.limits.uri {
            return Err(EditError::TooLarge);
        }
        if !valid_path(uri) {
            return Err(EditError::Invalid);
        }
        self.request.uri = uri.to_owned();
        self.edits.push(Edit::Uri(uri.to_owned()));
        Ok(())
    }

    pub fn set_query(&mut self, query: &str) -> Result<(), EditError> {
        self.at_request()?;
        if query.len() + self.request.uri.len() > self.limits.uri {
            return Err(EditError::TooLarge);
        }
        if !valid_query(query) {
            return Err(EditError::Invalid);
        }
        self.request.query = query.to_owned();
        self.edits.push(Edit::Query(query.to_owned()));
        Ok(())
    }

    /// Replaces all lines of a field: of the request at request events, of the response at response events.
    pub fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let (name, value) = self.field(name, value)?;
        self.headers_mut().insert(name.clone(), value.clone());
        self.edits.push(Edit::Set(name, value));
        Ok(())
    }

    pub fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let (name, value) = self.field(name, value)?;
        self.headers_mut().append(name.clone(), value.clone());
        self.edits.push(Edit::Append(name, value));
        Ok(())
    }

    /// Removing what is not there is no edit.
    pub fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
        fields::editable(self.event, name.as_str())?;
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
        self.edits.push(Edit::Body(data));
        Ok(())
    }

    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        let status = valid_status(status)?;
        let response = self.response.as_mut().ok_or(EditError::WrongEvent)?;
        response.status = status;
        self.edits.push(Edit::Status(status));
        Ok(())
    }

    pub fn set_origin(&mut self, change: OriginChange) -> Result<(), EditError> {
        self.at_request()?;
        let known = |name: &String| self.site.origins.contains(name);
        match &change {
            OriginChange::To(patch) => {
                if patch.base.as_ref().is_some_and(|name| !known(name)) || !valid_patch(patch) {
                    return Err(EditError::Invalid);
                }
                if patch.headers.iter().flatten().any(|(name, _)| !fields::for_origin(name.as_str())) {
                    return Err(EditError::Forbidden);
                }
            }
            OriginChange::Group { members, failover } => {
                let statuses = failover.iter().all(|status| status.as_u16() >= 400);
                if members.len() < 2 || !members.iter().all(known) || !statuses {
                    return Err(EditError::Invalid);
                }
            }
        }
        self.edits.push(Edit::Origin(Box::new(change)));
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
        let status = valid_status(status)?;
        let mut size = body.len();
        let mut out = Vec::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid)?;
            if !fields::answerable(name.as_str()) {
                return Err(EditError::Forbidden);
            }
            size += name.as_str().len() + value.len() + 4;
            // Framing is the edge's: computed from the body.
            if !matches!(name.as_str(), "content-length" | "transfer-encoding") {
                out.push((name, value));
            }
        }
        if size > self.limits.answer {
            return Err(EditError::TooLarge);
        }
        if matches!(status.as_u16(), 204 | 304) && !body.is_empty() {
            return Err(EditError::Invalid);
        }
        self.answer = Some(Generated { status, headers: out, body });
        Ok(())
    }

    fn at_request(&self) -> Result<(), EditError> {
        if self.event.is_request() { Ok(()) } else { Err(EditError::WrongEvent) }
    }

    fn field(&mut self, name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), EditError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
        fields::editable(self.event, name.as_str())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| EditError::Invalid)?;
        let added = self.added + name.as_str().len() + value.len() + 4;
        if added > self.limits.fields || self.headers_mut().len() >= FIELDS_MAX {
            return Err(EditError::TooLarge);
        }
        self.added = added;
        Ok((name, value))
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        match &mut self.response {
            Some(response) => &mut response.headers,
            None => &mut self.request.headers,
        }
    }
}

/// A path: starts with '/', no space, control character, '#' or '?'.
pub fn valid_path(path: &str) -> bool {
    path.starts_with('/') && !path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#' || b == b'?')
}

/// A query string: no space, control character or '#' (CloudFront Developer Guide, "Restrictions on edge functions").
pub fn valid_query(query: &str) -> bool {
    !query.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#')
}

/// 200 to 599.
pub fn valid_status(status: u16) -> Result<StatusCode, EditError> {
    match status {
        200..=599 => StatusCode::from_u16(status).map_err(|_| EditError::Invalid),
        _ => Err(EditError::Invalid),
    }
}

/// Name at most 253 bytes and no address; path "" or "/prefix" of at most 255 bytes; port 80, 443 or 1024 and more (CloudFront
/// Developer Guide, "Lambda@Edge event structure", custom origin).
fn valid_patch(patch: &OriginPatch) -> bool {
    let name = |host: &String| {
        !host.is_empty()
            && host.len() <= 253
            && host.parse::<IpAddr>().is_err()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let prefix = |path: &String| path.is_empty() || path.len() <= 255 && valid_path(path) && !path.ends_with('/');
    patch.host.as_ref().is_none_or(name)
        && patch.host_header.as_ref().is_none_or(|host| HeaderValue::from_str(host).is_ok() && !host.is_empty())
        && patch.sni.as_ref().is_none_or(name)
        && patch.path.as_ref().is_none_or(prefix)
        && patch.port.is_none_or(|port| port == 80 || port == 443 || port >= 1024)
        && patch.attempts.is_none_or(|n| (1..=3).contains(&n))
}
