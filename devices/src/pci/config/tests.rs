use super::*;
use proptest::prelude::*;

const IDENTITY: Identity =
    Identity { vendor: 0x1234, device: 0x4150, class: 0x03_02_00, revision: 1 };

fn space() -> ConfigSpace {
    let mut space = ConfigSpace::new(IDENTITY);
    space.add_bar(Bar { index: 0, size: 64 << 10 }, false).unwrap();
    space.add_bar(Bar { index: 2, size: 8 << 30 }, true).unwrap();
    space
}

#[test]
fn the_header_says_who_the_function_is() {
    let space = space();
    assert_eq!(space.dword(VENDOR_ID), 0x4150_1234);
    assert_eq!(space.dword(REVISION_AND_CLASS), 0x03_02_00_01);
    assert_eq!(space.dword(SUBSYSTEM_VENDOR_ID), 0x4150_1234);
}

#[test]
fn all_ones_in_a_bar_read_back_as_its_size() {
    let mut space = space();
    for (bar, low, high) in [(0, 0xffff_0004, 0xffff_ffff), (2, 0x0000_000c, 0xffff_fffe)] {
        space.write(bar_offset(bar), &[0xff; 4]);
        space.write(bar_offset(bar) + 4, &[0xff; 4]);
        assert_eq!(space.dword(bar_offset(bar)), low);
        assert_eq!(space.dword(bar_offset(bar) + 4), high);
    }
    // Both halves of BAR 4, which is none.
    space.write(bar_offset(4), &[0xff; 8]);
    assert_eq!((space.dword(bar_offset(4)), space.dword(bar_offset(4) + 4)), (0, 0));
}

#[test]
fn a_bar_answers_where_it_was_put_and_only_while_memory_is_enabled() {
    let mut space = space();
    space.place_bar(2, 0x40_0000_0000);
    assert_eq!(space.bar_range(2), None);
    space.write(COMMAND, &COMMAND_MEMORY.to_le_bytes());
    assert_eq!(space.bar_range(2), Some(0x40_0000_0000..0x42_0000_0000));
    assert_eq!(space.bar_range(1), None);
    // At the very top there is no address behind the last one.
    space.write(bar_offset(0), &[0xff; 8]);
    assert_eq!(space.bar_range(0), None);
}

#[test]
fn capabilities_form_two_lists() {
    let mut space = space();
    let dwords = [Dword { reset: 0xabcd_0000, writable: 0x8000_0000 }, Dword::default()];
    let first = space.add_capability(0x10, &dwords).unwrap();
    let second = space.add_capability(0x11, &dwords).unwrap();
    assert_eq!(space.word(STATUS) & STATUS_CAPABILITIES, STATUS_CAPABILITIES);
    assert_eq!(space.word(CAPABILITIES_POINTER), first);
    assert_eq!(space.dword(first), 0xabcd_0010 | u32::from(second) << 8);
    assert_eq!(space.dword(second), 0xabcd_0011);
    let first = space.add_extended_capability(0x2e, 2, &dwords).unwrap();
    let second = space.add_extended_capability(0x0b, 1, &[]).unwrap();
    assert_eq!(first, 0x100);
    assert_eq!(space.dword(first), 0x002e | 2 << 16 | u32::from(second) << 20);
    assert_eq!(space.dword(second), 0x1_000b);
}

#[test]
fn a_space_that_is_full_takes_no_more() {
    let mut space = space();
    assert_eq!(space.add_capability(9, &[Dword::default(); 49]), Err(Error::NoRoom(9)));
    assert!(space.add_capability(9, &[Dword::default(); 48]).is_ok());
    let dwords = [Dword::default(); 1024];
    assert_eq!(space.add_extended_capability(9, 1, &dwords), Err(Error::NoRoom(9)));
    for bar in
        [Bar { index: 0, size: 128 }, Bar { index: 1, size: 128 }, Bar { index: 6, size: 128 }]
    {
        assert_eq!(space.add_bar(bar, false), Err(Error::BarTaken(bar.index)));
    }
    for size in [0, 64, 129, u64::MAX] {
        assert_eq!(space.add_bar(Bar { index: 4, size }, false), Err(Error::BarSize(size)));
    }
}

#[test]
fn a_write_carries_bits_for_the_registers_that_it_covers() {
    assert_eq!(carried(0x48, 0x48, &[1, 2, 3, 4]), 0x0403_0201);
    assert_eq!(carried(0x48, 0x49, &[0x80]), 0x8000);
    assert_eq!(carried(0x48, 0x46, &[1, 2, 3, 4]), 0x0403);
    assert_eq!(carried(0x48, 0x44, &[1, 2, 3, 4]), 0);
    assert_eq!(carried(0x48, 0x4c, &[1, 2, 3, 4]), 0);
}

proptest! {
    #[test]
    fn no_write_changes_a_bit_that_is_not_writable(
        writes in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..9)), 0..64),
    ) {
        let mut space = space();
        space.add_capability(0x11, &[Dword { reset: 0x0003_0000, writable: 0xc000_0000 }]).unwrap();
        let before = space.clone();
        for (offset, data) in writes {
            space.write(offset, &data);
            let mut back = data.clone();
            space.read(offset, &mut back);
        }
        for at in 0..SIZE {
            prop_assert_eq!((space.bytes[at] ^ before.bytes[at]) & !space.writable[at], 0);
        }
        space.reset();
        prop_assert_eq!(space.bytes, before.bytes);
    }
}
