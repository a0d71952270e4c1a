//! Sources: which streams call which functions.
//!
//! In: the operations on event source mappings. Out: their answers. Never: a mapping of the configuration changed.
//!
//! Lambda API reference, "CreateEventSourceMapping" and its neighbours; of the sources that the service knows, the streams of
//! tables.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::functions::{listed, spec_owner};
use super::{Call, answer, input, uuid};
use crate::config::event_pattern::EventPattern;
use crate::dynamo::Caller;
use crate::lambda::fault::{Fault, Kind};
use crate::lambda::name::{Asked, Owner};
use crate::lambda::source::{Mapping, Rules, Source};
use crate::lambda::{Body, Inner, LambdaError, now_ms};

/// Mappings that the API makes.
const MAPPINGS_MAX: usize = 1000;
/// Patterns of one mapping ("Control which events Lambda sends to your function": at most 10 with a raised quota).
const PATTERNS_MAX: usize = 10;
const BATCH: RangeInclusive<i64> = 1..=10_000;
const BATCH_USUAL: usize = 100;
const PARALLEL: RangeInclusive<i64> = 1..=10;
const WINDOW: RangeInclusive<i64> = 0..=300;
const RETRIES: RangeInclusive<i64> = -1..=10_000;
const AGE: RangeInclusive<i64> = -1..=604_800;
/// Records younger than this are always tried.
const AGE_LEAST: i64 = 60;
const REPORT: &str = "ReportBatchItemFailures";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Said {
    event_source_arn: Option<String>,
    function_name: Option<String>,
    enabled: Option<bool>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    parallelization_factor: Option<i64>,
    starting_position: Option<String>,
    destination_config: Option<Destinations>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    maximum_retry_attempts: Option<i64>,
    tumbling_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    filter_criteria: Option<Filters>,
    /// What other kinds of sources have.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Destinations {
    on_failure: Option<Destination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Destination {
    destination: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Filter {
    pattern: Option<String>,
}

pub(super) async fn create(inner: &Arc<Inner>, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let said: Said = input::json(&call.body)?;
    let spec = inner.spec.load_full();
    let owner = spec_owner(&spec);
    let name = said.function_name.as_deref().ok_or_else(|| null("functionName"))?;
    let asked = Asked::parse(name, None, &owner)?;
    let arn =
        said.event_source_arn.clone().ok_or_else(|| Fault::invalid("Required parameter EventSourceArn is missing."))?;
    let latest = match said.starting_position.as_deref() {
        Some("TRIM_HORIZON") => false,
        Some("LATEST") => true,
        Some("AT_TIMESTAMP") => return Err(Fault::invalid("AT_TIMESTAMP is not supported for DynamoDB streams.")),
        Some(other) => {
            let rule = "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
            return Err(input::constraint(other, "startingPosition", rule));
        }
        None => {
            return Err(Fault::invalid(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
            ));
        }
    };
    inner.registry.resolve(&asked.name, asked.qualifier.as_deref(), &owner, 0.0)?;
    stream(inner, &arn).await?;
    let rules = Rules {
        batch: BATCH_USUAL,
        window_ms: 0,
        bisect: false,
        report: false,
        retries: None,
        age_ms: None,
        parallel: 1,
    };
    let mut mapping = Mapping {
        uuid: uuid(),
        function: asked.name,
        qualifier: asked.qualifier,
        source: Source::Stream(arn),
        latest,
        rules,
        patterns: Vec::new(),
        on_failure: None,
        enabled: true,
        modified_ms: 0,
        configured: false,
    };
    put(&mut mapping, said, &owner)?;
    change(inner, move |_, all| {
        let same = |one: &&Arc<Mapping>| {
            (&one.function, &one.qualifier, &one.source) == (&mapping.function, &mapping.qualifier, &mapping.source)
        };
        if let (Source::Stream(arn), Some(same)) = (&mapping.source, all.values().find(same)) {
            return Err(Fault::conflict(format!(
                "An event source mapping with event source arn (\" {arn} \") and function (\" {} \") already exists. Please update or delete the existing mapping with UUID {}",
                mapping.function, same.uuid
            )));
        }
        if all.values().filter(|one| !one.configured).count() >= MAPPINGS_MAX {
            return Err(Fault::invalid(format!("At most {MAPPINGS_MAX} event source mappings can be made.")));
        }
        Ok((mapping.uuid.clone(), Some(mapping)))
    })
    .await
}

pub(super) async fn update(inner: &Arc<Inner>, uuid: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let said: Said = input::json(&call.body)?;
    let uuid = uuid.to_owned();
    change(inner, move |inner, all| {
        let spec = inner.spec.load();
        let owner = spec_owner(&spec);
        let mut mapping = Mapping::clone(changeable(all, &uuid)?);
        if let Some(name) = &said.function_name {
            let asked = Asked::parse(name, None, &owner)?;
            inner.registry.resolve(&asked.name, asked.qualifier.as_deref(), &owner, 0.0)?;
            (mapping.function, mapping.qualifier) = (asked.name, asked.qualifier);
        }
        put(&mut mapping, said, &owner)?;
        Ok((uuid, Some(mapping)))
    })
    .await
}

pub(super) async fn delete(inner: &Arc<Inner>, uuid: &str) -> Result<Response<Body>, Fault> {
    let uuid = uuid.to_owned();
    change(inner, move |_, all| {
        changeable(all, &uuid)?;
        Ok((uuid, None))
    })
    .await
}

pub(super) fn get(inner: &Inner, uuid: &str) -> Result<Response<Body>, Fault> {
    let mapping = inner.sources.get(uuid).ok_or_else(none)?;
    answer(StatusCode::OK, &shown(inner, &mapping))
}

pub(super) fn list(inner: &Inner, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let function = call.target.query("FunctionName").map(|name| Asked::parse(name, None, &owner)).transpose()?;
    let stream = call.target.query("EventSourceArn");
    let all = inner.sources.all();
    let items = all.values().filter(|mapping| {
        let named = |asked: &Asked| {
            asked.name == mapping.function && (asked.qualifier.is_none() || asked.qualifier == mapping.qualifier)
        };
        function.as_ref().is_none_or(named) && stream.is_none_or(|stream| source(inner, mapping) == stream)
    });
    let items = items.map(|mapping| (mapping.uuid.clone(), shown(inner, mapping)));
    let (page, marker) = input::page(items, call.target)?;
    listed("EventSourceMappings", page, marker)
}

/// One change: rules, then disk, then effect; what is shown is the state that it leads to.
async fn change(
    inner: &Arc<Inner>,
    decide: impl FnOnce(&Inner, &BTreeMap<String, Arc<Mapping>>) -> Result<(String, Option<Mapping>), Fault>
    + Send
    + 'static,
) -> Result<Response<Body>, Fault> {
    let this = Arc::clone(inner);
    let done = tokio::task::spawn_blocking(move || {
        let _turn = this.turn.lock();
        if !this.spec.load().api {
            return Err(Fault::forbidden("Event source mappings of this machine are not changed through the API."));
        }
        let mut all = (*this.sources.all()).clone();
        let (uuid, mapping) = decide(&this, &all)?;
        this.store.set_mapping(&uuid, mapping.as_ref()).map_err(|error| Fault::service(&LambdaError::Store(error)))?;
        let old = match &mapping {
            Some(mapping) => all.insert(uuid.clone(), Arc::new(mapping.clone())),
            None => all.remove(&uuid),
        };
        this.sources.set(all, &this);
        let shown = match (&mapping, &old) {
            (Some(mapping), _) => shown(&this, mapping),
            (None, Some(old)) => {
                let mut last = shown(&this, old);
                set(&mut last, "State", json!("Deleting"));
                last
            }
            (None, None) => json!({}),
        };
        answer(StatusCode::ACCEPTED, &shown)
    });
    done.await.unwrap_or_else(|panic| Err(Fault::service(&LambdaError::Worker(panic.to_string()))))
}

/// What the API may change.
fn changeable<'m>(all: &'m BTreeMap<String, Arc<Mapping>>, uuid: &str) -> Result<&'m Arc<Mapping>, Fault> {
    let mapping = all.get(uuid).ok_or_else(none)?;
    match mapping.configured {
        true => Err(Fault::conflict(format!(
            "The event source mapping {uuid} is part of the configuration and can be changed there only."
        ))),
        false => Ok(mapping),
    }
}

