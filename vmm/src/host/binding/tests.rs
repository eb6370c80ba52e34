#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use super::*;
use crate::host::fake::FakeHost;
use proptest::prelude::*;

const GPU: u32 = 0x03_02_00;
const DISK: u32 = 0x01_08_02;

/// A host with a GPU, and beside it a disk in its group that has the root file system, if asked for.
fn host(disk_in_group: bool) -> (FakeHost, Address) {
    let mut fake = FakeHost::new();
    let gpu = fake.function("0000:01:00.0", GPU, "nouveau", 14);
    fake.function("0000:02:00.0", DISK, "nvme", if disk_in_group { 14 } else { 15 });
    let place = "sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0n1";
    fake.file(&format!("{place}/dev"), "259:0\n");
    fake.link("sys/class/block/nvme0n1", place);
    fake.file("proc/self/mountinfo", "22 1 259:0 / / rw - ext4 /dev/root rw\n");
    (fake, gpu)
}

fn driver(fake: &FakeHost, address: Address) -> Option<String> {
    inventory::function(&fake.host, address).unwrap().driver
}

/// Carries a plan out on a host that is its own kernel.
fn carry_out(plan: &Plan, fake: &mut FakeHost) -> Result<Option<String>, Error> {
    let host = fake.host.clone();
    plan.carry_out(&host, fake)
}

#[test]
fn a_function_goes_to_vfio_pci_and_back_to_its_driver() {
    let (mut fake, gpu) = host(false);
    let plan = Plan::bind(&fake.host, gpu, &[]).unwrap();
    assert_eq!(carry_out(&plan, &mut fake).unwrap().as_deref(), Some("vfio-pci"));
    assert_eq!(driver(&fake, gpu).as_deref(), Some("vfio-pci"));
    assert_eq!(Plan::bind(&fake.host, gpu, &[]).unwrap().writes, [], "nothing is left to do");
    let plan = Plan::unbind(&fake.host, gpu).unwrap();
    assert_eq!(carry_out(&plan, &mut fake).unwrap().as_deref(), Some("nouveau"));
    let function = inventory::function(&fake.host, gpu).unwrap();
    assert_eq!(function.driver_override, None, "the host's kernel chooses again");
    let again = Plan::unbind(&fake.host, gpu).unwrap_err();
    assert!(matches!(again, Error::NotBound { .. }), "{again}");
}

#[test]
fn a_plan_writes_nothing_before_it_is_carried_out() {
    let (fake, gpu) = host(false);
    let before = fake.snapshot();
    let plan = Plan::bind(&fake.host, gpu, &[]).unwrap();
    assert_eq!(plan.writes.len(), 3);
    assert_eq!(fake.snapshot(), before);
}

#[test]
fn what_is_carried_out_is_what_the_plan_says_and_no_more() {
    let (mut fake, gpu) = host(false);
    let plan = Plan::bind(&fake.host, gpu, &[]).unwrap();
    carry_out(&plan, &mut fake).unwrap();
    let planned: Vec<_> = plan.writes.into_iter().map(|w| (w.path, w.value)).collect();
    assert_eq!(fake.written, planned);
}

#[test]
fn the_root_disk_stays_unless_it_is_named() {
    let (fake, _) = host(false);
    let disk = "0000:02:00.0".parse().unwrap();
    for take in [vec![], vec!["eth0".to_owned()], vec![String::new()]] {
        let refused = Plan::bind(&fake.host, disk, &take).unwrap_err();
        let Error::InUse { name, what, .. } = &refused else { panic!("{refused}") };
        assert_eq!((&**name, &**what), ("nvme0n1", "has the root file system (nvme0n1)"));
    }
    assert!(Plan::bind(&fake.host, disk, &["nvme0n1".into()]).is_ok());
}

#[test]
fn a_group_whose_other_member_works_for_the_host_stays_unless_it_is_named() {
    let (fake, gpu) = host(true);
    let refused = Plan::bind(&fake.host, gpu, &[]).unwrap_err();
    let Error::InUse { name, .. } = &refused else { panic!("{refused}") };
    assert_eq!(name, "0000:02:00.0");
    assert!(Plan::bind(&fake.host, gpu, &["0000:02:00.0".into()]).is_ok());
}

