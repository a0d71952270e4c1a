//! Shard: one shard, read to its end: records become calls, places are kept when their records are done with.
//!
//! In: a place in a shard. Out: calls, places, words of what was given up. Never: what to do next (`lanes` and `batch` decide).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::batch::{self, Outcome, Why};
use super::lanes::{Lanes, Next};
use super::poll::{Poller, Start, TROUBLE};
use super::record::{self, Record};
use super::word::{Last, word};
use super::{Mapping, Place};
use crate::dynamo::Fault;
use crate::lambda::name::Owner;
use crate::lambda::queue::{self, Event};
use crate::lambda::run::{Answer, Reply};
use crate::lambda::schedule::Work;
use crate::lambda::{Inner, api, now_ms};

/// Between two looks at a shard where nothing was new ("a base rate of four times per second").
const LOOK: Duration = Duration::from_millis(250);
/// Records of one page (DynamoDB API reference, "GetRecords").
const PAGE: usize = 1000;
/// How far the clock of who writes may differ from ours.
const SKEW_MS: u64 = 5_000;
/// Bytes around an event's records.
const AROUND: usize = 16;

/// What became of a call.
enum Called {
    Answered {
        reply: Reply,
        request_id: String,
        version: String,
    },
    /// It could not be made: the service's words.
    Refused(&'static str),
    /// No more calls are made.
    Closing,
}

/// How to go on.
enum Step {
    On,
    /// After that, or when a call is over.
    Pause(Duration),
    /// When a call is over.
    Busy,
    End,
}

/// One shard on its way.
struct Way<'s> {
    stream: &'s str,
    shard: &'s str,
    lanes: Lanes,
    /// Under way, by lane.
    calls: JoinSet<(usize, Called)>,
    /// No more calls are made.
    closing: bool,
    iterator: Option<String>,
    since_ms: u64,
    /// The place read last is not there any more.
    trimmed: bool,
    ended: bool,
    /// The place on disk.
    kept: Option<String>,
    /// By lane.
    last: HashMap<usize, Last>,
}

// === impl Poller ===
impl Poller {
    /// Reads `shard` until its end, or until everything stops.
    pub(super) async fn follow(&self, stream: &str, shard: &str, start: Start, place: Option<Place>) {
        let Some(inner) = self.inner.upgrade() else { return };
        let most = inner.spec.load().limits.payload.saturating_sub(AROUND);
        drop(inner);
        let done = match place {
            Some(Place::End) => return,
            Some(Place::After(place)) => Some(place),
            None => None,
        };
        let since_ms = if done.is_some() { 0 } else { start.since_ms };
        let lanes = Lanes::new(self.mapping.rules, most, done.as_deref());
        let mut way = Way {
            stream,
            shard,
            lanes,
            calls: JoinSet::new(),
            closing: false,
            iterator: start.iterator,
            since_ms,
            trimmed: false,
            ended: false,
            kept: done,
            last: HashMap::new(),
        };
        while !self.stopped() && !way.closing {
            let over = match self.step(&mut way).await {
                Step::On => way.calls.try_join_next(),
                Step::Busy => way.calls.join_next().await,
                Step::Pause(span) => tokio::select! {
                    _ = self.pause(span) => None,
                    Some(over) = way.calls.join_next() => Some(over),
                },
                Step::End => return,
            };
            match over {
                Some(Ok((lane, called))) => self.over(&mut way, lane, called).await,
                // Whoever began this begins it again, from the place that was kept.
                Some(Err(error)) => return log::error!(target: "lambda", "a call with records was lost: {error}"),
                None => {}
            }
        }
        while let Some(Ok((lane, called))) = way.calls.join_next().await {
            self.over(&mut way, lane, called).await;
        }
    }

