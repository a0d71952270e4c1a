//! Script: JavaScript functions on the engine within this process.
//!
//! In: a version, an order. Out: the handler's answer, with the log and the errors of Node's runtime. Never: a process; anything
//! reached but the endpoints of the configuration.
//!
//! A function is built and loaded once; its instances are the engine's.

mod grants;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Reply, Word};
use super::environment::{Called, Unstarted};
use super::failure::Failure;
use super::log::{Lines, Report};
use super::runner::Runner;
use super::runtime_api::Order;
use super::settings::Settings;
use super::version::Version;
use crate::config::compiled::{self, Flavor, Mode};
use crate::hooks::build::{BuildError, Builder, Source};
use crate::hooks::engine::{Budget, Engine, Function, Question};
use crate::hooks::host::fetch::Fetcher;
use crate::hooks::host::kv::KvStores;
use crate::hooks::host::{Level, LogLine, Services};
use crate::hooks::{self, Event, Exchange, Request, Site};
use crate::lambda::time::iso_z;
use crate::lambda::{now, now_ms};

/// Calls that an instance serves: what a handler keeps in variables stays for the next call, as in the service.
const REUSE: u32 = 10_000;
/// Calls of one function at once; how many there are is decided before.
const CALLS: usize = 1 << 20;

/// How long a function may take to be built and loaded. That is no time of its own: it is done once, and kept.
const BUILD: Duration = Duration::from_secs(60);

/// The engine of this process, and the functions that it has. Clones share it.
#[derive(Clone)]
pub struct Scripts(Arc<Inner>);

struct Inner {
    engine: Engine,
    builder: Arc<Builder>,
    services: Arc<Services>,
    /// By name and version.
    loaded: Mutex<HashMap<(String, String), Arc<Slot>>>,
}

/// A function that is loaded once, by whoever comes first.
struct Slot {
    version: Arc<Version>,
    settings: Arc<Settings>,
    function: OnceCell<Arc<Function>>,
}

/// One that can take a call.
pub(crate) struct Script {
    function: Arc<Function>,
    site: Arc<Site>,
    lines: Lines,
    init: Option<Duration>,
    used: u64,
    idle_since: Instant,
}

// === impl Scripts ===
impl Scripts {
    /// Functions run on `engine`, are built by `builder`, and reach out through `fetch`.
    pub fn new(engine: Engine, builder: Arc<Builder>, fetch: Arc<Fetcher>) -> Self {
        let services = Arc::new(Services::new(KvStores::default(), fetch));
        Scripts(Arc::new(Inner { engine, builder, services, loaded: Mutex::default() }))
    }

    /// Forgets the functions of versions that `keep` does not know any more.
    pub(crate) fn keep(&self, keep: impl Fn(&Version) -> bool) {
        self.0.loaded.lock().retain(|_, slot| keep(&slot.version));
    }

    pub(super) async fn start(&self, version: &Arc<Version>, settings: &Arc<Settings>) -> Result<Script, Unstarted> {
        let slot = {
            let mut loaded = self.0.loaded.lock();
            let key = (version.name.clone(), version.version.clone());
            match loaded.get(&key).filter(|slot| slot.version == *version && slot.settings == *settings) {
                Some(slot) => Arc::clone(slot),
                None => {
                    let (version, settings) = (Arc::clone(version), Arc::clone(settings));
                    let fresh = Arc::new(Slot { version, settings, function: OnceCell::new() });
                    loaded.insert(key, Arc::clone(&fresh));
                    fresh
                }
            }
        };
        let began = Instant::now();
        let mut lines = Lines::new(&version.name);
        let this = self.clone();
        // A task of its own: whoever waits may give up, and the next one finds what was begun.
        let loading = tokio::spawn(async move {
            let loaded = slot.function.get_or_try_init(|| this.load(&slot.version, &slot.settings)).await;
            loaded.map(Arc::clone)
        });
        let failure = match timeout(BUILD, loading).await {
            Ok(Ok(Ok(function))) => {
                let (site, init) = (site(), Some(began.elapsed()));
                return Ok(Script { function, site, lines, init, used: 0, idle_since: Instant::now() });
            }
            Ok(Ok(Err(failure))) => failure,
            Ok(Err(panic)) => Failure::Trap(panic.to_string()),
            Err(_) => Failure::Timeout(BUILD),
        };
        let (millis, kind) = (began.elapsed().as_secs_f64() * 1000.0, failure.kind());
        let status = if matches!(failure, Failure::Timeout(_)) { "timeout" } else { "error" };
        lines.say(&format!(
            "INIT_REPORT Init Duration: {millis:.2} ms\tPhase: init\tStatus: {status}\tError Type: {kind}"
        ));
        Err(Unstarted { failure, log: lines.tail() })
    }

