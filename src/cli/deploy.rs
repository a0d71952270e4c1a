//! Deploy: puts a revision on all PoPs, or takes it back.
//!
//! In: parsed arguments, a private key, a PoP's admin API. Out: a signed manifest accepted, and what became of it at each PoP. Never: the key in an
//! argument or in a message.

use std::io::{IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::Access;
use super::admin::{Colour, Failed};
use super::bundle::{Bundle, BundleError};
use super::client::{Client, ClientError};
use crate::admin::{Accepted, Revisions, Stored};
use crate::fleet::revision::{AckState, Act, DeployKey, KeyError, Manifest};

/// Between two looks at what PoPs have acknowledged.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Seconds that a PoP may take to find its bus, when the command line says nothing of time.
const BUS_SECONDS: u64 = 30;

/// Put a configuration, its functions and certificates on all PoPs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward deploy --new-key deploy.key              make a key; prints the line for [fleet]\n  \
    rimward deploy site/ --key deploy.key --wait     everywhere; says what each PoP made of it\n  \
    rimward deploy site/ --canary pop=FRA,10%        a tenth of Frankfurt's viewers\n  \
    rimward deploy site/ --adopt --wait              what nodes have in their own files as well is the revision's now\n  \
    rimward promote --wait                           the canary for everybody\n  \
    rimward rollback                                 what was there before\n\n\
    PATH has what all PoPs serve: origins, behaviors, functions, and the files that they name.\n\
    [pop], [admin] and [fleet] stay in each node's own file. A PoP where the new one answers worse in\n\
    the minute after goes back by itself, and the others with it. `rimward revisions`\n\
    says so; --wait does not wait for that.\n\n\
    A PoP that does not reach its bus yet is asked again, for 30 s or what --wait or\n\
    --timeout says.")]
pub struct Deploy {
    /// A configuration file, or a directory of them
    #[arg(required_unless_present = "new_key")]
    pub path: Option<PathBuf>,
    /// Make a key to sign with, in this file, and end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "canary", "adopt", "wait"])]
    pub new_key: Option<PathBuf>,
    /// Only for some: PoPs and a share of their viewers, who stay the same
    #[arg(long, value_name = "pop=CODE,…,N%", value_parser = canary)]
    pub canary: Option<Act>,
    /// Take the place of what nodes have in their own files as well, at once and with no moment without either; `rimward status` says
    /// what of theirs may be deleted then
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub signing: Signing,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub access: Access,
}

/// Serve an earlier revision again, or end a canary
#[derive(Debug, Args)]
pub struct Rollback {
    /// Its number [default: the one before; the canary's end while there is one]. 0: each node's own files alone
    pub serial: Option<u64>,
    #[command(flatten)]
    pub signing: Signing,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub access: Access,
}

/// Serve the canary to everybody
#[derive(Debug, Args)]
pub struct Promote {
    #[command(flatten)]
    pub signing: Signing,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub access: Access,
}

/// Who signs.
#[derive(Debug, Args)]
pub struct Signing {
    /// The private key's file
    #[arg(long, value_name = "FILE", env = "RIMWARD_DEPLOY_KEY")]
    pub key: Option<PathBuf>,
    /// Who does it, for the history
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown", hide_env = true)]
    pub author: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

#[derive(Debug, Args)]
pub struct Waiting {
    /// Wait until every PoP has acknowledged it, at most so many seconds (60); fail when one refuses
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: Option<u64>,
    /// The seconds that --wait waits, and a PoP may take to find its bus (30)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot write the key {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} is there already, and a key is never overwritten: choose another name", .0.display())]
    Exists(PathBuf),
    #[error("no key to sign with: give --key FILE or RIMWARD_DEPLOY_KEY; `rimward deploy --new-key FILE` makes one")]
    NoKey,
    #[error("there is no canary")]
    NoCanary,
    #[error("there is nothing to go back to")]
    NoBefore,
    #[error("{0}")]
    NotEverywhere(String),
}

// === impl DeployError ===
impl DeployError {
    pub fn exit_code(&self) -> u8 {
        match self {
            DeployError::NotEverywhere(_)
            | DeployError::Write { .. }
            | DeployError::NoCanary
            | DeployError::NoBefore => 1,
            _ => 2,
        }
    }
}

// === impl Deploy ===
impl Deploy {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        if let Some(path) = &self.new_key {
            return new_key(path, out);
        }
        let key = self.signing.key()?;
        let mut bundle = Bundle::read(self.path.as_deref().unwrap_or(Path::new("."))).map_err(DeployError::from)?;
        if self.adopt {
            bundle.adopt();
        }
        let client = Client::new(&self.access)?;
        let now: Revisions = client.get("/revisions")?;
        let mut patience = self.waiting.patience();
        let mut sent = 0;
        for (item, bytes) in &bundle.files {
            let at = format!("/blobs/{}", item.digest);
            if !client.has(&at)? {
                let _: Stored = patience.ask(|| client.put(&at, bytes.to_vec()))?;
                sent += 1;
            }
        }
        let act = self.canary.clone().unwrap_or(Act::Deploy);
        let mut manifest = self.signing.manifest(act, &now);
        let many = bundle.files.len();
        manifest.digest = bundle.digest;
        manifest.files = bundle.files.into_iter().map(|(item, _)| item).collect();
        let serial = publish(&client, &manifest, &key, patience)?;
        writeln!(
            out,
            "revision {serial} is accepted: {many} files, {sent} of them sent, configuration {}",
            manifest.digest
        )?;
        self.waiting.until(&client, serial, out)
    }
}

// === impl Rollback ===
impl Rollback {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let key = self.signing.key()?;
        let client = Client::new(&self.access)?;
        let now: Revisions = client.get("/revisions")?;
        let serial = match self.serial {
            Some(serial) => serial,
            None if now.canary.is_some() => now.serves,
            None if now.serves == now.before => return Err(DeployError::NoBefore.into()),
            None => now.before,
        };
        let manifest = self.signing.manifest(Act::Rollback { serial }, &now);
        let accepted = publish(&client, &manifest, &key, self.waiting.patience())?;
        let what = if serial == 0 { "each node's own files alone".to_owned() } else { format!("revision {serial}") };
        writeln!(out, "back to {what}, as act {accepted}")?;
        self.waiting.until(&client, accepted, out)
    }
}

