//! Bundle: the files of a function, under the names the engine knows them by.
//!
//! In: a file or a directory. Out: its files in the order of their names, and which one has the handler. Never: a file outside the
//! directory, but what TypeScript imports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::compiled::{Flavor, is_script};

use super::typescript::{self, Compiled};
use super::{BuildError, Source};

/// Files one function may have.
const FILES: usize = 20_000;
/// Bytes they may have together (Lambda@Edge allows 50 MB, compressed).
const BYTES: u64 = 64 << 20;
/// Directories within directories.
const DEPTH: usize = 32;
/// What the engine can do nothing with.
const SKIPPED: [&str; 4] = [".map", ".d.ts", ".node", ".wasm"];
/// Entries of a directory whose package.json names none.
pub const ENTRIES: [&str; 5] = ["index.js", "index.mjs", "index.cjs", "index.ts", "handler.js"];

/// The files of one function.
#[derive(Debug, Default)]
pub struct Bundle {
    /// What was given, without its directory.
    pub name: String,
    /// The file with the handler.
    pub entry: String,
    /// What the handler is called there; `None` = `handler`, or what else the flavor knows.
    export: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
    /// It was given as one file, and is that file.
    alone: bool,
    /// Symbolic links of its directory, which are not followed.
    links: Vec<String>,
    /// Of an entry that was compiled, its map; else empty.
    pub lines: Vec<u8>,
    /// From where the map names sources.
    root: PathBuf,
}

/// What a directory holds.
#[derive(Default)]
struct Found {
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
    links: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    main: Option<String>,
    module: Option<String>,
    exports: Option<serde_json::Value>,
}

// === impl Bundle ===
impl Bundle {
    pub fn read(source: &Source) -> Result<Self, BuildError> {
        match source {
            Source::Text { name, text } => {
                let files = [(name.clone(), text.clone().into_bytes())].into();
                Ok(Bundle { files, ..Bundle::of(name.clone(), name.clone()) })
            }
            Source::Path(path) if path.is_dir() => directory(path, None),
            Source::Lambda { dir, handler } => directory(dir, Some(handler)),
            Source::Path(path) => file(path),
        }
    }

    fn of(name: String, entry: String) -> Self {
        Bundle { name, entry, ..Bundle::default() }
    }

    /// With an entry that was compiled.
    pub fn compiled(name: String, mut files: BTreeMap<String, Vec<u8>>, compiled: Compiled) -> Self {
        let Compiled { name: entry, text, lines, root } = compiled;
        files.insert(entry.clone(), text.into_bytes());
        Bundle { files, lines, root, ..Bundle::of(name, entry) }
    }

    /// The text of a source that its map names, as it is now. A package may lie in a directory further up.
    pub fn source(&self, name: &str) -> Option<String> {
        let depth = if name.starts_with("node_modules/") { usize::MAX } else { 1 };
        let script = is_script(Path::new(name)) && !self.lines.is_empty();
        let mut dirs = self.root.ancestors().take(if script { depth } else { 0 });
        dirs.find_map(|dir| fs::read_to_string(dir.join(name)).ok())
    }

    /// What helps where the engine says `message`, that a module is not there.
    pub fn advice(&self, message: &str) -> Option<String> {
        let (spec, _) = message.strip_prefix("Cannot find module '")?.split_once('\'')?;
        if self.alone {
            let words = "the function is this one file: name its directory instead, with an index.js or a package.json";
            return Some(words.to_owned());
        }
        let link = self.links.iter().find(|link| leads(link, spec))?;
        Some(format!(
            "{link} is a symbolic link, and those are not followed: install packages as files (with pnpm, `node-linker=hoisted`)"
        ))
    }

    /// As the engine reads it (functions/js-engine/src/bundle.c).
    pub fn encode(&self, flavor: Flavor, strict: bool, deferred: bool) -> Vec<u8> {
        let flavor = match flavor {
            Flavor::Auto => 0,
            Flavor::LambdaEdge => 1,
            Flavor::CloudFront1 => 2,
            Flavor::CloudFront2 => 3,
        };
        let mut out = vec![flavor, u8::from(strict), u8::from(deferred)];
        match &self.export {
            Some(export) => put(&mut out, format!("{}#{export}", self.entry).as_bytes()),
            None => put(&mut out, self.entry.as_bytes()),
        }
        out.extend(u32::try_from(self.files.len()).unwrap_or(0).to_le_bytes());
        for (name, data) in &self.files {
            put(&mut out, name.as_bytes());
            put(&mut out, data);
            out.push(0);
        }
        out
    }

