use super::super::GhcbProtocol;
use super::super::tests::{exit, make_ready, protocol_and_secrets};
use super::*;
use proptest::prelude::*;
use ravelin_devices::page_state::PageState;
use ravelin_guest_message::Page;
use ravelin_guest_message::guest::GuestChannel;
use ravelin_guest_message::report::{ReportRequest, ReportResponse, SigningKey};
use ravelin_snp::ghcb::guest_request::firmware_status::{BAD_MEASUREMENT, INVALID_PARAM};
use ravelin_snp::ghcb::page::exit_code;

/// Where the guest's shared pages are: question, answer, certificates.
const QUESTION: u64 = 32 << 20;
const ANSWER: u64 = QUESTION + PAGE_SIZE;
const CERTIFICATES: u64 = ANSWER + PAGE_SIZE;
const SHARED_PAGES: u64 = 8;
/// Neither shared nor used by anybody.
const PRIVATE: u64 = 40 << 20;

/// A guest that has pages to share and a question in the first.
fn asking() -> (GhcbProtocol, GuestChannel) {
    let (mut ghcb, mut secrets) = protocol_and_secrets();
    make_ready(&mut ghcb);
    let pages = ghcb.memory.pages();
    pages.convert(QUESTION, SHARED_PAGES * PAGE_SIZE, PageState::Shared).unwrap();
    let mut channel = GuestChannel::new(secrets.take_key(0).unwrap());
    let request = ReportRequest { report_data: [0xd1; 64], vmpl: 0, signing_key: SigningKey::Any };
    let mut page = [0; ghcb::PAGE_SIZE];
    channel.ask(&request, &mut page).unwrap();
    ghcb.memory.shared().write_slice(&page, GuestAddress(QUESTION)).unwrap();
    (ghcb, channel)
}

fn shared_page(ghcb: &GhcbProtocol, address: u64) -> Page {
    let mut page = [0; ghcb::PAGE_SIZE];
    ghcb.memory.shared().read_slice(&mut page, GuestAddress(address)).unwrap();
    page
}

fn request(question: u64, answer: u64) -> Ghcb {
    let mut page = Ghcb::new();
    page.set(Field::ExitCode, exit_code::GUEST_REQUEST);
    page.set(Field::ExitInfo1, question);
    page.set(Field::ExitInfo2, answer);
    page
}

fn extended(certificates: u64, pages: u64) -> Ghcb {
    let mut page = request(QUESTION, ANSWER);
    page.set(Field::ExitCode, exit_code::EXTENDED_GUEST_REQUEST);
    page.set(Field::Rax, certificates);
    page.set(Field::Rbx, pages);
    page
}

fn outcome(ghcb: &mut GhcbProtocol, page: &Ghcb) -> (u64, u64) {
    let (information1, information2, _) = exit(ghcb, page);
    (information1.unwrap(), information2.unwrap())
}

const DONE: (u64, u64) = (0, 0);

const fn malformed(why: Malformed) -> (u64, u64) {
    (2, why as u64)
}

#[test]
fn a_guest_gets_a_report_that_the_host_has_not_seen_in_the_clear() {
    let (mut ghcb, mut channel) = asking();
    assert_eq!(outcome(&mut ghcb, &request(QUESTION, ANSWER)), DONE);
    let answer = shared_page(&ghcb, ANSWER);
    assert!(!answer.windows(8).any(|bytes| bytes == [0xd1; 8]));
    let ReportResponse { report } = channel.receive(&answer).unwrap();
    assert_eq!(report[0x50..0x90], [0xd1; 64]);
    assert_eq!(shared_page(&ghcb, CERTIFICATES), [0; ghcb::PAGE_SIZE]);
    // Once more the same: a replay.
    let replay = Status::Firmware(INVALID_PARAM).encode();
    assert_eq!(outcome(&mut ghcb, &request(QUESTION, ANSWER)), (0, replay));
}

#[test]
fn certificates_come_with_an_extended_request_where_they_fit() {
    let (mut ghcb, mut channel) = asking();
    // Too few pages: told how many, and the AMD-SP was not asked, since the same question is good later.
    let (_, information2, page) = exit(&mut ghcb, &extended(CERTIFICATES, 0));
    let needed = page.get(Field::Rbx).unwrap();
    assert_eq!(information2, Some(Status::TooFewPages.encode()));
    assert!((1..=SHARED_PAGES - 2).contains(&needed));
    assert_eq!(outcome(&mut ghcb, &extended(CERTIFICATES, needed)), DONE);
    assert!(channel.receive::<ReportResponse>(&shared_page(&ghcb, ANSWER)).is_ok());
    let table = shared_page(&ghcb, CERTIFICATES);
    for guid in [Guid::ARK, Guid::ASK, Guid::VCEK] {
        assert_eq!(certificate_table::find(&table, guid).unwrap().unwrap()[0], 0x30);
    }
}

