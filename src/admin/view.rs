//! View: what the console draws.
//!
//! In: the board of nodes, the counts of functions. Out: `GET /fleet` and `GET /functions`. Never: a request's content.

use super::AdminState;
use super::answer::now_ms;
use crate::config::catalogue;
use crate::fleet::{Heard, NodeState};
use crate::observe::metrics::totals::FunctionTotals;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;

/// Exchanges that a node may miss before it counts as away.
const MISSED: u32 = 3;

/// Answer of `GET /fleet`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetView {
    /// Milliseconds since the epoch, by the clock that `seen_ms` was measured with.
    pub now_ms: u64,
    /// The node that answers.
    pub node: String,
    /// Whether it takes revisions.
    pub revisions: bool,
    /// By name.
    pub nodes: Vec<NodeView>,
}

/// One node as this one sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    #[serde(flatten)]
    pub state: NodeState,
    /// `None`: the catalogue does not know the PoP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Milliseconds since its last word.
    pub seen_ms: u64,
    pub connected: bool,
}

/// Where a PoP is, in degrees.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    pub city: String,
    pub latitude: f64,
    pub longitude: f64,
}

pub async fn fleet(State(state): State<AdminState>) -> Json<FleetView> {
    let config = (state.config)();
    let patience = config.fleet.exchange.saturating_mul(MISSED).saturating_add(config.fleet.silence);
    let now = now_ms();
    let nodes = state.board.nodes().into_iter().map(|heard| NodeView::of(heard, now, patience)).collect();
    let revisions = !config.fleet.trust.is_empty();
    Json(FleetView { now_ms: now, node: config.fleet.node.clone(), revisions, nodes })
}

pub async fn functions(State(state): State<AdminState>) -> Json<Vec<FunctionTotals>> {
    Json(state.metrics.function_totals())
}

// === impl NodeView ===
impl NodeView {
    fn of(heard: Heard, now_ms: u64, patience: Duration) -> Self {
        let seen_ms = now_ms.saturating_sub(heard.heard_ms);
        let site = catalogue::site(&heard.state.pop);
        NodeView {
            connected: u128::from(seen_ms) <= patience.as_millis(),
            place: site.map(|site| Place {
                city: site.city.clone(),
                latitude: site.latitude,
                longitude: site.longitude,
            }),
            seen_ms,
            state: heard.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::fixture::Pop;
    use crate::fleet::{NodeState, Traffic};
    use crate::observe::record::{Call, CallOutcome, Record, sample};
    use serde_json::{Value, json};

    #[test]
    fn nodes_are_shown_with_their_places() {
        let pop = Pop::start(None);
        let now = super::now_ms();
        for (node, code, heard_ms) in [("fra", "FRA", now), ("nrt", "NRT", now - 60_000), ("x", "QQQ", now)] {
            let traffic = Traffic { requests_s: 12.5, ..Traffic::default() };
            let state =
                NodeState { node: node.into(), pop: code.into(), at_ms: heard_ms, traffic, ..NodeState::default() };
            pop.board.hear(state, heard_ms);
        }
        let (status, text) = pop.ask("GET", "/fleet", None, "");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &value["node"]), (200, &json!("fra")));
        let nodes = value["nodes"].as_array().unwrap();
        let is = |at: usize, key: &str| nodes[at][key].clone();
        assert_eq!((is(0, "connected"), is(1, "connected")), (json!(true), json!(false)));
        assert!(is(1, "seen_ms").as_u64().is_some_and(|ms| ms >= 60_000));
        assert_eq!((is(0, "traffic")["requests_s"].clone(), is(2, "place")), (json!(12.5), Value::Null));
        assert_eq!(is(1, "place")["city"], json!("Tokyo"));
    }

    #[test]
    fn functions_are_added_up() {
        let pop = Pop::start(None);
        let function = pop.metrics.functions(["auth"]).remove(0);
        let call = |outcome| Call {
            function: function.clone(),
            event: "viewer-request",
            outcome,
            cpu_ns: 2_000_000,
            wall_ns: 3_000_000,
            edits: 0,
            error: "".into(),
            result: None,
        };
        let calls = [call(CallOutcome::Ok), call(CallOutcome::Timeout)];
        pop.metrics.finish(&Record { calls: &calls, ..sample(pop.metrics.unrouted()) });
        let (_, text) = pop.ask("GET", "/functions", None, "");
        let value: Value = serde_json::from_str(&text).unwrap();
        let one = &value[0];
        assert_eq!((&one["name"], &one["calls"]), (&json!("auth"), &json!(2)));
        assert_eq!(one["outcomes"], json!({"ok": 1, "timeout": 1}));
        assert_eq!((&one["cpu_ms"], &one["wall_ms"]), (&json!(4.0), &json!(6.0)));
        assert!(one["cpu_p99_ms"].as_f64().is_some_and(|ms| ms > 1.0 && ms <= 2.5), "{one}");
    }
}
