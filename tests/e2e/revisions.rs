//! Revisions: deploying, going back, canaries, and what is refused.
//!
//! In: configurations signed on the command line. Out: what viewers get, and what the PoP says. Never: a key that is not made for the test.

use crate::harness::pop::{TOKEN, run};
use crate::harness::registry::{Registry, WASM};
use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop, Raw, Reply, Setup, until};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

/// A PoP that serves nothing of its own, the key that it trusts, and room for what is deployed.
struct Fleet {
    pop: Pop,
    key: PathBuf,
    room: tempfile::TempDir,
}

fn new_key(room: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let key = room.path().join(name);
    let (status, line, _) = run(&["deploy", "--new-key", key.to_str().unwrap()]);
    assert!(status.success());
    let trust = line.lines().find(|line| line.starts_with("trust")).unwrap().to_owned();
    (key, trust)
}

impl Fleet {
    fn start(listeners: &str) -> Self {
        Fleet::with(listeners, "")
    }

    /// The same, with something of its own.
    fn with(listeners: &str, own: &str) -> Self {
        let room = tempfile::tempdir().unwrap();
        let (key, trust) = new_key(&room, "deploy.key");
        let mut setup = Setup::new(format!("{own}[fleet]\n{trust}\n"));
        setup.listeners = listeners.to_owned();
        std::fs::write(room.path().join("token"), TOKEN).unwrap();
        Fleet { pop: setup.start(), key, room }
    }

    /// Writes a configuration that answers `body`, and other files.
    fn write(&self, text: &str, files: &[(&str, &str)]) {
        let site = self.room.path().join("site");
        let _ = std::fs::remove_dir_all(&site);
        for (name, text) in files.iter().chain(&[("edge.toml", text)]) {
            let path = site.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// One command with this fleet's key and PoP: whether it succeeded, and all that it said.
    fn run(&self, line: &str) -> (bool, String) {
        self.run_with(line, &self.key)
    }

    fn run_with(&self, line: &str, key: &std::path::Path) -> (bool, String) {
        let (site, url) = (self.room.path().join("site"), format!("http://{}", self.pop.admin));
        let token = self.room.path().join("token");
        let line = line.replace("SITE", site.to_str().unwrap());
        let key = ["--key", key.to_str().unwrap()];
        let reads = line.starts_with("revisions") || line.starts_with("history");
        let more = ["--admin", &url, "--token-file", token.to_str().unwrap()];
        let args: Vec<&str> = line.split(' ').chain(key.into_iter().filter(|_| !reads)).chain(more).collect();
        let (status, out, err) = run(&args);
        (status.success(), out + &err)
    }

    fn done(&self, line: &str) -> String {
        let (done, said) = self.run(line);
        assert!(done, "{line}: {said}");
        said
    }

    fn refused(&self, line: &str) -> String {
        let (done, said) = self.run(line);
        assert!(!done, "{line}: {said}");
        said
    }

    fn history(&self) -> Value {
        let reply = self.pop.admin("GET", "/revisions", "");
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }
}

fn answers(body: &str) -> String {
    format!("[[origin]]\nname = \"o\"\ngenerated = {{ body = \"{body}\" }}\n")
}

fn hi(body: &str) -> String {
    format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n", answers(body))
}

fn says(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

#[test]
fn a_revision_is_deployed_changed_taken_back_and_survives_a_kill() {
    let mut fleet = Fleet::start("");
    assert_eq!(fleet.pop.get("/").status, 404, "nothing is deployed");
    fleet.write(&hi("one"), &[]);
    let said = fleet.done("deploy SITE --wait --author ada --note first");
    assert!(said.contains("applied"), "{said}");
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()));

    let pages = "[[origin]]\nname = \"o\"\ngenerated = { body_file = \"pages/a.html\" }\n";
    fleet.write(pages, &[("pages/a.html", "two")]);
    fleet.done("deploy SITE --wait");
    assert_eq!(says(&fleet.pop.get("/")), (200, "two".to_owned()));

    fleet.pop.crash_and_restart();
    assert_eq!(says(&fleet.pop.get("/")), (200, "two".to_owned()), "it starts with its last revision");

    let history = fleet.history();
    let newest = &history["revisions"][0];
    assert_eq!(newest["added"], serde_json::json!(["pages/a.html"]), "{newest}");
    assert_eq!(newest["changed"], serde_json::json!(["edge.toml"]));
    let first = history["revisions"][1]["serial"].as_u64().unwrap();
    // It hears from the bus what it said before it was killed.
    for revision in 0..2 {
        let told = until("its word", || {
            let told = fleet.history()["revisions"][revision]["nodes"]["tst"].clone();
            told.is_object().then_some(told)
        });
        assert_eq!((&told["state"], &told["pop"]), (&"applied".into(), &"TST".into()), "{revision}: {told}");
    }
    assert_eq!(fleet.pop.status()["revision"], history["serves"]);
    assert_eq!((&history["revisions"][1]["author"], &history["before"]), (&"ada".into(), &first.into()));
    let shown = fleet.done("revisions");
    assert!(shown.contains("  first\n  tst            TST    applied, "), "{shown}");
    assert!(shown.contains(" GMT\n  + edge.toml\n") && shown.contains("  + pages/a.html\n"), "{shown}");

    fleet.done("rollback --wait");
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()));
    // Its own file is read again together with the revision.
    assert_eq!(fleet.pop.admin("POST", "/reload", "").status, 200);
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()));
    fleet.done("rollback 0 --wait");
    assert_eq!(fleet.pop.get("/").status, 404, "its own file alone");
    fleet.refused("rollback 12 --wait");
}

