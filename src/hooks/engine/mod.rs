//! Engine: edge functions on wasmtime.
//!
//! In: a wasm file and what its function was granted. Out: a [`Function`] that can be called. Never: a function that imports what
//! it was not granted; wasmtime outside this directory.

mod artifact;
mod background;
mod bindings;
mod fail;
mod flat;
mod function;
mod imports;
mod lambda;
mod load;
mod outline;
mod pool;
mod reach;
mod shape;
mod snapshot;
mod store;
mod ticker;
mod web;
mod wrap;

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Module;
use wasmtime::component::{Component, InstancePre};

use crate::config::compiled;

use super::failure::Failure;
use super::host::Services;

use artifact::Artifacts;
use background::Background;
use outline::Outlined;
use pool::{Pool, Size};
use store::Data;
use ticker::Ticker;

pub use function::{Budget, Called, Function, Question, Said};
pub use load::{component, no_wasm};
pub use shape::{Made, SECTION, Shape};
pub use snapshot::{Evaluated, SnapshotError, Snapshotter, World};
pub use web::{Web, WebBody};

/// Shared code that is kept at hand; functions keep theirs as long as they live.
const CODES_MAX: usize = 8;

/// What the engine is given.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Calls of all functions at once.
    pub concurrency: usize,
    /// Bytes of linear memory that any function may ask for.
    pub memory: usize,
    /// Where compiled functions are kept.
    pub artifacts: PathBuf,
}

/// Why there is no engine, or no function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error("the function engine cannot start: {0}")]
    Start(String),
    #[error("{}: {source}: the directory of compiled functions must be writable", path.display())]
    Artifacts { path: PathBuf, source: std::io::Error },
    #[error("not a usable wasm file: {0}")]
    Invalid(String),
    #[error("it does not compile: {0}")]
    Compile(String),
    #[error("function '{function}' imports '{import}': {hint}")]
    Import { function: String, import: String, hint: String },
    #[error(
        "function '{function}' exports no handler: on-viewer-request, on-origin-request, on-origin-response, on-viewer-response, flat or lambda-edge"
    )]
    Handler { function: String },
    #[error("function '{function}' does not export wasi:http/incoming-handler@0.2: an origin is such a component")]
    NoWeb { function: String },
    #[error("function '{function}' begins with {needs} bytes of memory, `memory` allows {limit}")]
    Memory { function: String, needs: u64, limit: usize },
}

/// The engine of a PoP. Clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all functions share.
pub(crate) struct Shared {
    small: Pool,
    big: Pool,
    calls: Arc<Semaphore>,
    concurrency: usize,
    background: Background,
    ticker: Ticker,
    artifacts: Artifacts,
    loaded: Mutex<Vec<Weak<Function>>>,
    /// Code that functions share, by its name; the last used last.
    codes: Mutex<Vec<(String, Module)>>,
}

// === impl Engine ===
impl Engine {
    /// Reserves the instances' address space. Starts no thread.
    pub fn new(settings: &EngineSettings) -> Result<Self, EngineError> {
        let slots = u32::try_from(settings.concurrency).unwrap_or(u32::MAX);
        let shared = Shared {
            small: Pool::new(Size::Small, slots, settings.memory)?,
            big: Pool::new(Size::Big, slots, settings.memory)?,
            calls: Arc::new(Semaphore::new(settings.concurrency)),
            concurrency: settings.concurrency,
            background: Background::default(),
            ticker: Ticker::default(),
            artifacts: Artifacts::open(&settings.artifacts)?,
            loaded: Mutex::new(Vec::new()),
            codes: Mutex::new(Vec::new()),
        };
        Ok(Engine { shared: Arc::new(shared) })
    }

    /// Makes a function of a component, a core module, or either as text. Blocks: compiling a large file takes seconds.
    pub fn load(
        &self,
        wasm: &[u8],
        spec: &compiled::Function,
        services: &Arc<Services>,
    ) -> Result<Arc<Function>, EngineError> {
        self.shared.ticker.start(Arc::downgrade(&self.shared))?;
        let function = Arc::new(load::load(&self.shared, wasm, spec, services)?);
        let mut loaded = self.shared.loaded.lock();
        loaded.retain(|function| function.strong_count() > 0);
        loaded.push(Arc::downgrade(&function));
        Ok(function)
    }

    /// Makes an origin of a `wasi:http` component. Blocks: compiling a large file takes seconds.
    pub fn load_web(
        &self,
        wasm: &[u8],
        spec: &compiled::Function,
        services: &Arc<Services>,
    ) -> Result<Arc<Web>, EngineError> {
        self.shared.ticker.start(Arc::downgrade(&self.shared))?;
        Web::load(&self.shared, wasm, spec, services).map(Arc::new)
    }

    /// Whether what is compiled from now on has the priority of requests: before there are any.
    pub fn hurry(&self, hurried: bool) {
        self.shared.artifacts.hurry(hurried);
    }

    /// Instances that live now, idle ones too.
    pub fn instances(&self) -> usize {
        self.shared.small.living() + self.shared.big.living()
    }
}

// === impl Shared ===
impl Shared {
    fn pool(&self, size: Size) -> &Pool {
        match size {
            Size::Small => &self.small,
            Size::Big => &self.big,
        }
    }

    /// A free slot; an idle instance makes room for one that is called.
    fn slot(&self, pool: &Pool) -> Option<OwnedSemaphorePermit> {
        pool.slot().or_else(|| {
            let loaded = self.loaded.lock().clone();
            let idle = loaded.iter().filter_map(Weak::upgrade).any(|function| function.yield_slot(pool));
            if idle { pool.slot() } else { None }
        })
    }

    /// Links a component to the code it shares.
    fn apart(&self, pool: &Pool, outlined: &Outlined) -> Result<InstancePre<Data>, EngineError> {
        let code = self.shared_code(pool, outlined)?;
        let component = self.artifacts.code::<Component>(&pool.engine, &outlined.component)?;
        let mut linker = pool.linker.clone();
        let linked = linker.root().module(&outlined.name, &code).and_then(|()| linker.instantiate_pre(&component));
        linked.map_err(|error| EngineError::Invalid(format!("{error:#}")))
    }

    /// Held while it compiles: who else needs it waits for it instead of compiling it too.
    fn shared_code(&self, pool: &Pool, outlined: &Outlined) -> Result<Module, EngineError> {
        let mut codes = self.codes.lock();
        let known = codes.iter().position(|(name, _)| *name == outlined.name);
        let (name, code) = match known {
            Some(at) => codes.remove(at),
            None => (outlined.name.clone(), self.artifacts.code::<Module>(&pool.engine, &outlined.code)?),
        };
        if codes.len() == CODES_MAX {
            codes.remove(0);
        }
        codes.push((name, code.clone()));
        Ok(code)
    }

    /// A permit to run one call more.
    fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let full = |_| Failure::Exhausted("all functions together run too many calls".into());
        self.calls.clone().try_acquire_owned().map_err(full)
    }

    fn busy(&self) -> bool {
        self.calls.available_permits() < self.concurrency
    }

    fn tick(&self) {
        self.small.engine.increment_epoch();
        self.big.engine.increment_epoch();
    }

    /// Gives idle instances back.
    fn cool(&self) {
        let loaded = self.loaded.lock().clone();
        loaded.iter().filter_map(Weak::upgrade).for_each(|function| function.cool());
    }
}

#[cfg(test)]
mod tests;
