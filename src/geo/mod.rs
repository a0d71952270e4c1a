//! Geo: where an address is.
//!
//! In: databases in the MaxMind DB format, an address. Out: a place, as far as they know it. Never: the network, a database that
//! changes while it is in use (whoever reloads opens it anew), a panic on a broken file.

mod centre;
mod data;
pub mod dns;
mod file;
mod record;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use file::File;
use serde::Serialize;

/// Files of one directory that are opened.
const FILES_MAX: usize = 16;

/// What is known of an address. Absent parts are not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// English, as all names.
    pub country_name: Option<String>,
    /// ISO 3166-2 subdivision, without the country.
    pub region: Option<String>,
    pub region_name: Option<String>,
    pub city: Option<String>,
    pub postal_code: Option<String>,
    pub metro_code: Option<u32>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// Degrees.
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// Autonomous system.
    pub asn: Option<u32>,
    pub as_name: Option<String>,
}

/// One or several databases, held in memory.
#[derive(Debug, Default)]
pub struct Db {
    files: Vec<File>,
}

/// Why there is no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeoError {
    #[error("cannot read {path}: {reason}", path = path.display())]
    Read { path: PathBuf, reason: String },
    #[error("{path} has no *.mmdb file", path = path.display())]
    Empty { path: PathBuf },
    #[error("{path} has more than {FILES_MAX} *.mmdb files", path = path.display())]
    TooMany { path: PathBuf },
    #[error("{path} is not a usable MaxMind DB file: {reason}", path = path.display())]
    Broken { path: PathBuf, reason: String },
}

// === impl Db ===
impl Db {
    /// Reads files; of a directory every `*.mmdb` in the order of their names. Of what several know, the first counts. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// The first file that cannot be read or used.
    pub fn open(paths: &[PathBuf]) -> Result<Self, GeoError> {
        let mut db = Db::default();
        for path in paths {
            let found = if path.is_dir() { databases(path)? } else { vec![path.clone()] };
            found.iter().try_for_each(|path| db.add(path))?;
        }
        Ok(db)
    }

    /// Reads one more file, which counts after the others. Blocks on the disk.
    ///
    /// # Errors
    /// It cannot be read or used; the others are as they were.
    pub fn add(&mut self, path: &Path) -> Result<(), GeoError> {
        self.files.push(File::open(path)?);
        Ok(())
    }

    /// Whether any file knows countries; one of autonomous systems does not.
    pub fn knows_countries(&self) -> bool {
        self.files.iter().any(|file| file.countries)
    }

    /// Where `address` is. `None`: no file knows anything.
    pub fn lookup(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut place = Place::default();
        for file in &self.files {
            if let Some(record) = file.find(address) {
                record.fill(&mut place);
            }
        }
        (place != Place::default()).then_some(place)
    }
}

fn databases(dir: &Path) -> Result<Vec<PathBuf>, GeoError> {
    let failed = |error: std::io::Error| GeoError::Read { path: dir.to_owned(), reason: error.to_string() };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "mmdb") {
            paths.push(path);
        }
    }
    paths.sort();
    match paths.len() {
        0 => Err(GeoError::Empty { path: dir.to_owned() }),
        1..=FILES_MAX => Ok(paths),
        _ => Err(GeoError::TooMany { path: dir.to_owned() }),
    }
}

#[cfg(test)]
mod tests;
