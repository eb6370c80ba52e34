//! The questions: what each platform takes, where it is to be found, and what to do where it is not.

use super::{Check, Host, State};
use crate::kvm;
use crate::platform::snp::firmware;
use kvm_bindings::{
    KVM_CAP_GUEST_MEMFD, KVM_CAP_MEMORY_ATTRIBUTES, KVM_CAP_USER_MEMORY2, KVM_CAP_VM_TYPES,
    KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_X86_SNP_VM,
};
use std::io;

const KVM: &str = "/dev/kvm";
/// CPUID 0x8000001F EAX: the processor has SEV, SEV-ES, SEV-SNP.
const ENCRYPTION: u32 = 0x8000_001f;
const SEV_SNP: u32 = 1 << 4;
/// The first kernel whose KVM launches SNP guests.
const LEAST_KERNEL: (u32, u32) = (6, 11);
/// The first kernel whose KVM asks for certificates.
const KERNEL_WITH_CERTIFICATES: (u32, u32) = (7, 0);
const PARAMETER: &str = "/sys/module/kvm_amd/parameters/sev_snp";

/// Platform `none`.
pub(super) fn none(host: &dyn Host) -> Vec<Check> {
    let mut checks = vec![kvm_device(host), capabilities(host, &[&kvm::NEEDED])];
    checks.extend(hardware(host));
    checks
}

/// Platform `emulated`.
pub(super) fn emulated(host: &dyn Host) -> Vec<Check> {
    let needed = [&kvm::NEEDED[..], &kvm::NEEDED_BY_EMULATED];
    let mut checks = vec![kvm_device(host), capabilities(host, &needed)];
    let linux = capabilities(host, &[&kvm::NEEDED_BY_EMULATED_LINUX]);
    if linux.state == State::Missing {
        let fix = Some("use Linux 5.13 or newer for Linux guests".into());
        checks.push(Check { id: "hypercalls", state: State::Limited, fix, ..linux });
    }
    checks.extend(hardware(host));
    checks
}

/// Platform `snp`.
pub(super) fn snp(host: &dyn Host) -> Vec<Check> {
    let mut checks = vec![snp_processor(host), kernel(host), snp_parameter(host), kvm_device(host)];
    checks.push(vm_type(host));
    checks.push(private_memory(host));
    checks.push(attributes(host));
    let needed = [&kvm::NEEDED[..], &kvm::NEEDED_BY_EMULATED_LINUX];
    checks.push(capabilities(host, &needed));
    checks.extend(secure_processor(host));
    checks.push(certificates(host));
    checks
}

/// Devices assigned to guests.
pub(super) fn vfio(host: &dyn Host) -> Vec<Check> {
    let groups = host.list("/sys/kernel/iommu_groups").len();
    let iommu = match groups {
        0 => missing(
            "iommu",
            "no IOMMU group in /sys/kernel/iommu_groups",
            "turn the IOMMU on in the firmware's set-up (AMD-Vi, VT-d), and boot with intel_iommu=on on Intel",
        ),
        groups => ok("iommu", format!("{groups} IOMMU groups")),
    };
    let driver = match host.list("/sys/bus/pci/drivers").iter().any(|name| name == "vfio-pci") {
        true => ok("vfio-pci", "the driver vfio-pci is there"),
        false => missing("vfio-pci", "no driver vfio-pci", "sudo modprobe vfio-pci"),
    };
    let device = match (host.open("/dev/vfio/vfio"), host.open("/dev/iommu")) {
        (Ok(()), _) => ok("device", "/dev/vfio/vfio"),
        (_, Ok(())) => ok("device", "/dev/iommu"),
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => missing(
            "device",
            "no permission on /dev/vfio/vfio",
            "sudo chmod 666 /dev/vfio/vfio, and sudo chown $USER /dev/vfio/GROUP of the device",
        ),
        _ => missing(
            "device",
            "neither /dev/vfio/vfio nor /dev/iommu",
            "sudo modprobe vfio_iommu_type1 (or iommufd)",
        ),
    };
    vec![iommu, driver, device]
}

fn ok(id: &'static str, found: impl Into<String>) -> Check {
    Check { id, state: State::Ok, found: found.into(), fix: None }
}

fn missing(id: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { id, state: State::Missing, found: found.into(), fix: Some(fix.into()) }
}

fn unknown(id: &'static str, found: impl Into<String>) -> Check {
    Check { id, state: State::Unknown, found: found.into(), fix: None }
}

/// A field of /proc/cpuinfo, of the first processor.
fn cpuinfo(host: &dyn Host, field: &str) -> Option<String> {
    let text = host.read("/proc/cpuinfo")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == field).map(|(_, value)| value.trim().to_owned())
}

fn has_flag(host: &dyn Host, flag: &str) -> bool {
    cpuinfo(host, "flags").is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
}

/// The processor's name.
pub(super) fn processor(host: &dyn Host) -> String {
    cpuinfo(host, "model name").unwrap_or_else(|| "unknown".into())
}

