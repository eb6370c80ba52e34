//! The firmware images of the GPU, and the releases that the maker stands for.
//!
//! Nothing in them runs. They exist to be measured: a header that is meant, and a body of
//! deterministic filler whose every byte counts.
//!
//! | bytes | field, little-endian |
//! | --- | --- |
//! | 0..4 | "RVFW" |
//! | 4..8 | component: its SPDM measurement index |
//! | 8..12 | security version number |
//! | 12..16 | bytes of the body |
//! | 16..32 | version, ASCII, padded with zeros |
//! | 32.. | body |

use ravelin_dice::{Component, Digest, firmware_id};
use sha2::{Digest as _, Sha384};

/// Bytes of an image's header.
pub const HEADER_SIZE: usize = 32;
/// Most bytes of a version's text.
pub const MAX_VERSION: usize = 16;
/// Most bytes of a body.
pub const MAX_BODY: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"RVFW";

/// Why bytes are no firmware image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than a header, or not beginning with "RVFW".
    #[error("Not a firmware image")]
    NotAnImage,
    /// The component number is none.
    #[error("There is no firmware component {0}")]
    UnknownComponent(u32),
    /// The version is not printable ASCII padded with zeros.
    #[error("The version is not up to 16 printable ASCII characters")]
    Version,
    /// The body is not as long as the header says, or too long.
    #[error("The body has {found} bytes and the header says {declared}")]
    BodyLength {
        /// What the header says.
        declared: u32,
        /// What is there.
        found: usize,
    },
}

/// One component's firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareImage {
    /// Which component it is for.
    pub component: Component,
    /// Version, for people: up to [`MAX_VERSION`] printable ASCII characters.
    pub version: String,
    /// Security version number.
    pub svn: u32,
    /// What would run.
    pub body: Vec<u8>,
}

impl FirmwareImage {
    /// The image as a file. A version that is too long is cut: [`FirmwareImage::decode`] makes none.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE + self.body.len());
        bytes.extend(MAGIC);
        bytes.extend(u32::from(self.component.index()).to_le_bytes());
        bytes.extend(self.svn.to_le_bytes());
        bytes.extend((self.body.len() as u32).to_le_bytes());
        bytes.extend(self.version.bytes().take(MAX_VERSION));
        bytes.resize(HEADER_SIZE, 0);
        bytes.extend(&self.body);
        bytes
    }

    /// The image in a file.
    ///
    /// # Errors
    /// If it is none; see [`Error`].
    pub fn decode(bytes: &[u8]) -> Result<FirmwareImage, Error> {
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
            return Err(Error::NotAnImage);
        };
        if header[..4] != MAGIC {
            return Err(Error::NotAnImage);
        }
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| header[at + n]));
        let component = u8::try_from(u32_at(4))
            .ok()
            .and_then(Component::from_index)
            .ok_or(Error::UnknownComponent(u32_at(4)))?;
        let declared = u32_at(12);
        if body.len() > MAX_BODY || body.len() as u64 != u64::from(declared) {
            return Err(Error::BodyLength { declared, found: body.len() });
        }
        let field = &header[16..];
        let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let (text, padding) = field.split_at(length);
        if !text.iter().all(u8::is_ascii_graphic) || padding.iter().any(|byte| *byte != 0) {
            return Err(Error::Version);
        }
        Ok(FirmwareImage {
            component,
            version: text.iter().map(|byte| char::from(*byte)).collect(),
            svn: u32_at(8),
            body: body.to_vec(),
        })
    }

    /// What a measured boot makes of it: SHA-384 over header and body.
    pub fn measure(&self) -> Digest {
        Sha384::digest(self.encode()).into()
    }

    /// An image of the maker's: the body follows from the other fields.
    fn made(component: Component, version: &str, svn: u32) -> FirmwareImage {
        let size = match component {
            Component::BootRom => 16 << 10,
            Component::Hrot => 32 << 10,
            Component::Sec2 | Component::Engines => 64 << 10,
            Component::Vbios => 8 << 10,
        };
        let mut body = Vec::with_capacity(size + 48);
        for block in 0_u32.. {
            if body.len() >= size {
                break;
            }
            let mut hash = Sha384::new();
            hash.update(b"ravelin firmware filler");
            hash.update([component.index()]);
            hash.update(svn.to_le_bytes());
            hash.update(block.to_le_bytes());
            hash.update(version);
            body.extend(hash.finalize());
        }
        body.truncate(size);
        FirmwareImage { component, version: version.to_owned(), svn, body }
    }
}

/// The images of all components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareSet {
    /// One for each, in the order of [`Component::ALL`].
    images: [FirmwareImage; Component::ALL.len()],
}

impl FirmwareSet {
    /// The current release: what a GPU boots unless told otherwise.
    pub fn current() -> FirmwareSet {
        FirmwareSet::release("1.1.0", 2)
    }

    /// The release before: genuine, and superseded for a weakness, so that its security version is
    /// below the floor that a sensible policy sets.
    pub fn previous() -> FirmwareSet {
        FirmwareSet::release("1.0.0", 1)
    }

    /// Every release that the maker publishes reference values for, oldest first.
    pub fn releases() -> [FirmwareSet; 2] {
        [FirmwareSet::previous(), FirmwareSet::current()]
    }

    fn release(version: &str, svn: u32) -> FirmwareSet {
        let images = Component::ALL.map(|component| match component {
            // A ROM cannot be mended: it is the same one in every release, and says nothing
            // about later security versions.
            Component::BootRom => FirmwareImage::made(component, "1.0.0", u32::MAX),
            _ => FirmwareImage::made(component, version, svn),
        });
        FirmwareSet { images }
    }

    /// The image of a component.
    pub fn image(&self, component: Component) -> &FirmwareImage {
        &self.images[component.position()]
    }

    /// The same set with another image in the place of its component: an update, or an attack.
    pub fn with(mut self, image: FirmwareImage) -> FirmwareSet {
        let place = image.component.position();
        self.images[place] = image;
        self
    }

    /// Every component's measurement, in the order of [`Component::ALL`].
    pub fn measurements(&self) -> [Digest; Component::ALL.len()] {
        Component::ALL.map(|component| self.image(component).measure())
    }

    /// The [firmware id](firmware_id) of the measurements.
    pub fn id(&self) -> Digest {
        firmware_id(&self.measurements())
    }

    /// The security version of the set: the lowest of its components'.
    pub fn svn(&self) -> u32 {
        self.images.iter().map(|image| image.svn).min().unwrap_or(0)
    }

    /// The version of the set, for people: SEC2's, which is the firmware that a driver meets.
    pub fn version(&self) -> &str {
        &self.image(Component::Sec2).version
    }
}

impl Default for FirmwareSet {
    fn default() -> FirmwareSet {
        FirmwareSet::current()
    }
}

#[cfg(test)]
mod tests;
