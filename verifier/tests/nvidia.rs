//! Real evidence of NVIDIA GPUs: what passes, what differs, and that no changed byte passes.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use ravelin_verifier::nvidia::evidence::{self, Evidence};
use ravelin_verifier::nvidia::manifest::Manifest;
use ravelin_verifier::nvidia::report::Report;
use ravelin_verifier::nvidia::{References, judge, judge_all};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Device, EVIDENCE_FORMAT, Outcome, Verdict};
use ravelin_verifier::roots;
use support::{codes, indices, passed, time};

const AT: &str = "2024-12-01T00:00:00Z";
/// The day after which the manifests' issuer has expired too.
const TODAY: &str = "2026-11-24T00:00:00Z";
const VBIOS_535: &str = "1010_0200_882_96005E0001_PROD.swidtag";
const NONCE_535: &str = "27a328247bf7935c993341cf587be6f05986ccce4fe7ba2c54100bd616a58f66";
const NONCE_550: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
const NONCE_590: &str = "e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576";

fn references(at: &str, nonce: &str, manifests: &[&Path]) -> References {
    References {
        device_root: roots::nvidia_device().unwrap(),
        manifest_root: roots::nvidia_manifest().unwrap(),
        manifests: manifests
            .iter()
            .map(|path| Manifest::decode(&fs::read(path).unwrap()).unwrap())
            .collect(),
        revocation_lists: Vec::new(),
        nonce: (!nonce.is_empty()).then(|| evidence::nonce(nonce).unwrap()),
        at: time(at),
    }
}

fn policy(text: &str) -> Policy {
    Policy::from_toml(text.as_bytes()).unwrap()
}

fn example_policy() -> Policy {
    let example = include_bytes!("../samples/policy/h100-without-driver-manifest.toml");
    Policy::from_toml(example).unwrap()
}

/// Whatever may be left out, left out: what remains is the report and its chain.
fn report_alone() -> Policy {
    policy(
        "revocation = 'allow-unknown'\ndriver_manifest = 'optional'\nvbios_manifest = 'optional'",
    )
}

fn h100(folder: &Path) -> Evidence {
    let read = |name| fs::read(folder.join(name)).unwrap();
    let (report, chain) = ("hopper-535.86.09-report.hex", "hopper-535.86.09-chain.pem");
    evidence::from_files(&read(report), &read(chain)).unwrap()
}

