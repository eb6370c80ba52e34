//! A guest and its GPUs as one: what is trusted, and each confusion of parts by its own code.
//!
//! Rows 11 and 25 of the threats: a relayed genuine GPU, and evidence for another policy, device set or
//! guest key.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use p384::elliptic_curve::sec1::ToSec1Point;
use ravelin_attestation::composite::evidence_digest;
use ravelin_dice::Mode;
use ravelin_guest_message::guest::GuestChannel;
use ravelin_guest_message::report::{ReportRequest, ReportResponse, SigningKey};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_sp_model::Launch;
use ravelin_verifier::composite::statement::Statement;
use ravelin_verifier::composite::{Evidence, References, judge};
use ravelin_verifier::model::evidence::{Gpu, from_json, to_json};
use ravelin_verifier::model::{self, development};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Outcome, Verdict};
use ravelin_verifier::snp;
use ravelin_verifier::x509::Certificate;
use sha2::{Digest, Sha384};
use support::apm::{AT, Boot, NONCE};
use support::{codes, time};

/// Any measurement will do: the tests' guest has no pages.
const POLICY: &str = "launch_measurement = \"optional\"\n";

/// What one guest shows.
struct Scene {
    statement: Statement,
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    gpus: Vec<Gpu>,
}

impl Scene {
    /// A guest with these GPUs, which was told of this policy.
    fn new(gpus: Vec<Gpu>, policy: &str) -> Scene {
        let digest = |gpu: &Gpu| evidence_digest(&gpu.evidence, &gpu.nonce, &gpu.exchange_key);
        let statement = Statement {
            nonce: NONCE,
            key: key(GUEST),
            policy: Some(Sha384::digest(policy).into()),
            gpus: gpus.iter().map(digest).collect(),
        };
        let mut scene = Scene { statement, report: Vec::new(), certificates: Vec::new(), gpus };
        scene.report_again();
        scene
    }

    /// Two good GPUs.
    fn good() -> Scene {
        Scene::new(vec![Boot::of("0001").gpu(), Boot::of("0002").gpu()], POLICY)
    }

    /// A report that binds the statement as it is now, from the emulated AMD-SP.
    fn report_again(&mut self) {
        let mut launch = Launch::start(0x3_0000).unwrap();
        let mut secrets = None;
        let insert = |page: &[u8; 4096]| {
            secrets = SecretsPage::from_bytes(*page).ok();
            Ok::<_, ()>(())
        };
        launch.insert_secrets(0, insert).unwrap();
        let guest = launch.finish([0; 32]).unwrap();
        let mut channel = GuestChannel::new(secrets.unwrap().take_key(0).unwrap());
        let request = ReportRequest {
            report_data: self.statement.report_data(),
            vmpl: 0,
            signing_key: SigningKey::Any,
        };
        let mut page = [0; 4096];
        channel.ask(&request, &mut page).unwrap();
        let answer: ReportResponse = channel.receive(&guest.request(&page).unwrap()).unwrap();
        self.report = answer.report.to_vec();
        let chain = guest.certificates().unwrap();
        self.certificates = vec![chain.ask, chain.vcek];
    }

    fn judge(&self) -> Verdict {
        self.judge_with(POLICY, |_| {})
    }

    fn judge_with(&self, policy: &str, change: impl FnOnce(&mut References)) -> Verdict {
        let certificates = self.certificates.iter();
        let evidence = Evidence {
            guest: snp::Evidence {
                report: self.report.clone(),
                certificates: certificates.map(|der| Certificate::from_der(der).unwrap()).collect(),
            },
            statement: Statement::from_json(&self.statement.to_json().unwrap()).unwrap(),
            gpus: from_json(&to_json(&self.gpus).unwrap()).unwrap(),
        };
        let mut references = References {
            guest: snp_references(),
            gpus: model::References::verify(
                development::ROOT,
                development::REFERENCE_VALUES,
                development::REVOCATION_LIST,
                Some(NONCE),
                time(AT),
            )
            .unwrap(),
            guest_key: None,
            policy_digest: Some(Sha384::digest(policy).into()),
        };
        change(&mut references);
        judge(&evidence, references, &Policy::from_toml(policy.as_bytes()).unwrap())
    }
}

