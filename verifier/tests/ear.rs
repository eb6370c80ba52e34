//! The signed attestation result, read by someone who shares no code with its writer: the structure
//! and what is signed by hand from RFC 9052, the claims by their numbers in RFC 9711,
//! draft-ietf-rats-ear and draft-ietf-rats-ar4si.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coset::cbor::value::Value;
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use p384::pkcs8::{EncodePrivateKey, LineEnding};
use ravelin_dice::Mode;
use ravelin_verifier::model::evidence::Gpu;
use support::apm::{AT, Boot, NONCE, save};

const SNP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/snp");
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/snp/report_milan.hex");
const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/policy/snp-signature-only.toml");

// Claims of RFC 8392, RFC 9711 and draft-ietf-rats-ear.
const IAT: i64 = 6;
const NONCE_CLAIM: i64 = 10;
const PROFILE: i64 = 265;
const SUBMODS: i64 = 266;
const STATUS: i64 = 1000;
const VECTOR: i64 = 1001;
const POLICIES: i64 = 1003;
const VERIFIER_ID: i64 = 1004;
const VERIFIER_CLAIMS: i64 = 1006;
// Tiers of draft-ietf-rats-ar4si.
const AFFIRMING: i64 = 2;
const WARNING: i64 = 32;
const CONTRAINDICATED: i64 = 96;

struct Case {
    directory: tempfile::TempDir,
    key: SigningKey,
}

impl Case {
    fn new() -> Case {
        let case = Case {
            directory: tempfile::tempdir().unwrap(),
            key: SigningKey::from_slice(&[21; 48]).unwrap(),
        };
        let secret = p384::SecretKey::from_slice(&[21; 48]).unwrap();
        fs::write(case.path("key.pem"), secret.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
        case.close("key.pem", 0o600);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn close(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ravelin-verify")).args(arguments).output().unwrap()
    }

    /// Verifies with `--ear`; the exit code and the result's claims.
    fn result(&self, arguments: &[&str]) -> (i32, Value) {
        let (ear, key) = (self.path("result.ear"), self.path("key.pem"));
        let with = ["--ear", word(&ear), "--ear-key", word(&key)];
        let output = self.verify(&[arguments, &with].concat());
        let bytes = fs::read(&ear).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), read(&bytes, self.key.verifying_key()).unwrap())
    }

    fn apm(&self, gpus: &[Gpu], more: &[&str]) -> (i32, Value) {
        save(self.directory.path(), gpus);
        let nonce = hex::encode(NONCE);
        let arguments = ["apm", word(self.directory.path()), "--at", AT, "--nonce", &nonce];
        self.result(&[&arguments[..], more].concat())
    }
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The claims in a COSE_Sign1 of this key: `18([protected, unprotected, payload, signature])`, of
/// which `["Signature1", protected, external, payload]` is signed (RFC 9052, 4.2 and 4.4).
fn read(bytes: &[u8], key: &VerifyingKey) -> Option<Value> {
    let Value::Tag(18, inner) = coset::cbor::de::from_reader(bytes).ok()? else { return None };
    let [protected, unprotected, payload, signature] =
        <[Value; 4]>::try_from(inner.into_array().ok()?).ok()?;
    assert_eq!(unprotected, Value::Map(Vec::new()));
    let header: Value = coset::cbor::de::from_reader(protected.as_bytes()?.as_slice()).ok()?;
    // alg (1) is ES384 (-35).
    assert_eq!(claim(&header, 1), &Value::from(-35));
    let signed = Value::Array(vec![
        Value::Text("Signature1".into()),
        protected,
        Value::Bytes(Vec::new()),
        payload.clone(),
    ]);
    let mut message = Vec::new();
    coset::cbor::ser::into_writer(&signed, &mut message).unwrap();
    let signature = Signature::from_slice(signature.as_bytes()?).ok()?;
    key.verify(&message, &signature).ok()?;
    coset::cbor::de::from_reader(payload.as_bytes()?.as_slice()).ok()
}

fn claim(map: &Value, key: i64) -> &Value {
    let found = map.as_map().unwrap().iter().find(|(name, _)| *name == Value::from(key));
    &found.unwrap_or_else(|| panic!("no claim {key} in {map:?}")).1
}

fn named<'a>(map: &'a Value, key: &str) -> &'a Value {
    let found = map.as_map().unwrap().iter().find(|(name, _)| name.as_text() == Some(key));
    &found.unwrap_or_else(|| panic!("no {key} in {map:?}")).1
}

fn number(value: &Value) -> i64 {
    i64::try_from(value.as_integer().unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_text().unwrap()).collect()
}

