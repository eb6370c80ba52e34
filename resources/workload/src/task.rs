//! What all workloads have in common: the way out, repetition, and what can go wrong.

use alloc::string::{String, ToString};

use ravelin_attestation::Code;
use ravelin_driver::attest;
use ravelin_report::Event;

use crate::witness;

/// The way out: reports for the launcher, and time to let pass.
pub trait Host {
    /// Reports an event. Everything in it becomes known to the host.
    fn report(&mut self, event: &Event);
    /// Does nothing for so many microseconds.
    fn pause(&mut self, microseconds: u64);
}

/// How often a workload is to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// So many times.
    Times(u64),
    /// Until the machine is stopped.
    Forever,
}

impl Repeat {
    /// Whether round `number`, from 1, is one of them.
    pub fn includes(self, number: u64) -> bool {
        match self {
            Repeat::Times(times) => number <= times,
            Repeat::Forever => true,
        }
    }
}

/// Why a workload ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver, or the verdict on the GPU.
    #[error(transparent)]
    Driver(#[from] ravelin_driver::Error),
    /// The payload.
    #[error("The payload cannot be used: {0}")]
    Payload(#[from] ravelin_digits::Error),
    /// The GPU's memory is too small.
    #[error(
        "The workload needs {needed} bytes of GPU memory, there are {given}; give the GPU more"
    )]
    GpuMemory {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        given: u64,
    },
    /// A size that cannot be measured.
    #[error("Measuring {0} bytes makes no sense; choose a size from 1 byte to the guest's memory")]
    Size(u64),
    /// The cipher, measured alone, fails.
    #[error("The cipher fails: {0}")]
    Cipher(#[from] ravelin_channel::Error),
    /// The GPU is lost again and again.
    #[error("The GPU was lost {0} times in a row; see the events of the GPU")]
    KeepsGoing(u32),
    /// Two of the guest's GPUs are one device.
    #[error("The same device stands at another place too; give each GPU its own")]
    Repeated {
        /// SHA-384 of the device identity's public key.
        identity: [u8; 48],
    },
    /// There is no report on the guest, which was asked for.
    #[error(transparent)]
    Report(#[from] witness::Error),
    /// Something that must be refused was not.
    #[error("The probe got through: {0}")]
    Probe(&'static str),
}

impl Error {
    /// The device that was refused, where it proved which one it is.
    pub fn identity(&self) -> Option<&[u8; 48]> {
        match self {
            Error::Repeated { identity } => Some(identity),
            Error::Driver(ravelin_driver::Error::Attest(attest::Error::Refused {
                identity,
                ..
            })) => identity.as_ref(),
            _ => None,
        }
    }

    /// The stable code that the guest's last report gives as its result.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Driver(error) => error.code(),
            Error::Payload(_) => "bad-payload",
            Error::GpuMemory { .. } => "gpu-memory",
            Error::Size(_) => "bad-size",
            Error::Cipher(_) => "cipher",
            Error::KeepsGoing(_) => "gpu-lost",
            Error::Report(_) => "no-report",
            Error::Repeated { .. } => Code::IdentityRepeated.as_str(),
            Error::Probe(_) => "probe-got-through",
        }
    }
}

/// An error and everything that caused it, in one line.
pub fn in_words(error: &dyn core::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .collect()
}