fn snp_references() -> snp::References {
    snp::References {
        root: None,
        revocation_lists: Vec::new(),
        report_data: None,
        accept_emulated: true,
        at: time(AT),
    }
}

/// The public key of this number.
fn key(number: u8) -> [u8; 97] {
    let key = p384::SecretKey::from_slice(&[number; 48]).unwrap().public_key();
    *key.to_sec1_point(false).as_bytes().first_chunk().unwrap()
}

const GUEST: u8 = 7;

/// The failed codes of each device; the guest is the first.
fn refused(verdict: &Verdict) -> Vec<Vec<&'static str>> {
    assert!(!verdict.trusted);
    verdict.devices.iter().map(|device| codes(device, Outcome::Fail)).collect()
}

const NONE: Vec<&str> = Vec::new();

#[test]
fn a_guest_with_all_its_gpus_is_trusted() {
    let verdict = Scene::good().judge();
    assert!(verdict.trusted, "{verdict:#?}");
    let kinds: Vec<_> = verdict.devices.iter().map(|device| device.kind).collect();
    assert_eq!(kinds, ["snp", "apm", "apm"]);
    assert!(Scene::new(vec![Boot::of("0001").gpu()], POLICY).judge().trusted);
}

#[test]
fn an_emulated_report_is_refused_by_name_and_whichever_root_is_pinned() {
    let scene = Scene::good();
    let refuse = |references: &mut References| references.guest.accept_emulated = false;
    assert_eq!(refused(&scene.judge_with(POLICY, refuse)), [vec!["emulated-platform"], NONE, NONE]);
    let ark = ravelin_sp_model::certificates::certificates().unwrap().ark;
    let pinned = |references: &mut References| {
        refuse(references);
        references.guest.root = Some(Certificate::from_der(&ark).unwrap());
    };
    assert_eq!(refused(&scene.judge_with(POLICY, pinned)), [vec!["emulated-platform"], NONE, NONE]);
}

#[test]
fn accepting_the_emulated_root_does_not_replace_amds() {
    // With AMD's ASK in the place of the emulated one nothing leads to the emulated root.
    let mut scene = Scene::good();
    let amd = sev::certs::snp::builtin::milan::ASK;
    let ask = Certificate::from_file_bytes(amd).unwrap().remove(0);
    scene.certificates[0] = ask.der().to_vec();
    let [guest, ..] = &refused(&scene.judge())[..] else { panic!("no device") };
    assert!(guest.contains(&"certificate-chain"), "{guest:?}");
}

/// Row 11: a genuine GPU that has answered another guest, with that guest's evidence in place of its own.
#[test]
fn attack_relayed_genuine_gpu() {
    let mut theirs = Boot::of("0002");
    theirs.nonce = [9; 32];
    let mut scene = Scene::good();
    // Evidence for another nonce, which the guest has not named.
    scene.gpus[1] = theirs.gpu();
    let refusal = refused(&scene.judge());
    assert_eq!(refusal[..2], [NONE, NONE]);
    assert!(refusal[2].contains(&"evidence-bound") && refusal[2].contains(&"nonce"), "{refusal:?}");
    // The relay passes it off as an answer in this guest's session: the nonce binds the share.
    scene.gpus[1] = Boot::of("0002").gpu();
    scene.gpus[1].exchange_key = [3; 96];
    let refusal = refused(&scene.judge());
    assert!(refusal[2].contains(&"evidence-bound") && refusal[2].contains(&"nonce"), "{refusal:?}");
    // The same nonce and share, but another boot of the device: only the guest's word is missing.
    let before = Boot::with("0002", |boot| {
        boot.validity = Some(ravelin_dice::time::Validity {
            not_before: ravelin_dice::time::UnixTime(1_767_225_601),
            not_after: ravelin_dice::time::UnixTime(2_398_377_600),
        });
    });
    scene.gpus[1] = before.gpu();
    assert_eq!(refused(&scene.judge()), [NONE, NONE, vec!["evidence-bound"]]);
    // And a guest that would name what answers another nonce than its own.
    let mut scene = Scene::new(vec![Boot::of("0001").gpu(), theirs.gpu()], POLICY);
    let refusal = refused(&scene.judge());
    assert!(refusal[2].contains(&"evidence-bound"), "{refusal:?}");
    scene.statement.nonce = [9; 32];
    scene.report_again();
    assert_eq!(refused(&scene.judge())[0], ["guest-nonce"]);
}

