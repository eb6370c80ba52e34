//! Rows 4 and 5 of the threats, from the driver's side: each field of each descriptor, the bytes of
//! records, and records that are dropped, repeated, exchanged or thrown back.
//!
//! The attacker changes what the GPU sees at the moment when it looks, or what it writes before it
//! lands. Each time three things are asked: the driver has the right error, its session is gone,
//! and nothing that was not authentic has come in.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::{Arc, Mutex};

use ravelin_driver::ring::Field;
use ravelin_driver::{Error, Lost, ring, watch};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, Descriptor};
use ravelin_tests::stage::pages::{Access, Way};
use ravelin_tests::stage::{Driver, RingPlace, Stage, trust};

const MARKER: [u8; 64] = *b"the plaintext that must neither come in nor get out unauthentic!";

/// The first and the last byte of each field of a descriptor. That each single byte counts, the
/// driver's and the model's own tests show.
const FIELD_ENDS: [usize; 16] = [0, 7, 8, 15, 16, 19, 20, 23, 24, 27, 28, 31, 32, 47, 48, 63];

/// Has an engine do something; the first request of its session.
fn use_engine(driver: &mut Driver, engine: Engine) -> Result<(), Error> {
    let base = driver.memory_range().start;
    match engine {
        Engine::Command => {
            driver.launch(Command::Fill { address: base, count: 16, value: 7 }).map(drop)
        }
        Engine::CopyIn => driver.copy_in(base, &MARKER),
        Engine::CopyOut => {
            let mut buffer = [0xee; 64];
            let copied = driver.copy_out(base, &mut buffer);
            if copied.is_err() {
                assert_eq!(buffer, [0; 64], "a failed copy leaves bytes in the buffer");
            }
            copied
        }
    }
}

/// The session is gone on the driver's side, a new one works, and nothing has come into HBM.
fn all_is_lost_but_nothing_leaked(stage: &Stage, driver: &mut Driver) {
    stage.pages.set_tap(None);
    assert!(!driver.has_session());
    assert!(matches!(driver.launch(Command::Nop), Err(Error::NoSession)));
    trust::attest(driver).unwrap();
    let mut found = [0xee; 64];
    driver.copy_out(driver.memory_range().start, &mut found).unwrap();
    assert_eq!(found, [0; 64], "something that was not authentic came into HBM");
}

/// What the driver says when `tap` has its hand on the first use of an engine in a new session.
fn attacked(
    stage: &Stage,
    driver: &mut Driver,
    engine: Engine,
    mut tap: impl FnMut(&RingPlace, &mut Access<'_>) + Send + 'static,
) -> Lost {
    trust::attest(driver).unwrap();
    let place = stage.ring(engine);
    stage.pages.set_tap(Some(Box::new(move |access| tap(&place, access))));
    match use_engine(driver, engine) {
        Err(Error::Lost(lost)) => lost,
        other => panic!("{engine:?} under attack: {other:?}"),
    }
}

fn is_read(access: &Access<'_>, offset: usize, length: usize) -> bool {
    access.way == Way::ToGpu && access.offset == offset && access.bytes.len() == length
}

#[test]
fn each_field_of_a_request_that_changes_under_the_gpus_eyes_ends_the_session() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    for engine in Engine::ALL {
        for at in FIELD_ENDS {
            let lost = attacked(&stage, &mut driver, engine, move |place, access| {
                if is_read(access, place.request(1), DESCRIPTOR_SIZE) {
                    access.bytes[at] ^= 0x10;
                }
            });
            assert_eq!(lost, Lost::Gpu(watch::Lost::SessionFailed), "{engine:?}, byte {at}");
            all_is_lost_but_nothing_leaked(&stage, &mut driver);
        }
    }
    assert_eq!(stage.gpu.admin().telemetry().session_failures, 3 * FIELD_ENDS.len() as u64);
}

