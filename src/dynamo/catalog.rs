//! Catalog: what tables are, as far as the front needs to know.
//!
//! In: `TableDescription`s. Out: keys, indexes and throughput of a table. Never: an item.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde_json::Value;

/// Tables that are remembered; past it all are forgotten and asked for again.
const TABLES_MAX: usize = 2500;

/// A table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub name: String,
    /// Partition key.
    pub hash: String,
    /// Sort key.
    pub range: Option<String>,
    pub throughput: Throughput,
    pub on_demand: bool,
    pub indexes: Vec<Index>,
    /// Whether changes are recorded.
    pub stream: bool,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    pub name: String,
    /// Shares partition key and capacity with its table.
    pub local: bool,
    pub hash: String,
    pub range: Option<String>,
    /// Its own, of a global one.
    pub throughput: Option<Throughput>,
    /// Holds whole items.
    pub all: bool,
}

/// Units a second: provisioned, or the most that may be used on demand. `None` = no such bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throughput {
    pub read: Option<u64>,
    pub write: Option<u64>,
}

/// Descriptions that were read.
#[derive(Debug)]
pub struct Catalog {
    tables: RwLock<HashMap<String, (Arc<Table>, Duration)>>,
    /// How long a description holds.
    kept: Duration,
    /// Moves when something is forgotten.
    generation: AtomicU64,
}

// === impl Table ===
impl Table {
    /// From `Table` or `TableDescription`; `None` when it is no description.
    pub fn read(description: &Value) -> Option<Table> {
        let name = description.get("TableName")?.as_str()?.to_owned();
        let (hash, range) = keys(description)?;
        let billing = description.pointer("/BillingModeSummary/BillingMode").and_then(Value::as_str);
        let on_demand = billing == Some("PAY_PER_REQUEST");
        let mut indexes = Vec::new();
        for (member, local) in [("GlobalSecondaryIndexes", false), ("LocalSecondaryIndexes", true)] {
            for index in description.get(member).and_then(Value::as_array).into_iter().flatten() {
                let (hash, range) = keys(index)?;
                let name = index.get("IndexName")?.as_str()?.to_owned();
                let throughput = (!local).then(|| throughput(index, on_demand));
                let all = index.pointer("/Projection/ProjectionType").and_then(Value::as_str) == Some("ALL");
                indexes.push(Index { name, local, hash, range, throughput, all });
            }
        }
        let stream = description.pointer("/StreamSpecification/StreamEnabled") == Some(&Value::Bool(true));
        Some(Table { name, hash, range, throughput: throughput(description, on_demand), on_demand, indexes, stream })
    }

    /// Of the table, or of a global index; whether it is a bound of on-demand use. `None`: an index without its own.
    pub fn throughput(&self, index: Option<&str>) -> Option<(Throughput, bool)> {
        match index {
            None => Some((self.throughput, self.on_demand)),
            Some(name) => self.index(name)?.throughput.map(|throughput| (throughput, self.on_demand)),
        }
    }

    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The partition key of the table or of an index.
    pub fn hash_of(&self, index: Option<&str>) -> Option<&str> {
        match index {
            None => Some(&self.hash),
            Some(name) => self.index(name).map(|index| index.hash.as_str()),
        }
    }
}

fn keys(described: &Value) -> Option<(String, Option<String>)> {
    let schema = described.get("KeySchema")?.as_array()?;
    let of = |kind: &str| {
        let key = schema.iter().find(|key| key.get("KeyType").and_then(Value::as_str) == Some(kind))?;
        key.get("AttributeName")?.as_str().map(str::to_owned)
    };
    Some((of("HASH")?, of("RANGE")))
}

