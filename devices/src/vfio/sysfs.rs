//! What sysfs says of a PCI device of the host's: its driver, its group and who else is in it, how it
//! can be reset, and what may be watched of it. Reads, and changes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A PCI address: domain, bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bdf {
    /// Domain, or segment.
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device, below 32.
    pub device: u8,
    /// Function, below 8.
    pub function: u8,
}

impl std::fmt::Display for Bdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

/// Text that is no PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no PCI address: write one such as 0000:01:00.0")]
pub struct NoAddress(pub String);

impl std::str::FromStr for Bdf {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let wrong = || NoAddress(text.into());
        let hex = |digits: &str, most: usize| {
            let sound = (1..=most).contains(&digits.len());
            let sound = sound && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            sound.then(|| u16::from_str_radix(digits, 16).ok()).flatten().ok_or_else(wrong)
        };
        let (place, function) = text.split_once('.').ok_or_else(wrong)?;
        let (domain, rest) = match place.splitn(3, ':').collect::<Vec<_>>()[..] {
            [bus, device] => ("0", (bus, device)),
            [domain, bus, device] => (domain, (bus, device)),
            _ => return Err(wrong()),
        };
        let (bus, device) = (hex(rest.0, 2)?, hex(rest.1, 2)?);
        let function = hex(function, 1)?;
        if device >= 32 || function >= 8 {
            return Err(wrong());
        }
        Ok(Self {
            domain: hex(domain, 4)?,
            bus: bus as u8,
            device: device as u8,
            function: function as u8,
        })
    }
}

/// A host's sysfs.
#[derive(Clone, Debug)]
pub struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self("/sys".into())
    }
}

impl Sysfs {
    /// One at another place, as a test or a container has it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A device's directory.
    pub fn device(&self, bdf: Bdf) -> PathBuf {
        self.0.join("bus/pci/devices").join(bdf.to_string())
    }

    /// Whether there is such a device.
    pub fn has(&self, bdf: Bdf) -> bool {
        self.device(bdf).exists()
    }

    /// The driver that a device is bound to.
    pub fn driver(&self, bdf: Bdf) -> Option<String> {
        last_of_link(&self.device(bdf).join("driver"))
    }

    /// The IOMMU group of a device; `None` where there is no IOMMU.
    pub fn group(&self, bdf: Bdf) -> Option<u32> {
        last_of_link(&self.device(bdf).join("iommu_group"))?.parse().ok()
    }

    /// Everyone in a device's group, in order, itself included.
    pub fn group_members(&self, bdf: Bdf) -> Vec<Bdf> {
        let devices = fs::read_dir(self.device(bdf).join("iommu_group/devices"));
        let names = devices.into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut members: Vec<Bdf> =
            names.filter_map(|name| name.to_str().and_then(|name| name.parse().ok())).collect();
        members.sort();
        members
    }

    /// Those of a device's group that a driver of the host's has, with their drivers. A bridge's own
    /// driver does no harm.
    pub fn group_in_use(&self, bdf: Bdf) -> Vec<(Bdf, String)> {
        let members = self.group_members(bdf).into_iter().filter(|member| *member != bdf);
        let used = members.filter_map(|member| Some((member, self.driver(member)?)));
        used.filter(|(_, driver)| !(driver.starts_with("vfio-") || driver == "pcieport")).collect()
    }

    /// How many mappings a container of the group interface takes (`dma_entry_limit`).
    pub fn most_mappings(&self) -> Option<u64> {
        let path = self.0.join("module/vfio_iommu_type1/parameters/dma_entry_limit");
        fs::read_to_string(path).ok()?.trim_end().parse().ok()
    }

    /// The name of a device's character device, such as `vfio0`; `None` where the kernel makes none.
    pub fn vfio_device(&self, bdf: Bdf) -> Option<String> {
        let entries = fs::read_dir(self.device(bdf).join("vfio-dev")).ok()?;
        entries.flatten().find_map(|entry| entry.file_name().into_string().ok())
    }

    /// The PCI device behind an open character device of VFIO's.
    pub fn of_file(&self, file: &fs::File) -> io::Result<Option<Bdf>> {
        let number = file.metadata()?.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let link = self.0.join(format!("dev/char/{major}:{minor}/device"));
        let name = fs::canonicalize(link)
            .ok()
            .and_then(|path| path.file_name().and_then(|name| name.to_str().map(str::to_owned)));
        Ok(name.and_then(|name| name.parse().ok()))
    }

    /// A small file of a device's, without the line's end.
    pub fn attribute(&self, bdf: Bdf, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.device(bdf).join(name)).ok()?;
        Some(text.trim_end().to_owned())
    }
}

fn last_of_link(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name()?.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_address_is_read_in_both_spellings_and_nothing_else_is() {
        let bdf = Bdf { domain: 0, bus: 0xa1, device: 0x1f, function: 7 };
        assert_eq!("0000:a1:1f.7".parse(), Ok(bdf));
        assert_eq!("a1:1f.7".parse(), Ok(bdf));
        assert_eq!(bdf.to_string(), "0000:a1:1f.7");
        for text in
            ["", "a1", "a1:1f", "a1:20.0", "a1:1f.8", "0:a1:1f.7.1", "+a1:1f.0", "00000:a1:1f.0"]
        {
            assert_eq!(text.parse::<Bdf>(), Err(NoAddress(text.into())));
        }
    }

    #[test]
    fn a_groups_other_members_with_a_driver_of_the_hosts_are_named() {
        let root = tempfile::tempdir().unwrap();
        let bdf: Vec<Bdf> =
            ["01:00.0", "01:00.1", "01:00.2"].iter().map(|bdf| bdf.parse().unwrap()).collect();
        let sysfs = Sysfs::at(root.path());
        let group = root.path().join("kernel/iommu_groups/7");
        for (bdf, driver) in bdf.iter().zip(["vfio-pci", "snd_hda_intel", "vfio-pci"]) {
            let device = sysfs.device(*bdf);
            fs::create_dir_all(&device).unwrap();
            fs::create_dir_all(group.join("devices").join(bdf.to_string())).unwrap();
            symlink(&group, device.join("iommu_group")).unwrap();
            symlink(format!("/sys/bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
        }
        assert_eq!(sysfs.group(bdf[0]), Some(7));
        assert_eq!(sysfs.group_members(bdf[0]), bdf);
        assert_eq!(sysfs.group_in_use(bdf[0]), [(bdf[1], "snd_hda_intel".to_owned())]);
        assert!(!sysfs.has("02:00.0".parse().unwrap()));
    }
}
