//! Fail: what an error of the engine means.
//!
//! In: the error, and what the store says of its bounds. Out: a [`Failure`], and the guest's stack for the log. Never: the address
//! of anything in this process.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::hooks::failure::Failure;

use super::function::Budget;
use super::store::{Bound, Spent};

/// Why a call stopped.
#[derive(Debug)]
pub enum Stop {
    Failed(Failure),
    Trapped(wasmtime::Error),
}

// === impl Stop ===
impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Stop::Trapped(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

/// What an error means, by what the function had asked for before.
pub fn failure(error: &wasmtime::Error, bound: &Bound, budget: &Budget) -> Failure {
    if error.is::<Spent>() {
        return Failure::Cpu(budget.cpu);
    }
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Failure::Exhausted(full.to_string());
    }
    if bound.refused() {
        return Failure::Memory(bound.limit());
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Failure::Execution(trap.to_string()),
        None => Failure::Execution(error.root_cause().to_string()),
    }
}

/// The guest's stack, innermost first: names, and lines where the file has them. `None`: it has neither, as where an engine was
/// interrupted that runs code of another language.
pub fn stack(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let text = trace.to_string();
    // The first line says what the rest is.
    let (_, frames) = text.split_once('\n')?;
    let says = |frame: &wasmtime::FrameInfo| frame.func_name().is_some() || !frame.symbols().is_empty();
    trace.frames().iter().any(says).then(|| frames.to_owned())
}
