//! What is done directly is what the engine would have done.

use serde_json::{Value, json};

use super::super::correct;
use super::super::sidecar::Sidecar;
use super::*;

struct Tables {
    db: Database,
    direct: Direct,
    rows: rusqlite::Connection,
    _directory: tempfile::TempDir,
}

/// Tables "one" and "two" with a stream, "number" with a sort key that is a number, "hash" with none, "indexed" with an index.
fn tables() -> Tables {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    let db = Database::new(path.to_str().unwrap()).unwrap();
    Sidecar::open(&path, false).unwrap();
    let direct = Direct::open(&path, false, 64).unwrap();
    for (name, sort, stream) in [
        ("one", Some("S"), true),
        ("two", Some("S"), true),
        ("number", Some("N"), false),
        ("hash", None, false),
        ("indexed", Some("S"), false),
    ] {
        let mut attributes = vec![json!({"AttributeName": "pk", "AttributeType": "S"})];
        let mut keys = vec![json!({"AttributeName": "pk", "KeyType": "HASH"})];
        if let Some(kind) = sort {
            attributes.push(json!({"AttributeName": "sk", "AttributeType": kind}));
            keys.push(json!({"AttributeName": "sk", "KeyType": "RANGE"}));
        }
        let mut create = json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": attributes,
            "KeySchema": keys, "StreamSpecification": {"StreamEnabled": stream}});
        if stream {
            create["StreamSpecification"]["StreamViewType"] = json!("NEW_AND_OLD_IMAGES");
        }
        if name == "indexed" {
            create["GlobalSecondaryIndexes"] = json!([{"IndexName": "by-sk", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}]}]);
        }
        engine(&db, Op::CreateTable, create).unwrap();
    }
    let rows = rusqlite::Connection::open(&path).unwrap();
    Tables { db, direct, rows, _directory: directory }
}

fn engine(db: &Database, op: Op, request: Value) -> Result<Reply, Fault> {
    let mut call = asked(op, request);
    if op.metered() {
        call.request.insert("ReturnConsumedCapacity".to_owned(), json!("INDEXES"));
    }
    correct::call(db, call)
}

fn asked(op: Op, request: Value) -> Call {
    let Value::Object(request) = request else { panic!("an object") };
    Call { op, request, metered: true }
}

fn with(mut request: Value, name: &str, value: Value) -> Value {
    request[name] = value;
    request
}

fn said(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

// === impl Tables ===
impl Tables {
    /// The engine takes a call, and it is remembered.
    fn taught(&self, op: Op, request: Value) -> Result<Reply, Fault> {
        let lesson = self.direct.study(&self.db, &asked(op, request.clone()));
        let reply = engine(&self.db, op, request)?;
        lesson.into_iter().for_each(|lesson| self.direct.learn(lesson));
        Ok(reply)
    }

    async fn write(&self, op: Op, request: Value) -> Option<Reply> {
        let write = self.direct.writes(&asked(op, request))?;
        self.direct.write(write).await.unwrap()
    }

    fn held(&self, table: &str) -> Vec<(String, String, Value, i64, String)> {
        let sql = format!("SELECT pk, sk, item_json, item_size, hash_prefix FROM \"{table}\" ORDER BY pk, sk");
        let mut query = self.rows.prepare(&sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let item: String = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, serde_json::from_str(&item).unwrap(), row.get(3)?, row.get(4)?))
        };
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn recorded(&self, table: &str) -> Vec<(String, [Option<Value>; 3], bool)> {
        let sql = "SELECT event_name, keys_json, new_image, old_image, shard_id, length(event_id), user_identity
                       FROM _stream_records WHERE table_name = ?1 ORDER BY CAST(sequence_number AS INTEGER)";
        let mut query = self.rows.prepare(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let json = |at| row.get::<_, Option<String>>(at).unwrap().map(|text| serde_json::from_str(&text).unwrap());
            let own = row.get::<_, String>(4)?.ends_with(table) && row.get::<_, i64>(5)? == 32;
            let nobody = row.get::<_, Option<String>>(6)?.is_none();
            Ok((row.get(0)?, [json(1), json(2), json(3)], own && nobody))
        };
        query.query_map([table], row).unwrap().map(Result::unwrap).collect()
    }
}

