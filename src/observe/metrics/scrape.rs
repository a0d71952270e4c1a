//! Scrape: how the sums are named in Prometheus.
//!
//! In: sums of every cell, numbers of other rooms. Out: text exposition format. Never: on the request path.

use super::cells::{BOUNDS_NS, BehaviorSum, LatencySum, STATUS_CLASSES};
use super::{Metrics, PurgeScope, Refusal, TierResult};
use crate::observe::record::{CallOutcome, FUNCTION_ERRORS, Failure, Outcome};
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::sync::atomic::Ordering;

/// Name and value of each label of one series, in order of name.
type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

pub fn render(metrics: &Metrics) -> String {
    let mut families = Vec::with_capacity(24);
    behaviors(metrics, &mut families);
    origins(metrics, &mut families);
    functions(metrics, &mut families);
    numbers(metrics, &mut families);
    tables(metrics, &mut families);
    event_sources(metrics, &mut families);
    names(metrics, &mut families);
    events(metrics, &mut families);
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# cannot encode: {error}\n"))
}

fn behaviors(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let all = metrics.every_behavior();
    let sums: Vec<(&str, BehaviorSum)> = all.iter().map(|behavior| (behavior.name(), behavior.sum())).collect();
    let mut requests = Vec::new();
    let mut latency = Vec::new();
    for (name, sum) in &sums {
        for outcome in Outcome::ALL {
            for (class, &count) in STATUS_CLASSES.iter().zip(&sum.requests[outcome as usize]) {
                if count > 0 {
                    let labels = [("behavior", *name), ("cache", outcome.as_str()), ("status_class", *class)];
                    requests.push(counter(labels, count));
                }
            }
            if sum.latency[outcome as usize].count() > 0 {
                let labels = [("behavior", *name), ("cache", outcome.as_str())];
                latency.push(histogram(labels, &sum.latency[outcome as usize]));
            }
        }
    }
    let mut turned_away = Vec::new();
    for (name, sum) in &sums {
        for (failure, &count) in Failure::OF_GUARDS.iter().zip(&sum.turned_away) {
            if count > 0 {
                turned_away.push(counter([("behavior", name), ("kind", failure.as_str())], count));
            }
        }
    }
    let received = sums.iter().map(|(name, sum)| counter([("behavior", name)], sum.bytes_in)).collect();
    let sent = sums.iter().map(|(name, sum)| counter([("behavior", name)], sum.bytes_out)).collect();
    let hosts = metrics.hosts.counts();
    let hosts = hosts.iter().map(|(host, count)| counter([("host", host)], *count)).collect();
    families.extend([
        counters("requests_total", "Finished requests.", requests),
        family("request_seconds", "First byte in to last byte out.", MetricType::HISTOGRAM, latency),
        counters("turned_away_total", "Requests refused by access rules and limits.", turned_away),
        counters("received_bytes_total", "Bytes read from viewers: head and body.", received),
        counters("sent_bytes_total", "Bytes written to viewers: head and body.", sent),
        counters("host_requests_total", "Finished requests by host; bounded by observe.metric_hosts.", hosts),
    ]);
}

