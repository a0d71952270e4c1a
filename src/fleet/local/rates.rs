//! Rates: what nodes admitted a moment ago, in memory.
//!
//! In: messages, now. Out: those of the last seconds. Never: a disk.

use std::collections::VecDeque;
use std::time::Instant;

use crate::fleet::bus::{Message, RATES_FOR, RATES_MAX};

/// The newest messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: u64,
    kept: VecDeque<(Instant, u64, Message)>,
}

// === impl Rates ===
impl Rates {
    /// Keeps a message, once under its id; its position.
    pub fn push(&mut self, message: Message, now: Instant) -> u64 {
        self.expire(now);
        if let Some((_, seq, _)) = self.kept.iter().find(|(_, _, kept)| kept.id == message.id) {
            return *seq;
        }
        self.last += 1;
        self.kept.push_back((now, self.last, message));
        if self.kept.len() > RATES_MAX {
            self.kept.pop_front();
        }
        self.last
    }

    /// The first position that is kept and the newest.
    pub fn bounds(&mut self, now: Instant) -> (u64, u64) {
        self.expire(now);
        (self.kept.front().map_or(self.last + 1, |(_, seq, _)| *seq), self.last)
    }

    pub fn after(&mut self, after: u64, most: usize, now: Instant) -> Vec<(u64, Message)> {
        self.expire(now);
        let newer = self.kept.iter().filter(|(_, seq, _)| *seq > after).take(most);
        newer.map(|(_, seq, message)| (*seq, message.clone())).collect()
    }

    fn expire(&mut self, now: Instant) {
        while self.kept.front().is_some_and(|(at, _, _)| now.duration_since(*at) > RATES_FOR) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rates_are_kept_for_seconds_and_their_order_goes_on() {
        let mut rates = Rates::default();
        let message = |id: usize| Message { subject: "fra".into(), id: id.to_string(), body: bytes::Bytes::new() };
        let began = Instant::now();
        assert_eq!(rates.bounds(began), (1, 0));
        assert_eq!(rates.push(message(1), began), 1);
        assert_eq!(rates.push(message(1), began), 1, "the same id");
        assert_eq!(rates.push(message(2), began + Duration::from_secs(1)), 2);
        assert_eq!(rates.bounds(began + RATES_FOR), (1, 2));
        let later = began + RATES_FOR + Duration::from_millis(500);
        assert_eq!(rates.after(0, 9, later), [(2, message(2))]);
        assert_eq!(rates.bounds(later + RATES_FOR), (3, 2), "all gone");
        assert_eq!(rates.push(message(1), later + RATES_FOR), 3);
        for id in 0..RATES_MAX + 5 {
            rates.push(message(100 + id), later + RATES_FOR);
        }
        let (first, last) = rates.bounds(later + RATES_FOR);
        assert_eq!((last - first + 1) as usize, RATES_MAX);
    }
}
