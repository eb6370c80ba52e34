//! Rows 7 to 12 of the threats, as attacks on a verifier.

mod support;

use ravelin_attestation::{
    Evidence, Freshness, UnixTime, Verdict, all_trusted, evidence::ShortNonce, verify_all,
};
use ravelin_dice::time::Validity;
use ravelin_dice::{Component, Mode};
use ravelin_maker::{FirmwareSet, Maker, reference_values};
use support::{Boot, LONG, NOW, Setup, freshness, maker, revocation};

#[test]
fn row_7_a_gpu_out_of_confidential_mode_or_in_devtools_is_refused() {
    for (mode, code) in [(Mode::Off, "mode-off"), (Mode::Devtools, "debug-enabled")] {
        let setup = Setup::of(&Boot::with(|configuration| configuration.mode = mode));
        assert_eq!(setup.code(), code);
    }
}

#[test]
fn row_8_old_revoked_expired_and_foreign_devices_are_refused_each_by_name() {
    let old = Setup::of(&Boot::of(FirmwareSet::previous()));
    assert_eq!(old.code(), "svn-below-floor");

    let mut setup = Setup::good();
    let [identity, leaf] = setup.path().try_into().expect("two certificates");
    for (revoked, code) in [(leaf, "attestation-key-revoked"), (identity, "identity-revoked")] {
        setup.revocation = revocation(maker(), [revoked], reference_values::VALIDITY);
        assert_eq!(setup.code(), code);
    }

    let validity = Validity { not_after: UnixTime(NOW.0 - 1), ..LONG };
    let expired = maker().provision_with("0001", validity).expect("a device");
    assert_eq!(Setup::device(&expired, &Boot::good()).code(), "certificate-expired");

    let stranger = Maker::from_seed([1; 48], "Stranger").expect("a maker");
    let foreign = stranger.provision("0001").expect("a device");
    assert_eq!(Setup::device(&foreign, &Boot::good()).code(), "unknown-root");
}

#[test]
fn row_8_revoking_one_device_leaves_the_others_alone() {
    let revoked = Setup::good().path();
    let other = maker().provision("0002").expect("a device");
    let mut setup = Setup::device(&other, &Boot::good());
    let revoked: [_; 2] = revoked.try_into().expect("two certificates");
    setup.revocation = revocation(maker(), revoked, reference_values::VALIDITY);
    assert_eq!(setup.code(), "trusted");
}

#[test]
fn row_9_a_changed_byte_in_any_firmware_is_another_firmware() {
    for component in Component::ALL {
        let firmware = FirmwareSet::current();
        let mut image = firmware.image(component).clone();
        image.body[0] ^= 1;
        let setup = Setup::of(&Boot::of(firmware.with(image)));
        assert_eq!(setup.code(), "firmware-unknown", "{component}");
    }
}

#[test]
fn row_9_genuine_components_of_two_releases_are_no_release() {
    let old = FirmwareSet::previous().image(Component::Sec2).clone();
    let setup = Setup::of(&Boot::of(FirmwareSet::current().with(old)));
    assert_eq!(setup.code(), "firmware-unknown");
}

#[test]
fn row_9_malicious_firmware_cannot_borrow_the_certificate_of_a_good_boot() {
    // A device that booted good firmware once, and was endorsed; then boots bad firmware, which has
    // got hold of that attestation key and tells the truth in its measurements.
    let firmware = FirmwareSet::current();
    let mut image = firmware.image(Component::Hrot).clone();
    image.body[0] ^= 1;
    let bad = Boot { firmware: firmware.with(image), ..Boot::good() };
    let mut setup = Setup::good();
    setup.evidence.measurements = bad.transcript(&setup.expected);
    assert_eq!(setup.code(), "measurement-mismatch");
}

#[test]
fn row_10_evidence_of_an_earlier_session_is_refused() {
    let recorded = Setup::good();
    let again = Setup { expected: freshness(7, 2), ..recorded };
    assert_eq!(again.code(), "nonce-mismatch");
}

