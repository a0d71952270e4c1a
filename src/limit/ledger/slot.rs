//! Slot: how one key's counts lie in the ledger's file.
//!
//! In: bytes of a slot. Out: counts by day, or that the bytes are not ours. Never: I/O, a decision about a quota.
//!
//! ```text
//! slot, 1024 bytes    head, 32 bytes    lane 0   lane 1   lane 2   lane 3   (240 bytes each)   padding
//! head                crc32, first day, id (16 bytes), zeros
//! lane                crc32, newest day, counts of 48 days (u32 each), zeros
//! ```
//!
//! Integers are little-endian. A lane lies within one sector of 512 bytes, which disks write whole. The checksum of a lane
//! covers the id, so that what another key left behind is not taken for this one's.

use super::super::period::Day;

/// Bytes of a slot.
pub const SLOT: usize = 1024;

/// Processes that may count at once, each in its own lane: the one that serves, and those that still drain.
pub const LANES: usize = 4;

/// Days that are remembered: the longest period, and the one before for who asks late.
pub const DAYS: usize = 48;

const HEAD: usize = 32;

/// Bytes of a lane.
pub const LANE: usize = 240;

/// Where in its slot a lane begins.
pub const fn lane_at(lane: usize) -> usize {
    HEAD + lane * LANE
}

/// What names a key of a plan: see [`super::id`].
pub type Id = [u8; 16];

/// The head of a slot that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub id: Id,
    /// The day on which the key was first seen.
    pub first: Day,
}

/// What one process counted for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    newest: Day,
    /// The day `d` is at `d % DAYS`, for the `DAYS` days up to `newest`.
    counts: [u32; DAYS],
}

// === impl Head ===
impl Head {
    pub fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[4..8].copy_from_slice(&self.first.to_le_bytes());
        out[8..24].copy_from_slice(&self.id);
        let crc = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when the checksum is wrong, as it is where nothing was ever written.
    pub fn decode(slot: &[u8]) -> Option<Head> {
        let head = slot.get(..HEAD)?;
        if word(head, 0)? != crc32fast::hash(&head[4..]) {
            return None;
        }
        Some(Head { first: word(head, 4)?, id: head.get(8..24)?.try_into().ok()? })
    }
}

// === impl Lane ===
impl Lane {
    pub fn new(day: Day) -> Self {
        Lane { newest: day, counts: [0; DAYS] }
    }

    /// These counts of the `DAYS` days up to `newest`.
    pub fn of_days(newest: Day, of: impl Fn(Day) -> u64) -> Self {
        let mut lane = Lane::new(newest);
        for day in newest.saturating_sub(DAYS as Day - 1)..=newest {
            lane.counts[day as usize % DAYS] = u32::try_from(of(day)).unwrap_or(u32::MAX);
        }
        lane
    }

    pub fn encode(&self, id: &Id) -> [u8; LANE] {
        let mut out = [0; LANE];
        out[4..8].copy_from_slice(&self.newest.to_le_bytes());
        for (bytes, count) in out[8..].chunks_exact_mut(4).zip(self.counts) {
            bytes.copy_from_slice(&count.to_le_bytes());
        }
        let crc = checksum(id, &out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// A lane never written is `Ok(None)`.
    ///
    /// # Errors
    /// The checksum is wrong: another process writes it at this moment, or it is broken.
    pub fn decode(id: &Id, lane: &[u8]) -> Result<Option<Lane>, Torn> {
        let lane = lane.get(..LANE).ok_or(Torn)?;
        if lane.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if word(lane, 0) != Some(checksum(id, &lane[4..])) {
            return Err(Torn);
        }
        let mut counts = [0; DAYS];
        for (count, at) in counts.iter_mut().zip((8..).step_by(4)) {
            *count = word(lane, at).ok_or(Torn)?;
        }
        Ok(Some(Lane { newest: word(lane, 4).ok_or(Torn)?, counts }))
    }

    /// Counts one request. A day that is no longer remembered (a clock that was set back far) counts as the newest.
    pub fn add(&mut self, day: Day) {
        if day > self.newest {
            let between = (day - self.newest).min(DAYS as u32);
            for past in 0..between {
                self.counts[(day - past) as usize % DAYS] = 0;
            }
            self.newest = day;
        }
        let count = self.place(day);
        *count = count.saturating_add(1);
    }

    /// Takes back what [`Lane::add`] counted last.
    pub fn take_back(&mut self, day: Day) {
        let count = self.place(day);
        *count = count.saturating_sub(1);
    }

    fn place(&mut self, day: Day) -> &mut u32 {
        let remembered = day <= self.newest && self.newest - day < DAYS as u32;
        let day = if remembered { day } else { self.newest };
        &mut self.counts[day as usize % DAYS]
    }

    /// Requests of one day; 0 when it is not remembered.
    pub fn of(&self, day: Day) -> u64 {
        let remembered = day <= self.newest && self.newest - day < DAYS as u32;
        if remembered { self.counts[day as usize % DAYS].into() } else { 0 }
    }

    pub fn newest(&self) -> Day {
        self.newest
    }
}

/// The bytes of a lane do not fit their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the checksum is wrong")]
pub struct Torn;

fn checksum(id: &Id, rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(id);
    crc.update(rest);
    crc.finalize()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_lie_within_sectors() {
        for lane in 0..LANES {
            assert_eq!(lane_at(lane) / 512, (lane_at(lane) + LANE - 1) / 512);
        }
        assert!(lane_at(LANES) <= SLOT);
        const { assert!(8 + DAYS * 4 <= LANE) };
    }

    #[test]
    fn heads_and_lanes_read_back() {
        let head = Head { id: [7; 16], first: 20_000 };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(Head::decode(&[0; HEAD]), None);
        assert_eq!(Head::decode(&[]), None);
        let mut lane = Lane::new(20_000);
        lane.add(20_000);
        lane.add(20_003);
        let bytes = lane.encode(&head.id);
        assert_eq!(Lane::decode(&head.id, &bytes), Ok(Some(lane)));
        assert_eq!(Lane::decode(&[8; 16], &bytes), Err(Torn));
        assert_eq!(Lane::decode(&head.id, &[0; LANE]), Ok(None));
        assert_eq!(Lane::decode(&head.id, &bytes[..100]), Err(Torn));
        for at in 0..LANE {
            let mut broken = bytes;
            broken[at] ^= 0x40;
            assert_eq!(Lane::decode(&head.id, &broken), Err(Torn), "{at}");
        }
    }

    #[test]
    fn days_come_and_go() {
        let mut lane = Lane::new(100);
        for day in [100, 100, 101, 147, 100, 148, 90] {
            lane.add(day);
        }
        // 90 is long forgotten and counts as the newest.
        for (day, want) in [(100, 0), (101, 1), (147, 1), (148, 2), (149, 0), (52, 0), (90, 0)] {
            assert_eq!(lane.of(day), want, "{day}");
        }
        lane.add(10_000);
        lane.add(10_000);
        lane.take_back(10_000);
        assert_eq!((100..10_000).map(|day| lane.of(day)).sum::<u64>(), 0);
        assert_eq!(lane.of(10_000), 1);
    }
}
