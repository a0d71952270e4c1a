//! Streams: the embedded engine's stream as DynamoDB Streams has it (API reference, "Amazon DynamoDB Streams").
//!
//! In: stream operations, and what tables say of their streams. Out: shards with AWS's names, iterators that expire, pages
//! of records as the table's view shows them, no record of a write that changed nothing. Never: a record older than a day.
//!
//! A stream is one open shard. The engine records both images of every change; the view is taken when records are read,
//! because only both images tell a change from none.

mod iterator;
mod record;

use std::time::Duration;

use dynoxide::Database;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::encode_shard_iterator;
use dynoxide::storage::TableMetadata;
use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::op::Op;
use super::super::request::{Request, text};
use super::Reply;
use super::sidecar::Sidecar;
use iterator::Iterator;

/// The view that the engine itself has of every stream.
pub const ALL: &str = "NEW_AND_OLD_IMAGES";
const VIEWS: [&str; 4] = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", ALL];
/// Records are kept for a day.
pub const KEPT: Duration = Duration::from_secs(86_400);
/// Records and bytes of one page.
const RECORDS_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;
/// Shards of one page.
const SHARDS_MAX: usize = 100;
/// Records that one call reads from the engine at most, those of no change included.
const READ_MAX: usize = 10 * RECORDS_MAX;
/// Public sequence numbers are stored ones above this: 21 digits.
const SEQUENCE_BASE: u128 = 100_000_000_000_000_000_000;

/// What stream operations need.
pub struct Streams<'a> {
    pub db: &'a Database,
    pub sidecar: &'a Sidecar,
    pub region: &'a str,
    pub now: Duration,
}

