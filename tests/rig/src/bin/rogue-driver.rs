//! A driver in a guest's user space that leads a virtio device to private memory.
//!
//! It drives the guest's entropy device through sysfs by the book (Virtio 1.3, section 4.1), but for
//! one thing: ring and buffer are its own anonymous memory, which in an encrypted guest is private.
//! What it says in its last line is what came of it: `answered` with so many bytes, or `stopped`, in
//! which case nothing in its memory has changed. Tests run it in a guest of the rig's.

#![allow(unused_crate_dependencies, reason = "they are the rig's")]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use vm_memory::{AtomicAccess, Bytes, FileOffset, MmapRegion, VolatileMemory};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DEVICES: &str = "/sys/bus/pci/devices";
/// Virtio's vendor, and the entropy device of version 1.
const RNG: [&str; 2] = ["0x1af4", "0x1044"];
/// Configuration space: command register with memory and bus master, first capability.
const COMMAND: (u64, u8) = (0x04, 0b110);
const CAPABILITIES: u64 = 0x34;
/// A capability of virtio's, and its kinds: common configuration, doorbells.
const VENDOR_CAPABILITY: u8 = 0x09;
const COMMON: u8 = 1;
const DOORBELLS: u8 = 2;

/// The common configuration's registers.
mod register {
    pub(super) const FEATURE_SELECT: usize = 0x08;
    pub(super) const FEATURE: usize = 0x0c;
    pub(super) const STATUS: usize = 0x14;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 0x1e;
    pub(super) const QUEUE_DESC: usize = 0x20;
    pub(super) const QUEUE_DRIVER: usize = 0x28;
    pub(super) const QUEUE_DEVICE: usize = 0x30;
}
use register::*;

/// Device status: acknowledge, driver, features agreed, driver ready; and the device's own cry.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const NEEDS_RESET: u8 = 64;
/// `VERSION_1` and `ACCESS_PLATFORM`: bits 32 and 33.
const HIGH_FEATURES: u32 = 0b11;

/// The ring's page: descriptors, then what the driver offers, then what the device has used.
const ENTRIES: u16 = 8;
const AVAILABLE: usize = 0x400;
const USED: usize = 0x800;
/// The page behind it is the buffer.
const PAGE: usize = 4096;
const BUFFER_BYTES: u32 = 64;
const UNTOUCHED: u8 = 0x5a;
/// Descriptor flag: the device writes.
const WRITE: u64 = 2;

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let function = find()?;
    fs::write(function.join("enable"), "1")?;
    let config = File::options().read(true).write(true).open(function.join("config"))?;
    let mut command = [0];
    config.read_exact_at(&mut command, COMMAND.0)?;
    config.write_all_at(&[command[0] | COMMAND.1], COMMAND.0)?;
    let (device, ring) = (Device::open(&function, &config)?, Ring::new()?);
    device.start(ring.address)?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(length) = ring.answer()? {
            println!("rogue-driver: the device answered with {length} bytes");
            return Ok(());
        }
        if device.load::<u8>(STATUS)? & NEEDS_RESET != 0 {
            let word = if ring.is_untouched()? { "untouched" } else { "CHANGED" };
            println!("rogue-driver: the device stopped, memory {word}");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("the device does nothing".into())
}

/// A ring with one request and the buffer for its answer, in memory of the program's own.
struct Ring {
    memory: MmapRegion,
    address: u64,
}

impl Ring {
    fn new() -> Result<Self> {
        let memory = MmapRegion::<()>::new(2 * PAGE)?;
        let ring = memory.as_volatile_slice();
        // Written to, so that there are pages.
        ring.write_slice(&[0; PAGE], 0)?;
        ring.write_slice(&[UNTOUCHED; PAGE], PAGE)?;
        let (address, buffer) = (physical(&memory, 0)?, physical(&memory, PAGE)?);
        ring.write_obj(buffer, 0)?;
        ring.write_obj(u64::from(BUFFER_BYTES) | WRITE << 32, 8)?;
        ring.store(1u16, AVAILABLE + 2, Ordering::Release)?;
        Ok(Self { memory, address })
    }

    /// How many bytes the device says that it has written, if it says so.
    fn answer(&self) -> Result<Option<u32>> {
        let ring = self.memory.as_volatile_slice();
        match ring.load::<u16>(USED + 2, Ordering::Acquire)? {
            0 => Ok(None),
            _ => Ok(Some(ring.load(USED + 8, Ordering::Acquire)?)),
        }
    }

