//! What is loaded goes through the SNP launch on a recording kernel, and the digest that the recorded
//! calls imply is the one that `ravelin image measure` tells beforehand.

use super::*;
use crate::boot::direct::{Machine, Target};
use crate::boot::image::BUILTIN;
use crate::boot::linux::tests::{bzimage, open};
use crate::layout::SNP_LIMIT;
use crate::memory::{Memory, VmType};
use crate::platform::snp;
use crate::platform::snp::recorder::Recorder;
use kvm_bindings::kvm_sregs;
use ravelin_launch::igvm as file;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

const C_BIT: u8 = 51;
/// An EPYC of the third generation.
const PROCESSOR: Signature = Signature(0xa0_0f11);

fn machine(cpus: u8) -> Machine {
    Machine {
        target: Target::Snp,
        c_bit: C_BIT,
        memory: 64 << 20,
        cpus,
        signature: PROCESSOR,
        sev_features: SNP_ACTIVE,
        policy: DEFAULT_POLICY,
    }
}

fn linux(words: &str) -> Linux {
    open(&bzimage(|_| ()), Some(b"initrd"), words).unwrap()
}

fn builtin() -> Builtin {
    Builtin {
        image: BUILTIN,
        parameters: "workload=digits repeat=1".into(),
        hints: "nonce=00".into(),
        host_data: [7; 32],
        payload: b"payload".to_vec(),
    }
}

/// The digest that the calls of this guest's launch imply, with the states that KVM makes of the registers
/// that its vCPUs are given: the first one's, and a reset's.
fn replayed(guest: Guest, cpus: u8) -> [u8; 48] {
    let kernel = Arc::<Recorder>::default();
    let device = File::open("/dev/null").unwrap();
    let begun = snp::launch::Launch::new(&*kernel, device.as_fd()).unwrap();
    let layout = Layout::new(machine(cpus).memory, SNP_LIMIT).unwrap();
    let memory = Memory::of_kernel(kernel.clone(), &layout.memory, VmType::Snp).unwrap();
    let place = Place {
        platform: Platform::Snp,
        layout: &layout,
        memory: memory.private(),
        c_bit: Some(C_BIT),
        cpus,
        processor: PROCESSOR,
        tsc_khz: 2_000_000,
    };
    let Loaded { first, image, host_data } = place.load(guest).unwrap();
    let image = image.unwrap();
    snp::image::launch(begun, &image, &memory, &[], host_data).unwrap();
    let special = state::special_registers(&first, kvm_sregs::default());
    let mut states = vec![state::measured(&state::general_registers(&first), &special)];
    let reset = Vmsa::reset(RESET_VECTOR, PROCESSOR.0, SNP_ACTIVE);
    states.resize(cpus.into(), reset);
    let digest = kernel.digest_with(&states.iter().map(Vmsa::encode).collect::<Vec<_>>());
    assert_eq!(image.digest(), digest, "what `ravelin run` says");
    digest
}

#[test]
fn a_directly_booted_kernels_launch_implies_the_digest_that_measure_tells() {
    for cpus in [1, 2, 4] {
        let told = machine(cpus).linux(linux("console=ttyS0")).unwrap().digest();
        let guest = |words| Guest::Linux(Box::new(linux(words)));
        assert_eq!(replayed(guest("console=ttyS0"), cpus), told, "{cpus} vCPUs");
        assert_ne!(replayed(guest("console=ttyS1"), cpus), told, "another command line");
    }
}

#[test]
fn an_igvm_files_launch_implies_the_digest_that_measure_tells() {
    for cpus in [1, 2, 4] {
        let built = machine(cpus).linux(linux("console=ttyS0")).unwrap();
        let bytes = file::write(&built).unwrap();
        let image = || file::read(&bytes).unwrap();
        assert_eq!(replayed(Guest::Image(Box::new(image())), cpus), image().digest());
        assert_eq!(image().digest(), built.digest(), "and of the kernel booted directly");
    }
}

#[test]
fn the_built_in_guests_launch_implies_the_digest_that_measure_tells() {
    let built = machine(1).builtin(&builtin()).unwrap();
    assert_eq!(replayed(Guest::Builtin(builtin()), 1), built.digest());
    let image = file::read(&file::write(&built).unwrap()).unwrap();
    assert_eq!(replayed(Guest::Image(Box::new(image)), 1), built.digest());
}

#[test]
fn where_nothing_is_measured_there_is_no_image() {
    let layout = Layout::new(64 << 20, SNP_LIMIT).unwrap();
    let memory = Memory::new(&layout.memory, false, crate::memory::Pages::Any).unwrap();
    let place = Place {
        platform: Platform::None,
        layout: &layout,
        memory: memory.private(),
        c_bit: None,
        cpus: 1,
        processor: PROCESSOR,
        tsc_khz: 2_000_000,
    };
    assert!(place.load(Guest::Builtin(builtin())).unwrap().image.is_none());
}
