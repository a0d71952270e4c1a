//! Changes: edits as a recording keeps them.
//!
//! In: an exchange's edits. Out: plain data that serde reads and writes, equal where the edits were. Never: edits made anew; a
//! replay runs the function and compares.

use serde::{Deserialize, Serialize};

use crate::config::compiled::Signing;
use crate::hooks::exchange::{Edit, OriginChange, OriginPatch, shown};

use super::message::{Raw, millis};

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Uri(String),
    Query(String),
    Set(String, Raw),
    Append(String, Raw),
    Remove(String),
    Body(Raw),
    Status(u16),
    Origin(Box<To>),
    Group { members: Vec<Member>, failover: Vec<u16> },
}

/// Of a group that a function made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Member {
    /// As it is configured.
    Name(String),
    Differs(Box<To>),
}

/// What differs of an origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct To {
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, Raw)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing: Option<Signing>,
}

// === impl Change ===
impl Change {
    pub fn of(edit: &Edit) -> Self {
        match edit {
            Edit::Uri(uri) => Change::Uri(uri.clone()),
            Edit::Query(query) => Change::Query(query.clone()),
            Edit::Set(name, value) => Change::Set(name.to_string(), Raw::of(value.as_bytes())),
            Edit::Append(name, value) => Change::Append(name.to_string(), Raw::of(value.as_bytes())),
            Edit::Remove(name) => Change::Remove(name.to_string()),
            Edit::Body(data) => Change::Body(Raw::of(data)),
            Edit::Status(status) => Change::Status(status.as_u16()),
            Edit::Origin(change) => match &**change {
                OriginChange::To(patch) => Change::Origin(Box::new(To::of(patch))),
                OriginChange::Group { members, failover } => Change::Group {
                    members: members.iter().map(Member::of).collect(),
                    failover: failover.iter().map(http::StatusCode::as_u16).collect(),
                },
            },
        }
    }
}

// === impl To ===
impl To {
    fn of(patch: &OriginPatch) -> Self {
        // A secret the function passed through is not written down.
        let line = |(name, value): &(http::HeaderName, http::HeaderValue)| (name.to_string(), Raw::of(shown(value)));
        To {
            base: patch.base.clone(),
            host: patch.host.clone(),
            port: patch.port,
            tls: patch.tls,
            path: patch.path.clone(),
            host_header: patch.host_header.clone(),
            sni: patch.sni.clone(),
            headers: patch.headers.as_ref().map(|headers| headers.iter().map(line).collect()),
            connect_timeout_ms: patch.connect_timeout.map(millis),
            read_timeout_ms: patch.read_timeout.map(millis),
            attempts: patch.attempts,
            // What only says that nothing changes is not written down: it was not always there.
            signing: patch.signing.clone().filter(|said| *said != Signing::Kept { region: None }),
        }
    }
}

// === impl Member ===
impl Member {
    fn of(patch: &OriginPatch) -> Self {
        match &patch.base {
            Some(name) if *patch == (OriginPatch { base: patch.base.clone(), ..OriginPatch::default() }) => {
                Member::Name(name.clone())
            }
            _ => Member::Differs(Box::new(To::of(patch))),
        }
    }
}
