//! The suites: what each runs, on which kernel, beside which devices. Adding a suite is adding a
//! row here.

use std::time::Duration;

use crate::kernel::Kernel;
use crate::machine::{Device, Machine};

/// Some work for one machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// One line for people.
    pub(crate) about: &'static str,
    /// Kernels that the machine boots: all of the work on each, one after the other.
    pub(crate) kernels: &'static [Kernel],
    pub(crate) machine: Machine,
    /// Modules that the machine loads, besides those that they need.
    pub(crate) modules: &'static [&'static str],
    /// Files and directories of the work tree that its jobs read, put at the same place.
    pub(crate) files: &'static [&'static str],
    /// Whether the machine has the agent, in `/bin`, for the images of its guests.
    pub(crate) agent: bool,
    /// Programs of the rig's own that jobs run or give to their guests, in `/bin`.
    pub(crate) helpers: &'static [&'static str],
    /// Kernels for guests of the machine: each at `/rig/guests/SERIES`, as the cache has it.
    pub(crate) guests: &'static [Kernel],
    /// Modules for those guests, besides those that they need: at `/rig/guests/SERIES/modules`, named
    /// in the order in which they are to be loaded.
    pub(crate) guest_modules: &'static [&'static str],
    /// Programs of the host's that jobs run, with their libraries.
    pub(crate) programs: &'static [&'static str],
    /// Files of the host's that those programs read, by absolute path; a symbolic link's is its
    /// target's.
    pub(crate) program_files: &'static [&'static str],
    pub(crate) work: &'static [Work],
}

