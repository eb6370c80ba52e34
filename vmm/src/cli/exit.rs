//! Exit codes: what a script may branch on. They are stable; new ones get new numbers.

/// An exit code of `ravelin` or `ravelinctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// The guest reported success, or the operator's command was done.
    Ok = 0,
    /// Something failed that no other code names.
    Internal = 1,
    /// The command line is not understood.
    Usage = 2,
    /// There is no `/dev/kvm`.
    KvmAbsent = 3,
    /// `/dev/kvm` may not be opened by this user.
    KvmPermission = 4,
    /// KVM lacks something that a VM needs.
    KvmUnsuitable = 5,
    /// A size is no number.
    SizeUnreadable = 6,
    /// A size is 0, too small, or between two units.
    SizeTooSmall = 7,
    /// A size is beyond the address space.
    SizeTooLarge = 8,
    /// A GPU is not described as one can be.
    BadGpu = 9,
    /// A name cannot be one.
    BadName = 10,
    /// A live VM has the name.
    NameInUse = 11,
    /// The runtime directory cannot be used.
    RuntimeDirectory = 12,
    /// The VM's TOML file cannot be read or understood.
    BadFile = 13,
    /// The images' file cannot be read.
    ImagesUnreadable = 14,
    /// The images have another shape than the network takes.
    ImagesShape = 15,
    /// An image has a value outside 0 to 16.
    ImagesValue = 16,
    /// The guest image cannot be read or loaded.
    GuestImage = 17,
    /// The guest reported a failure.
    GuestFailed = 20,
    /// The guest ended without a report of its end.
    GuestDied = 21,
    /// The guest's result is not that of the plain computation.
    WrongResult = 22,
    /// No VM has the name.
    NoSuchVm = 30,
    /// The VM of that name is dead.
    VmDead = 31,
    /// The VM has no GPU of that number.
    NoSuchGpu = 32,
    /// The VM refused the request, or its answer is not understood.
    ControlFailed = 33,
    /// The server cannot listen on the address.
    Listen = 40,
    /// The capture cannot be written.
    Capture = 41,
    /// The evidence cannot be written, or there is none.
    Evidence = 42,
    /// The program that the subcommand runs is not installed.
    ToolAbsent = 50,
    /// The program that the subcommand runs cannot be started.
    ToolBroken = 51,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM or SIGHUP.
    Terminated = 143,
}

/// The table that `--help` ends with.
pub const TABLE: &str = "\
Exit codes:
   0  ok                   the guest reported success
   1  internal             something failed that no other code names
   2  usage                the command line is not understood
   3  kvm-absent           there is no /dev/kvm
   4  kvm-permission       /dev/kvm may not be opened by this user
   5  kvm-unsuitable       KVM lacks something that a VM needs
   6  size-unreadable      a size is no number
   7  size-too-small       a size is 0, too small, or between two units
   8  size-too-large       a size is beyond the address space
   9  bad-gpu              a GPU is not described as one can be
  10  bad-name             a name cannot be one
  11  name-in-use          a live VM has the name
  12  runtime-directory    the runtime directory cannot be used
  13  bad-file             the VM's TOML file cannot be read or understood
  14  images-unreadable    the images' file cannot be read
  15  images-shape         the images have another shape than the network takes
  16  images-value         an image has a value outside 0 to 16
  17  guest-image          the guest image cannot be read or loaded
  20  guest-failed         the guest reported a failure
  21  guest-died           the guest ended without a report of its end
  22  wrong-result         the result is not that of the plain computation
  30  no-such-vm           no VM has the name
  31  vm-dead              the VM of that name is dead
  32  no-such-gpu          the VM has no GPU of that number
  33  control-failed       the VM refused the request
  40  listen               the server cannot listen on the address
  41  capture              the capture cannot be written
  42  evidence             the evidence cannot be written, or there is none
  50  tool-absent          the program that the subcommand runs is not installed
  51  tool-broken          the program that the subcommand runs cannot be started
 130  interrupted          ended by SIGINT
 143  terminated           ended by SIGTERM or SIGHUP";

impl ExitCode {
    /// The code's stable name, as `result` has it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ExitCode::Ok => "ok",
            ExitCode::Internal => "internal",
            ExitCode::Usage => "usage",
            ExitCode::KvmAbsent => "kvm-absent",
            ExitCode::KvmPermission => "kvm-permission",
            ExitCode::KvmUnsuitable => "kvm-unsuitable",
            ExitCode::SizeUnreadable => "size-unreadable",
            ExitCode::SizeTooSmall => "size-too-small",
            ExitCode::SizeTooLarge => "size-too-large",
            ExitCode::BadGpu => "bad-gpu",
            ExitCode::BadName => "bad-name",
            ExitCode::NameInUse => "name-in-use",
            ExitCode::RuntimeDirectory => "runtime-directory",
            ExitCode::BadFile => "bad-file",
            ExitCode::ImagesUnreadable => "images-unreadable",
            ExitCode::ImagesShape => "images-shape",
            ExitCode::ImagesValue => "images-value",
            ExitCode::GuestImage => "guest-image",
            ExitCode::GuestFailed => "guest-failed",
            ExitCode::GuestDied => "guest-died",
            ExitCode::WrongResult => "wrong-result",
            ExitCode::NoSuchVm => "no-such-vm",
            ExitCode::VmDead => "vm-dead",
            ExitCode::NoSuchGpu => "no-such-gpu",
            ExitCode::ControlFailed => "control-failed",
            ExitCode::Listen => "listen",
            ExitCode::Capture => "capture",
            ExitCode::Evidence => "evidence",
            ExitCode::ToolAbsent => "tool-absent",
            ExitCode::ToolBroken => "tool-broken",
            ExitCode::Interrupted => "interrupted",
            ExitCode::Terminated => "terminated",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}
