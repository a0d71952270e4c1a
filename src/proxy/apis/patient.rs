//! Patient: writes to a client, as long as it reads.
//!
//! In: bytes. Out: them, written. Never: a wait without an end for a client that takes nothing; a timer while it takes all at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

/// A side that is written to.
pub struct Patient<W> {
    to: W,
    most: Duration,
    /// While it takes nothing.
    alarm: Option<Pin<Box<Sleep>>>,
}

// === impl Patient ===
impl<W: AsyncWrite + Unpin> Patient<W> {
    /// `most`: how long it may take nothing.
    pub fn new(to: W, most: Duration) -> Self {
        Patient { to, most, alarm: None }
    }

    fn poll<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut W>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let done = work(Pin::new(&mut this.to), cx);
        if done.is_ready() {
            this.alarm = None;
            return done;
        }
        let most = this.most;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep(most)));
        alarm.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Patient<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |to, cx| to.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |to, cx| to.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.to.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |to, cx| to.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |to, cx| to.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_client_that_reads_gets_all_and_one_that_does_not_is_given_up() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut patient = Patient::new(near, Duration::MAX);
        let mut got = [0; 100];
        let (written, read) = tokio::join!(patient.write_all(&[7; 100]), far.read_exact(&mut got));
        assert_eq!((written.is_ok(), read.is_ok(), got), (true, true, [7; 100]));
        assert!(patient.alarm.is_none(), "no timer is left");

        let (near, far) = tokio::io::duplex(16);
        let mut patient = Patient::new(near, Duration::from_millis(1));
        let error = patient.write_all(&[7; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);
    }
}
