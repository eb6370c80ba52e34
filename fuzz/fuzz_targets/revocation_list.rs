//! Revocation lists, the maker's and anyone's. What the maker has not signed is not believed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_attestation::{RevocationList, TrustAnchor};
use ravelin_verifier::model::development;
use ravelin_verifier::x509::crl;

static ROOT: LazyLock<TrustAnchor> = LazyLock::new(|| TrustAnchor::new(development::ROOT).unwrap());

fuzz_target!(|data: &[u8]| {
    if let Ok(list) = RevocationList::verify(data, &ROOT) {
        assert!(list.is_empty(), "somebody was revoked by nobody");
        assert!(list.is_of(&ROOT));
    }
    let _ = crl::RevocationList::from_file_bytes(data);
});
