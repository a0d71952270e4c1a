//! Local: queries of a local index for attributes that it does not hold.
//!
//! In: a Query with an IndexName. Out: its reply with the attributes of the table's items. Never: a global index, which AWS
//! does not fetch for.
//!
//! AWS fetches them from the table (developer guide, "Local secondary indexes", "Attribute projections"). The engine does
//! so for whole items only: they are asked for, and projected here.

use dynoxide::Database;
use serde_json::{Map, Value};

use super::super::super::expression::{self, Projection};
use super::super::super::fault::Fault;
use super::super::super::op::Op;
use super::super::super::request::{Request, list, object, text};
use super::super::{Reply, dispatch};

/// Does the query.
pub fn run(db: &Database, request: Request) -> Result<Reply, Fault> {
    match fetching(db, &request) {
        Some(projection) => {
            let counts = text(&request, "Select") == Some("COUNT");
            let mut whole = request;
            whole.remove("ProjectionExpression");
            whole.remove("AttributesToGet");
            whole.insert("Select".to_owned(), Value::from("ALL_ATTRIBUTES"));
            trim_names(&mut whole);
            let reply = dispatch::run(db, Op::Query, whole)?;
            project(reply, projection.as_ref(), counts)
        }
        None => dispatch::run(db, Op::Query, request),
    }
}

/// Whether the query names attributes that its index lacks; the projection to be made then, if it has one.
fn fetching(db: &Database, request: &Request) -> Option<Option<Projection>> {
    let index = text(request, "IndexName")?;
    let select = text(request, "Select");
    if select == Some("ALL_ATTRIBUTES") || select == Some("ALL_PROJECTED_ATTRIBUTES") {
        return None;
    }
    let table = db.get_table_metadata(text(request, "TableName")?).ok()??;
    let held = held(index, &table.lsi_definitions?, &table.key_schema)?;
    let names = object(request, "ExpressionAttributeNames");
    let mut wanted = Vec::new();
    for member in ["ProjectionExpression", "FilterExpression"] {
        text(request, member).into_iter().for_each(|text| expression::attributes(text, names, &mut wanted));
    }
    let older: Vec<String> = list(request, "AttributesToGet").filter_map(Value::as_str).map(str::to_owned).collect();
    wanted.extend(older.iter().cloned());
    if wanted.iter().all(|name| held.contains(name)) {
        return None;
    }
    match text(request, "ProjectionExpression") {
        Some(text) => Projection::read(text, names).map(Some),
        None if !older.is_empty() => Some(Some(Projection::of(older))),
        None if select == Some("COUNT") => Some(None),
        // A filter on what the index lacks, and what it holds is wanted.
        None => Some(Some(Projection::of(held))),
    }
}

/// What a local index holds; `None` for one that holds everything, or is not local.
fn held(index: &str, definitions: &str, schema: &str) -> Option<Vec<String>> {
    let definitions: Vec<Value> = serde_json::from_str(definitions).ok()?;
    let definition = definitions.iter().find(|one| one.get("IndexName").and_then(Value::as_str) == Some(index))?;
    let projection = definition.get("Projection")?;
    if projection.get("ProjectionType").and_then(Value::as_str) == Some("ALL") {
        return None;
    }
    let schema: Value = serde_json::from_str(schema).ok()?;
    let keys = |schema: &Value| -> Vec<String> {
        let names = schema.as_array().into_iter().flatten().filter_map(|key| key.get("AttributeName")?.as_str());
        names.map(str::to_owned).collect()
    };
    let mut held = keys(&schema);
    held.extend(definition.get("KeySchema").map(keys).unwrap_or_default());
    let more = projection.get("NonKeyAttributes").and_then(Value::as_array).into_iter().flatten();
    held.extend(more.filter_map(Value::as_str).map(str::to_owned));
    Some(held)
}

/// Names that only the projection used are an error once it is gone.
fn trim_names(request: &mut Request) {
    let used: Vec<String> = ["FilterExpression", "KeyConditionExpression"]
        .iter()
        .filter_map(|member| text(request, member))
        .flat_map(expression::placeholders)
        .collect();
    if let Some(Value::Object(names)) = request.get_mut("ExpressionAttributeNames") {
        names.retain(|name, _| used.contains(name));
        if names.is_empty() {
            request.remove("ExpressionAttributeNames");
        }
    }
}

fn project(reply: Reply, projection: Option<&Projection>, counts: bool) -> Result<Reply, Fault> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice::<Value>(&reply.body) else {
        return Err(Fault::internal());
    };
    if counts {
        body.remove("Items");
    }
    if let (Some(projection), Some(Value::Array(items))) = (projection, body.get_mut("Items")) {
        for item in items {
            *item = Value::Object(item.as_object().map_or_else(Map::new, |item| projection.apply(item)));
        }
    }
    let body = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
    Ok(Reply { body, ..reply })
}