fn origins(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let origins = metrics.origins.read().clone();
    let (mut latency, mut attempts, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for origin in &origins {
        let sum = origin.sum();
        latency.push(histogram([("origin", origin.name())], &sum.latency));
        attempts.push(counter([("origin", origin.name())], sum.attempts));
        for (failure, &count) in Failure::OF_ORIGINS.iter().zip(&sum.errors) {
            if count > 0 {
                errors.push(counter([("kind", failure.as_str()), ("origin", origin.name())], count));
            }
        }
    }
    families.extend([
        family("origin_seconds", "Until an origin's first byte.", MetricType::HISTOGRAM, latency),
        counters("origin_attempts_total", "Tries, the repeated ones included.", attempts),
        counters("origin_errors_total", "Visits that failed.", errors),
    ]);
}

fn functions(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let functions = metrics.functions.read().clone();
    let (mut calls, mut errors, mut cpu, mut wall) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for function in &functions {
        let sum = function.sum();
        for (outcome, &count) in CallOutcome::ALL.iter().zip(&sum.outcomes) {
            if count > 0 {
                calls.push(counter([("function", function.name()), ("outcome", outcome.as_str())], count));
            }
        }
        for (result, &count) in FUNCTION_ERRORS.iter().zip(&sum.errors) {
            if count > 0 {
                errors.push(counter([("function", function.name()), ("result", result)], count));
            }
        }
        cpu.push(histogram([("function", function.name())], &sum.cpu));
        wall.push(histogram([("function", function.name())], &sum.wall));
    }
    families.extend([
        counters("function_calls_total", "Finished function calls.", calls),
        counters("function_errors_total", "Calls that failed, by AWS's result type.", errors),
        family("function_cpu_seconds", "CPU time of a call.", MetricType::HISTOGRAM, cpu),
        family("function_seconds", "Time of a call, waiting included.", MetricType::HISTOGRAM, wall),
    ]);
}

fn numbers(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let now = metrics.numbers();
    let tiers = |memory, disk| [[("tier", "memory")], [("tier", "disk")]].into_iter().zip([memory, disk]);
    let gauges = |pairs: &mut dyn Iterator<Item = (Labels<'_, 1>, u64)>| pairs.map(|(l, n)| gauge(l, n)).collect();
    let up = now
        .targets
        .iter()
        .map(|target| gauge([("origin", &target.origin), ("target", &target.target)], u64::from(target.up)))
        .collect();
    let evictions = tiers(now.memory_evictions, now.disk_evictions).map(|(l, n)| counter(l, n)).collect();
    if let Some(fleet) = now.fleet {
        let connected = vec![gauge([], u64::from(fleet.connected))];
        families.extend([
            family("control_connected", "1 while the bus answers.", MetricType::GAUGE, connected),
            family("fleet_nodes", "Nodes known, this one among them.", MetricType::GAUGE, vec![gauge([], fleet.nodes)]),
            family(
                "purge_position",
                "The newest purge of the bus that counts here.",
                MetricType::GAUGE,
                vec![gauge([], fleet.purge_position)],
            ),
        ]);
    }
    families.extend([
        family("origin_target_up", "1 while a target is asked.", MetricType::GAUGE, up),
        family("connections", "Open viewer connections.", MetricType::GAUGE, vec![gauge([], now.connections)]),
        family(
            "cache_bytes",
            "Bytes a cache tier holds.",
            MetricType::GAUGE,
            gauges(&mut tiers(now.memory_bytes, now.disk_bytes)),
        ),
        family(
            "cache_objects",
            "Objects a cache tier holds.",
            MetricType::GAUGE,
            gauges(&mut tiers(now.memory_objects, now.disk_objects)),
        ),
        counters("evictions_total", "Objects put out for room.", evictions),
        family(
            "fills_in_flight",
            "Objects being fetched now.",
            MetricType::GAUGE,
            vec![gauge([], now.fills_in_flight)],
        ),
    ]);
}

fn names(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let Some(now) = metrics.numbers().names else { return };
    let each = now.pops.iter().map(|(code, count, _)| counter([("pop", code)], *count));
    let answers = each.chain([counter([("pop", "none")], now.others)]).collect();
    let up = now.pops.iter().map(|(code, _, up)| gauge([("pop", code)], u64::from(*up))).collect();
    families.extend([
        counters("dns_answers_total", "Answers about names, by the PoP they lead to.", answers),
        counters("dns_referred_total", "Answers that refer to TCP.", vec![counter([], now.referred)]),
        family("dns_pop_up", "1 while viewers are led to a PoP.", MetricType::GAUGE, up),
    ]);
}

fn tables(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let Some(now) = metrics.numbers().tables else { return };
    let outcomes = ["answered", "refused", "failed"];
    let each = now.calls.iter().flat_map(|(operation, counts)| {
        let counted = outcomes.into_iter().zip(*counts).filter(|(_, count)| *count > 0);
        counted.map(move |(outcome, count)| counter([("operation", operation), ("outcome", outcome)], count))
    });
    let calls = each.collect();
    let reads = [("items", now.items), ("queries", now.queries)].into_iter().flat_map(|(cache, counts)| {
        let results = ["hit", "miss", "bypass"].into_iter().zip(counts);
        results.map(move |(result, count)| counter([("cache", cache), ("result", result)], count))
    });
    let reads = reads.collect();
    let units = [("read", now.read_units), ("write", now.write_units)];
    let one = |count| vec![counter([], count)];
    families.extend([
        counters("dynamodb_calls_total", "Calls of tables.", calls),
        counters("dynamodb_throttled_total", "Calls and parts of batches without capacity.", one(now.throttled)),
        counters("dynamodb_denied_total", "Calls that a policy denied.", one(now.denied)),
        counters(
            "dynamodb_units_total",
            "Capacity units consumed.",
            units.map(|(k, n)| counter([("kind", k)], n)).into(),
        ),
        counters("dynamodb_expired_total", "Items deleted because their time was over.", one(now.expired)),
        counters(
            "dynamodb_replicated_total",
            "Writes of other PoPs to global tables, applied here.",
            one(now.replicated),
        ),
        counters("dynamodb_cache_reads_total", "Reads by what the caches did.", reads),
    ]);
    if now.follow_passed.is_empty() {
        return;
    }
    let lags = now.follow_lags.iter().map(|(table, lag)| gauge([("table", table)], *lag)).collect();
    let passed = now.follow_passed.iter().map(|(why, count)| counter([("stream", why)], *count)).collect();
    families.extend([
        family(
            "dynamodb_follow_lag_milliseconds",
            "How far the caches are behind a table's stream at most.",
            MetricType::GAUGE,
            lags,
        ),
        counters(
            "dynamodb_follow_bypasses_total",
            "Reads past the caches, by what kept a stream from being read in time.",
            passed,
        ),
    ]);
}

fn event_sources(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let sources = metrics.numbers().event_sources;
    if sources.is_empty() {
        return;
    }
    let (mut records, mut given_up, mut lag) = (Vec::new(), Vec::new(), Vec::new());
    for source in &sources {
        let labels = [("function", source.function.as_str()), ("mapping", source.uuid.as_str())];
        records.push(counter(labels, source.records));
        given_up.push(counter(labels, source.given_up));
        lag.push(gauge(labels, source.lag_ms));
    }
    families.extend([
        counters("event_source_records_total", "Records of a stream that a function is done with.", records),
        counters("event_source_given_up_total", "Records that were given up after their last try.", given_up),
        family(
            "event_source_lag_milliseconds",
            "Age of the newest record of a mapping's last call; 0 = none waits.",
            MetricType::GAUGE,
            lag,
        ),
    ]);
}

fn events(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let now = metrics.numbers();
    let at_the_gate = [("total", now.refused_total), ("per_address", now.refused_per_address)];
    let refused = Refusal::ALL.iter().zip(metrics.refused.get()).map(|(why, count)| (why.as_str(), count));
    let refused = at_the_gate.into_iter().chain(refused).map(|(why, count)| counter([("why", why)], count));
    let purges = ["hard", "soft"].into_iter().zip(&metrics.purges).flat_map(|(mode, counts)| {
        let scopes = PurgeScope::ALL.iter().zip(counts.get());
        scopes.map(move |(scope, count)| counter([("mode", mode), ("scope", scope.as_str())], count))
    });
    let reloads = ["refused", "accepted"]
        .into_iter()
        .zip(&metrics.reloads)
        .map(|(result, count)| counter([("result", result)], count.load(Ordering::Relaxed)));
    let tiers = ["answered", "asked"].into_iter().zip(&metrics.tiers).flat_map(|(side, counts)| {
        let results = TierResult::ALL.iter().zip(counts.get()).filter(|(_, count)| *count > 0);
        results.map(move |(result, count)| counter([("result", result.as_str()), ("side", side)], count))
    });
    let build = [("pop", metrics.pop.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    families.extend([
        counters("connections_refused_total", "Connections turned away or cut.", refused.collect()),
        counters("tier_requests_total", "Questions between nodes of the fleet.", tiers.collect()),
        counters("purges_total", "Purges applied.", purges.collect()),
        counters("config_reloads_total", "Configurations read again.", reloads.collect()),
        counters(
            "log_dropped_total",
            "Access-log lines lost to a full queue or a broken sink.",
            vec![counter([], metrics.log_dropped.load(Ordering::Relaxed))],
        ),
        counters(
            "spans_dropped_total",
            "Trace spans lost to a full queue or a collector that is gone.",
            vec![counter([], metrics.spans_dropped.load(Ordering::Relaxed))],
        ),
        family("build_info", "Always 1.", MetricType::GAUGE, vec![gauge(build, 1)]),
    ]);
}

fn counters(name: &str, help: &str, rows: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, rows)
}

fn family(name: &str, help: &str, kind: MetricType, rows: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("rimward_{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(rows);
    family
}

fn counter<const N: usize>(labels: Labels<'_, N>, value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut row = labelled(labels);
    row.set_counter(counter);
    row
}

fn gauge<const N: usize>(labels: Labels<'_, N>, value: u64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut row = labelled(labels);
    row.set_gauge(gauge);
    row
}

fn histogram<const N: usize>(labels: Labels<'_, N>, sum: &LatencySum) -> Metric {
    let mut cumulative = 0;
    let buckets = BOUNDS_NS.iter().zip(sum.buckets).map(|(&bound, count)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound as f64 / 1e9);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(sum.count());
    histogram.set_sample_sum(sum.nanos as f64 / 1e9);
    let mut row = labelled(labels);
    row.set_histogram(histogram);
    row
}

fn labelled<const N: usize>(labels: Labels<'_, N>) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}
