//! What the guest is started for: `workload=` on its command line chooses.

mod idle;
mod on_gpu;
mod probe;
mod trial;

use crate::machine::Machine;
use alloc::string::String;
use ravelin_workload::parameters;
use ravelin_workload::task::in_words;

/// Why a workload ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable code.
    pub code: &'static str,
    /// What happened, for a person.
    pub message: String,
}

impl Failure {
    /// A failure with this code; the whole chain of `error` is the message.
    pub fn new(code: &'static str, error: &dyn core::error::Error) -> Self {
        Self { code, message: in_words(error) }
    }
}

impl From<parameters::Error> for Failure {
    fn from(error: parameters::Error) -> Self {
        Self::new("bad-parameter", &error)
    }
}

/// Runs the workload that the command line names.
///
/// # Errors
/// It did not succeed.
pub fn run(machine: &mut Machine) -> Result<(), Failure> {
    match machine.parameters.get("workload") {
        Some("digits") => on_gpu::digits(machine),
        Some("bench") => on_gpu::bench(machine),
        Some("idle") if has_gpu(machine) => on_gpu::idle(machine),
        Some("idle") => idle::run(machine),
        Some("probe") => probe::run(machine),
        Some("edu") => trial::edu::run(machine),
        Some("nvme") => trial::nvme::run(machine),
        name => Err(Failure {
            code: "unknown-workload",
            message: alloc::format!("no workload is called {:?}", name.unwrap_or_default()),
        }),
    }
}

fn has_gpu(machine: &Machine) -> bool {
    machine.gpus().is_ok_and(|gpus| !gpus.is_empty())
}
