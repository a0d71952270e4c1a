//! Tables: what the configuration declares, as requests.
//!
//! In: a declared table. Out: CreateTable and UpdateTimeToLive requests. Never: a table changed that is there.

use serde_json::{Value, json};

use crate::config::compiled::{DynamoIndex, DynamoKey, DynamoProjection, DynamoTable};

use super::request::Request;

/// The request that makes it.
pub fn create(table: &DynamoTable) -> Request {
    let mut request = Request::new();
    let mut put = |name: &str, value: Value| drop(request.insert(name.to_owned(), value));
    put("TableName", json!(table.name));
    put("AttributeDefinitions", Value::Array(attributes(table)));
    put("KeySchema", schema(&table.hash, table.range.as_ref()));
    match &table.capacity {
        Some(capacity) => put("ProvisionedThroughput", units(capacity.read.units, capacity.write.units)),
        None => put("BillingMode", json!("PAY_PER_REQUEST")),
    }
    for (member, local) in [("GlobalSecondaryIndexes", false), ("LocalSecondaryIndexes", true)] {
        let each = table.indexes.iter().filter(|index| index.local == local);
        let indexes: Vec<Value> = each.map(|one| index(one, table)).collect();
        if !indexes.is_empty() {
            put(member, Value::Array(indexes));
        }
    }
    if let Some(view) = table.stream {
        put("StreamSpecification", json!({"StreamEnabled": true, "StreamViewType": view}));
    }
    request
}

/// The request that turns its TTL on, if it has one.
pub fn time_to_live(table: &DynamoTable) -> Option<Request> {
    let attribute = table.ttl.as_ref()?;
    let request = json!({"TableName": table.name,
        "TimeToLiveSpecification": {"Enabled": true, "AttributeName": attribute}});
    request.as_object().cloned()
}

fn units(read: u32, write: u32) -> Value {
    json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write})
}

/// Each key attribute once: DynamoDB refuses one that no key uses.
fn attributes(table: &DynamoTable) -> Vec<Value> {
    let own = std::iter::once(&table.hash).chain(&table.range);
    let keys = own.chain(table.indexes.iter().flat_map(|index| std::iter::once(&index.hash).chain(&index.range)));
    let mut found: Vec<&DynamoKey> = Vec::new();
    for key in keys {
        if !found.iter().any(|known| known.name == key.name) {
            found.push(key);
        }
    }
    found.iter().map(|key| json!({"AttributeName": key.name, "AttributeType": key.kind})).collect()
}

fn schema(hash: &DynamoKey, range: Option<&DynamoKey>) -> Value {
    let element = |key: &DynamoKey, kind: &str| json!({"AttributeName": key.name, "KeyType": kind});
    let range = range.map(|key| element(key, "RANGE"));
    Value::Array(std::iter::once(element(hash, "HASH")).chain(range).collect())
}

fn index(index: &DynamoIndex, table: &DynamoTable) -> Value {
    let projection = match &index.projection {
        DynamoProjection::All => json!({"ProjectionType": "ALL"}),
        DynamoProjection::KeysOnly => json!({"ProjectionType": "KEYS_ONLY"}),
        DynamoProjection::Include(names) => json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": names}),
    };
    let schema = schema(&index.hash, index.range.as_ref());
    let mut described = json!({"IndexName": index.name, "KeySchema": schema, "Projection": projection});
    if let (false, Some(capacity)) = (index.local, &table.capacity) {
        described["ProvisionedThroughput"] = units(capacity.read.units, capacity.write.units);
    }
    described
}
