//! Writer: how lines get from many threads into one sink.
//!
//! In: lines, formatted in place into the calling thread's own buffer. Out: batches written by one thread, in order of each
//! caller. Never: a caller that waits for the sink; past the bound lines are dropped and counted.

use super::sink::Sink;
use crate::config::compiled::LogTarget;
use crate::observe::ObserveError;
use crate::observe::metrics::{shard, shard_count};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A buffer is handed over when it holds this much (each hand-over wakes the writer: two context switches) …
const BATCH_BYTES: usize = 64 * 1024;
/// … or when this much time has passed.
const SWEEP: Duration = Duration::from_millis(50);
/// Room for the line that crosses `BATCH_BYTES`.
const LINE_ROOM: usize = 4 * 1024;

/// Handle of the writer thread.
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    buffers: Box<[Buffer]>,
    queue: Mutex<Queue>,
    /// To the writer: a batch, a wish to reopen, the end.
    wake: Condvar,
    /// From the writer: everything is written.
    finished: Condvar,
    dropped: Arc<AtomicU64>,
    /// Lines a buffer holds at most, and the queue behind it: together the configured bound.
    buffer_lines: usize,
    queue_lines: usize,
}

/// Padded, so that threads do not share a cache line.
#[repr(align(128))]
#[derive(Default)]
struct Buffer(Mutex<Batch>);

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: usize,
    /// Sampling carried over, in percent: a line is written whenever it reaches 100.
    owed: u8,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<(Vec<u8>, usize)>,
    /// Lines handed over and not yet written.
    waiting: usize,
    /// Written buffers, to be filled again.
    spare: Vec<Vec<u8>>,
    reopen: bool,
    closing: bool,
    finished: bool,
}

// === impl Writer ===
impl Writer {
    /// Opens `to`, writes `header` where it begins, and starts the thread. At most `bound` lines wait in memory.
    pub fn start(
        to: &LogTarget,
        header: &'static str,
        bound: usize,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self, ObserveError> {
        let sink = Sink::open(to, header)?;
        let shared = Arc::new(Shared::new(bound, dropped));
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || thread.run(sink, header))
            .map_err(|source| ObserveError::Thread { name: "access-log", source })?;
        Ok(Writer { shared })
    }

    /// Writes one line if this request is among the `percent` that are logged.
    pub fn line(&self, percent: u8, write: impl FnOnce(&mut Vec<u8>)) {
        self.shared.line(percent, write);
    }

    pub fn reopen(&self) {
        self.shared.queue.lock().reopen = true;
        self.shared.wake.notify_one();
    }

    /// Writes out everything and ends the thread; gives up after `limit` when the sink does not take it.
    pub fn close(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut queue = self.shared.queue.lock();
        queue.closing = true;
        self.shared.wake.notify_one();
        while !queue.finished {
            if self.shared.finished.wait_until(&mut queue, deadline).timed_out() {
                self.shared.dropped.fetch_add(queue.waiting as u64, Ordering::Relaxed);
                log::error!("access log: {} lines could not be written in {limit:?}", queue.waiting);
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("queue_lines", &self.shared.queue_lines).finish_non_exhaustive()
    }
}

// === impl Shared ===
impl Shared {
    fn new(bound: usize, dropped: Arc<AtomicU64>) -> Self {
        let shards = shard_count();
        let buffer_lines = (bound / 2 / shards).max(1);
        Shared {
            buffers: (0..shards).map(|_| Buffer::default()).collect(),
            queue: Mutex::default(),
            wake: Condvar::new(),
            finished: Condvar::new(),
            dropped,
            buffer_lines,
            queue_lines: bound.saturating_sub(buffer_lines * shards).max(1),
        }
    }

    fn line(&self, percent: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(buffer) = self.buffers.get(shard() & (self.buffers.len() - 1)) else { return };
        let mut batch = buffer.0.lock();
        if percent < 100 {
            batch.owed += percent;
            if batch.owed < 100 {
                return;
            }
            batch.owed -= 100;
        }
        write(&mut batch.bytes);
        batch.lines += 1;
        if batch.bytes.len() >= BATCH_BYTES || batch.lines >= self.buffer_lines {
            self.hand_over(&mut batch);
            self.wake.notify_one();
        }
    }

    /// Moves a buffer's lines into the queue, or drops them when it is full.
    fn hand_over(&self, batch: &mut Batch) {
        let lines = std::mem::take(&mut batch.lines);
        if lines == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        if queue.finished || queue.waiting + lines > self.queue_lines {
            drop(queue);
            batch.bytes.clear();
            self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
            return;
        }
        queue.waiting += lines;
        let spare = queue.spare.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + LINE_ROOM));
        queue.batches.push_back((std::mem::replace(&mut batch.bytes, spare), lines));
    }

