use super::exit_code::{CPUID, IOIO, MSR, NESTED_PAGE_FAULT};
use super::*;
use proptest::prelude::*;

const EAX: Place = Place { register: 0, high: false };

impl Code for &[u8] {
    fn byte(&self, offset: usize) -> Option<u8> {
        self.get(offset).copied()
    }
}

fn action(code: u64, bytes: &[u8]) -> Action {
    // Whatever follows belongs to the next instruction.
    let decoded = decode(code, &[bytes, &[0xcc; 4]].concat()[..]).unwrap();
    assert_eq!(usize::from(decoded.length), bytes.len(), "{bytes:x?}");
    decoded.action
}

extern crate std;
use std::vec::Vec;

/// Encodings of the APM, volume 3.
#[test]
fn instructions_that_exit_without_memory_are_known() {
    assert_eq!(action(CPUID, &[0x0f, 0xa2]), Action::Cpuid);
    assert_eq!(action(MSR, &[0x0f, 0x32]), Action::ReadMsr);
    assert_eq!(action(MSR, &[0x0f, 0x30]), Action::WriteMsr);
    assert_eq!(action(IOIO, &[0xec]), Action::In(Port::Dx, Size::Byte));
    assert_eq!(action(IOIO, &[0xed]), Action::In(Port::Dx, Size::Double));
    assert_eq!(action(IOIO, &[0x66, 0xed]), Action::In(Port::Dx, Size::Word));
    assert_eq!(action(IOIO, &[0xee]), Action::Out(Port::Dx, Size::Byte));
    assert_eq!(action(IOIO, &[0x66, 0xef]), Action::Out(Port::Dx, Size::Word));
    assert_eq!(action(IOIO, &[0xe4, 0x60]), Action::In(Port::Fixed(0x60), Size::Byte));
    assert_eq!(action(IOIO, &[0xe7, 0x80]), Action::Out(Port::Fixed(0x80), Size::Double));
    // REX.W does not make a port wider.
    assert_eq!(action(IOIO, &[0x48, 0xed]), Action::In(Port::Dx, Size::Double));
}

#[test]
fn strings_go_out_of_a_port_once_or_rcx_times() {
    let out = |size, repeated| Action::OutString { size, repeated };
    assert_eq!(action(IOIO, &[0x6e]), out(Size::Byte, false));
    assert_eq!(action(IOIO, &[0xf3, 0x6e]), out(Size::Byte, true));
    assert_eq!(action(IOIO, &[0x66, 0xf3, 0x6f]), out(Size::Word, true));
    assert_eq!(action(IOIO, &[0xf3, 0x6f]), out(Size::Double, true));
}

const fn based(register: u8, displacement: i32) -> Address {
    Address { base: Base::Register(register), index: RSP, shift: 0, displacement }
}