#[test]
fn a_trusted_gpu_is_affirmed_and_the_result_says_who_judged_what() {
    let case = Case::new();
    let (code, result) = case.apm(&[Boot::of("0001").gpu()], &[]);
    assert_eq!(code, 0);
    assert_eq!(claim(&result, PROFILE).as_text(), Some("tag:ietf.org,2026:rats/ear#04"));
    assert!(number(claim(&result, IAT)) > 1_700_000_000);
    assert_eq!(claim(&result, NONCE_CLAIM).as_bytes().unwrap(), &NONCE.to_vec());
    assert_eq!(number(claim(&result, STATUS)), AFFIRMING);
    // developer (0), build (1).
    let build = claim(claim(&result, VERIFIER_ID), 1).as_text().unwrap();
    assert!(build.starts_with("ravelin-verifier "));

    let device = named(claim(&result, SUBMODS), "apm-1");
    assert_eq!(number(claim(device, STATUS)), AFFIRMING);
    // instance-identity (0), configuration (1), executables (2): 2, 2, 3. Nothing on hardware (4),
    // since a model is none.
    let vector = claim(device, VECTOR);
    assert_eq!([0, 1, 2].map(|key| number(claim(vector, key))), [2, 2, 3]);
    assert_eq!(vector.as_map().unwrap().len(), 3);
    let claims = claim(device, VERIFIER_CLAIMS);
    assert_eq!(named(claims, "ravelin.identity").as_text().unwrap().len(), 96);
    assert_eq!(number(named(claims, "ravelin.judged-at")), 1_795_478_400);
    assert!(texts(named(claims, "ravelin.passed")).contains(&"report-signature"));
    assert!(texts(named(claims, "ravelin.failed")).is_empty());
}

#[test]
fn one_bad_gpu_contraindicates_the_whole_and_only_itself() {
    let case = Case::new();
    let debug = Boot::with("0002", |boot| boot.mode = Mode::Devtools).gpu();
    let (code, result) = case.apm(&[Boot::of("0001").gpu(), debug], &[]);
    assert_eq!(code, 2);
    assert_eq!(number(claim(&result, STATUS)), CONTRAINDICATED);
    let submods = claim(&result, SUBMODS);
    assert_eq!(number(claim(named(submods, "apm-1"), STATUS)), AFFIRMING);
    let bad = named(submods, "apm-2");
    assert_eq!(number(claim(bad, STATUS)), CONTRAINDICATED);
    assert_eq!(number(claim(claim(bad, VECTOR), 1)), 96, "the configuration");
    let failed = named(claim(bad, VERIFIER_CLAIMS), "ravelin.failed");
    assert_eq!(texts(failed), ["debug: debug-enabled"]);
}

#[test]
fn what_the_policy_waives_is_a_warning_and_the_policy_is_named() {
    let case = Case::new();
    let arguments = [
        "snp",
        "--report",
        REPORT,
        "--certs",
        SNP,
        "--at",
        "2024-12-01T00:00:00Z",
        "--policy",
        OPEN,
    ];
    let (code, result) = case.result(&arguments);
    assert_eq!(code, 0);
    assert_eq!(number(claim(&result, STATUS)), WARNING);
    let device = named(claim(&result, SUBMODS), "snp-1");
    assert_eq!(number(claim(device, STATUS)), WARNING);
    // The signature is good and nothing else was asked: hardware (4) of unknown firmware versions
    // (32), no word on the identity (0), since nobody chose the report's data.
    let vector = claim(device, VECTOR);
    assert_eq!(number(claim(vector, 4)), 32);
    assert!(vector.as_map().unwrap().iter().all(|(key, _)| *key != Value::from(0)));
    let policies = texts(claim(device, POLICIES));
    assert!(policies.len() == 1 && policies[0].starts_with("sha-384:"), "{policies:?}");
}

#[test]
fn no_byte_of_a_result_can_be_changed() {
    let case = Case::new();
    case.apm(&[Boot::of("0001").gpu()], &[]);
    let good = fs::read(case.path("result.ear")).unwrap();
    let key = case.key.verifying_key();
    assert!(read(&good, key).is_some());
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let read = std::panic::catch_unwind(|| read(&changed, key));
        assert!(!matches!(read, Ok(Some(_))), "byte {at}");
    }
    let other = SigningKey::from_slice(&[22; 48]).unwrap();
    assert!(read(&good, other.verifying_key()).is_none());
}

#[test]
fn there_is_no_result_without_a_key_that_is_its_owners() {
    let case = Case::new();
    save(case.directory.path(), &[Boot::of("0001").gpu()]);
    let ear = case.path("result.ear");
    let apm = ["apm", word(case.directory.path()), "--at", AT, "--ear", word(&ear)];
    let says = |more: &[&str]| {
        let output = case.verify(&[&apm[..], more].concat());
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout.is_empty(), "a verdict whose result is missing was given");
        assert!(!ear.exists());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(says(&[]).contains("--ear-key"));
    let key = case.path("key.pem");
    case.close("key.pem", 0o644);
    assert!(says(&["--ear-key", word(&key)]).contains("chmod 600"));
    case.close("key.pem", 0o600);
    fs::write(&key, "-----BEGIN PRIVATE KEY-----").unwrap();
    assert!(says(&["--ear-key", word(&key)]).contains("openssl genpkey"));
}
