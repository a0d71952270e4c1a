//! Functions: made, changed, shown, published, removed.
//!
//! In: the operations on functions and versions. Out: their answers. Never: a change that is not durable when it is told.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{self, CodeInput, Settings};
use super::{Call, answer, view};
use crate::config::compiled::{LAMBDA_MEMORY, LambdaRuntime, lambda_name};
use crate::lambda::change::Change;
use crate::lambda::fault::{Fault, Kind};
use crate::lambda::name::{Asked, LATEST, Owner, version};
use crate::lambda::registry::{Code, CodeError, Entry, Function, Revision, architecture};
use crate::lambda::{Body, Inner, LambdaError, now_ms};

/// Functions that the API may make, and bytes of all their packages (Lambda Developer Guide, "Lambda quotas": 75 GB).
const FUNCTIONS_MAX: usize = 1000;
pub(super) const STORAGE_MAX: u64 = 75 << 30;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Create {
    function_name: String,
    code: CodeInput,
    publish: bool,
    tags: BTreeMap<String, String>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) async fn create(inner: &Arc<Inner>, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let spec = inner.spec.load_full();
    let create: Create = input::large(call.body).await?;
    let name = Asked::parse(&create.function_name, None, &spec_owner(&spec))?.name;
    if !lambda_name(&name) {
        return Err(input::constraint(&name, "functionName", "Member must have length less than or equal to 64"));
    }
    // Asked first, so that a package for nobody is not unpacked; and once more when it is.
    inner.may_change(&name)?;
    if inner.registry.get(&name).is_some() {
        return Err(exists(&name));
    }
    let tags = input::tags(create.tags)?;
    let mut revision = Revision {
        runtime: String::new(),
        handler: String::new(),
        role: String::new(),
        description: String::new(),
        timeout: 3,
        memory: LAMBDA_MEMORY,
        ephemeral: 512,
        environment: BTreeMap::new(),
        dead_letter: None,
        architecture: architecture().to_owned(),
        code_sha256: String::new(),
        code_size: 0,
        modified_ms: now_ms(),
        revision_id: super::uuid(),
    };
    create.settings.apply(&mut revision, &spec.limits, &spec_owner(&spec))?;
    for (member, value) in [("role", &revision.role), ("runtime", &revision.runtime)] {
        if value.is_empty() {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            )));
        }
    }
    if revision.handler.is_empty() {
        match LambdaRuntime::parse(&revision.runtime) {
            Some(LambdaRuntime::Provided(_)) => revision.handler = "bootstrap".to_owned(),
            _ => {
                return Err(Fault::invalid(
                    "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
                ));
            }
        }
    }
    let code = unpack(inner, create.code).await?;
    (revision.code_sha256, revision.code_size) = (code.sha256, code.size);
    let publish = create.publish;
    let shown = inner.change(name.clone(), move |inner, known| {
        if known.is_some() {
            return Err(exists(&name));
        }
        room(inner, revision.code_size, true)?;
        let mut function = Function::new(name, revision);
        function.tags = tags;
        let shown = if publish { published(&mut function, None)? } else { LATEST.to_owned() };
        let value = shown_revision(inner, &function, &shown, publish)?;
        Ok((Change::Put(Box::new(function)), value))
    });
    answer(StatusCode::CREATED, &shown.await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UpdateCode {
    #[serde(flatten)]
    code: CodeInput,
    publish: bool,
    dry_run: bool,
    revision_id: Option<String>,
}

pub(super) async fn update_code(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    inner.may_change(&asked.name)?;
    if inner.registry.get(&asked.name).is_none() {
        return Err(Fault::not_found(&arn));
    }
    let update: UpdateCode = input::large(call.body).await?;
    let code = unpack(inner, update.code).await?;
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        precondition(update.revision_id.as_deref(), &function.latest.revision_id)?;
        room(inner, code.size, false)?;
        (function.latest.code_sha256, function.latest.code_size) = (code.sha256, code.size);
        touch(&mut function.latest);
        let version =
            if update.publish && !update.dry_run { published(&mut function, None)? } else { LATEST.to_owned() };
        let value = shown_revision(inner, &function, &version, update.publish)?;
        let change = if update.dry_run { Change::Nothing } else { Change::Put(Box::new(function)) };
        Ok((change, value))
    });
    answer(StatusCode::OK, &shown.await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct UpdateConfiguration {
    revision_id: Option<String>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) async fn update_configuration(
    inner: &Arc<Inner>,
    name: &str,
    call: Call<'_>,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let update: UpdateConfiguration = input::json(&call.body)?;
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let spec = inner.spec.load();
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        precondition(update.revision_id.as_deref(), &function.latest.revision_id)?;
        update.settings.apply(&mut function.latest, &spec.limits, &spec_owner(&spec))?;
        touch(&mut function.latest);
        let value = shown_revision(inner, &function, LATEST, false)?;
        Ok((Change::Put(Box::new(function)), value))
    });
    answer(StatusCode::OK, &shown.await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Publish {
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
}

pub(super) async fn publish(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let publish: Publish = input::json(&call.body)?;
    let description = publish.description.map(input::described).transpose()?;
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        precondition(publish.revision_id.as_deref(), &function.latest.revision_id)?;
        if publish.code_sha256.is_some_and(|sha256| sha256 != function.latest.code_sha256) {
            let is = &function.latest.code_sha256;
            return Err(Fault::invalid(format!(
                "CodeSHA256 ({is}) is different from current CodeSHA256 in $LATEST. Please try again with the CodeSHA256 in $LATEST."
            )));
        }
        room(inner, function.latest.code_size, false)?;
        let version = published(&mut function, description)?;
        let value = shown_revision(inner, &function, &version, true)?;
        Ok((Change::Put(Box::new(function)), value))
    });
    answer(StatusCode::CREATED, &shown.await?)
}

