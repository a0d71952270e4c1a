//! Log: invalidations on disk.
//!
//! In: hashes of URLs with stamps, one by one; all of them when the file is begun anew. Out: the same after a restart. Never: a wait of
//! the request that notes one, a file that grows past twice what is remembered.
//!
//! The file is a magic and records of one size, each with its checksum. A thread of its own appends what is noted, in batches. What
//! cannot be handed to it, or written, is no loss: the file is then written anew from what is remembered.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::{URLS_MAX, Urls};
use crate::cache::object::Stamp;

/// First bytes of the file; the last digit is the layout's version.
const MAGIC: [u8; 8] = *b"RIMINV01";
/// Hash and stamp, little-endian, and their CRC-32.
const RECORD: usize = 28;
/// Notes that wait for the thread.
const QUEUE: usize = 4096;
/// Records that the file may have beside twice what is remembered, and that a larger one certainly has not.
const SPARE: u64 = 4096;
/// How soon what was written is synced, and what could not be written is tried again.
const SYNC: Duration = Duration::from_secs(1);

/// Hands notes to the thread.
#[derive(Debug)]
pub(super) struct Log {
    notes: SyncSender<Note>,
    /// A note found no room: the file lacks it.
    missed: Arc<AtomicBool>,
}

/// The thread's side.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    urls: Urls,
    notes: Receiver<Note>,
    missed: Arc<AtomicBool>,
    /// The file as far as it is known to hold all that is remembered, and its records.
    file: Option<(File, u64)>,
    /// Since when something written waits to be synced.
    unsynced: Option<Instant>,
    /// The disk took what it was last given.
    healthy: bool,
}

#[derive(Debug)]
enum Note {
    Changed(u128, Stamp),
    Flush(SyncSender<()>),
}

/// Both sides of the log at `path`, which begins with what `urls` remembers.
pub(super) fn prepare(path: &Path, urls: Urls) -> (Log, Writer) {
    let (sender, notes) = sync_channel(QUEUE);
    let missed = Arc::new(AtomicBool::new(false));
    let log = Log { notes: sender, missed: missed.clone() };
    (log, Writer { path: path.to_owned(), urls, notes, missed, file: None, unsynced: None, healthy: true })
}

