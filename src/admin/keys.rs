//! Keys: API keys, made and taken away while the PoP runs.
//!
//! In: requests that may ask. Out: keys without their values, what they used. Never: a value but once, to who made it; a change
//! that counts before it is on disk; a key of the configuration changed.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::answer::{Refused, json_only, now_ms};
use crate::access::keys::{self, Key};
use crate::config::compiled::{Period, Rates, UsagePlan, stages_clash};
use crate::fleet::{KeyChange, KeyStore, KeyStoreError, StoredKey};
use crate::limit::{Ledger, ledger, period};

/// Days that one question about usage may span: all that are remembered are fewer.
const DAYS_MAX: u32 = 100;

/// Where the names of keys are.
const NAMES: &str = "`rimward keys list`, or GET /keys, names them all";

/// What these routes need of the rest of the process.
pub struct KeyDesk {
    pub store: Arc<KeyStore>,
    /// Plans and keys of the configuration that runs.
    pub rates: Arc<dyn Fn() -> Arc<Rates> + Send + Sync>,
    /// `None` = nothing is counted.
    pub ledger: Arc<dyn Fn() -> Option<Arc<Ledger>> + Send + Sync>,
    /// Called after each change, before it is acknowledged: puts the keys that are stored now in force.
    pub changed: Arc<Apply>,
    /// Changes come one after the other, so that the last one told is the last one made. Begins as its default.
    pub turn: Mutex<()>,
}

/// Puts stored keys in force; a change that is not in force is not acknowledged.
pub type Apply = dyn Fn() -> Result<(), KeyStoreError> + Send + Sync;

/// A key as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyShown {
    pub name: String,
    pub enabled: bool,
    pub plans: Vec<String>,
    /// Milliseconds since the epoch; `None` for a key of the configuration.
    pub created_ms: Option<u64>,
}

/// Answer of `GET /keys`: those of the configuration first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    pub keys: Vec<KeyShown>,
}

/// Body of `POST /keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    pub name: String,
    #[serde(default)]
    pub plans: Vec<String>,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `None` = one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Answer of `POST /keys`: the only one that ever has the value. 200 instead of 201 = a key of this name and value was there.
#[derive(Clone, Serialize, Deserialize)]
pub struct Created {
    pub name: String,
    pub value: String,
}

/// Body of `PATCH /keys/NAME`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plans: Option<Vec<String>>,
}

/// Answer of `GET /keys/NAME/usage`: each plan of the key that has a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub name: String,
    pub plans: Vec<PlanUsage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanUsage {
    pub plan: String,
    pub limit: u64,
    /// DAY, WEEK or MONTH.
    pub period: String,
    /// All nodes of the fleet count together; else this node counts for itself.
    #[serde(default)]
    pub shared: bool,
    pub days: Vec<DayUsage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    pub used: u64,
    /// Of the period's limit, at the end of the day.
    pub remaining: u64,
}

/// Both dates are part of it: `YYYY-MM-DD`. Without them: this month until today.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    from: Option<String>,
    to: Option<String>,
}

pub async fn list(State(state): State<AdminState>) -> Result<Json<KeyList>, Refused> {
    on_desk(&state, |desk| desk.list()).await.map(Json)
}

pub async fn create(
    State(state): State<AdminState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let new: NewKey = read(&headers, body, r#"send {"name": "…", "plans": ["…"]}"#)?;
    let (status, created) = on_desk(&state, move |desk| desk.create(new)).await?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((status, no_store, Json(created)).into_response())
}

pub async fn change(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<KeyShown>, Refused> {
    let change: Change = read(&headers, body, r#"send {"enabled": true|false, "plans": ["…"]}, either or both"#)?;
    on_desk(&state, move |desk| desk.change(&name, change)).await.map(Json)
}

pub async fn delete(State(state): State<AdminState>, Path(name): Path<String>) -> Result<Json<super::Done>, Refused> {
    on_desk(&state, move |desk| desk.delete(&name)).await?;
    Ok(Json(super::Done { done: "deleted".to_owned() }))
}

pub async fn usage(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    span: Result<Query<Span>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Usage>, Refused> {
    let Query(span) = span.map_err(|error| bad(error.to_string(), "ask ?from=YYYY-MM-DD&to=YYYY-MM-DD"))?;
    on_desk(&state, move |desk| desk.usage(&name, &span)).await.map(Json)
}

/// The store and the ledger block on the disk: not on a worker.
async fn on_desk<T: Send + 'static>(
    state: &AdminState,
    work: impl FnOnce(&KeyDesk) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let Some(desk) = state.keys.clone() else {
        return Err(Refused::new(
            StatusCode::NOT_FOUND,
            "this PoP keeps no API keys",
            "see [rates] in the configuration",
        ));
    };
    match tokio::task::spawn_blocking(move || work(&desk)).await {
        Ok(answer) => answer,
        Err(error) => Err(internal(error)),
    }
}

fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    hint: &str,
) -> Result<T, Refused> {
    let body = body.map_err(|error| Refused::new(error.status(), "the body is too large or was cut off", hint))?;
    json_only(headers)?;
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string(), hint))
}

