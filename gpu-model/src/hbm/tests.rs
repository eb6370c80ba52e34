use proptest::prelude::*;
use ravelin_gpu_abi::registers::Mode;

use super::*;
use crate::firewall::{Firewall, Initiator};

const SIZE: u64 = 4 * CHUNK;

fn open() -> Firewall {
    Firewall::lock(Mode::Off, SIZE)
}

fn read(hbm: &Hbm, firewall: &Firewall, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    let place = firewall.admit(Initiator::CopyEngine, address, length as u64).unwrap();
    hbm.read(&place, &mut bytes).unwrap();
    bytes
}

fn write(hbm: &Hbm, firewall: &Firewall, address: u64, bytes: &[u8]) {
    let place = firewall.admit(Initiator::CopyEngine, address, bytes.len() as u64).unwrap();
    hbm.write(&place, bytes).unwrap();
}

#[test]
fn sizes_out_of_rule_are_refused() {
    for size in [0, CHUNK, SIZE_MIN - CHUNK, SIZE_MIN + 1, SIZE_MAX + CHUNK, u64::MAX] {
        assert_eq!(Hbm::new(size).err(), Some(Error::Size(size)));
    }
    assert!(Hbm::new(SIZE_MIN).is_ok());
    assert!(Hbm::new(80 << 30).is_ok());
}

#[test]
fn memory_is_taken_where_it_is_written_only() {
    let (hbm, firewall) = (Hbm::new(SIZE).unwrap(), open());
    assert_eq!(read(&hbm, &firewall, 0, SIZE as usize), vec![0; SIZE as usize]);
    assert_eq!(hbm.resident(), 0);
    write(&hbm, &firewall, 2 * CHUNK - 1, b"ab");
    assert_eq!(hbm.resident(), 2 * CHUNK);
    assert_eq!(read(&hbm, &firewall, 2 * CHUNK - 2, 4), *b"\0ab\0");
}

#[test]
fn a_token_of_a_larger_gpu_reaches_no_further_than_this_one() {
    let hbm = Hbm::new(SIZE).unwrap();
    let larger = Firewall::lock(Mode::Off, 2 * SIZE);
    let place = larger.admit(Initiator::CopyEngine, SIZE - 1, 2).unwrap();
    let beyond = Err(Error::Beyond { address: SIZE - 1, length: 2 });
    assert_eq!(hbm.read(&place, &mut [0; 2]), beyond);
    assert_eq!(hbm.write(&place, &[1; 2]), beyond);
    assert_eq!(hbm.resident(), 0);
}

#[test]
fn a_buffer_of_another_length_than_admitted_moves_nothing() {
    let (hbm, firewall) = (Hbm::new(SIZE).unwrap(), open());
    let place = firewall.admit(Initiator::CopyEngine, 0, 2).unwrap();
    assert_eq!(hbm.write(&place, &[1; 3]), Err(Error::Length { buffer: 3, admitted: 2 }));
    assert_eq!(hbm.read(&place, &mut [0; 1]), Err(Error::Length { buffer: 1, admitted: 2 }));
    assert_eq!(hbm.resident(), 0);
}

#[test]
fn a_scrub_takes_its_range_and_leaves_the_rest() {
    let (hbm, firewall) = (Hbm::new(SIZE).unwrap(), open());
    for chunk in 0..4 {
        write(&hbm, &firewall, chunk * CHUNK, b"canary");
    }
    hbm.scrub(CHUNK..3 * CHUNK);
    assert_eq!(hbm.resident(), 2 * CHUNK);
    assert_eq!(read(&hbm, &firewall, CHUNK, 6), [0; 6]);
    assert_eq!(read(&hbm, &firewall, 2 * CHUNK, 6), [0; 6]);
    assert_eq!(read(&hbm, &firewall, 0, 6), *b"canary");
    assert_eq!(read(&hbm, &firewall, 3 * CHUNK, 6), *b"canary");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hbm_is_memory(writes in prop::collection::vec(
        (prop_oneof![0..SIZE, (1..4_u64).prop_map(|chunk| chunk * CHUNK - 8)],
         prop::collection::vec(any::<u8>(), 0..64)),
        1..16,
    )) {
        let (hbm, firewall) = (Hbm::new(SIZE).unwrap(), open());
        let mut plain = vec![0; SIZE as usize];
        for (address, bytes) in writes {
            let bytes = &bytes[..bytes.len().min((SIZE - address) as usize)];
            plain[address as usize..][..bytes.len()].copy_from_slice(bytes);
            write(&hbm, &firewall, address, bytes);
        }
        prop_assert!(read(&hbm, &firewall, 0, SIZE as usize) == plain);
    }
}
