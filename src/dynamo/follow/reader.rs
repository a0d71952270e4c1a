//! Reader: one table's stream, read as long as somebody asks for what is cached of it.
//!
//! In: a table. Out: caches that have forgotten what others wrote, how far that holds. Never: a front kept open; more than one request to a
//! shard at once; a read answered.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::watch;

use super::course::Course;
use super::{Follow, Followed, ask};
use crate::dynamo::cache::epochs::Scope;
use crate::dynamo::fault::Fault;
use crate::dynamo::front::Front;

/// After an error.
const TROUBLE: Duration = Duration::from_secs(1);
/// Between two looks at which stream the table has, and which shards the stream.
const LOOK: Duration = Duration::from_secs(30);
/// How long a shard may have ended without another one that goes on for it.
const HEIR: Duration = Duration::from_secs(10);
/// Errors after which the same may be asked again.
const PASSING: [&str; 4] =
    ["LimitExceededException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"];

/// Reads one table's stream.
pub struct Reader {
    front: Weak<Front>,
    of: Arc<Followed>,
    /// `None`: it is to be begun with.
    way: Option<Way>,
    /// There was no such table.
    gone: bool,
    /// There was trouble since the tip was reached last.
    troubled: bool,
    /// A shard that goes on for one was waited for in vain since.
    heirless: bool,
    said: String,
}

/// A stream that is being read.
struct Way {
    arn: String,
    course: Course,
    /// When it was looked at.
    looked: Duration,
    /// Something need not be waited for.
    more: bool,
}

/// Why a stream is not read on.
enum Stop {
    /// It, or a place in it, is not there any more.
    Lost(String),
    /// It ended.
    Ended,
    /// A shard ended, and none goes on for it.
    Heirless,
    /// The same may be asked again.
    Passing(Fault),
}

// === impl Stop ===
impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        match fault.status >= 500 || PASSING.contains(&fault.name()) {
            true => Stop::Passing(fault),
            false => Stop::Lost(words(fault)),
        }
    }
}

// === impl Reader ===
impl Reader {
    pub fn new(front: Weak<Front>, of: Arc<Followed>) -> Reader {
        Reader { front, of, way: None, gone: false, troubled: false, heirless: false, said: String::new() }
    }