#[test]
fn each_changed_field_of_a_response_ends_the_session_with_the_error_of_its_field() {
    let stage = Stage::confidential();
    let mut driver = stage.driver();
    // The first of them has not yet written anything into HBM.
    for engine in [Engine::CopyOut, Engine::CopyIn, Engine::Command] {
        for at in FIELD_ENDS {
            let lost = attacked(&stage, &mut driver, engine, move |place, access| {
                let response = place.response(1);
                let within = (response + at).checked_sub(access.offset);
                if let (Way::FromGpu, Some(byte)) =
                    (access.way, within.and_then(|within| access.bytes.get_mut(within)))
                {
                    *byte ^= 0x10;
                }
            });
            let changed = |field| Lost::Ring(ring::Error::Changed { engine, sequence: 1, field });
            let expected = match at {
                0..8 => changed(Field::Sequence),
                8..16 => changed(Field::HbmAddress),
                16..20 => changed(Field::Length),
                20..24 => changed(Field::Engine),
                24..28 => changed(Field::Outcome),
                28..32 | 48..64 => changed(Field::Reserved),
                _ => {
                    let forged = ring::Error::Channel {
                        engine,
                        source: ravelin_channel::Error::Forged { sequence: 1 },
                    };
                    Lost::Ring(forged)
                }
            };
            assert_eq!(lost, expected, "{engine:?}, byte {at}");
            all_is_lost_but_nothing_leaked_here(&stage, &mut driver, engine);
        }
    }
}

/// As above; but what the GPU itself has written on an authentic request may stand.
fn all_is_lost_but_nothing_leaked_here(stage: &Stage, driver: &mut Driver, engine: Engine) {
    match engine {
        Engine::CopyOut => all_is_lost_but_nothing_leaked(stage, driver),
        Engine::Command | Engine::CopyIn => {
            stage.pages.set_tap(None);
            assert!(!driver.has_session());
        }
    }
}

#[test]
fn a_changed_outcome_is_not_believed() {
    // Outcomes that exist: only the tag can tell.
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    for outcome in [1, 2] {
        let lost = attacked(&stage, &mut driver, Engine::Command, move |place, access| {
            if access.way == Way::FromGpu && access.offset == place.response(1) + 8 {
                access.bytes[24 - 8] = outcome;
            }
        });
        let engine = Engine::Command;
        let source = ravelin_channel::Error::Forged { sequence: 1 };
        assert_eq!(lost, Lost::Ring(ring::Error::Channel { engine, source }));
    }
}

#[test]
fn changed_ciphertext_on_its_way_in_never_reaches_hbm() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    for (engine, length) in [(Engine::CopyIn, 64), (Engine::Command, 64)] {
        for at in [0, 31, 63] {
            let lost = attacked(&stage, &mut driver, engine, move |place, access| {
                if is_read(access, place.slot(1), length) {
                    access.bytes[at] ^= 1;
                }
            });
            assert_eq!(lost, Lost::Gpu(watch::Lost::SessionFailed));
            all_is_lost_but_nothing_leaked(&stage, &mut driver);
        }
    }
}

#[test]
fn changed_ciphertext_on_its_way_out_gives_no_plaintext() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    for (engine, last) in [(Engine::CopyOut, 63), (Engine::Command, 7)] {
        for at in [0, last] {
            let lost = attacked(&stage, &mut driver, engine, move |place, access| {
                if access.way == Way::FromGpu && access.offset == place.slot(1) {
                    access.bytes[at] ^= 1;
                }
            });
            let source = ravelin_channel::Error::Forged { sequence: 1 };
            assert_eq!(lost, Lost::Ring(ring::Error::Channel { engine, source }));
            all_is_lost_but_nothing_leaked_here(&stage, &mut driver, engine);
        }
    }
}

#[test]
fn a_dropped_request_is_noticed() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let lost = attacked(&stage, &mut driver, Engine::CopyIn, |place, access| {
        if is_read(access, place.request(1), 8) {
            access.bytes.fill(0);
        }
    });
    assert!(matches!(lost, Lost::Gpu(watch::Lost::Silent(_))), "{lost:?}");
    all_is_lost_but_nothing_leaked(&stage, &mut driver);
}

#[test]
fn a_dropped_response_is_noticed() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let lost = attacked(&stage, &mut driver, Engine::CopyOut, |place, access| {
        access.swallow = access.way == Way::FromGpu && access.offset == place.response(1);
    });
    assert!(matches!(lost, Lost::Gpu(watch::Lost::Silent(_))), "{lost:?}");
    all_is_lost_but_nothing_leaked(&stage, &mut driver);
}

