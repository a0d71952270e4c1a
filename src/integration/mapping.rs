//! Mapping: a viewer's request → one call of a service; its answer → what the viewer gets.
//!
//! In: a compiled mapping, the request as templates see it, the service's answer. Out: operation and body; status, fields and body;
//! or the refusal that API Gateway gives. Never: I/O, signatures, another service's wire format.

#[cfg(test)]
mod tests;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config::compiled::{MappedResponse, MappedValue, Mapping, Passthrough};
use crate::vtl::{Context, Overrides, Template, VtlError};

const JSON: &str = "application/json";

/// What is asked of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// "GetItem".
    pub operation: String,
    pub body: String,
    /// What the request's template overrode: fields for the service, and what the answer's template begins with.
    pub overrides: Overrides,
}

/// What the service answered.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'r> {
    pub status: StatusCode,
    pub headers: &'r HeaderMap,
    pub body: &'r str,
}

/// What the viewer gets.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

/// Why there is no call, or no answer: API Gateway's gateway responses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// `UNSUPPORTED_MEDIA_TYPE`: no template for this kind of body.
    #[error("no request template for {0:?}")]
    MediaType(String),
    /// `BAD_REQUEST_BODY`: a template looked into a body that is no JSON.
    #[error("the request's body is no JSON: {0}")]
    Body(String),
    /// `API_CONFIGURATION_ERROR`: what is wrong is the mapping; the viewer is not told what.
    #[error("{0}")]
    Configuration(String),
}

/// Makes the call of a request. `headers`: the request's, for its media type.
pub fn call(mapping: &Mapping, headers: &HeaderMap, context: &Context) -> Result<Call, Refusal> {
    let written = text(headers, &CONTENT_TYPE).unwrap_or(JSON);
    let operation = mapping.action.clone();
    let kind = media_type(written);
    let template = pick(&mapping.requests, &kind).or_else(|| pick(&mapping.requests, "$default"));
    let Some((_, template)) = template else {
        let pass = match mapping.passthrough {
            Passthrough::WhenNoMatch => true,
            Passthrough::WhenNoTemplates => mapping.requests.is_empty(),
            Passthrough::Never => false,
        };
        return match pass {
            true => Ok(Call { operation, body: context.body.clone(), overrides: context.overrides.clone() }),
            false => Err(Refusal::MediaType(written.to_owned())),
        };
    };
    let rendered = template.render(context).map_err(|error| match error {
        VtlError::Body(reason) => Refusal::Body(reason),
        other => Refusal::Configuration(format!("request template for {kind}: {other}")),
    })?;
    Ok(Call { operation, body: rendered.body, overrides: rendered.overrides })
}

/// Makes the viewer's answer. `headers`: the request's, for what it accepts. `context`: the request's; its body gives way to the
/// service's. `call`: what was asked, for its overrides.
pub fn answer(
    mapping: &Mapping,
    headers: &HeaderMap,
    context: Context,
    call: Call,
    returned: Returned<'_>,
) -> Result<Answer, Refusal> {
    let context = Context { body: returned.body.to_owned(), overrides: call.overrides, ..context };
    let response = select(&mapping.responses, returned.status).ok_or_else(|| {
        Refusal::Configuration(format!("no response mapping for status {}", returned.status.as_u16()))
    })?;
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let (body, overrides) = match template(response, headers) {
        None => (context.body.clone(), context.overrides.response.clone()),
        Some((kind, template)) => {
            put(&mut fields, CONTENT_TYPE, kind)?;
            let rendered = template
                .render(&context)
                .map_err(|error| Refusal::Configuration(format!("response template for {kind}: {error}")))?;
            (rendered.body, rendered.overrides.response)
        }
    };
    for (name, source) in &response.headers {
        if let Some(value) = value(source, &context, returned)? {
            put(&mut fields, name.clone(), &value)?;
        }
    }
    for (name, value) in &overrides.header {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| Refusal::Configuration(format!("{name:?} is no field's name")))?;
        put(&mut fields, name, value)?;
    }
    let status = overrides.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(response.status);
    Ok(Answer { status, headers: fields, body })
}

fn select(responses: &[MappedResponse], status: StatusCode) -> Option<&MappedResponse> {
    let fits = |response: &&MappedResponse| response.pattern.as_ref().is_some_and(|pattern| pattern.fits(status));
    responses.iter().find(fits).or_else(|| responses.iter().find(|response| response.pattern.is_none()))
}

/// By what the request accepts, in its order; else JSON; else the first.
fn template<'m>(response: &'m MappedResponse, headers: &HeaderMap) -> Option<(&'m str, &'m Template)> {
    let accepted =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let found = accepted.map(media_type).find_map(|kind| pick(&response.templates, &kind));
    let first = || response.templates.first().map(|(kind, template)| (kind.as_str(), template));
    found.or_else(|| pick(&response.templates, JSON)).or_else(first)
}

fn pick<'m>(templates: &'m [(String, Template)], kind: &str) -> Option<(&'m str, &'m Template)> {
    templates.iter().find(|(name, _)| name == kind).map(|(name, template)| (name.as_str(), template))
}

/// Without parameters: `application/json; charset=utf-8` is JSON.
fn media_type(written: &str) -> String {
    written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A mapped field's value; none where there is nothing to map.
fn value(source: &MappedValue, context: &Context, returned: Returned<'_>) -> Result<Option<String>, Refusal> {
    Ok(match source {
        MappedValue::Text(text) => Some(text.clone()),
        MappedValue::Header(name) => text(returned.headers, name).map(str::to_owned),
        MappedValue::Body(path) => {
            path.find(returned.body).map_err(|error| Refusal::Configuration(format!("the service's body: {error}")))?
        }
        MappedValue::Context(names) => {
            let found = names.iter().try_fold(&context.context, |value, name| value.get(name));
            match found {
                None | Some(serde_json::Value::Null) => None,
                Some(serde_json::Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            }
        }
        MappedValue::StageVariable(wanted) => {
            context.stage_variables.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        }
    })
}

/// Fields that API Gateway does not let a mapping write: they arrive as `x-amzn-remapped-…` (recorded from the service by LocalStack).
const REMAPPED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-md5",
    "date",
    "expect",
    "host",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "trailer",
    "upgrade",
    "user-agent",
    "www-authenticate",
];

fn put(fields: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Refusal> {
    if name == http::header::TRANSFER_ENCODING {
        return Ok(());
    }
    let written = HeaderValue::from_str(value)
        .map_err(|_| Refusal::Configuration(format!("{value:?} is no value for the field {name}")))?;
    let remapped =
        REMAPPED.contains(&name.as_str()).then(|| HeaderName::try_from(format!("x-amzn-remapped-{name}")).ok());
    fields.insert(remapped.flatten().unwrap_or(name), written);
    Ok(())
}

// === impl Refusal ===
impl Refusal {
    /// The status, the `x-amzn-ErrorType` and the JSON body that a viewer gets ("Gateway response types").
    pub fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, kind, message) = match self {
            Self::MediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "BadRequestException", "Unsupported Media Type".to_owned())
            }
            Self::Body(reason) => (
                StatusCode::BAD_REQUEST,
                "BadRequestException",
                format!("Could not parse request body into json: {reason}"),
            ),
            Self::Configuration(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerErrorException", "Internal server error".to_owned())
            }
        };
        (status, kind, serde_json::json!({ "message": message }).to_string())
    }
}
