//! JavaScript: unmodified functions, built and run in the real engine.
//!
//! In: functions/js-engine/handlers and tests. Out: what each made of each request, as lines of text; what each module of Node's
//! answers, against Node's own answers. Never: Node.

#![allow(clippy::unwrap_used)]

mod bench;
mod events;
// Shared with tests/samples, which uses all of it.
#[allow(dead_code)]
#[path = "../samples/exchange.rs"]
mod exchange;
mod handlers;
mod hostile;
mod lambda;
mod node;
mod requests;
// Shared with tests/sigv4, which uses all of it.
#[allow(dead_code)]
#[path = "../sigv4/wire.rs"]
mod wire;
