//! Written: what a request writes, for the caches to forget.
//!
//! In: a request, what its tables are. Out: epochs moved. Never: a write missed: what cannot be told moves its whole table.

use std::sync::Arc;

use bytes::Bytes;

use super::Front;
use super::cached::place;
use crate::dynamo::cache::epochs::{Epochs, Scope};
use crate::dynamo::cache::{Mark, key, stored};
use crate::dynamo::capacity::Side;
use crate::dynamo::catalog::Table;
use crate::dynamo::op::Op;
use crate::dynamo::partiql;
use crate::dynamo::parts::{Deed, actions, statements, written};
use crate::dynamo::request::{Request, object, text};

/// What is written.
#[derive(Debug, PartialEq)]
pub enum Write {
    Item {
        table: Arc<Table>,
        key: Vec<u8>,
        partition: String,
    },
    /// Who knows what of it.
    Table(String),
    /// Nobody can tell of which table.
    Anything,
}

/// Everything that `request` writes.
pub fn writes(op: Op, request: &Request, known: &[Arc<Table>]) -> Vec<Write> {
    let mut found = Vec::new();
    let mut item = |name: &str, content: Option<&Request>| {
        let table = known.iter().find(|table| table.name == name);
        found.push(match (table, content) {
            (Some(table), Some(content)) => one(table, content).unwrap_or_else(|| Write::Table(name.to_owned())),
            _ => Write::Table(name.to_owned()),
        });
    };
    let name = text(request, "TableName").unwrap_or_default();
    match op {
        Op::PutItem | Op::UpdateItem | Op::DeleteItem => {
            item(name, Deed::of(op).and_then(|deed| deed.content(request)));
        }
        Op::BatchWriteItem => {
            for (name, writes) in object(request, "RequestItems").into_iter().flatten() {
                written(writes).for_each(|content| item(name, content));
            }
        }
        Op::TransactWriteItems => {
            for (deed, action) in actions(op, request).filter(|(deed, _)| *deed != Deed::Check) {
                item(text(action, "TableName").unwrap_or_default(), deed.content(action));
            }
        }
        Op::CreateTable | Op::DeleteTable | Op::UpdateTable => item(name, None),
        Op::ExecuteStatement | Op::BatchExecuteStatement | Op::ExecuteTransaction => {
            let each: Vec<_> = statements(op, request).map(partiql::about).collect();
            for about in each.iter().flatten().filter(|about| about.verb.side() == Side::Write) {
                item(&about.table, None);
            }
            if each.iter().any(Option::is_none) {
                found.push(Write::Anything);
            }
        }
        _ => {}
    }
    found
}

/// The same of items that were written from elsewhere: tables, and attributes with those of the key among them.
pub fn of_items(items: &[(&str, &Request)], known: &[Arc<Table>]) -> Vec<Write> {
    let write = |(name, attributes): &(&str, &Request)| {
        let table = known.iter().find(|table| table.name == *name);
        table.and_then(|table| one(table, attributes)).unwrap_or_else(|| Write::Table((*name).to_owned()))
    };
    items.iter().map(write).collect()
}

fn one(table: &Arc<Table>, content: &Request) -> Option<Write> {
    let own = key::of_item(content, &table.hash, table.range.as_deref());
    let (kind, value) = key::scalar(own.get(&table.hash)?)?;
    let partition = format!("{kind}{value}");
    Some(Write::Item { table: Arc::clone(table), key: key::item(&own)?, partition })
}

/// Moves the epochs of what was written.
pub fn forget(epochs: &Epochs, write: &Write) {
    match write {
        Write::Item { table, key, partition } => {
            epochs.bump(Scope::Item(&table.name, key));
            epochs.bump(Scope::Partition(&table.name, partition));
            epochs.bump(Scope::Anything(&table.name));
            // Which entries of an index a write moves is known to the engine only.
            for index in table.indexes.iter().filter(|index| !index.local) {
                epochs.bump(Scope::Index(&table.name, &index.name));
            }
        }
        Write::Table(name) => epochs.bump(Scope::Table(name)),
        Write::Anything => epochs.bump_all(),
    }
}

/// Forgets what was written when it goes, whatever becomes of the write: also one that failed may have been done.
pub struct Forgetting<'a> {
    front: &'a Front,
    writes: Vec<Write>,
}

