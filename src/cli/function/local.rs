//! Local: the engine of a PoP, in this process, for one function.
//!
//! In: a function's wasm and grants. Out: its calls. Never: a listener, another function, stores that outlive the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::FnError;
use crate::config::compiled::{self, Flavor, Grants, KvStore, Mode};
use crate::geo;
use crate::hooks::Exchange;
use crate::hooks::engine::{Budget, Called, Engine, EngineSettings, Function};
use crate::hooks::host::Services;
use crate::hooks::host::fetch::Fetcher;
use crate::hooks::host::kv::KvFiles;

/// Instances at once: one call runs at a time.
const CONCURRENCY: usize = 2;
/// As `[functions] memory` has it.
const MEMORY_MAX: usize = 256 << 20;

/// What a function is given to run with.
#[derive(Debug)]
pub struct Settings {
    pub flavor: Flavor,
    pub mode: Mode,
    pub budget: Budget,
    pub grants: Grants,
    pub stores: Vec<KvStore>,
    pub geo: Vec<PathBuf>,
    pub seed: u64,
    /// Where compiled functions are kept; `None` = with those of earlier commands.
    pub artifacts: Option<PathBuf>,
}

/// A function that is ready to be called.
pub struct Local {
    pub function: Arc<Function>,
    /// How long loading took: compiling, or reading what was compiled before.
    pub loaded: Duration,
    runtime: tokio::runtime::Runtime,
    budget: Budget,
    // Gone with it: what the stores held.
    _kv: TempDir,
}

// === impl Local ===
impl Local {
    pub fn load(name: &str, file: PathBuf, wasm: &[u8], settings: Settings) -> Result<Self, FnError> {
        let start = |error: &dyn std::fmt::Display| FnError::Start(error.to_string());
        let kv = tempfile::tempdir().map_err(|error| start(&error))?;
        let files = KvFiles::new(kv.path().to_owned());
        files.attach(Duration::ZERO).map_err(|error| start(&error))?;
        let stores = files.stores(&settings.stores).map_err(|error| FnError::Usage(error.to_string()))?;
        let fetch = Fetcher::new().map_err(|error| start(&error))?;
        let geo = match settings.geo.is_empty() {
            true => None,
            false => Some(Arc::new(geo::Db::open(&settings.geo).map_err(|error| FnError::Usage(error.to_string()))?)),
        };
        let services = Services { seed: Some(settings.seed), geo, ..Services::new(stores, Arc::new(fetch)) };
        let memory = settings.budget.memory.max(MEMORY_MAX);
        let artifacts = settings.artifacts.clone().unwrap_or_else(artifacts);
        let engine = Engine::new(&EngineSettings { concurrency: CONCURRENCY, memory, artifacts })?;
        let began = Instant::now();
        let spec = spec(name, file, &settings);
        let function = engine.load(wasm, &spec, &Arc::new(services));
        let function = function.map_err(|error| FnError::engine(&spec.file, error))?;
        let loaded = began.elapsed();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| start(&error))?;
        Ok(Local { function, loaded, runtime, budget: settings.budget, _kv: kv })
    }

    /// Runs it once, in a fresh instance.
    pub fn call(&self, exchange: Exchange) -> Called {
        self.runtime.block_on(self.function.call(exchange, self.budget))
    }
}

fn spec(name: &str, file: PathBuf, settings: &Settings) -> compiled::Function {
    compiled::Function {
        name: name.to_owned(),
        file,
        flavor: settings.flavor,
        mode: settings.mode,
        cpu: settings.budget.cpu,
        timeout: settings.budget.timeout,
        memory: settings.budget.memory,
        concurrency: 1,
        reuse: 1,
        grants: settings.grants.clone(),
        record: 0,
    }
}

/// Where compiled functions are kept from one command to the next: compiling a script takes seconds.
fn artifacts() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("rimward").join("functions")
}
