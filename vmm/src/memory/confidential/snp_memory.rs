//! Private memory on a real kernel: guests of software-protected VMs, with the memory, conversions and
//! exits that an SNP guest has. `cargo rig snp-memory` runs these; other kernels have no such VMs.
//!
//! The guest is a few instructions that do what the host asks by port I/O: a word for the operation,
//! three for its operands. It runs in shared memory, since nothing can be put into private memory of
//! this type of VM, and KVM reads its instructions there.

use super::*;
use crate::boot::{Entry, long_mode, state};
use crate::memory::Memory;
use crate::platform::Platform;
use crate::platform::conversions::{ConversionLog, Hypercalls};
use crate::platform::cpuid::GuestCpuid;
use crate::vcpu::confidential::Confidential as Requests;
use crate::vcpu::{Buses, Encryption, Exit, Model, Vcpu};
use kvm_bindings::{KVM_EXIT_MEMORY_FAULT, kvm_enable_cap, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VmFd};
use ravelin_devices::bus::{BusDevice, MmioBus, PioBus};
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::page_state::PAGE_SIZE;
use std::collections::VecDeque;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use vm_memory::{Bytes, GuestAddress};

const MEMORY: u64 = 128 << 20;
/// Where the guest's instructions are.
const CODE: u64 = 2 << 20;
/// Where tests convert pages.
const DATA: u64 = 16 << 20;
/// The guest's port to the host.
const PORT: u64 = 0x500;
/// What the guest multiplies a value with before it stores it, so that the stored word is nowhere in
/// this process; and its inverse, by which it is found.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = 0xf1de_83e1_9937_733d;

std::arch::global_asm!(
    ".globl ravelin_test_guest_start, ravelin_test_guest_end",
    "ravelin_test_guest_start:",
    "mov edx, 0x500",
    "in eax, dx",
    "mov r12d, eax",
    "in eax, dx",
    "mov r13d, eax",
    "in eax, dx",
    "mov r14d, eax",
    "in eax, dx",
    "mov r15d, eax",
    "cmp r12d, 1",
    "je 21f",
    "cmp r12d, 2",
    "je 22f",
    "cmp r12d, 3",
    "je 23f",
    // Pause: sleep by ACPI's register, and go on when the vCPU runs again.
    "mov edx, 0x604",
    "mov eax, 0x2000",
    "out dx, ax",
    "jmp ravelin_test_guest_start",
    // Map the range at r13, of r14 pages, as r15 says.
    "21:",
    "mov eax, 12",
    "mov ebx, r13d",
    "mov ecx, r14d",
    "mov edx, r15d",
    "vmmcall",
    "mov edx, 0x500",
    "out dx, eax",
    "jmp ravelin_test_guest_start",
    // Store r15, multiplied, at the beginning of r14 pages from r13 on.
    "22:",
    "movabs rax, 0x9e3779b97f4a7c15",
    "imul rax, r15",
    "24:",
    "mov [r13], rax",
    "add r13, 4096",
    "dec r14d",
    "jnz 24b",
    "jmp ravelin_test_guest_start",
    // Load what is at r13.
    "23:",
    "mov rax, [r13]",
    "out dx, eax",
    "shr rax, 32",
    "out dx, eax",
    "jmp ravelin_test_guest_start",
    "ravelin_test_guest_end:",
);

unsafe extern "C" {
    static ravelin_test_guest_start: u8;
    static ravelin_test_guest_end: u8;
}

/// The host's end of the guest's port.
#[derive(Default)]
struct Port {
    questions: Mutex<VecDeque<u32>>,
    answers: Mutex<Vec<u32>>,
}

impl BusDevice for Port {
    fn read(&self, _: u64, data: &mut [u8]) {
        // Without a question it pauses.
        let word = self.questions.lock().unwrap().pop_front().unwrap_or(0);
        data.copy_from_slice(&word.to_le_bytes()[..data.len()]);
    }

    fn write(&self, _: u64, data: &[u8]) {
        let mut word = [0; 4];
        word[..data.len()].copy_from_slice(data);
        self.answers.lock().unwrap().push(u32::from_le_bytes(word));
    }
}

