//! Input: what the operations that change things are told.
//!
//! In: JSON bodies, queries. Out: checked values. Never: what exists.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::path::Target;
use crate::config::compiled::{LAMBDA_ENVIRONMENT, LAMBDA_MEMORY, LambdaLimits, LambdaRuntime, lambda_variable};
use crate::lambda::LambdaError;
use crate::lambda::fault::Fault;
use crate::lambda::name::Owner;
use crate::lambda::queue::target;
use crate::lambda::registry::Revision;

/// Items of a page, at most (Lambda API reference, "ListFunctions").
const PAGE: usize = 50;
/// Characters of a description, of a handler.
const DESCRIPTION_MAX: usize = 256;
const HANDLER_MAX: usize = 128;
/// Tags of a function, characters of their keys and values.
const TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// MB of /tmp.
const EPHEMERAL: std::ops::RangeInclusive<u32> = 512..=10_240;

/// A body's JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Fault::content(format!("Could not parse request body into json: {error}")))
}

/// The JSON of a body that may hold a package: reading it takes a while.
pub(super) async fn large<T: DeserializeOwned + Send + 'static>(body: Bytes) -> Result<T, Fault> {
    let read = tokio::task::spawn_blocking(move || json(&body)).await;
    read.unwrap_or_else(|panic| Err(Fault::service(&LambdaError::Worker(panic.to_string()))))
}

/// Where the package is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct CodeInput {
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    image_uri: Option<String>,
}

// === impl CodeInput ===
impl CodeInput {
    /// The bytes of the zip file; at most `most`.
    pub(super) fn package(self, most: u64) -> Result<Vec<u8>, Fault> {
        if self.s3_bucket.is_some() || self.image_uri.is_some() {
            return Err(Fault::invalid("Only ZipFile is offered: packages in buckets and images are not."));
        }
        let text = self.zip_file.ok_or_else(|| Fault::invalid("Please provide a source for function code."))?;
        if text.len() as u64 / 4 * 3 > most + 3 {
            return Err(Fault::too_large(most, "CreateFunction"));
        }
        STANDARD.decode(text).map_err(|_| Fault::invalid("ZipFile is not valid Base64."))
    }
}

/// What `CreateFunction` and `UpdateFunctionConfiguration` say of a function. What is not said stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Settings {
    runtime: Option<String>,
    handler: Option<String>,
    role: Option<String>,
    description: Option<String>,
    timeout: Option<u64>,
    memory_size: Option<u32>,
    environment: Option<Variables>,
    dead_letter_config: Option<DeadLetter>,
    ephemeral_storage: Option<Ephemeral>,
    package_type: Option<String>,
    layers: Option<Vec<Value>>,
    vpc_config: Option<Value>,
    architectures: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Variables {
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DeadLetter {
    target_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ephemeral {
    size: u32,
}

// === impl Settings ===
impl Settings {
    /// Changes `revision` as said, or nothing of it.
    pub(super) fn apply(self, revision: &mut Revision, limits: &LambdaLimits, owner: &Owner<'_>) -> Result<(), Fault> {
        if self.package_type.is_some_and(|kind| kind != "Zip") {
            return Err(Fault::invalid("Only PackageType Zip is offered."));
        }
        if self.layers.is_some_and(|layers| !layers.is_empty()) {
            return Err(Fault::invalid("Layers are not offered: put their files into the package."));
        }
        if self.vpc_config.is_some_and(|vpc| {
            vpc.get("SubnetIds").is_some_and(|ids| ids.as_array().is_some_and(|ids| !ids.is_empty()))
        }) {
            return Err(Fault::invalid("VpcConfig is not offered."));
        }
        let mut next = revision.clone();
        if let Some(runtime) = self.runtime {
            if LambdaRuntime::parse(&runtime).is_none() {
                return Err(Fault::invalid(format!(
                    "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [python3.*, nodejs*.x, javascript, provided, provided.al2, provided.al2023] or be a valid ARN"
                )));
            }
            next.runtime = runtime;
        }
        if let Some(handler) = self.handler {
            if handler.is_empty() || handler.len() > HANDLER_MAX || handler.bytes().any(|b| b.is_ascii_whitespace()) {
                return Err(constraint(&handler, "handler", "Member must satisfy regular expression pattern: [^\\s]+"));
            }
            next.handler = handler;
        }
        if let Some(role) = self.role {
            if !role.starts_with("arn:aws") || !role.contains(":role/") {
                return Err(constraint(
                    &role,
                    "role",
                    "Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
                ));
            }
            next.role = role;
        }
        if let Some(description) = self.description {
            next.description = described(description)?;
        }
        if let Some(timeout) = self.timeout {
            let most = limits.timeout.as_secs().max(1);
            if !(1..=most).contains(&timeout) {
                let rule =
                    format!("Member must have value less than or equal to {most} and greater than or equal to 1");
                return Err(constraint(&timeout.to_string(), "timeout", &rule));
            }
            next.timeout = timeout;
        }
        if let Some(memory) = self.memory_size {
            if !(LAMBDA_MEMORY..=limits.memory).contains(&memory) {
                return Err(Fault::invalid(format!(
                    "'MemorySize' value failed to satisfy constraint: Member must have value between {LAMBDA_MEMORY} and {}",
                    limits.memory
                )));
            }
            next.memory = memory;
        }
        if let Some(Ephemeral { size }) = self.ephemeral_storage {
            if !EPHEMERAL.contains(&size) {
                return Err(constraint(&size.to_string(), "ephemeralStorage.size", "Member must be 512 to 10240"));
            }
            next.ephemeral = size;
        }
        if let Some(Variables { variables }) = self.environment {
            next.environment = environment(variables)?;
        }
        if let Some(DeadLetter { target_arn }) = self.dead_letter_config {
            next.dead_letter = target_arn.filter(|to| !to.is_empty());
            if let Some(to) = &next.dead_letter {
                destination(to, owner)?;
            }
        }
        if let Some([architecture]) = self.architectures.as_deref() {
            if !matches!(architecture.as_str(), "x86_64" | "arm64") {
                return Err(constraint(
                    architecture,
                    "architectures",
                    "Member must satisfy enum value set: [x86_64, arm64]",
                ));
            }
            next.architecture.clone_from(architecture);
        }
        *revision = next;
        Ok(())
    }
}

fn environment(variables: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let refused: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| lambda_variable(name).is_err()).collect();
    if !refused.is_empty() {
        return Err(Fault::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved or malformed keys. Keys used in this request: {}",
            refused.join(", ")
        )));
    }
    let size: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > LAMBDA_ENVIRONMENT {
        return Err(Fault::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the {LAMBDA_ENVIRONMENT} bytes limit."
        )));
    }
    match variables.values().any(|value| value.contains('\0')) {
        true => Err(Fault::invalid("Environment variables hold no NUL.")),
        false => Ok(variables),
    }
}

