//! Replay: runs a recorded call again and says what is different.
//!
//! In: a request's id, the recordings of a PoP, the function as it is now. Out: the same outcome, or the difference. Never: the
//! recording changed; randomness and stores of the first call, which nobody wrote down.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::grants::Granted;
use super::local::{Local, Settings};
use super::report::Report;
use super::time::Moment;
use super::{FnError, Verdict, diff, source, unread};
use crate::cli::admin::Colour;
use crate::config::compiled::{Config, Flavor, Mode};
use crate::hooks::engine::{Budget, Called};
use crate::hooks::oci;
use crate::hooks::testevent::{Change, Member, Outcome, Raw, Recording, TestEventError};

/// As `[[function]]` has them by default.
const BUDGET: Budget = Budget { cpu: Duration::from_millis(50), timeout: Duration::from_secs(5), memory: 128 << 20 };
/// Bytes of a recording: two messages with bodies, every byte an escape.
const RECORDING_MAX: u64 = 128 << 20;

/// Run a recorded call again, and say what is different
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn replay ID --pop-config edge.toml     the function and its grants as configured there\n  \
    rimward fn replay ID --function index.js --dir state/records\n  \
    rimward fn replay records/ID-0-pretty.json --function index.js\n\n\
    A function is recorded with `record = \"1%\"` in its [[function]]. The id is the request's: in the\n\
    log and in x-amz-cf-id. The clock stands where it stood; randomness begins with a seed, stores with\n\
    their import files.\n\
    Exit codes: 0 the same outcome, 1 another, or the function does not build, 2 wrong usage,\n\
    or there is no such recording.")]
pub struct Replay {
    /// Id of the request, or the file of a recording
    pub id: String,
    /// Where recordings are [default: where --pop-config keeps them, else state/records]
    #[arg(long, value_name = "PATH")]
    pub dir: Option<PathBuf>,
    /// Run this file or source instead of what is configured
    #[arg(long, value_name = "FILE")]
    pub function: Option<PathBuf>,
    /// Only the calls of this function, where a request had several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Configuration of the PoP that recorded it: has the function's file and grants
    #[arg(long, value_name = "PATH", env = "RIMWARD_CONFIG")]
    pub pop_config: Option<PathBuf>,
    /// What its randomness begins with
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub granted: Granted,
}