/// A software-protected VM with one vCPU.
struct Guest {
    vm: Arc<VmFd>,
    memory: Arc<Memory>,
    log: Arc<ConversionLog>,
    port: Arc<Port>,
    buses: Buses,
    vcpu: Vcpu,
}

impl Guest {
    fn new() -> Guest {
        let kvm = Kvm::new().unwrap();
        let vm = Arc::new(kvm.create_vm_with_type(VmType::SoftwareProtected as u64).unwrap());
        let mut hypercalls =
            kvm_enable_cap { cap: Cap::ExitHypercall as u32, ..Default::default() };
        hypercalls.args[0] = 1 << 12;
        vm.enable_cap(&hypercalls).unwrap();
        #[allow(clippy::single_range_in_vec_init, reason = "one range of memory")]
        let memory = Memory::of_kernel(vm.clone(), &[0..MEMORY], VmType::SoftwareProtected);
        let memory = Arc::new(memory.unwrap());
        // SAFETY: both symbols are in the one piece of code above, in this order.
        let code = unsafe {
            let (start, end) =
                (&raw const ravelin_test_guest_start, &raw const ravelin_test_guest_end);
            std::slice::from_raw_parts(start, end.addr() - start.addr())
        };
        memory.private().write_slice(code, GuestAddress(CODE)).unwrap();
        long_mode::write_tables(memory.private(), None).unwrap();
        let log = Arc::<ConversionLog>::default();
        let hypercalls = Arc::new(Hypercalls::of_kernel(memory.clone(), log.clone()));
        let requests = Requests::new(memory.clone(), hypercalls, Arc::default());
        let cpuid = GuestCpuid::new(&kvm, Platform::None).unwrap();
        let model = Model { cpuid: &cpuid, cpus: 1, memory_types: false };
        let vcpu = Vcpu::new(&vm, 0, &model, Some(Encryption::Kernel(requests))).unwrap();
        let entry = Entry::LongMode { instruction: CODE, argument: 0 };
        vcpu.begin(&state::first(entry, None)).unwrap();
        let port = Arc::<Port>::default();
        let pio = PioBus::new();
        pio.insert(PORT, 4, port.clone()).unwrap();
        let buses = Buses { pio: Arc::new(pio), mmio: Arc::new(MmioBus::new()) };
        Guest { vm, memory, log, port, buses, vcpu }
    }

    /// Has the guest do this and pause.
    fn asked(&mut self, words: [u32; 4]) -> (Exit, Vec<u32>) {
        self.port.questions.lock().unwrap().extend(words);
        let exit = self.vcpu.run(&self.buses, &AtomicBool::new(false));
        (exit, std::mem::take(&mut *self.port.answers.lock().unwrap()))
    }

    fn does(&mut self, words: [u32; 4]) -> Vec<u32> {
        let (exit, answers) = self.asked(words);
        assert_eq!(exit, Exit::PowerOff);
        answers
    }

    /// Has it ask for a conversion, and gives the answer.
    fn converts(&mut self, address: u64, pages: u64, to: PageState) -> i32 {
        let attributes = if to == PageState::Private { 1 << 4 } else { 0 };
        self.does([1, address as u32, pages as u32, attributes])[0] as i32
    }

    fn stores(&mut self, address: u64, pages: u64, value: u32) {
        assert!(self.does([2, address as u32, pages as u32, value]).is_empty());
    }

    fn loads(&mut self, address: u64) -> u64 {
        let words = self.does([3, address as u32, 0, 0]);
        u64::from(words[0]) | u64::from(words[1]) << 32
    }

    fn shared(&self, address: u64) -> u64 {
        self.memory.shared().read_obj(GuestAddress(address)).unwrap()
    }

    /// Pages that the kernel holds for the shared side.
    fn shared_pages_held(&self) -> u64 {
        let files = self.memory.shared().iter().map(|region| region.file_offset().unwrap().file());
        files.map(|file| file.metadata().unwrap().blocks() * 512 / PAGE_SIZE).sum()
    }
}

