//! Lambda: AWS's JSON through the `lambda-edge` export.
//!
//! In: the message; what the handler returned or threw. Out: the two arguments; the edits, or a failure with the function's own
//! words. Never: the JSON itself; `compat` writes and reads it.

use crate::hooks::compat;
use crate::hooks::failure::{Api, Failure};
use crate::hooks::host::{CallState, Level};

/// Event and context.
pub fn arguments(call: &CallState, api: Api) -> (String, String) {
    (compat::event_json(&call.exchange, api), context(call))
}

/// The context alone.
pub fn context(call: &CallState) -> String {
    let identity = &call.identity;
    compat::context_json(&call.exchange, &identity.name, &identity.version, call.remaining_ms())
}

/// The message of what was thrown. Its stack is for when the call is over.
pub fn thrown(call: &mut CallState, thrown: &str) -> String {
    let error = compat::guest_error(thrown);
    call.stack = Some(error.stack).filter(|stack| !stack.is_empty());
    error.words
}

/// Logs the stack of what was thrown, with the places of the sources. To read a map takes its time, which is not the call's.
pub fn log_stack(call: &mut CallState) {
    if let Some(stack) = call.stack.take() {
        call.log.write(Level::Error, &call.identity.lines.stack(&stack));
    }
}

/// Makes the edits that the result stands for.
pub fn accept(call: &mut CallState, api: Api, result: Result<String, String>) -> Result<(), Failure> {
    match result {
        Ok(result) => {
            for warning in compat::accept(&mut call.exchange, api, &result)? {
                call.log.write(Level::Warn, &warning);
            }
            Ok(())
        }
        Err(thrown) => Err(execution(call, &thrown)),
    }
}

fn execution(call: &mut CallState, thrown: &str) -> Failure {
    Failure::Execution(self::thrown(call, thrown))
}
