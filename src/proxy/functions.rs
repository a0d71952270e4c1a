//! Functions: the configuration's functions, loaded and attached.
//!
//! In: compiled functions and hooks, what ran before. Out: chains that a request runs. Never: a request; a function that cannot be
//! loaded leaves what runs in place.

mod error;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use tokio::sync::Notify;

use crate::config::At;
use crate::config::compiled::{self, Behavior, Config, Mode, OnError, Rule};
use crate::geo::Db;
use crate::hooks::build::{self, Builder, Source};
use crate::hooks::engine::{Budget, Engine, EngineSettings, Function, Web};
use crate::hooks::host::Services;
use crate::hooks::host::fetch::Fetcher;
use crate::hooks::host::kv::{KvFiles, KvStores};
use crate::hooks::limits::{self, Means};
use crate::hooks::{Api, Event, Site};
use crate::integration::Integrations;
use crate::lambda::Scripts;
use crate::observe::{FunctionMetrics, Metrics};
use crate::origin::adapter::Endpoint;

use super::recording::Recorder;
pub use error::LoadError;

/// What is said of a file in a language that needs its toolchain, which a PoP does not have.
const NO_SOURCE: &str =
    "it is neither WebAssembly nor JavaScript: build it with `rimward fn build`, and name the .wasm";

/// What lives as long as the process: the engine, the JavaScript builder, the stores' files.
pub struct Functions {
    engine: OnceLock<Engine>,
    builder: Arc<Builder>,
    kv: KvFiles,
    fetch: OnceLock<Arc<Fetcher>>,
    recorder: OnceLock<Arc<Recorder>>,
    /// What its files looked like, and what was read of them: the same again needs no second read.
    geo: Mutex<Option<(u64, Arc<Db>)>>,
    /// One load at a time.
    loading: Mutex<()>,
    /// Nobody is served yet.
    starting: AtomicBool,
}

/// A function of one configuration.
pub struct Loaded {
    pub function: Arc<Function>,
    pub metrics: Arc<FunctionMetrics>,
    /// Share of its calls to record, in 1/10,000.
    pub record: u32,
    pub recorder: Option<Arc<Recorder>>,
    /// What it was made of: the same again needs no second load.
    made_of: u64,
}

/// The functions and stores of one configuration.
#[derive(Default)]
pub struct Set {
    pub loaded: Vec<Arc<Loaded>>,
    /// Function origins by name, with what each was made of.
    pub webs: HashMap<String, (Arc<Web>, u64)>,
    pub kv: KvStores,
    /// Where addresses are; `None` = no database is configured.
    pub geo: Option<Arc<Db>>,
}

/// One function at one event of one behavior.
pub struct Link {
    pub loaded: Arc<Loaded>,
    pub skip_on_error: bool,
    pub include_body: bool,
    pub budget: Budget,
    pub site: Arc<Site>,
}

/// The functions of one behavior, by event.
#[derive(Default)]
pub struct Chains {
    pub viewer_request: Vec<Link>,
    pub origin_request: Vec<Link>,
    pub origin_response: Vec<Link>,
    pub viewer_response: Vec<Link>,
}

// === impl Functions ===
impl Functions {
    /// Stores keep their files below `state`; nothing is opened yet.
    /// `told` is woken when other nodes are to be told of an entry.
    pub fn new(state: &Path, told: Option<Arc<Notify>>) -> Self {
        Functions {
            engine: OnceLock::new(),
            builder: Arc::new(Builder::keeping(state.join("functions/built"))),
            kv: match told {
                Some(told) => KvFiles::telling(state.join("kv"), told),
                None => KvFiles::new(state.join("kv")),
            },
            fetch: OnceLock::new(),
            recorder: OnceLock::new(),
            geo: Mutex::new(None),
            loading: Mutex::new(()),
            starting: AtomicBool::new(false),
        }
    }

