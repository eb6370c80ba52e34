use super::*;
use crate::kvm;
use crate::platform::snp::firmware::PlatformStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A machine that is made up.
#[derive(Clone)]
struct Machine {
    release: &'static str,
    files: BTreeMap<&'static str, String>,
    directories: BTreeMap<&'static str, Vec<String>>,
    devices: BTreeMap<&'static str, Option<io::ErrorKind>>,
    cpuid: BTreeMap<u32, u32>,
    capabilities: BTreeMap<u32, i32>,
    status: Option<PlatformStatus>,
}

impl Host for Machine {
    fn kernel_release(&self) -> String {
        self.release.into()
    }

    fn read(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    fn list(&self, path: &str) -> Vec<String> {
        self.directories.get(path).cloned().unwrap_or_default()
    }

    fn open(&self, path: &str) -> io::Result<()> {
        match self.devices.get(path) {
            Some(None) => Ok(()),
            Some(Some(kind)) => Err((*kind).into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn cpuid(&self, leaf: u32) -> u32 {
        self.cpuid.get(&leaf).copied().unwrap_or_default()
    }

    fn kvm_capability(&self, number: u32) -> io::Result<i32> {
        self.open("/dev/kvm")?;
        Ok(self.capabilities.get(&number).copied().unwrap_or_default())
    }

    fn secure_processor(&self) -> io::Result<PlatformStatus> {
        self.open("/dev/sev")?;
        self.status.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

const VM_TYPES: u32 = 235;
const ATTRIBUTES: u32 = 233;
const GUEST_MEMFD: u32 = 234;
const USER_MEMORY2: u32 = 231;
const EXIT_HYPERCALL: u32 = 201;
const PARAMETER: &str = "/sys/module/kvm_amd/parameters/sev_snp";

/// A host that can do everything.
fn able() -> Machine {
    let needed = [&kvm::NEEDED[..], &kvm::NEEDED_BY_EMULATED];
    let needed = needed.concat().into_iter().map(|(capability, _)| (capability as u32, 1));
    let more = [
        (VM_TYPES, 0b1_0001),
        (ATTRIBUTES, 8),
        (GUEST_MEMFD, 1),
        (USER_MEMORY2, 1),
        (EXIT_HYPERCALL, 1 << 12),
    ];
    let info = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9354\n\
                flags\t\t: fpu svm sev sev_es sev_snp\n\nprocessor\t: 1\n";
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Machine {
        release: "7.2.3-amd64",
        files: [("/proc/cpuinfo", info.to_owned()), (PARAMETER, "Y\n".to_owned())].into(),
        directories: [
            ("/sys/module", names(&["kvm", "kvm_amd"])),
            ("/sys/kernel/iommu_groups", names(&["0", "1"])),
            ("/sys/bus/pci/drivers", names(&["nvme", "vfio-pci"])),
        ]
        .into(),
        devices: [("/dev/kvm", None), ("/dev/sev", None), ("/dev/vfio/vfio", None)].into(),
        cpuid: [(0x8000_001f, 0x0101_fd3f)].into(),
        capabilities: needed.chain(more).collect(),
        status: Some(PlatformStatus { abi: (1, 55), build: 21, initialized: true, guests: 0 }),
    }
}

/// The machine that develops Ravelin: a virtual machine whose KVM has no hardware under it.
fn pvm() -> Machine {
    let able = able();
    let info = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor aes\n";
    let mut capabilities = able.capabilities;
    capabilities.extend([(VM_TYPES, 0), (ATTRIBUTES, 0)]);
    Machine {
        release: "6.18.44-fc-v509",
        files: [("/proc/cpuinfo", info.to_owned())].into(),
        directories: [("/sys/module", vec!["kvm".into(), "kvm_pvm".into()])].into(),
        devices: [("/dev/kvm", None)].into(),
        cpuid: BTreeMap::new(),
        capabilities,
        status: None,
    }
}

fn states(examination: &Examination) -> BTreeMap<&'static str, State> {
    examination.checks.iter().map(|check| (check.id, check.state)).collect()
}

#[test]
fn a_host_that_has_everything_can_do_everything() {
    for subject in Subject::ALL {
        let examination = examine(&able(), subject);
        assert!(examination.able, "{examination:#?}");
        assert!(examination.checks.iter().all(|check| check.state == State::Ok));
        assert_eq!(require(&able(), subject), Ok(()));
    }
    assert_eq!(describe(&able()).kvm, "amd");
}

#[test]
fn a_pvm_host_runs_the_built_in_guest_and_is_told_why_it_has_no_snp() {
    let machine = pvm();
    let description = describe(&machine);
    assert_eq!((description.kvm, description.virtual_machine), ("pvm", true));
    for subject in [Subject::None, Subject::Emulated] {
        let examination = examine(&machine, subject);
        assert!(examination.able, "{examination:#?}");
        assert_eq!(states(&examination)["hardware-virtualization"], State::Limited);
    }
    let snp = examine(&machine, Subject::Snp);
    assert!(!snp.able);
    let states = states(&snp);
    for (id, state) in [
        ("processor", State::Missing),
        ("kernel", State::Ok),
        ("kvm_amd", State::Missing),
        ("kvm", State::Ok),
        ("vm-type", State::Missing),
        ("guest_memfd", State::Ok),
        ("memory-attributes", State::Missing),
        ("sev-device", State::Missing),
        ("firmware", State::Unknown),
        ("certificate-requests", State::Limited),
    ] {
        assert_eq!(states[id], state, "{id}");
    }
    let types = snp.checks.iter().find(|check| check.id == "vm-type").unwrap();
    assert_eq!(types.found, "KVM makes VMs of types [0], SNP is 4");
    assert!(!examine(&machine, Subject::Vfio).able);
}

/// Each thing that can be amiss, and the check that says so.
#[test]
fn each_thing_that_is_amiss_is_the_one_that_is_named() {
    type Spoil = fn(&mut Machine);
    let table: [(Subject, &str, Spoil); 19] = [
        (Subject::None, "kvm", |m| {
            m.devices.remove("/dev/kvm");
        }),
        (Subject::None, "kvm", |m| {
            m.devices.remove("/dev/kvm");
            m.directories.remove("/sys/module");
        }),
        (Subject::None, "kvm", |m| {
            *m = pvm();
            m.devices.remove("/dev/kvm");
            m.directories.remove("/sys/module");
        }),
        (Subject::None, "kvm", |m| {
            m.devices.insert("/dev/kvm", Some(io::ErrorKind::PermissionDenied));
        }),
        (Subject::None, "capabilities", |m| m.capabilities.clear()),
        (Subject::Emulated, "capabilities", |m| {
            m.capabilities.remove(&(kvm::NEEDED_BY_EMULATED[1].0 as u32));
        }),
        (Subject::Snp, "processor", |m| {
            m.cpuid.insert(0x8000_001f, 0xf);
        }),
        (Subject::Snp, "kernel", |m| m.release = "6.10.9"),
        (Subject::Snp, "kvm_amd", |m| {
            m.files.insert(PARAMETER, "N\n".into());
        }),
        (Subject::Snp, "kvm_amd", |m| {
            m.files.remove(PARAMETER);
        }),
        (Subject::Snp, "vm-type", |m| {
            m.capabilities.insert(VM_TYPES, 0b1111);
        }),
        (Subject::Snp, "guest_memfd", |m| {
            m.capabilities.remove(&GUEST_MEMFD);
        }),
        (Subject::Snp, "memory-attributes", |m| {
            m.capabilities.remove(&ATTRIBUTES);
        }),
        (Subject::Snp, "sev-device", |m| {
            m.devices.insert("/dev/sev", Some(io::ErrorKind::PermissionDenied));
        }),
        (Subject::Snp, "firmware", |m| m.status.as_mut().unwrap().abi = (1, 50)),
        (Subject::Snp, "firmware", |m| m.status.as_mut().unwrap().initialized = false),
        (Subject::Vfio, "iommu", |m| {
            m.directories.remove("/sys/kernel/iommu_groups");
        }),
        (Subject::Vfio, "vfio-pci", |m| {
            m.directories.remove("/sys/bus/pci/drivers");
        }),
        (Subject::Vfio, "device", |m| {
            m.devices.remove("/dev/vfio/vfio");
        }),
    ];
    let mut fixes = BTreeSet::new();
    for (index, (subject, id, spoil)) in table.into_iter().enumerate() {
        let mut machine = able();
        spoil(&mut machine);
        let examination = examine(&machine, subject);
        assert!(!examination.able, "{index}");
        let first = examination.first_missing().unwrap();
        assert_eq!(first.id, id, "{index}");
        let fix = first.fix.clone().unwrap();
        assert!(fixes.insert((first.found.clone(), fix)), "{index} is told as another one");
        let told = require(&machine, subject).unwrap_err().to_string();
        assert!(told.contains(&first.found) && told.contains("ravelin doctor"), "{told}");
    }
}

#[test]
fn what_cannot_be_asked_is_not_taken_for_good() {
    let mut machine = able();
    machine.devices.remove("/dev/kvm");
    let snp = examine(&machine, Subject::Snp);
    assert_eq!(states(&snp)["vm-type"], State::Unknown);
    assert!(!snp.able);
    machine = able();
    machine.release = "next";
    assert!(!examine(&machine, Subject::Snp).able);
}

#[test]
fn this_very_host_can_be_asked() {
    let host = ThisHost;
    assert!(!describe(&host).kernel.is_empty());
    for subject in Subject::ALL {
        let examination = examine(&host, subject);
        assert!(!examination.checks.is_empty());
        let unsaid = |check: &&Check| check.state == State::Missing && check.fix.is_none();
        assert!(!examination.checks.iter().any(|check| unsaid(&check)));
    }
}
