//! Capacity: the embedded engine's figures in our terms.
//!
//! In: its `ConsumedCapacity` under INDEXES. Out: [`Consumed`]. Never: a figure of our own.

use dynoxide::types::{CapacityDetail, ConsumedCapacity};

use super::super::capacity::consumed::Units;
use super::super::capacity::{Consumed, Side};

/// `side` says what units are that are not said apart.
pub fn consumed(found: impl IntoIterator<Item = ConsumedCapacity>, side: Side) -> Vec<Consumed> {
    found.into_iter().map(|one| of(one, side)).collect()
}

fn of(found: ConsumedCapacity, side: Side) -> Consumed {
    let units = |all: f64, read: Option<f64>, write: Option<f64>| match (read, write) {
        (None, None) => Units::of(side, all),
        (read, write) => Units { read: read.unwrap_or(0.0), write: write.unwrap_or(0.0) },
    };
    let part =
        |detail: &CapacityDetail| units(detail.capacity_units, detail.read_capacity_units, detail.write_capacity_units);
    let parts = |indexes: Option<std::collections::HashMap<String, CapacityDetail>>| {
        indexes.into_iter().flatten().map(|(name, detail)| (name, part(&detail))).collect()
    };
    let whole = units(found.capacity_units, found.read_capacity_units, found.write_capacity_units);
    Consumed {
        table: found.table_name,
        base: found.table.as_ref().map_or(whole, part),
        local: parts(found.local_secondary_indexes),
        global: parts(found.global_secondary_indexes),
        apart: found.read_capacity_units.is_some() || found.write_capacity_units.is_some(),
    }
}
