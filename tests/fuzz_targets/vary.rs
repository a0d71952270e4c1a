//! Vary: names come out sorted and once, requests with different values select different variants. Lines of input:
//! Vary, then two requests' values of two fields.

use http::HeaderName;
use rimward::cache::vary::{Vary, parse, variance};
use rimward::message::Head;

pub fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.splitn(5, |b| *b == b'\n').collect();
    let fields: Vec<_> = lines.iter().take(1).map(|value| httparse::Header { name: "vary", value }).collect();
    match parse(&head(&fields)) {
        Vary::Names(names) => {
            assert!(!names.is_empty());
            assert!(names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
            assert!(variance(&names, &head(&fields), false).is_some());
        }
        Vary::None => assert!(lines[0].iter().all(|b| b.is_ascii_whitespace() || *b == b',')),
        Vary::Star => assert!(!lines[0].is_empty()),
    }
    let [_, a, b, c, d] = lines[..] else { return };
    let names = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
    let hash = |a, b| {
        let fields = [httparse::Header { name: "X-A", value: a }, httparse::Header { name: "X-B", value: b }];
        variance(&names, &head(&fields), true)
    };
    let same = a.trim_ascii() == c.trim_ascii() && b.trim_ascii() == d.trim_ascii();
    assert_eq!(hash(a, b) == hash(c, d), same);
}

fn head<'a>(fields: &'a [httparse::Header<'a>]) -> Head<'a> {
    Head { method: "GET", target: "/", host: "h", minor: 1, fields }
}