/// Row 25, by policy.
#[test]
fn attack_key_release_for_another_policy() {
    let scene = Scene::good();
    let stricter = format!("{POLICY}[apm]\nminimum_svn = 1\n");
    assert_eq!(refused(&scene.judge_with(&stricter, |_| {})), [vec!["policy-digest"], NONE, NONE]);
    let without = |references: &mut References| references.policy_digest = None;
    assert_eq!(refused(&scene.judge_with(POLICY, without)), [vec!["policy-digest"], NONE, NONE]);

    // The host puts the right digest into the statement; the report has another.
    let mut scene = Scene::new(vec![Boot::of("0001").gpu()], "another");
    scene.statement.policy = Some(Sha384::digest(POLICY).into());
    assert_eq!(refused(&scene.judge()), [vec!["report-data"], NONE]);

    // For none in particular: only by a policy that says so.
    let mut scene = Scene::good();
    scene.statement.policy = None;
    scene.report_again();
    assert_eq!(refused(&scene.judge()), [vec!["policy-digest"], NONE, NONE]);
    let optional = format!("{POLICY}[composite]\npolicy_binding = 'optional'\n");
    assert!(scene.judge_with(&optional, |_| {}).trusted);
}

/// Row 25, by guest key.
#[test]
fn attack_key_release_to_another_guest_key() {
    let mut scene = Scene::good();
    let expect = |key: [u8; 97]| {
        move |references: &mut References| references.guest_key = Some(key.to_vec())
    };
    assert!(scene.judge_with(POLICY, expect(key(GUEST))).trusted);
    let other = key(8);
    let refusal = refused(&scene.judge_with(POLICY, expect(other)));
    assert_eq!(refusal, [vec!["guest-key"], NONE, NONE]);
    // The attacker's key in the statement is not the report's.
    scene.statement.key = other;
    let refusal = refused(&scene.judge_with(POLICY, expect(other)));
    assert_eq!(refusal, [vec!["report-data"], NONE, NONE]);
}

/// Row 25, by device set.
#[test]
fn attack_key_release_for_another_device_set() {
    let attack = |change: fn(&mut Vec<Gpu>)| {
        let mut scene = Scene::good();
        change(&mut scene.gpus);
        refused(&scene.judge())
    };
    let bound = || vec!["evidence-bound"];
    let swapped = attack(|gpus| gpus[0] = Boot::of("0003").gpu());
    assert_eq!(swapped, [NONE, bound(), NONE]);
    let dropped = attack(|gpus| drop(gpus.pop()));
    assert_eq!(dropped, [vec!["device-set"], NONE]);
    let all_dropped = attack(Vec::clear);
    assert_eq!(all_dropped, [vec!["device-set"]]);
    let added = attack(|gpus| gpus.push(Boot::of("0003").gpu()));
    assert_eq!(added, [vec!["device-set"], NONE, NONE, bound()]);
    let reordered = attack(|gpus| gpus.reverse());
    assert_eq!(reordered, [NONE, bound(), bound()]);
    let repeated = attack(|gpus| gpus[1] = Boot::of("0001").gpu());
    assert_eq!(
        repeated,
        [NONE, vec!["distinct-device"], vec!["evidence-bound", "distinct-device"]]
    );

    // A statement that fits the other set is not the report's.
    let mut scene = Scene::good();
    scene.gpus.pop();
    scene.statement.gpus.pop();
    assert_eq!(refused(&scene.judge()), [vec!["report-data"], NONE]);
    // A guest that names one device twice is refused though everything is bound.
    let twice = Scene::new(vec![Boot::of("0001").gpu(), Boot::of("0001").gpu()], POLICY);
    assert_eq!(refused(&twice.judge()), [NONE, vec!["distinct-device"], vec!["distinct-device"]]);
    // A guest without GPUs is another command's.
    assert_eq!(refused(&Scene::new(Vec::new(), POLICY).judge()), [vec!["device-set"]]);
}

