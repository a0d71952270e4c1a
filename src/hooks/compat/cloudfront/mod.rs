//! CloudFront: events and results of CloudFront Functions.
//!
//! In: an exchange; the guest's envelope around what the handler returned. Out: `{"version": "1.0", …}`; edits. Never:
//! Lambda@Edge's shapes.

mod event;
mod origin;
mod pairs;
mod result;

pub use event::event;
pub use result::accept;