    pub fn text(&self, file: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(file)?).ok()
    }

    pub fn entry_text(&self) -> &str {
        self.text(&self.entry).unwrap_or_default()
    }

    /// Whether the entry has the words of a module that exports.
    pub fn exports_something(&self) -> bool {
        let text = self.entry_text();
        text.contains("exports") || text.lines().any(|line| line.trim_start().starts_with("export "))
    }
}

fn put(out: &mut Vec<u8>, data: &[u8]) {
    // Bounded by BYTES.
    out.extend(u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(data);
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn file(path: &Path) -> Result<Bundle, BuildError> {
    let name = name_of(path);
    if let (true, Some(file)) = (typescript::is(path), path.file_name()) {
        let compiled = typescript::compile(path.parent().unwrap_or(Path::new("")), Path::new(file))?;
        return Ok(Bundle::compiled(name, BTreeMap::new(), compiled));
    }
    let data = read(path)?;
    if std::str::from_utf8(&data).is_err() {
        return Err(BuildError::Input { path: path.to_owned(), message: "it is not UTF-8 text".to_owned() });
    }
    Ok(Bundle { files: [(name.clone(), data)].into(), alone: true, ..Bundle::of(name.clone(), name) })
}

/// Whether what is asked for as `spec` may lie behind a link.
fn leads(link: &str, spec: &str) -> bool {
    let last = link.rsplit('/').next().unwrap_or(link);
    if spec.starts_with(['.', '/']) {
        let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
        return spec.split('/').any(|part| part == last || part == stem);
    }
    // A package, its scope, or all of them.
    let mut parts = spec.split('/');
    let (first, second) = (parts.next().unwrap_or(spec), parts.next().unwrap_or_default());
    let within = link.rsplit_once("node_modules/").map(|(_, within)| within);
    last == "node_modules" || within.is_some_and(|within| within == first || within == format!("{first}/{second}"))
}

/// `handler`: `file.export`; `None` = what its package.json says.
fn directory(root: &Path, handler: Option<&str>) -> Result<Bundle, BuildError> {
    let mut found = Found::default();
    walk(root, "", 0, &mut found)?;
    let Found { files, links, .. } = found;
    let (entry, export) = match handler {
        Some(handler) => named(root, &files, handler).map(|(entry, export)| (entry, Some(export)))?,
        None => (entry(root, &files)?, None),
    };
    if typescript::is(Path::new(&entry)) {
        let compiled = typescript::compile(root, Path::new(&entry))?;
        return Ok(Bundle { export, links, ..Bundle::compiled(name_of(root), files, compiled) });
    }
    Ok(Bundle { export, files, links, ..Bundle::of(name_of(root), entry) })
}

fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut Found) -> Result<(), BuildError> {
    let failed = |source| BuildError::Read { path: dir.to_owned(), source };
    let refused = |message: String| Err(BuildError::Input { path: dir.to_owned(), message });
    if depth > DEPTH {
        return refused(format!("more than {DEPTH} directories within each other"));
    }
    for item in fs::read_dir(dir).map_err(failed)? {
        let item = item.map_err(failed)?;
        let name = item.file_name().to_string_lossy().into_owned();
        let kind = item.file_type().map_err(failed)?;
        let inner = format!("{prefix}{name}");
        if name.starts_with('.') || SKIPPED.iter().any(|skipped| name.ends_with(skipped)) {
            continue;
        }
        if kind.is_dir() {
            walk(&item.path(), &format!("{inner}/"), depth + 1, found)?;
        } else if kind.is_file() {
            found.bytes += item.metadata().map_err(failed)?.len();
            if found.bytes > BYTES || found.files.len() >= FILES {
                return refused(format!("more than {} MiB or {FILES} files", BYTES >> 20));
            }
            found.files.insert(inner, read(&item.path())?);
        } else if kind.is_symlink() && found.links.len() < FILES {
            // Links are not followed: they may lead out of the directory.
            found.links.push(inner);
        }
    }
    Ok(())
}

/// The file and the export of a handler (Lambda Developer Guide, "Define Lambda function handler in Node.js"): the export begins
/// behind the first dot of the file's name.
fn named(root: &Path, files: &BTreeMap<String, Vec<u8>>, handler: &str) -> Result<(String, String), BuildError> {
    let refused = |message: String| BuildError::Input { path: root.to_owned(), message };
    let base = handler.rfind('/').map_or(0, |slash| slash + 1);
    let dot = handler[base..].find('.').map(|dot| base + dot).filter(|dot| *dot > base && *dot + 1 < handler.len());
    let dot = dot.ok_or_else(|| refused(format!("the handler '{handler}' is not written as file.export")))?;
    let file = handler[..dot].trim_start_matches("./");
    let found =
        [".js", ".mjs", ".cjs", ".ts"].iter().map(|end| format!("{file}{end}")).find(|name| files.contains_key(name));
    let found =
        found.ok_or_else(|| refused(format!("no file of the handler '{handler}': {file}.js, .mjs, .cjs or .ts")))?;
    Ok((found, handler[dot + 1..].to_owned()))
}

/// package.json's `main`, else its `exports` or `module`, else the usual names.
fn entry(root: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<String, BuildError> {
    let path = root.join("package.json");
    let manifest = files.get("package.json").map(|text| manifest(&path, text)).transpose()?;
    let named = manifest.and_then(|manifest| {
        let exported = manifest.exports.as_ref().and_then(exported).map(str::to_owned);
        manifest.main.or(exported).or(manifest.module)
    });
    if let Some(named) = named {
        let plain = named.trim_start_matches("./").trim_end_matches('/').to_owned();
        let tried = ["", ".js", ".cjs", ".mjs", ".ts", "/index.js"].map(|end| format!("{plain}{end}"));
        let message = format!("its entry '{named}' is not in the directory");
        return tried.into_iter().find(|name| files.contains_key(name)).ok_or(BuildError::Input { path, message });
    }
    let found = ENTRIES.into_iter().find(|name| files.contains_key(*name));
    found.map(str::to_owned).ok_or_else(|| BuildError::Input {
        path: root.to_owned(),
        message: "no entry: a package.json with `main`, or an index.js".to_owned(),
    })
}

/// What a package.json says.
fn manifest(path: &Path, text: &[u8]) -> Result<Manifest, BuildError> {
    let refused = |line: usize, column: usize, message: &str| BuildError::Manifest {
        path: path.to_owned(),
        line,
        column,
        message: message.to_owned(),
    };
    // The parser would take a list for the members in their order.
    let rest = text.trim_ascii_start();
    if !rest.starts_with(b"{") {
        let before = &text[..text.len() - rest.len()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        return Err(refused(line, column, "expected an object, like {\"main\": \"index.js\"}"));
    }
    serde_json::from_slice(text).map_err(|error| {
        let (words, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
        refused(error.line(), error.column(), words.strip_suffix(place.as_str()).unwrap_or(&words))
    })
}

/// The target of `exports` for ".".
fn exported(exports: &serde_json::Value) -> Option<&str> {
    if let Some(path) = exports.as_str() {
        return Some(path);
    }
    ["node", "import", "require", "default", "."].iter().find_map(|key| exported(exports.get(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_that_lambda_names() {
        for (handler, file, want) in [
            ("index.handler", "index.js", Some(("index.js", "handler"))),
            ("src/app.lambdaHandler", "src/app.mjs", Some(("src/app.mjs", "lambdaHandler"))),
            ("./v1.2/app.get.one", "v1.2/app.cjs", Some(("v1.2/app.cjs", "get.one"))),
            ("index.handler", "other.js", None),
            ("index", "index.js", None),
            ("index.", "index.js", None),
            (".handler", "index.js", None),
            ("", "index.js", None),
        ] {
            let files = [(file.to_owned(), Vec::new())].into();
            let found = named(Path::new("fn"), &files, handler).ok();
            assert_eq!(found.as_ref().map(|(file, export)| (&**file, &**export)), want, "{handler}");
        }
    }

    #[test]
    fn the_entry_of_a_directory() {
        for (manifest, file, want) in [
            (r#"{"main": "./lib/a"}"#, "lib/a.js", Some("lib/a.js")),
            (r#"{"main": "lib"}"#, "lib/index.js", Some("lib/index.js")),
            (r#"{"exports": {".": {"import": "./m.mjs"}}}"#, "m.mjs", Some("m.mjs")),
            (r#"{"module": "m.js"}"#, "m.js", Some("m.js")),
            (r#"{"name": "x"}"#, "index.mjs", Some("index.mjs")),
            (r#"{"main": "gone.js"}"#, "index.js", None),
            ("{}", "other.js", None),
        ] {
            let files = [("package.json", manifest), (file, "")]
                .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
                .into();
            assert_eq!(entry(Path::new("fn"), &files).ok().as_deref(), want, "{manifest}");
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_shown_at_its_place() {
        let object = "expected an object, like {\"main\": \"index.js\"}";
        for (text, place, words) in [
            ("[]", "1:1", object),
            (r#"["index.js", null, null]"#, "1:1", object),
            ("\n  null", "2:3", object),
            ("", "1:1", object),
            (r#"{"main": 1}"#, "1:", "expected a string"),
            ("{\n\"main\" 1}", "2:", "expected `:`"),
        ] {
            let files = [("package.json".to_owned(), text.as_bytes().to_vec())].into();
            let error = entry(Path::new("fn"), &files).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("fn/package.json:{place}")) && error.ends_with(words),
                "{text}: {error}"
            );
        }
    }
}