/// Whether a hypervisor runs this host.
pub(super) fn is_virtual(host: &dyn Host) -> bool {
    has_flag(host, "hypervisor")
}

/// What stands behind `/dev/kvm`.
pub(super) fn kvm_kind(host: &dyn Host) -> &'static str {
    let modules = host.list("/sys/module");
    let loaded = |name: &str| modules.iter().any(|module| module == name);
    // One of them can be in the kernel without serving: whose processor it is decides.
    match () {
        () if loaded("kvm_pvm") => "pvm",
        () if loaded("kvm_amd") && (has_flag(host, "svm") || !loaded("kvm_intel")) => "amd",
        () if loaded("kvm_intel") => "intel",
        () => "unknown",
    }
}

fn kvm_device(host: &dyn Host) -> Check {
    match host.open(KVM) {
        Ok(()) => ok("kvm", format!("{KVM} opens")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => missing(
            "kvm",
            format!("no permission on {KVM}"),
            "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && sudo usermod -aG kvm $USER, then log in again",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound && kvm_kind(host) != "unknown" => {
            missing(
                "kvm",
                format!("KVM is loaded, and there is no {KVM} here"),
                "in a container, give it the device (--device /dev/kvm); elsewhere sudo mknod /dev/kvm c 10 232",
            )
        }
        Err(_) if is_virtual(host) => missing(
            "kvm",
            format!("{KVM} does not open"),
            "this is a virtual machine: turn nested virtualization on in its host, then modprobe kvm-amd or kvm-intel",
        ),
        Err(_) => missing(
            "kvm",
            format!("{KVM} does not open"),
            "turn virtualization on in the firmware's set-up (SVM, VT-x), then sudo modprobe kvm-amd or kvm-intel",
        ),
    }
}

/// What every platform runs on, if less well.
fn hardware(host: &dyn Host) -> Option<Check> {
    (kvm_kind(host) == "pvm").then(|| Check {
        id: "hardware-virtualization",
        state: State::Limited,
        found: "KVM is kvm_pvm, without hardware virtualization: the built-in guest runs, Linux does not boot".into(),
        fix: Some("run Linux guests on a machine with SVM or VT-x, or in the nested rig (`cargo rig linux`)".into()),
    })
}

fn capabilities(host: &dyn Host, needed: &[&[(kvm_ioctls::Cap, &'static str)]]) -> Check {
    let mut absent = Vec::new();
    for (capability, name) in needed.iter().copied().flatten() {
        match host.kvm_capability(*capability as u32) {
            Err(_) => return unknown("capabilities", "KVM cannot be asked"),
            Ok(1..) => {}
            Ok(_) => absent.push(*name),
        }
    }
    match absent.as_slice() {
        [] => ok("capabilities", "KVM has what the VMM asks of it"),
        absent => missing(
            "capabilities",
            format!("KVM has no {}", absent.join(", no ")),
            "use a newer kernel",
        ),
    }
}

fn snp_processor(host: &dyn Host) -> Check {
    let id = "processor";
    if cpuinfo(host, "vendor_id").as_deref() != Some("AuthenticAMD") {
        let fix = "use a machine with an AMD EPYC 7003 (Milan) or newer";
        return missing(id, "the processor is not AMD's", fix);
    }
    match (host.cpuid(ENCRYPTION) & SEV_SNP != 0, is_virtual(host)) {
        (true, _) => ok(id, "the processor has SEV-SNP"),
        (false, true) => missing(
            id,
            "this is a virtual machine, and its processor shows no SEV-SNP",
            "run on the machine itself: an SNP guest cannot have SNP guests",
        ),
        (false, false) => missing(
            id,
            "the processor shows no SEV-SNP (CPUID 0x8000001F)",
            "use an AMD EPYC 7003 (Milan) or newer; on one, turn SMEE and SEV-SNP on in the firmware's set-up",
        ),
    }
}

fn kernel(host: &dyn Host) -> Check {
    let release = host.kernel_release();
    match version(&release) {
        Some(version) if version >= LEAST_KERNEL => ok("kernel", format!("Linux {release}")),
        Some(_) => missing(
            "kernel",
            format!("Linux {release} launches no SNP guests"),
            "boot Linux 6.11 or newer, built with CONFIG_KVM_AMD_SEV",
        ),
        None => unknown("kernel", format!("{release:?} is no release that is understood")),
    }
}

/// Major and minor number of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn snp_parameter(host: &dyn Host) -> Check {
    let id = "kvm_amd";
    match host.read(PARAMETER).as_deref().map(str::trim) {
        Some("Y" | "1") => ok(id, format!("{PARAMETER} is Y")),
        Some(other) => {
            // The kernel says no where its own preparation failed: what the processor has is not on.
            let fix = match has_flag(host, "sev_snp") {
                true => {
                    "echo 'options kvm_amd sev=1 sev_es=1 sev_snp=1' | sudo tee /etc/modprobe.d/snp.conf, then load kvm_amd anew"
                }
                false => {
                    "in the firmware's set-up: SMEE on, SEV-SNP support on, SNP memory (RMP table) coverage on, IOMMU on, SEV-ES ASID space limit above 1; boot without iommu=pt and with iommu on; see `dmesg | grep -i -e sev -e rmp`"
                }
            };
            missing(id, format!("{PARAMETER} is {other}"), fix)
        }
        None => missing(
            id,
            "kvm_amd has no parameter sev_snp, or is not loaded",
            "sudo modprobe kvm_amd sev=1 sev_es=1 sev_snp=1, on a kernel with CONFIG_KVM_AMD_SEV",
        ),
    }
}

fn vm_type(host: &dyn Host) -> Check {
    let id = "vm-type";
    match host.kvm_capability(KVM_CAP_VM_TYPES) {
        Err(_) => unknown(id, "KVM cannot be asked"),
        Ok(types) if types & 1 << KVM_X86_SNP_VM != 0 => ok(id, "KVM makes VMs of type SNP"),
        Ok(types) => {
            // A kernel that does not know the question makes the default type only.
            let types: Vec<_> = (0..32).filter(|bit| types.max(1) & 1 << bit != 0).collect();
            let fix = "mend what is above; if nothing is, see `dmesg | grep -i sev`";
            missing(id, format!("KVM makes VMs of types {types:?}, SNP is {KVM_X86_SNP_VM}"), fix)
        }
    }
}

fn private_memory(host: &dyn Host) -> Check {
    let id = "guest_memfd";
    let asked =
        (host.kvm_capability(KVM_CAP_GUEST_MEMFD), host.kvm_capability(KVM_CAP_USER_MEMORY2));
    match asked {
        (Ok(1..), Ok(1..)) => ok(id, "KVM has guest_memfd"),
        (Ok(_), Ok(_)) => missing(id, "KVM has no guest_memfd", "boot Linux 6.11 or newer"),
        _ => unknown(id, "KVM cannot be asked"),
    }
}

fn attributes(host: &dyn Host) -> Check {
    let id = "memory-attributes";
    match host.kvm_capability(KVM_CAP_MEMORY_ATTRIBUTES) {
        Err(_) => unknown(id, "KVM cannot be asked"),
        Ok(attributes) if attributes as u32 & KVM_MEMORY_ATTRIBUTE_PRIVATE != 0 => {
            ok(id, "KVM tells private pages from shared ones")
        }
        Ok(_) => missing(
            id,
            "KVM has no memory attribute PRIVATE",
            "mend what is above: it comes with a VM type that has private memory",
        ),
    }
}

fn secure_processor(host: &dyn Host) -> Vec<Check> {
    let id = "sev-device";
    let device = match host.open(firmware::DEVICE) {
        Ok(()) => ok(id, "/dev/sev opens"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => missing(
            id,
            "no permission on /dev/sev",
            "sudo chgrp kvm /dev/sev && sudo chmod 660 /dev/sev (for good: a udev rule, KERNEL==\"sev\", GROUP=\"kvm\", MODE=\"0660\")",
        ),
        Err(_) => missing(
            id,
            "there is no /dev/sev",
            "sudo modprobe ccp, on a kernel with CONFIG_CRYPTO_DEV_SP_PSP",
        ),
    };
    let id = "firmware";
    let (least_major, least_minor) = firmware::LEAST_ABI;
    let status = match host.secure_processor() {
        Err(_) if device.state == State::Missing => unknown(id, "the AMD-SP cannot be asked"),
        Err(error) => missing(
            id,
            format!("the AMD-SP does not say how it does ({error})"),
            "see `dmesg | grep -i ccp`; an SNP_PLATFORM_STATUS is what was asked for",
        ),
        Ok(status) if status.abi < firmware::LEAST_ABI => missing(
            id,
            format!(
                "the AMD-SP speaks ABI {}.{}, {least_major}.{least_minor} is needed",
                status.abi.0, status.abi.1
            ),
            "update the host's firmware, or put AMD's newer one into /lib/firmware/amd",
        ),
        Ok(status) if !status.initialized => missing(
            id,
            "the AMD-SP is not initialized for SNP",
            "turn SEV-SNP and its memory coverage (RMP table) on in the firmware's set-up; load kvm_amd with sev_snp=1",
        ),
        Ok(status) => ok(
            id,
            format!(
                "the AMD-SP speaks ABI {}.{}, build {}, and has {} guests",
                status.abi.0, status.abi.1, status.build, status.guests
            ),
        ),
    };
    vec![device, status]
}

fn certificates(host: &dyn Host) -> Check {
    let id = "certificate-requests";
    match version(&host.kernel_release()) {
        Some(version) if version >= KERNEL_WITH_CERTIFICATES => {
            ok(id, "guests may get certificates with their reports")
        }
        _ => Check {
            id,
            state: State::Limited,
            found: "before Linux 7.0 KVM gives guests no certificates with their reports".into(),
            fix: Some(
                "give the verifier the processor's certificates, or boot a newer kernel".into(),
            ),
        },
    }
}