#[test]
fn what_is_forged_replayed_or_unauthenticated_is_refused() {
    let fleet = Fleet::start("");
    fleet.write(&hi("one"), &[]);
    let (other, _) = new_key(&fleet.room, "other.key");
    let (done, said) = fleet.run_with("deploy SITE", &other);
    assert!(!done && said.contains("is not among `fleet.trust`"), "{said}");

    fleet.done("deploy SITE --wait");
    let path = fleet.pop.dir().join("state/fleet/revisions");
    let serial = fleet.history()["newest"].as_u64().unwrap();
    let envelope = std::fs::read_to_string(path.join(format!("{serial}.json"))).unwrap();
    let replayed = fleet.pop.admin("POST", "/revisions", &envelope);
    assert_eq!(replayed.status, 409, "{}", replayed.text());
    let mut forged: Value = serde_json::from_str(&envelope).unwrap();
    let text = forged["manifest"].as_str().unwrap().to_owned();
    let (head, last) = text.split_at(20);
    let other = if last.starts_with('A') { "B" } else { "A" };
    forged["manifest"] = format!("{head}{other}{}", &last[1..]).into();
    let refused = fleet.pop.admin("POST", "/revisions", &forged.to_string());
    assert!(refused.status == 403 && refused.text().contains("signature"), "{}", refused.text());
    assert_eq!(fleet.pop.admin("PUT", &format!("/blobs/{}", "0".repeat(64)), "x").status, 400);

    let mut raw = Raw::connect(fleet.pop.admin);
    for (method, path) in [
        ("GET", "/revisions".to_owned()),
        ("POST", "/revisions".to_owned()),
        ("PUT", format!("/blobs/{}", "0".repeat(64))),
    ] {
        assert_eq!(raw.ask(method, &path, &[]).status, 401, "{method} {path}");
    }
    assert_eq!(fleet.history()["revisions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_revision_that_does_not_compile_is_refused_and_the_old_one_serves() {
    let fleet = Fleet::start("");
    fleet.write(&hi("one"), &[]);
    fleet.done("deploy SITE --wait");
    // Right by itself, and not together with the node's own file.
    fleet.write(&format!("{}[observe]\nmetric_hosts = 1\n", hi("two")), &[]);
    let said = fleet.refused("deploy SITE --wait");
    assert!(said.contains("refused") && said.contains("[observe] is in the revision as well"), "{said}");
    // Only when it is built does this one turn out to be none.
    let hooked = format!(
        "{}[behavior.hooks]\nviewer_request = \"f\"\n[[function]]\nname = \"f\"\nfile = \"f.wat\"\n",
        hi("two")
    );
    fleet.write(&hooked, &[("f.wat", "(module")]);
    let said = fleet.refused("deploy SITE --wait");
    assert!(said.contains("tst: edge.toml:") && said.contains(":8: function 'f' (f.wat): not a usable wasm"), "{said}");
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()));
    let node = fleet.history()["nodes"]["tst"].clone();
    assert_eq!(node["state"], "refused", "{node}");
    fleet.write(&hi("three"), &[]);
    fleet.done("deploy SITE --wait");
    assert_eq!(says(&fleet.pop.get("/")), (200, "three".to_owned()));
    let shown = fleet.done("history");
    assert!(shown.contains("refused, ") && shown.contains(":8: function 'f' (f.wat)"), "{shown}");
}

