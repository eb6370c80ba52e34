//! Id blocks are what other implementations take for one, and a changed one is refused.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::Generate;
use p384::pkcs8::{EncodePrivateKey, LineEnding};
use ravelin_id_block::signing::{Refused, check, check_guest, sign};
use ravelin_launch::id_block::{IdBlock, Signed};
use ravelin_launch::{DEFAULT_POLICY, Image, Page, PageType, igvm};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn secret() -> SecretKey {
    SecretKey::try_generate_from_rng(&mut getrandom::SysRng).unwrap()
}

fn block() -> IdBlock {
    IdBlock {
        digest: [1; 48],
        family_id: [2; 16],
        image_id: [3; 16],
        guest_svn: 4,
        policy: DEFAULT_POLICY,
    }
}

fn signed() -> Signed {
    let (key, author) = (SigningKey::from(secret()), SigningKey::from(secret()));
    sign(block(), &key, Some(&author))
}

/// `golden/` has what snp-create-id-block of sev-snp-measure 0.0.13 made of a digest and two keys.
#[test]
fn an_id_block_of_another_implementation_is_read_byte_by_byte_and_verifies() {
    let (block, auth) = (include_bytes!("golden/block"), include_bytes!("golden/auth"));
    let signed = Signed::decode(block, auth).unwrap();
    assert_eq!(signed.block.digest, std::array::from_fn(|at| at as u8));
    assert_eq!(signed.block.policy, DEFAULT_POLICY);
    assert_eq!((signed.block.encode(), signed.encode_auth()), (*block, *auth));
    assert_eq!(check(&signed), Ok(()));
    let digests = [signed.key, signed.author.unwrap().0].map(|key| hex::encode(key.digest()));
    assert_eq!(
        digests,
        [
            "78df1d36b85cfb37266359ac1e28939bb146743ba7a03657b3df8fcbac5c60d13c020d402a0743befc7935f7b6b17050",
            "39cfaa1910ae7a0c5fffa43b3ecb8fe2499a356239a9e988fa91eae3aa5c339a163c8a249fd41e5425444abf3e6c885e",
        ]
    );
}

#[test]
fn a_signed_block_is_good_and_any_change_is_found() {
    let good = signed();
    assert_eq!(check(&good), Ok(()));
    assert_eq!(check_guest(&good.block, &[1; 48], DEFAULT_POLICY), Ok(()));
    assert_eq!(check_guest(&good.block, &[9; 48], DEFAULT_POLICY), Err(Refused::Digest));
    assert_eq!(check_guest(&good.block, &[1; 48], DEFAULT_POLICY | 1 << 19), Err(Refused::Policy));
    let changed = |change: fn(&mut Signed)| {
        let mut signed = good.clone();
        change(&mut signed);
        check(&signed)
    };
    assert_eq!(changed(|it| it.block.digest[0] ^= 1), Err(Refused::BlockSignature));
    assert_eq!(changed(|it| it.block.guest_svn = 5), Err(Refused::BlockSignature));
    assert_eq!(changed(|it| it.block.policy |= 1 << 19), Err(Refused::BlockSignature));
    assert_eq!(changed(|it| it.signature.r[47] ^= 1), Err(Refused::BlockSignature));
    assert_eq!(changed(|it| it.signature.s = [0; 48]), Err(Refused::BlockSignature));
    assert_eq!(changed(|it| it.key.x[47] ^= 1), Err(Refused::Key));
    assert_eq!(changed(|it| it.author.as_mut().unwrap().1.s[0] ^= 1), Err(Refused::KeySignature));
    let other = signed();
    let mut stolen = good.clone();
    stolen.key = other.key;
    stolen.signature = other.signature;
    assert_eq!(check(&stolen), Err(Refused::KeySignature), "a block of another owner's");
}

fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin-id-block"));
    command.current_dir(directory).args(words).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A directory with an image and two keys.
fn desk() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["id.pem", "author.pem"] {
        let path = directory.path().join(name);
        fs::write(&path, secret().to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(directory.path().join("guest.igvm"), igvm::write(&image(7)).unwrap()).unwrap();
    directory
}

fn image(byte: u8) -> Image {
    let contents = Some(Box::new([byte; 4096]));
    Image {
        policy: DEFAULT_POLICY,
        pages: vec![Page { kind: PageType::Normal, address: 0x1000, contents }],
        vcpus: vec![Box::new([1; 4096])],
        ..Image::default()
    }
}

#[test]
fn an_image_is_signed_and_checked_by_command() {
    let directory = desk();
    let place = directory.path();
    let words = ["--igvm", "guest.igvm", "--id-key", "id.pem", "--author-key", "author.pem"];
    let sign = [&["sign"], &words[..], &["--output", "signed.igvm", "--json"]].concat();
    let output = run(place, &sign);
    assert_eq!(code(&output), 0, "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["schema"], "ravelin.id-block/1");
    assert_eq!(said["measurement"], hex::encode(image(7).digest()));
    let key = said["id_key_digest"].as_str().unwrap();

    let check = |more: &[&str]| run(place, &[&["check", "--igvm", "signed.igvm"], more].concat());
    assert_eq!(code(&check(&[])), 0);
    assert_eq!(code(&check(&["--id-key-digest", key])), 0);
    assert_eq!(code(&check(&["--author-key-digest", key])), 3);
    assert_eq!(code(&run(place, &["check", "--igvm", "guest.igvm"])), 3, "not signed");

    // Another image under the same id block.
    let mut other = image(8);
    let bytes = fs::read(place.join("signed.igvm")).unwrap();
    other.id_block = igvm::read(&bytes).unwrap().id_block;
    fs::write(place.join("signed.igvm"), igvm::write(&other).unwrap()).unwrap();
    let output = check(&[]);
    assert_eq!(code(&output), 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("another image"), "{output:?}");
}

#[test]
fn a_digest_is_signed_into_files_that_firmware_takes() {
    let directory = desk();
    let place = directory.path();
    let digest = "01".repeat(48);
    let files = ["--id-block", "block", "--id-auth", "auth"];
    let sign = [&["sign", "--digest", &digest, "--id-key", "id.pem"], &files[..]].concat();
    assert_eq!(code(&run(place, &sign)), 0);
    assert_eq!(fs::read(place.join("block")).unwrap().len(), 96);
    assert_eq!(fs::read(place.join("auth")).unwrap().len(), 4096);
    let check = |digest: &str| run(place, &[&["check", "--digest", digest], &files[..]].concat());
    assert_eq!(code(&check(&digest)), 0);
    assert_eq!(code(&check(&"02".repeat(48))), 3);
}

#[test]
fn a_key_that_others_may_read_signs_nothing() {
    let directory = desk();
    let key = directory.path().join("id.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["sign", "--igvm", "guest.igvm", "--id-key", "id.pem", "--output", "out.igvm"];
    let output = run(directory.path(), &words);
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("chmod 600"));
    assert!(!directory.path().join("out.igvm").exists());
}
