//! Fleet: several PoPs over NATS: what is purged at one is purged everywhere, whoever was away meanwhile.
//!
//! In: a hub, a leaf node and a PoP each, an origin that counts. Out: what viewers get. Never: purged content after a PoP is back.

use std::fs;

use serde_json::{Value, json};

use crate::harness::pop::{Setup, TOKEN, free_port, run};
use crate::harness::raw::request;
use crate::harness::{HOST, Origin, Pop, Raw, until};
use crate::nats::{Hub, PASSWORD, Server, USER};

const NODES: [&str; 3] = ["fra", "nrt", "iad"];

struct Fleet {
    hub: Hub,
    leaves: Vec<Server>,
    pops: Vec<Pop>,
    origin: Origin,
}

// === impl Fleet ===
impl Fleet {
    /// `more`: further tables of every PoP.
    fn start(more: &str) -> Fleet {
        let hub = Hub::start();
        let leaves: Vec<Server> = NODES.iter().map(|node| hub.leaf(node)).collect();
        let origin = Origin::start(|x| {
            let fields = "Cache-Control: max-age=600\r\nSurrogate-Key: all\r\n";
            x.reply("200 OK", fields, format!("v{}", x.nth));
        });
        let pops = NODES.iter().zip(&leaves).map(|(node, leaf)| {
            let setup = Setup::new(format!(
                "[fleet]\nnode = \"{node}\"\nsilence = \"1s\"\n\
                 bus = {{ url = \"{}\", user = \"{USER}\", password = \"file:{{dir}}/password\" }}\n\
                 {more}\n{}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
                 cache = {{ tag_headers = [\"surrogate-key\"] }}\n",
                leaf.url(),
                origin.config("o"),
            ));
            fs::write(setup.dir().join("password"), PASSWORD).unwrap();
            setup.start()
        });
        let pops: Vec<Pop> = pops.collect();
        let fleet = Fleet { pops, hub, leaves, origin };
        for pop in &fleet.pops {
            connected(pop, true);
            until("all nodes to be known", || {
                (pop.metric("rimward_fleet_nodes", &[]) == NODES.len() as f64).then_some(())
            });
        }
        fleet
    }

    /// Each PoP has `path` in its cache.
    fn fill(&self, path: &str) {
        for pop in &self.pops {
            pop.get(path);
            assert!(pop.get(path).hit());
        }
    }
}

fn connected(pop: &Pop, want: bool) {
    until(&format!("connected: {want}"), || {
        ((pop.metric("rimward_control_connected", &[]) == 1.0) == want).then_some(())
    });
}

fn purge(pop: &Pop, what: &Value) -> Value {
    let reply = pop.admin("POST", "/purge", &what.to_string());
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

/// Purges `path` and waits for everyone.
fn purge_everywhere(pop: &Pop, path: &str) {
    let done = purge(pop, &json!({"url": format!("http://{HOST}{path}"), "wait_ms": 30_000}));
    assert_eq!((&done["seen"], done.get("missing")), (&json!(["fra", "iad", "nrt"]), None), "{done}");
}

#[test]
fn a_purge_at_one_counts_at_all() {
    let fleet = Fleet::start("");
    for (n, pop) in fleet.pops.iter().enumerate() {
        let path = format!("/{n}");
        fleet.fill(&path);
        purge_everywhere(pop, &path);
        assert!(fleet.pops.iter().all(|other| !other.get(&path).hit()), "{path}");
        assert!(fleet.pops.iter().all(|other| other.get(&path).hit()), "{path}");
    }
    let done = purge(&fleet.pops[0], &json!({"tag": "all", "wait_ms": 30_000}));
    assert_eq!(done["seen"], json!(["fra", "iad", "nrt"]));
    assert!(fleet.pops.iter().all(|pop| !pop.get("/0").hit()));
}

#[test]
fn a_purge_that_waits_fails_where_the_bus_was_never_reached() {
    let nobody = free_port();
    let setup = Setup::new(format!(
        "[fleet]\nnode = \"fra\"\nsecret = \"file:{{dir}}/secret\"\nbus = {{ url = \"nats://{nobody}\" }}\n\
         [[fleet.peer]]\nnode = \"nrt\"\npop = \"NRT\"\nurl = \"http://127.0.0.1:9\"\n\
         [[origin]]\nname = \"o\"\ngenerated = {{ body = \"here\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n"
    ));
    let files = setup.dir().to_owned();
    fs::write(files.join("secret"), format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())).unwrap();
    fs::write(files.join("token"), TOKEN).unwrap();
    let pop = setup.start();
    assert_eq!(pop.get("/").text(), "here", "viewers are served meanwhile");
    let admin = format!("http://{}", pop.admin);
    let token = files.join("token");
    let command = |words: &[&str]| {
        let (status, out, err) = run(&[words, &["--admin", &admin, "--token-file", token.to_str().unwrap()]].concat());
        (status.code(), out + &err)
    };
    let (code, said) = command(&["purge", "--all", "--wait", "1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not confirmed by fra, nrt in time"), "{said}");
    let (code, said) = command(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the bus does not answer"), "{said}");
}

#[test]
fn a_pop_that_is_cut_off_serves_and_comes_back_without_what_was_purged() {
    let mut fleet = Fleet::start("");
    fleet.fill("/a");
    fleet.fill("/b");
    fleet.leaves[2].kill();
    connected(&fleet.pops[2], false);
    // Both ways: one purge at each side of the cut.
    let done = purge(&fleet.pops[0], &json!({"url": format!("http://{HOST}/a"), "wait_ms": 500}));
    assert_eq!(done["missing"], json!(["iad"]), "{done}");
    purge(&fleet.pops[2], &json!({"url": format!("http://{HOST}/b")}));
    assert!(fleet.pops[2].get("/a").hit(), "it serves what it has");
    assert!(!fleet.pops[2].get("/b").hit());
    assert!(!fleet.pops[0].get("/a").hit() && fleet.pops[0].get("/b").hit());
    fleet.leaves[2].restart();
    connected(&fleet.pops[2], true);
    assert!(!fleet.pops[2].get("/a").hit(), "it is back: what was purged is not served");
    until("the others to hear of it", || (!fleet.pops[0].get("/b").hit()).then_some(()));
    until("the others to hear of it", || (!fleet.pops[1].get("/b").hit()).then_some(()));
    purge_everywhere(&fleet.pops[1], "/a");
}

#[test]
fn an_accepted_purge_outlives_its_pop_and_the_hub() {
    let mut fleet = Fleet::start("");
    fleet.fill("/a");
    fleet.hub.server.kill();
    fleet.pops.iter().for_each(|pop| connected(pop, false));
    purge(&fleet.pops[0], &json!({"url": format!("http://{HOST}/a")}));
    fleet.pops[0].crash_and_restart();
    assert!(fleet.pops[1].get("/a").hit(), "nobody could tell it");
    fleet.hub.server.restart();
    for pop in &fleet.pops[1..] {
        until("the purge to arrive", || (!pop.get("/a").hit()).then_some(()));
    }
    purge_everywhere(&fleet.pops[0], "/a");
}

#[test]
fn a_pop_that_was_down_does_not_serve_what_was_purged_meanwhile() {
    let mut fleet = Fleet::start("[cache]\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\nmemory = \"1MiB\"\n");
    fleet.fill("/a");
    fleet.fill("/kept");
    // Its disk has them.
    fleet.pops[1].restart();
    connected(&fleet.pops[1], true);
    assert!(fleet.pops[1].get("/a").hit());
    fleet.pops[1].signal("KILL");
    fleet.pops[1].wait();
    purge(&fleet.pops[0], &json!({"url": format!("http://{HOST}/a")}));
    let asked = fleet.origin.count();
    fleet.pops[1].start_again();
    let first = fleet.pops[1].get("/a");
    assert!(!first.hit(), "its first answer is not the old one");
    assert_eq!(fleet.origin.count(), asked + 1);
    until("it to be where the bus is", || fleet.pops[1].stderr().contains("no purge is missing").then_some(()));
    assert!(fleet.pops[1].get("/kept").hit(), "what was not purged is served again");
}

#[test]
fn keys_and_values_are_the_same_everywhere() {
    let mut fleet = Fleet::start("[[kv_store]]\nname = \"flags\"\n[[usage_plan]]\nname = \"gold\"\n");
    let value = |pop: &Pop, key: &str| -> Option<String> {
        let reply = pop.admin("GET", &format!("/key-value-stores/flags/keys/{key}"), "");
        let text: Value = serde_json::from_slice(&reply.body).unwrap();
        (reply.status == 200).then(|| text["Value"].as_str().unwrap().to_owned())
    };
    let update = |pop: &Pop, body: Value| {
        let state = pop.admin("GET", "/key-value-stores/flags", "");
        let etag = state.field("etag").unwrap().to_owned();
        let fields =
            [("Authorization", &*format!("Bearer {TOKEN}")), ("If-Match", &etag), ("Content-Type", "application/json")];
        let mut raw = Raw::connect(pop.admin);
        raw.send(request("POST", "/key-value-stores/flags/keys", &fields, body.to_string().as_bytes()));
        let reply = raw.reply("POST");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    };
    let put = |key: &str, value: &str| json!({"Puts": [{"Key": key, "Value": value}]});
    update(&fleet.pops[0], put("beta", "on"));
    let made = fleet.pops[0].admin("POST", "/keys", &json!({"name": "alice", "plans": ["gold"]}).to_string());
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    for pop in &fleet.pops {
        until("the entry", || (value(pop, "beta").as_deref() == Some("on")).then_some(()));
        until("the key", || {
            String::from_utf8_lossy(&pop.admin("GET", "/keys", "").body).contains("alice").then_some(())
        });
    }
    // Cut off, both sides go on; afterwards all have both, and of one key the same.
    fleet.leaves[2].kill();
    connected(&fleet.pops[2], false);
    update(&fleet.pops[2], put("far", "1"));
    update(&fleet.pops[2], put("beta", "far"));
    update(&fleet.pops[0], put("near", "1"));
    assert_eq!(fleet.pops[0].admin("DELETE", "/keys/alice", "").status, 200);
    fleet.pops[2].crash_and_restart();
    fleet.leaves[2].restart();
    for pop in &fleet.pops {
        for (key, want) in [("far", "1"), ("near", "1"), ("beta", "far")] {
            until(key, || (value(pop, key).as_deref() == Some(want)).then_some(()));
        }
        until("the key to go", || {
            (!String::from_utf8_lossy(&pop.admin("GET", "/keys", "").body).contains("alice")).then_some(())
        });
    }
}
