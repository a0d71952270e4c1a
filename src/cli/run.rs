//! Run: starts a PoP from a configuration file, with the operator's API beside it.
//!
//! In: the command line. Out: a process that serves until a signal ends it, and its exit code. Never: a request.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;

use crate::access::{Guards, jwt};
use crate::admin::keys::KeyDesk;
use crate::admin::{self, AdminState, Facts, LastReload, PurgeDone, PurgeRequest};
use crate::config::compiled::{Config, OriginKind};
use crate::config::{self, Diagnostic};
use crate::fleet::FleetError;
use crate::hooks::oci;
use crate::listen::Terminator;
use crate::proxy::functions::{Chains, Functions, LoadError};
use crate::proxy::importing;
use crate::proxy::revising::last;
use crate::proxy::server::{Pop, Start, StartError};
use crate::proxy::snapshot::answering;

use super::admin::Colour;
use super::{Check, Run};

/// The command line or configuration is wrong.
pub(super) const WRONG: u8 = 2;

/// What is said of a store whose import file is no good.
const NEW_STORES: &str = "where this store is still to be made, `run` refuses the file; a store that is there stays as it is, \
                          with a warning (a check does not look at state_dir)";

/// Why what a configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// At places of its text.
    #[error("{0}")]
    Placed(config::Errors),
    #[error("{0}")]
    Said(String),
}

// === impl Run ===
impl Run {
    pub fn run(self) -> ExitCode {
        let (config, revision) = match start(&self.config) {
            Ok(started) => started,
            Err(code) => return code,
        };
        logging(&config);
        let start = Start { path: Some(self.config), revision, upgrade: self.upgrade };
        finish(serve(config, start, |_| {}), elsewhere)
    }
}

// === impl Check ===
impl Check {
    pub fn run(self) -> ExitCode {
        match read(&self.path) {
            Ok(config) => {
                if let Err(unfit) = try_out(&config) {
                    let colour = Colour::of(&std::io::stderr());
                    match unfit {
                        Unfit::Placed(errors) => eprintln!("{}", errors.render(colour.0)),
                        Unfit::Said(words) => {
                            eprintln!("{} {}: {words}", colour.paint("31;1", "error:"), self.path.display());
                        }
                    }
                    return ExitCode::from(WRONG);
                }
                println!(
                    "{}: right. {}, {}, {}, {}, revision {}",
                    self.path.display(),
                    counted(config.listeners.len(), "listener"),
                    counted(config.origins.len(), "origin"),
                    counted(config.behaviors.len(), "behavior"),
                    counted(config.functions.len(), "function"),
                    config.digest
                );
                ExitCode::SUCCESS
            }
            Err(code) => code,
        }
    }
}

// === impl Unfit ===
impl From<String> for Unfit {
    fn from(words: String) -> Self {
        Unfit::Said(words)
    }
}

impl From<LoadError> for Unfit {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Placed(found) => Unfit::Placed(config::Errors::of(vec![*found])),
            other => Unfit::Said(other.to_string()),
        }
    }
}

/// "1 origin", "2 origins".
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Makes what `run` would make of `config` and its files, away from the PoP's own state.
fn try_out(config: &Config) -> Result<(), Unfit> {
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        Terminator::new(tls, listener.h2).map_err(|error| error.to_string())?;
    }
    let tokens = jwt::Registry::new().map_err(|error| error.to_string())?;
    Guards::new(config, &tokens)?;
    read_imports(config)?;
    load_functions(config)
}

/// Reads what new stores begin with, as if each were new.
fn read_imports(config: &Config) -> Result<(), Unfit> {
    let helped = |found: Diagnostic| Diagnostic { help: Some(NEW_STORES.to_owned()), ..found };
    let wrong: Vec<_> = importing::wrong(config).into_iter().map(helped).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Unfit::Placed(config::Errors::of(wrong))) }
}

/// Opens the databases of `config`, compiles every function of it and attaches it.
fn load_functions(config: &Config) -> Result<(), Unfit> {
    let origins = config.origins.iter().filter(|origin| matches!(origin.kind, OriginKind::Function(_)));
    let functions = config.functions.len() + origins.count();
    if functions == 0 && config.geo.is_empty() {
        return Ok(());
    }
    if functions > 0 {
        eprintln!("loading {} …", counted(functions, "function"));
    }
    let scratch = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    let mut config = config.clone();
    config.engine.artifacts = scratch.path().join("artifacts");
    config.engine.records = scratch.path().join("records");
    let functions = Functions::new(scratch.path(), None);
    let metrics = crate::observe::Metrics::new(&config.pop.code, 0);
    let set = functions.load(&config, None, &metrics)?;
    answering(&config, &set)?;
    for behavior in &config.behaviors {
        Chains::new(&config, behavior, &set.loaded)?;
    }
    Ok(())
}

/// The configuration, together with the revision that this node served last.
fn start(path: &Path) -> Result<(Config, Option<PathBuf>), ExitCode> {
    let own = read(path)?;
    match last(&own) {
        None => Ok((own, None)),
        Some(revision) => Ok((printed(oci::load(&[path, &revision], told))?, Some(revision))),
    }
}

