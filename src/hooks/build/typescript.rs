//! TypeScript: esbuild, where it is installed, makes one JavaScript file of it, and a map of that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};

use super::BuildError;
pub use crate::config::compiled::is_typescript as is;
use crate::hooks::lines;

/// Where npm puts programs of a package.
const LOCAL: &str = "node_modules/.bin/esbuild";
/// What stands before the source map in the last line of what esbuild writes.
const MAP: &str = "\n//# sourceMappingURL=data:application/json;base64,";
/// A file as JavaScript, with everything it imports.
#[derive(Debug)]
pub struct Compiled {
    pub name: String,
    pub text: String,
    /// Its map, as a component has it; empty where there is none.
    pub lines: Vec<u8>,
    /// The directory from which the map names sources.
    pub root: PathBuf,
}

/// Compiles a file of `dir`. esbuild runs there: its names of sources are then the same wherever this process runs.
pub fn compile(dir: &Path, file: &Path) -> Result<Compiled, BuildError> {
    let path = dir.join(file);
    let failed = |message: String| BuildError::TypeScript(format!("{}: {message}", path.display()));
    let given = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let root = given.canonicalize().map_err(|source| BuildError::Read { path: path.clone(), source })?;
    let program = local(&path).unwrap_or_else(|| PathBuf::from("esbuild"));
    let out = Command::new(&program)
        .current_dir(&root)
        .arg(Path::new(".").join(file))
        .args([
            "--bundle",
            "--platform=node",
            "--format=cjs",
            "--target=es2022",
            "--log-level=warning",
            "--charset=utf8",
            "--sourcemap=inline",
            "--sources-content=false",
        ])
        .args(["--external:cloudfront", "--external:aws-sdk", "--external:@aws-sdk/*"])
        .output();
    let out = out.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(
            "TypeScript needs esbuild, in this project's node_modules or on PATH: npm install --save-dev esbuild"
                .to_owned(),
        ),
        _ => failed(format!("{}: {error}", program.display())),
    })?;
    if !out.status.success() {
        return Err(failed(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    let out = String::from_utf8(out.stdout).map_err(|_| failed("what esbuild writes is no UTF-8 text".to_owned()))?;
    Ok(taken(out, file, root))
}

/// What esbuild wrote, without the map at its end.
pub fn taken(mut out: String, file: &Path, root: PathBuf) -> Compiled {
    let name = format!("{}.js", file.file_stem().unwrap_or_default().to_string_lossy());
    let map = out.rfind(MAP).and_then(|at| Some((at, STANDARD.decode(out[at + MAP.len()..].trim_end()).ok()?)));
    let mut lines = Vec::new();
    if let Some((at, map)) = map {
        out.truncate(at + 1);
        lines = lines::written(&map, &name, &out).unwrap_or_default();
    }
    Compiled { name, text: out, lines, root }
}

/// Literals and comments of a line.
static LITERAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"//.*|/\*.*?\*/|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|`(?:[^`\\]|\\.)*`?|/(?:[^/\\]|\\.)+/"#)
});

/// What TypeScript adds to JavaScript that a line without literals shows, each where JavaScript has nothing like it.
static ADDED: LazyLock<Regex> = LazyLock::new(|| {
    let added = [
        r"^(export )?(declare |interface \w|enum \w|const enum |namespace \w|abstract class )",
        r"^(export )?type (\w+ ?[=<]|\{)",
        r"^import (type ([\w*]+|\{.*) |.*[{,] ?type \w)",
        r"^(private|protected|public|readonly) \w",
        // Of a variable.
        r"\b(let|const|var) [^=?:]*: ?[\w(]",
        // Of a parameter: the first, a later one, a pattern.
        r"\( ?(\.\.\.)?[\w$]+\??: ?[\w{(\[]",
        r"\([^(){}?:]*, ?(\.\.\.)?[\w$]+\??: ?[\w{(\[]",
        r"\(\{[^()?:]*\}: ?\w",
        // Of a result.
        r"^[^?]*\): ?[\w<>\[\].,| ]+ (\{|=>)",
        // Of a call, of a member.
        r"\w<[\w<>\[\], ]+>\(",
        r"^[\w$]+\?: ",
        r"^[\w$]+: ?(any|boolean|never|number|string|unknown|void)(\[\])?[,;]?$",
        r"[=(].*[\w)\]}] (as|satisfies) [\w{]",
    ];
    regex(&added.join("|"))
});

