//! Files: what a configuration refers to outside itself.
//!
//! In: paths and references ("env:NAME", "file:path"). Out: their bytes, checked certificates, what to watch. Never: a secret in
//! a message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::HeaderValue;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use xxhash_rust::xxh3::Xxh3;

use super::{Checked, Refused, Report, function};
use crate::config::compiled::is_typescript;
use crate::config::image::SCHEME;
use crate::config::secret::Secret;
use crate::config::source::{At, Sources};

/// Bytes of one file that the configuration refers to.
const MAX_FILE: u64 = 16 << 20;

/// Every file looked at, and what of them names the revision.
#[derive(Default)]
pub(super) struct Files {
    seen: Vec<PathBuf>,
    contents: Xxh3,
    /// What this process writes itself is no source of anything.
    state: Option<PathBuf>,
}

// === impl Files ===
impl Files {
    /// Every file read, in the order of reading, each once.
    pub(super) fn seen(&self) -> Vec<PathBuf> {
        let mut once = std::collections::HashSet::new();
        self.seen.iter().filter(|path| once.insert(path.as_path())).cloned().collect()
    }

    /// Names the revision: the texts and the contents served from files, secrets and keys left out.
    pub(super) fn digest(&self, sources: &Sources) -> String {
        let mut hash = self.contents.clone();
        for file in sources.files() {
            hash.update(&(file.text.len() as u64).to_be_bytes());
            hash.update(file.text.as_bytes());
        }
        let mut digest = format!("{:032x}", hash.digest128());
        digest.truncate(12);
        digest
    }

    /// A file that is not read here: its place, size and time stand for what is in it.
    fn note(&mut self, path: &Path, found: &std::fs::Metadata) {
        self.seen.push(path.to_owned());
        self.contents.update(path.as_os_str().as_encoded_bytes());
        self.contents.update(&found.len().to_be_bytes());
        let changed = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        self.contents.update(&changed.unwrap_or_default().as_nanos().to_be_bytes());
    }

    /// The same for `files` of a directory; one more in it is a reason to look again.
    pub(super) fn note_all(&mut self, dir: &Path, files: &[PathBuf]) {
        self.seen.push(dir.to_owned());
        for file in files {
            if let Ok(found) = std::fs::metadata(file) {
                self.note(file, &found);
            }
        }
    }

    /// Says where this process keeps its state.
    pub(super) fn keep_out_of(&mut self, state: &Path) {
        self.state = Some(state.to_owned());
    }

    /// A file that the texts name by its digest.
    pub(super) fn found(&mut self, path: &Path) {
        self.seen.push(path.to_owned());
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.seen.push(path.to_owned());
        let says = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        // Asked before opening: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(says)?.is_file() {
            return Err(format!("cannot read {}: not a file", path.display()));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(says)?;
        match bytes.len() as u64 > MAX_FILE {
            true => Err(format!("{} has more than {} MiB", path.display(), MAX_FILE >> 20)),
            false => Ok(bytes),
        }
    }
}

