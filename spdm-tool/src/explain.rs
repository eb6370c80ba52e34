//! A message field by field, for a person: offset, name as in DSP0274, value and what it means.
//!
//! The layouts are read off the bytes here once more, apart from the strict decoders of
//! `ravelin-spdm`: what those refuse can be looked at too, up to where it breaks off. Nothing here
//! decides anything.
//!
//! | file | messages |
//! | --- | --- |
//! | `negotiate` | VERSION, CAPABILITIES, ALGORITHMS |
//! | `identify` | DIGESTS, CERTIFICATE, CHALLENGE |
//! | `measure` | MEASUREMENTS |
//! | `session` | KEY_EXCHANGE to END_SESSION, opaque data, records |
//! | `other` | ERROR, chunks, vendor's messages |

use std::fmt::Write;

use ravelin_spdm::message::code;
use ravelin_spdm::transport::{Framing, Message};

use crate::conversation::Direction;
use page::Page;

mod codes;
mod identify;
mod measure;
mod negotiate;
mod other;
mod page;
mod session;
#[cfg(test)]
mod tests;

pub use measure::value_type;

/// Explains the messages of one conversation, in order.
pub struct Explainer {
    framing: Framing,
    number: usize,
    asked: Asked,
}

/// What the request has said that the response's layout depends on.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Whether KEY_EXCHANGE or CHALLENGE asked for a digest of measurements.
    summary: bool,
    /// Whether GET_MEASUREMENTS asked for a signature.
    signature: bool,
}

impl Explainer {
    /// An explainer of what a transport with this framing carries.
    pub fn new(framing: Framing) -> Explainer {
        Explainer { framing, number: 0, asked: Asked::default() }
    }

    /// The message, as lines.
    pub fn explain(&mut self, direction: Direction, message: &Message) -> String {
        self.number += 1;
        let heading = format!("{:3} {}", self.number, arrow(direction));
        match message {
            Message::Clear(bytes) => self.lines(&heading, bytes),
            Message::Secured(record) => {
                let mut page = Page::new(record);
                session::record(&mut page, self.framing.sequence_size);
                page.finish(&format!("{heading} record"), self.framing.alignment)
            }
        }
    }

    /// A message that was in a record, as lines.
    pub fn explain_opened(&mut self, direction: Direction, bytes: &[u8]) -> String {
        self.lines(&format!("    {} in a record:", arrow(direction)), bytes)
    }

    fn lines(&mut self, heading: &str, bytes: &[u8]) -> String {
        let mut page = Page::new(bytes);
        let version = page.u8("SPDMVersion", |byte| format!("{}.{}", byte >> 4, byte & 0xf));
        let code = page.u8("RequestResponseCode", |byte| codes::message(byte).into());
        self.body(&mut page, version, code);
        page.finish(&format!("{heading} {}", codes::message(code)), self.framing.alignment)
    }

    fn body(&mut self, page: &mut Page<'_>, version: u8, message: u8) {
        match message {
            code::GET_VERSION => page.parameters(),
            code::VERSION => negotiate::version(page),
            code::GET_CAPABILITIES | code::CAPABILITIES => negotiate::capabilities(page, version),
            code::NEGOTIATE_ALGORITHMS => negotiate::algorithms(page, version, false),
            code::ALGORITHMS => negotiate::algorithms(page, version, true),
            code::GET_DIGESTS => page.parameters(),
            code::DIGESTS => identify::digests(page, version),
            code::GET_CERTIFICATE => identify::get_certificate(page),
            code::CERTIFICATE => identify::certificate(page),
            codes::CHALLENGE => self.asked.summary = identify::challenge(page, version),
            codes::CHALLENGE_AUTH => identify::challenge_auth(page, version, self.asked.summary),
            code::GET_MEASUREMENTS => self.asked.signature = measure::request(page, version),
            code::MEASUREMENTS => measure::response(page, version, self.asked.signature),
            code::KEY_EXCHANGE => self.asked.summary = session::key_exchange(page),
            code::KEY_EXCHANGE_RSP => session::key_exchange_rsp(page, self.asked.summary),
            code::FINISH => session::finish(page),
            code::END_SESSION => session::end_session(page),
            codes::KEY_UPDATE | codes::KEY_UPDATE_ACK => session::key_update(page),
            code::FINISH_RSP | code::END_SESSION_ACK | codes::HEARTBEAT | codes::HEARTBEAT_ACK => {
                page.parameters();
            }
            code::ERROR => other::error(page),
            codes::CHUNK_SEND
            | codes::CHUNK_SEND_ACK
            | codes::CHUNK_GET
            | codes::CHUNK_RESPONSE => {
                other::chunk(page, message);
            }
            codes::VENDOR_DEFINED_REQUEST | codes::VENDOR_DEFINED_RESPONSE => other::vendor(page),
            _ => page.parameters(),
        }
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Request => "->",
        Direction::Response => "<-",
    }
}

/// Names of the bits that are set, and the numbers of those that have none.
fn bits(value: u32, names: &[(u32, &str)]) -> String {
    let mut text = String::new();
    for bit in (0..u32::BITS).filter(|bit| value & 1 << bit != 0) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let name = names.iter().find(|(number, _)| *number == bit);
        // Writing to a String cannot fail.
        let _ = match name {
            Some((_, name)) => write!(text, "{name}"),
            None => write!(text, "bit {bit}"),
        };
    }
    if text.is_empty() { "none".into() } else { text }
}
