//! Environment: one process group, its Runtime API, one call at a time.
//!
//! In: a version to start, an order. Out: the answer as it comes, and whether the environment can take another order. Never: two
//! orders at once, a process that outlives it.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::{Answer, Part, Reply, Word};
use super::command;
use super::failure::Failure;
use super::group::Group;
use super::log::{Log, Report};
use super::runner::Runner;
use super::runtime_api::{Desk, Order, Piece, Posted, Said};
use super::settings::Settings;
use super::version::Version;
use crate::config::compiled::LambdaRuntime;

/// How often a running group's memory is looked at.
const WATCH: Duration = Duration::from_millis(200);
/// How long an answer is held back for the runtime to ask for more: when it does, the call is over, its log complete, and
/// the environment free for the caller's next call.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the processes of a failed call may take to be gone.
const REAP: Duration = Duration::from_secs(2);
/// Bytes beyond the payload's limit that an answer may have (AWS's Runtime Interface Emulator: 6 MiB + 100).
pub(super) const GRACE: usize = 100;
/// Pieces of a streamed answer that wait for the caller.
const PIECES: usize = 4;

/// What became of an order.
#[derive(Debug)]
pub(crate) enum Called {
    /// The environment can be used again; what is left to say to the caller when it can.
    Ready(Option<Word>),
    /// It cannot.
    Broken(Option<Word>),
    /// It was gone before it took the order: another one can.
    Stale,
}

/// A started runtime.
#[derive(Debug)]
pub(crate) struct Environment {
    group: Group,
    child: Child,
    /// The guard's pipe.
    _held: Option<ChildStdin>,
    desk: Desk,
    said: mpsc::Receiver<Said>,
    /// The runtime waits for an order here.
    waiting: Option<oneshot::Sender<Arc<Order>>>,
    log: Arc<Log>,
    _follow: JoinSet<()>,
    home: Option<TempDir>,
    frozen: bool,
    /// The most memory seen, in bytes.
    used: u64,
    /// How long the start took, until a call has reported it.
    init: Option<Duration>,
    idle_since: Instant,
}

/// Why there is no environment, and what its processes wrote.
#[derive(Debug)]
pub(crate) struct Unstarted {
    pub failure: Failure,
    pub log: String,
}

/// What ends a wait before its time.
enum Ended {
    Exit(Option<ExitStatus>),
    Deadline,
    Memory,
}

/// How the function answered.
enum Given {
    Whole(Bytes),
    Error(Bytes),
    /// Sent on already, to the end; the error that ended it.
    Streamed(mpsc::Sender<Part>, Option<Bytes>),
    /// Sent on in part.
    Cut(mpsc::Sender<Part>, Failure),
    Failed(Failure),
}

// === impl Environment ===
impl Environment {
    /// Starts processes and waits until the runtime asks for work, at most until `deadline`.
    pub(crate) async fn start(version: &Version, settings: &Settings, deadline: Instant) -> Result<Self, Unstarted> {
        if version.command.is_empty() && matches!(version.runtime, LambdaRuntime::Provided(_)) {
            let path = version.code.join("bootstrap");
            if !tokio::fs::metadata(&path).await.is_ok_and(|found| found.is_file()) {
                return Err(Failure::Entrypoint(path.to_string_lossy().into_owned()).into());
            }
        }
        let mut environment = Self::spawn(version, settings).await.map_err(|error| {
            log::error!(target: "lambda", "{}: cannot start an environment: {error}", version.name);
            Failure::Exit(None)
        })?;
        let began = Instant::now();
        match environment.init(version, deadline).await {
            Ok(()) => Ok(environment),
            Err(failure) => {
                environment.group.kill();
                let status = if matches!(failure, Failure::Timeout(_)) { "timeout" } else { "error" };
                let millis = began.elapsed().as_secs_f64() * 1000.0;
                let kind = failure.kind();
                environment.log.say(&format!(
                    "INIT_REPORT Init Duration: {millis:.2} ms\tPhase: init\tStatus: {status}\tError Type: {kind}"
                ));
                let log = environment.log.tail();
                environment.finish().await;
                Err(Unstarted { failure, log })
            }
        }
    }

