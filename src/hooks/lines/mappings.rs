//! Mappings: the pieces of a file, and where each came from, as a source map spells them (ECMA-426, "Mappings structure").
//!
//! In: their text. Out: pieces in order, and text again. Never: a panic, or more work than the text is long.

/// Bits that one digit has besides the one that says that more follow.
const BITS: u32 = 5;
const MORE: u8 = 1 << BITS;
/// Beyond this no digit fits what a number may be.
const SHIFT_MAX: u32 = 30;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A part of a line, up to where the next one begins. Numbers from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub line: u32,
    pub column: u32,
    /// `None`: of no source.
    pub from: Option<Origin>,
}

/// Where a piece came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub source: u32,
    pub line: u32,
    pub column: u32,
    /// What the source calls it, where the file has another name for it.
    pub name: Option<u32>,
}

/// `None`: damaged.
pub fn decode(mappings: &str) -> Option<Vec<Piece>> {
    let place = |value: i64| u32::try_from(value).ok();
    let mut pieces = Vec::new();
    // Each number is what it adds to the one before of its kind.
    let mut sums = [0_i64; 5];
    for (line, text) in (0..).zip(mappings.split(';')) {
        sums[0] = 0;
        for segment in text.split(',').filter(|segment| !segment.is_empty()) {
            let (numbers, count) = numbers(segment)?;
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += number;
            }
            let [column, source, at_line, at_column, name] = sums;
            let name = if count == 5 { Some(place(name)?) } else { None };
            let from = match count {
                1 => None,
                _ => Some(Origin { source: place(source)?, line: place(at_line)?, column: place(at_column)?, name }),
            };
            pieces.push(Piece { line, column: place(column)?, from });
        }
    }
    Some(pieces)
}

/// The numbers of a segment, and how many there are: 1, 4 or 5.
fn numbers(segment: &str) -> Option<([i64; 5], usize)> {
    let (mut numbers, mut count) = ([0; 5], 0);
    let (mut value, mut shift) = (0_i64, 0);
    for byte in segment.bytes() {
        let digit = digit(byte)?;
        if shift > SHIFT_MAX {
            return None;
        }
        value |= i64::from(digit & !MORE) << shift;
        shift += BITS;
        if digit & MORE == 0 {
            *numbers.get_mut(count)? = if value & 1 == 1 { -(value >> 1) } else { value >> 1 };
            (count, value, shift) = (count + 1, 0, 0);
        }
    }
    (shift == 0 && matches!(count, 1 | 4 | 5)).then_some((numbers, count))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The same pieces as text.
pub fn encode(pieces: &[Piece]) -> String {
    let mut out = String::new();
    let (mut line, mut sums) = (0, [0_i64; 5]);
    for piece in pieces {
        if piece.line > line {
            out.extend((line..piece.line).map(|_| ';'));
            (line, sums[0]) = (piece.line, 0);
        } else if !out.is_empty() && !out.ends_with(';') {
            out.push(',');
        }
        put(&mut out, &mut sums[0], piece.column);
        if let Some(from) = piece.from {
            let told = [Some(from.source), Some(from.line), Some(from.column), from.name];
            for (sum, value) in sums[1..].iter_mut().zip(told.into_iter().flatten()) {
                put(&mut out, sum, value);
            }
        }
    }
    out
}

fn put(out: &mut String, sum: &mut i64, value: u32) {
    let number = i64::from(value) - *sum;
    *sum = i64::from(value);
    let mut rest = (number.unsigned_abs() << 1) | u64::from(number < 0);
    loop {
        let low = (rest % u64::from(MORE)) as usize;
        rest >>= BITS;
        let more = if rest > 0 { usize::from(MORE) } else { 0 };
        out.push(char::from(DIGITS[low | more]));
        if rest == 0 {
            return;
        }
    }
}

/// Counts columns in bytes of `text`, whose pieces these are, instead of UTF-16.
pub fn in_bytes(pieces: &mut [Piece], text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    for pieces in pieces.chunk_by_mut(|one, next| one.line == next.line) {
        let line = pieces.first().and_then(|piece| lines.get(piece.line as usize));
        let Some(line) = line.filter(|line| !line.is_ascii()) else { continue };
        let (mut units, mut bytes, mut chars) = (0, 0, line.chars());
        for piece in pieces {
            while units < piece.column
                && let Some(char) = chars.next()
            {
                units += if char.len_utf16() == 2 { 2 } else { 1 };
                bytes += u32::try_from(char.len_utf8()).unwrap_or(1);
            }
            piece.column = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(line: u32, column: u32, from: Option<(u32, u32, u32, Option<u32>)>) -> Piece {
        let from = from.map(|(source, line, column, name)| Origin { source, line, column, name });
        Piece { line, column, from }
    }

    #[test]
    fn what_text_says() {
        let first = piece(0, 0, Some((0, 0, 0, None)));
        for (text, want) in [
            ("", Some(vec![])),
            (";;", Some(vec![])),
            ("AAAA", Some(vec![first])),
            ("A", Some(vec![piece(0, 0, None)])),
            ("AAAA,CAAC", Some(vec![first, piece(0, 1, Some((0, 0, 1, None)))])),
            // Columns begin again with each line, the rest goes on.
            (";EACIA;C", Some(vec![piece(1, 2, Some((0, 1, 4, Some(0)))), piece(2, 1, None)])),
            ("gB", Some(vec![piece(0, 16, None)])),
            ("+/////D", Some(vec![piece(0, 2_147_483_647, None)])),
            // Before the first column, the first source.
            ("D", None),
            (";EACIA;CDDD", None),
            ("AA", None),
            ("AAAAAA", None),
            ("AAA!", None),
            ("g", None),
            ("ggggggggA", None),
            ("é", None),
        ] {
            assert_eq!(decode(text), want, "{text}");
        }
    }

    /// tests/two.ts and what it imports.
    #[test]
    fn what_esbuild_writes_comes_back() {
        let map: serde_json::Value = serde_json::from_str(include_str!("tests/two.js.map")).unwrap();
        let text = map["mappings"].as_str().unwrap();
        let pieces = decode(text).unwrap();
        assert_eq!(encode(&pieces), text.trim_end_matches(';'));
        let named = pieces.iter().filter(|piece| piece.from.is_some_and(|from| from.name.is_some()));
        let want = [(42, 9, 3, 9), (46, 2, 8, 4), (48, 26, 11, 53)];
        let want = want.map(|(line, column, at, from)| piece(line, column, Some((0, at, from, Some(0)))));
        assert_eq!(named.copied().collect::<Vec<_>>(), want);
        let sparse =
            [piece(2, 3, None), piece(2, 9, Some((70_000, 1, 2, Some(3)))), piece(9, 0, Some((0, 0, 0, None)))];
        assert_eq!(decode(&encode(&sparse)).unwrap(), sparse);
    }

    #[test]
    fn columns_in_bytes() {
        let mut pieces = [(0, 5), (1, 0), (1, 2), (1, 4), (1, 5), (1, 90), (7, 3)].map(|(l, c)| piece(l, c, None));
        in_bytes(&mut pieces, "abcdefgh\né-😀x\n");
        assert_eq!(pieces.map(|piece| piece.column), [5, 0, 3, 7, 8, 8, 3]);
    }
}
