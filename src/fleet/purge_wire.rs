//! Purge wire: purges as other nodes are told of them, and what a node makes of such a message.
//!
//! In: what is to be told; messages in any order, any number of times. Out: messages; the purges that are new here. Never: a stamp of
//! another node's clock.
//!
//! A body is JSON: `{"lineage":"hex","first":1,"last":2,"purges":[[1,"base64"],…]}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::purge_log::{Outgoing, Progress, decode, encode};
use super::{Delivered, Message};
use crate::cache::object::Stamp;
use crate::cache::purge::{Purge, Scope};

/// The subject of every purge: all are kept alike.
const SUBJECT: &str = "purge";

/// Why a message is no purge: the node that wrote it is of another version. What it purged is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message that is no purge: {0}")]
pub struct WireError(String);

#[derive(Serialize, Deserialize)]
struct Body {
    lineage: String,
    first: u64,
    last: u64,
    purges: Vec<(u64, String)>,
}

/// What a node does about what the bus delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Without stamps: whoever applies them gives its own.
    pub purges: Vec<Purge>,
}

// === impl Outgoing ===
impl Outgoing {
    /// The message that tells others.
    pub fn message(&self, lineage: u64) -> Message {
        let purges = self.purges.iter().map(|(n, purge)| (*n, STANDARD_NO_PAD.encode(encode(purge)))).collect();
        let body = Body { lineage: format!("{lineage:x}"), first: self.first, last: self.last, purges };
        Message {
            subject: SUBJECT.to_owned(),
            id: format!("{lineage:x}-{}-{}", self.first, self.last),
            body: serde_json::to_vec(&body).unwrap_or_default().into(),
        }
    }
}

// === impl Received ===
impl Received {
    /// Takes in what the bus delivered, in its order. `own` is this node's lineage: what it accepted counts here already.
    pub fn take(&mut self, delivered: &Delivered, own: u64, progress: &mut Progress) {
        match delivered {
            Delivered::Message { seq, message } => {
                progress.position = progress.position.max(*seq);
                match read(&message.body) {
                    Ok((lineage, ..)) if lineage == own => {}
                    Ok((lineage, first, last, purges)) => {
                        // What came before it is on no bus any more, and this node may have stored what it covered.
                        if first > 1 && !progress.seen.knows(lineage) {
                            self.everything();
                        }
                        let new = purges.into_iter().filter(|(n, _)| progress.seen.is_new(lineage, *n));
                        self.purges.extend(new.map(|(_, purge)| purge));
                        progress.seen.note(lineage, first, last);
                    }
                    // Never serve what was purged: it may have been anything.
                    Err(error) => {
                        log::error!("{error}: everything is purged");
                        self.everything();
                    }
                }
            }
            Delivered::Lost { up_to } => {
                progress.position = progress.position.max(*up_to);
                progress.seen.lost();
                log::warn!("purges were missed that are no longer kept: everything is purged");
                self.everything();
            }
        }
    }

    fn everything(&mut self) {
        self.purges.push(Purge { scope: Scope::All, soft: false, at: Stamp(0) });
    }
}

type Read = (u64, u64, u64, Vec<(u64, Purge)>);

fn read(body: &Bytes) -> Result<Read, WireError> {
    let wrong = |what: &str| WireError(what.to_owned());
    let body: Body = serde_json::from_slice(body).map_err(|error| WireError(error.to_string()))?;
    let lineage = u64::from_str_radix(&body.lineage, 16).map_err(|_| wrong("its lineage"))?;
    let each = body.purges.into_iter().map(|(n, text)| {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        Some((n, decode(Stamp(0), &bytes)?))
    });
    let purges: Vec<_> = each.collect::<Option<_>>().ok_or_else(|| wrong("one of its scopes"))?;
    if body.first == 0 || purges.iter().any(|(n, _)| !(body.first..=body.last).contains(n)) {
        return Err(wrong("its numbers"));
    }
    Ok((lineage, body.first, body.last, purges))
}

