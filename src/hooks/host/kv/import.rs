//! Import: the file that a new store begins with.
//!
//! In: CloudFront's import format, `{"data": [{"key": "…", "value": "…"}]}`. Out: the entries, or what is wrong with the file.
//! Never: a part of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::KvError;
use super::change::{self, Change, Entry};
use crate::config::compiled::KvBounds;

/// JSON text may be this many times as long as what it says: every byte written as an escape.
const ESCAPED: u64 = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    data: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
}

/// Reads and checks a whole file.
pub fn read(path: &Path, bounds: &KvBounds) -> Result<Vec<Change>, KvError> {
    let failed = |reason: String| KvError::Import { path: path.to_owned(), reason };
    let mut text = Vec::new();
    let limit = bounds.store.saturating_mul(ESCAPED);
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > limit {
        return Err(failed(format!("more than {limit} bytes")));
    }
    parse(&text, bounds).map_err(failed)
}

fn parse(text: &[u8], bounds: &KvBounds) -> Result<Vec<Change>, String> {
    let import: Import = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let put = |line: Line| Change::Put(Entry { key: line.key, value: line.value.into() });
    let changes: Vec<Change> = import.data.into_iter().map(put).collect();
    change::entries(&changes, bounds).map_err(|error| error.to_string())?;
    Ok(changes)
}
