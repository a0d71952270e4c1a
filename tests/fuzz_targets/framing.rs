//! Framing: where a chunked body ends does not depend on how its bytes arrive. The first byte is the size of the pieces.

use super::limits::limits;
use rimward::listen::framing::Body;
use rimward::listen::head::Framing;

pub fn run(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, usize::from(*step).max(1));
    assert_eq!(whole, pieces);
    if let Some((taken, finished)) = whole {
        assert!(taken <= bytes.len());
        assert!(finished || taken == bytes.len(), "an unfinished body wants every byte");
        if finished {
            assert!(bytes[..taken].ends_with(b"\r\n"));
            assert_eq!(read(&bytes[..taken], bytes.len()), whole, "what follows is not part of it");
        }
    }
}

/// Bytes taken and whether the body ended, or `None` when it was refused.
fn read(bytes: &[u8], step: usize) -> Option<(usize, bool)> {
    let mut body = Body::new(Framing::Chunked, &limits());
    let mut taken = 0;
    for piece in bytes.chunks(step) {
        let here = body.take(piece).ok()?;
        taken += here;
        if here < piece.len() {
            break;
        }
    }
    Some((taken, body.finished()))
}
