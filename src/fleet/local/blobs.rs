//! Blobs: files by digest in one directory.
//!
//! In: bytes. Out: the same bytes, verified. Never: half a file under a digest's name.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::fleet::bus::{BusError, Digest};

/// How the name of a file that is still written begins.
const PARTIAL: &str = ".partial-";

/// Every call blocks on the disk.
#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
    /// Bytes of one.
    most: u64,
}

// === impl Blobs ===
impl Blobs {
    /// Opens or makes the directory; what a crash left half written is removed.
    pub fn open(dir: &Path, most: u64) -> Result<Self, BusError> {
        let blobs = Blobs { dir: dir.to_owned(), most };
        fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
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
        if self.get(digest).is_ok() {
            return Ok(digest);
        }
        let path = self.path(digest);
        let write = || {
            let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
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

    pub fn forget(&self, digest: Digest) -> Result<(), BusError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }
}

fn failed(path: &Path, error: std::io::Error) -> BusError {
    BusError::Disk { what: path.display().to_string(), why: error.to_string() }
}
