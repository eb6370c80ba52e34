//! Rows 19, 20 and 21: resets in the middle of things, memory after them, and the mode.

use std::thread;
use std::time::{Duration, Instant};

use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, Outcome};
use ravelin_gpu_abi::{EVENT_VECTOR, Engine};

use crate::admin::ResetKind;
use crate::firewall::Initiator;
use crate::testing::{BASE, Guest, HBM, SLOT, linger, request_place, slot, wait};

const KINDS: [ResetKind; 3] = [ResetKind::Flr, ResetKind::Bus, ResetKind::Cold];
const CANARY: &[u8] = b"a canary that the next tenant must not hear";

fn scatter(guest: &mut Guest) {
    for address in (BASE..HBM).step_by(1 << 20) {
        assert_eq!(guest.copy_in(address, CANARY), Outcome::Done);
    }
    guest.gpu.write_window(Initiator::HostMmio, 4096, CANARY);
    assert!(guest.hbm_holds(CANARY));
}

#[test]
fn no_kind_of_reset_leaves_anything_in_memory() {
    for kind in KINDS {
        let mut guest = Guest::attached();
        scatter(&mut guest);
        guest.gpu.admin().reset(kind).unwrap();
        assert!(!guest.hbm_holds(CANARY), "{kind:?}");
        assert_eq!(guest.gpu.admin().telemetry().hbm_resident, 0);
        // Nor can the next tenant see any of it by its own means.
        guest.attach();
        assert_eq!(guest.copy_out(BASE, 64), Ok(vec![0; 64]));
        let mut window = [1; 64];
        guest.gpu.read_window(Initiator::GuestMmio, 4096, &mut window);
        assert_eq!(window, [0; 64]);
    }
}

#[test]
fn the_gpu_is_not_ready_before_the_scrub_is_done() {
    let mut guest = Guest::with(Mode::On, 1 << 30);
    guest.attach();
    let base = guest.read64(registers::PROTECTED_BASE);
    let canary = u32::from_le_bytes(*b"bird");
    let mut seen_booting = false;
    for kind in KINDS {
        guest.launch(Command::Fill { address: base, count: 100 << 18, value: canary });
        let before = guest.read32(registers::RESET_COUNT);
        thread::scope(|scope| {
            scope.spawn(|| guest.gpu.admin().reset(kind).unwrap());
            wait(|| guest.read32(registers::RESET_COUNT) > before);
            while guest.status() == Status::Booting {
                seen_booting = true;
                // While it boots nothing answers: not the window, not a ring, not the mailbox.
                let mut window = [0; 4];
                guest.gpu.write_window(Initiator::HostMmio, 0, &[1; 4]);
                guest.gpu.read_window(Initiator::HostMmio, 0, &mut window);
                assert!(window == [0xff; 4] || guest.status() != Status::Booting);
                let bounds = guest.read32(registers::BOUNDS_LOCKED);
                assert!(bounds == 0 || guest.status() != Status::Booting);
            }
            assert_eq!(guest.status(), Status::Ready);
            assert!(!guest.hbm_holds(b"bird"), "{kind:?}: ready, and not scrubbed");
        });
        guest.attach();
    }
    assert!(seen_booting);
}

#[test]
fn no_kind_of_reset_leaves_a_key() {
    for kind in KINDS {
        let mut guest = Guest::attached();
        assert_eq!(guest.copy_in(BASE, CANARY), Outcome::Done);
        let next = guest.submit(Engine::CopyIn, BASE, CANARY.len() as u32, CANARY);
        let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyIn, next));
        let bytes = guest.memory.get::<64>(slot(Engine::CopyIn, next));
        let firmware = guest.gpu.admin().info().firmware;
        let events = guest.lines.raised(EVENT_VECTOR);
        guest.gpu.admin().reset(kind).unwrap();
        assert_eq!(guest.lines.raised(EVENT_VECTOR), events + 2);
        assert_eq!(guest.status(), Status::Ready);
        assert_eq!(guest.read32(registers::RESET_COUNT), 1);
        assert_eq!(guest.gpu.admin().info().firmware, firmware);
        // The rings are out of use, and the old record is no record of the next session.
        for engine in Engine::ALL {
            assert_eq!(guest.read32(registers::ring(engine, registers::RING_ENABLE)), 0);
            assert_eq!(guest.read64(registers::ring(engine, registers::RING_SLOTS)), 0);
        }
        guest.ring(Engine::CopyIn);
        linger();
        assert!(!guest.answered(Engine::CopyIn, next));
        guest.attach();
        assert_eq!(guest.copy_in(BASE, b"mine"), Outcome::Done);
        guest.memory.put(slot(Engine::CopyIn, next), &bytes);
        guest.memory.put(request_place(Engine::CopyIn, next), &record);
        guest.ring(Engine::CopyIn);
        guest.wait_for(Status::Failed);
        assert!(!guest.hbm_holds(CANARY));
    }
}

