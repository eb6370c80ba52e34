use super::*;
use crate::memory::{Memory, VmType};
use crate::platform::snp::recorder::{Answer, Call, Recorder};
use ravelin_snp::cpuid::page::Function;
use ravelin_snp::launch_digest::{LaunchDigest, PageType};
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

const PAGE: u64 = PAGE_SIZE as u64;
const RANGES: [Range<u64>; 2] = [0..4 << 20, 4 << 30..(4 << 30) + (2 << 20)];
const POLICY: u64 = 0x3_0000;
const LAST: Range<u64> = RANGES[1].end - PAGE..RANGES[1].end;

/// A VM of type SNP on the recording kernel, with something in its memory.
struct Bench {
    kernel: Arc<Recorder>,
    memory: Memory,
    device: File,
}

impl Bench {
    fn new() -> Bench {
        let kernel = Arc::<Recorder>::default();
        let memory = Memory::of_kernel(kernel.clone(), &RANGES, VmType::Snp).unwrap();
        for page in 0..8u8 {
            let bytes = [page; PAGE_SIZE];
            memory.private().write_slice(&bytes, GuestAddress(u64::from(page) * PAGE)).unwrap();
        }
        Bench { kernel, memory, device: File::open("/dev/null").unwrap() }
    }

    fn launch(&self) -> Result<Launch<'_, Recorder, Started>, Error> {
        Launch::new(&*self.kernel, self.device.as_fd())?.start(POLICY)
    }

    fn source(&self, address: u64) -> *const u8 {
        self.memory.private().get_host_address(GuestAddress(address)).unwrap()
    }

    /// A whole launch.
    fn all(&self) -> Result<bool, Error> {
        let mut launch = self.launch()?;
        launch.update(PageKind::Zero, 0..PAGE, self.source(0))?;
        launch.update(PageKind::Normal, PAGE..6 * PAGE, self.source(PAGE))?;
        launch.update(PageKind::Unmeasured, 6 * PAGE..7 * PAGE, self.source(6 * PAGE))?;
        launch.update(PageKind::Secrets, 7 * PAGE..8 * PAGE, self.source(7 * PAGE))?;
        launch.cpuid(8 * PAGE, &page())?;
        launch.update(PageKind::Zero, LAST, self.source(LAST.start))?;
        let binding = Binding { identity: None, host_data: [7; 32] };
        Ok(launch.finish(&binding)?.asks_for_certificates())
    }

    fn refusing(call: usize, refusal: Refusal) -> Bench {
        let bench = Bench::new();
        bench.kernel.refuse(MEMORY + call, refusal);
        bench
    }

    fn answering(answers: &[Answer]) -> Bench {
        let bench = Bench::new();
        bench.kernel.answers.lock().unwrap().extend(answers);
        bench
    }
}

fn page() -> CpuidPage {
    let leaf = |leaf| Function { leaf, registers: [1, 2, 3, 4], ..Function::default() };
    CpuidPage::new(&[leaf(1), leaf(7)]).unwrap()
}

fn update(gfn: u64, pages: u64, kind: u8) -> Call {
    Call::Update { gfn, bytes: pages * PAGE, kind, source: kind != 3 }
}

/// Calls that make memory, before the launch.
const MEMORY: usize = 6;
/// Where each call of a whole launch stands.
const INIT2: usize = 0;
const CERTIFICATES: usize = 1;
const START: usize = 2;
const FIRST_UPDATE: usize = 3;
const FINISH: usize = 9;

#[test]
fn the_kernel_is_asked_for_exactly_this() {
    let bench = Bench::new();
    assert!(bench.all().unwrap());
    let region = |slot, range: &Range<u64>| Call::Region {
        slot,
        flags: 4,
        address: range.start,
        bytes: range.end - range.start,
        memfd: true,
        offset: 0,
    };
    let private = |range: &Range<u64>| Call::Attributes {
        address: range.start,
        bytes: range.end - range.start,
        attributes: 8,
    };
    let memfd = |range: &Range<u64>| Call::GuestMemfd { bytes: range.end - range.start };
    let [low, high] = &RANGES;
    assert_eq!(
        bench.kernel.calls(),
        [
            memfd(low),
            region(0, low),
            memfd(high),
            region(1, high),
            private(low),
            private(high),
            Call::Init2 { vmsa_features: 0, flags: 0, ghcb_version: 2 },
            Call::EnableCertificates,
            Call::Start { policy: POLICY },
            update(0, 1, 3),
            update(1, 5, 1),
            update(6, 1, 4),
            update(7, 1, 5),
            update(8, 1, 6),
            update(LAST.start / PAGE, 1, 3),
            Call::Finish { id_block: None, id_auth: None, author: false, host_data: [7; 32] },
        ]
    );
}

