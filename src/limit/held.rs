//! Held: how much memory the bodies take that are read before anybody can vouch for them, until their requests end.
//!
//! In: whose body, how many bytes more came. Out: a [`Hold`] that counts them until it is dropped, or a refusal. Never: room for what was
//! only announced: that would be anybody's to reserve.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::heavy::network;

/// Bytes that are held now.
#[derive(Debug, Default)]
pub struct Held {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: usize,
    /// By network, of those that hold some: no more than there are requests.
    of: HashMap<u64, usize>,
}

/// What one body takes.
#[derive(Debug)]
pub struct Hold {
    held: Arc<Held>,
    network: u64,
    bytes: usize,
}

/// Why there is no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many bodies that are signed or shown to functions are held at once (limits.signed_bodies)")]
    All,
    #[error(
        "too many bodies of this address that are signed or shown to functions are held at once (limits.signed_bodies_per_address)"
    )]
    Address,
}

// === impl Held ===
impl Held {
    /// A body of `address` (IPv6: of its /64), of which nothing came yet.
    pub fn begin(self: &Arc<Self>, address: IpAddr) -> Hold {
        Hold { held: self.clone(), network: network(address), bytes: 0 }
    }
}

// === impl Hold ===
impl Hold {
    /// Counts `bytes` more, of at most `all` that are held and `each` of one address.
    ///
    /// # Errors
    /// One of the bounds is reached; nothing was counted.
    pub fn more(&mut self, bytes: usize, all: usize, each: usize) -> Result<(), Full> {
        if bytes == 0 {
            return Ok(());
        }
        let mut state = self.held.state.lock();
        if state.all.saturating_add(bytes) > all {
            return Err(Full::All);
        }
        let own = state.of.get(&self.network).copied().unwrap_or(0);
        if own.saturating_add(bytes) > each {
            return Err(Full::Address);
        }
        state.of.insert(self.network, own + bytes);
        state.all += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut state = self.held.state.lock();
        state.all -= self.bytes;
        match state.of.get_mut(&self.network) {
            Some(own) if *own > self.bytes => *own -= self.bytes,
            _ => drop(state.of.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_for_all_and_for_an_address_until_they_are_dropped() {
        let held = Arc::new(Held::default());
        let begin = |address: &str| held.begin(address.parse().unwrap());
        let (mut a, mut a_again, mut b) = (begin("192.0.2.1"), begin("::ffff:192.0.2.1"), begin("192.0.2.2"));
        assert_eq!(b.more(0, 200, 100), Ok(()));
        assert!(held.state.lock().of.is_empty(), "who holds nothing takes no room");
        assert_eq!(a.more(60, 200, 100), Ok(()));
        assert_eq!(a_again.more(41, 200, 100), Err(Full::Address));
        assert_eq!(a_again.more(40, 200, 100), Ok(()));
        assert_eq!(b.more(101, 200, 100), Err(Full::All));
        assert_eq!(b.more(100, 200, 100), Ok(()));
        drop(a);
        assert_eq!(a_again.more(60, 200, 100), Ok(()), "what the other held is free again");
        drop((a_again, b));
        let state = held.state.lock();
        assert_eq!((state.all, state.of.len()), (0, 0));
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_address() {
        let held = Arc::new(Held::default());
        let mut holds = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| held.begin(text.parse().unwrap()));
        let got = holds.each_mut().map(|hold| hold.more(10, 100, 10));
        assert_eq!(got, [Ok(()), Err(Full::Address), Ok(())]);
    }
}