    /// Whether functions are compiled as fast as can be, since nobody is served yet.
    pub fn starting(&self, starting: bool) {
        self.starting.store(starting, Ordering::Relaxed);
        if let Some(engine) = self.engine.get() {
            engine.hurry(starting);
        }
    }

    /// Loads every function of `config`. One that is as it was in `old` is kept, with its warm instances and its count of
    /// running calls. Blocks: compiling takes seconds.
    pub fn load(&self, config: &Config, old: Option<&Set>, metrics: &Metrics) -> Result<Set, LoadError> {
        let counters = metrics.functions(config.functions.iter().map(|function| function.name.as_str()));
        let _one = self.loading.lock();
        let kv = self.kv.stores(&config.kv_stores)?;
        let geo = self.geo(config)?;
        let mut set = Set { loaded: Vec::with_capacity(config.functions.len()), webs: HashMap::new(), kv, geo };
        let origins = config.origins.iter().enumerate();
        let webs: Vec<_> = origins.filter_map(|(nth, origin)| Some((nth, as_function(origin)?))).collect();
        if config.functions.is_empty() && webs.is_empty() {
            return Ok(set);
        }
        let services = Services { geo: set.geo.clone(), ..Services::new(set.kv.clone(), self.fetch()?) };
        let services = Arc::new(services);
        for (nth, (spec, metrics)) in config.functions.iter().zip(counters).enumerate() {
            let at = At::default().key("function").index(nth);
            let says = |reason: String| LoadError::file(config, &at, spec, &reason);
            let made_of = made_of(config, spec).map_err(|error| says(error.to_string()))?;
            let same = |old: &&Arc<Loaded>| old.made_of == made_of && old.function.name() == spec.name;
            if let Some(same) = old.and_then(|old| old.loaded.iter().find(same)) {
                set.loaded.push(same.clone());
                continue;
            }
            let wasm = self.wasm(spec).map_err(says)?;
            let engine = self.engine(config)?;
            let function = engine.load(&wasm, spec, &services).map_err(|error| says(error.to_string()))?;
            log::info!("function {} {} is loaded", spec.name, function.version());
            let recorder = match spec.record {
                0 => None,
                _ => Some(self.recorder(config)?),
            };
            set.loaded.push(Arc::new(Loaded { function, metrics, record: spec.record, recorder, made_of }));
        }
        for (nth, spec) in webs {
            let web = self.web(config, (nth, spec), old, &services)?;
            set.webs.insert(spec.name.clone(), web);
        }
        Ok(set)
    }

    /// A function origin, or the one that is as it was.
    fn web(
        &self,
        config: &Config,
        (nth, spec): (usize, &compiled::Function),
        old: Option<&Set>,
        services: &Arc<Services>,
    ) -> Result<(Arc<Web>, u64), LoadError> {
        let at = At::default().key("origin").index(nth).key("function");
        let says = |reason: String| LoadError::file(config, &at, spec, &reason);
        let made_of = made_of(config, spec).map_err(|error| says(error.to_string()))?;
        if let Some(same) = old.and_then(|old| old.webs.get(&spec.name)).filter(|(_, old)| *old == made_of) {
            return Ok(same.clone());
        }
        let wasm = std::fs::read(&spec.file).map_err(|error| says(error.to_string()))?;
        let web = self.engine(config)?.load_web(&wasm, spec, services).map_err(|error| says(error.to_string()))?;
        log::info!("function origin {} {} is loaded", spec.name, web.version());
        Ok((web, made_of))
    }

    /// Opens the stores' files, which a process that hands over may still hold. Blocks, at most for `patience`.
    pub fn attach(&self, patience: Duration) -> Result<(), LoadError> {
        Ok(self.kv.attach(patience)?)
    }

    /// Lets go of the stores' files, for the process that takes over.
    pub fn close(&self) {
        self.kv.close();
    }