#[test]
fn a_function_that_a_vm_has_is_not_given_back() {
    let (fake, gpu) = host(false);
    fake.attach(gpu, "vfio-pci");
    fake.link("proc/4711/fd/9", "dev/vfio/14");
    let refused = Plan::unbind(&fake.host, gpu).unwrap_err();
    assert!(matches!(refused, Error::Taken { .. }), "{refused}");
}

#[test]
fn without_an_iommu_or_the_driver_nothing_is_bound() {
    let (fake, gpu) = host(false);
    std::fs::remove_dir_all(fake.host.driver("vfio-pci")).unwrap();
    let refused = Plan::bind(&fake.host, gpu, &[]).unwrap_err();
    assert!(refused.to_string().contains("modprobe vfio-pci"), "{refused}");
    let nobody = "0000:7f:00.0".parse().unwrap();
    assert!(matches!(Plan::bind(&fake.host, nobody, &[]), Err(Error::NoSuchDevice(_))));
}

#[test]
fn a_function_that_vfio_pci_does_not_take_is_the_hosts_again() {
    let (mut fake, gpu) = host(false);
    fake.refusing.push("vfio-pci".into());
    let plan = Plan::bind(&fake.host, gpu, &[]).unwrap();
    let failed = carry_out(&plan, &mut fake).unwrap_err();
    assert!(matches!(failed, Error::WentElsewhere { .. }), "{failed}");
    assert_eq!(driver(&fake, gpu).as_deref(), Some("nouveau"));
}

#[test]
fn a_write_that_the_kernel_refuses_is_named_and_taken_back() {
    let (mut fake, gpu) = host(false);
    let plan = Plan::bind(&fake.host, gpu, &[]).unwrap();
    std::fs::remove_file(fake.host.driver("nouveau").join("unbind")).unwrap();
    let failed = carry_out(&plan, &mut fake).unwrap_err();
    assert!(failed.to_string().contains("nouveau/unbind"), "{failed}");
    let function = inventory::function(&fake.host, gpu).unwrap();
    assert_eq!((function.driver.as_deref(), function.driver_override), (Some("nouveau"), None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever stands on the bus and whoever is bound: only the named function's own files change,
    /// and its own address is all that the bus's files are told.
    #[test]
    fn nothing_outside_the_named_function_is_written(
        others in proptest::collection::vec((1..32u8, 0..8u8, 0..4usize), 1..6),
        chosen in any::<prop::sample::Index>(),
        unbind in any::<bool>(),
        refuse in any::<bool>(),
    ) {
        let mut fake = FakeHost::new();
        let drivers = ["vfio-pci", "nvme", "e1000e", ""];
        let mut all = Vec::new();
        for (device, function, driver) in others {
            let address = format!("0000:05:{device:02x}.{function}");
            if !all.iter().any(|known: &Address| known.to_string() == address) {
                let number = all.len() as u32;
                all.push(fake.function(&address, GPU, drivers[driver], number / 2));
            }
        }
        let address = *chosen.get(&all);
        if refuse {
            fake.refusing.push("vfio-pci".into());
        }
        let before = fake.snapshot();
        let plan = match unbind {
            true => Plan::unbind(&fake.host, address),
            false => Plan::bind(&fake.host, address, &[]),
        };
        if let Ok(plan) = plan {
            let _ = carry_out(&plan, &mut fake);
        }
        let own = std::fs::canonicalize(fake.host.function(address)).unwrap();
        for (path, value) in &fake.written {
            let of_the_bus = path.ends_with("drivers_probe") || path.ends_with("unbind");
            let of_the_function = std::fs::canonicalize(path).unwrap().starts_with(&own);
            prop_assert!(of_the_function || of_the_bus && *value == address.to_string());
        }
        let after = fake.snapshot();
        for (path, text) in after.iter().chain(&before) {
            let told = path.ends_with("drivers_probe") || path.ends_with("unbind");
            prop_assert!(
                before.get(path) == after.get(path) || path.starts_with(&own) || told,
                "{} changed to {text:?}", path.display()
            );
        }
    }
}
