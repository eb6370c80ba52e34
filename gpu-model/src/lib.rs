//! The APM GPU: protected memory, firewall, root of trust, SEC2 and engines, with no knowledge of
//! any VMM.
//!
//! The second of the three gates is here, [`firewall`]: the only way anything reaches HBM. Around
//! it, the rooms of the device:
//!
//! | room | what |
//! | --- | --- |
//! | `gpu` | power-on, and what the bus may do: registers, window, DOE, admin port |
//! | `firewall` | the gate: who may touch which bytes of HBM |
//! | `hbm` | the memory, present only where it was written |
//! | `registers` | BAR0, decoded |
//! | `machine`, `life`, `lease`, `bell` | what survives a reset, what does not, who may work, what wakes them |
//! | `hrot` | identity, measured boot, the attestation key |
//! | `sec2`, `spdm_port` | the SPDM responder behind the DOE mailbox, and on other wires |
//! | `ring`, `worker`, `channel`, `dma`, `scratch` | the path of one record, and of its answer |
//! | `copy`, `compute` | what the engines do with opened records |
//! | `admin`, `telemetry`, `events` | what the operator may see and do: no address, no content |
//! | `host` | what the GPU needs of the machine around it, as traits |
//!
//! Everything that arrives over the bus is hostile. No key and no plaintext leaves the crate: its
//! interface has no type that could carry one.

mod admin;
mod bell;
mod channel;
mod compute;
mod copy;
mod dma;
mod events;
mod firewall;
mod gpu;
mod hbm;
mod host;
mod hrot;
mod lease;
mod life;
mod machine;
mod registers;
mod ring;
mod scratch;
mod sec2;
mod spdm_port;
mod telemetry;
#[cfg(test)]
mod testing;
mod worker;

pub use admin::{AdminPort, Info, ResetKind};
pub use events::{Event, What};
pub use firewall::{Access, Initiator};
pub use gpu::{Error, Gpu, GpuConfig};
pub use hbm::Error as MemoryError;
pub use host::{DmaFault, HostMemory, Interrupts};
pub use ravelin_maker::{FirmwareImage, FirmwareSet};
pub use ravelin_spdm::transport::carrier::Transport as SpdmTransport;
pub use spdm_port::{Carried, MAX_PAYLOAD as MAX_SPDM_PAYLOAD, Served, SpdmPort, SpdmSocket};
pub use telemetry::{EngineTelemetry, Telemetry};