#[test]
fn the_digest_is_the_one_that_the_sequence_implies() {
    let bench = Bench::new();
    bench.all().unwrap();
    let mut digest = LaunchDigest::new();
    let zero = [0; PAGE_SIZE];
    digest.update(PageType::Zero, 0, &zero);
    for number in 1..6u8 {
        digest.update(PageType::Normal, u64::from(number) * PAGE, &[number; PAGE_SIZE]);
    }
    digest.update(PageType::Unmeasured, 6 * PAGE, &zero);
    digest.update(PageType::Secrets, 7 * PAGE, &zero);
    digest.update(PageType::Cpuid, 8 * PAGE, &zero);
    digest.update(PageType::Zero, LAST.start, &zero);
    assert_eq!(bench.kernel.digest(), digest.value());
}

#[test]
fn what_the_kernel_takes_in_pieces_is_all_taken_and_once() {
    use Answer::{Again, Take};
    let whole = Bench::new();
    whole.all().unwrap();
    let answers = [Again(0), Take(1), Take(2), Again(1), Again(0), Take(1), Take(1)];
    let bench = Bench::answering(&answers);
    bench.all().unwrap();
    assert_eq!(bench.kernel.digest(), whole.kernel.digest());
    assert_eq!(
        bench.kernel.calls()[MEMORY + FIRST_UPDATE..][..8],
        [
            update(0, 1, 3),
            update(0, 1, 3),
            update(1, 5, 1),
            update(3, 3, 1),
            update(4, 2, 1),
            update(4, 2, 1),
            update(5, 1, 1),
            update(6, 1, 4),
        ]
    );
}

#[test]
fn a_kernel_that_takes_nothing_or_counts_wrongly_is_not_waited_for() {
    for answer in [Answer::Again(0), Answer::Take(0)] {
        let bench = Bench::answering(&vec![answer; 2 * PATIENCE as usize]);
        assert_eq!(bench.all(), Err(Error::Stuck(0)));
    }
    assert_eq!(Bench::answering(&[Answer::Miscount]).all(), Err(Error::Account(0)));
}

#[test]
fn a_signal_in_between_is_no_failure() {
    let interrupted = Answer::Refuse(Refusal { errno: libc::EINTR, firmware: None });
    assert_eq!(Bench::answering(&[interrupted]).all(), Ok(true));
}

#[test]
fn what_is_no_range_of_pages_never_reaches_the_kernel() {
    let bench = Bench::new();
    let mut launch = bench.launch().unwrap();
    let before = bench.kernel.calls().len();
    let reversed = Range { start: PAGE, end: 0 };
    for range in [0..0, 1..PAGE, 0..PAGE + 1, reversed] {
        let refused = launch.update(PageKind::Normal, range.clone(), bench.source(0));
        assert_eq!(refused, Err(Error::Range(range)));
    }
    assert_eq!(bench.kernel.calls().len(), before);
}

#[test]
fn an_id_block_goes_to_the_kernel_as_it_is() {
    for author in [false, true] {
        let bench = Bench::new();
        let identity = Identity { block: [1; 96], authentication: [2; 4096], author };
        let identity = Some(Box::new(identity));
        bench.launch().unwrap().finish(&Binding { identity, host_data: [0; 32] }).unwrap();
        let expected = Call::Finish {
            id_block: Some(vec![1; 96]),
            id_auth: Some(vec![2; 4096]),
            author,
            host_data: [0; 32],
        };
        assert_eq!(bench.kernel.calls().last(), Some(&expected));
    }
}