// === impl Replay ===
impl Replay {
    pub fn run(&self, out: &mut impl Write, colour: Colour) -> Result<Verdict, FnError> {
        let config = self.pop_config.as_deref().map(read_config).transpose()?;
        let recordings = self.recordings(config.as_ref())?;
        let mut verdict = Verdict::Good;
        for (at, (path, recording)) in recordings.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            if !self.one(path, recording, config.as_ref(), out, colour)? {
                verdict = Verdict::Bad;
            }
        }
        Ok(verdict)
    }

    /// Whether the outcome is the recorded one.
    fn one(
        &self,
        path: &Path,
        recording: &Recording,
        config: Option<&Config>,
        out: &mut impl Write,
        colour: Colour,
    ) -> Result<bool, FnError> {
        let wrong = |reason: String| FnError::File { path: path.to_owned(), reason };
        let before = recording.exchange.exchange().map_err(|error| wrong(error.to_string()))?;
        let (file, settings) = self.settings(recording, before.site.mode, config)?;
        let mode = settings.mode;
        let wasm = source::wasm(&file, settings.flavor, mode, Some(&settings.grants.config))?;
        let local = Local::load(&recording.function, file, &wasm.bytes, settings)?;
        let called = local.call(before.clone());
        let now = Outcome::of(called.outcome.as_ref().map(|()| &*called.exchange));
        let report = Report {
            name: &recording.function,
            version: local.function.version(),
            api: local.function.api(),
            mode,
            before: &before,
            called: &called,
            now: Moment(before.now_ms),
            seed: self.seed,
            spread: None,
            calls: 1,
        };
        report.write(out, colour)?;
        write_comparison(recording, &now, &called, local.function.version(), out, colour)?;
        Ok(now == recording.outcome)
    }

    /// The file to run, and how.
    fn settings(
        &self,
        recording: &Recording,
        mode: Mode,
        config: Option<&Config>,
    ) -> Result<(PathBuf, Settings), FnError> {
        let known = config.and_then(|config| config.functions.iter().find(|one| one.name == recording.function));
        let Some(file) = self.function.clone().or_else(|| known.map(|one| one.file.clone())) else {
            return Err(FnError::Usage(format!(
                "where is '{}'? name its file with --function, or the configuration that has it with --pop-config",
                recording.function
            )));
        };
        let (mut grants, mut stores) = self.granted.compile()?;
        if let (Some(one), Some(config)) = (known, config) {
            grants.config.extend(one.grants.config.clone());
            grants.secrets.extend(one.grants.secrets.clone());
            grants.kv.extend(one.grants.kv.clone());
            grants.fetch = grants.fetch.or_else(|| one.grants.fetch.clone());
            grants.geo |= one.grants.geo;
            stores.extend(config.kv_stores.clone());
        }
        let mut geo = self.granted.geo.clone();
        geo.extend(config.map(|config| &config.geo).into_iter().flatten().map(|database| database.path.clone()));
        // What the association allowed, which may be other than the function's own.
        let own = known.map(|one| Budget { cpu: one.cpu, timeout: one.timeout, memory: one.memory });
        let budget = recording.allowed.map(Budget::from).or(own).unwrap_or(BUDGET);
        let flavor = known.map_or(Flavor::Auto, |one| one.flavor);
        Ok((file, Settings { flavor, mode, budget, grants, stores, geo, seed: self.seed, artifacts: None }))
    }

    /// The recordings that are meant, in the order of the calls.
    fn recordings(&self, config: Option<&Config>) -> Result<Vec<(PathBuf, Recording)>, FnError> {
        let paths = match Path::new(&self.id).is_file() {
            true => vec![PathBuf::from(&self.id)],
            false => self.files(config)?,
        };
        let mut recordings = Vec::new();
        for path in paths {
            let recording = read(&path)?;
            if self.name.as_ref().is_none_or(|name| *name == recording.function) {
                recordings.push((path, recording));
            }
        }
        let other = |(_, recording): &(PathBuf, Recording)| recording.function != recordings[0].1.function;
        if self.function.is_some() && recordings.iter().any(other) {
            let mut names: Vec<&str> = recordings.iter().map(|(_, recording)| recording.function.as_str()).collect();
            names.dedup();
            return Err(FnError::Usage(format!(
                "that request ran {}: say with --name which of them --function is",
                names.join(", ")
            )));
        }
        match recordings.is_empty() {
            true => Err(FnError::Usage(format!("no call of '{}' was recorded", self.name.as_deref().unwrap_or("it")))),
            false => Ok(recordings),
        }
    }

    fn unrecorded(&self, dir: &Path) -> FnError {
        if Path::new(&self.id).is_dir() {
            let reason =
                "this is a directory: name the id of a request, with --dir where it is kept, or a recording's file";
            return FnError::File { path: PathBuf::from(&self.id), reason: reason.to_owned() };
        }
        FnError::Usage(format!(
            "no recording of {} in {}: calls are recorded where their [[function]] has `record = \"1%\"`, or more",
            self.id,
            dir.display()
        ))
    }

    fn files(&self, config: Option<&Config>) -> Result<Vec<PathBuf>, FnError> {
        let dir = match (&self.dir, config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(config)) => config.engine.records.clone(),
            (None, None) => PathBuf::from("state/records"),
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(self.unrecorded(&dir)),
            Err(source) => return Err(FnError::Read { path: dir, source }),
        };
        let mut found: Vec<(u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(number) = name.to_str().and_then(|name| number(name, &self.id)) {
                found.push((number, entry.path()));
            }
        }
        found.sort();
        match found.is_empty() {
            true => Err(self.unrecorded(&dir)),
            false => Ok(found.into_iter().map(|(_, path)| path).collect()),
        }
    }
}

/// The call's number in "ID-NUMBER-FUNCTION.json".
fn number(name: &str, id: &str) -> Option<u64> {
    let rest = name.strip_prefix(id)?.strip_prefix('-')?.strip_suffix(".json")?;
    rest.split('-').next()?.parse().ok()
}

