//! Batch: which records a function is called with, and what becomes of them.
//!
//! In: records in the order of a shard, how calls went, the time. Out: the next call, the place in the shard that is done with,
//! records given up. Never: a record skipped or called out of order, the clock, the disk.
//!
//! Lambda Developer Guide, "Polling and batching streams", "Retain discarded records", "Configuring partial batch response".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Record, order};

/// Records are kept this long by a stream, and here.
const KEPT_MS: u64 = 86_400_000;
/// After a call that failed: doubled from the first to the last with each try.
const AGAIN_MS: (u64, u64) = (100, 60_000);
/// After a call that was throttled or could not be made.
const REFUSED_MS: (u64, u64) = (1_000, 60_000);

/// What holds for the records of one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Rules {
    /// Records of a call, at most.
    pub batch: usize,
    /// How long a call waits for more of them.
    pub window_ms: u64,
    pub bisect: bool,
    /// Whether the function says which records failed.
    pub report: bool,
    /// Tries after the first; `None` = as long as the record is kept.
    pub retries: Option<u32>,
    /// How old a record may become; `None` = as old as the stream keeps it.
    pub age_ms: Option<u64>,
    /// Calls of one shard at once: 1 to 10.
    #[serde(default = "one")]
    pub parallel: usize,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lambda) enum Outcome {
    Succeeded,
    /// The first record that failed, counted from 0.
    Failed(usize),
    /// The function did not run.
    Refused,
}

/// Why records are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lambda) enum Why {
    Retries,
    Age,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lambda) enum Act<'b> {
    /// Read at most so many records, and hand them over.
    Read(usize),
    /// Call with these, then settle.
    Call(&'b [Record]),
    /// Nothing until then, in milliseconds since the epoch.
    Wait(u64),
    /// Tell of these, then drop them.
    GiveUp(&'b [Record], Why),
}

/// What mappings of an earlier version have.
fn one() -> usize {
    1
}

/// The records of one shard, or of a part of it, that were read and are not done with.
#[derive(Debug)]
pub(in crate::lambda) struct Reader {
    rules: Rules,
    /// Bytes of records in one call.
    most: usize,
    /// Up to where the shard was read.
    read: Option<String>,
    /// Up to where every record is done with.
    done: Option<String>,
    /// Not yet in a call, their bytes, and since when the first of them waits.
    waiting: VecDeque<Record>,
    bytes: usize,
    since_ms: u64,
    /// The parts of the batch under way, in order; the first one is called next.
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    records: Vec<Record>,
    /// Calls that failed, and those in a row that were not made.
    tries: u32,
    refusals: u32,
    not_before_ms: u64,
    /// How many of the first are given up.
    gone: Option<(usize, Why)>,
}

// === impl Reader ===
impl Reader {
    /// `done`: the place that is done with. `most`: bytes of records in one call.
    pub(in crate::lambda) fn new(rules: Rules, most: usize, done: Option<String>) -> Self {
        let (waiting, parts) = (VecDeque::new(), VecDeque::new());
        Reader { rules, most, read: done.clone(), done, waiting, bytes: 0, since_ms: 0, parts }
    }

    /// Takes what was read: records that fit, and the last place that was looked at. What is not after the place read before is
    /// known already.
    pub(in crate::lambda) fn take(&mut self, records: Vec<Record>, last: Option<String>, now_ms: u64) {
        if self.idle() {
            self.done.clone_from(&self.read);
        }
        if self.waiting.is_empty() {
            self.since_ms = now_ms;
        }
        for record in records {
            if self.is_after(&record.sequence) {
                self.bytes += record.text.len();
                self.waiting.push_back(record);
            }
        }
        self.read = last.filter(|last| self.is_after(last)).or(self.read.take());
    }

    fn is_after(&self, sequence: &str) -> bool {
        self.read.as_ref().is_none_or(|read| order(sequence, read).is_gt())
    }

    /// Up to where the shard was read; `None` = nothing of it.
    pub(in crate::lambda) fn read(&self) -> Option<&str> {
        self.read.as_deref()
    }

    /// Up to where everything is done with, filtered records included; `None` = nothing is.
    pub(in crate::lambda) fn done(&self) -> Option<&str> {
        let idle = self.parts.is_empty() && self.waiting.is_empty();
        if idle { self.read.as_deref() } else { self.done.as_deref() }
    }

    /// Records that are in no batch yet.
    pub(in crate::lambda) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The records that are called with next, or just now.
    pub(in crate::lambda) fn called(&self) -> &[Record] {
        self.parts.front().map_or(&[], |part| &part.records)
    }

    /// Whether nothing that was read is left to do.
    pub(in crate::lambda) fn idle(&self) -> bool {
        self.parts.is_empty() && self.waiting.is_empty()
    }

    /// What to do at `now_ms`; the same again until it is done. `ended`: no more records can be read.
    pub(in crate::lambda) fn next(&mut self, now_ms: u64, ended: bool) -> Act<'_> {
        if self.parts.is_empty() && self.ready(now_ms, ended) {
            let records = self.batch();
            self.parts.push_back(Part { records, tries: 0, refusals: 0, not_before_ms: 0, gone: None });
        }
        let most = self.rules.age_ms.unwrap_or(KEPT_MS).min(KEPT_MS);
        let Some(part) = self.parts.front_mut() else {
            return Act::Read(self.rules.batch.saturating_sub(self.waiting.len()).max(1));
        };
        if part.gone.is_none() {
            let old = part.records.iter().take_while(|one| now_ms.saturating_sub(one.arrived_ms) > most).count();
            part.gone = (old > 0).then_some((old, Why::Age));
        }
        match part.gone {
            Some((count, why)) => Act::GiveUp(part.records.get(..count).unwrap_or_default(), why),
            None if part.not_before_ms > now_ms => Act::Wait(part.not_before_ms),
            None => Act::Call(&part.records),
        }
    }

    fn ready(&self, now_ms: u64, ended: bool) -> bool {
        let full = self.waiting.len() >= self.rules.batch || self.bytes >= self.most;
        !self.waiting.is_empty() && (full || ended || now_ms >= self.since_ms.saturating_add(self.rules.window_ms))
    }

    fn batch(&mut self) -> Vec<Record> {
        let (mut records, mut sum) = (Vec::new(), 0);
        while let Some(record) = self.waiting.pop_front() {
            // A comma each.
            let size = record.text.len() + 1;
            if !records.is_empty() && (records.len() >= self.rules.batch || sum + size > self.most) {
                self.waiting.push_front(record);
                break;
            }
            sum += size;
            self.bytes -= record.text.len();
            records.push(record);
        }
        records
    }

    /// After the call that `next` named.
    pub(in crate::lambda) fn settle(&mut self, outcome: Outcome, now_ms: u64) {
        let Some(mut part) = self.parts.pop_front() else { return };
        match outcome {
            Outcome::Succeeded => self.finish(&part.records),
            Outcome::Refused => {
                part.not_before_ms = now_ms.saturating_add(backoff(REFUSED_MS, part.refusals));
                part.refusals += 1;
                self.parts.push_front(part);
            }
            Outcome::Failed(at) => {
                let failed = part.records.split_off(at.min(part.records.len().saturating_sub(1)));
                self.finish(&part.records);
                let again = Part {
                    not_before_ms: now_ms.saturating_add(backoff(AGAIN_MS, part.tries)),
                    refusals: 0,
                    records: failed,
                    ..part
                };
                self.again(again, at > 0);
            }
        }
    }

    /// What failed is tried again; `cut`: what was before it succeeded. To divide a batch takes no try.
    fn again(&mut self, mut part: Part, cut: bool) {
        if self.rules.bisect && (cut || part.records.len() > 1) {
            if !cut {
                let rest = part.records.split_off(part.records.len().div_ceil(2));
                self.parts.push_front(Part { records: rest, not_before_ms: 0, gone: None, ..part });
            }
        } else if self.rules.retries.is_some_and(|most| part.tries >= most) {
            part.gone = Some((part.records.len(), Why::Retries));
        } else {
            part.tries = part.tries.saturating_add(1);
        }
        self.parts.push_front(part);
    }

    /// After those that `next` gave up were told of.
    pub(in crate::lambda) fn gave_up(&mut self) {
        let Some(mut part) = self.parts.pop_front() else { return };
        let Some((count, _)) = part.gone.take() else { return self.parts.push_front(part) };
        let rest = part.records.split_off(count.min(part.records.len()));
        self.finish(&part.records);
        if !rest.is_empty() {
            self.parts.push_front(Part { records: rest, ..part });
        }
    }

    fn finish(&mut self, records: &[Record]) {
        if let Some(last) = records.last() {
            self.done = Some(last.sequence.clone());
        }
    }
}

