//! Schema: what a table is, as far as plain calls need to know, with the SQL for them.
//!
//! In: the engine's metadata. Out: a [`Schema`]. Never: an item.

use dynoxide::storage::TableMetadata;
use dynoxide::types::AttributeValue;
use serde_json::Value;

use crate::dynamo::engine::ledger::quoted;
use crate::dynamo::engine::streams::ALL;
use crate::dynamo::request::Request;

/// Bytes of a partition key and of a sort key (developer guide, "Quotas").
const HASH_MAX: usize = 2048;
const RANGE_MAX: usize = 1024;
/// Bytes of a number as it is written; those that say more are the engine's.
const NUMBER_MAX: usize = 64;

/// A table.
#[derive(Debug)]
pub struct Schema {
    pub name: String,
    pub hash: Key,
    pub range: Option<Key>,
    /// No index follows its items.
    pub plain: bool,
    /// Changes are recorded.
    pub stream: bool,
    /// When this was so.
    pub generation: u64,
    /// SQL; of one that selects many, its beginning.
    pub get: String,
    pub find: String,
    pub old: String,
    pub put: String,
    pub replace: String,
    pub delete: String,
}

/// A key attribute.
#[derive(Debug, PartialEq)]
pub struct Key {
    pub name: String,
    /// "S" or "N"; keys of bytes are the engine's.
    pub kind: &'static str,
    most: usize,
}

// === impl Schema ===
impl Schema {
    /// `None` for a table that is the engine's alone.
    pub fn read(table: &TableMetadata, generation: u64) -> Option<Schema> {
        let none = |definitions: &Option<String>| match definitions {
            None => Some(true),
            Some(text) => Some(serde_json::from_str::<Vec<Value>>(text).ok()?.is_empty()),
        };
        if !none(&table.vector_index_definitions)? {
            return None;
        }
        // The view is taken when records are read; one that was recorded otherwise is older than that.
        let odd = table.stream_enabled && table.stream_view_type.as_deref() != Some(ALL);
        let plain = none(&table.gsi_definitions)? && none(&table.lsi_definitions)? && !odd;
        let keys: Vec<Value> = serde_json::from_str(&table.key_schema).ok()?;
        let attributes: Vec<Value> = serde_json::from_str(&table.attribute_definitions).ok()?;
        let key = |role: &str, most: usize| -> Option<Option<Key>> {
            let Some(key) = keys.iter().find(|key| key["KeyType"] == role) else { return Some(None) };
            let name = key["AttributeName"].as_str()?;
            let of = attributes.iter().find(|one| one["AttributeName"] == name)?["AttributeType"].as_str()?;
            let kind = ["S", "N"].into_iter().find(|kind| *kind == of)?;
            Some(Some(Key { name: name.to_owned(), kind, most }))
        };
        let at = quoted(&table.table_name);
        let put = "(pk, sk, item_json, item_size, cached_at, hash_prefix) VALUES (?1, ?2, ?3, ?4,";
        Some(Schema {
            hash: key("HASH", HASH_MAX)??,
            range: key("RANGE", RANGE_MAX)?,
            plain,
            stream: table.stream_enabled,
            generation,
            get: format!("SELECT item_json, item_size FROM {at} WHERE pk = ?1 AND sk = ?2"),
            find: format!("SELECT item_json, item_size FROM {at} WHERE pk = ?1"),
            old: format!("SELECT item_size, item_json FROM {at} WHERE pk = ?1 AND sk = ?2"),
            put: format!(
                "INSERT INTO {at} {put} NULL, ?5) ON CONFLICT (pk, sk) DO UPDATE SET
                     item_json = excluded.item_json, item_size = excluded.item_size, hash_prefix = excluded.hash_prefix"
            ),
            replace: format!(
                "INSERT OR REPLACE INTO {at} {put} (SELECT cached_at FROM {at} WHERE pk = ?1 AND sk = ?2), ?5)"
            ),
            delete: format!("DELETE FROM {at} WHERE pk = ?1 AND sk = ?2"),
            name: table.table_name.clone(),
        })
    }

    /// Where the engine has an item, by its key attributes among others; `None`: they are the engine's to judge.
    pub fn place(&self, attributes: &Request) -> Option<(String, String)> {
        let pk = self.hash.text(attributes.get(&self.hash.name)?)?;
        let sk = match &self.range {
            Some(range) => range.text(attributes.get(&range.name)?)?,
            None => String::new(),
        };
        Some((pk, sk))
    }

    /// The same of a key: it has no other attributes.
    pub fn place_of_key(&self, key: &Request) -> Option<(String, String)> {
        (key.len() == 1 + usize::from(self.range.is_some())).then(|| self.place(key)).flatten()
    }
}

// === impl Key ===
impl Key {
    /// A value as the engine has it in its rows: "S:a", or a number in a form that sorts.
    pub fn text(&self, value: &Value) -> Option<String> {
        let (kind, value) = value.as_object().filter(|typed| typed.len() == 1)?.iter().next()?;
        let value = value.as_str().filter(|_| kind == self.kind)?;
        match self.kind {
            "S" => (!value.is_empty() && value.len() <= self.most).then(|| format!("S:{value}")),
            _ => {
                let good = value.len() <= NUMBER_MAX && dynoxide::types::validate_dynamo_number(value).is_ok();
                good.then(|| AttributeValue::N(value.to_owned()).to_key_string()).flatten()
            }
        }
    }
}
