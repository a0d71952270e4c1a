//! Lanes: the records of one shard, several calls at once: the changes of one item stay in their order, other items do not wait for it.
//!
//! In: records in the order of a shard, how calls went, the time. Out: which call or reading is next; the place up to which everything is
//! done with. Never: two calls with one item at once, more records than fit as many batches as there are lanes, and a page.
//!
//! Lambda Developer Guide, "Polling and batching streams": "ParallelizationFactor". Every lane is a reader of its own and fails,
//! waits and gives up alone. What is done with is the least of what is done with in each.

use super::batch::{Act, Outcome, Reader, Rules, Why};
use super::record::{Record, order};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lambda) enum Next<'l> {
    /// Read at most so many records, and hand them over.
    Read(usize),
    /// Call with these, which are of a lane: `begin`, then `settle`.
    Call(usize, &'l [Record]),
    /// Nothing until then, in milliseconds since the epoch, or until a call is over.
    Wait(u64),
    /// Nothing until a call is over.
    Busy,
    /// Tell of these, then `gave_up`.
    GiveUp(usize, &'l [Record], Why),
    /// The shard is read to its end, and done with.
    End,
}

#[derive(Debug)]
pub(in crate::lambda) struct Lanes {
    /// Records that may wait, of all lanes.
    room: usize,
    lanes: Vec<Lane>,
    /// Whose turn it is: a lane that always has something to do does not keep the others from it.
    turn: usize,
}

#[derive(Debug)]
struct Lane {
    reader: Reader,
    /// A call with its records is under way.
    busy: bool,
}

/// What a lane wants.
enum Wish {
    Read(usize),
    Wait(u64),
    Act,
}

// === impl Lanes ===
impl Lanes {
    /// `done`: the place that is done with. `most`: bytes of records in one call.
    pub(in crate::lambda) fn new(rules: Rules, most: usize, done: Option<&str>) -> Self {
        let lane = || Lane { reader: Reader::new(rules, most, done.map(str::to_owned)), busy: false };
        let count = rules.parallel.max(1);
        Lanes { room: rules.batch.saturating_mul(count), lanes: (0..count).map(|_| lane()).collect(), turn: 0 }
    }

    /// Takes what was read: records that fit, and the last place that was looked at.
    pub(in crate::lambda) fn take(&mut self, records: Vec<Record>, last: Option<&str>, now_ms: u64) {
        let count = self.lanes.len() as u64;
        let mut each: Vec<Vec<Record>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for record in records {
            let at = usize::try_from(record.item % count).unwrap_or_default();
            if let Some(lane) = each.get_mut(at) {
                lane.push(record);
            }
        }
        for (lane, records) in self.lanes.iter_mut().zip(each) {
            lane.reader.take(records, last.map(str::to_owned), now_ms);
        }
    }

    /// Up to where the shard was read; `None` = nothing of it.
    pub(in crate::lambda) fn read(&self) -> Option<&str> {
        self.lanes.first().and_then(|lane| lane.reader.read())
    }

    /// Up to where everything is done with, filtered records included; `None` = nothing is.
    pub(in crate::lambda) fn done(&self) -> Option<&str> {
        let each = self.lanes.iter().map(|lane| lane.reader.done());
        // Nothing is before every place.
        let least = each.min_by(|one, other| match (one, other) {
            (Some(one), Some(other)) => order(one, other),
            _ => one.is_some().cmp(&other.is_some()),
        });
        least.flatten()
    }

    /// Whether nothing that was read is left to do.
    pub(in crate::lambda) fn idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.reader.idle())
    }

    /// What to do at `now_ms`; the same again until it is done. `ended`: no more records can be read.
    pub(in crate::lambda) fn next(&mut self, now_ms: u64, ended: bool) -> Next<'_> {
        let count = self.lanes.len();
        let (mut read, mut wait, mut found) = (None::<usize>, None::<u64>, None);
        for at in (0..count).map(|n| (self.turn + n) % count) {
            let Some(lane) = self.lanes.get_mut(at).filter(|lane| !lane.busy) else { continue };
            let wish = match lane.reader.next(now_ms, ended) {
                Act::Read(limit) => Wish::Read(limit),
                Act::Wait(until) => Wish::Wait(until),
                Act::Call(_) | Act::GiveUp(..) => Wish::Act,
            };
            match wish {
                Wish::Read(limit) => read = read.max(Some(limit)),
                Wish::Wait(until) => wait = Some(wait.map_or(until, |before| before.min(until))),
                Wish::Act => {
                    found = Some(at);
                    break;
                }
            }
        }
        let busy = self.lanes.iter().any(|lane| lane.busy);
        let waiting: usize = self.lanes.iter().map(|lane| lane.reader.waiting()).sum();
        if let Some(at) = found {
            return match self.lanes.get_mut(at).map(|lane| lane.reader.next(now_ms, ended)) {
                Some(Act::Call(records)) => Next::Call(at, records),
                Some(Act::GiveUp(records, why)) => Next::GiveUp(at, records, why),
                Some(Act::Read(_) | Act::Wait(_)) | None => Next::Wait(now_ms),
            };
        }
        match (read, wait) {
            (Some(limit), _) if !ended && waiting < self.room => Next::Read(limit),
            (_, Some(until)) => Next::Wait(until),
            (Some(_), None) if ended && !busy => Next::End,
            // A record waits for its batch's window.
            (Some(_), None) if !busy => Next::Read(1),
            (Some(_), None) | (None, None) => Next::Busy,
        }
    }

    /// The call that `next` named begins.
    pub(in crate::lambda) fn begin(&mut self, at: usize) {
        self.turn = at + 1;
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.busy = true;
        }
    }

    /// The records of a lane's call that is under way.
    pub(in crate::lambda) fn called(&self, at: usize) -> &[Record] {
        self.lanes.get(at).map_or(&[], |lane| lane.reader.called())
    }

    /// After a call.
    pub(in crate::lambda) fn settle(&mut self, at: usize, outcome: Outcome, now_ms: u64) {
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.busy = false;
            lane.reader.settle(outcome, now_ms);
        }
    }

    /// After those that `next` gave up were told of.
    pub(in crate::lambda) fn gave_up(&mut self, at: usize) {
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.reader.gave_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    const NOW: u64 = 1_000_000_000;

    fn rules(parallel: usize) -> Rules {
        Rules { batch: 3, window_ms: 0, bisect: false, report: false, retries: None, age_ms: None, parallel }
    }

    fn record(n: usize, item: u64) -> Record {
        Record { sequence: (100 + n).to_string(), arrived_ms: NOW, text: "12345".to_owned(), item }
    }

    fn numbers(records: &[Record]) -> Vec<usize> {
        records.iter().map(|record| record.sequence.parse::<usize>().unwrap() - 100).collect()
    }

    #[test]
    fn one_that_fails_does_not_hold_up_the_others() {
        let mut lanes = Lanes::new(rules(2), 1 << 20, None);
        lanes.take((0..4).map(|n| record(n, n as u64 % 2)).collect(), Some("103"), NOW);
        let Next::Call(0, records) = lanes.next(NOW, false) else { panic!() };
        assert_eq!(numbers(records), [0, 2]);
        lanes.begin(0);
        let Next::Call(1, records) = lanes.next(NOW, false) else { panic!() };
        assert_eq!(numbers(records), [1, 3]);
        lanes.begin(1);
        assert_eq!(lanes.next(NOW, false), Next::Busy);
        lanes.settle(0, Outcome::Failed(0), NOW);
        lanes.settle(1, Outcome::Succeeded, NOW);
        assert_eq!((lanes.done(), lanes.idle()), (None, false), "the first of all is not done with");
        assert_eq!(lanes.next(NOW, false), Next::Read(3), "there is room");
        lanes.take(vec![record(4, 1)], Some("104"), NOW);
        let Next::Call(1, records) = lanes.next(NOW, false) else { panic!() };
        assert_eq!(numbers(records), [4]);
        lanes.begin(1);
        lanes.settle(1, Outcome::Succeeded, NOW);
        let Next::Call(0, records) = lanes.next(NOW + 100, false) else { panic!() };
        assert_eq!(numbers(records), [0, 2]);
        lanes.begin(0);
        lanes.settle(0, Outcome::Succeeded, NOW);
        assert_eq!((lanes.done(), lanes.idle()), (Some("104"), true));
        assert_eq!(lanes.next(NOW, false), Next::Read(3));
        assert_eq!(lanes.next(NOW, true), Next::End);
    }

    /// Many courses: each item's records in their order, none skipped, and after a process that is killed none is called with again that was
    /// done with by the place that it kept.
    #[test]
    fn items_keep_their_order_and_no_place_is_ahead() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (parallel, items, total) = (rng.random_range(1..5), rng.random_range(1..8), 60);
            let all: Vec<Record> = (0..total).map(|n| record(n, rng.random_range(0..items))).collect();
            let (mut now, mut kept, mut succeeded) = (NOW, None::<String>, vec![false; total]);
            let (mut lanes, mut calls) = (Lanes::new(rules(parallel), 1 << 20, None), Vec::<usize>::new());
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 10_000, "seed {seed}: it goes on for ever");
                if rng.random_ratio(1, 40) {
                    // Killed: what is under way may be called with again, nothing else is lost.
                    (lanes, calls) = (Lanes::new(rules(parallel), 1 << 20, kept.as_deref()), Vec::new());
                }
                let from = |lanes: &Lanes| lanes.read().map_or(0, |read| read.parse::<usize>().unwrap() - 99);
                let ended = from(&lanes) == total;
                match lanes.next(now, ended) {
                    Next::End => break,
                    Next::Read(limit) => {
                        let at = from(&lanes);
                        let page = &all[at..total.min(at + limit)];
                        let last = page.last().map(|record| record.sequence.clone());
                        lanes.take(page.to_vec(), last.as_deref(), now);
                    }
                    Next::Call(at, records) => {
                        for record in records {
                            let n = record.sequence.parse::<usize>().unwrap() - 100;
                            let before = all[..n].iter().filter(|other| other.item == record.item);
                            let ready = before.map(numbers_of).all(|n| succeeded[n] || numbers(records).contains(&n));
                            assert!(ready, "seed {seed}: {n} is called with before another of its item");
                        }
                        lanes.begin(at);
                        calls.push(at);
                    }
                    Next::GiveUp(at, ..) => lanes.gave_up(at),
                    Next::Wait(until) if calls.is_empty() => now = now.max(until),
                    Next::Wait(_) | Next::Busy => {
                        let at = calls.swap_remove(rng.random_range(0..calls.len()));
                        let called = numbers(lanes.called(at));
                        let outcome = match rng.random_range(0..4) {
                            0 => Outcome::Failed(rng.random_range(0..called.len())),
                            1 => Outcome::Refused,
                            _ => Outcome::Succeeded,
                        };
                        let good = match outcome {
                            Outcome::Succeeded => called.len(),
                            Outcome::Failed(first) => first,
                            Outcome::Refused => 0,
                        };
                        called.iter().take(good).for_each(|n| succeeded[*n] = true);
                        lanes.settle(at, outcome, now);
                    }
                }
                let done = lanes.done().map_or(0, |done| done.parse::<usize>().unwrap() - 99);
                assert!(succeeded[..done].iter().all(|one| *one), "seed {seed}: {done} is kept and not done with");
                let before = kept.as_ref().map_or(0, |kept| kept.parse::<usize>().unwrap() - 99);
                assert!(done >= before, "seed {seed}: from {before} back to {done}");
                kept = lanes.done().map(str::to_owned);
            }
            assert!(succeeded.iter().all(|one| *one), "seed {seed}");
        }
    }

    fn numbers_of(record: &Record) -> usize {
        record.sequence.parse::<usize>().unwrap() - 100
    }
}