fn item(sort: Value) -> Value {
    json!({"pk": {"S": "a"}, "sk": sort, "n": {"N": "010.50"}, "set": {"NS": ["3", "1", "2.0"]}, "none": {"NULL": true},
        "deep": {"M": {"l": {"L": [{"BOOL": false}, {"B": "AAE="}, {"S": ""}]}}}, "text": {"S": "x".repeat(700)}})
}

#[test]
fn items_are_read_as_the_engine_reads_them() {
    let tables = tables();
    for sort in ["1", "2", "é\"\\\u{0}"] {
        engine(&tables.db, Op::PutItem, json!({"TableName": "one", "Item": item(json!({"S": sort}))})).unwrap();
    }
    let update = json!({"TableName": "one", "Key": {"pk": {"S": "a"}, "sk": {"S": "2"}}, "UpdateExpression": "SET more = :m",
        "ExpressionAttributeValues": {":m": {"S": "y".repeat(4000)}}});
    engine(&tables.db, Op::UpdateItem, update).unwrap();
    engine(&tables.db, Op::PutItem, json!({"TableName": "number", "Item": item(json!({"N": "-1.50"}))})).unwrap();
    engine(&tables.db, Op::PutItem, json!({"TableName": "hash", "Item": {"pk": {"S": "a"}}})).unwrap();
    let get = |table: &str, key: Value| json!({"TableName": table, "Key": key});
    let key = |sort: Value| json!({"pk": {"S": "a"}, "sk": sort});
    let first = get("one", key(json!({"S": "1"})));
    for (request, plain) in [
        (first.clone(), true),
        (get("one", key(json!({"S": "2"}))), true),
        (get("one", key(json!({"S": "é\"\\\u{0}"}))), true),
        (get("one", key(json!({"S": "none"}))), true),
        (get("number", key(json!({"N": "-15e-1"}))), true),
        (get("hash", json!({"pk": {"S": "a"}})), true),
        (with(first.clone(), "ConsistentRead", json!(true)), true),
        (with(first.clone(), "ConsistentRead", json!("true")), false),
        (with(first.clone(), "ProjectionExpression", json!("n")), false),
        (with(first.clone(), "ReturnConsumedCapacity", json!("ALL")), false),
        (with(first, "AttributesToGet", Value::Null), false),
        (get("one", json!({"pk": {"S": "a"}})), false),
        (get("one", key(json!({"N": "1"}))), false),
        (get("one", key(json!({"S": ""}))), false),
        (get("one", key(json!({"S": "x".repeat(1025)}))), false),
        (get("number", key(json!({"N": "x"}))), false),
        (get("gone", key(json!({"S": "1"}))), false),
    ] {
        let want = tables.taught(Op::GetItem, request.clone());
        let found = tables.direct.read_now(&asked(Op::GetItem, request.clone()));
        assert_eq!(found.is_some(), plain, "{request}");
        if let Some(found) = found {
            let want = want.unwrap();
            assert_eq!((said(&found), found.consumed), (said(&want), want.consumed), "{request}");
        }
    }
}