/// Reads a configuration; prints warnings, and errors with their lines.
fn read(path: &Path) -> Result<Config, ExitCode> {
    printed(oci::load(&[path], told))
}

/// What takes a while, while it does.
pub(super) fn told(line: &str) {
    eprintln!("{line}");
}

fn printed(loaded: Result<Config, config::Errors>) -> Result<Config, ExitCode> {
    let colour = Colour::of(&std::io::stderr());
    match loaded {
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("{} {warning}", colour.paint("33;1", "warning:"));
            }
            Ok(config)
        }
        Err(errors) => {
            eprintln!("{}", errors.render(colour.0));
            Err(ExitCode::from(WRONG))
        }
    }
}

/// Messages of the process itself go to standard error; `RUST_LOG` narrows them.
pub(super) fn logging(config: &Config) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Error).filter_module("rimward", config.observe.level);
    // What functions say, and why they failed.
    builder.filter_module("function", config.observe.level);
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    }
    // A second initialisation is refused, and harmless.
    let _ = builder.try_init();
}

/// Opens and runs a PoP. `ready` is called when everything is open and about to listen.
pub(super) fn serve(config: Config, start: Start, ready: impl FnOnce(&Pop)) -> Result<(), StartError> {
    let admin = config.admin.clone();
    let pop = Pop::open(config, start)?;
    let router = admin.map(|admin| {
        let token = admin.token.map(Arc::new);
        (admin.address, admin::router(state(&pop, token)))
    });
    ready(&pop);
    pop.run(router)
}

