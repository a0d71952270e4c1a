//! Section: field values that share one copy of the header section they stand in.
//!
//! In: a section's bytes, parts of it. Out: values. Never: a name, a rule.

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use smallvec::SmallVec;

/// Bytes of a section that is one allocation together with the count of those who share it.
const INLINE: usize = 480;

/// A header section that was read, and a copy that its values keep: one allocation for all of them, two if it is long.
pub struct Section<'a> {
    raw: &'a [u8],
    copy: Bytes,
}

// === impl Section ===
impl<'a> Section<'a> {
    pub fn new(raw: &'a [u8]) -> Self {
        Section { raw, copy: Bytes::from_owner(SmallVec::<[u8; INLINE]>::from_slice(raw)) }
    }

    /// The value `part`: shared if it lies in the section, copied otherwise.
    ///
    /// # Errors
    /// It has bytes that no value may have (RFC 9110 §5.5).
    pub fn value(&self, part: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
        let start = part.as_ptr().addr().wrapping_sub(self.raw.as_ptr().addr());
        match start.checked_add(part.len()).filter(|end| *end <= self.copy.len()) {
            Some(end) => HeaderValue::from_maybe_shared(self.copy.slice(start..end)),
            None => HeaderValue::from_bytes(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_section_wherever_they_are() {
        let raw = b"a: one\r\nb: \r\nc: \xe9\x80\r\nd: bad\x01\r\n\r\n".to_vec();
        let section = Section::new(&raw);
        for (part, want) in [
            (&raw[3..6], Some(&b"one"[..])),
            (&raw[11..11], Some(b"")),
            (&raw[16..18], Some(b"\xe9\x80")),
            (&raw[23..27], None),
        ] {
            let value = section.value(part).ok();
            assert_eq!(value.as_ref().map(HeaderValue::as_bytes), want, "{part:?}");
        }
        let elsewhere = b"two".to_vec();
        assert_eq!(section.value(&elsewhere).unwrap(), "two");
        assert_eq!(Section::new(b"").value(b"three").unwrap(), "three");
        let kept = section.value(&raw[3..6]).unwrap();
        drop(section);
        drop(raw);
        assert_eq!(kept, "one");
    }
}
