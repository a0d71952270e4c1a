//! Tiers: several nodes of a fleet, and what each asks the others before the origin.
//!
//! In: requests at any node. Out: one fill for all, and the same answers as from one node. Never: a node's rights for a viewer.

use std::net::SocketAddr;

use rimward::fleet::peering::{Ask, Line};
use rimward::fleet::vector::Vector;
use rimward::origin::tier::Mode;
use serde_json::{Value, json};

use crate::harness::hooked::{ALL, FORWARD, marks};
use crate::harness::pop::free_port;
use crate::harness::raw::request;
use crate::harness::wat::Flat;
use crate::harness::{Authority, Gate, HOST, Origin, Pop, Raw, Reply, Setup, until};

/// What a fleet of a test is like.
#[derive(Default)]
struct Plan {
    /// Name and PoP of each node.
    nodes: Vec<(&'static str, &'static str)>,
    /// More lines of the origin, of the behavior, of `[fleet]`; and what stands before all of them.
    origin: &'static str,
    behavior: &'static str,
    fleet: &'static str,
    rest: String,
    /// Functions, as files beside the configuration.
    functions: Vec<(&'static str, String)>,
    tls: Option<Tls>,
}

/// Nodes reach one another over TLS, with certificates of an authority of the fleet's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// That is the one they trust.
    Trusted,
    Strange,
}

struct Fleet {
    nodes: Vec<Pop>,
    names: Vec<&'static str>,
    secret: String,
}

/// FRA, NRT and IAD with the shield in FRA.
fn shielded() -> Plan {
    Plan {
        nodes: vec![("fra-1", "FRA"), ("nrt-1", "NRT"), ("iad-1", "IAD")],
        origin: "shield = \"FRA\"",
        ..Plan::default()
    }
}

impl Plan {
    fn start(self, origin: &Origin) -> Fleet {
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let addresses: Vec<SocketAddr> = self.nodes.iter().map(|_| free_port()).collect();
        let (authority, stranger) = (Authority::new(), Authority::new());
        let start = |(i, (node, pop)): (usize, &(&str, &str))| {
            let others = self.nodes.iter().zip(&addresses).filter(|((other, _), _)| other != node);
            let peers: String = others
                .map(|((node, pop), at)| {
                    let url = match self.tls {
                        None => format!("http://{at}"),
                        Some(_) => format!("https://localhost:{}", at.port()),
                    };
                    format!("[[fleet.peer]]\nnode = \"{node}\"\npop = \"{pop}\"\nurl = \"{url}\"\n")
                })
                .collect();
            let mut setup = Setup::new("");
            std::fs::write(setup.dir().join("secret"), &secret).unwrap();
            let mut functions = String::new();
            for (name, text) in &self.functions {
                std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
                functions.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
            }
            setup.code = (*pop).to_owned();
            setup.listeners = format!("[[listener]]\naddress = \"{}\"\n", addresses[i]);
            let mut ca = String::new();
            if let Some(tls) = self.tls {
                authority.issue(&["localhost"]).files(setup.dir(), "node");
                if tls == Tls::Trusted { &authority } else { &stranger }.file(setup.dir());
                let pair = "{ cert = \"{dir}/node.pem\", key = \"{dir}/node.key\" }";
                setup.listeners.push_str(&format!("tls = {{ certificates = [{pair}] }}\n"));
                ca.push_str("ca = \"{dir}/authority.pem\"\n");
            }
            setup.rest = format!(
                "{}{functions}{}{}\n[[behavior]]\nname = \"all\"\nmatch = \"*\"\norigin = \"o\"\n{}\n\
                 [fleet]\nnode = \"{node}\"\nsecret = \"file:{{dir}}/secret\"\n{ca}{}\n{peers}",
                self.rest,
                origin.config("o"),
                self.origin,
                self.behavior,
                self.fleet,
            );
            setup.start()
        };
        let nodes = self.nodes.iter().enumerate().map(start).collect();
        Fleet { nodes, names: self.nodes.iter().map(|(name, _)| *name).collect(), secret }
    }
}

impl Fleet {
    fn node(&self, name: &str) -> &Pop {
        &self.nodes[self.names.iter().position(|other| *other == name).unwrap()]
    }

