//! Iterator: a place in a shard, as callers carry it.
//!
//! In: a stream, a position, when it was given. Out: text, and back. Never: a place in a stream that it was not made for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::super::fault::Fault;

/// "Shard iterators expire 15 minutes after being returned" (API reference, "GetShardIterator").
const LIFE_MS: u64 = 15 * 60 * 1000;
/// Bytes of a position and a time.
const LENGTH: usize = 16;

/// After `position`, in the stream `arn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterator {
    pub arn: String,
    pub position: i64,
    /// Milliseconds since the epoch.
    pub made_ms: u64,
}

// === impl Iterator ===
impl Iterator {
    /// AWS's begin with the stream's ARN too.
    pub fn write(&self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&self.position.to_be_bytes());
        bytes[8..].copy_from_slice(&self.made_ms.to_be_bytes());
        format!("{}|1|{}", self.arn, URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn read(text: &str) -> Option<Iterator> {
        let (arn, rest) = text.split_once("|1|")?;
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(rest).ok()?.try_into().ok()?;
        let (position, made) = bytes.split_at(8);
        let position = i64::from_be_bytes(position.try_into().ok()?);
        let made_ms = u64::from_be_bytes(made.try_into().ok()?);
        Some(Iterator { arn: arn.to_owned(), position, made_ms })
    }

    /// # Errors
    /// ExpiredIteratorException.
    pub fn fresh(&self, now_ms: u64) -> Result<(), Fault> {
        match now_ms.saturating_sub(self.made_ms) > LIFE_MS {
            true => Err(Fault::service("ExpiredIteratorException", "Iterator expired.")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let iterator = Iterator { arn: "arn:aws:dynamodb:r:1:table/t/stream/1.2".into(), position: 7, made_ms: 1000 };
        assert_eq!(Iterator::read(&iterator.write()), Some(iterator.clone()));
        for bad in ["", "arn", "arn|1|", "arn|1|AAAA", "arn|2|AAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(Iterator::read(bad), None, "{bad}");
        }
        assert!(iterator.fresh(1000 + LIFE_MS).is_ok());
        assert_eq!(iterator.fresh(1001 + LIFE_MS).unwrap_err().name(), "ExpiredIteratorException");
    }
}
