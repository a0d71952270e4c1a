//! Consumed: the units that one request drew from one table.
//!
//! In: units by table and index. Out: `ConsumedCapacity` as asked for, and what to charge. Never: a bucket.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Side;

/// Units of one table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Consumed {
    pub table: String,
    /// Read and write units of the table itself.
    pub base: Units,
    pub local: BTreeMap<String, Units>,
    pub global: BTreeMap<String, Units>,
    /// Transactions say read and write units apart.
    pub apart: bool,
}

/// Read and write units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Units {
    pub read: f64,
    pub write: f64,
}

/// `ReturnConsumedCapacity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    None,
    Total,
    Indexes,
}

// === impl Units ===
impl Units {
    pub fn of(side: Side, units: f64) -> Units {
        match side {
            Side::Read => Units { read: units, write: 0.0 },
            Side::Write => Units { read: 0.0, write: units },
        }
    }

    fn total(self) -> f64 {
        self.read + self.write
    }

    fn write_to(self, members: &mut Map<String, Value>, apart: bool) {
        members.insert("CapacityUnits".to_owned(), json!(self.total()));
        for (name, units) in [("ReadCapacityUnits", self.read), ("WriteCapacityUnits", self.write)] {
            if apart && units > 0.0 {
                members.insert(name.to_owned(), json!(units));
            }
        }
    }

    fn plus(self, other: Units) -> Units {
        Units { read: self.read + other.read, write: self.write + other.write }
    }
}

// === impl Mode ===
impl Mode {
    /// `None` for a word that is no mode.
    pub fn read(text: &str) -> Option<Mode> {
        Some(match text {
            "NONE" => Mode::None,
            "TOTAL" => Mode::Total,
            "INDEXES" => Mode::Indexes,
            _ => return None,
        })
    }
}

// === impl Consumed ===
impl Consumed {
    pub fn of(table: &str, side: Side, units: f64) -> Consumed {
        Consumed { table: table.to_owned(), base: Units::of(side, units), ..Consumed::default() }
    }

    /// What buckets are charged: the table with its local indexes, whose capacity is the table's, and each global index.
    pub fn draws(&self) -> impl Iterator<Item = (Option<&str>, Side, f64)> {
        let table = self.local.values().fold(self.base, |sum, units| sum.plus(*units));
        let all =
            std::iter::once((None, table)).chain(self.global.iter().map(|(name, units)| (Some(name.as_str()), *units)));
        all.flat_map(|(index, units)| [(index, Side::Read, units.read), (index, Side::Write, units.write)])
            .filter(|(.., units)| *units > 0.0)
    }

    /// All units, read and write.
    pub fn total(&self) -> Units {
        self.local.values().chain(self.global.values()).fold(self.base, |sum, units| sum.plus(*units))
    }

    /// `ConsumedCapacity` of this table.
    pub fn shown(&self, mode: Mode) -> Option<Value> {
        if mode == Mode::None {
            return None;
        }
        let mut members = Map::new();
        members.insert("TableName".to_owned(), json!(self.table));
        self.total().write_to(&mut members, self.apart);
        if mode == Mode::Indexes {
            members.insert("Table".to_owned(), self.part(self.base));
            for (name, indexes) in [("LocalSecondaryIndexes", &self.local), ("GlobalSecondaryIndexes", &self.global)] {
                if !indexes.is_empty() {
                    let each = indexes.iter().map(|(index, units)| (index.clone(), self.part(*units)));
                    members.insert(name.to_owned(), Value::Object(each.collect()));
                }
            }
        }
        Some(Value::Object(members))
    }

    fn part(&self, units: Units) -> Value {
        let mut members = Map::new();
        units.write_to(&mut members, self.apart);
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_asked() {
        let one = |write| Units { read: 0.0, write };
        let mut consumed = Consumed::of("t", Side::Write, 2.0);
        consumed.global.insert("g".into(), one(3.0));
        consumed.local.insert("l".into(), one(1.0));
        assert_eq!(consumed.shown(Mode::None), None);
        assert_eq!(consumed.shown(Mode::Total), Some(json!({"TableName": "t", "CapacityUnits": 6.0})));
        assert_eq!(
            consumed.shown(Mode::Indexes),
            Some(json!({"TableName": "t", "CapacityUnits": 6.0, "Table": {"CapacityUnits": 2.0},
                "LocalSecondaryIndexes": {"l": {"CapacityUnits": 1.0}},
                "GlobalSecondaryIndexes": {"g": {"CapacityUnits": 3.0}}}))
        );
        assert_eq!(consumed.draws().collect::<Vec<_>>(), [(None, Side::Write, 3.0), (Some("g"), Side::Write, 3.0)]);
        consumed.apart = true;
        assert_eq!(
            consumed.shown(Mode::Total),
            Some(json!({"TableName": "t", "CapacityUnits": 6.0, "WriteCapacityUnits": 6.0}))
        );
    }
}
