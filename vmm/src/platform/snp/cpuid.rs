//! What the AMD-SP lets an SNP guest believe of its processor: KVM's table without what the firmware
//! is known to refuse, as a page, and in words where it refuses all the same.
//!
//! The page's layout is [`ravelin_snp::cpuid::page`]'s.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};
use ravelin_snp::cpuid::page::{CpuidPage, Function, MAX_FUNCTIONS};
use std::fmt;

/// Registers in the order of [`Function::registers`].
const REGISTERS: [&str; 4] = ["EAX", "EBX", "ECX", "EDX"];
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// Bits that the firmware refuses though KVM offers them: leaf, subleaf, register, bits, and what they
/// are.
const REFUSED: [(u32, u32, usize, u32, &str); 4] = [
    (1, 0, ECX, 1 << 24, "the APIC's timer with a time stamp"),
    (7, 0, EBX, 1 << 1, "TSC_ADJUST"),
    // SPEC_CTRL, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, CORE_CAPABILITIES, SSBD: Intel's ways to say it.
    (7, 0, EDX, 0b11_1111 << 26, "speculation control"),
    (0x8000_0008, 0, EBX, 1 << 25, "VIRT_SSBD"),
];
/// Extended topology, which the firmware does not know.
const REFUSED_LEAF: u32 = 0x8000_0026;

/// Extended state: EBX depends on XCR0, for which the page has room; a guest begins with XCR0 = 1, the
/// legacy area and the header.
const EXTENDED_STATE: u32 = 0xd;
const INITIAL_XCR0: u64 = 1;
const INITIAL_STATE_SIZE: u32 = 0x240;

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KVM's CPUID has {0} leaves, and the CPUID page takes {MAX_FUNCTIONS}")]
pub struct TooMany(usize);

/// A register that the AMD-SP wants to be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    leaf: u32,
    subleaf: u32,
    register: usize,
    given: u32,
    wanted: u32,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { leaf, subleaf, register, given, wanted } = self;
        let name = REGISTERS.get(*register).unwrap_or(&"?");
        write!(f, "leaf {leaf:#x}.{subleaf:#x} {name} {given:#010x}, it takes {wanted:#010x}")
    }
}

/// Takes out of a table what the firmware refuses.
pub(crate) fn strip(entries: &mut Vec<kvm_cpuid_entry2>) {
    entries.retain(|entry| entry.function != REFUSED_LEAF);
    for entry in entries {
        for (leaf, subleaf, register, bits, _) in REFUSED {
            if (entry.function, subleaf_of(entry)) == (leaf, subleaf) {
                let place = match register {
                    EBX => &mut entry.ebx,
                    ECX => &mut entry.ecx,
                    _ => &mut entry.edx,
                };
                *place &= !bits;
            }
        }
    }
}

/// The page that says what a stripped table says. Leaves of zeros are left out: a guest takes what is
/// not there for zeros.
///
/// # Errors
/// The table has too many leaves.
pub(crate) fn page(entries: &[kvm_cpuid_entry2]) -> Result<CpuidPage, TooMany> {
    let mut functions: Vec<Function> = Vec::with_capacity(entries.len());
    for entry in entries {
        let function = function(entry);
        let known = functions
            .iter()
            .any(|other| (other.leaf, other.subleaf) == (function.leaf, function.subleaf));
        if function.registers != [0; 4] && !known {
            functions.push(function);
        }
    }
    CpuidPage::new(&functions).ok_or(TooMany(functions.len()))
}

fn function(entry: &kvm_cpuid_entry2) -> Function {
    let registers = [entry.eax, entry.ebx, entry.ecx, entry.edx];
    let mut function = Function {
        leaf: entry.function,
        subleaf: subleaf_of(entry),
        registers,
        ..Function::default()
    };
    if function.leaf == EXTENDED_STATE && function.subleaf <= 1 {
        function.xcr0 = INITIAL_XCR0;
        function.registers[EBX] = INITIAL_STATE_SIZE;
    }
    function
}

/// The index of a leaf without subleaves is whatever KVM has left there.
fn subleaf_of(entry: &kvm_cpuid_entry2) -> u32 {
    match entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX {
        0 => 0,
        _ => entry.index,
    }
}

/// What the AMD-SP has made of a page.
pub(super) fn differences(given: &CpuidPage, wanted: &CpuidPage) -> Vec<Difference> {
    let pairs = given.functions().zip(wanted.functions());
    pairs
        .flat_map(|(given, wanted)| {
            let registers = given.registers.into_iter().zip(wanted.registers).enumerate();
            registers.filter(|(_, (given, wanted))| given != wanted).map(
                move |(register, (given_value, wanted))| Difference {
                    leaf: given.leaf,
                    subleaf: given.subleaf,
                    register,
                    given: given_value,
                    wanted,
                },
            )
        })
        .collect()
}

/// Differences on one line.
pub(super) fn in_words(differences: &[Difference]) -> String {
    match differences {
        [] => "it does not say which register".into(),
        _ => differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
        let [eax, ebx, ecx, edx] = registers;
        let flags = if [7, 0xd].contains(&function) { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 };
        kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..Default::default() }
    }

    const ALL: [u32; 4] = [u32::MAX; 4];

    #[test]
    fn what_the_firmware_refuses_is_taken_out_and_nothing_else() {
        let mut entries = vec![
            entry(1, 9, ALL),
            entry(7, 0, ALL),
            entry(7, 1, ALL),
            entry(0x8000_0008, 0, ALL),
            entry(0x8000_0026, 0, ALL),
            entry(0x8000_0026, 1, ALL),
        ];
        strip(&mut entries);
        let left: Vec<_> =
            entries.iter().map(|entry| [entry.eax, entry.ebx, entry.ecx, entry.edx]).collect();
        let all = u32::MAX;
        assert_eq!(
            left,
            [
                [all, all, !(1 << 24), all],
                [all, !2, all, 0x03ff_ffff],
                ALL,
                [all, !(1 << 25), all, all],
            ]
        );
    }

    #[test]
    fn the_page_says_what_kvm_says_but_for_the_state_size_that_a_guest_begins_with() {
        let page = page(&[
            entry(1, 5, [1, 2, 3, 4]),
            entry(0xd, 0, [7, 0x988, 0x988, 0]),
            entry(0xd, 1, [0xf, 0x340, 0, 0]),
            entry(0xd, 2, [0x100, 0x240, 0, 0]),
            entry(2, 0, [0; 4]),
            entry(1, 0, [9; 4]),
        ])
        .unwrap();
        let functions: Vec<_> = page.functions().collect();
        let plain =
            |leaf, subleaf, registers| Function { leaf, subleaf, registers, xcr0: 0, xss: 0 };
        assert_eq!(
            functions,
            [
                plain(1, 0, [1, 2, 3, 4]),
                Function { xcr0: 1, ..plain(0xd, 0, [7, 0x240, 0x988, 0]) },
                Function { xcr0: 1, ..plain(0xd, 1, [0xf, 0x240, 0, 0]) },
                plain(0xd, 2, [0x100, 0x240, 0, 0]),
            ]
        );
    }

    #[test]
    fn a_table_that_the_page_does_not_hold_is_an_error() {
        let entries: Vec<_> = (1..=65).map(|leaf| entry(0x100 + leaf, 0, [leaf; 4])).collect();
        assert!(page(&entries[..64]).is_ok());
        assert_eq!(page(&entries), Err(TooMany(65)));
    }
}