    /// What runs the Lambda functions of this process: the same engine and builder as edge functions have.
    pub fn scripts(&self, config: &Config) -> Result<Scripts, LoadError> {
        Ok(Scripts::new(self.engine(config)?.clone(), Arc::clone(&self.builder), self.fetch()?))
    }

    /// What the engine takes: the file itself, or what the builder makes of JavaScript.
    fn wasm(&self, spec: &compiled::Function) -> Result<Vec<u8>, String> {
        let extension = spec.file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if matches!(extension, "wasm" | "wat") {
            return std::fs::read(&spec.file).map_err(|error| error.to_string());
        }
        if !build::is_source(&spec.file) {
            return Err(NO_SOURCE.to_owned());
        }
        let built = self
            .builder
            .build_for(&Source::Path(spec.file.clone()), spec.flavor, spec.mode, Some(&spec.grants.config))
            .map_err(|error| error.to_string())?;
        for line in built.logs {
            log::info!(target: "function", "{} at load: {line}", spec.name);
        }
        Ok(built.component)
    }

    fn fetch(&self) -> Result<Arc<Fetcher>, LoadError> {
        if let Some(fetch) = self.fetch.get() {
            return Ok(fetch.clone());
        }
        let made = Fetcher::new().map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(self.fetch.get_or_init(|| Arc::new(made)).clone())
    }

    fn geo(&self, config: &Config) -> Result<Option<Arc<Db>>, LoadError> {
        let Some(first) = config.geo.first() else { return Ok(None) };
        let db = self.databases(config)?;
        let asks = |rule: &Rule| rule.any(&|rule| matches!(rule, Rule::Country(_)));
        match config.behaviors.iter().find(|behavior| behavior.access.as_ref().is_some_and(asks)) {
            Some(behavior) if !db.knows_countries() => {
                let words = format!(
                    "'{}' asks for countries, and no database knows any: `geo/fetch.sh country` fetches one that does",
                    behavior.name
                );
                Err(LoadError::database(first, words))
            }
            _ => Ok(Some(db)),
        }
    }

    fn databases(&self, config: &Config) -> Result<Arc<Db>, LoadError> {
        let mut hasher = DefaultHasher::new();
        for database in &config.geo {
            let says = |error: std::io::Error| {
                LoadError::database(database, format!("cannot read {}: {error}", database.path.display()))
            };
            stamps([&database.path], &mut hasher).map_err(says)?;
        }
        let now = hasher.finish();
        let mut read = self.geo.lock();
        if let Some((_, db)) = read.as_ref().filter(|(then, _)| *then == now) {
            return Ok(db.clone());
        }
        let mut db = Db::default();
        for database in &config.geo {
            db.add(&database.path).map_err(|error| LoadError::database(database, error.to_string()))?;
        }
        let db = Arc::new(db);
        *read = Some((now, db.clone()));
        Ok(db)
    }

    fn recorder(&self, config: &Config) -> Result<Arc<Recorder>, LoadError> {
        if let Some(recorder) = self.recorder.get() {
            return Ok(recorder.clone());
        }
        let dir = &config.engine.records;
        let made = Recorder::start(dir, config.engine.records_size)
            .map_err(|error| LoadError::Engine(format!("{}: {error}", dir.display())))?;
        Ok(self.recorder.get_or_init(|| Arc::new(made)).clone())
    }

    fn engine(&self, config: &Config) -> Result<&Engine, LoadError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let settings = EngineSettings {
            concurrency: config.engine.concurrency,
            memory: config.engine.memory,
            artifacts: config.engine.artifacts.clone(),
        };
        let engine = Engine::new(&settings).map_err(|error| LoadError::Engine(error.to_string()))?;
        engine.hurry(self.starting.load(Ordering::Relaxed));
        Ok(self.engine.get_or_init(|| engine))
    }
}

