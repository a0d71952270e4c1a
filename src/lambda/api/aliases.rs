//! Aliases: names for versions, and how calls are shared between two of them.
//!
//! In: the operations on aliases. Out: their answers. Never: a version that is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::functions::{asked, listed, precondition, spec_owner};
use super::{Call, answer, empty, input, view};
use crate::lambda::change::Change;
use crate::lambda::fault::{Fault, Kind};
use crate::lambda::name::{LATEST, is_alias};
use crate::lambda::registry::{Alias, Function};
use crate::lambda::shift::Shift;
use crate::lambda::{Body, Inner};

/// Aliases of one function.
const ALIASES_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Said {
    name: Option<String>,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<Routing>,
    revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Routing {
    additional_version_weights: BTreeMap<String, f64>,
}

pub(super) async fn create(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let said: Said = input::json(&call.body)?;
    let alias = said.name.clone().unwrap_or_default();
    if !is_alias(&alias) {
        let rule = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)";
        return Err(input::constraint(&alias, "name", rule));
    }
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        if function.aliases.contains_key(&alias) {
            return Err(Fault::conflict(format!("Alias already exists: {arn}:{alias}")));
        }
        if function.aliases.len() >= ALIASES_MAX {
            return Err(Fault::invalid(format!("A function has at most {ALIASES_MAX} aliases.")));
        }
        let version = String::new();
        let (description, weights, revision_id) = (String::new(), BTreeMap::new(), String::new());
        let fresh = Alias { version, description, weights, revision_id, shift: None };
        put(inner, &mut function, &alias, fresh, said)
    });
    answer(StatusCode::CREATED, &shown.await?)
}

pub(super) async fn update(
    inner: &Arc<Inner>,
    name: &str,
    alias: &str,
    call: Call<'_>,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let said: Said = input::json(&call.body)?;
    let alias = alias.to_owned();
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let old = function.aliases.get(&alias).ok_or_else(|| no_alias(&arn, &alias))?.clone();
        precondition(said.revision_id.as_deref(), &old.revision_id)?;
        let moves = said.function_version.is_some() || said.routing_config.is_some();
        if moves && old.shift.as_ref().is_some_and(Shift::running) {
            return Err(Fault::conflict("The alias is being shifted to another version: stop that first."));
        }
        put(inner, &mut function, &alias, old, said)
    });
    answer(StatusCode::OK, &shown.await?)
}

pub(super) async fn delete(
    inner: &Arc<Inner>,
    name: &str,
    alias: &str,
    call: Call<'_>,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let alias = alias.to_owned();
    let removed = inner.change(asked.name.clone(), move |_, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        // What hung on the alias goes with it; removing what is not there is no error of this operation.
        function.urls.remove(&alias);
        function.events.remove(&alias);
        match function.aliases.remove(&alias) {
            Some(_) => Ok((Change::Put(Box::new(function)), ())),
            None => Ok((Change::Nothing, ())),
        }
    });
    removed.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn get(inner: &Inner, name: &str, alias: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let found = entry.function.aliases.get(alias).ok_or_else(|| no_alias(&arn, alias))?;
    let spec = inner.spec.load();
    answer(StatusCode::OK, &view::alias(&entry.function, alias, found, &spec_owner(&spec)))
}

pub(super) fn list(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let only = call.target.query("FunctionVersion");
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let items = entry.function.aliases.iter().filter(|(_, alias)| only.is_none_or(|only| alias.version == only));
    let items = items.map(|(name, alias)| (name.clone(), view::alias(&entry.function, name, alias, &owner)));
    let (page, marker) = input::page(items, call.target)?;
    listed("Aliases", page, marker)
}

/// What is said, over what was.
fn put(inner: &Inner, function: &mut Function, name: &str, old: Alias, said: Said) -> Result<(Change, Value), Fault> {
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let mut alias = old;
    if let Some(version) = said.function_version {
        alias.version = version;
    }
    if function.revision(&alias.version).is_none() {
        return Err(Fault::not_found(&owner.arn(&function.name, Some(&alias.version))));
    }
    if let Some(description) = said.description {
        alias.description = input::described(description)?;
    }
    if let Some(routing) = said.routing_config {
        alias.weights = routing.additional_version_weights;
    }
    weights(function, &alias)?;
    alias.revision_id = super::uuid();
    let shown = view::alias(function, name, &alias, &owner);
    let mut function = function.clone();
    function.aliases.insert(name.to_owned(), alias);
    Ok((Change::Put(Box::new(function)), shown))
}

/// One other published version, with a share (Lambda Developer Guide, "Implement Lambda canary deployments using a weighted
/// alias").
fn weights(function: &Function, alias: &Alias) -> Result<(), Fault> {
    if alias.weights.is_empty() {
        return Ok(());
    }
    if alias.weights.len() > 1 {
        return Err(Fault::invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"));
    }
    for (version, weight) in &alias.weights {
        if !(0.0..=1.0).contains(weight) {
            return Err(input::constraint(
                &weight.to_string(),
                "routingConfig.additionalVersionWeights",
                "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0]",
            ));
        }
        if *version == alias.version {
            return Err(Fault::invalid(format!(
                "Invalid function version {version}. Function version {version} is already included in routing configuration."
            )));
        }
        if alias.version == LATEST || version == LATEST {
            return Err(Fault::invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
        }
        if function.revision(version).is_none() {
            return Err(Fault::invalid(format!("Invalid function version {version}: it does not exist.")));
        }
    }
    Ok(())
}

pub(super) fn no_alias(arn: &str, alias: &str) -> Fault {
    Fault::new(Kind::NotFound, format!("Cannot find alias arn: {arn}:{alias}"))
}