#[test]
fn row_10_a_short_nonce_is_not_accepted_from_either_side() {
    for length in [0, 16, 31, 33] {
        assert_eq!(Freshness::new(&vec![1; length], &[2; 96]), Err(ShortNonce(length)));
    }
    let mut setup = Setup::good();
    setup.evidence.measurements.request.drain(4..20);
    assert_eq!(setup.code(), "malformed-evidence");
}

#[test]
fn row_11_evidence_that_a_genuine_gpu_gave_to_another_guest_is_refused() {
    // The relay passes our nonce on to a genuine GPU, but the session there is its own.
    let device = maker().provision("0001").expect("a device");
    let relayed = Boot::good().evidence(&device, &freshness(1, 66));
    let setup = Setup { evidence: relayed, ..Setup::good() };
    assert_eq!(setup.code(), "nonce-mismatch");
}

/// Four devices, each with its own challenge.
fn four() -> Vec<(Evidence, Freshness)> {
    (1..=4)
        .map(|number| {
            let device = maker().provision(&format!("000{number}")).expect("a device");
            let expected = freshness(number, 2);
            (Boot::good().evidence(&device, &expected), expected)
        })
        .collect()
}

fn judge(devices: &[(Evidence, Freshness)]) -> Vec<Verdict> {
    let setup = Setup::good();
    let devices: Vec<_> = devices.iter().map(|(evidence, fresh)| (evidence, fresh)).collect();
    verify_all(&devices, &setup.policy, &setup.references, &setup.revocation, setup.now)
}

#[test]
fn row_12_four_good_devices_are_trusted_as_a_whole() {
    let verdicts = judge(&four());
    assert_eq!(verdicts.len(), 4);
    assert!(all_trusted(&verdicts));
}

#[test]
fn row_12_one_bad_device_at_any_place_spoils_the_whole_and_only_its_own_verdict() {
    for bad in 0..4 {
        let mut devices = four();
        let device = maker().provision(&format!("000{}", bad + 1)).expect("a device");
        let boot = Boot::with(|configuration| configuration.debug = true);
        devices[bad].0 = boot.evidence(&device, &devices[bad].1);
        let verdicts = judge(&devices);
        assert!(!all_trusted(&verdicts));
        for (place, verdict) in verdicts.iter().enumerate() {
            let code = if place == bad { "debug-enabled" } else { "trusted" };
            assert_eq!(verdict.code(), code, "device {place} of a set with a bad {bad}");
        }
    }
}

#[test]
fn row_12_the_same_device_twice_is_refused_at_both_places() {
    for (first, second) in [(0, 1), (0, 3), (1, 2), (2, 3)] {
        let mut devices = four();
        // The second one answers its own challenge, honestly, after a boot of its own.
        let device = maker().provision(&format!("000{}", first + 1)).expect("a device");
        let again = Boot { key: 31, ..Boot::good() };
        devices[second].0 = again.evidence(&device, &devices[second].1);
        let verdicts = judge(&devices);
        assert!(!all_trusted(&verdicts));
        for (place, verdict) in verdicts.iter().enumerate() {
            let twice = place == first || place == second;
            let code = if twice { "identity-repeated" } else { "trusted" };
            assert_eq!(verdict.code(), code, "device {place} of {first} = {second}");
        }
    }
}

#[test]
fn row_12_a_device_that_is_also_presented_badly_is_not_trusted_where_it_is_presented_well() {
    let mut devices = four();
    let device = maker().provision("0001").expect("a device");
    let boot = Boot::with(|configuration| configuration.debug = true);
    devices[1].0 = boot.evidence(&device, &devices[1].1);
    let codes: Vec<_> = judge(&devices).iter().map(Verdict::code).collect();
    assert_eq!(codes, ["identity-repeated", "debug-enabled", "trusted", "trusted"]);
}

#[test]
fn row_12_no_device_at_all_is_not_trust() {
    assert!(!all_trusted(&judge(&[])));
}