#[test]
fn a_kernel_that_knows_no_certificate_requests_launches_all_the_same() {
    for errno in [libc::EINVAL, libc::ENOTTY] {
        let bench = Bench::refusing(CERTIFICATES, Refusal { errno, firmware: None });
        assert_eq!(bench.all(), Ok(false));
    }
}

#[test]
fn the_registers_that_the_firmware_wants_otherwise_are_named() {
    // EBX of leaf 7, the second function: 16 + 48 + 24 + 4.
    let bench = Bench::new();
    let mut launch = bench.launch().unwrap();
    bench.kernel.answers.lock().unwrap().push_back(Answer::Correct(92, 0));
    let refused = launch.cpuid(8 * PAGE, &page()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the AMD-SP refused the guest's CPUID page: leaf 0x7.0x0 EBX 0x00000002, it takes 0x00000000"
    );
    // Refused, and nothing corrected: what is left is the refusal itself.
    bench.kernel.answers.lock().unwrap().push_back(Answer::Correct(92, 2));
    let refused = launch.cpuid(8 * PAGE, &page()).unwrap_err();
    assert!(matches!(refused, Error::Refused { step: Step::Update(0x8000), .. }), "{refused}");
}

/// Each step with each answer that the kernel has for it, and what becomes of it.
#[test]
fn every_refusal_says_which_step_it_was_and_why() {
    use Cause::*;
    let kernel = |errno| Refusal { errno, firmware: None };
    let firmware = |status| Refusal { errno: libc::EIO, firmware: Some(status) };
    let (init, certificates) = (Step::Initialize, Step::EnableCertificates);
    let (start, finish) = (Step::Start, Step::Finish);
    let (first, second) = (Step::Update(0), Step::Update(PAGE));
    let table = [
        (INIT2, init, kernel(libc::EBUSY), Asids),
        (INIT2, init, kernel(libc::EINVAL), Kernel),
        (INIT2, init, kernel(libc::ENOTTY), Off),
        (INIT2, init, kernel(libc::EPERM), Permission),
        (INIT2, init, kernel(libc::ENODEV), Platform),
        (INIT2, init, kernel(libc::ENOMEM), Memory),
        (INIT2, init, kernel(libc::EFAULT), Arguments),
        (INIT2, init, kernel(libc::ENOSPC), Asids),
        (INIT2, init, kernel(libc::EIO), Platform),
        (INIT2, init, kernel(libc::EAGAIN), Other),
        (INIT2, init, firmware(0x01), Platform),
        (INIT2, init, firmware(0x17), Memory),
        (INIT2, init, firmware(0x20), Platform),
        (CERTIFICATES, certificates, kernel(libc::EPERM), Permission),
        (CERTIFICATES, certificates, kernel(libc::EFAULT), Arguments),
        (CERTIFICATES, certificates, kernel(libc::ENOMEM), Memory),
        (CERTIFICATES, certificates, kernel(libc::EBUSY), Other),
        (START, start, kernel(libc::EBADF), Device),
        (START, start, kernel(libc::EINVAL), Policy),
        (START, start, kernel(libc::ENOTTY), Context),
        (START, start, kernel(libc::EPERM), Permission),
        (START, start, kernel(libc::ENODEV), Platform),
        (START, start, kernel(libc::ENOMEM), Memory),
        (START, start, kernel(libc::EFAULT), Arguments),
        (START, start, kernel(libc::EIO), Other),
        (START, start, firmware(0x01), Platform),
        (START, start, firmware(0x03), Platform),
        (START, start, firmware(0x07), Policy),
        (START, start, firmware(0x15), Firmware),
        (START, start, firmware(0x17), Memory),
        (START, start, firmware(0x20), Platform),
        (START, start, firmware(0x22), Firmware),
        (START, start, firmware(0xffff_ffff), Other),
        (FIRST_UPDATE, first, kernel(libc::EINVAL), NotPrivate),
        (FIRST_UPDATE, first, kernel(libc::ENOENT), NotPrivate),
        (FIRST_UPDATE, first, kernel(libc::EIO), Page),
        (FIRST_UPDATE, first, kernel(libc::ENOTTY), Off),
        (FIRST_UPDATE, first, kernel(libc::EBADF), Device),
        (FIRST_UPDATE + 1, second, kernel(libc::EEXIST), Twice),
        (FIRST_UPDATE + 1, second, kernel(libc::EFAULT), Source),
        (FIRST_UPDATE + 1, second, kernel(libc::EHWPOISON), Poison),
        (FIRST_UPDATE + 1, second, kernel(libc::ENOMEM), Memory),
        (FIRST_UPDATE + 1, second, kernel(libc::EPERM), Permission),
        (FIRST_UPDATE, first, firmware(0x09), ReverseMap),
        (FIRST_UPDATE, first, firmware(0x19), ReverseMap),
        (FIRST_UPDATE, first, firmware(0x1a), ReverseMap),
        (FIRST_UPDATE, first, firmware(0x1c), ReverseMap),
        (FIRST_UPDATE, first, firmware(0x16), Other),
        (FINISH, finish, kernel(libc::EINVAL), Arguments),
        (FINISH, finish, kernel(libc::EFAULT), ReverseMap),
        (FINISH, finish, kernel(libc::ENOMEM), Memory),
        (FINISH, finish, kernel(libc::ENOTTY), Off),
        (FINISH, finish, kernel(libc::EPERM), Permission),
        (FINISH, finish, kernel(libc::EBADF), Device),
        (FINISH, finish, kernel(libc::EIO), Other),
        (FINISH, finish, firmware(0x1a), ReverseMap),
        (FINISH, finish, firmware(0x07), IdPolicy),
        (FINISH, finish, firmware(0x0a), IdSignature),
        (FINISH, finish, firmware(0x27), IdSignature),
        (FINISH, finish, firmware(0x0b), IdDigest),
        (FINISH, finish, firmware(0x02), Other),
    ];
    for (call, step, refusal, cause) in table {
        let bench = Bench::refusing(call, refusal);
        let error = bench.all().unwrap_err();
        assert_eq!(error, Error::Refused { step, cause, refusal }, "{error}");
        assert_eq!(bench.kernel.calls().len(), MEMORY + call + 1, "nothing is asked after {step}");
        // The step, why, and what to do.
        let text = error.to_string();
        let why = text.strip_prefix(&format!("KVM did not {step}: ")).expect("it names the step");
        let (why, fix) = why.split_once(": ").expect("it says what to do");
        assert!(!why.is_empty() && !fix.is_empty(), "{text}");
    }
}

