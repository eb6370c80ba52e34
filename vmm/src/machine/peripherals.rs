//! A Linux guest's virtio devices: opened before there is a machine, so that a disk in use or a tap that
//! is missing is an error before the guest starts; then put on its bus.

use crate::config::{DiskSpec, NetSpec, VsockSpec};
use crate::vm::Vm;
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::pci;
use ravelin_devices::pci::bus::PciBus;
use ravelin_devices::virtio::block::Block;
use ravelin_devices::virtio::block::disk::{self, Disk};
use ravelin_devices::virtio::console::Console;
use ravelin_devices::virtio::net::Net;
use ravelin_devices::virtio::net::mac::MacAddress;
use ravelin_devices::virtio::net::tap;
use ravelin_devices::virtio::pci::VirtioPci;
use ravelin_devices::virtio::rng::Rng;
use ravelin_devices::virtio::socket;
use ravelin_devices::virtio::vsock::{Vsock, host};
use ravelin_devices::virtio::{Device, pci as face};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why a guest cannot have a device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A disk.
    #[error("--disk")]
    Disk(#[from] disk::Error),
    /// A network card.
    #[error("--net")]
    Net(#[from] tap::Error),
    /// The kernel has no random bytes for a card's address.
    #[error("no address for a network card: give one with mac=")]
    Mac(#[source] io::Error),
    /// The socket device.
    #[error("--vsock")]
    Vsock(#[from] host::Error),
    /// The console's socket.
    #[error("cannot make the virtio console")]
    Console(#[from] socket::Error),
    /// A device does not come up.
    #[error("virtio device {0} does not come up")]
    Face(String, #[source] face::Error),
    /// The PCI bus has no room for it.
    #[error("cannot place the virtio devices")]
    Pci(#[from] pci::bus::Error),
}

/// Devices without a machine, by name and in the order in which the guest finds them.
pub struct Peripherals(Vec<(String, Box<dyn Device>)>);

impl Peripherals {
    /// No devices, for the built-in guest.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Opens what a Linux guest's devices stand on. Sockets that have no path of their own are made in
    /// `runtime`, the VM's runtime directory.
    ///
    /// # Errors
    /// Something is missing, in use or out of reach.
    pub fn open(
        disks: &[DiskSpec],
        nets: &[NetSpec],
        vsock: Option<&VsockSpec>,
        runtime: &Path,
    ) -> Result<Self, Error> {
        let mut all = Self::none();
        for (index, spec) in disks.iter().enumerate() {
            let name = format!("disk{index}");
            let disk = Disk::open(&spec.path, spec.readonly)?;
            all.add(name.clone(), Block::new(disk, &name));
        }
        for (index, spec) in nets.iter().enumerate() {
            let tap = tap::open(&spec.tap)?;
            let mac = spec.mac.map_or_else(MacAddress::random, Ok).map_err(Error::Mac)?;
            all.add(format!("net{index}"), Net::on_tap(tap, mac));
        }
        if let Some(spec) = vsock {
            let own = runtime.join("vsock");
            let device = Vsock::new(spec.cid, spec.socket.as_deref().unwrap_or(&own))?;
            all.add("vsock".into(), device);
        }
        all.add("console".into(), Console::listen(&runtime.join("hvc0"))?);
        all.add("rng".into(), Rng);
        Ok(all)
    }

    /// Puts every device on the bus, with a DMA gate of its own and on a thread of its own. Returns
    /// the gates.
    ///
    /// # Errors
    /// The kernel has no thread left, or the bus no room.
    pub(super) fn place(self, vm: &Vm, bus: &PciBus) -> Result<Vec<Arc<DmaGate>>, Error> {
        let doorbells = vm.doorbells();
        let mut gates = Vec::with_capacity(self.0.len());
        for (name, device) in self.0 {
            let (pages, shared) = (vm.memory().pages().clone(), vm.memory().shared().clone());
            let gate = Arc::new(DmaGate::new(name.clone(), pages, shared));
            gates.push(gate.clone());
            let msi = Arc::new(vm.msi());
            let device = VirtioPci::new(device, gate, msi, doorbells.clone())
                .map_err(|error| Error::Face(name, error))?;
            bus.add(device)?;
        }
        Ok(gates)
    }

    fn add(&mut self, name: String, device: impl Device + 'static) {
        self.0.push((name, Box::new(device)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tempfile::tempdir;

    fn open(disk: Option<PathBuf>, tap: Option<&str>, vsock: Option<VsockSpec>) -> Option<Error> {
        let runtime = tempdir().unwrap();
        let disks: Vec<_> =
            disk.into_iter().map(|path| DiskSpec { path, readonly: false }).collect();
        let nets: Vec<_> =
            tap.into_iter().map(|tap| NetSpec { tap: tap.into(), mac: None }).collect();
        Peripherals::open(&disks, &nets, vsock.as_ref(), runtime.path()).err()
    }

    #[test]
    fn what_cannot_be_had_is_an_error_before_there_is_a_guest() {
        let place = tempdir().unwrap();
        let image = place.path().join("disk.img");
        let missing = open(Some(image.clone()), None, None);
        assert!(matches!(missing, Some(Error::Disk(disk::Error::Missing(_)))));
        std::fs::write(&image, [0; 4096]).unwrap();
        assert!(open(Some(image.clone()), None, None).is_none());
        let _user = Disk::open(&image, false).unwrap();
        let used = open(Some(image), None, None);
        assert!(matches!(used, Some(Error::Disk(disk::Error::InUse(_)))));
        let tap = open(None, Some("ravelin-none"), None);
        assert!(matches!(tap, Some(Error::Net(tap::Error::Missing(_)))));
        let socket = Some(place.path().join("no/where"));
        let vsock = open(None, None, Some(VsockSpec { cid: 3, socket }));
        assert!(matches!(vsock, Some(Error::Vsock(_))));
    }
}
