//! Kept: JavaScript functions that were built before.
//!
//! In: what a function is built from. Out: what was built of it, if that is still there and whole. Never: code that the engine trusts:
//! it is a component like any other, validated and compiled when it is loaded.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize};

use super::Built;
use crate::config::compiled::Flavor;
use crate::crypto;
use crate::hooks::failure::Api;

/// Bytes of all files; beyond it those that were not used for longest go.
const BYTES_MAX: u64 = 256 << 20;
/// Bytes of the digest at a file's beginning, and of the length of what follows it.
const DIGEST: usize = 32;
const LENGTH: usize = 4;
const EXTENSION: &str = "built";

/// The directory.
#[derive(Debug)]
pub struct Kept {
    dir: PathBuf,
}

/// How long a build is kept: its top level may have read the clock.
const AGE_S: u64 = 30 * 86_400;

/// What stands before the component.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Seconds since the epoch.
    built_s: u64,
    cloudfront: bool,
    deferred: Option<String>,
    logs: Vec<String>,
}

/// Names what is built of a bundle and its map for this configuration, by this version with this engine.
pub fn name(engine: &str, flavor: Flavor, bundle: &[u8], lines: &[u8], config: Option<&str>) -> String {
    let mut context = Context::new(&SHA256);
    let (version, flavor) = (env!("CARGO_PKG_VERSION").as_bytes(), format!("{flavor:?}"));
    let config = config.unwrap_or_default().as_bytes();
    for part in [version, engine.as_bytes(), flavor.as_bytes(), bundle, lines, config] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    format!("{}.{EXTENSION}", crypto::hex(context.finish().as_ref()))
}

// === impl Kept ===
impl Kept {
    pub fn new(dir: PathBuf) -> Self {
        Kept { dir }
    }

    pub fn find(&self, name: &str) -> Option<Built> {
        let path = self.dir.join(name);
        let found = read(name, &fs::read(&path).ok()?)?;
        // Said to be used: the oldest go first.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(found)
    }

    /// Keeps it if it can; what cannot be kept is built again.
    pub fn put(&self, name: &str, built: &Built) {
        if let Err(error) = self.write(name, built).and_then(|()| self.make_room()) {
            log::warn!("a built function is not kept in {}: {error}", self.dir.display());
        }
    }

    fn write(&self, name: &str, built: &Built) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let head = Head {
            built_s: now_s(),
            cloudfront: built.api == Api::CloudFront,
            deferred: built.deferred.clone(),
            logs: built.logs.clone(),
        };
        let head = serde_json::to_vec(&head)?;
        let length = u32::try_from(head.len()).map_err(io::Error::other)?.to_be_bytes();
        let content = [&length[..], &head, &built.component].concat();
        let fresh = self.dir.join(format!("{name}.{}", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(sum(name, &content).as_ref())?;
        file.write_all(&content)?;
        fs::rename(&fresh, self.dir.join(name))
    }

    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let ours = |path: &Path| path.extension().is_some_and(|extension| extension == EXTENSION);
            if let (true, Ok(about)) = (ours(&entry.path()), entry.metadata()) {
                files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Of what is kept under this name: elsewhere it is damaged.
fn sum(name: &str, content: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(name.as_bytes());
    context.update(content);
    context.finish()
}

/// `None`: damaged, too old, or not ours.
fn read(name: &str, file: &[u8]) -> Option<Built> {
    let (said, content) = file.split_at_checked(DIGEST)?;
    if sum(name, content).as_ref() != said {
        return None;
    }
    let (length, rest) = content.split_at_checked(LENGTH)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    let (head, component) = rest.split_at_checked(length)?;
    let Head { built_s, cloudfront, deferred, logs } = serde_json::from_slice(head).ok()?;
    if now_s().saturating_sub(built_s) > AGE_S {
        return None;
    }
    let api = if cloudfront { Api::CloudFront } else { Api::LambdaEdge };
    Some(Built { component: component.to_vec(), api, deferred, logs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("built"));
        let name = name("engine", Flavor::Auto, b"source", b"", None);
        assert!(kept.find(&name).is_none());
        let logs = vec!["{}".to_owned()];
        kept.put(
            &name,
            &Built { component: b"\0asm".to_vec(), api: Api::CloudFront, deferred: Some("fetch".into()), logs },
        );
        let found = kept.find(&name).unwrap();
        assert_eq!(
            (found.component.as_slice(), found.api, found.deferred.as_deref()),
            (&b"\0asm"[..], Api::CloudFront, Some("fetch"))
        );
        assert_eq!(found.logs, ["{}"]);
        let path = dir.path().join("built").join(&name);
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..10], &[], &[&whole[..], b"x"].concat()] {
            std::fs::write(&path, damaged).unwrap();
            assert!(kept.find(&name).is_none());
        }
        let other = self::name("engine", Flavor::Auto, b"another source", b"", None);
        std::fs::write(path.with_file_name(&other), &whole).unwrap();
        assert!(kept.find(&other).is_none(), "it was built of another source");
    }

    #[test]
    fn other_sources_maps_engines_and_flavors_have_other_names() {
        let names = [
            name("engine", Flavor::Auto, b"source", b"", None),
            name("engine", Flavor::Auto, b"source2", b"", None),
            name("engine", Flavor::Auto, b"source", b"2", None),
            name("engine2", Flavor::Auto, b"source", b"", None),
            name("engine", Flavor::Auto, b"source", b"", Some("{}")),
            name("engine", Flavor::LambdaEdge, b"source", b"", None),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
