//! Revision: what all PoPs serve, as one signed whole, and how a node gets from one to the next.
//!
//! `manifest` is what is signed, `course` decides what is served, `judge` what has to go, `share` who gets a canary, `shelf` keeps files,
//! `forget` says which of them the bus need not keep, `known` holds the rest.

mod course;
mod forget;
mod judge;
mod known;
mod manifest;
mod share;
mod shelf;

pub use course::{Ack, AckState, Course, Event, Past, Placed, WATCH_MS, Want};
pub use forget::{UNTOUCHED, unneeded};
pub use judge::{ENOUGH, LONGEST_MS, Sample, judge};
pub use known::{Known, NotNow};
pub use manifest::{
    Act, DeployKey, ENVELOPE_MAX, Envelope, FILES_MAX, Item, KeyError, Manifest, ManifestError, is_within,
};
pub use share::takes;
pub use shelf::{Shelf, ShelfError};
