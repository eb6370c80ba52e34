//! What stands between the guest's private memory and the rest of the world.
//!
//! | platform | private memory | for |
//! | --- | --- | --- |
//! | [`Platform::Emulated`] | a GPA alias: the C-bit selects it, and devices see only the other side | development, CI, teaching |
//! | [`Platform::Snp`] | a guest_memfd and the processor's reverse map; not in this process | production |
//! | [`Platform::None`] | there is none | driver work |
//!
//! `emulated` has the meaning of SEV without its protection: the VMM's process still has private
//! memory mapped. [`cpuid`] is what a guest sees of the platform, [`emulated`] answers its GHCB
//! requests, [`conversions`] those that Linux makes by hypercall; [`sev_msr`] has the rest of what
//! Linux looks at. [`snp`] is the launch on hardware.

pub mod conversions;
pub mod cpuid;
#[cfg(any(test, feature = "fuzz"))]
pub mod drive;
pub mod emulated;
pub(crate) mod sev_msr;
pub mod snp;

use crate::memory::VmType;
use kvm_bindings::{KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap};
use kvm_ioctls::{Cap, Kvm, MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};
use ravelin_snp::msr;
use std::fmt;
use std::str::FromStr;

/// A platform, by the name that the command line has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// The GPA alias.
    #[default]
    Emulated,
    /// SEV-SNP on hardware.
    Snp,
    /// No protection.
    None,
}

impl Platform {
    /// Whether private and shared memory are apart.
    pub fn splits_memory(self) -> bool {
        self != Platform::None
    }

    /// Whether an AMD-SP signs reports on the guest, if only an emulated one.
    pub fn signs_reports(self) -> bool {
        self != Platform::None
    }

    /// Makes a VM of the type that this platform takes.
    pub(crate) fn create(self, kvm: &Kvm) -> Result<VmFd, kvm_ioctls::Error> {
        match self {
            Platform::Emulated | Platform::None => kvm.create_vm(),
            Platform::Snp => kvm.create_vm_with_type(VmType::Snp as u64),
        }
    }

    /// Prepares a VM that has no vCPU yet: on `emulated`, accesses to the SEV MSRs come to us, on `snp`
    /// what KVM reads in the guest's GHCB about pages.
    pub(crate) fn prepare(self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        match self {
            Platform::None => return Ok(()),
            Platform::Snp => return hand_hypercalls_over(vm),
            Platform::Emulated => {}
        }
        let mut capability =
            kvm_enable_cap { cap: Cap::X86UserSpaceMsr as u32, ..Default::default() };
        capability.args[0] = u64::from(KVM_MSR_EXIT_REASON_FILTER);
        vm.enable_cap(&capability)?;
        const { assert!(msr::SEV_STATUS == msr::GHCB + 1) };
        let denied = |base, msr_count| MsrFilterRange {
            flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
            base,
            msr_count,
            bitmap: &[0],
        };
        let ranges = [
            denied(msr::GHCB, 2),
            denied(sev_msr::SYSCFG, 1),
            denied(sev_msr::HWCR, 1),
            denied(sev_msr::MIGRATION_CONTROL, 1),
        ];
        vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges)
    }

    /// Prepares a VM for Linux: on `emulated`, its hypercalls about pages come to us.
    pub(crate) fn prepare_for_linux(self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        match self {
            Platform::Emulated => hand_hypercalls_over(vm),
            Platform::None | Platform::Snp => Ok(()),
        }
    }
}

/// Has KVM come to this process with the guest's hypercalls about pages.
fn hand_hypercalls_over(vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
    let mut capability = kvm_enable_cap { cap: Cap::ExitHypercall as u32, ..Default::default() };
    capability.args[0] = 1 << conversions::MAP_GPA_RANGE;
    vm.enable_cap(&capability)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Emulated => "emulated",
            Platform::Snp => "snp",
            Platform::None => "none",
        })
    }
}

/// There is no platform of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no platform is called {0:?}: say emulated, snp or none")]
pub struct UnknownPlatform(String);

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(name: &str) -> Result<Self, UnknownPlatform> {
        [Platform::Emulated, Platform::Snp, Platform::None]
            .into_iter()
            .find(|platform| platform.to_string() == name)
            .ok_or_else(|| UnknownPlatform(name.into()))
    }
}
