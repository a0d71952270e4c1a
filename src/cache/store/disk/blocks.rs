//! Blocks: how a body lies on disk.
//!
//! In: a body's bytes. Out: 64 KiB blocks, each followed by its CRC-32, and any range of the body back from them. Never:
//! bytes whose checksum was not compared.

use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::cache::store::StoreError;

/// Bytes of the body in a block; the last one may be shorter.
pub const BLOCK: u64 = 64 << 10;
/// Its checksum.
const SUM: u64 = 4;

/// Bytes on disk of a body of `len` bytes.
pub fn stored_len(len: u64) -> u64 {
    len + len.div_ceil(BLOCK) * SUM
}

/// Where on disk, from the body's start, the block that holds byte `at` begins.
fn block_at(at: u64) -> u64 {
    at / BLOCK * (BLOCK + SUM)
}

/// Puts one block of the body and its checksum behind `out`.
pub fn seal(block: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(block);
    out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
}

/// The bytes `from..end` of the body of `len` bytes that begins at `body_at` in `file`. Blocks.
pub fn read(file: &File, body_at: u64, len: u64, from: u64, end: u64) -> Result<Bytes, StoreError> {
    if from >= end {
        return Ok(Bytes::new());
    }
    let first = from / BLOCK * BLOCK;
    let last = end.div_ceil(BLOCK).saturating_mul(BLOCK).min(len);
    let mut stored = vec![0; (stored_len(last) - block_at(first)) as usize];
    file.read_exact_at(&mut stored, body_at + block_at(first))?;
    let mut body = BytesMut::with_capacity((end - from) as usize);
    let mut at = first;
    for stored in stored.chunks((BLOCK + SUM) as usize) {
        let (block, sum) = stored.split_last_chunk::<4>().ok_or(StoreError::Damaged)?;
        if crc32fast::hash(block) != u32::from_le_bytes(*sum) {
            return Err(StoreError::Damaged);
        }
        let skip = from.saturating_sub(at).min(block.len() as u64) as usize;
        let stop = end.saturating_sub(at).min(block.len() as u64) as usize;
        body.extend_from_slice(&block[skip..stop]);
        at += block.len() as u64;
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_reads_back_and_damage_is_seen() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut stored = vec![9; 7];
            body.chunks(BLOCK as usize).for_each(|block| seal(block, &mut stored));
            assert_eq!(stored.len() as u64, 7 + stored_len(len), "{len}");
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&stored, 0).unwrap();
            for (from, end) in [(0, len), (len / 2, len), (1, len.min(2)), (len.min(BLOCK), len), (len, len)] {
                let want = &body[from.min(end) as usize..end as usize];
                assert_eq!(read(&file, 7, len, from, end).unwrap(), want, "{len}: {from}..{end}");
            }
            if len > BLOCK {
                file.write_all_at(&[body[9] ^ 1], 7 + 9).unwrap();
                assert!(matches!(read(&file, 7, len, 0, 1), Err(StoreError::Damaged)));
                assert!(read(&file, 7, len, BLOCK, len).is_ok(), "the other blocks are whole");
            }
        }
    }
}
