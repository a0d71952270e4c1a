//! The real binary over sockets: one module a feature, one test binary so that linking happens once.
//!
//! In: configurations, scripted origins, raw viewers. Out: what a viewer or an operator sees. Never: a fixed pause or port.
// Panicking is how a test fails, in its harness too; clippy knows that only of `#[test]` functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod authorizers;
mod behaviors;
mod bodies;
mod collapse;
mod compression;
mod config;
mod disk;
mod dns;
mod fleet;
mod fleet_faults;
mod floods;
mod freshness;
mod function_origins;
mod global_tables;
mod harness;
mod hits;
mod hook_bodies;
mod hook_crowd;
mod hook_events;
mod hook_hostile;
mod hook_lanes;
mod hook_limits;
mod hook_origins;
mod hook_signing;
mod hook_swaps;
mod hook_table;
mod hooks;
mod images;
mod keys;
mod lambda_origins;
mod layering;
mod leaks;
mod lifecycle;
mod limits;
mod listen;
#[path = "../support/nats.rs"]
mod nats;
mod negative;
mod operating;
mod origins;
mod passing;
mod purge;
mod ranges;
mod refusals;
#[path = "../support/relay.rs"]
mod relay;
mod revalidation;
mod revisions;
mod seeing;
mod semantics;
mod signatures;
#[path = "../signed/tools.rs"]
mod signers;
mod signing;
mod smuggling;
mod stale;
mod streaming;
mod tables;
mod tiers;
mod tokens;
mod traces;
mod truncation;
mod tunnels;
mod vary;