#[test]
fn partitions_are_read_as_the_engine_reads_them() {
    let tables = tables();
    for number in 0..30 {
        let big = json!({"pk": {"S": "big"}, "sk": {"S": format!("{number:02}")}, "x": {"S": "x".repeat(60_000)}});
        for (table, item) in [
            ("one", item(json!({"S": format!("{number:02}")}))),
            ("one", big),
            ("number", item(json!({"N": (number - 9).to_string()}))),
        ] {
            engine(&tables.db, Op::PutItem, json!({"TableName": table, "Item": item})).unwrap();
        }
    }
    let query = |table: &str, expression: &str, values: Value| json!({"TableName": table, "KeyConditionExpression": expression, "ExpressionAttributeValues": values});
    let a = || json!({":p": {"S": "a"}});
    let of = |expression: &str, kind: &str, first: &str, second: Option<&str>| {
        let mut values = with(a(), ":a", json!({kind: first}));
        if let Some(second) = second {
            values[":b"] = json!({kind: second});
        }
        query(if kind == "S" { "one" } else { "number" }, expression, values)
    };
    let all = query("one", "pk = :p", a());
    let named = with(query("one", "#k=:p", a()), "ExpressionAttributeNames", json!({"#k": "pk"}));
    for (request, plain) in [
        (all.clone(), true),
        (with(all.clone(), "Limit", json!(7)), true),
        (with(all.clone(), "Limit", json!(30)), true),
        (with(with(all.clone(), "Limit", json!(7)), "ScanIndexForward", json!(false)), true),
        (with(all.clone(), "ConsistentRead", json!(true)), true),
        (query("one", "pk = :p", json!({":p": {"S": "nobody"}})), true),
        (query("one", "pk = :p", json!({":p": {"S": "big"}})), true),
        (named.clone(), true),
        (of("pk = :p AND sk = :a", "S", "05", None), true),
        (of("sk > :a and pk = :p", "S", "05", None), true),
        (of("pk = :p AND sk >= :a", "S", "05", None), true),
        (of("pk = :p AND sk < :a", "N", "0.50", None), true),
        (of("pk = :p AND sk <= :a", "N", "-3", None), true),
        (of("pk = :p AND sk BETWEEN :a AND :b", "N", "-3", Some("12")), true),
        (of("pk = :p AND begins_with(sk, :a)", "S", "1", None), true),
        (of("pk = :p AND begins_with ( sk , :a )", "S", "2", None), true),
        (of("pk = :p AND sk BETWEEN :a AND :b", "S", "12", Some("03")), false),
        (of("pk = :p AND sk = :a", "S", "05", Some("06")), false),
        (of("(pk = :p) AND sk = :a", "S", "05", None), false),
        (of("pk = :p AND begins_with(sk, :a)", "N", "1", None), false),
        (query("one", "pk = :p", json!({":p": {"N": "1"}})), false),
        (query("one", "sk = :p", a()), false),
        (query("one", "pk = :q", a()), false),
        (query("one", "pk <> :p", a()), false),
        (with(named, "ExpressionAttributeNames", json!({"#k": "pk", "#l": "sk"})), false),
        (with(all.clone(), "Limit", json!(0)), false),
        (with(all.clone(), "Limit", json!(1.5)), false),
        (with(all.clone(), "FilterExpression", json!("attribute_exists(n)")), false),
        (with(all, "Select", json!("COUNT")), false),
    ] {
        let want = tables.taught(Op::Query, request.clone());
        let found = tables.direct.read(&asked(Op::Query, request.clone()));
        assert_eq!(found.is_some(), plain, "{request} {want:?}");
        if let Some(found) = found {
            let want = want.unwrap();
            // Of a result that is cut at its most bytes, the engine counts the item behind the cut as scanned; AWS counts the same twice
            // where there is no filter.
            let counted = with(said(&want), "ScannedCount", said(&want)["Count"].clone());
            assert_eq!((said(&found), found.consumed), (counted, want.consumed), "{request}");
        }
        let short = tables.direct.read_now(&asked(Op::Query, request.clone()));
        assert_eq!(short.is_some(), plain && request.get("Limit").is_some(), "{request}");
    }
}

