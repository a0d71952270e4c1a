//! Test: runs a function on one event, in the engine that a PoP runs it in.
//!
//! In: a file, an event, what it may reach. Out: its edits, its log, what it cost, and the verdict of the edge. Never: a clock that
//! runs, randomness that differs from one run to the next.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::given::Given;
use super::grants::Granted;
use super::local::{Local, Settings};
use super::percentile::Spread;
use super::report::Report;
use super::time::Moment;
use super::{Flavor, FnError, Mode, Verdict, options, source};
use crate::cli::admin::Colour;
use crate::config::units::{ByteSize, Duration};
use crate::config::{compiled, too_much_code};
use crate::hooks::Event;
use crate::hooks::engine::{Budget, Function};
use crate::hooks::failure::Api;
use crate::hooks::limits::{self, Means};

/// Calls of one `--repeat`.
const REPEAT_MAX: i64 = 1_000_000;

/// Run a function on one event, and say what it did
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn test index.js --event event.json\n  \
    rimward fn test index.js --request 'GET /docs/?lang=de' -H 'accept-language: de'\n  \
    rimward fn test headers.wasm --at viewer-response --status 404\n  \
    rimward fn test jwt.wasm --config issuer=https://id.example --secret key=file:key.pem\n  \
    rimward fn test index.js --repeat 1000      min, median and p99 of CPU time\n\n\
    The clock stands still and randomness comes from a seed: the same command gives the same outcome.\n\
    Exit codes: 0 a valid outcome, 1 the function fails, does not build or its result is not valid, 2 wrong usage,\n\
    or a file that cannot be used.")]
pub struct Test {
    /// A wasm file, or a source, which is built first
    pub path: PathBuf,
    #[command(flatten)]
    pub given: Given,
    #[command(flatten)]
    pub granted: Granted,
    #[command(flatten)]
    pub how: How,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How it runs")]
pub struct How {
    /// What a JavaScript file is
    #[arg(long, value_enum, default_value_t)]
    pub flavor: Flavor,
    /// How closely AWS's limits are kept
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// CPU time a call may take
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = span)]
    pub cpu: Duration,
    /// Time a call may take, waiting included
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    pub timeout: Duration,
    /// Memory an instance may have
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    pub memory: ByteSize,
    /// Where its clock stands, like 2026-01-01T12:00:00Z [default: the moment of the test]
    #[arg(long, value_name = "TIME")]
    pub now: Option<Moment>,
    /// What its randomness begins with
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Call it as often as this, each time in a fresh instance
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=REPEAT_MAX))]
    pub repeat: u32,
}

// === impl Test ===
impl Test {
    pub fn run(&self, out: &mut impl Write, colour: Colour) -> Result<Verdict, FnError> {
        let how = &self.how;
        let text = self.given.text()?;
        let recorded = self.given.recorded(text.as_deref())?;
        let (mode, now) = match &recorded {
            Some(_) if how.now.is_some() => {
                return Err(FnError::Usage("a recorded call has its own clock: leave out --now".to_owned()));
            }
            Some(recorded) => (recorded.site.mode, Moment(recorded.now_ms)),
            None => (how.mode.into(), how.now.unwrap_or_else(Moment::now)),
        };
        let (grants, stores) = self.granted.compile()?;
        let wasm = source::wasm(&self.path, how.flavor.into(), mode, Some(&grants.config))?;
        let budget = how.budget();
        let means = Means::of(budget.memory, budget.timeout, &grants);
        let settings = Settings {
            flavor: how.flavor.into(),
            mode,
            budget,
            grants,
            stores,
            geo: self.granted.geo.clone(),
            seed: how.seed,
            artifacts: None,
        };
        let name = source::name(&self.path);
        let local = Local::load(&name, self.path.clone(), &wasm.bytes, settings)?;
        let before = match recorded {
            Some(recorded) => recorded,
            None => self.given.exchange(text.as_deref(), &handled(&local.function), mode, now)?,
        };
        handles(&local.function, before.event)?;
        if mode == compiled::Mode::Strict {
            let (api, event) = (local.function.api(), before.event);
            let beyond = limits::beyond_quota(api, event, means).map(str::to_owned);
            let size = || (api == Api::LambdaEdge).then(|| too_much_code(&self.path, event.is_viewer())).flatten();
            if let Some(what) = beyond.or_else(size) {
                return Err(FnError::Usage(format!("{name} at {event}: {what}, in mode \"strict\"")));
            }
        }
        let called = local.call(before.clone());
        let more = (1..how.repeat).map(|_| local.call(before.clone()).cpu);
        let spread = if how.repeat > 1 { Spread::of(more.chain([called.cpu]).collect()) } else { None };
        let report = Report {
            name: &name,
            version: local.function.version(),
            api: local.function.api(),
            mode,
            before: &before,
            called: &called,
            now,
            seed: how.seed,
            spread,
            calls: how.repeat as usize,
        };
        if self.json {
            writeln!(out, "{:#}", report.json())?;
        } else {
            report.write(out, colour)?;
            for note in &wasm.notes {
                writeln!(out, "note: {note}")?;
            }
            if called.outcome.as_ref().is_err_and(|failure| failure.to_string().contains("was not granted; add")) {
                writeln!(out, "note: here grants are options: --config, --secret, --kv, --fetch, --geo")?;
            }
            if self.given.at.is_none() && self.given.event.is_none() {
                Self::elsewhere(&local.function, before.event, out)?;
            }
        }
        Ok(if report.good() { Verdict::Good } else { Verdict::Bad })
    }

    /// A script is one handler for all events: which one it is for, nobody said.
    fn elsewhere(function: &Function, ran: Event, out: &mut impl Write) -> Result<(), FnError> {
        let others: Vec<Event> = handled(function).into_iter().filter(|event| *event != ran).collect();
        if !others.is_empty() {
            writeln!(out, "note: it ran at {ran}; to choose another event, say --at {}", options(&others))?;
        }
        Ok(())
    }
}

// === impl How ===
impl How {
    pub fn budget(&self) -> Budget {
        Budget {
            cpu: self.cpu.get(),
            timeout: self.timeout.get(),
            memory: usize::try_from(self.memory.get()).unwrap_or(usize::MAX),
        }
    }
}

/// A time that a call may take, as the configuration has it.
fn span(text: &str) -> Result<Duration, String> {
    match text.parse::<Duration>() {
        Ok(span) if span == Duration::default() => Err("must be more than 0".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// The events that a configuration may attach it to.
fn handled(function: &Function) -> Vec<Event> {
    Event::ALL.into_iter().filter(|event| function.handles(*event)).collect()
}

/// Refuses an event that a configuration would not attach it to.
pub fn handles(function: &Function, event: Event) -> Result<(), FnError> {
    if function.handles(event) {
        return Ok(());
    }
    let has: Vec<&str> = handled(function).iter().map(|event| event.as_str()).collect();
    Err(FnError::Usage(format!("'{}' has no handler for {event}; it has {}", function.name(), has.join(", "))))
}
