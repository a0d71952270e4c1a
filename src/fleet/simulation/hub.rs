//! Hub: the bus of a world, with the order and the retention that `fleet::bus` promises.
//!
//! In: messages, positions. Out: positions, deliveries. Never: a connection (the world says who reaches it).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::fleet::bus::{self, BusError, Delivered, Digest, KNOWN_FOR, Message, Seq, Topic};

/// How long purges are kept, in milliseconds: less than the longest cut.
const PURGES_FOR: u64 = 40_000;
/// Revisions that are kept: all of a world's.
pub const REVISIONS: usize = 64;

#[derive(Debug)]
pub struct Hub {
    pub up: bool,
    /// Another one after each restart: no tail outlives it.
    pub life: u64,
    streams: HashMap<Topic, Stream>,
    pub blobs: BTreeSet<Digest>,
}

#[derive(Debug, Default)]
struct Stream {
    /// The first position that there ever was; the newest.
    origin: u64,
    last: u64,
    /// When it came, and what.
    kept: BTreeMap<u64, (u64, Message)>,
    ids: HashMap<String, (u64, u64)>,
}

/// Where a node is in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub life: u64,
    last: u64,
    lost: Option<Seq>,
}

// === impl Hub ===
impl Hub {
    pub fn new(now: u64) -> Self {
        let mut hub = Hub { up: true, life: 0, streams: HashMap::new(), blobs: BTreeSet::new() };
        hub.lose(now);
        hub
    }

    /// The disk is gone. What is made anew begins above every position that was given before, as `fleet::nats` has it.
    pub fn lose(&mut self, now: u64) {
        self.blobs.clear();
        for topic in Topic::ALL {
            let stream = Stream { origin: now * 1000, last: now * 1000 - 1, ..Stream::default() };
            self.streams.insert(topic, stream);
        }
    }

    pub fn restart(&mut self) {
        self.life += 1;
        self.up = true;
        let rates = self.stream(Topic::Rates);
        rates.kept.clear();
    }

    fn stream(&mut self, topic: Topic) -> &mut Stream {
        self.streams.get_mut(&topic).unwrap()
    }

    pub fn publish(&mut self, topic: Topic, message: &Message, now: u64) -> Result<Seq, BusError> {
        message.checked()?;
        let known = KNOWN_FOR.as_millis() as u64;
        let stream = self.stream(topic);
        if let Some((seq, at)) = stream.ids.get(&message.id)
            && now - at < known
        {
            return Ok(Seq(*seq));
        }
        stream.last += 1;
        if topic.newest() {
            stream.kept.retain(|_, (_, other)| other.subject != message.subject);
        }
        stream.kept.insert(stream.last, (now, message.clone()));
        stream.ids.insert(message.id.clone(), (stream.last, now));
        if topic == Topic::Purges {
            stream.kept.retain(|_, (at, _)| now - *at < PURGES_FOR);
        }
        while topic == Topic::Revisions && stream.kept.len() > REVISIONS {
            stream.kept.pop_first();
        }
        Ok(Seq(stream.last))
    }

    pub fn head(&mut self, topic: Topic) -> Seq {
        let stream = self.stream(topic);
        Seq(if stream.last < stream.origin { 0 } else { stream.last })
    }

    pub fn tail(&mut self, topic: Topic, after: Seq) -> Tail {
        let life = self.life;
        let stream = self.stream(topic);
        let first = stream.kept.first_key_value().map_or(stream.last + 1, |(seq, _)| *seq);
        let after = if after.0 == 0 { stream.origin - 1 } else { after.0 };
        let (last, lost) = bus::start(topic, after, first, stream.last);
        Tail { life, last, lost }
    }

    /// The next that a tail delivers, at most `most`.
    pub fn next(&mut self, topic: Topic, tail: &mut Tail, most: usize) -> Vec<Delivered> {
        let mut deliveries: Vec<_> = tail.lost.take().map(|up_to| Delivered::Lost { up_to }).into_iter().collect();
        for (seq, (_, message)) in self.stream(topic).kept.range(tail.last + 1..) {
            if deliveries.len() >= most {
                break;
            }
            deliveries.extend(bus::missing(topic, tail.last, *seq).map(|up_to| Delivered::Lost { up_to }));
            tail.last = *seq;
            deliveries.push(Delivered::Message { seq: Seq(*seq), message: message.clone() });
        }
        deliveries
    }

    /// Everything of a topic that is kept, oldest first.
    pub fn kept(&mut self, topic: Topic) -> Vec<Message> {
        self.stream(topic).kept.values().map(|(_, message)| message.clone()).collect()
    }
}
