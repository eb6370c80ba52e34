use super::*;
use crate::boot::builtin;
use crate::boot::start_info;
use crate::platform::Platform;
use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use proptest::prelude::*;
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_launch::{DEFAULT_POLICY, Image};
use ravelin_snp::cpuid::LEAF;
use ravelin_snp::ghcb::page_state::{Entry, Header, MAX_ENTRIES, PageSize};
use ravelin_snp::ghcb::protocol::CpuidRegister;

const END: u64 = 64 << 20;
const GHCB: u64 = 1 << 20;
const GHCB_GFN: u64 = GHCB / PAGE_SIZE;
const LARGE: u64 = 2 << 20;

/// A guest's protocol, and its secrets page.
pub(super) fn protocol_and_secrets() -> (GhcbProtocol, SecretsPage) {
    let width = kvm_cpuid_entry2 { function: 0x8000_0008, eax: 48, ..Default::default() };
    let table = CpuId::from_entries(&[width]).unwrap();
    let cpuid = GuestCpuid::from_supported(table, Platform::Emulated).unwrap();
    let ranges = std::slice::from_ref(&(0..END));
    let memory = Memory::new(ranges, true, crate::memory::Pages::Any).unwrap();
    let pages = builtin::pages(memory.private(), LARGE).unwrap();
    let image = Image { policy: DEFAULT_POLICY, pages, ..Image::default() };
    let guest = launch::launch(&image, memory.private(), [0; 32]).unwrap();
    let mut secrets = [0; ghcb::PAGE_SIZE];
    memory.private().read_slice(&mut secrets, GuestAddress(start_info::SECRETS)).unwrap();
    let secure_processor = Arc::new(OnceLock::from(SecureProcessor::new(guest)));
    let protocol = GhcbProtocol::new(Arc::new(memory), Arc::new(cpuid), secure_processor);
    (protocol, SecretsPage::from_bytes(secrets).unwrap())
}

fn protocol() -> GhcbProtocol {
    protocol_and_secrets().0
}

/// A guest that has its GHCB shared and registered.
fn ready() -> GhcbProtocol {
    let mut ghcb = protocol();
    make_ready(&mut ghcb);
    ghcb
}

pub(super) fn make_ready(ghcb: &mut GhcbProtocol) {
    let share = Request::PageStateChange { gfn: GHCB_GFN, operation: Operation::Shared };
    assert_eq!(ask(ghcb, share), Some(Response::PageStateChange(0)));
    let register = Request::RegisterGhcb(GHCB_GFN);
    assert_eq!(ask(ghcb, register), Some(Response::RegisteredGhcb(Some(GHCB_GFN))));
}

/// One exchange of the MSR protocol.
fn ask(ghcb: &mut GhcbProtocol, request: Request) -> Option<Response> {
    assert_eq!(ghcb.write(msr::GHCB, request.encode()), MsrOutcome::Done);
    Response::decode(ghcb.read(msr::GHCB).unwrap())
}

fn put(ghcb: &GhcbProtocol, page: &Ghcb) {
    ghcb.memory.shared().write_slice(page.as_bytes(), GuestAddress(GHCB)).unwrap();
}

fn get(ghcb: &GhcbProtocol) -> Ghcb {
    let mut bytes = [0; ghcb::PAGE_SIZE];
    ghcb.memory.shared().read_slice(&mut bytes, GuestAddress(GHCB)).unwrap();
    Ghcb::from_bytes(bytes)
}

/// A page that asks for these changes.
fn request(entries: &[Entry]) -> Ghcb {
    let mut page = Ghcb::new();
    page.set(Field::ExitCode, exit_code::PAGE_STATE_CHANGE);
    page.set(Field::ExitInfo1, 0);
    page.set(Field::ExitInfo2, 0);
    page.set(Field::Scratch, GHCB + SHARED_BUFFER as u64);
    page.set_page_state_header(Header { current: 0, end: entries.len() as u16 - 1 });
    for (index, entry) in entries.iter().enumerate() {
        page.set_page_state_entry(index as u16, *entry);
    }
    page
}

/// Puts the page, makes the request, and returns SW_EXITINFO1, SW_EXITINFO2 and the page.
pub(super) fn exit(ghcb: &mut GhcbProtocol, page: &Ghcb) -> (Option<u64>, Option<u64>, Ghcb) {
    put(ghcb, page);
    assert_eq!(ghcb.write(msr::GHCB, Request::Ghcb(GHCB).encode()), MsrOutcome::Done);
    let page = get(ghcb);
    (page.get(Field::ExitInfo1), page.get(Field::ExitInfo2), page)
}