/// How often a value that a guest has stored is in this process's memory.
fn seen(value: u32) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut count = 0;
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let (addresses, rest) = line.split_once(' ').unwrap();
        let (start, end) = addresses.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut at = number(start);
        while rest.starts_with('r') && at < number(end) {
            let length = buffer.len().min((number(end) - at) as usize);
            let Ok(length) = memory.read_at(&mut buffer[..length], at) else { break };
            let words = buffer[..length].as_chunks::<8>().0.iter();
            // The word is made into the value, not the value into the word: that would be found.
            let found = |word: &&[u8; 8]| {
                u64::from_le_bytes(**word).wrapping_mul(INVERSE) == u64::from(value)
            };
            count += words.filter(found).count();
            at += length as u64;
        }
    }
    count
}

/// By how much [`pages_of_files`] may be off: the kernel counts on each processor for itself and adds up
/// later, and what else the machine does with files is some pages.
const SLACK: u64 = 1024;

/// Pages of files that the kernel holds, guest_memfds and memfds among them.
fn pages_of_files() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("Cached:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 4
}

const REASON_OF_THE_INVERSE: () = assert!(FACTOR.wrapping_mul(INVERSE) == 1);

#[test]
#[ignore = "needs software-protected VMs: cargo rig snp-memory"]
fn snp_memory_of_the_guest_alone_is_nowhere_in_this_process() {
    let () = REASON_OF_THE_INVERSE;
    let mut guest = Guest::new();
    let value = 0x1234_5679;
    assert_eq!(guest.converts(DATA, 4, PageState::Private), 0);
    guest.stores(DATA, 4, value);
    assert_eq!(guest.loads(DATA + 3 * PAGE_SIZE).wrapping_mul(INVERSE), u64::from(value));
    assert_eq!(seen(value), 0, "private");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("gmem") && !maps.contains("guest_memfd"), "{maps}");
    // Where it is shared it is found: the search does find.
    assert_eq!(guest.converts(DATA, 4, PageState::Shared), 0);
    guest.stores(DATA, 4, value);
    assert_eq!(seen(value), 4, "shared");
}

#[test]
#[ignore = "needs software-protected VMs: cargo rig snp-memory"]
fn snp_memory_has_one_side_and_a_conversion_leaves_nothing_behind() {
    let mut guest = Guest::new();
    guest.memory.shared().write_obj(7u64, GuestAddress(DATA)).unwrap();
    assert_eq!(guest.loads(DATA), 7, "shared to begin with");
    assert_eq!(guest.converts(DATA, 1, PageState::Private), 0);
    assert_eq!(guest.loads(DATA), 0, "the other side");
    assert_eq!(guest.shared(DATA), 0, "what was shared is gone");
    guest.stores(DATA, 1, 5);
    // What the host writes beside it is not the guest's.
    guest.memory.shared().write_obj(9u64, GuestAddress(DATA)).unwrap();
    assert_eq!(guest.loads(DATA), 5u64.wrapping_mul(FACTOR));
    assert_eq!(guest.converts(DATA, 1, PageState::Shared), 0);
    assert_eq!(guest.loads(DATA), 9, "what the host has put there meanwhile");
    assert_eq!(guest.converts(DATA, 1, PageState::Private), 0);
    assert_eq!(guest.loads(DATA), 0, "what was private is gone");
    let neighbours = [DATA - PAGE_SIZE, DATA + PAGE_SIZE];
    assert_eq!(
        neighbours.map(|address| guest.memory.pages().state(address).unwrap()),
        [PageState::Shared; 2]
    );
    let all = 0..MEMORY;
    let counts = guest.log.counts();
    assert_eq!((counts.to_private, counts.to_shared, counts.refused), (2, 1, 0));
    assert_eq!(guest.memory.pages().shared_pages(), (all.end - all.start) / PAGE_SIZE - 1);
}

