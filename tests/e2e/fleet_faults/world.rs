//! World: a hub, and in each of three places a leaf node and a PoP; an origin whose content changes.
//!
//! In: what the PoPs are like. Out: all of them, connected. Never: a port or a directory shared with another test.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::pop::{TOKEN, free_port, run};
use crate::harness::raw::request;
use crate::harness::{HOST, Origin, Pop, Raw, Reply, Setup, until};
use crate::nats::{Hub, PASSWORD, Server, USER};

/// Each is also its PoP's code, in capitals.
pub const NODES: [&str; 3] = ["fra", "nrt", "iad"];

/// The versions of what the origin has, by path: 0 until it changes.
#[derive(Clone, Default)]
pub struct Content(Arc<Mutex<HashMap<String, u64>>>);

/// What the PoPs are like.
#[derive(Default)]
pub struct Plan {
    /// Tables of every PoP.
    pub rest: String,
    /// More lines of the origin, of the behavior `/c/*`, of `[fleet]`.
    pub origin: String,
    pub behavior: String,
    pub fleet: String,
    /// `Setup::through` of each.
    pub through: [Vec<String>; 3],
}

pub struct World {
    pub pops: Vec<Pop>,
    pub leaves: Vec<Server>,
    pub hub: Hub,
    pub content: Content,
    _origin: Origin,
    /// The key that revisions are signed with, and what else the command line needs.
    room: tempfile::TempDir,
}

// === impl Content ===
impl Content {
    pub fn version(&self, path: &str) -> u64 {
        self.0.lock().get(path).copied().unwrap_or(0)
    }

    /// The origin has something newer from now on.
    pub fn change(&self, path: &str) -> u64 {
        let mut versions = self.0.lock();
        let version = versions.entry(path.to_owned()).or_default();
        *version += 1;
        *version
    }

    /// An origin that says which version it has when it is asked, and then takes its time.
    pub fn origin(&self, pause: impl Fn() + Send + Sync + 'static) -> Origin {
        let content = self.clone();
        Origin::start(move |x| {
            let version = content.version(&x.request.target);
            pause();
            x.reply("200 OK", "Cache-Control: max-age=600\r\n", version.to_string());
        })
    }
}

// === impl World ===
impl World {
    pub fn start(plan: Plan) -> World {
        let hub = Hub::start();
        let leaves = NODES.iter().map(|node| hub.leaf(node)).collect();
        let content = Content::default();
        let origin = content.origin(|| {});
        World::with(plan, hub, leaves, content, origin)
    }

    pub fn with(plan: Plan, hub: Hub, leaves: Vec<Server>, content: Content, origin: Origin) -> World {
        let room = tempfile::tempdir().unwrap();
        fs::write(room.path().join("token"), TOKEN).unwrap();
        let (made, said, _) = run(&["deploy", "--new-key", room.path().join("key").to_str().unwrap()]);
        assert!(made.success());
        let trust = said.lines().find(|line| line.starts_with("trust")).unwrap();
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let addresses = NODES.map(|_| free_port());
        let pops = plan.through.into_iter().enumerate().map(|(i, through)| {
            let others = NODES.iter().zip(&addresses).filter(|(node, _)| **node != NODES[i]);
            let peers: String = others
                .map(|(node, at)| {
                    let pop = node.to_uppercase();
                    format!("[[fleet.peer]]\nnode = \"{node}\"\npop = \"{pop}\"\nurl = \"http://{at}\"\n")
                })
                .collect();
            let mut setup = Setup::new(format!(
                "[fleet]\nnode = \"{}\"\nsilence = \"2s\"\nsecret = \"file:{{dir}}/secret\"\n{trust}\n\
                 bus = {{ url = \"{}\", user = \"{USER}\", password = \"file:{{dir}}/password\" }}\n\
                 {}\n{peers}{}\n{}{}\n[[behavior]]\nname = \"content\"\nmatch = \"/c/*\"\norigin = \"o\"\n{}\n",
                NODES[i],
                leaves[i].url(),
                plan.fleet,
                plan.rest,
                origin.config("o"),
                plan.origin,
                plan.behavior,
            ));
            setup.code = NODES[i].to_uppercase();
            setup.listeners = format!("[[listener]]\naddress = \"{}\"\n", addresses[i]);
            setup.through = through;
            fs::write(setup.dir().join("password"), PASSWORD).unwrap();
            fs::write(setup.dir().join("secret"), &secret).unwrap();
            setup.start()
        });
        let pops = pops.collect();
        let world = World { pops, leaves, hub, content, _origin: origin, room };
        for pop in &world.pops {
            connected(pop, true);
            until("all nodes to be known", || {
                (pop.metric("rimward_fleet_nodes", &[]) == NODES.len() as f64).then_some(())
            });
        }
        world
    }

    /// Each PoP has each of `paths` in its cache.
    pub fn fill(&self, paths: &[&str]) {
        for path in paths {
            for pop in &self.pops {
                version(pop, path);
                assert!(pop.get(path).hit(), "{path}");
            }
        }
    }

