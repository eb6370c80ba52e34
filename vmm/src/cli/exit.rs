//! Exit codes: what a script may branch on. They are stable; new ones get new numbers.

/// Lays the codes out once: the enum, the stable names, and what `--help` says of each.
macro_rules! exit_codes {
    ($($variant:ident = $code:literal, $name:literal, $meaning:literal;)*) => {
        /// An exit code of `ravelin` or `ravelinctl`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ExitCode {
            $(#[doc = $meaning] $variant = $code,)*
        }

        impl ExitCode {
            /// Every code, by number.
            pub const ALL: &[ExitCode] = &[$(ExitCode::$variant,)*];

            /// The code's stable name, as `result` has it in JSON.
            pub fn name(self) -> &'static str {
                match self {
                    $(ExitCode::$variant => $name,)*
                }
            }

            /// What the code says, for a person.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(ExitCode::$variant => $meaning,)*
                }
            }
        }
    };
}

exit_codes! {
    Ok = 0, "ok", "the guest reported success, or the command was done";
    Internal = 1, "internal", "something failed that no other code names";
    Usage = 2, "usage", "the command line is not understood";
    KvmAbsent = 3, "kvm-absent", "there is no /dev/kvm";
    KvmPermission = 4, "kvm-permission", "/dev/kvm may not be opened by this user";
    KvmUnsuitable = 5, "kvm-unsuitable", "KVM lacks something that a VM needs";
    SizeUnreadable = 6, "size-unreadable", "a size is no number";
    SizeTooSmall = 7, "size-too-small", "a size is 0, too small, or between two units";
    SizeTooLarge = 8, "size-too-large", "a size is beyond the address space";
    BadGpu = 9, "bad-gpu", "a GPU is not described as one can be";
    BadName = 10, "bad-name", "a name cannot be one";
    NameInUse = 11, "name-in-use", "a live VM has the name";
    RuntimeDirectory = 12, "runtime-directory", "the runtime directory cannot be used";
    BadFile = 13, "bad-file", "the VM's TOML file cannot be read or understood";
    ImagesUnreadable = 14, "images-unreadable", "the images' file cannot be read";
    ImagesShape = 15, "images-shape", "the images have another shape than the network takes";
    ImagesValue = 16, "images-value", "an image has a value outside 0 to 16";
    GuestImage = 17, "guest-image", "the guest image cannot be read or loaded";
    BadKernel = 18, "bad-kernel", "the Linux kernel cannot be read or is none";
    BadInitrd = 19, "bad-initrd", "the initrd cannot be read or does not fit";
    GuestFailed = 20, "guest-failed", "the guest reported a failure";
    GuestDied = 21, "guest-died", "the guest ended without a report of its end";
    WrongResult = 22, "wrong-result", "the result is not that of the plain computation";
    GuestReset = 23, "guest-reset", "the Linux guest asked for a reset";
    BadCommandLine = 24, "bad-cmdline", "the kernel does not take that command line";
    BadCpus = 25, "bad-cpus", "no vCPU, or too many";
    BadSerial = 26, "bad-serial", "the console's file cannot be written, or stdout is taken";
    BadDisk = 27, "bad-disk", "a disk is missing, in use, out of reach or no disk";
    BadNet = 28, "bad-net", "a tap is missing, in use, out of reach or no tap";
    BadVsock = 29, "bad-vsock", "the socket device's id or socket cannot be used";
    NoSuchVm = 30, "no-such-vm", "no VM has the name";
    VmDead = 31, "vm-dead", "the VM of that name is dead";
    NoSuchGpu = 32, "no-such-gpu", "the VM has no GPU of that number";
    ControlFailed = 33, "control-failed", "the VM refused the request";
    Listen = 40, "listen", "the server cannot listen on the address";
    Capture = 41, "capture", "the capture cannot be written";
    Evidence = 42, "evidence", "the evidence cannot be written, or there is none";
    Image = 43, "image", "the image cannot be made";
    ToolAbsent = 50, "tool-absent", "the program that the subcommand runs is not installed";
    ToolBroken = 51, "tool-broken", "the program that the subcommand runs cannot be started";
    SnpLaunch = 59, "snp-launch", "the SNP launch failed";
    HostUnable = 60, "host-unable", "this host cannot do what was asked for: see ravelin doctor";
    NoSuchDevice = 63, "no-such-device", "the host has no PCI function of that address";
    DeviceInUse = 64, "device-in-use", "the PCI function works for the host or for a VM";
    DeviceUnusable = 65, "device-unusable", "the PCI function cannot be bound, given to a VM or given back";
    DevicePermission = 66, "device-permission", "this user may not open the PCI function";
    NoIommu = 67, "no-iommu", "no IOMMU confines the PCI function";
    LockedMemory = 68, "locked-memory", "this user may lock less memory than a device reaches";
    Interrupted = 130, "interrupted", "ended by SIGINT";
    Terminated = 143, "terminated", "ended by SIGTERM or SIGHUP";
}

/// Those that `ravelinctl` ends with.
pub const OPERATOR: &[ExitCode] = &[
    ExitCode::Ok,
    ExitCode::Internal,
    ExitCode::Usage,
    ExitCode::RuntimeDirectory,
    ExitCode::NoSuchVm,
    ExitCode::VmDead,
    ExitCode::NoSuchGpu,
    ExitCode::ControlFailed,
    ExitCode::NoSuchDevice,
    ExitCode::DeviceInUse,
    ExitCode::DeviceUnusable,
    ExitCode::Interrupted,
    ExitCode::Terminated,
];

/// The table of these codes that `--help` ends with.
pub fn table(codes: &[ExitCode]) -> String {
    codes.iter().fold("Exit codes:".into(), |table, code| {
        format!("{table}\n {:3}  {:20} {}", *code as u8, code.name(), code.meaning())
    })
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}
