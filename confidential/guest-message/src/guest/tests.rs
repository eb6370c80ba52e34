//! Both ends against each other, and whoever stands between them.

use super::*;
use crate::derived_key::{KeyRequest, KeyResponse};
use crate::firmware::{self, FirmwareChannel};
use crate::report::{REPORT_SIZE, ReportRequest, ReportResponse, SigningKey};
use crate::{NoAnswer, Payload, header};

const EMPTY: Page = [0; 4096];

fn key(number: u8) -> Vmpck {
    Vmpck::new(number, [0x42; 32]).unwrap()
}

fn question() -> ReportRequest {
    ReportRequest { report_data: [0xd1; 64], vmpl: 0, signing_key: SigningKey::Any }
}

fn ends() -> (GuestChannel, FirmwareChannel) {
    (GuestChannel::new(key(0)), FirmwareChannel::new(key(0)))
}

/// A sealed question.
fn ask(guest: &mut GuestChannel) -> Page {
    let mut page = EMPTY;
    guest.ask(&question(), &mut page).unwrap();
    page
}

/// The firmware's sealed answer: a report of REPORT_DATA's first byte.
fn answer(firmware: &mut FirmwareChannel, page: &Page) -> Result<Page, firmware::Error> {
    firmware.answer(page, |header, question| {
        assert_eq!(header.kind, MessageType::ReportRequest as u8);
        let asked = ReportRequest::decode(question).unwrap();
        let report = [asked.report_data[0]; REPORT_SIZE];
        (ReportResponse::TYPE as u8, ReportResponse { report }.encode())
    })
}

fn is_dead(guest: &mut GuestChannel) -> bool {
    guest.ask(&question(), &mut EMPTY.clone()) == Err(Error::Dead)
}

#[test]
fn questions_are_odd_and_answers_even_and_none_comes_twice() {
    let (mut guest, mut firmware) = ends();
    for round in 0..3_u64 {
        let asked = ask(&mut guest);
        assert_eq!(asked[0x20..0x28], (2 * round + 1).to_le_bytes());
        assert!(!asked.windows(8).any(|window| window == [0xd1; 8]), "not in the clear");
        let answered = answer(&mut firmware, &asked).unwrap();
        assert_eq!(answered[0x20..0x28], (2 * round + 2).to_le_bytes());
        let response: ReportResponse = guest.receive(&answered).unwrap();
        assert_eq!(response.report, [0xd1; REPORT_SIZE]);
    }
}

/// Computed with OpenSSL (`AESGCM(key).encrypt(nonce, payload, header[0x30:])` of Python's
/// `cryptography` 48) from the ABI's tables: nonce, associated data and payload laid out by hand.
#[test]
fn a_sealed_question_is_the_one_that_openssl_makes() {
    let page = ask(&mut ends().0);
    let tag = [
        0x3b, 0x03, 0xca, 0x5c, 0xad, 0x28, 0x53, 0x20, 0x95, 0x52, 0xad, 0xb4, 0x01, 0xe4, 0x7b,
        0x1a,
    ];
    let ciphertext = [
        0x5c, 0x87, 0xca, 0xfd, 0x44, 0x96, 0xd8, 0x6a, 0x37, 0xdb, 0xae, 0x38, 0x1e, 0xe3, 0x77,
        0x05,
    ];
    assert_eq!(page[..16], tag);
    assert_eq!(page[0x60..0x70], ciphertext);
    assert!(page[0xc0..].iter().all(|byte| *byte == 0), "nothing behind the message");
}

#[test]
fn each_bit_of_a_question_counts() {
    let (mut guest, mut firmware) = ends();
    let asked = ask(&mut guest);
    for at in 0..header::SIZE + 0x60 {
        for bit in 0..8 {
            let mut changed = asked;
            changed[at] ^= 1 << bit;
            assert!(answer(&mut firmware, &changed).is_err(), "byte {at:#x}, bit {bit}");
        }
    }
    assert!(answer(&mut firmware, &asked).is_ok(), "what was refused has changed nothing");
}

