//! Edge functions for Rimward, in Rust.
//!
//! ```ignore
//! use rimward_edge::{hooks, request};
//!
//! hooks!(viewer_request);
//!
//! fn viewer_request() -> Result<(), String> {
//!     let uri = request::uri();
//!     if uri.ends_with('/') {
//!         request::set_uri(&format!("{uri}index.html"))?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Every call below reads or edits the message in hand. A refused edit is an `EditError`, a failed service a `HostError`; `?`
//! turns both into the words of the hook's own failure. What is used here and not granted in the configuration fails when the
//! function is deployed.

#[cfg(all(feature = "arena", target_arch = "wasm32"))]
mod arena;
mod export;
mod ext;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "rimward:edge/imports",
        generate_all,
    });
}

pub use bindings::rimward::edge::types::{EditError, Field, HostError, MessageBody};
pub use bindings::rimward::edge::{
    answer, call, clock, config, crypto, fetch, geo, kv, log, origin, request, response, secrets, who,
};
pub use ext::{cookie, field, header, log_panics, redirect, respond};

#[doc(hidden)]
pub mod rt {
    pub use wit_bindgen;
}
