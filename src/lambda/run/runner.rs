//! Runner: what runs one version of a function, one call at a time: processes, or the engine within this process.
//!
//! In: an order. Out: the answer, and whether it can take another order. Never: two orders at once.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::Answer;
use super::environment::{Called, Environment, Unstarted};
use super::failure::Failure;
use super::runtime_api::Order;
use super::script::Scripts;
use super::settings::Settings;
use super::version::Version;
use crate::config::compiled::LambdaRuntime;

/// A started runtime.
#[async_trait]
pub(crate) trait Runner: Debug + Send {
    /// Runs one call. `streams`: the caller takes a streamed answer as it comes. `reply`: where the answer goes.
    async fn call(
        &mut self,
        order: Arc<Order>,
        version: &Version,
        settings: &Settings,
        (streams, deadline): (bool, Instant),
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Called;

    /// Whether it can take a call still.
    fn alive(&mut self) -> bool;

    /// When its last call was over.
    fn idle_since(&self) -> Instant;

    /// Ends it, and waits until it is gone.
    async fn end(self: Box<Self>);
}

/// Starts what runs `version`; at most until `deadline`.
pub(crate) async fn start(
    version: &Arc<Version>,
    settings: &Arc<Settings>,
    scripts: Option<&Scripts>,
    deadline: Instant,
) -> Result<Box<dyn Runner>, Unstarted> {
    if version.runtime != LambdaRuntime::JavaScript {
        return Ok(Box::new(Environment::start(version, settings, deadline).await?));
    }
    match scripts {
        Some(scripts) => Ok(Box::new(scripts.start(version, settings, deadline).await?)),
        None => Err(Failure::Entrypoint("the JavaScript engine".to_owned()).into()),
    }
}
