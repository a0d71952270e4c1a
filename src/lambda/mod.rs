//! Lambda: runs functions on this machine, and answers Lambda's HTTP API for them.
//!
//! In: the configuration's functions, requests of the API whose caller is known to be allowed. Out: answers in the service's
//! shape. Never: a signature checked, a function's process that outlives this one.

mod api;
mod change;
mod concurrency;
mod fault;
mod frames;
mod name;
mod queue;
mod registry;
mod run;
mod schedule;
mod shift;
mod source;
mod time;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;

use crate::config::compiled::LocalLambda;
use crate::dynamo::Dynamo;
use concurrency::Seats;
use name::Owner;
use queue::{Deliver, Queue};
use registry::{Entry, Registry, Store};
pub use run::Scripts;
use run::Settings;
use schedule::Schedule;
use shift::Shifts;
use source::{Mapping, Sources};

/// A body that comes as the function writes it.
pub type Body = BoxBody<Bytes, io::Error>;

/// The client that runs Node handlers, without dependencies.
const NODE_CLIENT: &str = include_str!("../../functions/lambda/node-runtime.mjs");

/// Why the room could not be opened or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LambdaError {
    #[error("cannot use {}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("the code of lambda '{function}': {why}")]
    Code { function: String, why: String },
    #[error("cannot keep functions: {0}")]
    Store(#[source] Box<redb::Error>),
    #[error("cannot keep calls: {0}")]
    Events(#[source] Arc<redb::Error>),
    #[error("the TLS library does not work here: {0}")]
    Tls(#[source] rustls::Error),
    #[error("a task is gone: {0}")]
    Worker(String),
    #[error("there is no tokio runtime to run functions on")]
    Runtime,
    #[error("the functions of this machine are being ended")]
    Closing,
}

/// The functions of this machine. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Lambda(Arc<Inner>);

/// Where a function can be called over plain HTTP (Lambda Developer Guide, "Creating and managing Lambda function URLs").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionUrl {
    /// First label of its host: `id.lambda-url.region.on.aws`.
    pub id: String,
    pub function: String,
    /// `$LATEST` or an alias.
    pub qualifier: String,
    /// Whether callers must sign (`AWS_IAM`).
    pub signed: bool,
    /// Whether answers are streamed (`RESPONSE_STREAM`).
    pub streams: bool,
    /// The `Cors` document as it was said, if it was.
    pub cors: Option<serde_json::Value>,
}

/// Changes of a table that a function is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    pub uuid: String,
    pub function: String,
    /// Its stream's ARN, once it was found.
    pub stream: Option<String>,
    /// "Enabled", "Disabled" or on the way there.
    pub state: &'static str,
    /// Of the last try: "OK", "No records processed", "PROBLEM: ...".
    pub result: String,
    /// How old the newest record of the last call was; nothing = no record waits.
    pub lag: std::time::Duration,
    /// Records done with since it began, and those of them that were given up.
    pub records: u64,
    pub given_up: u64,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    spec: arc_swap::ArcSwap<LocalLambda>,
    registry: Registry,
    seats: Seats,
    schedule: Arc<Schedule>,
    store: Arc<Store>,
    queue: Arc<Queue>,
    deliver: Deliver,
    /// Where streams are; `None` = there are no tables.
    tables: Option<Dynamo>,
    sources: Sources,
    shifts: Arc<Shifts>,
    runtime: tokio::runtime::Handle,
    /// One change at a time.
    turn: Mutex<()>,
}