/// What looks like that in JavaScript.
static OTHER: LazyLock<Regex> = LazyLock::new(|| regex(r"^(case|default)\b|^import (type from|.*\bas\b)|^export [{*]"));

/// Whether a line that JavaScript cannot read has what TypeScript adds: a declaration of types, an annotation, an assertion.
pub fn resembles(line: &str) -> bool {
    let bare = LITERAL.replace_all(line, |found: &Captures<'_>| if found[0].starts_with('/') { "" } else { "0" });
    let bare = bare.trim();
    ADDED.is_match(bare) && !OTHER.is_match(bare)
}

#[allow(clippy::expect_used)] // Of constants, all of which a test compiles.
fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

fn local(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().map(|dir| dir.join(LOCAL)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_taken_off() {
        let take = |out: &str| taken(out.to_owned(), Path::new("src/a.ts"), PathBuf::new());
        let map = r#"{"version":3,"sources":["src/a.ts"],"mappings":"AAAA"}"#;
        let want = r#"{"version":3,"file":"a.js","sources":["src/a.ts"],"names":[],"mappings":"AAAA"}"#;
        for (map, want) in [(map, want), ("{}", "")] {
            let Compiled { name, text, lines, .. } = take(&format!("f();{MAP}{}\n", STANDARD.encode(map)));
            assert_eq!((&*name, &*text, &*String::from_utf8(lines).unwrap()), ("a.js", "f();\n", want));
        }
        for out in ["f();\n".to_owned(), format!("f();{MAP}!\n"), format!("f();{MAP}AAAA\ng();\n"), String::new()] {
            let Compiled { text, lines, .. } = take(&out);
            assert_eq!((text, lines), (out, Vec::new()));
        }
    }

    #[test]
    fn lines_of_typescript() {
        for (line, want) in [
            ("const x: number = 1;", true),
            ("export const handler = async (event: any) => {", true),
            ("export const handler = async (event: CloudFrontRequestEvent) => {", true),
            ("const handler: CloudFrontRequestHandler = async (event) => {", true),
            ("let x: Foo = make();", true),
            ("for (const [name, value]: Pair of pairs) {", true),
            ("function f(a): Promise<void> {", true),
            ("  find(uri): Foo {", true),
            ("const f = (a, b?: Foo) => a;", true),
            ("const f = ({ uri, query }: Props): Foo | undefined => uri;", true),
            ("function f(...all: string[]) {", true),
            ("const seen: Map<string, Foo[]> = new Map();", true),
            ("const seen = new Map<string, Foo>();", true),
            ("let then: (uri: string) => void;", true),
            ("const uri = event.request.uri as string;", true),
            ("export const o = { a: 1 } satisfies Foo;", true),
            ("const kinds = ['a'] as const;", true),
            ("  event: any,", true),
            ("  context?: Context", true),
            ("  interface Options {", true),
            ("export type Uri = string;", true),
            ("export type { Uri };", true),
            ("import type { Event } from './types';", true),
            ("import { type Event, read } from './types';", true),
            ("const enum Kind {", true),
            ("  private uri = '/';", true),
            ("let b = a +* 2;", false),
            ("let b = x ? y : void 0 +* 2;", false),
            ("let b = \"a: string\" +* 2;", false),
            ("let b = `a: string` +* 2;", false),
            ("let b = /a: (b: string)/ +* 2;", false),
            ("let b = a +* 2; // type: any, (b: string)", false),
            ("let b = a +* 2; /* let c: Foo = 1 */", false),
            ("let b = f(x ? y : z, u ? v : w) +* 2;", false),
            ("let b = x ? (y) : z => 1 +* 2;", false),
            ("let b = x ? f(y) : {} +* 2;", false),
            ("const o = { uri: request.uri, type: 1 };", false),
            ("const o = f({ a, kind: string, b: Foo }) +* 2;", false),
            ("  case string: number = 1 +* 2;", false),
            ("  case f(x): y => {", false),
            ("  default: any;", false),
            ("  uri: Foo,", false),
            ("if (a < b && c > (d +* 2)) {", false),
            ("import * as all from './a' +* 2;", false),
            ("import { a as b } frm './a';", false),
            ("  a as b,", false),
            ("import type from './a' +* 2;", false),
            ("type = string +* 2;", false),
            ("let s = 'it\\'s: any' +* 2;", false),
            ("}: any", false),
            ("))):: Foo {", false),
            ("let u = 'never closed: string", false),
            ("a word of prose as there is in a text", false),
            ("", false),
        ] {
            assert_eq!(resembles(line), want, "{line}");
        }
    }
}
