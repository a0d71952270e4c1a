//! Framing: which of the bytes that follow a head belong to its body.
//!
//! In: the framing of a head, bytes as they come. Out: how many are this message's, and when it ends. Never: I/O,
//! decoding (the bytes go on as they are), tolerance (what two recipients could read in two ways is refused).

use super::head::Framing;
use super::refuse::Refusal;
use crate::config::compiled::Limits;

/// Hexadecimal digits of one chunk size: 2^48 bytes, below any parser's overflow.
const SIZE_DIGITS: u8 = 12;

/// Bytes of all chunk extensions of one message. Nobody uses them; unbounded, one body byte could cost thousands.
const EXTENSION_BYTES: usize = 1024;

/// The body of one message while it is read.
#[derive(Debug)]
pub enum Body {
    /// Bytes still to come; 0 from the start when the head announces none.
    Length(u64),
    Chunked(Chunks),
}

// === impl Body ===

impl Body {
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::new(limits)),
        }
    }

    /// How many bytes at the front of `bytes` belong to the message; all of them unless it ends there.
    ///
    /// # Errors
    /// When the bytes break the chunked coding or one of its bounds. The message has no end then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }

    /// Whether the message's last byte was taken.
    pub fn finished(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.state == State::Done,
        }
    }
}

/// A chunked body (RFC 9112 §7.1) read strictly: CR LF only, no space around a size, trailers shaped like fields.
///
/// Trailer fields are checked for shape and size, not for meaning: nothing downstream merges them into the head.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// Payload bytes announced so far; bounded by `body_size`.
    payload: u64,
    extensions: usize,
    trailers: usize,
    trailer_bytes: usize,
    bounds: Bounds,
}

