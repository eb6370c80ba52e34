//! What CPUID tells the guest: KVM's own answer, the platform's leaf, and in [`topology`] the
//! processors that there are.

mod topology;

use super::{Platform, snp};
use crate::layout::SNP_LIMIT;
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::Kvm;
use ravelin_snp::cpuid::{EncryptionLeaf, LEAF};

/// Leaf 0x80000000: EAX is the highest extended leaf.
const HIGHEST_EXTENDED: u32 = 0x8000_0000;
/// Leaf 0x80000008: EAX bits 7:0 are the physical address width.
const ADDRESS_SIZES: u32 = 0x8000_0008;
/// Leaf 1: ECX bit 24, the APIC's timer can wait for a time stamp; bit 31, this is a guest.
const FEATURES: u32 = 1;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// KVM's leaf of features.
const KVM_FEATURES: u32 = 0x4000_0001;
/// KVM's features: the hypervisor hears of conversions (`KVM_FEATURE_MIGRATION_CONTROL`). Without
/// it Linux makes no hypercall.
const MIGRATION_CONTROL: u32 = 1 << 17;

/// The highest bit that a 4-level page table and every guest kernel take for the C-bit.
const HIGHEST_C_BIT: u8 = 47;
/// Narrower than this no C-bit leaves room for memory and BARs.
const NARROWEST: u8 = 36;

/// Why there is no CPUID for a guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM does not say what it supports.
    #[error("KVM does not tell which CPUID leaves it supports")]
    Supported(#[source] kvm_ioctls::Error),
    /// KVM reports a physical address width that is too narrow.
    #[error("KVM offers physical addresses of {0} bits, at least {NARROWEST} are needed")]
    AddressWidth(u8),
    /// KVM shows a guest no encryption.
    #[error("KVM shows guests no memory encryption: see `ravelin doctor snp`")]
    NoEncryption,
    /// The table is full.
    #[error("KVM's CPUID table has no room for more leaves")]
    Full,
}

/// A VM's CPUID table and what follows from it.
pub struct GuestCpuid {
    table: CpuId,
    /// The bit of a guest-physical address that selects private memory; `None` where the platform
    /// has no private memory.
    pub c_bit: Option<u8>,
    /// The first address that neither memory nor a device may use.
    pub address_limit: u64,
}

