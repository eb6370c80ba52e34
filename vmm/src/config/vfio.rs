//! A device of the host's as a GPU: `vfio=0000:01:00.0[,block=BAR:START-END,...][,profile=FILE]`, or from
//! files that a launcher hands over, `vfio=fd:N,iommufd=fd:M`.

use super::Error;
use ravelin_devices::vfio::attach::Source;
use ravelin_devices::vfio::bars::Block;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

/// How it is written.
pub(super) const FORM: &str = "vfio=0000:01:00.0[,block=BAR:START-END,...][,profile=FILE], or with \
    vfio=fd:N,iommufd=fd:M";

/// A device of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioSpec {
    /// Which.
    pub device: VfioDeviceSpec,
    /// Bytes of its BARs that nobody may reach, besides those of its profile.
    pub block: Vec<Block>,
    /// Its profile's file; the built-in one where absent.
    pub profile: Option<PathBuf>,
}

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfioDeviceSpec(pub Source);

impl VfioDeviceSpec {
    /// As `device` and `iommufd` of a file.
    pub(super) fn in_words(self) -> (String, Option<String>) {
        match self.0 {
            Source::Address(bdf) => (bdf.to_string(), None),
            Source::Files { device, iommufd } => {
                (format!("fd:{device}"), Some(format!("fd:{iommufd}")))
            }
        }
    }
}

impl VfioSpec {
    /// A device from its words.
    pub(super) fn new(
        device: &str,
        iommufd: Option<&str>,
        block: &[impl AsRef<str>],
        profile: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Gpu { text: format!("vfio={device}"), problem };
        let descriptor = |text: &str| -> Result<RawFd, Error> {
            let number = text.strip_prefix("fd:").and_then(|digits| digits.parse().ok());
            let number = number.filter(|number: &RawFd| *number >= 0);
            number.ok_or_else(|| wrong(format!("{text:?} is no fd:NUMBER")))
        };
        let source = match (device.starts_with("fd:"), iommufd) {
            (true, Some(iommufd)) => {
                Source::Files { device: descriptor(device)?, iommufd: descriptor(iommufd)? }
            }
            (true, None) => return Err(wrong("a descriptor goes with iommufd=fd:NUMBER".into())),
            (false, Some(_)) => return Err(wrong("iommufd= goes with vfio=fd:NUMBER".into())),
            (false, None) => {
                let bdf = device.parse().map_err(|_| {
                    wrong(format!("{device:?} is no PCI address such as 0000:01:00.0"))
                })?;
                Source::Address(bdf)
            }
        };
        let block = block.iter().map(|text| {
            let text = text.as_ref();
            read_block(text).ok_or_else(|| wrong(format!("{text:?} is no BAR:START-END")))
        });
        Ok(Self {
            device: VfioDeviceSpec(source),
            block: block.collect::<Result<_, _>>()?,
            profile,
        })
    }
}

impl FromStr for VfioSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Gpu { text: text.into(), problem };
        let mut words = text.split(',');
        let device = words.next().and_then(|word| word.strip_prefix("vfio=")).unwrap_or_default();
        let (mut iommufd, mut block, mut profile) = (None, Vec::new(), None);
        let mut in_block = false;
        for word in words {
            match word.split_once('=') {
                Some(("block", range)) => block.push(range),
                // More ranges may follow the first without the key.
                None if in_block => block.push(word),
                Some(("iommufd", file)) if iommufd.is_none() => iommufd = Some(file),
                Some(("profile", file)) if profile.is_none() && !file.is_empty() => {
                    profile = Some(PathBuf::from(file));
                }
                Some((key @ ("iommufd" | "profile"), _)) => {
                    return Err(wrong(format!("{key} is said twice, or has no value")));
                }
                Some((key, _)) => return Err(wrong(format!("a device has no {key:?}"))),
                None => return Err(wrong(format!("{word:?} is no key=value"))),
            }
            in_block = word.starts_with("block=") || in_block && !word.contains('=');
        }
        Self::new(device, iommufd, &block, profile)
    }
}

/// `BAR:START-END`; END is the first byte behind the range. Numbers are decimal, or with 0x.
pub(crate) fn read_block(text: &str) -> Option<Block> {
    let (bar, range) = text.split_once(':')?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit())),
    };
    let bar = number(bar).filter(|bar| *bar < 6)? as u8;
    let range = number(start)?..number(end)?;
    (!range.is_empty()).then_some(Block { bar, range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GpuSpec, VmSpec};
    use proptest::prelude::*;

    #[test]
    fn a_device_has_an_address_blocks_and_a_profile() {
        let spec: VfioSpec =
            "vfio=01:00.0,block=0:0x1000-0x2000,2:0-16,profile=h.toml".parse().unwrap();
        let block = [Block { bar: 0, range: 0x1000..0x2000 }, Block { bar: 2, range: 0..16 }];
        assert_eq!(spec.device.0, Source::Address("0000:01:00.0".parse().unwrap()));
        assert_eq!((spec.block, spec.profile), (block.to_vec(), Some("h.toml".into())));
        let handed: VfioSpec = "vfio=fd:7,iommufd=fd:8".parse().unwrap();
        assert_eq!(handed.device.0, Source::Files { device: 7, iommufd: 8 });
    }

    #[test]
    fn words_that_make_no_device_are_refused() {
        for text in [
            "vfio=",
            "vfio=x",
            "vfio=01:00.8",
            "vfio=fd:7",
            "vfio=fd:-1,iommufd=fd:2",
            "vfio=01:00.0,iommufd=fd:2",
            "vfio=01:00.0,0:0-1",
            "vfio=01:00.0,block=6:0-1",
            "vfio=01:00.0,block=0:1-1",
            "vfio=01:00.0,block=0:2-1",
            "vfio=01:00.0,block=0:0x-1",
            "vfio=01:00.0,profile=",
            "vfio=01:00.0,mode=on",
            "vfio=01:00.0,block=0:0-1,profile=a,1:0-1",
        ] {
            assert!(matches!(text.parse::<GpuSpec>(), Err(Error::Gpu { .. })), "{text}");
        }
    }

    #[test]
    fn a_file_says_the_same() {
        for text in [
            "vfio=0000:01:00.0,block=0:0x1000-0x2000,2:0-16,profile=h.toml",
            "vfio=fd:7,iommufd=fd:8",
        ] {
            let gpus = vec![text.parse().unwrap()];
            let spec = VmSpec { gpus, ..VmSpec::default() };
            assert_eq!(VmSpec::from_toml(&toml::to_string(&spec).unwrap()), Ok(spec));
        }
        for file in [
            "[[gpus]]\nmodel = \"vfio\"\n",
            "[[gpus]]\nmodel = \"vfio\"\ndevice = \"01:00.0\"\nmode = \"on\"\n",
            "[[gpus]]\ndevice = \"01:00.0\"\n",
        ] {
            assert!(matches!(VmSpec::from_toml(file), Err(Error::File(_))), "{file}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = format!("vfio={text}").parse::<VfioSpec>();
            let _ = read_block(&text);
        }
    }
}
