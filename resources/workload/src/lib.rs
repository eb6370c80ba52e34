//! What a guest does with its GPUs: one file a workload.
//!
//! A workload sees the driver, its payload, and a [`Host`](task::Host) to report to. It knows
//! neither page tables nor ports nor which machine it is on, so the built-in guest and the agent for
//! Linux guests do the same, and tests run it against the GPU model in process. Choosing one and
//! giving it its surroundings is the guest's business; what GPUs are judged by is
//! [`documents`], the same in each.

#![no_std]

extern crate alloc;

pub mod bench;
pub mod digits;
pub mod documents;
pub mod fleet;
pub mod guarded;
pub mod idle;
pub mod parameters;
pub mod place;
pub mod probe;
pub mod task;
pub mod witness;
