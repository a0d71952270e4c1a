//! Head: a request head has one reading. What is taken lies inside the input, stays the same when more bytes follow, and is
//! only reached byte by byte through "read on".

use super::limits::limits;
use rimward::listen::head::{Framing, MAX_FIELDS, Parsed, parse, slots};

pub fn run(data: &[u8]) {
    let limits = limits();
    let mut room = slots();
    let Parsed::Complete(request) = parse(data, &mut room, &limits) else { return };
    assert!(request.len <= data.len());
    assert!(request.head.fields.len() <= limits.header_count.min(MAX_FIELDS));
    assert!(request.head.target.len() <= data.len() + 1, "{}", request.head.target);
    assert!(request.head.target.starts_with('/') || request.head.target == "*", "{}", request.head.target);
    assert!(!request.head.target.contains(|c: char| c.is_ascii_control() || c == ' '));
    if let Framing::Length(length) = request.framing {
        assert!(length <= limits.body_size);
    }
    if request.upgrade {
        assert_eq!(request.framing, Framing::None);
    }
    let (len, framing) = (request.len, request.framing);

    let more = [&data[..len], b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let mut room = slots();
    match parse(&more, &mut room, &limits) {
        Parsed::Complete(again) => assert_eq!((again.len, again.framing), (len, framing)),
        _ => panic!("more bytes changed the reading"),
    }
    for cut in 0..len {
        let mut room = slots();
        assert!(matches!(parse(&data[..cut], &mut room, &limits), Parsed::Partial), "complete or refused at {cut}");
    }
}
