//! The contenders and their command lines.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// A VMM with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vmm {
    /// Ravelin, where nothing is protected: what QEMU does.
    Ravelin,
    /// Ravelin with private memory: the kernel converts pages and copies through bounce buffers.
    RavelinEmulated,
    /// QEMU's smallest machine, without what a PC had and Ravelin has not.
    QemuMicrovm,
}

impl Vmm {
    /// All of them, in the order in which they take turns.
    pub(crate) const ALL: [Self; 3] = [Self::Ravelin, Self::QemuMicrovm, Self::RavelinEmulated];

    /// The command that boots the kernel with its console on standard output.
    pub(crate) fn command(
        self,
        kernel: &Path,
        initrd: &Path,
        memory_mib: u64,
        words: &str,
    ) -> Vec<OsString> {
        let memory = format!("{memory_mib}M");
        let start: &[&str] = match self {
            Self::Ravelin => &["ravelin", "run", "--platform", "none"],
            Self::RavelinEmulated => &["ravelin", "run", "--platform", "emulated"],
            Self::QemuMicrovm => &[
                "qemu-system-x86_64",
                "-machine",
                "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,auto-kernel-cmdline=off",
                "-accel",
                "kvm",
                "-cpu",
                "host",
                "-smp",
                "1",
            ],
        };
        let (options, dash): (&[&str], _) = match self {
            Self::Ravelin | Self::RavelinEmulated => {
                (&["--gpu", "none", "--serial", "stdio", "--memory", &memory], "--")
            }
            Self::QemuMicrovm => (
                &[
                    "-nodefaults",
                    "-no-user-config",
                    "-no-reboot",
                    "-display",
                    "none",
                    "-serial",
                    "stdio",
                    "-m",
                    &memory,
                ],
                "-",
            ),
        };
        let words_option = if dash == "-" { "append" } else { "cmdline" };
        let mut command: Vec<OsString> = start.iter().chain(options).map(OsString::from).collect();
        for (option, value) in [
            ("kernel", kernel.as_os_str()),
            ("initrd", initrd.as_os_str()),
            (words_option, words.as_ref()),
        ] {
            command.extend([format!("{dash}{option}").into(), value.into()]);
        }
        command
    }

    /// As in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ravelin => "ravelin-none",
            Self::RavelinEmulated => "ravelin-emulated",
            Self::QemuMicrovm => "qemu-microvm",
        }
    }
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
