//! Unmodified Linux kernels in a real VM: from every kind of image, on both platforms, to user space
//! and off again.
//!
//! They need a KVM that boots Linux, kernels in `/rig/guests` and a static busybox: `cargo rig linux`
//! has all three. Elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod linux_support;

use linux_support::guest::Guest;
use linux_support::{Boot, Image};
use std::fs;
use std::time::Duration;

/// Pages of the bounce buffers that a guest with private memory sets up: 64 MiB.
const BOUNCE_BUFFER_PAGES: u64 = 16384;

const REBOOT: &str = "/bin/busybox reboot -f";

/// Boots to user space and checks all that a boot must show.
fn boots(boot: &Boot<'_>) {
    let Boot { platform, cpus, .. } = *boot;
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
            let (platform, cpus) = ($platform, $cpus);
            boots(&Boot { platform, cpus, ..Boot::of($series, Image::$image) });
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

/// The rig's processor has 40 address bits, the last of which is the C-bit.
const C_BIT: &str = "39";

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn an_igvm_file_of_a_6_1_kernel_boots_and_is_measured_as_it_was_told() {
    let boot = Boot { platform: "emulated", cpus: 2, ..Boot::of("6.1", Image::BzImage) };
    let script = format!("echo user space on $(nproc) processors; {}", linux_support::OFF);
    let (run, told) = boot.run_image(C_BIT, &script);
    run.assert_console("user space on 2 processors");
    run.assert_console("Memory Encryption Features active: AMD SEV");
    assert_eq!((run.code, &run.object["guest_end"]), (0, &"power-off".into()), "{run}");
    assert_eq!(run.object["measurement"], told, "{run}");
    let conversions = &run.object["conversions"];
    assert_eq!(conversions["log_matches_map"], true, "{conversions}");
    assert!(conversions["shared_pages"].as_u64() > Some(BOUNCE_BUFFER_PAGES), "{conversions}");
}

/// A kernel that ends by a reset ends the guest at once, and is reported as one.
fn resets(boot: &Boot<'_>, script: &str, last_words: &str) {
    let run = boot.run(script);
    run.assert_console(last_words);
    assert_eq!((run.code, &run.object["result"]), (23, &"guest-reset".into()), "{run}");
    assert_eq!(run.object["guest_end"], "reset");
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_6_1_guest_that_reboots_is_reported_as_a_reset() {
    for platform in ["none", "emulated"] {
        let boot = Boot { platform, cpus: 2, ..Boot::of("6.1", Image::BzImage) };
        resets(&boot, REBOOT, "reboot: machine restart");
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_6_1_guest_that_panics_is_reported_as_a_reset() {
    for (platform, image) in [("none", Image::Elf), ("emulated", Image::BzImage)] {
        // An init that ends is a panic, and `panic=-1` makes a reset of one.
        let boot = Boot { platform, ..Boot::of("6.1", image) };
        resets(&boot, "exit 1", "Kernel panic - not syncing: Attempted to kill init!");
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_6_12_guest_that_reboots_is_reported_as_a_reset() {
    let boot = Boot { platform: "emulated", cpus: 2, ..Boot::of("6.12", Image::BzImage) };
    resets(&boot, REBOOT, "reboot: machine restart");
}

/// The rig's processor has an XSAVE that does not add up to this kernel, which panics of it.
#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_stock_7_2_bzimage_boots_on_both_platforms_and_resets() {
    for platform in ["none", "emulated"] {
        let boot = Boot { platform, words: "noxsave", ..Boot::of("7.2", Image::BzImage) };
        boots(&boot);
        resets(&boot, REBOOT, "reboot: machine restart");
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn every_processor_of_several_comes_up() {
    for (platform, cpus) in [("none", 4), ("emulated", 8)] {
        boots(&Boot { platform, cpus, ..Boot::of("6.1", Image::BzImage) });
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_device_that_is_led_to_a_private_page_stops_and_is_counted() {
    let driven = |platform| {
        let boot = Boot { platform, ..Boot::of("6.1", Image::BzImage) };
        let script = format!("/bin/rogue-driver; {}", linux_support::OFF);
        let run = boot.run_with("/bin/rogue-driver", &script);
        assert_eq!(run.code, 0, "{run}");
        let devices = run.object["devices"].as_array().unwrap().clone();
        let rng = devices.iter().find(|device| device["name"] == "rng").unwrap();
        (run, rng["dma_refused"].as_u64().unwrap())
    };
    let (run, refused) = driven("emulated");
    run.assert_console("rogue-driver: the device stopped, memory untouched");
    assert!(refused > 0, "{run}");
    // The same driver where nothing is private: it does everything right but this.
    let (run, refused) = driven("none");
    run.assert_console("rogue-driver: the device answered with 64 bytes");
    assert_eq!(refused, 0, "{run}");
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

/// The rig's machine has less: guest memory is there once it is used.
#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn memory_above_the_hole_is_memory() {
    for platform in ["none", "emulated"] {
        let boot = Boot { memory: "6GiB", platform, ..Boot::of("6.1", Image::Elf) };
        let run = boot.run(&format!("grep MemTotal /proc/meminfo; {}", linux_support::OFF));
        let total: u64 = run
            .console
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()
            })
            .unwrap_or_else(|| panic!("no MemTotal: {run}"));
        // Less what describes it, and the bounce buffers.
        assert!(total > 5200 << 10, "{total} kB");
        assert_eq!(run.object["guest_end"], "power-off", "{run}");
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn memory_that_is_asked_for_in_huge_pages_is_in_huge_pages() {
    let script = "echo is up; sleep 1000";
    let guest = Guest::start(&["--memory", "512MiB,hugepages=on"], script);
    guest.wait_for("is up", Duration::from_secs(120));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", guest.process())).unwrap();
    let huge = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
    let huge: u64 = huge.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(huge > 64 << 10, "{huge} kB");
    guest.kill();
}
