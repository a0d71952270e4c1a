//! Integration: what of `[[origin]]` is no plain HTTP server: `lambda`, and `sign`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: functions looked up, secrets resolved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::function::Grants;
use super::origin::Reference;
use crate::config::units::{ByteSize, Duration};

/// A Lambda function as the origin: requests become API Gateway's events, what it returns becomes the answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaOrigin {
    /// Required. "name", "name:alias", "name:7" or an ARN.
    pub function: String,
    /// "local" (the functions of this PoP), "aws:eu-central-1", or the URL of a service that speaks Lambda's API.
    #[serde(default = "local")]
    pub endpoint: String,
    /// Region that requests to a URL are signed for.
    #[serde(default = "us_east_1")]
    pub region: String,
    /// What signs requests to the endpoint. Needed with "aws:…"; a URL without them is asked unsigned.
    #[serde(default)]
    pub credentials: Option<Credentials>,
    /// Shape of event and result: "2.0" (HTTP API), "1.0" (REST API), "function-url", "alb" or "alb-multi" (a target group with
    /// multi-value headers).
    #[serde(default)]
    pub payload: Payload,
    /// "buffered" waits for the whole result, "streamed" passes it on as it comes, "event" queues the request and answers 202.
    #[serde(default)]
    pub invoke: Invoke,
    /// Routes as API Gateway writes them, "GET /todos/{id}", "ANY /files/{path+}" or "$default": they fill `resource`,
    /// `routeKey` and `pathParameters`, and a request that none of them takes is refused. Left out, every request is taken.
    #[serde(default)]
    pub routes: Vec<String>,
    /// "1.0": media types whose bodies go to the function in base64, and whose answers are decoded: `binaryMediaTypes`.
    #[serde(default)]
    pub binary: Vec<String>,
    /// `stageVariables` of the event.
    #[serde(default)]
    pub stage_variables: BTreeMap<String, String>,
    /// How long the function may take. API Gateway's own limit is 29 s, Lambda's 900 s.
    #[serde(default = "twenty_nine_seconds")]
    pub timeout: Duration,
}

/// A component that exports `wasi:http/incoming-handler@0.2` (any language, any framework). It finds WASI 0.2 without files and
/// sockets; a fresh instance answers each request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionOrigin {
    /// Required. The component (.wasm, .wat), or a module that carries its world; relative to this file. A changed file is loaded at once.
    /// Or a component in a registry, as `function.file` has it.
    pub file: String,
    /// CPU time one request may take.
    #[serde(default = "fifty_ms")]
    pub cpu: Duration,
    /// Time one request may take, the answer's body included.
    #[serde(default = "thirty_seconds")]
    pub timeout: Duration,
    /// Linear memory of one instance.
    #[serde(default = "megabytes")]
    pub memory: ByteSize,
    /// Requests at once; one more is answered 503.
    #[serde(default = "hundred")]
    pub concurrency: usize,
    /// What it may reach: `config` and `secrets` are its environment, `fetch` the hosts of its outgoing requests.
    #[serde(default)]
    pub grants: Grants,
}

/// A DynamoDB operation as the origin, with no function between: API Gateway's AWS integration. It asks the tables of `[dynamodb]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableOperation {
    /// Which requests it is for, as API Gateway writes it: "GET /todos/{id}", "ANY /todos/{proxy+}", "$default". Required where an
    /// origin has several operations; also where `$input.params` finds path parameters.
    #[serde(default)]
    pub route: Option<String>,
    /// Required. The operation: "GetItem", "PutItem", "Query"…
    pub action: String,
    /// Mapping template (VTL) that makes the operation's JSON: the text, or "file:path"; or one a media type:
    /// { "application/json" = "file:put.vtl", "$default" = "…" }.
    #[serde(default)]
    pub request: Option<Templates>,
    /// A request whose media type has no template: "when-no-match" sends its body as it is, "when-no-templates" only if there is no
    /// template at all, "never" answers 415.
    #[serde(default)]
    pub passthrough: Passthrough,
    /// What viewers get, by the operation's status: the first whose `pattern` fits, else the first without one. Left out, the
    /// operation's own answer, with 200.
    #[serde(default)]
    pub response: Vec<TableResponse>,
    /// `$stageVariables`.
    #[serde(default)]
    pub stage_variables: BTreeMap<String, String>,
    /// File with an IAM policy (JSON): what this operation may do. Left out: everything.
    #[serde(default)]
    pub policy: Option<String>,
}

/// What viewers get for some of an operation's answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableResponse {
    /// Regular expression that fits the whole of the operation's status: "4\\d\\d".
    #[serde(default)]
    pub pattern: Option<String>,
    /// Status of the answer.
    #[serde(default = "two_hundred")]
    pub status: u16,
    /// Mapping template that makes the body: as `request`. Left out, the operation's JSON.
    #[serde(default)]
    pub template: Option<Templates>,
    /// Header fields: name, and where its value is from: "'text'", "integration.response.body.Item.id.S",
    /// "integration.response.header.name", "context.requestId", "stageVariables.name".
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// One template for every media type, or one each.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Templates {
    One(String),
    Each(BTreeMap<String, String>),
}

/// What becomes of a request whose media type has no template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Passthrough {
    #[default]
    WhenNoMatch,
    WhenNoTemplates,
    Never,
}

/// What signs requests to AWS: each value plain, "env:NAME" or "file:path"; the secret never plain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Required. Access key id.
    pub access_key: Reference,
    /// Required. "env:NAME" or "file:path".
    pub secret_key: Reference,
    /// Of temporary credentials: "env:NAME" or "file:path".
    #[serde(default)]
    pub session_token: Option<Reference>,
}

/// Requests to this origin are signed (SigV4), bodies too: a Lambda function URL with AWS_IAM, a private bucket, an API with IAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// Required. "lambda" for function URLs, "s3", "execute-api"…
    pub service: String,
    /// Required. Region of the service.
    pub region: String,
    /// Required. What signs.
    pub credentials: Credentials,
    /// Largest request body; it is read and hashed before it is sent. Lambda takes 6 MB.
    #[serde(default = "six_megabytes")]
    pub body: ByteSize,
}

/// Shape of a Lambda function's event and result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    #[default]
    #[serde(rename = "2.0")]
    Http2,
    #[serde(rename = "1.0")]
    Rest1,
    FunctionUrl,
    Alb,
    AlbMulti,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Invoke {
    #[default]
    Buffered,
    Streamed,
    Event,
}

fn local() -> String {
    "local".to_owned()
}

fn us_east_1() -> String {
    "us-east-1".to_owned()
}

fn twenty_nine_seconds() -> Duration {
    Duration::secs(29)
}

fn six_megabytes() -> ByteSize {
    ByteSize::bytes(6 << 20)
}

fn fifty_ms() -> Duration {
    Duration::millis(50)
}

fn thirty_seconds() -> Duration {
    Duration::secs(30)
}

fn megabytes() -> ByteSize {
    ByteSize::mib(64)
}

fn hundred() -> usize {
    100
}

fn two_hundred() -> u16 {
    200
}
