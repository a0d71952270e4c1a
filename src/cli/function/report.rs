//! Report: what a call did, for a person or as JSON.
//!
//! In: the message before, the call. Out: text, or JSON. Never: a decision; the verdict is the edge's own.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::diff::{self, Line};
use super::percentile::Spread;
use super::time::Moment;
use crate::cli::admin::Colour;
use crate::cli::table;
use crate::config::compiled::Mode;
use crate::hooks::engine::Called;
use crate::hooks::host::Level;
use crate::hooks::{Api, Exchange};

/// CPU time that CloudFront Functions are held to. AWS does not publish it; measurements of others say a millisecond.
const COMPUTE: Duration = Duration::from_millis(1);

/// One call, or several that were the same.
#[derive(Debug)]
pub struct Report<'r> {
    pub name: &'r str,
    pub version: &'r str,
    pub api: Api,
    pub mode: Mode,
    pub before: &'r Exchange,
    pub called: &'r Called,
    pub now: Moment,
    pub seed: u64,
    /// CPU time, where there was more than one call.
    pub spread: Option<Spread>,
    pub calls: usize,
}

// === impl Report ===
impl Report<'_> {
    pub fn good(&self) -> bool {
        self.called.outcome.is_ok()
    }

    pub fn write(&self, out: &mut impl Write, colour: Colour) -> io::Result<()> {
        let head = format!("{} {}", self.name, self.version);
        writeln!(out, "{}  {}  {}", colour.paint("1", &head), self.before.event, contract(self.api))?;
        writeln!(out, "\n  {}", diff::printable(&diff::first_line(self.before)))?;
        if self.good() {
            self.write_edits(out, colour)?;
        }
        if !self.called.logs.is_empty() {
            writeln!(out, "\nlog")?;
            for line in &self.called.logs {
                let style = match line.level {
                    Level::Debug | Level::Info => "0",
                    Level::Warn => "33",
                    Level::Error => "31",
                };
                // A stack's lines stand below each other.
                let text = diff::printable(&line.message).replace('\n', "\n         ");
                writeln!(out, "  {:<6} {}", line.level.as_str(), colour.paint(style, &text))?;
            }
        }
        writeln!(out)?;
        self.write_verdict(out, colour)?;
        self.write_cost(out)
    }

    fn write_edits(&self, out: &mut impl Write, colour: Colour) -> io::Result<()> {
        if let Some(answer) = self.called.exchange.answer() {
            writeln!(out, "\nanswer")?;
            for line in diff::answer(answer) {
                writeln!(out, "{}", colour.paint("32", &format!("+ {}", diff::printable(&line))))?;
            }
            return Ok(());
        }
        for line in diff::lines(self.before, &self.called.exchange) {
            match line {
                Line::Gone(text) => {
                    writeln!(out, "{}", colour.paint("31", &format!("- {}", diff::printable(&text))))?;
                }
                Line::Come(text) => {
                    writeln!(out, "{}", colour.paint("32", &format!("+ {}", diff::printable(&text))))?;
                }
            }
        }
        Ok(())
    }

    fn write_verdict(&self, out: &mut impl Write, colour: Colour) -> io::Result<()> {
        match &self.called.outcome {
            Ok(()) => {
                let words = match self.called.exchange.answer() {
                    Some(answer) => {
                        format!("answers with {} ({})", answer.status.as_u16(), self.api.generated())
                    }
                    None => match self.called.exchange.edits().len() {
                        0 => "goes on unchanged".to_owned(),
                        1 => "goes on with 1 edit".to_owned(),
                        several => format!("goes on with {several} edits"),
                    },
                };
                writeln!(out, "{} {words}", colour.paint("32;1", "valid:"))
            }
            Err(failure) => {
                let (status, result) = (failure.status(), failure.result_type(self.api));
                let words = failure.to_string();
                writeln!(out, "{} {}", colour.paint("31;1", "failed:"), diff::printable(&words))?;
                writeln!(
                    out,
                    "  the viewer gets {status}, x-cache says {result}; or as if it were not there, with on_error = \"skip\""
                )
            }
        }
    }

    fn write_cost(&self, out: &mut impl Write) -> io::Result<()> {
        let Called { cpu, wall, memory, .. } = self.called;
        let memory = table::bytes(*memory as f64);
        writeln!(out, "cost: {} of CPU, {} in all, {memory} of memory", time(*cpu), time(*wall))?;
        if let Some(Spread { min, median, p99 }) = self.spread {
            let (min, median, p99) = (time(min), time(median), time(p99));
            writeln!(out, "CPU of {} calls: min {min}, median {median}, p99 {p99}", self.calls)?;
        }
        if let Some(share) = self.utilisation() {
            writeln!(
                out,
                "compute utilisation: about {share} (above 100 CloudFront ends it; their measure is not published)"
            )?;
        }
        writeln!(out, "clock: {}, seed: {}", self.now, self.seed)
    }

    /// CloudFront's number for how much of the allowed time a function took, as near as can be told.
    fn utilisation(&self) -> Option<u128> {
        let asked = self.api == Api::CloudFront && self.mode == Mode::Strict;
        let cpu = self.spread.map_or(self.called.cpu, |spread| spread.median);
        asked.then(|| cpu.as_micros() * 100 / COMPUTE.as_micros())
    }

    pub fn json(&self) -> Value {
        let after = &self.called.exchange;
        let mut report = json!({
            "function": self.name,
            "version": self.version,
            "event": self.before.event.as_str(),
            "contract": contract(self.api),
            "outcome": "ok",
            "edits": [],
            "logs": self.called.logs.iter()
                .map(|line| json!({ "level": line.level.as_str(), "message": line.message }))
                .collect::<Vec<_>>(),
            "cpu_us": micros(self.called.cpu),
            "wall_us": micros(self.called.wall),
            "memory_bytes": self.called.memory,
            "now": self.now.to_string(),
            "seed": self.seed,
        });
        match &self.called.outcome {
            Err(failure) => {
                report["outcome"] = json!("failed");
                report["failure"] = json!({
                    "message": failure.to_string(),
                    "reason": failure.reason(),
                    "status": failure.status(),
                    "result_type": failure.result_type(self.api),
                });
            }
            Ok(()) => match after.answer() {
                Some(answer) => {
                    report["outcome"] = json!("answer");
                    report["answer"] = json!({
                        "status": answer.status.as_u16(),
                        "result_type": self.api.generated(),
                        "headers": answer.headers.iter()
                            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
                            .collect::<Vec<_>>(),
                        "body": diff::shown(&answer.body),
                    });
                }
                None => {
                    let lines = diff::lines(self.before, after).into_iter();
                    report["edits"] = lines
                        .map(|line| match line {
                            Line::Gone(text) => json!({ "gone": text }),
                            Line::Come(text) => json!({ "come": text }),
                        })
                        .collect();
                }
            },
        }
        if let Some(Spread { min, median, p99 }) = self.spread {
            report["cpu"] = json!({
                "calls": self.calls, "min_us": micros(min), "median_us": micros(median), "p99_us": micros(p99),
            });
        }
        if let Some(share) = self.utilisation() {
            report["compute_utilisation"] = json!(u64::try_from(share).unwrap_or(u64::MAX));
        }
        report
    }
}

