//! What a guest reports to its launcher, one JSON object a line.
//!
//! The guest writes [`Event`]s to its second serial port (COM2, 0x2f8); the first one is its
//! console. The launcher reads them as the words of a stranger: they decide what `ravelin run`
//! prints, never what the VMM does. Everything here is meant to be seen by the host.

#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most bytes of a line, newline included. A longer one is no event.
pub const MAX_LINE: usize = 256 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The guest runs its user program.
    Ready {
        /// Which guest: "builtin" or "linux".
        guest: String,
    },
    /// The driver has judged a GPU, whatever the verdict.
    Gpu {
        /// Place of the GPU among the guest's GPUs.
        index: u32,
        /// Model name from the identity certificate; empty where none was accepted.
        model: String,
        /// SHA-384 of the device identity's public key, hex.
        identity: String,
        /// "trusted", "unprotected" (plain mode, knowingly used), or the stable code of the refusal.
        verdict: String,
        /// Firmware id, hex: what the measured boot amounts to.
        firmware: String,
        /// Number of the session on that GPU, from 1; 0 without one.
        session: u32,
        /// Microseconds from the first request to the verdict.
        attest_us: u64,
    },
    /// What a GPU has presented, for a relying party to judge; only where the launcher asks for it.
    Evidence {
        /// Place of the GPU.
        index: u32,
        /// As the GPU presented it, whatever the guest's own verdict.
        #[serde(flatten)]
        evidence: Evidence,
    },
    /// The guest's own report, which binds what all its GPUs have presented; only where the launcher
    /// asks for evidence and there is an AMD-SP. Behind the evidence of all GPUs, and again behind each
    /// new one.
    Report(GuestReport),
    /// A GPU's session ended without the driver wanting it; the driver attests anew.
    GpuLost {
        /// Place of the GPU.
        index: u32,
        /// Why: the driver's error in words.
        reason: String,
    },
    /// One round of the workload is done.
    Round(Round),
    /// Results of `bench transfer`.
    Bench(Bench),
    /// A trial of a device that the host has passed to the guest has gone as it must.
    Trial {
        /// Which.
        name: String,
        /// How often it was made.
        count: u64,
        /// Microseconds for all of it.
        took_us: u64,
    },
    /// The guest is done and powers off next.
    Finished {
        /// "ok" or a stable code.
        result: String,
        /// What happened, for a person; empty on success.
        message: String,
    },
}

/// What a GPU has presented: an element of a file with schema "ravelin.evidence/1". Public by
/// nature. Every field is base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The certificates, DER, the root first.
    pub certificates: Vec<String>,
    /// GET_VERSION to ALGORITHMS.
    pub vca: String,
    /// GET_MEASUREMENTS.
    pub request: String,
    /// MEASUREMENTS, with its signature.
    pub response: String,
    /// The verifier's nonce, 32 bytes.
    pub nonce: String,
    /// The guest's share in KEY_EXCHANGE, 96 bytes.
    pub exchange_key: String,
}

/// A guest's report and what it binds. Public by nature. Every field is base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReport {
    /// SEV-SNP attestation report, 1,184 bytes.
    pub report: String,
    /// Certificate of the intermediate, DER; empty where the host gave none. The root's is not here:
    /// whoever verifies has pinned their own.
    pub ask: String,
    /// Certificate of the key that signed the report; the same.
    pub vcek: String,
    /// What REPORT_DATA is a digest of.
    #[serde(flatten)]
    pub statement: Statement,
}

/// What a guest says about itself and its GPUs: with a schema, a file "ravelin.guest/1". Every field is
/// base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The nonce that it answers, 32 bytes.
    pub nonce: String,
    /// Its public key, 97 bytes: P-384, SEC1, uncompressed.
    pub key: String,
    /// SHA-384 of the policy that it was told of; null where it was told of none.
    pub policy: Option<String>,
    /// A digest of what each GPU has presented, 48 bytes, in the order of their places.
    pub gpus: Vec<String>,
}

/// One pass of a workload on one GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Place of the GPU.
    pub gpu: u32,
    /// From 1, on each GPU.
    pub number: u64,
    /// Class predicted for each sample, in order.
    pub predictions: Vec<u32>,
    /// SHA-384 of the network's outputs (f32, little-endian, row-major), hex: equal to the plain
    /// reference's exactly when every bit is.
    pub outputs_sha384: String,
    /// What crossed the bus in this round.
    pub transfer: Transfer,
}

/// Bytes and records that crossed the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Plaintext bytes from guest to GPU.
    pub h2d_bytes: u64,
    /// Plaintext bytes from GPU to guest.
    pub d2h_bytes: u64,
    /// Records, both ways, commands included.
    pub records: u64,
}

/// What `bench transfer` measured inside the guest. Speeds in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// Bytes moved each way for one measurement.
    pub size: u64,
    /// Bytes of a record.
    pub chunk: u32,
    /// Guest to GPU, sealed, moved, opened.
    pub h2d: f64,
    /// GPU to guest, sealed, moved, opened.
    pub d2h: f64,
    /// The cipher alone, sealing records of `chunk` bytes out of place in private memory.
    pub raw_seal: f64,
    /// The cipher alone, opening them.
    pub raw_open: f64,
    /// Memory copy of `size` bytes.
    pub memcpy: f64,
    /// Microseconds of one empty command, there and back.
    pub round_trip_us: f64,
    /// Whether the bytes that came back are those sent.
    pub intact: bool,
}
