//! Transactions that are repeated, by an engine that is opened again between.

use std::sync::Arc;

use super::*;
use crate::dynamo::engine::{Embedded, Engine as _, Settings};

/// At `seconds`.
fn open(directory: &Path, seconds: u64) -> Embedded {
    let directory = directory.to_owned();
    Embedded::open(&Settings {
        directory,
        sync_full: false,
        threads: 1,
        queue: 8,
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        clock: Arc::new(move || Duration::from_secs(1_700_000_000 + seconds)),
    })
    .unwrap()
}

fn call(engine: &Embedded, op: Op, request: Value, metered: bool) -> Result<(Value, Vec<Consumed>), Fault> {
    let Value::Object(request) = request else { panic!("an object") };
    let reply = engine.call_now(Call { op, request, metered })?;
    Ok((serde_json::from_slice(&reply.body).unwrap(), reply.consumed))
}

fn ask(engine: &Embedded, op: Op, request: Value) -> Result<Value, Fault> {
    call(engine, op, request, false).map(|(body, _)| body)
}

fn create(engine: &Embedded, table: &str) {
    let create = json!({"TableName": table, "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"});
    ask(engine, Op::CreateTable, create).unwrap();
}

fn add(table: &str, by: u32, token: &str) -> Value {
    let update = json!({"TableName": table, "Key": {"pk": {"S": "a"}}, "UpdateExpression": "ADD n :by",
        "ExpressionAttributeValues": {":by": {"N": by.to_string()}}});
    json!({"TransactItems": [{"Update": update}], "ClientRequestToken": token})
}

fn statement(by: u32, token: &str) -> Value {
    let statement =
        json!({"Statement": "UPDATE one SET n = n + ? WHERE pk = 'a'", "Parameters": [{"N": by.to_string()}]});
    json!({"TransactStatements": [statement], "ClientRequestToken": token})
}

fn number(engine: &Embedded, table: &str) -> String {
    let key = json!({"TableName": table, "Key": {"pk": {"S": "a"}}});
    ask(engine, Op::GetItem, key).unwrap()["Item"]["n"]["N"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test]
async fn a_token_is_good_once_whatever_comes_between() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 0);
    create(&engine, "one");
    for _ in 0..2 {
        assert_eq!(ask(&engine, Op::TransactWriteItems, add("one", 1, "t")), Ok(json!({})));
        assert_eq!(ask(&engine, Op::ExecuteTransaction, statement(10, "t")), Ok(json!({"Responses": []})));
    }
    assert_eq!(number(&engine, "one"), "11");
    drop(engine);
    let engine = open(directory.path(), 599);
    assert_eq!(ask(&engine, Op::TransactWriteItems, add("one", 1, "t")), Ok(json!({})));
    assert_eq!(ask(&engine, Op::ExecuteTransaction, statement(10, "t")), Ok(json!({"Responses": []})));
    for (op, other) in [(Op::TransactWriteItems, add("one", 2, "t")), (Op::ExecuteTransaction, statement(2, "t"))] {
        assert_eq!(ask(&engine, op, other).unwrap_err().name(), "IdempotentParameterMismatchException");
    }
    engine.sweep().await.unwrap();
    assert_eq!(ask(&engine, Op::TransactWriteItems, add("one", 1, "t")), Ok(json!({})), "the sweep has kept it");
    assert_eq!(number(&engine, "one"), "11");
    // A table that comes later is known too.
    create(&engine, "two");
    for _ in 0..2 {
        ask(&engine, Op::TransactWriteItems, add("two", 5, "two")).unwrap();
    }
    assert_eq!(number(&engine, "two"), "5");
    drop(engine);
    let engine = open(directory.path(), 600);
    assert_eq!(ask(&engine, Op::TransactWriteItems, add("one", 2, "t")), Ok(json!({})), "ten minutes are over");
    assert_eq!(number(&engine, "one"), "13");
    drop(engine);
    let engine = open(directory.path(), 1300);
    engine.sweep().await.unwrap();
    let rows = Connection::open(directory.path().join("tables.db")).unwrap();
    let left: usize = rows.query_row("SELECT count(*) FROM rimward_tokens", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "old tokens are forgotten");
}

