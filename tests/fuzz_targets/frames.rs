//! Frames: which HTTP/2 connections are ended for their control frames does not depend on how the bytes arrive. The first byte is the size
//! of the pieces; what follows comes after the preface.

use super::limits::limits;
use rimward::listen::frames::{Frames, PREFACE};
use tokio::time::Instant;

pub fn run(data: &[u8]) {
    let Some((step, frames)) = data.split_first() else { return };
    let bytes = [PREFACE, frames].concat();
    let now = Instant::now();
    let whole = watch(&bytes, bytes.len(), now);
    assert_eq!(watch(&bytes, usize::from(*step).max(1), now), whole);
    assert_eq!(whole, too_many(frames));
}

fn watch(bytes: &[u8], step: usize, now: Instant) -> Option<&'static str> {
    let mut frames = Frames::new(&limits());
    assert!(!frames.begun());
    let ended = bytes.chunks(step).find_map(|piece| frames.take(piece, || now).err());
    assert!(frames.begun() || ended.is_some());
    ended
}

/// The definition: frame after frame, at one moment.
fn too_many(mut bytes: &[u8]) -> Option<&'static str> {
    let (mut resets, mut control) = (0, 0);
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        match head[3] {
            3 => resets += 1,
            2 | 4 | 6 => control += 1,
            _ => {}
        }
        if resets > limits().h2_resets {
            return Some("too many streams reset");
        }
        if control > 2000 {
            return Some("too many control frames");
        }
        let payload = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        bytes = rest.get(payload..).unwrap_or_default();
    }
    None
}
