#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use super::*;
use crate::host::fake::FakeHost;

const GPU: u32 = 0x03_02_00;
const AUDIO: u32 = 0x04_03_00;
const DISK: u32 = 0x01_08_02;
const NIC: u32 = 0x02_00_00;
const BRIDGE_CLASS: u32 = 0x06_04_00;

fn codes(function: &Function) -> Vec<String> {
    let objects = function.obstacles.iter().map(|obstacle| serde_json::to_value(obstacle).unwrap());
    objects.map(|object| object["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_function_is_what_the_kernel_shows_of_it() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "nouveau", 14);
    let audio = fake.function("0000:01:00.1", AUDIO, "", 14);
    fake.function("0000:00:01.0", BRIDGE_CLASS, "pcieport", 14);
    for (file, text) in [
        ("current_link_speed", "16.0 GT/s PCIe"),
        ("current_link_width", "8"),
        ("max_link_speed", "32.0 GT/s PCIe"),
        ("max_link_width", "16"),
    ] {
        fake.file(&format!("sys/devices/pci0000:00/0000:01:00.0/{file}"), &format!("{text}\n"));
    }
    let all = functions(&fake.host);
    assert_eq!(all.iter().map(|f| f.address).collect::<Vec<_>>(), [gpu, audio], "no bridge");
    let function = &all[0];
    assert_eq!((function.vendor, function.device, function.class), (0x10de, 0x2331, GPU));
    assert_eq!((function.kind(), function.driver.as_deref()), ("3D controller", Some("nouveau")));
    assert_eq!(function.driver_override, None);
    assert_eq!(function.reset_methods, ["flr", "bus"]);
    let link = function.link.as_ref().unwrap();
    assert_eq!((&*link.width, &*link.max_speed), ("8", "32.0 GT/s PCIe"));
    let group = function.iommu_group.as_ref().unwrap();
    let members: Vec<_> = group.members.iter().map(|m| (m.address.to_string(), m.bridge)).collect();
    let expected = [("0000:00:01.0", true), ("0000:01:00.0", false), ("0000:01:00.1", false)];
    assert_eq!(members, expected.map(|(address, bridge)| (address.to_owned(), bridge)));
    assert_eq!(codes(function), ["driver"], "a bridge's and nobody's member is in nobody's way");
    assert_eq!(function.obstacles[0].fix(), "sudo ravelinctl bind 0000:01:00.0");
}

#[test]
fn a_function_that_is_bound_and_open_to_this_user_has_nothing_in_the_way() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "vfio-pci", 14);
    fake.file("dev/vfio/14", "");
    assert_eq!(function(&fake.host, gpu).unwrap().obstacles, []);
}

#[test]
fn a_host_without_an_iommu_is_told_how_to_switch_it_on() {
    for (vendor, word) in [("AuthenticAMD", "AMD-Vi"), ("GenuineIntel", "intel_iommu=on")] {
        let mut fake = FakeHost::new();
        let gpu = fake.function("0000:01:00.0", GPU, "nouveau", 14);
        std::fs::remove_file(fake.host.function(gpu).join("iommu_group")).unwrap();
        fake.file("proc/cpuinfo", &format!("vendor_id : {vendor}\n"));
        let function = function(&fake.host, gpu).unwrap();
        assert_eq!(codes(&function), ["no-iommu"]);
        assert!(function.obstacles[0].fix().contains(word), "{}", function.obstacles[0].fix());
    }
}

#[test]
fn a_kernel_without_vfio_pci_is_told_before_the_driver() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "nouveau", 14);
    std::fs::remove_dir_all(fake.host.driver("vfio-pci")).unwrap();
    assert_eq!(codes(&function(&fake.host, gpu).unwrap()), ["vfio-pci-absent", "driver"]);
}

#[test]
fn a_member_of_the_group_that_the_host_uses_is_named() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "vfio-pci", 14);
    fake.function("0000:01:00.1", DISK, "nvme", 14);
    fake.file("dev/vfio/14", "");
    let function = function(&fake.host, gpu).unwrap();
    assert_eq!(codes(&function), ["group-shared"]);
    assert!(function.obstacles[0].in_words().contains("0000:01:00.1"));
    assert_eq!(function.obstacles[0].fix(), "sudo ravelinctl bind 0000:01:00.1");
}

