//! A guest's processor and memory, with an honest hypervisor and with others.

extern crate std;

use super::super::exit_code::{CPUID, IOIO, MSR, NESTED_PAGE_FAULT};
use super::*;
use crate::cpuid::page::{CpuidPage, Enabled, Function};
use crate::ghcb::guest::tests::{Fake, Manner, open};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::vec::Vec;

/// Where the instruction stands.
const CODE: u64 = 0x40_0000;
/// The text that is written to a port.
const TEXT: u64 = 0x60_0000;
/// A device's registers.
const DEVICE: Range<u64> = 0xc000_0000..0xc000_1000;
/// The guest's own memory.
const OWN: u64 = 0x80_0000;

const RDI: u8 = 7;
const RBP: u8 = 5;

struct Interrupted {
    code: u64,
    registers: [u64; 16],
    rip: u64,
    flags: u64,
    supervisor: bool,
    memory: BTreeMap<u64, u8>,
    page: CpuidPage,
    ghcb: Option<Guest<Fake>>,
}

impl Interrupted {
    fn new(code: u64, instruction: &[u8]) -> Interrupted {
        Self::of(Manner::Honest, code, instruction)
    }

    fn of(manner: Manner, code: u64, instruction: &[u8]) -> Interrupted {
        let function = Function { leaf: 0xd, registers: [7, 9, 9, 0], ..Function::default() };
        let avx = Function { subleaf: 2, registers: [0x100, 0x240, 0, 0], ..function };
        Interrupted {
            code,
            registers: core::array::from_fn(|number| 0x1111_1111_1111_1111 * number as u64),
            rip: CODE,
            flags: 2,
            supervisor: false,
            memory: (CODE..).zip(instruction.iter().copied()).collect(),
            page: CpuidPage::new(&[function, avx]).unwrap(),
            ghcb: Some(open(manner)),
        }
    }

    fn with(mut self, register: u8, value: u64) -> Self {
        self.registers[usize::from(register)] = value;
        self
    }

    fn in_supervisor(mut self) -> Self {
        self.supervisor = true;
        self
    }

    fn handled(mut self) -> (Result<(), Cause>, Self) {
        (handle(&mut self), self)
    }

    /// Handles it; the instruction's work must be done.
    fn done(self) -> Self {
        let length = self.memory.range(CODE..CODE + 16).count() as u64;
        let (result, after) = self.handled();
        assert_eq!(result, Ok(()));
        assert_eq!(after.rip, CODE + length, "the next instruction");
        after
    }

    /// Handles it; nothing must have changed, and why.
    fn refused(self) -> Cause {
        let (registers, rip) = (self.registers, self.rip);
        let (result, after) = self.handled();
        assert_eq!((after.registers, after.rip), (registers, rip));
        result.unwrap_err()
    }

    fn fake(&mut self) -> &mut Fake {
        self.ghcb.as_mut().unwrap().hypervisor()
    }
}

impl Machine for Interrupted {
    type Hypervisor = Fake;

    fn code(&self) -> u64 {
        self.code
    }

    fn register(&self, number: u8) -> u64 {
        self.registers[usize::from(number)]
    }

    fn set_register(&mut self, number: u8, value: u64) {
        assert_ne!(number, instruction::RSP);
        self.registers[usize::from(number)] = value;
    }

    fn instruction(&self) -> u64 {
        self.rip
    }

    fn set_instruction(&mut self, address: u64) {
        self.rip = address;
    }

    fn flags(&self) -> u64 {
        self.flags
    }

    fn is_supervisor(&self) -> bool {
        self.supervisor
    }

    fn byte(&self, address: u64) -> Option<u8> {
        self.memory.get(&address).copied()
    }

    fn is_device(&self, address: u64, length: u64) -> bool {
        DEVICE.start <= address && address.checked_add(length).is_some_and(|end| end <= DEVICE.end)
    }

    fn cpuid(&self, leaf: u32, subleaf: u32) -> Option<[u32; 4]> {
        self.page.answer(leaf, subleaf, Enabled { osxsave: true, xcr0: 7, xss: 0 })
    }