/// What a function was written to, in words.
pub fn contract(api: Api) -> &'static str {
    match api {
        Api::Native => "native",
        Api::LambdaEdge => "Lambda@Edge",
        Api::CloudFront => "CloudFront Functions",
    }
}

/// Three digits, in the unit that fits.
pub fn time(time: Duration) -> String {
    let us = micros(time);
    match us {
        0.0..1000.0 => format!("{us:.0} µs"),
        1000.0..1_000_000.0 => format!("{:.1} ms", us / 1000.0),
        _ => format!("{:.2} s", us / 1_000_000.0),
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::function::fixture::{NOW, exchange};
    use crate::hooks::host::LogLine;
    use crate::hooks::{Event, Failure};

    fn called(exchange: Exchange, outcome: Result<(), Failure>) -> Called {
        let logs = vec![LogLine { level: Level::Error, message: "oh\nno".to_owned() }];
        let (cpu, wall) = (Duration::from_micros(61), Duration::from_micros(1500));
        Called { exchange: exchange.into(), outcome, cpu, wall, memory: 2 << 20, logs }
    }

    fn report<'r>(before: &'r Exchange, called: &'r Called, mode: Mode) -> Report<'r> {
        let api = Api::CloudFront;
        Report { name: "f", version: "abc", api, mode, before, called, now: NOW, seed: 7, spread: None, calls: 1 }
    }

    fn text(report: &Report<'_>, colour: Colour) -> String {
        let mut out = Vec::new();
        report.write(&mut out, colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_call_that_edits() {
        let before = exchange(Event::ViewerRequest, "GET /docs/", &[]);
        let mut after = before.clone();
        after.set_uri("/docs/index.html").unwrap();
        let called = called(after, Ok(()));
        let mut shown = report(&before, &called, Mode::Strict);
        shown.spread = Spread::of(vec![Duration::from_micros(60); 10]);
        shown.calls = 10;
        let want = "\
f abc  viewer-request  CloudFront Functions

  GET /docs/
- GET /docs/
+ GET /docs/index.html

log
  error  oh
         no

valid: goes on with 1 edit
cost: 61 µs of CPU, 1.5 ms in all, 2.0 MiB of memory
CPU of 10 calls: min 60 µs, median 60 µs, p99 60 µs
compute utilisation: about 6 (above 100 CloudFront ends it; their measure is not published)
clock: 2026-01-01T00:00:00Z, seed: 7
";
        assert_eq!(text(&shown, Colour(false)), want);
        assert!(text(&shown, Colour(true)).contains("\x1b[32m+ GET /docs/index.html\x1b[0m"));
        let json = shown.json();
        assert_eq!(json["edits"][1]["come"], "GET /docs/index.html");
        assert_eq!(json["compute_utilisation"], 6);
    }

    #[test]
    fn a_call_that_answers() {
        let before = exchange(Event::ViewerRequest, "GET /old/a", &[]);
        let mut after = before.clone();
        let headers = [("location", b"/new/a".as_slice())];
        after.respond(301, headers.into_iter(), "moved\n".into()).unwrap();
        let called = called(after, Ok(()));
        let shown = report(&before, &called, Mode::Extended);
        let text = text(&shown, Colour(false));
        assert!(text.contains("\nanswer\n+ 301 Moved Permanently\n+ location: /new/a\n+ \n+ moved\n"), "{text}");
        assert!(text.contains("\nvalid: answers with 301 (FunctionGeneratedResponse)\n"), "{text}");
        assert_eq!(shown.json()["answer"]["status"], 301);
    }

    #[test]
    fn a_call_that_fails() {
        let before = exchange(Event::ViewerRequest, "GET /", &[]);
        let called = called(before.clone(), Err(Failure::Validation("the header \"via\" is read-only".to_owned())));
        let shown = report(&before, &called, Mode::Extended);
        let text = text(&shown, Colour(false));
        assert!(text.contains("failed: validation: the header \"via\" is read-only\n"), "{text}");
        assert!(text.contains("the viewer gets 502, x-cache says FunctionValidationError"), "{text}");
        let json = shown.json();
        assert_eq!((&json["outcome"], &json["failure"]["status"]), (&json!("failed"), &json!(502)));
    }

    /// A guest's log, its words and edits, and a viewer's path in a recording.
    #[test]
    fn nobody_writes_to_the_terminal_but_the_report() {
        let mut before = exchange(Event::ViewerRequest, "GET /a", &[]);
        before.request.uri = "/a\u{9b}2J".to_owned();
        let spoilt = |shown: &str| {
            let left = shown.chars().filter(|char| char.is_control() && !matches!(char, '\n' | '\t'));
            assert_eq!(left.count(), 0, "{shown:?}");
        };
        let failed = Called {
            logs: vec![LogLine { level: Level::Info, message: "\x1b]0;x\x07\r\u{9b}31m".to_owned() }],
            ..called(before.clone(), Err(Failure::Execution("\x1b[2J".to_owned())))
        };
        spoilt(&text(&report(&before, &failed, Mode::Extended), Colour(false)));
        let mut after = before.clone();
        after.respond(200, std::iter::empty(), "\x1b[31mred".into()).unwrap();
        spoilt(&text(&report(&before, &called(after, Ok(())), Mode::Extended), Colour(false)));
        let mut after = exchange(Event::OriginRequest, "GET /a", &[]);
        let before = after.clone();
        after.set_body("\x1b[31mred\u{85}".into()).unwrap();
        spoilt(&text(&report(&before, &called(after, Ok(())), Mode::Extended), Colour(false)));
    }

    #[test]
    fn times() {
        for (us, want) in [(0, "0 µs"), (999, "999 µs"), (1500, "1.5 ms"), (2_500_000, "2.50 s")] {
            assert_eq!(time(Duration::from_micros(us)), want);
        }
    }
}
