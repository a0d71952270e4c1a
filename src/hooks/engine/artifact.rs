//! Artifact: compiled functions on disk.
//!
//! In: a component. Out: its machine code, from the directory when this engine wrote it there before. Never: code that this
//! engine's key does not vouch for; a forged, damaged or foreign file is compiled anew.
#![allow(unsafe_code)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac, rand};
use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::EngineError;

/// Bytes of all artifacts; beyond it the ones that were not loaded for longest go.
const BYTES_MAX: u64 = 2 << 30;
/// Bytes of the key and of the digest.
const KEY: usize = 32;
/// Nice value of the threads that compile: they run when nothing else wants to.
const NICE: i32 = 19;
const EXTENSION: &str = "cwasm";
/// How the names begin of files that are being written.
const UNFINISHED: &str = ".writing-";
/// What is being written for longer than this, nobody writes any more.
const WRITING_MAX: Duration = Duration::from_secs(3600);

/// The directory.
pub struct Artifacts {
    dir: PathBuf,
    key: hmac::Key,
    compilers: OnceLock<Result<ThreadPool, String>>,
    /// Nobody is served yet: compiling is all there is to do.
    hurried: AtomicBool,
}

/// What is compiled: a component or a module.
pub trait Code: Sized {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>>;

    /// # Safety
    /// The file has what `compile` of this engine gave, and nobody changes it.
    unsafe fn mapped(engine: &Engine, path: &Path) -> wasmtime::Result<Self>;

    /// # Safety
    /// `code` is what `compile` of this engine gave.
    unsafe fn copied(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self>;
}

macro_rules! code {
    ($what:ty, $compile:ident) => {
        impl Code for $what {
            fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
                engine.$compile(wasm)
            }

            unsafe fn mapped(engine: &Engine, path: &Path) -> wasmtime::Result<Self> {
                // SAFETY: the caller's.
                unsafe { <$what>::deserialize_file(engine, path) }
            }

            unsafe fn copied(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the caller's.
                unsafe { <$what>::deserialize(engine, code) }
            }
        }
    };
}

code!(Component, precompile_component);
code!(Module, precompile_module);