    fn ghcb(&mut self) -> Option<&mut Guest<Fake>> {
        self.ghcb.as_mut()
    }
}

const CPUID_BYTES: &[u8] = &[0x0f, 0xa2];
const RDMSR: &[u8] = &[0x0f, 0x32];
const WRMSR: &[u8] = &[0x0f, 0x30];

#[test]
fn cpuid_comes_from_the_page_and_the_hypervisor_is_not_asked() {
    let mut asked = Interrupted::new(CPUID, CPUID_BYTES);
    asked = asked.with(RAX, 0xffff_ffff_0000_000d).with(RCX, 0);
    let mut after = asked.done();
    assert_eq!(after.registers[..4], [7, 9, 0, 0x340], "RAX, RCX, RDX, RBX: sizes by XCR0");
    assert!(after.fake().exits.is_empty());
    // Not even a GHCB is needed.
    let mut early = Interrupted::new(CPUID, CPUID_BYTES).with(RAX, 1).with(RCX, 0);
    early.ghcb = None;
    assert_eq!(early.done().registers[..4], [0; 4]);
}

#[test]
fn a_guest_without_a_cpuid_page_ends() {
    let mut bare = Interrupted::new(CPUID, CPUID_BYTES);
    bare.page = CpuidPage::new(&[]).unwrap();
    assert_eq!(bare.refused(), Cause::Cpuid);
}

#[test]
fn the_apics_registers_are_the_hypervisors_and_the_supervisors() {
    for index in [0x1b, 0x802, 0x80b, 0x832, 0x83e] {
        let write = Interrupted::new(MSR, WRMSR).in_supervisor().with(RCX, index);
        let mut written = write.with(RAX, 0xaaaa_aaaa_9abc_def0).with(RDX, 0x1234_5678).done();
        assert_eq!(written.fake().msrs[&(index as u32)], 0x1234_5678_9abc_def0);
        let mut read = Interrupted::new(MSR, RDMSR).in_supervisor().with(RCX, index);
        read.fake().msrs.insert(index as u32, 0x0001_0002_8000_0004);
        let after = read.done();
        assert_eq!((after.registers[0], after.registers[2]), (0x8000_0004, 0x0001_0002));
    }
}

/// EFER, the GHCB's own, SEV_STATUS, kvmclock, and the neighbours of what is asked for.
#[test]
fn no_other_register_is_the_hypervisors_to_say() {
    for index in [0xc000_0080, 0xc001_0130, 0xc001_0131, 0x4b56_4d01, 0x7ff, 0x900, 0x1a] {
        for bytes in [RDMSR, WRMSR] {
            let asked = Interrupted::new(MSR, bytes).in_supervisor().with(RCX, index);
            assert_eq!(asked.refused(), Cause::Msr, "{index:#x}");
        }
    }
    let user = Interrupted::new(MSR, RDMSR).with(RCX, 0x802);
    assert_eq!(user.refused(), Cause::Msr, "user mode has none");
}

#[test]
fn ports_of_every_width_are_read_and_written() {
    for (out, into, length) in
        [(&[0xee][..], &[0xec][..], 1), (&[0x66, 0xef], &[0x66, 0xed], 2), (&[0xef], &[0xed], 4)]
    {
        let all = 0x0102_0304_0506_0708;
        let written = Interrupted::new(IOIO, out).with(RAX, all).with(RDX, 0xffff_0cf8);
        let mut written = written.done();
        let mask = u64::MAX >> (64 - 8 * length);
        assert_eq!(written.fake().ports[&0xcf8], all & mask);
        assert_eq!(written.registers[0], all, "OUT changes no register");

        let mut read = Interrupted::new(IOIO, into).with(RAX, all).with(RDX, 0xcf8);
        read.fake().ports.insert(0xcf8, u64::MAX);
        let rest = if length == 4 { 0 } else { all & !mask };
        assert_eq!(read.done().registers[0], rest | mask, "no more than was asked for");
    }
    let mut fixed = Interrupted::new(IOIO, &[0xe6, 0x80]).with(RAX, 7).done();
    assert_eq!(fixed.fake().ports[&0x80], 7);
}

