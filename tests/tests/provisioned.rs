//! A maker of one's own, from its root to a verdict: a GPU with an identity that `ravelin maker` has
//! made is attested by the guest's driver and judged by `ravelin verify`, with that maker's root,
//! reference values and revocation list; then it is revoked, and refused by both.
//!
//! The programs run in this process, by the functions that are all of their `main`s.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ravelin_attestation::{Clock, Policy, ReferenceValues, RevocationList, TrustAnchor};
use ravelin_driver::Error;
use ravelin_driver::attest::{Attested, Error as AttestError};

use ravelin_tests::stage::trust::{self, Documents};
use ravelin_tests::stage::{Driver, Stage, config};
use ravelin_verifier::model::evidence::{Gpu, to_json};

/// The hexadecimal digits of [`NONCE`].
const NONCE_DIGITS: &str = "0505050505050505050505050505050505050505050505050505050505050505";
const NONCE: [u8; 32] = [5; 32];
const AT: &str = "2026-11-24T00:00:00Z";

const TRUSTED: u8 = 0;
const NOT_TRUSTED: u8 = 2;

/// A maker with a factory and a device of it, in a directory of this test's own.
struct Maker(PathBuf);

impl Maker {
    fn new(name: &str) -> Maker {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        let maker = Maker(path);
        maker.work("root --name Root --organization Acme --out ROOT");
        maker.work("intermediate --issuer ROOT --name Factory --out FACTORY");
        maker.work(
            "provision --issuer FACTORY --manufacturer Acme --product G1 --serial 7 --out DEVICE",
        );
        maker.work("sign --root ROOT --vendor Acme --model G1 --built-in --out VALUES");
        maker
    }

    /// A path that a command line writes in capitals.
    fn path(&self, word: &str) -> PathBuf {
        match word {
            "ROOT" => self.0.join("root"),
            "FACTORY" => self.0.join("factory"),
            "DEVICE" => self.0.join("device"),
            "VALUES" => self.0.join("root/values.corim"),
            "ANCHOR" => self.0.join("root/root.der"),
            "LIST" => self.0.join("root/revocation-list.crl"),
            "EVIDENCE" => self.0.join("evidence"),
            "SAVED" => self.0.join("evidence/evidence.json"),
            other => PathBuf::from(other),
        }
    }

    fn words(&self, program: &str, line: &str) -> Vec<OsString> {
        let line = format!("{program} {line} --at {AT}");
        line.split(' ').map(|word| self.path(word).into_os_string()).collect()
    }

    fn work(&self, line: &str) {
        let done = ravelin_maker::tool::main(self.words("ravelin-maker", line));
        assert_eq!(done, ExitCode::SUCCESS, "{line}");
    }

    /// `ravelin verify apm` on the saved evidence.
    fn verify(&self, more: &str) -> ExitCode {
        let line = format!("apm EVIDENCE --nonce {NONCE_DIGITS} {more}");
        ravelin_verifier::cli::main(self.words("ravelin-verify", line.trim_end()))
    }

    fn documents(&self) -> Documents {
        let read = |word: &str| fs::read(self.path(word)).unwrap();
        let root = || TrustAnchor::new(&read("ANCHOR")).unwrap();
        Documents {
            policy: Policy::guest(1),
            references: ReferenceValues::verify(&read("VALUES"), root()).unwrap(),
            revocations: RevocationList::verify(&read("LIST"), &root()).unwrap(),
        }
    }

    /// A guest attests the device, by these documents.
    fn attest(&self, documents: &Documents) -> (Driver, Result<Attested, Error>) {
        let mut config = config();
        config.identity = Some(self.path("DEVICE"));
        let mut driver = Stage::new(config).driver();
        driver.set_challenge(NONCE);
        let attested = driver.attest(&mut trust::rng(), &documents.trust());
        (driver, attested)
    }

    /// Saves what the GPU has presented.
    fn save(&self, driver: &Driver) {
        let presented = driver.presented().unwrap();
        let gpu = Gpu {
            evidence: presented.evidence.clone(),
            nonce: presented.nonce,
            exchange_key: presented.exchange_key,
        };
        fs::create_dir_all(self.path("EVIDENCE")).unwrap();
        fs::write(self.path("EVIDENCE").join("evidence.json"), to_json(&[gpu]).unwrap()).unwrap();
    }
}

const PINNED: &str = "--root ANCHOR --reference-values VALUES --crl LIST";

fn refusal(attested: Result<Attested, Error>) -> &'static str {
    match attested {
        Err(Error::Attest(AttestError::Refused { code, .. })) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_device_of_ones_own_maker_is_trusted_until_it_is_revoked() {
    let maker = Maker::new("provisioned-identity");
    let (driver, attested) = maker.attest(&maker.documents());
    attested.unwrap();
    maker.save(&driver);
    assert_eq!(maker.verify(PINNED), TRUSTED.into());
    assert_eq!(maker.verify(""), NOT_TRUSTED.into(), "it is not the development maker's");

    maker.work("revoke --root ROOT --device DEVICE");
    assert_eq!(maker.verify(PINNED), NOT_TRUSTED.into());
    assert_eq!(refusal(maker.attest(&maker.documents()).1), "identity-revoked");
}

#[test]
fn a_revoked_factory_takes_its_devices_with_it() {
    let maker = Maker::new("provisioned-factory");
    let (driver, _) = maker.attest(&maker.documents());
    maker.save(&driver);
    assert_eq!(maker.verify(PINNED), TRUSTED.into());
    maker.work("revoke --root ROOT --device FACTORY");
    assert_eq!(maker.verify(PINNED), NOT_TRUSTED.into());
    assert_eq!(refusal(maker.attest(&maker.documents()).1), "intermediate-revoked");
}

#[test]
fn a_revoked_attestation_key_is_refused_and_the_next_boot_is_not() {
    let maker = Maker::new("provisioned-attestation-key");
    let (driver, _) = maker.attest(&maker.documents());
    maker.save(&driver);
    assert_eq!(maker.verify(PINNED), TRUSTED.into());
    maker.work("revoke --root ROOT --evidence SAVED");
    assert_eq!(maker.verify(PINNED), NOT_TRUSTED.into());
    let (again, attested) = maker.attest(&maker.documents());
    attested.unwrap();
    maker.save(&again);
    assert_eq!(maker.verify(PINNED), TRUSTED.into());
}

#[test]
fn one_maker_does_not_vouch_for_anothers_device() {
    let [one, other] = ["provisioned-one", "provisioned-other"].map(Maker::new);
    assert_eq!(refusal(one.attest(&other.documents()).1), "unknown-root");
    let development = Documents::development();
    assert_eq!(refusal(one.attest(&development).1), "unknown-root");
    assert_eq!(development.trust().time, Clock::UNKNOWN);
}
