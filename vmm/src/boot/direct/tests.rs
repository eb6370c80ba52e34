use super::*;
use crate::boot::linux::tests::{bzimage, open};
use ravelin_launch::DEFAULT_POLICY;
use ravelin_launch::igvm;
use ravelin_snp::vmsa::Vmsa;

const WORDS: &str = "console=ttyS0";

fn machine(target: Target) -> Machine {
    Machine {
        target,
        c_bit: 47,
        memory: 64 << 20,
        cpus: 2,
        signature: "EPYC-Milan".parse().unwrap(),
        sev_features: 1,
        policy: DEFAULT_POLICY,
    }
}

fn image(machine: &Machine, initrd: &[u8], words: &str) -> Image {
    machine.linux(open(&bzimage(|_| ()), Some(initrd), words).unwrap()).unwrap()
}

#[test]
fn on_snp_every_page_of_memory_is_put_in_and_the_blob_names_pages_of_their_type() {
    let image = image(&machine(Target::Snp), b"initrd", WORDS);
    let addresses: Vec<u64> = image.pages.iter().map(|page| page.address).collect();
    let all: Vec<u64> = (0..64 << 20).step_by(4096).collect();
    assert_eq!(addresses, all);
    let of = |kind| image.pages.iter().filter(move |page| page.kind == kind);
    let made = |kind| of(kind).map(|page| page.address).collect::<Vec<_>>();
    assert_eq!(made(PageType::Secrets), [0xb000]);
    assert_eq!(made(PageType::Cpuid), [0xc000]);
    assert!(of(PageType::Normal).count() > 8);
    let state = Vmsa::decode(&image.vcpus[0]).unwrap();
    assert_eq!((state.cr3, state.rip), (1 << 47 | 0x2000, 0x10_0200));
    let other = Vmsa::decode(&image.vcpus[1]).unwrap();
    assert_eq!((other.cs.base, other.rip), (0xffff_0000, 0xfff0));
}

#[test]
fn on_the_emulated_platform_only_what_is_not_zeros_is_put_in() {
    let image = image(&machine(Target::Emulated), b"initrd", WORDS);
    assert!(image.pages.iter().all(|page| page.kind == PageType::Normal));
    assert!(image.pages.len() < 100);
}

/// Row 24 of the threats: whatever of a guest is changed changes its digest.
#[test]
fn kernel_initrd_command_line_and_vcpu_state_are_each_in_the_digest() {
    for target in [Target::Snp, Target::Emulated] {
        let good = image(&machine(target), b"initrd", WORDS);
        assert_eq!(image(&machine(target), b"initrd", WORDS).digest(), good.digest());
        let mut kernel = bzimage(|_| ());
        *kernel.last_mut().unwrap() ^= 1;
        let kernel = machine(target).linux(open(&kernel, Some(b"initrd"), WORDS).unwrap());
        let mut state = good.clone();
        state.vcpus[0][0x178] ^= 1;
        let mut digests = vec![
            good.digest(),
            kernel.unwrap().digest(),
            image(&machine(target), b"initrD", WORDS).digest(),
            image(&machine(target), b"initrd", "console=ttyS1").digest(),
            state.digest(),
            image(&Machine { cpus: 3, ..machine(target) }, b"initrd", WORDS).digest(),
            image(&Machine { memory: 66 << 20, ..machine(target) }, b"initrd", WORDS).digest(),
            image(&Machine { c_bit: 46, ..machine(target) }, b"initrd", WORDS).digest(),
            image(&Machine { sev_features: 0x21, ..machine(target) }, b"initrd", WORDS).digest(),
        ];
        let count = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), count, "{target}");
    }
}

#[test]
fn an_image_is_the_same_file_twice_and_has_the_same_digest_from_there() {
    for target in [Target::Snp, Target::Emulated] {
        let [first, second] = [(); 2].map(|()| image(&machine(target), b"initrd", WORDS));
        let file = igvm::write(&first).unwrap();
        assert_eq!(file, igvm::write(&second).unwrap());
        let read = igvm::read(&file).unwrap();
        assert_eq!(read, first);
        assert_eq!(read.digest(), first.digest());
    }
}

#[test]
fn a_guest_that_does_not_fit_makes_no_image() {
    let linux = open(&bzimage(|_| ()), Some(&[1; 40 << 20]), WORDS).unwrap();
    assert!(matches!(machine(Target::Snp).linux(linux), Err(ImageError::Boot(_))));
    let small = Machine { memory: 1 << 20, ..machine(Target::Snp) };
    let linux = open(&bzimage(|_| ()), None, WORDS).unwrap();
    assert!(matches!(small.linux(linux), Err(ImageError::Layout(_))));
}
