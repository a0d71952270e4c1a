//! Frames: HTTP/2 written by hand, for what no honest client sends.
//!
//! In: frames. Out: their bytes, and the frames that came back. Never: flow control, HPACK beyond literals.

use super::{HOST, Raw};
use std::net::SocketAddr;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One HTTP/2 connection without a mind of its own.
pub struct Frames {
    raw: Raw,
}

/// One frame as received.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

// === impl Frames ===
impl Frames {
    /// Connects with prior knowledge and sends the preface with these settings.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Raw::connect(address);
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(frame(SETTINGS, 0, 0, &payload));
        Frames { raw }
    }

    /// Whether the peer still takes bytes.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.raw.try_send(bytes).is_ok()
    }

    /// The next frame; `None` when the connection has ended.
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.raw.try_exactly(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload: self.raw.try_exactly(length)? })
    }

    /// Reads until the connection ends; the error code of GOAWAY when one came.
    pub fn ended(mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = frame.payload.get(4..8).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            }
        }
        code
    }
}

/// The bytes of one frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of `GET path` for [`HOST`], literals only.
pub fn get_block(path: &str) -> Vec<u8> {
    block(0x82, path)
}

/// The same for `POST path`.
pub fn post_block(path: &str) -> Vec<u8> {
    block(0x83, path)
}

fn block(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86];
    literal_indexed(&mut block, 4, path);
    literal_indexed(&mut block, 1, HOST);
    block
}

/// `name: value` as a literal that enters no table.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    string(&mut block, name);
    string(&mut block, value);
    block
}

fn literal_indexed(block: &mut Vec<u8>, index: u8, value: &str) {
    block.push(index);
    string(block, value);
}

/// A string of fewer than 127 bytes, without Huffman coding.
fn string(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).expect("a short string"));
    block.extend(text.as_bytes());
}
