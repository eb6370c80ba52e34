//! Rows 4 and 5: records tampered with, replayed, reordered, dropped, duplicated, reflected.

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::Status;
use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, Outcome};

use crate::testing::{BASE, Guest, linger, request_place, response_place, slot};

const SECRET: &[u8] = b"the plaintext of the tenant, long enough to be found";

/// Waits for the session to end, and sees that nothing of `SECRET` went anywhere, that no key is
/// left, and that no engine works.
fn assert_dead(guest: &mut Guest) {
    guest.wait_for(Status::Failed);
    assert!(!guest.hbm_holds(SECRET));
    assert!(!guest.host_sees(SECRET));
    assert_eq!(guest.gpu.machine().leases.current(), None);
    let life = guest.gpu.machine().life.read();
    assert!(life.as_ref().unwrap().is_closed());
    drop(life);
    let sequence = guest.submit(Engine::Command, 0, 64, &Command::Nop.encode());
    guest.ring(Engine::Command);
    linger();
    assert!(!guest.answered(Engine::Command, sequence));
}

/// Flips one bit of a request for each byte at `place` in turn, each in a session of its own.
fn each_flipped_bit_kills(places: impl Fn(u64) -> Vec<u64>) {
    let mut guest = Guest::attached();
    let mut sessions = 1;
    for index in 0.. {
        let sequence = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
        let Some(at) = places(sequence).get(index).copied() else {
            guest.ring(Engine::CopyIn);
            assert_eq!(guest.response(Engine::CopyIn, sequence).0, Outcome::Done);
            break;
        };
        guest.memory.with(|memory| memory[at as usize] ^= 1 << (index % 8));
        guest.ring(Engine::CopyIn);
        assert_dead(&mut guest);
        guest.attach();
        sessions += 1;
    }
    assert!(sessions > 10);
    assert_eq!(guest.gpu.admin().telemetry().session_failures, sessions - 1);
}

#[test]
fn an_honest_record_arrives_and_comes_back() {
    let mut guest = Guest::attached();
    assert_eq!(guest.status(), Status::Session);
    assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
    assert!(guest.hbm_holds(SECRET), "the scan of the other tests would find it");
    assert_eq!(guest.copy_out(BASE, SECRET.len() as u32).as_deref(), Ok(SECRET));
    assert!(!guest.host_sees(SECRET));
    assert_eq!(guest.launch(Command::Fill { address: BASE, count: 16, value: 0 }), Reply::Done);
    assert!(!guest.hbm_holds(SECRET));
}

#[test]
fn a_flipped_ciphertext_byte_kills_the_session() {
    each_flipped_bit_kills(|sequence| {
        let slot = slot(Engine::CopyIn, sequence);
        (slot..slot + SECRET.len() as u64).step_by(4).collect()
    });
}

#[test]
fn every_byte_of_a_descriptor_but_its_number_kills_the_session() {
    each_flipped_bit_kills(|sequence| {
        let request = request_place(Engine::CopyIn, sequence);
        (request + 8..request + DESCRIPTOR_SIZE as u64).collect()
    });
}

#[test]
fn a_changed_number_kills_the_session() {
    let mut guest = Guest::attached();
    for bit in 0..64 {
        // The first number is 1, and another bit of it makes any number but 0.
        let sequence = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
        let at = request_place(Engine::CopyIn, sequence);
        guest.memory.put(at, &(sequence ^ 1 << bit).to_le_bytes());
        guest.ring(Engine::CopyIn);
        if sequence ^ 1 << bit != 0 {
            assert_dead(&mut guest);
        } else {
            // An entry without a request: nothing to be seen but that nothing happens.
            linger();
            assert!(!guest.answered(Engine::CopyIn, sequence));
            assert!(!guest.hbm_holds(SECRET));
        }
        guest.attach();
    }
}

#[test]
fn tampered_requests_of_the_other_engines_kill_the_session_too() {
    for engine in [Engine::Command, Engine::CopyOut] {
        let mut guest = Guest::attached();
        assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
        let (length, bytes) = match engine {
            Engine::Command => (64, Command::Nop.encode().to_vec()),
            _ => (SECRET.len() as u32, Vec::new()),
        };
        let sequence = guest.submit(engine, 0, length, &bytes);
        let tag = request_place(engine, sequence) + 32;
        guest.memory.with(|memory| memory[tag as usize] ^= 1);
        guest.ring(engine);
        // What the tenant had in HBM goes with the session.
        assert_dead(&mut guest);
    }
}

#[test]
fn a_replayed_record_kills_the_session() {
    let mut guest = Guest::attached();
    let first = guest.submit(Engine::CopyIn, BASE, 4, b"old!");
    let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyIn, first));
    let bytes = guest.memory.get::<4>(slot(Engine::CopyIn, first));
    guest.ring(Engine::CopyIn);
    guest.response(Engine::CopyIn, first);
    assert_eq!(guest.copy_in(BASE, b"new!"), Outcome::Done);
    guest.memory.put(slot(Engine::CopyIn, first + 2), &bytes);
    for number in [first, first + 2] {
        // As it was, it does not belong there; with the number that is next, it is a forgery.
        guest.memory.put(request_place(Engine::CopyIn, first + 2), &record);
        guest.memory.put(request_place(Engine::CopyIn, first + 2), &number.to_le_bytes());
        guest.ring(Engine::CopyIn);
        assert_dead(&mut guest);
        guest.attach();
        assert_eq!(guest.copy_in(BASE, b"one!"), Outcome::Done);
        assert_eq!(guest.copy_in(BASE, b"two!"), Outcome::Done);
        guest.memory.put(slot(Engine::CopyIn, first + 2), &bytes);
    }
}