    /// A GET of `path` as a node of the fleet would send it, but for what `change` makes of it.
    fn ask(&self, to: &str, path: &str, key: &[u8], change: impl FnOnce(&mut Ask)) -> Reply {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut ask = Ask {
            to: to.to_owned(),
            at_ms: u64::try_from(now.as_millis()).unwrap(),
            via: vec!["syd-1".to_owned()],
            mode: Mode::Fill,
            behavior: "all".to_owned(),
            key: key.to_vec(),
            viewer: "192.0.2.7".parse().unwrap(),
            tls: false,
            authorized: false,
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            seen: Vector::default(),
        };
        change(&mut ask);
        let line = Line { method: "GET", host: HOST, target: path };
        let field = ask.sign(self.secret.as_bytes(), &line).unwrap();
        self.node(to).get_with(path, &[("Rimward-Peer", &field)])
    }

    /// What the log of a node says of the nodes it asked for a path.
    fn tier(&self, node: &str, path: &str) -> String {
        let line = self.node(node).log_line(&format!("\"path\":\"{path}\""));
        line["tier"].as_str().unwrap_or_default().to_owned()
    }
}

/// The members of Cache-Status, by the cache's name.
fn caches(reply: &Reply) -> Vec<String> {
    let all = reply.all("cache-status").join(", ");
    all.split(", ").map(|member| member.split(';').next().unwrap().to_owned()).collect()
}

#[test]
fn the_shield_fills_once_for_all_pops() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", format!("v{}", x.nth + 1));
    });
    let fleet = shielded().start(&origin);
    let mut viewers: Vec<Raw> = Vec::new();
    for pop in fleet.nodes.iter().cycle().take(9) {
        let mut raw = pop.raw();
        raw.send(request("GET", "/hot", &[], b""));
        viewers.push(raw);
    }
    origin.wait(1);
    gate.open();
    let replies: Vec<Reply> = viewers.iter_mut().map(|viewer| viewer.reply("GET")).collect();
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.text() == "v1"));
    assert_eq!(origin.count(), 1);
    for (pop, name) in [("nrt-1", "NRT"), ("iad-1", "IAD")] {
        let again = fleet.node(pop).get("/hot");
        assert!(again.hit());
        assert_eq!(caches(&again), ["FRA", name], "the shield's word stands before ours");
        assert!(again.all("x-amz-cf-pop") == [name] && again.all("rimward-peer").is_empty());
        fleet.node(pop).log_line("\"tier\":\"fra-1 ");
    }
    fleet.node("fra-1").get("/last");
    fleet.node("fra-1").log_line("\"path\":\"/last\"");
    let asked: Vec<Value> = fleet.node("fra-1").access_log();
    let others = asked.iter().filter(|line| line["viewer"] != "127.0.0.1").count();
    assert!(others == 0 && asked.len() <= 4, "other nodes' requests are in their own logs: {asked:?}");
    fleet.node("fra-1").counts_to("rimward_tier_requests_total", &["side=\"answered\""], 2.0);
    let via = origin.requests()[0].field("via").unwrap().to_owned();
    assert!(via.ends_with("FRA.rimward (Rimward)"), "{via}");
}

#[test]
fn without_the_shield_the_origin_is_asked() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mut fleet = shielded().start(&origin);
    fleet.nodes[0].signal("KILL");
    fleet.nodes[0].wait();
    for n in 1..=3 {
        assert_eq!(fleet.node("nrt-1").get(&format!("/{n}")).text(), format!("v{n}"));
    }
    assert_eq!(fleet.tier("nrt-1", "/1"), "fra-1 away");
    assert_eq!(fleet.tier("nrt-1", "/3"), "", "it rests after two failures");
}

