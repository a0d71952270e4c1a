//! Durable: a database file that works again once its disk does, in a directory that is nobody else's.
//!
//! In: a path or how to open it, work to be done in the database. Out: what came of it. Never: a file that stays unusable after a disk that was full has
//! room again: from the first error of the disk on, redb refuses everything until the file is closed and opened anew.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use redb::{Database, DatabaseError, Error, StorageError};

/// Opens the file, for the first time or again.
pub type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// Makes a directory, and those above it, that only the user that runs us may enter: what lies there are tables, keys, cached answers.
/// One that exists stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// One redb file. Every call blocks on the disk.
pub struct Durable {
    path: PathBuf,
    open: Opener,
    file: RwLock<File>,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("path", &self.path).field("file", &self.file).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum File {
    Open(Database),
    /// The disk refused something: to be opened again.
    Broken,
    Closed,
}

// === impl Durable ===
impl Durable {
    /// Opens or creates the file; `cache`: bytes of redb's page cache.
    ///
    /// # Errors
    /// Another process has the file, or it cannot be read.
    pub fn open(path: &Path, cache: usize) -> Result<Self, DatabaseError> {
        Durable::load(path, opener(path, cache))
    }

    /// The same for whatever `open` opens; `path` names it.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn load(path: &Path, open: Opener) -> Result<Self, DatabaseError> {
        let db = open()?;
        Ok(Durable { path: path.to_owned(), open, file: RwLock::new(File::Open(db)) })
    }

    /// Does `work`. What the disk refused may be there afterwards or not; the next call opens the file again.
    ///
    /// # Errors
    /// Those of `work`; the file is closed, or cannot be opened again.
    pub fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        self.mend()?;
        let file = self.file.read();
        let File::Open(db) = &*file else { return Err(closed()) };
        let done = work(db);
        drop(file);
        if let Err(Error::Io(_) | Error::PreviousIo) = done {
            self.broken();
        }
        done
    }

    /// Lets go of the file, so that another process can have it. Waits for what is being done.
    pub fn close(&self) {
        *self.file.write() = File::Closed;
    }

    fn mend(&self) -> Result<(), Error> {
        if matches!(*self.file.read(), File::Broken) {
            let mut file = self.file.write();
            if matches!(*file, File::Broken) {
                *file = File::Open((self.open)()?);
                log::info!("{} is open again", self.path.display());
            }
        }
        Ok(())
    }

    fn broken(&self) {
        let mut file = self.file.write();
        if matches!(*file, File::Open(_)) {
            *file = File::Broken;
        }
    }
}

// === free functions ===

/// Opens or creates the file at `path`; `cache`: bytes of redb's page cache.
pub fn opener(path: &Path, cache: usize) -> Opener {
    let path = path.to_owned();
    Box::new(move || Database::builder().set_cache_size(cache).create(&path))
}

/// Whether the file's content is to blame, not the disk or another process: it will not open by itself.
pub fn is_damaged(error: &Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        Error::Corrupted(_) => true,
        Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        _ => false,
    }
}

fn closed() -> Error {
    StorageError::DatabaseClosed.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{ReadableDatabase as _, TableDefinition};

    const TABLE: TableDefinition<'static, u64, u64> = TableDefinition::new("t");

    fn put(file: &Durable, key: u64) -> Result<(), Error> {
        file.with(|db| {
            let write = db.begin_write()?;
            write.open_table(TABLE)?.insert(key, key)?;
            Ok(write.commit()?)
        })
    }

    fn has(file: &Durable, key: u64) -> bool {
        file.with(|db| Ok(db.begin_read()?.open_table(TABLE)?.get(key)?.is_some())).unwrap()
    }

    #[test]
    fn it_is_opened_again_after_an_error_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = Durable::open(&dir.path().join("f"), 1 << 20).unwrap();
        put(&file, 1).unwrap();
        let full = || Err::<(), Error>(Error::Io(std::io::ErrorKind::StorageFull.into()));
        assert!(file.with(|_| full()).is_err());
        assert!(matches!(*file.file.read(), File::Broken));
        assert!(has(&file, 1));
        put(&file, 2).unwrap();
        assert!(has(&file, 2));
        // Another error says nothing of the file.
        assert!(file.with(|db| Ok(db.begin_read()?.open_table(TableDefinition::<u64, u64>::new("none"))?)).is_err());
        assert!(matches!(*file.file.read(), File::Open(_)));
    }

    #[test]
    fn what_is_closed_stays_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = Durable::open(&path, 1 << 20).unwrap();
        assert!(Durable::open(&path, 1 << 20).is_err(), "one at a time");
        file.close();
        file.broken();
        assert!(put(&file, 1).is_err());
        put(&Durable::open(&path, 1 << 20).unwrap(), 1).unwrap();
    }
}
