//! Wire: which of a connection's bytes the proxy sees, and how long it may wait for them.
//!
//! In: an accepted stream, each request's framing. Out: exactly one message's bytes at a time, the rest kept for the
//! next. Never: header fields, decoding, decisions about a request.
//!
//! The front reads each head with [`Wire::fill`], then gives the wire to Pingora as its stream. Pingora gets the body's
//! bytes and nothing past them; at the end it sees silence, or the end of the stream when the viewer has gone.

use super::alarm::{Alarm, Side};
use super::frames::{Frames, PREFACE};
use super::framing::Body;
use super::head::Framing;
use super::pace::Pace;
use super::refuse::Refusal;
use crate::config::compiled::Limits;
use bytes::{Buf, BytesMut};
use pingora::protocols::{Shutdown, Stream};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

mod read;
mod stream;
#[cfg(test)]
mod tests;

/// Bytes asked for in one read of a head; on the stack, so that a connection holds what was sent and no more.
const READ: usize = 8 << 10;

/// Bytes of later requests kept while one is served. Past it the connection is not read, so a viewer that has gone is
/// noticed by the next write only.
const AHEAD: usize = 8 << 10;

/// After a refusal the viewer may still be sending; closing at once would reset the connection under the answer.
/// So many bytes are read and dropped first, for at most so long.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(2);

/// One viewer connection. Implements every part of Pingora's `IO` (in `stream`).
pub struct Wire {
    stream: Stream,
    limits: Arc<Limits>,
    mode: Mode,
    /// Read and not yet given on.
    buffer: BytesMut,
    /// The viewer sends no more.
    ended: bool,
    awaited: Awaited,
    /// The answer's head has been written: what follows is its body.
    answering: bool,
    /// Bytes of a body's write that the stream has taken and not sent on yet.
    unsent: usize,
    refusal: Option<Refusal>,
    owed: Owed,
    /// Who reads while a tunnel may still open.
    reader: Option<Waker>,
    alarm: Alarm,
    /// Since when the current read, write waits.
    read_since: Option<Instant>,
    write_since: Option<Instant>,
    pace: Pace,
    received: u64,
    sent: u64,
}

/// What the bytes are.
#[derive(Debug)]
enum Mode {
    /// A request head, which only [`Wire::fill`] reads.
    Head,
    /// One request's body.
    Body(Body),
    /// Whatever both sides agreed on; the instant is that of the last progress in either direction.
    Tunnel(Instant),
    Http2(Frames),
}

/// The interim answer that changes how the wire is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Nothing,
    /// The viewer holds its body back until a 100: its silence is not slowness.
    Continue,
    /// A 101 makes everything after it a tunnel.
    Switching,
}

/// Whether bytes of an HTTP/2 connection wait to be sent on. The HTTP/2 library flushes after every DATA frame: a system call
/// for each of many small answers that are ready at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// Bytes were written, and no flush asked for.
    Buffered,
    /// They are sent when the connection's task comes round again, after the streams that are ready now.
    Soon,
    /// They did not all fit.
    Blocked,
}

// === impl Wire ===

impl Wire {
    /// A connection that is about to send an HTTP/1 head.
    pub fn new(stream: Stream, limits: Arc<Limits>) -> Self {
        Self {
            stream,
            limits,
            mode: Mode::Head,
            buffer: BytesMut::new(),
            ended: false,
            awaited: Awaited::Nothing,
            answering: false,
            unsent: 0,
            refusal: None,
            owed: Owed::Nothing,
            reader: None,
            alarm: Alarm::default(),
            read_since: None,
            write_since: None,
            pace: Pace::default(),
            received: 0,
            sent: 0,
        }
    }

    /// Turns to HTTP/2: bytes pass as they are, floods of control frames and stalled writes end the connection.
    pub fn into_h2(mut self) -> Self {
        self.mode = Mode::Http2(Frames::new(&self.limits));
        self
    }

    /// Reads until it is clear whether the connection begins like HTTP/2 (RFC 9113 §3.4). Nothing is consumed.
    ///
    /// # Errors
    /// As [`Wire::fill`].
    pub async fn speaks_h2(&mut self) -> io::Result<bool> {
        loop {
            let seen = self.buffer.len().min(PREFACE.len());
            if self.buffer[..seen] != PREFACE[..seen] {
                return Ok(false);
            }
            if seen == PREFACE.len() {
                return Ok(true);
            }
            if self.fill().await? == 0 {
                return Ok(false);
            }
        }
    }

    /// Reads more of a head into the buffer; 0 = the viewer has closed.
    ///
    /// # Errors
    /// `TimedOut` after `idle_timeout` without a first byte, or after `header_timeout` from it (then
    /// [`Wire::refusal`] is a 408); else what the stream reports.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// What was read and not given on.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes a head of `len` bytes off the buffer, to be forwarded. The next [`Wire::fill`] waits for another request.
    pub fn take_head(&mut self, len: usize) -> BytesMut {
        self.read_since = None;
        if len >= self.buffer.len() {
            // The usual case: nothing follows, and the head need not share its memory.
            return std::mem::take(&mut self.buffer);
        }
        self.buffer.split_to(len)
    }

    /// Drops a head of `len` bytes without a body, answered by the front itself. Keeps the buffer's memory.
    pub fn skip_head(&mut self, len: usize) {
        self.read_since = None;
        self.buffer.advance(len.min(self.buffer.len()));
    }

