use std::os::unix::fs::FileExt;

use ravelin_driver::{Bus, SharedMemory};
use ravelin_gpu_abi::registers;
use tempfile::TempDir;

use super::*;

/// A double of sysfs: the files of functions, without a kernel behind them.
struct Double(TempDir);

/// `resource` of a GPU with a window at 8 GiB.
const RESOURCE: &str = "0x0000000240000000 0x000000024000ffff 0x0000000000140204\n\
     0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
     0x0000000210000000 0x000000021fffffff 0x000000000014220c\n\
     0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
     0x0000000200000000 0x0000000203ffffff 0x000000000014220c\n\
     0x0000000000000000 0x0000000000000000 0x0000000000000000\n";

impl Double {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn function(&self, address: &str, device: &str, resource: &str) -> PathBuf {
        let directory = self.0.path().join(DEVICES).join(address);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in
            [("vendor", "0x1234\n"), ("device", device), ("resource", resource), ("enable", "0\n")]
        {
            fs::write(directory.join(name), text).unwrap();
        }
        fs::write(directory.join("config"), [0; 4096]).unwrap();
        for (name, size) in
            [("resource0", abi::REGISTERS_BAR_SIZE), ("resource4_wc", abi::SHARED_BAR_SIZE)]
        {
            File::create(directory.join(name)).unwrap().set_len(size).unwrap();
        }
        directory
    }

    fn gpus(&self) -> Result<Vec<Place>, Error> {
        gpus(self.0.path())
    }
}

#[test]
fn gpus_are_found_by_vendor_and_device_in_the_order_of_their_addresses() {
    let double = Double::new();
    assert!(matches!(double.gpus(), Err(Error::NoBus(..))));
    double.function("0000:00:00.0", "0x0b1d\n", "");
    assert!(matches!(double.gpus(), Err(Error::NoGpu(_))));
    for address in ["0000:00:03.0", "0000:00:01.0", "0000:00:02.0"] {
        double.function(address, "0x4150\n", RESOURCE);
    }
    // A function that goes away while we look.
    fs::create_dir_all(double.0.path().join(DEVICES).join("0000:00:04.0")).unwrap();
    let found: Vec<_> = double.gpus().unwrap().into_iter().map(|gpu| gpu.address).collect();
    assert_eq!(found, ["0000:00:01.0", "0000:00:02.0", "0000:00:03.0"]);
}

#[test]
fn an_opened_gpu_is_enabled_and_its_bus_and_memory_are_the_files() {
    let double = Double::new();
    let directory = double.function("0000:00:01.0", "0x4150\n", RESOURCE);
    let gpu = &double.gpus().unwrap()[0];
    let (mut bus, memory) = gpu.open().unwrap();
    assert_eq!(fs::read_to_string(directory.join("enable")).unwrap(), "1");

    let config = File::options().read(true).write(true).open(directory.join("config")).unwrap();
    config.write_all_at(&0x4150_1234u32.to_le_bytes(), 0).unwrap();
    assert_eq!(bus.config_read(0), 0x4150_1234);
    bus.config_write(0x108, 0x8000_0000);
    assert_eq!(bus.config_read(0x108), 0x8000_0000);
    assert_eq!(bus.config_read(4096 - 4), 0);
    config.set_len(64).unwrap();
    assert_eq!(bus.config_read(0x108), u32::MAX, "what the kernel does not give");

    let registers = File::open(directory.join("resource0")).unwrap();
    bus.register_write32(registers::MODE, 7);
    bus.register_write64(registers::HBM_SIZE, 1 << 40);
    let mut value = [0; 4];
    registers.read_exact_at(&mut value, registers::MODE).unwrap();
    assert_eq!((u32::from_le_bytes(value), bus.register_read64(registers::HBM_SIZE)), (7, 1 << 40));

    // The upper half of the BAR, and its addresses.
    assert_eq!(memory.address(), 0x2_0000_0000 + abi::SHARED_WINDOW_OFFSET);
    assert_eq!(memory.length() as u64, abi::SHARED_WINDOW_SIZE);
    memory.write(3, b"sealed");
    memory.store_release(16, 0x1122_3344_5566_7788);
    assert_eq!(memory.load_acquire(16), 0x1122_3344_5566_7788);
    let window = File::open(directory.join("resource4_wc")).unwrap();
    let mut bytes = [0; 6];
    window.read_exact_at(&mut bytes, abi::SHARED_WINDOW_OFFSET + 3).unwrap();
    assert_eq!(&bytes, b"sealed");
}

#[test]
fn a_gpu_without_a_window_is_refused_with_advice() {
    let double = Double::new();
    // As it stands before the built-in guest: 8 KiB, and not prefetchable.
    let small = RESOURCE
        .replace("0x0000000203ffffff 0x000000000014220c", "0x0000000200001fff 0x0000000000140204");
    let plain = RESOURCE
        .replace("0x0000000203ffffff 0x000000000014220c", "0x0000000203ffffff 0x0000000000140204");
    for resource in [&small, &plain, ""] {
        double.function("0000:00:01.0", "0x4150\n", resource);
        let gpu = &double.gpus().unwrap()[0];
        assert!(matches!(gpu.window_addresses(), Err(Error::NoWindow(_))));
        assert!(gpu.open().is_err());
    }
}

#[test]
fn resources_that_make_no_sense_are_refused() {
    let double = Double::new();
    for resource in ["x", "0x1 0x0 0x200", "0x0 0xffffffffffffffff 0x200", "0x0 0x1", "1 2 3"] {
        double.function("0000:00:01.0", "0x4150\n", resource);
        let refused = double.gpus().unwrap()[0].open();
        assert!(matches!(refused, Err(Error::Senseless(_))), "{resource}: {refused:?}");
    }
    double.function("0000:00:01.0", "0x4150\n", &RESOURCE.replace("24000ffff", "24001ffff"));
    let refused = double.gpus().unwrap()[0].open();
    assert!(matches!(refused, Err(Error::Bar { bar: 0, found: 0x20000, .. })), "{refused:?}");
}

#[test]
fn a_kernel_that_does_not_let_us_is_told_from_a_gpu_that_is_not_there() {
    let double = Double::new();
    let directory = double.function("0000:00:01.0", "0x4150\n", RESOURCE);
    fs::remove_file(directory.join("resource4_wc")).unwrap();
    let error = double.gpus().unwrap()[0].open().unwrap_err();
    assert!(error.to_string().contains("as root"), "{error}");
}