fn large(address: u64, operation: Operation) -> Entry {
    Entry { current_page: 0, gfn: address / PAGE_SIZE, operation, size: PageSize::Large }
}

fn state(ghcb: &GhcbProtocol, address: u64) -> PageState {
    ghcb.memory.pages().state(address).unwrap()
}

#[test]
fn the_guest_learns_version_features_and_c_bit() {
    let mut ghcb = protocol();
    assert_eq!(
        ask(&mut ghcb, Request::SevInformation),
        Some(Response::SevInformation { maximum: 2, minimum: 2, c_bit: 47 })
    );
    assert_eq!(ask(&mut ghcb, Request::Features), Some(Response::Features(Features::SNP)));
    let register = CpuidRegister::Ebx;
    assert_eq!(
        ask(&mut ghcb, Request::Cpuid { function: LEAF, register }),
        Some(Response::Cpuid { value: 47 | 1 << 6, register })
    );
    assert_eq!(ghcb.read(msr::SEV_STATUS), Some(1));
}

#[test]
fn msrs_that_are_not_the_platforms_fault() {
    let mut ghcb = protocol();
    assert_eq!(ghcb.read(0xc001_0132), None);
    assert_eq!(ghcb.write(msr::SEV_STATUS, 0), MsrOutcome::Fault);
}

#[test]
fn a_guest_that_gives_up_is_heard() {
    let terminate = Request::Terminate { set: 1, reason: 2 }.encode();
    assert_eq!(protocol().write(msr::GHCB, terminate), MsrOutcome::Terminated(1, 2));
}

#[test]
fn ranges_are_converted_both_ways() {
    let mut ghcb = ready();
    let entries =
        [large(32 << 20, Operation::Shared), large((32 << 20) + LARGE, Operation::Shared)];
    let (information1, information2, page) = exit(&mut ghcb, &request(&entries));
    assert_eq!((information1, information2), (Some(0), Some(0)));
    assert_eq!(page.page_state_header(), Some(Header { current: 2, end: 1 }));
    assert_eq!(page.get(Field::ExitCode), None, "only what the hypervisor returns is valid");
    assert_eq!(state(&ghcb, (36 << 20) - 1), PageState::Shared);
    assert_eq!(state(&ghcb, 36 << 20), PageState::Private);
    let (.., information2, _) = exit(&mut ghcb, &request(&[large(32 << 20, Operation::Private)]));
    assert_eq!(information2, Some(0));
    assert_eq!(state(&ghcb, 32 << 20), PageState::Private);
}

#[test]
fn work_goes_on_where_the_structure_says() {
    let mut ghcb = ready();
    let mut half = large(32 << 20, Operation::Shared);
    half.current_page = 256;
    let mut page = request(&[large(48 << 20, Operation::Shared), half]);
    page.set_page_state_header(Header { current: 1, end: 1 });
    assert_eq!(exit(&mut ghcb, &page).1, Some(0));
    assert_eq!(state(&ghcb, 48 << 20), PageState::Private, "done before, says the header");
    assert_eq!(state(&ghcb, 32 << 20), PageState::Private);
    assert_eq!(state(&ghcb, (32 << 20) + LARGE / 2), PageState::Shared);
}

#[test]
fn pages_that_are_no_memory_are_refused_by_msr() {
    let mut ghcb = protocol();
    for gfn in [END / PAGE_SIZE, (3 << 30) / PAGE_SIZE, (1 << 40) - 1] {
        for operation in [Operation::Shared, Operation::Private] {
            let answer = ask(&mut ghcb, Request::PageStateChange { gfn, operation });
            assert_eq!(answer, Some(Response::PageStateChange(REFUSED)), "{gfn:#x}");
        }
        let answer = ask(&mut ghcb, Request::RegisterGhcb(gfn));
        assert_eq!(answer, Some(Response::RegisteredGhcb(None)), "{gfn:#x}");
    }
    // 52 bits, whose address does not exist.
    let answer = ask(&mut ghcb, Request::RegisterGhcb((1 << 52) - 2));
    assert_eq!(answer, Some(Response::RegisteredGhcb(None)));
    assert_eq!(ghcb.memory.pages().shared_pages(), 0);
}

#[test]
fn an_entry_that_is_no_memory_stops_the_work_and_says_where() {
    let mut ghcb = ready();
    for bad in [END, 1 << 51, (1 << 52) - LARGE] {
        let entries = [large(32 << 20, Operation::Shared), large(bad, Operation::Shared)];
        let (information1, information2, page) = exit(&mut ghcb, &request(&entries));
        assert_eq!(information1, Some(0));
        assert_eq!(information2, Some(Status::InvalidEntry.encode()), "{bad:#x}");
        assert_eq!(page.page_state_header(), Some(Header { current: 1, end: 1 }));
    }
    assert_eq!(ghcb.memory.pages().shared_pages(), 512 + 1);
}

