//! Geo: `geo.databases` become files.
//!
//! In: a path as it was written. Out: the database, or those of a directory, and where they are named. Never: one opened; whether it can be used is
//! known to the room that reads it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Checked, Report};
use crate::config::compiled::Database;
use crate::config::source::At;

/// Files of one directory.
const FILES_MAX: usize = 16;

/// A file, or every `*.mmdb` of a directory in the order of their names.
pub(super) fn databases(at: &At, path: &str, report: &mut Report<'_>) -> Checked<Vec<Database>> {
    let place = report.sources.find(at, String::new(), None);
    let named = |path| Database { path, place: place.clone() };
    let resolved = report.path(at, path);
    if !resolved.is_dir() {
        return Ok(vec![named(report.watched(at, path)?)]);
    }
    let files = in_directory(&resolved)
        .map_err(|error| report.refuse(at, format!("cannot read {}: {error}", resolved.display())))?;
    let wrong = match files.len() {
        0 => "has no *.mmdb file".to_owned(),
        1..=FILES_MAX => {
            report.files.note_all(&resolved, &files);
            return Ok(files.into_iter().map(named).collect());
        }
        _ => format!("has more than {FILES_MAX} *.mmdb files"),
    };
    Err(report.refuse(at, format!("{} {wrong}", resolved.display())))
}

fn in_directory(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths: std::io::Result<Vec<_>> = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect();
    let database = |path: &PathBuf| path.extension() == Some(OsStr::new("mmdb")) && path.is_file();
    let mut paths: Vec<_> = paths?.into_iter().filter(database).collect();
    paths.sort();
    Ok(paths)
}
