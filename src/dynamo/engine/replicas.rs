//! Replicas: global tables of the embedded engine: what the other PoPs are told, and what they tell.
//!
//! In: versions of items. Out: the same in the engine, its indexes and its streams; those that the others lack. Never: a version applied
//! over a later one, a version of another PoP that is told again as a write of this one.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::types::AttributeValue;
use parking_lot::{RwLock, RwLockReadGuard};
use serde_json::Value;
use tokio::sync::Notify;

use super::super::fault::{DynamoError, Fault};
use super::super::op::Op;
use super::super::request::Request;
use super::super::version::{Content, Outgoing, Stamp, Verdict, Version};
use super::ledger::{Ledger, Place, Shared};
use super::{Call, correct};
use crate::config::compiled::{DynamoKey, DynamoTable};

/// A stamp further ahead than this of the clock here: one of the two clocks is wrong, which is worth a line in the log.
const SKEW_WORTH_SAYING: Duration = Duration::from_secs(10);

/// The global tables.
pub struct Replicas {
    ledger: Ledger,
    tables: HashMap<String, Key>,
    /// Callers that write share it; the sweep need not: it ends versions, whoever made them. A version of
    /// another PoP is judged and applied while there is none.
    gate: RwLock<()>,
    /// Something is to be told.
    changed: Notify,
}

/// Ends the writing of others' versions.
struct Over<'a>(&'a Ledger);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.over() {
            log::error!("dynamodb: the ledger of global tables: {error}");
        }
    }
}

/// A table's key.
struct Key {
    parts: Vec<DynamoKey>,
    /// "pk:S,sk:N"
    schema: String,
}

// === impl Replicas ===
impl Replicas {
    /// `tables`: those that are global, which the engine has made. `path`: its file. `None` when there are none.
    ///
    /// # Errors
    /// A table that was there before has other keys; the database's.
    pub fn open(
        db: &Database,
        path: &Path,
        tables: &[&DynamoTable],
        node: &str,
    ) -> Result<Option<Replicas>, DynamoError> {
        let failed = |error: rusqlite::Error| DynamoError::Database(error.to_string());
        let mut keys = HashMap::new();
        for table in tables {
            let key = Key::of(table);
            let found = db.get_table_metadata(&table.name).map_err(|error| DynamoError::Database(error.to_string()))?;
            let there = found.and_then(|found| schema(&found.key_schema, &found.attribute_definitions));
            if there.as_ref() != Some(&key.schema) {
                let there = there.unwrap_or_default();
                let message =
                    format!("it is to be global with the key {}, and is there with the key {there}", key.schema);
                return Err(DynamoError::Table { table: table.name.clone(), message });
            }
            keys.insert(table.name.clone(), key);
        }
        let names = |key: &'_ Key| key.parts.iter().map(|part| part.name.clone()).collect();
        let shared: Vec<Shared> =
            keys.iter().map(|(name, key)| Shared { name: name.clone(), keys: names(key) }).collect();
        let ledger = Ledger::open(path, &shared, node).map_err(failed)?;
        let replicas = Replicas { ledger, tables: keys, gate: RwLock::new(()), changed: Notify::new() };
        Ok((!tables.is_empty()).then_some(replicas))
    }