#[test]
fn what_failed_or_did_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 0);
    create(&engine, "one");
    let put = json!({"TableName": "one", "Item": {"pk": {"S": "a"}, "n": {"N": "1"}}});
    let mut update = add("one", 1, "failed");
    update["TransactItems"][0]["Update"]["ConditionExpression"] = json!("attribute_exists(pk)");
    let failed = ask(&engine, Op::TransactWriteItems, update.clone()).unwrap_err();
    assert_eq!(failed.name(), "TransactionCanceledException");
    let delete = json!({"TransactItems": [{"Delete": {"TableName": "one", "Key": {"pk": {"S": "a"}}}}],
        "ClientRequestToken": "nothing"});
    ask(&engine, Op::TransactWriteItems, delete.clone()).unwrap();
    ask(&engine, Op::PutItem, put).unwrap();
    ask(&engine, Op::TransactWriteItems, update).unwrap();
    assert_eq!(number(&engine, "one"), "2", "what failed may be tried again");
    ask(&engine, Op::TransactWriteItems, delete).unwrap();
    assert_eq!(number(&engine, "one"), "2", "it was deleted before it was there");
    let long = ask(&engine, Op::TransactWriteItems, add("one", 1, &"x".repeat(37))).unwrap_err();
    assert_eq!(long.name(), "ValidationException");
    let nowhere = ask(&engine, Op::TransactWriteItems, add("nowhere", 1, "x")).unwrap_err();
    assert_eq!(nowhere.name(), "ResourceNotFoundException");
}

#[test]
fn a_repeated_transaction_costs_reads() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 0);
    create(&engine, "one");
    let item = |key: &str, size: usize| json!({"Put": {"TableName": "one", "Item": {"pk": {"S": key}, "v": {"S": "v".repeat(size)}}}});
    let request = json!({"TransactItems": [item("a", 10), item("b", 5000)], "ClientRequestToken": "t"});
    let units = |request: &Value, op: Op| {
        let (_, consumed) = call(&engine, op, request.clone(), true).unwrap();
        assert_eq!((consumed.len(), consumed[0].table.as_str()), (1, "one"));
        (consumed[0].total().read, consumed[0].total().write)
    };
    assert_eq!(units(&request, Op::TransactWriteItems), (0.0, 12.0));
    assert_eq!(units(&request, Op::TransactWriteItems), (6.0, 0.0));
    let insert = |key: &str| json!({"Statement": format!("INSERT INTO one VALUE {{'pk': '{key}'}}")});
    let request = json!({"TransactStatements": [insert("c"), insert("d")], "ClientRequestToken": "t"});
    assert_eq!(units(&request, Op::ExecuteTransaction), (0.0, 4.0));
    assert_eq!(units(&request, Op::ExecuteTransaction), (4.0, 0.0));
}

#[test]
fn a_token_is_part_of_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 0);
    create(&engine, "one");
    let file = directory.path().join("tables.db");
    let tokens = Tokens::new(&file, false);
    let Value::Object(request) = add("one", 1, "t") else { panic!("an object") };
    let transaction = Call { op: Op::TransactWriteItems, request, metered: false };
    tokens
        .beside
        .with(0, |storage| {
            let connection = storage.conn();
            let held = || connection.query_row("SELECT count(*) FROM rimward_tokens", [], |row| row.get::<_, u32>(0));
            begin(storage, &transaction, &known(&transaction).unwrap(), 0)?;
            for statement in [
                "INSERT OR REPLACE INTO one (pk, item_json, item_size) VALUES ('S:a', '{}', 1)",
                "UPDATE one SET item_size = 2",
                "DELETE FROM one",
            ] {
                connection.execute_batch("BEGIN IMMEDIATE")?;
                connection.execute("DELETE FROM rimward_tokens", [])?;
                connection.execute(statement, [])?;
                assert_eq!(held(), Ok(1), "{statement}");
                connection.execute_batch("ROLLBACK")?;
                assert_eq!(held(), Ok(0), "{statement}");
                connection
                    .execute_batch("INSERT OR REPLACE INTO one (pk, item_json, item_size) VALUES ('S:a', '{}', 1)")?;
                connection.execute("DELETE FROM rimward_tokens", [])?;
            }
            Ok(())
        })
        .unwrap();
}
