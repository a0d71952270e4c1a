//! Failure: how an environment ends a call in the function's place.
//!
//! In: what became of its processes. Out: the error document that the caller gets, with AWS's type names. Never: errors that a
//! function reported itself.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

/// Why there is no answer of the function (types: AWS's Runtime Interface Emulator, `rapidcore`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its time, in all.
    Timeout(Duration),
    /// It ended, or something ended it.
    Exit(Option<ExitStatus>),
    /// It had more memory than it may.
    Memory,
    /// An answer beyond this many bytes.
    TooLarge(u64),
    /// A stream that broke off.
    Truncated,
    /// Nothing there that could be started: what was looked for.
    Entrypoint(String),
    /// The engine stopped it: its words.
    Trap(String),
    /// What the runtime said about its start.
    Init(Bytes),
}

// === impl Failure ===
impl Failure {
    /// AWS's name of it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Timeout(_) => "Sandbox.Timedout",
            Failure::Exit(_) | Failure::Trap(_) => "Runtime.ExitError",
            Failure::Memory => "Runtime.OutOfMemory",
            Failure::TooLarge(_) => "Function.ResponseSizeTooLarge",
            Failure::Truncated => "Runtime.TruncatedResponse",
            Failure::Entrypoint(_) => "Runtime.InvalidEntrypoint",
            Failure::Init(_) => "Runtime.InitError",
        }
    }

    /// The words after "RequestId: … Error: ".
    fn words(&self) -> String {
        match self {
            Failure::Timeout(span) => format!("Task timed out after {:.2} seconds", span.as_secs_f64()),
            Failure::Exit(None) => "Runtime exited without providing a reason".to_owned(),
            Failure::Exit(Some(status)) => match (status.code(), status.signal()) {
                (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
                (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
                (None, Some(signal)) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
                (None, None) => "Runtime exited without providing a reason".to_owned(),
            },
            Failure::Memory => "Runtime exited with error: signal: killed".to_owned(),
            Failure::TooLarge(most) => {
                format!("Response payload size exceeded maximum allowed payload size ({most} bytes).")
            }
            Failure::Truncated => "The response was truncated".to_owned(),
            Failure::Entrypoint(path) => format!("Couldn't find valid bootstrap(s): [{path}]"),
            Failure::Trap(words) => words.clone(),
            Failure::Init(_) => "The runtime could not start".to_owned(),
        }
    }

    /// What the function's log says about it, if that is the environment's to say.
    pub(crate) fn line(&self, request_id: &str) -> Option<String> {
        let words = self.words();
        match self {
            Failure::Timeout(_) => Some(format!("{request_id} {words}")),
            Failure::Init(_) => None,
            _ => Some(format!("RequestId: {request_id} Error: {words}\n{}", self.kind())),
        }
    }

    /// The error document.
    pub(crate) fn document(&self, request_id: &str) -> Bytes {
        if let Failure::Init(said) = self
            && !said.is_empty()
        {
            return said.clone();
        }
        let message = match self {
            Failure::TooLarge(_) => self.words(),
            _ => format!("RequestId: {request_id} Error: {}", self.words()),
        };
        Bytes::from(json!({ "errorType": self.kind(), "errorMessage": message }).to_string())
    }
}

/// As the service names the usual ones.
fn signal_name(signal: i32) -> String {
    match signal {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "floating point exception".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        15 => "terminated".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_the_services() {
        let exit = |raw| Failure::Exit(Some(ExitStatus::from_raw(raw)));
        for (failure, want) in [
            (
                Failure::Timeout(Duration::from_secs(3)),
                r#"{"errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds","errorType":"Sandbox.Timedout"}"#,
            ),
            (
                exit(1 << 8),
                r#"{"errorMessage":"RequestId: 1 Error: Runtime exited with error: exit status 1","errorType":"Runtime.ExitError"}"#,
            ),
            (
                exit(9),
                r#"{"errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: killed","errorType":"Runtime.ExitError"}"#,
            ),
            (
                exit(0),
                r#"{"errorMessage":"RequestId: 1 Error: Runtime exited without providing a reason","errorType":"Runtime.ExitError"}"#,
            ),
            (
                Failure::Memory,
                r#"{"errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: killed","errorType":"Runtime.OutOfMemory"}"#,
            ),
            (
                Failure::TooLarge(6_291_556),
                r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#,
            ),
            (Failure::Init(Bytes::from_static(b"{}")), "{}"),
            (
                Failure::Init(Bytes::new()),
                r#"{"errorMessage":"RequestId: 1 Error: The runtime could not start","errorType":"Runtime.InitError"}"#,
            ),
        ] {
            let got: serde_json::Value = serde_json::from_slice(&failure.document("1")).unwrap();
            assert_eq!(got, serde_json::from_str::<serde_json::Value>(want).unwrap());
        }
    }
}
