//! Lines: where the JavaScript that esbuild made was in the TypeScript that it was made of.
//!
//! In: a source map (ECMA-426), a stack. Out: the stack with the names and places of the sources. Never: a failure: a map that is damaged
//! is none, what it does not know stays as it is, and it is read when the first error asks.

mod mappings;

use std::borrow::Cow;
use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use mappings::Piece;

/// The custom section of a component that has its map.
pub const SECTION: &str = "rimward-lines";
/// Bytes of a map; a larger one is none.
pub const BYTES_MAX: usize = 8 << 20;
/// Bytes of a source's name; one with a longer name is not known.
const NAME_MAX: usize = 1024;

/// A function's map.
#[derive(Debug)]
pub struct Lines(LazyLock<Option<Map>, Unread>);

type Unread = Box<dyn FnOnce() -> Option<Map> + Send>;

/// A place in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'m> {
    pub file: &'m str,
    /// From 1.
    pub line: u32,
    /// From 1, in UTF-16, as editors count.
    pub column: u32,
}

/// As it is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    version: u32,
    /// What the engine calls the file whose places these are.
    #[serde(default)]
    file: String,
    sources: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    mappings: String,
}

#[derive(Debug)]
struct Map {
    file: String,
    sources: Vec<String>,
    names: Vec<String>,
    pieces: Vec<Piece>,
}

/// A line of a stack: `at name (file:line:column)`, or without name and brackets.
struct Frame<'s> {
    /// What stands before the place, and after it.
    around: (&'s str, &'s str),
    file: &'s str,
    line: u32,
    column: u32,
}

/// esbuild's map of `text`, which the engine knows as `file`, as a component has it: the engine counts columns in bytes. `None`: it is
/// none, or too large.
pub fn written(map: &[u8], file: &str, text: &str) -> Option<Vec<u8>> {
    let mut written: Written = serde_json::from_slice(map).ok()?;
    file.clone_into(&mut written.file);
    for source in &mut written.sources {
        *source = called(&decoded(source)).to_owned();
    }
    if !text.is_ascii() {
        let mut pieces = mappings::decode(&written.mappings)?;
        mappings::in_bytes(&mut pieces, text);
        written.mappings = mappings::encode(&pieces);
    }
    serde_json::to_vec(&written).ok().filter(|map| map.len() <= BYTES_MAX)
}

/// A source's name, which a map has as a URL: as it is, where it can stand in a line.
fn decoded(source: &str) -> Cow<'_, str> {
    let name = percent_decode_str(source).decode_utf8();
    name.ok().filter(|name| !name.contains(char::is_control)).unwrap_or(Cow::Borrowed(source))
}

/// A source is called by its path from the function's directory; one of a package that lies further up as if it lay there.
fn called(source: &str) -> &str {
    let within = source.trim_start_matches("../");
    if within.starts_with("node_modules/") { within } else { source }
}

// === impl Lines ===
impl Lines {
    /// A map as [`written`] gives it; empty where there is none.
    pub fn new(map: &[u8]) -> Self {
        let map = if map.len() > BYTES_MAX { Vec::new() } else { map.to_vec() };
        Lines(LazyLock::new(Box::new(move || Map::read(&map))))
    }

    /// Where a place of the file was; its column counts bytes.
    pub fn place(&self, file: &str, line: u32, column: u32) -> Option<Place<'_>> {
        self.0.as_ref()?.place(file, line, column)
    }

    /// A stack, innermost frame first, with the frames where their sources have them.
    pub fn stack(&self, stack: &str) -> String {
        let Some(map) = self.0.as_ref() else { return stack.to_owned() };
        let frames: Vec<&str> = stack.lines().collect();
        let callers = frames.iter().skip(1).map(Some).chain([None]);
        let moved = frames.iter().zip(callers).map(|(text, caller)| {
            map.moved(text, caller.and_then(|text| frame(text))).unwrap_or_else(|| (*text).to_owned())
        });
        moved.collect::<Vec<_>>().join("\n")
    }
}

impl Default for Lines {
    fn default() -> Self {
        Lines::new(&[])
    }
}

