//! Path: what origins may read is among the readings, and the readings are readings of themselves. The data is a path.

use rimward::message::path::{has_dots, normal, readings};

pub fn run(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let path = format!("/{path}");
    let all = readings(&path);
    assert!(all.iter().all(|one| one.starts_with('/') && *one != path), "{path:?} {all:?}");
    assert!(normal(&path).starts_with('/'), "{path:?}");
    let has = |reading: &str| reading == path || all.iter().any(|one| one == reading);
    if has_dots(&path) {
        return;
    }
    // nginx: decoded, slashes merged. Tomcat: parameters off, then decoded.
    let servlet: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect();
    for origin in [path.clone(), servlet.join("/")] {
        let read = percent(&origin);
        let names: Vec<&str> = read.split(['/', '\\']).filter(|name| !name.is_empty()).collect();
        let end = if names.is_empty() || !read.ends_with(['/', '\\']) { "" } else { "/" };
        assert!(has(&format!("/{}{end}", names.join("/"))), "{path:?} {read:?} {all:?}");
    }
}

/// Decoded once; what is no text is replaced.
fn percent(path: &str) -> String {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).filter(|hex| *first == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&out).into_owned()
}
