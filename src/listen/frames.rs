//! Frames: whether an HTTP/2 viewer sends more control frames than a viewer has reason to.
//!
//! In: the connection's bytes as they come, the clock. Out: why it must end. Never: streams, fields, payloads.

use crate::config::compiled::Limits;
use std::time::Duration;
use tokio::time::Instant;

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// PING, SETTINGS and PRIORITY frames taken within one `h2_reset_window`. Each costs an answer or a lookup.
const CONTROL_FRAMES: u32 = 2000;

const HEADER: usize = 9;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;

/// Walks over the frames of one direction and counts those that cost the receiver more than the sender.
///
/// The HTTP/2 library bounds streams, field sections and CONTINUATION itself, and streams that are reset before they
/// are accepted; what it accepts first and sees reset after ("rapid reset", CVE-2023-44487) is bounded here.
#[derive(Debug)]
pub struct Frames {
    /// Bytes of the preface still to come.
    preface: usize,
    header: [u8; HEADER],
    have: usize,
    /// Payload bytes of the current frame still to come.
    payload: usize,
    window_start: Option<Instant>,
    resets: u32,
    control: u32,
    most_resets: u32,
    window: Duration,
}

// === impl Frames ===

impl Frames {
    pub fn new(limits: &Limits) -> Self {
        Self {
            preface: PREFACE.len(),
            header: [0; HEADER],
            have: 0,
            payload: 0,
            window_start: None,
            resets: 0,
            control: 0,
            most_resets: limits.h2_resets,
            window: limits.h2_reset_window,
        }
    }

    /// Whether the viewer has begun to speak HTTP/2.
    pub fn begun(&self) -> bool {
        self.preface == 0
    }

    /// Takes the next bytes; `now` is asked only when a frame is counted.
    ///
    /// # Errors
    /// The reason to end the connection.
    pub fn take(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), &'static str> {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.payload > 0 {
                let here = self.payload.min(bytes.len());
                self.payload -= here;
                bytes = &bytes[here..];
                continue;
            }
            let here = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + here].copy_from_slice(&bytes[..here]);
            self.have += here;
            bytes = &bytes[here..];
            if self.have == HEADER {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.count(kind, &now)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8, now: &impl Fn() -> Instant) -> Result<(), &'static str> {
        if !matches!(kind, PRIORITY | RST_STREAM | SETTINGS | PING) {
            return Ok(());
        }
        let now = now();
        if self.window_start.is_none_or(|start| now.duration_since(start) >= self.window) {
            self.window_start = Some(now);
            self.resets = 0;
            self.control = 0;
        }
        if kind == RST_STREAM {
            self.resets += 1;
        } else {
            self.control += 1;
        }
        if self.resets > self.most_resets {
            return Err("too many streams reset");
        }
        if self.control > CONTROL_FRAMES {
            return Err("too many control frames");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, 0, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(RST_STREAM, payload));
        bytes
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(&Limits { h2_resets: 3, h2_reset_window: Duration::from_secs(10), ..limits() });
        frames.take(PREFACE, Instant::now).unwrap();
        assert!(frames.begun());
        frames
    }

    #[test]
    fn resets_are_counted_however_they_arrive() {
        let start = Instant::now();
        let flood: Vec<u8> = (0..4).flat_map(|_| [frame(0, 300), frame(RST_STREAM, 4)].concat()).collect();
        for step in [1, 7, 9, 13, 5000] {
            let mut frames = begun();
            let results: Vec<_> = flood.chunks(step).map(|piece| frames.take(piece, || start)).collect();
            assert!(results.contains(&Err("too many streams reset")), "by {step}");
            let mut frames = begun();
            let three = &flood[..flood.len() * 3 / 4];
            assert!(three.chunks(step).all(|piece| frames.take(piece, || start).is_ok()), "by {step}");
        }
    }

    #[test]
    fn a_new_window_forgets() {
        let start = Instant::now();
        let mut frames = begun();
        for second in [0, 4, 8, 12, 16, 20, 24] {
            let now = start + Duration::from_secs(second);
            assert_eq!(frames.take(&frame(RST_STREAM, 4), || now), Ok(()), "{second}");
        }
    }

    #[test]
    fn pings_are_bounded_and_data_is_not() {
        let start = Instant::now();
        let mut frames = begun();
        for _ in 0..CONTROL_FRAMES {
            assert_eq!(frames.take(&frame(PING, 8), || start), Ok(()));
            assert_eq!(frames.take(&frame(0, 100), || start), Ok(()));
        }
        assert_eq!(frames.take(&frame(SETTINGS, 0), || start), Err("too many control frames"));
    }

    #[test]
    fn the_preface_may_come_in_pieces() {
        let mut frames = Frames::new(&limits());
        for (at, byte) in PREFACE.iter().enumerate() {
            assert!(!frames.begun(), "{at}");
            frames.take(&[*byte], Instant::now).unwrap();
        }
        assert!(frames.begun());
    }
}
