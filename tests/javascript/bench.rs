//! Bench: a function, built and loaded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rimward::config::compiled::{Flavor, Function as Spec, Grants, KvBounds, KvGrant, KvStore, Mode};
use rimward::hooks::build::{BuildError, Builder, Built, ENGINE, Source};
use rimward::hooks::engine::{Budget, Called, Engine, EngineSettings, Function, Said};
use rimward::hooks::host::Services;
use rimward::hooks::host::fetch::Fetcher;
use rimward::hooks::host::kv::KvFiles;
use rimward::hooks::{Event, Site};

use crate::exchange::{self, Case};

const MEMORY: usize = 128 << 20;

/// What all tests of this process share: compiling the engine takes seconds.
struct Shared {
    builder: Builder,
    engine: Engine,
    services: Arc<Services>,
    _dir: tempfile::TempDir,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let import = dir.path().join("rules.json");
        let data = r#"{"data": [{"key": "blue", "value": "{\"path\": \"/b\", \"origin\": \"blue.example\"}"}]}"#;
        std::fs::write(&import, data).unwrap();
        let store = KvStore { name: "rules".into(), import: Some(import), bounds: KvBounds::STRICT };
        let kv = KvFiles::new(dir.path().join("kv"));
        kv.attach(Duration::from_secs(5)).unwrap();
        let settings = EngineSettings { concurrency: 16, memory: MEMORY, artifacts: dir.path().join("artifacts") };
        Shared {
            builder: Builder::new(ENGINE),
            engine: Engine::new(&settings).unwrap(),
            services: Arc::new(Services::new(kv.stores(&[store]).unwrap(), Arc::new(Fetcher::new().unwrap()))),
            _dir: dir,
        }
    })
}

pub struct Bench {
    pub built: Built,
    function: Arc<Function>,
    mode: Mode,
    pub budget: Budget,
}

/// A file of functions/js-engine.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("functions/js-engine").join(name)
}

pub fn text(name: &str, text: &str) -> Source {
    Source::Text { name: name.to_owned(), text: text.to_owned() }
}

pub fn build(source: &Source, flavor: Flavor, mode: Mode) -> Result<Built, BuildError> {
    shared().builder.build(source, flavor, mode)
}

/// With a configuration that is known.
pub fn build_for(source: &Source, config: &[(&str, &str)]) -> Built {
    let config: Vec<_> = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let built = shared().builder.build_for(source, Flavor::Auto, Mode::Extended, Some(&config));
    built.unwrap_or_else(|error| panic!("{source:?}: {error}"))
}

// === impl Bench ===
impl Bench {
    pub fn of(source: &Source, reuse: u32) -> Self {
        Bench::flavored(source, Flavor::Auto, reuse)
    }

    /// With what was built elsewhere.
    pub fn made(built: Built) -> Self {
        Bench::loaded(built, (Flavor::Auto, Mode::Extended), 1, Bench::usual())
    }

    pub fn flavored(source: &Source, flavor: Flavor, reuse: u32) -> Self {
        Bench::granted(source, flavor, reuse, Bench::usual())
    }

    fn usual() -> Grants {
        Grants {
            config: vec![("SESSION_KEY".into(), "k".into())],
            kv: vec![KvGrant { store: "rules".into(), write: false }],
            ..Grants::default()
        }
    }

    pub fn granted(source: &Source, flavor: Flavor, reuse: u32, grants: Grants) -> Self {
        let built = build(source, flavor, Mode::Extended).unwrap_or_else(|error| panic!("{source:?}: {error}"));
        Bench::loaded(built, (flavor, Mode::Extended), reuse, grants)
    }

    /// Held to what AWS's own runtimes have and do.
    pub fn strict(source: &Source, flavor: Flavor) -> Self {
        let built = build(source, flavor, Mode::Strict).unwrap_or_else(|error| panic!("{source:?}: {error}"));
        Bench::loaded(built, (flavor, Mode::Strict), 1, Bench::usual())
    }

    fn loaded(built: Built, (flavor, mode): (Flavor, Mode), reuse: u32, grants: Grants) -> Self {
        let budget = Budget { cpu: Duration::from_secs(3), timeout: Duration::from_secs(30), memory: MEMORY };
        let spec = Spec {
            name: "js".to_owned(),
            file: "js".into(),
            flavor,
            mode,
            cpu: budget.cpu,
            timeout: budget.timeout,
            memory: MEMORY,
            concurrency: 8,
            reuse,
            grants,
            record: 0,
        };
        let function = shared().engine.load(&built.component, &spec, &shared().services).unwrap();
        Bench { built, function, mode, budget }
    }

    pub async fn run(&self, event: &str, case: &Case) -> Called {
        let mut exchange = case.exchange(event.parse().unwrap());
        exchange.site = Arc::new(Site { mode: self.mode, ..(*exchange.site).clone() });
        self.function.call(exchange, self.budget).await
    }

    /// What its handler returns or throws for an event that is none of CloudFront's.
    pub async fn ask(&self, event: &str) -> (Called, Said) {
        let exchange = exchange::get("", "/").exchange(Event::OriginRequest);
        self.function.ask(exchange, event.to_owned(), self.budget).await
    }

    /// What the function makes of one message.
    pub async fn call(&self, event: &str, case: &Case) -> Vec<String> {
        exchange::lines(self.run(event, case).await)
    }
}