/// A text of so many bytes at [`TEXT`], to be written at once.
fn text(manner: Manner, length: u64) -> Interrupted {
    let mut string = Interrupted::of(manner, IOIO, &[0xf3, 0x6e]);
    string.memory.extend((TEXT..TEXT + length).map(|at| (at, (at % 251) as u8)));
    string.with(RCX, length).with(RSI, TEXT).with(RDX, 0x3f8)
}

#[test]
fn a_string_goes_out_in_pieces_that_fit_the_buffer() {
    for length in [0, 1, 7, 8, 9, 2031, 2032, 2033, 5000] {
        let mut string = text(Manner::Honest, length);
        let mut rounds = 0;
        while string.rip == CODE {
            let (result, after) = string.handled();
            assert_eq!(result, Ok(()));
            (string, rounds) = (after, rounds + 1);
        }
        let expected: Vec<u8> = (TEXT..TEXT + length).map(|at| (at % 251) as u8).collect();
        assert_eq!(string.fake().text, expected);
        assert_eq!((string.registers[1], string.registers[6]), (0, TEXT + length));
        assert_eq!(rounds, length.div_ceil(2032).max(1));
    }
    // OUTSD without repetition: RCX is nothing to it.
    let mut once = Interrupted::new(IOIO, &[0x6f]).with(RSI, TEXT).with(RDX, 0xcfc).with(RCX, 9);
    once.memory.extend((TEXT..).zip(*b"four"));
    let mut once = once.done();
    assert_eq!((once.registers[1], once.registers[6]), (9, TEXT + 4));
    assert_eq!(once.fake().text, b"four");
}

#[test]
fn a_string_that_is_not_the_programs_to_read_does_not_leave_the_guest() {
    let mut secret = text(Manner::Honest, 64);
    secret.memory.remove(&(TEXT + 63));
    assert_eq!(secret.refused(), Cause::Address);
    let wrapping = text(Manner::Honest, 64).with(RSI, u64::MAX - 2);
    assert_eq!(wrapping.refused(), Cause::Address);
    let mut backwards = text(Manner::Honest, 64);
    backwards.flags |= DIRECTION;
    assert_eq!(backwards.refused(), Cause::Instruction);
}

#[test]
fn devices_of_every_width_are_read_and_written() {
    let base = DEVICE.start;
    // mov [rdi + 8], sil / si / esi / rsi
    for (bytes, length) in [
        (&[0x40, 0x88, 0x77, 8][..], 1),
        (&[0x66, 0x89, 0x77, 8], 2),
        (&[0x89, 0x77, 8], 4),
        (&[0x48, 0x89, 0x77, 8], 8),
    ] {
        let store = Interrupted::new(NESTED_PAGE_FAULT, bytes).with(RDI, base);
        let mut after = store.with(RSI, 0x0102_0304_0506_0708).done();
        let mask = u64::MAX >> (64 - 8 * length);
        assert_eq!(after.fake().memory[&(base + 8)], 0x0102_0304_0506_0708 & mask);
        assert_eq!(after.fake().exits, [[0x8000_0002, base + 8, length]]);
    }
    // mov [rdi], dh: bits 15:8; mov qword [rdi], -2: sign-extended
    let mut high = Interrupted::new(NESTED_PAGE_FAULT, &[0x88, 0x37]).with(RDI, base);
    high = high.with(RDX, 0xab_cd).done();
    assert_eq!(high.fake().memory[&base], 0xab);
    let bytes = [0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff];
    let mut constant = Interrupted::new(NESTED_PAGE_FAULT, &bytes).with(RDI, base).done();
    assert_eq!(constant.fake().memory[&base], u64::MAX - 1);

    // mov al / ax / eax / rax, [rbp + 4]; movzx eax, byte / word
    let (old, new) = (0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff00);
    for (bytes, expected) in [
        (&[0x8a, 0x45, 4][..], 0x1122_3344_5566_7700),
        (&[0x66, 0x8b, 0x45, 4], 0x1122_3344_5566_ff00),
        (&[0x8b, 0x45, 4], 0xddee_ff00),
        (&[0x48, 0x8b, 0x45, 4], new),
        (&[0x0f, 0xb6, 0x45, 4], 0),
        (&[0x0f, 0xb7, 0x45, 4], 0xff00),
    ] {
        let mut load = Interrupted::new(NESTED_PAGE_FAULT, bytes).with(RBP, base).with(RAX, old);
        load.fake().memory.insert(base + 4, new);
        assert_eq!(load.done().registers[0], expected, "{bytes:x?}");
    }
}

