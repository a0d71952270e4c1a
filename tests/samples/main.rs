//! Samples: every sample function, run in the real engine on requests of a table.
//!
//! In: functions/samples/fixtures, and with RIMWARD_SAMPLES=built what functions/samples/build.sh made, where all must be there. Out: what
//! each made of each request, as lines of text. Never: a compiler of a guest language.

#![allow(clippy::unwrap_used)]

mod aws;
mod bench;
mod exchange;
mod native;
mod plain;

use bench::Bench;
use exchange::Case;

/// Runs one sample on its table.
async fn check(name: &str, event: &str, grants: rimward::config::compiled::Grants, cases: Vec<Case>) {
    for bench in Bench::all(name, &grants) {
        for case in &cases {
            let want: Vec<&str> = case.want.iter().map(String::as_str).collect();
            // Twice: the second call meets what the first one left in a reused instance.
            for turn in ["first", "second"] {
                assert_eq!(bench.call(event, case).await, want, "{name}, {turn} call: {}", case.about);
            }
        }
    }
}
