//! Fault: an error in DynamoDB's shape.
//!
//! In: what went wrong. Out: a status and a body that AWS's SDKs read. Never: an internal detail in a message.
//!
//! Two families (botocore's service model, `dynamodb/2012-08-10`): errors of the service, with `message`, and errors of the
//! framework in front of it, of which SerializationException says `Message` and UnknownOperationException nothing.

use serde_json::{Map, Value, json};

const SERVICE: &str = "com.amazonaws.dynamodb.v20120810#";
const FRAMEWORK: &str = "com.amazon.coral.service#";
const VALIDATION: &str = "com.amazon.coral.validate#ValidationException";

/// What a caller is told when its request comes to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// 400 for the caller's, 500 and above for ours.
    pub status: u16,
    /// `__type` in full.
    pub kind: String,
    /// Left out where AWS leaves it out.
    pub message: Option<String>,
    /// Members beside them: `Item`, `CancellationReasons`, `ThrottlingReasons`.
    pub more: Map<String, Value>,
}

/// Why a front cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DynamoError {
    #[error("the directory {path}: {source}")]
    Directory { path: std::path::PathBuf, source: std::io::Error },
    #[error("the embedded database: {0}")]
    Database(String),
    #[error("a thread: {0}")]
    Thread(std::io::Error),
    #[error("table {table}: {message}")]
    Table { table: String, message: String },
    #[error("the endpoint: {0}")]
    Endpoint(String),
}

// === impl Fault ===
impl Fault {
    /// An error of the service: "ResourceNotFoundException".
    pub fn service(name: &str, message: impl Into<String>) -> Fault {
        Fault { status: 400, kind: format!("{SERVICE}{name}"), message: Some(message.into()), more: Map::new() }
    }

    pub fn validation(message: impl Into<String>) -> Fault {
        Fault { status: 400, kind: VALIDATION.to_owned(), message: Some(message.into()), more: Map::new() }
    }

    /// The body is no request. `None`: AWS says nothing more of what is no JSON at all.
    pub fn serialization(message: Option<String>) -> Fault {
        Fault { status: 400, kind: format!("{FRAMEWORK}SerializationException"), message, more: Map::new() }
    }

    pub fn unknown_operation() -> Fault {
        Fault { status: 400, kind: format!("{FRAMEWORK}UnknownOperationException"), message: None, more: Map::new() }
    }

    /// In the words of IAM (API reference, "AccessDeniedException").
    pub fn denied(who: Option<&str>, action: &str, resource: &str, explicit: bool) -> Fault {
        let why = match explicit {
            true => "with an explicit deny in an identity-based policy",
            false => "because no identity-based policy allows the",
        };
        let tail = if explicit { String::new() } else { format!(" {action} action") };
        let who = who.unwrap_or("anonymous");
        let message = format!("User: {who} is not authorized to perform: {action} on resource: {resource} {why}{tail}");
        Fault {
            status: 400,
            kind: format!("{FRAMEWORK}AccessDeniedException"),
            message: Some(message),
            more: Map::new(),
        }
    }

    pub fn internal() -> Fault {
        Fault { status: 500, ..Fault::service("InternalServerError", "The request processing has failed") }
    }

    /// The engine's queue is full, or it is closing: SDKs try again.
    pub fn unavailable() -> Fault {
        let message = "The service is temporarily unavailable, try again";
        Fault { status: 503, kind: format!("{FRAMEWORK}ServiceUnavailableException"), ..Fault::service("", message) }
    }

    /// "ConditionalCheckFailedException", without the prefix.
    pub fn name(&self) -> &str {
        self.kind.rsplit('#').next().unwrap_or(&self.kind)
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("__type".to_owned(), json!(self.kind));
        if let Some(message) = &self.message {
            let upper = self.kind.starts_with(FRAMEWORK);
            body.insert(if upper { "Message" } else { "message" }.to_owned(), json!(message));
        }
        body.extend(self.more.iter().map(|(name, value)| (name.clone(), value.clone())));
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Reads an error body as AWS or a compatible server writes it.
    pub fn read(status: u16, body: &[u8]) -> Fault {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else {
            return Fault { status, ..Fault::internal() };
        };
        let kind = members.remove("__type").and_then(|kind| kind.as_str().map(str::to_owned));
        let (lower, upper) = (members.remove("message"), members.remove("Message"));
        let message = lower.or(upper).and_then(|message| message.as_str().map(str::to_owned));
        Fault { status, kind: kind.unwrap_or_else(|| format!("{SERVICE}InternalServerError")), message, more: members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_aws_shape() {
        for (fault, want) in [
            (Fault::unknown_operation(), r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#),
            (Fault::serialization(None), r#"{"__type":"com.amazon.coral.service#SerializationException"}"#),
            (
                Fault::serialization(Some("x".into())),
                r#"{"Message":"x","__type":"com.amazon.coral.service#SerializationException"}"#,
            ),
            (Fault::validation("x"), r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"x"}"#),
            (
                Fault::service("ResourceNotFoundException", "x"),
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"x"}"#,
            ),
        ] {
            let (body, want): (Value, Value) =
                (serde_json::from_slice(&fault.body()).unwrap(), serde_json::from_str(want).unwrap());
            assert_eq!(body, want);
            assert_eq!(Fault::read(fault.status, &fault.body()), fault);
        }
    }

    #[test]
    fn a_denial_names_who_what_and_where() {
        let fault = Fault::denied(Some("arn:aws:iam::1:user/a"), "dynamodb:GetItem", "arn:x", false);
        assert_eq!(
            fault.message.as_deref(),
            Some(
                "User: arn:aws:iam::1:user/a is not authorized to perform: dynamodb:GetItem on resource: arn:x because no \
                 identity-based policy allows the dynamodb:GetItem action"
            )
        );
        assert_eq!(fault.name(), "AccessDeniedException");
    }
}
