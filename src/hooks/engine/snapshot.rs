//! Snapshot: the JavaScript engine with a function's code already evaluated in it.
//!
//! In: the engine module, and a bundle it understands. Out: the module whose memory is as it was after that; what the engine said.
//! Never: a host for the code that is evaluated: its log lines are collected, and everything else is refused.

use std::time::Duration;

use cpu_time::ThreadTime;
use futures::executor::block_on;
use wasmtime::{
    Caller, Config, Engine, Extern, Instance, Linker, Module, OptLevel, Store, StoreLimits, StoreLimitsBuilder,
    UpdateDeadline, Val,
};
use wasmtime_wizer::{InstanceState, ModuleContext, SnapshotVal, ValType, Wizer};

/// Bytes of memory the top level of a function may take.
const MEMORY: usize = 512 << 20;
/// CPU time it may take: twenty times what the largest bundles of ours take.
const CPU: Duration = Duration::from_secs(2);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of stack; the engine module bounds its own recursion below this.
const STACK: usize = 1 << 20;
/// Log lines that are kept.
const LINES: usize = 200;

/// The export that evaluates a bundle; it is not in the snapshot.
const INIT: &str = "rimward-init";
/// The one import.
const HOST: (&str, &str) = ("rimward:edge/dynamic@0.1.0", "call");

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    #[error("the JavaScript engine module is not usable: {0}")]
    Engine(String),
    #[error("the top level of the function runs longer than {CPU:?} of CPU time")]
    Time,
    #[error("the top level of the function stopped the engine: {0}")]
    Stopped(String),
}

/// What evaluating a bundle gave.
#[derive(Debug)]
pub struct Evaluated {
    /// What the engine says as JSON: a report, or `Err` with an error.
    pub report: Result<String, String>,
    /// What the top level wanted of a host, if anything: then the snapshot is not to be used.
    pub needs: Option<String>,
    /// JSON lines as `log.write` takes them.
    pub logs: Vec<String>,
    /// The module, when `report` is `Ok`.
    pub module: Vec<u8>,
}

/// What the top level of a function is told of the world, which a snapshot keeps.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Its configuration as a JSON object; `None` = it is not known yet.
    pub config: Option<String>,
    /// Milliseconds since the epoch: the clock stands still.
    pub now_ms: u64,
}

/// The engine module, compiled once, for any number of snapshots.
pub struct Snapshotter {
    wasm: Vec<u8>,
    engine: Engine,
    module: Module,
}

struct State {
    limits: StoreLimits,
    /// This thread's CPU time when it began.
    began: Duration,
    logs: Vec<String>,
    world: World,
}

/// CPU time of this thread.
fn spent() -> Duration {
    ThreadTime::try_now().map(|now| now.as_duration()).unwrap_or_default()
}

// === impl State ===
impl State {
    fn is_late(&self) -> bool {
        spent().saturating_sub(self.began) > CPU
    }
}

// === impl Snapshotter ===
impl Snapshotter {
    /// Compiles the engine module: a second or two of CPU time.
    pub fn new(wasm: &[u8]) -> Result<Self, SnapshotError> {
        let unusable = |error: wasmtime::Error| SnapshotError::Engine(format!("{error:#}"));
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK);
        config.async_stack_size(STACK * 2);
        // What runs here runs for milliseconds: compiling is what takes time.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config).map_err(unusable)?;
        let (_, instrumented) = wizer().instrument(wasm).map_err(unusable)?;
        let module = Module::new(&engine, &instrumented).map_err(unusable)?;
        Ok(Snapshotter { wasm: wasm.to_owned(), engine, module })
    }

    /// Evaluates a bundle (functions/js-engine/src/bundle.c) in a fresh engine.
    pub fn evaluate(&self, bundle: &[u8], world: &World) -> Result<Evaluated, SnapshotError> {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let clock = self.engine.clone();
        let ticker = std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                clock.increment_epoch();
            }
        });
        let result = self.run(bundle, world);
        drop(done);
        let _ = ticker.join();
        result
    }

    fn run(&self, bundle: &[u8], world: &World) -> Result<Evaluated, SnapshotError> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let state = State { limits, began: spent(), logs: Vec::new(), world: world.clone() };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| match context.data().is_late() {
            true => Err(wasmtime::Error::msg("too long")),
            false => Ok(UpdateDeadline::Continue(1)),
        });
        let stopped = |store: &Store<State>, error: wasmtime::Error| match store.data().is_late() {
            true => SnapshotError::Time,
            false => SnapshotError::Stopped(error.root_cause().to_string()),
        };
        let (instance, area) = self.initialize(&mut store, bundle).map_err(|error| stopped(&store, error))?;
        let mut evaluated = report(&mut store, &instance, area)
            .ok_or_else(|| SnapshotError::Engine("its report is outside its memory".to_owned()))?;
        evaluated.logs = std::mem::take(&mut store.data_mut().logs);
        if evaluated.report.is_ok() && evaluated.needs.is_none() {
            evaluated.module = self.snapshot(&mut store, instance)?;
        }
        Ok(evaluated)
    }

    /// Gives the bundle to the engine; where its report is.
    fn initialize(&self, store: &mut Store<State>, bundle: &[u8]) -> wasmtime::Result<(Instance, u32)> {
        let mut linker = Linker::new(&self.engine);
        linker.func_wrap(HOST.0, HOST.1, call)?;
        let instance = linker.instantiate(&mut *store, &self.module)?;
        if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
            start.call(&mut *store, ())?;
        }
        let len = u32::try_from(bundle.len())?;
        let realloc = instance.get_typed_func::<(u32, u32, u32, u32), u32>(&mut *store, "cabi_realloc")?;
        let at = realloc.call(&mut *store, (0, 0, 1, len))?;
        let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::Error::msg("no memory"))?;
        memory.write(&mut *store, at as usize, bundle)?;
        let init = instance.get_typed_func::<(u32, u32), u32>(&mut *store, INIT)?;
        let area = init.call(&mut *store, (at, len))?;
        Ok((instance, area))
    }

    fn snapshot(&self, store: &mut Store<State>, instance: Instance) -> Result<Vec<u8>, SnapshotError> {
        let unusable = |error: wasmtime::Error| SnapshotError::Engine(format!("{error:#}"));
        let wizer = wizer();
        let (context, _): (ModuleContext<'_>, _) = wizer.instrument(&self.wasm).map_err(unusable)?;
        let mut state = Frozen { store, instance, missing: false };
        let module = block_on(wizer.snapshot(&context, &mut state)).map_err(unusable)?;
        match state.missing {
            true => Err(SnapshotError::Engine("a part of its state is not exported".to_owned())),
            false => Ok(module),
        }
    }
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    wizer.init_func(INIT);
    wizer
}

