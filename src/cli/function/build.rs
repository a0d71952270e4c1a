//! Build: one wasm file of a function's source.
//!
//! In: a file or directory. Out: the file, and what is in it. Never: a file that the engine would not load.

use std::fs::Permissions;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::inspect::Inspected;
use super::{Flavor, FnError, Mode, Verdict, report, source};
use crate::cli::table;
use crate::hooks::engine::{EngineError, component};

/// Make one wasm file of a function's source
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward fn build index.js -o pretty-urls.wasm\n  \
    rimward fn build .                  a directory with a package.json, a Cargo.toml or a go.mod\n  \
    rimward fn build function.wat\n\n\
    JavaScript, WAT and core modules need nothing. TypeScript needs esbuild; Rust, C, Zig, Go,\n\
    AssemblyScript and Python need their compilers: what is missing is named.\n\n\
    A configuration may name the source itself: `rimward run` builds scripts too. Build to ship one file.")]
pub struct Build {
    /// A file, or the directory of a project
    pub path: PathBuf,
    /// The wasm file to write; replaces WebAssembly alone [default: the source's name with .wasm]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What a JavaScript file is
    #[arg(long, value_enum, default_value_t)]
    pub flavor: Flavor,
    /// strict also refuses what CloudFront Functions would not take
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
}

// === impl Build ===
impl Build {
    pub fn run(&self, out: &mut impl Write) -> Result<Verdict, FnError> {
        let began = Instant::now();
        let to = self.output.clone().unwrap_or_else(|| output(&self.path));
        let target = target(&self.path, &to)?;
        let wasm = source::wasm(&self.path, self.flavor.into(), self.mode.into(), None)?;
        let (component, shape) = component(&wasm.bytes).map_err(|error| FnError::engine(&self.path, error))?;
        let name = source::name(&self.path);
        let inspected = Inspected::of(&name, &to, &shape);
        if !inspected.runs() {
            return Err(FnError::engine(&self.path, EngineError::Handler { function: name }));
        }
        write(&target, &component).map_err(|source| FnError::Write { path: to.clone(), source })?;
        let size = table::bytes(component.len() as f64);
        writeln!(out, "{}: {size}, built in {}", to.display(), report::time(began.elapsed()))?;
        inspected.write(out)?;
        for note in &wasm.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(Verdict::Good)
    }
}

/// Beside the source; a project's in its directory.
fn output(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(format!("{}.wasm", source::name(path))),
        false => path.with_extension("wasm"),
    }
}

/// Where it is written: what a link leads to, with the permissions of a file that is there. Only WebAssembly is replaced: anything else
/// would be lost.
fn target(source: &Path, to: &Path) -> Result<(PathBuf, Option<Permissions>), FnError> {
    let refuse = |reason: &str| Err(FnError::File { path: to.to_owned(), reason: reason.to_owned() });
    if to == Path::new("-") {
        return refuse("standard output is no file: name one with -o");
    }
    let Ok(there) = to.canonicalize() else { return Ok((to.to_owned(), None)) };
    if source.canonicalize().is_ok_and(|source| source == there) {
        return refuse("this is the source itself: name another file with -o");
    }
    let metadata = std::fs::metadata(&there).map_err(|source| FnError::Read { path: to.to_owned(), source })?;
    if metadata.is_dir() {
        return refuse("this is a directory: name a file in it with -o");
    }
    let mut begin = Vec::new();
    let wasm = metadata.is_file()
        && std::fs::File::open(&there).and_then(|file| file.take(4).read_to_end(&mut begin)).is_ok()
        && (begin.is_empty() || begin == b"\0asm");
    match wasm {
        true => Ok((there, Some(metadata.permissions()))),
        false => refuse("this is no WebAssembly, and would be lost: name another file with -o"),
    }
}

/// Whole or not at all: a PoP that watches the file loads no half of it.
fn write((path, permissions): &(PathBuf, Option<Permissions>), bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made here: an error of the crate's own files names them, which nobody knows. The umask says who may read it.
    let mut file = tempfile::Builder::new().make_in(dir, |path| std::fs::File::create_new(path))?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions.clone())?;
    }
    file.as_file_mut().write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
