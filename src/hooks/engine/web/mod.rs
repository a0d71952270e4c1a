//! Web: a `wasi:http` component that answers requests.
//!
//! In: a component that exports `wasi:http/incoming-handler`, a request. Out: the answer, its body as the component writes it. Never: the
//! host's network, files or environment but what was granted; an answer that broke off shown as whole.

mod state;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, WasiHttpView};

use crate::config::compiled;
use crate::hooks::failure::Failure;
use crate::hooks::host::fetch::Share;
use crate::hooks::host::log::Log;
use crate::hooks::host::{Level, LogLine, Services};
use crate::hooks::limits::HOST_CALL_MAX;

use super::background::{Habit, Lost};
use super::fail;
use super::function::Budget;
use super::load::{BIG, VERSION};
use super::pool::Size;
use super::shape::Shape;
use super::store::Metered;
use super::{EngineError, Shared};
use state::State;

/// The interface that a component answers requests by; its versions 0.2.x are one.
pub(super) const HANDLER: &str = "wasi:http/incoming-handler@0.2.";
/// Ticks before a call lets others run for the first time.
const FIRST_TICKS: u64 = 2;

/// The body of an answer; one that ends in an error was broken off.
pub type WebBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A component that answers requests.
pub struct Web {
    name: String,
    version: String,
    grants: compiled::Grants,
    budget: Budget,
    /// Its part of the connections of all functions.
    fetch: Arc<Share>,
    shared: Arc<Shared>,
    size: Size,
    pre: ProxyPre<State>,
    calls: Arc<Semaphore>,
    concurrency: usize,
    habit: Habit,
}

type Outcome = Result<(), Failure>;

// === impl Web ===
impl Web {
    /// Compiles or loads it. Blocks.
    pub(super) fn load(
        shared: &Arc<Shared>,
        wasm: &[u8],
        spec: &compiled::Function,
        services: &Arc<Services>,
    ) -> Result<Self, EngineError> {
        let binary = super::load::component(wasm)?;
        let (binary, shape): (_, &Shape) = (&binary.0, &binary.1);
        if !shape.exports.iter().any(|export| export.starts_with(HANDLER)) {
            return Err(EngineError::NoWeb { function: spec.name.clone() });
        }
        if let Some(import) = shape.imports.iter().find(|import| !import.starts_with("wasi:")) {
            let hint = "a function origin is a wasi:http component: it imports WASI 0.2 alone".to_owned();
            return Err(EngineError::Import { function: spec.name.clone(), import: import.clone(), hint });
        }
        if shape.memory > spec.memory as u64 {
            return Err(EngineError::Memory { function: spec.name.clone(), needs: shape.memory, limit: spec.memory });
        }
        let size = if shape.largest > BIG { Size::Big } else { Size::Small };
        let engine = &shared.pool(size).engine;
        let component = shared.artifacts.code::<Component>(engine, binary)?;
        let wrong = |error: wasmtime::Error| EngineError::Invalid(format!("{error:#}"));
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(wrong)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(wrong)?;
        let pre = ProxyPre::new(linker.instantiate_pre(&component).map_err(wrong)?).map_err(wrong)?;
        component.initialize_copy_on_write_image().map_err(|error| EngineError::Start(format!("{error:#}")))?;
        let mut version = crate::crypto::hex(digest::digest(&digest::SHA256, wasm).as_ref());
        version.truncate(VERSION);
        Ok(Web {
            name: spec.name.clone(),
            version,
            grants: spec.grants.clone(),
            budget: Budget { cpu: spec.cpu, timeout: spec.timeout, memory: spec.memory },
            fetch: Arc::new(services.fetch.share()),
            shared: Arc::clone(shared),
            size,
            pre,
            calls: Arc::new(Semaphore::new(spec.concurrency)),
            concurrency: spec.concurrency,
            habit: Habit::default(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// First 12 hex digits of the file's SHA-256.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How long one call may take, its body included.
    pub fn timeout(&self) -> Duration {
        self.budget.timeout
    }

    /// Has `request` answered by a fresh instance. The body's end waits for the end of the call, so that one that trapped on its way
    /// is not taken for whole.
    ///
    /// # Errors
    /// There is no room for the call, or it ended without an answer.
    pub async fn serve(self: &Arc<Self>, request: Request<Bytes>, tls: bool) -> Result<Response<WebBody>, Failure> {
        let Ok(own) = self.calls.clone().try_acquire_owned() else { return Err(Failure::Throttled(self.concurrency)) };
        let (answer, answered) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let web = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = web.call(Some(Asked { request, tls, answer })).await;
            drop(own);
            // Nobody waits for it any more: the viewer is gone.
            let _ = over.send(outcome);
        });
        match answered.await {
            Ok(Ok(response)) => Ok(response.map(|body| until(body, ended))),
            Ok(Err(code)) => Err(Failure::Execution(format!("it answered with an error: {code:?}"))),
            Err(_) => match ended.await {
                Ok(Err(failure)) => Err(failure),
                Ok(Ok(())) | Err(_) => Err(Failure::Validation("it set no answer".to_owned())),
            },
        }
    }

    /// Makes an instance before the first call, which then finds code and memory at hand.
    ///
    /// # Errors
    /// It cannot be made now.
    pub async fn warm(self: &Arc<Self>) -> Outcome {
        self.call(None).await
    }

    /// One call, to its end; of `None` an instance is made and no more.
    async fn call(self: &Arc<Self>, asked: Option<Asked>) -> Outcome {
        let turn = self.shared.turn()?;
        let pool = self.shared.pool(self.size);
        let Some(slot) = self.shared.slot(pool) else {
            return Err(Failure::Exhausted("every instance slot is taken".into()));
        };
        self.shared.ticker.wake();
        let deadline = Instant::now() + self.budget.timeout;
        let log = Arc::new(Mutex::new(Log::default()));
        let state = State::new(&self.grants, &self.fetch, self.budget.memory, deadline, &log);
        let meter = Arc::clone(&state.meter);
        let mut store = Store::new(&pool.engine, state);
        store.set_hostcall_fuel(HOST_CALL_MAX);
        store.limiter(|state| &mut state.bound);
        store.epoch_deadline_callback(|store| store.data().meter.tick(|| false));
        store.set_epoch_deadline(FIRST_TICKS);
        meter.renew(self.budget.cpu);
        let web = Arc::clone(self);
        let course = async move {
            let outcome = web.course(&mut store, asked).await;
            // The store goes before the slot is free.
            drop(store);
            drop((slot, turn));
            outcome
        };
        let outcome = match self.shared.background.run(&self.habit, &meter, self.budget.timeout, course).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((failure, stack))) => {
                if let Some(stack) = stack {
                    log.lock().write(Level::Error, &stack);
                }
                Err(failure)
            }
            Err(Lost::Late) => Err(Failure::Timeout(self.budget.timeout)),
            Err(Lost::Gone) => Err(Failure::Execution("the call broke off".to_owned())),
        };
        self.say(&log.lock().take());
        outcome
    }

