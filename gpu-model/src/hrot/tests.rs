use ravelin_dice::{Chain, Clock, TrustAnchor, UnixTime};

use super::*;

const SIZE: u64 = 1 << 30;

fn boot(hrot: &Hrot, firmware: &FirmwareSet, mode: Mode) -> Evidence {
    hrot.boot(firmware, &Firewall::lock(mode, SIZE)).unwrap()
}

fn tcb(evidence: &Evidence) -> TcbInfo {
    let maker = Maker::development().unwrap();
    let anchor = TrustAnchor::new(maker.root().certificate()).unwrap();
    let chain = Chain::split(&evidence.certificates).unwrap();
    let clock = Clock::At(UnixTime(1_800_000_000));
    Chain::verify(&chain, &anchor, clock).unwrap().tcb
}

#[test]
fn a_boot_endorses_what_it_measured() {
    let hrot = Hrot::provisioned(1).unwrap();
    let firmware = FirmwareSet::current();
    let evidence = boot(&hrot, &firmware, Mode::On);
    let tcb = tcb(&evidence);
    assert_eq!(tcb.firmware_id, firmware.id());
    assert_eq!(tcb.svn, firmware.svn());
    assert_eq!(tcb.flags, ravelin_dice::OperationalFlags::default());
}

#[test]
fn each_boot_has_an_attestation_key_of_its_own() {
    let hrot = Hrot::provisioned(1).unwrap();
    let [first, second] = [0, 1].map(|_| boot(&hrot, &FirmwareSet::current(), Mode::On));
    assert_ne!(first.attestation_key.verifying_key(), second.attestation_key.verifying_key());
    assert_ne!(first.certificates, second.certificates);
}

#[test]
fn one_changed_byte_in_any_image_is_another_firmware() {
    let hrot = Hrot::provisioned(1).unwrap();
    let genuine = FirmwareSet::current();
    for component in Component::ALL {
        let mut image = genuine.image(component).clone();
        *image.body.last_mut().unwrap() ^= 1;
        let evidence = boot(&hrot, &genuine.clone().with(image), Mode::On);
        let measured = evidence.measurements.firmware;
        for other in Component::ALL {
            let at = other.position();
            assert_eq!(measured[at] != genuine.measurements()[at], other == component);
        }
        assert_ne!(tcb(&evidence).firmware_id, genuine.id());
    }
}

#[test]
fn mode_and_bounds_are_measured() {
    let hrot = Hrot::provisioned(1).unwrap();
    for (mode, debug, base) in
        [(Mode::Off, false, SIZE), (Mode::On, false, 64 << 20), (Mode::Devtools, true, 64 << 20)]
    {
        let evidence = boot(&hrot, &FirmwareSet::current(), mode);
        let security = evidence.measurements.security;
        assert_eq!((security.mode as u32, security.debug), (mode as u32, debug));
        assert_eq!((security.protected_base, security.protected_end), (base, SIZE));
        assert_eq!(security.svn, FirmwareSet::current().svn());
        let flags = tcb(&evidence).flags;
        assert_eq!((flags.not_secure, flags.debug), (mode != Mode::On, debug));
    }
}

#[test]
fn a_directory_without_an_identity_is_no_device() {
    let error = Hrot::of_directory(Path::new("/nowhere")).err().unwrap();
    assert!(matches!(error, Error::Identity { .. }));
    assert!(error.to_string().contains("ravelin maker provision"));
}
