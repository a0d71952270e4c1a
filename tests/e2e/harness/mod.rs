//! Harness: the real binary, a scripted origin and clients that hide nothing, for tests over sockets.
//!
//! In: a configuration, an origin's script. Out: what went over the wire. Never: mocks, fixed ports, timing assertions.

pub mod certs;
pub mod credentials;
pub mod frames;
pub mod h2;
pub mod hooked;
pub mod names;
pub mod origin;
pub mod pop;
pub mod raw;
pub mod registry;
pub mod reply;
pub mod wait;
pub mod wat;

pub use certs::Authority;
pub use h2::H2;
pub use origin::{Exchange, Origin};
pub use pop::{HOST, Pop, Setup};
pub use raw::Raw;
pub use reply::{Broken, Reply};
pub use wait::{Gate, LOOK_AGAIN, PATIENCE, until};

/// A byte stream of either kind: plain TCP or TLS.
pub trait Duplex: std::io::Read + std::io::Write + Send {}
impl<T: std::io::Read + std::io::Write + Send> Duplex for T {}
