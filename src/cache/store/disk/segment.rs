//! Segment: how records lie in a file.
//!
//! In: what is stored, as bytes. Out: a record's header, a segment's table of records, and both back, or nothing when they
//! are damaged. Never: a file that it opened itself, a decision about which records count.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::blocks;
use super::codec::{self, Described};
use super::index::Place;
use crate::cache::object::KeyHash;
use crate::cache::store::StoreError;

/// First bytes of every segment; the last digit is the layout's version: another version's segments are dropped.
pub const MAGIC: [u8; 8] = *b"RIMSEG01";
const RECORD_MAGIC: u32 = 0x5243_4552;
const TABLE_MAGIC: [u8; 8] = *b"RIMTABLE";
/// Bytes of a record before its described part.
pub const HEADER: usize = 52;
/// Bytes of one record in a segment's table.
pub const ENTRY: usize = 52;
/// Bytes at the very end of a sealed segment: where the table begins, how many entries, their CRC-32, magic.
pub const TRAILER: usize = 24;
/// A key, a meta and a head together are not larger than this; a header that says so is damaged.
const MAX_DESCRIBED: u32 = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole answer.
    Put = 1,
    /// A new meta and head for a body that lies elsewhere.
    Refresh = 2,
    /// The slot is empty from here on.
    Remove = 3,
}

/// One record of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub kind: Kind,
    pub hash: KeyHash,
    /// `head_seg` is the segment the entry is in.
    pub place: Place,
}

/// Segment number `id` in `dir`.
pub fn path(dir: &Path, id: u32) -> PathBuf {
    dir.join(format!("{id:08x}.segment"))
}

/// The number of the segment at `path`; `None` when it is not one.
pub fn id(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(".segment")?;
    u32::from_str_radix(name, 16).ok()
}

/// Length of a described part; an error when it could not be read back.
pub fn described_len(described: &[u8]) -> std::io::Result<u32> {
    let len = u32::try_from(described.len()).ok().filter(|len| *len <= MAX_DESCRIBED);
    len.ok_or_else(|| std::io::Error::other("an answer's key and header fields are too large"))
}

/// A record's header and described part.
pub fn record(entry: &Entry, described: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + described.len());
    out.extend_from_slice(&RECORD_MAGIC.to_le_bytes());
    out.extend_from_slice(&[entry.kind as u8, 0, 0, 0]);
    out.extend_from_slice(&entry.hash);
    out.extend_from_slice(&entry.place.head_len.to_le_bytes());
    out.extend_from_slice(&entry.place.body_seg.to_le_bytes());
    out.extend_from_slice(&entry.place.body_at.to_le_bytes());
    out.extend_from_slice(&entry.place.body_len.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&out);
    sum.update(described);
    out.extend_from_slice(&sum.finalize().to_le_bytes());
    out.extend_from_slice(described);
    out
}

/// The described part of the record at `place`, checked.
pub fn read_described(file: &File, hash: &KeyHash, place: Place) -> Result<Described, StoreError> {
    let (entry, described) = read_record(file, place.head_seg, place.head_at).ok_or(StoreError::Damaged)?;
    if entry.hash != *hash || entry.place != place {
        return Err(StoreError::Damaged);
    }
    codec::decode(&described).ok_or(StoreError::Damaged)
}

/// The bytes of the described part, checked, for writing them again.
pub fn read_raw(file: &File, place: Place) -> Option<Vec<u8>> {
    read_record(file, place.head_seg, place.head_at).map(|(_, described)| described)
}

/// The records of segment `id`, which was never sealed, up to the first that is torn; and where that begins.
pub fn scan(file: &File, id: u32, len: u64) -> (Vec<Entry>, u64) {
    let mut entries = Vec::new();
    let mut at = MAGIC.len() as u64;
    while let Some((entry, _)) = read_record(file, id, at) {
        let end = end_of(&entry);
        if end > len {
            break;
        }
        entries.push(entry);
        at = end;
    }
    (entries, at)
}

/// Whether the file is a segment of this layout.
pub fn is_segment(file: &File) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == MAGIC
}

