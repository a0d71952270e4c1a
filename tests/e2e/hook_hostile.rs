//! Hook hostile: what guests that mean harm cost the process, and their neighbours.
//!
//! In: functions that loop, eat memory, sleep, recurse, log and fail, again and again. Out: neighbours that are served; threads, files and
//! memory as they were. Never: what a viewer is told of it (`hook_limits`).

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::wat::{self, Flat};
use crate::harness::{Origin, Pop, Setup, until};

/// Rounds after which everything a guest makes the process keep has been made, and rounds after that.
const FIRST: usize = 3;
const MORE: usize = 12;
/// Calls of each guest in a round.
const AT_ONCE: usize = 3;
/// Resident memory that may come and go: one of the instances that eat has more.
const GROWTH_KIB: u64 = 64 << 10;

/// A function that means harm.
struct Guest {
    name: &'static str,
    text: String,
    /// More lines of its configuration.
    more: String,
    /// How its calls end, none of them well.
    outcome: &'static str,
}

/// One of each kind; `sleep` waits for an origin that never answers.
fn guests(silent: &Origin) -> Vec<Guest> {
    let port = silent.address.port();
    let sleep = format!(
        "exports.handler = async (event) => {{ await fetch('http://127.0.0.1:{port}/'); return event.Records[0].cf.request; }};\n"
    );
    let eat =
        "exports.handler = async () => { const all = []; for (;;) all.push('x'.repeat(1 << 20) + all.length); };\n";
    let log = "exports.handler = async (event) => { for (;;) console.log('x'.repeat(1000)); };\n";
    let recursion = "(module (memory (export \"memory\") 4)\n (func (export \"alloc\") (param i32) (result i32) i32.const 1024)\n \
                     (func $f (export \"flat\") (param i32 i32) (result i64) (call $f (local.get 0) (local.get 1))))";
    let table = "(module (memory (export \"memory\") 4) (table $t 1 funcref)\n \
                 (func (export \"alloc\") (param i32) (result i32) i32.const 1024)\n \
                 (func (export \"flat\") (param i32 i32) (result i64) \
                 (loop (br_if 0 (i32.ge_s (table.grow $t (ref.null func) (i32.const 10000)) (i32.const 0)))) unreachable))";
    let fields = "exports.handler = async () => ({ status: '200', headers: Object.fromEntries(Array.from(Array(3000), (_, n) => \
                  [`x-${n}`, [{ value: 'v' }]])) });\n";
    let start = "(module (memory (export \"memory\") 4) (func $start unreachable) (start $start)\n \
                 (func (export \"alloc\") (param i32) (result i32) i32.const 1024)\n \
                 (func (export \"flat\") (param i32 i32) (result i64) i64.const 0))";
    let grants = format!("grants = {{ fetch = {{ allow = [\"127.0.0.1:{port}\"], private = [\"127.0.0.0/8\"] }} }}\n");
    let guest = |name, text: &str, more: &str, outcome| Guest { name, text: text.into(), more: more.into(), outcome };
    vec![
        guest("loop", &wat::module("", "(loop (br 0)) i64.const 0"), "", "cpu"),
        guest("eat", eat, "memory = \"64MiB\"\ncpu = \"5s\"\n", "execution"),
        guest("sleep", &sleep, &format!("{grants}timeout = \"200ms\"\n"), "timeout"),
        guest("recursion", recursion, "", "execution"),
        guest("table", table, "", "execution"),
        guest("log", log, "", "cpu"),
        guest("fields", fields, "cpu = \"5s\"\n", "validation"),
        guest("start", start, "", "execution"),
        guest("trap", &wat::module("", "unreachable"), "", "execution"),
        guest("error", &Flat::new().fail("on purpose").wat(), "", "execution"),
    ]
}

