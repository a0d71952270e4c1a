//! Location: what an unsafe method drops is always on the request's own host and has the form of a path. The first line
//! is the request's URI, the rest the field.

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use rimward::cache::method::targets;

pub fn run(data: &[u8]) {
    let mut lines = data.splitn(2, |b| *b == b'\n');
    let (Some(uri), Some(location)) = (lines.next(), lines.next()) else { return };
    let (Ok(uri), Ok(location)) = (std::str::from_utf8(uri), HeaderValue::from_bytes(location)) else { return };
    if !uri.starts_with('/') {
        return;
    }
    let fields = HeaderMap::from_iter([(LOCATION, location)]);
    let targets = targets(&Method::POST, 201, &fields, "shop.example", uri);
    assert_eq!(targets[0].1, uri);
    assert!(targets.len() <= 2);
    for (host, uri) in &targets {
        assert_eq!(host, "shop.example");
        assert!(uri.starts_with('/'), "{uri:?}");
    }
}