#[test]
fn nodes_that_may_not_be_opened_are_named_and_either_interface_is_enough() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "vfio-pci", 14);
    assert_eq!(codes(&function(&fake.host, gpu).unwrap()), ["no-node"]);
    fake.file("dev/vfio/14", "");
    fake.host.may_open = |node| match node.ends_with("vfio/14") {
        true => Err(std::io::ErrorKind::PermissionDenied.into()),
        false => std::fs::metadata(node).map(drop),
    };
    let refused = function(&fake.host, gpu).unwrap();
    assert_eq!(codes(&refused), ["permission"]);
    assert!(refused.obstacles[0].fix().ends_with("vfio/14"), "{}", refused.obstacles[0].fix());
    fake.file("sys/devices/pci0000:00/0000:01:00.0/vfio-dev/vfio3/dev", "");
    fake.file("dev/vfio/devices/vfio3", "");
    assert_eq!(codes(&function(&fake.host, gpu).unwrap()), ["no-node"], "no /dev/iommu yet");
    fake.file("dev/iommu", "");
    assert_eq!(function(&fake.host, gpu).unwrap().obstacles, []);
}

#[test]
fn a_limit_of_locked_memory_below_what_guests_share_is_told() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "vfio-pci", 14);
    fake.file("dev/vfio/14", "");
    fake.host.memlock = Some(8 << 20);
    assert_eq!(codes(&function(&fake.host, gpu).unwrap()), ["memlock-limit"]);
}

#[test]
fn a_process_that_has_the_function_is_named() {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "vfio-pci", 14);
    fake.file("dev/vfio/14", "");
    fake.file("proc/4711/comm", "ravelin\n");
    fake.link("proc/4711/fd/9", "dev/vfio/14");
    let function = function(&fake.host, gpu).unwrap();
    assert_eq!(codes(&function), ["taken"]);
    assert_eq!(function.obstacles[0].in_words(), "process 4711 (ravelin) has it");
}

#[test]
fn disks_in_use_are_found_through_what_is_stacked_on_them() {
    let mut fake = FakeHost::new();
    let disk = fake.function("0000:02:00.0", DISK, "nvme", 1);
    let place = "sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1";
    fake.file(&format!("{place}/dev"), "259:0\n");
    fake.file(&format!("{place}/nvme0n1p2/dev"), "259:2\n");
    fake.link("sys/class/block/nvme0n1", place);
    fake.link("sys/class/block/nvme0n1p2", &format!("{place}/nvme0n1p2"));
    fake.file("sys/devices/virtual/block/dm-0/dev", "254:0\n");
    fake.link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
    assert_eq!(function(&fake.host, disk).unwrap().uses, []);
    fake.link(&format!("{place}/nvme0n1p2/holders/dm-0"), "sys/devices/virtual/block/dm-0");
    fake.file("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/mapper/root rw\n");
    let root = Use::Disk { name: "nvme0n1p2".into(), mount: "/".into() };
    assert_eq!(function(&fake.host, disk).unwrap().uses, [root]);
    fake.file("proc/self/mountinfo", "22 1 0:31 / /data rw shared:1 - btrfs /dev/nvme0n1 rw\n");
    let data = Use::Disk { name: "nvme0n1".into(), mount: "/data".into() };
    assert_eq!(function(&fake.host, disk).unwrap().uses, [data]);
    fake.file("proc/self/mountinfo", "");
    fake.file("proc/swaps", "Filename Type\n/dev/nvme0n1p2 partition 1 0 -2\n");
    let swap = Use::Disk { name: "nvme0n1p2".into(), mount: "swap".into() };
    assert_eq!(function(&fake.host, disk).unwrap().uses, [swap]);
}

#[test]
fn the_only_network_is_told_from_one_of_several() {
    let mut fake = FakeHost::new();
    let cards = ["0000:03:00.0", "0000:04:00.0"].map(|at| fake.function(at, NIC, "e1000e", 5));
    for (number, flags) in [(0, "0x1003"), (1, "0x1002")] {
        let place = format!("sys/devices/pci0000:00/{}/net/eth{number}", cards[number]);
        fake.file(&format!("{place}/flags"), &format!("{flags}\n"));
        fake.file(&format!("{place}/device/here"), "");
        fake.link(&format!("sys/class/net/eth{number}"), &place);
    }
    let only = |only| [Use::Network { name: "eth0".into(), only }];
    assert_eq!(function(&fake.host, cards[0]).unwrap().uses, only(true));
    assert_eq!(function(&fake.host, cards[1]).unwrap().uses, [], "nobody has switched it on");
    fake.file(&format!("sys/devices/pci0000:00/{}/net/eth1/flags", cards[1]), "0x1003\n");
    assert_eq!(function(&fake.host, cards[0]).unwrap().uses, only(false));
}

#[test]
fn a_host_without_pci_has_no_functions() {
    let fake = FakeHost::new();
    assert!(functions(&fake.host).is_empty());
    std::fs::remove_dir_all(&fake.host.sys).unwrap();
    assert!(functions(&fake.host).is_empty());
    assert!(function(&fake.host, "0000:01:00.0".parse().unwrap()).is_none());
}
