//! Row 19 of the threats: a reset in the middle of a session or a transfer, of any kind.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ravelin_driver::{Error, Lost, watch};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::ring::DESCRIPTOR_SIZE;
use ravelin_gpu_model::ResetKind;
use ravelin_tests::stage::bus::Wire;
use ravelin_tests::stage::pages::Way;
use ravelin_tests::stage::{Driver, Stage, trust};

const KINDS: [ResetKind; 3] = [ResetKind::Flr, ResetKind::Bus, ResetKind::Cold];

fn is_reset(error: &Error) -> bool {
    matches!(error, Error::Lost(Lost::Gpu(watch::Lost::Reset { .. })))
}

fn works(driver: &mut Driver) {
    let base = driver.memory_range().start;
    driver.copy_in(base, b"after the reset").unwrap();
    let mut found = [0; 15];
    driver.copy_out(base, &mut found).unwrap();
    assert_eq!(&found, b"after the reset");
}

#[test]
fn a_reset_between_two_copies_is_noticed_and_a_new_session_works() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    for (number, kind) in (2..).zip(KINDS) {
        works(&mut driver);
        stage.gpu.admin().reset(kind).unwrap();
        let lost = driver.launch(Command::Nop).unwrap_err();
        assert!(is_reset(&lost), "{kind:?}: {lost:?}");
        assert!(lost.session_is_lost());
        assert!(!driver.has_session());
        assert_eq!(trust::attest(&mut driver).unwrap().session, number);
        works(&mut driver);
    }
}

#[test]
fn a_look_at_an_idle_session_finds_the_reset() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    driver.check().unwrap();
    stage.gpu.admin().reset(ResetKind::Flr).unwrap();
    assert!(is_reset(&driver.check().unwrap_err()));
    assert!(!driver.has_session());
}

#[test]
fn a_reset_in_the_middle_of_a_copy_is_noticed_and_a_new_session_works() {
    for kind in KINDS {
        for out in [false, true] {
            let stage = Stage::confidential();
            let mut driver = stage.attested();
            let base = driver.memory_range().start;
            let mut bytes = vec![0x77; 32 << 20];
            let admin = stage.gpu.admin();
            let resetter = thread::spawn(move || {
                thread::sleep(Duration::from_millis(15));
                admin.reset(kind).unwrap();
            });
            let mut copy = || match out {
                true => driver.copy_out(base, &mut bytes),
                false => driver.copy_in(base, &bytes),
            };
            let lost = loop {
                if let Err(error) = copy() {
                    break error;
                }
            };
            resetter.join().unwrap();
            assert!(is_reset(&lost), "{kind:?}: {lost:?}");
            if out {
                assert!(bytes.iter().all(|byte| *byte == 0), "bytes of a lost session");
            }
            trust::attest(&mut driver).unwrap();
            works(&mut driver);
        }
    }
}

#[test]
fn ciphertext_from_before_the_reset_is_refused_after_it() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let base = driver.memory_range().start;
    let place = stage.ring(Engine::CopyIn);
    let mut old = [Vec::new(), Vec::new()];
    let mut played = false;
    stage.pages.set_tap(Some(Box::new(move |access| {
        let which = match (access.way, access.offset, access.bytes.len()) {
            (Way::ToGpu, offset, DESCRIPTOR_SIZE) if offset == place.request(1) => 0,
            (Way::ToGpu, offset, 16) if offset == place.slot(1) => 1,
            _ => return,
        };
        if old[which].is_empty() {
            old[which] = access.bytes.to_vec();
        } else {
            access.bytes.copy_from_slice(&old[which]);
            played = true;
        }
        let _ = played;
    })));
    driver.copy_in(base, b"an old secret...").unwrap();
    stage.gpu.admin().reset(ResetKind::Flr).unwrap();
    trust::attest(&mut driver).unwrap();
    // The same sequence number, the same address, the same length; another session.
    let lost = driver.copy_in(base, b"a new secret....").unwrap_err();
    assert!(matches!(lost, Error::Lost(Lost::Gpu(watch::Lost::SessionFailed))), "{lost:?}");
    stage.pages.set_tap(None);
    trust::attest(&mut driver).unwrap();
    let mut found = [0xee; 16];
    driver.copy_out(base, &mut found).unwrap();
    assert_eq!(found, [0; 16]);
}

#[test]
fn a_reset_in_the_middle_of_the_attestation_costs_that_attestation_only() {
    let stage = Stage::confidential();
    for at in 0..20 {
        let mut number = 0;
        let wire = Wire::with(
            Arc::clone(&stage.gpu),
            Box::new(move |gpu, object| {
                if number == at {
                    gpu.admin().reset(ResetKind::Flr).unwrap();
                }
                number += 1;
                gpu.doe_exchange(&object)
            }),
        );
        let mut driver = stage.driver_over(wire);
        // A conversation of fewer messages is over before the reset comes.
        let attested = trust::attest(&mut driver);
        assert_eq!(driver.has_session(), attested.is_ok());
        if let Err(error) = attested {
            assert!(is_reset(&error) && error.session_is_lost(), "{at}: {error:?}");
            trust::attest(&mut driver).unwrap();
        }
        works(&mut driver);
    }
}

#[test]
fn memory_that_becomes_private_stops_the_ring_and_not_the_driver() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let base = driver.memory_range().start;
    stage.pages.set_private(true);
    let lost = driver.copy_in(base, &[7; 64]).unwrap_err();
    let stopped = watch::Lost::RingStopped(Engine::CopyIn);
    assert!(matches!(&lost, Error::Lost(Lost::Gpu(lost)) if *lost == stopped), "{lost:?}");
    assert_eq!(stage.gpu.admin().telemetry().dma_faults, 1);
    stage.pages.set_private(false);
    trust::attest(&mut driver).unwrap();
    works(&mut driver);
}