    /// From here on reads yield the body that the head just taken announced, and no byte more.
    pub fn begin(&mut self, framing: Framing, expect_continue: bool, upgrade: bool) {
        self.mode = Mode::Body(Body::new(framing, &self.limits));
        self.pace = Pace::default();
        self.read_since = None;
        (self.answering, self.unsent) = (false, 0);
        self.awaited = match (upgrade, expect_continue) {
            (true, _) => Awaited::Switching,
            (false, true) => Awaited::Continue,
            (false, false) => Awaited::Nothing,
        };
    }

    /// Goes on to the next head, if the body was read whole. `false` = close the connection.
    pub fn next_request(&mut self) -> bool {
        if self.refusal.is_some() || !self.body_finished() {
            return false;
        }
        self.mode = Mode::Head;
        self.awaited = Awaited::Nothing;
        self.reader = None;
        self.read_since = None;
        true
    }

    /// Ready when the viewer has gone, or has no more to ask, while the answer to a head without a body is awaited. Bytes of
    /// later requests are kept, as many as while the full path serves one.
    pub fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // However the connection ended, it has.
        self.poll_gone(cx).map(drop)
    }

    /// Whether nothing is left to read of the request begun last.
    pub fn body_finished(&self) -> bool {
        match &self.mode {
            Mode::Head => true,
            Mode::Body(body) => body.finished(),
            Mode::Tunnel(_) | Mode::Http2(_) => false,
        }
    }

    /// Why the last read failed, when the viewer's bytes or their lateness are the reason.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Bytes read from the viewer so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes written to the viewer so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a [refusal](Refusal::render) and closes, without resetting the connection under a viewer that is still sending.
    pub async fn refuse(mut self, answer: &[u8]) {
        if self.write_all(answer).await.is_err() || self.flush().await.is_err() {
            return;
        }
        Shutdown::shutdown(&mut self).await;
        let mut dropped = 0;
        let mut scrap = [0; READ];
        let drain = async {
            while dropped < LINGER_BYTES {
                match self.stream.read(&mut scrap).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => dropped += n,
                }
            }
        };
        // However it ends, the connection is closed after it.
        let _ = timeout(LINGER, drain).await;
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let fresh = self.buffer.is_empty();
        match self.poll_ahead(cx) {
            Poll::Ready(result) => {
                self.alarm.disarm(Side::Read);
                if fresh {
                    self.read_since = None;
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let patience = if fresh { self.limits.idle_timeout } else { self.limits.header_timeout };
                ready!(self.poll_patience(cx, patience));
                if fresh {
                    return Poll::Ready(Err(late("idle connection")));
                }
                Poll::Ready(Err(self.refused(Refusal { status: 408, reason: "request header came too slowly" })))
            }
        }
    }

    /// What a write that ended with `poll` means: bytes moved, or the viewer has stopped taking them.
    fn written<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            if self.write_since.take().is_some() {
                self.alarm.disarm(Side::Write);
            }
            self.moved();
            return poll;
        }
        let now = Instant::now();
        let since = *self.write_since.get_or_insert(now);
        ready!(self.alarm.poll(cx, Side::Write, now, since + self.limits.write_timeout));
        Poll::Ready(Err(late("viewer takes no bytes")))
    }

    /// Writes with `write`. A part of an answer's body counts as written only when it has been sent on: Pingora gathers a
    /// body of stated length until its end, and a viewer would wait for bytes that the origin sent long ago. The head is
    /// left to go out with the body's first bytes.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        start: &[u8],
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.unsent == 0 {
            match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Ok(n)) => {
                    self.sent += n as u64;
                    if self.owed == Owed::Nothing && matches!(self.mode, Mode::Http2(_)) {
                        self.owed = Owed::Buffered;
                    }
                    if !(self.answering && matches!(self.mode, Mode::Body(_))) {
                        self.answered(start);
                        return self.written(cx, Poll::Ready(Ok(n)));
                    }
                    self.unsent = n;
                }
                failed => return self.written(cx, failed),
            }
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.written(cx, flushed))?;
        Poll::Ready(Ok(std::mem::take(&mut self.unsent)))
    }

    /// Looks at the start of an answer: whether it is the final one, or the interim one that is waited for.
    fn answered(&mut self, bytes: &[u8]) {
        let Some(status) = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) else { return };
        self.answering = status[0] != b'1';
        match (self.awaited, status) {
            (Awaited::Nothing, _) => {}
            (Awaited::Switching, b"101") => {
                self.mode = Mode::Tunnel(Instant::now());
                self.awaited = Awaited::Nothing;
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
            }
            (Awaited::Continue, b"100") => self.awaited = Awaited::Nothing,
            (_, [b'1', ..]) => {}
            _ => self.awaited = Awaited::Nothing,
        }
    }

    /// Sends on what is buffered below.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, flushed)
    }

    /// Puts a flush of an HTTP/2 connection off until the task comes round again, which this asks for.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.owed {
            // The library flushes at the end of every round: only bytes are a reason for another.
            Owed::Nothing => self.poll_sent(cx),
            Owed::Blocked => self.pay(cx),
            Owed::Soon => Poll::Ready(Ok(())),
            Owed::Buffered => {
                self.owed = Owed::Soon;
                cx.waker().wake_by_ref();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Does what was put off.
    fn pay(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_sent(cx);
        self.owed = if sent.is_pending() { Owed::Blocked } else { Owed::Nothing };
        sent
    }

    fn moved(&mut self) {
        if let Mode::Tunnel(last) = &mut self.mode {
            *last = Instant::now();
        }
    }

    fn refused(&mut self, refusal: Refusal) -> io::Error {
        self.refusal = Some(refusal);
        let kind = if refusal.status == 408 { ErrorKind::TimedOut } else { ErrorKind::InvalidData };
        io::Error::new(kind, refusal)
    }
}

fn late(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, reason)
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("stream", &self.stream)
            .field("mode", &self.mode)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}