// === impl KeyDesk ===
impl KeyDesk {
    fn list(&self) -> Result<KeyList, Refused> {
        let rates = (self.rates)();
        let configured = rates.api_keys.iter().map(|key| KeyShown::of(Key::from(key), None));
        let stored = self.store.list()?;
        let stored = stored.into_iter().map(|stored| KeyShown::of(stored.key, Some(stored.created_ms)));
        Ok(KeyList { keys: configured.chain(stored).collect() })
    }

    /// OK: a key of this name and value is there already, and stays as it is.
    fn create(&self, new: NewKey) -> Result<(StatusCode, Created), Refused> {
        let rates = (self.rates)();
        if let Some(value) = &new.value
            && self.has(&rates, &new.name, value)?
        {
            return Ok((StatusCode::OK, Created { name: new.name, value: value.clone() }));
        }
        known_plans(&rates, &new.plans)?;
        not_configured(&rates, &new.name)?;
        let value = match new.value {
            Some(value) if !keys::valid(&value) => {
                return Err(bad("a key is 20 to 128 letters and digits", "leave `value` out to have one made"));
            }
            Some(value) => value,
            None => keys::generate().map_err(internal)?.expose().clone(),
        };
        let hash = keys::hash(value.as_bytes());
        if rates.api_keys.iter().any(|key| key.hash == hash) {
            return Err(KeyStoreError::Value("of the configuration".to_owned()).into());
        }
        let key =
            Key { name: new.name.as_str().into(), enabled: new.enabled, plans: new.plans, made: keys::made(&hash) };
        let _turn = self.turn.lock();
        self.store.create(StoredKey { key, hash, created_ms: now_ms() })?;
        self.tell()?;
        log::info!("made the API key {:?}", new.name);
        Ok((StatusCode::CREATED, Created { name: new.name, value }))
    }

    fn has(&self, rates: &Rates, name: &str, value: &str) -> Result<bool, Refused> {
        let hash = keys::hash(value.as_bytes());
        let configured = rates.api_keys.iter().any(|key| key.name == name && key.hash == hash);
        Ok(configured || self.store.list()?.iter().any(|stored| *stored.key.name == *name && stored.hash == hash))
    }

    fn change(&self, name: &str, change: Change) -> Result<KeyShown, Refused> {
        let rates = (self.rates)();
        not_configured(&rates, name)?;
        known_plans(&rates, change.plans.as_deref().unwrap_or_default())?;
        let _turn = self.turn.lock();
        let stored = self.store.change(name, &KeyChange { enabled: change.enabled, plans: change.plans })?;
        self.tell()?;
        log::info!("changed the API key {name:?}: enabled {}, plans {:?}", stored.key.enabled, stored.key.plans);
        Ok(KeyShown::of(stored.key, Some(stored.created_ms)))
    }

    fn delete(&self, name: &str) -> Result<(), Refused> {
        not_configured(&(self.rates)(), name)?;
        let _turn = self.turn.lock();
        self.store.delete(name)?;
        self.tell()?;
        log::info!("deleted the API key {name:?}");
        Ok(())
    }

    fn usage(&self, name: &str, span: &Span) -> Result<Usage, Refused> {
        let (from, to) = span.days(period::day(now_ms()))?;
        let found = self.list()?.keys.into_iter().find(|key| key.name == name);
        // Those of the configuration count too.
        let unknown = || Refused::new(StatusCode::NOT_FOUND, format!("there is no key {name:?}"), NAMES);
        let key = found.ok_or_else(unknown)?;
        let rates = (self.rates)();
        let configured = rates.api_keys.iter().any(|key| key.name == name);
        let stored = self.store.list()?.into_iter().find(|stored| !configured && *stored.key.name == *name);
        let made = stored.map_or(0, |stored| stored.key.made);
        let mut plans = Vec::new();
        for plan in rates.plans.iter().filter(|plan| key.plans.contains(&plan.name)) {
            plans.extend(self.plan_usage(plan, (name, made), from, to)?);
        }
        Ok(Usage { name: key.name, plans })
    }

