//! Registry: which functions there are.
//!
//! In: the configuration's functions, changes through the API. Out: what a name and a qualifier stand for. Never: a change that
//! is seen before it is durable.

mod code;
mod configured;
mod model;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

pub(super) use code::{Code, CodeError};
pub(super) use configured::{architecture, configured};
pub(super) use model::{Alias, EventConfig, Function, Revision, UrlConfig};
pub(super) use store::{EventChange, Store};

use super::fault::Fault;
use super::name::{LATEST, Owner};
use super::run::Version;
use crate::config::compiled::LambdaRuntime;
use crate::config::secret::Secret;

/// A function as it can be found and run.
#[derive(Debug)]
pub(super) struct Entry {
    pub function: Function,
    /// Of the configuration: the API shows it and changes nothing.
    pub configured: bool,
    /// By `$LATEST` or number.
    runnable: HashMap<String, Arc<Version>>,
}

/// What a caller named.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub entry: Arc<Entry>,
    pub version: Arc<Version>,
    /// With the qualifier that was asked for.
    pub arn: String,
}

/// Every function, by name.
#[derive(Debug, Default)]
pub(super) struct Registry {
    known: ArcSwap<BTreeMap<String, Arc<Entry>>>,
}

// === impl Entry ===
impl Entry {
    /// A function that the API made: its code lies below `code`.
    pub(super) fn made(function: Function, owner: &Owner<'_>, code: &Path) -> Self {
        let runnable = function.revisions().filter_map(|(version, revision)| {
            let environment =
                revision.environment.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
            let version = Version {
                name: function.name.clone(),
                version,
                arn: owner.arn(&function.name, None),
                runtime: LambdaRuntime::parse(&revision.runtime)?,
                handler: revision.handler.clone(),
                code: directory(code, &revision.code_sha256),
                code_sha256: revision.code_sha256.clone(),
                command: Vec::new(),
                memory: revision.memory,
                timeout: revision.timeout(),
                environment,
            };
            Some((version.version.clone(), Arc::new(version)))
        });
        let runnable = runnable.collect();
        Entry { function, configured: false, runnable }
    }

    /// Where its code lies.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.runnable.values().map(|version| version.code.as_path())
    }

    /// The version that a qualifier stands for now; `dice`, from 0 to below 1, decides between those of an alias.
    pub(super) fn resolve(&self, qualifier: &str, dice: f64) -> Option<Arc<Version>> {
        let version = match self.function.aliases.get(qualifier) {
            Some(alias) => alias.pick(dice),
            None => qualifier,
        };
        self.runnable.get(version).map(Arc::clone)
    }
}

// === impl Resolved ===
impl Resolved {
    /// Where calls accepted for later end that are given up.
    pub(super) fn dead_letter(&self) -> Option<&String> {
        self.entry.function.revision(&self.version.version)?.dead_letter.as_ref()
    }
}

// === impl Registry ===
impl Registry {
    pub(super) fn all(&self) -> Arc<BTreeMap<String, Arc<Entry>>> {
        self.known.load_full()
    }

    pub(super) fn set(&self, known: BTreeMap<String, Arc<Entry>>) {
        self.known.store(Arc::new(known));
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.known.load().get(name).map(Arc::clone)
    }

    /// What to run for `name` and `qualifier`.
    pub(super) fn resolve(
        &self,
        name: &str,
        qualifier: Option<&str>,
        owner: &Owner<'_>,
        dice: f64,
    ) -> Result<Resolved, Fault> {
        let arn = owner.arn(name, qualifier);
        let entry = self.get(name).ok_or_else(|| Fault::not_found(&arn))?;
        let version = entry.resolve(qualifier.unwrap_or(LATEST), dice).ok_or_else(|| Fault::not_found(&arn))?;
        Ok(Resolved { entry, version, arn })
    }

    /// Whether this very version can be called.
    pub(super) fn has(&self, version: &Version) -> bool {
        let known = self.known.load();
        let found = known.get(&version.name).and_then(|entry| entry.runnable.get(&version.version));
        found.is_some_and(|found| **found == *version)
    }
}

/// Where the package with this SHA-256 (base64) lies.
fn directory(code: &Path, sha256: &str) -> PathBuf {
    code.join(sha256.replace(['/', '+', '='], "_"))
}
