//! Pool: plain connections to origins that wait for another request.
//!
//! In: connections that have served one. Out: the one used last, if it still is what it was. Never: more than it may hold,
//! one origin's connection for another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;

use super::link::Link;

/// Connections kept in all; past it one that has served its request is closed. As many as the full path keeps.
pub const IDLE_MAX: usize = 1024;

/// What tells connections apart: the origin's settings (`peer::Template`) and the address.
pub type Place = (u64, SocketAddr);

/// Idle connections of every origin. Memory: a socket and at most 16 KiB each.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Used last at the end.
    places: HashMap<Place, Vec<Waiting>, ahash::RandomState>,
    count: usize,
}

#[derive(Debug)]
struct Waiting {
    link: Link,
    until: Instant,
}

// === impl Pool ===

impl Pool {
    /// A connection to `place` that is open as far as can be known.
    pub fn take(&self, place: Place, now: Instant) -> Option<Link> {
        let mut idle = self.0.lock();
        loop {
            let waiting = idle.places.get_mut(&place)?.pop()?;
            idle.count -= 1;
            let mut link = waiting.link;
            if waiting.until > now && link.is_quiet() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose last answer was read whole.
    pub fn keep(&self, place: Place, mut link: Link, now: Instant) {
        link.rest();
        let until = now + link.patience.idle;
        let mut idle = self.0.lock();
        if idle.count < IDLE_MAX {
            idle.count += 1;
            idle.places.entry(place).or_default().push(Waiting { link, until });
        }
    }

    /// Closes what has waited too long, or was closed by its origin.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.0.lock();
        idle.places.retain(|_, waiting| {
            waiting.retain_mut(|waiting| waiting.until > now && waiting.link.is_quiet());
            !waiting.is_empty()
        });
        idle.count = idle.places.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Patience;
    use super::*;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};

    const IDLE: Duration = Duration::from_secs(60);

    async fn link(listener: &TcpListener) -> (Link, TcpStream) {
        let patience = Patience { connect: IDLE, read: IDLE, write: IDLE, idle: IDLE };
        let link = Link::connect(listener.local_addr().unwrap(), patience).await.unwrap();
        (link, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_kept_is_taken_once_and_by_its_own_origin() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (pool, now) = (Pool::default(), Instant::now());
        let (one, _other_end) = link(&listener).await;
        pool.keep((1, at), one, now);
        assert!(pool.take((2, at), now).is_none());
        assert!(pool.take((1, at), now).is_some_and(|link| link.reused));
        assert!(pool.take((1, at), now).is_none());
    }

    #[tokio::test]
    async fn old_and_closed_ones_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (pool, now) = (Pool::default(), Instant::now());
        let (one, _other_end) = link(&listener).await;
        pool.keep((1, at), one, now);
        assert!(pool.take((1, at), now + IDLE).is_none());
        let (two, _open) = link(&listener).await;
        let (three, closed) = link(&listener).await;
        pool.keep((1, at), two, now);
        pool.keep((1, at), three, now);
        drop(closed);
        // The end arrives when it arrives.
        for _ in 0..1000 {
            pool.sweep(now);
            if pool.0.lock().count == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pool.0.lock().count, 1);
        pool.sweep(now + IDLE);
        let idle = pool.0.lock();
        assert_eq!((idle.count, idle.places.len()), (0, 0));
    }
}