/// Records the first request of an engine, descriptor and slot, as the GPU sees it; and shows it in
/// place of request number `instead`, under that number or its own.
fn replay(engine: Engine, instead: u64, renumber: bool) -> Lost {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let place = stage.ring(engine);
    let mut recorded: [Option<Vec<u8>>; 2] = [None, None];
    stage.pages.set_tap(Some(Box::new(move |access| {
        for (record, offset) in recorded
            .iter_mut()
            .zip([[place.request(1), place.request(instead)], [place.slot(1), place.slot(instead)]])
        {
            if access.way == Way::FromGpu || access.bytes.len() == 8 && !renumber {
                continue;
            }
            if access.offset == offset[0] && record.is_none() && access.bytes.len() > 8 {
                *record = Some(access.bytes.to_vec());
            } else if let (Some(record), true) = (&*record, access.offset == offset[1]) {
                let number = access.bytes[..8].to_vec();
                let length = access.bytes.len().min(record.len());
                access.bytes[..length].copy_from_slice(&record[..length]);
                if renumber && access.offset == place.request(instead) {
                    access.bytes[..8].copy_from_slice(&number);
                }
            }
        }
    })));
    for number in 1..=instead {
        match use_engine(&mut driver, engine) {
            Ok(()) => assert!(number < instead, "the replay was taken"),
            Err(Error::Lost(lost)) => {
                assert_eq!(number, instead);
                return lost;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!()
}

#[test]
fn a_replayed_request_ends_the_session_whatever_number_it_is_given() {
    for engine in Engine::ALL {
        for renumber in [false, true] {
            let lost = replay(engine, 2, renumber);
            assert_eq!(lost, Lost::Gpu(watch::Lost::SessionFailed), "{engine:?} {renumber}");
        }
    }
}

#[test]
fn a_request_replayed_in_its_own_place_a_lap_later_ends_the_session() {
    let lost = replay(Engine::Command, 33, true);
    assert_eq!(lost, Lost::Gpu(watch::Lost::SessionFailed));
}

#[test]
fn a_replayed_response_ends_the_session_whatever_number_it_is_given() {
    for renumber in [false, true] {
        let stage = Stage::confidential();
        let mut driver = stage.attested();
        let place = stage.ring(Engine::CopyOut);
        let mut recorded = Vec::new();
        stage.pages.set_tap(Some(Box::new(move |access| {
            if access.way == Way::FromGpu && access.offset == place.response(1) + 8 {
                recorded = access.bytes.to_vec();
            }
            if access.way == Way::FromGpu && access.offset == place.response(2) + 8 {
                access.bytes.copy_from_slice(&recorded);
            }
            if access.way == Way::FromGpu && access.offset == place.response(2) && !renumber {
                access.bytes.copy_from_slice(&1_u64.to_le_bytes());
            }
        })));
        use_engine(&mut driver, Engine::CopyOut).unwrap();
        let Err(Error::Lost(lost)) = use_engine(&mut driver, Engine::CopyOut) else {
            panic!("the replay was taken")
        };
        let engine = Engine::CopyOut;
        let expected = match renumber {
            true => {
                let source = ravelin_channel::Error::Forged { sequence: 2 };
                ring::Error::Channel { engine, source }
            }
            false => ring::Error::Changed { engine, sequence: 2, field: Field::Sequence },
        };
        assert_eq!(lost, Lost::Ring(expected));
        all_is_lost_but_nothing_leaked(&stage, &mut driver);
    }
}

#[test]
fn requests_that_change_places_end_the_session() {
    // Both are there before the GPU looks; it finds the second in the place of the first.
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let place = stage.ring(Engine::CopyIn);
    let pages = Arc::downgrade(&stage.pages);
    stage.pages.set_tap(Some(Box::new(move |access| {
        let Some(pages) = pages.upgrade() else { return };
        let swap = [
            (place.request(1), place.request(2), DESCRIPTOR_SIZE),
            (place.slot(1), place.slot(2), 64 << 10),
        ];
        for (first, second, length) in swap {
            if is_read(access, first, length) {
                ravelin_driver::SharedMemory::read(&*pages, second, access.bytes);
                if length == DESCRIPTOR_SIZE {
                    access.bytes[..8].copy_from_slice(&1_u64.to_le_bytes());
                }
            }
        }
    })));
    // Zeros, so that the check of HBM below holds whether or not a record came in.
    let base = driver.memory_range().start;
    let lost = driver.copy_in(base, &vec![0; 128 << 10]);
    assert!(matches!(lost, Err(Error::Lost(Lost::Gpu(watch::Lost::SessionFailed)))), "{lost:?}");
    all_is_lost_but_nothing_leaked(&stage, &mut driver);
}

#[test]
fn a_request_thrown_back_as_its_own_response_is_not_believed() {
    // Sequence, address, length, engine, outcome: all as they ought to be. Only the key differs.
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lost = attacked(&stage, &mut driver, Engine::CopyIn, move |place, access| {
        let mut request = seen.lock().unwrap();
        if is_read(access, place.request(1), DESCRIPTOR_SIZE) {
            *request = access.bytes.to_vec();
        }
        if access.way == Way::FromGpu && access.offset == place.response(1) + 8 {
            let descriptor: &[u8; DESCRIPTOR_SIZE] = request[..].try_into().unwrap();
            assert!(Descriptor::decode(descriptor).is_some());
            access.bytes.copy_from_slice(&request[8..]);
        }
    });
    let engine = Engine::CopyIn;
    let source = ravelin_channel::Error::Forged { sequence: 1 };
    assert_eq!(lost, Lost::Ring(ring::Error::Channel { engine, source }));
    assert!(!driver.has_session());
}

#[test]
fn a_response_thrown_back_as_a_request_ends_the_session() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let place = stage.ring(Engine::CopyOut);
    let target = stage.ring(Engine::CopyIn);
    let seen = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
    stage.pages.set_tap(Some(Box::new(move |access| {
        let mut seen = seen.lock().unwrap();
        if access.way == Way::FromGpu && access.offset == place.slot(1) {
            seen[0] = access.bytes.to_vec();
        }
        if access.way == Way::FromGpu && access.offset == place.response(1) + 8 {
            seen[1] = access.bytes.to_vec();
        }
        if is_read(access, target.request(1), DESCRIPTOR_SIZE) {
            let engine = access.bytes[20..24].to_vec();
            access.bytes[8..].copy_from_slice(&seen[1]);
            access.bytes[20..24].copy_from_slice(&engine);
        }
        if is_read(access, target.slot(1), 64) {
            access.bytes.copy_from_slice(&seen[0]);
        }
    })));
    use_engine(&mut driver, Engine::CopyOut).unwrap();
    let lost = use_engine(&mut driver, Engine::CopyIn);
    assert!(matches!(lost, Err(Error::Lost(Lost::Gpu(watch::Lost::SessionFailed)))), "{lost:?}");
    all_is_lost_but_nothing_leaked(&stage, &mut driver);
}

#[test]
fn a_record_of_another_engine_ends_the_session() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let (out, command) = (stage.ring(Engine::CopyOut), stage.ring(Engine::Command));
    let mut seen = Vec::new();
    stage.pages.set_tap(Some(Box::new(move |access| {
        if is_read(access, out.request(1), DESCRIPTOR_SIZE) {
            seen = access.bytes.to_vec();
        }
        if is_read(access, command.request(1), DESCRIPTOR_SIZE) {
            // Address, length, tag; the engine's number as it ought to be.
            access.bytes[8..20].copy_from_slice(&seen[8..20]);
            access.bytes[32..48].copy_from_slice(&seen[32..48]);
        }
    })));
    use_engine(&mut driver, Engine::CopyOut).unwrap();
    let lost = use_engine(&mut driver, Engine::Command);
    assert!(matches!(lost, Err(Error::Lost(Lost::Gpu(watch::Lost::SessionFailed)))), "{lost:?}");
    all_is_lost_but_nothing_leaked(&stage, &mut driver);
}