#[test]
fn an_address_is_base_and_index_and_displacement() {
    let far = Address { base: Base::Register(RDI), index: RCX, shift: 3, displacement: -8 };
    let machine = Interrupted::new(CPUID, CPUID_BYTES).with(RDI, 0x7000).with(RCX, 2);
    assert_eq!(resolve(&machine, far, 0), 0x7008);
    let none = instruction::RSP;
    let next = Address { base: Base::NextInstruction, index: none, ..far };
    assert_eq!(resolve(&machine, next, 0x40_0010), 0x40_0008);
    let absolute = Address { base: Base::Zero, index: none, ..far };
    assert_eq!(resolve(&machine, absolute, 0), u64::MAX - 7);
    let wrapping = Address { base: Base::Register(15), index: 15, shift: 0, ..far };
    assert_eq!(resolve(&machine, wrapping, 0), u64::MAX - 9, "twice all ones, and 8 less");
}

/// WeSee: a #VC for MMIO that the hypervisor makes up would have the guest tell its memory, or believe
/// the hypervisor's.
#[test]
fn memory_that_is_the_guests_is_neither_told_nor_believed() {
    let (load, store) = (&[0x48, 0x8b, 0x07][..], &[0x48, 0x89, 0x37][..]);
    let edges = [DEVICE.start - 7, DEVICE.end - 7, DEVICE.start - 8, DEVICE.end];
    for address in [OWN, 0, u64::MAX - 3, CODE].into_iter().chain(edges) {
        for bytes in [load, store] {
            let mut made_up = Interrupted::new(NESTED_PAGE_FAULT, bytes).with(RDI, address);
            assert_eq!(handle(&mut made_up), Err(Cause::Address), "{address:#x}");
            assert!(made_up.fake().exits.is_empty(), "the hypervisor has heard of it");
        }
    }
}

#[test]
fn an_exception_that_is_not_the_instructions_ends_the_guest() {
    let instructions: [&[u8]; 6] =
        [CPUID_BYTES, RDMSR, &[0xee], &[0xf3, 0x6e], &[0x8b, 0x07], &[0x90]];
    for (index, bytes) in instructions.into_iter().enumerate() {
        for (code, own) in
            [(CPUID, &[0][..]), (MSR, &[1]), (IOIO, &[2, 3]), (NESTED_PAGE_FAULT, &[4])]
        {
            if !own.contains(&index) {
                let made_up = Interrupted::new(code, bytes).in_supervisor().with(RDI, DEVICE.start);
                assert_eq!(made_up.refused(), Cause::Instruction, "{code:#x} {bytes:x?}");
            }
        }
    }
    // HLT and PAUSE, which exit by themselves; RDTSC, VMMCALL; a page that is not valid.
    for code in [0x78, 0x77, 0x6e, 0x81, 0x404, 0, u64::MAX] {
        assert_eq!(Interrupted::new(code, &[0xf4]).refused(), Cause::ExitCode, "{code:#x}");
    }
}

#[test]
fn code_that_the_program_cannot_read_is_not_looked_at() {
    let mut elsewhere = Interrupted::new(CPUID, CPUID_BYTES);
    elsewhere.rip = OWN;
    assert_eq!(elsewhere.refused(), Cause::Instruction);
    let mut half = Interrupted::new(NESTED_PAGE_FAULT, &[0x8b]);
    half.rip = CODE;
    assert_eq!(half.refused(), Cause::Instruction);
}