// === impl Map ===
impl Map {
    fn read(map: &[u8]) -> Option<Self> {
        let Written { version: _, file, sources, names, mappings } = serde_json::from_slice(map).ok()?;
        Some(Map { file, sources, names, pieces: mappings::decode(&mappings)? })
    }

    /// The piece in which a place lies.
    fn piece(&self, file: &str, line: u32, column: u32) -> Option<&Piece> {
        let at = (line.checked_sub(1)?, column.checked_sub(1)?);
        if file != self.file {
            return None;
        }
        let after = self.pieces.partition_point(|piece| (piece.line, piece.column) <= at);
        self.pieces.get(..after)?.last().filter(|piece| piece.line == at.0)
    }

    fn place(&self, file: &str, line: u32, column: u32) -> Option<Place<'_>> {
        let from = self.piece(file, line, column)?.from?;
        let file = self.sources.get(from.source as usize).filter(|name| name.len() <= NAME_MAX)?;
        Some(Place { file, line: from.line.saturating_add(1), column: from.column.saturating_add(1) })
    }

    fn moved(&self, text: &str, caller: Option<Frame<'_>>) -> Option<String> {
        let Frame { around: (before, after), file, line, column } = frame(text)?;
        let Place { file, line, column } = self.place(file, line, column)?;
        let place = format!("{file}:{line}:{column}{after}");
        let named = before.strip_prefix("at ").and_then(|rest| rest.strip_suffix(" ("));
        let renamed = named.and_then(|name| self.renamed(name, &caller?));
        Some(match renamed {
            Some(name) => format!("at {name} ({place}"),
            None => format!("{before}{place}"),
        })
    }

    /// The name that a function had before esbuild put a number behind it, because another file has one of that name: where it is called,
    /// the map says so.
    fn renamed(&self, name: &str, caller: &Frame<'_>) -> Option<&str> {
        let piece = self.piece(caller.file, caller.line, caller.column)?;
        let known = self.names.get(piece.from?.name? as usize)?;
        let number = name.strip_prefix(known.as_str())?;
        (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(known)
    }
}

/// Names of functions and of files may have brackets too: a place has the last one that opens and is not closed before it.
fn is_paired(place: &&str) -> bool {
    place.matches('(').count() == place.matches(')').count()
}