impl<'a> Forgetting<'a> {
    pub fn new(front: &'a Front, writes: Vec<Write>) -> Forgetting<'a> {
        Forgetting { front, writes }
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.writes.iter().for_each(|write| forget(&self.front.caches.epochs, write));
    }
}

/// What a write of one item leaves in the item cache once it is acknowledged.
pub struct Through {
    table: Arc<Table>,
    key: Vec<u8>,
    /// From before the write.
    mark: Mark,
    body: Bytes,
}

// === impl Through ===
impl Through {
    /// To be taken before the engine is asked. `None`: what the item will be is known to the engine only.
    pub fn new(front: &Front, op: Op, request: &Request, writes: &[Write]) -> Option<Through> {
        // What a remote endpoint makes of an item is its own.
        front.caches.items.as_ref().filter(|_| front.engine.meters())?;
        let [Write::Item { table, key, .. }] = writes else { return None };
        let mark = front.caches.mark(&table.name, Scope::Item(&table.name, key));
        let body = match op {
            Op::PutItem => stored::answer(Deed::Put.content(request)?)?,
            Op::DeleteItem => stored::NOTHING,
            _ => return None,
        };
        Some(Through { table: Arc::clone(table), key: key.clone(), mark, body })
    }

    /// The write was acknowledged, and is forgotten by. Of two writes at once nobody knows which is the last: one that has ended
    /// since this began keeps this out, and one that has not makes the caches forget it when it ends.
    pub fn keep(self, front: &Front) {
        let Through { table, key, mark, body } = self;
        let (Some(store), now, mark) = (&front.caches.items, (front.clock)(), mark.after_one()) else { return };
        let alone = mark == front.caches.mark(&table.name, Scope::Item(&table.name, &key));
        // A table that was made anew meanwhile may have other keys.
        let same = front.catalog.get(&table.name, now).is_some_and(|known| Arc::ptr_eq(&known, &table));
        if alone && same {
            store.put(place(&table.name, &key), mark, body, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_write_is_of_the_item_that_the_engine_writes() {
        let table = Arc::new(Table { name: "t".into(), hash: "pk".into(), ..Table::default() });
        let (mine, other) = (json!({"pk": {"S": "mine"}}), json!({"pk": {"S": "other"}}));
        let both = |item: &Value, key: &Value| json!({"TableName": "t", "Item": item, "Key": key});
        let transact = |kind: &str, action: Value| json!({"TransactItems": [{kind: action}]});
        let batch = |kind: &str, part: Value| json!({"RequestItems": {"t": [{kind: part}]}});
        for (op, request) in [
            (Op::PutItem, both(&mine, &other)),
            (Op::UpdateItem, both(&other, &mine)),
            (Op::DeleteItem, both(&other, &mine)),
            (Op::TransactWriteItems, transact("Put", both(&mine, &other))),
            (Op::TransactWriteItems, transact("Update", both(&other, &mine))),
            (Op::TransactWriteItems, transact("Delete", both(&other, &mine))),
            (Op::BatchWriteItem, batch("PutRequest", both(&mine, &other))),
            (Op::BatchWriteItem, batch("DeleteRequest", both(&other, &mine))),
        ] {
            let want = one(&table, mine.as_object().unwrap());
            let found = writes(op, request.as_object().unwrap(), &[Arc::clone(&table)]);
            assert_eq!(found, Vec::from_iter(want), "{op:?} {request}");
        }
    }

    #[test]
    fn statements_that_cannot_be_read_write_any_table() {
        let table = |name: &str| Write::Table(name.to_owned());
        for (statements, want) in [
            (&["SELECT * FROM t"][..], vec![]),
            (&["/**/DELETE FROM t WHERE pk='1'"], vec![table("t")]),
            (&["SELECT /* FROM t"], vec![Write::Anything]),
            (&["UPDATE t SET a = 1", "#"], vec![table("t"), Write::Anything]),
        ] {
            let each: Vec<Value> = statements.iter().map(|one| json!({"Statement": one})).collect();
            let request = json!({ "Statements": each });
            assert_eq!(writes(Op::BatchExecuteStatement, request.as_object().unwrap(), &[]), want, "{statements:?}");
        }
        let epochs = Epochs::default();
        let all = [Scope::Table("t"), Scope::Item("u", b"a"), Scope::Partition("v", "a")];
        let before = all.map(|scope| epochs.of(scope));
        forget(&epochs, &Write::Anything);
        assert!(all.iter().zip(before).all(|(scope, before)| epochs.of(*scope) != before));
    }
}
