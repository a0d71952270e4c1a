//! About: what an endpoint is told of a request besides the request itself.
//!
//! In: written by the proxy, for one request. Out: what events of Lambda and mapping templates show. Never: a header: what comes this
//! way no viewer can forge.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::{Map, Value};

/// One request, as the edge knows it.
#[derive(Debug, Clone)]
pub struct About {
    pub request_id: String,
    /// The behavior's stage; "" = "$default".
    pub stage: String,
    pub viewer: IpAddr,
    /// As the viewer sent it, with its port; "" = the answer is for several hosts.
    pub host: String,
    /// The path as the viewer sent it.
    pub path: String,
    pub tls: bool,
    /// "HTTP/1.1".
    pub protocol: &'static str,
    /// Names of the viewer's fields, as sent, where they are not lower case.
    pub names: Vec<String>,
    pub caller: Option<Caller>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    pub kind: CallerKind,
    /// A key's name, a token's `sub`, an ARN.
    pub id: Arc<str>,
    /// Name of the issuer, signer or authorizer; "" for keys and certificates.
    pub issuer: Arc<str>,
    /// A token's claims, an authorizer's context.
    pub claims: Arc<Map<String, Value>>,
    /// The API key's name, where there is one.
    pub api_key: Option<Arc<str>>,
}

/// How who asks showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    ApiKey,
    Jwt,
    SigV4,
    Authorizer,
    Certificate,
}

// === impl About ===
impl Default for About {
    /// Nobody's request.
    fn default() -> Self {
        About {
            request_id: String::new(),
            stage: String::new(),
            viewer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            host: String::new(),
            path: String::new(),
            tls: false,
            protocol: "HTTP/1.1",
            names: Vec::new(),
            caller: None,
        }
    }
}