fn frame(text: &str) -> Option<Frame<'_>> {
    let rest = text.strip_prefix("at ")?;
    let (place, after) = match rest.strip_suffix(')') {
        Some(rest) => (rest.rmatch_indices(" (").map(|(at, open)| &rest[at + open.len()..]).find(is_paired)?, ")"),
        None => (rest, ""),
    };
    let before = &text[..text.len() - place.len() - after.len()];
    let mut parts = place.rsplitn(3, ':');
    let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Frame { around: (before, after), file: parts.next()?, line, column })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As esbuild 0.28 makes it of tests/two.ts, which calls its own `pick`, and that the one of lib/pick.ts, by way of lib/deep.ts.
    const TEXT: &str = include_str!("lines/tests/two.js");
    const MAP: &str = include_str!("lines/tests/two.js.map");

    fn lines() -> Lines {
        Lines::new(&written(MAP.as_bytes(), "two.js", TEXT).unwrap())
    }

    #[test]
    fn a_stack_has_the_names_and_places_of_the_sources() {
        let stack = "at descend (two.js:35:53)\nat descend (two.js:37:28)\nat pick (two.js:39:25)\nat two.js:44:22\n\
                     at apply (two.js:28:18)\nat pick2 (two.js:44:10)\nat handler (two.js:49:27)";
        let want = "at descend (lib/pick.ts:8:57)\nat descend (lib/pick.ts:10:32)\nat pick (lib/pick.ts:12:27)\n\
                    at two.ts:5:24\nat apply (lib/deep.ts:2:20)\nat pick (two.ts:5:12)\nat handler (two.ts:12:54)";
        assert_eq!(lines().stack(stack), want);
    }

    #[test]
    fn what_the_map_does_not_know_stays() {
        let lines = lines();
        for text in [
            "",
            "at require (node:modules:3:1)",
            "at other (other.js:35:53)",
            // esbuild's own lines, and none.
            "at __copyProps (two.js:12:5)",
            "at f (two.js:999:1)",
            "at f (two.js:0:0)",
            "at f (two.js:35)",
            "at f (two.js:35:4294967296)",
            "at f two.js:35:53)",
            "at )",
            "at (",
            "two.js:35:53",
            "no frame at all (two.js:35:53)",
        ] {
            assert_eq!(lines.stack(text), text);
        }
        // A number that is the function's own.
        assert_eq!(lines.stack("at pick2 (two.js:44:10)\nat two.js:46:17"), "at pick2 (two.ts:5:12)\nat two.ts:8:17");
        assert_eq!(lines.place("two.js", 35, 53), Some(Place { file: "lib/pick.ts", line: 8, column: 57 }));
        assert_eq!(lines.place("two.js", 1, 1), None);
    }

    #[test]
    fn a_map_that_is_damaged_is_none() {
        let frame = "at f (a.js:1:1)";
        let long =
            format!(r#"{{"version":3,"file":"a.js","sources":["{}"],"mappings":"AAAA"}}"#, "a".repeat(NAME_MAX + 1));
        let wide =
            format!(r#"{{"version":3,"file":"a.js","sources":["a.ts"],"mappings":"AAAA{}"}}"#, ";".repeat(BYTES_MAX));
        for map in [
            "",
            "{}",
            "\0\u{7f}",
            "[[[[[[",
            r#"{"version":3,"file":"a.js","sources":["a.ts"],"mappings":"AAA"}"#,
            r#"{"version":3,"file":"a.js","sources":["a.ts"],"mappings":"ACAA"}"#,
            r#"{"version":3,"file":"a.js","sources":[null],"mappings":"AAAA"}"#,
            &long,
            &wide,
        ] {
            assert_eq!(Lines::new(map.as_bytes()).stack(frame), frame, "{}", &map[..map.len().min(80)]);
        }
        assert!(written(wide.as_bytes(), "a.js", "").is_none());
        let whole = r#"{"version":3,"file":"a.js","sources":["a.ts"],"mappings":"AAAA"}"#;
        assert_eq!(Lines::new(whole.as_bytes()).stack(frame), "at f (a.ts:1:1)");
    }

    /// esbuild writes names as URLs, of a `%` too.
    #[test]
    fn names_of_any_letters_and_with_brackets_are_found() {
        let map = |name: &str| format!(r#"{{"version":3,"sources":["{name}"],"mappings":"AAAA"}}"#);
        for (name, want) in [
            ("a%20%C3%A9.ts", "a é.ts"),
            ("%C3%BC%20%281%29%2541.ts", "ü (1)%41.ts"),
            ("../node_modules/%40a/b.ts", "node_modules/@a/b.ts"),
            ("a+b.ts", "a+b.ts"),
            // What no name may be, or no line.
            ("%FF.ts", "%FF.ts"),
            ("a%0Aat.ts", "a%0Aat.ts"),
        ] {
            for file in ["a.js", "ü (1).js"] {
                let lines = Lines::new(&written(map(name).as_bytes(), file, "").unwrap());
                assert_eq!(lines.stack(&format!("at f ({file}:1:1)")), format!("at f ({want}:1:1)"));
                assert_eq!(lines.stack(&format!("at {file}:1:1")), format!("at {want}:1:1"));
                assert_eq!(lines.stack(&format!("at a (b ({file}:1:1)")), format!("at a (b ({want}:1:1)"));
            }
        }
    }

    #[test]
    fn columns_of_text_that_is_not_ascii_are_found() {
        let map = br#"{"version":3,"sources":["../a.ts","../../node_modules/b/i.ts"],"mappings":"AAAA,KCAA"}"#;
        let lines = Lines::new(&written(map, "a.js", "'😀é'();\n").unwrap());
        for (column, want) in [(1, "../a.ts"), (8, "../a.ts"), (9, "node_modules/b/i.ts")] {
            assert_eq!(lines.place("a.js", 1, column).map(|place| place.file), Some(want), "{column}");
        }
    }
}
