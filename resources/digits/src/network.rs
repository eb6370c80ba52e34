//! The weights of the network: 64 pixels, 32 hidden elements with ReLU, 10 outputs.

use alloc::format;
use alloc::vec::Vec;

use crate::{CLASSES, Error, HIDDEN, PIXELS};

/// The weights, row-major, every element finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    w1: Vec<f32>,
    b1: Vec<f32>,
    w2: Vec<f32>,
    b2: Vec<f32>,
}

impl Network {
    /// A network of these weights.
    pub fn new(w1: Vec<f32>, b1: Vec<f32>, w2: Vec<f32>, b2: Vec<f32>) -> Result<Self, Error> {
        for (name, tensor, elements, wanted) in [
            ("w1", &w1, PIXELS * HIDDEN, "64 x 32"),
            ("b1", &b1, HIDDEN, "32"),
            ("w2", &w2, HIDDEN * CLASSES, "32 x 10"),
            ("b2", &b2, CLASSES, "10"),
        ] {
            if tensor.len() != elements {
                return Err(Error::Shape { name, found: format!("{}", tensor.len()), wanted });
            }
            all_finite(name, tensor)?;
        }
        Ok(Network { w1, b1, w2, b2 })
    }

    /// First layer: [`PIXELS`] rows, [`HIDDEN`] columns.
    pub fn w1(&self) -> &[f32] {
        &self.w1
    }

    /// Bias of the first layer: [`HIDDEN`] elements.
    pub fn b1(&self) -> &[f32] {
        &self.b1
    }

    /// Second layer: [`HIDDEN`] rows, [`CLASSES`] columns.
    pub fn w2(&self) -> &[f32] {
        &self.w2
    }

    /// Bias of the second layer: [`CLASSES`] elements.
    pub fn b2(&self) -> &[f32] {
        &self.b2
    }
}

/// Refuses NaN and infinities.
pub(crate) fn all_finite(name: &'static str, values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { name, index }),
        None => Ok(()),
    }
}
