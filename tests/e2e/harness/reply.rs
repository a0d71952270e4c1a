//! Reply: an HTTP/1.1 answer, read as strictly as the RFC allows.
//!
//! In: bytes from a connection. Out: one whole answer, or how it broke. Never: repair; a bare LF or a double length panics.

use super::Duplex;

/// One whole answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, wire order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

/// An answer that ended before it was whole.
#[derive(Debug)]
pub struct Broken {
    /// The head, when it arrived; its body is what came before the end.
    pub partial: Option<Reply>,
    pub why: String,
}

/// How the body of an answer is delimited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

// === impl Reply ===
impl Reply {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn age(&self) -> Option<u64> {
        self.field("age").map(|age| age.parse().unwrap())
    }

    /// Our member of `Cache-Status` (RFC 9211): the last of the list, split into its parameters.
    pub fn cache(&self) -> Vec<String> {
        let lines = self.all("cache-status").join(", ");
        assert!(!lines.is_empty(), "no Cache-Status in {:?}", self.fields);
        let ours = lines.rsplit(", ").next().unwrap();
        ours.split(';').skip(1).map(|part| part.trim().to_owned()).collect()
    }

    /// Whether `Cache-Status` says this came from the cache without asking the origin.
    pub fn hit(&self) -> bool {
        self.cache().iter().any(|part| part == "hit")
    }

    /// The reason the request went on to the origin (`fwd=`), "" for a hit.
    pub fn fwd(&self) -> String {
        self.param("fwd").unwrap_or_default()
    }

    /// One `Cache-Status` parameter's value.
    pub fn param(&self, name: &str) -> Option<String> {
        self.cache().iter().find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key == name).then(|| value.trim_matches('"').to_owned())
        })
    }

    /// A boolean `Cache-Status` parameter.
    pub fn flag(&self, name: &str) -> bool {
        self.cache().iter().any(|part| part == name)
    }
}

/// Reads the next byte run into `buf`; `Ok(0)` is the peer's end.
pub fn fill(stream: &mut dyn Duplex, buf: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut chunk = [0_u8; 64 * 1024];
    let n = stream.read(&mut chunk)?;
    buf.extend_from_slice(&chunk[..n]);
    Ok(n)
}

/// The end of the header section in `buf`, past its empty line. Panics at a line that does not end in CRLF.
pub fn head_end(buf: &[u8]) -> Option<usize> {
    let end = buf.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
    let head = &buf[..end.unwrap_or(buf.len())];
    for (at, byte) in head.iter().enumerate() {
        assert!(
            *byte != b'\n' || at > 0 && head[at - 1] == b'\r',
            "bare LF in a head: {:?}",
            String::from_utf8_lossy(head)
        );
    }
    end
}

/// Start line and fields of a complete header section.
pub fn parse_head(head: &[u8]) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8_lossy(&head[..head.len() - 4]).into_owned();
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap().to_owned();
    let fields = lines.map(parse_field).collect();
    (start, fields)
}

pub fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("field without a colon: {line:?}"));
    assert!(!name.is_empty() && !name.contains(char::is_whitespace), "bad field name: {line:?}");
    (name.to_ascii_lowercase(), value.trim().to_owned())
}

/// How the body of an answer to `method` is delimited (RFC 9112 §6.3). Two lengths panic.
pub fn framing(method: &str, reply: &Reply) -> Framing {
    let lengths = reply.all("content-length");
    let chunked = reply.all("transfer-encoding");
    assert!(lengths.len() <= 1, "several content-length: {:?}", reply.fields);
    assert!(lengths.is_empty() || chunked.is_empty(), "length and coding: {:?}", reply.fields);
    if method == "HEAD" || reply.status / 100 == 1 || reply.status == 204 || reply.status == 304 {
        return Framing::None;
    }
    if let [coding] = chunked[..] {
        assert_eq!(coding, "chunked");
        return Framing::Chunked;
    }
    match lengths.first() {
        Some(n) => Framing::Length(n.parse().unwrap()),
        None => Framing::UntilClose,
    }
}
