//! Record: one change of a table, as its stream gives it and as a function is given it.
//!
//! In: a record of `GetRecords`. Out: what orders and dates it, and its text in an event. Never: a record changed otherwise.
//!
//! Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB" (the example event).

use std::cmp::Ordering;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Text around the records of an event.
const HEAD: &str = "{\"Records\":[";
const TAIL: &str = "]}";

/// A record on its way to a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) struct Record {
    pub sequence: String,
    /// When it was written, in milliseconds since the epoch; streams say it to the second.
    pub arrived_ms: u64,
    /// Its JSON in an event.
    pub text: String,
    /// A hash of the key of its item.
    pub item: u64,
}

/// A function's event from a stream's record. `None`: it is none of a stream.
pub(in crate::lambda) fn event(mut record: Value, stream: &str) -> Option<Value> {
    let members = record.as_object_mut()?;
    members.insert("eventSourceARN".to_owned(), json!(stream));
    // The stream and the event spell these differently.
    if let Some(identity) = members.get("userIdentity") {
        let member = |name: &str| identity.get(name).cloned().unwrap_or(Value::Null);
        let identity = json!({ "type": member("Type"), "principalId": member("PrincipalId") });
        members.insert("userIdentity".to_owned(), identity);
    }
    Some(record)
}

// === impl Record ===
impl Record {
    /// From a function's event. `None`: it has no place in a stream.
    pub(in crate::lambda) fn read(event: &Value) -> Option<Self> {
        let change = event.get("dynamodb")?;
        let sequence = change.get("SequenceNumber")?.as_str()?.to_owned();
        let seconds = change.get("ApproximateCreationDateTime").and_then(Value::as_f64).unwrap_or_default();
        // Whatever the order of its members.
        let keys = change.get("Keys").and_then(Value::as_object).into_iter().flatten();
        let item = keys.map(|(name, value)| xxh3_64(format!("{name}\0{value}").as_bytes())).fold(0, u64::wrapping_add);
        let arrived_ms = (seconds.max(0.0) * 1000.0) as u64;
        Some(Record { sequence, arrived_ms, text: event.to_string(), item })
    }
}

/// Which of two places of a shard comes first: they are numbers with many digits.
pub(in crate::lambda) fn order(one: &str, other: &str) -> Ordering {
    let digits = |text: &str| text.trim_start_matches('0').len();
    digits(one).cmp(&digits(other)).then_with(|| one.trim_start_matches('0').cmp(other.trim_start_matches('0')))
}

/// The event that holds `records`.
pub(in crate::lambda) fn payload(records: &[Record]) -> String {
    let size: usize = records.iter().map(|record| record.text.len() + 1).sum();
    let mut all = String::with_capacity(HEAD.len() + size + TAIL.len());
    all.push_str(HEAD);
    for (n, record) in records.iter().enumerate() {
        if n > 0 {
            all.push(',');
        }
        all.push_str(&record.text);
    }
    all.push_str(TAIL);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_events() {
        let given = json!({
            "eventID": "1", "eventName": "REMOVE", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "r",
            "dynamodb": { "ApproximateCreationDateTime": 12.5, "SequenceNumber": "007", "Keys": { "pk": { "S": "a" } } },
            "userIdentity": { "Type": "Service", "PrincipalId": "dynamodb.amazonaws.com" },
        });
        let mut want = given.clone();
        want["eventSourceARN"] = json!("arn:s");
        want["userIdentity"] = json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" });
        let event = event(given, "arn:s").unwrap();
        assert_eq!(event, want);
        let record = Record::read(&event).unwrap();
        assert_eq!((record.sequence.as_str(), record.arrived_ms), ("007", 12_500));
        for (records, count) in [(&[][..], 0), (&[record.clone()][..], 1), (&[record.clone(), record][..], 2)] {
            let parsed: Value = serde_json::from_str(&payload(records)).unwrap();
            assert_eq!(parsed, json!({ "Records": vec![want.clone(); count] }));
        }
        let item =
            |keys: Value| Record::read(&json!({ "dynamodb": { "SequenceNumber": "1", "Keys": keys } })).unwrap().item;
        let (pk, sk) = (json!({ "S": "a" }), json!({ "N": "1" }));
        assert_eq!(item(json!({ "pk": pk, "sk": sk })), item(json!({ "sk": sk, "pk": pk })));
        assert_ne!(item(json!({ "pk": pk, "sk": sk })), item(json!({ "pk": sk, "sk": pk })));
        assert_eq!(Record::read(&json!({ "dynamodb": {} })), None);
        assert_eq!(super::event(json!([]), ""), None);
    }

    #[test]
    fn places_have_an_order() {
        for (one, other, want) in [
            ("9", "10", Ordering::Less),
            ("100000000000000000000000000000000000001", "99999999999999999999999999999999999999", Ordering::Greater),
            ("007", "7", Ordering::Equal),
            ("12", "13", Ordering::Less),
        ] {
            assert_eq!(order(one, other), want, "{one} {other}");
        }
    }
}
