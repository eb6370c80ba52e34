//! The emulated machine as data, and the QEMU command line that it makes. Nothing is started here.

use std::ffi::OsString;
use std::path::Path;

/// A machine with nested SVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpus: u8,
    pub(crate) memory_mib: u32,
    pub(crate) devices: &'static [Device],
}

/// What stands on the machine's bus besides the serial ports and the IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// QEMU's teaching device: MMIO, a DMA engine, MSI, no reset.
    Edu,
    /// An NVMe controller behind a root port of its own: MSI-X, FLR and a bus to reset. The port is no
    /// faster than 5 GT/s, as faster ones are asked after a reset whether their link is up, and QEMU's
    /// say no if ACPI plugs in their devices.
    Nvme,
    /// Two functions behind one bridge to conventional PCI, and so in one IOMMU group: a teaching
    /// device, and a virtio one that the machine's kernel has a driver for.
    Neighbours,
}

impl Device {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Edu => &["-device", "edu"],
            Self::Nvme => &[
                "-blockdev",
                "driver=null-co,node-name=nothing,size=67108864,read-zeroes=on",
                "-device",
                "pcie-root-port,id=port1,chassis=1,x-speed=5",
                "-device",
                "nvme,serial=rig,drive=nothing,bus=port1",
            ],
            Self::Neighbours => &[
                "-device",
                "pcie-root-port,id=port2,chassis=2",
                "-device",
                "pcie-pci-bridge,id=pci1,bus=port2",
                "-device",
                "edu,bus=pci1,addr=1",
                "-device",
                "virtio-rng-pci,bus=pci1,addr=2",
            ],
        }
    }
}

/// Where the machine's console goes. The line to the rig is the second port in both cases.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Console<'a> {
    /// Into a file; events come on QEMU's standard output.
    File(&'a Path),
    /// To the person at this terminal; events go to a file.
    Terminal {
        /// Which.
        events: &'a Path,
    },
}

/// The outer kernel's command line. `tsc=unstable`: otherwise its clock source switches some
/// seconds after boot, and timers of inner guests stall. `no_timer_check`: on a loaded host too few of
/// the timer's interrupts come in time, and the kernel panics for want of them.
const KERNEL_COMMAND_LINE: &str =
    "console=ttyS0 reboot=t panic=-1 intel_iommu=on iommu=pt tsc=unstable no_timer_check";

impl Machine {
    /// The command that boots the machine, and ends when it does or when the rig dies.
    pub(crate) fn command(
        &self,
        kernel: &Path,
        initramfs: &Path,
        console: Console<'_>,
    ) -> Vec<OsString> {
        let mut command: Vec<OsString> = Vec::new();
        let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(OsString::from));
        add(&["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"]);
        add(&["-machine", "q35,kernel-irqchip=off", "-accel", "tcg,thread=multi"]);
        add(&["-cpu", "EPYC,+svm,+npt"]);
        add(&["-smp", &self.cpus.to_string(), "-m", &self.memory_mib.to_string()]);
        add(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        // iommufd refuses devices whose interrupts are not remapped.
        add(&["-device", "intel-iommu,intremap=on,eim=off,caching-mode=on"]);
        for device in self.devices {
            add(device.arguments());
        }
        match console {
            Console::File(path) => add(&["-serial", &file(path), "-serial", "stdio"]),
            Console::Terminal { events } => {
                add(&["-serial", "mon:stdio", "-serial", &file(events)]);
            }
        }
        let quiet = matches!(console, Console::Terminal { .. });
        let line = if quiet { " quiet" } else { "" };
        add(&["-append", &format!("{KERNEL_COMMAND_LINE}{line}")]);
        command.extend(["-kernel".into(), kernel.into(), "-initrd".into(), initramfs.into()]);
        command
    }
}

/// A character device that is a file. QEMU reads a doubled comma as one.
fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine =
        Machine { cpus: 2, memory_mib: 4096, devices: &[Device::Edu, Device::Nvme] };

    fn line(console: Console<'_>) -> String {
        MACHINE
            .command(Path::new("/k/vmlinuz"), Path::new("/i"), console)
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_machine_has_nested_svm_an_iommu_and_its_devices() {
        let line = line(Console::File(Path::new("/log")));
        for part in [
            "EPYC,+svm,+npt",
            "-accel tcg,thread=multi",
            "intel-iommu,intremap=on,eim=off",
            "-device edu",
            "-device nvme,serial=rig",
            "-kernel /k/vmlinuz -initrd /i",
            "tsc=unstable",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn the_rig_listens_on_the_second_port_and_a_person_on_the_first() {
        let run = line(Console::File(Path::new("/log")));
        assert!(run.contains("-serial file:/log -serial stdio"), "{run}");
        let shell = line(Console::Terminal { events: Path::new("/events") });
        assert!(shell.contains("-serial mon:stdio -serial file:/events"), "{shell}");
    }
}