    /// The writer thread.
    fn run(&self, mut sink: Sink, header: &str) {
        let mut healthy = true;
        let mut swept = Instant::now();
        loop {
            let mut queue = self.queue.lock();
            if queue.batches.is_empty() && !queue.closing && !queue.reopen {
                self.wake.wait_for(&mut queue, SWEEP);
            }
            let closing = queue.closing;
            let reopen = std::mem::take(&mut queue.reopen);
            drop(queue);
            if closing || swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.buffers.iter().for_each(|buffer| self.hand_over(&mut buffer.0.lock()));
            }
            let batches = std::mem::take(&mut self.queue.lock().batches);
            if reopen || (!batches.is_empty() && sink.was_moved()) {
                sink.reopen(header);
            }
            self.write(&mut sink, batches, &mut healthy);
            if closing {
                let mut queue = self.queue.lock();
                queue.finished = true;
                // Handed over since the last sweep: nobody will write it any more.
                let late: usize = queue.batches.drain(..).map(|(_, lines)| lines).sum();
                queue.waiting -= late;
                self.dropped.fetch_add(late as u64, Ordering::Relaxed);
                self.finished.notify_all();
                return;
            }
        }
    }

    fn write(&self, sink: &mut Sink, batches: VecDeque<(Vec<u8>, usize)>, healthy: &mut bool) {
        for (mut bytes, lines) in batches {
            let result = sink.write(&bytes);
            if let Err(error) = &result {
                self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
                if *healthy {
                    log::error!("access log: {error}: lines are dropped until {sink} takes them again");
                }
            }
            *healthy = result.is_ok();
            bytes.clear();
            let mut queue = self.queue.lock();
            queue.waiting -= lines;
            if queue.spare.len() < self.buffers.len() && bytes.capacity() <= 2 * BATCH_BYTES {
                queue.spare.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const LIMIT: Duration = Duration::from_secs(30);

    fn writer(path: &Path, header: &'static str, bound: usize) -> (Writer, Arc<AtomicU64>) {
        let dropped = Arc::new(AtomicU64::new(0));
        (Writer::start(&LogTarget::File(path.to_owned()), header, bound, dropped.clone()).unwrap(), dropped)
    }

    fn push(writer: &Writer, line: &str) {
        writer.line(100, |out| out.extend_from_slice(line.as_bytes()));
    }

    /// Waits for what the writer thread does in its own time.
    fn eventually(what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn close_writes_every_line_in_each_threads_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (writer, dropped) = writer(&path, "#head\n", 1_000_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let writer = &writer;
                scope
                    .spawn(move || (0..2000).for_each(|n| push(writer, &format!("{thread} {n} {}\n", "x".repeat(50)))));
            }
        });
        writer.close(LIMIT);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.lines().next(), text.lines().count()), (Some("#head"), 8001));
        for thread in 0..4 {
            let mine = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} ")));
            let numbers: Vec<u32> = mine.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted() && numbers.len() == 2000);
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_line_is_written_without_a_full_buffer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (writer, _) = writer(&path, "", 1000);
        push(&writer, "alone\n");
        eventually("the sweep writes it", || std::fs::read_to_string(&path).unwrap() == "alone\n");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        // No thread behind it: a sink that takes nothing.
        let dropped = Arc::new(AtomicU64::new(0));
        let shared = Shared::new(100, dropped.clone());
        for n in 0..500 {
            shared.line(100, |out| out.extend_from_slice(format!("{n}\n").as_bytes()));
        }
        let kept =
            shared.queue.lock().waiting + shared.buffers.iter().map(|buffer| buffer.0.lock().lines).sum::<usize>();
        assert!(kept <= 100, "{kept} lines wait");
        assert_eq!(dropped.load(Ordering::Relaxed), 500 - kept as u64);
    }

    #[test]
    fn a_sink_that_fails_is_counted_and_close_returns() {
        let (writer, dropped) = writer(Path::new("/dev/full"), "", 1000);
        push(&writer, "lost\n");
        push(&writer, "lost\n");
        writer.close(LIMIT);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        push(&writer, "late\n");
        writer.shared.buffers.iter().for_each(|buffer| writer.shared.hand_over(&mut buffer.0.lock()));
        assert_eq!(dropped.load(Ordering::Relaxed), 3, "a line after the end is dropped, not kept for ever");
    }

    #[test]
    fn rotation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let (writer, _) = writer(&path, "#head\n", 1000);
        push(&writer, "one\n");
        eventually("written", || std::fs::read_to_string(&path).unwrap().ends_with("one\n"));
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        eventually("reopened", || path.exists());
        push(&writer, "two\n");
        writer.close(LIMIT);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "#head\none\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "#head\ntwo\n");
    }

    #[test]
    fn sampling_is_exact() {
        for (percent, want) in [(0, 0), (1, 10), (33, 330), (99, 990), (100, 1000)] {
            let shared = Shared::new(1_000_000, Arc::default());
            let mut written = 0;
            (0..1000).for_each(|_| shared.line(percent, |_| written += 1));
            assert_eq!(written, want, "{percent} %");
        }
    }

    #[test]
    fn an_unwritable_path_is_named() {
        let error =
            Writer::start(&LogTarget::File("/nonexistent/dir/a.log".into()), "", 10, Arc::default()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/dir/a.log"), "{error}");
    }
}
