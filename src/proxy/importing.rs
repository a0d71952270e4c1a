//! Importing: what is said of the files that key-value stores begin with.
//!
//! In: a configuration, why it could not be loaded. Out: findings at the places that name the files. Never: a store.

use crate::config::Diagnostic;
use crate::config::compiled::Config;
use crate::hooks::host::kv;

use super::functions::LoadError;

/// The files that a new store could not begin with, whether theirs are new or not. Blocks on the disk.
pub fn wrong(config: &Config) -> Vec<Diagnostic> {
    let stores = config.kv_stores.iter().zip(&config.kv_imports);
    let wrong = stores.filter_map(|(store, place)| {
        let message = kv::importable(store).err()?.to_string();
        Some(Diagnostic { message, ..place.clone()? })
    });
    wrong.collect()
}

/// The same error, at the place of the file that is to blame, if one is. Blocks on the disk.
pub fn placed(config: &Config, error: LoadError) -> LoadError {
    let LoadError::Stores(words) = &error else { return error };
    let found = wrong(config).into_iter().find(|found| words.ends_with(&found.message));
    found.map_or(error, |found| LoadError::Placed(Box::new(found)))
}
