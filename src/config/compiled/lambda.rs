//! Lambda: functions that this machine runs, and where.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::event_pattern::EventPattern;
use super::super::secret::Secret;
use super::{Credentials, SignerId};

/// The local Lambda: its functions and what holds for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalLambda {
    /// Where the API is served by itself; `None` = inside this process only.
    pub listen: Option<SocketAddr>,
    /// Whose signatures the API takes there; `None` = everybody's, on a loopback address.
    pub access: Option<SignerId>,
    /// Whether functions, versions and aliases can be made and changed through the API.
    pub api: bool,
    /// Region and account of every ARN.
    pub region: String,
    pub account: String,
    /// Calls of all functions at once.
    pub concurrency: usize,
    /// Stop an environment's processes between two calls.
    pub freeze: bool,
    /// How long an environment waits for the next call before it ends.
    pub idle: Duration,
    /// What functions find services at: service ("dynamodb") and URL, in order of names.
    pub endpoints: Vec<(String, String)>,
    /// What functions sign with; `None` = a made-up key.
    pub credentials: Option<Credentials>,
    /// Interpreters: names looked up in PATH, or paths.
    pub python: String,
    pub node: String,
    pub limits: LambdaLimits,
    /// In the order written; names are unique.
    pub functions: Vec<LambdaFunction>,
}

/// Bounds, by default those of the real service (Lambda Developer Guide, "Lambda quotas").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LambdaLimits {
    /// Longest `timeout` a function may have.
    pub timeout: Duration,
    /// Largest `memory` a function may have, in MB.
    pub memory: u32,
    /// Time from an environment's start to its first call for work.
    pub init: Duration,
    /// Bytes of a call's payload, and of its answer.
    pub payload: usize,
    /// Bytes of a payload that is accepted for later.
    pub event: usize,
    /// Bytes of a streamed answer.
    pub stream: u64,
    /// Bytes of a package as sent, and of what is in it.
    pub package: u64,
    pub unpacked: u64,
    /// Calls accepted for later that may wait, and their bytes.
    pub queue: usize,
    pub queue_size: u64,
}

/// How a function's code is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LambdaRuntime {
    /// `python3.13`: AWS's client awslambdaric.
    Python(String),
    /// `nodejs22.x`: our own client.
    Node(String),
    /// `provided.al2023`: an executable `bootstrap`.
    Provided(String),
    /// `javascript`: the engine within this process.
    JavaScript,
}

/// What [`LambdaRuntime::JavaScript`] is called.
const JAVASCRIPT: &str = "javascript";

/// Least memory of a function, in MB.
pub const LAMBDA_MEMORY: u32 = 128;

/// Bytes of all names and values of a function's variables.
pub const LAMBDA_ENVIRONMENT: usize = 4096;

/// Variables that a function cannot set (Lambda Developer Guide, "Defined runtime environment variables": reserved).
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// Whether a function may be called so (Lambda API reference, "CreateFunction").
pub fn lambda_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether a function may set a variable of this name, or why not.
pub fn lambda_variable(name: &str) -> Result<(), &'static str> {
    let shaped = name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (RESERVED.contains(&name), shaped) {
        (true, _) => Err("this variable is Lambda's own and cannot be set"),
        (_, false) => Err("a variable's name is a letter and then letters, digits and '_'"),
        _ => Ok(()),
    }
}

// === impl LambdaRuntime ===
impl LambdaRuntime {
    /// Reads an identifier (Lambda Developer Guide, "Supported runtimes"); any number of a known language is taken, because
    /// what runs is the interpreter that this machine has.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if text.strip_prefix("python3.").is_some_and(number) {
            return Some(LambdaRuntime::Python(text.to_owned()));
        }
        if text.strip_prefix("nodejs").and_then(|rest| rest.strip_suffix(".x")).is_some_and(number) {
            return Some(LambdaRuntime::Node(text.to_owned()));
        }
        if text == JAVASCRIPT {
            return Some(LambdaRuntime::JavaScript);
        }
        matches!(text, "provided" | "provided.al2" | "provided.al2023")
            .then(|| LambdaRuntime::Provided(text.to_owned()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            LambdaRuntime::Python(text) | LambdaRuntime::Node(text) | LambdaRuntime::Provided(text) => text,
            LambdaRuntime::JavaScript => JAVASCRIPT,
        }
    }
}

/// A function of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaFunction {
    /// 1 to 64 letters, digits, '-' and '_'.
    pub name: String,
    pub runtime: LambdaRuntime,
    pub handler: String,
    /// A directory that is run where it is, or a zip file.
    pub code: PathBuf,
    /// What starts the runtime instead of the usual command; empty = the usual one.
    pub command: Vec<String>,
    /// MB.
    pub memory: u32,
    pub timeout: Duration,
    /// In order of names.
    pub environment: Vec<(String, Secret<String>)>,
    /// Calls at once, kept free for this function; `None` = it shares what is left.
    pub concurrency: Option<usize>,
    /// Tries after the first of a call that was accepted for later.
    pub retries: u32,
    /// How old it may become.
    pub event_age: Duration,
    /// Who is told when it is given up: an ARN or a URL.
    pub on_failure: Option<String>,
    /// Tables whose changes it is called with; each table once.
    pub events: Vec<LambdaEvents>,
}

/// The changes of one table that a function is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaEvents {
    pub table: String,
    /// Records of a call, at most: 1 to 10,000.
    pub batch: usize,
    /// How long a call waits for more records, at most 5 minutes.
    pub window: Duration,
    /// Begin with what is written from now on, not with the oldest record that there is.
    pub latest: bool,
    /// A record is called with that fits one of them; empty = every record.
    pub patterns: Vec<EventPattern>,
    /// Calls at once, 1 to 10; those with one item in their order.
    pub parallel: usize,
    /// Divide a batch that failed.
    pub bisect: bool,
    /// The function's answer says which records failed.
    pub report: bool,
    /// Tries after the first; `None` = as long as the record is kept.
    pub retries: Option<u32>,
    /// How old a record may become; `None` = as old as the stream keeps it.
    pub age: Option<Duration>,
    /// Who is told of records that are given up: an ARN or a URL.
    pub on_failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes() {
        for (text, known) in [
            ("python3.13", true),
            ("python3.9", true),
            ("python2.7", false),
            ("python3.", false),
            ("nodejs22.x", true),
            ("nodejs.x", false),
            ("nodejs22", false),
            ("provided.al2023", true),
            ("provided.al2", true),
            ("provided.x", false),
            ("javascript", true),
            ("javascript22", false),
            ("java21", false),
        ] {
            let runtime = LambdaRuntime::parse(text);
            assert_eq!(runtime.is_some(), known, "{text}");
            assert_eq!(runtime.map_or(text.to_owned(), |r| r.as_str().to_owned()), text);
        }
    }

    #[test]
    fn names_of_variables() {
        for (name, ok) in [
            ("TABLE", true),
            ("a1", true),
            ("A", false),
            ("1A", false),
            ("A-B", false),
            ("_A", false),
            ("", false),
            ("AWS_REGION", false),
            ("AWS_REGIONS", true),
        ] {
            assert_eq!(lambda_variable(name).is_ok(), ok, "{name}");
        }
    }
}
