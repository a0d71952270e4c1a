//! Housekeeping: what a front does on its own from time to time.
//!
//! In: timers. Out: expired items deleted, provisioned units following what is consumed. Never: a front kept open.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::compiled::{DynamoDb, Scaling};

use super::cache::epochs::Scope;
use super::capacity::Side;
use super::capacity::scaling::State;
use super::engine::Call;
use super::front::Front;
use super::op::Op;
use super::request::Request;

const MINUTE: Duration = Duration::from_secs(60);

/// A table whose units follow.
struct Tracked {
    table: String,
    read: Option<(Scaling, State)>,
    write: Option<(Scaling, State)>,
}

/// Starts the timers, within a tokio runtime; without one there are none.
pub fn start(front: &Arc<Front>, spec: &DynamoDb) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        log::warn!("dynamodb: opened outside of a runtime: items do not expire, and capacity does not scale");
        return;
    };
    if front.engine.meters() {
        runtime.spawn(every(spec.ttl_sweep, Arc::downgrade(front), (), |front, ()| Box::pin(sweep(front))));
    }
    let tracked: Vec<Tracked> = spec.tables.iter().filter_map(tracked).collect();
    if spec.throttle && !tracked.is_empty() {
        runtime.spawn(every(MINUTE, Arc::downgrade(front), tracked, |front, tracked| Box::pin(scale(front, tracked))));
    }
}

type Doing<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Does `what` every `period`, as long as the front is there.
async fn every<S: Send>(
    period: Duration,
    front: Weak<Front>,
    mut state: S,
    what: impl for<'a> Fn(&'a Front, &'a mut S) -> Doing<'a> + Send,
) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(front) = front.upgrade() else { return };
        what(&front, &mut state).await;
    }
}

async fn sweep(front: &Front) {
    match front.engine.sweep().await {
        Ok(swept) => {
            // Which items they were is known to the engine only.
            swept.tables.iter().for_each(|table| front.caches.epochs.bump(Scope::Table(table)));
            front.metrics.expired(swept.items);
        }
        // Closing: the next tick finds the front gone.
        Err(fault) => log::debug!("dynamodb: no sweep: {}", fault.kind),
    }
}

fn tracked(table: &crate::config::compiled::DynamoTable) -> Option<Tracked> {
    let capacity = table.capacity?;
    let state = |scaling: Option<Scaling>| scaling.map(|scaling| (scaling, State::default()));
    let (read, write) = (state(capacity.read.scaling), state(capacity.write.scaling));
    (read.is_some() || write.is_some()).then(|| Tracked { table: table.name.clone(), read, write })
}

async fn scale(front: &Front, tracked: &mut [Tracked]) {
    let minute = (front.clock)().as_secs() / 60;
    for one in tracked {
        let Ok(found) = front.tables(std::slice::from_ref(&one.table)).await else { continue };
        let Some(table) = found.first().filter(|table| !table.on_demand) else { continue };
        let (mut read, mut write) = (table.throughput.read.unwrap_or(1), table.throughput.write.unwrap_or(1));
        let mut moved = false;
        for (side, state, units) in [(Side::Read, &mut one.read, &mut read), (Side::Write, &mut one.write, &mut write)]
        {
            let consumed = front.meter.drain(&one.table, side);
            let Some((scaling, state)) = state else { continue };
            if let Some(to) = state.minute(*scaling, consumed, *units, minute) {
                log::info!("dynamodb: {} of {}: {units} units a second become {to}", side.word(), one.table);
                (*units, moved) = (to, true);
            }
        }
        if moved {
            let throughput = json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write});
            let request = Request::from_iter([
                ("TableName".to_owned(), Value::from(one.table.as_str())),
                ("ProvisionedThroughput".to_owned(), throughput),
            ]);
            let result = front.engine.call(Call { op: Op::UpdateTable, request, metered: false }).await;
            front.catalog.forget(&one.table);
            if let Err(fault) = result {
                log::error!("dynamodb: the capacity of {} stays: {}", one.table, fault.message.unwrap_or(fault.kind));
            }
        }
    }
}

#[cfg(test)]
mod tests;
