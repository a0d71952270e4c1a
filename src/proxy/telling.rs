//! Telling: how this node is, every `fleet.exchange`.
//!
//! In: the totals, the configuration and the revision that run. Out: this node's state on the board. Never: waits for another node.

use std::sync::Arc;

use crate::fleet::{Meter, NodeState};

use super::phases::now_ms;
use super::revising::Revising;
use super::server::Phase;
use super::shared::Shared;

/// For as long as the process lives.
pub(super) async fn run(shared: Arc<Shared>, phase: Phase, revising: Option<Arc<Revising>>) {
    let mut meter = Meter::default();
    loop {
        let exchange = shared.live.load().config.fleet.exchange;
        let reading = shared.clone();
        // Thousands of behaviors are many counters: not on a thread that serves.
        let read = tokio::task::spawn_blocking(move || {
            let metrics = reading.observer.metrics();
            (metrics.totals(now_ms()), metrics.numbers().connections)
        });
        let Ok((totals, connections)) = read.await else { return };
        let traffic = meter.read(totals, connections);
        let config = &shared.live.load().config;
        let state = NodeState {
            node: config.fleet.node.clone(),
            pop: config.pop.code.clone(),
            at_ms: now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: config.digest.clone(),
            revision: revising.as_ref().and_then(|revising| revising.serves()),
            not_ready: phase.lock().map(str::to_owned),
            purged: shared.seen.told().to_string(),
            traffic,
        };
        shared.board.hear(state, now_ms());
        tokio::time::sleep(exchange).await;
    }
}
