//! Bench: a sample, loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rimward::config::compiled::{Flavor, Function as Spec, Grants, KvBounds, KvStore, Mode};
use rimward::geo::Db;
use rimward::hooks::build::{Builder, ENGINE, Source};
use rimward::hooks::engine::{Budget, Engine, EngineSettings, Function};
use rimward::hooks::host::Services;
use rimward::hooks::host::fetch::Fetcher;
use rimward::hooks::host::kv::{KvFiles, KvStores};

use crate::exchange::{self, Case};

/// Calls an instance serves: so that every case also meets an instance that was used before.
const REUSE: u32 = 1000;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/functions/samples");

pub struct Bench {
    function: Arc<Function>,
    budget: Budget,
    _state: tempfile::TempDir,
}

// === impl Bench ===
impl Bench {
    /// A sample by its name, as often as it was built, or a JavaScript file of functions/samples as it lies there. None: this one is no
    /// fixture, and nobody built it.
    pub fn all(name: &str, grants: &Grants) -> Vec<Self> {
        let files = if name.ends_with(".js") { vec![Path::new(SAMPLES).join(name)] } else { built(name) };
        files.into_iter().map(|file| Bench::of(file, name, grants.clone())).collect()
    }

    fn of(file: PathBuf, name: &str, grants: Grants) -> Self {
        let wasm = match file.extension() {
            Some(extension) if extension == "js" => javascript(file),
            _ => std::fs::read(file).unwrap(),
        };
        let state = tempfile::tempdir().unwrap();
        let budget = Budget { cpu: Duration::from_secs(5), timeout: Duration::from_secs(30), memory: 128 << 20 };
        let settings =
            EngineSettings { concurrency: 4, memory: budget.memory, artifacts: state.path().join("artifacts") };
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
        let places = Path::new(env!("CARGO_MANIFEST_DIR")).join("geo/test.mmdb");
        let services = Services {
            kv: stores(state.path()),
            seed: None,
            fetch: Arc::new(Fetcher::new().unwrap()),
            geo: Some(Arc::new(Db::open(&[places]).unwrap())),
        };
        let function = Engine::new(&settings).unwrap().load(&wasm, &spec, &Arc::new(services));
        let function = function.unwrap_or_else(|error| panic!("{name}: {error}"));
        Bench { function, budget, _state: state }
    }

    /// What the function makes of one message.
    pub async fn call(&self, event: &str, case: &Case) -> Vec<String> {
        let called = self.function.call(case.exchange(event.parse().unwrap()), self.budget).await;
        exchange::lines(called)
    }
}

/// Where a sample is: its fixture, and with RIMWARD_SAMPLES=built what was built last too. A fixture was built with the SDK of an earlier
/// day: it loads and does what it did.
fn built(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guests = std::env::var_os("RIMWARD_GUESTS").map_or_else(|| root.join("target/guests"), PathBuf::from);
    let in_dir = |dir: &Path| {
        ["wasm", "js"].map(|kind| dir.join(name).with_extension(kind)).into_iter().find(|file| file.exists())
    };
    let (fixture, built) = (in_dir(&Path::new(SAMPLES).join("fixtures")), in_dir(&guests.join("out")));
    if std::env::var("RIMWARD_SAMPLES").is_ok_and(|which| which == "built") {
        assert!(built.is_some(), "{name} was not built: functions/samples/build.sh {name}");
        return fixture.into_iter().chain(built).collect();
    }
    let found: Vec<_> = fixture.or(built).into_iter().collect();
    if found.is_empty() {
        eprintln!("{name}: not run, for nobody built it (functions/samples/build.sh {name})");
    }
    found
}

fn javascript(file: PathBuf) -> Vec<u8> {
    let builder = Builder::new(ENGINE);
    builder.build(&Source::Path(file), Flavor::Auto, Mode::Extended).unwrap().component
}

/// The store of the sample that wants one.
fn stores(dir: &Path) -> KvStores {
    let files = KvFiles::new(dir.join("kv"));
    files.attach(Duration::from_secs(5)).unwrap();
    let import = Some(Path::new(SAMPLES).join("redirects-kvs/redirects.json"));
    files.stores(&[KvStore { name: "redirects".to_owned(), import, bounds: KvBounds::STRICT }]).unwrap()
}
