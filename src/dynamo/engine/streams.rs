//! Streams: the embedded engine's stream as DynamoDB Streams has it (API reference, "Amazon DynamoDB Streams").
//!
//! In: stream operations, and what tables say of their streams. Out: shards with AWS's names, iterators that expire, pages
//! of records as the table's view shows them, no record of a write that changed nothing. Never: a record older than a day.
//!
//! A stream is one shard, open until the stream is turned off or its table is deleted; it can be read for a day after that. The engine records both images of every change; the view is taken when records are read,
//! because only both images tell a change from none.

mod found;
mod iterator;
mod record;

use std::time::Duration;

use dynoxide::Database;
use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::op::Op;
use super::super::request::{Request, text};
use super::Reply;
use super::sidecar::Sidecar;
use found::{public, stored};
use iterator::Iterator;

/// The view that the engine itself has of every stream.
pub const ALL: &str = "NEW_AND_OLD_IMAGES";
const VIEWS: [&str; 4] = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", ALL];
/// Records are kept for a day.
pub const KEPT: Duration = Duration::from_secs(86_400);
/// Records and bytes of one page.
const RECORDS_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;
/// Shards, and streams, of one page.
const SHARDS_MAX: usize = 100;
/// Records that one call reads at most, those of no change included.
const READ_MAX: usize = 10 * RECORDS_MAX;

/// What stream operations need.
pub struct Streams<'a> {
    pub db: &'a Database,
    pub sidecar: &'a Sidecar,
    pub region: &'a str,
    pub now: Duration,
}

// === impl Streams ===
impl Streams<'_> {
    /// ListStreams, DescribeStream, GetShardIterator, GetRecords.
    ///
    /// # Errors
    /// What AWS would say.
    pub fn call(&self, op: Op, request: &Request) -> Result<Reply, Fault> {
        let answer = match op {
            Op::ListStreams => self.list(request)?,
            Op::DescribeStream => self.describe(request)?,
            Op::GetShardIterator => self.iterator(request)?,
            _ => self.records(request)?,
        };
        let body = serde_json::to_vec(&answer).map_err(|_| Fault::internal())?;
        Ok(Reply { body, ..Reply::default() })
    }

    fn describe(&self, request: &Request) -> Result<Value, Fault> {
        let arn = text(request, "StreamArn").unwrap_or_default();
        let stream = self.find(arn)?;
        let limit = limit(request, SHARDS_MAX)?;
        let own = stream.shard();
        let after = text(request, "ExclusiveStartShardId");
        let shards: Vec<Value> = match after.is_some_and(|after| after >= own.as_str()) || limit == 0 {
            true => Vec::new(),
            false => {
                let oldest = self.range(&stream)?.map_or_else(|| stream.began(), |(oldest, _)| oldest);
                let mut range = json!({ "StartingSequenceNumber": public(oldest) });
                if let Some(ends) = stream.ends {
                    range["EndingSequenceNumber"] = Value::from(public(ends.max(oldest)));
                }
                vec![json!({"ShardId": own, "SequenceNumberRange": range})]
            }
        };
        let schema: Value = serde_json::from_str(&stream.keys).unwrap_or_default();
        let status = if stream.ends.is_some() { "DISABLED" } else { "ENABLED" };
        Ok(json!({"StreamDescription": {
            "StreamArn": arn, "StreamLabel": stream.label, "StreamStatus": status, "TableName": stream.table,
            "StreamViewType": stream.view, "KeySchema": schema, "Shards": shards,
            "CreationRequestDateTime": stream.label.parse::<f64>().unwrap_or_default()
        }}))
    }

    fn iterator(&self, request: &Request) -> Result<Value, Fault> {
        let arn = text(request, "StreamArn").unwrap_or_default();
        let stream = self.find(arn)?;
        if text(request, "ShardId") != Some(stream.shard().as_str()) {
            return Err(Fault::service(
                "ResourceNotFoundException",
                "Requested resource not found: Shard does not exist",
            ));
        }
        let range = self.range(&stream)?;
        let kind = text(request, "ShardIteratorType").unwrap_or_default();
        let number = text(request, "SequenceNumber");
        let position = match (kind, number) {
            ("TRIM_HORIZON", None) => 0,
            ("LATEST", None) => range.map_or(0, |(_, newest)| newest),
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", Some(number)) => {
                let stored = stored(number).ok_or_else(|| Fault::validation("Invalid SequenceNumber for the shard"))?;
                if range.is_none_or(|(oldest, _)| stored < oldest) && stored > stream.began() {
                    return Err(Fault::service(
                        "TrimmedDataAccessException",
                        "The operation attempted to read past the oldest stream record in a shard",
                    ));
                }
                if kind == "AT_SEQUENCE_NUMBER" { stored - 1 } else { stored }
            }
            ("TRIM_HORIZON" | "LATEST", Some(_)) => {
                return Err(Fault::validation(
                    "One or more parameter values were invalid: SequenceNumber should not be passed for this iterator type",
                ));
            }
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => {
                return Err(Fault::validation(
                    "One or more parameter values were invalid: SequenceNumber cannot be null",
                ));
            }
            _ => {
                return Err(Fault::validation(format!(
                    "1 validation error detected: Value '{kind}' at 'shardIteratorType' failed to satisfy constraint: \
                     Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
                )));
            }
        };
        let iterator = Iterator { arn: arn.to_owned(), position, made_ms: self.now_ms() };
        Ok(json!({"ShardIterator": iterator.write()}))
    }

    fn records(&self, request: &Request) -> Result<Value, Fault> {
        let iterator = Iterator::read(text(request, "ShardIterator").unwrap_or_default())
            .ok_or_else(|| Fault::validation("Invalid ShardIterator"))?;
        iterator.fresh(self.now_ms())?;
        let limit = limit(request, RECORDS_MAX)?;
        let stream = self.find(&iterator.arn)?;
        let oldest = self.now.saturating_sub(KEPT).as_secs() as f64;
        let (mut records, mut bytes, mut position) = (Vec::new(), 0, iterator.position.max(stream.begins));
        let mut held_back = false;
        let place = (position, stream.ends.unwrap_or(i64::MAX));
        let all = self.sidecar.records(&stream.table, place, READ_MAX, |at, mut found| {
            let trimmed = found.dynamodb.approximate_creation_date_time < oldest;
            let unchanged = found.dynamodb.new_image.is_some() && found.dynamodb.new_image == found.dynamodb.old_image;
            if !trimmed && !unchanged {
                found.dynamodb.sequence_number = public(at);
                let record = record::shown(found, &stream.view, self.region);
                let size = record.to_string().len();
                if !records.is_empty() && bytes + size > BYTES_MAX {
                    held_back = true;
                    return false;
                }
                bytes += size;
                records.push(record);
            }
            position = at;
            records.len() < limit
        });
        let all = all.map_err(unreadable)? && !held_back;
        let mut answer = json!({ "Records": records });
        // The last page of a stream that ended leads nowhere.
        if stream.ends.is_none() || !(all || place.1 <= position) {
            let next = Iterator { arn: iterator.arn, position, made_ms: self.now_ms() };
            answer["NextShardIterator"] = Value::from(next.write());
        }
        Ok(answer)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX)
    }
}

