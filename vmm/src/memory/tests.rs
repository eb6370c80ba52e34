use super::*;
use vm_memory::Bytes;

const PAGE: u64 = 4096;
const END: u64 = 64 << 20;
#[allow(clippy::single_range_in_vec_init, reason = "one range of memory")]
const ALL: [Range<u64>; 1] = [0..END];

fn read(memory: &GuestMemoryMmap, address: u64) -> u64 {
    memory.read_obj(GuestAddress(address)).unwrap()
}

#[test]
fn private_and_shared_are_two_memories() {
    let memory = Memory::new(&ALL, true, Pages::Any).unwrap();
    memory.private().write_obj(7u64, GuestAddress(PAGE)).unwrap();
    assert_eq!((read(memory.private(), PAGE), read(memory.shared(), PAGE)), (7, 0));
}

#[test]
fn a_page_leaves_nothing_on_the_side_it_left_and_finds_what_was_on_the_other() {
    [Pages::Any, Pages::Huge].into_iter().for_each(leaves_nothing_behind);
}

fn leaves_nothing_behind(kind: Pages) {
    let memory = Memory::new(&ALL, true, kind).unwrap();
    memory.private().write_obj(7u64, GuestAddress(PAGE)).unwrap();
    memory.shared().write_obj(8u64, GuestAddress(PAGE)).unwrap();
    memory.pages().convert(PAGE, PAGE, PageState::Shared).unwrap();
    assert_eq!((read(memory.private(), PAGE), read(memory.shared(), PAGE)), (0, 8));
    memory.pages().convert(PAGE, PAGE, PageState::Private).unwrap();
    assert_eq!((read(memory.private(), PAGE), read(memory.shared(), PAGE)), (0, 0));
}

#[test]
fn neighbours_of_a_converted_page_keep_their_bytes() {
    let memory = Memory::new(&ALL, true, Pages::Any).unwrap();
    for page in 0..3 {
        memory.private().write_obj(page + 1, GuestAddress(page * PAGE)).unwrap();
    }
    memory.pages().convert(PAGE, PAGE, PageState::Shared).unwrap();
    assert_eq!([0, 1, 2].map(|page| read(memory.private(), page * PAGE)), [1, 0, 3]);
}

#[test]
fn huge_pages_can_be_mapped_as_such_and_outlive_the_memory_as_long_as_they_are_referred_to() {
    let memory = Memory::new(&ALL, true, Pages::Huge).unwrap();
    let address = memory.private().iter().next().unwrap().as_ptr();
    assert_eq!(address.addr() % (2 << 20), 0);
    memory.private().write_obj(7u64, GuestAddress(END - 8)).unwrap();
    assert_eq!(read(memory.private(), END - 8), 7);
    let pages = memory.pages().clone();
    drop(memory);
    // Empties a page of private memory that nobody has but the map.
    pages.convert(0, PAGE, PageState::Shared).unwrap();
    let plain = Memory::new(&ALL, false, Pages::Huge).unwrap();
    plain.private().write_obj(8u64, GuestAddress(0)).unwrap();
    assert_eq!(read(plain.shared(), 0), 8);
}

#[test]
fn unprotected_memory_is_one_and_shared() {
    let memory = Memory::new(&ALL, false, Pages::Any).unwrap();
    memory.private().write_obj(7u64, GuestAddress(PAGE)).unwrap();
    assert_eq!(read(memory.shared(), PAGE), 7);
    assert_eq!(memory.pages().shared_pages(), END / PAGE);
}
