//! Asked: calls that are plain enough to be done directly.
//!
//! In: requests. Out: what they read and write. Never: a request with a member that is not known here, or one that the engine
//! might refuse.

use std::sync::Arc;

use dynoxide::types::{AttributeValue, Item, MAX_ITEM_SIZE, item_size};
use serde::Deserialize;
use serde_json::Value;

use super::condition::{Bound, Plan};
use super::record;
use super::schema::Schema;
use crate::dynamo::capacity::consumed::Mode;
use crate::dynamo::request::{Request, flag, object};

/// The most that a request may ask for: it is a number of 32 bits.
const LIMIT_MAX: u64 = i32::MAX as u64;

/// One item, by its key.
#[derive(Debug)]
pub struct Get {
    pub schema: Arc<Schema>,
    pub pk: String,
    pub sk: String,
    pub consistent: bool,
}

/// Items of one partition, in the order of their sort key.
#[derive(Debug)]
pub struct Find {
    pub schema: Arc<Schema>,
    pub pk: String,
    /// All hold of the sort key.
    pub bounds: Vec<Bound>,
    pub forward: bool,
    pub limit: Option<usize>,
    pub consistent: bool,
}

/// One item that is put or deleted, whatever was there.
#[derive(Debug)]
pub struct Write {
    pub schema: Arc<Schema>,
    pub pk: String,
    pub sk: String,
    pub what: What,
    /// Say what it consumed.
    pub metered: bool,
}

#[derive(Debug)]
pub enum What {
    /// The item as the engine writes it, and its key where changes are recorded.
    Put {
        item: String,
        keys: Option<String>,
        size: usize,
        hash: String,
    },
    Delete,
}

// === impl Get ===
impl Get {
    pub fn read(schema: Arc<Schema>, request: &Request) -> Option<Get> {
        let plain = request.iter().all(|(name, value)| match name.as_str() {
            "TableName" | "Key" => true,
            "ConsistentRead" => value.is_boolean(),
            "ReturnConsumedCapacity" => mode(value),
            _ => false,
        });
        let (pk, sk) = schema.place_of_key(object(request, "Key").filter(|_| plain)?)?;
        Some(Get { schema, pk, sk, consistent: flag(request, "ConsistentRead") })
    }
}

// === impl Find ===
impl Find {
    pub fn read(schema: Arc<Schema>, request: &Request, plan: &Plan) -> Option<Find> {
        let mut limit = None;
        for (name, value) in request {
            let plain = match name.as_str() {
                "TableName" | "KeyConditionExpression" | "ExpressionAttributeNames" | "ExpressionAttributeValues" => {
                    true
                }
                "ConsistentRead" | "ScanIndexForward" => value.is_boolean(),
                "ReturnConsumedCapacity" => mode(value),
                "Limit" => {
                    limit = value.as_u64().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    limit.is_some()
                }
                _ => false,
            };
            if !plain {
                return None;
            }
        }
        let (pk, bounds) = plan.bind(&schema, object(request, "ExpressionAttributeValues")?)?;
        Some(Find {
            schema,
            pk,
            bounds,
            forward: request.get("ScanIndexForward") != Some(&Value::Bool(false)),
            limit: limit.and_then(|limit| usize::try_from(limit).ok()),
            consistent: flag(request, "ConsistentRead"),
        })
    }
}

// === impl Write ===
impl Write {
    pub fn put(schema: Arc<Schema>, request: &Request, metered: bool) -> Option<Write> {
        let content = object(request, "Item").filter(|_| schema.plain && plain_write(request, "Item"))?;
        let (pk, sk) = schema.place(content)?;
        let mut item = Item::deserialize(content).ok()?;
        let good = named(item.iter())
            && dynoxide::validation::validate_item_attribute_values(&item).is_ok()
            && item_size(&item) <= MAX_ITEM_SIZE;
        if !good {
            return None;
        }
        dynoxide::validation::normalize_item_sets(&mut item);
        let hash = dynoxide::storage::compute_hash_prefix(item.get(&schema.hash.name)?);
        let keys = schema.stream.then(|| record::keys(&schema, &item)).transpose().ok()?;
        let (text, size) = (serde_json::to_string(&item).ok()?, item_size(&item));
        Some(Write { schema, pk, sk, what: What::Put { item: text, keys, size, hash }, metered })
    }

    pub fn delete(schema: Arc<Schema>, request: &Request, metered: bool) -> Option<Write> {
        let key = object(request, "Key").filter(|_| schema.plain && plain_write(request, "Key"))?;
        let (pk, sk) = schema.place_of_key(key)?;
        Some(Write { schema, pk, sk, what: What::Delete, metered })
    }
}

fn plain_write(request: &Request, content: &str) -> bool {
    request.iter().all(|(name, value)| match name.as_str() {
        "ReturnValues" => value == "NONE",
        "ReturnConsumedCapacity" => mode(value),
        name => name == "TableName" || name == content,
    })
}

fn mode(value: &Value) -> bool {
    value.as_str().and_then(Mode::read).is_some()
}

/// Whether every attribute has a name, and every one of those within.
fn named<'a>(mut attributes: impl Iterator<Item = (&'a String, &'a AttributeValue)>) -> bool {
    attributes.all(|(name, value)| !name.is_empty() && named_within(value))
}

fn named_within(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::M(map) => named(map.iter()),
        AttributeValue::L(list) => list.iter().all(named_within),
        _ => true,
    }
}
