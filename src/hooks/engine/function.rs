//! Function: a deployed function, and one call of it.
//!
//! In: a message and a budget. Out: the message with its edits, or why there are none; what it cost, what it said. Never: a queue;
//! a call that finds no room fails at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre};

use crate::config::compiled;
use crate::hooks::event::Event;
use crate::hooks::exchange::Exchange;
use crate::hooks::failure::{Api, Failure};
use crate::hooks::host::{CallState, Identity, Level, LogLine, Services};
use crate::hooks::limits::{self, HOST_CALL_MAX};

use super::background::{Habit, Lost};
use super::fail::{self, Stop};
use super::pool::Size;
use super::store::{Bound, Data, Meter, Metered};
use super::{Shared, pool};
use super::{flat, lambda};

/// Bytes of a result from which on what the host does with it is measured: with fewer it is over before a clock is worth its call.
const RESULT_FREE: usize = 64 << 10;

/// Ticks before a call lets others run for the first time. The first tick may come at once; with two, most calls never meet one.
const FIRST_TICKS: u64 = 2;

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub cpu: Duration,
    /// Wall-clock time, waiting included.
    pub timeout: Duration,
    /// Bytes of linear memory.
    pub memory: usize,
}

/// A call that is over.
#[derive(Debug)]
pub struct Called {
    /// With the edits and the answer when `outcome` is `Ok`; otherwise they are not to be used.
    pub exchange: Box<Exchange>,
    pub outcome: Result<(), Failure>,
    /// Time the function ran.
    pub cpu: Duration,
    pub wall: Duration,
    /// Bytes of linear memory the instance had at the end.
    pub memory: usize,
    pub logs: Vec<LogLine>,
}

/// An event for a Lambda handler.
#[derive(Debug)]
pub struct Question {
    pub event: String,
    /// The handler's context, as JSON; with it, what is thrown is given as the function says it. `None` = the message's, and the
    /// words of what is thrown.
    pub context: Option<String>,
}

/// What a Lambda handler returned, or threw.
pub type Said = Option<Result<String, String>>;

/// A function that can be called.
pub struct Function {
    identity: Arc<Identity>,
    services: Arc<Services>,
    pub(super) shared: Arc<Shared>,
    size: Size,
    pre: InstancePre<Data>,
    handlers: Handlers,
    api: Api,
    calls: Arc<Semaphore>,
    concurrency: usize,
    reuse: u32,
    idle: Mutex<Vec<Live>>,
    habit: Habit,
}

/// What a component exports of what we know.
#[derive(Debug, Default)]
pub struct Handlers {
    pub native: [Option<ComponentExportIndex>; 4],
    pub flat: Option<ComponentExportIndex>,
    pub lambda: Option<ComponentExportIndex>,
}

