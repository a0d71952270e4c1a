//! Import: the file that a new store begins with.
//!
//! In: CloudFront's import format, `{"data": [{"key": "…", "value": "…"}]}`. Out: the entries, or what is wrong with the file.
//! Never: a part of it, a store.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::KvError;
use super::change::{self, Change, Entry};
use crate::config::compiled::{KvBounds, KvStore};

/// JSON text may be this many times as long as what it says: every byte written as an escape.
const ESCAPED: u64 = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = r#"{"data": [{"key": "…", "value": "…"}]}"#)]
struct Import {
    data: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = r#"{"key": "…", "value": "…"}"#)]
struct Line {
    key: String,
    value: String,
}

/// Reads and checks the whole file that `store` begins with.
pub fn read(store: &KvStore, path: &Path) -> Result<(Vec<Change>, u64), KvError> {
    let text = text(store, path)?;
    Ok((entries(store, path, &text)?, mark(&text)))
}

/// What it says, as bytes that are still to be checked.
pub fn text(store: &KvStore, path: &Path) -> Result<Vec<u8>, KvError> {
    let failed = |reason: String| failed(store, path, reason);
    let mut text = Vec::new();
    let limit = store.bounds.store.saturating_mul(ESCAPED);
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > limit {
        return Err(failed(format!("more than {limit} bytes")));
    }
    Ok(text)
}

/// Checks the whole of `text`.
pub fn entries(store: &KvStore, path: &Path, text: &[u8]) -> Result<Vec<Change>, KvError> {
    parse(text, &store.bounds).map_err(|reason| failed(store, path, reason))
}

fn failed(store: &KvStore, path: &Path, reason: String) -> KvError {
    KvError::Import { store: store.name.clone(), path: path.to_owned(), reason }
}

/// Names a file's text, on disk too.
pub fn mark(text: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text)
}

fn parse(text: &[u8], bounds: &KvBounds) -> Result<Vec<Change>, String> {
    // RFC 8259 §8.1: a byte order mark may be ignored.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let import: Import = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let size = import.data.iter().map(|line| (line.key.len() + line.value.len()) as u64).sum();
    let put = |line: Line| Change::Put(Entry { key: line.key, value: line.value.into() });
    let changes: Vec<Change> = import.data.into_iter().map(put).collect();
    let told = |error: KvError| error.held_to(bounds).to_string();
    // One by one first: a key that is too long is not shown, its number is.
    for (position, change) in changes.iter().enumerate() {
        change::entries(std::slice::from_ref(change), bounds)
            .map_err(|error| format!("entry {}: {}", position + 1, told(error)))?;
    }
    change::entries(&changes, bounds).map_err(told)?;
    if size > bounds.store {
        return Err(told(KvError::Full { size, limit: bounds.store }));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let one =
            |key: usize, value: usize| format!(r#"{{"key":"{}","value":"{}"}}"#, "k".repeat(key), "v".repeat(value));
        let (strict, extended) = (KvBounds::STRICT, KvBounds::EXTENDED);
        let small = KvBounds { store: 10, ..extended };
        for (entries, bounds, says) in [
            (one(512, 1024), strict, None),
            ("\n{\"key\":\"k\"}".to_owned(), strict, Some("missing field `value` at line 2 column 11")),
            (
                format!("{},{}", one(1, 1), one(513, 1)),
                strict,
                Some("entry 2: a key of 513 bytes, 512 are allowed with mode = \"strict\""),
            ),
            (
                one(1, 1025),
                strict,
                Some("entry 1: 'k': a value of 1025 bytes, 1024 are allowed with mode = \"strict\""),
            ),
            (one(1025, 1), extended, Some("entry 1: a key of 1025 bytes, 1024 are allowed")),
            (format!("{},{}", one(1, 1), one(1, 2)), extended, Some("'k' is there twice")),
            (one(5, 5), small, None),
            (
                "1".to_owned(),
                small,
                Some("invalid type: integer `1`, expected {\"key\": \"…\", \"value\": \"…\"} at line 1 column 10"),
            ),
            (one(5, 6), small, Some("the store would hold 11 bytes, 10 are allowed")),
        ] {
            let read = parse(format!(r#"{{"data":[{entries}]}}"#).as_bytes(), &bounds);
            assert_eq!(read.err().as_deref(), says);
        }
        assert_eq!(parse("\u{feff}{\"data\":[]}".as_bytes(), &strict).map(|all| all.len()), Ok(0));
    }
}