// === impl Report: files ===
impl Report<'_> {
    /// `path`, written at `at`: it starts where the text lies that has it.
    pub(super) fn path(&self, at: &At, path: &str) -> PathBuf {
        self.sources.base(at).join(path)
    }

    /// A file whose contents are served: its bytes and its type by extension.
    pub(super) fn content(&mut self, at: &At, path: &str) -> Checked<(Bytes, HeaderValue)> {
        let path = self.path(at, path);
        let bytes = self.files.read(&path).map_err(|message| self.refuse(at, message))?;
        self.files.contents.update(&(bytes.len() as u64).to_be_bytes());
        self.files.contents.update(&bytes);
        Ok((bytes.into(), HeaderValue::from_static(content_type(&path))))
    }

    /// A file that something else reads: it is there, and a change of it is a reason to reload.
    pub(super) fn watched(&mut self, at: &At, path: &str) -> Checked<PathBuf> {
        let path = self.path(at, path);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                self.files.note(&path, &found);
                Ok(path)
            }
            Ok(_) => Err(self.refuse(at, format!("{} is not a file", path.display()))),
            Err(error) => Err(self.refuse(at, format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// A function's file, the directory that holds its files, or its image in a registry.
    pub(super) fn function_file(&mut self, at: &At, path: &str) -> Checked<PathBuf> {
        if path.starts_with(SCHEME) {
            return self.image(at, path);
        }
        let resolved = self.path(at, path);
        if !resolved.is_dir() {
            let file = self.watched(at, path)?;
            if is_typescript(&file) {
                self.beside(&file);
            }
            return Ok(file);
        }
        if !["package.json", "index.js"].iter().any(|entry| resolved.join(entry).is_file()) {
            let help = "name the file itself, or a directory with a package.json or an index.js";
            let message = format!("{} has no package.json and no index.js", resolved.display());
            return Err(self.refuse_with(at, message, help));
        }
        self.package(at, path)
    }

    /// What a TypeScript file may import, which its bundle would hold unseen.
    fn beside(&mut self, file: &Path) {
        for source in function::scripts_beside(file, self.files.state.as_deref()) {
            if source != file
                && let Ok(found) = std::fs::metadata(&source)
            {
                self.files.note(&source, &found);
            }
        }
    }

    /// A directory, every file of which is watched, or a file.
    pub(super) fn package(&mut self, at: &At, path: &str) -> Checked<PathBuf> {
        let resolved = self.path(at, path);
        if !resolved.is_dir() {
            return self.watched(at, path);
        }
        match function::files_below(&resolved) {
            Ok(Some(files)) => {
                for file in files {
                    if let Ok(found) = std::fs::metadata(&file) {
                        self.files.note(&file, &found);
                    }
                }
                Ok(resolved)
            }
            Ok(None) => Err(self.refuse(at, format!("{} holds too many files", resolved.display()))),
            Err(error) => Err(self.refuse(at, format!("cannot read {}: {error}", resolved.display()))),
        }
    }

    /// A PEM file with at least one certificate.
    pub(super) fn certificates(&mut self, at: &At, path: &str) -> Checked<PathBuf> {
        let path = self.path(at, path);
        let bytes = self.files.read(&path).map_err(|message| self.refuse(at, message))?;
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match parsed {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.refuse(at, format!("no certificate in {}", path.display())))
            }
            Ok(_) => Ok(path),
            Err(error) => Err(self.refuse(at, format!("no PEM certificates in {}: {error}", path.display()))),
        }
    }

    /// A PEM file with a private key. Its text is in no message.
    pub(super) fn private_key(&mut self, at: &At, path: &str) -> Checked<PathBuf> {
        let path = self.path(at, path);
        let bytes = self.files.read(&path).map_err(|message| self.refuse(at, message))?;
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(_) => Ok(path),
            Err(_) => Err(self.refuse(at, format!("no PEM private key in {}", path.display()))),
        }
    }

    /// A value that must be a reference: a secret written in the file itself is refused.
    pub(super) fn secret(&mut self, at: &At, text: &str) -> Checked<Secret<String>> {
        match self.reference(at, text)? {
            Some(value) if value.is_empty() => Err(self.refuse(at, "the secret is empty")),
            Some(value) => Ok(Secret::new(value)),
            None => Err(self.refuse_hidden(
                at,
                "a secret is never written in the configuration itself",
                "write \"env:NAME\" or \"file:path\", and put the secret there",
            )),
        }
    }

    /// A value that may be a reference.
    pub(super) fn maybe_secret(&mut self, at: &At, text: &str) -> Checked<Secret<String>> {
        Ok(Secret::new(self.reference(at, text)?.unwrap_or_else(|| text.to_owned())))
    }

    /// What "env:NAME" or "file:path" stands for; `None` = it is no reference.
    pub(super) fn reference(&mut self, at: &At, text: &str) -> Checked<Option<String>> {
        if let Some(name) = text.strip_prefix("env:") {
            return match lookup(name) {
                Some(value) => Ok(Some(value)),
                None => Err(self.refuse(at, format!("the environment has no text variable '{name}'"))),
            };
        }
        let Some(path) = text.strip_prefix("file:") else { return Ok(None) };
        let path = self.path(at, path);
        let bytes = self.files.read(&path).map_err(|message| self.refuse(at, message))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| -> Refused { self.refuse(at, format!("{} is not UTF-8 text", path.display())) })?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// An environment variable; names the system could not have ("", "a=b", NUL) are simply not there.
fn lookup(name: &str) -> Option<String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok()
}

/// Media type of a file that is served, by its extension.
fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