// === impl Set ===
impl Set {
    /// What answers for an origin that is no plain HTTP server.
    pub fn endpoint(&self, integrations: &Integrations, origin: &compiled::Origin) -> Option<Arc<dyn Endpoint>> {
        integrations.endpoint(origin, self.webs.get(&origin.name).map(|(web, _)| web))
    }
}

// === impl Chains ===
impl Chains {
    /// The chains of `behavior`. Every function has a handler for the event it is attached to.
    pub fn new(config: &Config, behavior: &Behavior, loaded: &[Arc<Loaded>]) -> Result<Self, LoadError> {
        let mut origins: Vec<String> = config.origins.iter().map(|origin| origin.name.clone()).collect();
        origins.extend(config.groups.iter().map(|group| group.name.clone()));
        let attach = |event: Event, hooks: &[compiled::Hook]| {
            let link = |(nth, hook): (usize, &compiled::Hook)| {
                let link = link(config, behavior, &origins, event, hook, loaded);
                link.map_err(|message| LoadError::at(config, &attached(config, behavior, event, nth), message))
            };
            hooks.iter().enumerate().map(link).collect::<Result<Vec<_>, _>>()
        };
        let hooks = &behavior.hooks;
        let chains = Chains {
            viewer_request: attach(Event::ViewerRequest, &hooks.viewer_request)?,
            origin_request: attach(Event::OriginRequest, &hooks.origin_request)?,
            origin_response: attach(Event::OriginResponse, &hooks.origin_response)?,
            viewer_response: attach(Event::ViewerResponse, &hooks.viewer_response)?,
        };
        chains.associated(config, behavior)?;
        Ok(chains)
    }

