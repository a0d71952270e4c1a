//! Nats: the bus of several PoPs: JetStream at the hub, reached through the leaf node beside this one.
//!
//! In: messages, blobs. Out: the same at every node, in one order. Never: core NATS, which loses what is sent while a leaf is cut off.

mod blobs;
mod streams;
mod tail;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::{Client, ConnectOptions, Event};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{Mutex, watch};

use self::streams::Bounds;
use super::bus::{Bus, BusError, Digest, Keep, Message, Seq, Tail, Topic};
use crate::config::compiled::FleetBus;

/// How long the hub may take to say that it has a message on disk.
const PUBLISH: Duration = Duration::from_secs(5);
/// How long it may take to answer a question: where a stream is, a consumer made.
const ASK: Duration = Duration::from_secs(3);
/// How long it may take to say where a topic's head is.
const PROBE: Duration = Duration::from_secs(1);
/// How long a bus that opens waits for its first connection; it goes on without.
const FIRST: Duration = Duration::from_millis(500);
/// How long one attempt to connect may take, and the wait between two.
const CONNECT: Duration = Duration::from_secs(2);
const RECONNECT: Duration = Duration::from_millis(200);
/// How often the leaf is asked whether it is alive: it is near. Two unanswered questions, and the connection is given up.
const PING: Duration = Duration::from_secs(2);
/// Publications in flight.
const IN_FLIGHT: usize = 4096;
/// How long what is on its way may take when the bus is let go of.
const DRAIN: Duration = Duration::from_secs(2);

/// A NATS server, or a cluster of them, with JetStream.
pub struct NatsBus {
    client: Client,
    js: Context,
    domain: String,
    keep: Keep,
    /// The longest silence of a tail.
    silence: Duration,
    /// The blobs, once the hub has been seen to have all streams as they must be.
    ready: ArcSwapOption<ObjectStore>,
    making: Mutex<()>,
    closed: AtomicBool,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").field("keep", &self.keep).finish_non_exhaustive()
    }
}