#[test]
#[ignore = "needs software-protected VMs: cargo rig snp-memory"]
fn snp_memory_that_was_left_is_given_back_on_both_sides() {
    const PAGES: u64 = 8192;
    let mut guest = Guest::new();
    // A memfd knows its pages. A guest_memfd does not, so that all files' are counted.
    let empty = (guest.shared_pages_held(), pages_of_files());
    let held = |guest: &Guest, shared: u64, private: u64, when: &str| {
        assert_eq!(guest.shared_pages_held() - empty.0, shared, "shared, {when}");
        let all = pages_of_files().saturating_sub(empty.1);
        assert!(all.abs_diff(shared + private) < SLACK, "all of {all}, {when}");
    };
    guest.stores(DATA, PAGES, 1);
    held(&guest, PAGES, 0, "shared");
    assert_eq!(guest.converts(DATA, PAGES, PageState::Private), 0);
    held(&guest, 0, 0, "converted to private");
    guest.stores(DATA, PAGES, 1);
    held(&guest, 0, PAGES, "private");
    assert_eq!(guest.converts(DATA, PAGES / 2, PageState::Shared), 0);
    held(&guest, 0, PAGES / 2, "half of it converted to shared");
    assert_eq!(guest.loads(DATA + PAGES / 2 * PAGE_SIZE), FACTOR, "the other half is there");
    assert_eq!(guest.converts(DATA, PAGES, PageState::Shared), 0);
    held(&guest, 0, 0, "all of it converted to shared");
}

#[test]
#[ignore = "needs software-protected VMs: cargo rig snp-memory"]
fn snp_memory_that_there_is_not_is_refused_and_a_fault_there_ends_the_guest() {
    let mut guest = Guest::new();
    for (address, pages) in [(MEMORY, 1), (MEMORY - PAGE_SIZE, 2)] {
        assert_ne!(guest.converts(address, pages, PageState::Private), 0, "{address:#x}");
    }
    // Private pages in a slot that has no private memory: KVM reports the guest's touch.
    #[allow(clippy::single_range_in_vec_init, reason = "one range of memory")]
    let odd = Memory::new(&[0..64 << 20], false, crate::memory::Pages::Any).unwrap();
    let host = odd.shared().iter().next().unwrap().as_ptr();
    let region = kvm_userspace_memory_region {
        slot: 9,
        flags: 0,
        guest_phys_addr: MEMORY,
        memory_size: PAGE_SIZE,
        userspace_addr: host as u64,
    };
    // SAFETY: the mapping lives until the end of the test, and nobody else touches it.
    unsafe { guest.vm.set_user_memory_region(region) }.unwrap();
    guest.does([2, MEMORY as u32, 1, 1]);
    let attributes = kvm_memory_attributes {
        address: MEMORY,
        size: PAGE_SIZE,
        attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE.into(),
        flags: 0,
    };
    Kernel::set_attributes(&*guest.vm, &attributes).unwrap();
    match guest.asked([3, MEMORY as u32, 0, 0]) {
        (Exit::Failed { reason: KVM_EXIT_MEMORY_FAULT, detail: MEMORY, .. }, answers) => {
            assert!(answers.is_empty());
        }
        other => panic!("{other:?}"),
    }
    drop(guest);
    drop(odd);
}

#[test]
#[ignore = "needs software-protected VMs: cargo rig snp-memory"]
fn snp_memory_is_behind_the_same_gate_for_devices() {
    let mut guest = Guest::new();
    let pages = guest.memory.pages().clone();
    let gate = DmaGate::new("test", pages, guest.memory.shared().clone());
    let mut buffer = [0; 8];
    guest.stores(DATA, 2, 3);
    gate.read(DATA, &mut buffer).unwrap();
    assert_eq!(u64::from_le_bytes(buffer), 3u64.wrapping_mul(FACTOR));
    assert_eq!(guest.converts(DATA, 1, PageState::Private), 0);
    assert!(gate.read(DATA, &mut buffer).is_err());
    assert!(gate.write(DATA + PAGE_SIZE - 4, &buffer).is_err(), "half of it is private");
    gate.write(DATA + PAGE_SIZE, &buffer).unwrap();
}
