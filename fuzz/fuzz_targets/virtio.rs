//! The virtio devices, below a driver that keeps no rules: rings, descriptors, page states and
//! doorbells by script. Private memory stays as it was, and a driver that comes afterwards finds a
//! device.
//!
//! The first byte chooses the device.
#![no_main]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_devices::virtio::Device;
use ravelin_devices::virtio::block::Block;
use ravelin_devices::virtio::block::disk::Disk;
use ravelin_devices::virtio::console::Console;
use ravelin_devices::virtio::drive::drive;
use ravelin_devices::virtio::net::Net;
use ravelin_devices::virtio::rng::Rng;
use ravelin_devices::virtio::vsock::Vsock;

/// Where the disk's file and the sockets of this process are.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("ravelin-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::File::create(folder.join("disk")).unwrap().set_len(1 << 20).unwrap();
    folder
});

fn device(choice: u8) -> Box<dyn Device> {
    let fresh = |name| {
        let path = FOLDER.join(name);
        let _ = fs::remove_file(&path);
        path
    };
    match choice % 5 {
        0 => Box::new(Rng),
        1 => Box::new(Console::listen(&fresh("console")).unwrap()),
        2 => {
            let (wire, _) = UnixDatagram::pair().unwrap();
            wire.set_nonblocking(true).unwrap();
            Box::new(Net::new(wire, "52:54:00:12:34:56".parse().unwrap()))
        }
        3 => Box::new(Block::new(Disk::open(&FOLDER.join("disk"), false).unwrap(), "disk0")),
        _ => Box::new(Vsock::new(3, &fresh("vsock")).unwrap()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, script)) = data.split_first() else { return };
    drive(device(*choice), script);
});
