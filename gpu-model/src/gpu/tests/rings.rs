//! The rings at work: outcomes, order, interrupts, hostile registers.

use proptest::prelude::*;
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::ring::Outcome;
use ravelin_gpu_abi::{EVENT_VECTOR, Engine};

use crate::testing::{BASE, ENTRIES, Guest, HBM, SLOT, linger, wait};

#[test]
fn an_authentic_request_out_of_range_is_answered_and_the_session_lives() {
    let mut guest = Guest::attached();
    for address in [0, BASE - 1, HBM - 3, HBM, u64::MAX - 1] {
        assert_eq!(guest.copy_in(address, b"four"), Outcome::OutOfRange);
        assert_eq!(guest.copy_out(address, 4), Err(Outcome::OutOfRange));
    }
    assert_eq!(guest.copy_out(BASE, SLOT + 1), Err(Outcome::OutOfRange));
    assert_eq!(guest.copy_out(BASE, u32::MAX), Err(Outcome::OutOfRange));
    assert_eq!(guest.launch(Command::Fill { address: 0, count: 1, value: 1 }), Reply::BadOperand);
    assert_eq!(guest.status(), Status::Session);
    assert_eq!(guest.copy_in(HBM - 4, b"four"), Outcome::Done);
    assert_eq!(guest.copy_out(HBM - 4, 4).as_deref(), Ok(&b"four"[..]));
}

#[test]
fn an_authentic_record_that_is_no_command_is_answered() {
    let mut guest = Guest::attached();
    for record in [&[0xff; 64][..], &[0; 63], &[]] {
        let sequence = guest.submit(Engine::Command, 0, record.len() as u32, record);
        guest.ring(Engine::Command);
        let (outcome, reply) = guest.response(Engine::Command, sequence);
        assert_eq!(outcome, Outcome::Malformed);
        assert_eq!(Reply::decode(&reply), Some(Reply::BadCommand));
    }
    assert_eq!(guest.launch(Command::Nop), Reply::Done);
}

#[test]
fn one_doorbell_serves_a_full_ring_many_times_over() {
    let mut guest = Guest::attached();
    for round in 0..20_u64 {
        let sent: Vec<u64> = (0..u64::from(ENTRIES))
            .map(|n| guest.submit(Engine::CopyIn, BASE + 8 * n, 8, &(round + n).to_le_bytes()))
            .collect();
        let before = guest.lines.raised(Engine::CopyIn as u16);
        guest.ring(Engine::CopyIn);
        for sequence in sent {
            assert_eq!(guest.response(Engine::CopyIn, sequence).0, Outcome::Done);
        }
        wait(|| guest.lines.raised(Engine::CopyIn as u16) > before);
    }
    let expected: Vec<u8> = (0..8_u64).flat_map(|n| (19 + n).to_le_bytes()).collect();
    assert_eq!(guest.copy_out(BASE, 64), Ok(expected));
}

#[test]
fn memory_that_is_not_there_stops_the_ring_and_nothing_else() {
    let mut guest = Guest::attached();
    let enable = registers::ring(Engine::CopyOut, registers::RING_ENABLE);
    guest.write64(registers::ring(Engine::CopyOut, registers::RING_ADDRESS), 1 << 40);
    guest.write32(enable, 1);
    let events = guest.lines.raised(EVENT_VECTOR);
    guest.ring(Engine::CopyOut);
    wait(|| guest.lines.raised(EVENT_VECTOR) > events);
    assert_eq!(guest.read32(enable), 0);
    assert_eq!(guest.gpu.admin().telemetry().dma_faults, 1);
    assert_eq!(guest.status(), Status::Session);
    assert_eq!(guest.copy_in(BASE, b"four"), Outcome::Done);
}

#[test]
fn without_a_session_no_ring_answers() {
    let mut guest = Guest::new(Mode::On);
    guest.attach_plain();
    let sequence = guest.submit(Engine::CopyIn, 0, 4, b"four");
    guest.ring(Engine::CopyIn);
    linger();
    assert!(!guest.answered(Engine::CopyIn, sequence));
    assert_eq!(guest.gpu.admin().telemetry().hbm_resident, 0);
}

#[test]
fn a_plain_record_in_a_session_kills_it() {
    let mut guest = Guest::attached();
    guest.attach_plain();
    guest.submit(Engine::CopyIn, BASE, 4, b"four");
    guest.ring(Engine::CopyIn);
    guest.wait_for(Status::Failed);
    assert!(!guest.hbm_holds(b"four"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_write_to_a_register_breaks_the_gpu(writes in prop::collection::vec(
        (prop_oneof![0x1000_u64..0x1300, 0_u64..0x40], any::<u64>(), any::<bool>(), any::<bool>()),
        1..32,
    )) {
        let mut guest = Guest::new(Mode::On);
        for (offset, value, wide, small) in writes {
            let value = if small { value & 0xf000 | 1 } else { value };
            match wide {
                true => guest.write64(offset & !7, value),
                false => guest.write32(offset & !3, value as u32),
            }
        }
        guest.attach();
        prop_assert_eq!(guest.copy_in(BASE, b"four"), Outcome::Done);
    }
}