fn four(folder: &Path) -> Vec<Result<Evidence, String>> {
    let json = fs::read(folder.join("hopper-590.12-four-gpus.json")).unwrap();
    evidence::from_json(&json).unwrap()
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn a_real_h100_is_trusted_without_its_drivers_manifest_only_if_the_policy_says_so() {
    let (folder, samples) = (support::evidence(), support::samples());
    let manifest = samples.join(VBIOS_535);
    let references = references(AT, NONCE_535, &[&manifest]);
    let evidence = Ok(h100(&folder));

    let device = judge(&evidence, &references, &example_policy());
    assert!(device.trusted, "{:#?}", device.checks);
    for code in [
        "certificate-chain",
        "certificate-time",
        "report-signature",
        "nonce",
        "vbios-manifest-certificate-chain",
        "vbios-manifest-certificate-time",
        "vbios-manifest-signature",
        "vbios-manifest-version",
        "vbios-measurement",
    ] {
        assert!(passed(&device, code), "{code} did not pass");
    }
    let compared = indices(&device, "vbios-measurement", Outcome::Pass);
    assert_eq!(compared, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]);

    let device = judge(&evidence, &references, &policy("revocation = 'allow-unknown'"));
    assert!(!device.trusted);
    assert_eq!(codes(&device, Outcome::Fail), ["driver-manifest"]);
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn what_the_policy_does_not_allow_to_be_unmade_fails_by_name() {
    let (folder, samples) = (support::evidence(), support::samples());
    let manifest = samples.join(VBIOS_535);
    let references = references(AT, "", &[&manifest]);
    let device = judge(&Ok(h100(&folder)), &references, &Policy::default());
    assert_eq!(
        codes(&device, Outcome::Fail),
        [
            "certificate-revocation",
            "nonce",
            "driver-manifest",
            "vbios-manifest-certificate-revocation"
        ]
    );
}

#[test]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn a_real_report_differs_from_other_versions_manifests_exactly_where_it_does() {
    let samples = support::samples();
    let read = |name| fs::read(samples.join(name)).unwrap();
    let report = (read("hopperAttestationReport.txt"), read("hopperCertChain.txt"));
    let evidence = Ok(evidence::from_files(&report.0, &report.1).unwrap());
    let driver = samples.join("Driver_RIM_test_no_gpu.swidtag");
    let vbios = samples.join("1010_0200_882_96005E0001_test_no_gpu.swidtag");
    let references = references(AT, NONCE_550, &[&driver, &vbios]);
    let device = judge(&evidence, &references, &policy("revocation = 'allow-unknown'"));
    assert!(!device.trusted);
    assert!(passed(&device, EVIDENCE_FORMAT));
    for code in ["certificate-chain", "firmware-id", "report-signature", "nonce"] {
        assert!(passed(&device, code), "{code} did not pass");
    }
    assert_eq!(
        codes(&device, Outcome::Fail),
        [
            "driver-manifest-version",
            "vbios-manifest-version",
            "driver-measurement",
            "vbios-measurement"
        ]
    );
    let differ = |code| indices(&device, code, Outcome::Fail);
    let agree = |code| indices(&device, code, Outcome::Pass);
    assert_eq!(
        differ("driver-measurement"),
        [7, 21, 22, 25, 26, 27, 29, 30, 31, 32, 34, 36, 37, 39, 40]
    );
    assert_eq!(agree("driver-measurement"), [23, 24, 28, 33, 35, 38]);
    assert_eq!(differ("vbios-measurement"), [1, 2, 3, 9, 11]);
    assert_eq!(agree("vbios-measurement"), [0, 4, 5, 6, 8, 10, 12]);
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn four_real_gpus_are_four_devices_with_a_verdict_each() {
    let folder = support::evidence();
    let references = references(AT, NONCE_590, &[]);
    let verdict = judge_all(&four(&folder), &references, &report_alone());
    assert_eq!(verdict.devices.len(), 4);
    let mut identities: Vec<&str> =
        verdict.devices.iter().map(|device| device.identity.as_str()).collect();
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), 4);
    for device in &verdict.devices {
        assert!(passed(device, "report-signature") && passed(device, "firmware-id"));
        assert!(passed(device, "distinct-device"));
    }
    // Their manifests are not public: with them required, each fails for that and nothing else.
    assert!(verdict.trusted, "{verdict:#?}");
    let strict = judge_all(&four(&folder), &references, &policy("revocation = 'allow-unknown'"));
    assert!(!strict.trusted);
    for device in &strict.devices {
        assert_eq!(codes(device, Outcome::Fail), ["driver-manifest", "vbios-manifest"]);
    }
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn the_same_gpu_twice_is_refused_at_every_pair_of_places() {
    let folder = support::evidence();
    let references = references(AT, NONCE_590, &[]);
    for (first, second) in [(0, 1), (0, 3), (1, 2), (2, 3)] {
        let mut evidence = four(&folder);
        evidence[second] = four(&folder).swap_remove(first);
        let verdict = judge_all(&evidence, &references, &report_alone());
        assert!(!verdict.trusted);
        for (place, device) in verdict.devices.iter().enumerate() {
            let twin = place == first || place == second;
            assert_eq!(device.trusted, !twin, "place {place} of {first} and {second}");
        }
    }
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn one_gpu_that_fails_at_any_place_fails_the_whole_and_no_other_gpu() {
    let folder = support::evidence();
    let references = references(AT, NONCE_590, &[]);
    let spoilers: [fn(&mut Evidence); 4] = [
        |evidence| *evidence.report.last_mut().unwrap() ^= 1,
        |evidence| evidence.report.truncate(100),
        |evidence| evidence.certificates.swap(0, 1),
        |evidence| evidence.nonce = Some([0; 32]),
    ];
    for spoil in spoilers {
        for bad in 0..4 {
            let mut evidence = four(&folder);
            spoil(evidence[bad].as_mut().unwrap());
            let verdict = judge_all(&evidence, &references, &report_alone());
            assert!(!verdict.trusted);
            for (place, device) in verdict.devices.iter().enumerate() {
                assert_eq!(device.trusted, place != bad);
            }
        }
    }
    for bad in 0..4 {
        let mut evidence = four(&folder);
        evidence[bad] = Err("not base64".into());
        let verdict = judge_all(&evidence, &references, &report_alone());
        assert!(!verdict.trusted && verdict.judged());
        assert!(verdict.devices.iter().enumerate().all(|(n, d)| d.trusted == (n != bad)));
    }
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn today_the_manifests_signers_have_expired() {
    let (folder, samples) = (support::evidence(), support::samples());
    let manifest = samples.join(VBIOS_535);
    let references = references(TODAY, NONCE_535, &[&manifest]);
    let device = judge(&Ok(h100(&folder)), &references, &example_policy());
    assert_eq!(codes(&device, Outcome::Fail), ["vbios-manifest-certificate-time"]);
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn every_manifest_in_the_samples_is_signed_and_every_root_but_nvidias_is_refused() {
    let (folder, samples) = (support::evidence(), support::samples());
    let mut seen = 0;
    for entry in fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "swidtag") {
            continue;
        }
        seen += 1;
        let mut references = references(AT, NONCE_535, &[&path]);
        let evidence = Ok(h100(&folder));
        let device = judge(&evidence, &references, &example_policy());
        let signed = |device: &Device, code: &str| {
            ["driver", "vbios"]
                .iter()
                .any(|kind| passed(device, &format!("{kind}-manifest-{code}")))
        };
        assert!(signed(&device, "signature"), "{}", path.display());
        assert!(signed(&device, "certificate-chain"), "{}", path.display());
        if seen == 1 {
            references.manifest_root = roots::nvidia_device().unwrap();
            references.device_root = roots::nvidia_manifest().unwrap();
            let device = judge(&evidence, &references, &example_policy());
            assert!(!signed(&device, "certificate-chain") && !passed(&device, "certificate-chain"));
            assert_eq!(device.identity, "", "an identity that no root vouches for was believed");
        }
    }
    assert_eq!(seen, 26);
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn freshness_is_what_the_policy_says_it_is() {
    let folder = support::evidence();
    let fresh = |policy_text: &str, nonce: &str| {
        let text = format!(
            "revocation = 'allow-unknown'\ndriver_manifest = 'optional'\n\
             vbios_manifest = 'optional'\n{policy_text}"
        );
        judge_all(&four(&folder), &references(AT, nonce, &[]), &policy(&text)).trusted
    };
    assert!(fresh("", NONCE_590));
    assert!(!fresh("", NONCE_550), "another nonce was accepted");
    assert!(!fresh("freshness = 'unchecked'", NONCE_550), "a wrong nonce was not looked at");
    assert!(!fresh("", ""), "no nonce was accepted");
    assert!(fresh("freshness = 'recorded'", ""));
    assert!(fresh("freshness = 'unchecked'", ""));
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn each_value_that_a_policy_names_is_held() {
    let folder = support::evidence();
    let judge = |text: &str| -> Verdict {
        let base = "revocation = 'allow-unknown'\ndriver_manifest = 'optional'\n\
                    vbios_manifest = 'optional'\n[nvidia]\n";
        let policy = policy(&format!("{base}{text}"));
        judge_all(&four(&folder), &references(AT, NONCE_590, &[]), &policy)
    };
    for good in [
        "modes = ['spt', 'ppcie']",
        "minimum_driver_version = '590'",
        "minimum_vbios_version = '96.00.9F.00.01'",
        "firmware_id = 'required'",
    ] {
        assert!(judge(good).trusted, "{good}");
    }
    let zeros = "0".repeat(96);
    for (bad, code) in [
        ("modes = ['spt', 'mpt']", "mode"),
        ("minimum_driver_version = '590.13'", "driver-version-floor"),
        ("minimum_vbios_version = '96.00.A5.00.02'", "vbios-version-floor"),
        (&format!("measurements = {{ 1 = ['{zeros}'] }}"), "allowed-measurement"),
        ("unlisted_measurements = false", "unlisted-measurements"),
    ] {
        let verdict = judge(bad);
        assert!(!verdict.trusted, "{bad}");
        for device in &verdict.devices {
            assert_eq!(codes(device, Outcome::Fail), [code], "{bad}");
        }
    }
    // This report is from before reports had a firmware id.
    let old = policy(
        "revocation = 'allow-unknown'\ndriver_manifest = 'optional'\nvbios_manifest = 'optional'\n\
         [nvidia]\nfirmware_id = 'required'\nmodes = ['spt']",
    );
    let device =
        ravelin_verifier::nvidia::judge(&Ok(h100(&folder)), &references(AT, NONCE_535, &[]), &old);
    assert_eq!(codes(&device, Outcome::Fail), ["firmware-id", "mode"]);
}

/// Judges copies of evidence, each changed in one place, on two threads.
fn no_change_passes(changes: Vec<(String, Result<Evidence, String>)>, references: &References) {
    let policy = report_alone();
    let half = changes.len().div_ceil(2);
    std::thread::scope(|scope| {
        for part in changes.chunks(half) {
            let policy = &policy;
            scope.spawn(move || {
                for (what, evidence) in part {
                    let device = judge(evidence, references, policy);
                    assert!(!device.trusted, "{what} was changed and nobody noticed");
                }
            });
        }
    });
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn no_byte_of_a_report_can_be_changed() {
    let folder = support::evidence();
    let references = references(AT, "", &[]);
    // With freshness unchecked only the signature holds the nonce's bytes.
    let mut policy = report_alone();
    policy.freshness = ravelin_verifier::policy::Freshness::Unchecked;
    assert!(judge(&Ok(h100(&folder)), &references, &policy).trusted);
    let length = h100(&folder).report.len();
    let half = length.div_ceil(2);
    std::thread::scope(|scope| {
        for start in [0, half] {
            let (references, policy, folder) = (&references, &policy, &folder);
            scope.spawn(move || {
                let mut evidence = h100(folder);
                for at in start..(start + half).min(length) {
                    evidence.report[at] ^= 1 << (at % 8);
                    let signer = &evidence.certificates[0];
                    let stands = Report::decode(&evidence.report)
                        .is_ok_and(|report| report.verify(signer).is_ok());
                    assert!(!stands, "byte {at} was changed and nobody noticed");
                    // The whole judgement costs seven signatures: for a sample.
                    if at % 23 == 0 {
                        let mut changed = h100(folder);
                        changed.report.clone_from(&evidence.report);
                        let device = judge(&Ok(changed), references, policy);
                        assert!(!device.trusted, "byte {at} was changed and nobody noticed");
                    }
                    evidence.report[at] ^= 1 << (at % 8);
                }
            });
        }
    });
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn no_report_can_be_cut_short_or_made_longer() {
    let folder = support::evidence();
    let whole = h100(&folder);
    let mut changes = Vec::new();
    for length in (0..whole.report.len()).step_by(61) {
        let mut evidence = h100(&folder);
        evidence.report.truncate(length);
        changes.push((format!("the length, to {length},"), Ok(evidence)));
    }
    let mut longer = h100(&folder);
    longer.report.push(0);
    changes.push(("the length, by one more,".into(), Ok(longer)));
    no_change_passes(changes, &references(AT, NONCE_535, &[]));
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn no_byte_of_a_certificate_can_be_changed() {
    let folder = support::evidence();
    let whole = h100(&folder);
    let mut changes = Vec::new();
    for place in 0..whole.certificates.len() {
        let der = whole.certificates[place].der();
        for at in (0..der.len()).step_by(5) {
            let mut changed = der.to_vec();
            changed[at] ^= 1 << (at % 8);
            let mut evidence = h100(&folder);
            let certificate = ravelin_verifier::x509::Certificate::from_der(&changed);
            let evidence = certificate.map_err(|error| error.to_string()).map(|certificate| {
                evidence.certificates[place] = certificate;
                evidence
            });
            changes.push((format!("byte {at} of certificate {place}"), evidence));
        }
    }
    // The text of the file as well: labels, line ends, base64.
    let report = fs::read(folder.join("hopper-535.86.09-report.hex")).unwrap();
    let pem = fs::read(folder.join("hopper-535.86.09-chain.pem")).unwrap();
    for at in (0..pem.len()).step_by(7) {
        let mut changed = pem.clone();
        changed[at] ^= 1 << (at % 7);
        changes.push((
            format!("byte {at} of the chain's file"),
            evidence::from_files(&report, &changed),
        ));
    }
    no_change_passes(changes, &references(AT, NONCE_535, &[]));
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn no_byte_of_a_manifest_can_be_changed() {
    let (folder, samples) = (support::evidence(), support::samples());
    let text = fs::read(samples.join(VBIOS_535)).unwrap();
    let signature = text.windows(13).position(|window| window == b"<ds:Signature").unwrap();
    // A sample of what is signed, a denser one of the signature itself.
    let places: Vec<usize> =
        (0..signature).step_by(101).chain((signature..text.len()).step_by(13)).collect();
    let policy = example_policy();
    std::thread::scope(|scope| {
        for part in places.chunks(places.len().div_ceil(2)) {
            let (folder, text, policy) = (&folder, &text, &policy);
            scope.spawn(move || {
                let evidence = Ok(h100(folder));
                for at in part {
                    let mut changed = text.clone();
                    changed[*at] ^= 1 << (at % 7);
                    // Either it is no manifest any more, or it is not trusted.
                    let Ok(manifest) = Manifest::decode(&changed) else { continue };
                    let mut references = references(AT, NONCE_535, &[]);
                    references.manifests.push(manifest);
                    let device = judge(&evidence, &references, policy);
                    assert!(!device.trusted, "byte {at} was changed and nobody noticed");
                }
            });
        }
    });
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
fn a_hexadecimal_report_and_a_json_element_are_the_same_evidence() {
    let folder = support::evidence();
    let evidence = h100(&folder);
    let pem = fs::read(folder.join("hopper-535.86.09-chain.pem")).unwrap();
    let json = serde_json::json!([{
        "arch": "HOPPER",
        "evidence": Base64::encode_string(&evidence.report),
        "certificate": Base64::encode_string(&pem),
        "nonce": NONCE_535,
    }]);
    let read = evidence::from_json(json.to_string().as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!(read.report, evidence.report);
    assert_eq!(read.certificates, evidence.certificates);
}