pub(super) fn described(text: String) -> Result<String, Fault> {
    if text.chars().count() > DESCRIPTION_MAX {
        return Err(constraint(&text, "description", "Member must have length less than or equal to 256"));
    }
    Ok(text)
}

/// A function of this machine, or a URL.
pub(super) fn destination(to: &str, owner: &Owner<'_>) -> Result<(), Fault> {
    match target(to, owner) {
        Some(_) => Ok(()),
        None => Err(Fault::invalid(format!(
            "The destination ARN {to} is invalid: it is neither the ARN of a function of this machine nor an http or https URL."
        ))),
    }
}

pub(super) fn tags(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let fits = |(key, value): (&String, &String)| {
        (1..=TAG_KEY_MAX).contains(&key.chars().count())
            && value.chars().count() <= TAG_VALUE_MAX
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    if tags.len() > TAGS_MAX || !tags.iter().all(fits) {
        return Err(Fault::invalid(
            "At most 50 tags, keys of 1 to 128 and values of at most 256 characters, no key with aws: before it.",
        ));
    }
    Ok(tags)
}

/// One page of `items`, which are in order of their keys; the marker of the next page is the last key shown.
pub(super) fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    query: &Target,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let most = match query.query("MaxItems") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(most) if most >= 1 => most.min(PAGE),
            _ => return Err(constraint(text, "maxItems", "Member must have value greater than or equal to 1")),
        },
    };
    let marker = match query.query("Marker").filter(|marker| !marker.is_empty()) {
        None => None,
        Some(text) => {
            let key = STANDARD.decode(text).ok().and_then(|key| String::from_utf8(key).ok());
            Some(key.ok_or_else(|| Fault::invalid("The value provided for Marker is not valid."))?)
        }
    };
    let mut items = items.skip_while(|(key, _)| marker.as_ref().is_some_and(|marker| key <= marker));
    let (mut shown, mut last) = (Vec::new(), None);
    for (key, item) in items.by_ref().take(most) {
        shown.push(item);
        last = Some(key);
    }
    let more = items.next().is_some();
    Ok((shown, last.filter(|_| more).map(|key| STANDARD.encode(key))))
}

pub(super) fn constraint(value: &str, member: &str, rule: &str) -> Fault {
    Fault::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let items = || ["a", "b", "c", "d"].into_iter().map(|name| (name.to_owned(), name));
        let mut marker = String::new();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let uri = format!("/?MaxItems=2&Marker={}", marker.replace('=', "%3D"));
            let (shown, next) = page(items(), &Target::parse(&uri.parse().unwrap()).unwrap()).unwrap();
            seen.push(shown);
            match next {
                Some(next) => marker = next,
                None => break,
            }
        }
        assert_eq!(seen, [["a", "b"], ["c", "d"]]);
        for query in ["MaxItems=0", "MaxItems=x", "Marker=%21"] {
            let target = Target::parse(&format!("/?{query}").parse().unwrap()).unwrap();
            assert_eq!(page(items(), &target).unwrap_err().status(), 400, "{query}");
        }
    }
}
