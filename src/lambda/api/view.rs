//! View: what is known, as the service shows it.
//!
//! In: the model. Out: JSON in the service's shapes. Never: a value of a variable of the configuration.

use serde_json::{Map, Value, json};

use crate::lambda::name::{LATEST, Owner};
use crate::lambda::registry::{Alias, Entry, EventConfig, Function, Revision, UrlConfig};
use crate::lambda::time::{iso, iso_z, of_millis};

/// `FunctionConfiguration`. `qualified`: its ARN ends in the version.
pub(super) fn configuration(
    name: &str,
    version: &str,
    revision: &Revision,
    owner: &Owner<'_>,
    qualified: bool,
) -> Value {
    let mut all = json!({
        "FunctionName": name,
        "FunctionArn": owner.arn(name, qualified.then_some(version)),
        "Runtime": revision.runtime,
        "Role": revision.role,
        "Handler": revision.handler,
        "CodeSize": revision.code_size,
        "Description": revision.description,
        "Timeout": revision.timeout,
        "MemorySize": revision.memory,
        "LastModified": iso(of_millis(revision.modified_ms)),
        "CodeSha256": revision.code_sha256,
        "Version": version,
        "TracingConfig": { "Mode": "PassThrough" },
        "RevisionId": revision.revision_id,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [revision.architecture],
        "EphemeralStorage": { "Size": revision.ephemeral },
        "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
        "LoggingConfig": { "LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}") },
    });
    if !revision.environment.is_empty() {
        set(&mut all, "Environment", json!({ "Variables": revision.environment }));
    }
    if let Some(to) = &revision.dead_letter {
        set(&mut all, "DeadLetterConfig", json!({ "TargetArn": to }));
    }
    all
}

/// The answer of `GetFunction`.
pub(super) fn function(entry: &Entry, configuration: Value) -> Value {
    let mut all = json!({ "Configuration": configuration, "Code": { "RepositoryType": "S3" } });
    if !entry.function.tags.is_empty() {
        set(&mut all, "Tags", json!(entry.function.tags));
    }
    if let Some(reserved) = entry.function.reserved {
        set(&mut all, "Concurrency", json!({ "ReservedConcurrentExecutions": reserved }));
    }
    all
}

pub(super) fn alias(function: &Function, name: &str, alias: &Alias, owner: &Owner<'_>) -> Value {
    let mut all = json!({
        "AliasArn": owner.arn(&function.name, Some(name)),
        "Name": name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    });
    if !alias.weights.is_empty() {
        set(&mut all, "RoutingConfig", json!({ "AdditionalVersionWeights": alias.weights }));
    }
    all
}

pub(super) fn url(function: &Function, qualifier: &str, url: &UrlConfig, owner: &Owner<'_>) -> Value {
    let qualifier = (qualifier != LATEST).then_some(qualifier);
    let mut all = json!({
        "FunctionUrl": format!("https://{}.lambda-url.{}.on.aws/", url.id, owner.region),
        "FunctionArn": owner.arn(&function.name, qualifier),
        "AuthType": url.auth,
        "InvokeMode": url.mode,
        "CreationTime": iso_z(of_millis(url.created_ms)),
        "LastModifiedTime": iso_z(of_millis(url.modified_ms)),
    });
    if let Some(cors) = &url.cors {
        set(&mut all, "Cors", cors.clone());
    }
    all
}

pub(super) fn event_config(function: &Function, qualifier: &str, config: &EventConfig, owner: &Owner<'_>) -> Value {
    let mut destinations = Map::new();
    for (name, to) in [("OnSuccess", &config.on_success), ("OnFailure", &config.on_failure)] {
        let to = to.as_ref().map_or_else(|| json!({}), |to| json!({ "Destination": to }));
        destinations.insert(name.to_owned(), to);
    }
    let mut all = json!({
        "LastModified": config.modified_ms as f64 / 1000.0,
        "FunctionArn": owner.arn(&function.name, Some(qualifier)),
        "DestinationConfig": destinations,
    });
    if let Some(retries) = config.retries {
        set(&mut all, "MaximumRetryAttempts", json!(retries));
    }
    if let Some(age) = config.age {
        set(&mut all, "MaximumEventAgeInSeconds", json!(age));
    }
    all
}

fn set(all: &mut Value, name: &str, value: Value) {
    if let Some(all) = all.as_object_mut() {
        all.insert(name.to_owned(), value);
    }
}