#[test]
fn a_policy_can_name_the_gpus_of_each_place() {
    let identities: Vec<String> =
        Scene::good().judge().devices[1..].iter().map(|device| device.identity.clone()).collect();
    let naming = |identities: &[&String]| {
        let gpus = identities.iter().map(|identity| format!("'{identity}'"));
        format!("{POLICY}[composite]\ngpus = [{}]\n", gpus.collect::<Vec<_>>().join(", "))
    };
    let judged = |policy: &str| {
        let gpus = vec![Boot::of("0001").gpu(), Boot::of("0002").gpu()];
        Scene::new(gpus, policy).judge_with(policy, |_| {})
    };
    let [first, second] = [&identities[0], &identities[1]];
    assert!(judged(&naming(&[first, second])).trusted);
    let identity = || vec!["gpu-identity"];
    assert_eq!(refused(&judged(&naming(&[second, first]))), [NONE, identity(), identity()]);
    assert_eq!(refused(&judged(&naming(&[first]))), [vec!["device-set"], NONE, identity()]);
}

/// Row 12 for composite evidence: a verdict for every device, and none passes for another.
#[test]
fn one_bad_gpu_at_each_place_fails_the_whole_and_no_other() {
    for bad in 0..3 {
        let gpus = ["0001", "0002", "0003"].into_iter().enumerate().map(|(place, serial)| {
            let mode = if place == bad { Mode::Devtools } else { Mode::On };
            Boot::with(serial, |boot| boot.mode = mode).gpu()
        });
        let verdict = Scene::new(gpus.collect(), POLICY).judge();
        assert!(!verdict.trusted);
        let trusted: Vec<_> = verdict.devices.iter().map(|device| device.trusted).collect();
        let expected: Vec<_> = (0..4).map(|device| device != bad + 1).collect();
        assert_eq!(trusted, expected);
    }
}

#[test]
fn the_policy_for_the_guest_is_held_here_too() {
    let refused_by = |text: &str| {
        let policy = format!("{POLICY}{text}\n");
        refused(&Scene::new(vec![Boot::of("0001").gpu()], &policy).judge_with(&policy, |_| {}))
    };
    for (text, code) in [
        ("[snp.minimum_tcb]\nmicrocode = 2", "tcb-floor"),
        (
            "[snp]\nhost_data = ['0000000000000000000000000000000000000000000000000000000000000001']",
            "host-data",
        ),
        ("[snp]\nminimum_firmware = '1.56.0'", "firmware-floor"),
        ("[snp.guest_policy]\nsmt_allowed = false", "guest-policy-smt"),
        ("[snp.platform]\nrequire_tsme = true", "platform-tsme"),
        ("[snp]\nproducts = ['genoa']", "product"),
    ] {
        assert_eq!(refused_by(text), [vec![code], NONE], "{text}");
    }
    let strict = refused(&Scene::new(vec![Boot::of("0001").gpu()], "").judge_with("", |_| {}));
    assert_eq!(strict, [vec!["launch-measurement"], NONE]);
}

#[test]
fn no_changed_byte_of_the_report_or_its_chain_passes() {
    let scene = Scene::good();
    let policy = Policy::from_toml(POLICY.as_bytes()).unwrap();
    let references =
        snp::References { report_data: Some(scene.statement.report_data()), ..snp_references() };
    let trusted = |report: &[u8], certificates: &[Vec<u8>]| {
        // What is no certificate is bad input.
        let certificates = certificates.iter().map(|der| Certificate::from_der(der).ok());
        let Some(certificates) = certificates.collect() else { return false };
        let evidence = snp::Evidence { report: report.to_vec(), certificates };
        snp::judge(&evidence, &references, &policy).trusted
    };
    assert!(trusted(&scene.report, &scene.certificates));
    for at in 0..scene.report.len() {
        let mut report = scene.report.clone();
        report[at] ^= 1 << (at % 8);
        assert!(!trusted(&report, &scene.certificates), "byte {at:#x} of the report");
    }
    for number in 0..scene.certificates.len() {
        for at in (0..scene.certificates[number].len()).step_by(3) {
            let mut certificates = scene.certificates.clone();
            certificates[number][at] ^= 1 << (at % 8);
            assert!(!trusted(&scene.report, &certificates), "byte {at} of certificate {number}");
        }
    }
}