#[derive(Debug)]
struct Bounds {
    payload: u64,
    trailers: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

// === impl Chunks ===

impl Chunks {
    fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size { digits: 0, size: 0 },
            payload: 0,
            extensions: 0,
            trailers: 0,
            trailer_bytes: 0,
            bounds: Bounds {
                payload: limits.body_size,
                trailers: limits.header_count,
                trailer_bytes: limits.header_size,
            },
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Done => break,
                State::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                }
                state => {
                    self.state = self.step(state, byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// The state after one byte that is not payload.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Refusal> {
        match (state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { digits: 1.., size }, b';') => self.extension(size),
            (State::Size { digits, size }, byte) => match char::from(byte).to_digit(16) {
                Some(_) if digits == SIZE_DIGITS => Err(Refusal::bad("chunk size too long")),
                Some(digit) => Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }),
                None => Err(Refusal::bad("invalid chunk size")),
            },
            (State::Extension { size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { size }, b'\t' | b' '..=b'~') => self.extension(size),
            (State::Extension { .. }, _) => Err(Refusal::bad("invalid chunk extension")),
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf { size }, b'\n') => self.data(size),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
            (State::DataCr | State::DataLf, _) => Err(Refusal::bad("chunk longer than its size")),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, byte) if is_token(byte) => {
                self.trailers += 1;
                if self.trailers > self.bounds.trailers {
                    return Err(Refusal { status: 431, reason: "too many trailer fields" });
                }
                self.trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => self.trailer(State::TrailerValue),
            (State::TrailerName, byte) if is_token(byte) => self.trailer(State::TrailerName),
            (State::TrailerValue, b'\r') => self.trailer(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => self.trailer(State::TrailerValue),
            (State::TrailerLf, b'\n') => self.trailer(State::TrailerStart),
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => {
                Err(Refusal::bad("invalid trailer field"))
            }
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::SizeLf { .. } | State::TrailerLf | State::EndLf, _) => Err(Refusal::bad("CR without LF")),
            (State::Data { .. } | State::Done, _) => Ok(state),
        }
    }

    fn extension(&mut self, size: u64) -> Result<State, Refusal> {
        self.extensions += 1;
        if self.extensions > EXTENSION_BYTES {
            return Err(Refusal::bad("chunk extensions too long"));
        }
        Ok(State::Extension { size })
    }

    fn data(&mut self, size: u64) -> Result<State, Refusal> {
        self.payload = self.payload.saturating_add(size);
        if self.payload > self.bounds.payload {
            return Err(Refusal { status: 413, reason: "request body too large" });
        }
        Ok(State::Data { left: size })
    }

    fn trailer(&mut self, next: State) -> Result<State, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.bounds.trailer_bytes {
            return Err(Refusal { status: 431, reason: "trailer section too large" });
        }
        Ok(next)
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;
    use proptest::prelude::*;

    fn chunked() -> Body {
        Body::new(Framing::Chunked, &limits())
    }

    /// Feeds `bytes` in pieces of `step`: how many were taken and whether the message ended, or the reason.
    fn feed(mut body: Body, bytes: &[u8], step: usize) -> Result<(usize, bool), &'static str> {
        let mut taken = 0;
        for piece in bytes.chunks(step) {
            let here = body.take(piece).map_err(|refusal| refusal.reason)?;
            taken += here;
            if here < piece.len() {
                break;
            }
        }
        Ok((taken, body.finished()))
    }

    #[test]
    fn lengths_end_where_they_say() {
        for (framing, sent, want) in [
            (Framing::None, "GET", (0, true)),
            (Framing::Length(0), "GET", (0, true)),
            (Framing::Length(3), "abcGET", (3, true)),
            (Framing::Length(4), "abc", (3, false)),
            (Framing::Length(u64::MAX), "abc", (3, false)),
        ] {
            assert_eq!(feed(Body::new(framing, &limits()), sent.as_bytes(), 2), Ok(want), "{framing:?} {sent}");
        }
    }

    #[test]
    fn chunks_are_read_in_one_way_however_they_arrive() {
        let long_extension = format!("1;{}\r\n", "x".repeat(EXTENSION_BYTES));
        for (sent, want) in [
            ("0\r\n\r\n", Ok((5, true))),
            ("3\r\nabc\r\n0\r\n\r\nGET /", Ok((13, true))),
            ("A\r\n0123456789\r\n00\r\n\r\n", Ok((21, true))),
            ("a;k=v;q=\"x y\"\r\n0123456789\r\n0;e\r\n\r\n", Ok((34, true))),
            ("0\r\nX-Sum: 1\r\nB:\r\n\r\nGET", Ok((19, true))),
            ("3\r\nab", Ok((5, false))),
            ("3", Ok((1, false))),
            ("", Ok((0, false))),
            ("\r\n", Err("invalid chunk size")),
            ("g\r\n", Err("invalid chunk size")),
            ("0x3\r\nabc", Err("invalid chunk size")),
            ("+3\r\nabc", Err("invalid chunk size")),
            ("-3\r\nabc", Err("invalid chunk size")),
            (" 3\r\nabc", Err("invalid chunk size")),
            ("3 \r\nabc", Err("invalid chunk size")),
            ("3 ;x\r\nabc", Err("invalid chunk size")),
            ("3\nabc\r\n", Err("invalid chunk size")),
            ("3\rabc", Err("CR without LF")),
            ("3;\nabc", Err("invalid chunk extension")),
            ("3;a\0b\r\nabc", Err("invalid chunk extension")),
            (long_extension.as_str(), Err("chunk extensions too long")),
            ("3\r\nabcd\r\n", Err("chunk longer than its size")),
            ("3\r\nabc\n0\r\n\r\n", Err("chunk longer than its size")),
            ("3\r\nabc\rX", Err("chunk longer than its size")),
            ("0000000000000\r\n", Err("chunk size too long")),
            ("ffffffffffff\r\n", Err("request body too large")),
            ("0\r\n\n", Err("invalid trailer field")),
            ("0\r\nA b: c\r\n\r\n", Err("invalid trailer field")),
            ("0\r\nA\r\n\r\n", Err("invalid trailer field")),
            ("0\r\n : c\r\n\r\n", Err("invalid trailer field")),
            ("0\r\nA: b\nC: d\r\n\r\n", Err("invalid trailer field")),
            ("0\r\nA: b\0\r\n\r\n", Err("invalid trailer field")),
            ("0\r\nA: b\r\n fold\r\n\r\n", Err("invalid trailer field")),
            ("0\r\nA: b\r\r\n", Err("CR without LF")),
            ("0\r\n\rX", Err("CR without LF")),
        ] {
            for step in [1, 2, 3, 1000] {
                assert_eq!(feed(chunked(), sent.as_bytes(), step), want, "{sent:?} by {step}");
            }
        }
    }

    #[test]
    fn trailers_and_payload_are_bounded() {
        let limits = Limits { body_size: 5, header_count: 2, header_size: 12, ..limits() };
        for (sent, want) in [
            ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok((20, true))),
            ("3\r\nabc\r\n3\r\n", Err("request body too large")),
            ("0\r\nA:\r\nB:\r\n\r\n", Ok((13, true))),
            ("0\r\nA:\r\nB:\r\nC:\r\n\r\n", Err("too many trailer fields")),
            ("0\r\nA:0123456789\r\n\r\n", Err("trailer section too large")),
        ] {
            assert_eq!(feed(Body::new(Framing::Chunked, &limits), sent.as_bytes(), 1000), want, "{sent:?}");
        }
    }

    proptest! {
        /// Whatever is encoded ends exactly at its end, however it is cut.
        #[test]
        fn an_encoded_body_ends_at_its_end(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            rest in prop::collection::vec(any::<u8>(), 0..10),
            step in 1_usize..50,
        ) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\n");
            let end = sent.len();
            sent.extend_from_slice(&rest);
            prop_assert_eq!(feed(chunked(), &sent, step), Ok((end, true)));
        }

        /// A body that is accepted here and read by the parser that Pingora reads with has the same end.
        #[test]
        fn an_accepted_size_line_reads_the_same_elsewhere(line in "[0-9a-fA-F]{0,13}[ ;=\"a\t\r\n]{0,6}") {
            let mut body = chunked();
            if body.take(line.as_bytes()).is_ok()
                && let Body::Chunked(Chunks { state: State::Data { left }, .. }) = body
            {
                let parsed = httparse::parse_chunk_size(line.as_bytes()).unwrap();
                let (data_start, size) = parsed.unwrap();
                prop_assert_eq!(size, left + (line.len() - data_start) as u64);
            }
        }
    }
}
