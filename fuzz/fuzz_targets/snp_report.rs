//! SEV-SNP reports, beside the certificate of the Milan that made the sample. Only the sample is
//! trusted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::now;
use ravelin_verifier::policy::Policy;
use ravelin_verifier::snp::{Evidence, References, judge};
use ravelin_verifier::x509::Certificate;

const VCEK: &[u8] = include_bytes!("../../verifier/samples/snp/vcek_milan.der");
const SAMPLE: &[u8] = include_bytes!("../seeds/snp_report/milan");

static CERTIFICATES: LazyLock<Vec<Certificate>> =
    LazyLock::new(|| vec![Certificate::from_der(VCEK).unwrap()]);

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let open = b"revocation = 'allow-unknown'\nlaunch_measurement = 'optional'\n\
                 freshness = 'unchecked'\n";
    Policy::from_toml(open).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let references = References {
        root: None,
        revocation_lists: Vec::new(),
        report_data: None,
        at: now(),
        accept_emulated: false,
    };
    let evidence = Evidence { report: data.to_vec(), certificates: CERTIFICATES.clone() };
    let device = judge(&evidence, &references, &POLICY);
    assert_eq!(device.trusted, data == SAMPLE, "{:#?}", device.checks);
});
