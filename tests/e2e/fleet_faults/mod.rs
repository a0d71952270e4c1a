//! Fleet faults: what several PoPs keep and never serve, whatever happens to clocks, disks, processes and what is between them.
//!
//! In: the real binary and the real servers between PoPs. Out: what viewers and operators get. Never: a fault that is skipped because
//! this machine does not allow it.

mod clocks;
mod deliveries;
mod deploys;
mod disks;
mod limits;
mod restarts;
mod shield;
mod world;