    async fn step(&self, way: &mut Way<'_>) -> Step {
        let now = now_ms();
        let ended = way.ended;
        match way.lanes.next(now, ended) {
            Next::End => {
                self.save(|progress| drop(progress.shards.insert(way.shard.to_owned(), Place::End))).await;
                Step::End
            }
            Next::Read(limit) => match self.read(way, limit.min(PAGE)).await {
                Ok(step) => step,
                Err(fault) => {
                    let known = way.iterator.take().is_some();
                    match fault.name() {
                        "ExpiredIteratorException" if known => return Step::On,
                        "TrimmedDataAccessException" if !way.trimmed => {
                            log::warn!(target: "lambda", "{}: records of {} were trimmed before they were read", self.mapping.function, way.stream);
                            way.trimmed = true;
                            return Step::On;
                        }
                        _ => {}
                    }
                    self.problem(&fault);
                    // Its stream may be another one now: whoever began this looks again.
                    let gone = fault.name() == "ResourceNotFoundException";
                    if gone && way.lanes.idle() && !self.pause(TROUBLE).await {
                        Step::End
                    } else {
                        Step::Pause(TROUBLE)
                    }
                }
            },
            Next::Wait(until) => Step::Pause(Duration::from_millis(until.saturating_sub(now))),
            Next::Busy => Step::Busy,
            Next::Call(lane, records) => {
                let newest = records.last().map_or(now, |record| record.arrived_ms);
                self.status.lock().lag = Duration::from_millis(now.saturating_sub(newest));
                let payload = Bytes::from(record::payload(records));
                let Some(inner) = self.inner.upgrade() else { return Step::End };
                let mapping = Arc::clone(&self.mapping);
                way.lanes.begin(lane);
                way.calls.spawn(async move { (lane, inner.call(&mapping, payload).await) });
                Step::On
            }
            Next::GiveUp(lane, records, why) => {
                let count = records.len() as u64;
                let told = self.tell(way.stream, way.shard, records, why, way.last.get(&lane), now).await;
                if !told {
                    return Step::Pause(TROUBLE);
                }
                log::warn!(target: "lambda", "{}: {count} records of {} are given up: {}", self.mapping.function, way.stream, why.as_str());
                {
                    let mut seen = self.status.lock();
                    seen.records += count;
                    seen.given_up += count;
                }
                way.last.remove(&lane);
                way.lanes.gave_up(lane);
                self.keep(way).await;
                Step::On
            }
        }
    }

    /// What came of a lane's call.
    async fn over(&self, way: &mut Way<'_>, lane: usize, called: Called) {
        let records = way.lanes.called(lane);
        let count = records.len() as u64;
        let outcome = match called {
            Called::Closing => {
                way.closing = true;
                return;
            }
            Called::Refused(words) => {
                self.said(format!("PROBLEM: {words}"));
                Outcome::Refused
            }
            Called::Answered { reply, request_id, version } => {
                let outcome = batch::outcome(&reply.payload, reply.failed, self.mapping.rules.report, records);
                if outcome == Outcome::Succeeded {
                    way.last.remove(&lane);
                    self.status.lock().records += count;
                    self.said("OK".to_owned());
                } else {
                    let calls = way.last.get(&lane).map_or(0, |last| last.calls) + 1;
                    way.last.insert(lane, Last { request_id, version, calls });
                    self.said("PROBLEM: Function call failed".to_owned());
                }
                if let Outcome::Failed(first) = outcome {
                    self.status.lock().records += first as u64;
                }
                outcome
            }
        };
        way.lanes.settle(lane, outcome, now_ms());
        self.keep(way).await;
    }

