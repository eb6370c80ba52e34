//! Certificates in files, DER and PEM, as chains above a report that they did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::now;
use ravelin_verifier::policy::Policy;
use ravelin_verifier::roots;
use ravelin_verifier::snp::{Evidence, References, judge};
use ravelin_verifier::x509::Certificate;
use ravelin_verifier::x509::path::Path;

const SAMPLE: &[u8] = include_bytes!("../seeds/snp_report/milan");
const VCEK: &[u8] = include_bytes!("../../verifier/samples/snp/vcek_milan.der");

fuzz_target!(|data: &[u8]| {
    let _ = roots::single(data);
    let Ok(certificates) = Certificate::from_file_bytes(data) else { return };
    for certificate in &certificates {
        let _ = (certificate.subject(), certificate.common_name(), certificate.key_fingerprint());
        assert!(certificate.signed_bytes().len() < certificate.der().len());
        let _ = certificate.extensions().count();
    }
    if let Some(root) = certificates.last()
        && let Ok(path) = Path::new(&certificates, root)
    {
        let _ = (path.verify(), path.verify_time(now()));
    }
    let genuine = certificates.iter().any(|certificate| certificate.der() == VCEK);
    let references = References {
        root: None,
        revocation_lists: Vec::new(),
        report_data: None,
        at: now(),
        accept_emulated: false,
    };
    let evidence = Evidence { report: SAMPLE.to_vec(), certificates };
    let policy = Policy::from_toml(
        b"revocation = 'allow-unknown'\nlaunch_measurement = 'optional'\nfreshness = 'unchecked'\n",
    );
    let device = judge(&evidence, &references, &policy.unwrap());
    assert!(genuine || !device.trusted, "{:#?}", device.checks);
});
