//! Reference values: the CoRIM, and the signed document around it. What the maker has not signed
//! is not believed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_attestation::corim::Manifest;
use ravelin_attestation::{ReferenceValues, TrustAnchor};
use ravelin_verifier::model::development;

static GENUINE: LazyLock<ReferenceValues> = LazyLock::new(|| {
    let root = TrustAnchor::new(development::ROOT).unwrap();
    ReferenceValues::verify(development::REFERENCE_VALUES, root).unwrap()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::decode(data) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
    if let Ok(values) = ReferenceValues::verify(data, GENUINE.root().clone()) {
        assert_eq!(values.manifest(), GENUINE.manifest(), "another manifest is vouched for");
    }
});