fn start(origin: &Origin, guests: &[Guest]) -> Pop {
    let mut setup = Setup::new(origin.config("o"));
    for Guest { name, text, more, .. } in guests {
        let file = format!("{name}.{}", if text.starts_with("(module") { "wat" } else { "js" });
        std::fs::write(setup.dir().join(&file), text).unwrap();
        setup
            .rest
            .push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{file}\"\nconcurrency = {AT_ONCE}\n{more}"));
        setup.rest.push_str(&format!(
            "[[behavior]]\nmatch = \"/{name}\"\norigin = \"o\"\ncache = false\nhooks = {{ viewer_request = \"{name}\" }}\n"
        ));
    }
    std::fs::write(setup.dir().join("good.wat"), Flat::new().set("x-good", "1").wat()).unwrap();
    setup.rest.push_str("[[function]]\nname = \"good\"\nfile = \"good.wat\"\n");
    setup.rest.push_str("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = { viewer_response = \"good\" }\n");
    setup.start()
}

/// Threads, open files and resident memory in KiB.
fn held(pop: &Pop) -> [u64; 3] {
    let proc = PathBuf::from(format!("/proc/{}", pop.pid()));
    let entries = |name: &str| std::fs::read_dir(proc.join(name)).unwrap().count() as u64;
    let status = std::fs::read_to_string(proc.join("status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    [entries("task"), entries("fd"), rss.trim().trim_end_matches(" kB").parse().unwrap()]
}

#[test]
fn hostile_guests_leave_nothing_behind() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let silent = Origin::start(|x| while x.read().is_some() {});
    let guests = guests(&silent);
    let pop = start(&origin, &guests);
    let round = || {
        std::thread::scope(|scope| {
            for Guest { name, .. } in &guests {
                for _ in 0..AT_ONCE {
                    let pop = &pop;
                    scope.spawn(move || pop.get(&format!("/{name}")));
                }
            }
        });
        assert_eq!(pop.get("/a").field("x-good"), Some("1"));
    };
    let called = |rounds: usize| {
        let calls = (rounds * guests.len() * AT_ONCE) as f64;
        pop.counts_to("rimward_function_calls_total", &["function=\"", "outcome=\""], calls);
        held(&pop)
    };
    (0..FIRST).for_each(|_| round());
    let before = called(FIRST);
    (0..MORE).for_each(|_| round());
    called(FIRST + MORE);
    // What was not given back would grow with the rounds, which have four times as many calls as those before. A call that was given up
    // ends a moment later, as a viewer's connection does.
    until(&format!("the process to hold no more than {before:?}"), || {
        let [threads, files, memory] = held(&pop);
        (threads <= before[0] + 2 && files <= before[1] + 4 && memory <= before[2] + GROWTH_KIB).then_some(())
    });
    for Guest { name, outcome, .. } in &guests {
        let ended = |outcome: &str| {
            let labels = [format!("function=\"{name}\""), format!("outcome=\"{outcome}\"")];
            pop.metric("rimward_function_calls_total", &labels.each_ref().map(String::as_str))
        };
        // On a busy machine some are over their time before they come to what they are for.
        assert!(ended(outcome) > 0.0 && ended("ok") + ended("answered") == 0.0, "{name}: {outcome}");
    }
}

/// Behaviors beside them are served, with their functions, all the while.
#[test]
fn a_neighbour_is_served_beside_a_looping_a_memory_eating_and_a_sleeping_function() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let silent = Origin::start(|x| while x.read().is_some() {});
    let guests = guests(&silent);
    let pop = start(&origin, &guests);
    let (pop, done) = (&pop, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        for name in ["loop", "eat", "sleep"] {
            for _ in 0..4 {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let status = pop.get(&format!("/{name}")).status;
                        assert!(status >= 500, "{name}: {status}");
                    }
                });
            }
        }
        // Asserted behind the others, which end only once this is said.
        let replies: Vec<_> = (0..200).map(|n| pop.get(&format!("/{}", n % 20))).collect();
        done.store(true, Ordering::Relaxed);
        assert!(replies.iter().all(|reply| reply.status == 200 && reply.field("x-good") == Some("1")));
    });
}
