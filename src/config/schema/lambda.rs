//! Lambda: the tables `[local_lambda]` and `[[lambda]]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: files read, names resolved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::integration::Credentials;
use super::origin::Reference;
use crate::config::units::{ByteSize, Duration};

/// Lambda functions on this machine: where they run, and how much of it they may have.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalLambda {
    /// Address to serve Lambda's API on, for `aws lambda --endpoint-url` and SDKs. Left out: origins of this process use it, and
    /// nobody else.
    pub listen: Option<String>,
    /// Name of a `[[sigv4]]`: whose signatures are taken there. Without it `listen` must be a loopback address.
    pub access: Option<String>,
    /// Let functions, versions, aliases and the rest be made and changed through the API.
    pub api: bool,
    /// Region of every ARN; also what functions see as AWS_REGION.
    pub region: String,
    /// Account of every ARN: 12 digits.
    pub account: String,
    /// Calls of all functions at once.
    pub concurrency: usize,
    /// Stop a function's processes between two calls, as the service does.
    pub freeze: bool,
    /// How long processes wait for the next call before they end.
    pub idle: Duration,
    /// Where functions find services: { dynamodb = "http://127.0.0.1:8000" } sets AWS_ENDPOINT_URL_DYNAMODB.
    pub endpoints: BTreeMap<String, String>,
    /// What functions sign their requests with. Left out: a key that is made up.
    pub credentials: Option<Credentials>,
    /// The interpreter for `python3.*`, with the package awslambdaric: a name in PATH, or a path like "/opt/venv/bin/python".
    pub python: String,
    /// The interpreter for `nodejs*`.
    pub node: String,
    /// Bounds. The defaults are the service's.
    pub limits: LambdaLimits,
}

impl Default for LocalLambda {
    fn default() -> Self {
        LocalLambda {
            listen: None,
            access: None,
            api: true,
            region: "us-east-1".into(),
            account: "000000000000".into(),
            concurrency: 1000,
            freeze: true,
            idle: Duration::secs(600),
            endpoints: BTreeMap::new(),
            credentials: None,
            python: "python3".into(),
            node: "node".into(),
            limits: LambdaLimits::default(),
        }
    }
}

/// Bounds on functions, their calls and their code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LambdaLimits {
    /// Longest `timeout` of a function.
    pub timeout: Duration,
    /// Largest `memory` of a function.
    pub memory: ByteSize,
    /// Time that processes may take until they ask for their first call.
    pub init: Duration,
    /// Bytes of a call's payload, and of its answer.
    pub payload: ByteSize,
    /// Bytes of a payload that is accepted for later (`Event`).
    pub event: ByteSize,
    /// Bytes of a streamed answer.
    pub stream: ByteSize,
    /// Bytes of a zip file.
    pub package: ByteSize,
    /// Bytes of what is in it, and of a directory.
    pub unpacked: ByteSize,
    /// Calls accepted for later that may wait; one more is throttled.
    pub queue: usize,
    /// Bytes of their payloads, on disk.
    pub queue_size: ByteSize,
}

impl Default for LambdaLimits {
    fn default() -> Self {
        LambdaLimits {
            timeout: Duration::secs(900),
            memory: ByteSize::mib(10_240),
            init: Duration::secs(10),
            payload: ByteSize::mib(6),
            event: ByteSize::mib(1),
            stream: ByteSize::mib(200),
            package: ByteSize::mib(50),
            unpacked: ByteSize::mib(250),
            queue: 100_000,
            queue_size: ByteSize::gib(1),
        }
    }
}

/// A Lambda function of this configuration. Others can be made through the API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lambda {
    /// Required. What callers name: 1 to 64 letters, digits, '-' and '_'.
    pub name: String,
    /// Required. "python3.13", "nodejs22.x", "provided.al2023" (an executable `bootstrap`); the version is only shown, what runs
    /// is the interpreter of `local_lambda`. "javascript" runs within this process, on the engine of `[functions]`: no process, at most
    /// its `memory`, requests to `local_lambda.endpoints` only.
    pub runtime: String,
    /// What the runtime calls: "app.handler". "provided" runtimes need none.
    #[serde(default)]
    pub handler: Option<String>,
    /// Required. A directory, run where it is, or a .zip file; relative to this file. Changed code is taken at once.
    pub code: String,
    /// Program and arguments that start the runtime, instead of the usual ones.
    #[serde(default)]
    pub command: Vec<String>,
    /// Memory of one environment, in whole MiB from 128.
    #[serde(default = "memory")]
    pub memory: ByteSize,
    /// Time of one call.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// Variables, 4 KB in all. Values may be references: "env:NAME" or "file:path".
    #[serde(default)]
    pub environment: BTreeMap<String, Reference>,
    /// Calls of this function at once, kept free for it. Left out: it shares what is left.
    #[serde(default)]
    pub concurrency: Option<usize>,
    /// How often a call that was accepted for later is tried again when the function fails: 0 to 2.
    #[serde(default = "retries")]
    pub retries: u32,
    /// How old such a call may become, from 1m to 6h.
    #[serde(default = "event_age")]
    pub event_age: Duration,
    /// Who is told of such a call when it is given up: the ARN of a function of this machine, or an http or https URL.
    #[serde(default)]
    pub on_failure: Option<String>,
    /// Tables of `[dynamodb]` whose changes it is called with; each needs a stream.
    #[serde(default)]
    pub events: Vec<LambdaEvents>,
}

/// Changes of a table that a function is called with, in the order in which they were made (an event source mapping).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaEvents {
    /// Required. The table's name.
    pub table: String,
    /// Records of a call, at most: 1 to 10000.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Calls at once: 1 to 10. The changes of one item stay in their order.
    #[serde(default = "one")]
    pub parallel: usize,
    /// How long a call waits for more records: up to 5m.
    #[serde(default = "at_once")]
    pub window: Duration,
    /// Where it begins the first time.
    #[serde(default)]
    pub start: LambdaStart,
    /// Which records it is called with: a pattern as the service has it, in JSON ("{ ... }") or the name of a file with it. Left out:
    /// with every record.
    #[serde(default)]
    pub filter: Option<String>,
    /// Divide a batch that failed in two, until the bad record is alone.
    #[serde(default)]
    pub bisect: bool,
    /// The function answers which records failed: { batchItemFailures: [{ itemIdentifier }] }.
    #[serde(default)]
    pub report_failures: bool,
    /// How often records are tried again when the function fails: up to 10000. Left out: for as long as the stream keeps them.
    #[serde(default)]
    pub retries: Option<u32>,
    /// How old a record may become, from 1m. Left out: as old as the stream keeps it, a day.
    #[serde(default)]
    pub age: Option<Duration>,
    /// Who is told of records that are given up: the ARN of a function of this machine, or an http or https URL.
    #[serde(default)]
    pub on_failure: Option<String>,
}

/// Where a function begins in a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LambdaStart {
    /// With the oldest record that there is.
    #[default]
    TrimHorizon,
    /// With what is written from then on.
    Latest,
}

fn batch() -> usize {
    100
}

fn one() -> usize {
    1
}

fn at_once() -> Duration {
    Duration::secs(0)
}

fn retries() -> u32 {
    2
}

fn event_age() -> Duration {
    Duration::secs(6 * 3600)
}

fn memory() -> ByteSize {
    ByteSize::mib(128)
}

fn timeout() -> Duration {
    Duration::secs(3)
}
