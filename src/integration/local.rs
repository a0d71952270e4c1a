//! Local: the services of this process.
//!
//! In: what the configuration says of them. Out: functions and tables, once they are open. Never: a second owner of their state: a process
//! that takes over opens them when the one before has let go.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use crate::dynamo::Dynamo;
use crate::lambda::Lambda;

/// Opened once, after the sockets are there; until then who asks them is told so.
#[derive(Debug)]
pub struct Local {
    /// Memory for the bodies of requests to their APIs, in pages.
    pub room: Arc<Semaphore>,
    lambda: OnceLock<Lambda>,
    dynamo: OnceLock<Dynamo>,
}

/// Bytes of a page, and of all.
pub const ROOM_PAGE: usize = 4 << 10;
const ROOM: usize = 256 << 20;

// === impl Local ===
impl Default for Local {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(ROOM / ROOM_PAGE));
        Local { room, lambda: OnceLock::new(), dynamo: OnceLock::new() }
    }
}

impl Local {
    /// The functions of this machine.
    pub fn lambda(&self) -> Option<&Lambda> {
        self.lambda.get()
    }

    /// The tables of this PoP.
    pub fn dynamo(&self) -> Option<&Dynamo> {
        self.dynamo.get()
    }

    /// Puts the functions in place, once.
    pub fn set_lambda(&self, lambda: Lambda) {
        // There is one opening, by one thread.
        let _ = self.lambda.set(lambda);
    }

    /// Puts the tables in place, once.
    pub fn set_dynamo(&self, dynamo: Dynamo) {
        let _ = self.dynamo.set(dynamo);
    }
}