fn throughput(described: &Value, on_demand: bool) -> Throughput {
    let (member, read, write) = match on_demand {
        true => ("OnDemandThroughput", "MaxReadRequestUnits", "MaxWriteRequestUnits"),
        false => ("ProvisionedThroughput", "ReadCapacityUnits", "WriteCapacityUnits"),
    };
    // A maximum of -1 is none.
    let units = |name: &str| described.get(member).and_then(|part| part.get(name)).and_then(Value::as_u64);
    Throughput { read: units(read), write: units(write) }
}

// === impl Catalog ===
impl Catalog {
    /// `kept`: how long a description holds that nothing here changes.
    pub fn new(kept: Duration) -> Catalog {
        Catalog { tables: RwLock::default(), kept, generation: AtomicU64::new(0) }
    }

    pub fn get(&self, name: &str, now: Duration) -> Option<Arc<Table>> {
        let tables = self.tables.read();
        let (table, made) = tables.get(name)?;
        (now.saturating_sub(*made) < self.kept).then(|| Arc::clone(table))
    }

    /// To be taken before a description is asked for.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Remembers what was asked for at `generation`, unless something was forgotten since: it may be from before that.
    pub fn put(&self, table: Table, generation: u64, now: Duration) -> Arc<Table> {
        let table = Arc::new(table);
        let mut tables = self.tables.write();
        if self.generation() == generation {
            if tables.len() >= TABLES_MAX {
                tables.clear();
            }
            tables.insert(table.name.clone(), (Arc::clone(&table), now));
        }
        table
    }

    pub fn forget(&self, name: &str) {
        let mut tables = self.tables.write();
        self.generation.fetch_add(1, Ordering::SeqCst);
        tables.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn descriptions_are_read() {
        let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
        let description = json!({
            "TableName": "t", "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [key("a", "HASH")], "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}],
            "LocalSecondaryIndexes": [{"IndexName": "l", "KeySchema": [key("pk", "HASH"), key("b", "RANGE")],
                "Projection": {"ProjectionType": "KEYS_ONLY"}}],
            "StreamSpecification": {"StreamEnabled": true}
        });
        let table = Table::read(&description).unwrap();
        let units = |read, write| Throughput { read: Some(read), write: Some(write) };
        assert_eq!((table.hash.as_str(), table.range.as_deref(), table.stream), ("pk", Some("sk"), true));
        assert_eq!(table.throughput(None), Some((units(5, 6), false)));
        assert_eq!(table.throughput(Some("g")), Some((units(1, 2), false)));
        assert_eq!((table.throughput(Some("l")), table.throughput(Some("x"))), (None, None));
        assert_eq!(
            (table.hash_of(Some("g")), table.hash_of(None), table.hash_of(Some("x"))),
            (Some("a"), Some("pk"), None)
        );
        let on_demand = json!({"TableName": "t", "KeySchema": [key("pk", "HASH")],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}, "OnDemandThroughput": {"MaxReadRequestUnits": 9, "MaxWriteRequestUnits": -1}});
        let table = Table::read(&on_demand).unwrap();
        assert_eq!(table.throughput(None), Some((Throughput { read: Some(9), write: None }, true)));
        assert_eq!(Table::read(&json!({"TableName": "t"})), None);
    }

    #[test]
    fn descriptions_hold_until_they_do_not() {
        let (catalog, at) = (Catalog::new(Duration::from_secs(60)), Duration::from_secs);
        let table = || Table { name: "t".into(), ..Table::default() };
        catalog.put(table(), catalog.generation(), at(0));
        assert!(catalog.get("t", at(59)).is_some() && catalog.get("t", at(60)).is_none());
        let before = catalog.generation();
        catalog.forget("u");
        catalog.forget("t");
        catalog.put(table(), before, at(0));
        assert_eq!(catalog.get("t", at(0)), None, "what was asked for before a change is not kept");
        for number in 0..=TABLES_MAX {
            catalog.put(Table { name: format!("t{number}"), ..Table::default() }, catalog.generation(), at(0));
        }
        assert_eq!(catalog.tables.read().len(), 1, "memory is bounded");
    }
}