    /// Reads until it is stopped, nobody asks for the table any more, or the front is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            // Nobody left who could stop it is the end too.
            let wait = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                wait = self.turn() => wait,
            };
            let Some(wait) = wait else { return };
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One round, and how long to wait then; `None`: no more of them.
    async fn turn(&mut self) -> Option<Duration> {
        let front = self.front.upgrade()?;
        let follow = front.follow.as_ref()?;
        if follow.left(&self.of, (front.clock)()) {
            return None;
        }
        let stop = match self.way.take() {
            None => match self.begin(&front).await {
                Ok(wait) => {
                    if wait.is_none() {
                        follow.forget(&self.of);
                    }
                    return wait;
                }
                Err(fault) => Stop::Passing(fault),
            },
            Some(mut way) => match self.round(&front, follow, &mut way).await {
                Ok(wait) => {
                    let to = way.course.read_to();
                    self.of.tip.lock().read(to);
                    self.heirless &= to.is_none();
                    if to.is_some() && std::mem::take(&mut self.troubled) {
                        self.say(log::Level::Info, "it is read again");
                    }
                    self.way = Some(way);
                    return Some(wait);
                }
                Err(Stop::Passing(fault)) => {
                    self.way = Some(way);
                    Stop::Passing(fault)
                }
                Err(stop) => stop,
            },
        };
        self.troubled = true;
        let said = match stop {
            Stop::Ended => {
                self.of.tip.lock().missing();
                "its stream ended".to_owned()
            }
            Stop::Lost(why) => {
                self.of.tip.lock().failing();
                format!("its place in the stream is lost: {why}")
            }
            Stop::Heirless => {
                self.of.tip.lock().failing();
                self.heirless = true;
                "a shard ended and none goes on for it".to_owned()
            }
            Stop::Passing(fault) => {
                self.of.tip.lock().failing();
                words(fault)
            }
        };
        self.say(log::Level::Warn, &said);
        Some(TROUBLE)
    }

    /// Begins with what is written from now on. How long to wait then; `None`: there is no such table.
    async fn begin(&mut self, front: &Front) -> Result<Option<Duration>, Fault> {
        let of = Arc::clone(&self.of);
        let name = of.name.as_str();
        let looked = (front.clock)();
        let arn = match ask::find(front, name).await? {
            ask::Found::Stream(arn) => arn,
            ask::Found::None => {
                self.gone = false;
                let words = match of.tip.lock().missing() {
                    true => "it is off: reads pass the caches by until it is on again",
                    false => "there is none: what others write is seen when the caches' ttl ends",
                };
                self.say(log::Level::Warn, words);
                return Ok(Some(LOOK));
            }
            ask::Found::Gone => {
                of.tip.lock().gone();
                // One that is made anew at once is met again.
                return Ok((!std::mem::replace(&mut self.gone, true)).then_some(LOOK));
            }
        };
        self.gone = false;
        let (on, listed) = ask::shards(front, &arn).await?;
        let open: Vec<String> = listed.iter().filter(|shard| !shard.closed).map(|shard| shard.id.clone()).collect();
        // One that was just turned on, or off, is so in a moment.
        if !on || open.is_empty() {
            return Ok(Some(TROUBLE));
        }
        let iterators = ask::latest(front, &arn, open).await?;
        // What was cached before may lack a write that these do not tell of.
        front.caches.epochs.bump(Scope::Table(name));
        of.tip.lock().begun();
        self.say(log::Level::Info, &format!("{arn} is followed"));
        self.way = Some(Way {
            arn,
            course: Course::new(listed, iterators, (!self.heirless).then_some(looked)),
            looked,
            more: false,
        });
        Ok(Some(Duration::ZERO))
    }

    /// Asks every shard once, or those that have more.
    async fn round(&self, front: &Front, follow: &Follow, way: &mut Way) -> Result<Duration, Stop> {
        let Way { arn, course, looked, more } = way;
        let asked = course.due(!*more).into_iter().map(|(shard, iterator)| {
            let (name, arn) = (&self.of.name, &*arn);
            async move {
                let page = ask::page(front, name, arn, &shard, iterator).await;
                (shard, page)
            }
        });
        let read: Vec<_> = stream::iter(asked).buffer_unordered(ask::AT_ONCE).collect().await;
        let mut stopped = None;
        for (shard, page) in read {
            match page.map_err(Stop::from) {
                Ok(page) => course.page(&shard, page),
                // What is lost weighs more than what may be asked again.
                Err(stop) if matches!(stop, Stop::Lost(_)) || stopped.is_none() => stopped = Some(stop),
                Err(_) => {}
            }
        }
        if let Some(stop) = stopped {
            return Err(stop);
        }
        let now = (front.clock)();
        if course.unheired().is_some() || now.saturating_sub(*looked) >= LOOK {
            *looked = now;
            if ask::find(front, &self.of.name).await? != ask::Found::Stream(arn.clone()) {
                return Err(Stop::Ended);
            }
            let (on, listed) = ask::shards(front, arn).await?;
            if !on {
                return Err(Stop::Ended);
            }
            course.list(listed);
            if course.unheired().is_some_and(|since| now.saturating_sub(since) > HEIR) {
                return Err(Stop::Heirless);
            }
        }
        *more = course.more();
        Ok(if *more { Duration::ZERO } else { follow.rules.poll })
    }

    /// What is new is worth a line.
    fn say(&mut self, level: log::Level, words: &str) {
        if self.said != words {
            log::log!(level, "dynamodb: the stream of {}: {words}", self.of.name);
            words.clone_into(&mut self.said);
        }
    }
}

fn words(fault: Fault) -> String {
    fault.message.unwrap_or(fault.kind)
}
