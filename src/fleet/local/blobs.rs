//! Blobs: files by digest in one directory.
//!
//! In: bytes. Out: the same bytes, verified. Never: half a file under a digest's name.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::fleet::bus::{BusError, Digest};

/// How the name of a file that is still written begins.
const PARTIAL: &str = ".partial-";

/// Every call blocks on the disk.
#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
    /// Bytes of one.
    most: u64,
    /// Held while a file comes, goes or is touched.
    changing: Mutex<()>,
}

// === impl Blobs ===
impl Blobs {
    /// Opens or makes the directory; what a crash left half written is removed.
    pub fn open(dir: &Path, most: u64) -> Result<Self, BusError> {
        let blobs = Blobs { dir: dir.to_owned(), most, changing: Mutex::default() };
        crate::durable::private_dir(dir).map_err(|e| failed(dir, e))?;
        for entry in fs::read_dir(dir).map_err(|e| failed(dir, e))? {
            let entry = entry.map_err(|e| failed(dir, e))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(PARTIAL)) {
                fs::remove_file(entry.path()).map_err(|e| failed(&entry.path(), e))?;
            }
        }
        Ok(blobs)
    }

    /// On disk, with its name, when it returns `Ok`.
    pub fn put(&self, bytes: &Bytes) -> Result<Digest, BusError> {
        if bytes.len() as u64 > self.most {
            return Err(BusError::Refused(format!("a blob has at most {} bytes", self.most)));
        }
        let digest = Digest::of(bytes);
        // One that is there but spoiled is written anew.
        if self.get(digest).is_ok() && self.touch(digest).is_ok() {
            return Ok(digest);
        }
        let path = self.path(digest);
        let write = || {
            let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            let _changing = self.changing.lock();
            file.persist(&path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e: std::io::Error| failed(&path, e))?;
        Ok(digest)
    }

    pub fn get(&self, digest: Digest) -> Result<Bytes, BusError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(self.most + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if Digest::of(&bytes) == digest => Ok(bytes.into()),
            Ok(_) => Err(BusError::Corrupt(digest)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(BusError::NoBlob(digest)),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Its file's time says when it was touched.
    pub fn touch(&self, digest: Digest) -> Result<(), BusError> {
        let path = self.path(digest);
        let _changing = self.changing.lock();
        let touched = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        touched.map_err(|error| match error.kind() {
            ErrorKind::NotFound => BusError::NoBlob(digest),
            _ => failed(&path, error),
        })
    }

    pub fn all(&self) -> Result<Vec<Digest>, BusError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| failed(&self.dir, e))? {
            let entry = entry.map_err(|e| failed(&self.dir, e))?;
            all.extend(entry.file_name().to_str().and_then(Digest::parse));
        }
        Ok(all)
    }

    /// Whether it is gone. A time in the future counts as now.
    pub fn forget(&self, digest: Digest, untouched: Duration) -> Result<bool, BusError> {
        let path = self.path(digest);
        let _changing = self.changing.lock();
        let forget = || {
            let age = fs::metadata(&path)?.modified()?.elapsed().unwrap_or_default();
            if age < untouched {
                return Ok(false);
            }
            fs::remove_file(&path).map(|()| true)
        };
        match forget() {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, error)),
            gone => Ok(gone.unwrap_or(true)),
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }
}

fn failed(path: &Path, error: std::io::Error) -> BusError {
    BusError::Disk { what: path.display().to_string(), why: error.to_string() }
}
