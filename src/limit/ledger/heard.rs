//! Heard: what the ledgers of other nodes have counted, kept over a restart.
//!
//! In: which counts grew; the counts themselves when they are to be written. Out: all of them again when the ledger is opened. Never: a
//! write that a request waits for, an unbounded file, an error over broken bytes (what is broken is heard again from the bus).
//!
//! `quota.heard` is a row of records, added to its end. A record holds all that was known of one ledger and one key; several of the same
//! are one, the larger count of each day. What follows a record that is cut or broken is not read. Past twice its size the file is
//! written anew under another name and renamed. Two processes may do so at once, as they do while one takes over from another: what one of
//! them loses of the other's, it has heard itself, or hears again.
//!
//! ```text
//! check u64  ledger u64  key 16 bytes  days u8  (day u32  count u32) each
//! ```
//!
//! Integers are little-endian; `check` is XXH3 of what comes after it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::others::{Others, Told};
use super::slot::{DAYS, Id};
use crate::limit::period::Day;

/// Bytes of a record before its days, and of one day.
const HEAD: usize = 8 + 8 + 16 + 1;
const DAY: usize = 8;

/// Bytes that the file may grow by, past as many as it began with, before it is written anew.
const GROWTH: u64 = 1 << 20;

/// The file, and what is not in it yet.
#[derive(Debug)]
pub(super) struct Heard {
    path: PathBuf,
    /// What it is called until it is whole: no other living process's.
    anew: PathBuf,
    grown: Mutex<BTreeSet<(u64, Id)>>,
    /// Held while the file is written.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// What is added to. Absent: the file is to be written anew.
    file: Option<File>,
    len: u64,
    /// Bytes of it when nothing in it was needless.
    whole: u64,
}

