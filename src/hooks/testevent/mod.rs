//! Testevent: exchanges that no viewer made: from AWS's event files, and from recorded calls.
//!
//! In: JSON an operator wrote, or a call that was recorded. Out: an exchange, a recording. Never: a file, a call.

mod changes;
mod message;
mod read;
mod recording;

pub use changes::{Change, Member};
pub use message::{Message, Raw};
pub use read::{Given, read};
pub use recording::{Outcome, Recording};

/// Why text is no event and no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestEventError {
    #[error("not JSON: {0}")]
    Json(String),
    #[error("\"{member}\": {words}")]
    Member { member: String, words: String },
}

// === impl TestEventError ===
impl TestEventError {
    fn member(member: impl Into<String>, words: impl Into<String>) -> Self {
        TestEventError::Member { member: member.into(), words: words.into() }
    }
}

#[cfg(test)]
mod tests;
