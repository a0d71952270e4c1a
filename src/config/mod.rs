//! Config: what the operator wrote becomes what runs.
//!
//! In: one TOML file or a directory of them. Out: a [`compiled::Config`] that cannot be wrong, or everything that is wrong
//! with the text. Never: a half-taken configuration, a printed secret.
//!
//! `load` reads, `diagnose` finds unknown names, `schema` says what was written, `compile` resolves and checks it.

pub mod catalogue;
mod compile;
pub mod compiled;
mod diagnose;
mod error;
pub mod event_pattern;
pub mod iam;
pub mod image;
mod load;
pub mod nets;
mod reference;
mod schema;
pub mod secret;
mod source;
pub mod units;
pub mod watch;

pub use compile::quota::too_much_code;
pub use error::{ConfigError, Diagnostic, Errors};
pub use load::{ADOPTS, load, load_together, parse};
pub use reference::{reference_markdown, schema_json};
pub use source::At;
