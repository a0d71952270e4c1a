//! Message: what nodes tell one another, as bytes.
//!
//! In: counts. Out: bodies of messages, and counts again. Never: trust in a length.
//!
//! ```text
//! rates    1  boot u64  sequence u64  count u32  (limit u128  key u128  count u32) each
//! usage    2  lineage u64  count u32  (id 16 bytes  days u8  (day u32  count u32) each) each
//! ```
//!
//! Integers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::KEYS_MAX;
use crate::limit::ledger::{Id, SLOTS, Told};
use crate::limit::sharing::Spent;

/// What a body is, and in which version.
const RATES: u8 = 1;
const USAGE: u8 = 2;

/// What a process admitted of shared limits since its message before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    pub boot: u64,
    /// From 1 on.
    pub sequence: u64,
    pub spent: Vec<Spent>,
}

/// What a ledger has counted, by key and day: absolute, so that the newest message says all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub lineage: u64,
    pub counts: Vec<Told>,
}

/// These bytes are no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no message of counters")]
pub struct Malformed;

// === impl Rates ===
impl Rates {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(21 + 36 * self.spent.len());
        out.put_u8(RATES);
        out.put_u64_le(self.boot);
        out.put_u64_le(self.sequence);
        out.put_u32_le(length(self.spent.len()));
        for spent in &self.spent {
            out.put_u128_le(spent.limit);
            out.put_u128_le(spent.key);
            out.put_u32_le(spent.count);
        }
        out.freeze()
    }

    /// # Errors
    /// Anything but what [`Rates::encode`] makes.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        kind(&mut body, RATES)?;
        let (boot, sequence) = (u64_of(&mut body)?, u64_of(&mut body)?);
        let spent = list(&mut body, KEYS_MAX, |body| {
            let (limit, key) = (body.try_get_u128_le(), body.try_get_u128_le());
            let count = body.try_get_u32_le();
            Ok(Spent { limit: limit.map_err(cut)?, key: key.map_err(cut)?, count: count.map_err(cut)? })
        })?;
        whole(body, Rates { boot, sequence, spent })
    }
}

// === impl Usage ===
impl Usage {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(USAGE);
        out.put_u64_le(self.lineage);
        out.put_u32_le(length(self.counts.len()));
        for told in &self.counts {
            out.put_slice(&told.id);
            out.put_u8(u8::try_from(told.days.len()).unwrap_or(u8::MAX));
            for (day, count) in told.days.iter().take(usize::from(u8::MAX)) {
                out.put_u32_le(*day);
                out.put_u32_le(*count);
            }
        }
        out.freeze()
    }

    /// # Errors
    /// Anything but what [`Usage::encode`] makes.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        kind(&mut body, USAGE)?;
        let lineage = u64_of(&mut body)?;
        let counts = list(&mut body, SLOTS as usize, |body| {
            let mut id = Id::default();
            body.try_copy_to_slice(&mut id).map_err(cut)?;
            let days = body.try_get_u8().map_err(cut)?;
            let day = |_| Ok((body.try_get_u32_le().map_err(cut)?, body.try_get_u32_le().map_err(cut)?));
            Ok(Told { id, days: (0..days).map(day).collect::<Result<_, Malformed>>()? })
        })?;
        whole(body, Usage { lineage, counts })
    }
}

fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn cut(_: bytes::TryGetError) -> Malformed {
    Malformed
}

fn kind(body: &mut &[u8], wanted: u8) -> Result<(), Malformed> {
    match body.try_get_u8() {
        Ok(kind) if kind == wanted => Ok(()),
        _ => Err(Malformed),
    }
}

fn u64_of(body: &mut &[u8]) -> Result<u64, Malformed> {
    body.try_get_u64_le().map_err(cut)
}

/// Grows as the bytes come, not as their number says.
fn list<T>(
    body: &mut &[u8],
    most: usize,
    mut one: impl FnMut(&mut &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = body.try_get_u32_le().map_err(cut)? as usize;
    if count > most {
        return Err(Malformed);
    }
    (0..count).map(|_| one(body)).collect()
}

fn whole<T>(rest: &[u8], value: T) -> Result<T, Malformed> {
    if rest.is_empty() { Ok(value) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_whole_or_not_at_all() {
        let spent = |n: u32| Spent { limit: u128::from(n) << 100, key: u128::MAX - u128::from(n), count: n };
        let rates = Rates { boot: 7, sequence: u64::MAX, spent: (0..3).map(spent).collect() };
        let told = |n: u8| Told { id: [n; 16], days: (0..u32::from(n)).map(|day| (20_000 + day, day * 3)).collect() };
        let usage = Usage { lineage: 9, counts: (0..4).map(told).collect() };
        assert_eq!(Rates::decode(&rates.encode()), Ok(rates.clone()));
        assert_eq!(Usage::decode(&usage.encode()), Ok(usage.clone()));
        for bytes in [rates.encode(), usage.encode()] {
            for end in 0..bytes.len() {
                assert_eq!(Rates::decode(&bytes[..end]), Err(Malformed));
                assert_eq!(Usage::decode(&bytes[..end]), Err(Malformed));
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!((Rates::decode(&longer), Usage::decode(&longer)), (Err(Malformed), Err(Malformed)));
        }
        let mut many = rates.encode().to_vec();
        many[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Rates::decode(&many), Err(Malformed));
    }
}