/// Whether there is such a stream.
async fn stream(inner: &Inner, arn: &str) -> Result<(), Fault> {
    let is_stream = arn.starts_with("arn:") && arn.split(':').nth(2) == Some("dynamodb") && arn.contains("/stream/");
    let Some(tables) = inner.tables.as_ref().filter(|_| is_stream) else {
        return Err(Fault::invalid(
            "Unrecognized event source, must be the stream of a DynamoDB table that is served here.",
        ));
    };
    match tables.call(&Caller::inside(), "DescribeStream", json!({ "StreamArn": arn, "Limit": 1 })).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.name() == "ResourceNotFoundException" => {
            Err(Fault::invalid(format!("Stream not found: {arn}")))
        }
        Err(fault) => {
            log::error!(target: "lambda", "{arn} cannot be described: {}", fault.name());
            Err(Fault::new(Kind::Service, "An internal error occurred. Please retry your request."))
        }
    }
}

/// What is said, over what was.
fn put(mapping: &mut Mapping, said: Said, owner: &Owner<'_>) -> Result<(), Fault> {
    let foreign =
        ["Queues", "Topics", "SelfManagedEventSource", "SourceAccessConfigurations", "ScalingConfig", "KMSKeyArn"];
    if let Some(name) = foreign.iter().find(|name| said.rest.get(**name).is_some_and(|value| !value.is_null())) {
        return Err(Fault::invalid(format!("{name} is not supported for the event source type.")));
    }
    if said.tumbling_window_in_seconds.is_some_and(|window| window != 0) {
        return Err(Fault::invalid("TumblingWindowInSeconds is not offered."));
    }
    let rules = &mut mapping.rules;
    if let Some(batch) = within(said.batch_size, &BATCH, "batchSize")? {
        rules.batch = usize::try_from(batch).unwrap_or(BATCH_USUAL);
    }
    if let Some(parallel) = within(said.parallelization_factor, &PARALLEL, "parallelizationFactor")? {
        rules.parallel = usize::try_from(parallel).unwrap_or(1);
    }
    if let Some(window) = within(said.maximum_batching_window_in_seconds, &WINDOW, "maximumBatchingWindowInSeconds")? {
        rules.window_ms = window.unsigned_abs() * 1000;
    }
    if let Some(retries) = within(said.maximum_retry_attempts, &RETRIES, "maximumRetryAttempts")? {
        rules.retries = u32::try_from(retries).ok();
    }
    if let Some(age) = within(said.maximum_record_age_in_seconds, &AGE, "maximumRecordAgeInSeconds")? {
        if (0..AGE_LEAST).contains(&age) {
            return Err(Fault::invalid(
                "Invalid request provided: MaximumRecordAgeInSeconds must be -1 or at least 60.",
            ));
        }
        rules.age_ms = u64::try_from(age).ok().map(|age| age * 1000);
    }
    rules.bisect = said.bisect_batch_on_function_error.unwrap_or(rules.bisect);
    if let Some(kinds) = said.function_response_types {
        if let Some(other) = kinds.iter().find(|kind| *kind != REPORT) {
            let rule = format!("Member must satisfy enum value set: [{REPORT}]");
            return Err(input::constraint(other, "functionResponseTypes", &rule));
        }
        rules.report = !kinds.is_empty();
    }
    if let Some(criteria) = said.filter_criteria {
        if criteria.filters.len() > PATTERNS_MAX {
            return Err(Fault::invalid(format!("At most {PATTERNS_MAX} filters.")));
        }
        let patterns = criteria.filters.iter().filter_map(|filter| filter.pattern.as_deref());
        let patterns = patterns.map(|text| {
            EventPattern::parse(text)
                .map_err(|why| Fault::invalid(format!("Invalid filter pattern definition. {why}. Pattern: {text}")))
        });
        mapping.patterns = patterns.collect::<Result<_, _>>()?;
    }
    if let Some(destinations) = said.destination_config {
        mapping.on_failure = destinations.on_failure.and_then(|to| to.destination).filter(|to| !to.is_empty());
        mapping.on_failure.as_ref().map_or(Ok(()), |to| input::destination(to, owner))?;
    }
    mapping.enabled = said.enabled.unwrap_or(mapping.enabled);
    mapping.modified_ms = now_ms();
    Ok(())
}

