//! Configured: the configuration's functions, as entries.
//!
//! In: what the operator wrote. Out: entries that can be run. Never: a change through the API.
//!
//! Reads the functions' files: run it on `tokio::task::spawn_blocking`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::super::LambdaError;
use super::super::name::{LATEST, Owner};
use super::super::run::Version;
use super::model::{EventConfig, Function, Revision};
use super::{Code, CodeError, Entry};
use crate::config::compiled::{LambdaFunction, LocalLambda};

/// What `role` shows for functions that have none.
const ROLE: &str = "rimward-configuration";

/// Every function of `spec`; zip files are unpacked below `code`. `now_ms` becomes when they were modified.
pub(in crate::lambda) fn configured(
    spec: &LocalLambda,
    code: &Path,
    now_ms: u64,
) -> Result<Vec<(String, Arc<Entry>)>, LambdaError> {
    let owner = Owner { region: &spec.region, account: &spec.account };
    let each = spec.functions.iter().map(|function| {
        let failed = |error: CodeError| LambdaError::Code { function: function.name.clone(), why: error.to_string() };
        let found = read(function, spec, code).map_err(failed)?;
        Ok((function.name.clone(), Arc::new(entry(function, found, &owner, now_ms))))
    });
    each.collect()
}

fn read(function: &LambdaFunction, spec: &LocalLambda, code: &Path) -> Result<Code, CodeError> {
    let disk = |source| CodeError::Disk { path: function.code.clone(), source };
    if function.code.is_dir() {
        return Code::directory(&std::path::absolute(&function.code).map_err(disk)?, spec.limits.unpacked);
    }
    let file = File::open(&function.code).map_err(disk)?;
    Code::unpack(file, code, (spec.limits.package, spec.limits.unpacked))
}

fn entry(function: &LambdaFunction, code: Code, owner: &Owner<'_>, now_ms: u64) -> Entry {
    let revision = Revision {
        runtime: function.runtime.as_str().to_owned(),
        handler: function.handler.clone(),
        role: format!("arn:aws:iam::{}:role/{ROLE}", owner.account),
        description: String::new(),
        timeout: function.timeout.as_secs().max(1),
        memory: function.memory,
        ephemeral: 512,
        // The values may be secrets of the operator: they are given to the function and never shown.
        environment: BTreeMap::new(),
        dead_letter: None,
        architecture: architecture().to_owned(),
        code_sha256: code.sha256.clone(),
        code_size: code.size,
        modified_ms: now_ms,
        revision_id: code.sha256.clone(),
    };
    let version = Version {
        name: function.name.clone(),
        version: LATEST.to_owned(),
        arn: owner.arn(&function.name, None),
        runtime: function.runtime.clone(),
        handler: function.handler.clone(),
        code: code.directory,
        code_sha256: code.sha256,
        command: function.command.clone(),
        memory: function.memory,
        timeout: function.timeout,
        environment: function.environment.clone(),
    };
    let mut known = Function::new(function.name.clone(), revision);
    let events = EventConfig {
        retries: Some(function.retries),
        age: Some(function.event_age.as_secs()),
        on_failure: function.on_failure.clone(),
        on_success: None,
        modified_ms: now_ms,
    };
    known.events.insert(LATEST.to_owned(), events);
    known.reserved = function.concurrency;
    let runnable = HashMap::from([(LATEST.to_owned(), Arc::new(version))]);
    Entry { function: known, configured: true, runnable }
}

/// What this machine is, in the service's words.
pub(in crate::lambda) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
