//! A certificate chain as SPDM carries it, judged against the development maker's root. The only
//! one that is believed is the genuine one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_dice::{Chain, Clock, TrustAnchor, UnixTime};
use ravelin_fuzz::device::GPU;
use ravelin_fuzz::evidence::now;
use ravelin_spdm::CertificateChain;
use ravelin_verifier::model::development;

static ROOT: LazyLock<TrustAnchor> = LazyLock::new(|| TrustAnchor::new(development::ROOT).unwrap());

fuzz_target!(|data: &[u8]| {
    let clock = Clock::At(UnixTime(now().unix_duration().as_secs()));
    if let Ok(chain) = CertificateChain::decode(data) {
        assert_eq!(chain.as_bytes(), data);
        let certificates: Vec<&[u8]> = chain.certificates().collect();
        let _ = Chain::verify(&certificates, &ROOT, clock);
    }
    let Ok(certificates) = Chain::split(data) else { return };
    assert_eq!(certificates.concat(), data);
    if let Ok(leaf) = Chain::verify(&certificates, &ROOT, clock) {
        assert_eq!(leaf.public_key, *GPU.key(), "another key is vouched for");
        assert_eq!(leaf.device.serial, "0001");
    }
});
