//! Disk: the log's database, opened again after an error of the disk.
//!
//! In: how to open it. Out: the database, lent to one reader or writer at a time or several. Never: an error that stays when the disk is
//! well again (redb does nothing more after one until it is opened anew).

use std::fmt;

use parking_lot::RwLock;
use redb::{Database, DatabaseError};

/// Opens the database, for the first time or again.
pub(in crate::fleet) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// See the module's documentation.
pub(in crate::fleet) struct Disk {
    open: Opener,
    /// Absent after an error.
    db: RwLock<Option<Database>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("db", &self.db).finish_non_exhaustive()
    }
}

// === impl Disk ===
impl Disk {
    pub fn open(open: Opener) -> Result<Self, redb::Error> {
        let db = open()?;
        Ok(Disk { open, db: RwLock::new(Some(db)) })
    }

    /// Lends the database to `work`.
    pub fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let mut lent = self.db.read();
        if lent.is_none() {
            drop(lent);
            let mut absent = self.db.write();
            if absent.is_none() {
                *absent = Some((self.open)()?);
            }
            drop(absent);
            lent = self.db.read();
        }
        // Another one may have failed meanwhile.
        let done = lent.as_ref().map_or(Err(redb::Error::PreviousIo), work);
        drop(lent);
        if matches!(done, Err(redb::Error::Io(_) | redb::Error::PreviousIo)) {
            *self.db.write() = None;
        }
        done
    }
}
