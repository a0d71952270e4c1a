//! Limit: how often somebody may come.
//!
//! In: who asks, for what, now. Out: [`Admitted`] or [`Refused`], and what the viewer is told of it. Never: an answer to the
//! viewer, who somebody is (`access`), memory or disk past its bound.
//!
//! Limits that nodes share: [`pace`] has the rule and its bound, [`Sharing`] what they tell one another.
//!
//! One [`Registry`] and one [`Ledger`] live as long as the process; each configuration has its [`Limits`].

mod admit;
mod bucket;
pub mod headers;
mod heavy;
mod held;
mod inflight;
pub mod ledger;
pub mod pace;
pub mod period;
mod plan;
mod registry;
pub mod sharing;
mod table;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use admit::{Admitted, Kind, Limits, Now, Refused, Who};
pub use bucket::{Buckets, Decision};
pub use headers::Shown;
pub use heavy::Heavy;
pub use held::{Full, Held, Hold};
pub use inflight::{Inflight, Permit};
pub use ledger::Ledger;
pub use plan::PlanId;
pub use registry::{Registry, Scope};
pub use sharing::Sharing;

/// Reads the time for the limits of one process.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

// === impl Clock ===
impl Clock {
    /// Begins at zero. One for the life of the process: its times are compared with those that the buckets keep.
    #[allow(clippy::new_without_default)] // A second one would be a mistake.
    pub fn new() -> Self {
        Clock(Instant::now())
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ns: u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX), wall_ms: wall.as_millis() as u64 }
    }
}