/// The scopes that a message tells of.
#[cfg(test)]
pub(super) fn scopes(message: &Message) -> Vec<Scope> {
    read(&message.body)
        .map(|(.., purges)| purges.into_iter().map(|(_, purge)| purge.scope).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Seq;

    fn tag(n: u64) -> Purge {
        Purge { scope: Scope::Tag(n.to_string().into()), soft: n.is_multiple_of(2), at: Stamp(0) }
    }

    fn told(first: u64, last: u64) -> Outgoing {
        Outgoing { first, last, purges: (first..=last).map(|n| (n, tag(n))).collect() }
    }

    fn take(deliveries: &[(u64, Outgoing)]) -> (Vec<Purge>, Progress) {
        let (mut received, mut progress) = (Received::default(), Progress::default());
        for (seq, outgoing) in deliveries {
            let delivered = Delivered::Message { seq: Seq(*seq), message: outgoing.message(7) };
            received.take(&delivered, 9, &mut progress);
        }
        (received.purges, progress)
    }

    #[test]
    fn each_is_applied_once() {
        for (name, deliveries, want) in [
            ("in order", vec![(1, told(1, 2)), (2, told(3, 3))], vec![1, 2, 3]),
            ("twice", vec![(1, told(1, 2)), (2, told(1, 2))], vec![1, 2]),
            ("again with more", vec![(1, told(1, 2)), (2, told(1, 4))], vec![1, 2, 3, 4]),
            ("a gap that fills", vec![(1, told(1, 1)), (2, told(3, 3)), (3, told(2, 2))], vec![1, 3, 2]),
        ] {
            let (purges, progress) = take(&deliveries);
            assert_eq!(purges, want.iter().map(|n| tag(*n)).collect::<Vec<_>>(), "{name}");
            assert_eq!(progress.seen.vector().get(7), *want.iter().max().unwrap(), "{name}");
            assert_eq!(progress.position, Seq(deliveries.len() as u64), "{name}");
        }
    }

    #[test]
    fn what_came_before_the_first_that_is_heard_may_have_been_anything() {
        let all = Purge { scope: Scope::All, soft: false, at: Stamp(0) };
        let (purges, progress) = take(&[(1, told(4, 5)), (2, told(6, 6))]);
        assert_eq!(purges, [all, tag(4), tag(5), tag(6)]);
        assert_eq!(progress.seen.vector().get(7), 6);
    }

    #[test]
    fn a_number_without_a_purge_is_no_gap() {
        let void = Outgoing { first: 2, last: 3, purges: vec![(3, tag(3))] };
        let (purges, progress) = take(&[(1, told(1, 1)), (2, void)]);
        assert_eq!((purges, progress.seen.vector().get(7)), (vec![tag(1), tag(3)], 3));
    }

    #[test]
    fn what_is_unknown_may_have_been_anything() {
        let all = Purge { scope: Scope::All, soft: false, at: Stamp(0) };
        for body in [
            &b"{}"[..],
            b"{\"lineage\":\"g\",\"first\":1,\"last\":1,\"purges\":[]}",
            b"{\"lineage\":\"7\",\"first\":1,\"last\":1,\"purges\":[[1,\"//\"]]}",
            b"{\"lineage\":\"7\",\"first\":1,\"last\":1,\"purges\":[[2,\"AA\"]]}",
            b"{\"lineage\":\"7\",\"first\":0,\"last\":1,\"purges\":[]}",
        ] {
            let message = Message { subject: SUBJECT.into(), id: "x".into(), body: Bytes::from_static(body) };
            let (mut received, mut progress) = (Received::default(), Progress::default());
            received.take(&Delivered::Message { seq: Seq(5), message }, 9, &mut progress);
            assert_eq!((received.purges, progress.position), (vec![all.clone()], Seq(5)), "{body:?}");
        }
        let (mut received, mut progress) = (Received::default(), Progress::default());
        received.take(&Delivered::Lost { up_to: Seq(8) }, 9, &mut progress);
        assert_eq!((received.purges, progress.position), (vec![all], Seq(8)));
    }

    #[test]
    fn its_own_come_back_and_are_no_news() {
        let (mut received, mut progress) = (Received::default(), Progress::default());
        received.take(&Delivered::Message { seq: Seq(3), message: told(1, 1).message(9) }, 9, &mut progress);
        assert_eq!((received, progress.position), (Received::default(), Seq(3)));
    }
}
