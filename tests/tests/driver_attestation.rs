//! Rows 7 to 11 of the threats, from the driver's side: GPUs that must not be trusted, and evidence
//! that is old or another guest's.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::{Arc, Mutex};

use ravelin_attestation::{Clock, RevocationList, TrustAnchor, UnixTime};
use ravelin_dice::{CertificateId, Chain};
#[cfg(not(feature = "test-encryption-off"))]
use ravelin_driver::attest::Standing;
use ravelin_driver::attest::{Error as AttestError, Trust};
use ravelin_driver::{Bus, Error, Gpu as Driver, Layout};
use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::registers::{self, Mode};
use ravelin_gpu_model::{FirmwareImage, FirmwareSet, Gpu, GpuConfig};
use ravelin_maker::{Maker, reference_values};
use ravelin_tests::stage::bus::Wire;
use ravelin_tests::stage::time::Monotonic;
use ravelin_tests::stage::trust::{self, Documents};
use ravelin_tests::stage::{Stage, config};

/// The code of the refusal of this GPU by these documents.
fn refusal(stage: &Stage, documents: &Documents) -> &'static str {
    let mut driver = stage.driver();
    match driver.attest(&mut trust::rng(), &documents.trust()) {
        Err(Error::Attest(AttestError::Refused { code, .. })) => {
            assert!(!driver.has_session());
            assert!(matches!(driver.launch(Command::Nop), Err(Error::NoSession)));
            code
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn gpu(change: impl FnOnce(&mut GpuConfig)) -> Stage {
    let mut config = config();
    change(&mut config);
    Stage::new(config)
}

#[cfg(not(feature = "test-encryption-off"))]
#[test]
fn a_gpu_in_plain_mode_is_refused() {
    let stage = gpu(|config| config.mode = Mode::Off);
    assert_eq!(refusal(&stage, &Documents::development()), "mode-off");
}

#[cfg(not(feature = "test-encryption-off"))]
#[test]
fn a_gpu_in_plain_mode_is_used_where_the_policy_says_so_and_is_called_unprotected() {
    let stage = gpu(|config| config.mode = Mode::Off);
    let mut documents = Documents::development();
    documents.policy.mode_off_allowed = true;
    let mut driver = stage.driver();
    let attested = driver.attest(&mut trust::rng(), &documents.trust()).unwrap();
    assert_eq!(attested.standing, Standing::Unprotected);
    assert!(!driver.is_protected());
    driver.copy_in(5, b"plain").unwrap();
    let mut found = [0; 5];
    driver.copy_out(5, &mut found).unwrap();
    assert_eq!(&found, b"plain");
}

#[test]
fn a_host_that_says_that_plain_mode_is_confidential_is_found_out() {
    /// Says that the mode is on, whatever it is.
    struct Liar(Wire);
    impl Bus for Liar {
        fn config_read(&mut self, offset: u16) -> u32 {
            self.0.config_read(offset)
        }
        fn config_write(&mut self, offset: u16, value: u32) {
            self.0.config_write(offset, value);
        }
        fn register_read32(&mut self, offset: u64) -> u32 {
            match offset {
                registers::MODE => Mode::On as u32,
                _ => self.0.register_read32(offset),
            }
        }
        fn register_write32(&mut self, offset: u64, value: u32) {
            self.0.register_write32(offset, value);
        }
        fn register_read64(&mut self, offset: u64) -> u64 {
            self.0.register_read64(offset)
        }
        fn register_write64(&mut self, offset: u64, value: u64) {
            self.0.register_write64(offset, value);
        }
    }
    let stage = gpu(|config| config.mode = Mode::Off);
    let pages = Arc::clone(&stage.pages);
    let layout = Layout::default();
    let mut driver = Driver::open(Liar(stage.wire()), pages, Monotonic::new(), layout).unwrap();
    match trust::attest(&mut driver) {
        Err(Error::Attest(error)) => assert_eq!(error.code(), "mode-off"),
        other => panic!("{other:?}"),
    }
    assert!(!driver.has_session());
}

#[test]
fn a_gpu_with_debug_open_is_refused() {
    let stage = gpu(|config| config.mode = Mode::Devtools);
    assert_eq!(refusal(&stage, &Documents::development()), "debug-enabled");
}

#[test]
fn firmware_that_the_maker_does_not_know_is_refused() {
    for component in ravelin_dice::Component::ALL {
        let stage = gpu(|config| {
            let firmware = FirmwareSet::current();
            let mut image: FirmwareImage = firmware.image(component).clone();
            image.body[100] ^= 1;
            config.firmware = firmware.with(image);
        });
        assert_eq!(refusal(&stage, &Documents::development()), "firmware-unknown", "{component:?}");
    }
}

#[test]
fn firmware_below_the_floor_is_refused() {
    let mut documents = Documents::development();
    documents.policy.svn_floor = FirmwareSet::current().svn() + 1;
    assert_eq!(refusal(&Stage::confidential(), &documents), "svn-below-floor");
}

#[test]
fn a_gpu_of_another_maker_is_refused() {
    let other = Maker::from_seed([9; 48], "Another Maker").unwrap();
    assert_eq!(refusal(&Stage::confidential(), &Documents::of(&other)), "unknown-root");
}

/// The certificate at this place of the chain that a GPU presents, for a revocation list: 0 for the
/// identity, 1 for the attestation key of this boot.
fn certificate(stage: &Stage, place: usize) -> CertificateId {
    let mut driver = stage.driver();
    trust::attest(&mut driver).unwrap();
    let presented = driver.presented().unwrap().evidence.clone();
    let chain: Vec<&[u8]> = presented.certificates.iter().map(Vec::as_slice).collect();
    let root = TrustAnchor::new(chain[0]).unwrap();
    Chain::verify(&chain, &root, Clock::UNKNOWN).unwrap().path[place].clone()
}

/// The development maker's documents, with this certificate revoked.
fn revoked(certificate: CertificateId) -> Documents {
    let maker = Maker::development().unwrap();
    let root = TrustAnchor::new(maker.root().certificate()).unwrap();
    let list = maker.revoke([certificate], 2, reference_values::VALIDITY).unwrap();
    Documents {
        revocations: RevocationList::verify(&list, &root).unwrap(),
        ..Documents::development()
    }
}

#[test]
fn a_gpu_whose_identity_is_revoked_is_refused_at_every_boot() {
    let stage = Stage::confidential();
    let documents = revoked(certificate(&stage, 0));
    assert_eq!(refusal(&stage, &documents), "identity-revoked");
    assert_eq!(refusal(&Stage::confidential(), &documents), "identity-revoked");
    let other = gpu(|config| config.serial = 2);
    other.driver().attest(&mut trust::rng(), &documents.trust()).unwrap();
}

#[test]
fn a_gpu_whose_attestation_key_is_revoked_is_refused_until_it_boots_anew() {
    let stage = Stage::confidential();
    let documents = revoked(certificate(&stage, 1));
    assert_eq!(refusal(&stage, &documents), "attestation-key-revoked");
    let again = Stage::confidential();
    again.driver().attest(&mut trust::rng(), &documents.trust()).unwrap();
}

#[test]
fn a_gpu_whose_certificates_have_expired_is_refused_where_there_is_a_clock() {
    let stage = Stage::confidential();
    let documents = Documents::development();
    let expired = UnixTime(ravelin_maker::root::VALIDITY.not_after.0 + 1);
    let trust = Trust { time: Clock::At(expired), ..documents.trust() };
    match stage.driver().attest(&mut trust::rng(), &trust) {
        Err(Error::Attest(error)) => assert_eq!(error.code(), "certificate-expired"),
        other => panic!("not refused: {other:?}"),
    }
}

/// What passes a wire, object by object.
type Passed = Arc<Mutex<Vec<Vec<u8>>>>;

/// A wire that keeps the GPU's answers.
fn recording(gpu: Arc<Gpu>) -> (Wire, Passed) {
    let passed = Passed::default();
    let kept = Arc::clone(&passed);
    let wire = Wire::with(
        gpu,
        Box::new(move |gpu, object| {
            let answer = gpu.doe_exchange(&object);
            kept.lock().unwrap().push(answer.clone());
            answer
        }),
    );
    (wire, passed)
}

#[test]
fn evidence_from_an_earlier_session_is_refused() {
    let stage = Stage::confidential();
    let (wire, passed) = recording(Arc::clone(&stage.gpu));
    trust::attest(&mut stage.driver_over(wire)).unwrap();
    let answers = passed.lock().unwrap().clone();

    // From each message on, the rest of the earlier session is played again.
    for from in 0..answers.len() {
        let mut replayed = answers.clone().into_iter().enumerate();
        let wire = Wire::with(
            Arc::clone(&stage.gpu),
            Box::new(move |gpu, object| match replayed.next() {
                Some((at, answer)) if at >= from => answer,
                _ => gpu.doe_exchange(&object),
            }),
        );
        let mut driver = stage.driver_over(wire);
        let refused = trust::attest(&mut driver);
        assert!(matches!(refused, Err(Error::Attest(AttestError::Spdm(_)))), "{from}: {refused:?}");
        assert!(!driver.has_session());
    }
}

#[test]
fn an_answer_that_is_changed_on_the_way_ends_the_attestation() {
    let stage = Stage::confidential();
    let (wire, passed) = recording(Arc::clone(&stage.gpu));
    trust::attest(&mut stage.driver_over(wire)).unwrap();
    let count = passed.lock().unwrap().len();
    for changed in 0..count {
        for part in 0..4 {
            let mut number = 0;
            let wire = Wire::with(
                Arc::clone(&stage.gpu),
                Box::new(move |gpu, object| {
                    let mut answer = gpu.doe_exchange(&object);
                    if number == changed {
                        // Behind the object's header, somewhere in the message.
                        let at = 8 + (answer.len() - 12) * part / 4;
                        answer[at] ^= 0x04;
                    }
                    number += 1;
                    answer
                }),
            );
            let mut driver = stage.driver_over(wire);
            assert!(trust::attest(&mut driver).is_err(), "message {changed}, quarter {part}");
            assert!(!driver.has_session());
        }
    }
}

#[test]
fn a_genuine_gpu_elsewhere_lends_no_trust_to_this_one() {
    // The evidence is another, genuine GPU's; the rings are this one's, whose keys the host would
    // like to have.
    let here = Stage::confidential();
    let elsewhere = gpu(|config| config.serial = 2);
    let genuine = Arc::clone(&elsewhere.gpu);
    let wire =
        Wire::with(Arc::clone(&here.gpu), Box::new(move |_, object| genuine.doe_exchange(&object)));
    let mut driver = here.driver_over(wire);
    // The proof is good, but it has made the session with the GPU that gave it.
    trust::attest(&mut driver).unwrap();
    let secret = *b"for the genuine GPU alone, sealed under a key that this one lacks";
    let lost = driver.copy_in(driver.memory_range().start, &secret);
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
    assert!(!here.pages.contains(&secret[..16]));
    assert_eq!(here.gpu.admin().telemetry().sessions, 0);
}

#[test]
fn a_gpu_that_vanishes_is_an_error() {
    let stage = Stage::confidential();
    let mut calls = 0;
    let wire = Wire::with(
        Arc::clone(&stage.gpu),
        Box::new(move |gpu, object| {
            calls += 1;
            if calls > 3 { vec![0xff; 8] } else { gpu.doe_exchange(&object) }
        }),
    );
    let mut driver = stage.driver_over(wire);
    assert!(matches!(trust::attest(&mut driver), Err(Error::Attest(_))));
    assert!(!driver.has_session());
}