    async fn load(&self, version: &Arc<Version>, settings: &Arc<Settings>) -> Result<Arc<Function>, Failure> {
        let (this, version, settings) = (Arc::clone(&self.0), Arc::clone(version), Arc::clone(settings));
        let done = tokio::task::spawn_blocking(move || this.load_now(&version, &settings)).await;
        done.unwrap_or_else(|panic| Err(Failure::Trap(panic.to_string())))
    }
}

// === impl Inner ===
impl Inner {
    fn load_now(&self, version: &Version, settings: &Settings) -> Result<Arc<Function>, Failure> {
        let source = Source::Lambda { dir: version.code.clone(), handler: version.handler.clone() };
        let built = self.builder.build(&source, Flavor::LambdaEdge, Mode::Extended).map_err(|error| unbuilt(&error))?;
        for line in &built.logs {
            log::info!(target: "lambda", "{} at load: {line}", version.name);
        }
        let spec = compiled::Function {
            name: version.name.clone(),
            file: version.code.clone(),
            flavor: Flavor::LambdaEdge,
            mode: Mode::Extended,
            cpu: version.timeout,
            timeout: version.timeout,
            memory: bytes(version),
            concurrency: CALLS,
            reuse: REUSE,
            grants: grants::of(version, settings),
            record: 0,
        };
        let function = self.engine.load(&built.component, &spec, &self.services);
        function.map_err(|error| unstarted("Error", &error.to_string()))
    }
}

/// What is said of code that cannot be built, in the words of Node's runtime.
fn unbuilt(error: &BuildError) -> Failure {
    let words = error.to_string();
    let kind = match error {
        BuildError::Source(_) if words.contains("SyntaxError") => "Runtime.UserCodeSyntaxError",
        _ if words.contains("does not export a function") => "Runtime.HandlerNotFound",
        BuildError::Read { .. } | BuildError::Input { .. } => "Runtime.ImportModuleError",
        _ => "Error",
    };
    unstarted(kind, &words)
}

fn unstarted(kind: &str, words: &str) -> Failure {
    Failure::Init(Bytes::from(json!({ "errorType": kind, "errorMessage": words, "trace": [] }).to_string()))
}

fn bytes(version: &Version) -> usize {
    usize::try_from(u64::from(version.memory) << 20).unwrap_or(usize::MAX)
}

/// Where the function is attached: nowhere at an edge.
fn site() -> Arc<Site> {
    Arc::new(Site {
        pop: String::new(),
        behavior: String::new(),
        domain: String::new(),
        distribution: String::new(),
        origins: Vec::new(),
        mode: Mode::Extended,
        include_body: false,
    })
}

/// The message that a call of the engine belongs to; this one has none.
fn exchange(site: &Arc<Site>, id: &str) -> Exchange {
    let request = Request {
        method: Method::POST,
        uri: "/".to_owned(),
        query: String::new(),
        has_query: false,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_ip: None,
        who: None,
        version: http::Version::HTTP_11,
        tls: false,
        headers: HeaderMap::new(),
        body: None,
        origin: None,
    };
    Exchange::request(Event::OriginRequest, site, id, now_ms(), request)
}

/// The handler's second argument, but for its functions, which the engine adds.
fn context(order: &Order, version: &Version) -> String {
    let mut all = json!({
        "functionName": version.name,
        "functionVersion": version.version,
        "invokedFunctionArn": order.arn,
        "memoryLimitInMB": version.memory.to_string(),
        "awsRequestId": order.request_id,
        "logGroupName": format!("/aws/lambda/{}", version.name),
        "logStreamName": grants::log_stream(version),
    });
    let client = order.client_context.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let (Some(client), Some(all)) = (client, all.as_object_mut()) {
        all.insert("clientContext".to_owned(), client);
    }
    all.to_string()
}

