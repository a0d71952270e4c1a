//! Watching: the functions of `rimward dev`.
//!
//! In: files and events as they were typed. Out: wasm files and scripts that a configuration can name; what is compiled by a
//! toolchain is compiled again when its sources change. Never: a reload; the PoP watches the files that are named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::toolchain::Recipe;
use super::{FnError, report, source};
use crate::config::watch::Fingerprint;
use crate::hooks::Event;
use crate::hooks::engine::component;

/// How often sources are looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Files of one project that are looked at.
const FILES_MAX: usize = 2_000;
/// Directories with what others wrote, or what was built.
const SKIPPED: [&str; 3] = ["target", "node_modules", "zig-out"];

/// A function of a `dev` PoP.
#[derive(Debug, Clone)]
pub struct Attached {
    pub name: String,
    pub event: Event,
    /// What a person changes.
    pub source: PathBuf,
    /// What the PoP loads.
    pub file: PathBuf,
    recipe: Option<Recipe>,
}

/// Reads `FILE[@EVENT]`, and compiles what needs a toolchain into `dir`.
pub fn attach(given: &[String], dir: &Path) -> Result<Vec<Attached>, FnError> {
    let mut attached: Vec<Attached> = Vec::new();
    for text in given {
        let (path, event) = split(text)?;
        let path = std::fs::canonicalize(path).map_err(|source| FnError::Read { path: path.to_owned(), source })?;
        let same = attached.iter().filter(|one| source::name(&one.source) == source::name(&path));
        let name = match same.count() {
            0 => source::name(&path),
            n => format!("{}.{n}", source::name(&path)),
        };
        let recipe = Recipe::of(&path);
        let file = match &recipe {
            Some(_) => dir.join(format!("{name}.wasm")),
            None => path.clone(),
        };
        let mut one = Attached { name, event: event.unwrap_or(Event::ViewerRequest), source: path, file, recipe };
        if let Some(recipe) = &one.recipe {
            std::fs::create_dir_all(dir).map_err(|source| FnError::Write { path: dir.to_owned(), source })?;
            compile(recipe, &one.file)?;
        }
        if event.is_none() {
            one.event = first(&one.file)?;
        }
        attached.push(one);
    }
    Ok(attached)
}

/// Compiles again what changed, on a thread that ends with the process.
pub fn rebuild(attached: Vec<Attached>) {
    let compiled: Vec<Attached> = attached.into_iter().filter(|one| one.recipe.is_some()).collect();
    if compiled.is_empty() {
        return;
    }
    let looked = |one: &Attached| Fingerprint::of(&sources(&one.source));
    let watch = move || {
        let mut seen: Vec<Fingerprint> = compiled.iter().map(looked).collect();
        loop {
            std::thread::park_timeout(EVERY);
            for (one, seen) in compiled.iter().zip(&mut seen) {
                let now = looked(one);
                let (true, Some(recipe)) = (now != *seen, &one.recipe) else { continue };
                *seen = now;
                let began = Instant::now();
                match compile(recipe, &one.file) {
                    Ok(()) => log::info!("{} is compiled, in {}", one.name, report::time(began.elapsed())),
                    Err(error) => log::error!("{}: {error}", one.name),
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("compile".to_owned()).spawn(watch) {
        log::error!("changed sources are not compiled: {error}");
    }
}

/// The file, and the event behind its last `@`.
fn split(text: &str) -> Result<(&Path, Option<Event>), FnError> {
    match text.rsplit_once('@') {
        Some((path, event)) if !Path::new(text).exists() => {
            Ok((Path::new(path), Some(event.parse().map_err(FnError::Usage)?)))
        }
        _ => Ok((Path::new(text), None)),
    }
}

/// The first event that a function handles; a script's is viewer-request.
fn first(file: &Path) -> Result<Event, FnError> {
    let wasm = file.extension().is_some_and(|extension| extension == "wasm" || extension == "wat");
    if !wasm {
        return Ok(Event::ViewerRequest);
    }
    let bytes = std::fs::read(file).map_err(|source| FnError::Read { path: file.to_owned(), source })?;
    let (_, shape) = component(&bytes).map_err(|error| FnError::engine(file, error))?;
    let first = Event::ALL.into_iter().find(|event| shape.exports(event.export()));
    Ok(first.unwrap_or(Event::ViewerRequest))
}

/// Renamed into place: the PoP loads no half of it.
fn compile(recipe: &Recipe, to: &Path) -> Result<(), FnError> {
    let failed = |source| FnError::Write { path: to.to_owned(), source };
    let bytes = recipe.build()?;
    let next = to.with_extension("next");
    std::fs::write(&next, bytes).and_then(|()| std::fs::rename(&next, to)).map_err(failed)
}

/// The files of a project: those beside a source, and below its directory.
fn sources(source: &Path) -> Vec<PathBuf> {
    let root = if source.is_dir() { source } else { source.parent().unwrap_or(source) };
    let (mut open, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) => {
                    open.push(entry.path());
                }
                Ok(kind) if kind.is_file() && files.len() < FILES_MAX => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_and_without_an_event() {
        for (text, path, event) in [
            ("a.js", "a.js", None),
            ("a.js@origin-response", "a.js", Some(Event::OriginResponse)),
            ("at@home/a.js@viewer-request", "at@home/a.js", Some(Event::ViewerRequest)),
        ] {
            assert_eq!(split(text).unwrap(), (Path::new(path), event), "{text}");
        }
        assert_eq!(split("a.js@noon").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn functions_of_one_name_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("twice.js");
        std::fs::write(&file, "").unwrap();
        let given = [format!("{}@viewer-request", file.display()), format!("{}@viewer-response", file.display())];
        let names: Vec<String> = attach(&given, dir.path()).unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["twice", "twice.1"]);
        assert_eq!(sources(&file), [std::fs::canonicalize(&file).unwrap()]);
    }
}