#[test]
fn memory_that_the_kernel_refuses_is_an_error_of_its_own() {
    use crate::memory::Error;
    for (call, errno, fix) in [
        (0, libc::EMFILE, "ulimit -n"),
        (0, libc::ENOMEM, "give the host more"),
        (0, libc::ENOTTY, "ravelin doctor snp"),
        (0, libc::EINVAL, "ravelin doctor snp"),
        (0, libc::EPERM, "ravelin doctor snp"),
        (1, libc::EEXIST, "kernel's log"),
        (1, libc::EINVAL, "ravelin doctor snp"),
        (1, libc::EFAULT, "kernel's log"),
        (1, libc::ENOMEM, "give the host more"),
        (4, libc::ENOTTY, "ravelin doctor snp"),
        (4, libc::EINVAL, "ravelin doctor snp"),
        (4, libc::EFAULT, "kernel's log"),
        (4, libc::ENOMEM, "give the host more"),
    ] {
        let kernel = Arc::<Recorder>::default();
        let refusal = Refusal { errno, firmware: None };
        kernel.refuse(call, refusal);
        let error = Memory::of_kernel(kernel.clone(), &RANGES, VmType::Snp).err();
        let error = error.expect("it was refused");
        assert!(error.to_string().contains(fix), "{error}");
        let named = match (call, error) {
            (0, Error::GuestMemfd(bytes, because)) => bytes == RANGES[0].end && because == refusal,
            (1, Error::Slot(address, because)) => address == 0 && because == refusal,
            (4, Error::Attributes(address, because)) => address == 0 && because == refusal,
            _ => false,
        };
        assert!(named, "call {call}");
        assert_eq!(kernel.calls().len(), call + 1);
    }
}
