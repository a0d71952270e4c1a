//! Code: packages, checked and unpacked.
//!
//! In: a zip file, or a directory of the operator. Out: a directory to run in, and what its bytes are called. Never: a file
//! outside its directory, more bytes than allowed, a link.
//!
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zip::ZipArchive;
use zip::result::ZipError;

/// Entries of one package; more than 250 MB of any sensible code has.
const ENTRIES: usize = 100_000;
/// Bytes of one read.
const READ: usize = 64 << 10;

/// A package that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) struct Code {
    /// Base64.
    pub sha256: String,
    /// Bytes of the package.
    pub size: u64,
    pub directory: PathBuf,
}

/// Why a package was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::lambda) enum CodeError {
    #[error("Could not unzip uploaded file. Please check your file, then try to upload again.")]
    NoZip,
    #[error("Unzipped size must be smaller than {0} bytes")]
    Unpacked(u64),
    #[error("Zipped size must be smaller than {0} bytes")]
    Packed(u64),
    #[error("The package has more than {ENTRIES} entries")]
    Entries,
    #[error("The package has an entry that is not allowed: {0:?}")]
    Entry(String),
    #[error("cannot keep code at {}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
}

// === impl Code ===
impl Code {
    /// Unpacks `zip` below `root`, where it is found again by its digest. Durable when it returns.
    pub(in crate::lambda) fn unpack<R: Read + Seek>(
        mut zip: R,
        root: &Path,
        (packed, unpacked): (u64, u64),
    ) -> Result<Self, CodeError> {
        let disk = |source| CodeError::Disk { path: root.to_owned(), source };
        zip.rewind().map_err(disk)?;
        let (sha256, size) = digest(&mut zip, packed).map_err(disk)?.ok_or(CodeError::Packed(packed))?;
        let directory = super::directory(root, &sha256);
        if directory.is_dir() {
            return Ok(Code { sha256, size, directory });
        }
        zip.rewind().map_err(disk)?;
        let fresh = tempfile::Builder::new().prefix("new").tempdir_in(root).map_err(disk)?;
        extract(zip, fresh.path(), unpacked)?;
        // All of it, then its name: a name that is there stands for a whole package.
        File::open(root).and_then(|root| nix::unistd::syncfs(&root).map_err(io::Error::from)).map_err(disk)?;
        match fs::rename(fresh.path(), &directory) {
            Ok(()) => drop(fresh.keep()),
            // Another upload of the same bytes was faster.
            Err(_) if directory.is_dir() => {}
            Err(source) => return Err(disk(source)),
        }
        File::open(root).and_then(|root| root.sync_all()).map_err(disk)?;
        Ok(Code { sha256, size, directory })
    }

    /// A directory that is run where it is. Its digest covers names, contents and what is executable; `__pycache__` is left out,
    /// because interpreters write it.
    pub(in crate::lambda) fn directory(path: &Path, most: u64) -> Result<Self, CodeError> {
        let disk = |source| CodeError::Disk { path: path.to_owned(), source };
        let files = files_below(path).map_err(disk)?.ok_or(CodeError::Entries)?;
        let mut all = Context::new(&SHA256);
        let mut size = 0;
        for file in files {
            let name = file.strip_prefix(path).unwrap_or(&file).as_os_str().as_encoded_bytes().to_owned();
            let opened = File::open(&file).map_err(disk)?;
            let executable =
                std::os::unix::fs::PermissionsExt::mode(&opened.metadata().map_err(disk)?.permissions()) & 0o111;
            let (sha256, bytes) = digest(opened, u64::MAX).map_err(disk)?.ok_or(CodeError::Entries)?;
            size += bytes;
            if size > most {
                return Err(CodeError::Unpacked(most));
            }
            all.update(&(name.len() as u64).to_be_bytes());
            all.update(&name);
            all.update(&executable.to_be_bytes());
            all.update(sha256.as_bytes());
        }
        Ok(Code { sha256: STANDARD.encode(all.finish()), size, directory: path.to_owned() })
    }
}

/// SHA-256 (base64) and size; `None` = more than `most` bytes.
fn digest(mut from: impl Read, most: u64) -> io::Result<Option<(String, u64)>> {
    let mut hash = Context::new(&SHA256);
    let mut bytes = vec![0; READ];
    let mut size = 0;
    loop {
        let n = from.read(&mut bytes)?;
        if n == 0 {
            return Ok(Some((STANDARD.encode(hash.finish()), size)));
        }
        size += n as u64;
        if size > most {
            return Ok(None);
        }
        hash.update(bytes.get(..n).unwrap_or_default());
    }
}

/// Every file, in order of names; `None` = too many.
fn files_below(path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let mut open = vec![path.to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != "__pycache__" {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
            if files.len() + open.len() > ENTRIES {
                return Ok(None);
            }
        }
    }
    files.sort();
    Ok(Some(files))
}

