//! Change: one change of what the API made, from its rules to its effect.
//!
//! In: a function's name and what to do with it. Out: the change on disk, then in force. Never: a function of the configuration
//! changed, two changes at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::Fault;
use super::name::Owner;
use super::registry::{Entry, Function};
use super::{Inner, LambdaError};

/// What is to become of a function.
pub(super) enum Change {
    Put(Box<Function>),
    Delete,
    Nothing,
}

// === impl Inner: change ===
impl Inner {
    /// Decides with `decide` and does what it says. Off the runtime's threads, because the disk is waited for.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        name: String,
        decide: impl FnOnce(&Inner, Option<&Function>) -> Result<(Change, T), Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || this.change_now(&name, decide)).await;
        done.unwrap_or_else(|panic| Err(Fault::service(&LambdaError::Worker(panic.to_string()))))
    }

    fn change_now<T>(
        self: &Arc<Self>,
        name: &str,
        decide: impl FnOnce(&Inner, Option<&Function>) -> Result<(Change, T), Fault>,
    ) -> Result<T, Fault> {
        let _turn = self.turn.lock();
        self.may_change(name)?;
        let spec = self.spec.load_full();
        let entry = self.registry.get(name);
        let (change, value) = decide(self, entry.as_ref().map(|entry| &entry.function))?;
        let keep = |function| self.store.set(name, function).map_err(|e| Fault::service(&LambdaError::Store(e)));
        let mut known = (*self.registry.all()).clone();
        match change {
            Change::Nothing => return Ok(value),
            Change::Put(function) => {
                keep(Some(&function))?;
                let owner = Owner { region: &spec.region, account: &spec.account };
                known.insert(name.to_owned(), Arc::new(Entry::made(*function, &owner, &self.dir.join("code"))));
            }
            Change::Delete => {
                keep(None)?;
                known.remove(name);
            }
        }
        self.registry.set(known);
        self.in_force();
        Ok(value)
    }

    /// Whether the API may change or make this function.
    pub(super) fn may_change(&self, name: &str) -> Result<(), Fault> {
        if !self.spec.load().api {
            return Err(Fault::forbidden("Functions of this machine are not changed through the API."));
        }
        match self.registry.get(name).is_some_and(|entry| entry.configured) {
            true => Err(Fault::conflict(format!(
                "The function {name} is part of the configuration and can be changed there only."
            ))),
            false => Ok(()),
        }
    }

    /// Makes limits and environments follow what is known now.
    pub(super) fn in_force(self: &Arc<Self>) {
        let known = self.registry.all();
        let reserved = known.iter().filter_map(|(name, entry)| Some((name.clone(), entry.function.reserved?)));
        self.seats.limit(self.spec.load().concurrency, reserved.collect::<HashMap<_, _>>());
        self.schedule.keep(|version| self.registry.has(version));
    }
}