#[test]
fn senseless_headers_are_refused() {
    let mut ghcb = ready();
    let entry = large(32 << 20, Operation::Shared);
    for header in [
        Header { current: 1, end: 0 },
        Header { current: 0, end: MAX_ENTRIES as u16 },
        Header { current: u16::MAX, end: u16::MAX },
    ] {
        let mut page = request(&[entry]);
        page.set_page_state_header(header);
        assert_eq!(exit(&mut ghcb, &page).1, Some(Status::InvalidHeader.encode()), "{header:?}");
    }
    assert_eq!(ghcb.memory.pages().shared_pages(), 1);
}

#[test]
fn malformed_requests_are_named() {
    let good = || request(&[large(32 << 20, Operation::Shared)]);
    let mut unknown = good();
    unknown.set(Field::ExitCode, 0x8000_0013);
    let mut scratch = good();
    scratch.set(Field::Scratch, 32 << 20);
    let mut wrap = good();
    wrap.set(Field::Scratch, u64::MAX);
    let mut missing = good();
    missing.clear_valid();
    let mut bytes = *good().as_bytes();
    bytes[0xffc] = 1;
    let usage = Ghcb::from_bytes(bytes);
    let mut ghcb = ready();
    for (page, malformed) in [
        (unknown, Malformed::UnknownEvent),
        (scratch, Malformed::Scratch),
        (wrap, Malformed::Scratch),
        (missing, Malformed::MissingInput),
        (usage, Malformed::Usage),
    ] {
        let (information1, information2, _) = exit(&mut ghcb, &page);
        assert_eq!((information1, information2), (Some(2), Some(malformed as u64)));
    }
    assert_eq!(ghcb.memory.pages().shared_pages(), 1);
}

#[test]
fn a_ghcb_that_is_private_or_was_not_registered_is_not_looked_at() {
    let page = request(&[large(32 << 20, Operation::Shared)]);
    let mut unregistered = protocol();
    let share = Request::PageStateChange { gfn: GHCB_GFN, operation: Operation::Shared };
    ask(&mut unregistered, share);
    let mut private = ready();
    let hide = Request::PageStateChange { gfn: GHCB_GFN, operation: Operation::Private };
    ask(&mut private, hide);
    for mut ghcb in [unregistered, private] {
        let (_, information2, after) = exit(&mut ghcb, &page);
        assert_eq!(information2, Some(0), "as the guest left it");
        assert_eq!(after.get(Field::ExitCode), Some(exit_code::PAGE_STATE_CHANGE), "no answer");
        assert_eq!(state(&ghcb, 32 << 20), PageState::Private);
    }
}

#[test]
fn a_guest_may_hide_its_ghcb_in_the_request_that_the_ghcb_carries() {
    let mut ghcb = ready();
    let entry = Entry {
        current_page: 0,
        gfn: GHCB_GFN,
        operation: Operation::Private,
        size: PageSize::Small,
    };
    let (.., after) = exit(&mut ghcb, &request(&[entry]));
    assert_eq!(state(&ghcb, GHCB), PageState::Private);
    assert!(after.as_bytes().iter().all(|byte| *byte == 0), "nothing written to a private page");
}

proptest! {
    /// Row 23: nothing that a guest writes to the MSR harms anyone but itself.
    #[test]
    fn no_msr_value_panics(values in proptest::collection::vec(any::<u64>(), 1..20)) {
        let mut ghcb = ready();
        for value in values {
            for info in [value, value & !0xfff, value & !0xfff | 0x14, value & !0xfff | 0x12] {
                ghcb.write(msr::GHCB, info);
            }
        }
    }

    /// Row 23: nothing that a guest writes into its GHCB does either, and memory outside of the
    /// guest's stays what it was.
    #[test]
    fn no_ghcb_panics(noise in proptest::collection::vec((0usize..4096, any::<u8>()), 0..64),
                      entries in proptest::collection::vec(any::<u64>(), 1..20)) {
        let mut ghcb = ready();
        let mut bytes = *request(&[large(32 << 20, Operation::Shared); 20]).as_bytes();
        for (index, entry) in entries.iter().enumerate() {
            bytes[SHARED_BUFFER + 8 + 8 * index..][..8].copy_from_slice(&entry.to_le_bytes());
        }
        for (at, byte) in noise {
            bytes[at] = byte;
        }
        let _ = exit(&mut ghcb, &Ghcb::from_bytes(bytes));
        prop_assert!(ghcb.memory.pages().shared_ranges().iter().all(|range| range.end <= END));
    }
}
