//! Answer: what a call comes to, and the moment when its caller is told.
//!
//! In: payloads, pieces, logs. Out: the same, when there is room for the caller's next call. Never: how a function is run.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// What a call comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Reply),
    /// Pieces as they come; the last one is `Part::End`. Without it the answer is cut off.
    Stream {
        parts: mpsc::Receiver<Part>,
    },
    /// It was not run: there is no room.
    Throttled,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The function's, or an error document.
    pub payload: Bytes,
    pub failed: bool,
    /// Base64 of the last 4 KB of the log.
    pub log: String,
}

#[derive(Debug)]
pub(crate) enum Part {
    Data(Bytes),
    /// How it ended: the error document if it failed.
    End {
        error: Option<Bytes>,
        log: String,
    },
}

/// The last that a caller is told. It is said when the environment and the seat of the call are free again, so that whoever
/// calls one after the other finds both.
#[derive(Debug)]
#[must_use = "the caller waits for it"]
pub(crate) enum Word {
    Whole(oneshot::Sender<Answer>, Reply),
    End(mpsc::Sender<Part>, Part),
    Throttled(oneshot::Sender<Answer>),
}

// === impl Word ===
impl Word {
    /// A caller that is gone has no use for it; one that does not read is left to its own waiting.
    pub(crate) fn say(self) {
        match self {
            Word::Whole(reply, answer) => drop(reply.send(Answer::Whole(answer))),
            Word::Throttled(reply) => drop(reply.send(Answer::Throttled)),
            Word::End(parts, end) => drop(tokio::spawn(async move { drop(parts.send(end).await) })),
        }
    }
}
