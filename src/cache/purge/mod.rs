//! Purge: which stored answers may no longer be served.
//!
//! In: purges with their stamps, an object's meta. Out: keep, revalidate first, or gone. Never: a scan over objects, I/O.

mod cell;
mod marks;
mod parse;
mod prefixes;
mod scope;

pub use cell::MarksCell;
pub use marks::{Marks, Verdict};
pub use parse::{PurgeError, TAG_MAX, TAGS_MAX, parse_scope, parse_tags};
pub use scope::{Purge, Scope};

#[cfg(test)]
pub(crate) mod tests {
    use crate::cache::object::{Meta, Stamp};

    /// A stored answer of which only what purges look at matters.
    pub(crate) fn meta(host: &str, uri: &str, tags: &[&str], began: u64) -> Meta {
        Meta {
            status: 200,
            responded_ms: 0,
            initial_age_ms: 0,
            lifetime_ms: 0,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            must_revalidate: false,
            no_cache: false,
            fetch_start: Stamp(began),
            host: host.into(),
            uri: uri.into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            vary: Box::new([]),
            variance: None,
            masked: false,
        }
    }
}
