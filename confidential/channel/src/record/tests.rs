//! The promises of the channel, each with the attack that would break it.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const CHANNEL: u32 = 1;
const BINDING: Binding = Binding { hbm_address: 0x1000, length: 64, outcome: 0 };
const PLAINTEXT: &[u8; 64] = b"sixty-four bytes which nobody on the bus should ever get to read";

fn secret() -> ExportMasterSecret {
    ExportMasterSecret::new([0x42; 48])
}

fn ends() -> (Sealer, Opener) {
    (
        Sealer::new(&secret(), CHANNEL, Direction::GuestToGpu),
        Opener::new(&secret(), CHANNEL, Direction::GuestToGpu),
    )
}

/// Ends whose keys are used up after a few records.
fn short_lived(records_per_generation: u64, generations: u32) -> (Sealer, Opener) {
    let limits = Limits { records_per_generation, generations };
    let end = || End::new(&secret(), CHANNEL, Direction::GuestToGpu, limits);
    (Sealer(end()), Opener(end()))
}

/// What an attacker on the bus holds of a record.
#[derive(Clone)]
struct Record {
    sealed: Sealed,
    bytes: Vec<u8>,
}

fn seal(sealer: &mut Sealer) -> Record {
    let mut bytes = vec![0; PLAINTEXT.len()];
    let sealed = sealer.seal(&BINDING, PLAINTEXT, &mut bytes).unwrap();
    Record { sealed, bytes }
}

fn open(opener: &mut Opener, record: &Record) -> Result<Vec<u8>, Error> {
    let mut bytes = record.bytes.clone();
    let Sealed { sequence, tag } = record.sealed;
    let result = opener.open_in_place(sequence, &BINDING, &tag, &mut bytes);
    assert!(result.is_ok() || bytes.iter().all(|byte| *byte == 0), "bytes left after a failure");
    result.map(|()| bytes)
}

/// The end is of no use any more, and not even for what would have been right.
fn assert_dead(opener: &mut Opener, honest: &Record) {
    assert!(opener.is_dead());
    assert_eq!(open(opener, honest), Err(Error::Dead));
}

#[test]
fn records_arrive_in_order_and_as_sealed() {
    let (mut sealer, mut opener) = ends();
    for number in 1..=5 {
        assert_eq!((sealer.sequence(), opener.sequence()), (number, number));
        let record = seal(&mut sealer);
        assert_eq!(record.sealed.sequence, number);
        assert_ne!(record.bytes, PLAINTEXT);
        assert_eq!(open(&mut opener, &record).unwrap(), PLAINTEXT);
    }
}

#[test]
fn in_place_and_out_of_place_give_the_same_record() {
    let (mut one, mut other) = (ends().0, ends().0);
    let record = seal(&mut one);
    let mut bytes = PLAINTEXT.to_vec();
    assert_eq!(other.seal_in_place(&BINDING, &mut bytes).unwrap(), record.sealed);
    assert_eq!(bytes, record.bytes);
}

#[test]
fn a_record_without_bytes_still_binds_its_descriptor() {
    let (mut sealer, mut opener) = ends();
    let sealed = sealer.seal(&BINDING, &[], &mut []).unwrap();
    assert_eq!(opener.open_in_place(1, &BINDING, &sealed.tag, &mut []), Ok(()));

    let sealed = sealer.seal(&BINDING, &[], &mut []).unwrap();
    let longer = Binding { length: BINDING.length + 1, ..BINDING };
    let refusal = opener.open_in_place(2, &longer, &sealed.tag, &mut []);
    assert_eq!(refusal, Err(Error::Forged { sequence: 2 }));
}

// Threat 4: tampering, each field in turn.

#[test]
fn a_changed_ciphertext_kills_the_channel() {
    for bit in 0..PLAINTEXT.len() * 8 {
        let (mut sealer, mut opener) = ends();
        let honest = seal(&mut sealer);
        let mut changed = honest.clone();
        changed.bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mut opener, &changed), Err(Error::Forged { sequence: 1 }));
        assert_dead(&mut opener, &honest);
    }
}

#[test]
fn a_changed_tag_kills_the_channel() {
    for bit in 0..TAG_SIZE * 8 {
        let (mut sealer, mut opener) = ends();
        let honest = seal(&mut sealer);
        let mut changed = honest.clone();
        changed.sealed.tag[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mut opener, &changed), Err(Error::Forged { sequence: 1 }));
        assert_dead(&mut opener, &honest);
    }
}

#[test]
fn a_shortened_or_lengthened_record_kills_the_channel() {
    for length in [0, 1, PLAINTEXT.len() - 1, PLAINTEXT.len() + 1] {
        let (mut sealer, mut opener) = ends();
        let honest = seal(&mut sealer);
        let mut changed = honest.clone();
        changed.bytes.resize(length, 0);
        assert_eq!(open(&mut opener, &changed), Err(Error::Forged { sequence: 1 }));
        assert_dead(&mut opener, &honest);
    }
}

