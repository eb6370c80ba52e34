//! Sealed records between the guest and the GPU's protected region: the third gate.
//!
//! The only way a byte crosses between the two. Each channel has a number and two directions, and
//! each of these a key of its own, so that a record opens nowhere but at the place it was sealed
//! for: [`Sealer`] at one end, [`Opener`] at the other, both made from the session's
//! [`ExportMasterSecret`]. Any failure is final: the key is wiped, and only a new session leads on.
//!
//! | module | what |
//! | --- | --- |
//! | `record` | seal and open, and what happens when that fails |
//! | `schedule` | keys: one secret per channel and direction, ratcheted generation by generation |
//! | `sequence` | IVs, the one sequence number that is acceptable next, the limits on a key |
//! | `secret` | the session's secret, which arrives from SPDM |
//!
//! What a sealed record says, where it lies in memory and who agreed on the secret are the
//! business of `ravelin-gpu-abi`, `ravelin-driver` and `ravelin-spdm`. The crate does no I/O, keeps
//! no buffer and needs no allocator. Buffers given to it must be private memory: the cipher reads
//! its input and its output twice.

#![no_std]

#[cfg(test)]
extern crate std;

mod hardware;
mod record;
mod schedule;
mod secret;
mod sequence;

pub use hardware::has_hardware_cipher;
pub use record::{Binding, Error, Opener, Sealed, Sealer, TAG_SIZE};
pub use schedule::Direction;
pub use secret::ExportMasterSecret;
pub use sequence::{GENERATIONS, MAX_RECORD_LENGTH, RECORDS_PER_GENERATION};
