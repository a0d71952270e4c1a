//! Pool: the two engines, and the slots their instances live in.
//!
//! In: how many calls at once, how much memory. Out: a wasmtime engine whose instances cost microseconds, with as many slots as the
//! machine lets us reserve. Never: a slot for a call that `function` did not admit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::EngineError;
use super::imports;
use super::store::{Data, TABLE_MAX};

/// What kind of guests an engine is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Compiled languages: a few pages of a megabyte or two are touched.
    Small,
    /// Interpreters with a snapshot: much memory, more touched pages.
    Big,
}

/// Bytes of an instance's touched memory that stay resident between calls, zeroed or as the module has them. The kernel is asked which
/// were touched: a megabyte of stack lies below the data of most compiled languages, and only its end is used.
const KEEP_SMALL: usize = 128 << 10;
const KEEP_BIG: usize = 4 << 20;
/// The same for tables. Those of compiled languages mostly fit a page, and a page is zeroed sooner than the kernel is asked about it.
const KEEP_TABLE_SMALL: usize = 4 << 10;
const KEEP_TABLE_BIG: usize = 64 << 10;
/// The same for fiber stacks.
const KEEP_STACK: usize = 64 << 10;
/// Address space of one memory: all a 32-bit guest can name, so that no access needs a check.
const RESERVATION: u64 = 4 << 30;
/// Stack of a guest; deeper recursion traps. Interpreters recurse on behalf of their code.
const STACK_SMALL: usize = 512 << 10;
const STACK_BIG: usize = 1 << 20;
/// What host calls need of a fiber's stack besides.
const STACK_HOST: usize = 512 << 10;
/// Core instances, memories and tables one component may have (componentize-qjs makes 13 instances).
const CORES_PER_COMPONENT: u32 = 40;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 20;
/// Bookkeeping of one instance; grows with its functions and tables.
const INSTANCE_BYTES: usize = 4 << 20;
/// Frames of a guest's stack that a failure shows.
const FRAMES: usize = 32;
/// Fewer slots than this are not worth starting with.
const SLOTS_MIN: u32 = 4;

/// One engine and its slots.
pub struct Pool {
    pub engine: Engine,
    pub linker: Linker<Data>,
    /// Instances that may live at once, calls and idle ones together.
    slots: Arc<Semaphore>,
    capacity: usize,
}

// === impl Pool ===
impl Pool {
    /// Reserves `slots`, or as many as there is address space for.
    pub fn new(size: Size, slots: u32, memory: usize) -> Result<Pool, EngineError> {
        let mut slots = slots.max(SLOTS_MIN);
        let engine = loop {
            match Engine::new(&config(size, slots, memory)) {
                Ok(engine) => break engine,
                Err(error) if slots / 2 < SLOTS_MIN => return Err(EngineError::Start(format!("{error:#}"))),
                Err(_) => slots /= 2,
            }
        };
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(|error| EngineError::Start(format!("{error:#}")))?;
        let capacity = slots as usize;
        Ok(Pool { engine, linker, slots: Arc::new(Semaphore::new(capacity)), capacity })
    }

    pub fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// Instances that live now.
    pub fn living(&self) -> usize {
        self.capacity - self.slots.available_permits()
    }
}

fn config(size: Size, slots: u32, memory: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORES_PER_COMPONENT)
        .total_memories(slots + slots / 4 * (MEMORIES_PER_COMPONENT - 1))
        .total_tables(slots * TABLES_PER_COMPONENT)
        .total_stacks(slots)
        .max_core_instances_per_component(CORES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(memory)
        .table_elements(TABLE_MAX)
        .pagemap_scan(Enabled::Auto)
        .async_stack_keep_resident(KEEP_STACK);
    let stack = match size {
        Size::Small => {
            pool.linear_memory_keep_resident(KEEP_SMALL).table_keep_resident(KEEP_TABLE_SMALL);
            STACK_SMALL
        }
        Size::Big => {
            pool.linear_memory_keep_resident(KEEP_BIG).table_keep_resident(KEEP_TABLE_BIG);
            STACK_BIG
        }
    };
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(RESERVATION)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .parallel_compilation(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(stack)
        .async_stack_size(stack + STACK_HOST)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(FRAMES))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}
