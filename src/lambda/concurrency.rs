//! Concurrency: how many calls may run at once, of all functions and of each.
//!
//! In: the account's limit, reservations, who wants to run. Out: a seat, or why there is none. Never: waiting.
//!
//! Lambda Developer Guide, "Understanding Lambda function scaling": a reservation is taken out of what all others share, and is
//! the most that its function can have.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fault::Reason;

/// What must be left for functions without a reservation (Lambda API reference, "PutFunctionConcurrency").
pub(super) const UNRESERVED_LEAST: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    account: usize,
    reserved: HashMap<String, usize>,
    /// Of functions with calls that run.
    running: HashMap<String, usize>,
}

/// The right to run one call; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    function: String,
}

// === impl Seats ===
impl Seats {
    pub(super) fn new(account: usize) -> Self {
        Seats(Arc::new(Mutex::new(State { account, ..State::default() })))
    }

    /// From now on; calls that run go on.
    pub(super) fn limit(&self, account: usize, reserved: HashMap<String, usize>) {
        let mut state = self.0.lock();
        state.account = account;
        state.reserved = reserved;
    }

    pub(super) fn take(&self, function: &str) -> Result<Seat, Reason> {
        let mut state = self.0.lock();
        let own = state.running.get(function).copied().unwrap_or(0);
        match state.reserved.get(function) {
            Some(most) if own >= *most => return Err(Reason::Reserved),
            Some(_) => {}
            None => {
                let kept: usize = state.reserved.values().sum();
                let shared = state.running.iter().filter(|(name, _)| !state.reserved.contains_key(*name));
                let taken: usize = shared.map(|(_, running)| running).sum();
                if taken >= state.account.saturating_sub(kept) {
                    return Err(Reason::Concurrency);
                }
            }
        }
        *state.running.entry(function.to_owned()).or_default() += 1;
        drop(state);
        Ok(Seat { seats: self.clone(), function: function.to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.0.lock();
        if let Some(running) = state.running.get_mut(&self.function) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(&self.function);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(account: usize, reserved: &[(&str, usize)]) -> Seats {
        let seats = Seats::new(account);
        seats.limit(account, reserved.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect());
        seats
    }

    #[test]
    fn a_reservation_is_kept_and_is_the_most() {
        let seats = seats(5, &[("own", 2), ("off", 0)]);
        let mut held = Vec::new();
        for (function, want) in [
            ("a", None),
            ("b", None),
            ("a", None),
            // 5 - 2 are shared.
            ("a", Some(Reason::Concurrency)),
            ("c", Some(Reason::Concurrency)),
            ("own", None),
            ("own", None),
            ("own", Some(Reason::Reserved)),
            ("off", Some(Reason::Reserved)),
        ] {
            match seats.take(function) {
                Ok(seat) => {
                    assert_eq!(None, want, "{function}");
                    held.push(seat);
                }
                Err(reason) => assert_eq!(Some(reason), want, "{function}"),
            }
        }
        drop(held);
        assert!(seats.0.lock().running.is_empty());
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let seats = seats(2, &[]);
        let first = seats.take("a").unwrap();
        seats.limit(1, HashMap::new());
        assert_eq!(seats.take("b").err(), Some(Reason::Concurrency));
        drop(first);
        assert!(seats.take("b").is_ok());
    }
}