/// What seals a segment whose records end at `at`.
pub fn table(entries: &[Entry], at: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY + TRAILER);
    for entry in entries {
        out.extend_from_slice(&[entry.kind as u8, 0, 0, 0]);
        out.extend_from_slice(&entry.hash);
        out.extend_from_slice(&entry.place.head_at.to_le_bytes());
        out.extend_from_slice(&entry.place.head_len.to_le_bytes());
        out.extend_from_slice(&entry.place.body_seg.to_le_bytes());
        out.extend_from_slice(&entry.place.body_at.to_le_bytes());
        out.extend_from_slice(&entry.place.body_len.to_le_bytes());
    }
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&TABLE_MAGIC);
    out
}

/// The table of segment `id`; `None` when it was not sealed or the table is damaged.
pub fn read_table(file: &File, id: u32, len: u64) -> Option<Vec<Entry>> {
    let mut trailer = [0; TRAILER];
    let trailer_at = len.checked_sub(TRAILER as u64)?;
    file.read_exact_at(&mut trailer, trailer_at).ok()?;
    let mut rest = &trailer[..];
    let at = u64::from_le_bytes(take(&mut rest)?);
    let count = u32::from_le_bytes(take(&mut rest)?);
    let sum = u32::from_le_bytes(take(&mut rest)?);
    let size = u64::from(count) * ENTRY as u64;
    if rest != TABLE_MAGIC || at.checked_add(size)? != trailer_at {
        return None;
    }
    let mut table = vec![0; size as usize];
    file.read_exact_at(&mut table, at).ok()?;
    if crc32fast::hash(&table) != sum {
        return None;
    }
    table.chunks_exact(ENTRY).map(|entry| read_entry(entry, id)).collect()
}

fn read_entry(mut entry: &[u8], id: u32) -> Option<Entry> {
    let rest = &mut entry;
    let kind = kind(take::<4>(rest)?[0])?;
    let hash = take(rest)?;
    let place = Place {
        head_at: u64::from_le_bytes(take(rest)?),
        head_len: u32::from_le_bytes(take(rest)?),
        body_seg: u32::from_le_bytes(take(rest)?),
        body_at: u64::from_le_bytes(take(rest)?),
        body_len: u64::from_le_bytes(take(rest)?),
        head_seg: id,
        hit: false,
    };
    Some(Entry { kind, hash, place })
}

fn read_record(file: &File, id: u32, at: u64) -> Option<(Entry, Vec<u8>)> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let mut rest = &header[..];
    let rest = &mut rest;
    let magic = u32::from_le_bytes(take(rest)?);
    let kind = kind(take::<4>(rest)?[0])?;
    let hash = take(rest)?;
    let head_len = u32::from_le_bytes(take(rest)?);
    let body_seg = u32::from_le_bytes(take(rest)?);
    let body_at = u64::from_le_bytes(take(rest)?);
    let body_len = u64::from_le_bytes(take(rest)?);
    let stated = u32::from_le_bytes(take(rest)?);
    if magic != RECORD_MAGIC || head_len > MAX_DESCRIBED {
        return None;
    }
    let mut described = vec![0; head_len as usize];
    file.read_exact_at(&mut described, at + HEADER as u64).ok()?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&header[..HEADER - 4]);
    sum.update(&described);
    let place = Place { head_at: at, head_len, head_seg: id, body_seg, body_at, body_len, hit: false };
    (sum.finalize() == stated).then_some((Entry { kind, hash, place }, described))
}

/// Where the next record begins. The body of a [`Kind::Put`] lies right behind its header, but for a spooled one, which lies
/// before it.
fn end_of(entry: &Entry) -> u64 {
    let place = &entry.place;
    let head_end = place.head_at + HEADER as u64 + u64::from(place.head_len);
    if entry.kind == Kind::Put && place.body_at == head_end {
        head_end.saturating_add(blocks::stored_len(place.body_len.min(u64::MAX / 4)))
    } else {
        head_end
    }
}

fn kind(byte: u8) -> Option<Kind> {
    match byte {
        1 => Some(Kind::Put),
        2 => Some(Kind::Refresh),
        3 => Some(Kind::Remove),
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}
