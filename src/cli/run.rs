//! Run: starts a PoP from a configuration file, with the operator's API beside it.
//!
//! In: the command line. Out: a process that serves until a signal ends it, and its exit code. Never: a request.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;

use crate::admin::{self, AdminState, Facts, LastReload, PurgeDone, PurgeRequest};
use crate::config::{self, compiled::Config};
use crate::proxy::server::{Pop, Start, StartError};

use super::admin::Colour;
use super::{Check, Run};

/// The command line or configuration is wrong.
const WRONG: u8 = 2;

// === impl Run ===
impl Run {
    pub fn run(self) -> ExitCode {
        let config = match read(&self.config) {
            Ok(config) => config,
            Err(code) => return code,
        };
        logging(&config);
        let start = Start { path: Some(self.config), upgrade: self.upgrade };
        finish(serve(config, start, |_| {}))
    }
}

// === impl Check ===
impl Check {
    pub fn run(self) -> ExitCode {
        match read(&self.path) {
            Ok(config) => {
                println!(
                    "{}: right. {} listeners, {} origins, {} behaviors, revision {}",
                    self.path.display(),
                    config.listeners.len(),
                    config.origins.len(),
                    config.behaviors.len(),
                    config.digest
                );
                ExitCode::SUCCESS
            }
            Err(code) => code,
        }
    }
}

/// Reads a configuration; prints warnings, and errors with their lines.
fn read(path: &Path) -> Result<Config, ExitCode> {
    let colour = Colour::of(&std::io::stderr());
    match config::load(path) {
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

pub(super) fn finish(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error}", Colour::of(&std::io::stderr()).paint("31;1", "error:"));
            ExitCode::FAILURE
        }
    }
}

/// What the operator's API needs of this PoP.
fn state(pop: &Pop, token: Option<Arc<crate::config::secret::Secret<String>>>) -> AdminState {
    let (shared, reload, purging) = (pop.shared.clone(), pop.reload.clone(), pop.purging.clone());
    let (started_ms, phase) = (pop.started_ms, pop.phase());
    let facts_of = reload.clone();
    AdminState {
        token,
        metrics: shared.observer.metrics().clone(),
        config: Arc::new(move || Arc::new(shared.live.load().config.clone())),
        facts: Arc::new(move || Facts {
            started_ms,
            not_ready: phase.lock().map(str::to_owned),
            last_reload: facts_of.last().map(|(at_ms, error)| LastReload { at_ms, error }),
        }),
        purge: Arc::new(move |request: PurgeRequest| {
            let purging = purging.clone();
            async move {
                match purging.purge(request.scopes, request.soft).await {
                    Ok(stamp) => Ok(PurgeDone { stamp: stamp.0 }),
                    Err(error) => Err(error.to_string()),
                }
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
        recent: Arc::default(),
    }
}