    /// Reads one page.
    async fn read(&self, way: &mut Way<'_>, limit: usize) -> Result<Step, Fault> {
        let iterator = match way.iterator.take() {
            Some(iterator) => iterator,
            None => match way.lanes.read().filter(|_| !way.trimmed) {
                Some(at) => self.iterator(way.stream, way.shard, "AFTER_SEQUENCE_NUMBER", Some(at)).await?,
                None => self.iterator(way.stream, way.shard, "TRIM_HORIZON", None).await?,
            },
        };
        way.iterator = Some(iterator.clone());
        let mut page = self.ask("GetRecords", json!({ "ShardIterator": iterator, "Limit": limit })).await?;
        let listed = match page.get_mut("Records").map(Value::take) {
            Some(Value::Array(listed)) => listed,
            _ => Vec::new(),
        };
        way.iterator = page.get("NextShardIterator").and_then(Value::as_str).map(str::to_owned);
        way.ended = way.iterator.is_none();
        way.trimmed = false;
        let (empty, mut last, mut wanted) = (listed.is_empty(), None, Vec::new());
        for event in listed.into_iter().filter_map(|one| record::event(one, way.stream)) {
            let Some(record) = Record::read(&event) else { continue };
            last = Some(record.sequence.clone());
            let before = record.arrived_ms.saturating_add(SKEW_MS) < way.since_ms;
            if !before && self.mapping.wants(&event) {
                wanted.push(record);
            }
        }
        way.lanes.take(wanted, last.as_deref(), now_ms());
        if way.lanes.idle() {
            self.status.lock().lag = Duration::ZERO;
            self.keep(way).await;
        }
        Ok(if empty && !way.ended { Step::Pause(LOOK) } else { Step::On })
    }

    /// Keeps the place that is done with, if it is another one.
    async fn keep(&self, way: &mut Way<'_>) {
        let Some(done) = way.lanes.done().filter(|done| way.kept.as_deref() != Some(done)).map(str::to_owned) else {
            return;
        };
        let place = Place::After(done.clone());
        self.save(|progress| drop(progress.shards.insert(way.shard.to_owned(), place))).await;
        way.kept = Some(done);
    }

    /// Tells whoever is to be told, durably. `false`: it could not be kept.
    async fn tell(
        &self,
        stream: &str,
        shard: &str,
        records: &[Record],
        why: Why,
        last: Option<&Last>,
        now_ms: u64,
    ) -> bool {
        let (Some(to), Some(inner)) = (&self.mapping.on_failure, self.inner.upgrade()) else { return true };
        let spec = inner.spec.load_full();
        let owner = Owner { region: &spec.region, account: &spec.account };
        let arn = owner.arn(&self.mapping.function, self.mapping.qualifier.as_deref());
        let word = word(records, why, last, (&arn, stream, shard), now_ms);
        let about = Event {
            request_id: String::new(),
            function: self.mapping.function.clone(),
            qualifier: self.mapping.qualifier.clone(),
            trace: api::trace(),
            client_context: None,
            accepted_ms: now_ms,
            next_ms: now_ms,
            failures: 0,
            refusals: 0,
            hops: 0,
            deliver: None,
            payload: Bytes::new(),
        };
        let Some(event) = queue::told(&about, to, Bytes::from(word.to_string()), Vec::new(), &owner) else {
            return true;
        };
        let put = inner.queue.put(event, (spec.limits.queue, spec.limits.queue_size)).await;
        if put.is_err() {
            log::error!(target: "lambda", "{}: {to} cannot be told of records that are given up", self.mapping.function);
        }
        put.is_ok()
    }
}

// === impl Inner: calls with records ===
impl Inner {
    async fn call(&self, mapping: &Mapping, payload: Bytes) -> Called {
        let spec = self.spec.load_full();
        let owner = Owner { region: &spec.region, account: &spec.account };
        let dice = rand::random::<f64>();
        let Ok(resolved) = self.registry.resolve(&mapping.function, mapping.qualifier.as_deref(), &owner, dice) else {
            return Called::Refused("Function not found");
        };
        let Ok(seat) = self.seats.take(&resolved.version.name) else { return Called::Refused("Rate Exceeded") };
        let (request_id, version) = (api::uuid(), resolved.version.version.clone());
        let work = Work {
            request_id: request_id.clone(),
            payload,
            arn: resolved.arn,
            trace: api::trace(),
            client_context: None,
            streams: false,
        };
        match self.schedule.run(resolved.version, work, seat).await {
            Some(Answer::Whole(reply)) => Called::Answered { reply, request_id, version },
            Some(Answer::Throttled) => Called::Refused("Rate Exceeded"),
            None if self.schedule.closing() => Called::Closing,
            // Only callers that ask for it get streams.
            Some(Answer::Stream { .. }) | None => Called::Refused("Function could not be run"),
        }
    }
}