#[test]
fn a_loop_ends_at_the_origin() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let fleet = shielded().start(&origin);
    let ways: [(&str, &[&str], bool); 3] = [
        ("plain", &["iad-1"], true),
        ("back", &["nrt-1", "iad-1"], false),
        ("long", &["syd-1", "sin-1", "lhr-1", "iad-1"], false),
    ];
    for (name, via, shield) in ways {
        let reply = fleet.ask("nrt-1", &format!("/{name}"), name.as_bytes(), |ask| {
            ask.via = via.iter().map(|node| (*node).to_owned()).collect();
        });
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("rimward-peer"), Some("v1; node=nrt-1; did=fill"));
        let through = origin.last().field("via").unwrap().contains("FRA.rimward");
        assert_eq!(through, shield, "{name}");
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn only_a_node_has_a_nodes_rights() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "for members");
    let key = format!("{:032x}", rand::random::<u128>());
    let digest: String = rimward::crypto::sha256(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let plan = Plan {
        behavior: "access = \"api_key\"\nforward = { headers = \"all\" }",
        rest: format!("[[api_key]]\nname = \"member\"\nsha256 = \"{digest}\"\n"),
        ..shielded()
    };
    let fleet = plan.start(&origin);
    let fra = fleet.node("fra-1");
    assert_eq!(fra.get("/a").status, 403);
    let late = |ask: &mut Ask| ask.at_ms -= 31_000;
    assert_eq!(fleet.ask("fra-1", "/a", b"k", |ask| ask.to = "iad-1".to_owned()).status, 403, "for another node");
    assert_eq!(fleet.ask("fra-1", "/a", b"k", late).status, 403, "too old");
    let forged = Fleet { secret: "x".repeat(64), ..fleet };
    assert_eq!(forged.ask("fra-1", "/a", b"k", |_| {}).status, 403, "another secret");
    assert_eq!(origin.count(), 0);
    let fra = forged.node("fra-1");
    fra.counted("rimward_tier_requests_total", &["result=\"forged\""], 3.0);
    // A viewer that may come in sends the field: nobody sees it.
    let reply = fra.get_with("/a", &[("X-Api-Key", &key), ("Rimward-Peer", "v1; mode=fill")]);
    assert_eq!((reply.status, reply.field("rimward-peer")), (200, None));
    assert_eq!(origin.last().field("rimward-peer"), None);
    // Who came in at one node is not asked again at the other.
    assert_eq!(forged.node("nrt-1").get_with("/b", &[("X-Api-Key", &key)]).status, 200);
    assert!(forged.tier("nrt-1", "/b").starts_with("fra-1 "));
}

#[test]
fn a_key_has_one_node_in_its_pop() {
    const PATHS: usize = 24;
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let plan = Plan { nodes: vec![("nrt-1", "NRT"), ("nrt-2", "NRT")], fleet: "shard = true", ..Plan::default() };
    let fleet = plan.start(&origin);
    for n in 0..PATHS {
        let bodies: Vec<String> = fleet.nodes.iter().map(|pop| pop.get(&format!("/{n}")).text()).collect();
        assert_eq!(bodies[0], bodies[1]);
    }
    assert_eq!(origin.count(), PATHS, "each was filled once");
    for pop in &fleet.nodes {
        // Both have keys.
        pop.counts_to("rimward_tier_requests_total", &["side=\"asked\""], 1.0);
    }
}

#[test]
fn peers_are_asked_for_what_they_have() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let plan = Plan { nodes: vec![("nrt-1", "NRT"), ("iad-1", "IAD")], origin: "ask_peers = 1", ..Plan::default() };
    let fleet = plan.start(&origin);
    assert_eq!(fleet.node("nrt-1").get("/there").text(), "v1");
    assert_eq!(fleet.node("iad-1").get("/there").text(), "v1");
    assert_eq!(fleet.tier("iad-1", "/there"), "nrt-1 hit");
    assert_eq!(fleet.node("iad-1").get("/nowhere").text(), "v2");
    assert_eq!(fleet.tier("iad-1", "/nowhere"), "nrt-1 none");
    assert_eq!(origin.count(), 2);
}

/// A peer that has nothing answers 504, which is no origin's.
#[test]
fn a_peer_without_a_copy_does_not_pass_for_a_failing_origin() {
    for window in ["stale-if-error=600", "stale-while-revalidate=600", "stale-while-revalidate=600, stale-if-error=600"]
    {
        let origin = Origin::start(move |x| {
            x.reply("200 OK", &format!("Cache-Control: max-age=1, {window}\r\n"), format!("v{}", x.nth + 1));
        });
        let plan = Plan { nodes: vec![("nrt-1", "NRT"), ("iad-1", "IAD")], origin: "ask_peers = 1", ..Plan::default() };
        let fleet = plan.start(&origin);
        assert_eq!(fleet.node("iad-1").get("/a").text(), "v1");
        until("the origin's next answer", || (fleet.node("iad-1").get("/a").text() == "v2").then_some(()));
    }
}