#[test]
fn a_changed_descriptor_field_kills_the_channel() {
    let changed = [
        Binding { hbm_address: BINDING.hbm_address + 0x1000, ..BINDING },
        Binding { length: BINDING.length - 1, ..BINDING },
        Binding { outcome: 1, ..BINDING },
    ];
    for binding in changed {
        let (mut sealer, mut opener) = ends();
        let honest = seal(&mut sealer);
        let mut bytes = honest.bytes.clone();
        let result = opener.open_in_place(1, &binding, &honest.sealed.tag, &mut bytes);
        assert_eq!(result, Err(Error::Forged { sequence: 1 }));
        assert!(bytes.iter().all(|byte| *byte == 0), "plaintext left");
        assert_dead(&mut opener, &honest);
    }
}

#[test]
fn a_renumbered_record_kills_the_channel() {
    let (mut sealer, mut opener) = ends();
    let first = seal(&mut sealer);
    let second = seal(&mut sealer);
    let mut renumbered = second;
    renumbered.sealed.sequence = 1;
    assert_eq!(open(&mut opener, &renumbered), Err(Error::Forged { sequence: 1 }));
    assert_dead(&mut opener, &first);
}

#[test]
fn a_record_of_another_channel_or_session_kills_the_channel() {
    let other_session = ExportMasterSecret::new([0x43; 48]);
    for mut stranger in [
        Sealer::new(&secret(), CHANNEL + 1, Direction::GuestToGpu),
        Sealer::new(&other_session, CHANNEL, Direction::GuestToGpu),
    ] {
        let (mut sealer, mut opener) = ends();
        let honest = seal(&mut sealer);
        let foreign = seal(&mut stranger);
        assert_eq!(open(&mut opener, &foreign), Err(Error::Forged { sequence: 1 }));
        assert_dead(&mut opener, &honest);
    }
}

// Threat 5: five attacks on the order of records.

#[test]
fn a_replayed_record_kills_the_channel() {
    let (mut sealer, mut opener) = ends();
    let records: Vec<_> = (0..3).map(|_| seal(&mut sealer)).collect();
    records.iter().for_each(|record| assert!(open(&mut opener, record).is_ok()));
    let refusal = open(&mut opener, &records[0]);
    assert_eq!(refusal, Err(Error::OutOfSequence { expected: 4, found: 1 }));
    assert_dead(&mut opener, &seal(&mut sealer));
}

#[test]
fn reordered_records_kill_the_channel() {
    let (mut sealer, mut opener) = ends();
    let (first, second) = (seal(&mut sealer), seal(&mut sealer));
    let refusal = open(&mut opener, &second);
    assert_eq!(refusal, Err(Error::OutOfSequence { expected: 1, found: 2 }));
    assert_dead(&mut opener, &first);
}

#[test]
fn a_dropped_record_kills_the_channel() {
    let (mut sealer, mut opener) = ends();
    let records: Vec<_> = (0..3).map(|_| seal(&mut sealer)).collect();
    open(&mut opener, &records[0]).unwrap();
    let refusal = open(&mut opener, &records[2]);
    assert_eq!(refusal, Err(Error::OutOfSequence { expected: 2, found: 3 }));
    assert_dead(&mut opener, &records[1]);
}

#[test]
fn a_duplicated_record_kills_the_channel() {
    let (mut sealer, mut opener) = ends();
    let (first, second) = (seal(&mut sealer), seal(&mut sealer));
    open(&mut opener, &first).unwrap();
    // The duplicate passes for the next one, so that its number alone does not betray it.
    let mut duplicate = first;
    duplicate.sealed.sequence = 2;
    assert_eq!(open(&mut opener, &duplicate), Err(Error::Forged { sequence: 2 }));
    assert_dead(&mut opener, &second);
}

#[test]
fn a_reflected_record_kills_the_channel() {
    let mut driver = Sealer::new(&secret(), CHANNEL, Direction::GuestToGpu);
    let mut gpu = Sealer::new(&secret(), CHANNEL, Direction::GpuToGuest);
    let mut driver_opens = Opener::new(&secret(), CHANNEL, Direction::GpuToGuest);
    let reflected = seal(&mut driver);
    assert_eq!(open(&mut driver_opens, &reflected), Err(Error::Forged { sequence: 1 }));
    assert_dead(&mut driver_opens, &seal(&mut gpu));
}

// Threat 6: over-use of keys.

#[test]
fn keys_rotate_before_the_limit_and_records_in_flight_survive() {
    let (mut sealer, mut opener) = short_lived(4, 3);
    // All twelve are in flight at once, across two rotations.
    let records: Vec<_> = (0..12).map(|_| seal(&mut sealer)).collect();
    for record in &records {
        assert_eq!(open(&mut opener, record).unwrap(), PLAINTEXT);
    }
}

#[test]
fn a_new_generation_is_a_new_key() {
    let (mut rotates, _) = short_lived(1, 2);
    let (mut stays, _) = short_lived(2, 1);
    assert_eq!(seal(&mut rotates).bytes, seal(&mut stays).bytes);
    assert_ne!(seal(&mut rotates).bytes, seal(&mut stays).bytes);
}

