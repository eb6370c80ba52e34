//! Devices that cannot be given to a guest: each refusal names its cause and what to do.
//!
//! `cargo rig vfio` has what they need; elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod vfio_support;

use std::fs::File;
use std::os::fd::AsRawFd;
use vfio_support::vm::{Vm, after, as_nobody, refused};
use vfio_support::{Device, give, group_nodes, nodes, others_with_a_driver, ravelinctl_ok};

/// KVM is everybody's here, so that the device is what is missing.
const KVM: &str = "/dev/kvm";

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn an_address_where_nothing_is() {
    let refusal = refused("vfio=0000:7f:1f.7", |_| {});
    refusal.assert(63, &["0000:7f:1f.7", "ravelinctl devices"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_is_not_bound() {
    let nvme = Device::Nvme.bound();
    ravelinctl_ok(&["unbind", &nvme]);
    let refusal = refused(&format!("vfio={nvme}"), |_| {});
    refusal.assert(65, &[&nvme, "vfio-pci", &format!("ravelinctl bind {nvme}")]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_beside_one_that_the_host_uses() {
    let edu = Device::EduBesideOther.bound();
    let [other] = &others_with_a_driver(&edu)[..] else { panic!("who else is in the group?") };
    let refusal = refused(&format!("vfio={edu}"), |_| {});
    refusal.assert(64, &[&edu, other, "virtio-pci", &format!("ravelinctl bind {other}")]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_another_vm_has() {
    let nvme = Device::Nvme.bound();
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 1);
    refused(&format!("vfio={nvme}"), |_| {}).assert(64, &["in use"]);
    assert!(vm.is_running());
}

/// The kernel's view of the bus is covered by one in which the device is in no IOMMU group.
#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_host_whose_iommu_is_off() {
    let nvme = Device::Nvme.bound();
    let refusal = refused(&format!("vfio={nvme}"), |command| {
        let all = "/sys/bus/pci/devices";
        let cover = format!(
            "mount -t tmpfs none {all} && mkdir {all}/{nvme} && \
            ln -s /sys/bus/pci/drivers/vfio-pci {all}/{nvme}/driver"
        );
        after(&cover, command);
        let mut alone = std::process::Command::new("/bin/busybox");
        alone.args(["unshare", "-m"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            alone.env(name, value.unwrap());
        }
        *command = alone;
    });
    refusal.assert(67, &[&nvme, "IOMMU", "firmware"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_this_user_may_not_open() {
    let nvme = Device::Nvme.bound();
    let nodes = nodes(&nvme);
    give(KVM, true);
    give(&nodes[0], false);
    give(&group_nodes(&nvme)[0], false);
    let refusal = refused(&format!("vfio={nvme}"), as_nobody);
    refusal.assert(66, &["permission", &nodes[0], "chown"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn too_little_memory_that_may_be_locked() {
    let nvme = Device::Nvme.bound();
    let nodes = nodes(&nvme);
    for node in nodes.iter().map(String::as_str).chain([KVM]) {
        give(node, true);
    }
    let refusal = refused(&format!("vfio={nvme}"), |command| {
        after("ulimit -l 64", command);
        as_nobody(command);
    });
    give(&nodes[0], false);
    refusal.assert(68, &["memlock limit of 65536 bytes", "ulimit -l"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn files_that_are_no_device_or_no_iommufd() {
    let nvme = Device::Nvme.bound();
    let inherited = |path: &str| {
        let file = File::options().read(true).write(true).open(path).unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        file
    };
    let (device, nothing) = (inherited(&nodes(&nvme)[0]), inherited("/dev/null"));
    let [device, nothing] = [&device, &nothing].map(|file| file.as_raw_fd());
    for (first, second, wrong) in [
        (nothing, nothing, nothing),
        // Of a kernel without character devices the first one is wrong already: a group.
        (device, nothing, if vfio_support::has_cdev() { nothing } else { device }),
        (device, 4000, 4000),
    ] {
        let refusal = refused(&format!("vfio=fd:{first},iommufd=fd:{second}"), |_| {});
        refusal.assert(9, &[&format!("fd:{wrong}"), "hand in", "/dev/iommu"]);
    }
}
