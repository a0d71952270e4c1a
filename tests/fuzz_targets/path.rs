//! Path: what an origin may read of a path is among its readings. The data is a path.

use rimward::message::path::{has_dots, normal, pattern, readings};

pub fn run(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    // A question mark ends a path.
    let path = format!("/{}", path.replace('?', ""));
    let all = readings(&path);
    assert!(all.iter().all(|one| one.starts_with('/') && *one != path), "{path:?} {all:?}");
    assert!(normal(&path).starts_with('/') && normal(&path).is_ascii(), "{path:?}");
    assert_eq!(normal(&normal(&path)), normal(&path), "{path:?}");
    assert_eq!(pattern(&normal(&path)), normal(&path), "{path:?}");
    if has_dots(&path) {
        return;
    }
    // nginx: decoded, slashes merged. Tomcat: parameters off, then decoded. Others: decoded, then parameters off; slashes left alone.
    for early in [false, true] {
        let read = percent(&String::from_utf8_lossy(&without_parameters(path.as_bytes(), early)));
        let read: Vec<u8> = read.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
        for late in [false, true] {
            let read = without_parameters(&read, late);
            let names: Vec<&[u8]> = read.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
            let end: &[u8] = if names.is_empty() || !read.ends_with(b"/") { b"" } else { b"/" };
            for want in [spelled(&[b"/", &names.join(&b'/')[..], end].concat()), spelled(&read)] {
                assert!(normal(&path) == want || all.contains(&want), "{path:?} {want:?} {all:?}");
            }
        }
    }
}

/// `take`: each segment ends at its first semicolon.
fn without_parameters(path: &[u8], take: bool) -> Vec<u8> {
    let name = |segment: &[u8]| segment.split(|byte| *byte == b';' && take).next().unwrap_or_default().to_vec();
    path.split(|byte| *byte == b'/').map(name).collect::<Vec<_>>().join(&b'/')
}

/// Decoded once.
fn percent(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).filter(|hex| *first == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    out
}

/// With everything encoded that RFC 3986 §3.3 does not let stand in a path.
fn spelled(path: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()+,;=:@".contains(byte);
    path.iter().map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