    async fn spawn(version: &Version, settings: &Settings) -> std::io::Result<Self> {
        let most = settings.limits.payload + GRACE;
        let (desk, said) = Desk::open(most).await?;
        let homes = settings.homes.clone();
        let home =
            tokio::task::spawn_blocking(move || tempfile::Builder::new().prefix("e").tempdir_in(homes)).await??;
        let (log, writer) = Log::open(&version.name)?;
        let mut child = Command::new("/bin/sh");
        child
            .args(command::arguments(version, settings))
            .env_clear()
            .envs(command::variables(version, settings, &desk.address.to_string(), home.path()))
            .current_dir(&version.code)
            .process_group(0)
            // Held open for as long as this process lives: see `command`.
            .stdin(Stdio::piped())
            .stdout(Stdio::from(writer.try_clone()?))
            .stderr(Stdio::from(writer))
            .kill_on_drop(true);
        let mut child = child.spawn()?;
        // Taken, because waiting for a child closes its standard input.
        let held = child.stdin.take();
        let gone = || std::io::Error::other("the process was gone at once");
        let group = child.id().and_then(Group::new).ok_or_else(gone)?;
        let log = Arc::new(log);
        let mut follow = JoinSet::new();
        let followed = Arc::clone(&log);
        follow.spawn(async move { followed.follow().await });
        Ok(Environment {
            group,
            child,
            _held: held,
            desk,
            said,
            waiting: None,
            log,
            _follow: follow,
            home: Some(home),
            frozen: false,
            used: 0,
            init: None,
            idle_since: Instant::now(),
        })
    }

    async fn init(&mut self, version: &Version, deadline: Instant) -> Result<(), Failure> {
        let began = Instant::now();
        let said = tokio::select! {
            said = self.said.recv() => said,
            ended = watch(&mut self.child, self.group, version, deadline, &mut self.used) => {
                return Err(ended.failure(version.timeout));
            }
        };
        match said {
            Some(Said::Next(waiting)) => {
                self.waiting = Some(waiting);
                self.init = Some(began.elapsed());
                Ok(())
            }
            Some(Said::InitError(error)) => Err(Failure::Init(error)),
            // Nothing was asked that could be answered, and the desk is open as long as this is.
            Some(Said::Answer(_)) | None => Err(Failure::Exit(None)),
        }
    }

