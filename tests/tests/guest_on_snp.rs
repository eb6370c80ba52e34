//! The built-in guest and what launches it agree on SNP: where pages stand, which C-bit; and the guest's
//! supervisor is what it must be there.
//!
//! The two sides know nothing of each other's code; here both are named.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory};
use object::{Object, ObjectSection};
use ravelin::boot::builtin::Builtin;
use ravelin::boot::direct::{Machine, Target};
use ravelin::boot::image::BUILTIN;
use ravelin_guest::start_info::{CPUID, FIRST, GHCB, SECRETS};
use ravelin_launch::{DEFAULT_POLICY, Image, PageType};
use ravelin_snp::vmsa::Vmsa;

const MEMORY: u64 = 64 << 20;
const C_BIT: u8 = 51;
const PAGE: u64 = 4096;
/// Most bytes of code at CPL 0. Where a host emulates it each instruction counts, and where a hypervisor
/// is hostile each is there to be read.
const MOST_CODE: u64 = 20 << 10;

fn image() -> Image {
    let machine = Machine {
        target: Target::Snp,
        c_bit: C_BIT,
        memory: MEMORY,
        cpus: 1,
        signature: "EPYC-Milan".parse().expect("a processor's name"),
        sev_features: 1,
        policy: DEFAULT_POLICY,
    };
    let guest = Builtin {
        image: BUILTIN,
        parameters: "workload=digits".into(),
        hints: String::new(),
        host_data: [0; 32],
        payload: vec![7; 5000],
    };
    machine.builtin(&guest).expect("an image")
}

fn pages(image: &Image, kind: PageType) -> Vec<u64> {
    let pages = image.pages.iter().filter(|page| page.kind == kind);
    pages.map(|page| page.address).collect()
}

#[test]
fn the_launch_puts_secrets_and_cpuid_where_the_guest_looks_for_them() {
    let image = image();
    assert_eq!(pages(&image, PageType::Secrets), [SECRETS]);
    assert_eq!(pages(&image, PageType::Cpuid), [CPUID]);
}

/// The guest validates nothing at its start, and gives its GHCB's page up before it shares it: a page that
/// was not put in would end it.
#[test]
fn the_launch_validates_all_memory_and_leaves_the_ghcbs_page_alone() {
    let image = image();
    let addresses: Vec<u64> = image.pages.iter().map(|page| page.address).collect();
    let all: Vec<u64> = (0..MEMORY).step_by(PAGE as usize).collect();
    assert_eq!(addresses, all);
    let told = |page: u64| (FIRST..CPUID + PAGE).contains(&page);
    let below: Vec<u64> =
        pages(&image, PageType::Normal).into_iter().filter(|page| *page < 2 << 20).collect();
    assert!(!below.is_empty() && below.iter().all(|page| told(*page)), "{below:x?}");
    assert!(pages(&image, PageType::Zero).contains(&GHCB));
    assert_eq!(pages(&image, PageType::Unmeasured).len(), 1, "hints, and nothing else");
}

/// The guest takes its C-bit from CR3, whose only bit above 4 GiB it must be.
#[test]
fn the_c_bit_is_the_one_bit_of_the_measured_cr3_that_is_no_address() {
    let state = Vmsa::decode(&image().vcpus[0]).expect("a vCPU's state");
    assert_eq!(state.cr3 >> 32, 1 << (C_BIT - 32));
}

/// Everything at CPL 0, in order.
fn supervisor() -> (u64, Vec<Instruction>) {
    let file = object::File::parse(BUILTIN).expect("an ELF file");
    let section = file.section_by_name(".supervisor.text").expect("a supervisor");
    let code = section.data().expect("its code");
    let decoder = Decoder::with_ip(64, code, section.address(), DecoderOptions::NONE);
    (section.size(), decoder.into_iter().collect())
}

/// A #VC interrupts user mode between any two instructions, and the handler keeps general registers only.
#[test]
fn the_supervisor_is_short_and_uses_no_vector_registers() {
    let (size, instructions) = supervisor();
    assert!(size <= MOST_CODE, "{size} bytes");
    assert!(instructions.len() > 1000, "{} instructions", instructions.len());
    let mut factory = InstructionInfoFactory::new();
    for instruction in &instructions {
        assert!(!instruction.is_invalid(), "{:#x}", instruction.ip());
        let used = factory.info(instruction).used_registers();
        let vector = used.iter().find(|used| {
            let register = used.register();
            register.is_vector_register() || register.is_st() || register.is_mm() || register.is_k()
        });
        assert!(vector.is_none(), "{:#x}: {vector:?}", instruction.ip());
    }
}

/// What no machine of ours executes is at least what it should be.
#[test]
fn the_two_instructions_that_need_the_hardware_are_encoded_as_they_should_be() {
    let (_, instructions) = supervisor();
    for code in [Code::Vmgexit, Code::Pvalidateq] {
        let count = instructions.iter().filter(|instruction| instruction.code() == code).count();
        assert!(count > 0, "{code:?}");
    }
    assert!(!instructions.iter().any(|instruction| instruction.code() == Code::Vmmcall));
}