pub(super) async fn delete(inner: &Arc<Inner>, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let removed = inner.change(asked.name.clone(), move |_, known| {
        let function = known.ok_or_else(|| Fault::not_found(&arn))?;
        let Some(qualifier) = asked.qualifier else { return Ok((Change::Delete, ())) };
        if qualifier == LATEST {
            return Err(Fault::invalid("$LATEST version cannot be deleted without deleting the function."));
        }
        let number =
            version(&qualifier).ok_or_else(|| Fault::invalid("Deletion of aliases is not currently supported."))?;
        let pointing = function
            .aliases
            .iter()
            .filter(|(_, alias)| alias.version == qualifier || alias.weights.contains_key(&qualifier));
        let pointing: Vec<&str> = pointing.map(|(name, _)| name.as_str()).collect();
        if !pointing.is_empty() {
            return Err(Fault::conflict(format!(
                "Version '{qualifier}' cannot be deleted because it is referenced by aliases: [{}]",
                pointing.join(", ")
            )));
        }
        let mut function = function.clone();
        function.events.remove(&qualifier);
        // Removing what is not there is no error of this operation.
        match function.versions.remove(&number) {
            Some(_) => Ok((Change::Put(Box::new(function)), ())),
            None => Ok((Change::Nothing, ())),
        }
    });
    removed.await?;
    Ok(super::empty(StatusCode::NO_CONTENT))
}

/// `GetFunction` or, without what belongs to the function as a whole, `GetFunctionConfiguration`.
pub(super) fn get(inner: &Inner, name: &str, call: &Call<'_>, whole: bool) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let qualifier = asked.qualifier.as_deref();
    let version = match entry.function.aliases.get(qualifier.unwrap_or(LATEST)) {
        Some(alias) => alias.version.as_str(),
        None => qualifier.unwrap_or(LATEST),
    };
    let revision = entry.function.revision(version).ok_or_else(|| Fault::not_found(&arn))?;
    let spec = inner.spec.load();
    let mut shown = view::configuration(&asked.name, version, revision, &spec_owner(&spec), false);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("FunctionArn".to_owned(), json!(arn));
    }
    answer(StatusCode::OK, &if whole { view::function(&entry, shown) } else { shown })
}

pub(super) fn list(inner: &Inner, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let every = match call.target.query("FunctionVersion") {
        None => false,
        Some("ALL") => true,
        Some(other) => {
            return Err(input::constraint(other, "functionVersion", "Member must satisfy enum value set: [ALL]"));
        }
    };
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let known = inner.registry.all();
    let items = known.values().flat_map(|entry| {
        let name = entry.function.name.clone();
        let versions = entry.function.revisions().take(if every { usize::MAX } else { 1 });
        versions.map(move |(version, revision)| (ordered(&name, &version), (name.clone(), version, revision)))
    });
    let (page, marker) = input::page(items, call.target)?;
    let shown: Vec<Value> = page
        .into_iter()
        .map(|(name, version, revision)| view::configuration(&name, &version, revision, &owner, every))
        .collect();
    listed("Functions", shown, marker)
}