    /// Waits until every PoP has seen all that any PoP accepted so far: what a node accepts is told in its order.
    pub fn settle(&self) {
        for pop in &self.pops {
            connected(pop, true);
            let done = purge(pop, &json!({"url": format!("http://{HOST}/c/nothing"), "wait_ms": 30_000}));
            assert_eq!((&done["seen"], done.get("missing")), (&json!(["fra", "iad", "nrt"]), None), "{done}");
        }
    }

    /// Each PoP gives the newest of each of `paths`.
    pub fn is_fresh(&self, paths: &[&str]) {
        for (path, (pop, node)) in paths.iter().flat_map(|path| self.pops.iter().zip(NODES).map(move |pop| (path, pop)))
        {
            assert_eq!(version(pop, path), self.content.version(path), "{path} at {node}");
        }
    }

    /// Publishes a revision that answers `/rev` with `body`; whether the PoP accepted it, and what was said.
    pub fn deploy(&self, pop: &Pop, body: &str, more: &[&str]) -> (bool, String) {
        let words = self.deploying(pop, body, more);
        let (done, out, err) = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        (done.success(), out + &err)
    }

    /// The command line that does.
    pub fn deploying(&self, pop: &Pop, body: &str, more: &[&str]) -> Vec<String> {
        let site = self.room.path().join("site");
        fs::create_dir_all(&site).unwrap();
        let text = format!(
            "[[origin]]\nname = \"revised\"\ngenerated = {{ body = \"{body}\" }}\n\
             [[behavior]]\nmatch = \"/rev\"\norigin = \"revised\"\ncache = false\n"
        );
        fs::write(site.join("edge.toml"), text).unwrap();
        let path = |name: &str| -> PathBuf { self.room.path().join(name) };
        let (site, key, token) = (path("site"), path("key"), path("token"));
        let admin = format!("http://{}", pop.admin);
        let fixed = ["deploy", site.to_str().unwrap(), "--key", key.to_str().unwrap(), "--admin", &admin];
        let fixed = fixed.into_iter().chain(["--token-file", token.to_str().unwrap()]);
        fixed.chain(more.iter().copied()).map(str::to_owned).collect()
    }
}

// === free functions ===

pub fn connected(pop: &Pop, want: bool) {
    until(&format!("connected: {want}"), || {
        ((pop.metric("rimward_control_connected", &[]) == 1.0) == want).then_some(())
    });
}

/// Asks for a purge.
pub fn ask_purge(pop: &Pop, what: &Value) -> Reply {
    pop.admin("POST", "/purge", &what.to_string())
}

/// A purge that is accepted.
pub fn purge(pop: &Pop, what: &Value) -> Value {
    let reply = ask_purge(pop, what);
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

/// `path` as a purge names it.
pub fn url(path: &str) -> Value {
    json!({"url": format!("http://{HOST}{path}")})
}

/// The same, and waits for everyone.
pub fn everywhere(path: &str) -> Value {
    json!({"url": format!("http://{HOST}{path}"), "wait_ms": 30_000})
}

/// The version that a viewer gets.
pub fn version(pop: &Pop, path: &str) -> u64 {
    let reply = pop.get(path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.text().parse().unwrap()
}

/// An entry of the store `flags`.
pub fn value(pop: &Pop, key: &str) -> Option<String> {
    let reply = pop.admin("GET", &format!("/key-value-stores/flags/keys/{key}"), "");
    let text: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status == 200).then(|| text["Value"].as_str().unwrap().to_owned())
}

/// Writes one.
pub fn put(pop: &Pop, key: &str, value: &str) -> Reply {
    let bearer = format!("Bearer {TOKEN}");
    let body = json!({"Puts": [{"Key": key, "Value": value}]}).to_string();
    // What another node changed since the store's ETag was read is a conflict: the next try has the new one, as AWS's clients do.
    until("the store as it was read", || {
        let etag = pop.admin("GET", "/key-value-stores/flags", "").field("etag")?.to_owned();
        let fields = [("Authorization", bearer.as_str()), ("If-Match", &etag), ("Content-Type", "application/json")];
        let mut raw = Raw::connect(pop.admin);
        raw.send(request("POST", "/key-value-stores/flags/keys", &fields, body.as_bytes()));
        Some(raw.reply("POST")).filter(|reply| reply.status != 409)
    })
}

/// Makes an API key of the plan `gold`.
pub fn make_key(pop: &Pop, name: &str) -> Reply {
    pop.admin("POST", "/keys", &json!({"name": name, "plans": ["gold"]}).to_string())
}

pub fn has_key(pop: &Pop, name: &str) -> bool {
    pop.admin("GET", "/keys", "").text().contains(&format!("\"{name}\""))
}

/// Requests of a key's quota that were used, as this PoP knows it.
pub fn used(pop: &Pop, key: &str) -> u64 {
    let reply = pop.admin("GET", &format!("/keys/{key}/usage"), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let usage: Value = serde_json::from_slice(&reply.body).unwrap();
    let days = usage["plans"][0]["days"].as_array().unwrap();
    days.iter().map(|day| day["used"].as_u64().unwrap()).sum()
}