/// Says how it ended. `elsewhere`: how to choose another address than the one of this key, which is taken.
pub(super) fn finish(outcome: Result<(), StartError>, elsewhere: fn(&str) -> String) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error}", Colour::of(&std::io::stderr()).paint("31;1", "error:"));
            if let Some(hint) = hint(&error, elsewhere) {
                eprintln!("  {hint}");
            }
            // As `check` says of the same file.
            if matches!(error, StartError::Functions(_) | StartError::Listen(_)) {
                ExitCode::from(WRONG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// What to do about an error that many meet.
fn hint(error: &StartError, elsewhere: fn(&str) -> String) -> Option<String> {
    match error {
        StartError::Bind { key, source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Some(format!("`ss -ltnp` shows who listens there; {}", elsewhere(key)))
        }
        StartError::Fleet(FleetError::Open { source, .. }) if matches!(**source, redb::Error::DatabaseAlreadyOpen) => {
            Some("another process runs with this state_dir: give each one its own, as pop.state_dir".to_owned())
        }
        _ => None,
    }
}

fn elsewhere(key: &str) -> String {
    format!("another address goes into {key}")
}

/// What the operator's API needs of this PoP.
fn state(pop: &Pop, token: Option<Arc<crate::config::secret::Secret<String>>>) -> AdminState {
    let (shared, reload, purging) = (pop.shared.clone(), pop.reload.clone(), pop.purging.clone());
    let fleet = pop.fleet.clone();
    let (started_ms, phase, revising) = (pop.started_ms, pop.phase(), pop.revising.clone());
    let facts_of = reload.clone();
    // Other sizes in the file wait for a restart: what is told is what there is.
    let store = shared.live.load().config.store.clone();
    AdminState {
        token,
        metrics: shared.observer.metrics().clone(),
        config: Arc::new(move || {
            let mut config = shared.live.load().config.clone();
            config.store.memory = store.memory;
            config.store.disk.clone_from(&store.disk);
            Arc::new(config)
        }),
        facts: Arc::new(move || Facts {
            started_ms,
            not_ready: phase.lock().map(str::to_owned),
            revision: revising.as_ref().and_then(|revising| revising.serves()),
            last_reload: facts_of.last().map(|(at_ms, error)| LastReload { at_ms, error }),
        }),
        purge: Arc::new(move |request: PurgeRequest| {
            let (purging, fleet) = (purging.clone(), fleet.clone());
            async move {
                let accepted = purging.purge(request.scopes, request.soft).await.map_err(|error| error.to_string())?;
                let done = PurgeDone { stamp: accepted.stamp.0, ..PurgeDone::default() };
                Ok(match request.wait {
                    // A fleet of one has it.
                    Some(patience) if accepted.number > 0 => {
                        let all = fleet.acknowledged(accepted.number, patience).await;
                        PurgeDone { seen: all.seen, missing: all.missing, ..done }
                    }
                    _ => done,
                })
            }
            .boxed()
        }),
        reload: Arc::new(move || {
            let reload = reload.clone();
            async move { reload.now() }.boxed()
        }),
        kv: {
            let shared = pop.shared.clone();
            Arc::new(move || shared.live.load().functions.kv.clone())
        },
        signer: {
            let shared = pop.shared.clone();
            Arc::new(move || {
                let live = shared.live.load();
                live.guards.signer(live.config.admin.as_ref()?.access?).cloned()
            })
        },
        keys: Some(Arc::new(desk(pop))),
        revisions: pop.revising.clone(),
        requests: pop.shared.observer.recent().clone(),
        board: pop.shared.board.clone(),
        recent: Arc::default(),
    }
}

/// What the operator's API needs to make and revoke API keys.
fn desk(pop: &Pop) -> KeyDesk {
    let (rates, counts, changes) = (pop.shared.clone(), pop.shared.clone(), pop.shared.clone());
    KeyDesk {
        store: pop.shared.guard.store.clone(),
        rates: Arc::new(move || Arc::new(rates.live.load().config.rates.clone())),
        ledger: Arc::new(move || counts.guard.counts().cloned()),
        changed: Arc::new(move || changes.guard.read_keys(&changes.live.load().config)),
        turn: parking_lot::Mutex::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_names_its_key() {
        let taken = |kind: std::io::ErrorKind| StartError::Bind {
            address: ([127, 0, 0, 1], 8080).into(),
            key: "admin.address",
            source: kind.into(),
        };
        let said = hint(&taken(std::io::ErrorKind::AddrInUse), elsewhere).unwrap();
        assert!(said.ends_with("another address goes into admin.address") && !said.contains("--port"), "{said}");
        assert_eq!(hint(&taken(std::io::ErrorKind::PermissionDenied), elsewhere), None);
    }

    /// What `run` would refuse after a restart, `check` says before one.
    #[test]
    fn keys_and_certificates_are_tried_out_by_a_check() {
        let dir = tempfile::tempdir().unwrap();
        let pem = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        for name in ["one", "two"] {
            let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
            pem(&format!("{name}.crt"), made.cert.pem());
            pem(&format!("{name}.key"), made.signing_key.serialize_pem());
        }
        pem("empty.json", "{\"keys\":[]}".to_owned());
        let listener = |key: &str| {
            format!(
                "[[listener]]\naddress = \"127.0.0.1:1\"\ntls.certificates = [{{ cert = \"one.crt\", key = \"{key}.key\" }}]\n"
            )
        };
        let issuer = "[[jwt]]\nname = \"pool\"\nissuer = \"https://i.example\"\naudience = [\"a\"]\njwks = \"file:empty.json\"\n";
        for (tables, says) in [
            (listener("one"), None),
            (listener("two"), Some("does not belong to the certificate")),
            (issuer.to_owned(), Some("issuer 'pool': the key set has no key that verifies signatures")),
        ] {
            let text = format!("[[origin]]\nname = \"o\"\nurl = \"http://h\"\n{tables}");
            let config = config::parse(&text, "edge.toml", dir.path()).unwrap_or_else(|errors| panic!("{errors}"));
            let error = try_out(&config).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), says.is_some(), "{tables}: {error:?}");
            assert!(says.is_none_or(|says| error.is_some_and(|error| error.contains(says))), "{tables}");
        }
    }

    #[test]
    fn databases_are_opened_by_a_check() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy("geo/test.mmdb", dir.path().join("right.mmdb")).unwrap();
        std::fs::write(dir.path().join("wrong.mmdb"), "<html>404</html>").unwrap();
        for (names, wrong) in [("\"right.mmdb\"", false), ("\"right.mmdb\", \"wrong.mmdb\"", true), ("\".\"", true)] {
            let text = format!("[[origin]]\nname = \"o\"\nurl = \"http://h\"\n[geo]\ndatabases = [{names}]\n");
            let config = config::parse(&text, "edge.toml", dir.path()).unwrap();
            let error = load_functions(&config).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), wrong, "{names}: {error:?}");
            for says in [
                "edge.toml:5:",
                "wrong.mmdb is not a usable MaxMind DB file: it has no metadata",
                "\n5 | databases",
                "^",
            ] {
                assert!(error.as_ref().is_none_or(|error| error.contains(says)), "{names}: {error:?}");
            }
        }
    }

    #[test]
    fn a_rule_by_country_needs_a_database_of_countries() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy("geo/test.mmdb", dir.path().join("places.mmdb")).unwrap();
        std::fs::write(dir.path().join("as.csv"), "192.0.2.0,192.0.2.255,64496,Country Example\n").unwrap();
        let made = std::process::Command::new("python3")
            .arg("geo/asn.py")
            .args(["as.mmdb", "as.csv"].map(|name| dir.path().join(name)))
            .status()
            .unwrap();
        assert!(made.success());
        let rule = "access = { country = [\"DE\"] }";
        for (names, rule, wrong) in
            [("\"as.mmdb\"", rule, true), ("\"as.mmdb\"", "", false), ("\"as.mmdb\", \"places.mmdb\"", rule, false)]
        {
            let behavior = format!("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{rule}\n");
            let text =
                format!("[[origin]]\nname = \"o\"\nurl = \"http://h\"\n{behavior}[geo]\ndatabases = [{names}]\n");
            let config = config::parse(&text, "edge.toml", dir.path()).unwrap_or_else(|errors| panic!("{errors}"));
            let error = load_functions(&config).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), wrong, "{names} {rule}: {error:?}");
            assert!(error.is_none_or(|error| error.contains("'*' asks for countries, and no database knows any")));
        }
    }
}