#[test]
fn each_bit_of_an_answer_counts_and_a_wrong_one_wipes_the_key() {
    let reference = {
        let (mut guest, mut firmware) = ends();
        answer(&mut firmware, &ask(&mut guest)).unwrap()
    };
    for at in 0..header::SIZE + 0x20 + REPORT_SIZE {
        let mut guest = ends().0;
        ask(&mut guest);
        let mut changed = reference;
        changed[at] ^= 1 << (at % 8);
        assert!(guest.receive::<ReportResponse>(&changed).is_err(), "byte {at:#x}");
        assert!(is_dead(&mut guest), "byte {at:#x}");
        assert_eq!(guest.receive::<ReportResponse>(&reference), Err(Error::Dead));
    }
}

#[test]
fn each_field_that_is_wrong_has_its_own_error() {
    use header::Malformed;
    let (mut guest, mut firmware) = ends();
    let asked = ask(&mut guest);
    for (at, value, error) in [
        (0x00, asked[0] ^ 1, SealError::Forged(1)),
        (0x10, 1, Malformed::Reserved.into()),
        (0x20, 3, SealError::Sequence { expected: 1, found: 3 }),
        (0x28, 1, Malformed::Reserved.into()),
        (0x30, 2, Malformed::Algorithm(2).into()),
        (0x31, 2, Malformed::Layout(2, 0x60).into()),
        (0x32, 0x61, Malformed::Layout(1, 0x61).into()),
        (0x34, 3, SealError::Forged(1)),
        (0x35, 2, SealError::Forged(1)),
        (0x36, 0x61, SealError::Forged(1)),
        (0x37, 0x10, Malformed::Size(0x1060).into()),
        (0x38, 1, Malformed::Reserved.into()),
        (0x3c, 1, SealError::OtherKey { expected: 0, found: 1 }),
        (0x3c, 4, Malformed::Key(4).into()),
        (0x3d, 1, Malformed::Reserved.into()),
        (0x60, asked[0x60] ^ 1, SealError::Forged(1)),
    ] {
        let mut changed = asked;
        changed[at] = value;
        let refused = answer(&mut firmware, &changed);
        assert_eq!(refused, Err(error.into()), "byte {at:#x}");
    }
}

#[test]
fn a_question_is_answered_once() {
    let (mut guest, mut firmware) = ends();
    let first = ask(&mut guest);
    let answered = answer(&mut firmware, &first).unwrap();
    let replayed = SealError::Sequence { expected: 3, found: 1 };
    assert_eq!(answer(&mut firmware, &first), Err(replayed.into()));
    guest.receive::<ReportResponse>(&answered).unwrap();
    let second = ask(&mut guest);
    assert!(answer(&mut firmware, &second).is_ok());
}

#[test]
fn an_answer_is_believed_once_and_only_by_who_asked() {
    let (mut guest, mut firmware) = ends();
    let first = ask(&mut guest);
    let old = answer(&mut firmware, &first).unwrap();
    guest.receive::<ReportResponse>(&old).unwrap();
    // A replay in place of the next answer.
    ask(&mut guest);
    let replayed = SealError::Sequence { expected: 4, found: 2 };
    assert_eq!(guest.receive::<ReportResponse>(&old), Err(replayed.into()));
    assert!(is_dead(&mut guest));

    // The guest's own question, reflected.
    let (mut guest, _) = ends();
    let asked = ask(&mut guest);
    let reflected = SealError::Sequence { expected: 2, found: 1 };
    assert_eq!(guest.receive::<ReportResponse>(&asked), Err(reflected.into()));

    // An answer under another guest's key, and without a question.
    let mut other = GuestChannel::new(Vmpck::new(0, [0x43; 32]).unwrap());
    ask(&mut other);
    assert_eq!(other.receive::<ReportResponse>(&old), Err(SealError::Forged(2).into()));
    let (mut guest, _) = ends();
    assert_eq!(guest.receive::<ReportResponse>(&old), Err(Error::OutOfOrder));
    assert!(is_dead(&mut guest));
}

