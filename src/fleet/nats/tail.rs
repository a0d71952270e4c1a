//! Tail: a topic's messages as the hub sends them, in order and without a gap.
//!
//! In: a position. Out: what comes after it. Never: a message that was lost on the way passed over, a silence taken for peace.
//!
//! A consumer at the hub counts what it sends. What this one counted is compared with every message and every heartbeat: messages that a
//! leaf lost while it was cut off show as a difference, and the tail ends, to begin again from the last position.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap, StatusCode, Subscriber};
use futures::StreamExt as _;

use super::streams::{self, Bounds};
use crate::fleet::bus::{BusError, Delivered, Message, Seq, Topic, missing, start};

/// Messages asked for at once, and their bytes.
const BATCH: u64 = 1024;
const BATCH_BYTES: u64 = 8 << 20;
/// How long the hub holds a request for messages.
const HELD: Duration = Duration::from_secs(60);
/// When the hub forgets a consumer that nobody asks any more.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What a hub says of itself between messages.
const LAST_SENT: &str = "Nats-Last-Consumer";
const UNSENT: &str = "Nats-Pending-Messages";
const ID: &str = "Nats-Msg-Id";

/// One consumer of one topic.
#[derive(Debug)]
pub(super) struct Pull {
    client: Client,
    js: Context,
    topic: Topic,
    /// Where messages come in, and where they are asked for.
    inbox: String,
    messages: Subscriber,
    next: String,
    silence: Duration,
    /// Messages asked for that have not come.
    asked: u64,
    /// Messages that came of this consumer.
    came: u64,
    last: u64,
    /// What comes before the next message is looked at.
    ready: VecDeque<Delivered>,
}

// === impl Pull ===
impl Pull {
    pub async fn open(
        client: &Client,
        js: &Context,
        domain: &str,
        topic: Topic,
        after: Seq,
        silence: Duration,
    ) -> Result<Self, BusError> {
        let Bounds { origin, first, last } = streams::bounds(js, topic).await?;
        let after = if after.0 == 0 { origin - 1 } else { after.0 };
        let (position, mut lost) = start(topic, after, first, last);
        if topic == Topic::Items && after < origin - 1 {
            // A stream made anew begins above all positions of the one before it.
            lost = Some(Seq(position));
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = js.create_consumer_on_stream(config, streams::name(topic)).await;
        let consumer = consumer.map_err(|error| away(&error))?;
        let info = consumer.cached_info();
        // What was dropped between the two questions.
        let begun = info.delivered.stream_sequence;
        lost = missing(topic, position, begun.saturating_add(1)).or(lost);
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await.map_err(|error| away(&error))?;
        let next = format!("$JS.{domain}.API.CONSUMER.MSG.NEXT.{}.{}", info.stream_name, info.name);
        Ok(Pull {
            client: client.clone(),
            js: js.clone(),
            topic,
            inbox,
            messages,
            next,
            silence,
            asked: 0,
            came: info.delivered.consumer_sequence,
            last: position.max(begun),
            ready: lost.map(|up_to| Delivered::Lost { up_to }).into_iter().collect(),
        })
    }

    /// The next that is told. An error is the end.
    pub async fn next(&mut self) -> Result<Delivered, BusError> {
        loop {
            if let Some(delivered) = self.ready.pop_front() {
                return Ok(delivered);
            }
            if self.asked <= BATCH / 2 {
                self.ask().await?;
            }
            let message = match tokio::time::timeout(self.silence, self.messages.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(BusError::Away("the connection is closed".into())),
                Err(_) => return Err(BusError::Away("the hub is silent".into())),
            };
            match message.status {
                None | Some(StatusCode::OK) => self.take(message)?,
                Some(StatusCode::IDLE_HEARTBEAT) => {
                    let sent = number(message.headers.as_ref(), LAST_SENT);
                    if sent.is_some_and(|sent| sent != self.came) {
                        return Err(BusError::Away("messages were lost on the way".into()));
                    }
                }
                Some(status) => match number(message.headers.as_ref(), UNSENT) {
                    // A request that the hub no longer holds.
                    Some(unsent) => self.asked = self.asked.saturating_sub(unsent),
                    None => {
                        let why = message.description.unwrap_or_default();
                        return Err(BusError::Away(format!("the hub says {status}: {why}")));
                    }
                },
            }
        }
    }

    async fn ask(&mut self) -> Result<(), BusError> {
        // Heartbeats come twice within the longest silence.
        let request = serde_json::json!({
            "batch": BATCH,
            "max_bytes": BATCH_BYTES,
            "expires": nanos(HELD.max(self.silence)),
            "idle_heartbeat": nanos(self.silence / 2),
        });
        let asking = self.client.publish_with_reply(self.next.clone(), self.inbox.clone(), request.to_string().into());
        match tokio::time::timeout(self.silence, asking).await {
            Ok(sent) => sent.map_err(|error| away(&error))?,
            Err(_) => return Err(BusError::Away("not connected".into())),
        }
        self.asked += BATCH;
        Ok(())
    }

    fn take(&mut self, message: async_nats::Message) -> Result<(), BusError> {
        let message = jetstream::Message { message, context: self.js.clone() };
        let (seq, sent) = match message.info() {
            Ok(info) => (info.stream_sequence, info.consumer_sequence),
            Err(error) => return Err(away(&error)),
        };
        if sent != self.came + 1 {
            return Err(BusError::Away("messages were lost on the way".into()));
        }
        self.came = sent;
        self.asked = self.asked.saturating_sub(1);
        self.ready.extend(missing(self.topic, self.last, seq).map(|up_to| Delivered::Lost { up_to }));
        self.last = seq;
        let message = message.message;
        let id = message.headers.as_ref().and_then(|headers| headers.get(ID)).map(|id| id.as_str().to_owned());
        let subject = streams::within(self.topic, message.subject.as_str()).map(str::to_owned);
        // What has no id was not published by a node: it has a place in the order, and says nothing.
        if let (Some(id), Some(subject)) = (id, subject) {
            let message = Message { subject, id, body: message.payload };
            self.ready.push_back(Delivered::Message { seq: Seq(seq), message });
        }
        Ok(())
    }
}

fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn away(error: &dyn std::fmt::Display) -> BusError {
    BusError::Away(error.to_string())
}
