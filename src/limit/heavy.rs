//! Heavy: addresses that ask far too often, refused before anything else is looked at.
//!
//! In: an address, now. Out: yes or no, by an estimate. Never: memory that grows with addresses, an exact count.
//!
//! A count-min sketch for this second and one for the last, weighed by how much of the last one is less than a second ago. It
//! may count an address too high by what others put in all of its counters, never too low but at the turn of a second.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use pingora_limits::estimator::Estimator;

/// Counters that an address has in each sketch.
const HASHES: usize = 4;

/// Counters of one hash: with 100,000 requests a second the error is about 4 requests (e/n, "count-min sketch").
const SLOTS: usize = 1 << 16;

const SECOND: u64 = 1_000_000_000;

/// See the module's documentation. 4 MiB.
pub struct Heavy {
    /// The second `n` is counted in the sketch `n % 2`.
    sketches: [Estimator; 2],
    /// The newest second that is counted.
    second: AtomicU64,
    most: u64,
}

// === impl Heavy ===
impl Heavy {
    pub fn new(per_second: NonZeroU32) -> Self {
        Heavy {
            sketches: [Estimator::new(HASHES, SLOTS), Estimator::new(HASHES, SLOTS)],
            second: AtomicU64::new(0),
            most: per_second.get().into(),
        }
    }

    /// Requests a second of one address.
    pub fn per_second(&self) -> u64 {
        self.most
    }

    /// Counts a request, unless it is one too many. `now` is in nanoseconds of a clock that does not go back. What is refused
    /// is not counted: an address that never stops asking still gets its share.
    pub fn allowed(&self, address: IpAddr, now: u64) -> bool {
        let second = now / SECOND;
        self.turn(second);
        let key = network(address);
        let [this, last] = [second, second.wrapping_sub(1)].map(|second| &self.sketches[second as usize % 2]);
        let of = |sketch: &Estimator| u64::try_from(sketch.get(key)).unwrap_or(0);
        let rest = u128::from(SECOND - now % SECOND);
        let before = (u128::from(of(last)) * rest / u128::from(SECOND)) as u64;
        if before.saturating_add(of(this)) >= self.most {
            return false;
        }
        this.incr(key, 1);
        true
    }

    /// Empties what belongs to seconds that are over; one of the threads that come first in a second does.
    fn turn(&self, second: u64) {
        let newest = self.second.load(Ordering::Acquire);
        if second <= newest
            || self.second.compare_exchange(newest, second, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        self.sketches[second as usize % 2].reset();
        if second > newest + 1 {
            self.sketches[(second as usize + 1) % 2].reset();
        }
    }
}

impl fmt::Debug for Heavy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heavy").field("per_second", &self.most).finish_non_exhaustive()
    }
}

/// An IPv4 address, or the /64 that one IPv6 subscriber has at least (RFC 6177 §2).
pub(super) fn network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => u64::from(v4.to_bits()),
            None => prefix(v6),
        },
    }
}

/// No such prefix is an IPv4 address: `::/32` is not given to anybody, and its bits are set apart.
fn prefix(v6: Ipv6Addr) -> u64 {
    match (v6.to_bits() >> 64) as u64 {
        low if low <= u64::from(u32::MAX) => low | 1 << 63,
        high => high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heavy(most: u32) -> Heavy {
        Heavy::new(NonZeroU32::new(most).unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_share_and_no_more() {
        let heavy = heavy(100);
        // A thousand a second for ten seconds.
        let mut admitted = [0u32; 10];
        for request in 0..10_000u64 {
            let now = request * 1_000_000;
            admitted[(now / SECOND) as usize] += u32::from(heavy.allowed(ip("192.0.2.1"), now));
        }
        assert_eq!(admitted[0], 100);
        for (second, &count) in admitted.iter().enumerate().skip(1) {
            assert!((45..=101).contains(&count), "second {second}: {admitted:?}");
        }
        assert!(heavy.allowed(ip("192.0.2.2"), 9_999_999_999));
        // A pause forgets.
        assert!((0..100).all(|_| heavy.allowed(ip("192.0.2.1"), 60 * SECOND)));
        assert!(!heavy.allowed(ip("192.0.2.1"), 60 * SECOND));
    }

    #[test]
    fn what_counts_as_one_address() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "0.0.0.0", false),
        ] {
            assert_eq!(network(ip(one)) == network(ip(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn many_addresses_do_not_drown_one() {
        let heavy = heavy(50);
        let refused = (0..200_000u32).filter(|&n| !heavy.allowed(IpAddr::from(n.to_be_bytes()), SECOND)).count();
        assert_eq!(refused, 0);
    }
}
