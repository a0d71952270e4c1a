//! Deploys: a revision for a fleet whose bus is not there yet.
//!
//! In: a PoP that runs, a hub that begins later. Out: a deploy that waits, says for what, and is accepted. Never: one that is given up because
//! the bus came a moment later.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::world::{Plan, World, connected};
use crate::harness::until;

/// As just after the start of a fleet: the PoP is there before its leaf node has found the hub, or before there are streams.
#[test]
fn a_deploy_waits_for_a_hub_that_begins() {
    let mut world = World::start(Plan::default());
    for (way, body) in ["begins again", "begins without what it had"].into_iter().zip(["one", "two"]) {
        world.hub.server.kill();
        if body == "two" {
            std::fs::remove_dir_all(world.hub.server.store()).unwrap();
        }
        world.pops.iter().for_each(|pop| connected(pop, false));
        let words = world.deploying(&world.pops[0], body, &["--timeout", "120"]);
        let mut deploy = Command::new(env!("CARGO_BIN_EXE_rimward"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(deploy.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("waiting, at most 120 s: the bus cannot be reached"), "a hub that {way}: {line:?}");
        world.hub.server.restart();
        for line in said.lines() {
            println!("{}", line.unwrap());
        }
        assert!(deploy.wait().unwrap().success(), "a hub that {way}");
        for pop in &world.pops {
            until("the revision", || (pop.get("/rev").text() == body).then_some(()));
        }
    }
}
