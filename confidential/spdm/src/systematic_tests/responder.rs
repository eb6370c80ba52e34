//! Requests: which ERROR the responder answers each with, and that the request that is due is
//! answered afterwards as if nothing had been.

use alloc::vec::Vec;
use std::format;

use super::{asks, flipped, lengths};
use crate::message::code::*;
use crate::message::decode;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::suite::FEATURES;
use crate::test_support::TestResponder;
use crate::test_support::conversation::{Exchange, Far, Setup};
use crate::transport::Message;
use crate::version::Version;

/// What the responder makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is answered.
    Answer,
    /// It is refused with this code and data.
    Error(ErrorCode, u8),
}

use ErrorCode::*;

const fn refused(code: ErrorCode) -> Found {
    Found::Error(code, 0)
}

/// How far a responder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Versions,
    Capabilities,
    Connected,
    Handshake,
    Established,
}

impl Stage {
    fn is_secured(self) -> bool {
        matches!(self, Stage::Handshake | Stage::Established)
    }

    /// The stage in which a recorded request was made.
    fn of(request: &[u8], secured: bool) -> Stage {
        match request[1] {
            GET_VERSION => Stage::Idle,
            GET_CAPABILITIES => Stage::Versions,
            NEGOTIATE_ALGORITHMS => Stage::Capabilities,
            FINISH => Stage::Handshake,
            _ if secured => Stage::Established,
            _ => Stage::Connected,
        }
    }

    /// What answers a well-formed request of this code (DSP0274, "Request ordering" and the
    /// sections of the requests).
    fn due(self, version: Version, code: u8) -> Found {
        let chunks = version >= Version::V1_2;
        let supported = matches!(code, 0x81..=0x86 | 0xe0 | 0xe1 | 0xe3..=0xe5)
            || matches!(code, 0xe8 | 0xe9 | 0xec | 0xfe | 0xff);
        let agreed = !matches!(self, Stage::Idle | Stage::Versions);
        let chunk = matches!(code, CHUNK_SEND | CHUNK_GET);
        if !supported || (chunk && agreed && !chunks) {
            return Found::Error(UnsupportedRequest, code);
        }
        // Without a transfer they are wrong in a way of their own.
        let answered = (chunk && agreed)
            || match self {
                Stage::Idle => code == GET_VERSION,
                Stage::Versions => matches!(code, GET_VERSION | GET_CAPABILITIES),
                Stage::Capabilities => matches!(code, GET_VERSION | NEGOTIATE_ALGORITHMS),
                Stage::Connected => {
                    let identity = matches!(code, GET_VERSION | GET_DIGESTS | GET_CERTIFICATE);
                    let proof = matches!(code, CHALLENGE | GET_MEASUREMENTS | KEY_EXCHANGE);
                    identity || proof || code == VENDOR_DEFINED_REQUEST
                }
                Stage::Handshake => code == FINISH,
                Stage::Established => {
                    let told = matches!(code, GET_DIGESTS | GET_CERTIFICATE | GET_MEASUREMENTS);
                    let keys = matches!(code, HEARTBEAT | KEY_UPDATE | END_SESSION);
                    told || keys || code == VENDOR_DEFINED_REQUEST
                }
            };
        let session = matches!(code, FINISH | HEARTBEAT | KEY_UPDATE | END_SESSION);
        match self {
            _ if answered => Found::Answer,
            Stage::Connected if session && version >= Version::V1_2 => refused(SessionRequired),
            _ => refused(UnexpectedRequest),
        }
    }
}

