//! Profiles of devices: by vendor and device id, which bytes of their BARs nobody should reach.
//!
//! A profile is a TOML file. Those built in say where what they know comes from, and that none of it
//! was tried on the device; `profile=FILE` of a GPU takes their place, also with an empty file.

use crate::config::read_block;
use ravelin_devices::vfio::bars::Block;
use ravelin_devices::vfio::hardware::{CONFIG_REGION, Hardware};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// NVIDIA's GPUs.
const NVIDIA: &str = include_str!("profiles/nvidia.toml");

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file cannot be read.
    #[error("cannot read the profile {}: check the path and its permissions", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is no profile.
    #[error("{0} is no profile of devices")]
    Syntax(String, #[source] toml::de::Error),
    /// A range in it is none.
    #[error("{0}: {1:?} is no BAR:START-END")]
    Block(String, String),
    /// The device cannot be asked who it is.
    #[error("the device does not say who it is")]
    Identity(#[source] io::Error),
}

/// A file of profiles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    #[serde(default)]
    device: Vec<Profile>,
}

/// What is known of some devices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    /// What they are, for people.
    #[serde(rename = "name")]
    _name: String,
    /// Where this is known from, and whether it was tried.
    #[serde(rename = "source")]
    _source: String,
    /// Vendor id.
    vendor: u16,
    /// Device ids; all of the vendor's where there are none.
    #[serde(default)]
    devices: Vec<u16>,
    /// Base class and sub-class; any where absent.
    #[serde(default)]
    class: Option<u16>,
    /// Ranges as `block=` of a GPU has them.
    #[serde(default)]
    block: Vec<String>,
}

/// The ranges that a profile blocks on a device: those of the file, or of the built-in profiles.
///
/// # Errors
/// The file is no profile, or the device does not answer.
pub fn blocks(file: Option<&Path>, hardware: &dyn Hardware) -> Result<Vec<Block>, Error> {
    let read = |at: u64| {
        let mut dword = [0; 4];
        hardware.read(CONFIG_REGION, at, &mut dword).map_err(Error::Identity)?;
        Ok(u32::from_le_bytes(dword))
    };
    let (ids, class) = (read(0)?, read(8)? >> 16);
    let who = Who { vendor: ids as u16, device: (ids >> 16) as u16, class: class as u16 };
    match file {
        None => of(NVIDIA, "the built-in profile", who),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Error::Read(path.into(), error))?;
            of(&text, &path.display().to_string(), who)
        }
    }
}

/// Who a device is.
#[derive(Clone, Copy)]
struct Who {
    vendor: u16,
    device: u16,
    class: u16,
}

fn of(text: &str, name: &str, who: Who) -> Result<Vec<Block>, Error> {
    let profiles: Profiles =
        toml::from_str(text).map_err(|error| Error::Syntax(name.into(), error))?;
    let fits = |profile: &&Profile| {
        profile.vendor == who.vendor
            && (profile.devices.is_empty() || profile.devices.contains(&who.device))
            && profile.class.is_none_or(|class| class == who.class)
    };
    let texts = profiles.device.iter().filter(fits).flat_map(|profile| &profile.block);
    texts
        .map(|text| read_block(text).ok_or_else(|| Error::Block(name.into(), text.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Who = Who { vendor: 0x10de, device: 0x2331, class: 0x0302 };

    #[test]
    fn the_built_in_profile_is_for_gpus_of_its_vendor_only() {
        let blocks = of(NVIDIA, "built in", H100).unwrap();
        assert_eq!(blocks, [Block { bar: 0, range: 0x88000..0x89000 }]);
        for other in [Who { vendor: 0x8086, ..H100 }, Who { class: 0x0403, ..H100 }] {
            assert_eq!(of(NVIDIA, "built in", other).unwrap(), []);
        }
    }

    #[test]
    fn a_file_that_is_no_profile_is_refused_and_an_empty_one_blocks_nothing() {
        assert_eq!(of("", "mine", H100).unwrap(), []);
        assert!(matches!(of("device = 3", "mine", H100), Err(Error::Syntax(..))));
        let device = "[[device]]\nname = \"a\"\nsource = \"b\"\nvendor = 0x10de\nblock = [\"0:1\"]";
        assert!(matches!(of(device, "mine", H100), Err(Error::Block(..))));
        let other = device.replace("vendor", "devices = [1]\nvendor");
        assert_eq!(of(&other, "mine", H100).unwrap(), []);
    }
}
