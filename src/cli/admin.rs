//! Admin: the commands that ask a running PoP.
//!
//! In: parsed arguments. Out: text on standard output, errors on standard error, an exit code. Never: JSON on a screen
//! unless asked for.

use super::client::{Client, ClientError};
use super::{Admin, deploy, keys, kv, table, top};
use crate::admin::{Done, PurgeBody, PurgeError, PurgeRequest, Purged, Several, Status};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Kv(#[from] kv::KvError),
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// What is to be purged was not understood; in words of the command line, not of the API.
    #[error("{error}\n  {}", purge_help(error))]
    Purge {
        #[from]
        error: PurgeError,
    },
    /// Some nodes did not say in time that they have it.
    #[error("{0}")]
    Missing(String),
    #[error(transparent)]
    Deploy(#[from] deploy::DeployError),
    /// Standard output is gone, or the terminal.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Whether to colour: only a terminal, and not when `NO_COLOR` is set to anything (<https://no-color.org>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub bool);

// === impl Admin ===
impl Admin {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let mut out = io::stdout().lock();
        match self.answer(&mut out).and_then(|()| Ok(out.flush()?)) {
            Ok(()) => ExitCode::SUCCESS,
            // `rimward status | head -1` has got what it wanted.
            Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(failed) => {
                let label = Colour::of(&io::stderr()).paint("31;1", "error:");
                eprintln!("{label} {failed}");
                ExitCode::from(failed.exit_code())
            }
        }
    }

    fn answer(self, out: &mut impl Write) -> Result<(), Failed> {
        match self {
            Admin::Purge(purge) => {
                let json = body(&purge);
                PurgeRequest::parse(json.as_bytes())?;
                let done: Purged = Client::new(&purge.access)?.post("/purge", json)?;
                let scopes = if done.purged == 1 { "1 scope".to_owned() } else { format!("{} scopes", done.purged) };
                let verb = if done.soft { "marked stale" } else { "purged" };
                writeln!(out, "{verb} {scopes}")?;
                if !done.seen.is_empty() {
                    writeln!(out, "in force at {}", done.seen.join(", "))?;
                }
                if !done.missing.is_empty() {
                    let away = done.missing.join(", ");
                    return Err(Failed::Missing(format!(
                        "not confirmed by {away} in time: a node that is away has it before it serves what it had\n  the purge is kept, and reaches each of them"
                    )));
                }
            }
            Admin::Reload(reload) => {
                let done: Done = Client::new(&reload.access)?.post("/reload", String::new())?;
                writeln!(out, "configuration {} runs", done.done)?;
            }
            Admin::Status(status) => {
                let answer: Status = Client::new(&status.access)?.get("/status")?;
                if status.json {
                    serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
                    writeln!(out)?;
                } else {
                    write_status(out, &answer, Colour::of(&io::stdout()))?;
                }
            }
            Admin::Kv(command) => kv::run(&command, out)?,
            Admin::Keys(command) => keys::run(&command, out)?,
            Admin::Deploy(deploy) => deploy.run(out)?,
            Admin::Rollback(rollback) => rollback.run(out)?,
            Admin::Promote(promote) => promote.run(out)?,
            Admin::Revisions(revisions) => revisions.run(out)?,
            Admin::Top(top) => top::run(&top, &Client::new(&top.access)?, out)?,
        }
        Ok(())
    }
}

// === impl Failed ===
impl Failed {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failed::Client(error) => error.exit_code(),
            Failed::Kv(error) => error.exit_code(),
            Failed::Keys(error) => error.exit_code(),
            Failed::Deploy(error) => error.exit_code(),
            Failed::Purge { .. } => 2,
            Failed::Output(_) | Failed::Missing(_) => 1,
        }
    }
}