    /// Waits for the function's answer, and sends it on if it streams.
    async fn given(
        &mut self,
        version: &Version,
        settings: &Settings,
        (streams, deadline): (bool, Instant),
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Given {
        let Environment { child, said, group, used, .. } = self;
        let ended = watch(child, *group, version, deadline, used);
        tokio::pin!(ended);
        let posted = loop {
            tokio::select! {
                biased;
                said = said.recv() => match said {
                    Some(Said::Answer(posted)) => break posted,
                    // Asking for more before it has answered, it gets nothing: its connection closes.
                    Some(Said::Next(_) | Said::InitError(_)) => {}
                    None => return Given::Failed(Failure::Exit(None)),
                },
                ended = &mut ended => return Given::Failed(ended.failure(version.timeout)),
            }
        };
        let mut pieces = match posted {
            Posted::Whole(payload) => return Given::Whole(payload),
            Posted::Error(error) => return Given::Error(error),
            Posted::TooLarge => {
                let most = settings.limits.payload + GRACE;
                return Given::Error(Failure::TooLarge(most as u64).document(""));
            }
            Posted::Stream { pieces } => pieces,
        };
        let (parts, most) = match streams.then(|| reply.take()).flatten() {
            None => (None, (settings.limits.payload + GRACE) as u64),
            Some(reply) => {
                let (give, parts) = mpsc::channel(PIECES);
                // A caller that is gone misses its answer; the function runs to its end all the same.
                let _ = reply.send(Answer::Stream { parts });
                (Some(give), settings.limits.stream)
            }
        };
        let (mut all, mut sum) = (BytesMut::new(), 0u64);
        let error = loop {
            let piece = tokio::select! {
                biased;
                piece = pieces.recv() => piece,
                ended = &mut ended => break Some(ended.failure(version.timeout)),
            };
            match piece {
                Some(Piece::Data(data)) => {
                    sum += data.len() as u64;
                    if sum > most {
                        break Some(Failure::TooLarge(most));
                    }
                    match &parts {
                        None => all.extend_from_slice(&data),
                        Some(parts) => tokio::select! {
                            _ = parts.send(Part::Data(data)) => {}
                            ended = &mut ended => break Some(ended.failure(version.timeout)),
                        },
                    }
                }
                Some(Piece::End) => break None,
                Some(Piece::Error(error)) => {
                    return match parts {
                        None => Given::Error(error),
                        Some(parts) => Given::Streamed(parts, Some(error)),
                    };
                }
                None => break Some(Failure::Truncated),
            }
        };
        match (parts, error) {
            (None, None) => Given::Whole(all.freeze()),
            (Some(parts), None) => Given::Streamed(parts, None),
            (None, Some(failure)) => Given::Failed(failure),
            (Some(parts), Some(failure)) => Given::Cut(parts, failure),
        }
    }

    /// Waits until the runtime asks for more.
    async fn settle(&mut self, version: &Version, until: Instant) {
        let said = tokio::select! {
            biased;
            said = self.said.recv() => said,
            _ = watch(&mut self.child, self.group, version, until, &mut self.used) => return,
        };
        if let Some(Said::Next(waiting)) = said {
            self.waiting = Some(waiting);
        }
    }

    /// Writes the call's last lines. What there is for the caller.
    async fn conclude(
        &mut self,
        id: &str,
        version: &Version,
        duration: Duration,
        given: Given,
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Option<Word> {
        let failure = given.failure();
        self.used = self.used.max(self.group.peak());
        if let Some(failure) = failure {
            // All of it: what the caller is told has come to an end.
            self.group.kill();
            let _ = timeout_at(Instant::now() + REAP, self.child.wait()).await;
            if let Some(line) = failure.line(id) {
                self.log.say(&line);
            }
        }
        self.log.say(&format!("END RequestId: {id}"));
        let status = failure.map(|failure| match failure {
            Failure::Timeout(_) => ("timeout", None),
            other => ("error", Some(other.kind())),
        });
        let (init, used) = (self.init.take(), self.used);
        let report = Report { request_id: id, duration, init, memory: version.memory, used, status };
        self.log.say(&report.line());
        let log = self.log.tail();
        let (payload, failed) = match given {
            Given::Whole(payload) => (payload, false),
            Given::Error(error) => (error, true),
            Given::Failed(failure) => (failure.document(id), true),
            Given::Streamed(parts, error) => return Some(Word::End(parts, Part::End { error, log })),
            Given::Cut(parts, failure) => {
                return Some(Word::End(parts, Part::End { error: Some(failure.document(id)), log }));
            }
        };
        reply.take().map(|reply| Word::Whole(reply, Reply { payload, failed, log }))
    }

    /// Ends it: the processes, then their directory.
    async fn finish(mut self) {
        self.group.kill();
        let _ = timeout_at(Instant::now() + REAP, self.child.wait()).await;
        let home = self.home.take();
        // A directory that cannot be removed lies with others that the next start removes.
        let _ = tokio::task::spawn_blocking(move || drop(home)).await;
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            self.group.wake();
        }
    }
}

#[async_trait]
impl Runner for Environment {
    /// Gives `order` to the runtime and its answer to `reply`, then waits until the runtime is ready again.
    async fn call(
        &mut self,
        order: Arc<Order>,
        version: &Version,
        settings: &Settings,
        (streams, deadline): (bool, Instant),
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Called {
        self.thaw();
        let Some(waiting) = self.waiting.take() else { return Called::Stale };
        let id = order.request_id.clone();
        self.log.begin();
        self.log.say(&format!("START RequestId: {id} Version: {}", version.version));
        self.desk.expect(&id);
        let began = Instant::now();
        if waiting.send(order).is_err() {
            return Called::Stale;
        }
        let given = self.given(version, settings, (streams, deadline), reply).await;
        let answered = Instant::now();
        let failed = given.failure().is_some();
        if !failed {
            self.settle(version, deadline.min(answered + SETTLE)).await;
        }
        self.desk.close();
        let mut word = self.conclude(&id, version, began.elapsed(), given, reply).await;
        if failed {
            return Called::Broken(word);
        }
        if self.waiting.is_none() {
            // It works on after its answer, as it may within its time.
            word.take().into_iter().for_each(Word::say);
            self.settle(version, deadline).await;
        }
        if self.waiting.is_none() {
            return Called::Broken(word);
        }
        if settings.freeze {
            self.group.stop();
            self.frozen = true;
        }
        self.idle_since = Instant::now();
        Called::Ready(word)
    }

    /// Whether its processes are there still.
    fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn idle_since(&self) -> Instant {
        self.idle_since
    }

    async fn end(self: Box<Self>) {
        self.finish().await;
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Without effect when it has ended already.
        if self.home.is_some() {
            self.group.kill();
        }
    }
}

/// Looks at the processes until something is wrong with them, or the time is over.
async fn watch(child: &mut Child, group: Group, version: &Version, deadline: Instant, used: &mut u64) -> Ended {
    let most = u64::from(version.memory) << 20;
    let mut look = Instant::now() + WATCH;
    loop {
        tokio::select! {
            status = child.wait() => return Ended::Exit(status.ok()),
            () = sleep_until(deadline) => return Ended::Deadline,
            () = sleep_until(look) => {
                let now = group.resident();
                *used = (*used).max(now);
                if now > most {
                    return Ended::Memory;
                }
                look = Instant::now() + WATCH;
            }
        }
    }
}

impl From<Failure> for Unstarted {
    fn from(failure: Failure) -> Self {
        Unstarted { failure, log: String::new() }
    }
}

// === impl Given ===
impl Given {
    fn failure(&self) -> Option<&Failure> {
        match self {
            Given::Failed(failure) | Given::Cut(_, failure) => Some(failure),
            _ => None,
        }
    }
}

// === impl Ended ===
impl Ended {
    fn failure(self, timeout: Duration) -> Failure {
        match self {
            Ended::Exit(status) => Failure::Exit(status),
            Ended::Deadline => Failure::Timeout(timeout),
            Ended::Memory => Failure::Memory,
        }
    }
}
