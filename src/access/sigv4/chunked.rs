//! Chunked: `aws-chunked`, whose chunks are signed in a chain that begins with the request's signature (S3, "Signature
//! calculations for the Authorization header: transferring payload in multiple chunks", and "… including trailing
//! headers").
//!
//! In: a body's bytes as sent. Out: decoded bytes whose signature has been checked, the last of them once the end is.
//! Never: more than one chunk kept.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};

use super::claim::{Algorithm, invalid, unhex};
use super::key::Prover;
use super::{EMPTY, hex};
use crate::access::Denied;

/// Bytes of one signed chunk, which is kept until its signature is checked. SDKs send 64 KiB to 1 MiB.
pub const MAX_CHUNK: u64 = 4 << 20;
/// Bytes of a chunk's head, or of one trailer.
pub const MAX_LINE: usize = 1024;
/// Trailers, and lines in the trailer.
pub const MAX_TRAILERS: usize = 16;

/// How a body is chunked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Each chunk, and the trailer, is signed so.
    pub signed: Option<Algorithm>,
    pub trailer: bool,
}

/// A body in chunks: how it is signed, and how long it is.
#[derive(Debug, Clone)]
pub struct Chunked {
    kind: Kind,
    /// `x-amz-decoded-content-length`.
    length: u64,
    /// Lower case, sorted: exactly these come.
    trailers: Vec<String>,
    prover: Prover,
    /// `DATE\nSCOPE\n`.
    chain: String,
    /// The request's signature, in hex.
    seed: String,
}

// === impl Chunked ===
impl Chunked {
    pub(super) fn new(
        kind: Kind,
        length: u64,
        trailers: Vec<String>,
        prover: Prover,
        chain: String,
        seed: String,
    ) -> Self {
        Chunked { kind, length, trailers, prover, chain, seed }
    }

    /// Bytes of the body once it is decoded.
    pub fn length(&self) -> u64 {
        self.length
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Data {
        left: u64,
    },
    /// The line end after the data.
    DataEnd,
    Trailer,
    End,
}

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    chunked: Chunked,
    state: State,
    line: Vec<u8>,
    /// The signature of the chunk that is read, and the data of it that is not checked yet.
    signature: String,
    data: BytesMut,
    /// Decoded so far.
    total: u64,
    previous: String,
    trailers: Vec<(String, String)>,
    trailer_lines: usize,
    trailer_signed: bool,
    /// Checked, kept back until there is more or the end.
    held: Bytes,
}

// === impl Decoder ===
impl Decoder {
    pub fn new(chunked: &Chunked) -> Self {
        Decoder {
            previous: chunked.seed.clone(),
            chunked: chunked.clone(),
            state: State::Head,
            line: Vec::new(),
            signature: String::new(),
            data: BytesMut::new(),
            total: 0,
            trailers: Vec::new(),
            trailer_lines: 0,
            trailer_signed: false,
            held: Bytes::new(),
        }
    }

    pub fn length(&self) -> u64 {
        self.chunked.length
    }

