//! Chunks: which bytes of a chunked answer are its content (RFC 9112 §7.1).
//!
//! In: coded bytes as they come. Out: runs of content, and the end. Never: I/O, copies; extensions and trailer fields are
//! read past, as Pingora does.

use std::ops::Range;

/// Hexadecimal digits of one size: 2^60 bytes.
const DIGITS: u8 = 15;
/// Bytes of one size line besides its digits, and of all trailer fields.
const EXTENSION: usize = 8 << 10;
const TRAILERS: usize = 64 << 10;

/// One body while it is read.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// Bytes of the extension, or the trailers, read past so far.
    passed: usize,
}

/// What stands at the front of the coded bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Run {
    /// Content, at this place; what lies before it is done with.
    Content(Range<usize>),
    /// Nothing more in these bytes: all of them are done with.
    More,
    /// The body ended before this place.
    End(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

// === impl Chunks ===

impl Default for Chunks {
    fn default() -> Self {
        Chunks { state: State::Size { digits: 0, size: 0 }, passed: 0 }
    }
}

impl Chunks {
    /// The next run at or after `from`. To be called again with its end until it is `More` or `End`.
    ///
    /// # Errors
    /// Why these bytes are no chunked body; nothing after them has a meaning.
    pub fn next(&mut self, coded: &[u8], from: usize) -> Result<Run, &'static str> {
        let mut at = from;
        loop {
            if self.state == State::Done {
                return Ok(Run::End(at));
            }
            let Some(&byte) = coded.get(at) else { return Ok(Run::More) };
            if let State::Data { left } = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(coded.len() - at);
                let left = left - here as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                return Ok(Run::Content(at..at + here));
            }
            self.state = self.step(byte)?;
            at += 1;
        }
    }

    /// The state after one byte that is not content.
    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        Ok(match (self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => State::SizeLf { size },
            (State::Size { digits: 1.., size }, b';' | b' ' | b'\t') => State::Extension { size },
            (State::Size { digits, size }, _) => match char::from(byte).to_digit(16) {
                Some(_) if digits == DIGITS => return Err("chunk size too large"),
                Some(digit) => State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) },
                None => return Err("invalid chunk size"),
            },
            (State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Extension { .. }, b'\n') => return Err("line end without CR"),
            (state @ State::Extension { .. }, _) => self.pass(state, EXTENSION)?,
            (State::SizeLf { size: 0 }, b'\n') => self.fresh(State::Line),
            (State::SizeLf { size }, b'\n') => self.fresh(State::Data { left: size }),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
            (State::DataCr | State::DataLf, _) => return Err("chunk longer than its size"),
            (State::Line, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Line | State::Trailer, b'\n') => return Err("line end without CR"),
            (State::Line | State::Trailer, _) => self.pass(State::Trailer, TRAILERS)?,
            (State::TrailerLf, b'\n') => State::Line,
            (State::EndLf, b'\n') => State::Done,
            (State::SizeLf { .. } | State::TrailerLf | State::EndLf, _) => return Err("CR without LF"),
            (state @ (State::Data { .. } | State::Done), _) => state,
        })
    }

    fn pass(&mut self, next: State, most: usize) -> Result<State, &'static str> {
        self.passed += 1;
        if self.passed > most {
            return Err("chunk extension or trailers too long");
        }
        Ok(next)
    }

    fn fresh(&mut self, next: State) -> State {
        self.passed = 0;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The content of `coded` fed in pieces of `step`: with how many coded bytes were left, when it ended.
    fn decode(coded: &[u8], step: usize) -> Result<(Vec<u8>, Option<usize>), &'static str> {
        let (mut chunks, mut content, mut fed) = (Chunks::default(), Vec::new(), 0);
        for piece in coded.chunks(step) {
            let mut at = 0;
            loop {
                match chunks.next(piece, at)? {
                    Run::Content(run) => {
                        content.extend_from_slice(&piece[run.clone()]);
                        at = run.end;
                    }
                    Run::More => break,
                    Run::End(end) => return Ok((content, Some(coded.len() - fed - end))),
                }
            }
            fed += piece.len();
        }
        Ok((content, None))
    }

    #[test]
    fn bodies_read_the_same_however_they_arrive() {
        for (coded, want) in [
            ("0\r\n\r\n", Ok(("", Some(0)))),
            ("3\r\nabc\r\n0\r\n\r\nHTTP", Ok(("abc", Some(4)))),
            ("A;x=\"y\"\r\n0123456789\r\n00 \r\n\r\n", Ok(("0123456789", Some(0)))),
            ("3  \r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nB:\r\n\r\n", Ok(("abcde", Some(0)))),
            ("3\r\nab", Ok(("ab", None))),
            ("3\r\nabc\r\n", Ok(("abc", None))),
            ("", Ok(("", None))),
            ("zz\r\n", Err("invalid chunk size")),
            ("-1\r\n", Err("invalid chunk size")),
            ("\r\n", Err("invalid chunk size")),
            ("3\nabc", Err("invalid chunk size")),
            ("3\rabc", Err("CR without LF")),
            ("3;\nabc", Err("line end without CR")),
            ("3\r\nabcd\r\n", Err("chunk longer than its size")),
            ("3\r\nabc\n0\r\n\r\n", Err("chunk longer than its size")),
            ("0\r\n\n", Err("line end without CR")),
            ("0\r\nA: b\n\r\n", Err("line end without CR")),
            ("0\r\n\rX", Err("CR without LF")),
            ("0000000000000000\r\n", Err("chunk size too large")),
        ] {
            for step in [1, 2, 3, 1000] {
                let want = want.map(|(content, left)| {
                    (content.as_bytes().to_vec(), left.filter(|left| *left == 0 || step == 1000))
                });
                let got = decode(coded.as_bytes(), step)
                    .map(|(content, left)| (content, left.filter(|left| *left == 0 || step == 1000)));
                assert_eq!(got, want, "{coded:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_read_past_is_bounded() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(EXTENSION + 1));
        let trailers = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILERS));
        for coded in [long, trailers] {
            assert!(decode(coded.as_bytes(), 1000).is_err());
        }
        let many = format!("{}0\r\n\r\n", "1;ext\r\nx\r\n".repeat(EXTENSION));
        assert_eq!(decode(many.as_bytes(), 1000).unwrap().0.len(), EXTENSION, "the bound is one line's");
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_out(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            step in 1_usize..50,
        ) {
            let mut coded = Vec::new();
            for part in &parts {
                coded.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                coded.extend_from_slice(part);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&coded, step), Ok((parts.concat(), Some(0))));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
            let _ = decode(&bytes, step);
        }
    }
}