fn extract<R: Read + Seek>(zip: R, into: &Path, most: u64) -> Result<(), CodeError> {
    let mut archive = ZipArchive::new(zip).map_err(|_| CodeError::NoZip)?;
    if archive.len() > ENTRIES {
        return Err(CodeError::Entries);
    }
    // What is counted is what comes out: a header can say anything.
    let mut left = most;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(|_| CodeError::NoZip)?;
        let refuse = |name: &str| CodeError::Entry(name.chars().take(256).collect());
        if entry.is_symlink() {
            return Err(refuse(entry.name()));
        }
        let name = entry.enclosed_name().ok_or_else(|| refuse(entry.name()))?;
        let path = into.join(&name);
        let disk = |source| CodeError::Disk { path: path.clone(), source };
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(disk)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(disk)?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o755 | 0o600;
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(refuse(entry.name())),
            Err(source) => return Err(disk(source)),
        };
        copy(&mut entry, &mut file, &mut left).map_err(|stopped| match stopped {
            Stopped::Full => CodeError::Unpacked(most),
            Stopped::Damaged => CodeError::NoZip,
            Stopped::Disk(source) => disk(source),
        })?;
    }
    Ok(())
}

enum Stopped {
    Full,
    Damaged,
    Disk(io::Error),
}

fn copy(from: &mut impl Read, to: &mut File, left: &mut u64) -> Result<(), Stopped> {
    let mut bytes = vec![0; READ];
    loop {
        // The checksum is checked at the end.
        let n = from.read(&mut bytes).map_err(|_| Stopped::Damaged)?;
        if n == 0 {
            return Ok(());
        }
        *left = left.checked_sub(n as u64).ok_or(Stopped::Full)?;
        to.write_all(bytes.get(..n).unwrap_or_default()).map_err(Stopped::Disk)?;
    }
}

impl From<ZipError> for CodeError {
    fn from(_: ZipError) -> Self {
        CodeError::NoZip
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zip::write::SimpleFileOptions;

    use super::*;

    const LIMITS: (u64, u64) = (1 << 20, 4 << 20);

    fn zip(entries: &[(&str, &[u8])]) -> Cursor<Vec<u8>> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_package_is_unpacked_once() {
        let root = tempfile::TempDir::new().unwrap();
        let package = zip(&[("app.py", b"x = 1"), ("lib/a.py", b""), ("bootstrap", b"#!/bin/sh")]);
        let code = Code::unpack(package.clone(), root.path(), LIMITS).unwrap();
        assert_eq!(code.size, package.get_ref().len() as u64);
        assert_eq!(code.sha256, STANDARD.encode(aws_lc_rs::digest::digest(&SHA256, package.get_ref())));
        assert_eq!(fs::read(code.directory.join("app.py")).unwrap(), b"x = 1");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(code.directory.join("bootstrap")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(Code::unpack(package, root.path(), LIMITS).unwrap(), code);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_is_no_package_leaves_nothing() {
        let link = {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
            writer.finish().unwrap()
        };
        let mut damaged = zip(&[("a", &[7; 4000])]);
        let at = damaged.get_ref().len() / 3;
        damaged.get_mut()[at] ^= 0xff;
        for (what, package, want) in [
            ("no zip", Cursor::new(b"hello".to_vec()), "Could not unzip"),
            ("empty", Cursor::new(Vec::new()), "Could not unzip"),
            ("upwards", zip(&[("../x", b"")]), "not allowed"),
            ("absolute", zip(&[("/etc/x", b"")]), "not allowed"),
            ("a link", link, "not allowed"),
            ("a bomb", zip(&[("a", &vec![0; 5 << 20])]), "Unzipped size"),
            ("a damaged one", damaged, "Could not unzip"),
        ] {
            let root = tempfile::TempDir::new().unwrap();
            let error = Code::unpack(package, root.path(), LIMITS).unwrap_err();
            assert!(error.to_string().contains(want), "{what}: {error}");
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "{what}");
        }
        let root = tempfile::TempDir::new().unwrap();
        let large = zip(&[("a", b"0123456789")]);
        assert!(matches!(Code::unpack(large, root.path(), (10, 10)), Err(CodeError::Packed(10))));
    }

    #[test]
    fn a_directorys_digest_is_its_contents() {
        let root = tempfile::TempDir::new().unwrap();
        let digest = || Code::directory(root.path(), 100).unwrap().sha256;
        fs::write(root.path().join("a.py"), "1").unwrap();
        let first = digest();
        fs::create_dir(root.path().join("__pycache__")).unwrap();
        fs::write(root.path().join("__pycache__/a.pyc"), "1").unwrap();
        assert_eq!(digest(), first);
        fs::write(root.path().join("a.py"), "2").unwrap();
        assert_ne!(digest(), first);
        fs::write(root.path().join("a.py"), "1").unwrap();
        assert_eq!(digest(), first);
        fs::write(root.path().join("b.py"), [0; 200]).unwrap();
        assert!(matches!(Code::directory(root.path(), 100), Err(CodeError::Unpacked(100))));
    }
}
