//! Importing: what is said of the files that key-value stores begin with.
//!
//! In: a configuration, why it could not be loaded. Out: findings at the places that name the files. Never: a store.

use crate::config::Diagnostic;
use crate::config::compiled::Config;
use crate::hooks::host::kv::{self, KvError};

use super::functions::LoadError;

/// The files that a new store could not begin with, whether theirs are new or not. Blocks on the disk.
pub fn wrong(config: &Config) -> Vec<Diagnostic> {
    let wrong = config.kv_stores.iter().filter_map(|store| found(config, &store.name, &kv::importable(store).err()?));
    wrong.collect()
}

/// The same error, at the place of the file that is to blame, if one is.
pub fn placed(config: &Config, error: LoadError) -> LoadError {
    let at = match &error {
        LoadError::Stores(said @ KvError::Import { store, .. }) => found(config, store, said),
        _ => None,
    };
    at.map_or(error, |at| LoadError::Placed(Box::new(at)))
}

fn found(config: &Config, store: &str, said: &KvError) -> Option<Diagnostic> {
    let position = config.kv_stores.iter().position(|one| one.name == store)?;
    let place = config.kv_imports.get(position)?.clone()?;
    Some(Diagnostic { message: said.to_string(), ..place })
}
