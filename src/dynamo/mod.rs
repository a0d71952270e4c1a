//! Dynamo: answers DynamoDB's JSON protocol.
//!
//! In: HTTP requests of callers who are known, or calls from within. Out: AWS's answers. Never: a signature checked.
//!
//! `wire` reads HTTP, `front` takes a call through `guard`, `policy`, `cache` and `throttle` to an `engine`; `follow` tells the caches of what
//! others write to a remote one.

mod cache;
mod capacity;
mod catalog;
mod engine;
mod expression;
mod fault;
mod follow;
mod front;
mod global;
mod guard;
mod housekeeping;
mod local;
mod metrics;
mod op;
mod partiql;
mod parts;
mod policy;
mod request;
mod tables;
mod throttle;
mod version;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::config::compiled::{DynamoDb, DynamoEndpoint};
pub use cache::{Behind, Outcome, Why};
use engine::{Call, Embedded, Engine, Remote, Settings};
pub use fault::{DynamoError, Fault};
pub use follow::{Followings, Shard};
use front::Front;
pub use front::{Answer, Clock};
pub use global::Global;
pub use metrics::Numbers;
pub use op::Op;
pub use policy::Caller;
use policy::Home;
pub use version::{AT_MAX, Content, Outgoing, Stamp, Version};
pub use wire::BODY_MAX;

/// The directory of the embedded engine, under the PoP's state.
const DIRECTORY: &str = "dynamodb";

/// How long a description of a remote table holds.
const REMOTE_TABLES_KEPT: Duration = Duration::from_secs(60);

/// A front. Clones share it.
#[derive(Clone)]
pub struct Dynamo {
    front: Arc<Front>,
    global: Option<Global>,
}

// === impl Dynamo ===
impl Dynamo {
    /// Opens the front and makes the declared tables that are missing. Blocks, and wants to be within a tokio runtime: the
    /// front's timers run there. `clock` tells the time since the epoch.
    ///
    /// # Errors
    /// The state cannot be had, or a declared table not be made.
    pub fn open(spec: &DynamoDb, state_dir: &Path, clock: Clock) -> Result<Dynamo, DynamoError> {
        let home = Home { region: spec.region.clone(), account: spec.account.clone() };
        let mut own = None;
        let engine: Arc<dyn Engine> = match &spec.endpoint {
            DynamoEndpoint::Embedded => {
                let engine = Arc::new(embedded(spec, state_dir, &clock)?);
                own = engine.replicas().is_some().then(|| Arc::clone(&engine));
                engine
            }
            DynamoEndpoint::Remote { url, credentials } => {
                let clock = Arc::clone(&clock);
                Arc::new(Remote::new(url, &spec.region, credentials.as_ref(), spec.queue, clock)?)
            }
        };
        // Somebody else may change a remote table.
        let kept = if engine.meters() { Duration::MAX } else { REMOTE_TABLES_KEPT };
        let front = Arc::new(Front {
            engine,
            catalog: catalog::Catalog::new(kept),
            meter: Default::default(),
            metrics: Default::default(),
            caches: cache::Caches::new(spec.items, spec.queries),
            follow: follow::Follow::new(spec),
            flights: Default::default(),
            home,
            throttle: spec.throttle,
            clock,
        });
        housekeeping::start(&front, spec);
        let global = own.map(|engine| Global::new(Arc::clone(&front), engine));
        Ok(Dynamo { front, global })
    }

    /// Answers an HTTP request, whose body is whole and whose signature was checked.
    pub async fn handle(&self, caller: &Caller, request: Request<Bytes>) -> Response<Bytes> {
        let mut response = match wire::read(&request, &self.front.home.region) {
            wire::Asked::Call { op, members, kind } => {
                let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
                wire::answer(self.front.call(caller, op, members, host).await, kind)
            }
            wire::Asked::Answered(response) => response,
        };
        wire::for_pages(request.headers(), &mut response);
        response
    }

    /// The same without HTTP: `operation` is "GetItem", `request` its JSON.
    ///
    /// # Errors
    /// What AWS would say.
    pub async fn call(&self, caller: &Caller, operation: &str, request: Value) -> Result<Answer, Fault> {
        let op = Op::named(operation).ok_or_else(Fault::unknown_operation)?;
        let Value::Object(members) = request else { return Err(Fault::serialization(None)) };
        self.front.call(caller, op, members, None).await
    }

    /// What PoPs replicate, if there is any: global tables.
    pub fn global(&self) -> Option<&Global> {
        self.global.as_ref()
    }

    /// What was counted since it was opened.
    pub fn numbers(&self) -> Numbers {
        let counts = |store: &Option<cache::Store>| store.as_ref().map(cache::Store::counts).unwrap_or_default();
        let caches = &self.front.caches;
        let follow = self.front.follow.as_ref().map(|follow| follow.numbers((self.front.clock)()));
        Numbers {
            items: counts(&caches.items),
            queries: counts(&caches.queries),
            follow,
            ..self.front.metrics.numbers()
        }
    }

    /// Takes no more calls, and waits for those under way.
    pub async fn close(&self) {
        self.front.follow.iter().for_each(follow::Follow::close);
        self.front.engine.close().await;
    }
}

impl std::fmt::Debug for Dynamo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dynamo").field("engine", &self.front.engine).finish_non_exhaustive()
    }
}

fn embedded(spec: &DynamoDb, state_dir: &Path, clock: &Clock) -> Result<Embedded, DynamoError> {
    let mut engine = Embedded::open(&Settings {
        directory: state_dir.join(DIRECTORY),
        sync_full: spec.sync_full,
        threads: spec.threads,
        queue: spec.queue,
        region: spec.region.clone(),
        account: spec.account.clone(),
        clock: Arc::clone(clock),
    })?;
    for table in &spec.tables {
        let failed = |fault: Fault| DynamoError::Table {
            table: table.name.clone(),
            message: fault.message.unwrap_or_else(|| fault.kind.clone()),
        };
        let made = engine.call_now(Call { op: Op::CreateTable, request: tables::create(table), metered: false });
        match made {
            Ok(_) => {}
            Err(fault) if fault.name() == "ResourceInUseException" => continue,
            Err(fault) => return Err(failed(fault)),
        }
        if let Some(request) = tables::time_to_live(table) {
            engine.call_now(Call { op: Op::UpdateTimeToLive, request, metered: false }).map_err(failed)?;
        }
    }
    let global: Vec<_> = spec.tables.iter().filter(|table| table.global).collect();
    engine.replicate(&global, &spec.node)?;
    Ok(engine)
}
