//! Guest messages, on their way through the hypervisor: pages that are cut, swapped, repeated and made
//! up. Only the AMD-SP's answer to the guest's own question is believed, each question is answered
//! once, and a message that is none changes nothing for the AMD-SP.
//!
//! The first two bytes choose what is asked and what becomes of the messages; the rest is xored over
//! the page, or is a page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_guest_message::derived_key::{KeyRequest, KeyResponse};
use ravelin_guest_message::firmware::FirmwareChannel;
use ravelin_guest_message::guest::GuestChannel;
use ravelin_guest_message::header::Header;
use ravelin_guest_message::report::{REPORT_SIZE, ReportRequest, ReportResponse, SigningKey};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_guest_message::{Page, Payload, Request, Response, Vmpck};

const REPORT: [u8; REPORT_SIZE] = [3; REPORT_SIZE];

/// An AMD-SP that gives every guest the same report.
fn answer(_: &Header, question: &[u8]) -> (u8, Payload) {
    let payload = match ReportRequest::decode(question) {
        Some(_) => ReportResponse { report: REPORT }.encode(),
        None => ReportResponse::refusal(0x16),
    };
    (ReportResponse::TYPE as u8, payload)
}

fn changed(page: &Page, how: u8, data: &[u8]) -> Page {
    let mut page = *page;
    let start = usize::from(how) * 16;
    for (place, byte) in page.iter_mut().skip(start).zip(data) {
        *place ^= byte;
    }
    page
}

fuzz_target!(|data: &[u8]| {
    let [how, place, rest @ ..] = data else { return };
    let key = || Vmpck::new(0, [7; 32]).unwrap();
    let (mut guest, mut firmware) = (GuestChannel::new(key()), FirmwareChannel::new(key()));
    // Decoders of what is opened: what is read can be written.
    if let Some(request) = ReportRequest::decode(rest) {
        assert_eq!(request.encode().as_slice(), rest);
    }
    if let Some(request) = KeyRequest::decode(rest) {
        assert_eq!(request.encode().as_slice(), rest);
    }
    if let Ok(response) = KeyResponse::decode(rest) {
        let again = KeyResponse::decode(response.encode().as_slice()).map(|again| *again.key());
        assert_eq!(again.ok(), Some(*response.key()));
    }
    let mut any = [0; size_of::<Page>()];
    any.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    if let Ok(mut page) = SecretsPage::from_bytes(any) {
        let _ = page.take_key(*place);
    }

    let question = ReportRequest {
        report_data: [*how; 64],
        vmpl: u32::from(how % 4),
        signing_key: SigningKey::Any,
    };
    let mut asked = [0; size_of::<Page>()];
    guest.ask(&question, &mut asked).unwrap();
    let touched = changed(&asked, *place, rest);
    if how & 16 != 0 {
        // A stranger's page, as it is.
        assert!(firmware.answer(&any, answer).is_err());
    }
    if touched != asked {
        // Unless only what nobody looks at has changed, it is not the guest's; and changes nothing.
        if let Ok(page) = firmware.answer(&touched, answer) {
            let said = guest.receive::<ReportResponse>(&page).expect("an answer to the question");
            assert_eq!(said.report, REPORT);
            return;
        }
    }
    let sealed = firmware.answer(&asked, answer).expect("the guest's own question");
    assert!(firmware.answer(&asked, answer).is_err(), "a question is answered twice");
    let delivered = if how & 32 != 0 { any } else { changed(&sealed, *place, rest) };
    match guest.receive::<ReportResponse>(&delivered) {
        Ok(said) => assert_eq!(said.report, REPORT),
        Err(_) => {
            assert_ne!(delivered, sealed, "the AMD-SP's answer is refused");
            assert!(guest.ask(&question, &mut asked).is_err(), "the key is still in use");
        }
    }
});
