//! Codec: a stored answer's key, meta and head as bytes on disk.
//!
//! In: the three. Out: one block, and the three back from it, or nothing when it is not one. Never: a checksum (the record
//! around it has one), a length that is believed before it is compared with what is there.

use http::HeaderName;

use crate::cache::object::{KeyHash, Meta, Stamp};

/// Key, meta and head lines of an answer.
pub type Described = (Box<[u8]>, Meta, Box<[u8]>);

const MUST_REVALIDATE: u8 = 1;
const NO_CACHE: u8 = 2;
const HAS_VARIANCE: u8 = 4;
const MASKED: u8 = 8;

/// One block of all three: integers little-endian, lists and strings after their length as `u32`.
pub fn encode(key: &[u8], meta: &Meta, head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + key.len() + head.len() + meta.host.len() + meta.uri.len());
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(meta.must_revalidate, MUST_REVALIDATE)
        | flag(meta.no_cache, NO_CACHE)
        | flag(meta.variance.is_some(), HAS_VARIANCE)
        | flag(meta.masked, MASKED);
    out.extend_from_slice(&meta.status.to_le_bytes());
    out.push(flags);
    for number in [
        meta.responded_ms,
        meta.initial_age_ms,
        meta.lifetime_ms,
        meta.stale_while_revalidate_ms,
        meta.stale_if_error_ms,
        meta.fetch_start.0,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(meta.variance.as_ref().map_or(&[], |variance| &variance[..]));
    put(&mut out, key);
    put(&mut out, head);
    put(&mut out, meta.host.as_bytes());
    put(&mut out, meta.uri.as_bytes());
    put_list(&mut out, meta.tags.iter().map(|tag| tag.as_bytes()));
    put_list(&mut out, meta.vary.iter().map(|name| name.as_str().as_bytes()));
    out
}

/// The three back; `None` when `block` is not what [`encode`] writes.
pub fn decode(block: &[u8]) -> Option<Described> {
    let mut rest = block;
    let rest = &mut rest;
    let status = u16::from_le_bytes(take_array(rest)?);
    let [flags] = take_array(rest)?;
    let mut numbers = [0; 6];
    for number in &mut numbers {
        *number = u64::from_le_bytes(take_array(rest)?);
    }
    let [responded_ms, initial_age_ms, lifetime_ms, stale_while_revalidate_ms, stale_if_error_ms, fetch_start] =
        numbers;
    let variance: Option<KeyHash> = if flags & HAS_VARIANCE != 0 { Some(take_array(rest)?) } else { None };
    let (key, head) = (take(rest)?.into(), take(rest)?.into());
    let (host, uri) = (take_text(rest)?, take_text(rest)?);
    let tags = take_list(rest, take_text)?;
    let vary = take_list(rest, |rest| HeaderName::from_bytes(take(rest)?).ok())?;
    let meta = Meta {
        status,
        responded_ms,
        initial_age_ms,
        lifetime_ms,
        stale_while_revalidate_ms,
        stale_if_error_ms,
        must_revalidate: flags & MUST_REVALIDATE != 0,
        no_cache: flags & NO_CACHE != 0,
        fetch_start: Stamp(fetch_start),
        host,
        uri,
        tags,
        vary,
        variance,
        masked: flags & MASKED != 0,
    };
    rest.is_empty().then_some((key, meta, head))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_list<'a>(out: &mut Vec<u8>, list: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    list.for_each(|item| put(out, item));
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_le_bytes(take_array(rest)?) as usize;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

fn take_text(rest: &mut &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(take(rest)?).ok().map(Into::into)
}

fn take_list<T>(rest: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Box<[T]>> {
    let count = u32::from_le_bytes(take_array(rest)?);
    (0..count).map(|_| item(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    #[test]
    fn every_field_survives() {
        let plain = fixture::meta();
        let full = Meta {
            status: 404,
            responded_ms: 1,
            initial_age_ms: 2,
            lifetime_ms: u64::MAX,
            stale_while_revalidate_ms: 4,
            stale_if_error_ms: 5,
            must_revalidate: true,
            no_cache: true,
            fetch_start: Stamp(6),
            tags: ["a".into(), "".into(), "ü".into()].into(),
            vary: [http::header::ACCEPT, HeaderName::from_static("x-own")].into(),
            variance: Some([7; 16]),
            masked: true,
            ..fixture::meta()
        };
        for meta in [plain, full] {
            let block = encode(b"key", &meta, b"a: b\r\n");
            let (key, back, head) = decode(&block).unwrap();
            assert_eq!((&*key, &back, &*head), (&b"key"[..], &meta, &b"a: b\r\n"[..]));
            for cut in 0..block.len() {
                assert!(decode(&block[..cut]).is_none(), "cut at {cut}");
            }
            assert!(decode(&[&block[..], b"x"].concat()).is_none(), "something behind it");
        }
    }
}