/// Which answers a flipped bit in this byte of a request that is due may have.
fn expected(version: Version, request: &[u8], changed: &[u8], at: usize) -> Vec<Found> {
    let v1_3 = version == Version::V1_3;
    let invalid = refused(InvalidRequest);
    let either = || Vec::from([Found::Answer, invalid]);
    let one = |found| Vec::from([found]);
    match (request[1], at) {
        // The version is being agreed on.
        (GET_CAPABILITIES, 0) if Version::negotiable(changed[0]).is_some() => either(),
        (_, 0) => one(refused(VersionMismatch)),
        // Algorithms are only told to those who take chunks, as this one does where there are any.
        (GET_CAPABILITIES, 2) if v1_3 => one(Found::Answer),
        (GET_CAPABILITIES, 8..) => either(),
        (NEGOTIATE_ALGORITHMS, 2 | 4 | 5) => one(invalid),
        (NEGOTIATE_ALGORITHMS, 28 | 29) => one(invalid),
        (NEGOTIATE_ALGORITHMS, 32..) if at % 4 < 2 => either(),
        // Slot, with a reserved half in some.
        (GET_CERTIFICATE, 2) if changed[2] & 0xf == 0 => one(Found::Answer),
        (GET_CERTIFICATE, 2) => one(invalid),
        // From a later byte on, or not so many.
        (GET_CERTIFICATE, 4..) => either(),
        (CHALLENGE, 2 | 3) => one(invalid),
        // Attributes: a signature moves what is behind them; another measurement.
        (GET_MEASUREMENTS, 2) if (changed[2] ^ request[2]) & 1 != 0 => one(invalid),
        (GET_MEASUREMENTS, 3) => either(),
        (GET_MEASUREMENTS, 36) if request[2] & 1 != 0 => either(),
        (VENDOR_DEFINED_REQUEST, 6..) => either(),
        (KEY_EXCHANGE, 2 | 3) => one(invalid),
        (KEY_EXCHANGE, 6) if v1_3 => either(),
        // Off the curve, or another point: no flipped bit meets one.
        (KEY_EXCHANGE, 40..136) => one(invalid),
        (KEY_EXCHANGE, 136..) => either(),
        (FINISH, 2) if changed[2] & 1 != 0 => one(invalid),
        // Even reserved bits are in the transcript.
        (FINISH, _) => one(refused(DecryptError)),
        (KEY_UPDATE, 2) => either(),
        _ => one(Found::Answer),
    }
}

/// A responder that has taken these requests.
fn after(setup: &Setup, requests: &[Exchange]) -> Far {
    let mut far = setup.far();
    for exchange in requests {
        assert_eq!(far.respond(&exchange.request.carried), exchange.response.carried);
    }
    far
}

/// Sends what may be a record's plaintext, and reads the answer.
fn send(responder: &mut TestResponder, version: Version, secured: bool, request: &[u8]) -> Found {
    let answer = if secured {
        let mut peer = responder.secured_session().unwrap().peer();
        let record = peer.seal(request).unwrap();
        let Message::Secured(answer) = responder.respond(&Message::Secured(record)).message else {
            panic!("an answer in clear")
        };
        // An answer under a new key, or of the session that was established, is one.
        let Ok(answer) = peer.open(&answer) else { return Found::Answer };
        answer.to_vec()
    } else {
        responder.respond(&Message::Clear(request.to_vec())).message.as_bytes().to_vec()
    };
    if answer[1] != ERROR {
        assert_eq!(answer[1], request[1] & 0x7f);
        return Found::Answer;
    }
    let version = if answer[0] == 0x10 { Version::V1_0 } else { version };
    let error: ErrorResponse = decode(&answer, version, ()).unwrap();
    assert_eq!(error.extended, []);
    Found::Error(error.code, error.data)
}

/// All requests of the version.
fn change_all(version: Version) {
    // What comes in clear, and what comes in a session, which has a shorter way to it.
    let clear = Setup { slow: None, asks: Vec::new(), ..Setup::everything(version) };
    change_each(&clear, false);
    let session = Setup { features: FEATURES, asks: asks(version), ..Setup::bare(version) };
    change_each(&session, true);
}

