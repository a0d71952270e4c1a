//! Read: which bytes a reader gets in each of the wire's modes, and how long it waits for them.
//!
//! In: the stream below, the wire's buffer. Out: one message's bytes, a tunnel's, or silence. Never: writes.

use super::super::alarm::Side;
use super::super::refuse::Refusal;
use super::{AHEAD, Awaited, Mode, Owed, READ, Wire, late};
use bytes::Buf;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

impl Wire {
    /// Reads into the wire's own buffer.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [const { MaybeUninit::uninit() }; READ];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        let read = ready!(self.poll_source(cx, &mut bytes))?;
        self.buffer.extend_from_slice(bytes.filled());
        Poll::Ready(Ok(read))
    }

    /// Reads from the stream: how many bytes came, 0 at its end.
    pub(super) fn poll_source(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        let read = out.filled().len() - before;
        self.ended = read == 0 && out.remaining() > 0;
        self.received += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Ready when the current read has waited for longer than `patience`.
    pub(super) fn poll_patience(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        let now = Instant::now();
        let since = *self.read_since.get_or_insert(now);
        self.alarm.poll(cx, Side::Read, now, since + patience)
    }

    /// The body's next bytes.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        match self.poll_bytes(cx, out) {
            Poll::Ready(result) => result?,
            Poll::Pending if self.awaited == Awaited::Continue => return Poll::Pending,
            Poll::Pending => {
                ready!(self.poll_patience(cx, self.pace.patience(&self.limits)));
                return Poll::Ready(Err(self.refused(Refusal::SLOW_BODY)));
            }
        }
        let Mode::Body(body) = &mut self.mode else { return Poll::Ready(Ok(())) };
        // The bytes are in the reader's buffer: what is not this message's is taken back before it can be seen.
        let fresh = &out.filled()[before..];
        let taken = match body.take(fresh) {
            Ok(taken) => taken,
            Err(refusal) => {
                out.set_filled(before);
                return Poll::Ready(Err(self.refused(refusal)));
            }
        };
        if taken < fresh.len() {
            let kept = self.buffer.split();
            self.buffer.extend_from_slice(&fresh[taken..]);
            self.buffer.unsplit(kept);
            out.set_filled(before + taken);
        }
        let waited = self.read_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.alarm.disarm(Side::Read);
        self.pace.came(taken, waited);
        if taken > 0 && self.awaited == Awaited::Continue {
            self.awaited = Awaited::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes from the buffer, or else from the stream.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return self.poll_source(cx, out).map_ok(|_| ());
        }
        let n = self.buffer.len().min(out.remaining());
        out.put_slice(&self.buffer[..n]);
        self.buffer.advance(n);
        Poll::Ready(Ok(()))
    }

    /// Between the end of a body and the next head: silence, until the viewer goes away with nothing left to ask.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.awaited == Awaited::Switching {
            self.reader = Some(cx.waker().clone());
        }
        while self.buffer.len() < AHEAD && !self.ended {
            ready!(self.poll_ahead(cx))?;
        }
        if self.ended && self.buffer.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(super) fn poll_tunnel(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.poll_bytes(cx, out) {
            Poll::Ready(result) => {
                self.moved();
                Poll::Ready(result)
            }
            Poll::Pending => {
                let Mode::Tunnel(last) = self.mode else { return Poll::Pending };
                ready!(self.alarm.poll(cx, Side::Read, Instant::now(), last + self.limits.idle_timeout));
                Poll::Ready(Err(late("idle tunnel")))
            }
        }
    }

    pub(super) fn poll_h2(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.owed != Owed::Nothing
            && let Poll::Ready(Err(error)) = self.pay(cx)
        {
            return Poll::Ready(Err(error));
        }
        let before = out.filled().len();
        let bytes = self.poll_bytes(cx, out);
        let Mode::Http2(frames) = &mut self.mode else { return bytes };
        match bytes {
            Poll::Ready(result) => {
                result?;
                if let Err(reason) = frames.take(&out.filled()[before..], Instant::now) {
                    out.set_filled(before);
                    log::debug!("HTTP/2 connection ended: {reason}");
                    return Poll::Ready(Err(io::Error::new(ErrorKind::ConnectionAborted, reason)));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if frames.begun() => Poll::Pending,
            Poll::Pending => {
                ready!(self.poll_patience(cx, self.limits.header_timeout));
                Poll::Ready(Err(late("no HTTP/2 preface")))
            }
        }
    }
}
