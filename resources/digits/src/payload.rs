//! The safetensors file that a workload is given: read with suspicion, written for a user's images.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::network::all_finite;
use crate::{CLASSES, EMBEDDED, Error, HIDDEN, Network, PIXELS, float_bytes, floats, words};

/// Most images of a payload: what one run reports in one line.
pub const MAX_SAMPLES: usize = 65536;

/// A network, images, and their labels where these are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    network: Network,
    images: Vec<f32>,
    labels: Option<Vec<u32>>,
}

impl Payload {
    /// A payload of these parts: [`PIXELS`] finite numbers an image, a digit a label.
    pub fn new(
        network: Network,
        images: Vec<f32>,
        labels: Option<Vec<u32>>,
    ) -> Result<Payload, Error> {
        if !images.len().is_multiple_of(PIXELS) {
            return Err(Error::PartialImage(images.len()));
        }
        let samples = images.len() / PIXELS;
        if samples == 0 {
            return Err(Error::NoImages);
        }
        if samples > MAX_SAMPLES {
            return Err(Error::TooManyImages(samples));
        }
        all_finite("images", &images)?;
        if let Some(labels) = &labels {
            if labels.len() != samples {
                let found = format!("{}", labels.len());
                return Err(Error::Shape { name: "labels", found, wanted: "one for each image" });
            }
            if let Some(index) = labels.iter().position(|label| *label >= CLASSES as u32) {
                let value = labels.get(index).copied().map_or(0, i64::from);
                return Err(Error::Label { index, value });
            }
        }
        Ok(Payload { network, images, labels })
    }

    /// Reads a safetensors file from a stranger. Other tensors than the network's are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Payload, Error> {
        let file = SafeTensors::deserialize(bytes).map_err(Error::Container)?;
        let network = Network::new(
            float_tensor(&file, "w1", Shape::Matrix(PIXELS, HIDDEN), "64 x 32")?,
            float_tensor(&file, "b1", Shape::Vector(HIDDEN), "32")?,
            float_tensor(&file, "w2", Shape::Matrix(HIDDEN, CLASSES), "32 x 10")?,
            float_tensor(&file, "b2", Shape::Vector(CLASSES), "10")?,
        )?;
        let images = float_tensor(&file, "images", Shape::Rows(PIXELS), "N x 64")?;
        let labels = match tensor(&file, "labels") {
            Ok(view) => Some(labels(&view)?),
            Err(Error::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        Payload::new(network, images, labels)
    }

    /// The file for a user's images, [`PIXELS`] numbers from 0 to 1 each, without labels and with
    /// the trained network.
    pub fn with_images(images: &[f32]) -> Result<Vec<u8>, Error> {
        let trained = Payload::parse(EMBEDDED)?;
        Payload::new(trained.network, images.to_vec(), None)?.to_bytes()
    }

    /// The payload as a safetensors file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let floats = [
            ("w1", alloc::vec![PIXELS, HIDDEN], float_bytes(self.network.w1())),
            ("b1", alloc::vec![HIDDEN], float_bytes(self.network.b1())),
            ("w2", alloc::vec![HIDDEN, CLASSES], float_bytes(self.network.w2())),
            ("b2", alloc::vec![CLASSES], float_bytes(self.network.b2())),
            ("images", alloc::vec![self.samples(), PIXELS], float_bytes(&self.images)),
        ];
        let labels: Option<Vec<u8>> = self
            .labels
            .as_ref()
            .map(|labels| labels.iter().flat_map(|label| label.to_le_bytes()).collect());
        let mut views = Vec::new();
        for (name, shape, data) in &floats {
            let view =
                TensorView::new(Dtype::F32, shape.clone(), data).map_err(Error::Container)?;
            views.push((*name, view));
        }
        if let Some(data) = &labels {
            let view = TensorView::new(Dtype::U32, alloc::vec![self.samples()], data)
                .map_err(Error::Container)?;
            views.push(("labels", view));
        }
        safetensors::serialize(views, None).map_err(Error::Container)
    }

    /// The weights.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The images, [`PIXELS`] numbers each.
    pub fn images(&self) -> &[f32] {
        &self.images
    }

    /// The digits that the images show, where the payload knows them.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// Number of images; at least 1.
    pub fn samples(&self) -> usize {
        self.images.len() / PIXELS
    }
}

/// What shape a tensor must have.
enum Shape {
    Vector(usize),
    Matrix(usize, usize),
    /// Any number of rows of this many columns.
    Rows(usize),
}

impl Shape {
    fn admits(&self, shape: &[usize]) -> bool {
        match (self, shape) {
            (Shape::Vector(length), [found]) => found == length,
            (Shape::Matrix(rows, columns), [r, c]) => r == rows && c == columns,
            (Shape::Rows(columns), [_, found]) => found == columns,
            _ => false,
        }
    }
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &'static str) -> Result<TensorView<'a>, Error> {
    file.tensor(name).map_err(|error| match error {
        SafeTensorError::TensorNotFound(_) => Error::Missing(name),
        error => Error::Container(error),
    })
}

fn float_tensor(
    file: &SafeTensors<'_>,
    name: &'static str,
    shape: Shape,
    wanted: &'static str,
) -> Result<Vec<f32>, Error> {
    let view = tensor(file, name)?;
    if view.dtype() != Dtype::F32 {
        return Err(Error::Type { name, found: kind(&view), wanted: "F32" });
    }
    if !shape.admits(view.shape()) {
        return Err(Error::Shape { name, found: format!("{:?}", view.shape()), wanted });
    }
    Ok(floats(view.data()))
}

fn labels(view: &TensorView<'_>) -> Result<Vec<u32>, Error> {
    if view.shape().len() != 1 {
        let found = format!("{:?}", view.shape());
        return Err(Error::Shape { name: "labels", found, wanted: "N" });
    }
    match view.dtype() {
        Dtype::U32 => Ok(words(view.data())),
        Dtype::I64 => view
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .enumerate()
            .map(|(index, value)| u32::try_from(value).map_err(|_| Error::Label { index, value }))
            .collect(),
        _ => Err(Error::Type { name: "labels", found: kind(view), wanted: "U32 or I64" }),
    }
}

fn kind(view: &TensorView<'_>) -> String {
    format!("{:?}", view.dtype())
}

#[cfg(test)]
mod tests;