/// Every request of a conversation in clear or in the session, changed in every way.
fn change_each(setup: &Setup, secured: bool) {
    let version = setup.version;
    let recorded = setup.record();
    let whole = |exchange: &Exchange| {
        // Chunks are a matter of their own.
        !matches!(exchange.request.plain[1], CHUNK_SEND | CHUNK_GET)
            // A key that is not verified yet lets nothing else through.
            && exchange.request.plain[1..3] != [KEY_UPDATE, 3]
    };
    for (at, exchange) in recorded.iter().enumerate().filter(|(_, exchange)| whole(exchange)) {
        if matches!(exchange.request.carried, Message::Secured(_)) != secured {
            continue;
        }
        let plain = exchange.request.plain.as_slice();
        let stage = Stage::of(plain, secured);
        let Far { mut responder, .. } = after(setup, &recorded[..at]);
        let what = |how: &str, place: usize| {
            format!("{version:?} {:#04x} {how} {place}, {stage:?}", plain[1])
        };
        let mut expect = |request: &[u8], expected: &[Found], what| {
            let found = send(&mut responder, version, secured, request);
            assert!(expected.contains(&found), "{what}: {found:?}, not {expected:?}");
            // Whatever was changed for good is undone.
            match (found, plain[1]) {
                (Found::Answer, KEY_EXCHANGE) => assert!(responder.end_session().is_none()),
                (Found::Answer, GET_DIGESTS | GET_CERTIFICATE | CHALLENGE | GET_MEASUREMENTS) => {}
                (Found::Answer, VENDOR_DEFINED_REQUEST | HEARTBEAT) => {}
                (Found::Answer, _) | (Found::Error(DecryptError, _), _) => {
                    responder = after(setup, &recorded[..at]).responder;
                }
                (Found::Error(..), _) => {}
            }
        };
        for length in lengths(plain.len()) {
            expect(&plain[..length], &[refused(InvalidRequest)], what("cut at", length));
        }
        for extra in [1, 2, 64] {
            let longer = [plain, &[0x5a; 64][..extra]].concat();
            expect(&longer, &[refused(InvalidRequest)], what("longer by", extra));
        }
        let too_large = match stage {
            Stage::Idle | Stage::Versions => InvalidRequest,
            _ if version == Version::V1_1 => InvalidRequest,
            _ => RequestTooLarge,
        };
        let oversized = [plain, &[0; 5000]].concat();
        expect(&oversized, &[refused(too_large)], what("longer by", 5000));
        // All codes that there are, and each other request of the conversation.
        for code in 0..=0xff {
            let due = stage.due(version, code);
            if due != Found::Answer {
                let first = if code == GET_VERSION { 0x10 } else { version as u8 };
                let expected = match code {
                    GET_VERSION if stage.is_secured() => refused(VersionMismatch),
                    _ => due,
                };
                expect(&[first, code, 0, 0], &[expected], what("with code", code.into()));
            }
        }
        for (other, exchange) in recorded.iter().enumerate().filter(|(_, other)| whole(other)) {
            let instead = exchange.request.plain.as_slice();
            let due = stage.due(version, instead[1]);
            if due != Found::Answer {
                let expected = match instead[1] {
                    GET_VERSION => refused(VersionMismatch),
                    _ => due,
                };
                expect(instead, &[expected], what("replaced by number", other));
            }
        }
        for (byte, bit) in flipped(version, plain.len()).into_iter().filter(|(byte, _)| *byte != 1)
        {
            let mut changed = plain.to_vec();
            changed[byte] ^= 1 << bit;
            let expected = expected(version, plain, &changed, byte);
            expect(&changed, &expected, what("flipped at", byte * 8 + bit));
        }
        // The request that is due is answered, whatever was before.
        expect(plain, &[Found::Answer], what("itself", 0));
    }
}

#[test]
fn each_request_of_1_1_is_answered() {
    change_all(Version::V1_1);
}

#[test]
fn each_request_of_1_2_is_answered() {
    change_all(Version::V1_2);
}

#[test]
fn each_request_of_1_3_is_answered() {
    change_all(Version::V1_3);
}