/// What the file at `path` remembers; nothing when there is none. An error: what it remembered is not known.
pub(super) fn read(path: &Path) -> io::Result<Vec<(u128, Stamp)>> {
    let bytes = match File::open(path).and_then(|file| file.metadata()) {
        Ok(about) if about.len() > (2 * (URLS_MAX + SPARE) + 1) * RECORD as u64 => return Err(damaged("too large")),
        Ok(_) => std::fs::read(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    decode(&bytes)
}

/// The notes in a file's bytes, oldest first. What is torn at the end is not there.
///
/// # Errors
/// It is something else, or damaged before its end.
pub fn decode(bytes: &[u8]) -> io::Result<Vec<(u128, Stamp)>> {
    let records = bytes.strip_prefix(&MAGIC).ok_or_else(|| damaged("no list of invalidated URLs"))?;
    let mut notes = Vec::with_capacity(records.len() / RECORD);
    let mut torn = false;
    for record in records.chunks_exact(RECORD) {
        match note(record) {
            Some(_) if torn => return Err(damaged("damaged")),
            Some(note) => notes.push(note),
            None => torn = true,
        }
    }
    Ok(notes)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn note(record: &[u8]) -> Option<(u128, Stamp)> {
    let (url, rest) = record.split_first_chunk()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    let whole = crc32fast::hash(record.get(..RECORD - 4)?) == u32::from_le_bytes(*sum);
    whole.then(|| (u128::from_le_bytes(*url), Stamp(u64::from_le_bytes(*at))))
}

fn put(out: &mut Vec<u8>, url: u128, at: Stamp) {
    let begin = out.len();
    out.extend_from_slice(&url.to_le_bytes());
    out.extend_from_slice(&at.0.to_le_bytes());
    let sum = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

// === impl Log ===
impl Log {
    /// Hands a note, which is remembered already, to the thread.
    pub(super) fn note(&self, url: u128, at: Stamp) {
        if let Err(TrySendError::Full(note)) = self.notes.try_send(Note::Changed(url, at)) {
            self.missed.store(true, Ordering::Release);
            // Whether there is room now or still none, the thread comes past the mark with what is in the queue.
            let _ = self.notes.try_send(note);
        }
    }

    /// Waits until what was noted before is synced, or could not be, at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let (done, answer) = sync_channel(1);
        let until = Instant::now() + limit;
        // With a full queue, what it lacks is written when there is room again: look again then.
        while let Err(TrySendError::Full(_)) = self.notes.try_send(Note::Flush(done.clone())) {
            if Instant::now() >= until {
                return;
            }
            std::thread::yield_now();
        }
        let _ = answer.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

// === impl Writer ===
impl Writer {
    pub(super) fn spawn(self) -> io::Result<()> {
        std::thread::Builder::new().name("cache-invalid".into()).spawn(move || self.run())?;
        Ok(())
    }

    /// Until nobody notes any more.
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(flushed) = self.gather(&mut batch) {
            let written = self.write(&batch);
            batch.clear();
            let due = self.unsynced.is_some_and(|since| since.elapsed() >= SYNC);
            let synced = written.and_then(|()| if due || !flushed.is_empty() { self.sync() } else { Ok(()) });
            if let Err(error) = &synced {
                // Its end may be torn.
                self.file = None;
                if self.healthy {
                    log::warn!("{}: {error}: written again once the disk takes it", self.path.display());
                }
            }
            self.healthy = synced.is_ok();
            flushed.into_iter().for_each(|done| _ = done.try_send(()));
        }
    }

    /// Waits for notes, at most as long as nothing else is to be done, and takes all there are; who waits for them. `None`: the end.
    fn gather(&mut self, batch: &mut Vec<u8>) -> Option<Vec<SyncSender<()>>> {
        let mut flushed = Vec::new();
        let mut take = |note| match note {
            Note::Changed(url, at) => put(batch, url, at),
            Note::Flush(done) => flushed.push(done),
        };
        let wait = match (self.unsynced, &self.file) {
            (Some(since), _) => SYNC.saturating_sub(since.elapsed()),
            // All of it is still to be written.
            (None, None) if self.healthy => Duration::ZERO,
            (None, None) => SYNC,
            (None, Some(_)) => Duration::MAX,
        };
        match self.notes.recv_timeout(wait) {
            Ok(note) => take(note),
            Err(RecvTimeoutError::Timeout) => return Some(flushed),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        for _ in 1..QUEUE {
            match self.notes.try_recv() {
                Ok(note) => take(note),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        Some(flushed)
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let missed = self.missed.swap(false, Ordering::AcqRel);
        let most = 2 * self.urls.entry_count() + SPARE;
        match &mut self.file {
            Some((file, len)) if !missed && *len <= most => {
                file.write_all(batch)?;
                *len += (batch.len() / RECORD) as u64;
                if !batch.is_empty() {
                    self.unsynced.get_or_insert_with(Instant::now);
                }
                Ok(())
            }
            // What the batch has is remembered too.
            _ => self.begin(),
        }
    }

    /// Writes all that is remembered into a new file, in the old one's place.
    fn begin(&mut self) -> io::Result<()> {
        self.file = None;
        self.urls.run_pending_tasks();
        let mut notes: Vec<(u128, Stamp)> = self.urls.iter().map(|(url, at)| (*url, at)).collect();
        notes.sort_unstable_by_key(|(_, at)| *at);
        let mut bytes = Vec::with_capacity(MAGIC.len() + notes.len() * RECORD);
        bytes.extend_from_slice(&MAGIC);
        notes.iter().for_each(|(url, at)| put(&mut bytes, *url, *at));
        let draft = self.path.with_extension("draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&draft, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
        self.unsynced = None;
        self.file = Some((file, notes.len() as u64));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let (Some(_), Some((file, _))) = (self.unsynced, &self.file) {
            file.sync_data()?;
            self.unsynced = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_not_there_and_damage_is_said() {
        let mut bytes = MAGIC.to_vec();
        (1..4).for_each(|n| put(&mut bytes, n, Stamp(n as u64)));
        let whole = decode(&bytes).unwrap();
        assert_eq!(whole, [(1, Stamp(1)), (2, Stamp(2)), (3, Stamp(3))]);
        for cut in MAGIC.len()..bytes.len() {
            assert_eq!(decode(&bytes[..cut]).unwrap(), whole[..(cut - MAGIC.len()) / RECORD], "cut at {cut}");
        }
        let zeros = [&bytes[..], &[0; 2 * RECORD + 5]].concat();
        assert_eq!(decode(&zeros).unwrap(), whole);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            match decode(&damaged) {
                Ok(notes) => assert!(at >= bytes.len() - RECORD && notes == whole[..2], "byte {at}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData),
            }
        }
        assert!(decode(b"").is_err());
    }

    #[test]
    fn the_file_stays_within_twice_what_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invalidated");
        let urls = Urls::new(100);
        urls.insert(1, Stamp(0));
        let (log, mut writer) = prepare(&path, urls.clone());
        for round in 0..3 * SPARE {
            urls.insert(1, Stamp(round));
            log.note(1, Stamp(round));
            if round % 1000 == 0 {
                let mut batch = Vec::new();
                writer.gather(&mut batch);
                writer.write(&batch).unwrap();
            }
        }
        let mut batch = Vec::new();
        writer.gather(&mut batch);
        writer.write(&batch).unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        assert!(len <= (2 + SPARE + 1000) * RECORD as u64, "{len}");
        assert_eq!(read(&path).unwrap().last(), Some(&(1, Stamp(3 * SPARE - 1))));
    }

    #[test]
    fn what_found_no_room_is_written_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invalidated");
        let urls = Urls::new(URLS_MAX);
        let (log, writer) = prepare(&path, urls.clone());
        for n in 0..QUEUE as u64 + 10 {
            urls.insert(u128::from(n), Stamp(n));
            log.note(u128::from(n), Stamp(n));
        }
        writer.spawn().unwrap();
        log.flush(Duration::from_secs(30));
        assert_eq!(read(&path).unwrap().len(), QUEUE + 10);
    }
}