fn within(said: Option<i64>, range: &RangeInclusive<i64>, member: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = said else { return Ok(None) };
    let (least, most) = (range.start(), range.end());
    let rule = if value < *least {
        format!("Member must have value greater than or equal to {least}")
    } else if value > *most {
        format!("Member must have value less than or equal to {most}")
    } else {
        return Ok(Some(value));
    };
    Err(input::constraint(&value.to_string(), member, &rule))
}

/// The stream's ARN; of a table whose stream was not found, the beginning of it.
fn source(inner: &Inner, mapping: &Mapping) -> String {
    match &mapping.source {
        Source::Stream(arn) => arn.clone(),
        Source::Table(table) => inner.sources.seen(&mapping.uuid).and_then(|seen| seen.stream).unwrap_or_else(|| {
            let spec = inner.spec.load();
            format!("arn:aws:dynamodb:{}:{}:table/{table}/stream/", spec.region, spec.account)
        }),
    }
}

/// `EventSourceMappingConfiguration`.
fn shown(inner: &Inner, mapping: &Mapping) -> Value {
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let rules = &mapping.rules;
    let seconds = |millis: Option<u64>| millis.map_or(json!(-1), |millis| json!(millis / 1000));
    let on_failure = mapping.on_failure.as_ref().map_or_else(|| json!({}), |to| json!({ "Destination": to }));
    let (region, account) = (owner.region, owner.account);
    let mut all = json!({
        "UUID": mapping.uuid,
        "EventSourceMappingArn": format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{}", mapping.uuid),
        "EventSourceArn": source(inner, mapping),
        "FunctionArn": owner.arn(&mapping.function, mapping.qualifier.as_deref()),
        "StartingPosition": if mapping.latest { "LATEST" } else { "TRIM_HORIZON" },
        "BatchSize": rules.batch,
        "MaximumBatchingWindowInSeconds": rules.window_ms / 1000,
        "ParallelizationFactor": rules.parallel,
        "TumblingWindowInSeconds": 0,
        "BisectBatchOnFunctionError": rules.bisect,
        "MaximumRetryAttempts": rules.retries.map_or(json!(-1), |retries| json!(retries)),
        "MaximumRecordAgeInSeconds": seconds(rules.age_ms),
        "FunctionResponseTypes": if rules.report { json!([REPORT]) } else { json!([]) },
        "DestinationConfig": { "OnFailure": on_failure },
        "LastModified": mapping.modified_ms as f64 / 1000.0,
        "LastProcessingResult": inner.sources.seen(&mapping.uuid).unwrap_or_default().result,
        "State": inner.sources.state(mapping),
        "StateTransitionReason": "User action",
    });
    if !mapping.patterns.is_empty() {
        let filters: Vec<_> = mapping.patterns.iter().map(|one| json!({ "Pattern": one.as_str() })).collect();
        set(&mut all, "FilterCriteria", json!({ "Filters": filters }));
    }
    all
}

fn set(all: &mut Value, name: &str, value: Value) {
    if let Some(all) = all.as_object_mut() {
        all.insert(name.to_owned(), value);
    }
}

fn null(member: &str) -> Fault {
    Fault::validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

fn none() -> Fault {
    Fault::new(Kind::NotFound, "The resource you requested does not exist.")
}
