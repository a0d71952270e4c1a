//! Source: a function's wasm, whatever it is written in.
//!
//! In: a file or a directory. Out: bytes that the engine loads; how they came about. Never: the engine.

use std::path::{Path, PathBuf};

use super::FnError;
use super::toolchain::Recipe;
use crate::config::compiled::{Flavor, Mode};
use crate::hooks::build::{self, Builder, ENGINE, Source};
use crate::hooks::engine::no_wasm;

/// Bytes of a wasm file that are read.
const WASM_MAX: u64 = 256 << 20;

/// Extensions of files that are a function each.
const ALONE: [&str; 11] = ["wasm", "wat", "c", "zig", "py", "js", "mjs", "cjs", "ts", "mts", "cts"];
/// Ends of files that only say what types others have.
const TYPES: [&str; 3] = [".d.ts", ".d.mts", ".d.cts"];
/// Files of a directory that are suggested.
const SUGGESTED: usize = 3;

/// A function's wasm, or its text.
#[derive(Debug)]
pub struct Wasm {
    pub bytes: Vec<u8>,
    /// What a person should know of how it was built.
    pub notes: Vec<String>,
}

/// Builds it, or reads it. `given` is the configuration that it will run with, where that is known: a PoP builds it for that, too.
pub fn wasm(path: &Path, flavor: Flavor, mode: Mode, given: Option<&[(String, String)]>) -> Result<Wasm, FnError> {
    let metadata = std::fs::metadata(path).map_err(|source| FnError::Read { path: path.to_owned(), source })?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(FnError::File { path: path.to_owned(), reason: "neither a file nor a directory".to_owned() });
    }
    if let Some(recipe) = Recipe::of(path) {
        let bytes = recipe.build()?;
        return Ok(Wasm { bytes, notes: Vec::new() });
    }
    let has = |name: &str| path.join(name).is_file();
    if metadata.is_dir() && !has("package.json") && !build::ENTRIES.into_iter().any(has) {
        let entries = std::fs::read_dir(path).map_err(|source| FnError::Read { path: path.to_owned(), source })?;
        return Err(FnError::File { path: path.to_owned(), reason: unbuildable(entries) });
    }
    if let Some(reason) = unfit(path).filter(|_| metadata.is_file()) {
        return Err(FnError::File { path: path.to_owned(), reason });
    }
    if build::is_source(path) {
        return script(path, flavor, mode, given);
    }
    if metadata.len() > WASM_MAX {
        return Err(FnError::File { path: path.to_owned(), reason: format!("more than {} MiB", WASM_MAX >> 20) });
    }
    let bytes = std::fs::read(path).map_err(|source| FnError::Read { path: path.to_owned(), source })?;
    if let Some(why) = no_wasm(&bytes) {
        return Err(FnError::File { path: path.to_owned(), reason: why.to_owned() });
    }
    // Here, because here the file's name is known.
    if let Err(mut error) = wat::parse_bytes(&bytes) {
        error.set_path(path);
        return Err(FnError::Text(error.to_string()));
    }
    Ok(Wasm { bytes, notes: Vec::new() })
}

/// Why a directory is no project of any language, with the files in it that are functions by themselves.
fn unbuildable(entries: std::fs::ReadDir) -> String {
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<String> = files.filter(|path| alone(path)).map(|path| path.display().to_string()).collect();
    files.sort();
    let more = if files.len() > SUGGESTED { " …" } else { "" };
    files.truncate(SUGGESTED);
    let instead = match files.as_slice() {
        [] => "name the file of a function".to_owned(),
        files => format!("name the file itself: {}{more}", files.join(" or ")),
    };
    format!("no package.json, index.js, Cargo.toml or go.mod in it; {instead}")
}

/// Whether a file is likely a function by itself: no hidden one, no declaration of types.
fn alone(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ALONE.contains(&extension) && !name.starts_with('.') && !TYPES.iter().any(|end| name.ends_with(end))
}