    /// The call itself, wherever it runs; with the guest's stack where it trapped.
    async fn course(&self, store: &mut Store<State>, asked: Option<Asked>) -> Result<(), (Failure, Option<String>)> {
        let meter = Arc::clone(&store.data().meter);
        let ran = {
            let run = pin!(self.run(&mut *store, asked));
            tokio::time::timeout(self.budget.timeout, Metered::new(&meter, run)).await
        };
        match ran {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err((fail::failure(&error, &store.data().bound, &self.budget), fail::stack(&error))),
            Err(_) => Err((Failure::Timeout(self.budget.timeout), None)),
        }
    }

    async fn run(&self, store: &mut Store<State>, asked: Option<Asked>) -> wasmtime::Result<()> {
        let Some(Asked { request, tls, answer }) = asked else {
            return self.pre.instantiate_async(store).await.map(drop);
        };
        let scheme = if tls { Scheme::Https } else { Scheme::Http };
        let request = request.map(|body| Full::new(body).map_err(|never: Infallible| -> Error { match never {} }));
        let request = store.data_mut().http().new_incoming_request(scheme, request)?;
        let out = store.data_mut().http().new_response_outparam(answer)?;
        let proxy = self.pre.instantiate_async(&mut *store).await?;
        proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
    }

    fn say(&self, lines: &[LogLine]) {
        for line in lines {
            let level = match line.level {
                Level::Debug => log::Level::Debug,
                Level::Info => log::Level::Info,
                Level::Warn => log::Level::Warn,
                Level::Error => log::Level::Error,
            };
            log::log!(target: "function", level, "{}: {}", self.name, line.message);
        }
    }
}

type Answer = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// A request, and where its answer goes.
struct Asked {
    request: Request<Bytes>,
    tls: bool,
    answer: oneshot::Sender<Answer>,
}

/// The body, whose end is the call's.
fn until(body: HyperOutgoingBody, ended: oneshot::Receiver<Outcome>) -> WebBody {
    let frames = stream::unfold((body, Some(ended)), |(mut body, mut ended)| async move {
        let frame: Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>> = match body.frame().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(format!("{error:?}").into()),
            None => match ended.take()?.await {
                Ok(Ok(())) => return None,
                Ok(Err(failure)) => Err(failure.into()),
                Err(_) => Err("the call is gone".into()),
            },
        };
        Some((frame, (body, ended)))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}
