//! Calls: how function calls are added up.
//!
//! In: finished calls. Out: sums by function and outcome. Never: a label that a viewer chooses.

use std::fmt;

use super::cells::{BOUNDS_NS, Counters, Latency, LatencySum};
use super::change;
use super::totals::FunctionTotals;
use crate::observe::record::{Call, CallOutcome, FUNCTION_ERRORS};

/// Counts of one function.
pub struct FunctionMetrics {
    name: String,
    outcomes: Counters<{ CallOutcome::ALL.len() }>,
    errors: Counters<{ FUNCTION_ERRORS.len() }>,
    cpu: Latency,
    wall: Latency,
}

/// Plain sums of a function.
#[derive(Debug)]
pub struct FunctionSum {
    pub outcomes: [u64; CallOutcome::ALL.len()],
    /// By AWS's name.
    pub errors: [u64; FUNCTION_ERRORS.len()],
    pub cpu: LatencySum,
    pub wall: LatencySum,
}

// === impl FunctionMetrics ===
impl FunctionMetrics {
    pub(super) fn new(name: &str) -> Self {
        FunctionMetrics {
            name: name.to_owned(),
            outcomes: Counters::default(),
            errors: Counters::default(),
            cpu: Latency::default(),
            wall: Latency::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn finish(&self, call: &Call) {
        self.outcomes.add(call.outcome as usize);
        if let Some(at) = call.result.and_then(|result| FUNCTION_ERRORS.iter().position(|error| *error == result)) {
            self.errors.add(at);
        }
        self.cpu.add(call.cpu_ns);
        self.wall.add(call.wall_ns);
    }

    pub(super) fn sum(&self) -> FunctionSum {
        let (mut cpu, mut wall) = (LatencySum::default(), LatencySum::default());
        self.cpu.add_to(&mut cpu);
        self.wall.add_to(&mut wall);
        FunctionSum { outcomes: self.outcomes.get(), errors: self.errors.get(), cpu, wall }
    }
}

impl FunctionMetrics {
    pub(super) fn totals(&self) -> FunctionTotals {
        let sum = self.sum();
        let millis = |share| {
            let bounds = BOUNDS_NS.map(|nanos| nanos as f64 / 1e9);
            change::quantile(&sum.cpu.buckets, &bounds, share).map(|quantile| quantile.seconds() * 1000.0)
        };
        let outcomes =
            CallOutcome::ALL.iter().map(|&outcome| (outcome.as_str().to_owned(), sum.outcomes[outcome as usize]));
        FunctionTotals {
            name: self.name.clone(),
            calls: sum.outcomes.iter().sum(),
            outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
            cpu_ms: sum.cpu.nanos as f64 / 1e6,
            cpu_p50_ms: millis(0.5),
            cpu_p99_ms: millis(0.99),
            wall_ms: sum.wall.nanos as f64 / 1e6,
        }
    }
}

impl fmt::Debug for FunctionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FunctionMetrics").field(&self.name).finish()
    }
}