/// Why nothing is made of a file whose name says what is in it; what to do instead.
fn unfit(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    if TYPES.iter().any(|end| path.as_os_str().as_encoded_bytes().ends_with(end.as_bytes())) {
        return Some("it declares types and has no code: name the file that has".to_owned());
    }
    let lower = extension.to_ascii_lowercase();
    let project = |manifest: &str, language: &str| {
        format!(
            "no {manifest} beside it or one directory up: a function of this language is a project, and \
             `rimward fn new NAME --language {language}` writes one"
        )
    };
    match lower.as_str() {
        "rs" => Some(project("Cargo.toml", "rust")),
        "go" => Some(project("go.mod", "go")),
        "jsx" | "tsx" => {
            let plain = lower.trim_end_matches('x');
            Some(format!(
                "JSX is not built: name it .{plain} if it has none, or compile it first: \
                 esbuild --bundle --platform=node --format=cjs {} --outfile=function.js",
                path.display()
            ))
        }
        // What these hold says itself what it is.
        "wasm" | "wat" => None,
        lower if lower != extension && ALONE.contains(&lower) => {
            Some(format!("the extension counts in lower case: name it {}", path.with_extension(lower).display()))
        }
        _ => None,
    }
}

fn script(path: &Path, flavor: Flavor, mode: Mode, given: Option<&[(String, String)]>) -> Result<Wasm, FnError> {
    let built = builder().build_for(&Source::Path(path.to_owned()), flavor, mode, given);
    let built = built.map_err(|error| FnError::built(path, error))?;
    let mut notes = Vec::new();
    if let Some(call) = built.deferred {
        notes.push(format!("its top level calls {call}: it runs in every fresh instance, not once when it is built"));
    }
    notes.extend(built.logs.iter().map(|line| format!("its top level said: {}", said(line))));
    Ok(Wasm { bytes: built.component, notes })
}

/// What commands built before is in the user's cache (XDG Base Directory Specification), when there is one.
fn builder() -> Builder {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match home("XDG_CACHE_HOME").or_else(|| Some(home("HOME")?.join(".cache"))) {
        Some(cache) if cache.is_absolute() => Builder::keeping(cache.join("rimward/built")),
        _ => Builder::new(ENGINE),
    }
}

/// The words of a log line, which is JSON.
fn said(line: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(line).ok();
    parsed.and_then(|line| line["message"].as_str().map(str::to_owned)).unwrap_or_else(|| line.to_owned())
}

/// A function's name: that of its file or directory; for a file with a usual name, its directory's.
pub fn name(path: &Path) -> String {
    let usual = ["index", "function", "lambda_function", "handler", "main", "mod", "lib"];
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let parent = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let name = if usual.contains(&stem) && !path.is_dir() { parent.unwrap_or(stem) } else { stem };
    let speakable = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(speakable).collect();
    if name.is_empty() { "function".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions() {
        for (path, want) in [
            ("/x/pretty/index.js", "pretty"),
            ("/x/pretty/function.wat", "pretty"),
            ("/x/pretty-urls.wasm", "pretty-urls"),
            ("/x/a b.js", "a-b"),
            ("/", "function"),
        ] {
            assert_eq!(name(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn files_that_are_suggested() {
        for (path, want) in [
            ("d/a.js", true),
            ("d/a.mts", true),
            ("d/a.cts", true),
            ("d/a.d.ts", false),
            ("d/a.d.mts", false),
            ("d/.eslintrc.js", false),
            ("d/a.json", false),
            ("d/ts", false),
        ] {
            assert_eq!(alone(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn names_of_what_cannot_be_built() {
        for (path, want) in [
            ("a.wasm", None),
            ("A.WASM", None),
            ("a", None),
            ("a.txt", None),
            ("d/A.JS", Some("name it d/A.js")),
            ("a.Ts", Some("name it a.ts")),
            ("a.rs", Some("--language rust")),
            ("a.go", Some("--language go")),
            ("a.jsx", Some("name it .js if")),
            ("a.TSX", Some("name it .ts if")),
        ] {
            let why = unfit(Path::new(path));
            assert_eq!(why.is_some(), want.is_some(), "{path}: {why:?}");
            assert!(want.is_none_or(|want| why.as_deref().is_some_and(|why| why.contains(want))), "{path}: {why:?}");
        }
    }

    #[test]
    fn log_lines_of_the_top_level() {
        assert_eq!(said(r#"{"level":"info","message":"hello"}"#), "hello");
        assert_eq!(said("plain"), "plain");
    }
}
