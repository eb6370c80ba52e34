#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use ravelin_spdm::transport::{doe, mctp};

use super::*;

fn explain(bytes: &[u8]) -> String {
    Explainer::new(mctp::FRAMING).explain(Direction::Request, &Message::Clear(bytes.to_vec()))
}

#[test]
fn a_field_has_its_offset_name_value_and_meaning() {
    let text = explain(&[0x10, 4, 0, 0, 0, 2, 0x00, 0x12, 0x01, 0x13]);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["1", "->", "VERSION,", "10", "bytes"]);
    assert_eq!(lines[1], ["0", "SPDMVersion", "0x10", "1.0"]);
    assert_eq!(lines[2], ["1", "RequestResponseCode", "0x04", "VERSION"]);
    assert_eq!(lines[7], ["6", "VersionNumberEntry", "0x1200", "1.2.0"]);
    assert_eq!(lines[8], ["8", "VersionNumberEntry", "0x1301", "1.3.0,", "draft", "1"]);
}

#[test]
fn a_message_that_breaks_off_is_explained_up_to_there() {
    let text = explain(&[0x12, 0xe4, 0xff, 0, 0x34]);
    assert!(text.contains("all measurements"), "{text}");
    assert!(text.contains("breaks off: ReqSessionID lacks 1 bytes"), "{text}");
    assert!(!text.contains("RandomData"), "{text}");
}

#[test]
fn what_is_left_over_is_shown_and_padding_called_by_its_name() {
    let padded = Message::Clear(vec![0x12, 0x82, 0, 0, 0, 0, 0, 4, 0, 0]);
    let text = Explainer::new(doe::FRAMING).explain(Direction::Request, &padded);
    assert!(text.contains("(padding)"), "{text}");
    let text = Explainer::new(mctp::FRAMING).explain(Direction::Request, &padded);
    assert!(text.contains("(more)"), "{text}");
}

#[test]
fn the_version_decides_on_the_layout() {
    let capabilities = |version| [&[version, 0xe1, 0, 0][..], &[0; 16]].concat();
    assert!(explain(&capabilities(0x12)).contains("DataTransferSize"));
    assert!(!explain(&capabilities(0x11)[..12]).contains("DataTransferSize"));
    let measurements = |version, size| [&[version, 0xe0, 1, 0xff][..], &vec![7; size]].concat();
    for (version, size) in [(0x11, 33), (0x12, 33), (0x13, 41)] {
        let text = explain(&measurements(version, size));
        assert!(!text.contains("(more)") && !text.contains("breaks off"), "{text}");
    }
}

#[test]
fn a_record_shows_what_is_in_clear() {
    let record = [&[0x34, 0x12, 1, 0, 5, 0, 18, 0][..], &[9; 18]].concat();
    let message = Message::Secured(record);
    let text = Explainer::new(mctp::FRAMING).explain(Direction::Response, &message);
    for expected in ["<- record, 26 bytes", "requester 0x1234, responder 0x0001", "0500", "MAC"] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(
        messages in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..4,
        ),
        code in any::<u8>(),
    ) {
        let mut explainer = Explainer::new(doe::FRAMING);
        for (secured, mut bytes) in messages {
            if let Some(byte) = bytes.get_mut(1) {
                *byte = code;
            }
            let message = if secured { Message::Secured(bytes) } else { Message::Clear(bytes) };
            let text = explainer.explain(Direction::Request, &message);
            // A count or a length that lies does not make it long.
            prop_assert!(text.len() < 60_000, "{} bytes", text.len());
        }
    }
}
