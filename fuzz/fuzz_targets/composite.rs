//! Composite evidence: a guest's statement beside its report and its GPU's evidence. A statement that
//! the report does not bind is never trusted, whoever has signed what else; what is read can be
//! written.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::{PRESENTED, now, references};
use ravelin_verifier::composite::statement::Statement;
use ravelin_verifier::composite::{Evidence, References, judge};
use ravelin_verifier::model::evidence::Gpu;
use ravelin_verifier::policy::Policy;
use ravelin_verifier::snp;
use ravelin_verifier::x509::Certificate;

const VCEK: &[u8] = include_bytes!("../../verifier/samples/snp/vcek_milan.der");
const REPORT: &[u8] = include_bytes!("../seeds/snp_report/milan");

static CERTIFICATES: LazyLock<Vec<Certificate>> =
    LazyLock::new(|| vec![Certificate::from_der(VCEK).unwrap()]);

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let open = b"revocation = 'allow-unknown'\nlaunch_measurement = 'optional'\n\
                 freshness = 'unchecked'\n";
    Policy::from_toml(open).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let Ok(statement) = Statement::from_json(data) else { return };
    let again = Statement::from_json(&statement.to_json().unwrap()).unwrap();
    assert_eq!(again, statement);
    assert_eq!(again.report_data(), statement.report_data());
    let guest = snp::Evidence { report: REPORT.to_vec(), certificates: CERTIFICATES.clone() };
    let gpu = || Gpu {
        evidence: PRESENTED.evidence.clone(),
        nonce: PRESENTED.nonce,
        exchange_key: PRESENTED.exchange_key,
    };
    let gpus = statement.gpus.iter().take(2).map(|_| Ok(gpu())).collect();
    let evidence = Evidence { guest, statement, gpus };
    let references = References {
        guest: snp::References {
            root: None,
            revocation_lists: Vec::new(),
            report_data: None,
            at: now(),
            accept_emulated: false,
        },
        gpus: references(),
        guest_key: None,
        policy_digest: None,
    };
    // The report is a real one, of a guest that has bound another statement.
    assert!(!judge(&evidence, references, &POLICY).trusted);
});