/// What a node passes on is its origin's word.
#[test]
fn a_failure_that_a_node_passes_on_is_bridged() {
    let origin = Origin::start(|x| match x.nth {
        0 => x.reply("200 OK", "Cache-Control: max-age=600\r\n", "good"),
        _ => x.reply("503 Busy", "", "bad"),
    });
    let plan = Plan { behavior: "cache = { stale_if_error = \"10m\" }", ..shielded() };
    let fleet = plan.start(&origin);
    let nrt = fleet.node("nrt-1");
    assert_eq!(nrt.get("/a").text(), "good");
    assert_eq!(fleet.tier("nrt-1", "/a"), "fra-1 fill");
    fleet.node("fra-1").purge(&json!({ "url": format!("http://{HOST}/a") }));
    nrt.purge(&json!({ "url": format!("http://{HOST}/a"), "soft": true }));
    let bridged = nrt.get("/a");
    assert_eq!((bridged.status, bridged.text().as_str()), (200, "good"), "{:?}", bridged.cache());
    assert_eq!(origin.count(), 2, "the shield was asked, and asked the origin");
}

#[test]
fn functions_run_once() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let plan = Plan {
        functions: marks(),
        behavior: Box::leak(format!("{FORWARD}\n[behavior.hooks]\n{ALL}").into_boxed_str()),
        ..shielded()
    };
    let fleet = plan.start(&origin);
    let reply = fleet.node("nrt-1").get("/f");
    assert_eq!((reply.all("x-ores").len(), reply.all("x-vres").len()), (1, 1));
    let asked = origin.last();
    assert!(asked.field("x-vreq").is_some() && asked.field("x-oreq").is_some());
    let line = fleet.node("nrt-1").log_line("\"path\":\"/f\"");
    let events: Vec<&str> =
        line["functions"].as_array().unwrap().iter().map(|call| call["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["viewer-request", "viewer-response"]);
    for node in ["nrt-1", "fra-1"] {
        fleet.node(node).counted("rimward_function_calls_total", &[], 2.0);
    }
}

/// Where the origin is asked, an error may be masked or written: where the viewer asks, that is known.
#[test]
fn which_answers_viewer_response_functions_see_does_not_depend_on_the_node() {
    for (status, text, shown) in [
        ("404 Not Found", Flat::new().set("cache-control", "max-age=60").status(200).wat(), None),
        ("200 OK", Flat::new().set("cache-control", "max-age=60").status(403).wat(), Some("1")),
        ("404 Not Found", Flat::new().set("cache-control", "max-age=60").wat(), None),
    ] {
        let origin = Origin::start(move |x| x.reply(status, "", "none"));
        let plan = Plan {
            functions: vec![("change", text), ("mark", Flat::new().set("x-vres", "1").wat())],
            behavior: "[behavior.hooks]\norigin_response = \"change\"\nviewer_response = \"mark\"",
            ..shielded()
        };
        let fleet = plan.start(&origin);
        for node in ["nrt-1", "nrt-1", "fra-1", "iad-1"] {
            assert_eq!(fleet.node(node).get("/f").field("x-vres"), shown, "{status} {node}");
        }
        assert_eq!(origin.count(), 1, "{status}");
    }
}

#[test]
fn answers_are_those_of_one_node() {
    let origin = Origin::start(|x| {
        let fields = "Cache-Control: max-age=200\r\nAge: 100\r\nETag: \"e\"\r\nVary: X-Lang\r\n";
        let body = format!("{} 0123456789", x.field("x-lang").unwrap_or("none"));
        x.reply("200 OK", fields, body);
    });
    let plan = Plan { behavior: FORWARD, ..shielded() };
    let fleet = plan.start(&origin);
    let (nrt, iad) = (fleet.node("nrt-1"), fleet.node("iad-1"));
    for lang in ["de", "en", "de"] {
        let ask = |pop: &Pop| pop.get_with("/v", &[("X-Lang", lang)]);
        let (first, second) = (ask(nrt), ask(iad));
        assert_eq!((first.text(), second.text()), (format!("{lang} 0123456789"), format!("{lang} 0123456789")));
        let hit = ask(iad);
        assert!(hit.hit() && hit.age().unwrap() >= 100, "the time at the origin and at the shield counts");
        assert!(hit.param("ttl").unwrap().parse::<u64>().unwrap() <= 100);
    }
    assert_eq!(origin.count(), 2, "one for each language");
    let had = nrt.get_with("/v", &[("X-Lang", "de"), ("If-None-Match", "\"e\"")]);
    assert_eq!((had.status, had.text().as_str()), (304, ""));
    let part = nrt.get_with("/part", &[("X-Lang", "de"), ("Range", "bytes=3-5")]);
    assert_eq!((part.status, part.text().as_str()), (206, "012"));
    assert_eq!(origin.last().field("range"), None, "the whole was asked for");
    assert_eq!(iad.get_with("/part", &[("X-Lang", "de")]).text(), "de 0123456789");
    assert_eq!(origin.count(), 3);
    // A new answer is asked for through the same way.
    let again = nrt.get_with("/v", &[("X-Lang", "de"), ("Cache-Control", "no-cache")]);
    assert_eq!((again.status, again.text().as_str()), (200, "de 0123456789"));
    let head = iad.send("HEAD", "/head", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (200, Some("15")));
}

#[test]
fn what_was_changed_through_a_node_is_not_asked_of_others() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let plan = Plan { behavior: "methods = [\"GET\", \"HEAD\", \"POST\"]", ..shielded() };
    let fleet = plan.start(&origin);
    let nrt = fleet.node("nrt-1");
    assert_eq!(nrt.get("/w").text(), "v1");
    assert_eq!(nrt.send("POST", "/w", &[], b"new").text(), "v2");
    assert_eq!(nrt.get("/w").text(), "v3", "the shield still has v1");
}