#[test]
fn reordered_records_kill_the_session() {
    let mut guest = Guest::attached();
    let [first, second] = [0, 64]
        .map(|offset| guest.submit(Engine::CopyIn, BASE + offset, SECRET.len() as u32, SECRET));
    let places = [first, second].map(|sequence| request_place(Engine::CopyIn, sequence));
    let slots = [first, second].map(|sequence| slot(Engine::CopyIn, sequence));
    let records = places.map(|place| guest.memory.get::<DESCRIPTOR_SIZE>(place));
    let bytes = slots.map(|slot| guest.memory.get::<64>(slot));
    for to in 0..2 {
        guest.memory.put(slots[to], &bytes[1 - to]);
        guest.memory.put(places[to], &records[1 - to]);
        guest.memory.put(places[to], &[first, second][to].to_le_bytes());
    }
    guest.ring(Engine::CopyIn);
    assert_dead(&mut guest);
}

#[test]
fn behind_a_dropped_record_nothing_is_taken() {
    let mut guest = Guest::attached();
    let first = guest.submit(Engine::CopyIn, BASE, 4, b"gone");
    let second = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
    guest.memory.put(request_place(Engine::CopyIn, first), &[0; DESCRIPTOR_SIZE]);
    guest.ring(Engine::CopyIn);
    linger();
    assert!(!guest.answered(Engine::CopyIn, second));
    assert!(!guest.hbm_holds(SECRET));
    // Nor when the next one is moved up to close the gap.
    let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyIn, second));
    let bytes = guest.memory.get::<64>(slot(Engine::CopyIn, second));
    guest.memory.put(slot(Engine::CopyIn, first), &bytes);
    guest.memory.put(request_place(Engine::CopyIn, first), &record);
    guest.memory.put(request_place(Engine::CopyIn, first), &first.to_le_bytes());
    guest.ring(Engine::CopyIn);
    assert_dead(&mut guest);
}

#[test]
fn a_duplicated_record_is_obeyed_once() {
    let mut guest = Guest::attached();
    // Both in the ring before the doorbell: the copy claims to be the next one.
    let first = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
    let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyIn, first));
    let bytes = guest.memory.get::<64>(slot(Engine::CopyIn, first));
    guest.memory.put(slot(Engine::CopyIn, first + 1), &bytes);
    guest.memory.put(request_place(Engine::CopyIn, first + 1), &record);
    guest.memory.put(request_place(Engine::CopyIn, first + 1), &(first + 1).to_le_bytes());
    guest.ring(Engine::CopyIn);
    guest.wait_for(Status::Failed);
    assert_eq!(guest.gpu.admin().telemetry().engines[1].records, 1);
    assert_dead(&mut guest);
}

#[test]
fn a_doorbell_without_end_obeys_a_record_once() {
    let mut guest = Guest::attached();
    let sequence = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
    for _ in 0..1000 {
        guest.ring(Engine::CopyIn);
    }
    guest.response(Engine::CopyIn, sequence);
    linger();
    assert_eq!(guest.gpu.admin().telemetry().engines[1].records, 1);
    assert_eq!(guest.status(), Status::Session);
}

#[test]
fn the_gpus_own_record_sent_back_to_it_kills_the_session() {
    let mut guest = Guest::attached();
    assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
    let length = SECRET.len() as u32;
    let first = guest.submit(Engine::CopyOut, BASE, length, &[]);
    guest.ring(Engine::CopyOut);
    guest.response(Engine::CopyOut, first);
    let response = guest.memory.get::<DESCRIPTOR_SIZE>(response_place(Engine::CopyOut, first));
    for engine in [Engine::CopyOut, Engine::CopyIn] {
        // CopyIn's next number is 2 as the response's is 1: give it the number that is next.
        let next = 2_u64;
        let bytes = guest.memory.get::<64>(slot(Engine::CopyOut, first));
        guest.memory.put(slot(engine, next), &bytes);
        guest.memory.put(request_place(engine, next), &response);
        guest.memory.put(request_place(engine, next) + 20, &(engine as u32).to_le_bytes());
        guest.memory.put(request_place(engine, next), &next.to_le_bytes());
        guest.ring(engine);
        assert_dead(&mut guest);
        guest.attach();
        assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
        guest.copy_out(BASE, length).unwrap();
    }
}

#[test]
fn a_record_of_another_engine_kills_the_session() {
    let mut guest = Guest::attached();
    let sequence = guest.submit(Engine::CopyOut, BASE, 64, &[]);
    let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyOut, sequence));
    guest.memory.put(request_place(Engine::Command, sequence), &record);
    guest.memory.put(
        request_place(Engine::Command, sequence) + 20,
        &(Engine::Command as u32).to_le_bytes(),
    );
    guest.ring(Engine::Command);
    assert_dead(&mut guest);
}

#[test]
fn a_record_of_an_earlier_session_kills_the_session() {
    let mut guest = Guest::attached();
    let first = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
    let record = guest.memory.get::<DESCRIPTOR_SIZE>(request_place(Engine::CopyIn, first));
    let bytes = guest.memory.get::<64>(slot(Engine::CopyIn, first));
    guest.attach();
    guest.memory.put(slot(Engine::CopyIn, first), &bytes);
    guest.memory.put(request_place(Engine::CopyIn, first), &record);
    guest.ring(Engine::CopyIn);
    assert_dead(&mut guest);
}

#[test]
fn a_new_session_finds_nothing_of_the_one_before() {
    // Whoever can reach the mailbox can establish a session: the host, for one.
    let mut guest = Guest::attached();
    assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
    guest.attach();
    assert!(!guest.hbm_holds(SECRET));
    assert_eq!(guest.copy_out(BASE, 64), Ok(vec![0; 64]));
}
