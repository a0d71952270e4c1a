//! Follow: tables of another endpoint, whose streams tell what others write there.
//!
//! In: names of tables of which something cached is asked for. Out: whether that may be served, and how far it may be behind; caches that
//! forget by others' writes. Never: more tables than [`FOLLOWED_MAX`]; an answer.
//!
//! `tip` decides what may be served, `course` what of a stream is read next, `record` what a record drops; `reader` reads, by `ask`.

mod ask;
mod course;
mod reader;
mod record;
mod tip;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use course::Shard;

use super::cache::{Behind, Why};
use super::catalog::Table;
use super::front::Front;
use crate::config::compiled::{DynamoDb, DynamoEndpoint, DynamoFollow};
use reader::Reader;
use tip::{Tip, millis};

/// Tables that are followed at once; what is cached of others holds as long as its TTL.
const FOLLOWED_MAX: usize = 100;

/// All that a front follows.
#[derive(Debug)]
pub struct Follow {
    rules: DynamoFollow,
    /// After it nothing is cached of a table that nobody has asked for.
    idle: Duration,
    /// Where streams are read.
    runtime: Handle,
    stop: watch::Sender<bool>,
    tables: RwLock<HashMap<String, Arc<Followed>>>,
    /// It was said that there are too many.
    full: AtomicBool,
    /// Reads that passed the caches by, by why.
    passed: [AtomicU64; Why::ALL.len()],
}

/// One table.
#[derive(Debug)]
pub struct Followed {
    name: String,
    tip: Mutex<Tip>,
    /// When it was asked for, in milliseconds.
    asked: AtomicU64,
}

/// A reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followings {
    /// Tables that were read to their tip, with milliseconds that the caches are behind at most.
    pub lags: Vec<(String, u64)>,
    /// Reads that passed the caches by, by why.
    pub passed: Vec<(&'static str, u64)>,
}

// === impl Follow ===
impl Follow {
    /// Wants to be within a tokio runtime: streams are read there. `None`: nothing is to be followed.
    pub fn new(spec: &DynamoDb) -> Option<Follow> {
        let rules = spec.follow.filter(|_| matches!(spec.endpoint, DynamoEndpoint::Remote { .. }))?;
        let Ok(runtime) = Handle::try_current() else {
            log::warn!("dynamodb: opened outside of a runtime: streams are not followed");
            return None;
        };
        Some(Follow {
            rules,
            idle: spec.items.ttl.max(spec.queries.ttl),
            runtime,
            stop: watch::Sender::new(false),
            tables: RwLock::default(),
            full: AtomicBool::new(false),
            passed: Default::default(),
        })
    }

    /// Reads no more.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    pub fn numbers(&self, now: Duration) -> Followings {
        let tables = self.tables.read();
        let lag = |table: &Arc<Followed>| Some((table.name.clone(), millis(table.tip.lock().lag(now)?)));
        let mut lags: Vec<_> = tables.values().filter_map(lag).collect();
        lags.sort();
        let passed =
            Why::ALL.iter().zip(&self.passed).map(|(why, count)| (why.as_str(), count.load(Ordering::Relaxed)));
        Followings { lags, passed: passed.collect() }
    }

    fn may_serve(&self, front: &Arc<Front>, name: &str, now: Duration) -> Result<Option<u64>, Behind> {
        let judge = |table: &Arc<Followed>| {
            // Within the tables' lock: who lets go of a table looks at it there.
            table.asked.store(millis(now), Ordering::Relaxed);
            table.tip.lock().may_serve(now, self.rules.lag)
        };
        if let Some(table) = self.tables.read().get(name) {
            return judge(table);
        }
        let mut tables = self.tables.write();
        if let Some(table) = tables.get(name) {
            return judge(table);
        }
        if tables.len() >= FOLLOWED_MAX {
            if !self.full.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "dynamodb: {name} is not followed, as {FOLLOWED_MAX} other tables are; nor are further ones"
                );
            }
            return Ok(None);
        }
        let table =
            Arc::new(Followed { name: name.to_owned(), tip: Mutex::default(), asked: AtomicU64::new(millis(now)) });
        let reader = Reader::new(Arc::downgrade(front), Arc::clone(&table));
        self.runtime.spawn(reader.run(self.stop.subscribe()));
        tables.insert(name.to_owned(), Arc::clone(&table));
        judge(&table)
    }

    /// Lets go of a table that nobody has asked for until nothing cached of it was good any more.
    fn left(&self, table: &Arc<Followed>, now: Duration) -> bool {
        let mut tables = self.tables.write();
        let asked = Duration::from_millis(table.asked.load(Ordering::Relaxed));
        let left = now.saturating_sub(asked) > self.idle;
        if left {
            tables.remove(&table.name);
        }
        left
    }

    /// Lets go of a table that is gone.
    fn forget(&self, table: &Arc<Followed>) {
        self.tables.write().remove(&table.name);
    }
}

// === impl Front ===
impl Front {
    /// Whether what is cached of tables may be served, with the milliseconds that it may be behind, where they are followed; they are from
    /// now on.
    ///
    /// # Errors
    /// Neither what is cached may be served, nor what is read be cached.
    pub fn may_serve<'a>(
        self: &Arc<Self>,
        names: impl IntoIterator<Item = &'a str>,
        known: &[Arc<Table>],
    ) -> Result<Option<u64>, Behind> {
        let Some(follow) = &self.follow else { return Ok(None) };
        let now = (self.clock)();
        let each = names.into_iter().map(|name| match known.iter().any(|table| table.name == name) {
            true => follow.may_serve(self, name, now),
            // It is not there, or cannot be described.
            false => Err(Behind { why: Why::Failing, lag: None }),
        });
        let (mut most, mut all) = (None, true);
        for one in each {
            let lag = one.inspect_err(|behind| {
                follow.passed[behind.why as usize].fetch_add(1, Ordering::Relaxed);
            })?;
            (most, all) = (most.max(lag), all && lag.is_some());
        }
        // Of one without a stream nobody can say it.
        Ok(most.filter(|_| all))
    }
}

#[cfg(test)]
mod tests;