/// `dynamic.call` while there is no host: the engine asks only for what is answered here.
fn call(
    mut caller: Caller<'_, State>,
    op: u32,
    op_len: u32,
    payload: u32,
    len: u32,
    result: u32,
) -> wasmtime::Result<()> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("no memory"));
    };
    let (data, state) = memory.data_and_store_mut(&mut caller);
    let operation = slice(data, op, op_len).ok_or_else(|| wasmtime::Error::msg("bad pointer"))?;
    let answer = match operation {
        b"clock.now" => Some(state.world.now_ms.to_string()),
        b"config.all" => state.world.config.clone(),
        b"log.write" => {
            let line = slice(data, payload, len).ok_or_else(|| wasmtime::Error::msg("bad pointer"))?;
            if state.logs.len() < LINES {
                state.logs.push(String::from_utf8_lossy(line).into_owned());
            }
            Some(String::new())
        }
        _ => None,
    };
    let (failed, answer) = (answer.is_none(), answer.unwrap_or_default());
    let Some(Extern::Func(realloc)) = caller.get_export("cabi_realloc") else {
        return Err(wasmtime::Error::msg("no allocator"));
    };
    let size = u32::try_from(answer.len())?;
    let at = realloc.typed::<(u32, u32, u32, u32), u32>(&caller)?.call(&mut caller, (0, 0, 1, size))?;
    memory.write(&mut caller, at as usize, answer.as_bytes())?;
    let words = [u32::from(failed), at, size].map(u32::to_le_bytes);
    memory.write(&mut caller, result as usize, words.as_flattened())?;
    Ok(())
}

fn slice(data: &[u8], at: u32, len: u32) -> Option<&[u8]> {
    data.get(at as usize..)?.get(..len as usize)
}

/// Reads `{u8 failed, u32 text, u32 length, u32 needs}`.
fn report(store: &mut Store<State>, instance: &Instance, area: u32) -> Option<Evaluated> {
    let memory = instance.get_memory(&mut *store, "memory")?;
    let data = memory.data(&*store);
    let number = |at: u32| slice(data, at, 4)?.try_into().ok().map(u32::from_le_bytes);
    let failed = *data.get(area as usize)? != 0;
    let text = slice(data, number(area + 4)?, number(area + 8)?)?;
    let text = String::from_utf8_lossy(text).into_owned();
    let needs = data.get(number(area + 12)? as usize..)?.split(|&byte| byte == 0).next()?;
    let needs = String::from_utf8_lossy(needs).into_owned();
    Some(Evaluated {
        report: if failed { Err(text) } else { Ok(text) },
        needs: (!needs.is_empty()).then_some(needs),
        logs: Vec::new(),
        module: Vec::new(),
    })
}

/// An instance whose state is read.
struct Frozen<'s> {
    store: &'s mut Store<State>,
    instance: Instance,
    missing: bool,
}

impl InstanceState for Frozen<'_> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let value = self.instance.get_global(&mut *self.store, name).map(|global| global.get(&mut *self.store));
        match value {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(bits)) => SnapshotVal::F32(bits),
            Some(Val::F64(bits)) => SnapshotVal::F64(bits),
            Some(Val::V128(value)) => SnapshotVal::V128(value.as_u128()),
            _ => {
                self.missing = true;
                SnapshotVal::I32(0)
            }
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.instance.get_memory(&mut *self.store, name) {
            Some(memory) => contents(memory.data(&*self.store)),
            None => self.missing = true,
        }
    }
}
