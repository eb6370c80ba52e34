use super::exit_code::{CPUID, IOIO, MSR, NESTED_PAGE_FAULT};
use super::*;
use proptest::prelude::*;

const EAX: Place = Place { register: 0, high: false };

fn action(code: u64, bytes: &[u8]) -> Action {
    // Whatever follows belongs to the next instruction.
    let decoded = decode(code, &[bytes, &[0xcc; 4]].concat()).unwrap();
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

/// What the compiler makes of volatile reads and writes.
#[test]
fn moves_to_and_from_devices_are_known_with_any_address() {
    let load = |size, place| Action::Load { from: size, into: size, place };
    let store = |size, place| Action::Store(Source::Register(place), size);
    let at = |bytes: &[u8]| action(NESTED_PAGE_FAULT, bytes);
    // mov eax, [rdi]; mov rax, [rdi + 8]; mov r9d, [rdi + rcx * 4 + 0x1000]
    assert_eq!(at(&[0x8b, 0x07]), load(Size::Double, EAX));
    assert_eq!(at(&[0x48, 0x8b, 0x47, 0x08]), load(Size::Quad, EAX));
    let r9 = Place { register: 9, high: false };
    assert_eq!(at(&[0x44, 0x8b, 0x8c, 0x8f, 0, 0x10, 0, 0]), load(Size::Double, r9));
    // mov [rip + 0x100], eax; mov [0x1000], al (SIB without base); mov [r12], sil
    assert_eq!(at(&[0x89, 0x05, 0, 1, 0, 0]), store(Size::Double, EAX));
    assert_eq!(at(&[0x88, 0x04, 0x25, 0, 0x10, 0, 0]), store(Size::Byte, EAX));
    let sil = Place { register: 6, high: false };
    assert_eq!(at(&[0x41, 0x88, 0x34, 0x24]), store(Size::Byte, sil));
    // mov [rdi], dh; mov ax, [rbp - 2]
    assert_eq!(at(&[0x88, 0x37]), store(Size::Byte, Place { register: 2, high: true }));
    assert_eq!(at(&[0x66, 0x8b, 0x45, 0xfe]), load(Size::Word, EAX));
    // mov byte [rax], 0x80; mov word [rdi], 0x1234; mov dword [rdi + 4], 1; mov qword [rdi], -1
    let constant = |value, size| Action::Store(Source::Constant(value), size);
    assert_eq!(at(&[0xc6, 0x00, 0x80]), constant(-128, Size::Byte));
    assert_eq!(at(&[0x66, 0xc7, 0x07, 0x34, 0x12]), constant(0x1234, Size::Word));
    assert_eq!(at(&[0xc7, 0x47, 0x04, 1, 0, 0, 0]), constant(1, Size::Double));
    assert_eq!(at(&[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff]), constant(-1, Size::Quad));
    // movzx eax, byte [rdi]; movzx ecx, word [rdi]
    assert_eq!(
        at(&[0x0f, 0xb6, 0x07]),
        Action::Load { from: Size::Byte, into: Size::Double, place: EAX }
    );
    let ecx = Place { register: 1, high: false };
    assert_eq!(
        at(&[0x0f, 0xb7, 0x0f]),
        Action::Load { from: Size::Word, into: Size::Double, place: ecx }
    );
}

#[test]
fn what_is_not_understood_or_not_the_exits_is_an_error() {
    for (code, bytes, error) in [
        (CPUID, &[0x0f, 0x32][..], Error::Opcode(0x0f32)),
        (MSR, &[0x0f, 0xa2], Error::Opcode(0x0fa2)),
        (IOIO, &[0x8b, 0x07], Error::Opcode(0x8b)),
        // String port I/O, and a move of a string.
        (IOIO, &[0x6e], Error::Opcode(0x6e)),
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

/// APM volume 2, 15.10.2: port in bits 31:16, one bit for each size, bit 0 for IN.
#[test]
fn a_ports_information_is_the_intercepts() {
    assert_eq!(ioio_information(0x3f8, Size::Byte, false), 0x03f8_0010);
    assert_eq!(ioio_information(0x604, Size::Word, false), 0x0604_0020);
    assert_eq!(ioio_information(0xcf8, Size::Double, true), 0x0cf8_0041);
}

proptest! {
    #[test]
    fn any_bytes_are_an_instruction_or_an_error(
        code in prop::sample::select(&[CPUID, IOIO, MSR, NESTED_PAGE_FAULT][..]),
        bytes: [u8; 18],
    ) {
        if let Ok(decoded) = decode(code, &bytes) {
            let length = usize::from(decoded.length);
            prop_assert!(length <= LONGEST);
            // The bytes behind it do not matter, and none of its own can be missing.
            let own: Vec<u8> = bytes[..length].into();
            prop_assert_eq!(decode(code, &own), Ok(decoded));
            prop_assert_eq!(decode(code, &own[..length - 1]), Err(Error::Truncated));
        }
    }
}