#[test]
fn ends_that_rotate_at_different_records_do_not_understand_each_other() {
    let (mut sealer, _) = short_lived(1, 8);
    let (_, mut opener) = short_lived(2, 8);
    open(&mut opener, &seal(&mut sealer)).unwrap();
    assert_eq!(open(&mut opener, &seal(&mut sealer)), Err(Error::Forged { sequence: 2 }));
}

#[test]
fn the_last_key_ends_in_an_error() {
    let (mut sealer, mut opener) = short_lived(2, 2);
    let records: Vec<_> = (0..4).map(|_| seal(&mut sealer)).collect();

    let mut ciphertext = [0xaa; 64];
    let refusal = sealer.seal(&BINDING, PLAINTEXT, &mut ciphertext);
    assert_eq!(refusal, Err(Error::Exhausted { sequence: 5 }));
    assert!(sealer.is_dead());
    assert_eq!(sealer.seal(&BINDING, PLAINTEXT, &mut ciphertext), Err(Error::Dead));
    assert_eq!(ciphertext, [0xaa; 64], "something was sealed beyond the limit");

    records.iter().for_each(|record| assert!(open(&mut opener, record).is_ok()));
    let mut one_more = records[3].clone();
    one_more.sealed.sequence = 5;
    assert_eq!(open(&mut opener, &one_more), Err(Error::Exhausted { sequence: 5 }));
    assert!(opener.is_dead());
}

// A caller's own faults.

#[test]
fn plaintext_of_a_refused_record_is_wiped() {
    let (mut sealer, _) = ends();
    let mut buffer = vec![0x55; MAX_RECORD_LENGTH + 1];
    let refusal = sealer.seal_in_place(&BINDING, &mut buffer);
    assert_eq!(refusal, Err(Error::TooLong { length: MAX_RECORD_LENGTH + 1 }));
    assert!(buffer.iter().all(|byte| *byte == 0));
    assert!(sealer.is_dead());
}

#[test]
fn the_longest_record_is_sealed_and_opened() {
    let (mut sealer, mut opener) = ends();
    let mut buffer = vec![0x55; MAX_RECORD_LENGTH];
    let sealed = sealer.seal_in_place(&BINDING, &mut buffer).unwrap();
    opener.open_in_place(1, &BINDING, &sealed.tag, &mut buffer).unwrap();
    assert!(buffer.iter().all(|byte| *byte == 0x55));
}

#[test]
fn buffers_of_different_lengths_are_refused() {
    let (mut sealer, _) = ends();
    let refusal = sealer.seal(&BINDING, PLAINTEXT, &mut [0; 63]);
    assert_eq!(refusal, Err(Error::BufferLength { plaintext: 64, ciphertext: 63 }));
    assert!(sealer.is_dead());
}

proptest! {
    #[test]
    fn any_sequence_of_records_arrives(
        records in prop::collection::vec(
            (any::<u64>(), any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..200)),
            1..20,
        ),
        records_per_generation in 1u64..5,
    ) {
        let (mut sealer, mut opener) = short_lived(records_per_generation, 64);
        for (hbm_address, length, outcome, plaintext) in records {
            let binding = Binding { hbm_address, length, outcome };
            let mut bytes = plaintext.clone();
            let Sealed { sequence, tag } = sealer.seal_in_place(&binding, &mut bytes).unwrap();
            opener.open_in_place(sequence, &binding, &tag, &mut bytes).unwrap();
            prop_assert_eq!(bytes, plaintext);
        }
    }

    #[test]
    fn nothing_but_the_sealed_record_opens(
        sequence in 0u64..4,
        hbm_address in prop_oneof![Just(BINDING.hbm_address), any::<u64>()],
        length in prop_oneof![Just(BINDING.length), any::<u32>()],
        outcome in prop_oneof![Just(BINDING.outcome), any::<u32>()],
        tag_bit in prop_oneof![Just(None), (0..TAG_SIZE * 8).prop_map(Some)],
        byte in prop_oneof![Just(None), (0..PLAINTEXT.len(), 1u8..).prop_map(Some)],
    ) {
        let (mut sealer, mut opener) = ends();
        let Record { sealed, mut bytes } = seal(&mut sealer);
        let binding = Binding { hbm_address, length, outcome };
        let mut tag = sealed.tag;
        if let Some(bit) = tag_bit {
            tag[bit / 8] ^= 1 << (bit % 8);
        }
        if let Some((at, change)) = byte {
            bytes[at] ^= change;
        }
        let honest = sequence == 1 && binding == BINDING && tag_bit.is_none() && byte.is_none();
        let result = opener.open_in_place(sequence, &binding, &tag, &mut bytes);
        prop_assert_eq!(result.is_ok(), honest);
        prop_assert_eq!(opener.is_dead(), !honest);
        prop_assert!(honest || bytes.iter().all(|byte| *byte == 0));
    }
}
