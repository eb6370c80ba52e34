//! Devices that cannot be given to a guest: each refusal names its cause and what to do.
//!
//! `cargo rig vfio` has what they need; elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod vfio_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use vfio_support::vm::{Vm, as_nobody, refused};
use vfio_support::{Device, has_cdev, others_with_a_driver, ravelinctl_ok};

/// A refusal has all of these words.
fn assert_names(errors: &str, words: &[&str]) {
    for word in words {
        assert!(errors.contains(word), "no {word:?} in: {errors}");
    }
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn an_address_where_nothing_is() {
    let errors = refused("vfio=0000:7f:1f.7", |_| {});
    assert_names(&errors, &["0000:7f:1f.7", "ravelinctl devices"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_is_not_bound() {
    let nvme = Device::Nvme.bound();
    ravelinctl_ok(&["unbind", &nvme]);
    let errors = refused(&format!("vfio={nvme}"), |_| {});
    assert_names(&errors, &[&nvme, "vfio-pci", &format!("ravelinctl bind {nvme}")]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_beside_one_that_the_host_uses() {
    let edu = Device::EduBesideOther.bound();
    let [other] = &others_with_a_driver(&edu)[..] else { panic!("who else is in the group?") };
    let errors = refused(&format!("vfio={edu}"), |_| {});
    assert_names(&errors, &[&edu, other, "virtio-pci", &format!("ravelinctl bind {other}")]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_another_vm_has() {
    let nvme = Device::Nvme.bound();
    let mut vm = Vm::start(&format!("vfio={nvme}"), "nvme", "forever");
    vm.wait_for_trial("identify", 1);
    let errors = refused(&format!("vfio={nvme}"), |_| {});
    assert_names(&errors, &["in use"]);
    assert!(vm.is_running());
}

/// KVM is everybody's here, so that the device is what is missing.
fn open_to_nobody(paths: &[&Path]) {
    for path in paths {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
}

/// The nodes of a device, in the kernel's newest interface.
fn nodes(address: &str) -> Vec<String> {
    let place = vfio_support::place(address);
    if has_cdev() {
        let name = fs::read_dir(place.join("vfio-dev")).unwrap().next().unwrap().unwrap();
        let name = name.file_name().into_string().unwrap();
        return vec![format!("/dev/vfio/devices/{name}"), "/dev/iommu".into()];
    }
    let group = fs::read_link(place.join("iommu_group")).unwrap();
    let number = group.file_name().unwrap().to_str().unwrap();
    vec![format!("/dev/vfio/{number}"), "/dev/vfio/vfio".into()]
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn a_device_that_this_user_may_not_open() {
    let nvme = Device::Nvme.bound();
    open_to_nobody(&[Path::new("/dev/kvm")]);
    let node = &nodes(&nvme)[0];
    fs::set_permissions(node, fs::Permissions::from_mode(0o600)).unwrap();
    let errors = refused(&format!("vfio={nvme}"), as_nobody);
    assert_names(&errors, &["permission", node, "chown"]);
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn too_little_memory_that_may_be_locked() {
    let nvme = Device::Nvme.bound();
    let nodes = nodes(&nvme);
    let mut paths: Vec<&Path> = nodes.iter().map(Path::new).collect();
    paths.push(Path::new("/dev/kvm"));
    open_to_nobody(&paths);
    let errors = refused(&format!("vfio={nvme}"), |command| {
        let ravelin = command.get_program().to_str().unwrap().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut shell = std::process::Command::new("/bin/busybox");
        shell.args(["sh", "-c", "ulimit -l 64; exec \"$@\"", "sh", &ravelin]).args(arguments);
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap());
        }
        as_nobody(&mut shell);
        *command = shell;
    });
    fs::set_permissions(&nodes[0], fs::Permissions::from_mode(0o600)).unwrap();
    assert_names(&errors, &["memlock"]);
}
