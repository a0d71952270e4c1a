//! Found: the streams that there are, and those that ended within a day.
//!
//! In: an ARN, a table. Out: a stream, its shard and its numbers. Never: records of another stream of the same table.

use dynoxide::actions::list_streams::ListStreamsRequest;
use serde_json::{Value, json};

use super::super::super::fault::Fault;
use super::super::super::op::Op;
use super::super::super::request::{Request, text};
use super::super::dispatch;
use super::{SHARDS_MAX, Streams, limit, unreadable};

/// Public sequence numbers are stored ones above this: 21 digits.
const SEQUENCE_BASE: u128 = 100_000_000_000_000_000_000;

/// A stream.
pub struct Stream {
    pub table: String,
    /// When it was turned on: "seconds.nanoseconds".
    pub label: String,
    /// The key schema of its table, as JSON.
    pub keys: String,
    pub view: String,
    /// Its records are after that.
    pub begins: i64,
    /// It ended, with the last of its records at most there.
    pub ends: Option<i64>,
}

// === impl Stream ===
impl Stream {
    /// "shardId-00000001795715767849-3fa8c2d1": when the stream was turned on, and which it is.
    pub fn shard(&self) -> String {
        let hash = xxhash_rust::xxh3::xxh3_64(format!("{}/{}", self.table, self.label).as_bytes());
        format!("shardId-{:020}-{:08x}", self.began() / 1000, hash & 0xffff_ffff)
    }

    /// The sequence number below those of the stream.
    pub fn began(&self) -> i64 {
        let (seconds, nanos) = self.label.split_once('.').unwrap_or((&self.label, "0"));
        let part = |text: &str| text.parse::<i64>().unwrap_or(0);
        part(seconds).saturating_mul(1_000_000).saturating_add(part(nanos) / 1000)
    }
}

// === impl Streams: which there are ===
impl Streams<'_> {
    /// The stream of this ARN.
    pub(super) fn find(&self, arn: &str) -> Result<Stream, Fault> {
        let missing = || {
            Fault::service(
                "ResourceNotFoundException",
                format!("Requested resource not found: Stream: {arn} not found"),
            )
        };
        let (name, label) = parts(arn).ok_or_else(missing)?;
        let found = self.db.get_table_metadata(name).map_err(|error| dispatch::fault(Op::DescribeStream, error))?;
        let on = found.filter(|table| table.stream_enabled && table.stream_label.as_deref() == Some(label));
        let (table, label) = (name.to_owned(), label.to_owned());
        if let Some(on) = on {
            let (view, begins) = (self.sidecar.view(&table), self.sidecar.begins(&table).map_err(unreadable)?);
            return Ok(Stream { table, label, keys: on.key_schema, view, begins, ends: None });
        }
        let ended = self.sidecar.ended(&table, &label).map_err(unreadable)?.ok_or_else(missing)?;
        Ok(Stream { table, label, keys: ended.keys, view: ended.view, begins: ended.begins, ends: Some(ended.ends) })
    }

    /// The oldest and the newest number of its records.
    pub(super) fn range(&self, stream: &Stream) -> Result<Option<(i64, i64)>, Fault> {
        let ends = stream.ends.unwrap_or(i64::MAX);
        self.sidecar.range(&stream.table, stream.begins, ends).map_err(unreadable)
    }

    pub(super) fn list(&self, request: &Request) -> Result<Value, Fault> {
        let table = text(request, "TableName");
        let limit = limit(request, SHARDS_MAX)?;
        let on = ListStreamsRequest { table_name: table.map(str::to_owned), ..ListStreamsRequest::default() };
        let on = self.db.list_streams(on).map_err(|error| dispatch::fault(Op::ListStreams, error))?;
        let mut all = self.sidecar.all_ended(table).map_err(unreadable)?;
        all.extend(on.streams.into_iter().map(|one| (one.table_name, one.stream_label)));
        all.sort();
        all.dedup();
        if let Some((table, label)) = text(request, "ExclusiveStartStreamArn").and_then(parts) {
            all.retain(|(name, own)| (name.as_str(), own.as_str()) > (table, label));
        }
        let more = all.len() > limit;
        all.truncate(limit);
        let arn = |(table, label): &(String, String)| dynoxide::streams::stream_arn(table, label);
        let streams: Vec<Value> =
            all.iter().map(|one| json!({"StreamArn": arn(one), "TableName": one.0, "StreamLabel": one.1})).collect();
        let mut answer = json!({ "Streams": streams });
        if let Some(last) = all.last().filter(|_| more) {
            answer["LastEvaluatedStreamArn"] = Value::from(arn(last));
        }
        Ok(answer)
    }
}

/// The table and the label of a stream's ARN.
fn parts(arn: &str) -> Option<(&str, &str)> {
    let (_, rest) = arn.split_once(":table/")?;
    rest.split_once("/stream/")
}

/// A sequence number as AWS has them.
pub fn public(stored: i64) -> String {
    (SEQUENCE_BASE + u128::try_from(stored).unwrap_or(0)).to_string()
}

/// As the engine has it.
pub fn stored(public: &str) -> Option<i64> {
    i64::try_from(public.parse::<u128>().ok()?.checked_sub(SEQUENCE_BASE)?).ok()
}