    /// Whether a table is global.
    pub fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// To be held by whoever writes.
    pub fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read()
    }

    /// Something was written.
    pub fn wrote(&self) {
        self.changed.notify_one();
    }

    /// Waits for that.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Some of what the others do not know, at most `most`.
    ///
    /// # Errors
    /// The database's.
    pub fn untold(&self, most: usize) -> Result<Vec<Outgoing>, Fault> {
        let found = self.ledger.untold(most)?;
        let (mut outgoing, mut unreadable) = (Vec::with_capacity(found.len()), Vec::new());
        for one in found {
            let content = match &one.item {
                Ok(item) => serde_json::from_str(item).map(Content::Item),
                Err(key) => serde_json::from_str(key).map(Content::Gone),
            };
            match (content, self.tables.get(&one.place.table)) {
                (Ok(content), Some(key)) => {
                    let Place { table, pk, sk } = one.place;
                    let version = Version { table, schema: key.schema.clone(), stamp: one.stamp, content };
                    outgoing.push(Outgoing { version, row: [pk, sk], news: one.news });
                }
                _ => {
                    log::error!("dynamodb: an item of {} cannot be read, and is not replicated", one.place.table);
                    unreadable.push(one);
                }
            }
        }
        if !unreadable.is_empty() {
            let each = unreadable.iter().map(|one| (&one.place, &one.stamp, one.news));
            self.ledger.told(each)?;
        }
        Ok(outgoing)
    }

    /// They are on the bus.
    ///
    /// # Errors
    /// The database's.
    pub fn told(&self, each: &[Outgoing]) -> Result<(), Fault> {
        let place = |one: &Outgoing| {
            let [pk, sk] = one.row.clone();
            Place { table: one.version.table.clone(), pk, sk }
        };
        let each: Vec<(Place, &Outgoing)> = each.iter().map(|one| (place(one), one)).collect();
        Ok(self.ledger.told(each.iter().map(|(place, one)| (place, &one.version.stamp, one.news)))?)
    }

    /// Takes in what was heard up to `position`, each with its own; which were applied.
    ///
    /// # Errors
    /// The database's: some may have been applied. They may all be given again.
    pub fn apply(
        &self,
        db: &Database,
        heard: &[(u64, Version)],
        position: u64,
        now: Duration,
    ) -> Result<Vec<usize>, Fault> {
        let _alone = self.gate.write();
        // Before anybody else writes, however this ends.
        let _over = Over(&self.ledger);
        let mut applied = Vec::new();
        for (at, (seq, version)) in heard.iter().enumerate() {
            if self.apply_one(db, *seq, version)? {
                applied.push(at);
            }
        }
        self.ledger.read_to(position)?;
        let ahead = heard.iter().map(|(_, version)| version.stamp.millis()).max().unwrap_or(0);
        let ahead = Duration::from_millis(ahead).saturating_sub(now);
        if ahead > SKEW_WORTH_SAYING {
            log::warn!("dynamodb: a write of another PoP is {} s ahead of the clock here", ahead.as_secs());
        }
        Ok(applied)
    }

    fn apply_one(&self, db: &Database, seq: u64, version: &Version) -> Result<bool, Fault> {
        let Version { table, schema, stamp, content } = version;
        // It may become global here later; the bus is read from its beginning then.
        let Some(key) = self.tables.get(table) else { return Ok(false) };
        let place = key.place(table, content.attributes()).filter(|_| key.schema == *schema);
        let Some(place) = place else {
            log::error!("dynamodb: {} writes to {table} with the key {schema}; here it is {}", stamp.node, key.schema);
            return Ok(false);
        };
        let gone = match content {
            Content::Item(_) => None,
            Content::Gone(key) => Some(serde_json::to_string(key).map_err(|_| Fault::internal())?),
        };
        let write = || write(db, &place, stamp, content);
        let verdict = self.ledger.take(&place, stamp, gone.as_deref(), seq, write)?;
        if verdict == Verdict::Retell {
            self.changed.notify_one();
        }
        Ok(verdict == Verdict::Apply)
    }

    /// How far the bus was read.
    ///
    /// # Errors
    /// The database's.
    pub fn position(&self) -> Result<u64, Fault> {
        Ok(self.ledger.position()?)
    }

    /// The bus is another: everything is told to it.
    ///
    /// # Errors
    /// The database's.
    pub fn afresh(&self) -> Result<(), Fault> {
        self.ledger.afresh()?;
        self.changed.notify_one();
        Ok(())
    }
}

// === impl Key ===
impl Key {
    fn of(table: &DynamoTable) -> Key {
        let parts: Vec<DynamoKey> = std::iter::once(&table.hash).chain(&table.range).cloned().collect();
        let schema = parts.iter().map(|key| format!("{}:{}", key.name, key.kind)).collect::<Vec<_>>().join(",");
        Key { parts, schema }
    }

    /// Where the engine has the item of these attributes; `None` when they hold no such key.
    fn place(&self, table: &str, attributes: &Request) -> Option<Place> {
        let part = |key: &DynamoKey| {
            let value = attributes.get(&key.name)?;
            value.get(key.kind)?;
            serde_json::from_value::<AttributeValue>(value.clone()).ok()?.to_key_string()
        };
        let mut parts = self.parts.iter().map(part);
        let pk = parts.next()??;
        let sk = parts.next().map_or(Some(String::new()), |sk| sk)?;
        Some(Place { table: table.to_owned(), pk, sk })
    }
}

/// The same of a table that is there: its key schema and attributes, as JSON.
fn schema(keys: &str, attributes: &str) -> Option<String> {
    let (keys, attributes): (Vec<Value>, Vec<Value>) =
        (serde_json::from_str(keys).ok()?, serde_json::from_str(attributes).ok()?);
    let part = |kind: &str| -> Option<String> {
        let name = keys.iter().find(|key| key["KeyType"] == kind)?["AttributeName"].as_str()?;
        let of = attributes.iter().find(|one| one["AttributeName"] == name)?["AttributeType"].as_str()?;
        Some(format!("{name}:{of}"))
    };
    let (hash, range) = (part("HASH")?, part("RANGE"));
    Some(range.map_or_else(|| hash.clone(), |range| format!("{hash},{range}")))
}

/// Has the engine do it: its indexes and its stream follow. What it refuses stays undone: a table here has other indexes, say.
fn write(db: &Database, place: &Place, stamp: &Stamp, content: &Content) -> Result<(), Fault> {
    let (op, member) = match content {
        Content::Item(_) => (Op::PutItem, "Item"),
        Content::Gone(_) => (Op::DeleteItem, "Key"),
    };
    let request = Request::from_iter([
        ("TableName".to_owned(), Value::from(place.table.as_str())),
        (member.to_owned(), Value::Object(content.attributes().clone())),
    ]);
    match correct::call(db, Call { op, request, metered: false }) {
        Ok(_) => Ok(()),
        Err(fault) if fault.status < 500 => {
            let why = fault.message.unwrap_or(fault.kind);
            log::error!("dynamodb: a write of {} to {} is refused here: {why}", stamp.node, place.table);
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        log::error!("dynamodb: the file of the tables: {error}");
        Fault::internal()
    }
}
