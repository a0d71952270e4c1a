//! Log: what a function says during one call.
//!
//! In: lines from host calls, and bytes of the guest's stdout and stderr. Out: bounded lines, with a last one that says when more
//! was dropped. Never: a sink; `proxy` joins the lines to the request.

/// Lines one call may write.
const LINES_MAX: usize = 256;
/// Bytes of all lines of one call.
pub const BYTES_MAX: usize = 64 << 10;
/// In place of what was dropped.
const TRUNCATED: &str = "… the log of this call was cut off here";

/// As in `rimward:edge/log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// One line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: Level,
    pub message: String,
}

/// The lines of one call.
#[derive(Debug)]
pub struct Log {
    lines: Vec<LogLine>,
    bytes: usize,
    /// Bytes it has room for, up to [`BYTES_MAX`].
    most: usize,
    cut: bool,
    /// The unfinished last line of stdout and of stderr.
    partial: [Vec<u8>; 2],
}

/// Where a guest's plain output went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

// === impl Log ===
impl Default for Log {
    fn default() -> Self {
        Log { lines: Vec::new(), bytes: 0, most: BYTES_MAX, cut: false, partial: Default::default() }
    }
}

impl Log {
    /// Has room for `most` bytes of a call from now on.
    pub fn bound(&mut self, most: usize) {
        self.most = most.min(BYTES_MAX);
    }

    pub fn write(&mut self, level: Level, message: &str) {
        if self.cut {
            return;
        }
        let room = self.most.saturating_sub(self.bytes);
        if self.lines.len() == LINES_MAX || room == 0 {
            return self.cut();
        }
        let kept = &message[..message.floor_char_boundary(room)];
        self.bytes += kept.len();
        self.lines.push(LogLine { level, message: kept.to_owned() });
        if kept.len() < message.len() {
            self.cut();
        }
    }

    /// Plain output: each line is one of the log.
    pub fn output(&mut self, stream: Stream, data: &[u8]) {
        let (slot, level) = match stream {
            Stream::Out => (0, Level::Info),
            Stream::Err => (1, Level::Error),
        };
        for piece in data.split_inclusive(|&b| b == b'\n') {
            if self.cut {
                return;
            }
            let partial = &mut self.partial[slot];
            partial.extend_from_slice(&piece[..piece.len().min(BYTES_MAX - partial.len().min(BYTES_MAX))]);
            if piece.ends_with(b"\n") || partial.len() >= BYTES_MAX {
                self.flush(slot, level);
            }
        }
    }

    /// All lines; the log is empty afterwards.
    pub fn take(&mut self) -> Vec<LogLine> {
        self.flush(0, Level::Info);
        self.flush(1, Level::Error);
        self.bytes = 0;
        self.cut = false;
        std::mem::take(&mut self.lines)
    }

    fn flush(&mut self, slot: usize, level: Level) {
        let line = std::mem::take(&mut self.partial[slot]);
        if !line.is_empty() {
            self.write(level, String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        }
    }

    fn cut(&mut self) {
        self.cut = true;
        self.lines.push(LogLine { level: Level::Warn, message: TRUNCATED.to_owned() });
    }
}

// === impl Level ===
impl Level {
    /// By its number in the flat world.
    pub fn of_code(code: u8) -> Option<Level> {
        [Level::Debug, Level::Info, Level::Warn, Level::Error].get(usize::from(code)).copied()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Level::Debug, Level::Info, Level::Warn, Level::Error].into_iter().find(|l| l.as_str() == text);
        known.ok_or_else(|| format!("unknown level '{text}': debug, info, warn or error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_in_lines_and_bytes_and_says_so() {
        let mut log = Log::default();
        (0..LINES_MAX * 2).for_each(|_| log.write(Level::Info, "x"));
        let lines = log.take();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX].message, TRUNCATED);

        log.write(Level::Info, &"é".repeat(BYTES_MAX));
        log.write(Level::Info, "more");
        let lines = log.take();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].message.len(), BYTES_MAX);
        assert_eq!(lines[1].message, TRUNCATED);
    }

    #[test]
    fn a_log_may_have_less_room() {
        let mut log = Log::default();
        log.bound(10);
        log.write(Level::Info, "123456");
        log.write(Level::Info, "7890123");
        let lines: Vec<String> = log.take().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["123456", "7890", TRUNCATED]);
    }

    #[test]
    fn plain_output_becomes_lines() {
        let mut log = Log::default();
        log.output(Stream::Out, b"one\ntw");
        log.output(Stream::Err, b"oh\r\n");
        log.output(Stream::Out, b"o\nrest");
        let lines: Vec<(Level, String)> = log.take().into_iter().map(|line| (line.level, line.message)).collect();
        let want = [(Level::Info, "one"), (Level::Error, "oh"), (Level::Info, "two"), (Level::Info, "rest")];
        assert_eq!(lines, want.map(|(level, text)| (level, text.to_owned())));
    }

    #[test]
    fn output_without_an_end_is_bounded() {
        let mut log = Log::default();
        (0..10).for_each(|_| log.output(Stream::Out, &[b'x'; BYTES_MAX / 2]));
        let bytes: usize = log.take().iter().map(|line| line.message.len()).sum();
        assert!(bytes <= BYTES_MAX + TRUNCATED.len());
    }
}