// === impl Heard ===
impl Heard {
    /// Hands what `dir` holds to `others`. `lane` is this process's alone. Blocks on the disk.
    pub fn open(dir: &Path, lane: usize, others: &Others) -> io::Result<Self> {
        let path = dir.join("quota.heard");
        let mut kept = Kept::default();
        match File::open(&path) {
            Ok(file) => {
                let (len, broken) = read(file, others)?;
                let appends = if broken { None } else { Some(OpenOptions::new().append(true).open(&path)?) };
                kept = Kept { file: appends, len, whole: size(others) };
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let anew = dir.join(format!("quota.heard-{lane}"));
        Ok(Heard { path, anew, grown: Mutex::default(), kept: Mutex::new(kept) })
    }

    /// These counts of a ledger are to be written.
    pub fn grew(&self, ledger: u64, keys: Vec<Id>) {
        if !keys.is_empty() {
            self.grown.lock().extend(keys.into_iter().map(|id| (ledger, id)));
        }
    }

    /// Writes what grew since the last time, durably. After an error it is written the next time. Blocks on the disk.
    pub fn write(&self, others: &Others) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let grown = std::mem::take(&mut *self.grown.lock());
        if grown.is_empty() {
            return Ok(());
        }
        let room = kept.len <= kept.whole * 2 + GROWTH;
        // After an error it is not known where the file ends: the next time it is written anew.
        let written = match kept.file.take().filter(|_| room) {
            Some(file) => add(file, &grown, others).map(|(file, added)| (file, kept.len + added, kept.whole)),
            None => self.renew(others).map(|(file, len)| (file, len, len)),
        };
        match written {
            Ok((file, len, whole)) => {
                *kept = Kept { file: Some(file), len, whole };
                Ok(())
            }
            Err(error) => {
                self.grown.lock().extend(grown);
                Err(error)
            }
        }
    }

    /// All that is known and not too old to count, in the place of the file.
    fn renew(&self, others: &Others) -> io::Result<(File, u64)> {
        let mut out = BufWriter::new(File::create(&self.anew)?);
        let mut len = 0;
        let keys = others.keys();
        let days = keys.iter().flat_map(|id| others.of(id)).flat_map(|(_, days)| days);
        let newest = days.map(|(day, _)| day).max().unwrap_or(0);
        for id in keys {
            for (ledger, mut days) in others.of(&id) {
                days.retain(|(day, _)| day + DAYS as Day > newest);
                if !days.is_empty() {
                    let record = encode(ledger, &id, &days);
                    out.write_all(&record)?;
                    len += record.len() as u64;
                }
            }
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&self.anew, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok((OpenOptions::new().append(true).open(&self.path)?, len))
    }
}

/// What grew, at the end of the file; how many bytes that is.
fn add(mut file: File, grown: &BTreeSet<(u64, Id)>, others: &Others) -> io::Result<(File, u64)> {
    let mut added = Vec::new();
    for (ledger, id) in grown {
        added.extend(encode(*ledger, id, &others.days(*ledger, id)));
    }
    file.write_all(&added)?;
    file.sync_data()?;
    Ok((file, added.len() as u64))
}

fn size(others: &Others) -> u64 {
    let of = |id: &Id| others.of(id).iter().map(|(_, days)| HEAD + DAY * days.len()).sum::<usize>() as u64;
    others.keys().iter().map(of).sum()
}

fn encode(ledger: u64, id: &Id, days: &[(Day, u32)]) -> Vec<u8> {
    let days = days.get(days.len().saturating_sub(DAYS)..).unwrap_or_default();
    let mut record = vec![0; 8];
    record.extend(ledger.to_le_bytes());
    record.extend(id);
    record.push(days.len() as u8);
    for (day, count) in days {
        record.extend(day.to_le_bytes());
        record.extend(count.to_le_bytes());
    }
    let (check, rest) = record.split_at_mut(8);
    check.copy_from_slice(&xxh3_64(rest).to_le_bytes());
    record
}

/// How many bytes are good, and whether something follows them.
fn read(file: File, others: &Others) -> io::Result<(u64, bool)> {
    let mut input = BufReader::new(file);
    let mut len = 0;
    while !input.fill_buf()?.is_empty() {
        let Some((ledger, told, bytes)) = record(&mut input)? else {
            log::warn!("the counts of other nodes end with a broken one: what is lost of them is heard again");
            return Ok((len, true));
        };
        others.hear(ledger, &[told]);
        len += bytes;
    }
    Ok((len, false))
}

/// The next record and its length; `None`: it is cut, or broken.
fn record(input: &mut impl Read) -> io::Result<Option<(u64, Told, u64)>> {
    let mut head = [0; HEAD];
    if !fill(input, &mut head)? {
        return Ok(None);
    }
    let (check, rest) = head.split_at(8);
    let (ledger, rest) = rest.split_at(8);
    let (id, count) = rest.split_at(16);
    let mut days = vec![0; DAY * usize::from(count[0])];
    if !fill(input, &mut days)? {
        return Ok(None);
    }
    let u64_of = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let whole = [head.get(8..).unwrap_or_default(), &days].concat();
    if u64_of(check) != xxh3_64(&whole) {
        return Ok(None);
    }
    let u32_of = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let day = |bytes: &[u8]| {
        let (day, count) = bytes.split_at(4);
        (u32_of(day), u32_of(count))
    };
    let told = Told { id: id.try_into().unwrap_or_default(), days: days.chunks_exact(DAY).map(day).collect() };
    Ok(Some((u64_of(ledger), told, (HEAD + days.len()) as u64)))
}

/// Whether there were so many bytes.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Id = [7; 16];

    fn open(dir: &Path) -> (Heard, Others) {
        let others = Others::new();
        (Heard::open(dir, 0, &others).unwrap(), others)
    }

    fn hear(heard: &Heard, others: &Others, ledger: u64, days: &[(Day, u32)]) {
        heard.grew(ledger, others.hear(ledger, &[Told { id: ID, days: days.to_vec() }]));
    }

    fn used(dir: &Path) -> u64 {
        open(dir).1.used(&ID, 0, Day::MAX)
    }

    #[test]
    fn what_was_written_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, others) = open(dir.path());
        heard.write(&others).unwrap();
        assert!(!dir.path().join("quota.heard").exists(), "nobody told anything");
        hear(&heard, &others, 1, &[(20_000, 5), (20_001, 2)]);
        hear(&heard, &others, 2, &[(20_001, 7)]);
        assert_eq!(used(dir.path()), 0, "not before it is written");
        heard.write(&others).unwrap();
        assert_eq!(used(dir.path()), 14);
        // What is old or known already is not written again; what is new is added.
        let len = || std::fs::metadata(dir.path().join("quota.heard")).unwrap().len();
        let before = len();
        hear(&heard, &others, 1, &[(20_000, 4)]);
        heard.write(&others).unwrap();
        assert_eq!(len(), before);
        hear(&heard, &others, 1, &[(20_001, 3)]);
        heard.write(&others).unwrap();
        assert_eq!((len() > before, used(dir.path())), (true, 15));
        // Another process, while this one lives.
        let (second, seconds) = open(dir.path());
        hear(&second, &seconds, 3, &[(20_001, 10)]);
        second.write(&seconds).unwrap();
        hear(&heard, &others, 1, &[(20_001, 4)]);
        heard.write(&others).unwrap();
        assert_eq!(used(dir.path()), 26);
    }

    #[test]
    fn what_is_cut_or_broken_costs_only_what_comes_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, others) = open(dir.path());
        for count in 1..=3 {
            hear(&heard, &others, count, &[(20_000, 1)]);
            heard.write(&others).unwrap();
        }
        let path = dir.path().join("quota.heard");
        let whole = std::fs::read(&path).unwrap();
        let record = whole.len() / 3;
        for at in 0..whole.len() {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(used(dir.path()), (at / record) as u64, "cut at {at}");
            let mut broken = whole.clone();
            broken[at] ^= 0x41;
            std::fs::write(&path, broken).unwrap();
            assert_eq!(used(dir.path()), (at / record) as u64, "broken at {at}");
        }
        // Written anew before anything is added to it.
        let (heard, others) = open(dir.path());
        hear(&heard, &others, 9, &[(20_000, 5)]);
        heard.write(&others).unwrap();
        assert_eq!(used(dir.path()), 2 + 5);
    }

    #[test]
    fn the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, others) = open(dir.path());
        let keys: Vec<Id> = (0..2000u128).map(u128::to_le_bytes).collect();
        let (mut most, mut anew) = (0, 0);
        for count in 1..=40 {
            for id in &keys {
                heard.grew(1, others.hear(1, &[Told { id: *id, days: vec![(20_000 + count / 10, count)] }]));
            }
            heard.write(&others).unwrap();
            let len = std::fs::metadata(dir.path().join("quota.heard")).unwrap().len();
            anew += u32::from(len < most);
            most = len.max(most);
        }
        let whole = 2000 * (HEAD + 5 * DAY) as u64;
        assert!(anew > 0 && most <= whole * 3 + GROWTH, "{anew}, {most}");
        assert_eq!(open(dir.path()).1.used(&keys[9], 0, Day::MAX), 9 + 19 + 29 + 39 + 40);
        // Days that no quota looks at any more go when it is written anew.
        hear(&heard, &others, 1, &[(30_000, 1)]);
        std::fs::write(dir.path().join("quota.heard"), b"?").unwrap();
        let (heard, _) = open(dir.path());
        hear(&heard, &others, 1, &[(30_001, 1)]);
        heard.write(&others).unwrap();
        assert_eq!(used(dir.path()), 2);
        assert_eq!(open(dir.path()).1.keys(), [ID]);
    }

    #[test]
    fn after_an_error_it_is_written_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, others) = open(dir.path());
        // Something is in its way.
        std::fs::create_dir(dir.path().join("quota.heard-0")).unwrap();
        hear(&heard, &others, 1, &[(20_000, 5)]);
        assert!(heard.write(&others).is_err());
        std::fs::remove_dir(dir.path().join("quota.heard-0")).unwrap();
        heard.write(&others).unwrap();
        assert_eq!(used(dir.path()), 5);
    }
}
