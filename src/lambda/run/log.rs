//! Log: what an environment writes, and the lines around a call.
//!
//! In: bytes of standard output and error. Out: lines in this process' log; the last 4 KB of a call. Never: more than that in
//! memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::net::unix::pipe::Receiver;

/// Bytes of a call's log that its caller can have (Lambda API reference, "Invoke": LogResult).
const TAIL: usize = 4096;
/// Bytes of one line in this process' log; longer ones are cut into several.
const LINE: usize = 16 << 10;
/// Bytes of one read.
const READ: usize = 16 << 10;
/// Reads of what is there when a call ends: as much as a pipe holds, and more.
const READS: usize = 64;

/// Where everything that one environment writes goes.
#[derive(Debug)]
pub(super) struct Log {
    function: String,
    /// Says when there is something to read.
    pipe: Receiver,
    /// Reads what is there now, whether or not `pipe` has heard of it.
    now: PipeReader,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    tail: Tail,
    line: Vec<u8>,
}

/// The end of what was written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tail(VecDeque<u8>);

// === impl Tail ===
impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
        let over = (self.0.len() + bytes.len()).saturating_sub(TAIL);
        self.0.drain(..over);
        self.0.extend(bytes);
    }
}

// === impl Log ===
impl Log {
    /// A log, and the end that processes write to.
    pub(super) fn open(function: &str) -> io::Result<(Self, PipeWriter)> {
        let (now, writer) = io::pipe()?;
        // Makes both ends of reading non-blocking: they are one.
        let pipe = Receiver::from_file(File::from(OwnedFd::from(now.try_clone()?)))?;
        Ok((Log { function: function.to_owned(), pipe, now, kept: Mutex::default() }, writer))
    }

    /// Reads until all that could write are gone.
    pub(super) async fn follow(&self) {
        while self.pipe.readable().await.is_ok() {
            if !self.read(|bytes| self.pipe.try_read(bytes)) {
                return;
            }
        }
    }

    fn drain(&self) {
        self.read(|bytes| (&self.now).read(bytes));
    }

    /// Takes what is in the pipe. Whether more may come.
    fn read(&self, mut some: impl FnMut(&mut [u8]) -> io::Result<usize>) -> bool {
        // Held while reading, so that two readers keep the order.
        let mut kept = self.kept.lock();
        let mut bytes = [0; READ];
        for _ in 0..READS {
            match some(&mut bytes) {
                Ok(0) => return false,
                Ok(n) => kept.write(&self.function, bytes.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// A line of ours.
    pub(super) fn say(&self, line: &str) {
        self.drain();
        let mut kept = self.kept.lock();
        if !kept.line.is_empty() {
            kept.write(&self.function, b"\n");
        }
        kept.write(&self.function, line.as_bytes());
        kept.write(&self.function, b"\n");
    }

    /// Forgets what was written before: a call begins.
    pub(super) fn begin(&self) {
        self.drain();
        self.kept.lock().tail = Tail::default();
    }

    /// The end of the call's log, as `X-Amz-Log-Result` has it.
    pub(super) fn tail(&self) -> String {
        self.drain();
        let mut kept = self.kept.lock();
        STANDARD.encode(kept.tail.0.make_contiguous())
    }
}

/// The same of a function that writes to no pipe.
#[derive(Debug)]
pub(super) struct Lines {
    function: String,
    kept: Kept,
}

// === impl Lines ===
impl Lines {
    pub(super) fn new(function: &str) -> Self {
        Lines { function: function.to_owned(), kept: Kept::default() }
    }

    /// Forgets what was written before: a call begins.
    pub(super) fn begin(&mut self) {
        self.kept.tail = Tail::default();
    }

    pub(super) fn say(&mut self, line: &str) {
        self.kept.write(&self.function, line.as_bytes());
        self.kept.write(&self.function, b"\n");
    }

    /// The end of the call's log, as `X-Amz-Log-Result` has it.
    pub(super) fn tail(&mut self) -> String {
        STANDARD.encode(self.kept.tail.0.make_contiguous())
    }
}

// === impl Kept ===
impl Kept {
    fn write(&mut self, function: &str, bytes: &[u8]) {
        self.tail.push(bytes);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= LINE {
                // A terminal that shows the log obeys nothing that a function wrote.
                let shown =
                    String::from_utf8_lossy(&self.line).trim_end().replace(|c: char| c.is_control() && c != '\t', " ");
                log::info!(target: "lambda", "{function}: {shown}");
                self.line.clear();
            }
        }
    }
}

/// How a call went, for its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report<'a> {
    pub request_id: &'a str,
    pub duration: Duration,
    /// Of the call that started the environment.
    pub init: Option<Duration>,
    /// MB.
    pub memory: u32,
    /// Bytes.
    pub used: u64,
    /// `timeout`, or `error` and its type.
    pub status: Option<(&'a str, Option<&'a str>)>,
}

// === impl Report ===
impl Report<'_> {
    /// As the service writes it (Lambda Developer Guide, "Viewing logs for Lambda functions"), tabs included.
    pub(super) fn line(&self) -> String {
        let init = self.init.map_or_else(String::new, |init| format!("Init Duration: {:.2} ms\t", millis(init)));
        // What is billed is whole milliseconds, of the start too.
        let billed = millis(self.duration + self.init.unwrap_or_default()).ceil();
        let status = match self.status {
            None => String::new(),
            Some((status, None)) => format!("Status: {status}\t"),
            Some((status, Some(kind))) => format!("Status: {status}\tError Type: {kind}\t"),
        };
        format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t{init}{status}",
            self.request_id,
            millis(self.duration),
            self.memory,
            (self.used >> 20).max(1),
        )
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_tail_is_the_end() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; TAIL]);
        tail.push(b"bc");
        assert_eq!((tail.0.len(), tail.0.iter().rev().take(3).copied().collect::<Vec<_>>()), (TAIL, b"cba".to_vec()));
        tail.push(&[b'd'; 2 * TAIL]);
        assert!(tail.0.len() == TAIL && tail.0.iter().all(|b| *b == b'd'));
    }

    #[test]
    fn the_report_is_the_services() {
        let report = Report {
            request_id: "id",
            duration: Duration::from_micros(1_234),
            init: None,
            memory: 128,
            used: 50 << 20,
            status: None,
        };
        assert_eq!(
            report.line(),
            "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 50 MB\t"
        );
        let timeout = Report { init: Some(Duration::from_millis(100)), status: Some(("timeout", None)), ..report };
        assert!(timeout.line().ends_with("Billed Duration: 102 ms\tMemory Size: 128 MB\tMax Memory Used: 50 MB\tInit Duration: 100.00 ms\tStatus: timeout\t"));
        let error = Report { status: Some(("error", Some("Runtime.ExitError"))), ..report };
        assert!(error.line().ends_with("Status: error\tError Type: Runtime.ExitError\t"));
    }

    #[tokio::test]
    async fn what_was_written_before_the_tail_is_asked_for_is_in_it() {
        let (log, mut writer) = Log::open("f").unwrap();
        writer.write_all(b"before\n").unwrap();
        log.begin();
        log.say("START");
        writer.write_all(b"hello\nno end").unwrap();
        log.say("END");
        assert_eq!(STANDARD.decode(log.tail()).unwrap(), b"START\nhello\nno end\nEND\n");
        drop(writer);
        log.follow().await;
    }
}
