//! What the guest does with its GPU: one file a workload.
//!
//! A workload sees the driver, its payload, and a [`Host`](task::Host) to report to. It knows
//! neither page tables nor ports nor which machine it is on, so tests run it against the GPU model
//! in process. Choosing one and giving it its surroundings is [`workload`](crate::workload)'s
//! business.

pub mod bench;
pub mod digits;
pub mod fleet;
pub mod guarded;
pub mod idle;
pub mod place;
pub mod probe;
pub mod task;
pub mod witness;