#[test]
fn a_site_moves_from_own_files_to_a_revision_and_no_viewer_is_without_it() {
    let mine = "[[behavior]]\nmatch = \"/mine\"\norigin = \"mine\"\ncache = false\n\
                [[origin]]\nname = \"mine\"\ngenerated = { body = \"mine\" }\n";
    let mut fleet = Fleet::with("", &format!("{mine}{}", hi("own")));
    fleet.write(&hi("one"), &[]);
    let said = fleet.refused("deploy SITE --wait");
    assert!(said.contains("origin 'o' is in the revision as well") && said.contains("deploy --adopt"), "{said}");
    assert_eq!(says(&fleet.pop.get("/")), (200, "own".to_owned()));

    // Requests all the while.
    let (over, begun) = (AtomicBool::new(false), Barrier::new(3));
    let seen = std::thread::scope(|scope| {
        let asks = |path: &'static str| {
            let (fleet, over, begun) = (&fleet, &over, &begun);
            scope.spawn(move || {
                let mut seen = vec![says(&fleet.pop.get(path))];
                begun.wait();
                while !over.load(Ordering::Relaxed) {
                    let said = says(&fleet.pop.get(path));
                    if seen.last() != Some(&said) {
                        seen.push(said);
                    }
                }
                seen
            })
        };
        let running = [asks("/"), asks("/mine")];
        begun.wait();
        let work = std::panic::AssertUnwindSafe(|| {
            fleet.done("deploy SITE --adopt --wait");
            fleet.done("rollback 0 --wait");
            fleet.done("deploy SITE --adopt --wait --timeout 30");
        });
        let done = std::panic::catch_unwind(work);
        over.store(true, Ordering::Relaxed);
        let seen = running.map(|one| one.join().unwrap());
        done.unwrap();
        seen
    });
    let says_200 = |bodies: &[&str]| bodies.iter().map(|body| (200, (*body).to_owned())).collect::<Vec<_>>();
    assert_eq!(seen[1], says_200(&["mine"]), "what is not in the revision stays");
    assert!(says_200(&["own", "one", "own", "one"]).starts_with(&seen[0]), "{:?}", seen[0]);
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()));

    let covered = |fleet: &Fleet| fleet.pop.status()["covered"].clone();
    let parts = covered(&fleet);
    let of = |what: &str| parts.as_array().unwrap().iter().any(|part| part.as_str().unwrap().ends_with(what));
    assert!(of(": origin 'o'") && of(": behavior '*'") && parts.as_array().unwrap().len() == 2, "{parts}");
    let shown = fleet.done("history");
    assert!(shown.contains(": origin 'o': the revision's counts, this may be deleted"), "{shown}");
    fleet.pop.crash_and_restart();
    assert_eq!(says(&fleet.pop.get("/")), (200, "one".to_owned()), "it starts so");
    assert_eq!(covered(&fleet), parts);

    // Deleted, they change nothing.
    let trust = std::fs::read_to_string(fleet.pop.dir().join("rimward.toml")).unwrap();
    let trust = trust.lines().find(|line| line.starts_with("trust")).unwrap();
    let reply = fleet.pop.reload(&format!("{mine}[fleet]\n{trust}\n"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(covered(&fleet), Value::Null);
    for (path, body) in [("/", "one"), ("/mine", "mine")] {
        assert_eq!(says(&fleet.pop.get(path)), (200, body.to_owned()));
    }
    // From here on it is a revision like any other.
    fleet.write(&hi("two"), &[]);
    fleet.done("deploy SITE --wait");
    assert_eq!(says(&fleet.pop.get("/")), (200, "two".to_owned()));
}

#[test]
fn files_that_no_revision_names_are_forgotten() {
    let mut fleet = Fleet::start("");
    fleet.write(&hi("one"), &[]);
    fleet.done("deploy SITE --wait");
    let blobs = fleet.pop.dir().join("state/fleet/blobs");
    let all = || std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let needed = all();
    let two_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    let [old, new] = [b"old", b"new"].map(|text| {
        let digest = crate::harness::registry::digest(text);
        let path = blobs.join(digest.trim_start_matches("sha256:"));
        std::fs::write(&path, text).unwrap();
        path
    });
    for path in needed.iter().chain([&old]) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(two_hours_ago).unwrap();
    }
    fleet.pop.crash_and_restart();
    until("the old file to go", || (!old.exists()).then_some(()));
    assert!(new.exists(), "what was sent lately may be named in a moment");
    assert_eq!(all().len(), needed.len() + 1);
}

