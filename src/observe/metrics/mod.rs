//! Metrics: what is counted, and under which labels.
//!
//! In: finished requests, rare events, numbers read at scrape. Out: handles that the request path adds to, Prometheus
//! text, totals for `rimward top`. Never: a label that a viewer can invent without bound, a lock on the hit path.

mod calls;
mod cells;
pub mod change;
mod hosts;
mod labels;
mod paths;
mod scrape;
pub mod totals;

pub use calls::FunctionMetrics;
pub use cells::{BehaviorMetrics, OriginMetrics};
pub(in crate::observe) use cells::{shard, shard_count};
pub use labels::{PurgeScope, Refusal, TierResult};

use super::record::{Call, Record};
use cells::Counters;
use hosts::Hosts;
use parking_lot::{Mutex, RwLock};
use paths::Paths;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use totals::{FunctionTotals, Totals};

/// Everything this process counts. One per process; survives reloads.
pub struct Metrics {
    pop: String,
    unrouted: Arc<BehaviorMetrics>,
    /// By name, of the configuration that runs: a reload drops the series of names that are gone.
    behaviors: RwLock<Vec<Arc<BehaviorMetrics>>>,
    origins: RwLock<Vec<Arc<OriginMetrics>>>,
    functions: RwLock<Vec<Arc<FunctionMetrics>>>,
    hosts: Hosts,
    paths: Mutex<Paths>,
    refused: Counters<{ Refusal::ALL.len() }>,
    /// What this node asked others, and what others asked it.
    tiers: [Counters<{ TierResult::ALL.len() }>; 2],
    /// Hard, then soft, of each scope.
    purges: [Counters<{ PurgeScope::ALL.len() }>; 2],
    /// Refused, accepted.
    reloads: [AtomicU64; 2],
    log_dropped: Arc<AtomicU64>,
    spans_dropped: Arc<AtomicU64>,
    numbers: RwLock<Option<ReadNumbers>>,
}

type ReadNumbers = Box<dyn Fn() -> Numbers + Send + Sync>;

/// What other rooms know and a scrape asks for. Counters among them only ever grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Open viewer connections.
    pub connections: u64,
    pub memory_bytes: u64,
    pub memory_objects: u64,
    pub disk_bytes: u64,
    pub disk_objects: u64,
    pub fills_in_flight: u64,
    /// Objects put out for room, since start.
    pub memory_evictions: u64,
    pub disk_evictions: u64,
    /// Connections closed because too many were open in all, and from their address, since start.
    pub refused_total: u64,
    pub refused_per_address: u64,
    pub targets: Vec<TargetNumbers>,
    /// `None` without `[dynamodb]`.
    pub tables: Option<TableNumbers>,
    /// One for each mapping of a stream to a function; as many as the operator made.
    pub event_sources: Vec<EventSourceNumbers>,
    /// `None` without `fleet.bus`.
    pub fleet: Option<FleetNumbers>,
    /// `None` without `[dns]`.
    pub names: Option<NameNumbers>,
}

/// How this node is with the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetNumbers {
    /// The bus answers.
    pub connected: bool,
    /// Nodes that said something of themselves, this one among them.
    pub nodes: u64,
    /// The newest purge of the bus that counts here.
    pub purge_position: u64,
}

/// What was answered about names since the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameNumbers {
    /// Code of a PoP, answers that lead there, whether it is well.
    pub pops: Vec<(String, u64, bool)>,
    /// Other answers.
    pub others: u64,
    /// Answers that refer to TCP, for their network asked too often.
    pub referred: u64,
}

/// What the tables of this PoP counted since they were opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableNumbers {
    /// Operation, then calls that were answered, refused (4xx) and failed (5xx).
    pub calls: Vec<(&'static str, [u64; 3])>,
    /// Calls, or parts of batches, that there was no capacity for.
    pub throttled: u64,
    /// Calls that a policy denied.
    pub denied: u64,
    /// Capacity units, whole ones.
    pub read_units: u64,
    pub write_units: u64,
    /// Items deleted because their time was over.
    pub expired: u64,
    pub replicated: u64,
    /// Reads that the item cache answered, did not, and was not asked for; the same of the query cache.
    pub items: [u64; 3],
    pub queries: [u64; 3],
    /// Tables whose stream is followed, with milliseconds that the caches are behind at most.
    pub follow_lags: Vec<(String, u64)>,
    /// Reads that passed the caches by, by what kept the stream from being read in time.
    pub follow_passed: Vec<(&'static str, u64)>,
}

/// How one event source mapping goes, since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSourceNumbers {
    pub uuid: String,
    pub function: String,
    /// Records done with, and those of them that were given up.
    pub records: u64,
    pub given_up: u64,
    /// Milliseconds: how old the newest record of the last call was; 0 = none waits.
    pub lag_ms: u64,
}

