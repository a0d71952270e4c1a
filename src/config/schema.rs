//! Schema: what the operator may write.
//!
//! In: TOML. Out: plain structs, one per table, that say exactly what was written. Never: names resolved, files read, rules checked.
//!
//! Every doc comment here is also the key's description in the JSON Schema and in config/reference.md; every default comes
//! from the `Default` impl beside it. Keys are optional unless they say "Required".

mod access;
mod behavior;
mod cache;
mod choice;
mod dns;
mod dynamodb;
mod fleet;
mod function;
mod integration;
mod lambda;
mod limit;
mod listener;
mod observe;
mod origin;
mod registry;
mod response;
mod status;

pub use access::{
    AccessKey, AddressList, Authorizer, AuthorizerKind, Identity, Jwt, JwtAlgorithm, KeyGroup, NameOr, Rule, Sigv4,
    TokenUse,
};
pub use behavior::{Behavior, Coding, Compress, ErrorPage, Forward, Redirect, ViewerProtocol};
pub use cache::{CacheRules, Key, RequestDirectives, SetCookie, Store};
pub use choice::{HeaderSelection, Methods, Selection, Toggle};
pub use dns::{DnsHint, DnsPolicy, DnsPop, GeoDns};
pub use dynamodb::{Dynamodb, DynamodbFollow, DynamodbIndex, DynamodbSync, DynamodbTable, DynamodbUnits, DynamodbView};
pub use fleet::{Fleet, FleetBus, FleetPeer};
pub use function::{Chain, Fetch, Flavor, Function, Functions, Grants, Hook, Hooks, KvStore, Mode, OnError};
pub use integration::{
    Credentials, FunctionOrigin, Invoke, LambdaOrigin, Passthrough, Payload, Sign, TableOperation, TableResponse,
    Templates,
};
pub use lambda::{Lambda, LambdaEvents, LambdaLimits, LambdaStart, LocalLambda};
pub use limit::{ApiKey, Limit, Per, Period, PlanMethod, Rates, UsagePlan};
pub use listener::{ClientAuth, Limits, Listener, ListenerTls, Pop, TlsVersion};
pub use observe::{AccessLog, Admin, Level, LogFormat, Observe, Traces};
pub use origin::{Balance, Dns, Eject, Generated, Health, Origin, OriginGroup, OriginTls, Protocol};
pub use registry::Registry;
pub use response::{Cors, Response, Security};
pub use status::StatusRange;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where addresses are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Geo {
    /// MaxMind databases (.mmdb), or directories of them: one of cities or countries, and one of autonomous systems. A changed file is read
    /// at once.
    pub databases: Vec<String>,
}

/// Rimward's configuration: one TOML file, or a directory whose *.toml files are read in name order as one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Rimward configuration")]
pub struct File {
    /// Who and where this process is.
    pub pop: Option<Pop>,
    /// Addresses to accept viewers on, with TLS where wanted. Plain ones can be written shorter, as `pop.listen`.
    pub listener: Vec<Listener>,
    /// Bounds on what one viewer, and all of them, may cost before any rule is asked.
    pub limits: Option<Limits>,
    /// The cache tiers, shared by every behavior.
    pub cache: Option<Store>,
    /// Where misses go.
    pub origin: Vec<Origin>,
    /// Origins that stand in for one another.
    pub origin_group: Vec<OriginGroup>,
    /// What is done with which requests, in order: the first whose `match` fits serves the request. Left out altogether,
    /// the only origin serves everything.
    pub behavior: Vec<Behavior>,
    /// Edge functions: WebAssembly in any language, Lambda@Edge and CloudFront Functions JavaScript as it is.
    pub function: Vec<Function>,
    /// The engine that runs them.
    pub functions: Option<Functions>,
    /// Registries that functions are pulled from, where one wants to know who asks.
    pub registry: Vec<Registry>,
    /// Key-value stores that functions read.
    pub kv_store: Vec<KvStore>,
    /// Lambda functions on this machine.
    pub local_lambda: Option<LocalLambda>,
    /// Lambda functions, run in processes of their own.
    pub lambda: Vec<Lambda>,
    /// Issuers of tokens: Cognito user pools, any OIDC issuer.
    pub jwt: Vec<Jwt>,
    /// Whose AWS signatures are taken.
    pub sigv4: Vec<Sigv4>,
    /// Public keys for signed URLs and cookies.
    pub key_group: Vec<KeyGroup>,
    /// Functions that decide who may come in.
    pub authorizer: Vec<Authorizer>,
    /// Address ranges.
    pub address_list: Vec<AddressList>,
    /// What API keys may use, and how much.
    pub usage_plan: Vec<UsagePlan>,
    /// API keys.
    pub api_key: Vec<ApiKey>,
    /// What holds for all limits.
    pub rates: Option<Rates>,
    /// A DynamoDB endpoint, embedded or in front of another.
    pub dynamodb: Option<Dynamodb>,
    /// Where addresses are.
    pub geo: Option<Geo>,
    /// An authoritative name server that leads viewers to PoPs.
    pub dns: Option<GeoDns>,
    /// This PoP among others.
    pub fleet: Option<Fleet>,
    /// The operator's HTTP API: metrics, status, purge. `admin = false` turns it off.
    pub admin: Option<Toggle<Admin>>,
    /// Logs, metrics and traces.
    pub observe: Option<Observe>,
}
