//! Chunks: what of an origin's chunked body is content, and where it ends, does not depend on how its bytes arrive; and what the stricter
//! reader of viewers' bodies takes ends here at the same byte. The first byte is the size of the pieces.

use super::limits::limits;
use rimward::listen::framing::Body;
use rimward::listen::head;
use rimward::origin::chunks::{Chunks, Run};

pub fn run(data: &[u8]) {
    let Some((step, coded)) = data.split_first() else { return };
    let whole = decode(coded, coded.len().max(1));
    assert_eq!(decode(coded, usize::from(*step).max(1)), whole);
    if let Ok((content, Some(end))) = &whole {
        assert!(content.len() < *end && *end <= coded.len());
        assert!(coded[..*end].ends_with(b"\r\n"));
        assert_eq!(decode(&coded[..*end], coded.len()), whole, "what follows is not part of it");
    }
    let mut strict = Body::new(head::Framing::Chunked, &limits());
    if let Ok(taken) = strict.take(coded)
        && strict.finished()
    {
        assert_eq!(whole.expect("a viewer may send it").1, Some(taken));
    }
}

/// The content, and where the body ended.
fn decode(coded: &[u8], step: usize) -> Result<(Vec<u8>, Option<usize>), &'static str> {
    let (mut chunks, mut content, mut before) = (Chunks::default(), Vec::new(), 0);
    for piece in coded.chunks(step) {
        let mut at = 0;
        loop {
            match chunks.next(piece, at)? {
                Run::Content(place) => {
                    assert!(at <= place.start && !place.is_empty() && place.end <= piece.len());
                    at = place.end;
                    content.extend_from_slice(&piece[place]);
                }
                Run::More => break,
                Run::End(end) => return Ok((content, Some(before + end))),
            }
        }
        before += piece.len();
    }
    Ok((content, None))
}