/// Health of one configured target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetNumbers {
    pub origin: String,
    /// `host:port` as configured, so that its number is bounded by the configuration.
    pub target: String,
    pub up: bool,
}

// === impl Metrics ===
impl Metrics {
    /// Counts hosts under their own name up to `metric_hosts`, the rest under `other`; 0 = hosts are not counted.
    pub fn new(pop: &str, metric_hosts: usize) -> Self {
        Metrics {
            pop: pop.to_owned(),
            unrouted: Arc::new(BehaviorMetrics::new("unrouted")),
            behaviors: RwLock::default(),
            origins: RwLock::default(),
            functions: RwLock::default(),
            hosts: Hosts::new(metric_hosts),
            paths: Mutex::default(),
            refused: Counters::default(),
            tiers: Default::default(),
            purges: Default::default(),
            reloads: Default::default(),
            log_dropped: Arc::default(),
            spans_dropped: Arc::default(),
            numbers: RwLock::default(),
        }
    }

    /// Handles for the behaviors of a new configuration, in its order. A name that already counts goes on counting.
    pub fn behaviors<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<Arc<BehaviorMetrics>> {
        // A behavior that is called as ours shares its series: a second one would break the scrape.
        let ours = Some(&self.unrouted);
        replace(&self.behaviors, ours, names, BehaviorMetrics::name, BehaviorMetrics::new)
    }

    /// Handles for the origins of a new configuration, in its order.
    pub fn origins<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<Arc<OriginMetrics>> {
        replace(&self.origins, None, names, OriginMetrics::name, OriginMetrics::new)
    }

    /// Handles for the functions of a new configuration, in its order.
    pub fn functions<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<Arc<FunctionMetrics>> {
        replace(&self.functions, None, names, FunctionMetrics::name, FunctionMetrics::new)
    }

    /// Where requests count that were refused before a behavior was found.
    pub fn unrouted(&self) -> &Arc<BehaviorMetrics> {
        &self.unrouted
    }

    /// Counts function calls: those of a finished request, or of one that only serves another (a page, a background revalidation).
    pub fn called(&self, calls: &[Call]) {
        calls.iter().for_each(|call| call.function.finish(call));
    }

    /// Counts one finished request: a few relaxed adds on this thread's own cache lines.
    /// A node's request counts for origins and functions here; for viewers where the viewer asked.
    pub fn finish(&self, record: &Record<'_>) {
        if let Some(visit) = &record.origin {
            visit.origin.finish(visit, record.failure);
        }
        self.called(record.calls);
        if !record.asked_by.is_empty() {
            return;
        }
        record.behavior.finish(record);
        self.hosts.count(record.host, record.status);
        if paths::sampled() {
            // A busy sketch skips the sample: it is an estimate anyway.
            if let Some(mut paths) = self.paths.try_lock() {
                paths.count(record.host, record.path);
            }
        }
    }

    pub fn refused(&self, why: Refusal) {
        self.refused.add(why as usize);
    }

    /// One question between nodes: this one's, or another's.
    pub fn tier(&self, asked_here: bool, result: TierResult) {
        self.tiers[usize::from(asked_here)].add(result as usize);
    }

    pub fn purged(&self, scope: PurgeScope, soft: bool) {
        self.purges[usize::from(soft)].add(scope as usize);
    }

    pub fn reloaded(&self, accepted: bool) {
        self.reloads[usize::from(accepted)].fetch_add(1, Ordering::Relaxed);
    }

    /// Access-log lines that found the queue full or the sink broken.
    pub fn log_dropped(&self) -> &Arc<AtomicU64> {
        &self.log_dropped
    }

    /// Spans that found the exporter's queue full or its collector gone.
    pub fn spans_dropped(&self) -> &Arc<AtomicU64> {
        &self.spans_dropped
    }

    /// Sets what a scrape reads from the other rooms (replacing what was set before).
    pub fn read_numbers(&self, read: impl Fn() -> Numbers + Send + Sync + 'static) {
        *self.numbers.write() = Some(Box::new(read));
    }

