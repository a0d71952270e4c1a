//! Seldom: says what goes wrong with the disk, and not once for every object.
//!
//! In: errors as they happen. Out: a warning, with how many were not worth one. Never: more than one in [`EVERY`].

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two warnings. A full disk fails every write; `disk_errors` counts them all.
const EVERY: Duration = Duration::from_secs(10);

/// When the last warning was, and what was left unsaid since.
static SAID: Mutex<Said> = Mutex::new(Said { last: None, unsaid: 0 });

#[derive(Debug)]
struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

/// Warns of `error`, if nothing was warned of lately.
pub fn warn(error: &dyn std::fmt::Display) {
    let unsaid = SAID.lock().turn(Instant::now());
    match unsaid {
        Some(0) => log::warn!("cache disk: {error}"),
        Some(unsaid) => log::warn!("cache disk: {error} ({unsaid} more errors since the last warning)"),
        None => {}
    }
}

// === impl Said ===
impl Said {
    /// How many were left unsaid before this one, which may be said; else it counts among them.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_and_none_is_lost() {
        let start = Instant::now();
        let mut said = Said { last: None, unsaid: 0 };
        for (second, want) in [(0, Some(0)), (1, None), (9, None), (10, Some(2)), (11, None), (30, Some(1))] {
            assert_eq!(said.turn(start + Duration::from_secs(second)), want, "{second}");
        }
    }
}
