//! Recorded conversations, one for each version, with every type of message: either end, fed with
//! nothing but the other's lines, has to say its own lines byte for byte.
//!
//! A line is a message: `>` from the requester, `<` from the responder, in hexadecimal; doubled
//! where it is a record, and then `=` is what the record says. After a change that is meant to be
//! seen on the wire:
//!
//! ```text
//! RAVELIN_WRITE_GOLDEN=1 cargo test -p ravelin-spdm --lib a_new_conversation_is_the_golden_one
//! ```

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use std::{env, format, fs};

use crate::message::code;
use crate::test_support::conversation::{Exchange, Leg, Setup};
use crate::transport::Message;
use crate::version::Version;

fn path(version: Version) -> String {
    let minor = version as u8 & 0xf;
    format!("{}/tests/golden/spdm-1.{minor}.txt", env!("CARGO_MANIFEST_DIR"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn write(exchanges: &[Exchange]) -> String {
    let mut text = String::from("# See src/golden_tests.rs for what this is and how it is made.\n");
    for Exchange { request, response } in exchanges {
        for (mark, Leg { carried, plain }) in [('>', request), ('<', response)] {
            text += &match carried {
                Message::Clear(bytes) => format!("{mark} {}\n", hex(bytes)),
                Message::Secured(bytes) => {
                    format!("{mark}{mark} {}\n= {}\n", hex(bytes), hex(plain))
                }
            };
        }
    }
    text
}

fn read(text: &str) -> Vec<Exchange> {
    let mut legs: Vec<(char, Leg)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (mark, bytes) = line.split_once(' ').unwrap();
        let bytes = unhex(bytes);
        match mark {
            "=" => legs.last_mut().unwrap().1.plain = bytes,
            ">>" | "<<" => {
                let leg = Leg { carried: Message::Secured(bytes), plain: Vec::new() };
                legs.push((mark.chars().next().unwrap(), leg));
            }
            _ => {
                let leg = Leg { carried: Message::Clear(bytes.clone()), plain: bytes };
                legs.push((mark.chars().next().unwrap(), leg));
            }
        }
    }
    let exchanges = legs.chunks(2).map(|pair| {
        let [('>', request), ('<', response)] = pair else { panic!("not in turns") };
        Exchange { request: request.clone(), response: response.clone() }
    });
    exchanges.collect()
}

fn golden(version: Version) -> Vec<Exchange> {
    read(&fs::read_to_string(path(version)).unwrap())
}

#[test]
fn the_responder_says_its_lines() {
    for version in Version::NEGOTIABLE {
        let mut far = Setup::everything(version).far();
        for Exchange { request, response } in golden(version) {
            assert_eq!(far.read(&request.carried), request);
            assert_eq!(far.respond(&request.carried), response.carried, "{version:?}");
        }
    }
}

#[test]
fn the_requester_says_its_lines() {
    for version in Version::NEGOTIABLE {
        let mut near = Setup::everything(version).near();
        for Exchange { request, response } in golden(version) {
            assert_eq!(near.next(), Some(request.carried), "{version:?}");
            assert_eq!(near.read(&response.carried), response);
            near.receive(&response.carried).unwrap();
        }
        assert_eq!(near.next(), None);
    }
}

#[test]
fn every_type_of_message_is_in_each_conversation() {
    let chunks = [code::CHUNK_SEND, code::CHUNK_GET, code::CHUNK_SEND_ACK, code::CHUNK_RESPONSE];
    let always = [
        code::GET_VERSION,
        code::GET_CAPABILITIES,
        code::NEGOTIATE_ALGORITHMS,
        code::GET_DIGESTS,
        code::GET_CERTIFICATE,
        code::CHALLENGE,
        code::GET_MEASUREMENTS,
        code::KEY_EXCHANGE,
        code::FINISH,
        code::HEARTBEAT,
        code::KEY_UPDATE,
        code::END_SESSION,
        code::VENDOR_DEFINED_REQUEST,
    ];
    for version in Version::NEGOTIABLE {
        let found: BTreeSet<u8> = golden(version)
            .iter()
            .flat_map(|exchange| [exchange.request.plain[1], exchange.response.plain[1]])
            .collect();
        // A large request is seen in its chunks only, and so is its response.
        let whole = always.iter().filter(|code| match version {
            Version::V1_0 | Version::V1_1 => true,
            Version::V1_2 | Version::V1_3 => **code != code::VENDOR_DEFINED_REQUEST,
        });
        let mut expected: BTreeSet<u8> =
            whole.flat_map(|request| [*request, request & 0x7f]).collect();
        expected.extend([code::RESPOND_IF_READY, code::ERROR]);
        if version >= Version::V1_2 {
            expected.extend(chunks);
        }
        assert_eq!(found, expected, "{version:?}");
    }
}

#[test]
fn a_new_conversation_is_the_golden_one() {
    for version in Version::NEGOTIABLE {
        let text = write(&Setup::everything(version).record());
        if env::var_os("RAVELIN_WRITE_GOLDEN").is_some() {
            fs::write(path(version), &text).unwrap();
        }
        assert!(text == fs::read_to_string(path(version)).unwrap(), "{version:?}");
    }
}