pub(super) fn versions(inner: &Inner, name: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let items = entry.function.revisions().map(|(version, revision)| (ordered("", &version), (version, revision)));
    let (page, marker) = input::page(items, call.target)?;
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let shown: Vec<Value> = page
        .into_iter()
        .map(|(version, revision)| view::configuration(&asked.name, &version, revision, &owner, true))
        .collect();
    listed("Versions", shown, marker)
}

/// A key that sorts a function's versions by their number, `$LATEST` first.
fn ordered(name: &str, number: &str) -> String {
    format!("{name}:{:020}", version(number).unwrap_or(0))
}

pub(super) fn listed(what: &str, items: Vec<Value>, marker: Option<String>) -> Result<Response<Body>, Fault> {
    let mut all = serde_json::Map::from_iter([(what.to_owned(), Value::from(items))]);
    all.extend(marker.map(|marker| ("NextMarker".to_owned(), json!(marker))));
    answer(StatusCode::OK, &Value::from(all))
}

/// Whom a path names, and the ARN of that.
pub(super) fn asked(inner: &Inner, name: &str, call: &Call<'_>) -> Result<(Asked, String), Fault> {
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let asked = Asked::parse(name, call.target.query("Qualifier"), &owner)?;
    let arn = owner.arn(&asked.name, asked.qualifier.as_deref());
    Ok((asked, arn))
}

pub(super) fn spec_owner(spec: &crate::config::compiled::LocalLambda) -> Owner<'_> {
    Owner { region: &spec.region, account: &spec.account }
}

pub(super) fn precondition(said: Option<&str>, is: &str) -> Result<(), Fault> {
    if said.is_some_and(|said| said != is) { Err(Fault::precondition()) } else { Ok(()) }
}

fn exists(name: &str) -> Fault {
    Fault::conflict(format!("Function already exist: {name}"))
}

fn touch(revision: &mut Revision) {
    revision.modified_ms = now_ms();
    revision.revision_id = super::uuid();
}

fn shown_revision(inner: &Inner, function: &Function, version: &str, qualified: bool) -> Result<Value, Fault> {
    let spec = inner.spec.load();
    let owner = spec_owner(&spec);
    let revision =
        function.revision(version).ok_or_else(|| Fault::not_found(&owner.arn(&function.name, Some(version))))?;
    Ok(view::configuration(&function.name, version, revision, &owner, qualified))
}

/// Publishes `$LATEST`, unless it is what the last version is already. Gives the version's number.
fn published(function: &mut Function, description: Option<String>) -> Result<String, Fault> {
    let mut revision = function.latest.clone();
    if let Some(description) = description.filter(|text| !text.is_empty()) {
        revision.description = description;
    }
    if let Some((number, last)) = function.versions.last_key_value() {
        let same = Revision {
            modified_ms: last.modified_ms,
            revision_id: last.revision_id.clone(),
            description: last.description.clone(),
            ..function.latest.clone()
        };
        if same == *last {
            return Ok(number.to_string());
        }
    }
    touch(&mut revision);
    let number = function.next;
    function.next += 1;
    function.versions.insert(number, revision);
    Ok(number.to_string())
}

/// Whether `more` bytes, and one more function, may be kept.
fn room(inner: &Inner, more: u64, function: bool) -> Result<(), Fault> {
    let known = inner.registry.all();
    let made = known.values().filter(|entry| !entry.configured);
    let size = |entry: &Arc<Entry>| entry.function.revisions().map(|(_, revision)| revision.code_size).sum::<u64>();
    let (count, bytes) = made.fold((0, more), |(count, bytes), entry| (count + 1, bytes + size(entry)));
    match bytes > STORAGE_MAX || function && count >= FUNCTIONS_MAX {
        true => Err(Fault::new(Kind::CodeStorageExceeded, "Code storage limit exceeded.")),
        false => Ok(()),
    }
}

async fn unpack(inner: &Arc<Inner>, code: CodeInput) -> Result<Code, Fault> {
    let limits = inner.spec.load().limits;
    let root = inner.dir.join("code");
    let done = tokio::task::spawn_blocking(move || {
        let bytes = code.package(limits.package)?;
        Code::unpack(Cursor::new(bytes), &root, (limits.package, limits.unpacked)).map_err(|error| match error {
            CodeError::Disk { path, source } => Fault::service(&LambdaError::Disk { path, source }),
            CodeError::Packed(most) => Fault::too_large(most, "CreateFunction"),
            refused => Fault::invalid(refused.to_string()),
        })
    });
    done.await.unwrap_or_else(|panic| Err(Fault::service(&LambdaError::Worker(panic.to_string()))))
}
