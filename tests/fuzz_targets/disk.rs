//! Disk: whatever an earlier process, or a failing disk, left in the cache's directory is a record that was written, or nothing. The first
//! byte chooses: a record's described part, a segment, a segment around that part, a list of invalidated URLs.

use std::fs::File;
use std::io::Write as _;

use rimward::cache::invalidated;
use rimward::cache::store::disk::Place;
use rimward::cache::store::disk::codec::{decode, encode};
use rimward::cache::store::disk::segment::{self, Entry, HEADER, Kind, MAGIC};

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, described)) => {
            if let Some((key, meta, head)) = decode(described) {
                assert_eq!(decode(&encode(&key, &meta, &head)), Some((key, meta, head)));
            }
        }
        Some((1, bytes)) => any_segment(bytes),
        Some((2, described)) => one_record(described),
        Some((_, bytes)) => {
            if let Ok(notes) = invalidated::decode(bytes) {
                assert!(notes.len() * 28 <= bytes.len());
            }
        }
        None => {}
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn any_segment(bytes: &[u8]) {
    let file = file(bytes);
    let len = bytes.len() as u64;
    let (entries, end) = segment::scan(&file, 1, len);
    assert!(end <= len.max(MAGIC.len() as u64));
    for entry in entries {
        let place = entry.place;
        assert!(place.head_at + HEADER as u64 + u64::from(place.head_len) <= len);
        // What lies there was described, or is damaged.
        let _ = segment::read_described(&file, &entry.hash, place);
    }
    if let Some(entries) = segment::read_table(&file, 1, len) {
        assert!(entries.len() * segment::ENTRY + segment::TRAILER <= bytes.len());
    }
    assert_eq!(segment::is_segment(&file), bytes.starts_with(&MAGIC));
}

fn one_record(described: &[u8]) {
    let at = MAGIC.len() as u64;
    let head_len = described.len() as u32;
    let place = Place { head_at: at, body_at: 0, body_len: 9, head_seg: 1, body_seg: 7, head_len, hit: false };
    let written = Entry { kind: Kind::Refresh, hash: [5; 16], place };
    let bytes = [&MAGIC[..], &segment::record(&written, described)].concat();
    let len = bytes.len() as u64;
    let sealed = file(&[&bytes[..], &segment::table(&[written], len)].concat());
    let table = segment::read_table(&sealed, 1, sealed.metadata().unwrap().len()).expect("its table");
    let (scanned, end) = segment::scan(&sealed, 1, len);
    assert_eq!(end, len);
    for found in [table, scanned] {
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].hash, found[0].place), (Kind::Refresh, [5; 16], place));
    }
    assert_eq!(segment::read_raw(&sealed, place).as_deref(), Some(described));
    let read = segment::read_described(&sealed, &[5; 16], place);
    assert_eq!(read.ok(), decode(described));
}
