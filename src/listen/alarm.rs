//! Alarm: wakes a connection at the earlier of its read and its write deadline.
//!
//! In: deadlines, one for each direction. Out: whether one has passed. Never: what a passed deadline means.

use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for both directions of a connection, made when something first has to be waited for.
///
/// Moving a deadline back does not touch the timer: it fires early once and is set again then. A connection that makes
/// progress all the time therefore never pays for its timeouts.
#[derive(Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    deadlines: [Option<Instant>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

// === impl Alarm ===

impl Alarm {
    /// `side` made progress: it has no deadline now.
    pub(super) fn disarm(&mut self, side: Side) {
        self.deadlines[side as usize] = None;
    }

    /// Ready when `deadline` has passed at `now`; else the task is woken when it has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, side: Side, now: Instant, deadline: Instant) -> Poll<()> {
        if now >= deadline {
            self.disarm(side);
            return Poll::Ready(());
        }
        self.deadlines[side as usize] = Some(deadline);
        let next = self.deadlines.iter().flatten().copied().filter(|other| *other > now).min().unwrap_or(deadline);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if next < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            // It was set for an earlier time, or `next` passed just now: look again with a new clock.
            sleep.as_mut().reset(next);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    /// Waits on `alarm` until the deadline of `side` has passed.
    async fn passed(alarm: &mut Alarm, side: Side, deadline: Instant) {
        poll_fn(|cx| alarm.poll(cx, side, Instant::now(), deadline)).await;
    }

    #[tokio::test]
    async fn a_deadline_moved_either_way_is_kept() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (side, deadline) in [(Side::Read, at(20)), (Side::Write, at(10)), (Side::Read, at(40)), (Side::Read, at(5))]
        {
            passed(&mut alarm, side, deadline).await;
            assert!(Instant::now() >= deadline);
            assert_eq!(alarm.deadlines[side as usize], None);
        }
    }

    #[tokio::test]
    async fn the_earlier_side_wakes_the_task() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let (late, soon) = (start + Duration::from_secs(3600), start + Duration::from_millis(5));
        poll_fn(|cx| {
            let now = Instant::now();
            let read = alarm.poll(cx, Side::Read, now, late);
            assert!(read.is_pending());
            alarm.poll(cx, Side::Write, now, soon)
        })
        .await;
        assert_eq!(alarm.deadlines, [Some(late), None]);
    }
}
