//! Bench: a sample, loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rimward::config::compiled::{Flavor, Function as Spec, Grants, Mode};
use rimward::hooks::engine::{Budget, Engine, EngineSettings, Function};
use rimward::hooks::host::Services;
use rimward::hooks::host::fetch::Fetcher;
use rimward::hooks::host::kv::KvStores;

use crate::exchange::{self, Case};

/// Calls an instance serves: so that every case also meets an instance that was used before.
const REUSE: u32 = 1000;

pub struct Bench {
    function: Arc<Function>,
    budget: Budget,
    _artifacts: tempfile::TempDir,
}

// === impl Bench ===
impl Bench {
    /// `None`: this one is no fixture, and nobody built it.
    pub fn of(name: &str, grants: Grants) -> Option<Self> {
        let wasm = std::fs::read(file(name)?).unwrap();
        let artifacts = tempfile::tempdir().unwrap();
        let budget = Budget { cpu: Duration::from_secs(5), timeout: Duration::from_secs(30), memory: 128 << 20 };
        let settings = EngineSettings { concurrency: 4, memory: budget.memory, artifacts: artifacts.path().to_owned() };
        let spec = Spec {
            name: name.to_owned(),
            file: name.into(),
            flavor: Flavor::Auto,
            mode: Mode::Extended,
            cpu: budget.cpu,
            timeout: budget.timeout,
            memory: budget.memory,
            concurrency: 4,
            reuse: REUSE,
            grants,
            record: 0,
        };
        let engine = Engine::new(&settings).unwrap();
        let services = Arc::new(Services::new(KvStores::default(), Arc::new(Fetcher::new().unwrap())));
        let function = engine.load(&wasm, &spec, &services);
        let function = function.unwrap_or_else(|error| panic!("{name}: {error}"));
        Some(Bench { function, budget, _artifacts: artifacts })
    }

    /// What the function makes of one message.
    pub async fn call(&self, event: &str, case: &Case) -> Vec<String> {
        let called = self.function.call(case.exchange(event.parse().unwrap()), self.budget).await;
        exchange::lines(called)
    }
}

/// Where a sample's wasm is.
fn file(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guests = std::env::var_os("RIMWARD_GUESTS").map_or_else(|| root.join("target/guests"), PathBuf::from);
    let built = guests.join("out").join(name).with_extension("wasm");
    let fixture = root.join("functions/samples/fixtures").join(name).with_extension("wasm");
    if std::env::var("RIMWARD_SAMPLES").is_ok_and(|which| which == "built") {
        assert!(built.exists(), "{} is missing: functions/samples/build.sh {name}", built.display());
        return Some(built);
    }
    let found = [fixture, built].into_iter().find(|file| file.exists());
    if found.is_none() {
        eprintln!("{name}: not run, for nobody built it (functions/samples/build.sh {name})");
    }
    found
}