#[tokio::test]
async fn items_are_written_as_the_engine_writes_them() {
    let tables = tables();
    let put = |table: &str, item: Value| json!({"TableName": table, "Item": item});
    let small = |sort: &str| json!({"pk": {"S": "a"}, "sk": {"S": sort}});
    let delete = |table: &str, sort: &str| json!({"TableName": table, "Key": {"pk": {"S": "a"}, "sk": {"S": sort}}});
    let same = |write: &dyn Fn(&str) -> Value, table: &str| write(table);
    tables.taught(Op::PutItem, put("two", small("0"))).unwrap();
    engine(&tables.db, Op::PutItem, put("one", small("0"))).unwrap();
    for (op, write) in [
        (Op::PutItem, &(|table: &str| put(table, item(json!({"S": "1"})))) as &dyn Fn(&str) -> Value),
        (Op::PutItem, &|table| put(table, item(json!({"S": "1"})))),
        (Op::PutItem, &|table| put(table, small("1"))),
        (Op::PutItem, &|table| with(put(table, item(json!({"S": "2"}))), "ReturnValues", json!("NONE"))),
        (Op::DeleteItem, &|table| delete(table, "2")),
        (Op::DeleteItem, &|table| delete(table, "2")),
        (Op::PutItem, &|table| put(table, small("2"))),
    ] {
        let want = engine(&tables.db, op, same(write, "one")).unwrap();
        let found = tables.write(op, same(write, "two")).await.unwrap();
        let units = |reply: &Reply| reply.consumed.iter().map(|one| one.base).collect::<Vec<_>>();
        assert_eq!((said(&found), units(&found)), (said(&want), units(&want)), "{}", same(write, "two"));
        assert_eq!(tables.held("two"), tables.held("one"));
        assert_eq!(tables.recorded("two"), tables.recorded("one"));
    }
    assert_eq!(tables.recorded("two").len(), 7, "a delete of nothing is not recorded");
    for (op, request) in [
        (Op::PutItem, with(put("two", small("1")), "ReturnValues", json!("ALL_OLD"))),
        (Op::PutItem, with(put("two", small("1")), "ConditionExpression", json!("attribute_not_exists(pk)"))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "": {"S": "x"}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "m": {"M": {"": {"S": "x"}}}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "n": {"N": "one"}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "s": {"SS": []}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "s": {"SS": ["x", "x"]}}))),
        (Op::PutItem, put("two", json!({"pk": {"S": "a"}, "sk": {"S": "1"}, "x": {"S": "x".repeat(410_000)}}))),
        (Op::PutItem, put("indexed", small("1"))),
        (Op::DeleteItem, json!({"TableName": "two", "Key": {"pk": {"S": "a"}}})),
        (Op::UpdateItem, delete("two", "1")),
    ] {
        let _ = tables.taught(op, request.clone());
        assert!(tables.direct.writes(&asked(op, request.clone())).is_none(), "{request}");
    }
}

#[tokio::test]
async fn what_a_table_was_is_forgotten() {
    let tables = tables();
    let put = json!({"TableName": "hash", "Item": {"pk": {"S": "a"}}});
    let get = json!({"TableName": "hash", "Key": {"pk": {"S": "a"}}});
    tables.taught(Op::PutItem, put.clone()).unwrap();
    let before = tables.direct.writes(&asked(Op::PutItem, put.clone())).unwrap();
    assert!(tables.direct.read_now(&asked(Op::GetItem, get.clone())).is_some());
    engine(&tables.db, Op::DeleteTable, json!({"TableName": "hash"})).unwrap();
    assert!(tables.direct.read_now(&asked(Op::GetItem, get.clone())).is_none(), "there are no such rows");
    tables.direct.changed();
    assert!(tables.direct.read_now(&asked(Op::GetItem, get)).is_none());
    assert!(tables.direct.writes(&asked(Op::PutItem, put.clone())).is_none());
    assert_eq!(tables.direct.write(before).await, Ok(None), "asked when it was another");
    tables.direct.close();
    let other = json!({"TableName": "one", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}});
    tables.taught(Op::PutItem, other.clone()).unwrap();
    let late = tables.direct.writes(&asked(Op::PutItem, other)).unwrap();
    assert!(tables.direct.write(late).await.is_err_and(|fault| fault.status == 500 || fault.status == 503), "closed");
}

#[tokio::test]
async fn one_that_fails_does_not_fail_the_others() {
    let tables = tables();
    let put = |table: &str, sort: &str| json!({"TableName": table, "Item": {"pk": {"S": "a"}, "sk": {"S": sort}}});
    for table in ["one", "two"] {
        tables.taught(Op::PutItem, put(table, "0")).unwrap();
    }
    let write = |table: &str, sort: &str| tables.direct.writes(&asked(Op::PutItem, put(table, sort))).unwrap();
    let (first, second, third) = (write("one", "1"), write("two", "1"), write("one", "2"));
    engine(&tables.db, Op::DeleteTable, json!({"TableName": "two"})).unwrap();
    let held = tables.direct.turn();
    let writes =
        async { tokio::join!(tables.direct.write(first), tables.direct.write(second), tables.direct.write(third)) };
    let release = async { drop(held) };
    let ((first, second, third), ()) = tokio::join!(writes, release);
    assert!(first.unwrap().is_some() && third.unwrap().is_some());
    assert_eq!(second, Ok(None), "its table is gone: the engine says so");
    assert_eq!(tables.held("one").len(), 3);
}
