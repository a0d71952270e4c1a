//! Shelf: the files of revisions on this node, and how far it is.
//!
//! In: verified bytes, a course. Out: the same after a restart or a kill. Never: half of a revision under its number, a file outside the
//! shelf.
//!
//! `state_dir/fleet/revisions/` has a directory and an envelope for each number, and `course.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::course::Course;
use super::manifest::{Envelope, Item};

const COURSE: &str = "course.json";
const ENVELOPE: &str = "json";
/// What is being written: a process that was killed leaves it behind.
const DRAFT: &str = ".draft";
/// Files that others may read, and those that they may not.
const OPEN: u32 = 0o644;
const SECRET: u32 = 0o600;

/// Why the disk did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot keep revisions in {}: {why}", path.display())]
pub struct ShelfError {
    path: PathBuf,
    why: String,
}

/// A directory of revisions. Every call blocks.
#[derive(Debug, Clone)]
pub struct Shelf {
    dir: PathBuf,
}

// === impl Shelf ===
impl Shelf {
    /// Below `state_dir`; nothing is made yet.
    pub fn new(state_dir: &Path) -> Self {
        Shelf { dir: state_dir.join("fleet/revisions") }
    }

    /// How far this node was. What cannot be read is as if it had never been: everything comes again from the bus.
    pub fn course(&self) -> Course {
        let read = std::fs::read(self.dir.join(COURSE)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Durable once it returns `Ok`.
    pub fn keep(&self, course: &Course) -> Result<(), ShelfError> {
        let bytes = serde_json::to_vec(course).map_err(|error| self.failed(&error))?;
        self.write(COURSE, &bytes)
    }

    /// Where the files of a revision are.
    pub fn place(&self, revision: u64) -> PathBuf {
        self.dir.join(revision.to_string())
    }

    pub fn has(&self, revision: u64) -> bool {
        self.place(revision).is_dir()
    }

    /// Puts the files of a revision there, all of them or none. `files` are what their items say.
    pub fn put(&self, revision: u64, files: &[(Item, Bytes)]) -> Result<(), ShelfError> {
        let draft = self.dir.join(format!("{revision}{DRAFT}"));
        let place = self.place(revision);
        let put = || -> std::io::Result<()> {
            if draft.exists() {
                std::fs::remove_dir_all(&draft)?;
            }
            // Its files may be secret.
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&draft)?;
            for (item, bytes) in files {
                let path = draft.join(&item.path);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                let mode = if item.secret { SECRET } else { OPEN };
                let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            if place.exists() {
                return std::fs::remove_dir_all(&draft);
            }
            std::fs::rename(&draft, &place)?;
            File::open(&self.dir)?.sync_all()
        };
        put().map_err(|error| self.failed(&error))
    }

    /// One of those files again.
    pub fn read(&self, revision: u64, path: &str) -> Result<Bytes, ShelfError> {
        let read = std::fs::read(self.place(revision).join(path));
        read.map(Bytes::from).map_err(|error| self.failed(&error))
    }

    /// Keeps an envelope, to be shown.
    pub fn file(&self, serial: u64, envelope: &Envelope) -> Result<(), ShelfError> {
        self.write(&format!("{serial}.{ENVELOPE}"), &envelope.bytes())
    }

    /// Every envelope that is kept.
    pub fn envelopes(&self) -> BTreeMap<u64, Envelope> {
        let mut found = BTreeMap::new();
        for name in self.names() {
            let serial = name.strip_suffix(ENVELOPE).and_then(|name| name.strip_suffix('.')?.parse().ok());
            let read = serial.and_then(|_: u64| std::fs::read(self.dir.join(&name)).ok());
            let envelope = read.and_then(|bytes| Envelope::parse(&bytes).ok());
            found.extend(serial.zip(envelope));
        }
        found
    }

    /// Forgets everything but `kept`, and what is being written.
    pub fn sweep(&self, kept: &BTreeSet<u64>) {
        for name in self.names() {
            let number = name.split('.').next().and_then(|name| name.parse::<u64>().ok());
            if name.ends_with(DRAFT) || number.is_none_or(|number| kept.contains(&number)) {
                continue;
            }
            let path = self.dir.join(&name);
            let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(error) = gone {
                log::warn!("{}", self.failed(&error));
            }
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ShelfError> {
        let (draft, path) = (self.dir.join(format!("{name}{DRAFT}")), self.dir.join(name));
        let write = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let mut file = File::create(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> ShelfError {
        ShelfError { path: self.dir.clone(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::bus::Digest;
    use crate::fleet::revision::{Act, DeployKey, Event, Manifest};
    use std::os::unix::fs::PermissionsExt as _;

    fn item(path: &str, text: &str, secret: bool) -> (Item, Bytes) {
        let digest = Digest::of(text.as_bytes()).to_string();
        (Item { path: path.to_owned(), digest, size: text.len() as u64, secret }, Bytes::from(text.to_owned()))
    }

    #[test]
    fn everything_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        assert_eq!(shelf.course(), Course::default());
        shelf.put(7, &[item("edge.toml", "[pop]", false), item("tls/a.key", "secret", true)]).unwrap();
        let mut course = Course::default();
        course.take(Event::Arrived { serial: 7, act: Act::Deploy }, 0, 9);
        shelf.keep(&course).unwrap();
        let (key, _) = DeployKey::make().unwrap();
        let envelope = Manifest::new(7, Act::Deploy, "ada".to_owned(), String::new(), 1).seal(&key);
        shelf.file(7, &envelope).unwrap();

        let again = Shelf::new(dir.path());
        assert_eq!(again.course(), course);
        assert_eq!(again.envelopes(), BTreeMap::from([(7, envelope)]));
        let path = again.place(7).join("tls/a.key");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(again.read(7, "tls/a.key").unwrap(), "secret");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        again.put(7, &[item("edge.toml", "other", false)]).unwrap();
        assert_eq!(
            std::fs::read_to_string(again.place(7).join("edge.toml")).unwrap(),
            "[pop]",
            "a number has one meaning"
        );
    }

    #[test]
    fn half_a_revision_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        // A file where a directory has to be.
        assert!(shelf.put(7, &[item("a", "x", false), item("a/b", "y", false)]).is_err());
        assert!(!shelf.has(7));
        shelf.put(7, &[item("a", "x", false)]).unwrap();
        assert!(shelf.has(7));
        std::fs::write(dir.path().join("fleet/revisions/course.json"), "{").unwrap();
        assert_eq!(shelf.course(), Course::default());
    }

    #[test]
    fn what_is_not_needed_goes() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        shelf.keep(&Course::default()).unwrap();
        for revision in 1..=3 {
            shelf.put(revision, &[item("a", "x", false)]).unwrap();
        }
        shelf.sweep(&BTreeSet::from([2]));
        assert_eq!([1, 2, 3].map(|revision| shelf.has(revision)), [false, true, false]);
        assert!(dir.path().join("fleet/revisions/course.json").exists());
    }
}
