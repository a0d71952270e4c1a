//! Lambda: Lambda@Edge's events and results.
//!
//! In: an exchange; what the handler returned. Out: `{"Records": [{"cf": …}]}`; edits. Never: CloudFront Functions' shapes.

mod event;
mod origin;
mod result;

pub use event::event;
pub use result::{accept, object, retarget, scalar};
