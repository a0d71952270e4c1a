//! Oci: functions that lie in a registry.
//!
//! In: the places of configurations. Out: the configuration, with what it names pulled and kept by digest. Never: a registry asked for what is
//! here, bytes kept that are not what their digests say.

mod challenge;
mod pull;

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::host::fetch::Fetcher;
use crate::config::compiled::Config;
use crate::config::image::Wanted;
use crate::config::{self, Diagnostic, Errors};
use pull::PullError;

/// How long one image may take.
const PULL_TIMEOUT: Duration = Duration::from_secs(120);
/// Images that are kept although the configuration names them no more: to go back without a registry.
const KEPT_MAX: usize = 64;

/// Reads a configuration as [`config::load_together`] does. Images that it names and that are not here are pulled first; `say` hears of each.
/// Blocks.
pub fn load(roots: &[&Path], say: impl Fn(&str) + Sync) -> Result<Config, Errors> {
    let errors = match config::load_together(roots) {
        Err(errors) if !errors.wanted().is_empty() => errors,
        loaded => return loaded,
    };
    pull_all(errors.wanted(), &say).map_err(Errors::of)?;
    let config = config::load_together(roots)?;
    sweep(&config);
    Ok(config)
}

/// `Err`: what could not be pulled, where it is named.
fn pull_all(wanted: &[Wanted], say: &(dyn Fn(&str) + Sync)) -> Result<(), Vec<Diagnostic>> {
    let mut each: BTreeMap<&Path, Vec<&Wanted>> = BTreeMap::new();
    let mut once = HashSet::new();
    for wanted in wanted.iter().filter(|wanted| once.insert(&wanted.image.digest)) {
        each.entry(&wanted.dir).or_default().push(wanted);
    }
    // A runtime of its own: whoever calls may have one that must not be blocked, or none.
    let work = || -> Result<Vec<Diagnostic>, PullError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| PullError::Disk(error.to_string()))?;
        let fetcher = {
            let _within = runtime.enter();
            Fetcher::new().map_err(|error| PullError::Failed(error.to_string()))?
        };
        let mut wrong = Vec::new();
        for wanted in each.values().flatten() {
            say(&format!("pulling {} …", wanted.image));
            let pulled = runtime.block_on(async {
                let timely = tokio::time::timeout(PULL_TIMEOUT, pull::pull(&fetcher, wanted, PULL_TIMEOUT)).await;
                timely.unwrap_or(Err(PullError::Slow(PULL_TIMEOUT)))
            });
            match pulled.and_then(|files| keep(wanted, files)) {
                Ok(size) => say(&format!("pulled {}: {size} bytes", wanted.image)),
                Err(error) => {
                    let message = format!("cannot pull {}: {error}", wanted.image);
                    wrong.push(Diagnostic { message, help: error.help(wanted), ..wanted.place.clone() });
                }
            }
        }
        Ok(wrong)
    };
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    let failed = |why: String| wanted.iter().map(|w| Diagnostic { message: why.clone(), ..w.place.clone() }).collect();
    match done {
        Ok(Ok(wrong)) if wrong.is_empty() => Ok(()),
        Ok(Ok(wrong)) => Err(wrong),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the images could not be pulled".to_owned())),
    }
}

/// Puts manifest and component where they are looked for; the component's size.
fn keep(wanted: &Wanted, files: [Bytes; 2]) -> Result<usize, PullError> {
    let disk = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| PullError::Disk(format!("cannot write {path}: {error}"))
    };
    std::fs::create_dir_all(&wanted.dir).map_err(disk(&wanted.dir))?;
    for (path, bytes) in wanted.image.files(&wanted.dir).iter().zip(&files) {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&wanted.dir)?;
            file.write_all(bytes)?;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(std::io::Error::from)
        };
        write().map_err(disk(path))?;
    }
    Ok(files[1].len())
}

/// Removes the oldest images that are not named; what cannot be removed stays.
fn sweep(config: &Config) {
    let entries = std::fs::read_dir(&config.engine.images).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
    for path in too_many(found.collect(), &config.sources) {
        if let Err(error) = std::fs::remove_file(&path) {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Files beyond what is kept, the oldest; each image has two.
fn too_many(mut found: Vec<(SystemTime, PathBuf)>, named: &[PathBuf]) -> Vec<PathBuf> {
    found.retain(|(_, path)| !named.contains(path));
    found.sort_unstable();
    let beyond = found.len().saturating_sub(2 * KEPT_MAX);
    found.into_iter().take(beyond).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_nobody_names_go() {
        let at = |n: usize| SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
        let path = |n: usize| PathBuf::from(format!("{n:03}"));
        let found: Vec<_> = (0..2 * KEPT_MAX + 3).map(|n| (at(n), path(n))).collect();
        assert_eq!(too_many(found.clone(), &[path(0), path(1)]), [path(2)]);
        assert_eq!(too_many(found.clone(), &[path(9)]), [path(0), path(1)]);
        assert!(too_many(found[..2 * KEPT_MAX].to_vec(), &[]).is_empty());
    }
}
