//! Recording: keeps sampled calls of functions, for `rimward fn replay`.
//!
//! In: a call's message before and after. Out: one file a call, readable by the PoP's user alone (it holds cookies and tokens); the
//! oldest go past the bound. Never: a request that waits for the disk.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::hooks::engine::{Budget, Called, Function};
use crate::hooks::testevent::{Message, Recording};
use crate::hooks::{Exchange, Failure};

/// Recordings that wait for the writer; past it they are dropped.
const QUEUE: usize = 256;
/// Bytes of them; past it they are dropped too.
const QUEUE_BYTES: usize = 16 << 20;
/// Shares are written in parts of this.
const WHOLE: u32 = 10_000;
/// The oldest go whenever more than this part of the directory's size was written: as rarely as that they are looked for.
const SLACK: u64 = 8;

/// Writes recordings on a thread of its own.
pub struct Recorder {
    queue: SyncSender<Job>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    /// The bound on the directory's size.
    size: u64,
    count: AtomicU64,
}

struct Job {
    name: String,
    text: String,
}

// === impl Recorder ===
impl Recorder {
    /// Keeps at most `size` bytes below `dir`.
    pub fn start(dir: &Path, size: u64) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let (recorder, jobs) = Recorder::new(size);
        let (dir, waiting) = (dir.to_owned(), Arc::clone(&recorder.waiting));
        std::thread::Builder::new().name("records".to_owned()).spawn(move || write(&dir, size, &jobs, &waiting))?;
        Ok(recorder)
    }

    fn new(size: u64) -> (Self, Receiver<Job>) {
        let (queue, jobs) = sync_channel(QUEUE);
        (Recorder { queue, waiting: Arc::default(), size, count: AtomicU64::new(0) }, jobs)
    }

    /// The message to record, when this call is one of the share.
    pub fn sample(share: u32, exchange: &Exchange) -> Option<Message> {
        (share > 0 && rand::random_range(0..WHOLE) < share).then(|| Message::of(exchange))
    }

    /// Keeps a call and what it was allowed. A full queue drops it: a recording is never worth a viewer's time.
    pub fn keep(&self, function: &Function, budget: Budget, before: Message, called: &Called) {
        let after: Result<&Exchange, &Failure> = called.outcome.as_ref().map(|()| &*called.exchange);
        let recording =
            Recording::new(function.name(), function.version(), function.api(), Some(budget), before, after);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-{}.json", called.exchange.request_id, function.name());
        self.offer(Job { name, text: recording.write() });
    }

    /// Puts a file in the queue, unless there is no room for it there or on the disk.
    fn offer(&self, job: Job) {
        let bytes = job.text.len();
        if bytes as u64 > self.size {
            return;
        }
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > QUEUE_BYTES || self.queue.try_send(job).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

fn write(dir: &Path, size: u64, jobs: &Receiver<Job>, waiting: &AtomicUsize) {
    let slack = size / SLACK;
    // As if all of it had been written: what an earlier process left is looked at before the first file.
    let mut written = slack;
    while let Ok(job) = jobs.recv() {
        let bytes = job.text.len() as u64;
        if written.saturating_add(bytes) > slack {
            // Room for this file, and for what comes before the next look.
            tidy(dir, size.saturating_sub(slack.max(bytes)));
            written = 0;
        }
        let path = dir.join(&job.name);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(job.text.as_bytes())) {
            log::warn!("{} cannot be written: {error}", path.display());
        }
        written = written.saturating_add(bytes);
        waiting.fetch_sub(job.text.len(), Ordering::Relaxed);
    }
}

/// Drops the oldest files until what is left fits.
fn tidy(dir: &Path, size: u64) {
    let mut files: Vec<(std::time::SystemTime, u64, PathBuf)> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let found = entry.metadata().ok().filter(|found| found.is_file())?;
            Some((found.modified().ok()?, found.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if total <= size {
            break;
        }
        // Gone already is as good.
        let _ = std::fs::remove_file(path);
        total -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(dir: &Path) -> (usize, u64) {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        files.fold((0, 0), |(count, total), len| (count + 1, total + len))
    }

    fn job(number: usize, bytes: usize) -> Job {
        Job { name: format!("{number}.json"), text: "x".repeat(bytes) }
    }

    /// The bound holds after each file, whatever their sizes, and beside what an earlier process left.
    #[test]
    fn the_directory_is_never_larger_than_its_bound() {
        const SIZE: usize = 1 << 20;
        for sizes in [&[200 << 10; 40][..], &[100; 500], &[SIZE, 10, SIZE, 300 << 10, 300 << 10, SIZE / 8, SIZE / 8]] {
            let dir = tempfile::TempDir::new().unwrap();
            std::fs::write(dir.path().join("left.json"), vec![b'x'; 3 * SIZE]).unwrap();
            for (number, bytes) in sizes.iter().enumerate() {
                let (recorder, jobs) = Recorder::new(SIZE as u64);
                recorder.offer(job(number, *bytes));
                let waiting = Arc::clone(&recorder.waiting);
                drop(recorder);
                write(dir.path(), SIZE as u64, &jobs, &waiting);
                assert!(kept(dir.path()).1 <= SIZE as u64, "{number} of {bytes}");
                assert_eq!(waiting.load(Ordering::Relaxed), 0);
            }
            // All through one writer.
            let (recorder, jobs) = Recorder::new(SIZE as u64);
            sizes.iter().enumerate().for_each(|(number, bytes)| recorder.offer(job(number, *bytes)));
            let waiting = Arc::clone(&recorder.waiting);
            drop(recorder);
            write(dir.path(), SIZE as u64, &jobs, &waiting);
            let (count, total) = kept(dir.path());
            assert!(count > 0 && total <= SIZE as u64, "{count} {total}");
        }
    }

    #[test]
    fn what_waits_for_the_disk_is_bounded_in_number_and_bytes() {
        let (recorder, jobs) = Recorder::new(u64::MAX);
        (0..10).for_each(|number| recorder.offer(job(number, QUEUE_BYTES / 4)));
        assert_eq!(recorder.waiting.load(Ordering::Relaxed), QUEUE_BYTES);
        assert_eq!(jobs.try_iter().count(), 4);
        let (recorder, jobs) = Recorder::new(u64::MAX);
        (0..QUEUE + 10).for_each(|number| recorder.offer(job(number, 10)));
        assert_eq!(recorder.waiting.load(Ordering::Relaxed), QUEUE * 10);
        assert_eq!(jobs.try_iter().count(), QUEUE);
    }

    #[test]
    fn a_call_larger_than_the_directory_may_be_is_not_kept() {
        let (recorder, jobs) = Recorder::new(100);
        recorder.offer(job(0, 101));
        recorder.offer(job(1, 100));
        assert_eq!(jobs.try_iter().map(|job| job.name).collect::<Vec<_>>(), ["1.json"]);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let dir = tempfile::TempDir::new().unwrap();
        for n in 0..10_u64 {
            let path = dir.path().join(format!("{n}.json"));
            std::fs::write(&path, vec![b'x'; 100]).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + n);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        }
        tidy(dir.path(), 350);
        let mut left: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["7.json", "8.json", "9.json"]);
    }
}