// === impl Streams ===
impl Streams<'_> {
    /// DescribeStream, GetShardIterator, GetRecords. ListStreams is right as the engine has it.
    ///
    /// # Errors
    /// What AWS would say.
    pub fn call(&self, op: Op, request: &Request) -> Result<Reply, Fault> {
        let answer = match op {
            Op::DescribeStream => self.describe(request)?,
            Op::GetShardIterator => self.iterator(request)?,
            _ => self.records(request)?,
        };
        let body = serde_json::to_vec(&answer).map_err(|_| Fault::internal())?;
        Ok(Reply { body, ..Reply::default() })
    }

    fn describe(&self, request: &Request) -> Result<Value, Fault> {
        let arn = text(request, "StreamArn").unwrap_or_default();
        let table = self.table(arn)?;
        let label = table.stream_label.clone().unwrap_or_default();
        let limit = limit(request, SHARDS_MAX)?;
        let own = shard(&table);
        let oldest = self.range(&table)?.map_or_else(|| began(&label), |(oldest, _)| oldest);
        let after = text(request, "ExclusiveStartShardId");
        let shards: Vec<Value> = match after.is_some_and(|after| after >= own.as_str()) || limit == 0 {
            true => Vec::new(),
            false => vec![json!({"ShardId": own, "SequenceNumberRange": {"StartingSequenceNumber": public(oldest)}})],
        };
        let schema: Value = serde_json::from_str(&table.key_schema).unwrap_or_default();
        Ok(json!({"StreamDescription": {
            "StreamArn": arn, "StreamLabel": label, "StreamStatus": "ENABLED", "TableName": table.table_name,
            "StreamViewType": self.sidecar.view(&table.table_name), "KeySchema": schema, "Shards": shards,
            "CreationRequestDateTime": label.parse::<f64>().unwrap_or_default()
        }}))
    }

    fn iterator(&self, request: &Request) -> Result<Value, Fault> {
        let arn = text(request, "StreamArn").unwrap_or_default();
        let table = self.table(arn)?;
        if text(request, "ShardId") != Some(shard(&table).as_str()) {
            return Err(Fault::service(
                "ResourceNotFoundException",
                "Requested resource not found: Shard does not exist",
            ));
        }
        let range = self.range(&table)?;
        let kind = text(request, "ShardIteratorType").unwrap_or_default();
        let number = text(request, "SequenceNumber");
        let position = match (kind, number) {
            ("TRIM_HORIZON", None) => 0,
            ("LATEST", None) => range.map_or(0, |(_, newest)| newest),
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", Some(number)) => {
                let stored = stored(number).ok_or_else(|| Fault::validation("Invalid SequenceNumber for the shard"))?;
                if range.is_none_or(|(oldest, _)| stored < oldest) && stored > began_of(&table) {
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
        let table = self.table(&iterator.arn)?;
        let view = self.sidecar.view(&table.table_name);
        let oldest = self.now.saturating_sub(KEPT).as_secs() as f64;
        let own = dynoxide::streams::shard_id(&table.table_name);
        let (mut records, mut bytes, mut position, mut read) = (Vec::new(), 0, iterator.position, 0);
        'pages: while records.len() < limit && read < READ_MAX {
            let shard_iterator = encode_shard_iterator(&table.table_name, &own, position);
            let asked = GetRecordsRequest { shard_iterator, limit: Some(limit) };
            let page =
                self.db.get_records(asked).map_err(|error| super::dispatch::fault(Op::GetRecords, error))?.records;
            let last = page.len() < limit;
            read += page.len();
            for found in page {
                let at = stored(&found.dynamodb.sequence_number).unwrap_or(position);
                let trimmed = found.dynamodb.approximate_creation_date_time < oldest;
                let unchanged =
                    found.dynamodb.new_image.is_some() && found.dynamodb.new_image == found.dynamodb.old_image;
                if !trimmed && !unchanged {
                    let record = record::shown(found, &view, self.region);
                    let size = record.to_string().len();
                    if !records.is_empty() && bytes + size > BYTES_MAX {
                        break 'pages;
                    }
                    bytes += size;
                    records.push(record);
                }
                position = at;
                if records.len() >= limit {
                    break;
                }
            }
            if last {
                break;
            }
        }
        let next = Iterator { arn: iterator.arn, position, made_ms: self.now_ms() };
        Ok(json!({"Records": records, "NextShardIterator": next.write()}))
    }

    /// The table of a stream that is on.
    fn table(&self, arn: &str) -> Result<TableMetadata, Fault> {
        let missing = || {
            Fault::service(
                "ResourceNotFoundException",
                format!("Requested resource not found: Stream: {arn} not found"),
            )
        };
        let (_, rest) = arn.split_once(":table/").ok_or_else(missing)?;
        let (name, label) = rest.split_once("/stream/").ok_or_else(missing)?;
        let found =
            self.db.get_table_metadata(name).map_err(|error| super::dispatch::fault(Op::DescribeStream, error))?;
        let table = found.filter(|table| table.stream_enabled && table.stream_label.as_deref() == Some(label));
        table.ok_or_else(missing)
    }

    fn range(&self, table: &TableMetadata) -> Result<Option<(i64, i64)>, Fault> {
        self.sidecar.range(&table.table_name).map_err(|error| {
            log::error!("dynamodb: the records of a stream cannot be read: {error}");
            Fault::internal()
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX)
    }
}

/// "shardId-00000001795715767849-3fa8c2d1": when the stream was turned on, and which it is.
fn shard(table: &TableMetadata) -> String {
    let label = table.stream_label.as_deref().unwrap_or_default();
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{}/{label}", table.table_name).as_bytes());
    format!("shardId-{:020}-{:08x}", began(label) / 1000, hash & 0xffff_ffff)
}

/// The sequence number below those of a stream, from its label: "seconds.nanoseconds".
fn began(label: &str) -> i64 {
    let (seconds, nanos) = label.split_once('.').unwrap_or((label, "0"));
    let part = |text: &str| text.parse::<i64>().unwrap_or(0);
    part(seconds).saturating_mul(1_000_000).saturating_add(part(nanos) / 1000)
}

fn began_of(table: &TableMetadata) -> i64 {
    began(table.stream_label.as_deref().unwrap_or_default())
}

fn public(stored: i64) -> String {
    (SEQUENCE_BASE + u128::try_from(stored).unwrap_or(0)).to_string()
}

fn stored(public: &str) -> Option<i64> {
    i64::try_from(public.parse::<u128>().ok()?.checked_sub(SEQUENCE_BASE)?).ok()
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

/// Writes the view where a table's description says the engine's.
pub fn described(reply: Reply, sidecar: &Sidecar) -> Result<Reply, Fault> {
    if !reply.body.windows(ALL.len()).any(|window| window == ALL.as_bytes()) {
        return Ok(reply);
    }
    let mut body: Map<String, Value> = serde_json::from_slice(&reply.body).map_err(|_| Fault::internal())?;
    for description in body.values_mut() {
        let Some(name) = description.get("TableName").and_then(Value::as_str).map(str::to_owned) else { continue };
        if let Some(view) = description.pointer_mut("/StreamSpecification/StreamViewType") {
            *view = Value::from(sidecar.view(&name));
        }
    }
    let body = serde_json::to_vec(&body).map_err(|_| Fault::internal())?;
    Ok(Reply { body, ..reply })
}

#[cfg(test)]
mod tests;