    fn is_untouched(&self) -> Result<bool> {
        let mut buffer = [0; PAGE];
        self.memory.as_volatile_slice().read_slice(&mut buffer, PAGE)?;
        Ok(self.answer()?.is_none() && buffer == [UNTOUCHED; PAGE])
    }
}

/// The entropy device's directory.
fn find() -> Result<PathBuf> {
    for entry in fs::read_dir(DEVICES)? {
        let path = entry?.path();
        let word = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
        if [word("vendor").trim(), word("device").trim()] == RNG {
            return Ok(path);
        }
    }
    Err("there is no entropy device".into())
}

/// The guest-physical address of a page, without the C-bit (Documentation/admin-guide/mm/pagemap.rst).
fn physical(memory: &MmapRegion, offset: usize) -> Result<u64> {
    let page = (memory.as_ptr().addr() + offset) / PAGE;
    let mut entry = [0; 8];
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entry, page as u64 * 8)?;
    match u64::from_le_bytes(entry) & ((1 << 55) - 1) {
        0 => Err("the kernel does not tell page frames".into()),
        frame => Ok(frame * PAGE as u64),
    }
}

/// The device's registers.
struct Device {
    bar: MmapRegion,
    common: usize,
    doorbells: usize,
    multiplier: usize,
}

impl Device {
    fn open(function: &Path, config: &File) -> io::Result<Self> {
        let byte = |offset: u64| {
            let mut byte = [0];
            config.read_exact_at(&mut byte, offset).map(|()| byte[0])
        };
        let dword = |offset: u64| {
            let mut bytes = [0; 4];
            config.read_exact_at(&mut bytes, offset)?;
            Ok::<_, io::Error>(u32::from_le_bytes(bytes) as usize)
        };
        let (mut bar, mut common, mut doorbells, mut multiplier) = (0, 0, 0, 0);
        let mut at = u64::from(byte(CAPABILITIES)?);
        while at != 0 {
            if byte(at)? == VENDOR_CAPABILITY {
                match byte(at + 3)? {
                    COMMON => (bar, common) = (byte(at + 4)?, dword(at + 8)?),
                    DOORBELLS => (doorbells, multiplier) = (dword(at + 8)?, dword(at + 16)?),
                    _ => {}
                }
            }
            at = byte(at + 1)?.into();
        }
        // One BAR has all structures.
        let file = function.join(format!("resource{bar}"));
        let size = fs::metadata(&file)?.len() as usize;
        let file = FileOffset::new(File::options().read(true).write(true).open(file)?, 0);
        let bar = MmapRegion::from_file(file, size).map_err(io::Error::other)?;
        Ok(Self { bar, common, doorbells, multiplier })
    }

    /// Hands the device queue 0 with a ring at this address, and rings its doorbell.
    fn start(&self, ring: u64) -> Result<()> {
        let status = |value: u8| self.store(STATUS, value);
        status(0)?;
        status(ACKNOWLEDGE)?;
        status(ACKNOWLEDGE | DRIVER)?;
        self.store(FEATURE_SELECT, 1u32)?;
        self.store(FEATURE, HIGH_FEATURES)?;
        status(ACKNOWLEDGE | DRIVER | FEATURES_OK)?;
        self.store(QUEUE_SELECT, 0u16)?;
        self.store(QUEUE_SIZE, ENTRIES)?;
        self.store(QUEUE_DESC, ring)?;
        self.store(QUEUE_DRIVER, ring + AVAILABLE as u64)?;
        self.store(QUEUE_DEVICE, ring + USED as u64)?;
        self.store(QUEUE_ENABLE, 1u16)?;
        status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)?;
        let place = usize::from(self.load::<u16>(QUEUE_NOTIFY_OFF)?) * self.multiplier;
        let bar = self.bar.as_volatile_slice();
        Ok(bar.store(0u16, self.doorbells + place, Ordering::Release)?)
    }

    fn load<T: AtomicAccess>(&self, register: usize) -> Result<T> {
        Ok(self.bar.as_volatile_slice().load(self.common + register, Ordering::Acquire)?)
    }

    fn store<T: AtomicAccess>(&self, register: usize, value: T) -> Result<()> {
        let bar = self.bar.as_volatile_slice();
        Ok(bar.store(value, self.common + register, Ordering::Release)?)
    }
}