impl GuestCpuid {
    /// What this KVM supports, as the platform shows it.
    ///
    /// # Errors
    /// KVM does not say, or its addresses are too narrow.
    pub fn new(kvm: &Kvm, platform: Platform) -> Result<GuestCpuid, Error> {
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::Supported)?;
        Self::from_supported(supported, platform)
    }

    pub(super) fn from_supported(
        supported: CpuId,
        platform: Platform,
    ) -> Result<GuestCpuid, Error> {
        let mut entries = supported.as_slice().to_vec();
        // The host's own encryption is none of the guest's, but for a guest that has it.
        let own = entries.iter().find(|entry| entry.function == LEAF).copied();
        match platform {
            Platform::Snp => snp::cpuid::strip(&mut entries),
            Platform::Emulated | Platform::None => entries.retain(|entry| entry.function != LEAF),
        }
        // 36 bits where the leaf is missing (Intel SDM, CPUID leaf 0x80000008).
        let width = entries
            .iter()
            .find(|entry| entry.function == ADDRESS_SIZES)
            .map_or(36, |entry| (entry.eax & 0xff) as u8);
        if !(NARROWEST..=52).contains(&width) {
            return Err(Error::AddressWidth(width));
        }
        let c_bit = match platform {
            Platform::None => None,
            Platform::Emulated => Some(HIGHEST_C_BIT.min(width - 1)),
            Platform::Snp => {
                let leaf = own.ok_or(Error::NoEncryption)?;
                Some(EncryptionLeaf::decode(leaf.eax, leaf.ebx).c_bit)
            }
        };
        let address_limit = match (platform, c_bit) {
            (Platform::Snp, _) if SNP_LIMIT > 1 << width => return Err(Error::AddressWidth(width)),
            (Platform::Snp, _) => SNP_LIMIT,
            // Bit 47 is also the last that identity-mapped, canonical addresses reach.
            (_, c_bit) => 1 << c_bit.unwrap_or(width.min(47)),
        };
        if let (Platform::Emulated, Some(c_bit)) = (platform, c_bit) {
            let leaf = EncryptionLeaf { sev: true, sev_es: false, c_bit, reduction: 1 };
            let (eax, ebx) = leaf.encode();
            entries.push(kvm_cpuid_entry2 { function: LEAF, eax, ebx, ..Default::default() });
            for entry in entries.iter_mut().filter(|entry| entry.function == KVM_FEATURES) {
                entry.eax |= MIGRATION_CONTROL;
            }
            for entry in entries.iter_mut().filter(|entry| entry.function == HIGHEST_EXTENDED) {
                entry.eax = entry.eax.max(LEAF);
            }
        }
        for entry in entries.iter_mut().filter(|entry| entry.function == FEATURES) {
            // In nested guests, timers that wait for a time stamp have stalled once the host's clock
            // source had changed; those that count by the APIC have not.
            entry.ecx = entry.ecx & !TSC_DEADLINE | HYPERVISOR;
        }
        let table = CpuId::from_entries(&entries).map_err(|_| Error::Full)?;
        Ok(GuestCpuid { table, c_bit, address_limit })
    }

    /// The table for the vCPU of this APIC id among so many.
    ///
    /// # Errors
    /// The table is full.
    pub(crate) fn for_vcpu(&self, id: u8, cpus: u8) -> Result<CpuId, Error> {
        let mut entries = self.table.as_slice().to_vec();
        topology::describe(&mut entries, id, cpus);
        CpuId::from_entries(&entries).map_err(|_| Error::Full)
    }

    /// One leaf, subleaf 0: EAX, EBX, ECX, EDX; zeros where there is none.
    pub(crate) fn leaf(&self, function: u32) -> [u32; 4] {
        let mut entries = self.table.as_slice().iter();
        entries
            .find(|entry| entry.function == function && entry.index == 0)
            .map_or([0; 4], |entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: u32, host_leaf: bool) -> CpuId {
        let entry = |function, eax| kvm_cpuid_entry2 { function, eax, ..Default::default() };
        let mut entries = vec![
            entry(FEATURES, 0),
            entry(HIGHEST_EXTENDED, 0x8000_0008),
            entry(ADDRESS_SIZES, width),
        ];
        if host_leaf {
            entries.push(entry(LEAF, 0xffff_ffff));
        }
        CpuId::from_entries(&entries).unwrap()
    }

    #[test]
    fn the_c_bit_is_the_highest_that_the_processor_and_page_tables_allow() {
        for (width, c_bit) in [(36, 35), (40, 39), (46, 45), (48, 47), (52, 47)] {
            let cpuid =
                GuestCpuid::from_supported(table(width, false), Platform::Emulated).unwrap();
            assert_eq!(cpuid.c_bit, Some(c_bit), "{width}");
            assert_eq!(cpuid.address_limit, 1 << c_bit);
            assert_eq!(cpuid.leaf(LEAF), [2, u32::from(c_bit) | 1 << 6, 0, 0]);
            assert_eq!(cpuid.leaf(HIGHEST_EXTENDED)[0], LEAF);
        }
    }

    #[test]
    fn an_unprotected_guest_sees_no_encryption_even_on_a_host_that_has_it() {
        let cpuid = GuestCpuid::from_supported(table(48, true), Platform::None).unwrap();
        assert_eq!((cpuid.c_bit, cpuid.leaf(LEAF)), (None, [0; 4]));
    }

    #[test]
    fn an_snp_guest_sees_the_hosts_encryption_and_an_address_space_that_is_the_same_everywhere() {
        let mut entries = table(48, false).as_slice().to_vec();
        let (eax, ebx) = (0x1a, 51);
        entries.push(kvm_cpuid_entry2 { function: LEAF, eax, ebx, ..Default::default() });
        entries[0].ecx = TSC_DEADLINE;
        let supported = |entries: &[kvm_cpuid_entry2]| CpuId::from_entries(entries).unwrap();
        let cpuid = GuestCpuid::from_supported(supported(&entries), Platform::Snp).unwrap();
        assert_eq!((cpuid.c_bit, cpuid.address_limit), (Some(51), SNP_LIMIT));
        assert_eq!(cpuid.leaf(LEAF), [eax, ebx, 0, 0]);
        assert_eq!(cpuid.leaf(FEATURES)[2], HYPERVISOR);
        entries.pop();
        let refused = GuestCpuid::from_supported(supported(&entries), Platform::Snp);
        assert!(matches!(refused, Err(Error::NoEncryption)));
        let narrow = GuestCpuid::from_supported(table(45, true), Platform::Snp);
        assert!(matches!(narrow, Err(Error::AddressWidth(45))));
    }

    #[test]
    fn senseless_address_widths_are_refused() {
        for width in [0, 35, 53, 255] {
            let refused = GuestCpuid::from_supported(table(width, false), Platform::Emulated);
            assert!(matches!(refused, Err(Error::AddressWidth(_))), "{width}");
        }
    }

    #[test]
    fn linux_is_told_that_conversions_are_heard_of_only_where_they_are() {
        let told = |platform| {
            let mut entries = table(48, false).as_slice().to_vec();
            entries.push(kvm_cpuid_entry2 { function: KVM_FEATURES, ..Default::default() });
            entries[0].ecx = TSC_DEADLINE;
            let supported = CpuId::from_entries(&entries).unwrap();
            let cpuid = GuestCpuid::from_supported(supported, platform).unwrap();
            assert_eq!(cpuid.leaf(FEATURES)[2], HYPERVISOR);
            cpuid.leaf(KVM_FEATURES)[0] & MIGRATION_CONTROL != 0
        };
        assert!(told(Platform::Emulated));
        assert!(!told(Platform::None));
    }

    #[test]
    fn every_vcpu_learns_its_own_id() {
        let cpuid = GuestCpuid::from_supported(table(48, false), Platform::Emulated).unwrap();
        let table = cpuid.for_vcpu(3, 4).unwrap();
        let leaf = table.as_slice().iter().find(|entry| entry.function == FEATURES).unwrap();
        assert_eq!(leaf.ebx >> 24, 3);
    }
}
