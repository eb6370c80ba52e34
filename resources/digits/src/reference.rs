//! The plain computation: what the GPU must give, bit for bit.
//!
//! The order of operations is that of `ravelin_gpu_abi::command`: in a matrix product k ascends,
//! each product is rounded to f32 and then each sum, from 0; the bias is added after the product.
//! Rust never contracts a product and a sum into one rounding, so plain loops are enough.

use alloc::vec;
use alloc::vec::Vec;

use sha2::{Digest, Sha384};

use crate::{CLASSES, HIDDEN, Network, PIXELS};

/// The outputs (logits), [`CLASSES`] for each image.
pub fn forward(network: &Network, images: &[f32]) -> Vec<f32> {
    let mut hidden = matrix_multiply(images, network.w1(), PIXELS, HIDDEN);
    add_bias(&mut hidden, network.b1());
    for element in &mut hidden {
        *element = if *element > 0.0 { *element } else { 0.0 };
    }
    let mut outputs = matrix_multiply(&hidden, network.w2(), HIDDEN, CLASSES);
    add_bias(&mut outputs, network.b2());
    outputs
}

/// The digit of each image: the first of the largest outputs. NaN is never larger.
pub fn predictions(outputs: &[f32]) -> Vec<u32> {
    outputs
        .as_chunks::<CLASSES>()
        .0
        .iter()
        .map(|row| {
            let mut best = (0, row[0]);
            for (class, output) in (0..).zip(row) {
                if *output > best.1 || (best.1.is_nan() && !output.is_nan()) {
                    best = (class, *output);
                }
            }
            best.0
        })
        .collect()
}

/// SHA-384 of the outputs as little-endian bytes: equal exactly when every bit is.
pub fn outputs_sha384(outputs: &[f32]) -> [u8; 48] {
    let mut digest = Sha384::new();
    for output in outputs {
        digest.update(output.to_le_bytes());
    }
    digest.finalize().into()
}

/// The share of predictions that equal their label, from 0 to 1; 0 where there are none.
pub fn accuracy(predictions: &[u32], labels: &[u32]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(a, b)| a == b).count();
    if labels.is_empty() { 0.0 } else { right as f64 / labels.len() as f64 }
}

/// a times b, where b has `inner` rows and `columns` columns.
fn matrix_multiply(a: &[f32], b: &[f32], inner: usize, columns: usize) -> Vec<f32> {
    let mut c = vec![0.0; a.len() / inner * columns];
    for (row, sums) in a.chunks_exact(inner).zip(c.chunks_exact_mut(columns)) {
        for (factor, terms) in row.iter().zip(b.chunks_exact(columns)) {
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += factor * term;
            }
        }
    }
    c
}

fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (element, bias) in row.iter_mut().zip(bias) {
            *element += bias;
        }
    }
}

#[cfg(test)]
mod tests;