// === impl Script ===
#[async_trait]
impl Runner for Script {
    async fn call(
        &mut self,
        order: Arc<Order>,
        version: &Version,
        settings: &Settings,
        (_, deadline): (bool, Instant),
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Called {
        let id = &order.request_id;
        let left = deadline.saturating_duration_since(Instant::now());
        let budget = Budget { cpu: left, timeout: left, memory: bytes(version) };
        let event = String::from_utf8_lossy(&order.payload).into_owned();
        let question = Question { event, context: Some(context(&order, version)) };
        let (called, said) = self.function.answer(exchange(&self.site, id), question, budget).await;
        self.idle_since = Instant::now();
        if let Err(hooks::Failure::Throttled(_) | hooks::Failure::Exhausted(_)) = &called.outcome {
            return Called::Ready(reply.take().map(Word::Throttled));
        }
        self.lines.begin();
        self.lines.say(&format!("START RequestId: {id} Version: {}", version.version));
        for line in &called.logs {
            self.lines.say(&written(line, id));
        }
        let most = settings.limits.payload + super::environment::GRACE;
        let given = match (&called.outcome, said) {
            (Ok(()), Some(Ok(text))) if text.len() > most => Ok((Failure::TooLarge(most as u64).document(id), true)),
            (Ok(()), Some(Ok(text))) => Ok((Bytes::from(text), false)),
            (Ok(()), Some(Err(thrown))) => {
                let document = thrown_document(&thrown);
                let line = LogLine { level: Level::Error, message: format!("Invoke Error \t{document}") };
                self.lines.say(&written(&line, id));
                Ok((Bytes::from(document.to_string()), true))
            }
            (Ok(()), None) => Err(Failure::Exit(None)),
            (Err(failure), _) => Err(failed(failure, version)),
        };
        self.used = self.used.max(called.memory as u64);
        let status = match &given {
            Ok(_) => None,
            Err(failure) => {
                if let Some(line) = failure.line(id) {
                    self.lines.say(&line);
                }
                let timeout = matches!(failure, Failure::Timeout(_));
                Some(if timeout { ("timeout", None) } else { ("error", Some(failure.kind())) })
            }
        };
        self.lines.say(&format!("END RequestId: {id}"));
        let (duration, memory, used) = (called.wall, version.memory, self.used);
        let report = Report { request_id: id, duration, init: self.init.take(), memory, used, status };
        self.lines.say(&report.line());
        let log = self.lines.tail();
        let broken = given.is_err();
        let (payload, failed) = given.unwrap_or_else(|failure| (failure.document(id), true));
        let word = reply.take().map(|reply| Word::Whole(reply, Reply { payload, failed, log }));
        if broken { Called::Broken(word) } else { Called::Ready(word) }
    }

    fn alive(&mut self) -> bool {
        true
    }

    fn idle_since(&self) -> Instant {
        self.idle_since
    }

    async fn end(self: Box<Self>) {}
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("function", &self.function.name()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").field("loaded", &self.0.loaded.lock().len()).finish_non_exhaustive()
    }
}

/// Why there is no answer of the handler.
fn failed(failure: &hooks::Failure, version: &Version) -> Failure {
    match failure {
        hooks::Failure::Timeout(_) | hooks::Failure::Cpu(_) => Failure::Timeout(version.timeout),
        hooks::Failure::Memory(_) => Failure::Memory,
        other => Failure::Trap(other.to_string()),
    }
}

/// As Node's runtime writes what a handler prints: time, request, level, words.
fn written(line: &LogLine, id: &str) -> String {
    let level = match line.level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    format!("{}\t{id}\t{level}\t{}", iso_z(now()), line.message)
}

/// What a handler threw, as Node's runtime says it: the engine says `stackTrace` for `trace`.
fn thrown_document(thrown: &str) -> Value {
    let Ok(Value::Object(mut said)) = serde_json::from_str(thrown) else {
        return json!({ "errorType": "Error", "errorMessage": thrown, "trace": [] });
    };
    let mut text = |name: &str, usual: &str| match said.remove(name) {
        Some(Value::String(text)) => Value::from(text),
        _ => Value::from(usual),
    };
    let (kind, message) = (text("errorType", "Error"), text("errorMessage", ""));
    let trace = said.remove("stackTrace").filter(Value::is_array).unwrap_or_else(|| json!([]));
    let mut all = Map::new();
    for (name, value) in [("errorType", kind), ("errorMessage", message), ("trace", trace)] {
        all.insert(name.to_owned(), value);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests;
