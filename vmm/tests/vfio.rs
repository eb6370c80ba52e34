//! Real devices behind a real IOMMU, given to a guest: DMA reaches what is shared and nothing else,
//! blocked ranges are out of reach, interrupts arrive, resets work while the guest runs.
//!
//! `cargo rig vfio` has what they need; elsewhere every test here is ignored. Where a test says what the
//! kernel has, it asks the kernel and not the VMM.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod vfio_support;

use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};
use vfio_support::kernel_log::{KernelLog, faults};
use vfio_support::vm::{Vm, as_nobody, refused};
use vfio_support::{
    Device, described, driver, eventually, give, group_nodes, has_cdev, nodes, ravelinctl,
    ravelinctl_ok,
};

/// Shared by the built-in guest besides what it converts in a trial: its arena, and the GHCB page.
const ALWAYS_SHARED: u64 = (16 << 20) + 4096;
const LARGE_PAGE: u64 = 2 << 20;

/// Rows 15 and 17 of the threats, and that mappings follow conversions: see
/// `resources/guest/src/workload/trial/edu.rs` for the guest's half.
#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn dma_reaches_shared_pages_only_through_10000_conversions() {
    let edu = Device::Edu.bound();
    let mut log = KernelLog::from_now();
    let mut vm = Vm::start(&format!("vfio={edu}"), "edu", "forever");
    for trial in ["registers", "msi", "dma-shared", "dma-private"] {
        vm.wait_for_trial(trial, 1);
    }
    let lines = log.lines();
    for way in ["Write", "Read"] {
        let stopped = faults(&lines, &edu, way);
        assert!(!stopped.is_empty(), "no DMA {way} was stopped by the IOMMU: {lines:#?}");
    }
    vm.wait_for_trial("conversions", 10_000);
    vm.wait_for_trial("shared-now", 0);
    // Row 17: in flight when the page went private, or begun afterwards.
    let lines = log.lines();
    assert!(!faults(&lines, &edu, "Write").is_empty(), "no conversion stopped any DMA: {lines:#?}");
    let shared = ALWAYS_SHARED + vm.trial("shared-now").unwrap() * LARGE_PAGE;
    assert_eq!(vm.pinned(), shared, "the kernel maps other bytes than the guest shares");
    assert!(vm.trial("transfers").unwrap() > 10, "conversions with no DMA running");
    let ended = vm.stop();
    assert_eq!(ended.code, Some(143), "{}", ended.errors);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn the_kernels_newest_interface_is_used() {
    let nvme = Device::Nvme.bound();
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 1);
    let files = vm.open_files();
    let has = |start: &str| files.iter().any(|file| file.starts_with(start));
    assert_eq!(has("/dev/vfio/devices"), has_cdev(), "{files:?}");
    assert_eq!(has("/dev/iommu"), has_cdev(), "{files:?}");
    assert_eq!(has("/dev/vfio/vfio"), !has_cdev(), "{files:?}");
}

/// Who has the older nodes only, gets the device by them.
#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn an_ordinary_user_needs_the_nodes_of_one_interface_only() {
    let nvme = Device::Nvme.bound();
    lock_at_will();
    give("/dev/kvm", true);
    give(&nodes(&nvme)[0], false);
    let group = group_nodes(&nvme);
    group.iter().for_each(|node| give(node, true));
    let mut vm = Vm::start_as(&format!("vfio={nvme}"), "nvme", "forever", as_nobody);
    vm.wait_for_trial("identify", 1);
    assert!(vm.open_files().iter().any(|file| file.starts_with(&group[1])));
    give(&group[0], false);
}

/// The launcher has opened the files, and the VMM may open none of them. A kernel without character
/// devices has none to hand over: its group is refused by name.
#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn files_that_a_launcher_hands_over_are_enough() {
    let nvme = Device::Nvme.bound();
    lock_at_will();
    give("/dev/kvm", true);
    let nodes = nodes(&nvme);
    let files = nodes.each_ref().map(|node| {
        give(node, false);
        let file = fs::File::options().read(true).write(true).open(node).unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        file
    });
    let [device, iommufd] = files.each_ref().map(|file| file.as_raw_fd());
    let gpu = format!("vfio=fd:{device},iommufd=fd:{iommufd}");
    if !has_cdev() {
        give(&nodes[1], true);
        return refused(&gpu, as_nobody).assert(9, &[&format!("fd:{device}")]);
    }
    let mut vm = Vm::start_as(&gpu, "nvme", "forever", as_nobody);
    vm.wait_for_trial("identify", 2);
    refused(&gpu, as_nobody).assert(64, &[&format!("fd:{device}"), "owner"]);
    assert!(vm.is_running());
}

