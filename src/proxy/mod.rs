//! Proxy: the way of one request through the rooms.
//!
//! Three lanes lead a viewer to an answer. `fast` answers plain hits straight from the connection's buffer, with `hooked` for
//! those that functions see; `pass` carries plain requests that no cache takes part in to an origin and back; `phases` is the
//! full path on Pingora's state machine.
//! All ask the same pure functions (`plan`, `judge`, `edge`) and write the same log.

mod about;
mod ahead;
pub mod answering;
mod apis;
mod applying;
mod asked;
pub mod asking;
mod authorizing;
mod collapsing;
pub mod context;
mod control;
pub mod denying;
pub mod edge;
pub mod entering;
mod events;
pub mod failure;
mod failures;
pub mod fast;
pub mod fleet;
pub mod front;
pub mod functions;
pub mod guard;
mod handing;
pub mod heads;
pub mod history;
pub mod hooked;
pub mod hooking;
pub mod identity;
pub mod importing;
pub mod judge;
pub mod keeping;
mod naming;
pub mod pages;
pub mod pass;
pub mod phases;
pub mod plan;
pub mod prior;
pub mod purging;
pub mod record;
mod recording;
pub mod relay;
pub mod reload;
mod replicating;
mod rerouting;
pub mod respond;
pub mod revising;
pub mod server;
mod services;
pub mod shared;
pub mod sharing;
pub mod snapshot;
pub mod soft;
mod steering;
pub mod streams;
mod tally;
mod telling;
mod tiers;
mod uploads;
pub mod upstream;
mod views;
pub mod warming;
