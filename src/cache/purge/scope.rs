//! Scope: what one purge covers.
//!
//! In: parsed parts. Out: a value that is compared and logged. Never: parsing (see `parse`), matching (see `marks`).

use crate::cache::object::Stamp;
use std::fmt;

/// The objects a purge names. Hosts are lower case without port; a `uri` is path and query as the cache key has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    All,
    Host(Box<str>),
    Url {
        host: Box<str>,
        uri: Box<str>,
    },
    /// Every uri that starts with `path`, queries included, of one host or of all.
    Prefix {
        host: Option<Box<str>>,
        path: Box<str>,
    },
    /// Case-folded.
    Tag(Box<str>),
}

/// One purge. Objects whose fetch began at or before `at` are covered; a later one, or a later validation, is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purge {
    pub scope: Scope,
    /// The object becomes stale instead of gone: it can still be validated, and served while it is.
    pub soft: bool,
    pub at: Stamp,
}

/// As an operator writes it; [`super::parse_scope`] reads it back.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("*"),
            Scope::Host(host) => f.write_str(host),
            Scope::Url { host, uri } => write!(f, "https://{host}{uri}"),
            Scope::Prefix { host: Some(host), path } => write!(f, "https://{host}{path}*"),
            Scope::Prefix { host: None, path } => write!(f, "{path}*"),
            Scope::Tag(tag) => write!(f, "#{tag}"),
        }
    }
}