    /// Refuses what AWS associates with no behavior, where a function in strict mode is in it (Developer Guide, "Restrictions on all edge
    /// functions"): several functions at one event, CloudFront functions and Lambda@Edge at viewers' events.
    fn associated(&self, config: &Config, behavior: &Behavior) -> Result<(), LoadError> {
        let strict = |links: &[&Link]| links.iter().any(|link| link.site.mode == Mode::Strict);
        let refused = |event: Event, nth: usize, link: &Link, what: &str| {
            let message = beyond(link.loaded.function.name(), event, what);
            Err(LoadError::at(config, &attached(config, behavior, event, nth), message))
        };
        for event in Event::ALL {
            let links: Vec<&Link> = self.of(event).iter().collect();
            if let ([_, second, ..], true) = (&links[..], strict(&links)) {
                return refused(event, 1, second, "an event has one function");
            }
        }
        let viewers: Vec<&Link> = self.viewer_request.iter().chain(&self.viewer_response).collect();
        let of = |api: Api| viewers.iter().any(|link| link.loaded.function.api() == api);
        match self.viewer_response.first() {
            Some(link) if strict(&viewers) && of(Api::CloudFront) && of(Api::LambdaEdge) => {
                let what = "one behavior's viewers have CloudFront functions or Lambda@Edge, not both";
                refused(Event::ViewerResponse, 0, link, what)
            }
            _ => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        Event::ALL.into_iter().all(|event| self.of(event).is_empty())
    }

    pub fn of(&self, event: Event) -> &[Link] {
        match event {
            Event::ViewerRequest => &self.viewer_request,
            Event::OriginRequest => &self.origin_request,
            Event::OriginResponse => &self.origin_response,
            Event::ViewerResponse => &self.viewer_response,
        }
    }
}

/// Where the `nth` function of `event` is named.
fn attached(config: &Config, behavior: &Behavior, event: Event, nth: usize) -> At {
    let position = config.behaviors.iter().position(|one| std::ptr::eq(&**one, behavior)).unwrap_or_default();
    let at = At::default().key("behavior").index(position).key("hooks").key(&event.as_str().replace('-', "_"));
    // One alone may stand in no list.
    let listed = at.index(nth);
    if config.texts.has(&listed) { listed } else { at }.key("function")
}

fn beyond(function: &str, event: Event, what: &str) -> String {
    format!("function '{function}' at {event}: {what} with mode = \"strict\"")
}

fn link(
    config: &Config,
    behavior: &Behavior,
    origins: &[String],
    event: Event,
    hook: &compiled::Hook,
    loaded: &[Arc<Loaded>],
) -> Result<Link, String> {
    let (spec, loaded) = (&config.functions[hook.function], &loaded[hook.function]);
    if !loaded.function.handles(event) {
        let has: Vec<&str> =
            Event::ALL.into_iter().filter(|event| loaded.function.handles(*event)).map(Event::as_str).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        return Err(format!("function '{}' has no handler for {event}; it has {has}", spec.name));
    }
    let memory = hook.memory.unwrap_or(spec.memory);
    let means = Means::of(memory, spec.timeout, &spec.grants);
    let refused = || limits::beyond_quota(loaded.function.api(), event, means);
    if let Some(what) = (spec.mode == Mode::Strict).then(refused).flatten() {
        return Err(beyond(&spec.name, event, what));
    }
    let pop = &config.pop.code;
    Ok(Link {
        loaded: loaded.clone(),
        skip_on_error: hook.on_error == OnError::Skip,
        include_body: hook.include_body && event.is_request(),
        budget: Budget { cpu: hook.cpu.unwrap_or(spec.cpu), timeout: spec.timeout, memory },
        site: Arc::new(Site {
            pop: pop.clone(),
            behavior: behavior.name.clone(),
            domain: behavior.pattern.host.clone().unwrap_or_else(|| format!("{}.rimward.invalid", pop.to_lowercase())),
            distribution: format!("RIMWARD{pop}"),
            origins: origins.to_vec(),
            mode: spec.mode,
            include_body: hook.include_body && event.is_request(),
        }),
    })
}

/// The component of a function origin.
fn as_function(origin: &compiled::Origin) -> Option<&compiled::Function> {
    match &origin.kind {
        compiled::OriginKind::Function(spec) => Some(spec),
        _ => None,
    }
}

/// Everything that makes a loaded function what it is: its files, and what was written about it and about what it may reach.
fn made_of(config: &Config, spec: &compiled::Function) -> std::io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    // Secrets are redacted in it; their values are hashed apart.
    format!("{spec:?} {:?}", config.kv_stores).hash(&mut hasher);
    for (name, secret) in &spec.grants.secrets {
        (name, secret.expose()).hash(&mut hasher);
    }
    let own = config.sources.iter().filter(|path| spec.is_built_from(path));
    stamps(own.chain(config.geo.iter().map(|database| &database.path)), &mut hasher)?;
    Ok(hasher.finish())
}

/// What files look like from outside.
fn stamps<'p>(paths: impl IntoIterator<Item = &'p PathBuf>, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    for path in paths {
        let found = std::fs::metadata(path)?;
        (path, found.len(), found.modified()?).hash(hasher);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::{Flavor, Grants};

    fn spec(file: PathBuf) -> compiled::Function {
        compiled::Function {
            name: "f".to_owned(),
            file,
            flavor: Flavor::Auto,
            mode: Mode::Extended,
            cpu: Duration::from_millis(50),
            timeout: Duration::from_secs(5),
            memory: 16 << 20,
            concurrency: 1,
            reuse: 1,
            grants: Grants::default(),
            record: 0,
        }
    }

    #[test]
    fn a_source_that_needs_its_toolchain_is_not_taken_for_javascript() {
        let dir = tempfile::tempdir().unwrap();
        let functions = Functions::new(dir.path(), None);
        for (name, source) in
            [("lambda_function.py", true), ("lib.rs", true), ("f.c", true), ("f.go", true), ("f.wasm", false)]
        {
            let file = dir.path().join(name);
            std::fs::write(&file, "def handler(event, context): pass").unwrap();
            assert_eq!(functions.wasm(&spec(file)).err().as_deref(), source.then_some(NO_SOURCE), "{name}");
        }
    }
}
