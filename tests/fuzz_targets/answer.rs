//! Answer: an origin's header section has one reading. It lies inside the input, stays the same when more bytes follow, has no line ends
//! left in its values, and its body ends in one way.

use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use rimward::origin::answer::{FIELDS_MAX, Framing, Head, framing, parse};
use rimward::origin::response;

pub fn run(data: &[u8]) {
    let Some(head) = read(data) else { return };
    assert!(head.len <= data.len());
    assert!(head.fields.len() <= FIELDS_MAX);
    for value in head.fields.values() {
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
    }
    let more = [&data[..head.len], b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"].concat();
    let again = read(&more).expect("more bytes changed the reading");
    assert_eq!((again.len, again.status, &again.fields), (head.len, head.status, &head.fields));
    for cut in [0, head.len / 2, head.len - 1] {
        assert!(matches!(parse(&data[..cut], &mut HeaderMap::new()), Ok(None)), "complete or refused at {cut}");
    }
    let mut fields = head.fields;
    response::uncode(&mut fields);
    response::clean(&mut fields, head.status, head.version, "FRA", SystemTime::UNIX_EPOCH);
    let bodiless = response::bodiless(false, head.status);
    match framing(false, head.status, &fields) {
        Ok(Framing::None) => assert!(bodiless),
        Ok(Framing::Length(length)) => {
            let lines: Vec<_> = fields.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lines.len(), 1);
            assert_eq!(lines[0].to_str().unwrap().trim().parse::<u64>().unwrap(), length);
            assert!(!fields.contains_key(TRANSFER_ENCODING) && !bodiless);
        }
        Ok(Framing::Chunked) => assert!(!fields.contains_key(CONTENT_LENGTH) && !bodiless),
        Ok(Framing::Close) => assert!(!fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRANSFER_ENCODING)),
        Err(_) => {}
    }
    assert!(matches!(framing(true, StatusCode::OK, &HeaderMap::new()), Ok(Framing::None)));
}

fn read(data: &[u8]) -> Option<Head> {
    parse(data, &mut HeaderMap::new()).ok().flatten()
}