// === impl Colour ===
impl Colour {
    pub fn of(stream: &impl IsTerminal) -> Self {
        Colour(stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// `text` in an SGR style such as `32` (green).
    pub fn paint(self, style: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn purge_help(error: &PurgeError) -> String {
    match error.prefix() {
        Some(prefix) => format!("for every URL that begins so, write --prefix '{prefix}'"),
        None => "`rimward purge --help` has an example of each".to_owned(),
    }
}

fn body(purge: &super::Purge) -> String {
    let scope = &purge.scope;
    let several = |list: &[String]| Several::Many(list.to_vec());
    let body = PurgeBody {
        url: several(&scope.url),
        prefix: several(&scope.prefix),
        host: several(&scope.host),
        tag: several(&scope.tag),
        all: scope.all,
        soft: purge.soft,
        wait_ms: purge.wait.map(|seconds| u64::from(purge.timeout.unwrap_or(seconds)) * 1000),
    };
    serde_json::json!(body).to_string()
}

fn write_status(out: &mut impl Write, status: &Status, colour: Colour) -> io::Result<()> {
    let ready = match &status.not_ready {
        None => colour.paint("32", "ready"),
        Some(why) => colour.paint("31", &format!("not ready: {why}")),
    };
    writeln!(out, "PoP {}  {ready}  up {}  version {}", status.pop, uptime(status.uptime_s), status.version)?;
    writeln!(out, "configuration  {}", status.digest)?;
    if let Some(revision) = status.revision {
        writeln!(out, "revision       {revision}")?;
    }
    for part in &status.covered {
        writeln!(out, "covered        {part}: the revision's counts, this may be deleted")?;
    }
    if let Some(error) = status.last_reload.as_ref().and_then(|reload| reload.error.as_ref()) {
        writeln!(out, "last reload    {} {error}", colour.paint("31", "refused:"))?;
    }
    if let Some(fleet) = &status.fleet {
        let bus = match fleet.connected {
            true => colour.paint("32", "the bus answers"),
            false => colour.paint("31", "the bus does not answer: what is accepted here waits for it"),
        };
        let nodes = if fleet.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", fleet.nodes) };
        writeln!(out, "fleet          {nodes}, {bus}")?;
    }
    writeln!(out, "connections    {}", status.connections)?;
    let cache = &status.cache;
    let tier = |bytes, limit, objects| {
        format!("{} of {}, {objects} objects", table::bytes(bytes as f64), table::bytes(limit as f64))
    };
    writeln!(out, "memory cache   {}", tier(cache.memory_bytes, cache.memory_limit, cache.memory_objects))?;
    if cache.disk_limit > 0 {
        writeln!(out, "disk cache     {}", tier(cache.disk_bytes, cache.disk_limit, cache.disk_objects))?;
    }
    for origin in &status.origins {
        let targets = origin.targets.iter().map(|target| {
            let state = if target.up { colour.paint("32", "up") } else { colour.paint("31", "down") };
            format!("{} {state}", target.target)
        });
        let targets: Vec<String> = targets.collect();
        let targets = if targets.is_empty() { "in process".to_owned() } else { targets.join(", ") };
        writeln!(out, "origin         {}: {targets}", origin.name)?;
    }
    for purge in &status.purges {
        let soft = if purge.soft { " (soft)" } else { "" };
        writeln!(out, "purged         {} {}{soft}", purge.scope, purge.what)?;
    }
    Ok(())
}

fn uptime(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{Pop, Seen};
    use crate::cli::Cli;
    use clap::Parser;

    fn answer(pop: &Pop, line: &str) -> Result<String, Failed> {
        let url = pop.url();
        let line = ["rimward"].into_iter().chain(line.split(' ')).chain(["--admin", &url]);
        let crate::cli::Command::Admin(admin) = Cli::try_parse_from(line).unwrap().command else {
            unreachable!("an admin command")
        };
        let mut out = Vec::new();
        admin.answer(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn commands_reach_the_pop() {
        let pop = Pop::start(None);
        for (line, says) in [
            ("purge --url https://shop.example/a --tag a --tag b", "purged 3 scopes\n"),
            ("purge --soft --all", "marked stale 1 scope\n"),
            ("reload", "configuration abc123 runs\n"),
            ("status", "PoP FRA  ready  up "),
            ("status", "\nfleet          3 nodes, the bus does not answer: what is accepted here waits for it\n"),
            ("status", "\nmemory cache   500 B of 1000 B, 0 objects\n"),
            ("status", "\norigin         hello: h:80 down\n"),
            ("status", "\npurged         all * (soft)\n"),
            ("status --json", "\n  \"digest\": \"abc123\",\n"),
        ] {
            let text = answer(&pop, line).unwrap();
            assert!(text.contains(says), "{line}: {text}");
            assert!(!text.contains('\x1b'), "no colours without a terminal");
        }
        assert_eq!(pop.seen(), Seen { purges: 2, reloads: 1 });
    }

    #[test]
    fn failures_have_the_servers_words_and_a_code() {
        let pop = Pop::start(None);
        for (line, says, code) in [
            ("purge --tag broken", "the purge log is full\n  nothing was purged", 1),
            (
                "purge --url /no-host",
                "names no host; write https://host/no-host\n  for every URL that begins so, write --prefix '/no-host'",
                2,
            ),
            ("purge --url /a*", "write --prefix '/a'", 2),
            ("purge --host h/path", "purge --help", 2),
        ] {
            let failed = answer(&pop, line).unwrap_err();
            assert!(failed.to_string().contains(says), "{failed}");
            assert!(!failed.to_string().contains('{'), "{failed}");
            assert_eq!(failed.exit_code(), code);
        }
    }

    #[test]
    fn uptimes() {
        for (seconds, want) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3600, "1h 0m"), (90_061, "1d 1h")] {
            assert_eq!(uptime(seconds), want);
        }
    }

    #[test]
    fn paint() {
        assert_eq!(Colour(true).paint("32", "up"), "\x1b[32mup\x1b[0m");
        assert_eq!(Colour(false).paint("32", "up"), "up");
    }
}
