//! Hook crowd: a thousand functions in one PoP.
//!
//! In: many functions in two languages, all called. Out: each one's own answer; memory within a bound. Never: a time.

use std::fmt::Write;

use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop, Setup};

const FUNCTIONS: usize = 1000;
/// Of these, as many are JavaScript.
const SCRIPTS: usize = 10;
/// Bytes that one may hold between its calls, on average, beside what the PoP holds without any. (They were 60 to 90 KiB.)
const EACH: u64 = 192 << 10;

/// Resident bytes of the PoP's process.
fn resident(pop: &Pop) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pop.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn crowd(origin: &Origin, functions: usize) -> Pop {
    let mut setup = Setup::new("");
    let mut rest = origin.config("o");
    for n in 0..functions {
        let (file, text) = match n % (FUNCTIONS / SCRIPTS) {
            0 => {
                let body = format!("event.Records[0].cf.response.headers['x-own'] = [{{ value: '{n}' }}];");
                let file =
                    format!("exports.handler = async (event) => {{ {body} return event.Records[0].cf.response; }};");
                (format!("f{n}.js"), file)
            }
            _ => (format!("f{n}.wat"), Flat::new().set("x-own", &n.to_string()).wat()),
        };
        std::fs::write(setup.dir().join(&file), text).unwrap();
        writeln!(rest, "[[function]]\nname = \"f{n}\"\nfile = \"{file}\"\nreuse = 10").unwrap();
        writeln!(rest, "[[behavior]]\nmatch = \"/{n}\"\norigin = \"o\"\nhooks = {{ viewer_response = \"f{n}\" }}")
            .unwrap();
    }
    rest.push_str("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n");
    setup.rest = rest;
    setup.start()
}

#[test]
fn a_thousand_functions_are_called_within_bounded_memory() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let alone = crowd(&origin, FUNCTIONS / SCRIPTS);
    let pop = crowd(&origin, FUNCTIONS);
    for (pop, functions) in [(&alone, FUNCTIONS / SCRIPTS), (&pop, FUNCTIONS)] {
        let mut viewer = pop.raw();
        for n in (0..functions).chain(0..functions) {
            let reply = viewer.get(&format!("/{n}"));
            let want = n.to_string();
            assert_eq!((reply.status, reply.field("x-own")), (200, Some(want.as_str())), "{}", reply.text());
        }
    }
    let more = resident(&pop).saturating_sub(resident(&alone));
    assert!(more < EACH * FUNCTIONS as u64, "{} MiB more for {FUNCTIONS} functions", more >> 20);
}
