//! The user's own images: a `.npy` array or a `.csv` table of 8 x 8 pixels from 0 to 16.
//!
//! The file formats are npyz's and csv's. What is left to say is the shape, and when it is wrong to
//! say so in a way that helps.

use super::exit::ExitCode;
use npyz::{NpyFile, Order, TypeChar};
use ravelin_digits::{MAX_SAMPLES, PIXELS};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The value of full ink.
const INK: f32 = 16.0;
/// Most bytes of a file: the most images, as 64-bit numbers written out.
const MAX_FILE: u64 = (MAX_SAMPLES * PIXELS * 24) as u64;

/// Why a file holds no images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read as what its name says.
    #[error("cannot read {0} as images: {1}")]
    Unreadable(PathBuf, String),
    /// The shape is another.
    #[error("{0} has {1}: give N x 64 or N x 8 x 8")]
    Shape(PathBuf, String),
    /// A pixel is out of range.
    #[error(
        "{path} has {value} in image {image}: give numbers from 0 (paper) to 16 (ink); \
         divide 0..255 by 16"
    )]
    Value {
        /// The file.
        path: PathBuf,
        /// The pixel.
        value: f32,
        /// Number of the image, from 0.
        image: usize,
    },
}

impl Error {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Unreadable(..) => ExitCode::ImagesUnreadable,
            Error::Shape(..) => ExitCode::ImagesShape,
            Error::Value { .. } => ExitCode::ImagesValue,
        }
    }
}

/// Reads images: [`PIXELS`] numbers from 0 to 1 each, row by row, at least one image.
///
/// # Errors
/// The file is no images; the error says what to do.
pub(super) fn read(path: &Path) -> Result<Vec<f32>, Error> {
    let unreadable = |problem: String| Error::Unreadable(path.into(), problem);
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is no file".into()));
    }
    if metadata.len() > MAX_FILE {
        return Err(unreadable(format!("it is too large for {MAX_SAMPLES} images")));
    }
    let input = BufReader::new(file.take(MAX_FILE));
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let pixels = match extension.to_str() {
        Some("npy") => npy(input, path)?,
        Some("csv") => csv(input, path)?,
        _ => return Err(unreadable("its name ends neither in .npy nor in .csv".into())),
    };
    match pixels.len() / PIXELS {
        0 => return Err(Error::Shape(path.into(), "no images".into())),
        count if count > MAX_SAMPLES => {
            let problem = format!("{count} images, of which a run takes {MAX_SAMPLES}");
            return Err(Error::Shape(path.into(), problem));
        }
        _ => {}
    }
    let wrong = pixels.iter().position(|value| !(0.0..=INK).contains(value));
    if let Some((at, value)) = wrong.and_then(|at| Some((at, *pixels.get(at)?))) {
        return Err(Error::Value { path: path.into(), value, image: at / PIXELS });
    }
    Ok(pixels.into_iter().map(|value| value / INK).collect())
}

fn npy(input: impl Read, path: &Path) -> Result<Vec<f32>, Error> {
    let unreadable = |problem: String| Error::Unreadable(path.into(), problem);
    let broken = |error: io::Error| unreadable(error.to_string());
    let array = NpyFile::new(input).map_err(broken)?;
    if !matches!(array.shape(), [_, 64] | [_, 8, 8]) {
        let shape = array.shape().iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        let advice = match array.shape() {
            [8, 8] | [64] => "; for one image, add an axis of 1 in front",
            [_, 28, 28] | [_, 784] => "; scale images of 28 x 28 down to 8 x 8",
            _ => "",
        };
        return Err(Error::Shape(path.into(), format!("shape {shape}{advice}")));
    }
    // The product of a shape that is absurdly large wraps in npyz.
    if array.shape().first().is_some_and(|count| *count > MAX_SAMPLES as u64) {
        return Err(Error::Shape(path.into(), format!("more than {MAX_SAMPLES} images")));
    }
    if array.order() != Order::C {
        return Err(unreadable("it is in Fortran order: save np.ascontiguousarray of it".into()));
    }
    let npyz::DType::Plain(kind) = array.dtype() else {
        return Err(unreadable("it holds records: save plain numbers".into()));
    };
    // Every conversion is exact in the range that is checked next, or stays out of it.
    let pixels: io::Result<Vec<f32>> = match (kind.type_char(), kind.num_bytes()) {
        (TypeChar::Uint, Some(1)) => numbers::<u8, _>(array, f32::from),
        (TypeChar::Int, Some(1)) => numbers::<i8, _>(array, f32::from),
        (TypeChar::Uint, Some(2)) => numbers::<u16, _>(array, f32::from),
        (TypeChar::Int, Some(2)) => numbers::<i16, _>(array, f32::from),
        (TypeChar::Uint, Some(4)) => numbers::<u32, _>(array, |value| value as f32),
        (TypeChar::Int, Some(4)) => numbers::<i32, _>(array, |value| value as f32),
        (TypeChar::Uint, Some(8)) => numbers::<u64, _>(array, |value| value as f32),
        (TypeChar::Int, Some(8)) => numbers::<i64, _>(array, |value| value as f32),
        (TypeChar::Float, Some(4)) => numbers::<f32, _>(array, |value| value),
        (TypeChar::Float, Some(8)) => numbers::<f64, _>(array, |value| value as f32),
        _ => return Err(unreadable("it holds no integers or floats: save it as float32".into())),
    };
    pixels.map_err(broken)
}

fn numbers<T: npyz::Deserialize, R: Read>(
    array: NpyFile<R>,
    to_f32: impl Fn(T) -> f32,
) -> io::Result<Vec<f32>> {
    array.data::<T>().map_err(io::Error::other)?.map(|value| value.map(&to_f32)).collect()
}

fn csv(input: impl Read, path: &Path) -> Result<Vec<f32>, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(input);
    let mut pixels = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let unreadable = |problem: String| Error::Unreadable(path.into(), problem);
        let record = record.map_err(|error| unreadable(error.to_string()))?;
        if record.len() != PIXELS {
            let advice = match record.len() {
                65 => "; if one of them is a label, leave it out",
                784 | 785 => "; scale images of 28 x 28 down to 8 x 8",
                _ => "",
            };
            let problem = format!("{} columns in line {}{advice}", record.len(), line + 1);
            return Err(Error::Shape(path.into(), problem));
        }
        let row: Result<Vec<f32>, _> = record.iter().map(str::parse).collect();
        match row {
            Ok(row) => pixels.extend(row),
            // A first line of words is a header.
            Err(_) if line == 0 => {}
            Err(error) => return Err(unreadable(format!("line {}: {error}", line + 1))),
        }
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests;
