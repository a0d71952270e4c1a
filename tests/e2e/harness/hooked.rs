//! Hooked: PoPs with functions, and which of them ran.
//!
//! In: functions as text, the lines that attach them. Out: a process that runs them, its log's calls. Never: a toolchain.

use super::wat::Flat;
use super::{Origin, Pop, Reply, Setup, until};

/// A PoP with one origin and these functions; `hooks` are the lines of `[behavior.hooks]`, `behavior` more of the behavior.
pub fn pop(origin: &Origin, functions: &[(&str, String)], behavior: &str, hooks: &str) -> Pop {
    let mut setup = Setup::new("");
    let mut rest = origin.config("o");
    for (name, text) in functions {
        let extension = if text.trim_start().starts_with("(module") { "wat" } else { "js" };
        std::fs::write(setup.dir().join(format!("{name}.{extension}")), text).unwrap();
        rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.{extension}\"\n"));
    }
    rest.push_str(&format!("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{behavior}\n[behavior.hooks]\n{hooks}\n"));
    setup.rest = rest;
    setup.start()
}

/// The calls of the last line of the access log: event and outcome.
pub fn calls(pop: &Pop, lines: usize) -> Vec<(String, String)> {
    let log = until("the log", || {
        let log = pop.access_log();
        (log.len() >= lines).then_some(log)
    });
    let line = log.last().unwrap();
    let word = |call: &serde_json::Value, key: &str| call[key].as_str().unwrap_or_default().to_owned();
    line["functions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| (word(call, "event"), word(call, "outcome")))
        .collect()
}

pub fn result(reply: &Reply) -> &str {
    reply.field("x-cache").unwrap().strip_suffix(" from rimward").unwrap()
}

/// Each event leaves its mark: which of them ran is in the answer's fields and in the log.
pub fn marks() -> Vec<(&'static str, String)> {
    vec![
        ("vreq", Flat::new().set("x-vreq", "1").wat()),
        ("oreq", Flat::new().set("x-oreq", "1").wat()),
        ("ores", Flat::new().set("x-ores", "1").wat()),
        ("vres", Flat::new().set("x-vres", "1").wat()),
    ]
}

pub const ALL: &str =
    "viewer_request = \"vreq\"\norigin_request = \"oreq\"\norigin_response = \"ores\"\nviewer_response = \"vres\"";
pub const FORWARD: &str = "forward = { headers = \"all\" }";

pub fn ran(reply: &Reply) -> (bool, bool) {
    (reply.field("x-ores").is_some(), reply.field("x-vres").is_some())
}