/// What is started from here on may lock as much memory as it likes.
fn lock_at_will() {
    let limit = Rlimit { current: None, maximum: None };
    setrlimit(Resource::Memlock, limit).unwrap();
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_blocked_range_reads_all_ones_and_is_in_no_memory_slot() {
    let edu = Device::Edu.bound();
    let mut open = Vm::start(&format!("vfio={edu}"), "edu", "forever");
    open.wait_for_trial("registers", 1);
    let mapped = open.mapped_of_bar0(&edu);
    assert!(mapped.iter().any(|range| range.contains(&0)), "nothing is mapped: {mapped:?}");
    drop(open);
    let mut vm = Vm::start(&format!("vfio={edu},block=0:0x0-0x1000"), "edu", "forever");
    vm.wait_for_trial("blocked", 1);
    let mapped = vm.mapped_of_bar0(&edu);
    assert!(mapped.iter().all(|range| range.start >= 0x1000), "{mapped:?}");
    assert!(!mapped.is_empty(), "the rest of the BAR is to be mapped");
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_with_msi_x_works_and_its_dma_is_confined() {
    let nvme = Device::Nvme.bound();
    let mut log = KernelLog::from_now();
    let ended = Vm::start(&format!("vfio={nvme}"), "nvme", "5").end();
    assert_eq!((ended.code, &ended.object["result"]), (Some(0), &"ok".into()), "{}", ended.errors);
    let trials = &ended.object["workload"]["trials"];
    assert_eq!(
        (&trials["identify"]["count"], &trials["dma-private"]["count"]),
        (&5.into(), &1.into())
    );
    let lines = log.lines();
    assert!(!faults(&lines, &nvme, "Write").is_empty(), "{lines:#?}");
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn flr_and_bus_reset_work_while_the_guest_runs() {
    let nvme = Device::Nvme.bound();
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 2);
    let resets = |vm: &Vm| vm.events().matches("\"trial\":\"reset\"").count();
    for (number, kind) in [(1, "flr"), (2, "bus")] {
        let output = vm.operator(&["reset", "vm", "--gpu", "0", "--kind", kind]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind}: {errors}");
        vm.wait_for(&format!("reset {number}, {kind}"), |vm| resets(vm) >= number);
        let before = vm.trial("identify").unwrap();
        vm.wait_for_trial("identify", before + 2);
    }
    assert!(vm.is_running());
}

/// Without power at its slot the device answers nothing, and the kernel is not told.
#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_vanishes_is_reported_and_the_vm_carries_on() {
    let nvme = Device::Nvme.bound();
    let port = upstream(&nvme);
    let as_new = AsNew(nvme.clone());
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 2);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let power = SlotPower::off(&port);
    let reported = eventually("a report of the device's end", || vm.logged_at("gpu_vanished"));
    vm.wait_for_trial("vanished", 1);
    let info = vm.operator(&["info", "vm", "--json"]);
    assert!(info.status.success() && vm.is_running(), "{}", vm.errors());
    // With power it can be reset when the VMM closes it, or the kernel waits for it for a minute.
    drop(power);
    let ended = vm.stop();
    drop(as_new);
    assert_eq!(ended.code, Some(143), "{}", ended.errors);
    // How long the VMM lets pass is in its code; here it is measured, and no limit: a loaded host makes
    // everything late.
    say(format_args!("reported {:?} after its power went", reported - before));
}

/// Into the job's log, whether the test passes or not.
#[allow(
    clippy::explicit_write,
    reason = "what `eprintln` writes is kept back in a test that passes"
)]
fn say(what: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{what}").unwrap();
}

/// The address of the port that a device stands behind.
fn upstream(address: &str) -> String {
    let place = fs::canonicalize(vfio_support::place(address)).unwrap();
    place.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// PCI Express Base Specification 7.5.3.10: slot control, power controller control.
const SLOT_CONTROL: u64 = 0x18;
const POWER_OFF: u16 = 1 << 10;

/// A slot without power.
struct SlotPower(String);

impl SlotPower {
    fn off(port: &str) -> Self {
        switch(port, true);
        Self(port.to_owned())
    }
}

impl Drop for SlotPower {
    fn drop(&mut self) {
        switch(&self.0, false);
    }
}

/// Has the kernel find a device anew at the end, whatever has become of the test.
struct AsNew(String);

impl Drop for AsNew {
    fn drop(&mut self) {
        let _ = fs::write(vfio_support::place(&self.0).join("remove"), "1");
        let _ = fs::write("/sys/bus/pci/rescan", "1");
    }
}

fn switch(port: &str, off: bool) {
    let path = vfio_support::place(port).join("config");
    let mut config = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut read = |at: u64| {
        let mut word = [0; 2];
        config.seek(SeekFrom::Start(at)).unwrap();
        config.read_exact(&mut word).unwrap();
        u16::from_le_bytes(word)
    };
    let mut at = u64::from(read(0x34) & 0xfc);
    while read(at) as u8 != 0x10 {
        at = u64::from(read(at) >> 8 & 0xfc);
        assert!(at != 0, "{port} has no PCI Express capability");
    }
    let control = read(at + SLOT_CONTROL);
    let control = if off { control | POWER_OFF } else { control & !POWER_OFF };
    config.seek(SeekFrom::Start(at + SLOT_CONTROL)).unwrap();
    config.write_all(&control.to_le_bytes()).unwrap();
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_is_listed_bound_and_given_back() {
    let edu = Device::Edu.bound();
    let device = described(&edu);
    assert_eq!((&device["vendor"], &device["device"]), (&0x1234.into(), &0x11e8.into()));
    assert_eq!((&device["driver"], &device["obstacles"]), (&"vfio-pci".into(), &[(); 0].into()));
    let dry = ravelinctl_ok(&["unbind", &edu, "--dry-run"]);
    assert!(dry.lines().all(|line| line.starts_with("echo ")), "{dry}");
    assert_eq!(driver(&edu).as_deref(), Some("vfio-pci"), "a dry run changes something");
    ravelinctl_ok(&["unbind", &edu]);
    assert_eq!(driver(&edu), None);
    assert_eq!(described(&edu)["obstacles"][0]["code"], "driver");
    ravelinctl_ok(&["bind", &edu]);
    assert_eq!(driver(&edu).as_deref(), Some("vfio-pci"));
    let nvme = described(&Device::Nvme.address());
    let methods = nvme["reset_methods"].as_array().unwrap();
    assert!(methods.contains(&"flr".into()) && methods.contains(&"bus".into()), "{nvme}");
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_a_vm_has_is_not_given_back() {
    let nvme = Device::Nvme.bound();
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 1);
    let output = ravelinctl(&["unbind", &nvme]);
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(described(&nvme)["obstacles"][0]["code"], "taken");
    assert!(vm.is_running());
}