/// A row of a suite.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// All test programs of a package but some, by target name.
    Tests {
        package: &'static str,
        /// Those that cannot run in a machine, as they need cargo or the network.
        except: &'static [&'static str],
    },
    /// One test program of a package, with the tests that other places ignore, one after the other.
    OnlyHere {
        package: &'static str,
        /// The target's name.
        target: &'static str,
    },
    /// Tests of a package's library that other places ignore, by a word in their names, one after the
    /// other.
    LibraryOnlyHere { package: &'static str, word: &'static str },
    /// A command that must exit with 0. Its program is one of package `ravelin`'s, or busybox's.
    Command { name: &'static str, command: &'static [&'static str] },
    /// The same, and what it writes on standard output is for the user.
    Measurement { name: &'static str, command: &'static [&'static str] },
}

/// How long one test program or command may take: emulated KVM is slow, but not that slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(1200);

/// The machine that suites have unless they say otherwise.
const MACHINE: Machine =
    Machine { cpus: 2, memory_mib: 4096, devices: &[Device::Edu, Device::Nvme] };

/// The machine with more to give away.
const MACHINE_WITH_NEIGHBOURS: Machine =
    Machine { devices: &[Device::Edu, Device::Nvme, Device::Neighbours], ..MACHINE };

/// With the NVMe controller; what it prints is in the job's log.
const BENCH: &str = "nvme=$(dirname $(grep -l 0x010802 /sys/bus/pci/devices/*/class)) && \
    ravelinctl bind ${nvme##*/} && ravelin bench conversions --gpu vfio=${nvme##*/}";

const KVM: &[&str] = &["kvm-amd"];

/// Drivers of virtio devices, for guests.
const GUEST_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio-rng",
    "vmw_vsock_virtio_transport",
];

/// What `cargo rig shell` boots.
pub(crate) const SHELL: Suite = Suite {
    name: "shell",
    about: "A shell in the machine, or one command: `cargo rig shell ravelin run --json`",
    kernels: &[Kernel::Stock6_1],
    machine: MACHINE_WITH_NEIGHBOURS,
    modules: &["kvm-amd", "vfio-pci", "vfio_iommu_type1", "virtio_pci", "tun", "vhost_vsock"],
    files: &[],
    agent: true,
    helpers: &[],
    guests: &[Kernel::Stock6_1],
    guest_modules: GUEST_MODULES,
    programs: &[],
    program_files: &[],
    work: &[],
};

/// All suites.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "kvm",
        about: "The KVM tests and the main job on both platforms, on a stock kernel's KVM",
        kernels: &[Kernel::Stock6_1],
        machine: MACHINE,
        modules: KVM,
        files: &["resources/reference-values"],
        agent: false,
        helpers: &[],
        guests: &[],
        guest_modules: &[],
        programs: &[],
        program_files: &[],
        work: &[
            Work::Command {
                name: "the main job, platform emulated",
                command: &["ravelin", "run", "--json", "--platform", "emulated"],
            },
            Work::Command {
                name: "the main job, platform none",
                command: &["ravelin", "run", "--json", "--platform", "none"],
            },
            Work::Tests { package: "ravelin", except: &["agent", "linux", "linux_devices"] },
            Work::Tests { package: "ravelin-tests", except: &["dependencies"] },
        ],
    },
    Suite {
        name: "linux",
        about: "Unmodified Linux guests on both platforms, from every kind of kernel image",
        kernels: &[Kernel::Stock6_1],
        machine: MACHINE,
        modules: &["kvm-amd", "tun"],
        files: &[],
        agent: true,
        helpers: &["rogue-driver"],
        guests: &[Kernel::Stock6_1, Kernel::Stock6_12, Kernel::Stock7_2],
        guest_modules: GUEST_MODULES,
        programs: &["mke2fs", "socat"],
        program_files: &[],
        work: &[
            Work::OnlyHere { package: "ravelin", target: "linux" },
            Work::OnlyHere { package: "ravelin", target: "linux_devices" },
            Work::OnlyHere { package: "ravelin", target: "agent" },
        ],
    },
    Suite {
        name: "vfio",
        about: "Real devices behind a real IOMMU, by VFIO's groups (6.1) and by iommufd (small-7.2)",
        kernels: &[Kernel::Stock6_1, Kernel::Small7_2],
        machine: MACHINE_WITH_NEIGHBOURS,
        modules: &["kvm-amd", "vfio-pci", "vfio_iommu_type1", "virtio_pci"],
        files: &[],
        agent: false,
        helpers: &[],
        guests: &[Kernel::Stock6_1],
        guest_modules: &[],
        programs: &[],
        program_files: &[],
        work: &[
            Work::OnlyHere { package: "ravelin", target: "vfio" },
            Work::OnlyHere { package: "ravelin", target: "vfio_linux" },
            Work::OnlyHere { package: "ravelin", target: "vfio_bad_input" },
            Work::Command { name: "the bench of conversions", command: &["sh", "-c", BENCH] },
        ],
    },
    Suite {
        name: "boot-bench",
        about: "A stock kernel's time to user space and the VMM's memory, beside QEMU's microvm",
        kernels: &[Kernel::Stock6_1],
        machine: MACHINE,
        modules: KVM,
        files: &[],
        agent: false,
        helpers: &["boot-bench"],
        guests: &[Kernel::Stock6_1],
        guest_modules: &[],
        programs: &["qemu-system-x86_64"],
        program_files: &["/usr/share/qemu/bios-microvm.bin", "/usr/share/qemu/kvmvapic.bin"],
        work: &[
            Work::Measurement {
                name: "a bzImage",
                command: &[
                    "boot-bench",
                    "--json",
                    "--check",
                    "--kernel",
                    "/rig/guests/6.1/vmlinuz",
                ],
            },
            Work::Measurement {
                name: "an ELF image",
                command: &[
                    "boot-bench",
                    "--json",
                    "--check",
                    "--kernel",
                    "/rig/guests/6.1/vmlinux",
                ],
            },
        ],
    },
    Suite {
        name: "snp-memory",
        about: "Private memory that only the guest has, on a kernel with software-protected VMs",
        kernels: &[Kernel::Small7_2],
        machine: Machine { devices: &[], ..MACHINE },
        modules: KVM,
        files: &[],
        agent: false,
        helpers: &[],
        guests: &[],
        guest_modules: &[],
        programs: &[],
        program_files: &[],
        work: &[
            Work::Command { name: "this host, by the doctor", command: &["ravelin", "doctor"] },
            Work::LibraryOnlyHere { package: "ravelin", word: "snp_memory" },
        ],
    },
];

/// The suite of a name.
pub(crate) fn find(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_names_of_their_own_and_something_to_do() {
        for (index, suite) in SUITES.iter().enumerate() {
            assert!(!suite.work.is_empty(), "{} does nothing", suite.name);
            assert!(!suite.kernels.is_empty(), "{} boots nothing", suite.name);
            assert!(SUITES[..index].iter().all(|other| other.name != suite.name));
            assert_ne!(suite.name, SHELL.name);
        }
    }

    #[test]
    fn every_suite_says_which_files_it_takes_from_the_work_tree() {
        for suite in SUITES {
            for file in suite.files {
                let path = crate::workspace::root().join(file);
                assert!(path.exists(), "{}: {} does not exist", suite.name, path.display());
            }
        }
    }
}