    /// Prometheus text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        scrape::render(self)
    }

    /// Totals since start, for `rimward top`: two readings make a rate.
    pub fn totals(&self, now_ms: u64) -> Totals {
        Totals {
            at_ms: now_ms,
            pop: self.pop.clone(),
            bounds_s: cells::BOUNDS_NS.iter().map(|&nanos| nanos as f64 / 1e9).collect(),
            behaviors: self.every_behavior().iter().map(|behavior| behavior.totals()).collect(),
            origins: self.origins.read().iter().map(|origin| origin.totals()).collect(),
            paths: self.paths.lock().heaviest(totals::TOP_PATHS),
        }
    }

    /// Calls of every function since start, by name.
    pub fn function_totals(&self) -> Vec<FunctionTotals> {
        let mut functions: Vec<_> = self.functions.read().iter().map(|function| function.totals()).collect();
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        functions
    }

    /// What the other rooms say now.
    pub fn numbers(&self) -> Numbers {
        self.numbers.read().as_ref().map(|read| read()).unwrap_or_default()
    }

    fn every_behavior(&self) -> Vec<Arc<BehaviorMetrics>> {
        let mut all = self.behaviors.read().clone();
        all.push(self.unrouted.clone());
        all
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("pop", &self.pop).finish_non_exhaustive()
    }
}