fn backoff((least, most): (u64, u64), before: u32) -> u64 {
    least.saturating_mul(1 << before.min(16)).min(most)
}

/// How a call went whose function answered `payload`: with `report`, an answer names the records that failed.
pub(in crate::lambda) fn outcome(payload: &[u8], failed: bool, report: bool, records: &[Record]) -> Outcome {
    if failed {
        return Outcome::Failed(0);
    }
    if !report {
        return Outcome::Succeeded;
    }
    let listed = match serde_json::from_slice(payload) {
        Ok(Value::Null) => return Outcome::Succeeded,
        Ok(Value::Object(mut members)) => members.remove("batchItemFailures"),
        // An answer that cannot be understood says nothing of success.
        Ok(_) | Err(_) => return Outcome::Failed(0),
    };
    let listed = match listed {
        None | Some(Value::Null) => return Outcome::Succeeded,
        Some(Value::Array(listed)) => listed,
        Some(_) => return Outcome::Failed(0),
    };
    let places = listed.iter().map(|one| {
        let named = one.get("itemIdentifier")?.as_str()?;
        records.iter().position(|record| record.sequence == named)
    });
    match places.collect::<Option<Vec<_>>>().map(|places| places.into_iter().min()) {
        // A name of no record is a failure of all.
        None => Outcome::Failed(0),
        Some(None) => Outcome::Succeeded,
        Some(Some(first)) => Outcome::Failed(first),
    }
}

// === impl Why ===
impl Why {
    /// In the service's words.
    pub(in crate::lambda) fn as_str(self) -> &'static str {
        match self {
            Why::Retries => "RetryAttemptsExhausted",
            Why::Age => "RecordAgeExceeded",
        }
    }
}

#[cfg(test)]
mod tests;
