//! The sample workload: handwritten digits, a small network and its plain reference computation.
//!
//! The [`Payload`] is what a guest is given: the [`Network`]'s weights and the images to classify,
//! as one safetensors file. [`reference`](mod@reference) computes the same outputs in plain loops
//! and exactly the GPU's order of operations, so that guest and launcher can ask for equality and
//! not for closeness. Where the numbers come from, `README.md` beside this crate says.
//!
//! How the network gets onto a GPU is the guest's business; reading a user's CSV or NPY file is the
//! launcher's.

#![no_std]

extern crate alloc;

mod error;
mod network;
mod payload;
pub mod reference;
mod words;

pub use error::Error;
pub use network::Network;
pub use payload::{MAX_SAMPLES, Payload};
pub use words::{float_bytes, floats, words};

/// Pixels of an image: 8 rows of 8.
pub const PIXELS: usize = 64;
/// Elements of the hidden layer.
pub const HIDDEN: usize = 32;
/// Digits, and so outputs for each image.
pub const CLASSES: usize = 10;

/// The payload that `train.py` made: the trained network and 449 test images with their labels.
pub static EMBEDDED: &[u8] = include_bytes!("../digits.safetensors");
