//! Record: what a change elsewhere drops from the caches.
//!
//! In: records of a stream, what their table is. Out: epochs moved, all that a write through this front would move. Never: a record passed
//! over: what cannot be told moves its whole table.
//!
//! Of every view the key is enough: it tells the item and its partition, and of a global index any entry may have moved.

use std::sync::Arc;

use serde_json::Value;

use crate::dynamo::cache::epochs::Epochs;
use crate::dynamo::catalog::Table;
use crate::dynamo::front::written::{self, Write, of_items};

/// Forgets what `records` of the table `name` say was written.
pub fn forget(epochs: &Epochs, name: &str, records: &[Value], known: &[Arc<Table>]) {
    writes(name, records, known).iter().for_each(|write| written::forget(epochs, write));
}

fn writes(name: &str, records: &[Value], known: &[Arc<Table>]) -> Vec<Write> {
    let keys = records.iter().map(|record| record.pointer("/dynamodb/Keys").and_then(Value::as_object));
    let each = keys.flat_map(|keys| match keys {
        Some(keys) => of_items(&[(name, keys)], known),
        None => vec![Write::Table(name.to_owned())],
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::cache::epochs::Scope;
    use crate::dynamo::cache::key;
    use crate::dynamo::catalog::Index;
    use serde_json::json;

    #[test]
    fn a_record_drops_what_a_write_here_would() {
        let index = |name: &str, local| Index { name: name.into(), local, hash: "o".into(), ..Index::default() };
        let table = Arc::new(Table {
            name: "t".into(),
            hash: "pk".into(),
            range: Some("sk".into()),
            indexes: vec![index("g", false), index("l", true)],
            ..Table::default()
        });
        let keys = json!({"pk": {"S": "a"}, "sk": {"N": "1"}});
        let item = |keys: &Value| key::item(keys.as_object().unwrap()).unwrap();
        let (own, other) = (item(&keys), item(&json!({"pk": {"S": "a"}, "sk": {"N": "2"}})));
        let names = ["table", "anything", "partition a", "partition b", "g", "l", "item", "other item", "other table"];
        let moved = |record: Value, known: &[Arc<Table>]| {
            let scopes = [
                Scope::Table("t"),
                Scope::Anything("t"),
                Scope::Partition("t", "Sa"),
                Scope::Partition("t", "Sb"),
                Scope::Index("t", "g"),
                Scope::Index("t", "l"),
                Scope::Item("t", &own),
                Scope::Item("t", &other),
                Scope::Table("u"),
            ];
            let epochs = Epochs::default();
            let before = scopes.map(|scope| epochs.of(scope));
            forget(&epochs, "t", &[record], known);
            let moved =
                scopes.iter().zip(before).zip(names).filter(|((scope, before), _)| epochs.of(**scope) != *before);
            moved.map(|(_, name)| name).collect::<Vec<_>>()
        };
        let record = |view: &str, more: Value| {
            let mut change = json!({"Keys": keys, "StreamViewType": view, "SequenceNumber": "1"});
            change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"eventName": "MODIFY", "dynamodb": change})
        };
        let images = json!({"NewImage": {"pk": {"S": "a"}, "sk": {"N": "1"}, "o": {"S": "x"}},
            "OldImage": {"pk": {"S": "a"}, "sk": {"N": "1"}, "o": {"S": "y"}}});
        let (known, one) = ([Arc::clone(&table)], ["anything", "partition a", "g", "item"]);
        assert_eq!(moved(record("KEYS_ONLY", json!({})), &known), one);
        assert_eq!(moved(record("NEW_AND_OLD_IMAGES", images), &known), one);
        assert_eq!(moved(record("KEYS_ONLY", json!({})), &[]), ["table"], "nobody knows its keys");
        assert_eq!(moved(json!({"eventName": "MODIFY", "dynamodb": {}}), &known), ["table"]);
        assert_eq!(moved(json!(1), &known), ["table"]);
        let odd = json!({"dynamodb": {"Keys": {"other": {"S": "a"}}}});
        assert_eq!(moved(odd, &known), ["table"], "another table's keys");
    }
}
