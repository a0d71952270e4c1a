//! Paths: which paths are asked most, in fixed memory.
//!
//! In: a sample of the requests. Out: the heaviest paths with estimated shares. Never: exact counts, more than `CELLS` paths.

use super::totals::PathShare;
use ahash::AHashMap;
use std::cell::Cell;

/// Paths watched at once ("Space-Saving", Metwally et al. 2005): any path with more than 1/128 of the traffic is among them.
const CELLS: usize = 128;
/// One request in this many is looked at.
const SAMPLE: u32 = 32;
/// Samples after which all counts are halved, so that yesterday's favourites fade.
const FADE: u64 = 16_384;
/// Longer paths are cut for display.
const MAX_PATH: usize = 256;

/// The sketch.
#[derive(Debug, Default)]
pub struct Paths {
    counts: AHashMap<Box<[u8]>, u64>,
    seen: u64,
    key: Vec<u8>,
}

// === impl Paths ===
impl Paths {
    pub fn count(&mut self, host: &str, path: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(host.as_bytes());
        self.key.extend_from_slice(path);
        self.key.truncate(MAX_PATH);
        self.seen += 1;
        if let Some(count) = self.counts.get_mut(self.key.as_slice()) {
            *count += 1;
        } else {
            let inherited = if self.counts.len() >= CELLS { self.evict() } else { 0 };
            self.counts.insert(self.key.as_slice().into(), inherited + 1);
        }
        if self.seen >= FADE {
            self.seen /= 2;
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    pub fn heaviest(&self, most: usize) -> Vec<PathShare> {
        let mut paths: Vec<_> = self.counts.iter().collect();
        paths.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        paths
            .into_iter()
            .take(most)
            .map(|(path, &count)| PathShare {
                path: String::from_utf8_lossy(path).into_owned(),
                share: count as f64 / self.seen.max(1) as f64,
            })
            .collect()
    }

    /// Puts the lightest path out; the newcomer inherits its count, which keeps every estimate an upper bound.
    fn evict(&mut self) -> u64 {
        let Some((path, count)) = self.counts.iter().min_by_key(|(_, count)| **count).map(|(p, c)| (p.clone(), *c))
        else {
            return 0;
        };
        self.counts.remove(&path);
        count
    }
}

/// Whether this thread's next request is one that is looked at.
pub fn sampled() -> bool {
    thread_local! { static TURN: Cell<u32> = const { Cell::new(0) } }
    TURN.with(|turn| {
        turn.set(turn.get().wrapping_add(1));
        turn.get() % SAMPLE == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavy_ones_stay_among_ten_thousand() {
        let mut paths = Paths::default();
        for n in 0..10_000_u32 {
            paths.count("h", format!("/rare/{n}").as_bytes());
            if n % 4 == 0 {
                paths.count("h", b"/popular");
            }
            if n % 10 == 0 {
                paths.count("h", b"/second");
            }
        }
        let top = paths.heaviest(2);
        assert_eq!((top[0].path.as_str(), top[1].path.as_str()), ("h/popular", "h/second"));
        assert!((0.15..0.25).contains(&top[0].share), "{top:?}");
        assert!(paths.counts.len() <= CELLS);
    }

    #[test]
    fn old_favourites_fade() {
        let mut paths = Paths::default();
        (0..FADE).for_each(|_| paths.count("h", b"/old"));
        (0..FADE * 2).for_each(|_| paths.count("h", b"/new"));
        assert_eq!(paths.heaviest(1)[0].path, "h/new");
        assert!(paths.seen < FADE);
    }

    #[test]
    fn long_and_invalid_paths_are_shown_cut() {
        let mut paths = Paths::default();
        paths.count("", &[0xff; 1000]);
        assert_eq!(paths.heaviest(1)[0].path, "\u{fffd}".repeat(MAX_PATH));
    }
}