#[test]
fn an_image_travels_with_the_revision() {
    let registry = Registry::start();
    let wasm = wat::parse_str(Flat::new().respond(200, &[], "image").wat()).unwrap();
    let image = registry.push("edge/f", &[(WASM, &wasm)]);
    let mut fleet = Fleet::start("");
    let hooked = "[behavior.hooks]\nviewer_request = \"f\"\n[[function]]\nname = \"f\"\nfile = ";
    fleet.write(&format!("{}{hooked}\"{image}\"\n", hi("origin")), &[]);
    let said = fleet.done("deploy SITE --wait");
    assert!(said.contains("3 files") && said.contains("applied"), "{said}");
    assert_eq!(says(&fleet.pop.get("/")), (200, "image".to_owned()));
    assert!(!fleet.pop.dir().join("state/functions/oci").exists(), "the PoP asked no registry");
    let log = fleet.pop.stderr();
    let [warm, swapped] = ["1 functions are warm", "is in force"].map(|words| log.find(words).unwrap_or(usize::MAX));
    assert!(warm < swapped && swapped < log.len(), "the function is warm before the revision serves: {log}");
    registry.stop();
    fleet.pop.crash_and_restart();
    assert_eq!(says(&fleet.pop.get("/")), (200, "image".to_owned()));
}

/// Behind a trusted proxy, as which the test speaks for many viewers.
const PROXIED: &str = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

#[test]
fn a_canary_is_for_a_share_of_viewers_who_stay_the_same() {
    let fleet = Fleet::start(PROXIED);
    let viewers: Vec<String> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
    let ask = |path: &str| -> Vec<String> {
        let mut raw = Raw::connect(fleet.pop.extra[0]);
        viewers.iter().map(|viewer| raw.ask("GET", path, &[("X-Forwarded-For", viewer)]).text()).collect()
    };
    let site = |body: &str| {
        let cached = "[[behavior]]\nmatch = \"/cached\"\norigin = \"o\"\n";
        format!("{}{cached}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n", answers(body))
    };
    fleet.write(&site("old"), &[]);
    fleet.done("deploy SITE --wait");
    fleet.write(&site("new"), &[]);
    let said = fleet.refused("deploy SITE --wait --canary pop=NRT,30%");
    assert!(said.contains("no node is in the PoP NRT; known are TST"), "{said}");
    assert!(ask("/").iter().all(|body| body == "old"));
    let said = fleet.done("deploy SITE --wait --canary pop=tst,30%");
    assert!(said.contains("canary"), "{said}");
    let first = ask("/");
    let share = first.iter().filter(|body| *body == "new").count();
    assert!((30..=90).contains(&share), "{share} of 200");
    assert_eq!(ask("/"), first, "each stays where it is");
    // The cache keeps both apart.
    assert_eq!(ask("/cached"), first);
    assert_eq!(ask("/cached"), first);
    fleet.done("promote --wait");
    assert!(ask("/").iter().all(|body| body == "new"));
    fleet.refused("promote");

    fleet.write(&site("newest"), &[]);
    fleet.done("deploy SITE --wait --canary 100%");
    assert!(ask("/").iter().all(|body| body == "newest"));
    fleet.done("rollback --wait");
    assert!(ask("/").iter().all(|body| body == "new"), "the canary has ended");
}

#[test]
fn what_a_canary_keeps_is_renewed_by_the_canary() {
    let of_all = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=600\r\n");
    let of_canary = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=600\r\n");
    let fleet = Fleet::start("");
    fleet.write(&of_all.config("o"), &[]);
    fleet.done("deploy SITE --wait");
    fleet.write(&of_canary.config("o"), &[]);
    fleet.done("deploy SITE --wait --canary 100%");
    assert_eq!(fleet.pop.get("/").text(), "v1");
    assert_eq!(fleet.pop.get("/").text(), "v1", "stale, and renewed behind the viewer's back");
    of_canary.wait(2);
    until("what was renewed to be kept", || (fleet.pop.get("/").text() != "v1").then_some(()));
    assert_eq!(of_all.count(), 0, "no other revision's origin was asked");
}

#[test]
fn a_revision_that_answers_worse_goes_back_by_itself() {
    let good = Origin::fixed("Cache-Control: no-store\r\n", "");
    let bad = Origin::start(|x| x.reply("503 Service Unavailable", "Cache-Control: no-store\r\n", ""));
    let fleet = Fleet::start("");
    let site =
        |origin: &Origin| format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n", origin.config("o"));
    fleet.write(&site(&good), &[]);
    fleet.done("deploy SITE --wait");
    (0..30).for_each(|_| assert_eq!(fleet.pop.get("/").status, 200));
    for canary in ["", " --canary 100%"] {
        fleet.write(&site(&bad), &[]);
        fleet.done(&format!("deploy SITE --wait{canary}"));
        assert_eq!(fleet.pop.get("/").status, 503);
        until("it to go back", || {
            fleet.pop.get("/");
            (fleet.history()["nodes"]["tst"]["state"] == "rolled_back").then_some(())
        });
        assert_eq!(fleet.pop.get("/").status, 200);
        let node = fleet.history()["nodes"]["tst"].clone();
        assert!(node["why"].as_str().unwrap().contains("answers with 5xx"), "{node}");
    }
}