#[test]
fn the_stack_pointer_is_not_the_hypervisors_to_set() {
    let load = Interrupted::new(NESTED_PAGE_FAULT, &[0x48, 0x8b, 0x27]).with(RDI, DEVICE.start);
    let (result, after) = load.handled();
    assert_eq!(result, Err(Cause::Instruction));
    assert_eq!(after.rip, CODE);
}

fn everything_that_is_asked(manner: Manner) -> [Interrupted; 6] {
    let asked = |code, bytes: &[u8]| Interrupted::of(manner, code, bytes);
    [
        asked(MSR, RDMSR).in_supervisor().with(RCX, 0x802),
        asked(MSR, WRMSR).in_supervisor().with(RCX, 0x80b),
        asked(IOIO, &[0xee]),
        text(manner, 10),
        asked(NESTED_PAGE_FAULT, &[0x8b, 0x07]).with(RDI, DEVICE.start),
        asked(NESTED_PAGE_FAULT, &[0x89, 0x07]).with(RDI, DEVICE.start),
    ]
}

#[test]
fn an_answer_that_is_none_changes_nothing_and_ends_the_guest() {
    for manner in [Manner::Exception, Manner::Malformed, Manner::Silent] {
        for asked in everything_that_is_asked(manner) {
            assert_eq!(asked.refused(), Cause::Answer, "{manner:?}");
        }
    }
    let empty = Interrupted::of(Manner::Empty, IOIO, &[0xec]);
    assert_eq!(empty.refused(), Cause::Answer, "IN without a value");
}

#[test]
fn nothing_is_asked_before_there_is_a_ghcb() {
    for mut asked in everything_that_is_asked(Manner::Honest) {
        asked.ghcb = None;
        assert_eq!(asked.refused(), Cause::RegisterGhcb);
    }
}

/// The page changes as soon as it has been read.
#[test]
fn what_was_checked_is_what_is_used() {
    let mut load = Interrupted::of(Manner::Fickle, NESTED_PAGE_FAULT, &[0x48, 0x8b, 0x07]);
    load.fake().memory.insert(DEVICE.start, 77);
    assert_eq!(load.with(RDI, DEVICE.start).done().registers[0], 77);
    let mut read = Interrupted::of(Manner::Fickle, MSR, RDMSR).in_supervisor().with(RCX, 0x802);
    read.fake().msrs.insert(0x802, 3 << 32 | 5);
    let after = read.done();
    assert_eq!((after.registers[0], after.registers[2]), (5, 3));
}

proptest! {
    /// Whatever bytes and registers, and whatever the hypervisor leaves in the GHCB: nothing panics, the
    /// stack pointer stays, and the hypervisor hears of no memory but a device's.
    #[test]
    fn made_up_exceptions_bring_about_nothing_else(
        code in prop::sample::select(&[CPUID, IOIO, MSR, NESTED_PAGE_FAULT, 0x404][..]),
        bytes: [u8; 16],
        registers: [u64; 16],
        near in prop::collection::vec((0u8..16, DEVICE.start - 16..DEVICE.end + 16), 0..4),
        supervisor: bool,
        noise: Option<u64>,
    ) {
        let manner = noise.map_or(Manner::Honest, Manner::Noise);
        let mut asked = Interrupted::of(manner, code, &bytes);
        (asked.registers, asked.supervisor) = (registers, supervisor);
        for (register, value) in near {
            asked.registers[usize::from(register)] = value;
        }
        let stack = asked.registers[4];
        let result = handle(&mut asked);
        prop_assert_eq!(asked.registers[4], stack);
        if result.is_err() {
            prop_assert_eq!(asked.rip, CODE);
        }
        for [code, one, two] in asked.fake().exits.clone() {
            if code >= 0x8000_0000 {
                prop_assert!(DEVICE.start <= one && one + two <= DEVICE.end, "{:#x}", one);
            }
        }
    }
}