#[test]
fn pages_that_are_not_shared_are_neither_read_nor_written() {
    let (mut ghcb, mut channel) = asking();
    for (question, answer) in [
        (PRIVATE, ANSWER),
        (QUESTION, PRIVATE),
        (QUESTION, QUESTION + SHARED_PAGES * PAGE_SIZE),
        (QUESTION + 1, ANSWER),
        (QUESTION, ANSWER + 8),
        (u64::MAX - PAGE_SIZE + 1, ANSWER),
        (QUESTION, 1 << 46),
    ] {
        let refused = outcome(&mut ghcb, &request(question, answer));
        assert_eq!(refused, malformed(Malformed::InvalidInput), "{question:#x} {answer:#x}");
    }
    let last = QUESTION + (SHARED_PAGES - 1) * PAGE_SIZE;
    for certificates in [PRIVATE, CERTIFICATES + 1, last + PAGE_SIZE, !0xfff] {
        let refused = outcome(&mut ghcb, &extended(certificates, 1 << 40));
        assert_eq!(refused, malformed(Malformed::InvalidInput), "{certificates:#x}");
    }
    let mut private = [1; ghcb::PAGE_SIZE];
    ghcb.memory.private().read_slice(&mut private, GuestAddress(PRIVATE)).unwrap();
    assert_eq!(private, [0; ghcb::PAGE_SIZE]);
    // None of them used the question up.
    assert_eq!(outcome(&mut ghcb, &request(QUESTION, ANSWER)), DONE);
    assert!(channel.receive::<ReportResponse>(&shared_page(&ghcb, ANSWER)).is_ok());
}

#[test]
fn a_request_without_its_fields_is_malformed() {
    let (mut ghcb, _) = asking();
    for field in [Field::ExitInfo1, Field::ExitInfo2, Field::Rax, Field::Rbx] {
        let mut page = Ghcb::new();
        page.set(Field::ExitCode, exit_code::EXTENDED_GUEST_REQUEST);
        let all = [
            (Field::ExitInfo1, QUESTION),
            (Field::ExitInfo2, ANSWER),
            (Field::Rax, CERTIFICATES),
            (Field::Rbx, 4),
        ];
        all.iter().filter(|(other, _)| *other != field).for_each(|(f, v)| page.set(*f, *v));
        assert_eq!(outcome(&mut ghcb, &page), malformed(Malformed::MissingInput), "{field:?}");
    }
}

#[test]
fn a_host_that_changes_the_question_gets_a_status_and_no_answer() {
    let (mut ghcb, mut channel) = asking();
    let good = shared_page(&ghcb, QUESTION);
    let mut changed = good;
    changed[0x70] ^= 1;
    ghcb.memory.shared().write_slice(&changed, GuestAddress(QUESTION)).unwrap();
    let refused = (0, Status::Firmware(BAD_MEASUREMENT).encode());
    assert_eq!(outcome(&mut ghcb, &request(QUESTION, ANSWER)), refused);
    assert_eq!(shared_page(&ghcb, ANSWER), [0; ghcb::PAGE_SIZE]);
    ghcb.memory.shared().write_slice(&good, GuestAddress(QUESTION)).unwrap();
    assert_eq!(outcome(&mut ghcb, &request(QUESTION, ANSWER)), DONE);
    assert!(channel.receive::<ReportResponse>(&shared_page(&ghcb, ANSWER)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a hostile guest names, the VMM survives, and private memory stays as it was.
    #[test]
    fn no_request_reaches_private_memory(
        question: u64, answer in prop_oneof![Just(PRIVATE), any::<u64>()],
        certificates in prop_oneof![Just(PRIVATE), any::<u64>()], pages: u64, code in 0x11..0x13_u64,
    ) {
        let (mut ghcb, _) = asking();
        let mut page = extended(certificates, pages);
        page.set(Field::ExitCode, 0x8000_0000 | code);
        page.set(Field::ExitInfo1, if question % 2 == 0 { QUESTION } else { question });
        page.set(Field::ExitInfo2, answer);
        exit(&mut ghcb, &page);
        let mut private = [1; 2 * ghcb::PAGE_SIZE];
        ghcb.memory.private().read_slice(&mut private, GuestAddress(PRIVATE)).unwrap();
        prop_assert_eq!(private, [0; 2 * ghcb::PAGE_SIZE]);
    }
}
