//! Build: one wasm file of a function's source.
//!
//! In: a file or directory. Out: the file, and what is in it. Never: a file that the engine would not load.

use std::io::Write;
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
    /// The wasm file to write [default: the source's name with .wasm]
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
        writable(&self.path, &to)?;
        let wasm = source::wasm(&self.path, self.flavor.into(), self.mode.into(), None)?;
        let (component, shape) = component(&wasm.bytes)?;
        let name = source::name(&self.path);
        let inspected = Inspected::of(&name, &to, &shape);
        if !inspected.runs() {
            return Err(EngineError::Handler { function: name }.into());
        }
        write(&to, &component)?;
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

/// Refuses to write where the source is, however either is spelled, or where a directory is.
fn writable(source: &Path, to: &Path) -> Result<(), FnError> {
    let reason = match (to.canonicalize(), source.canonicalize()) {
        (Ok(to), Ok(source)) if to == source => "this is the source itself: name another file with -o",
        (Ok(to), _) if to.is_dir() => "this is a directory: name a file in it with -o",
        _ => return Ok(()),
    };
    Err(FnError::File { path: to.to_owned(), reason: reason.to_owned() })
}

/// Whole or not at all: a PoP that watches the file loads no half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), FnError> {
    let failed = |source| FnError::Write { path: path.to_owned(), source };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made here: an error of the crate's own files names them, which nobody knows. The umask says who may read it.
    let made = tempfile::Builder::new().make_in(dir, |path| std::fs::File::create_new(path));
    let mut file = made.map_err(failed)?;
    file.as_file_mut().write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