#[test]
fn a_record_that_a_reset_overtakes_never_lands() {
    for kind in KINDS {
        let mut guest = Guest::attached();
        guest.submit(Engine::CopyIn, BASE, CANARY.len() as u32, CANARY);
        guest.memory.stick(Some(0));
        guest.ring(Engine::CopyIn);
        guest.memory.wait_until_stuck();
        let start = Instant::now();
        guest.gpu.admin().reset(kind).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "a stuck memory holds the reset up");
        assert_eq!(guest.status(), Status::Ready);
        guest.memory.stick(None);
        linger();
        assert!(!guest.hbm_holds(CANARY));
        assert_eq!(guest.status(), Status::Ready);
        guest.attach();
        assert_eq!(guest.copy_in(BASE, CANARY), Outcome::Done);
    }
}

#[test]
fn a_record_fetched_for_an_earlier_session_does_not_cost_the_next_one() {
    let mut guest = Guest::attached();
    guest.submit(Engine::CopyIn, BASE, SLOT, &[0xa5; SLOT as usize]);
    guest.memory.stick(Some(SLOT as usize));
    guest.ring(Engine::CopyIn);
    guest.memory.wait_until_stuck();
    guest.gpu.admin().reset(ResetKind::Flr).unwrap();
    guest.attach();
    guest.memory.stick(None);
    linger();
    assert_eq!(guest.status(), Status::Session);
    assert!(!guest.hbm_holds(&[0xa5]));
    assert_eq!(guest.copy_in(BASE, CANARY), Outcome::Done);
}

#[test]
fn under_resets_a_record_lands_whole_or_not_at_all_and_never_late() {
    let mut guest = Guest::attached();
    for round in 0..30 {
        let bytes = vec![0xa5; SLOT as usize];
        for n in 0..8 {
            guest.submit(Engine::CopyIn, BASE + n * u64::from(SLOT), SLOT, &bytes);
        }
        guest.ring(Engine::CopyIn);
        thread::sleep(Duration::from_micros(37 * round));
        guest.gpu.admin().reset(KINDS[round as usize % 3]).unwrap();
        linger();
        assert!(!guest.hbm_holds(&[0xa5]));
        guest.attach();
    }
}

#[test]
fn a_reset_does_not_wait_for_a_kernel() {
    let mut guest = Guest::attached();
    // Factors that overlap each other but not the result: as long a kernel as this HBM holds.
    let (a, b, c) = (BASE, BASE, HBM - (4 << 20));
    let long = Command::MatrixMultiply { a, b, c, m: 1024, n: 1024, k: 4096 };
    guest.submit(Engine::Command, 0, 64, &long.encode());
    guest.ring(Engine::Command);
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    guest.gpu.admin().reset(ResetKind::Flr).unwrap();
    assert!(start.elapsed() < Duration::from_millis(1000));
    assert_eq!(guest.gpu.admin().telemetry().engines[0].records, 0, "the kernel was still running");
}

#[test]
fn a_chosen_mode_comes_with_the_next_reset_and_no_sooner() {
    let mut guest = Guest::attached();
    scatter(&mut guest);
    guest.gpu.admin().set_mode(Mode::Off);
    assert_eq!(guest.read32(registers::MODE), Mode::On as u32);
    assert_eq!(guest.gpu.admin().info().mode, "on");
    assert_eq!(guest.gpu.admin().info().next_mode, "off");
    let mut data = [0; 4];
    guest.gpu.read_window(Initiator::HostMmio, BASE, &mut data);
    assert_eq!(data, [0xff; 4]);
    assert_eq!(guest.copy_out(BASE, CANARY.len() as u32).as_deref(), Ok(CANARY));
    guest.gpu.admin().reset(ResetKind::Flr).unwrap();
    assert_eq!(guest.read32(registers::MODE), Mode::Off as u32);
    // The region is open now, and empty.
    guest.gpu.read_window(Initiator::HostMmio, BASE, &mut data);
    assert_eq!(data, [0; 4]);
    assert!(!guest.hbm_holds(CANARY));
}

#[test]
fn a_cold_reset_takes_the_engines_counters_and_no_evidence() {
    let mut guest = Guest::attached();
    guest.copy_in(BASE, CANARY);
    guest.gpu.write_window(Initiator::HostMmio, BASE, CANARY);
    guest.gpu.admin().reset(ResetKind::Flr).unwrap();
    assert_eq!(guest.gpu.admin().telemetry().engines[1].records, 1);
    guest.gpu.admin().reset(ResetKind::Cold).unwrap();
    let telemetry = guest.gpu.admin().telemetry();
    assert_eq!(telemetry.engines[1].records, 0);
    assert_eq!((telemetry.resets, telemetry.sessions, telemetry.violations), (2, 1, 1));
    assert_eq!(guest.gpu.admin().events()[0].number, 1);
}

#[test]
fn resets_at_the_same_time_come_one_after_the_other() {
    let guest = Guest::attached();
    thread::scope(|scope| {
        for kind in KINDS {
            let guest = &guest;
            scope.spawn(move || guest.gpu.admin().reset(kind).unwrap());
        }
    });
    assert_eq!(guest.read32(registers::RESET_COUNT), 3);
    assert_eq!(guest.status(), Status::Ready);
}
