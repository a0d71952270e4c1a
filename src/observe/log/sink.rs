//! Sink: where lines end up.
//!
//! In: batches of lines. Out: bytes in a stream or file, which may be rotated away at any time. Never: a buffer of its own.

use crate::config::compiled::LogTarget;
use crate::observe::ObserveError;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the path is compared with the open file, to see that a rotation moved it away.
const MOVED_CHECK: Duration = Duration::from_secs(1);

/// The open sink.
pub enum Sink {
    Stdout,
    Stderr,
    File { path: PathBuf, file: File, checked: Instant },
}

// === impl Sink ===
impl Sink {
    /// Opens `to` and writes `header` where it begins.
    pub fn open(to: &LogTarget, header: &str) -> Result<Self, ObserveError> {
        let mut sink = match to {
            LogTarget::Stdout => Sink::Stdout,
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::File(path) => {
                let file =
                    open_file(path, header).map_err(|source| ObserveError::OpenLog { path: path.clone(), source })?;
                return Ok(Sink::File { path: path.clone(), file, checked: Instant::now() });
            }
        };
        if let Err(error) = sink.write(header.as_bytes()) {
            log::error!("access log: {error}: nothing reads {sink}");
        }
        Ok(sink)
    }

    /// Writes all of it, or fails; what was written before a failure stays.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Sink::Stderr => io::stderr().lock().write_all(bytes),
            Sink::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Whether the path names another file by now, or none.
    pub fn was_moved(&mut self) -> bool {
        let Sink::File { path, file, checked } = self else { return false };
        if checked.elapsed() < MOVED_CHECK {
            return false;
        }
        *checked = Instant::now();
        let Ok(open) = file.metadata() else { return true };
        std::fs::metadata(path).map_or(true, |named| (named.dev(), named.ino()) != (open.dev(), open.ino()))
    }

    /// Opens the path again; the old file stays when that fails.
    pub fn reopen(&mut self, header: &str) {
        if let Sink::File { path, file, .. } = self {
            match open_file(path, header) {
                Ok(new) => *file = new,
                Err(error) => log::error!("access log: cannot reopen {}: {error}", path.display()),
            }
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Stdout => f.write_str("standard output"),
            Sink::Stderr => f.write_str("standard error"),
            Sink::File { path, .. } => path.display().fmt(f),
        }
    }
}

/// Opens for appending; an empty file begins with `header`.
fn open_file(path: &Path, header: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(header.as_bytes())?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let mut sink = Sink::open(&LogTarget::File(path.clone()), "").unwrap();
        let back_date = |sink: &mut Sink| {
            let Sink::File { checked, .. } = sink else { unreachable!("opened as a file") };
            *checked = checked.checked_sub(MOVED_CHECK).unwrap();
        };
        back_date(&mut sink);
        assert!(!sink.was_moved());
        std::fs::remove_file(&path).unwrap();
        assert!(!sink.was_moved(), "not looked at again so soon");
        back_date(&mut sink);
        assert!(sink.was_moved());
        sink.reopen("");
        assert!(path.exists());
    }
}
