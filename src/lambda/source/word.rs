//! Word: what a destination is told of records that were given up.
//!
//! In: the records' places, the last call. Out: the service's document. Never: the records themselves.
//!
//! Lambda Developer Guide, "Retain discarded records for a DynamoDB event source".

use serde_json::{Value, json};

use super::batch::Why;
use super::record::Record;
use crate::lambda::time::{iso_z, of_millis};

/// The last call with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub request_id: String,
    pub version: String,
    /// Calls since the last one that succeeded.
    pub calls: u32,
}

/// The document.
pub(super) fn word(
    records: &[Record],
    why: Why,
    last: Option<&Last>,
    (function, stream, shard): (&str, &str, &str),
    now_ms: u64,
) -> Value {
    let (first, end) = (records.first(), records.last());
    let place = |record: Option<&Record>| record.map(|record| record.sequence.clone());
    let arrived = |record: Option<&Record>| record.map(|record| iso_z(of_millis(record.arrived_ms)));
    let mut all = json!({
        "requestContext": {
            "requestId": last.map(|last| last.request_id.as_str()),
            "functionArn": function,
            "condition": why.as_str(),
            "approximateInvokeCount": last.map_or(0, |last| last.calls),
        },
        "version": "1.0",
        "timestamp": iso_z(of_millis(now_ms)),
        "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": place(first),
            "endSequenceNumber": place(end),
            "approximateArrivalOfFirstRecord": arrived(first),
            "approximateArrivalOfLastRecord": arrived(end),
            "batchSize": records.len(),
            "streamArn": stream,
        },
    });
    if let (Some(last), Some(all)) = (last, all.as_object_mut()) {
        let context = json!({ "statusCode": 200, "executedVersion": last.version, "functionError": "Unhandled" });
        all.insert("responseContext".to_owned(), context);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_places() {
        let record =
            |n: u64| Record { sequence: n.to_string(), arrived_ms: n * 1000, text: "secret".to_owned(), item: 0 };
        let last = Last { request_id: "id".into(), version: "3".into(), calls: 4 };
        let said = word(&[record(1), record(2)], Why::Retries, Some(&last), ("arn:f", "arn:s", "shard"), 5_000);
        assert_eq!(
            said,
            json!({
                "requestContext": { "requestId": "id", "functionArn": "arn:f", "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4 },
                "responseContext": { "statusCode": 200, "executedVersion": "3", "functionError": "Unhandled" },
                "version": "1.0",
                "timestamp": "1970-01-01T00:00:05.000Z",
                "DDBStreamBatchInfo": {
                    "shardId": "shard", "startSequenceNumber": "1", "endSequenceNumber": "2", "batchSize": 2, "streamArn": "arn:s",
                    "approximateArrivalOfFirstRecord": "1970-01-01T00:00:01.000Z",
                    "approximateArrivalOfLastRecord": "1970-01-01T00:00:02.000Z",
                },
            })
        );
        let said = word(&[record(1)], Why::Age, None, ("f", "s", "h"), 0);
        assert_eq!((said.get("responseContext"), &said["requestContext"]["approximateInvokeCount"]), (None, &json!(0)));
    }
}
