//! Unmodified Linux kernels in a real VM: from every kind of image, on both platforms, to user space
//! and off again.
//!
//! They need a KVM that boots Linux, kernels in `/rig/guests` and a static busybox: `cargo rig linux`
//! has all three. Elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod linux_support;

use linux_support::{Boot, Image};

/// Pages of the bounce buffers that a guest with private memory sets up: 64 MiB.
const BOUNCE_BUFFER_PAGES: u64 = 16384;

/// Boots to user space and checks all that a boot must show.
fn boots(series: &str, image: Image, platform: &str, cpus: u8) {
    let boot = Boot { cpus, platform, ..Boot::of(series, image) };
    let run = boot.run(&format!("echo user space on $(nproc) processors; {}", linux_support::OFF));
    run.assert_console(&format!("user space on {cpus} processors"));
    assert_eq!((run.code, &run.object["result"]), (0, &"ok".into()), "{run}");
    assert_eq!(run.object["guest"], "linux");
    assert_eq!(run.object["guest_end"], "power-off");
    let encrypted = run.console.contains("Memory Encryption Features active: AMD SEV");
    assert_eq!(encrypted, platform == "emulated", "{run}");
    let conversions = &run.object["conversions"];
    if platform == "none" {
        assert!(conversions.is_null(), "{conversions}");
        return;
    }
    let count = |field: &str| conversions[field].as_u64().unwrap();
    assert_eq!(conversions["log_matches_map"], true, "{conversions}");
    assert_eq!(count("to_shared") - count("to_private"), count("shared_pages"));
    assert!(count("shared_pages") > BOUNCE_BUFFER_PAGES, "{conversions}");
    assert_eq!(count("refused"), 0, "{conversions}");
}

/// A test for each cell of the matrix.
macro_rules! matrix {
    ($($name:ident: $series:literal, $image:ident, $platform:literal, $cpus:literal;)*) => {$(
        #[test]
        #[ignore = "needs a KVM that boots Linux: cargo rig linux"]
        fn $name() {
            boots($series, Image::$image, $platform, $cpus);
        }
    )*};
}

matrix! {
    a_stock_6_1_bzimage_boots_on_none: "6.1", BzImage, "none", 1;
    a_stock_6_1_bzimage_boots_on_none_with_2_processors: "6.1", BzImage, "none", 2;
    a_stock_6_1_elf_boots_on_none: "6.1", Elf, "none", 1;
    a_stock_6_1_elf_boots_on_none_with_2_processors: "6.1", Elf, "none", 2;
    a_stock_6_1_bzimage_boots_on_emulated: "6.1", BzImage, "emulated", 1;
    a_stock_6_1_bzimage_boots_on_emulated_with_2_processors: "6.1", BzImage, "emulated", 2;
    a_stock_6_1_elf_boots_on_emulated: "6.1", Elf, "emulated", 1;
    a_stock_6_1_elf_boots_on_emulated_with_2_processors: "6.1", Elf, "emulated", 2;
    a_stock_6_12_bzimage_boots_on_none: "6.12", BzImage, "none", 1;
    a_stock_6_12_bzimage_boots_on_none_with_2_processors: "6.12", BzImage, "none", 2;
    a_stock_6_12_elf_boots_on_none: "6.12", Elf, "none", 1;
    a_stock_6_12_elf_boots_on_none_with_2_processors: "6.12", Elf, "none", 2;
    a_stock_6_12_bzimage_boots_on_emulated: "6.12", BzImage, "emulated", 1;
    a_stock_6_12_bzimage_boots_on_emulated_with_2_processors: "6.12", BzImage, "emulated", 2;
    a_stock_6_12_elf_boots_on_emulated: "6.12", Elf, "emulated", 1;
    a_stock_6_12_elf_boots_on_emulated_with_2_processors: "6.12", Elf, "emulated", 2;
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn the_kernel_finds_the_gpus_and_their_registers() {
    let script = format!(
        "cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/class); \
         head -n 1 $d/resource; done; {}",
        linux_support::OFF
    );
    let boot =
        Boot { gpus: &["apm", "apm"], platform: "emulated", ..Boot::of("6.1", Image::BzImage) };
    let run = boot.run(&script);
    assert_eq!(run.code, 0, "{run}");
    for slot in ["0000:00:00.0 0x1234 0x060000", "0000:00:01.0", "0000:00:02.0"] {
        run.assert_console(slot);
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn memory_above_the_hole_is_memory() {
    let boot = Boot { memory: "4GiB", ..Boot::of("6.1", Image::Elf) };
    let run = boot.run(&format!("grep MemTotal /proc/meminfo; {}", linux_support::OFF));
    let total: u64 = run
        .console
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .unwrap_or_else(|| panic!("no MemTotal: {run}"));
    assert!(total > 3900 << 10, "{total} kB");
}
