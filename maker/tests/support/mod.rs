//! A maker's desk in a directory of the test's own, worked through the program.

#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use p384::ecdsa::SigningKey;
use ravelin_dice::{OperationalFlags, TcbInfo};
use ravelin_maker::{DeviceIdentity, FirmwareSet, MODEL, VENDOR};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// When everything is dated.
pub const AT: &str = "2026-11-24T00:00:00Z";

pub fn maker(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ravelin-maker")).args(arguments).output().unwrap()
}

/// What it says when it does what it is asked.
pub fn said(arguments: &[&str]) -> String {
    let output = maker(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it does not.
pub fn refused(arguments: &[&str]) -> String {
    let output = maker(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub fn word(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A directory with a root.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        let out = word(&desk.root());
        let name = ["root", "--name", "Acme GPU Root", "--organization", "Acme"];
        said(&[&name[..], &["--at", AT, "--out", &out]].concat());
        desk
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub fn provision(&self, issuer: &Path, serial: &str) -> PathBuf {
        let out = self.path().join(format!("device-{serial}"));
        let arguments = ["provision", "--issuer", &word(issuer), "--serial", serial, "--at", AT];
        said(&[&arguments[..], &["--out", &word(&out)]].concat());
        out
    }

    /// Reference values of the model's own firmware.
    pub fn sign(&self, more: &[&str]) -> PathBuf {
        let out = self.root().join("values.corim");
        let arguments = ["sign", "--root", &word(&self.root()), "--built-in", "--at", AT];
        said(&[&arguments[..], &["--out", &word(&out)], more].concat());
        out
    }
}

/// The certificate that a device gives to an attestation key.
pub fn leaf(device: &DeviceIdentity) -> Vec<u8> {
    let key = SigningKey::from_slice(&[3; 48]).unwrap();
    let firmware = FirmwareSet::current();
    let tcb = TcbInfo {
        vendor: VENDOR.into(),
        model: MODEL.into(),
        version: firmware.version().into(),
        svn: firmware.svn(),
        layer: 1,
        firmware_id: firmware.id(),
        flags: OperationalFlags::default(),
    };
    device.endorse(key.verifying_key(), &tcb).unwrap()
}
