//! What CPUID tells of the processors: one package, one thread a core, APIC ids from 0 on.
//!
//! KVM reports the host's own numbers, which mean nothing to a guest: a kernel that counts its
//! processors by them and by the MADT must find the same.

use kvm_bindings::kvm_cpuid_entry2;

/// EBX 31:24 APIC id, 23:16 processors of the package; EDX bit 28: there may be several.
const FEATURES: u32 = 1;
/// Intel: EAX 31:26 cores of the package less one, 25:14 processors that share a cache less one.
const CACHES: u32 = 4;
/// Levels of the topology; EDX is the x2APIC id.
const LEVELS: [u32; 2] = [0xb, 0x1f];
/// ECX bit 1: the processors of the package are cores.
const AMD_FEATURES: u32 = 0x8000_0001;
/// ECX 7:0 cores less one, 15:12 bits of the APIC id that number them.
const AMD_CORES: u32 = 0x8000_0008;
/// AMD: EAX 25:14 processors that share a cache less one.
const AMD_CACHES: u32 = 0x8000_001d;
/// EAX APIC id, EBX 7:0 core, 15:8 threads a core less one, ECX node.
const AMD_TOPOLOGY: u32 = 0x8000_001e;
/// AMD's levels, which say nothing that leaf 0xB does not.
const AMD_LEVELS: u32 = 0x8000_0026;

const HYPER_THREADING: u32 = 1 << 28;
const CMP_LEGACY: u32 = 1 << 1;
const LEVEL_THREAD: u32 = 1;
const LEVEL_CORE: u32 = 2;

/// Brings a table in line with the vCPU of this APIC id among so many.
pub(super) fn describe(entries: &mut Vec<kvm_cpuid_entry2>, id: u8, cpus: u8) {
    let (id, cpus) = (u32::from(id), u32::from(cpus.max(1)));
    let id_bits = cpus.next_power_of_two().trailing_zeros();
    entries.retain(|entry| entry.function != AMD_LEVELS && !LEVELS.contains(&entry.function));
    for entry in entries.iter_mut() {
        match entry.function {
            FEATURES => {
                entry.ebx = entry.ebx & 0xffff | id << 24 | cpus.min(255) << 16;
                set(&mut entry.edx, HYPER_THREADING, cpus > 1);
            }
            // The kind of cache; 0 ends the list.
            CACHES if entry.eax & 0x1f != 0 => {
                let level = entry.eax >> 5 & 7;
                let sharing = if level == 3 { cpus - 1 } else { 0 };
                entry.eax = entry.eax & 0x3fff | sharing << 14 | (cpus - 1).min(63) << 26;
            }
            AMD_FEATURES => set(&mut entry.ecx, CMP_LEGACY, cpus > 1),
            AMD_CORES => entry.ecx = entry.ecx & !0xf0ff | id_bits << 12 | (cpus - 1),
            AMD_CACHES if entry.eax & 0x1f != 0 => {
                let level = entry.eax >> 5 & 7;
                let sharing = if level == 3 { cpus - 1 } else { 0 };
                entry.eax = entry.eax & 0x3fff | sharing << 14;
            }
            AMD_TOPOLOGY => (entry.eax, entry.ebx, entry.ecx) = (id, id & 0xff, 0),
            _ => {}
        }
    }
    // Subleaf by subleaf: how far to shift the id for the next level, processors, level.
    let levels = [(0, 1, LEVEL_THREAD), (id_bits, cpus, LEVEL_CORE), (0, 0, 0)];
    for (index, (shift, processors, level)) in (0..).zip(levels) {
        entries.push(kvm_cpuid_entry2 {
            function: LEVELS[0],
            index,
            flags: kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            eax: shift,
            ebx: processors,
            ecx: index | level << 8,
            edx: id,
            ..Default::default()
        });
    }
}

fn set(register: &mut u32, bit: u32, value: bool) {
    *register = if value { *register | bit } else { *register & !bit };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: u8, cpus: u8) -> Vec<kvm_cpuid_entry2> {
        let entry = |function| kvm_cpuid_entry2 { function, ..Default::default() };
        let mut entries: Vec<_> =
            [FEATURES, 0xb, 0x1f, AMD_FEATURES, AMD_CORES, AMD_TOPOLOGY, AMD_LEVELS]
                .map(entry)
                .into();
        // A host with 128 processors.
        entries[0].ebx = 0x7f80_0800;
        entries[4].ecx = 0x707f;
        let cache = |function, eax| kvm_cpuid_entry2 { eax, ..entry(function) };
        entries.extend([cache(CACHES, 0x7fff_c163), cache(AMD_CACHES, 0x7fff_c163)]);
        describe(&mut entries, id, cpus);
        entries
    }

    fn leaf(table: &[kvm_cpuid_entry2], function: u32, index: u32) -> kvm_cpuid_entry2 {
        *table.iter().find(|entry| (entry.function, entry.index) == (function, index)).unwrap()
    }

    #[test]
    fn every_way_of_counting_gives_the_same() {
        for (cpus, bits) in [(1, 0), (2, 1), (3, 2), (32, 5)] {
            let table = table(cpus - 1, cpus);
            let count = u32::from(cpus);
            assert_eq!(leaf(&table, FEATURES, 0).ebx, (count - 1) << 24 | count << 16 | 0x800);
            assert_eq!(leaf(&table, FEATURES, 0).edx & HYPER_THREADING != 0, cpus > 1);
            assert_eq!(leaf(&table, AMD_FEATURES, 0).ecx & CMP_LEGACY != 0, cpus > 1);
            assert_eq!(leaf(&table, AMD_CORES, 0).ecx, bits << 12 | (count - 1));
            let core = leaf(&table, 0xb, 1);
            assert_eq!((core.eax, core.ebx, core.ecx), (bits, count, 0x201));
            assert_eq!(leaf(&table, 0xb, 0).ebx, 1, "one thread a core");
            assert!((0..3).all(|index| leaf(&table, 0xb, index).edx == count - 1));
            assert_eq!(leaf(&table, CACHES, 0).eax >> 26, count - 1);
            assert_eq!(leaf(&table, AMD_CACHES, 0).eax >> 14 & 0xfff, count - 1, "level 3");
        }
    }

    #[test]
    fn leaves_that_would_contradict_are_gone() {
        let table = table(0, 2);
        assert!(table.iter().all(|entry| entry.function != 0x1f && entry.function != AMD_LEVELS));
        assert_eq!(table.iter().filter(|entry| entry.function == 0xb).count(), 3);
    }
}
