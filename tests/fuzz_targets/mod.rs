//! Fuzz targets: one function a parser, each panics when an invariant breaks. `fuzz_short` drives them on stable for a
//! bounded time; `fuzz/` wraps each for cargo-fuzz.

pub mod accept;
pub mod answer;
pub mod authorizer;
pub mod bus;
pub mod chunks;
pub mod conditional;
pub mod config;
pub mod credentials;
pub mod directives;
pub mod disk;
pub mod dns;
pub mod frames;
pub mod framing;
pub mod head;
pub mod jwk;
pub mod jwt;
pub mod key;
mod limits;
pub mod location;
pub mod path;
pub mod purge;
pub mod range;
pub mod result;
pub mod signed;
pub mod sigv4;
pub mod template;
pub mod vary;
