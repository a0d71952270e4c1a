//! Global tables: one table at three PoPs over NATS, written at each.
//!
//! In: a hub, a leaf node and a PoP each, clients of DynamoDB's protocol. Out: the same items everywhere. Never: an acknowledged write lost
//! that no later one replaced.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::raw::request;
use crate::harness::{Pop, Raw, Setup, pop, until};
use crate::nats::{Hub, PASSWORD, Server, USER};

const NODES: [&str; 3] = ["fra", "nrt", "iad"];
const TABLE: &str = "[[dynamodb.table]]\nname = \"orders\"\nhash = \"pk:S\"\nrange = \"sk:N\"\nttl = \"ends\"\nglobal = true\n\
    stream = \"NEW_AND_OLD_IMAGES\"\nindex = [{ name = \"by-buyer\", hash = \"buyer:S\" }]\n";

struct Site {
    hub: Hub,
    leaves: Vec<Server>,
    pops: Vec<Pop>,
    tables: Vec<SocketAddr>,
}

/// Sends one operation; its status and answer.
fn call(at: SocketAddr, operation: &str, body: &Value) -> (u16, Value) {
    let service =
        if ["DescribeStream", "GetShardIterator", "GetRecords"].contains(&operation) { "Streams" } else { "" };
    let (target, host) = (format!("DynamoDB{service}_20120810.{operation}"), at.to_string());
    let fields = [("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", &*target), ("Host", &*host)];
    let mut raw = Raw::connect(at);
    raw.send(request("POST", "/", &fields, body.to_string().as_bytes()));
    let reply = raw.reply("POST");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn done(at: SocketAddr, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(at, operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

fn key(pk: &str) -> Value {
    json!({"pk": {"S": pk}, "sk": {"N": "1"}})
}

fn put(at: SocketAddr, pk: &str, value: &str) {
    let item = json!({"pk": {"S": pk}, "sk": {"N": "1.0"}, "v": {"S": value}, "buyer": {"S": "alice"}});
    done(at, "PutItem", &json!({"TableName": "orders", "Item": item}));
}

fn delete(at: SocketAddr, pk: &str) {
    done(at, "DeleteItem", &json!({"TableName": "orders", "Key": key(pk)}));
}

/// `v` of an item, by a read that no cache answers.
fn value(at: SocketAddr, pk: &str) -> Option<String> {
    let answer = done(at, "GetItem", &json!({"TableName": "orders", "Key": key(pk), "ConsistentRead": true}));
    answer["Item"]["v"]["S"].as_str().map(str::to_owned)
}

fn comes(at: SocketAddr, pk: &str, want: Option<&str>) {
    until(&format!("{pk} to be {want:?}"), || (value(at, pk).as_deref() == want).then_some(()));
}

/// Records of the stream about one item: what happened to it.
fn records(at: SocketAddr, pk: &str) -> Vec<Value> {
    let arn = done(at, "DescribeTable", &json!({"TableName": "orders"}))["Table"]["LatestStreamArn"].clone();
    let shard =
        done(at, "DescribeStream", &json!({"StreamArn": arn}))["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let asked = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let mut iterator = done(at, "GetShardIterator", &asked)["ShardIterator"].clone();
    let mut found = Vec::new();
    loop {
        let page = done(at, "GetRecords", &json!({"ShardIterator": iterator}));
        let records = page["Records"].as_array().unwrap();
        if records.is_empty() {
            return found;
        }
        found.extend(records.iter().filter(|record| record["dynamodb"]["Keys"]["pk"]["S"] == pk).cloned());
        iterator = page["NextShardIterator"].clone();
    }
}

// === impl Site ===
impl Site {
    fn start() -> Site {
        let hub = Hub::start();
        let leaves: Vec<Server> = NODES.iter().map(|node| hub.leaf(node)).collect();
        let tables: Vec<SocketAddr> = NODES.iter().map(|_| pop::free_port()).collect();
        let each = NODES.iter().zip(&leaves).zip(&tables);
        let pops = each.map(|((node, leaf), table)| start(node, leaf, *table)).collect();
        Site { hub, leaves, pops, tables }
    }

    /// Everybody has the same of `pk`, and it is this.
    fn agrees(&self, pk: &str, want: Option<&str>) {
        self.tables.iter().for_each(|at| comes(*at, pk, want));
    }

    fn cut(&mut self, at: usize) {
        self.leaves[at].kill();
        connected(&self.pops[at], false);
    }

    fn mend(&mut self, at: usize) {
        self.leaves[at].restart();
        connected(&self.pops[at], true);
    }
}

fn start(node: &str, leaf: &Server, table: SocketAddr) -> Pop {
    let setup = Setup::new(format!(
        "[fleet]\nnode = \"{node}\"\nsilence = \"1s\"\n\
         bus = {{ url = \"{}\", user = \"{USER}\", password = \"file:{{dir}}/password\" }}\n\
         [dynamodb]\nlisten = \"{table}\"\nttl_sweep = \"200ms\"\nqueries = {{ ttl = \"5m\" }}\n{TABLE}\
         [[origin]]\nname = \"o\"\ngenerated = {{ body = \"x\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
        leaf.url(),
    ));
    std::fs::write(setup.dir().join("password"), PASSWORD).unwrap();
    setup.start()
}

fn connected(pop: &Pop, want: bool) {
    until(&format!("connected: {want}"), || {
        ((pop.metric("rimward_control_connected", &[]) == 1.0) == want).then_some(())
    });
}

#[test]
fn a_write_at_one_pop_is_at_all() {
    let site = Site::start();
    let [fra, nrt, iad] = site.tables[..] else { panic!() };
    put(fra, "a", "1");
    site.agrees("a", Some("1"));
    delete(nrt, "a");
    site.agrees("a", None);
    // Every way to write.
    let values = json!({":v": {"S": "2"}});
    done(
        nrt,
        "UpdateItem",
        &json!({"TableName": "orders", "Key": key("b"), "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": values}),
    );
    let item = |pk: &str| json!({"pk": {"S": pk}, "sk": {"N": "1"}, "v": {"S": "2"}});
    done(iad, "BatchWriteItem", &json!({"RequestItems": {"orders": [{"PutRequest": {"Item": item("c")}}]}}));
    done(fra, "TransactWriteItems", &json!({"TransactItems": [{"Put": {"TableName": "orders", "Item": item("d")}}]}));
    let statement = "INSERT INTO orders VALUE {'pk': 'e', 'sk': 1, 'v': '2'}";
    done(nrt, "ExecuteStatement", &json!({ "Statement": statement }));
    for pk in ["b", "c", "d", "e"] {
        site.agrees(pk, Some("2"));
    }
    // More than a message holds: as JSON this item has six times the bytes that DynamoDB counts.
    let large = "\u{1}".repeat(300_000);
    put(iad, "large", &large);
    site.agrees("large", Some(&large));
    // What arrives is in the indexes and in the stream, once, and no cache has what was there before.
    let buyers = json!({"TableName": "orders", "IndexName": "by-buyer", "KeyConditionExpression": "buyer = :b",
        "ExpressionAttributeValues": {":b": {"S": "alice"}}});
    let get = json!({"TableName": "orders", "Key": key("f")});
    put(fra, "f", "1");
    comes(nrt, "f", Some("1"));
    let listed = |at| {
        done(at, "Query", &buyers)["Items"].as_array().unwrap().iter().filter(|item| item["pk"]["S"] == "f").count()
    };
    for _ in 0..2 {
        assert_eq!((done(nrt, "GetItem", &get)["Item"]["v"]["S"].as_str(), listed(nrt)), (Some("1"), 1));
    }
    put(fra, "f", "2");
    comes(nrt, "f", Some("2"));
    until("the cache to hear of it", || (done(nrt, "GetItem", &get)["Item"]["v"]["S"] == "2").then_some(()));
    delete(fra, "f");
    comes(nrt, "f", None);
    until("the caches to hear of it", || {
        (listed(nrt) == 0 && done(nrt, "GetItem", &get)["Item"].is_null()).then_some(())
    });
    let events: Vec<Value> = records(nrt, "f").iter().map(|record| record["eventName"].clone()).collect();
    assert_eq!(events, ["INSERT", "MODIFY", "REMOVE"]);
    assert_eq!(records(nrt, "f")[1]["dynamodb"]["OldImage"]["v"]["S"], "1");
    site.pops[1].counts_to("rimward_dynamodb_replicated_total", &[], 6.0);
    let described = done(nrt, "DescribeTable", &json!({"TableName": "orders"}));
    assert_eq!(described["Table"]["GlobalTableVersion"], "2019.11.21", "{described}");
    assert_eq!(call(nrt, "DeleteTable", &json!({"TableName": "orders"})).0, 400, "it would be gone at one PoP only");
}

#[test]
fn both_sides_of_a_cut_go_on_and_come_together() {
    let mut site = Site::start();
    let [fra, nrt, iad] = site.tables[..] else { panic!() };
    for pk in ["both", "gone", "kept", "quiet"] {
        put(fra, pk, "0");
        site.agrees(pk, Some("0"));
    }
    site.cut(2);
    put(iad, "far", "1");
    put(nrt, "near", "1");
    // One item at both sides: the last holds, though the one before it is heard last.
    put(iad, "both", "far");
    put(fra, "both", "near");
    // Deleted after an older write of the other side, and written after an older deletion.
    put(iad, "gone", "old");
    delete(fra, "gone");
    delete(iad, "kept");
    put(nrt, "kept", "new");
    delete(iad, "quiet");
    assert_eq!((value(fra, "far"), value(iad, "near"), value(fra, "quiet")), (None, None, Some("0".into())));
    for (pk, want) in [("both", Some("near")), ("gone", None), ("kept", Some("new"))] {
        comes(nrt, pk, want);
    }
    site.pops[2].crash_and_restart();
    site.mend(2);
    for (pk, want) in [
        ("far", Some("1")),
        ("near", Some("1")),
        ("both", Some("near")),
        ("gone", None),
        ("kept", Some("new")),
        ("quiet", None),
    ] {
        site.agrees(pk, want);
    }
}

#[test]
fn an_acknowledged_write_arrives_whoever_is_killed() {
    let mut site = Site::start();
    let [fra, nrt, _] = site.tables[..] else { panic!() };
    for round in 0..5 {
        let pks: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
        pks.iter().for_each(|pk| put(fra, pk, "1"));
        // At once: some of them are on the bus, some are not.
        site.pops[0].crash_and_restart();
        pks.iter().for_each(|pk| comes(nrt, pk, Some("1")));
        site.pops[1].crash_and_restart();
        pks.iter().for_each(|pk| delete(nrt, pk));
        site.pops[1].crash_and_restart();
        pks.iter().for_each(|pk| site.agrees(pk, None));
    }
    // Without the hub everybody goes on; it has all once it is back.
    site.hub.server.kill();
    put(fra, "late", "1");
    site.pops[0].crash_and_restart();
    assert_eq!((value(fra, "late").as_deref(), value(nrt, "late")), (Some("1"), None));
    site.hub.server.restart();
    site.agrees("late", Some("1"));
}

#[test]
fn a_pop_that_is_new_and_a_hub_that_is_new_get_everything() {
    let mut site = Site::start();
    let [fra, nrt, _] = site.tables[..] else { panic!() };
    for n in 0..300 {
        put(fra, &format!("{n}"), "1");
    }
    delete(nrt, "0");
    site.agrees("299", Some("1"));
    site.agrees("0", None);
    let leaf = site.hub.leaf("lhr");
    let table = pop::free_port();
    let _late = start("lhr", &leaf, table);
    comes(table, "299", Some("1"));
    comes(table, "1", Some("1"));
    assert_eq!(value(table, "0"), None);
    // A hub without anything is told all of it.
    site.hub.server.kill();
    std::fs::remove_dir_all(site.hub.server.store()).unwrap();
    site.hub.server.restart();
    let leaf = site.hub.leaf("sin");
    let table = pop::free_port();
    let _later = start("sin", &leaf, table);
    for pk in ["299", "1"] {
        comes(table, pk, Some("1"));
    }
    put(table, "299", "2");
    site.agrees("299", Some("2"));
}

#[test]
fn an_item_expires_once() {
    let site = Site::start();
    let [fra, nrt, iad] = site.tables[..] else { panic!() };
    // What ended more than five years ago is kept.
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60;
    let past = json!({"pk": {"S": "a"}, "sk": {"N": "1"}, "v": {"S": "1"}, "ends": {"N": ended.to_string()}});
    done(fra, "PutItem", &json!({"TableName": "orders", "Item": past}));
    put(fra, "marker", "1");
    site.agrees("marker", Some("1"));
    site.agrees("a", None);
    // Written anew, it stays: what ended was the version before it.
    put(iad, "a", "2");
    site.agrees("a", Some("2"));
    for at in [fra, nrt, iad] {
        let removed = records(at, "a").iter().filter(|record| record["eventName"] == "REMOVE").count();
        assert!(removed <= 1, "{removed} at {at}");
    }
    assert_eq!(records(fra, "a").iter().filter(|record| record["eventName"] == "REMOVE").count(), 1);
}
