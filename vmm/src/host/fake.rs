//! A host for tests: a tree of files in a temporary directory that looks like a kernel's, and a kernel
//! that follows what is written to it.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use super::binding::Kernel;
use super::{Address, Host};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(super) struct FakeHost {
    directory: tempfile::TempDir,
    pub(super) host: Host,
    /// The driver that the host's kernel has for a function that nobody overrides.
    natural: BTreeMap<Address, String>,
    /// Every write that was made.
    pub(super) written: Vec<(PathBuf, String)>,
    /// Drivers that refuse to take a function.
    pub(super) refusing: Vec<String>,
}

impl FakeHost {
    /// A host with drivers and no function; everybody may do everything.
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let host = Host {
            sys: root.join("sys"),
            dev: root.join("dev"),
            proc: root.join("proc"),
            may_open: |node| fs::metadata(node).map(drop),
            memlock: None,
        };
        let fake = Self {
            directory,
            host,
            natural: BTreeMap::new(),
            written: Vec::new(),
            refusing: Vec::new(),
        };
        fake.file("sys/bus/pci/drivers_probe", "");
        fake.file("dev/vfio/vfio", "");
        fs::create_dir_all(root.join("sys/bus/pci/devices")).unwrap();
        for driver in ["vfio-pci", "nvme", "e1000e", "nouveau", "pcieport"] {
            fake.file(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        }
        fake
    }

    pub(super) fn root(&self) -> PathBuf {
        fs::canonicalize(self.directory.path()).unwrap()
    }

    /// Writes a file below the root, and its directories.
    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A link below the root, to a place below the root.
    pub(super) fn link(&self, path: &str, to: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.root().join(to), path).unwrap();
    }

    /// A function with a driver of the host's, in a group.
    pub(super) fn function(
        &mut self,
        address: &str,
        class: u32,
        driver: &str,
        group: u32,
    ) -> Address {
        let place = format!("sys/devices/pci0000:00/{address}");
        self.file(&format!("{place}/vendor"), "0x10de\n");
        self.file(&format!("{place}/device"), "0x2331\n");
        self.file(&format!("{place}/class"), &format!("{class:#08x}\n"));
        self.file(&format!("{place}/driver_override"), "(null)\n");
        self.file(&format!("{place}/reset_method"), "flr bus\n");
        self.link(&format!("sys/bus/pci/devices/{address}"), &place);
        let groups = format!("sys/kernel/iommu_groups/{group}");
        self.link(&format!("{groups}/devices/{address}"), &place);
        self.link(&format!("{place}/iommu_group"), &groups);
        let address = address.parse().unwrap();
        self.natural.insert(address, driver.into());
        self.attach(address, driver);
        address
    }

    /// Binds a function, without asking anyone.
    pub(super) fn attach(&self, address: Address, driver: &str) {
        let link = self.host.function(address).join("driver");
        let _ = fs::remove_file(&link);
        if !driver.is_empty() {
            symlink(self.host.driver(driver), link).unwrap();
        }
    }

    fn driver(&self, address: Address) -> Option<String> {
        super::sysfs::link_name(&self.host.function(address).join("driver"))
    }

    fn probe(&self, address: Address) {
        let wanted = super::sysfs::line(&self.host.function(address).join("driver_override"))
            .filter(|name| name != "(null)");
        let driver = wanted.or_else(|| self.natural.get(&address).cloned()).unwrap_or_default();
        let known = self.host.driver(&driver).exists() && !self.refusing.contains(&driver);
        if known && self.driver(address).is_none() {
            self.attach(address, &driver);
        }
    }

    /// Everything below the root: files with their text, links with where they lead.
    pub(super) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let mut pending = vec![self.root()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if let Ok(target) = fs::read_link(&path) {
                    all.insert(path, target.to_str().unwrap().into());
                } else if path.is_dir() {
                    pending.push(path);
                } else {
                    let text = fs::read_to_string(&path).unwrap();
                    all.insert(path, text);
                }
            }
        }
        all
    }
}

impl Kernel for FakeHost {
    fn write(&mut self, path: &Path, value: &str) -> io::Result<()> {
        // Refuses to make a file, as sysfs does.
        super::write(path, value)?;
        self.written.push((path.to_owned(), value.to_owned()));
        match path.file_name().and_then(|name| name.to_str()) {
            Some("driver_override") => fs::write(path, value)?,
            Some("unbind") => {
                let address = value.parse().map_err(io::Error::other)?;
                let driver = path.parent().and_then(Path::file_name);
                if self.driver(address).as_deref().map(OsStr::new) != driver {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.attach(address, "");
            }
            Some("drivers_probe") => self.probe(value.parse().map_err(io::Error::other)?),
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        Ok(())
    }
}
