//! The local Lambda with real runtimes: AWS's client for Python, our own for Node, executables.
//!
//! Fetches AWS's client and boto3 into target/tmp the first time.
#![allow(clippy::unwrap_used)]

mod control;
mod events;
mod javascript;
mod node;
mod python;
mod running;
mod sources;
mod tools;
