//! What can be wrong with a payload or with a user's images.

use alloc::string::String;

/// Why bytes are no payload, or images no images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container itself is broken.
    #[error("the payload is no safetensors file")]
    Container(#[source] safetensors::SafeTensorError),
    /// A tensor is absent.
    #[error("the payload has no tensor {0}")]
    Missing(&'static str),
    /// A tensor has another element type than the network needs.
    #[error("tensor {name} holds {found}, needs {wanted}")]
    Type {
        /// Name of the tensor.
        name: &'static str,
        /// Its element type.
        found: String,
        /// The types accepted.
        wanted: &'static str,
    },
    /// A tensor has another shape than the network needs.
    #[error("tensor {name} has shape {found}, needs {wanted}")]
    Shape {
        /// Name of the tensor.
        name: &'static str,
        /// Its shape.
        found: String,
        /// The shape needed.
        wanted: &'static str,
    },
    /// An element is NaN or infinite, for which no order of operations promises equal bits.
    #[error("element {index} of tensor {name} is not a finite number")]
    NotFinite {
        /// Name of the tensor.
        name: &'static str,
        /// Place of the first such element.
        index: usize,
    },
    /// A label is no digit.
    #[error("label {index} is {value}, needs 0 to 9")]
    Label {
        /// Place of the label.
        index: usize,
        /// Its value.
        value: i64,
    },
    /// There is nothing to classify.
    #[error("there are no images; give at least one")]
    NoImages,
    /// There are more images than a run takes.
    #[error("{0} images are too many; give at most 65536")]
    TooManyImages(usize),
    /// The number of pixels is no multiple of an image.
    #[error("{0} pixels are no whole number of images; each has 64")]
    PartialImage(usize),
}