    fn plan_usage(
        &self,
        plan: &UsagePlan,
        (name, made): (&str, u64),
        from: period::Day,
        to: period::Day,
    ) -> Result<Option<PlanUsage>, Refused> {
        let (Some(quota), Some(ledger)) = (&plan.quota, (self.ledger)()) else { return Ok(None) };
        let days = ledger.usage(&ledger::id(&plan.name, name, made), quota, from, to).map_err(internal)?;
        let period = match quota.period {
            Period::Day => "DAY",
            Period::Week => "WEEK",
            Period::Month => "MONTH",
        };
        let days = days.into_iter().map(|day| DayUsage {
            date: period::text(day.day),
            used: day.used,
            remaining: day.remaining,
        });
        let (plan, shared) = (plan.name.clone(), quota.shared);
        Ok(Some(PlanUsage { plan, limit: quota.limit, period: period.to_owned(), shared, days: days.collect() }))
    }

    fn tell(&self) -> Result<(), Refused> {
        Ok((self.changed)()?)
    }
}

// === impl Span ===
impl Span {
    fn days(&self, today: period::Day) -> Result<(period::Day, period::Day), Refused> {
        let day = |text: &Option<String>, default: period::Day| match text {
            None => Ok(default),
            Some(text) => period::parse(text).ok_or_else(|| bad(format!("{text:?} is no date"), period::WRITTEN)),
        };
        let to = day(&self.to, today)?;
        let from = day(&self.from, period::first(Period::Month, to))?;
        if from > today {
            let today = period::text(today);
            return Err(bad(
                format!("{} is in the future: nothing is counted there yet", period::text(from)),
                format!("today is {today} (UTC)"),
            ));
        }
        if from > to || to - from >= DAYS_MAX {
            return Err(bad(
                "the dates are in the wrong order, or too far apart",
                format!("ask for 1 to {DAYS_MAX} days"),
            ));
        }
        Ok((from, to))
    }
}

// === impl KeyShown ===
impl KeyShown {
    fn of(key: Key, created_ms: Option<u64>) -> Self {
        let Key { name, enabled, plans, .. } = key;
        KeyShown { name: name.to_string(), enabled, plans, created_ms }
    }
}

impl fmt::Debug for KeyDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyDesk").field("store", &self.store).finish_non_exhaustive()
    }
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<KeyStoreError> for Refused {
    fn from(error: KeyStoreError) -> Self {
        let (status, hint) = match &error {
            KeyStoreError::Exists(_) | KeyStoreError::Value(_) => {
                (StatusCode::CONFLICT, "choose another, or delete that key first: `rimward keys revoke NAME --delete`")
            }
            KeyStoreError::Gone(_) => (StatusCode::CONFLICT, "nothing was changed"),
            KeyStoreError::Full(_) => {
                (StatusCode::CONFLICT, "delete keys that nobody uses, or raise rates.stored_keys")
            }
            KeyStoreError::Unknown(_) => (StatusCode::NOT_FOUND, NAMES),
            KeyStoreError::Name | KeyStoreError::Plans => (StatusCode::BAD_REQUEST, "nothing was changed"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "nothing was changed; see the PoP's log, then try again"),
        };
        Refused::new(status, error.to_string(), hint)
    }
}

fn known_plans(rates: &Rates, plans: &[String]) -> Result<(), Refused> {
    let known = |name: &String| rates.plans.iter().any(|plan| plan.name == *name);
    let Some(unknown) = plans.iter().find(|name| !known(name)) else { return one_plan_a_stage(rates, plans) };
    let names: Vec<_> = rates.plans.iter().map(|plan| plan.name.as_str()).collect();
    let hint =
        if names.is_empty() { "there are no plans".to_owned() } else { format!("there are: {}", names.join(", ")) };
    Err(bad(format!("there is no plan {unknown:?}"), hint))
}

/// API Gateway: one plan a stage ("CreateUsagePlanKey").
fn one_plan_a_stage(rates: &Rates, plans: &[String]) -> Result<(), Refused> {
    let plans: Vec<_> = plans.iter().filter_map(|name| rates.plans.iter().find(|plan| plan.name == *name)).collect();
    for (position, plan) in plans.iter().enumerate() {
        if let Some(other) = plans[..position].iter().find(|other| stages_clash(&plan.stages, &other.stages)) {
            let error = format!("the plan {:?} opens a stage that {:?} opens already", plan.name, other.name);
            return Err(bad(error, "a key has one plan a stage"));
        }
    }
    Ok(())
}

fn not_configured(rates: &Rates, name: &str) -> Result<(), Refused> {
    if rates.api_keys.iter().all(|key| key.name != name) {
        return Ok(());
    }
    let error = format!("the key {name:?} is in the configuration");
    Err(Refused::new(StatusCode::CONFLICT, error, "change it there, then reload"))
}

fn bad(error: impl Into<String>, hint: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, error, hint)
}

fn internal(error: impl fmt::Display) -> Refused {
    let hint = "nothing was changed; see the PoP's log";
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), hint)
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