#[derive(Clone, Copy)]
enum Handler<'f> {
    Native(&'f ComponentExportIndex),
    Flat(&'f ComponentExportIndex),
    Lambda(&'f ComponentExportIndex),
}

/// An instance with its slot. The store goes before the slot is free.
struct Live {
    store: Store<Data>,
    instance: Option<Instance>,
    /// Calls it may serve after this one.
    left: u32,
    _slot: OwnedSemaphorePermit,
}

/// What `Engine::load` found out.
pub struct Parts {
    pub identity: Identity,
    pub services: Arc<Services>,
    pub shared: Arc<Shared>,
    pub size: Size,
    pub pre: InstancePre<Data>,
    pub handlers: Handlers,
    pub api: Api,
}

// === impl Function ===
impl Function {
    pub(super) fn new(parts: Parts, spec: &compiled::Function) -> Self {
        Function {
            identity: Arc::new(parts.identity),
            services: parts.services,
            shared: parts.shared,
            size: parts.size,
            pre: parts.pre,
            handlers: parts.handlers,
            api: parts.api,
            calls: Arc::new(Semaphore::new(spec.concurrency)),
            concurrency: spec.concurrency,
            reuse: spec.reuse.max(1),
            idle: Mutex::new(Vec::new()),
            habit: Habit::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// First 12 hex digits of the file's SHA-256.
    pub fn version(&self) -> &str {
        &self.identity.version
    }

    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether it can be attached to that event: CloudFront functions to viewer events alone (Developer Guide, "Differences between
    /// CloudFront Functions and Lambda@Edge").
    pub fn handles(&self, event: Event) -> bool {
        self.handlers.of(event).is_some() && (self.api != Api::CloudFront || event.is_viewer())
    }

    /// Whether it takes events of other kinds than CloudFront's: it has a Lambda handler.
    pub fn answers_lambda(&self) -> bool {
        self.handlers.lambda.is_some() && self.api == Api::LambdaEdge
    }

    /// Runs it once.
    pub fn call(self: &Arc<Self>, exchange: Exchange, budget: Budget) -> impl Future<Output = Called> + Send {
        // From here on a message changes hands often.
        let exchange = Box::new(exchange);
        async move { self.drive(exchange, budget, None).await.0 }
    }

    /// Hands its Lambda handler an event of another kind, and gives what it returned (JSON) or threw (the error's message).
    /// `exchange` is the request that the call belongs to; nothing becomes of it. `None`: the call failed, or there is no handler.
    pub async fn ask(self: &Arc<Self>, exchange: Exchange, event: String, budget: Budget) -> (Called, Said) {
        self.drive(Box::new(exchange), budget, Some(Question { event, context: None })).await
    }

    /// The same, for a question with a context of its own.
    pub async fn answer(self: &Arc<Self>, exchange: Exchange, question: Question, budget: Budget) -> (Called, Said) {
        self.drive(Box::new(exchange), budget, Some(question)).await
    }

    async fn drive(
        self: &Arc<Self>,
        exchange: Box<Exchange>,
        budget: Budget,
        question: Option<Question>,
    ) -> (Called, Said) {
        let began = Instant::now();
        let Ok(own) = self.calls.clone().try_acquire_owned() else {
            return (Called::refused(exchange, Failure::Throttled(self.concurrency)), None);
        };
        let all = match self.shared.turn() {
            Ok(all) => all,
            Err(failure) => return (Called::refused(exchange, failure), None),
        };
        self.shared.ticker.wake();
        let (event, site) = (exchange.event, exchange.site.clone());
        let live = match self.live(exchange, &budget, began + budget.timeout) {
            Ok(live) => live,
            Err(exchange) => {
                let failure = Failure::Exhausted("every instance slot is taken".into());
                return (Called::refused(exchange, failure), None);
            }
        };
        let meter = live.store.data().meter.clone();
        let function = Arc::clone(self);
        let course = async move {
            let _turns = (own, all);
            function.course(live, question, budget, began).await
        };
        match self.shared.background.run(&self.habit, &meter, budget.timeout, course).await {
            Ok(ended) => ended,
            Err(lost) => {
                let failure = match lost {
                    Lost::Late => Failure::Timeout(budget.timeout),
                    Lost::Gone => Failure::Execution("the call broke off".to_owned()),
                };
                let (cpu, wall) = (meter.spent(), began.elapsed());
                let nothing = Box::new(Exchange::empty(event, &site));
                (Called { cpu, wall, ..Called::refused(nothing, failure) }, None)
            }
        }
    }

    /// The call itself, wherever it runs.
    async fn course(
        &self,
        mut live: Live,
        question: Option<Question>,
        budget: Budget,
        began: Instant,
    ) -> (Called, Said) {
        let meter = live.store.data().meter.clone();
        let ran = {
            let run = pin!(self.run(&mut live, question));
            tokio::time::timeout(budget.timeout, Metered::new(&meter, run)).await
        };
        let wall = began.elapsed();
        let data = live.store.data_mut();
        lambda::log_stack(&mut data.call);
        let mut said = None;
        let outcome = match ran {
            // What it says after that is where it was.
            Ok(Ok(_) | Err(Stop::Failed(_))) if data.call.budget.was_said() => Err(Failure::Cpu(budget.cpu)),
            // A host call that ended with the call's own time gave the guest a moment to return.
            Ok(Ok(_) | Err(Stop::Failed(_))) if wall >= budget.timeout => Err(Failure::Timeout(budget.timeout)),
            // What the host did with the result is in it, and no tick ended that.
            Ok(Ok(_)) if meter.is_over() => Err(Failure::Cpu(budget.cpu)),
            Ok(Ok(answer)) => {
                said = answer;
                Ok(())
            }
            Ok(Err(Stop::Failed(failure))) => Err(failure),
            Ok(Err(Stop::Trapped(error))) => {
                if let Some(stack) = fail::stack(&error) {
                    data.call.log.write(Level::Error, &stack);
                }
                Err(fail::failure(&error, &data.bound, &budget))
            }
            Err(_) => Err(Failure::Timeout(budget.timeout)),
        };
        let called = Called {
            exchange: data.call.take_exchange(),
            cpu: meter.spent(),
            wall,
            memory: data.bound.used(),
            logs: data.call.log.take(),
            outcome,
        };
        // One that was out of memory would be so again.
        if called.outcome.is_ok() && live.left > 0 && !live.store.data().bound.refused() {
            live.left -= 1;
            self.idle.lock().push(live);
        }
        (called, said)
    }

    /// The last idle instance that keeps to `memory` bytes. A larger one waits for a call that may have it: memory never shrinks.
    fn waiting(&self, memory: usize) -> Option<Live> {
        if self.reuse <= 1 {
            return None;
        }
        let mut idle = self.idle.lock();
        let fits = idle.iter().rposition(|live| live.store.data().bound.used() <= memory)?;
        Some(idle.remove(fits))
    }

    /// An instance for this call: an idle one, or a slot for a new one.
    fn live(&self, exchange: Box<Exchange>, budget: &Budget, deadline: Instant) -> Result<Live, Box<Exchange>> {
        let mut live = match self.waiting(budget.memory) {
            Some(mut live) => {
                let data = live.store.data_mut();
                data.call.renew(exchange, deadline);
                data.bound.renew(budget.memory);
                live
            }
            None => {
                let pool = self.shared.pool(self.size);
                let Some(slot) = self.shared.slot(pool) else { return Err(exchange) };
                let call = CallState::new(exchange, &self.identity, &self.services, deadline);
                let data = Data { call, bound: Bound::new(budget.memory), meter: Arc::new(Meter::default()) };
                let mut store = Store::new(&pool.engine, data);
                store.set_hostcall_fuel(HOST_CALL_MAX);
                store.limiter(|data| &mut data.bound);
                store.epoch_deadline_callback(|mut store| {
                    let Data { call, meter, .. } = store.data_mut();
                    meter.tick(|| call.budget.say())
                });
                Live { store, instance: None, left: self.reuse - 1, _slot: slot }
            }
        };
        let data = live.store.data_mut();
        data.call.log.bound(limits::log_size(self.api, data.call.exchange.site.mode));
        data.meter.renew(budget.cpu);
        live.store.set_epoch_deadline(FIRST_TICKS);
        Ok(live)
    }

    async fn run(&self, live: &mut Live, question: Option<Question>) -> Result<Said, Stop> {
        let store = &mut live.store;
        let instance = match live.instance {
            Some(instance) => instance,
            None => {
                let made = live.instance.insert(self.pre.instantiate_async(&mut *store).await?);
                store.data_mut().bound.begin();
                *made
            }
        };
        if let Some(room) = limits::room(self.api, store.data().call.exchange.site.mode) {
            store.data_mut().bound.confine(room);
        }
        if let Some(Question { event, context }) = question {
            let Some(index) = &self.handlers.lambda else {
                return Err(Failure::Execution("it has no Lambda handler".to_owned()).into());
            };
            let handler = instance.get_typed_func::<(String, String), (Result<String, String>,)>(&mut *store, index)?;
            let (own, context) = match context {
                Some(context) => (true, context),
                None => (false, lambda::context(&store.data().call)),
            };
            let (said,) = handler.call_async(&mut *store, (event, context)).await?;
            measured(store.data(), said.as_ref().map_or_else(String::len, String::len));
            return Ok(Some(match own {
                true => said,
                false => said.map_err(|thrown| lambda::thrown(&mut store.data_mut().call, &thrown)),
            }));
        }
        let event = store.data().call.exchange.event;
        match self.handlers.of(event) {
            Some(Handler::Native(index)) => {
                let handler = instance.get_typed_func::<(), (Result<(), String>,)>(&mut *store, index)?;
                let (outcome,) = handler.call_async(&mut *store, ()).await?;
                outcome.map_err(Failure::Execution)?;
            }
            Some(Handler::Flat(index)) => {
                let handler = instance.get_typed_func::<(Vec<u8>,), (Vec<u8>,)>(&mut *store, index)?;
                let input = flat::input(&store.data().call.exchange);
                let (output,) = handler.call_async(&mut *store, (input,)).await?;
                measured(store.data(), output.len());
                flat::apply(&mut store.data_mut().call, &output)?;
            }
            Some(Handler::Lambda(index)) => {
                let handler =
                    instance.get_typed_func::<(String, String), (Result<String, String>,)>(&mut *store, index)?;
                let (event, context) = lambda::arguments(&store.data().call, self.api);
                let (result,) = handler.call_async(&mut *store, (event, context)).await?;
                measured(store.data(), result.as_ref().map_or_else(String::len, String::len));
                lambda::accept(&mut store.data_mut().call, self.api, result)?;
            }
            None => return Err(Failure::Execution(format!("it has no handler for {event}")).into()),
        }
        Ok(None)
    }

    /// Makes an instance before the first call, which then finds code and memory at hand. It stays where instances serve several calls.
    /// `exchange` is nobody's request.
    ///
    /// # Errors
    /// It cannot be made now. A start that wants a real request may fail here and not in a call.
    pub async fn warm(self: &Arc<Self>, exchange: Exchange, budget: Budget) -> Result<(), Failure> {
        let all = self.shared.turn()?;
        self.shared.ticker.wake();
        let Ok(mut live) = self.live(Box::new(exchange), &budget, Instant::now() + budget.timeout) else {
            return Err(Failure::Exhausted("every instance slot is taken".into()));
        };
        let meter = live.store.data().meter.clone();
        let function = Arc::clone(self);
        let making = async move {
            let _all = all;
            let meter = live.store.data().meter.clone();
            let made = {
                let make = pin!(function.pre.instantiate_async(&mut live.store));
                tokio::time::timeout(budget.timeout, Metered::new(&meter, make)).await
            };
            match made {
                Ok(Ok(instance)) => {
                    live.instance = Some(instance);
                    live.store.data_mut().bound.begin();
                }
                Ok(Err(error)) => return Err(fail::failure(&error, &live.store.data().bound, &budget)),
                Err(_) => return Err(Failure::Timeout(budget.timeout)),
            }
            if function.reuse > 1 {
                function.idle.lock().push(live);
            }
            Ok(())
        };
        let made = self.shared.background.run(&self.habit, &meter, budget.timeout, making).await;
        made.unwrap_or(Err(Failure::Timeout(budget.timeout)))
    }

    /// Gives one idle instance's slot back, if it has one in that pool.
    pub(super) fn yield_slot(&self, of: &pool::Pool) -> bool {
        std::ptr::eq(self.shared.pool(self.size), of) && self.idle.lock().pop().is_some()
    }

    /// Gives back all.
    pub(super) fn cool(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }
}

/// Has what follows measured when the result is large.
fn measured(data: &Data, result: usize) {
    if result > RESULT_FREE {
        data.meter.apart();
    }
}

// === impl Called ===
impl Called {
    fn refused(exchange: Box<Exchange>, failure: Failure) -> Self {
        Called {
            exchange,
            outcome: Err(failure),
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            memory: 0,
            logs: Vec::new(),
        }
    }
}

// === impl Handlers ===
impl Handlers {
    pub fn handles(&self, event: Event) -> bool {
        self.of(event).is_some()
    }

    fn of(&self, event: Event) -> Option<Handler<'_>> {
        let native = self.native[usize::from(event.code() - 1)].as_ref().map(Handler::Native);
        native.or(self.flat.as_ref().map(Handler::Flat)).or(self.lambda.as_ref().map(Handler::Lambda))
    }
}
