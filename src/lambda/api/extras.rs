//! Extras: what hangs on a function: concurrency, URLs, rules for accepted calls, tags; and the account's limits.
//!
//! In: the operations on them. Out: their answers. Never: a reservation that leaves too little for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::functions::{asked, listed, spec_owner};
use super::{Call, answer, empty, input, view};
use crate::lambda::change::Change;
use crate::lambda::concurrency::UNRESERVED_LEAST;
use crate::lambda::fault::{Fault, Kind};
use crate::lambda::name::{Asked, LATEST};
use crate::lambda::registry::{EventConfig, Function, UrlConfig};
use crate::lambda::{Body, Inner, now_ms};

/// Age of an accepted call, in seconds (Lambda API reference, "PutFunctionEventInvokeConfig").
const AGES: std::ops::RangeInclusive<u64> = 60..=21_600;
const RETRIES_MAX: u32 = 2;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reservation {
    reserved_concurrent_executions: usize,
}

pub(super) async fn put_concurrency(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let Reservation { reserved_concurrent_executions: reserved } = input::json(&call.body)?;
    let done = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let all = inner.registry.all();
        let others = all.values().filter(|entry| entry.function.name != function.name);
        let kept: usize = others.filter_map(|entry| entry.function.reserved).sum();
        let account = inner.spec.load().concurrency;
        if kept.saturating_add(reserved) > account.saturating_sub(UNRESERVED_LEAST.min(account)) {
            return Err(Fault::invalid(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_LEAST}]."
            )));
        }
        function.reserved = Some(reserved);
        Ok((Change::Put(Box::new(function)), ()))
    });
    done.await?;
    answer(StatusCode::OK, &json!({ "ReservedConcurrentExecutions": reserved }))
}

pub(super) fn get_concurrency(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let shown = entry.function.reserved.map_or_else(|| json!({}), |n| json!({ "ReservedConcurrentExecutions": n }));
    answer(StatusCode::OK, &shown)
}

pub(super) async fn delete_concurrency(
    inner: &Arc<Inner>,
    name: &str,
    call: Call<'_>,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let done = inner.change(asked.name.clone(), move |_, known| {
        let function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        Ok((Change::Put(Box::new(Function { reserved: None, ..function })), ()))
    });
    done.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UrlSaid {
    auth_type: Option<String>,
    invoke_mode: Option<String>,
    cors: Option<Value>,
}

/// `CreateFunctionUrlConfig` (`make`) or `UpdateFunctionUrlConfig`.
pub(super) async fn put_url(
    inner: &Arc<Inner>,
    name: &str,
    call: Call<'_>,
    make: bool,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let said: UrlSaid = input::json(&call.body)?;
    for (member, value, allowed) in [
        ("authType", &said.auth_type, ["AWS_IAM", "NONE"]),
        ("invokeMode", &said.invoke_mode, ["BUFFERED", "RESPONSE_STREAM"]),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !allowed.contains(&value.as_str())) {
            return Err(input::constraint(
                value,
                member,
                &format!("Member must satisfy enum value set: [{}]", allowed.join(", ")),
            ));
        }
    }
    if make && said.auth_type.is_none() {
        return Err(Fault::validation(
            "1 validation error detected: Value null at 'authType' failed to satisfy constraint: Member must not be null",
        ));
    }
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let qualifier = url_qualifier(&asked, &function, &arn)?;
        let old = function.urls.get(&qualifier).cloned();
        let mut url = match (old, make) {
            (Some(_), true) => {
                return Err(Fault::conflict(format!("Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for this Lambda function")));
            }
            (None, false) => return Err(no_url(&arn)),
            (Some(url), false) => url,
            (None, true) => UrlConfig {
                id: url_id(),
                auth: String::new(),
                mode: "BUFFERED".to_owned(),
                cors: None,
                created_ms: now_ms(),
                modified_ms: 0,
            },
        };
        url.auth = said.auth_type.unwrap_or(url.auth);
        url.mode = said.invoke_mode.unwrap_or(url.mode);
        url.cors = said.cors.or(url.cors);
        url.modified_ms = now_ms();
        let spec = inner.spec.load();
        let shown = view::url(&function, &qualifier, &url, &spec_owner(&spec));
        function.urls.insert(qualifier, url);
        Ok((Change::Put(Box::new(function)), shown))
    });
    answer(if make { StatusCode::CREATED } else { StatusCode::OK }, &shown.await?)
}

pub(super) fn get_url(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let qualifier = asked.qualifier.as_deref().unwrap_or(LATEST);
    let url = entry.function.urls.get(qualifier).ok_or_else(|| no_url(&arn))?;
    let spec = inner.spec.load();
    answer(StatusCode::OK, &view::url(&entry.function, qualifier, url, &spec_owner(&spec)))
}

pub(super) async fn delete_url(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let done = inner.change(asked.name.clone(), move |_, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        function.urls.remove(asked.qualifier.as_deref().unwrap_or(LATEST)).ok_or_else(|| no_url(&arn))?;
        Ok((Change::Put(Box::new(function)), ()))
    });
    done.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn list_urls(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let items = entry.function.urls.iter();
    let items = items.map(|(name, url)| (name.clone(), view::url(&entry.function, name, url, &owner)));
    let (page, marker) = input::page(items, call.target)?;
    listed("FunctionUrlConfigs", page, marker)
}

/// A URL is of `$LATEST` or of an alias.
fn url_qualifier(asked: &Asked, function: &Function, arn: &str) -> Result<String, Fault> {
    match asked.qualifier.as_deref() {
        None => Ok(LATEST.to_owned()),
        Some(alias) if function.aliases.contains_key(alias) => Ok(alias.to_owned()),
        Some(_) => Err(Fault::not_found(arn)),
    }
}