// === impl Artifacts ===
impl Artifacts {
    /// Opens or makes the directory, readable by this user only, and its key.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let failed = |source| EngineError::Artifacts { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)?;
        let key = key(&dir.join("key")).map_err(failed)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Artifacts { dir: dir.to_owned(), key, compilers: OnceLock::new(), hurried: AtomicBool::new(false) })
    }

    /// Whether what is compiled from now on has the priority of requests.
    pub fn hurry(&self, hurried: bool) {
        self.hurried.store(hurried, Ordering::Relaxed);
    }

    /// The code of a component or module: loaded, or compiled, on threads that leave the machine to others unless it hurries. Blocks.
    pub fn code<C: Code>(&self, engine: &Engine, wasm: &[u8]) -> Result<C, EngineError> {
        let name = name(engine, wasm);
        let path = self.dir.join(&name);
        if let Some(code) = self.load(engine, &name, &path) {
            return Ok(code);
        }
        let failed = |error: wasmtime::Error| EngineError::Compile(format!("{error:#}"));
        let compiled = if self.hurried.load(Ordering::Relaxed) {
            C::compile(engine, wasm)
        } else {
            let compilers = self.compilers.get_or_init(compilers);
            let compilers = compilers.as_ref().map_err(|error| EngineError::Start(error.clone()))?;
            compilers.install(|| C::compile(engine, wasm))
        };
        let compiled = compiled.map_err(failed)?;
        match self.save(&name, &path, &compiled) {
            // Mapped from the file, so that its pages are the page cache's.
            Ok(()) => self.load(engine, &name, &path),
            Err(error) => {
                log::warn!("compiled function not kept in {}: {error}", self.dir.display());
                None
            }
        }
        // SAFETY: this process compiled these bytes just now.
        .map_or_else(|| unsafe { C::copied(engine, &compiled) }.map_err(failed), Ok)
    }

    /// `None`: not there, or not ours.
    fn load<C: Code>(&self, engine: &Engine, name: &str, path: &Path) -> Option<C> {
        let file = File::open(path).ok()?;
        if !self.vouched(name, &file).ok()? {
            log::warn!("{}: not written by this engine, or damaged; the function is compiled again", path.display());
            return None;
        }
        // Said to be used: the oldest go first.
        let _ = file.set_modified(SystemTime::now());
        // SAFETY: the key vouches that this engine wrote the file's bytes for this wasm and this configuration; only this user can
        // write to the directory, and artifacts are replaced by renaming, never changed in place.
        let code = unsafe { C::mapped(engine, path) };
        code.inspect_err(|error| log::warn!("{}: {error:#}; compiled again", path.display())).ok()
    }

    /// Whether the digest at the file's end is ours.
    fn vouched(&self, name: &str, mut file: &File) -> io::Result<bool> {
        let length = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        let Some((code, tag)) = bytes.split_last_chunk::<KEY>() else { return Ok(false) };
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name.as_bytes());
        context.update(code);
        Ok(aws_lc_rs::constant_time::verify_slices_are_equal(context.sign().as_ref(), tag).is_ok())
    }

    /// On disk whole or not at all.
    fn save(&self, name: &str, path: &Path, code: &[u8]) -> io::Result<()> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name.as_bytes());
        context.update(code);
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.dir)?;
        file.write_all(code)?;
        file.write_all(context.sign().as_ref())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(&self.dir)?.sync_all()?;
        self.shrink(BYTES_MAX)
    }

    /// Drops the artifacts that were not used for longest, and what a process left that died while it wrote one. A function that runs
    /// from an artifact keeps its mapping.
    fn shrink(&self, bytes_max: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                let about = entry.metadata()?;
                files.push((about.modified()?, about.len(), entry.path()));
            } else if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                if age > WRITING_MAX {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= bytes_max {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
    }
}

/// The directory's key; made when there is none.
fn key(path: &Path) -> io::Result<[u8; KEY]> {
    let mut key = [0; KEY];
    match File::open(path) {
        Ok(mut file) => {
            if file.metadata()?.permissions().mode() & 0o077 == 0 && file.read_exact(&mut key).is_ok() {
                return Ok(key);
            }
            fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    rand::fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

fn name(engine: &Engine, wasm: &[u8]) -> String {
    use std::hash::{Hash, Hasher};
    let mut compatible = xxhash_rust::xxh3::Xxh3Default::new();
    engine.precompile_compatibility_hash().hash(&mut compatible);
    format!(
        "{}-{:016x}.{EXTENSION}",
        crate::crypto::hex(digest::digest(&digest::SHA256, wasm).as_ref()),
        compatible.finish()
    )
}

fn compilers() -> Result<ThreadPool, String> {
    let built = ThreadPoolBuilder::new()
        .thread_name(|n| format!("functions-compile-{n}"))
        // SAFETY: a system call on plain numbers; on Linux it is about the calling thread only. A refusal only costs politeness.
        .start_handler(|_| unsafe {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
        })
        .build();
    built.map_err(|error| format!("cannot start compiler threads: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_and_what_nobody_finished() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let put = |name: &str, hours: u64| {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours + 60)).unwrap();
        };
        for (name, hours) in
            [("new.cwasm", 0), ("old.cwasm", 3), ("older.cwasm", 4), (".writing-a", 2), (".writing-b", 0)]
        {
            put(name, hours);
        }
        let there = || {
            let names =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        };
        artifacts.shrink(300).unwrap();
        assert_eq!(there(), [".writing-b", "key", "new.cwasm", "old.cwasm", "older.cwasm"]);
        artifacts.shrink(299).unwrap();
        assert_eq!(there(), [".writing-b", "key", "new.cwasm", "old.cwasm"]);
        artifacts.shrink(0).unwrap();
        assert_eq!(there(), [".writing-b", "key"]);
    }
}
