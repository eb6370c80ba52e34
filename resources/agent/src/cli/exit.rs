//! Exit codes: what a script may branch on. They are stable; new ones get new numbers.

use ravelin_driver::Error as DriverError;
use ravelin_workload::task;

use crate::sysfs;
use crate::work::Error;

/// An exit code of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Ok = 0,
    /// Something that no other code names.
    Internal = 1,
    /// The command line is not understood.
    Usage = 2,
    /// There is no GPU.
    NoGpu = 10,
    /// A GPU cannot be reached.
    GpuUnreachable = 11,
    /// There is no memory to share with a GPU.
    NoSharedMemory = 12,
    /// The report cannot be written.
    Report = 13,
    /// A GPU was refused.
    Refused = 20,
    /// A GPU was lost again and again.
    GpuLost = 21,
    /// The workload failed.
    WorkFailed = 22,
    /// The result is wrong.
    WrongResult = 23,
}

impl ExitCode {
    /// Every code, by number, with its stable name and what it says to a person.
    pub const ALL: [(ExitCode, &str, &str); 11] = [
        (ExitCode::Ok, "ok", "everything was done"),
        (ExitCode::Internal, "internal", "something failed that no other code names"),
        (ExitCode::Usage, "usage", "the command line is not understood"),
        (ExitCode::NoGpu, "no-gpu", "there is no APM GPU on the PCI bus"),
        (ExitCode::GpuUnreachable, "gpu-unreachable", "a GPU is there and cannot be used"),
        (ExitCode::NoSharedMemory, "no-shared-memory", "a GPU has no shared window"),
        (ExitCode::Report, "report", "the report to the launcher cannot be written"),
        (ExitCode::Refused, "refused", "a GPU did not pass attestation"),
        (ExitCode::GpuLost, "gpu-lost", "a GPU was lost again and again"),
        (ExitCode::WorkFailed, "work-failed", "the work failed on a GPU that is trusted"),
        (ExitCode::WrongResult, "wrong-result", "the result is not the plain computation's"),
    ];

    /// The code for work that was not done.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Machine(sysfs::Error::NoBus(..) | sysfs::Error::NoGpu(_)) => Self::NoGpu,
            Error::Machine(sysfs::Error::NoWindow(_)) => Self::NoSharedMemory,
            Error::Machine(_) => Self::GpuUnreachable,
            Error::Documents(_) => Self::Internal,
            Error::Task(task::Error::Repeated { .. }) => Self::Refused,
            Error::Task(task::Error::KeepsGoing(_)) => Self::GpuLost,
            Error::Task(task::Error::Driver(DriverError::Attest(_))) => Self::Refused,
            Error::Task(task::Error::Driver(DriverError::Discover(_))) => Self::GpuUnreachable,
            Error::Task(_) => Self::WorkFailed,
        }
    }
}

/// The table that `--help` ends with.
pub fn table() -> String {
    ExitCode::ALL.into_iter().fold("Exit codes:".into(), |table, (code, name, meaning)| {
        format!("{table}\n {:3}  {name:20} {meaning}", code as u8)
    })
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}
