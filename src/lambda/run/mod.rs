//! Run: what runs one version of a function, one call at a time: processes, or the engine within this process.
//!
//! In: a version, an order. Out: an answer, a log, whether the environment can be used again. Never: which call goes where (that
//! is the scheduler's).

mod answer;
mod command;
mod environment;
mod failure;
mod group;
mod log;
mod runner;
mod runtime_api;
mod script;
mod settings;
mod version;

pub(super) use answer::{Answer, Part, Reply, Word};
pub(super) use environment::{Called, Unstarted};
pub(super) use failure::Failure;
pub(super) use runner::{Runner, start};
pub(super) use runtime_api::Order;
pub use script::Scripts;
pub(super) use settings::Settings;
pub(super) use version::Version;
