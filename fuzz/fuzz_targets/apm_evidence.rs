//! The model's evidence in a file. What is read can be written; what is trusted is the genuine
//! GPU's, byte by byte.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::{PRESENTED, references};
use ravelin_verifier::model::evidence::{from_json, to_json};
use ravelin_verifier::model::{References, judge_all};
use ravelin_verifier::policy::Policy;

static REFERENCES: LazyLock<References> = LazyLock::new(references);

fuzz_target!(|data: &[u8]| {
    let Ok(gpus) = from_json(data) else { return };
    let verdict = judge_all(&gpus, &REFERENCES, &Policy::default());
    if verdict.trusted {
        // One GPU: the same one twice is none.
        let [Ok(gpu)] = gpus.as_slice() else { panic!("trusted: {} GPUs", gpus.len()) };
        assert_eq!(gpu.evidence, PRESENTED.evidence);
        assert_eq!(gpu.exchange_key, PRESENTED.exchange_key);
    }
    let readable: Vec<_> = gpus.into_iter().filter_map(Result::ok).collect();
    let again = from_json(&to_json(&readable).unwrap()).unwrap();
    assert_eq!(again.len(), readable.len());
    for (gpu, again) in readable.iter().zip(again) {
        assert_eq!(again.unwrap().evidence, gpu.evidence);
    }
});
