//! The sample workload: handwritten digits, a small network and its plain reference computation.
