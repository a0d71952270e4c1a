//! Capacity: what requests consume, and whether there is any left.
//!
//! In: tables' throughput, demands, what was consumed, the time. Out: admitted or throttled; units a minute for scaling.
//! Never: a request's body, a clock.
//!
//! A request is admitted when every bucket it will draw from holds the least that it can cost, and is charged what it did
//! cost afterwards: a bucket may fall below nothing by one request, and then refuses until it has filled again.

mod bucket;
pub mod consumed;
pub mod scaling;
pub mod size;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

pub use bucket::{Bucket, Rate};
pub use consumed::Consumed;

use super::catalog::{Table, Throughput};

/// Tables and indexes whose buckets are kept; past it those of the table that was idle longest go, which refills them.
const BUCKETS_MAX: usize = 4096;

/// What is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Read,
    Write,
}

impl Side {
    pub fn word(self) -> &'static str {
        match self {
            Side::Read => "reads",
            Side::Write => "writes",
        }
    }
}

/// The least that a request will draw from one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    pub table: String,
    pub side: Side,
    /// Units of the table. 0 when only an index is read.
    pub units: f64,
    /// Global indexes that it draws from too, and how much at least.
    pub indexes: Vec<(String, f64)>,
}

// === impl Demand ===
impl Demand {
    /// Both together, of one table and side.
    pub fn plus(&self, other: &Demand) -> Demand {
        let mut sum = self.clone();
        sum.units += other.units;
        for (name, units) in &other.indexes {
            match sum.indexes.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known += units,
                None => sum.indexes.push((name.clone(), *units)),
            }
        }
        sum
    }
}

/// Where capacity ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    pub table: String,
    /// `None` = the table itself.
    pub index: Option<String>,
    pub side: Side,
    /// A maximum of on-demand throughput, not provisioned units.
    pub on_demand: bool,
}

/// All buckets of one front.
#[derive(Debug, Default)]
pub struct Meter {
    pools: Mutex<HashMap<Place, Pool>>,
}

/// A table or one of its global indexes, one side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    table: String,
    index: Option<String>,
    side: Side,
}

#[derive(Debug)]
struct Pool {
    bucket: Bucket,
    /// Units consumed since they were last asked for.
    consumed: f64,
}

// === impl Meter ===
impl Meter {
    /// Whether `demand` may go ahead at `now` (since any fixed time). Nothing is taken: [`Meter::charge`] does that.
    ///
    /// # Errors
    /// The first place that has not enough.
    pub fn admit(&self, table: &Table, demand: &Demand, now: Duration) -> Result<(), Exhausted> {
        let mut pools = self.pools.lock();
        let bases = (demand.units > 0.0).then_some((None, demand.units));
        let indexes = demand.indexes.iter().map(|(name, units)| (Some(name.as_str()), *units));
        for (index, units) in bases.into_iter().chain(indexes) {
            let Some((throughput, on_demand)) = table.throughput(index) else { continue };
            let rate = rate(throughput, demand.side, on_demand);
            let place = Place { table: table.name.clone(), index: index.map(str::to_owned), side: demand.side };
            let pool = pools.entry(place).or_insert_with(|| Pool::full(rate, now));
            pool.bucket.refill(rate, now);
            if !pool.bucket.holds(rate, units) {
                let (table, index) = (table.name.clone(), index.map(str::to_owned));
                return Err(Exhausted { table, index, side: demand.side, on_demand });
            }
        }
        Ok(())
    }

    /// Takes what a request consumed.
    pub fn charge(&self, table: &Table, consumed: &Consumed, now: Duration) {
        let mut pools = self.pools.lock();
        for (index, side, units) in consumed.draws() {
            let Some((throughput, on_demand)) = table.throughput(index) else { continue };
            let rate = rate(throughput, side, on_demand);
            let place = Place { table: table.name.clone(), index: index.map(str::to_owned), side };
            let pool = pools.entry(place).or_insert_with(|| Pool::full(rate, now));
            pool.bucket.refill(rate, now);
            pool.bucket.take(units);
            pool.consumed += units;
        }
        if pools.len() > BUCKETS_MAX
            && let Some(oldest) = pools.iter().min_by_key(|(_, pool)| pool.bucket.filled_at()).map(|(at, _)| at.clone())
        {
            pools.remove(&oldest);
        }
    }

    /// Units consumed of a table's side since this was last asked.
    pub fn drain(&self, table: &str, side: Side) -> f64 {
        let place = Place { table: table.to_owned(), index: None, side };
        self.pools.lock().get_mut(&place).map_or(0.0, |pool| std::mem::take(&mut pool.consumed))
    }

    /// Forgets a table that is gone: one with its name begins anew.
    pub fn forget(&self, table: &str) {
        self.pools.lock().retain(|place, _| place.table != table);
    }
}

// === impl Pool ===
impl Pool {
    fn full(rate: Rate, now: Duration) -> Pool {
        Pool { bucket: Bucket::full(rate, now), consumed: 0.0 }
    }
}

fn rate(throughput: Throughput, side: Side, on_demand: bool) -> Rate {
    let units = match side {
        Side::Read => throughput.read,
        Side::Write => throughput.write,
    };
    if on_demand { Rate::on_demand(units, side) } else { Rate::provisioned(units.unwrap_or(0)) }
}

#[cfg(test)]
mod tests;