    /// # Errors
    /// Framing, a length or a signature that is wrong.
    pub fn push(&mut self, input: &Bytes) -> Result<Bytes, Denied> {
        let mut released: Vec<Bytes> = Vec::new();
        let mut at = 0;
        while at < input.len() {
            if let State::Data { left } = self.state {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                let piece = input.slice(at..at + take);
                at += take;
                let left = left - take as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                match self.chunked.kind.signed {
                    Some(_) => self.data.extend_from_slice(&piece),
                    None => self.release(piece, &mut released),
                }
                continue;
            }
            let rest = input.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest);
            let taken = end.map_or(rest.len(), |end| end + 1);
            if self.line.len() + taken > MAX_LINE {
                return Err(invalid("a line of the chunked payload is too long"));
            }
            self.line.extend_from_slice(rest.get(..taken).unwrap_or_default());
            at += taken;
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let line = std::str::from_utf8(&line).map_err(|_| invalid("a chunk's head is no text"))?;
                self.line(line, &mut released)?;
            }
        }
        Ok(match released.len() {
            0 => Bytes::new(),
            1 => released.swap_remove(0),
            _ => released.concat().into(),
        })
    }

    /// # Errors
    /// The body ended before its last chunk or trailer.
    pub fn finish(&mut self) -> Result<Bytes, Denied> {
        match self.state {
            State::End if self.line.is_empty() => Ok(std::mem::take(&mut self.held)),
            State::End => Err(invalid("there is more after the last chunk")),
            _ => Err(invalid("the chunked payload is cut off")),
        }
    }

    fn release(&mut self, piece: Bytes, released: &mut Vec<Bytes>) {
        if !piece.is_empty() {
            let before = std::mem::replace(&mut self.held, piece);
            if !before.is_empty() {
                released.push(before);
            }
        }
    }

    /// A whole line with its end.
    fn line(&mut self, line: &str, released: &mut Vec<Bytes>) -> Result<(), Denied> {
        match self.state {
            State::Head => self.head(line.strip_suffix("\r\n").ok_or_else(|| invalid("a chunk's head ends wrongly"))?),
            State::DataEnd if line == "\r\n" => {
                if self.chunked.kind.signed.is_some() {
                    let data = self.data.split().freeze();
                    self.check(&data)?;
                    self.release(data, released);
                }
                self.state = State::Head;
                Ok(())
            }
            State::DataEnd => Err(invalid("a chunk is longer than its head says")),
            State::Trailer => self.trailer(line.trim_end_matches(['\r', '\n'])),
            State::End | State::Data { .. } => Err(invalid("there is more after the last chunk")),
        }
    }

    /// `SIZE` or `SIZE;chunk-signature=SIGNATURE`.
    fn head(&mut self, line: &str) -> Result<(), Denied> {
        let (size, signature) = match (self.chunked.kind.signed, line.split_once(";chunk-signature=")) {
            (Some(_), Some((size, signature))) => (size, signature),
            (None, None) => (line, ""),
            _ => return Err(invalid("a chunk has no signature, or one that it should not have")),
        };
        let hex = (1..=16).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| hex);
        let size = size.ok_or_else(|| invalid("a chunk's size cannot be read"))?;
        if self.chunked.kind.signed.is_some() && size > MAX_CHUNK {
            return Err(invalid("a chunk is too long"));
        }
        self.total = self.total.saturating_add(size);
        if self.total > self.chunked.length || (size == 0 && self.total != self.chunked.length) {
            return Err(invalid("the chunks are not as long as x-amz-decoded-content-length says"));
        }
        signature.clone_into(&mut self.signature);
        self.state = State::Data { left: size };
        if size == 0 {
            if self.chunked.kind.signed.is_some() {
                self.check(&[])?;
            }
            self.state = State::Trailer;
        }
        Ok(())
    }

    /// Checks a chunk's signature and makes it the next link's.
    fn check(&mut self, data: &[u8]) -> Result<(), Denied> {
        let signature = std::mem::take(&mut self.signature);
        let tail = format!("{}\n{}", hex(&EMPTY), hex(digest(&SHA256, data).as_ref()));
        self.previous = self.proven("PAYLOAD", &tail, &signature)?;
        Ok(())
    }

    /// The signature without its padding, when it is the chain's next.
    fn proven(&self, what: &str, tail: &str, signature: &str) -> Result<String, Denied> {
        let Some(algorithm) = self.chunked.kind.signed else { return Err(invalid("nothing is signed")) };
        // ECDSA signatures differ in length; some pad them to the longest.
        let signature = match algorithm {
            Algorithm::Hmac => signature,
            Algorithm::Ecdsa => signature.trim_end_matches('*'),
        };
        let text = format!("{}-{what}\n{}{}\n{tail}", algorithm.name(), self.chunked.chain, self.previous);
        match unhex(signature.as_bytes()) {
            Some(bytes) if self.chunked.prover.proves(text.as_bytes(), &bytes) => Ok(signature.to_owned()),
            _ => Err(invalid(format!("a signature of the {} does not match", what.to_ascii_lowercase()))),
        }
    }

    /// A line after the last chunk, without its end.
    fn trailer(&mut self, line: &str) -> Result<(), Denied> {
        self.trailer_lines += 1;
        if self.trailer_lines > MAX_TRAILERS + 3 {
            return Err(invalid("the trailer has too many lines"));
        }
        let signed = self.chunked.kind.signed.is_some() && self.chunked.kind.trailer;
        if line.is_empty() {
            // One empty line stands between the fields and their signature where a client ends them with "\n".
            if signed && !self.trailer_signed {
                return Ok(());
            }
            let came = self.trailers.iter().map(|(name, _)| name);
            if !came.eq(&self.chunked.trailers) {
                return Err(invalid("the trailers are not the ones of x-amz-trailer"));
            }
            self.state = State::End;
            return Ok(());
        }
        let Some((name, value)) = line.split_once(':') else { return Err(invalid("a trailer cannot be read")) };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" && signed && !self.trailer_signed {
            let fields: String = self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            self.proven("TRAILER", &hex(digest(&SHA256, fields.as_bytes()).as_ref()), value)?;
            self.trailer_signed = true;
            return Ok(());
        }
        if self.trailer_signed || !self.chunked.trailers.contains(&name) {
            return Err(invalid("a trailer that x-amz-trailer does not name, or after the signature"));
        }
        self.trailers.push((name, value.to_owned()));
        self.trailers.sort();
        Ok(())
    }
}
