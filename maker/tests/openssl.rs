//! The certificates and lists against OpenSSL: a reader that shares no code with the writer.

#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![cfg_attr(not(openssl), allow(dead_code, unused_imports, reason = "all is ignored then"))]

mod support;

use ravelin_maker::DeviceIdentity;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::{AT, Desk, said, word};

/// AT, and a day on.
const AT_SECONDS: &str = "1795564800";

fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A chain in PEM files: root, intermediates and identity, leaf.
struct Chain {
    directory: tempfile::TempDir,
    desk: Desk,
}

impl Chain {
    fn new() -> Chain {
        let desk = Desk::new();
        let factory = desk.path().join("factory");
        let arguments = ["intermediate", "--issuer", &word(&desk.root()), "--name", "Factory"];
        said(&[&arguments[..], &["--at", AT, "--out", &word(&factory)]].concat());
        let device = DeviceIdentity::read(&desk.provision(&factory, "0001")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let chain = Chain { directory, desk };
        let bytes = device.chain();
        let certificates = ravelin_dice::Chain::split(&bytes).unwrap();
        let pem = |der: &[u8]| {
            let path = chain.path("one.der");
            fs::write(&path, der).unwrap();
            let (good, text) = openssl(&["x509", "-inform", "DER", "-in", &word(&path)]);
            assert!(good, "{text}");
            text
        };
        fs::write(chain.path("root.pem"), pem(certificates[0])).unwrap();
        let between: String = certificates[1..].iter().map(|der| pem(der)).collect();
        fs::write(chain.path("between.pem"), between).unwrap();
        fs::write(chain.path("leaf.pem"), pem(&support::leaf(&device))).unwrap();
        chain
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn verify(&self, more: &[&str]) -> (bool, String) {
        let [root, between, leaf] =
            ["root.pem", "between.pem", "leaf.pem"].map(|name| word(&self.path(name)));
        let arguments = ["verify", "-x509_strict", "-attime", AT_SECONDS, "-CAfile", &root];
        openssl(&[&arguments[..], more, &["-untrusted", &between, &leaf]].concat())
    }

    fn list(&self) -> PathBuf {
        let path = self.path("list.pem");
        let der = word(&self.desk.root().join("revocation-list.crl"));
        let (good, text) = openssl(&["crl", "-inform", "DER", "-in", &der, "-out", &word(&path)]);
        assert!(good, "{text}");
        path
    }
}

#[test]
#[cfg_attr(not(openssl), ignore = "SKIPPED: no openssl program")]
fn openssl_accepts_the_chain_by_its_strict_rules_and_no_other_root() {
    let chain = Chain::new();
    let (good, text) = chain.verify(&[]);
    assert!(good, "{text}");
    let other = Chain::new();
    fs::copy(other.path("root.pem"), chain.path("root.pem")).unwrap();
    assert!(!chain.verify(&[]).0);
}

#[test]
#[cfg_attr(not(openssl), ignore = "SKIPPED: no openssl program")]
fn openssl_reads_the_leaf_as_the_spdm_profile_has_it() {
    let chain = Chain::new();
    let leaf = word(&chain.path("leaf.pem"));
    let (_, text) = openssl(&["x509", "-in", &leaf, "-noout", "-text"]);
    for said in [
        "Version: 3 (0x2)",
        "ecdsa-with-SHA384",
        "(384 bit)",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        // id-DMTF-eku-responder-auth.
        "X509v3 Extended Key Usage: \n                1.3.6.1.4.1.412.274.3\n",
        // id-DMTF-device-info.
        "othername: 1.3.6.1.4.1.412.274.1",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    }
    let (_, structure) = openssl(&["asn1parse", "-in", &leaf]);
    for oid in [
        // id-DMTF-spdm-extension, tcg-dice-TcbInfo.
        "1.3.6.1.4.1.412.274.6",
        "2.23.133.5.4.1",
    ] {
        assert!(structure.contains(oid), "{oid} is not in\n{structure}");
    }
    // What stands behind the two, parsed: id-DMTF-mutable-certificate, and the TcbInfo's fields.
    let inside = |oid: &str| {
        let lines: Vec<&str> = structure.lines().collect();
        let at = lines.iter().position(|line| line.contains(oid)).unwrap();
        let value = lines[at..].iter().find(|line| line.contains("OCTET STRING")).unwrap();
        let offset = value.trim_start().split(':').next().unwrap();
        openssl(&["asn1parse", "-in", &leaf, "-strparse", offset]).1
    };
    assert!(inside("1.3.6.1.4.1.412.274.6").contains("1.3.6.1.4.1.412.274.5"));
    let tcb = inside("2.23.133.5.4.1");
    assert!(tcb.contains(":sha384") || tcb.contains("2.16.840.1.101.3.4.2.2"), "{tcb}");
    for field in [0, 1, 2, 3, 4, 6, 7] {
        assert!(tcb.contains(&format!("cont [ {field} ]")), "field {field} is not in\n{tcb}");
    }
}

#[test]
#[cfg_attr(not(openssl), ignore = "SKIPPED: no openssl program")]
fn openssl_reads_the_list_and_refuses_what_is_on_it() {
    let chain = Chain::new();
    let root = word(&chain.path("root.pem"));
    let list = chain.list();
    let (good, text) = openssl(&["crl", "-in", &word(&list), "-noout", "-CAfile", &root]);
    assert!(good && text.contains("verify OK"), "{text}");

    let revoke = ["revoke", "--root", &word(&chain.desk.root()), "--at", AT, "--device"];
    said(&[&revoke[..], &[&word(&chain.desk.path().join("factory"))]].concat());
    let list = word(&chain.list());
    let (_, text) = openssl(&["crl", "-in", &list, "-noout", "-text"]);
    assert!(text.contains("Indirect CRL"), "{text}");
    let numbered = text.contains("X509v3 CRL Number: \n                2\n");
    assert!(numbered, "{text}");
    // The chain's certificates by the root's list: the factory is on it. Below it no list is due.
    let factory = chain.path("factory.pem");
    let between = fs::read_to_string(chain.path("between.pem")).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    fs::write(&factory, between.split_inclusive(end).next().unwrap()).unwrap();
    let arguments = ["verify", "-attime", AT_SECONDS, "-CAfile", &root, "-crl_check"];
    let with_list = ["-extended_crl", "-CRLfile", &list, &word(&factory)];
    let (good, text) = openssl(&[&arguments[..], &with_list].concat());
    assert!(!good && text.contains("revoked"), "{text}");
}
