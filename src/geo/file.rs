//! File: one database in memory.
//!
//! In: a MaxMind DB file (format 2.0). Out: the record of an address. Never: a file that is broken somewhere: the library that reads
//! it panics on some, so the whole of it is looked at before it is used.

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{Metadata, Reader};

use super::GeoError;
use super::data::Data;
use super::record::Record;

/// Begins the metadata, which ends the file (MaxMind DB File Format Specification 2.0).
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Zero bytes between search tree and data.
const SEPARATOR: usize = 16;
/// Bytes of the largest node.
const NODE_MAX: usize = 8;

pub struct File {
    reader: Reader<Vec<u8>>,
    /// Whether any record can have a country.
    pub countries: bool,
}

/// What has a country's code in records of both shapes: kind and length in one byte, then the name.
const COUNTRY: [&[u8]; 2] = [b"\x48iso_code", b"\x4ccountry_code"];

/// What may be in one half of a node: another node, nothing, or the place of a record.
struct Tree<'f> {
    bytes: &'f [u8],
    /// Bits of one half: 24, 28 or 32.
    record_size: usize,
    nodes: usize,
}

// === impl File ===
impl File {
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let bytes =
            std::fs::read(path).map_err(|error| GeoError::Read { path: path.to_owned(), reason: error.to_string() })?;
        Self::parse(bytes).map_err(|reason| GeoError::Broken { path: path.to_owned(), reason })
    }

    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let end = memchr::memmem::rfind(&bytes, MARKER).ok_or("it has no metadata")?;
        let metadata = metadata(&bytes[end..])?;
        let tree = Tree::of(&bytes, &metadata).filter(|tree| tree.size() + SEPARATOR <= end);
        let tree = tree.ok_or("it is cut off")?;
        let mut data = Data::new(&bytes[tree.size() + SEPARATOR..end]);
        if !tree.all_places(|place| data.is_whole(place)) {
            return Err("its search tree leads to something that is no record".to_owned());
        }
        let records = &bytes[tree.size() + SEPARATOR..end];
        let countries = COUNTRY.iter().any(|name| memchr::memmem::find(records, name).is_some());
        Ok(File { reader: Reader::from_source(bytes).map_err(|error| error.to_string())?, countries })
    }

    /// `None`: not there, not for this kind of address, or a record that cannot be read.
    pub fn find(&self, address: IpAddr) -> Option<Record> {
        self.reader.lookup(address).ok()?.decode().ok()?
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("metadata", &self.reader.metadata).finish_non_exhaustive()
    }
}

/// The library reads the tree as soon as it has the metadata, and trusts it. So it sees the metadata alone first, behind a tree
/// that has one node and leads nowhere.
fn metadata(end: &[u8]) -> Result<Metadata, String> {
    if !Data::new(&end[MARKER.len()..]).is_whole(0) {
        return Err("its metadata is broken".to_owned());
    }
    let alone = [&[0; NODE_MAX], end].concat();
    let metadata = Reader::from_source(alone).map_err(|error| error.to_string())?.metadata;
    if metadata.binary_format_major_version != 2 {
        return Err(format!("format {} instead of 2", metadata.binary_format_major_version));
    }
    if !matches!(metadata.ip_version, 4 | 6) {
        return Err(format!("IP version {}", metadata.ip_version));
    }
    Ok(metadata)
}

// === impl Tree ===
impl<'f> Tree<'f> {
    /// `None`: the file is shorter than its tree.
    fn of(file: &'f [u8], metadata: &Metadata) -> Option<Self> {
        let (nodes, record_size) = (metadata.node_count as usize, usize::from(metadata.record_size));
        let bytes = file.get(..nodes.checked_mul(record_size / 4)?)?;
        Some(Tree { bytes, record_size, nodes })
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether `is_record` holds for every place of a record, in the data, that a half of a node has.
    fn all_places(&self, mut is_record: impl FnMut(usize) -> bool) -> bool {
        let mut fits =
            |value: usize| value <= self.nodes || value.checked_sub(self.nodes + SEPARATOR).is_some_and(&mut is_record);
        self.bytes.chunks_exact(self.record_size / 4).all(|node| {
            let [left, right] = self.halves(node);
            fits(left) && fits(right)
        })
    }

    fn halves(&self, node: &[u8]) -> [usize; 2] {
        match *node {
            [a, b, c, d, e, f] => [number([0, a, b, c]), number([0, d, e, f])],
            // The middle byte has the upper four bits of both.
            [a, b, c, m, d, e, f] => [number([m >> 4, a, b, c]), number([m & 0x0f, d, e, f])],
            [a, b, c, d, e, f, g, h] => [number([a, b, c, d]), number([e, f, g, h])],
            _ => [usize::MAX; 2],
        }
    }
}

fn number(bytes: [u8; 4]) -> usize {
    u32::from_be_bytes(bytes) as usize
}