fn read(path: &Path) -> Result<Recording, FnError> {
    let failed = |source| FnError::Read { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > RECORDING_MAX {
        return Err(FnError::File { path: path.to_owned(), reason: format!("more than {RECORDING_MAX} bytes") });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let other = |why: &str| {
        let reason = format!("it is no recording of a call ({why}); an event is for `rimward fn test --event`");
        FnError::File { path: path.to_owned(), reason }
    };
    let text = String::from_utf8(bytes).map_err(|_| other("not text"))?;
    Recording::read(&text).map_err(|error| {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        match &error {
            // JSON of another kind.
            TestEventError::Json(why) if json => other(why),
            _ => other(&unread(&error)),
        }
    })
}

fn read_config(path: &Path) -> Result<Config, FnError> {
    oci::load(&[path], |line| eprintln!("{line}")).map_err(|errors| FnError::Usage(errors.render(false)))
}

fn write_comparison(
    recording: &Recording,
    now: &Outcome,
    called: &Called,
    version: &str,
    out: &mut impl Write,
    colour: Colour,
) -> io::Result<()> {
    let code = match version == recording.version {
        true => "the same code".to_owned(),
        false => format!("version {version}, recorded was {}", recording.version),
    };
    if *now == recording.outcome {
        return writeln!(out, "{} ({code})", colour.paint("32;1", "the same outcome as recorded"));
    }
    writeln!(out, "{} ({code})", colour.paint("31;1", "another outcome than recorded"))?;
    let (was, is) = (lines(&recording.outcome), lines(now));
    for line in was.iter().filter(|line| !is.contains(line)) {
        writeln!(out, "{}", colour.paint("31", &format!("- {}", diff::printable(line))))?;
    }
    for line in is.iter().filter(|line| !was.contains(line)) {
        writeln!(out, "{}", colour.paint("32", &format!("+ {}", diff::printable(line))))?;
    }
    let reordered = was.iter().all(|line| is.contains(line)) && is.iter().all(|line| was.contains(line));
    match reordered && called.outcome.is_ok() {
        true => writeln!(out, "  the same edits, in another order"),
        false => Ok(()),
    }
}

/// An outcome in words, a line a part.
fn lines(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Continue(changes) if changes.is_empty() => vec!["goes on unchanged".to_owned()],
        Outcome::Continue(changes) => changes.iter().map(change).collect(),
        Outcome::Answer { status, headers, body } => {
            let mut lines = vec![format!("answers with {status}")];
            lines.extend(headers.iter().map(|(name, value)| format!("{name}: {}", raw(value))));
            lines.push(format!("body: {}", raw(body)));
            lines
        }
        Outcome::Failed { words, .. } => vec![format!("failed: {words}")],
    }
}

fn change(change: &Change) -> String {
    match change {
        Change::Uri(uri) => format!("uri: {uri}"),
        Change::Query(query) => format!("query: {query}"),
        Change::Set(name, value) => format!("set {name}: {}", raw(value)),
        Change::Append(name, value) => format!("append {name}: {}", raw(value)),
        Change::Remove(name) => format!("remove {name}"),
        Change::Body(body) => format!("body: {}", raw(body)),
        Change::Status(status) => format!("status: {status}"),
        Change::Origin(to) => format!("origin: {}", serde_json::to_string(to).unwrap_or_default()),
        Change::Group { members, failover } => {
            let member = |member: &Member| match member {
                Member::Name(name) => name.clone(),
                Member::Differs(to) => serde_json::to_string(to).unwrap_or_default(),
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("origin: group of {} on {failover:?}", members.join(", "))
        }
    }
}

fn raw(raw: &Raw) -> String {
    raw.bytes().map(|bytes| diff::shown(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_request() {
        for (name, want) in [
            ("ab-c-3-pretty-urls.json", Some(3)),
            ("ab-c-12-f.json", Some(12)),
            ("ab-c-f.json", None),
            ("ab-cd-3-f.json", None),
            ("ab-c-3-f.tmp", None),
        ] {
            assert_eq!(number(name, "ab-c"), want, "{name}");
        }
    }

    #[test]
    fn outcomes_in_words() {
        let text = |text: &str| Raw::Text(text.to_owned());
        let answer = Outcome::Answer { status: 302, headers: vec![("location".into(), text("/a"))], body: text("") };
        for (outcome, want) in [
            (Outcome::Continue(vec![]), vec!["goes on unchanged"]),
            (
                Outcome::Continue(vec![Change::Uri("/a".into()), Change::Remove("x".into())]),
                vec!["uri: /a", "remove x"],
            ),
            (answer, vec!["answers with 302", "location: /a", "body: "]),
            (Outcome::Failed { reason: "cpu".into(), words: "too long".into() }, vec!["failed: too long"]),
        ] {
            assert_eq!(lines(&outcome), want);
        }
    }
}