/// Makes `names` the current set: one handle per name given, old ones where the name was there before. `ours` is the
/// handle of a name that always exists and is no part of the set.
fn replace<'n, T>(
    current: &RwLock<Vec<Arc<T>>>,
    ours: Option<&Arc<T>>,
    names: impl IntoIterator<Item = &'n str>,
    name_of: fn(&T) -> &str,
    new: fn(&str) -> T,
) -> Vec<Arc<T>> {
    let mut current = current.write();
    let mut known: HashMap<String, Arc<T>> =
        current.drain(..).chain(ours.cloned()).map(|handle| (name_of(&handle).to_owned(), handle)).collect();
    let mut told: HashSet<String> = ours.iter().map(|ours| name_of(ours).to_owned()).collect();
    let mut handles = Vec::new();
    for name in names {
        let handle = known.entry(name.to_owned()).or_insert_with(|| Arc::new(new(name))).clone();
        if told.insert(name.to_owned()) {
            current.push(handle.clone());
        }
        handles.push(handle);
    }
    handles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::{Outcome, sample};

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    #[test]
    fn a_reload_keeps_counts_of_names_that_stay_and_forgets_the_others() {
        let metrics = Metrics::new("FRA", 0);
        let first = metrics.behaviors(["a", "b"]);
        metrics.finish(&sample(&first[0]));
        metrics.finish(&sample(&first[1]));
        let second = metrics.behaviors(["c", "a"]);
        assert_eq!((second[0].name(), second[1].name()), ("c", "a"));
        metrics.finish(&sample(&second[1]));
        let text = metrics.render();
        assert_eq!(
            value(&text, "rimward_requests_total{behavior=\"a\",cache=\"hit\",status_class=\"2xx\"}"),
            Some(2.0)
        );
        assert!(!text.contains("behavior=\"b\""), "{text}");
    }

    #[test]
    fn no_series_appears_twice() {
        let metrics = Metrics::new("FRA", 0);
        let handles = metrics.behaviors(["a", "unrouted", "a"]);
        handles.iter().chain([metrics.unrouted()]).for_each(|handle| metrics.finish(&sample(handle)));
        let text = metrics.render();
        for (behavior, want) in [("a", 2.0), ("unrouted", 2.0)] {
            let series = format!("rimward_requests_total{{behavior=\"{behavior}\",");
            assert_eq!(text.lines().filter(|line| line.starts_with(&series)).count(), 1, "{text}");
            assert_eq!(value(&text, &format!("{series}cache=\"hit\",status_class=\"2xx\"}}")), Some(want));
        }
    }

    #[test]
    fn every_family_is_exposed() {
        let metrics = Metrics::new("FRA", 10);
        metrics.read_numbers(|| Numbers {
            memory_objects: 7,
            targets: vec![TargetNumbers { origin: "o".into(), target: "h:80".into(), up: true }],
            event_sources: vec![EventSourceNumbers {
                uuid: "u".into(),
                function: "f".into(),
                records: 9,
                given_up: 2,
                lag_ms: 1500,
            }],
            tables: Some(TableNumbers {
                follow_lags: vec![("todo".into(), 120)],
                follow_passed: vec![("off", 3)],
                ..TableNumbers::default()
            }),
            ..Numbers::default()
        });
        let behaviors = metrics.behaviors(["a"]);
        let origins = metrics.origins(["o"]);
        let visit = crate::observe::Visit {
            origin: &origins[0],
            target: None,
            after_ns: 0,
            connect_ns: None,
            first_byte_ns: Some(2_000_000),
            total_ns: 3_000_000,
            attempts: 2,
            status: 200,
        };
        metrics.finish(&Record { cache: Outcome::Miss, origin: Some(visit), ..sample(&behaviors[0]) });
        metrics.refused(Refusal::Slow);
        metrics.purged(PurgeScope::Tag, true);
        metrics.tier(true, TierResult::Hit);
        metrics.reloaded(false);
        let text = metrics.render();
        for (series, want) in [
            ("rimward_requests_total{behavior=\"a\",cache=\"miss\",status_class=\"2xx\"}", 1.0),
            ("rimward_request_seconds_count{behavior=\"a\",cache=\"miss\"}", 1.0),
            ("rimward_request_seconds_bucket{behavior=\"a\",cache=\"miss\",le=\"0.001\"}", 0.0),
            ("rimward_request_seconds_bucket{behavior=\"a\",cache=\"miss\",le=\"0.0025\"}", 1.0),
            ("rimward_request_seconds_bucket{behavior=\"a\",cache=\"miss\",le=\"+Inf\"}", 1.0),
            ("rimward_origin_seconds_count{origin=\"o\"}", 1.0),
            ("rimward_origin_attempts_total{origin=\"o\"}", 2.0),
            ("rimward_origin_target_up{origin=\"o\",target=\"h:80\"}", 1.0),
            ("rimward_event_source_records_total{function=\"f\",mapping=\"u\"}", 9.0),
            ("rimward_event_source_given_up_total{function=\"f\",mapping=\"u\"}", 2.0),
            ("rimward_event_source_lag_milliseconds{function=\"f\",mapping=\"u\"}", 1500.0),
            ("rimward_dynamodb_follow_lag_milliseconds{table=\"todo\"}", 120.0),
            ("rimward_dynamodb_follow_bypasses_total{stream=\"off\"}", 3.0),
            ("rimward_received_bytes_total{behavior=\"a\"}", 90.0),
            ("rimward_sent_bytes_total{behavior=\"a\"}", 1200.0),
            ("rimward_host_requests_total{host=\"shop.example\"}", 1.0),
            ("rimward_cache_objects{tier=\"memory\"}", 7.0),
            ("rimward_connections", 0.0),
            ("rimward_connections_refused_total{why=\"slow\"}", 1.0),
            ("rimward_evictions_total{tier=\"disk\"}", 0.0),
            ("rimward_fills_in_flight", 0.0),
            ("rimward_purges_total{mode=\"soft\",scope=\"tag\"}", 1.0),
            ("rimward_tier_requests_total{result=\"hit\",side=\"asked\"}", 1.0),
            ("rimward_config_reloads_total{result=\"refused\"}", 1.0),
            ("rimward_log_dropped_total", 0.0),
            ("rimward_spans_dropped_total", 0.0),
        ] {
            assert_eq!(value(&text, &format!("{series} ")), Some(want), "{series} in\n{text}");
        }
        assert!(text.contains("rimward_build_info{pop=\"FRA\",version="), "{text}");
    }

    #[test]
    fn series_do_not_grow_with_hosts_and_paths() {
        let metrics = Metrics::new("FRA", 3);
        let behaviors = metrics.behaviors(["a"]);
        for n in 0..500 {
            let (host, path) = (format!("h{n}.example"), format!("/{n}"));
            metrics.finish(&Record { host: &host, path: path.as_bytes(), ..sample(&behaviors[0]) });
        }
        let text = metrics.render();
        let hosts = text.lines().filter(|line| line.starts_with("rimward_host_requests_total{")).count();
        assert_eq!(hosts, 4, "three hosts and `other`");
        assert_eq!(value(&text, "rimward_host_requests_total{host=\"other\"} "), Some(497.0));
        assert!(metrics.totals(0).paths.len() <= totals::TOP_PATHS);
    }
}
