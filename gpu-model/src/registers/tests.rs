use proptest::prelude::*;
use ravelin_gpu_abi::REGISTERS_BAR_SIZE;

use super::*;

/// A value that tells its register, with no byte all ones.
fn value(register: Register) -> Option<u64> {
    (register != Register::Mode).then_some(match register {
        Register::HbmSize => 0x1122_3344_5566_7788,
        Register::Ring(engine, RingRegister::Address) => 0x0102_0304_0506_0700 + engine as u64,
        _ => 0x10,
    })
}

fn read32(offset: u64) -> u32 {
    let mut data = [0; 4];
    read(offset, &mut data, value);
    u32::from_le_bytes(data)
}

fn read64(offset: u64) -> u64 {
    let mut data = [0; 8];
    read(offset, &mut data, value);
    u64::from_le_bytes(data)
}

#[test]
fn a_64_bit_register_reads_whole_and_by_halves() {
    assert_eq!(read64(abi::HBM_SIZE), 0x1122_3344_5566_7788);
    assert_eq!(read32(abi::HBM_SIZE), 0x5566_7788);
    assert_eq!(read32(abi::HBM_SIZE + 4), 0x1122_3344);
    let offset = abi::ring(Engine::CopyOut, abi::RING_ADDRESS);
    assert_eq!(read64(offset), 0x0102_0304_0506_0702);
}

#[test]
fn the_halves_of_one_read_fit_together() {
    let mut asked = 0;
    read(abi::VIOLATIONS, &mut [0; 8], |_| {
        asked += 1;
        Some(asked)
    });
    assert_eq!(asked, 1);
}

#[test]
fn what_is_no_register_reads_all_ones() {
    assert_eq!(read32(abi::MODE), u32::MAX, "a register without a value");
    assert_eq!(read32(0x3c), u32::MAX);
    assert_eq!(read64(abi::BOUNDS_LOCKED), 0xffff_ffff_0000_0010);
    assert_eq!(read32(abi::RING_BLOCK + 3 * abi::RING_STRIDE), u32::MAX);
    assert_eq!(read32(REGISTERS_BAR_SIZE - 4), u32::MAX);
    assert_eq!(read64(u64::MAX - 7), u64::MAX);
}

#[test]
fn two_registers_take_one_write() {
    let mut words = Vec::new();
    let offset = abi::ring(Engine::CopyIn, abi::RING_ENTRIES);
    write(offset, &[1, 0, 0, 0, 2, 0, 0, 0], |register, half, word| {
        words.push((register, half, word));
    });
    let register = |register| Register::Ring(Engine::CopyIn, register);
    let entries = (register(RingRegister::Entries), Half::Low, 1);
    assert_eq!(words, [entries, (register(RingRegister::SlotSize), Half::Low, 2)]);
}

proptest! {
    #[test]
    fn other_shapes_read_all_ones_and_write_nothing(offset: u64, length in 0_usize..64) {
        let shaped = matches!(length, 4 | 8) && offset % length as u64 == 0;
        prop_assume!(!shaped);
        let mut data = vec![0; length];
        read(offset, &mut data, |_| Some(0));
        prop_assert_eq!(data, vec![0xff; length]);
        write(offset, &vec![0; length], |_, _, _| panic!("written"));
    }

    #[test]
    fn a_merge_changes_one_half(register: u64, word: u32) {
        prop_assert_eq!(Half::Low.of(Half::Low.merge(register, word)), word);
        prop_assert_eq!(Half::High.of(Half::Low.merge(register, word)), Half::High.of(register));
        prop_assert_eq!(Half::High.of(Half::High.merge(register, word)), word);
        prop_assert_eq!(Half::Low.of(Half::High.merge(register, word)), Half::Low.of(register));
    }
}
