//! Services: the functions and tables of this machine, opened, served and closed.
//!
//! In: what the configuration says of them. Out: both rooms in place for origins; their APIs on addresses of their own. Never: a request of a
//! viewer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::compiled::Config;
use crate::dynamo::{Clock, Dynamo, DynamoError};
use crate::lambda::{Lambda, LambdaError};

use super::apis::{self, Api};
use super::server::{StartError, bind};
use super::shared::Shared;

/// Between two tries to open tables that another process still has.
const RETRY: Duration = Duration::from_millis(100);
/// How long functions, and then tables, have to end what is under way.
const CLOSING: Duration = Duration::from_secs(15);

/// Why functions or tables are not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    #[error("the functions of this machine: {0}")]
    Lambda(#[from] LambdaError),
    #[error("the tables of this PoP: {0}")]
    Dynamo(#[from] DynamoError),
    #[error("there are no threads for them: {0}")]
    Threads(std::io::Error),
}

/// What runs beside the viewers. Its threads live as long as the process.
pub struct Services {
    shared: Arc<Shared>,
    runtime: &'static Runtime,
    /// Functions end first: until then they find the tables.
    ended: [watch::Sender<bool>; 2],
}

// === impl Services ===
impl Services {
    /// Opens what is configured and serves it; `None` when nothing is. Blocks: for at most `patience` another process may still have
    /// the state.
    pub fn open(shared: &Arc<Shared>, config: &Config, patience: Duration) -> Result<Option<Self>, StartError> {
        if config.local_lambda.is_none() && config.dynamodb.is_none() {
            return Ok(None);
        }
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        threads.enable_all().thread_name("services");
        if config.pop.threads > 0 {
            threads.worker_threads(config.pop.threads);
        }
        let runtime: &'static Runtime = Box::leak(Box::new(threads.build().map_err(ServiceError::Threads)?));
        let services = Services {
            shared: Arc::clone(shared),
            runtime,
            ended: [watch::Sender::new(false), watch::Sender::new(false)],
        };
        let _within = runtime.enter();
        let local = &shared.integrations.local;
        if let Some(spec) = &config.dynamodb {
            let until = Instant::now() + patience;
            let dynamo = loop {
                match Dynamo::open(spec, &config.pop.state_dir, clock()) {
                    Ok(dynamo) => break dynamo,
                    Err(error) if Instant::now() >= until => return Err(ServiceError::Dynamo(error).into()),
                    Err(error) => {
                        log::debug!("the tables are not free yet: {error}");
                        std::thread::park_timeout(RETRY);
                    }
                }
            };
            local.set_dynamo(dynamo);
        }
        if let Some(spec) = &config.local_lambda {
            // Functions of other runtimes run without it.
            let scripts =
                shared.functions.scripts(config).map_err(|error| log::warn!("no JavaScript functions: {error}"));
            let opened = Lambda::open(spec, &config.pop.state_dir, local.dynamo().cloned(), scripts.ok());
            local.set_lambda(opened.map_err(ServiceError::Lambda)?);
        }
        for (api, address, signed) in apis(config) {
            let socket = bind(address, true);
            let socket = socket.map_err(|source| StartError::Bind { address, key: api.key(), source })?;
            log::info!("{api} at http://{address}");
            let ended = match api {
                Api::Lambda => services.ended[0].subscribe(),
                Api::Dynamo => services.ended[1].subscribe(),
            };
            runtime.spawn(apis::serve(socket, api, signed, Arc::clone(shared), ended));
        }
        Ok(Some(services))
    }

    /// Takes no more calls, lets those under way end, and lets go of the state. Returns when that is done.
    pub async fn close(&self) {
        let [functions, tables] = self.ended.clone();
        functions.send_replace(true);
        let shared = Arc::clone(&self.shared);
        let closing = self.runtime.spawn(async move {
            let local = &shared.integrations.local;
            if let Some(lambda) = local.lambda()
                && tokio::time::timeout(CLOSING, lambda.close()).await.is_err()
            {
                log::warn!("the functions of this machine did not end in time");
            }
            tables.send_replace(true);
            if let Some(dynamo) = local.dynamo()
                && tokio::time::timeout(CLOSING, dynamo.close()).await.is_err()
            {
                log::warn!("the tables of this PoP did not close in time");
            }
        });
        // It ends by itself.
        let _ = closing.await;
    }
}

/// The APIs of a configuration: where, and whether they ask for signatures.
pub fn apis(config: &Config) -> Vec<(Api, SocketAddr, bool)> {
    let lambda = config.local_lambda.as_ref().and_then(|spec| Some((Api::Lambda, spec.listen?, spec.access.is_some())));
    let dynamo = config.dynamodb.as_ref().and_then(|spec| Some((Api::Dynamo, spec.listen?, spec.access.is_some())));
    lambda.into_iter().chain(dynamo).collect()
}

fn clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