#[test]
fn a_second_question_before_the_answer_wipes_the_key() {
    let (mut guest, _) = ends();
    ask(&mut guest);
    let mut page = EMPTY;
    assert_eq!(guest.ask(&question(), &mut page), Err(Error::OutOfOrder));
    assert_eq!(page, EMPTY, "nothing is sealed");
    assert!(is_dead(&mut guest));
    let (mut guest, _) = ends();
    ask(&mut guest);
    guest.abandon();
    assert!(is_dead(&mut guest));
}

#[test]
fn a_refusal_leaves_the_conversation_and_nonsense_ends_it() {
    let (mut guest, mut firmware) = ends();
    let refused = |_: &header::Header, _: &[u8]| {
        (MessageType::ReportResponse as u8, ReportResponse::refusal(0x16))
    };
    let page = firmware.answer(&ask(&mut guest), refused).unwrap();
    assert_eq!(guest.receive::<ReportResponse>(&page), Err(Error::Refused(0x16)));
    let page = answer(&mut firmware, &ask(&mut guest)).unwrap();
    assert!(guest.receive::<ReportResponse>(&page).is_ok());

    let nonsense =
        |_: &header::Header, _: &[u8]| (MessageType::ReportResponse as u8, Payload::zeros(3));
    let page = firmware.answer(&ask(&mut guest), nonsense).unwrap();
    assert_eq!(guest.receive::<ReportResponse>(&page), Err(Error::Malformed));
    assert!(is_dead(&mut guest));
    assert_eq!(ReportResponse::decode(&[]), Err(NoAnswer::Malformed));
}

#[test]
fn an_answer_of_another_type_is_none() {
    let (mut guest, mut firmware) = ends();
    let other = |_: &header::Header, _: &[u8]| {
        (MessageType::KeyResponse as u8, KeyResponse::new([1; 32]).encode())
    };
    let page = firmware.answer(&ask(&mut guest), other).unwrap();
    assert_eq!(guest.receive::<ReportResponse>(&page), Err(Error::OtherType(4)));
    assert!(is_dead(&mut guest));
}

#[test]
fn a_derived_key_comes_the_same_way() {
    let (mut guest, mut firmware) = ends();
    let request = KeyRequest { guest_fields: 1, vmpl: 0, guest_svn: 0, tcb: 0 };
    let mut page = EMPTY;
    guest.ask(&request, &mut page).unwrap();
    let page = firmware
        .answer(&page, |_, question| {
            assert_eq!(KeyRequest::decode(question), Some(request));
            (KeyResponse::TYPE as u8, KeyResponse::new([5; 32]).encode())
        })
        .unwrap();
    assert_eq!(guest.receive::<KeyResponse>(&page).map(|answer| *answer.key()), Ok([5; 32]));
}

#[test]
fn numbers_are_not_begun_again_at_their_end() {
    let last = u64::MAX - 2; // odd, and its answer is the last even number
    let mut guest = GuestChannel { state: State::Ready { key: key(0), next: last } };
    let page = ask(&mut guest);
    assert_eq!(page[0x20..0x28], last.to_le_bytes());
    let mut guest = GuestChannel { state: State::Ready { key: key(0), next: u64::MAX } };
    assert_eq!(guest.ask(&question(), &mut EMPTY.clone()), Err(Error::Exhausted));
    assert!(is_dead(&mut guest));
}

#[test]
fn keys_are_four_and_not_zero() {
    assert!(Vmpck::new(4, [1; 32]).is_none());
    assert!(Vmpck::new(0, [0; 32]).is_none());
}
