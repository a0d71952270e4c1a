//! Shifts: moving an alias to another version bit by bit; what CodeDeploy does for the service's functions, with an operation of ours.
//!
//! In: `/2015-03-31/functions/{name}/aliases/{alias}/shift`: POST begins, GET shows, DELETE goes back. Out: how far it has come. Never:
//! two shifts of one alias.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::aliases::no_alias;
use super::functions::asked;
use super::{Call, answer, input};
use crate::config::units::Duration;
use crate::lambda::change::Change;
use crate::lambda::fault::{Fault, Kind};
use crate::lambda::name::LATEST;
use crate::lambda::shift::{Alarm, Next, Plan, Shift, State};
use crate::lambda::time::{iso_z, of_millis};
use crate::lambda::{Body, Inner, now_ms};

/// Over how long an alarm counts unless it says so.
const WINDOW_MS: u64 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// The version that is to get the calls.
    to: String,
    kind: How,
    alarm: Option<Alarms>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum How {
    Named(String),
    Own { percent: f64, interval: Duration, steps: u32 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarms {
    /// "5%"
    errors: Option<String>,
    p99: Option<Duration>,
    window: Option<Duration>,
}

pub(super) async fn begin(
    inner: &Arc<Inner>,
    name: &str,
    alias: &str,
    call: Call<'_>,
) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let said: Said = input::json(&call.body)?;
    let plan = match &said.kind {
        How::Named(text) => Plan::named(text),
        How::Own { percent, interval, steps } => Plan::new(*percent, millis(*interval), *steps),
    };
    let plan = plan.ok_or_else(|| {
        Fault::invalid(
            "kind is canary10percent5minutes, linear10percentevery1minute, all-at-once or { percent, interval, steps }",
        )
    })?;
    let alarm = said.alarm.map(alarm).transpose()?;
    let alias = alias.to_owned();
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let found = function.revision(&said.to).is_some() && said.to != LATEST;
        let one = function.aliases.get_mut(&alias).ok_or_else(|| no_alias(&arn, &alias))?;
        if !found {
            return Err(Fault::invalid(format!(
                "Invalid function version {}: a published version gets calls.",
                said.to
            )));
        }
        if one.version == LATEST || one.version == said.to {
            return Err(Fault::invalid(format!(
                "The alias points to {}: calls move from one published version to another.",
                one.version
            )));
        }
        if one.shift.as_ref().is_some_and(Shift::running) {
            return Err(Fault::conflict("The alias is being shifted already."));
        }
        let now_ms = now_ms();
        let shift = Shift {
            from: one.version.clone(),
            to: said.to,
            plan,
            alarm,
            step: 0,
            since_ms: now_ms,
            began_ms: now_ms,
            ended_ms: None,
            state: State::InProgress,
            reason: None,
        };
        one.shift = Some(shift);
        one.moved(if plan.steps == 0 { Next::Promote } else { Next::Step(0) }, now_ms);
        let shown = one.shift.as_ref().map(|shift| shown(inner, &asked.name, &alias, shift));
        Ok((Change::Put(Box::new(function)), shown.unwrap_or_default()))
    });
    let shown = shown.await?;
    inner.shifts.begun.notify_one();
    answer(StatusCode::CREATED, &shown)
}

pub(super) fn get(inner: &Inner, name: &str, alias: &str, call: &Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, call)?;
    let entry = inner.registry.get(&asked.name).ok_or_else(|| Fault::not_found(&arn))?;
    let one = entry.function.aliases.get(alias).ok_or_else(|| no_alias(&arn, alias))?;
    let shift = one.shift.as_ref().ok_or_else(|| none(&arn, alias))?;
    answer(StatusCode::OK, &shown(inner, &asked.name, alias, shift))
}

/// Goes back to the version before.
pub(super) async fn stop(inner: &Arc<Inner>, name: &str, alias: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let (asked, arn) = asked(inner, name, &call)?;
    let alias = alias.to_owned();
    let shown = inner.change(asked.name.clone(), move |inner, known| {
        let mut function = known.ok_or_else(|| Fault::not_found(&arn))?.clone();
        let one = function.aliases.get_mut(&alias).ok_or_else(|| no_alias(&arn, &alias))?;
        match one.shift.as_ref().map(Shift::running) {
            None => return Err(none(&arn, &alias)),
            Some(false) => return Err(Fault::conflict("The shift is over.")),
            Some(true) => one.moved(Next::RollBack("it was stopped".to_owned()), now_ms()),
        }
        let shown = one.shift.as_ref().map(|shift| shown(inner, &asked.name, &alias, shift));
        Ok((Change::Put(Box::new(function)), shown.unwrap_or_default()))
    });
    answer(StatusCode::OK, &shown.await?)
}

fn alarm(said: Alarms) -> Result<Alarm, Fault> {
    let share = |text: &String| {
        let share = text.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        let share = share.filter(|share| (0.0..=100.0).contains(share));
        share.ok_or_else(|| Fault::invalid(format!("'{text}' is no share of calls, like \"5%\"")))
    };
    let errors = said.errors.as_ref().map(share).transpose()?;
    let p99_ms = said.p99.map(millis);
    if errors.is_none() && p99_ms.is_none() {
        return Err(Fault::invalid("An alarm says errors or p99."));
    }
    Ok(Alarm { errors, p99_ms, window_ms: said.window.map_or(WINDOW_MS, millis) })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.get().as_millis()).unwrap_or(u64::MAX)
}

fn shown(inner: &Inner, function: &str, alias: &str, shift: &Shift) -> Value {
    let counts = inner.shifts.counts(function, shift, now_ms());
    let weight = match shift.state {
        State::InProgress => shift.plan.weight(shift.step),
        State::Succeeded => 1.0,
        State::RolledBack => 0.0,
    };
    json!({
        "alias": alias,
        "from": shift.from,
        "to": shift.to,
        "state": format!("{:?}", shift.state),
        "reason": shift.reason,
        "weight": weight,
        "step": shift.step,
        "steps": shift.plan.steps,
        "percent": shift.plan.percent,
        "intervalSeconds": shift.plan.every_ms as f64 / 1000.0,
        "began": iso_z(of_millis(shift.began_ms)),
        "ended": shift.ended_ms.map(|ended| iso_z(of_millis(ended))),
        "calls": counts.calls,
        "errors": counts.errors,
        "p99Millis": counts.p99_ms,
    })
}

fn none(arn: &str, alias: &str) -> Fault {
    Fault::new(Kind::NotFound, format!("The alias {arn}:{alias} was never shifted."))
}