fn no_url(arn: &str) -> Fault {
    Fault::new(Kind::NotFound, format!("The resource you requested does not exist: no function URL of {arn}."))
}

/// 32 letters and digits, as the service's are.
fn url_id() -> String {
    (0..32).map(|_| char::from_digit(rand::random_range(0..36), 36).unwrap_or('a')).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EventSaid {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u64>,
    destination_config: Option<Destinations>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Destinations {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Destination {
    destination: Option<String>,
}

/// `PutFunctionEventInvokeConfig` (`anew`) or `UpdateFunctionEventInvokeConfig`.
pub(super) async fn put_events(
    inner: &Arc<Inner>,
    name: &str,
    call: Call<'_>,
    anew: bool,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let said: EventSaid = input::json(&call.body)?;
    if let Some(retries) = said.maximum_retry_attempts.filter(|retries| *retries > RETRIES_MAX) {
        return Err(input::constraint(
            &retries.to_string(),
            "maximumRetryAttempts",
            "Member must have value less than or equal to 2",
        ));
    }
    if let Some(age) = said.maximum_event_age_in_seconds.filter(|age| !AGES.contains(age)) {
        return Err(input::constraint(
            &age.to_string(),
            "maximumEventAgeInSeconds",
            "Member must have value between 60 and 21600",
        ));
    }
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let spec = inner.spec.load();
        let owner = spec_owner(&spec);
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let qualifier = asked.qualifier.unwrap_or_else(|| LATEST.to_owned());
        if !function.aliases.contains_key(&qualifier) && function.revision(&qualifier).is_none() {
            return Err(Fault::not_found(&arn));
        }
        let none = EventConfig { retries: None, age: None, on_failure: None, on_success: None, modified_ms: 0 };
        let old = function.events.get(&qualifier);
        if old.is_none() && !anew {
            return Err(no_events(&arn));
        }
        let mut config = old.filter(|_| !anew).cloned().unwrap_or(none);
        config.retries = said.maximum_retry_attempts.or(config.retries);
        config.age = said.maximum_event_age_in_seconds.or(config.age);
        let Destinations { on_success, on_failure } = said.destination_config.unwrap_or_default();
        for (slot, said) in [(&mut config.on_success, on_success), (&mut config.on_failure, on_failure)] {
            let Some(said) = said else { continue };
            *slot = said.destination.filter(|to| !to.is_empty());
            slot.as_ref().map_or(Ok(()), |to| input::destination(to, &owner))?;
        }
        config.modified_ms = now_ms();
        let shown = view::event_config(&function, &qualifier, &config, &owner);
        function.events.insert(qualifier, config);
        Ok((Change::Put(Box::new(function)), shown))
    });
    answer(StatusCode::OK, &shown.await?)
}

pub(super) fn get_events(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let qualifier = asked.qualifier.as_deref().unwrap_or(LATEST);
    let config = entry.function.events.get(qualifier).ok_or_else(|| no_events(&arn))?;
    let spec = inner.spec.load();
    answer(StatusCode::OK, &view::event_config(&entry.function, qualifier, config, &spec_owner(&spec)))
}

pub(super) async fn delete_events(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let done = inner.change(asked.name.clone(), move |_, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        function.events.remove(asked.qualifier.as_deref().unwrap_or(LATEST)).ok_or_else(|| no_events(&arn))?;
        Ok((Change::Put(Box::new(function)), ()))
    });
    done.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn list_events(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let items = entry.function.events.iter();
    let items = items.map(|(name, config)| (name.clone(), view::event_config(&entry.function, name, config, &owner)));
    let (page, marker) = input::page(items, call.target)?;
    listed("FunctionEventInvokeConfigs", page, marker)
}

fn no_events(arn: &str) -> Fault {
    Fault::new(Kind::NotFound, format!("The function {arn} doesn't have an EventInvokeConfig"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tags {
    tags: BTreeMap<String, String>,
}

pub(super) fn get_tags(inner: &Inner, arn: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, arn, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    answer(StatusCode::OK, &json!({ "Tags": entry.function.tags }))
}

pub(super) async fn put_tags(inner: &Arc<Inner>, arn: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, arn, &call)?;
    let Tags { tags } = input::json(&call.body)?;
    let done = inner.change(asked.name.clone(), move |_, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        function.tags.extend(tags);
        function.tags = input::tags(function.tags)?;
        Ok((Change::Put(Box::new(function)), ()))
    });
    done.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn delete_tags(inner: &Arc<Inner>, arn: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, arn, &call)?;
    let keys: Vec<String> = call.target.queries("tagKeys").map(str::to_owned).collect();
    let done = inner.change(asked.name.clone(), move |_, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        keys.iter().for_each(|key| drop(function.tags.remove(key)));
        Ok((Change::Put(Box::new(function)), ()))
    });
    done.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn account(inner: &Inner) -> Result<Response<Body>, Fault> {
    let spec = inner.spec.load();
    let known = inner.registry.all();
    let reserved: usize = known.values().filter_map(|entry| entry.function.reserved).sum();
    let size: u64 = known.values().flat_map(|entry| entry.function.revisions()).map(|(_, one)| one.code_size).sum();
    answer(
        StatusCode::OK,
        &json!({
            "AccountLimit": {
                "TotalCodeSize": super::functions::STORAGE_MAX,
                "CodeSizeUnzipped": spec.limits.unpacked,
                "CodeSizeZipped": spec.limits.package,
                "ConcurrentExecutions": spec.concurrency,
                "UnreservedConcurrentExecutions": spec.concurrency.saturating_sub(reserved),
            },
            "AccountUsage": { "TotalCodeSize": size, "FunctionCount": known.len() },
        }),
    )
}
