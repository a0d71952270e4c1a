//! Ask: a table's stream, by the operations that there are for it.
//!
//! In: names, iterators. Out: the stream, its shards, pages of records. Never: an operation through a policy, or one that is charged.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::course::{Page, Shard};
use super::record;
use crate::dynamo::engine::Call;
use crate::dynamo::fault::Fault;
use crate::dynamo::front::Front;
use crate::dynamo::op::Op;
use crate::dynamo::request::text;

/// Shards of one stream that are known at once.
const SHARDS_MAX: usize = 1000;
/// Shards that are asked at once, each by one request.
pub const AT_ONCE: usize = 16;
/// Records of one page (DynamoDB API reference, "GetRecords").
const PAGE: usize = 1000;

/// What there is to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such table.
    Gone,
    /// It has no stream now.
    None,
    Stream(String),
}

/// The stream of a table.
///
/// # Errors
/// The engine's.
pub async fn find(front: &Front, table: &str) -> Result<Found, Fault> {
    let described = match ask(front, Op::DescribeTable, json!({ "TableName": table })).await {
        Err(fault) if fault.name() == "ResourceNotFoundException" => return Ok(Found::Gone),
        described => described?,
    };
    let on = described.pointer("/Table/StreamSpecification/StreamEnabled") == Some(&Value::Bool(true));
    let arn = described.pointer("/Table/LatestStreamArn").and_then(Value::as_str).filter(|_| on);
    Ok(arn.map_or(Found::None, |arn| Found::Stream(arn.to_owned())))
}

/// Its shards; whether it is on.
///
/// # Errors
/// The engine's; there are too many.
pub async fn shards(front: &Front, arn: &str) -> Result<(bool, Vec<Shard>), Fault> {
    let (mut shards, mut after) = (Vec::new(), None);
    loop {
        let mut request = json!({ "StreamArn": arn });
        if let (Some(after), Some(request)) = (after.take(), request.as_object_mut()) {
            request.insert("ExclusiveStartShardId".to_owned(), after);
        }
        let answer = ask(front, Op::DescribeStream, request).await?;
        let description = answer.get("StreamDescription").and_then(Value::as_object).ok_or_else(Fault::internal)?;
        let listed = description.get("Shards").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        shards.extend(listed.iter().filter_map(Shard::read));
        if shards.len() > SHARDS_MAX {
            let message = format!("a stream of more than {SHARDS_MAX} shards is not followed");
            return Err(Fault { message: Some(message), ..Fault::internal() });
        }
        match description.get("LastEvaluatedShardId") {
            Some(last @ Value::String(_)) if !listed.is_empty() => after = Some(last.clone()),
            _ => return Ok((text(description, "StreamStatus") == Some("ENABLED"), shards)),
        }
    }
}

/// Iterators at what those shards get from now on.
///
/// # Errors
/// The engine's.
pub async fn latest(front: &Front, arn: &str, shards: Vec<String>) -> Result<BTreeMap<String, String>, Fault> {
    let each = shards.into_iter().map(|shard| async move {
        let iterator = iterator(front, arn, &shard, "LATEST").await?;
        Ok::<_, Fault>((shard, iterator))
    });
    stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
}

/// One page of a shard. The caches have forgotten by its records when it is there.
///
/// # Errors
/// The engine's: it may be asked for again.
pub async fn page(front: &Front, table: &str, arn: &str, shard: &str, known: Option<String>) -> Result<Page, Fault> {
    let iterator = match known {
        Some(iterator) => iterator,
        None => iterator(front, arn, shard, "TRIM_HORIZON").await?,
    };
    let asked = (front.clock)();
    let answer = ask(front, Op::GetRecords, json!({ "ShardIterator": iterator, "Limit": PAGE })).await?;
    let listed = answer.get("Records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !listed.is_empty() {
        // What the table is now, and not before the records were there: an index may be new.
        let known = front.tables(&[table.to_owned()]).await.unwrap_or_default();
        record::forget(&front.caches.epochs, table, listed, &known);
    }
    let newest = listed.last().and_then(|record| record.pointer("/dynamodb/ApproximateCreationDateTime"));
    Ok(Page {
        asked,
        next: answer.get("NextShardIterator").and_then(Value::as_str).map(str::to_owned),
        records: listed.len(),
        newest: newest.and_then(Value::as_f64).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        full: listed.len() >= PAGE,
    })
}

async fn iterator(front: &Front, arn: &str, shard: &str, kind: &str) -> Result<String, Fault> {
    let request = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind });
    let answer = ask(front, Op::GetShardIterator, request).await?;
    answer.get("ShardIterator").and_then(Value::as_str).map(str::to_owned).ok_or_else(Fault::internal)
}

async fn ask(front: &Front, op: Op, request: Value) -> Result<Value, Fault> {
    let Value::Object(request) = request else { return Err(Fault::internal()) };
    let reply = front.engine.call(Call { op, request, metered: false }).await?;
    serde_json::from_slice(&reply.body).map_err(|_| Fault::internal())
}