fn unreadable(error: rusqlite::Error) -> Fault {
    log::error!("dynamodb: the records of a stream cannot be read: {error}");
    Fault::internal()
}

fn limit(request: &Request, most: usize) -> Result<usize, Fault> {
    match request.get("Limit") {
        None | Some(Value::Null) => Ok(most),
        Some(value) => match value.as_u64().and_then(|limit| usize::try_from(limit).ok()) {
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Fault::validation(format!(
                "1 validation error detected: Value '{value}' at 'limit' failed to satisfy constraint: Member must have \
                 value between 1 and {most}"
            ))),
        },
    }
}

/// The view that a request to make or change a table asks for; the engine is asked for all.
pub fn wanted(request: &mut Request) -> Option<String> {
    let stream = request.get_mut("StreamSpecification")?.as_object_mut()?;
    if stream.get("StreamEnabled") != Some(&Value::Bool(true)) {
        return None;
    }
    let view = text(stream, "StreamViewType").filter(|view| VIEWS.contains(view))?.to_owned();
    stream.insert("StreamViewType".to_owned(), Value::from(ALL));
    Some(view)
}

/// Writes the view where a table's description says the engine's, and the last stream of a table that has none now.
pub fn described(reply: Reply, sidecar: &Sidecar) -> Result<Reply, Fault> {
    let mut body: Map<String, Value> = serde_json::from_slice(&reply.body).map_err(|_| Fault::internal())?;
    for description in body.values_mut().filter_map(Value::as_object_mut) {
        let Some(name) = text(description, "TableName").map(str::to_owned) else { continue };
        if let Some(stream) = description.get_mut("StreamSpecification").and_then(Value::as_object_mut) {
            stream.insert("StreamViewType".to_owned(), Value::from(sidecar.view(&name)));
        } else if let Some(label) = sidecar.last_ended(&name).map_err(unreadable)? {
            let arn = dynoxide::streams::stream_arn(&name, &label);
            description.insert("LatestStreamArn".to_owned(), Value::from(arn));
            description.insert("LatestStreamLabel".to_owned(), Value::from(label));
        }
    }
    let body = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
    Ok(Reply { body, ..reply })
}

#[cfg(test)]
mod tests;
