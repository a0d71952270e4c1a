//! Watch: when the files of a configuration have changed.
//!
//! In: paths, an interval. Out: the moment after which all of them held still. Never: reading their contents, reloading.
//!
//! Polling, because it sees what notifications miss: renames over a file, swapped symlinks (Kubernetes), network file systems.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a list of paths looked like at one moment. Symlinks are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<Print>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Print {
    /// Not there, or not to be looked at.
    Absent,
    File {
        modified: Option<SystemTime>,
        len: u64,
        device: u64,
        inode: u64,
    },
    /// The names of its *.toml and *.mmdb files. Their contents are looked at when they are in the list themselves; what else lies
    /// there (logs, state) does not matter.
    Directory(Vec<std::ffi::OsString>),
}

// === impl Fingerprint ===
impl Fingerprint {
    /// Looks at every path. Blocking: a few system calls per path.
    pub fn of(paths: &[PathBuf]) -> Self {
        Fingerprint(paths.iter().map(|path| print(path)).collect())
    }
}

/// Whether anything differs between two looks at the same paths.
pub fn changed(a: &Fingerprint, b: &Fingerprint) -> bool {
    a != b
}

/// Waits until `paths` look different from `seen` and have held still for one interval; answers how they look then, to pass
/// as `seen` the next time. Cancel-safe: dropping it loses nothing.
pub async fn changes(paths: &[PathBuf], seen: Fingerprint, every: Duration) -> Fingerprint {
    let mut last = seen.clone();
    loop {
        tokio::time::sleep(every).await;
        let owned = paths.to_vec();
        // Looking blocks (network file systems may for long), so not on a worker. A look that failed is the next one's work.
        let Ok(now) = tokio::task::spawn_blocking(move || Fingerprint::of(&owned)).await else { continue };
        if changed(&seen, &now) && !changed(&last, &now) {
            return now;
        }
        last = now;
    }
}

fn print(path: &Path) -> Print {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = std::fs::metadata(path) else { return Print::Absent };
    if metadata.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return Print::Absent };
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "toml" || kind == "mmdb"))
            .collect();
        names.sort();
        return Print::Directory(names);
    }
    Print::File {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), "1").unwrap();
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        let look = || Fingerprint::of(&[at("a"), at("link"), at("none")]);
        let first = look();
        assert!(!changed(&first, &look()), "nothing happened");

        std::fs::write(at("a"), "12").unwrap();
        let longer = look();
        assert!(changed(&first, &longer), "written in place");

        std::fs::write(at("b"), "12").unwrap();
        std::fs::rename(at("b"), at("a")).unwrap();
        let renamed = look();
        assert!(changed(&longer, &renamed), "renamed over");

        std::fs::write(at("c"), "12").unwrap();
        std::os::unix::fs::symlink(at("c"), at("new")).unwrap();
        std::fs::rename(at("new"), at("link")).unwrap();
        let swapped = look();
        assert!(changed(&renamed, &swapped), "symlink swapped");

        std::fs::write(at("none"), "").unwrap();
        assert!(changed(&swapped, &look()), "appeared");
    }

    #[test]
    fn a_directory_is_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().to_owned()];
        let empty = Fingerprint::of(&paths);
        std::fs::write(dir.path().join("10.toml"), "").unwrap();
        assert!(changed(&empty, &Fingerprint::of(&paths)));
        let one = Fingerprint::of(&paths);
        std::fs::write(dir.path().join("access.log"), "").unwrap();
        assert!(!changed(&one, &Fingerprint::of(&paths)), "only configurations count");
    }

    #[tokio::test]
    async fn a_change_is_told_once_it_holds_still() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("a")];
        let seen = Fingerprint::of(&paths);
        std::fs::write(&paths[0], "new").unwrap();
        let now = changes(&paths, seen.clone(), Duration::from_millis(1)).await;
        assert!(changed(&seen, &now));
        assert_eq!(now, Fingerprint::of(&paths));
    }
}