/// What the compiler makes of volatile reads and writes.
#[test]
fn moves_to_and_from_devices_are_known_with_any_address() {
    let load = |size, place, address| Action::Load { from: size, into: size, place, address };
    let store = |size, place, address| Action::Store(Source::Register(place), size, address);
    let at = |bytes: &[u8]| action(NESTED_PAGE_FAULT, bytes);
    // mov eax, [rdi]; mov rax, [rdi + 8]; mov r9d, [rdi + rcx * 4 + 0x1000]
    assert_eq!(at(&[0x8b, 0x07]), load(Size::Double, EAX, based(7, 0)));
    assert_eq!(at(&[0x48, 0x8b, 0x47, 0x08]), load(Size::Quad, EAX, based(7, 8)));
    let r9 = Place { register: 9, high: false };
    let scaled = Address { index: 1, shift: 2, ..based(7, 0x1000) };
    assert_eq!(at(&[0x44, 0x8b, 0x8c, 0x8f, 0, 0x10, 0, 0]), load(Size::Double, r9, scaled));
    // mov rax, [r13 + r12 * 8 - 1]; mov eax, [rsp]
    let extended = Address { index: 12, shift: 3, ..based(13, -1) };
    assert_eq!(at(&[0x4b, 0x8b, 0x44, 0xe5, 0xff]), load(Size::Quad, EAX, extended));
    assert_eq!(at(&[0x8b, 0x04, 0x24]), load(Size::Double, EAX, based(4, 0)));
    // mov [rip + 0x100], eax; mov [0x1000], al (SIB without base); mov [rcx * 2 - 4], eax
    let next = Address { base: Base::NextInstruction, ..based(0, 0x100) };
    assert_eq!(at(&[0x89, 0x05, 0, 1, 0, 0]), store(Size::Double, EAX, next));
    let absolute = Address { base: Base::Zero, ..based(0, 0x1000) };
    assert_eq!(at(&[0x88, 0x04, 0x25, 0, 0x10, 0, 0]), store(Size::Byte, EAX, absolute));
    let index_only = Address { base: Base::Zero, index: 1, shift: 1, displacement: -4 };
    let bytes = [0x89, 0x04, 0x4d, 0xfc, 0xff, 0xff, 0xff];
    assert_eq!(at(&bytes), store(Size::Double, EAX, index_only));
    // mov [r12], sil; mov [rdi], dh; mov ax, [rbp - 2]
    let sil = Place { register: 6, high: false };
    assert_eq!(at(&[0x41, 0x88, 0x34, 0x24]), store(Size::Byte, sil, based(12, 0)));
    let dh = Place { register: 2, high: true };
    assert_eq!(at(&[0x88, 0x37]), store(Size::Byte, dh, based(7, 0)));
    assert_eq!(at(&[0x66, 0x8b, 0x45, 0xfe]), load(Size::Word, EAX, based(5, -2)));
    // mov byte [rax], 0x80; mov word [rdi], 0x1234; mov dword [rdi + 4], 1; mov qword [rdi], -1
    let constant = |value, size, address| Action::Store(Source::Constant(value), size, address);
    assert_eq!(at(&[0xc6, 0x00, 0x80]), constant(-128, Size::Byte, based(0, 0)));
    assert_eq!(at(&[0x66, 0xc7, 0x07, 0x34, 0x12]), constant(0x1234, Size::Word, based(7, 0)));
    assert_eq!(at(&[0xc7, 0x47, 0x04, 1, 0, 0, 0]), constant(1, Size::Double, based(7, 4)));
    let ones = [0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(at(&ones), constant(-1, Size::Quad, based(7, 0)));
    // movzx eax, byte [rdi]; movzx ecx, word [rdi]
    let (into, address) = (Size::Double, based(7, 0));
    let byte = Action::Load { from: Size::Byte, into, place: EAX, address };
    assert_eq!(at(&[0x0f, 0xb6, 0x07]), byte);
    let place = Place { register: 1, high: false };
    let word = Action::Load { from: Size::Word, into, place, address };
    assert_eq!(at(&[0x0f, 0xb7, 0x0f]), word);
}

#[test]
fn what_is_not_understood_or_not_the_exits_is_an_error() {
    for (code, bytes, error) in [
        (CPUID, &[0x0f, 0x32][..], Error::Opcode(0x0f32)),
        (MSR, &[0x0f, 0xa2], Error::Opcode(0x0fa2)),
        (IOIO, &[0x8b, 0x07], Error::Opcode(0x8b)),
        // A string from a port, a move of a string, and repetition where there is none.
        (IOIO, &[0xf3, 0x6c], Error::Opcode(0x6c)),
        (IOIO, &[0xf3, 0xee], Error::Opcode(0xee)),
        (NESTED_PAGE_FAULT, &[0xf3, 0x8b, 0x07], Error::Opcode(0x8b)),
        // Another segment, another address size.
        (NESTED_PAGE_FAULT, &[0x65, 0x8b, 0x07], Error::Opcode(0x65)),
        (NESTED_PAGE_FAULT, &[0x67, 0x8b, 0x07], Error::Opcode(0x67)),
        (NESTED_PAGE_FAULT, &[0xa4], Error::Opcode(0xa4)),
        (NESTED_PAGE_FAULT, &[0x8b, 0xc0], Error::Opcode(0x8b)),
        (NESTED_PAGE_FAULT, &[0xc7, 0x48, 0, 0, 0, 0, 0], Error::Opcode(0xc7)),
        (NESTED_PAGE_FAULT, &[0x0f, 0x11, 0x07], Error::Opcode(0x0f11)),
        (0x78, &[0xf4], Error::ExitCode(0x78)),
        (NESTED_PAGE_FAULT, &[0x8b], Error::Truncated),
        (NESTED_PAGE_FAULT, &[0x8b, 0x84], Error::Truncated),
        (CPUID, &[], Error::Truncated),
        (CPUID, &[0x66; 20], Error::Truncated),
    ] {
        assert_eq!(decode(code, bytes), Err(error), "{code:#x} {bytes:x?}");
    }
}

#[test]
fn a_load_leaves_what_it_does_not_write() {
    let before = 0x1122_3344_5566_7788;
    let high = Place { register: 0, high: true };
    assert_eq!(loaded(before, 0xffff_ff9a, Size::Byte, EAX), 0x1122_3344_5566_779a);
    assert_eq!(loaded(before, 0x9a, Size::Byte, high), 0x1122_3344_5566_9a88);
    assert_eq!(loaded(before, 0xabcd, Size::Word, EAX), 0x1122_3344_5566_abcd);
    assert_eq!(loaded(before, 0xffff_ffff, Size::Double, EAX), 0xffff_ffff);
    assert_eq!(loaded(before, 1, Size::Quad, EAX), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_an_instruction_or_an_error(
        code in prop::sample::select(&[CPUID, IOIO, MSR, NESTED_PAGE_FAULT][..]),
        bytes: [u8; 18],
    ) {
        if let Ok(decoded) = decode(code, &bytes[..]) {
            let length = usize::from(decoded.length);
            prop_assert!(length <= LONGEST);
            // The bytes behind it do not matter, and none of its own can be missing.
            let own: Vec<u8> = bytes[..length].into();
            prop_assert_eq!(decode(code, &own[..]), Ok(decoded));
            prop_assert_eq!(decode(code, &own[..length - 1]), Err(Error::Truncated));
        }
    }
}
