//! Recording: keeps sampled calls of functions, for `rimward fn replay`.
//!
//! In: a call's message before and after. Out: one file a call, readable by the PoP's user alone (it holds cookies and tokens); the
//! oldest go past the bound. Never: a request that waits for the disk.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::hooks::engine::{Called, Function};
use crate::hooks::testevent::{Message, Recording};
use crate::hooks::{Exchange, Failure};

/// Recordings that wait for the writer; past it they are dropped.
const QUEUE: usize = 256;
/// Shares are written in parts of this.
const WHOLE: u32 = 10_000;
/// The bound on the directory's size is looked at after so many files.
const TIDY_EVERY: u64 = 64;

/// Writes recordings on a thread of its own.
pub struct Recorder {
    queue: SyncSender<Job>,
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
        let (queue, jobs) = sync_channel(QUEUE);
        let dir = dir.to_owned();
        std::thread::Builder::new().name("records".to_owned()).spawn(move || write(&dir, size, &jobs))?;
        Ok(Recorder { queue, count: AtomicU64::new(0) })
    }

    /// The message to record, when this call is one of the share.
    pub fn sample(share: u32, exchange: &Exchange) -> Option<Message> {
        (share > 0 && rand::random_range(0..WHOLE) < share).then(|| Message::of(exchange))
    }

    /// Keeps a call. A full queue drops it: a recording is never worth a viewer's time.
    pub fn keep(&self, function: &Function, before: Message, called: &Called) {
        let after: Result<&Exchange, &Failure> = called.outcome.as_ref().map(|()| &called.exchange);
        let recording = Recording::new(function.name(), function.version(), function.api(), before, after);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-{}.json", called.exchange.request_id, function.name());
        let _ = self.queue.try_send(Job { name, text: recording.write() });
    }
}

fn write(dir: &Path, size: u64, jobs: &Receiver<Job>) {
    let mut written = 0;
    while let Ok(job) = jobs.recv() {
        let path = dir.join(&job.name);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(job.text.as_bytes())) {
            log::warn!("{} cannot be written: {error}", path.display());
        }
        if written % TIDY_EVERY == 0 {
            tidy(dir, size);
        }
        written += 1;
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