// === impl NatsBus ===
impl NatsBus {
    /// Connects, and goes on trying for as long as the bus lives: an error is one of the configuration. A tail that hears nothing for
    /// `silence`, not even that there is nothing, ends. `name` is what the server calls this client.
    pub async fn open(config: &FleetBus, name: &str, keep: Keep, silence: Duration) -> Result<Self, BusError> {
        let (connected, mut seen) = watch::channel(false);
        // Without what stands before an "@": that is a secret.
        let server = config.url.rsplit('@').next().unwrap_or_default().to_owned();
        let said = parking_lot::Mutex::new(String::new());
        let mut options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .connection_timeout(CONNECT)
            .reconnect_delay_callback(|attempts| if attempts < 2 { Duration::ZERO } else { RECONNECT })
            .ping_interval(PING)
            .request_timeout(Some(ASK))
            .event_callback(move |event| {
                match event {
                    Event::Connected => {
                        said.lock().clear();
                        log::info!("connected to the bus");
                        connected.send_replace(true);
                    }
                    Event::Disconnected => log::warn!("the connection to the bus is lost"),
                    // Every attempt has one: the same is said once.
                    event => {
                        let event = event.to_string();
                        let mut said = said.lock();
                        if *said != event {
                            log::warn!("the bus at {server}: {event}; it is tried again and again");
                            *said = event;
                        }
                    }
                }
                std::future::ready(())
            });
        if let Some((user, password)) = &config.user {
            options = options.user_and_password(user.clone(), password.expose().clone());
        }
        if let Some(ca) = &config.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if config.url.starts_with("tls://") {
            options = options.require_tls(true);
        }
        let client = options
            .connect(config.url.as_str())
            .await
            .map_err(|error| BusError::Disk { what: config.url.clone(), why: error.to_string() })?;
        let _ = tokio::time::timeout(FIRST, seen.wait_for(|seen| *seen)).await;
        let js = ContextBuilder::new()
            .domain(config.domain.as_str())
            .timeout(ASK)
            .max_ack_inflight(IN_FLIGHT)
            .build(client.clone());
        let domain = config.domain.clone();
        Ok(NatsBus {
            client,
            js,
            domain,
            keep,
            silence,
            ready: ArcSwapOption::empty(),
            making: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Says at once that the server is away: what is sent meanwhile would wait in memory and go out long after.
    fn connected(&self) -> Result<(), BusError> {
        match self.client.connection_state() {
            _ if self.closed.load(Ordering::Acquire) => Err(BusError::Away("this process hands over".into())),
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(BusError::Away("not connected".into())),
        }
    }

    /// Makes the streams that are missing, once.
    async fn ready(&self) -> Result<Arc<ObjectStore>, BusError> {
        self.connected()?;
        if let Some(store) = self.ready.load_full() {
            return Ok(store);
        }
        let _making = self.making.lock().await;
        if let Some(store) = self.ready.load_full() {
            return Ok(store);
        }
        let store = Arc::new(streams::settle(&self.js, &self.keep).await?);
        self.ready.store(Some(store.clone()));
        Ok(store)
    }

    /// Nobody answers for a stream: the hub is away, or has lost it.
    fn unsure(&self, error: BusError) -> BusError {
        self.ready.store(None);
        error
    }

    fn published(&self, topic: Topic, error: &PublishError) -> BusError {
        match error.kind() {
            PublishErrorKind::StreamNotFound => self.unsure(BusError::Away("nobody answers for the hub".into())),
            PublishErrorKind::MaxPayloadExceeded => BusError::Refused(error.to_string()),
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => BusError::Away(error.to_string()),
            // What the hub says of itself, like a full disk.
            _ => streams::unusable(streams::name(topic), error),
        }
    }
}

#[async_trait]
impl Bus for NatsBus {
    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError> {
        message.checked()?;
        self.ready().await?;
        let subject = streams::subject(topic, &message.subject);
        let outgoing =
            PublishMessage::build().payload(message.body).message_id(message.id).expected_stream(streams::name(topic));
        let send = async {
            let ack = self.js.send_publish(subject, outgoing).await.map_err(|error| self.published(topic, &error))?;
            ack.await.map_err(|error| self.published(topic, &error))
        };
        match tokio::time::timeout(PUBLISH, send).await {
            Ok(ack) => ack.map(|ack| Seq(ack.sequence)),
            Err(_) => Err(BusError::Away("the hub did not say that it has the message".into())),
        }
    }

    async fn tail(&self, topic: Topic, after: Seq) -> Result<Tail, BusError> {
        self.ready().await?;
        let pull = tail::Pull::open(&self.client, &self.js, &self.domain, topic, after, self.silence).await;
        let pull = pull.map_err(|error| self.unsure(error))?;
        let tail = futures::stream::unfold(Some(pull), |pull| async {
            let mut pull = pull?;
            match pull.next().await {
                Ok(delivered) => Some((Ok(delivered), Some(pull))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(tail.boxed())
    }

    async fn head(&self, topic: Topic) -> Result<Seq, BusError> {
        let ask = async {
            self.ready().await?;
            streams::bounds(&self.js, topic).await.map_err(|error| self.unsure(error))
        };
        match tokio::time::timeout(PROBE, ask).await {
            Ok(bounds) => bounds.map(|Bounds { origin, last, .. }| Seq(if last < origin { 0 } else { last })),
            Err(_) => Err(BusError::Away("the hub does not answer".into())),
        }
    }

    async fn put_blob(&self, bytes: Bytes) -> Result<Digest, BusError> {
        if bytes.len() as u64 > self.keep.blob {
            return Err(BusError::Refused(format!("a blob has at most {} bytes", self.keep.blob)));
        }
        let digest = Digest::of(&bytes);
        blobs::put(&self.js, &*self.ready().await?, digest, &bytes).await.map_err(|error| self.unsure(error))?;
        Ok(digest)
    }

    async fn blob(&self, digest: Digest) -> Result<Bytes, BusError> {
        blobs::get(&*self.ready().await?, digest, self.keep.blob).await
    }

    async fn touch_blob(&self, digest: Digest) -> Result<(), BusError> {
        self.ready().await?;
        blobs::touch(&self.js, digest).await
    }

    async fn blobs(&self) -> Result<Vec<Digest>, BusError> {
        self.ready().await?;
        blobs::all(&self.js).await
    }

    async fn forget_blob(&self, digest: Digest, untouched: Duration) -> Result<bool, BusError> {
        self.ready().await?;
        blobs::forget(&self.js, digest, untouched).await
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _ = tokio::time::timeout(DRAIN, self.client.drain()).await;
    }
}
