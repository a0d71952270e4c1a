//! Dns: which addresses a name has for this viewer.
//!
//! In: a zone, a question, where it comes from, which PoPs are well. Out: the answer, and which PoP it leads to. Never: a socket, a
//! clock, a question asked elsewhere.

mod choose;
mod hint;
#[cfg(test)]
mod tests;
mod wire;
mod zone;

pub use choose::{Point, PopId, Pops, network, point};
pub use hint::Hints;
pub use wire::{Reply, Transport, refer_to_tcp, respond};
pub use zone::{Answer, Client, Zone};
