//! Mapping: a request that becomes one call of an AWS service, and the answer that becomes HTTP again.

use http::{HeaderName, StatusCode};
use regex::Regex;

use crate::vtl::{Path, Template};

/// API Gateway's integration of type AWS: no function between the viewer and the service.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The service's operation: "GetItem".
    pub action: String,
    /// By the request's media type, lower case without parameters, or `$default`.
    pub requests: Vec<(String, Template)>,
    pub passthrough: Passthrough,
    /// The first whose pattern fits the answer's status counts, else the first without a pattern.
    pub responses: Vec<MappedResponse>,
}

/// What becomes of a request whose media type has no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passthrough {
    /// Its body is sent as it is.
    WhenNoMatch,
    /// Its body is sent as it is if there is no template at all; else 415.
    WhenNoTemplates,
    /// 415.
    Never,
}

/// What a viewer gets for some of the service's answers.
#[derive(Debug, Clone)]
pub struct MappedResponse {
    pub pattern: Option<StatusPattern>,
    pub status: StatusCode,
    /// By media type, lower case without parameters; none passes the service's body on.
    pub templates: Vec<(String, Template)>,
    pub headers: Vec<(HeaderName, MappedValue)>,
}

/// A regular expression that must fit the whole of a status: `4\d\d`.
#[derive(Debug, Clone)]
pub struct StatusPattern(Regex);

/// Where a mapped field's value comes from.
#[derive(Debug, Clone)]
pub enum MappedValue {
    /// `'text'`
    Text(String),
    /// `integration.response.header.name`
    Header(HeaderName),
    /// `integration.response.body`, with a path behind it: `.Item.id.S`.
    Body(Path),
    /// `context.name.name`
    Context(Vec<String>),
    /// `stageVariables.name`
    StageVariable(String),
}

// === impl StatusPattern ===
impl StatusPattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(pattern) => Ok(Self(pattern)),
            Err(error) => {
                Err(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
            }
        }
    }

    pub fn fits(&self, status: StatusCode) -> bool {
        self.0.is_match(status.as_str())
    }
}

// === impl MappedValue ===
impl MappedValue {
    /// Reads API Gateway's mapping expressions ("Mapping parameters"); the error says what is wrong with one.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Ok(Self::Text(inner.to_owned()));
        }
        if let Some(name) = text.strip_prefix("integration.response.header.") {
            return name.parse().map(Self::Header).map_err(|_| format!("'{name}' is no field's name"));
        }
        if let Some(path) = text.strip_prefix("integration.response.body")
            && (path.is_empty() || path.starts_with(['.', '[']))
        {
            return Path::parse(&format!("${path}")).map(Self::Body);
        }
        if let Some(names) = text.strip_prefix("context.").filter(|names| !names.is_empty()) {
            return Ok(Self::Context(names.split('.').map(str::to_owned).collect()));
        }
        if let Some(name) = text.strip_prefix("stageVariables.").filter(|name| !name.is_empty()) {
            return Ok(Self::StageVariable(name.to_owned()));
        }
        Err("write 'text', integration.response.header.name, integration.response.body.path, context.name or \
             stageVariables.name"
            .to_owned())
    }
}
