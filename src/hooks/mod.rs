//! Hooks: the four events as data, and the functions that run at them.
//!
//! In: a message and what is known about it. Out: the edits a function made, an answer, or a failure. Never: a session, a cache,
//! an origin; `proxy` decides when an event happens and what its outcome does.

pub mod build;
pub mod compat;
pub mod engine;
pub mod event;
pub mod exchange;
pub mod failure;
pub mod fields;
pub mod host;
pub mod limits;
pub mod lines;
pub mod oci;
pub mod testevent;
pub mod valid;
mod who;

pub use event::Event;
pub use exchange::{Body, Edit, EditError, Exchange, OriginChange, OriginPatch, Request, Response, Site};
pub use failure::{Api, Failure};
pub use who::Who;
