//! Range: whatever is asked, what is sent lies inside the answer, in order, with gaps. The first byte is the answer's
//! length, the rest the field.

use http::Method;
use rimward::cache::range::{Ranges, resolve};
use rimward::message::Head;

const MAX_RANGES: usize = 8;

pub fn run(data: &[u8]) {
    let Some((total, value)) = data.split_first() else { return };
    let total = u64::from(*total);
    let fields = [httparse::Header { name: "range", value }];
    let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };
    match resolve(&head, &Method::GET, total, None, None, MAX_RANGES) {
        Ranges::Whole => {}
        Ranges::Unsatisfiable => assert!(value.iter().any(u8::is_ascii_digit)),
        Ranges::One(range) => assert!(range.start < range.end && range.end <= total),
        Ranges::Many(ranges) => {
            assert!((2..=MAX_RANGES).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= total));
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
