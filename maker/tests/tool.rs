//! The program: what it makes, what it refuses, and what it never shows.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use ravelin_attestation::{ReferenceValues, RevocationList, TrustAnchor};
use ravelin_dice::{Chain, Clock, UnixTime};
use ravelin_maker::{DeviceIdentity, FirmwareSet};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::{AT, Desk, maker, refused, said, word};

#[test]
fn a_roots_keys_are_its_owners_alone_and_the_rest_is_public() {
    let desk = Desk::new();
    let mode = |name: &str| {
        let path = desk.root().join(name);
        path.metadata().unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("key.pem"), 0o600);
    assert_eq!(mode("signer-key.pem"), 0o600);
    assert_eq!(mode("root.der"), 0o644);
    assert_eq!(desk.root().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let root = TrustAnchor::new(&fs::read(desk.root().join("root.der")).unwrap()).unwrap();
    assert_eq!(root.name().to_string(), "CN=Acme GPU Root,O=Acme");
    let list = fs::read(desk.root().join("revocation-list.crl")).unwrap();
    assert_eq!(RevocationList::verify(&list, &root).unwrap().number(), 1);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let desk = Desk::new();
    let key = fs::read(desk.root().join("key.pem")).unwrap();
    let root = word(&desk.root());
    let again = ["root", "--name", "Acme GPU Root", "--out", &root];
    assert!(refused(&again).contains("is there already"));
    assert_eq!(fs::read(desk.root().join("key.pem")).unwrap(), key);
    said(&[&again[..], &["--force"]].concat());
    assert_ne!(fs::read(desk.root().join("key.pem")).unwrap(), key, "a root of a new key");

    let desk = Desk::new();
    let device = desk.provision(&desk.root(), "0001");
    let again = ["provision", "--issuer", &word(&desk.root()), "--serial", "0002", "--out"];
    assert!(refused(&[&again[..], &[&word(&device)]].concat()).contains("is there already"));
    let values = desk.sign(&[]);
    let again = ["sign", "--root", &word(&desk.root()), "--built-in", "--out", &word(&values)];
    assert!(refused(&again).contains("is there already"));
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let desk = Desk::new();
    let key = desk.root().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let out = word(&desk.path().join("device"));
    let why =
        refused(&["provision", "--issuer", &word(&desk.root()), "--serial", "1", "--out", &out]);
    assert!(why.contains("mode 0640") && why.contains("chmod 600"), "{why}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_device_below_an_intermediate_chains_to_the_root() {
    let desk = Desk::new();
    let factory = desk.path().join("factory");
    said(&[
        "intermediate",
        "--issuer",
        &word(&desk.root()),
        "--name",
        "Factory 7",
        "--at",
        AT,
        "--out",
        &word(&factory),
    ]);
    let device = DeviceIdentity::read(&desk.provision(&factory, "0001")).unwrap();
    let leaf = support::leaf(&device);
    let chain = [device.chain(), leaf].concat();
    let root = TrustAnchor::new(&fs::read(desk.root().join("root.der")).unwrap()).unwrap();
    let clock = Clock::At(UnixTime(1_795_500_000));
    let leaf = Chain::verify(&Chain::split(&chain).unwrap(), &root, clock).unwrap();
    assert_eq!(leaf.device.text(), "Ravelin:APM:0001");
    assert_eq!(leaf.path.len(), 3);
    assert!(DeviceIdentity::read(&factory).is_err(), "an authority is no device");
    let out = word(&desk.path().join("x"));
    let issuer = word(&desk.path().join("device-0001"));
    let why = refused(&["provision", "--issuer", &issuer, "--serial", "2", "--out", &out]);
    assert!(why.contains("a device issues nothing"), "{why}");
}

#[test]
fn reference_values_come_from_a_description_from_images_and_from_the_model() {
    let desk = Desk::new();
    let root = || TrustAnchor::new(&fs::read(desk.root().join("root.der")).unwrap()).unwrap();
    let read = |path: &Path| ReferenceValues::verify(&fs::read(path).unwrap(), root()).unwrap();
    let built_in = read(&desk.sign(&[]));
    for set in FirmwareSet::releases() {
        assert!(built_in.release("Ravelin", "APM", &set.id()).is_some());
    }

    let images = word(&desk.path().join("images"));
    said(&["firmware", "--out", &images]);
    let out = desk.path().join("images.corim");
    let arguments = ["sign", "--root", &word(&desk.root()), "--vendor", "Acme", "--model", "G1"];
    said(&[&arguments[..], &["--firmware", &images, "--out", &word(&out)]].concat());
    let id = FirmwareSet::current().id();
    assert_eq!(read(&out).release("Acme", "G1", &id).unwrap().svn, FirmwareSet::current().svn());

    let components: String = ["boot-rom", "hrot", "sec2", "engines", "vbios"]
        .iter()
        .zip(FirmwareSet::current().measurements())
        .map(|(name, digest)| format!("{name} = \"{}\"\n", hex::encode(digest)))
        .collect();
    let description = desk.path().join("g2.toml");
    let head = "id = 'G2'\nvendor = 'Acme'\nmodel = 'G2'\n[[release]]\nversion = '1'\nsvn = 9\n";
    fs::write(&description, format!("{head}{components}")).unwrap();
    let out = desk.path().join("g2.corim");
    let arguments = ["sign", "--root", &word(&desk.root()), "--description"];
    said(&[&arguments[..], &[&word(&description), "--out", &word(&out)]].concat());
    assert_eq!(read(&out).release("Acme", "G2", &id).unwrap().svn, 9);
}

#[test]
fn the_same_words_at_the_same_time_give_the_same_bytes() {
    let desk = Desk::new();
    let first = fs::read(desk.sign(&[])).unwrap();
    let second = fs::read(desk.sign(&["--force"])).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_revocation_list_grows_by_number_and_entries_and_is_renewed_with_them() {
    let desk = Desk::new();
    let root = TrustAnchor::new(&fs::read(desk.root().join("root.der")).unwrap()).unwrap();
    let list = || {
        let bytes = fs::read(desk.root().join("revocation-list.crl")).unwrap();
        RevocationList::verify(&bytes, &root).unwrap()
    };
    let devices = ["0001", "0002"].map(|serial| desk.provision(&desk.root(), serial));
    let directory = word(&desk.root());
    for (number, device) in (2..).zip(&devices) {
        let arguments = ["revoke", "--root", &directory, "--device", &word(device), "--at", AT];
        said(&arguments);
        assert_eq!((list().number(), list().len() as u64), (number, number - 1));
    }
    let renewed = ["crl", "--root", &directory, "--for", "60d", "--at", "2026-12-01T00:00:00Z"];
    said(&renewed);
    assert_eq!((list().number(), list().len()), (4, 2));
    assert_eq!(list().validity().not_after, UnixTime(1_796_083_200 + 60 * 86_400));
    let older = ["crl", "--root", &directory, "--at", AT];
    assert!(refused(&older).contains("a newer one cannot be older"));
    assert_eq!(list().number(), 4);
}

#[test]
fn a_revoked_signer_signs_no_more_until_there_is_another_one() {
    let desk = Desk::new();
    let directory = word(&desk.root());
    said(&["revoke", "--root", &directory, "--signer", "--at", AT]);
    let out = word(&desk.path().join("values.corim"));
    let sign = ["sign", "--root", &directory, "--built-in", "--at", AT, "--out", &out];
    assert!(refused(&sign).contains("ravelin maker signer"));
    said(&["signer", "--root", &directory, "--at", AT, "--force"]);
    said(&sign);
}

#[test]
fn what_is_made_is_shown_and_no_key_ever_is() {
    let desk = Desk::new();
    let device = desk.provision(&desk.root(), "0001");
    let values = desk.sign(&[]);
    let secrets: Vec<String> = [desk.root().join("key.pem"), device.join("key.pem")]
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let shown = |path: &Path, kind: &str| -> Value {
        for arguments in [vec!["show"], vec!["show", "--json"]] {
            let output = maker(&[&arguments[..], &[&word(path)]].concat());
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            for secret in &secrets {
                // Each line of the PEM between its first and its last.
                let lines: Vec<&str> = secret.lines().collect();
                assert!(lines[1..lines.len() - 1].iter().all(|line| !text.contains(line)));
            }
        }
        let json: Value = serde_json::from_str(&said(&["show", "--json", &word(path)])).unwrap();
        assert_eq!(json["schema"], "ravelin.maker/1");
        assert_eq!(json["kind"], kind);
        json
    };
    let root = shown(&desk.root(), "certificates");
    assert_eq!(root["certificates"][0]["subject"], "CN=Acme GPU Root,O=Acme");
    let chain = shown(&device, "certificates");
    assert_eq!(chain["certificates"][1]["device"], "Ravelin:APM:0001");
    assert_eq!(chain["certificates"][1]["spdm"], "hardware identity");
    let identity = DeviceIdentity::read(&device).unwrap();
    let key = shown(&device.join("key.pem"), "private-key");
    assert_eq!(key["public_key_sha384"], hex::encode(identity.digest().unwrap()));
    let values_shown = shown(&values, "reference-values");
    assert_eq!(values_shown["releases"].as_array().unwrap().len(), 2);
    shown(&desk.root().join("revocation-list.crl"), "revocation-list");

    // What a root has signed is shown only where it verifies.
    let other = Desk::new();
    let root = word(&other.root().join("root.der"));
    assert!(refused(&["show", &word(&values), "--root", &root]).contains("does not verify"));
    let lonely = desk.path().join("elsewhere");
    fs::create_dir(&lonely).unwrap();
    fs::copy(&values, lonely.join("values.corim")).unwrap();
    assert!(refused(&["show", &word(&lonely.join("values.corim"))]).contains("--root FILE"));
    fs::write(lonely.join("junk"), "junk").unwrap();
    assert!(refused(&["show", &word(&lonely.join("junk"))]).contains("nothing that a maker makes"));
}

#[test]
fn errors_are_json_where_that_was_asked_for_and_help_is_no_error() {
    let output = maker(&["show", "/nowhere", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error["error"].as_str().unwrap().contains("/nowhere"));
    assert_eq!(maker(&["root"]).status.code(), Some(2));
    assert_eq!(maker(&["--help"]).status.code(), Some(0));
    let short = ["root", "--name", "A", "--out", "/nowhere/x", "--for", "soon"];
    assert_eq!(maker(&short).status.code(), Some(2));
}