// === impl Lambda ===
impl Lambda {
    /// Opens the room in `state_dir/lambda`, with what the API made before and the calls that were accepted. Waits for the disk,
    /// and up to 30 s for a process that still has it: call it on `tokio::task::spawn_blocking`. `tables`: whose changes
    /// functions are called with. `scripts`: what runs functions of the runtime "javascript"; without it they cannot start.
    pub fn open(
        spec: &LocalLambda,
        state_dir: &Path,
        tables: Option<Dynamo>,
        scripts: Option<Scripts>,
    ) -> Result<Self, LambdaError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| LambdaError::Runtime)?;
        // Functions see these paths from their own directories.
        let dir = std::path::absolute(state_dir.join("lambda"))
            .map_err(|source| LambdaError::Disk { path: state_dir.to_owned(), source })?;
        // What functions are told in their variables is for nobody else on this machine.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| LambdaError::Disk { path: dir.clone(), source })?;
        // First of all: whoever has it has the directory.
        let store = Arc::new(Store::open(&dir.join("state.redb")).map_err(LambdaError::Store)?);
        prepare(&dir)?;
        let shifts = Arc::new(Shifts::new(now_ms()));
        let inner = Arc::new(Inner {
            spec: arc_swap::ArcSwap::from_pointee(spec.clone()),
            registry: Registry::default(),
            seats: Seats::new(spec.concurrency),
            schedule: Schedule::new(Settings::new(spec, &dir), scripts, Arc::clone(&shifts)),
            queue: Arc::new(Queue::open(Arc::clone(&store))?),
            deliver: Deliver::new().map_err(LambdaError::Tls)?,
            store,
            tables,
            sources: Sources::default(),
            shifts: Arc::clone(&shifts),
            runtime: runtime.clone(),
            turn: Mutex::default(),
            dir,
        });
        let lambda = Lambda(inner);
        lambda.apply(spec)?;
        lambda.0.sweep();
        runtime.spawn(Queue::pump(Arc::downgrade(&lambda.0)));
        runtime.spawn(Shifts::pump(Arc::downgrade(&lambda.0), shifts));
        Ok(lambda)
    }

    /// Takes a new configuration; on an error nothing changes. Calls that run end in peace, and environments of what changed
    /// end after them. A function of the configuration hides one of its name that the API made. Reads files, as `open` does.
    pub fn apply(&self, spec: &LocalLambda) -> Result<(), LambdaError> {
        let inner = &self.0;
        let _turn = inner.turn.lock();
        let (code, owner) = (inner.dir.join("code"), Owner { region: &spec.region, account: &spec.account });
        let (made, _) = inner.store.functions().map_err(LambdaError::Store)?;
        let made = made.into_iter();
        let made = made.map(|function| (function.name.clone(), Arc::new(Entry::made(function, &owner, &code))));
        let mut known: BTreeMap<_, _> = made.collect();
        known.extend(registry::configured(spec, &code, now_ms())?);
        let mut mappings = inner.store.mappings().map_err(LambdaError::Store)?;
        mappings.extend(source::configured(spec, now_ms()));
        let settings = Settings::new(spec, &inner.dir);
        inner.spec.store(Arc::new(spec.clone()));
        inner.registry.set(known);
        if settings != *inner.schedule.settings() {
            inner.schedule.set(settings);
        }
        inner.in_force();
        let mappings = mappings.into_iter().map(|mapping: Mapping| (mapping.uuid.clone(), Arc::new(mapping)));
        inner.sources.set(mappings.collect(), inner);
        Ok(())
    }

    /// Answers one request of Lambda's REST API. Its caller was let in already.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Body> {
        api::handle(&self.0, request).await
    }

    /// Ends every environment and lets go of the state, which another process can then open. Calls under way have a few
    /// seconds; the API answers 500 afterwards.
    pub async fn close(&self) {
        self.0.sources.stop();
        self.0.schedule.close().await;
        self.0.sources.ended().await;
        let store = Arc::clone(&self.0.store);
        // Waiting for it is all there is to do with it.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    /// Every event source mapping there is, and how it goes.
    pub fn sources(&self) -> Vec<EventSource> {
        let sources = &self.0.sources;
        let all = sources.all();
        let each = all.values().map(|mapping| {
            let seen = sources.seen(&mapping.uuid).unwrap_or_default();
            EventSource {
                uuid: mapping.uuid.clone(),
                function: mapping.function.clone(),
                stream: seen.stream,
                state: sources.state(mapping),
                result: seen.result,
                lag: seen.lag,
                records: seen.records,
                given_up: seen.given_up,
            }
        });
        each.collect()
    }

    /// The path of a request with its function's own name, however the function is called in it: what policies are asked about.
    /// `None`: it names no function.
    pub fn plain_path(&self, uri: &http::Uri) -> Option<String> {
        let spec = self.0.spec.load();
        api::plain_path(uri, &name::Owner { region: &spec.region, account: &spec.account })
    }

    /// Every function URL there is: id, function, qualifier and what was said of it.
    pub fn urls(&self) -> Vec<FunctionUrl> {
        let known = self.0.registry.all();
        let of = |entry: &Arc<Entry>| {
            let each = entry.function.urls.iter().map(|(qualifier, url)| FunctionUrl {
                id: url.id.clone(),
                function: entry.function.name.clone(),
                qualifier: qualifier.clone(),
                signed: url.auth != "NONE",
                streams: url.mode == "RESPONSE_STREAM",
                cors: url.cors.clone(),
            });
            each.collect::<Vec<_>>()
        };
        known.values().flat_map(of).collect()
    }
}

// === impl Inner ===
impl Inner {
    /// Removes code that no function has any more, and what a killed process left half unpacked. Only where everything that is
    /// kept was understood, and only before anything runs.
    fn sweep(&self) {
        if !matches!(self.store.functions(), Ok((_, 0))) {
            return;
        }
        let known = self.registry.all();
        let used: HashSet<&Path> = known.values().flat_map(|entry| entry.directories()).collect();
        for entry in fs::read_dir(self.dir.join("code")).into_iter().flatten().flatten() {
            let path = entry.path();
            if !used.contains(path.as_path()) {
                remove(&path);
            }
        }
    }
}

/// The room's own directories; what a killed process left of environments is removed.
fn prepare(dir: &Path) -> Result<(), LambdaError> {
    let disk = |path: &Path, result: io::Result<()>| {
        result.map_err(|source| LambdaError::Disk { path: path.to_owned(), source })
    };
    let homes = dir.join("homes");
    for path in [&homes, &dir.join("code"), &dir.join("runtime")] {
        disk(path, fs::create_dir_all(path))?;
    }
    fs::read_dir(&homes).into_iter().flatten().flatten().for_each(|entry| remove(&entry.path()));
    let client = dir.join("runtime/client.mjs");
    disk(&client, fs::write(&client, NODE_CLIENT))
}

/// Removes a directory if that can be done: a function may have made it so that it cannot.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        log::warn!(target: "lambda", "cannot remove {}: {error}", path.display());
    }
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
