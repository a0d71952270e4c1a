//! Integration: an origin that is no plain HTTP server is asked, and its answer turned into HTTP.
//!
//! In: a request on the adapter lane, what the edge knows of it. Out: the call that the service wants; its answer as HTTP. Never: what is
//! cached, who may ask.

pub mod aws;
mod function;
pub mod lambda;
mod local;
pub mod mapping;
mod signed;
mod table;

use std::sync::Arc;

pub use local::{Local, ROOM_PAGE};

use crate::config::compiled::{AwsEndpoint, LambdaOrigin, Origin, OriginKind};
use crate::hooks::engine::Web;
use crate::origin::adapter::Endpoint;

/// What answers for origins that are no plain HTTP servers. One per process: connections outlive reloads.
#[derive(Debug, Clone)]
pub struct Integrations {
    clients: aws::Clients,
    /// The services of this process.
    pub local: Arc<Local>,
}

/// Why a service gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrationError {
    #[error("cannot ask {host}: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} did not answer within {}s", after.as_secs_f32())]
    Timeout { host: String, after: std::time::Duration },
    #[error("the request to {host} cannot be signed: {reason}")]
    Signing { host: String, reason: String },
    #[error("{host} broke off its answer: {reason}")]
    Broken { host: String, reason: String },
    #[error("{host} answers with more than {most} bytes")]
    TooLarge { host: String, most: usize },
    #[error("the functions of this machine are not there (yet): write [local_lambda] or [[lambda]]")]
    NotHere,
    #[error("the TLS library does not work here: {0}")]
    Tls(String),
}

// === impl Integrations ===
impl Integrations {
    /// Reads the system's certificates.
    ///
    /// # Errors
    /// The TLS library does not work here.
    pub fn new() -> Result<Self, IntegrationError> {
        Ok(Integrations { clients: aws::Clients::new()?, local: Arc::default() })
    }

    /// What answers for `origin`; `None` when it is an HTTP server or a fixed answer. `web` is its component, where it is one.
    pub fn endpoint(&self, origin: &Origin, web: Option<&Arc<Web>>) -> Option<Arc<dyn Endpoint>> {
        match &origin.kind {
            OriginKind::Lambda(spec) => {
                Some(Arc::new(lambda::Lambda::new(&origin.name, spec, self.service(&spec.endpoint))))
            }
            OriginKind::Signed(spec) => Some(Arc::new(signed::Signed::new(spec, &self.clients))),
            OriginKind::Table(spec) => Some(Arc::new(table::Table::new(&origin.name, spec, Arc::clone(&self.local)))),
            OriginKind::Function(_) => web.map(|web| Arc::new(Arc::clone(web)) as Arc<dyn Endpoint>),
            OriginKind::Http(_) | OriginKind::Generated(_) => None,
        }
    }

    /// The function of a Lambda origin, to be called without HTTP.
    pub fn function(&self, spec: &Arc<LambdaOrigin>) -> lambda::Function {
        lambda::Function::new(spec, self.service(&spec.endpoint))
    }

    fn service(&self, endpoint: &AwsEndpoint) -> aws::Service {
        match endpoint {
            AwsEndpoint::Remote(remote) => {
                aws::Service::Remote { client: self.clients.any.clone(), remote: Arc::clone(remote) }
            }
            AwsEndpoint::Local => aws::Service::Local(Arc::clone(&self.local)),
        }
    }
}
