//! Horizon: stamps go on where the last process ended, whatever the clock says since.
//!
//! In: a file, the clock. Out: a bound that stamps stay below, on disk before they may reach it. Never: a stamp of an earlier process that
//! is newer than one of this: what that process stored on disk would pass for fetched after a purge.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::object::{Stamp, Stamps};

/// How far ahead of the clock the bound is written.
const AHEAD: Duration = Duration::from_secs(10);
/// How often it is raised.
pub const EVERY: Duration = Duration::from_secs(5);

/// The file with the bound. Every call blocks on the disk.
#[derive(Debug)]
pub struct Horizon {
    path: PathBuf,
}

// === impl Horizon ===
impl Horizon {
    /// Lets `stamps` go on after those of earlier processes. `now`: nanoseconds since the epoch.
    pub fn open(path: &Path, stamps: &Stamps, now: u64) -> Self {
        let horizon = Horizon { path: path.to_owned() };
        let before = horizon.read();
        if before > 0 {
            stamps.pass(Stamp(before));
            stamps.bound(before);
        }
        horizon.raise(stamps, now);
        horizon
    }

    /// Raises the bound. While the disk takes nothing, stamps stay in their order and fall behind the clock.
    pub fn raise(&self, stamps: &Stamps, now: u64) {
        let ahead = u64::try_from(AHEAD.as_nanos()).unwrap_or(u64::MAX);
        // While one process follows another, both write.
        let next = now.max(stamps.last().0).saturating_add(ahead).max(self.read());
        match self.write(next) {
            Ok(()) => stamps.bound(next),
            Err(error) => log::error!("{}: {error}", self.path.display()),
        }
    }

    /// 0 when there is none.
    fn read(&self) -> u64 {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                log::error!("{} is no number: as if it were not there", self.path.display());
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                log::error!("{}: {error}", self.path.display());
                0
            }
        }
    }

    fn write(&self, bound: u64) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        writeln!(file, "{bound}")?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn stamps_go_on_after_a_clock_that_was_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stamps");
        let first = Stamps::default();
        let horizon = Horizon::open(&path, &first, 100 * SECOND);
        assert_eq!(first.next(100 * SECOND), Stamp(100 * SECOND));
        // A clock that jumps ahead does not take stamps past what is on disk.
        let ahead = first.next(500 * SECOND);
        assert_eq!(ahead, Stamp(110 * SECOND));
        assert_eq!(first.next(500 * SECOND), Stamp(ahead.0 + 1));
        horizon.raise(&first, 500 * SECOND);
        let last = first.next(505 * SECOND);
        assert_eq!(last, Stamp(505 * SECOND));
        let second = Stamps::default();
        Horizon::open(&path, &second, 90 * SECOND);
        assert!(second.next(90 * SECOND) > last);
        assert!(second.next(600 * SECOND) > last);
    }

    #[test]
    fn without_a_disk_stamps_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/stamps");
        let stamps = Stamps::default();
        Horizon::open(&path, &stamps, 100);
        assert!(stamps.next(100) < stamps.next(200));
        let broken = dir.path().join("stamps");
        fs::write(&broken, "?").unwrap();
        Horizon::open(&broken, &Stamps::default(), 7);
        assert_eq!(Horizon { path: broken }.read(), 7 + 10 * SECOND);
    }
}