#[test]
fn a_node_that_has_seen_less_does_not_answer_from_its_cache() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let fleet = shielded().start(&origin);
    let seen = |pairs: &'static [(u64, u64)]| move |ask: &mut Ask| ask.seen = pairs.iter().copied().collect();
    let did = |reply: &Reply| reply.field("rimward-peer").unwrap().rsplit('=').next().unwrap().to_owned();
    let first = fleet.ask("fra-1", "/p", b"p", seen(&[]));
    assert_eq!((first.text().as_str(), did(&first).as_str()), ("v1", "fill"));
    let same = fleet.ask("fra-1", "/p", b"p", seen(&[]));
    assert_eq!((same.text().as_str(), did(&same).as_str()), ("v1", "hit"));
    let newer = fleet.ask("fra-1", "/p", b"p", seen(&[(7, 1)]));
    assert_eq!((newer.text().as_str(), did(&newer).as_str()), ("v2", "fill"));
    let stored = fleet.ask("fra-1", "/p", b"p", |ask| {
        (ask.mode, ask.seen) = (Mode::Cached, [(7, 1)].into_iter().collect());
    });
    assert_eq!((stored.status, did(&stored).as_str()), (504, "none"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn nodes_ask_over_tls_whom_their_own_authority_vouches_for() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    for (tls, path, want) in [(Tls::Trusted, "/trusted", "fra-1 fill"), (Tls::Strange, "/strange", "fra-1 away")] {
        let fleet = Plan { tls: Some(tls), ..shielded() }.start(&origin);
        assert_eq!(fleet.node("nrt-1").get(path).status, 200);
        assert_eq!(fleet.tier("nrt-1", path), want);
    }
}

#[test]
fn what_is_exempt_may_have_more_connections_than_a_viewer() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    for (exempt, path, want) in
        [("", "/counted", "fra-1 away"), ("connections_exempt = [\"127.0.0.0/8\"]\n", "/exempt", "fra-1 fill")]
    {
        let rest = format!("[limits]\nconnections_per_address = 2\n{exempt}");
        let fleet = Plan { rest, ..shielded() }.start(&origin);
        // Viewers of the same address have all that it may have.
        let mut held: Vec<Raw> = Vec::new();
        until("two connections", || {
            let mut raw = fleet.node("fra-1").raw();
            raw.try_send(request("GET", "/held", &[], b"")).ok()?;
            raw.try_reply("GET").ok()?;
            held.push(raw);
            (held.len() == 2).then_some(())
        });
        assert_eq!(fleet.node("nrt-1").get(path).status, 200);
        assert_eq!(fleet.tier("nrt-1", path), want);
    }
}
