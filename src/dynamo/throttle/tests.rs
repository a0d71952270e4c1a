//! What goes ahead, by what is left.

use super::*;
use serde_json::json;

fn home() -> Home {
    Home { region: "r".into(), account: "1".into() }
}

fn tables() -> Vec<Arc<Table>> {
    let table = |name: &str, mode: Value| {
        let mut description = json!({"TableName": name, "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}]});
        description.as_object_mut().unwrap().extend(mode.as_object().unwrap().clone());
        Arc::new(Table::read(&description).unwrap())
    };
    let one = json!({"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}});
    let most = json!({"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "OnDemandThroughput": {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 1}});
    vec![table("t", one), table("d", most)]
}

/// A meter in which all but `left` units of table t and of table d have been used.
fn meter(left: f64) -> Meter {
    let meter = Meter::default();
    for table in tables() {
        for side in [Side::Read, Side::Write] {
            meter.charge(&table, &Consumed::of(&table.name, side, 300.0 - left), Duration::ZERO);
        }
    }
    meter
}

fn try_with(left: f64, op: Op, request: &mut Value) -> Result<Admitted, Fault> {
    let Value::Object(members) = request else { panic!("an object") };
    admit(op, members, &tables(), &meter(left), &home(), Duration::ZERO)
}

#[test]
fn single_operations() {
    let put = |bytes: usize| json!({"TableName": "t", "Item": {"pk": {"S": "a"}, "x": {"S": "z".repeat(bytes)}}});
    for (name, left, op, request, ok) in [
        ("half a unit", 0.5, Op::GetItem, json!({"TableName": "t"}), true),
        ("half of one", 0.5, Op::GetItem, json!({"TableName": "t", "ConsistentRead": true}), false),
        ("none", 0.0, Op::GetItem, json!({"TableName": "t"}), false),
        ("an item of two units", 2.0, Op::PutItem, put(1500), true),
        ("an item of more", 2.0, Op::PutItem, put(2500), false),
        ("update", 1.0, Op::UpdateItem, json!({"TableName": "t"}), true),
        ("update with none", 0.9, Op::UpdateItem, json!({"TableName": "t"}), false),
        ("an index has its own", 0.0, Op::Query, json!({"TableName": "t", "IndexName": "g"}), true),
        ("query", 0.0, Op::Query, json!({"TableName": "t"}), false),
        ("statement", 0.0, Op::ExecuteStatement, json!({"Statement": "SELECT * FROM t"}), false),
        ("statement on another table", 0.0, Op::ExecuteStatement, json!({"Statement": "SELECT * FROM u"}), true),
        (
            "transaction of statements",
            3.0,
            Op::ExecuteTransaction,
            json!({"TransactStatements": [
            {"Statement": "DELETE FROM t WHERE pk='a'"}, {"Statement": "DELETE FROM t WHERE pk='b'"}]}),
            false,
        ),
        ("tables cost nothing", 0.0, Op::DescribeTable, json!({"TableName": "t"}), true),
    ] {
        assert_eq!(try_with(left, op, &mut request.clone()).is_ok(), ok, "{name}");
    }
    let fault = try_with(0.0, Op::PutItem, &mut put(1)).unwrap_err();
    assert_eq!(fault.name(), "ProvisionedThroughputExceededException");
    assert_eq!(
        fault.more["ThrottlingReasons"],
        json!([{"reason": "TableWriteProvisionedThroughputExceeded", "resource": "arn:aws:dynamodb:r:1:table/t"}])
    );
    let fault = try_with(0.0, Op::GetItem, &mut json!({"TableName": "d"})).unwrap_err();
    assert_eq!(fault.name(), "ThrottlingException");
    assert_eq!(fault.more["ThrottlingReasons"][0]["reason"], "TableReadMaxOnDemandThroughputExceeded");
}

#[test]
fn batches_leave_out_what_does_not_fit() {
    let key = |name: &str| json!({"pk": {"S": name}});
    let put = |name: &str| json!({"PutRequest": {"Item": key(name)}});
    let mut request = json!({"RequestItems": {"t": [put("a"), put("b"), put("c")], "u": [put("x")]}});
    let admitted = try_with(2.0, Op::BatchWriteItem, &mut request).unwrap();
    assert_eq!(Value::Object(admitted.unprocessed), json!({"t": [put("c")]}));
    assert_eq!(request, json!({"RequestItems": {"t": [put("a"), put("b")], "u": [put("x")]}}));

    let mut request = json!({"RequestItems": {"t": {"Keys": [key("a"), key("b")], "ConsistentRead": true}, "u": {"Keys": [key("x")]}}});
    let admitted = try_with(0.5, Op::BatchGetItem, &mut request).unwrap();
    assert_eq!(
        Value::Object(admitted.unprocessed),
        json!({"t": {"Keys": [key("a"), key("b")], "ConsistentRead": true}})
    );
    assert_eq!(request, json!({"RequestItems": {"u": {"Keys": [key("x")]}}}));

    let mut request = json!({"RequestItems": {"t": [put("a")]}});
    assert_eq!(
        try_with(0.0, Op::BatchWriteItem, &mut request).unwrap_err().name(),
        "ProvisionedThroughputExceededException"
    );
}

#[test]
fn transactions_are_cancelled() {
    let put = |table: &str| json!({"Put": {"TableName": table, "Item": {"pk": {"S": "a"}}}});
    let mut request = json!({"TransactItems": [put("t"), put("u"), put("t")]});
    assert_eq!(try_with(4.0, Op::TransactWriteItems, &mut request), Ok(Admitted::default()));
    let fault = try_with(3.0, Op::TransactWriteItems, &mut request).unwrap_err();
    assert_eq!(fault.name(), "TransactionCanceledException");
    let codes: Vec<_> =
        fault.more["CancellationReasons"].as_array().unwrap().iter().map(|reason| &reason["Code"]).collect();
    assert_eq!(codes, ["None", "None", "ProvisionedThroughputExceeded"]);
    let units: Vec<f64> =
        cancelled(Op::TransactWriteItems, request.as_object().unwrap()).iter().map(|one| one.total().write).collect();
    assert_eq!(units, [2.0, 2.0, 2.0], "what is cancelled is charged");
}
