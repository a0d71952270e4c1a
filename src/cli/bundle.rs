//! Bundle: the files that make up a revision.
//!
//! In: a configuration file or directory. Out: its files with their digests, once the configuration is right. Never: a file outside of the
//! directory, tables that belong to a node.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::run::told;
use crate::config::image::BESIDE;
use crate::config::{ADOPTS, Errors};
use crate::fleet::bus::Digest;
use crate::fleet::revision::{FILES_MAX, Item, is_within};
use crate::hooks::oci;

/// Tables that say who a node is and whom it trusts: no revision has them.
const OF_NODES: [&str; 3] = ["pop", "admin", "fleet"];

/// What is deployed.
#[derive(Debug)]
pub struct Bundle {
    /// In the order of their paths.
    pub files: Vec<(Item, Bytes)>,
    /// As `rimward check` names the configuration.
    pub digest: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{0}")]
    Config(String),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} does not end in .toml", .0.display())]
    Extension(PathBuf),
    #[error("{} is outside of {}: a revision has only what lies below its directory", file.display(), root.display())]
    Outside { file: PathBuf, root: PathBuf },
    #[error("[{table}] in {} belongs to each node's own file: leave it out of what is deployed", file.display())]
    OfNode { table: &'static str, file: PathBuf },
    #[error("{0} files are more than the {FILES_MAX} that a revision may have")]
    Many(usize),
}

// === impl Bundle ===
impl Bundle {
    /// Checks the configuration at `path`, a TOML file or a directory of them, and reads all that it refers to.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Read { path, source }
        };
        let directory = std::fs::metadata(path).map_err(unreadable(path))?.is_dir();
        if !directory && path.extension().is_none_or(|extension| extension != "toml") {
            return Err(BundleError::Extension(path.to_owned()));
        }
        let config = oci::load(&[path], told).map_err(|errors: Errors| BundleError::Config(errors.render(false)))?;
        let root = if directory { path } else { path.parent().unwrap_or(Path::new("")) };
        let root = plain(root).map_err(unreadable(root))?;
        let images = plain(&config.engine.images).map_err(unreadable(&config.engine.images))?;
        let mut files = std::collections::BTreeMap::new();
        for source in &config.sources {
            let file = plain(source).map_err(unreadable(source))?;
            let found = std::fs::metadata(&file).map_err(unreadable(&file))?;
            if found.is_dir() {
                continue;
            }
            let outside = || BundleError::Outside { file: source.clone(), root: root.clone() };
            // Images lie in the revision itself, so that no PoP asks a registry.
            let name = match file.strip_prefix(&images) {
                Ok(image) => Path::new(BESIDE).join(image),
                Err(_) => file.strip_prefix(&root).map_err(|_| outside())?.to_owned(),
            };
            let name = name.to_str().ok_or_else(outside)?.to_owned();
            if !is_within(&name) {
                return Err(outside());
            }
            let bytes = Bytes::from(std::fs::read(&file).map_err(unreadable(&file))?);
            if let (Some(table), false) = (of_node(&bytes), name.contains('/') || !name.ends_with(".toml")) {
                return Err(BundleError::OfNode { table, file: source.clone() });
            }
            let secret = found.permissions().mode() & 0o077 == 0;
            let digest = Digest::of(&bytes).to_string();
            let item = Item { path: name.clone(), digest, size: bytes.len() as u64, secret };
            files.insert(name, (item, bytes));
        }
        match files.len() > FILES_MAX {
            true => Err(BundleError::Many(files.len())),
            false => Ok(Bundle { files: files.into_values().collect(), digest: config.digest }),
        }
    }

    /// Has nodes take the revision in the place of what their own files have as well.
    pub fn adopt(&mut self) {
        let bytes = Bytes::from_static(b"This revision takes the place of what a node's own files have as well.\n");
        let (path, digest) = (ADOPTS.to_owned(), Digest::of(&bytes).to_string());
        let item = Item { path, digest, size: bytes.len() as u64, secret: false };
        self.files.retain(|(other, _)| other.path != item.path);
        let at = self.files.partition_point(|(other, _)| other.path < item.path);
        self.files.insert(at, (item, bytes));
    }
}

/// The first table of a text that belongs to a node.
fn of_node(text: &[u8]) -> Option<&'static str> {
    let table: toml::Table = std::str::from_utf8(text).ok()?.parse().ok()?;
    OF_NODES.into_iter().find(|name| table.contains_key(*name))
}

/// An absolute path without "." and "..", links not followed.
fn plain(path: &Path) -> std::io::Result<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "[[origin]]\nname = \"o\"\ngenerated = { body_file = \"pages/a.html\" }\n";

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn all_that_a_configuration_refers_to_is_in_it_and_nothing_else() {
        let dir = written(&[("site/edge.toml", SITE), ("site/pages/a.html", "hi"), ("site/notes.txt", "mine")]);
        for path in ["site", "site/edge.toml", "site/../site/."] {
            let bundle = Bundle::read(&dir.path().join(path)).unwrap();
            let names: Vec<_> = bundle.files.iter().map(|(item, _)| (item.path.as_str(), item.size)).collect();
            assert_eq!(names, [("edge.toml", SITE.len() as u64), ("pages/a.html", 2)], "{path}");
            assert_eq!(bundle.files[1].0.digest, Digest::of(b"hi").to_string());
        }
    }

    #[test]
    fn what_cannot_be_deployed_is_named() {
        for (files, path, says) in [
            (&[("edge.toml", "[[origin]]\nname = 1\n")][..], "edge.toml", "edge.toml:2:8"),
            (&[("edge.conf", SITE)], "edge.conf", "does not end in .toml"),
            (&[("a.toml", &*SITE.replace("pages", "../pages")), ("../pages/a.html", "")], "a.toml", "is outside of"),
            (&[("a.toml", &*format!("[pop]\ncode = \"FRA\"\n{SITE}")), ("pages/a.html", "")], "a.toml", "[pop] in"),
        ] {
            let inner: Vec<_> = files.iter().map(|(name, text)| (format!("site/{name}"), *text)).collect();
            let inner: Vec<_> = inner.iter().map(|(name, text)| (name.as_str(), *text)).collect();
            let dir = written(&inner);
            let error = Bundle::read(&dir.path().join("site").join(path)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
