//! Console: the operator's page in a real browser, over a real PoP.
//!
//! In: browser.mjs beside this file, Chromium, `playwright-core` and `axe-core` from npm. Out: what a person would see. Never: a mock of the
//! admin API.

#![allow(clippy::unwrap_used, clippy::expect_used)]

// Shared with tests/e2e, which uses all of it.
#[allow(dead_code, unused_imports)]
#[path = "../e2e/harness/mod.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::pop::TOKEN;
use harness::wat::Flat;
use harness::{Origin, Pop, Setup};

/// Debian's.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Where the npm packages are; fetched once.
fn packages() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&dir).unwrap();
        if !dir.join("node_modules/axe-core").exists() {
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&dir);
            assert!(npm.args(["playwright-core@1.65.1", "axe-core@4.14.1"]).status().unwrap().success());
        }
        dir
    })
}

/// A PoP in Frankfurt with a cache, a function that works, one that fails, and an origin that is not there.
fn pop(origin: &Origin) -> Pop {
    let mut setup = Setup::new("");
    setup.code = "FRA".to_owned();
    for (name, text) in [("mark", Flat::new().set("x-mark", "1").wat()), ("broken", Flat::new().fail("no").wat())] {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest += &format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n");
    }
    setup.rest += &origin.config("shop");
    setup.rest += "[[origin]]\nname = \"gone\"\nurl = \"http://127.0.0.1:1\"\n\
        [[behavior]]\nmatch = \"/gone/*\"\norigin = \"gone\"\n\
        [[behavior]]\nmatch = \"/broken/*\"\norigin = \"shop\"\nhooks = { viewer_request = \"broken\" }\n\
        [[behavior]]\nname = \"all\"\nmatch = \"*\"\norigin = \"shop\"\nhooks = { viewer_request = \"mark\" }\n";
    setup.start()
}

/// A PoP that serves something of its own and takes revisions; two keys in `room`, one of which it trusts.
fn deployed_to(room: &Path) -> Pop {
    let key = |name: &str| {
        let path = room.join(name);
        let (status, said, _) = harness::pop::run(&["deploy", "--new-key", path.to_str().unwrap()]);
        assert!(status.success());
        said.lines().find(|line| line.starts_with("trust")).unwrap().to_owned()
    };
    let trust = key("deploy.key");
    key("stranger.key");
    let mut setup = Setup::new(format!(
        "[[origin]]\nname = \"o\"\ngenerated = {{ body = \"own\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n[fleet]\n{trust}\n"
    ));
    setup.code = "FRA".to_owned();
    setup.start()
}

/// Runs one scenario of browser.mjs over a PoP with all that there is to see.
fn browse(scenario: &str) {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\nContent-Type: text/plain\r\n", "hello");
    let room = tempfile::tempdir().unwrap();
    run(scenario, &pop(&origin), room.path());
}

fn run(scenario: &str, pop: &Pop, room: &Path) {
    let profile = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/browser.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(scenario).env("PACKAGES", packages()).env("CHROMIUM", CHROMIUM).env("PROFILE", profile.path());
    node.env("ADMIN", format!("http://{}", pop.admin)).env("EDGE", format!("http://{}", pop.http)).env("TOKEN", TOKEN);
    node.env("ROOM", room).env("SHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("console"));
    let output = node.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{scenario}\n{out}{err}\n{}", pop.stderr());
    assert!(out.ends_with("all of it\n"), "{scenario}: {out}");
}

#[test]
fn the_token_is_asked_for_and_kept_in_the_tab_only() {
    browse("token");
}

#[test]
fn the_fleet_is_drawn_and_moves() {
    browse("fleet");
}

#[test]
fn requests_are_followed_filtered_and_explained() {
    browse("tail");
}

#[test]
fn functions_are_counted_with_their_failures() {
    browse("functions");
}

#[test]
fn a_purge_removes_what_it_names() {
    browse("purge");
}

#[test]
fn a_revision_is_signed_in_the_browser() {
    let room = tempfile::tempdir().unwrap();
    run("deploy", &deployed_to(room.path()), room.path());
}

#[test]
fn it_is_readable_on_a_phone_and_in_the_dark() {
    browse("readable");
}