// === impl Promote ===
impl Promote {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let key = self.signing.key()?;
        let client = Client::new(&self.access)?;
        let now: Revisions = client.get("/revisions")?;
        let serial = now.canary.ok_or(DeployError::NoCanary)?;
        let manifest = self.signing.manifest(Act::Promote { serial }, &now);
        let accepted = publish(&client, &manifest, &key, self.waiting.patience())?;
        writeln!(out, "revision {serial} is for everybody, as act {accepted}")?;
        self.waiting.until(&client, accepted, out)
    }
}

// === impl Signing ===
impl Signing {
    fn key(&self) -> Result<DeployKey, DeployError> {
        Ok(DeployKey::read(self.key.as_deref().ok_or(DeployError::NoKey)?)?)
    }

    /// A manifest without files, with a number of its own.
    fn manifest(&self, act: Act, now: &Revisions) -> Manifest {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let serial = at_ms.max(now.newest.saturating_add(1));
        Manifest::new(serial, act, self.author.clone(), self.note.clone(), at_ms)
    }
}

// === impl Waiting ===
impl Waiting {
    fn patience(&self) -> Patience {
        Patience::new(self.timeout.or(self.wait).unwrap_or(BUS_SECONDS))
    }

    /// Says what each PoP made of an act, as it tells it.
    fn until(&self, client: &Client, serial: u64, out: &mut impl Write) -> Result<(), Failed> {
        let Some(seconds) = self.wait.map(|seconds| self.timeout.unwrap_or(seconds)) else { return Ok(()) };
        let began = Instant::now();
        let (mut told, mut wrong) = (std::collections::BTreeSet::new(), Vec::new());
        let screen = std::io::stderr().is_terminal();
        let colour = Colour::of(&std::io::stdout());
        loop {
            let now: Revisions = client.get("/revisions")?;
            let late = began.elapsed() > Duration::from_secs(seconds);
            let mut waits = Vec::new();
            for (node, ack) in &now.nodes {
                match ack.as_ref().filter(|ack| ack.serial >= serial) {
                    None => waits.push(node.as_str()),
                    Some(_) if told.contains(node) => {}
                    Some(ack) => {
                        told.insert(node.clone());
                        let mine = ack.serial == serial;
                        let bad = mine && matches!(ack.state, AckState::Refused | AckState::RolledBack);
                        let word = if mine { words(ack.state) } else { "overtaken" };
                        let style = if bad { "31" } else { "32" };
                        clear(screen);
                        let word = colour.paint(style, word);
                        writeln!(out, "{node:<16} {:<6} {word}  {} ms", ack.pop, began.elapsed().as_millis())?;
                        out.flush()?;
                        if bad {
                            wrong.push(format!("{node}: {}", ack.why.as_deref().unwrap_or("no reason is given")));
                        }
                    }
                }
            }
            if waits.is_empty() || late {
                clear(screen);
                wrong.extend(waits.iter().map(|node| format!("{node}: no answer within {seconds} s")));
                return match wrong.is_empty() {
                    true => Ok(()),
                    false => Err(DeployError::NotEverywhere(wrong.join("\n")).into()),
                };
            }
            if screen {
                eprint!("\r\x1b[Kwaiting for {}", waits.join(", "));
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

fn clear(screen: bool) {
    if screen {
        eprint!("\r\x1b[K");
    }
}

/// As the history and `--wait` say it.
pub fn words(state: AckState) -> &'static str {
    match state {
        AckState::Applied => "applied",
        AckState::Canary => "canary",
        AckState::Refused => "refused",
        AckState::RolledBack => "rolled back",
    }
}

fn publish(client: &Client, manifest: &Manifest, key: &DeployKey, mut patience: Patience) -> Result<u64, Failed> {
    let envelope = json!(manifest.seal(key)).to_string();
    let accepted = patience.ask(|| client.post::<Accepted>("/revisions", envelope.clone()));
    match accepted {
        Ok(accepted) => Ok(accepted.serial),
        // The bus may have kept what it did not answer for.
        Err(ClientError::Refused { status: 409, .. }) if patience.has_waited() && is_there(client, manifest)? => {
            Ok(manifest.serial)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a PoP knows exactly this act.
fn is_there(client: &Client, manifest: &Manifest) -> Result<bool, ClientError> {
    let now: Revisions = client.get("/revisions")?;
    let same = |one: &crate::admin::Revision| {
        one.serial == manifest.serial && one.act == manifest.act && one.digest == manifest.digest
    };
    Ok(now.revisions.iter().any(same))
}

/// How long a PoP is asked again that says that it cannot yet.
#[derive(Debug)]
struct Patience {
    seconds: u64,
    until: Instant,
    /// What is waited for, as the PoP said it last.
    said: Option<String>,
}

// === impl Patience ===
impl Patience {
    fn new(seconds: u64) -> Self {
        Patience { seconds, until: Instant::now() + Duration::from_secs(seconds), said: None }
    }

    fn has_waited(&self) -> bool {
        self.said.is_some()
    }

    /// Asks until there is another answer than "not yet", and says what it waits for.
    fn ask<T>(&mut self, question: impl Fn() -> Result<T, ClientError>) -> Result<T, ClientError> {
        loop {
            match question() {
                Err(ClientError::Refused { status: 503, error, .. }) if Instant::now() < self.until => {
                    if self.said.as_ref() != Some(&error) {
                        eprintln!("waiting, at most {} s: {error}", self.seconds);
                        self.said = Some(error);
                    }
                    std::thread::park_timeout(LOOK_EVERY);
                }
                answer => return answer,
            }
        }
    }
}

fn new_key(path: &Path, out: &mut impl Write) -> Result<(), Failed> {
    let (key, kept) = DeployKey::make().map_err(DeployError::from)?;
    let write = || -> std::io::Result<()> {
        // Never over another key, and never readable by others.
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(kept.expose())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => DeployError::Exists(path.to_owned()),
        _ => DeployError::Write { path: path.to_owned(), source },
    })?;
    writeln!(
        out,
        "# {} signs revisions. In each node's own file:\n[fleet]\ntrust = [\"{}\"]",
        path.display(),
        key.public()
    )?;
    Ok(())
}

/// `pop=FRA,pop=NRT,10%`: left out, all PoPs or all of their viewers.
fn canary(text: &str) -> Result<Act, String> {
    let (mut pops, mut percent) = (Vec::new(), None);
    for part in text.split(',').map(str::trim) {
        match (part.strip_prefix("pop="), part.strip_suffix('%')) {
            (Some(pop), None) if !pop.is_empty() => pops.push(pop.to_ascii_uppercase()),
            (None, Some(share)) if percent.is_none() => {
                let share = share.parse().ok().filter(|share| (1..=100).contains(share));
                percent = Some(share.ok_or("a share is 1% to 100%")?);
            }
            _ => return Err(format!("{part:?}: write pop=FRA, or 10%, or both with a comma between them")),
        }
    }
    if pops.is_empty() {
        pops.push("*".to_owned());
    }
    Ok(Act::Canary { pops, percent: percent.unwrap_or(100) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries() {
        let of = |pops: &[&str], percent| Act::Canary { pops: pops.iter().map(|p| (*p).to_owned()).collect(), percent };
        for (text, want) in [
            ("pop=FRA,10%", Some(of(&["FRA"], 10))),
            ("10%, pop=fra, pop=NRT", Some(of(&["FRA", "NRT"], 10))),
            ("pop=FRA", Some(of(&["FRA"], 100))),
            ("1%", Some(of(&["*"], 1))),
            ("pop=*,5%", Some(of(&["*"], 5))),
            ("0%", None),
            ("101%", None),
            ("10%,20%", None),
            ("pop=", None),
            ("FRA", None),
            ("", None),
        ] {
            assert_eq!(canary(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn only_a_wrong_command_line_ends_with_2() {
        for (error, code) in [
            (DeployError::NoCanary, 1),
            (DeployError::NoBefore, 1),
            (DeployError::NotEverywhere(String::new()), 1),
            (DeployError::NoKey, 2),
            (DeployError::Exists(PathBuf::new()), 2),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn a_pop_that_cannot_yet_is_asked_again() {
        let refused =
            |status, error: &str| Err(ClientError::Refused { status, error: error.to_owned(), hint: String::new() });
        // What it answers, one after another; seconds that it may take; how often it is asked, the last status.
        for (answers, seconds, asked, last) in [
            (vec![0], 60, 1, 0),
            (vec![503, 503, 0], 60, 3, 0),
            (vec![503, 507, 0], 60, 2, 507),
            (vec![503, 0], 0, 1, 503),
        ] {
            let at = std::cell::Cell::new(0);
            let answer = Patience::new(seconds).ask(|| {
                let status = answers[at.replace(at.get() + 1)];
                if status == 0 { Ok(()) } else { refused(status, "the bus cannot be reached") }
            });
            let status = match answer {
                Err(ClientError::Refused { status, .. }) => status,
                _ => 0,
            };
            assert_eq!((at.get(), status), (asked, last), "{answers:?}");
        }
    }

    #[test]
    fn a_new_key_is_its_owners_and_never_replaces_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deploy.key");
        let mut out = Vec::new();
        new_key(&path, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let public = DeployKey::read(&path).unwrap().public();
        assert!(text.contains(&format!("trust = [\"{public}\"]")), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = new_key(&path, &mut Vec::new()).unwrap_err();
        assert!(again.to_string().ends_with("never overwritten: choose another name"), "{again}");
        assert_eq!(again.exit_code(), 2);
        let nowhere = new_key(&dir.path().join("none/deploy.key"), &mut Vec::new()).unwrap_err();
        assert_eq!(nowhere.exit_code(), 1, "{nowhere}");
        assert_eq!(DeployKey::read(&path).unwrap().public(), public);
    }
}
