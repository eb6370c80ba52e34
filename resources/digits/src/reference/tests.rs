use super::*;
use crate::{EMBEDDED, Payload};

/// What `train.py` printed: NumPy's result of the same operations in the same order.
const NUMPY_SHA384: &str = "7cbcd798b6b09566c1ca8cad6f7a1740cf3009ce17564dab73f7bf1783100fb0\
                            9db4e0143c67c3bea10c09aa684c6b0a";

fn hex(bytes: &[u8]) -> alloc::string::String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

#[test]
fn the_reference_equals_an_independent_implementation_bit_for_bit() {
    let payload = Payload::parse(EMBEDDED).unwrap();
    let outputs = forward(payload.network(), payload.images());
    assert_eq!(hex(&outputs_sha384(&outputs)), NUMPY_SHA384);
}

#[test]
fn the_trained_network_reads_at_least_95_of_100_digits() {
    let payload = Payload::parse(EMBEDDED).unwrap();
    let outputs = forward(payload.network(), payload.images());
    let accuracy = accuracy(&predictions(&outputs), payload.labels().unwrap());
    assert!((0.95..=1.0).contains(&accuracy), "accuracy {accuracy}");
}

#[test]
fn one_changed_bit_changes_the_digest() {
    let payload = Payload::parse(EMBEDDED).unwrap();
    let mut outputs = forward(payload.network(), payload.images());
    let before = outputs_sha384(&outputs);
    outputs[7] = f32::from_bits(outputs[7].to_bits() ^ 1);
    assert_ne!(outputs_sha384(&outputs), before);
}

#[test]
fn of_equal_outputs_the_first_wins() {
    let mut row = [1.0; CLASSES];
    assert_eq!(predictions(&row), [0]);
    row[4] = 2.0;
    row[6] = 2.0;
    assert_eq!(predictions(&row), [4]);
}

#[test]
fn not_a_number_is_never_the_largest_output() {
    let mut row = [f32::NAN; CLASSES];
    assert_eq!(predictions(&row), [0]);
    row[3] = -7.0;
    assert_eq!(predictions(&row), [3]);
}
