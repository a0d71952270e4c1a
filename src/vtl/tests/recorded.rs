//! Recorded: what the engines that API Gateway is made of printed.
//!
//! `velocity.json`: templates and what Velocity 1.7 (Debian's `velocity` 1.7-6, Java 17) made of them, `!ERROR` where it threw; the
//! first by hand, the rest by a generator. `paths.json`: a document, and paths with what Jayway JsonPath 2.0 (Debian's
//! `libjsonpath-java`) found, as JSON and as it prints.

use super::{body, render};
use crate::vtl::Context;

/// The names that the recorded templates use, as the recording set them.
const NAMES: &str = concat!(
    r#"#set($foo = "foo")#set($s = "Hello, World")#set($e = "")#set($n = 5)#set($m = -3)#set($d = 1.5)#set($t = true)#set($f = false)"#,
    r#"#set($list = ["a", "b", "c"])#set($nums = [1, 2, 3])#set($map = {"a": 1, "b": "two", "list": [1, 2]})"#,
    r#"#set($obj = {"inner": $map, "nul": $nothing, "x-y": "dash"})#* *#"#
);

#[test]
fn templates_print_what_velocity_prints() {
    let table: Vec<(String, String)> = serde_json::from_str(include_str!("velocity.json")).unwrap();
    assert!(table.len() > 400);
    let mut wrong = Vec::new();
    for (template, expected) in &table {
        let found = render(&format!("{NAMES}{template}"), &Context::default());
        let same = match &found {
            Ok(found) => found == expected,
            Err(_) => expected == "!ERROR",
        };
        if !same {
            wrong.push(format!("{template:?}\n  velocity {expected:?}\n  here     {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn paths_find_what_jayway_finds() {
    let (document, table): (String, Vec<(String, String, String)>) =
        serde_json::from_str(include_str!("paths.json")).unwrap();
    assert!(table.len() > 50);
    let mut wrong = Vec::new();
    for (path, json, text) in &table {
        let quoted = path.replace('\'', "''");
        let found = [format!("#set($p = '{quoted}')$input.json($p)"), format!("#set($p = '{quoted}')$input.path($p)")]
            .map(|template| render(&template, &body(&document)));
        let same = match &found {
            [Ok(found), Ok(printed)] => found == json && printed == text,
            _ => json == "!ERROR",
        };
        if !same {
            wrong.push(format!("{path}\n  jayway {json} {text:?}\n  here   {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}
