//! The committed files are what the maker makes today, and verifiers accept them.

use ravelin_attestation::{ReferenceValues, RevocationList, TrustAnchor};
use ravelin_maker::publication::{REFERENCE_VALUES, REVOCATION_LIST, ROOT, publication};
use ravelin_maker::{FirmwareSet, MODEL, Maker, VENDOR};
use std::path::Path;

fn committed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../resources/reference-values");
    std::fs::read(folder.join(name)).expect("a committed file")
}

#[test]
fn the_committed_files_are_what_the_maker_makes() {
    let maker = Maker::development().expect("the development maker");
    for file in publication(&maker).expect("a publication") {
        assert!(
            committed(file.name) == file.bytes,
            "{} is out of date: run `cargo run -p ravelin-maker -- reference-values --out \
             resources/reference-values` and commit the result",
            file.name
        );
    }
}

#[test]
fn the_committed_files_verify_and_know_every_release() {
    let root = TrustAnchor::new(&committed(ROOT)).expect("a root");
    let revocation = RevocationList::verify(&committed(REVOCATION_LIST), &root);
    assert!(revocation.expect("a revocation list").is_empty());
    let references = ReferenceValues::verify(&committed(REFERENCE_VALUES), root);
    let references = references.expect("reference values");
    for release in FirmwareSet::releases() {
        let known = references.release(VENDOR, MODEL, &release.id()).expect("a known release");
        assert_eq!(*known, release.to_release());
    }
}
