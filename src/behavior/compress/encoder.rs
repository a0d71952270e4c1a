//! Encoder: the bytes of one body, coded as they come.
//!
//! In: chunks of the plain body. Out: coded bytes, possibly none yet. Never: the whole body in memory.

use crate::config::compiled::Coding;
use bytes::Bytes;
use std::io::{self, Write};
use std::mem;

/// Levels where a byte saved still costs little time on text: gzip and brotli on the level CDNs use on the fly, zstd its default.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// log2 of brotli's window in bytes (256 KiB): bounds what one response costs in memory.
const BROTLI_WINDOW: u32 = 18;

/// Buffer between brotli and its output, in bytes.
const BROTLI_BUFFER: usize = 4096;

/// A chunk shorter than this, in bytes, is flushed at once: the origin is sending piece by piece (server-sent events,
/// progress), and the viewer must see each piece. A fast origin's reads are larger, and flushing those would only cost ratio.
const FLUSH_BELOW: usize = 4096;

/// A streaming encoder of one body.
pub struct Encoder(Kind);

enum Kind {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

// === impl Encoder ===
impl Encoder {
    /// Fails when the coder's memory cannot be had.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(Encoder(match coding {
            Coding::Gzip => Kind::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Coding::Brotli => {
                Kind::Brotli(Box::new(brotli::CompressorWriter::new(out, BROTLI_BUFFER, BROTLI_LEVEL, BROTLI_WINDOW)))
            }
            Coding::Zstd => Kind::Zstd(zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?),
        }))
    }

    /// Codes one chunk and returns what is ready; empty while the coder still gathers.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<Bytes> {
        let writer = self.writer();
        writer.write_all(chunk)?;
        if !chunk.is_empty() && chunk.len() < FLUSH_BELOW {
            writer.flush()?;
        }
        Ok(Bytes::from(mem::take(self.out())))
    }

    /// The end of the coded body.
    pub fn finish(self) -> io::Result<Bytes> {
        let rest = match self.0 {
            Kind::Gzip(encoder) => encoder.finish()?,
            // Ends the stream; cannot fail, for a Vec takes every write.
            Kind::Brotli(encoder) => encoder.into_inner(),
            Kind::Zstd(encoder) => encoder.finish()?,
        };
        Ok(Bytes::from(rest))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Kind::Gzip(encoder) => encoder,
            Kind::Brotli(encoder) => encoder,
            Kind::Zstd(encoder) => encoder,
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.0 {
            Kind::Gzip(encoder) => encoder.get_mut(),
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::Gzip(_) => "Encoder(gzip)",
            Kind::Brotli(_) => "Encoder(br)",
            Kind::Zstd(_) => "Encoder(zstd)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Everything a viewer can decode of `coded`, also when the stream has not ended.
    fn decode(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
            Coding::Brotli => Box::new(brotli::Decompressor::new(coded, 4096)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(coded).unwrap()),
        };
        let (mut out, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = reader.read(&mut byte) {
            out.push(byte[0]);
        }
        out
    }

    #[test]
    fn round_trip() {
        let plain: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7 % 1000).to_string().into_bytes()).collect();
        for coding in ALL {
            for size in [100, 5000, 64 * 1024] {
                let mut encoder = Encoder::new(coding).unwrap();
                let mut coded = Vec::new();
                for chunk in plain[..size * 4].chunks(size) {
                    coded.extend_from_slice(&encoder.write(chunk).unwrap());
                }
                coded.extend_from_slice(&encoder.finish().unwrap());
                assert_eq!(decode(coding, &coded), plain[..size * 4], "{coding:?} {size}");
                assert!(coded.len() < size * 4, "{coding:?} {size}: {}", coded.len());
            }
        }
    }

    #[test]
    fn an_event_is_readable_at_once() {
        for coding in ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut coded = Vec::new();
            for (n, event) in [&b"data: 1\n\n"[..], b"data: 2\n\n"].into_iter().enumerate() {
                coded.extend_from_slice(&encoder.write(event).unwrap());
                assert_eq!(decode(coding, &coded).len(), (n + 1) * 9, "{coding:?}");
            }
        }
    }

    #[test]
    fn an_empty_body_is_a_valid_stream() {
        for coding in ALL {
            let coded = Encoder::new(coding).unwrap().finish().unwrap();
            assert!(!coded.is_empty(), "{coding:?}");
            assert_eq!(decode(coding, &coded), b"", "{coding:?}");
        }
    }
}
