//! Threat 2: downgrades of version, capabilities and algorithms.

use super::*;

#[test]
fn a_list_of_versions_that_was_cut_fails_on_the_signature() {
    // Both speak 1.3; the attacker lets only 1.2 pass.
    let mut requester = requester(7).with_versions([Version::V1_2, Version::V1_3]);
    let outcome = handshake(&mut requester, &mut responder(), |_, way, message| match way {
        Way::Response(code::GET_VERSION) => {
            map(message, |bytes| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 1, 0, 0x12])
        }
        _ => message,
    });
    assert_eq!(outcome.error(), Error::BadSignature);
    assert_eq!(requester.version(), Some(Version::V1_2));
}

#[test]
fn a_weaker_choice_that_is_hidden_from_the_requester_fails_on_the_signature() {
    // The responder is offered P-256 and SHA-256 besides; the attacker cuts them out of the answer
    // if there are any. What the device signs is the offer as it came.
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| match way {
        Way::Request(code::NEGOTIATE_ALGORITHMS) => map(message, |bytes| {
            bytes[8] |= 1 << 4;
            bytes[12] |= 1;
        }),
        Way::Response(code::NEGOTIATE_ALGORITHMS) => map(message, |bytes| {
            bytes[12] &= !(1 << 4);
            bytes[16] &= !1;
        }),
        _ => message,
    });
    assert_eq!(outcome.error(), Error::BadSignature);
}

#[test]
fn measurements_without_a_signature_are_a_missing_capability() {
    // MEAS_CAP 01b instead of 10b.
    let unsigned = |bytes: &mut Vec<u8>| bytes[8] ^= 0x18;
    let at = Way::Response(code::GET_CAPABILITIES);
    for version in Version::NEGOTIABLE {
        let missing = Error::MissingCapabilities { missing: Flags::MEAS_SIG };
        assert_eq!(attacked_in(version, at, unsigned), missing);
    }
}

#[test]
fn an_offer_with_weaker_algorithms_added_fails_on_the_signature() {
    // SHA-256 besides SHA-384: the responder does not mind, the transcript does.
    let at = Way::Request(code::NEGOTIATE_ALGORITHMS);
    assert_eq!(attacked(at, flip(12)), Error::BadSignature);
}

#[test]
fn a_responder_of_an_older_version_is_refused() {
    let older = |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 1, 0, 0x11];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), older), Error::NoCommonVersion);
    let draft = |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 1, 1, 0x12];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), draft), Error::NoCommonVersion);
}

#[test]
fn versions_added_to_or_taken_from_the_list_fail_on_the_signature() {
    let more =
        |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 2, 0, 0x12, 0, 0x11];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), more), Error::BadSignature);
}

#[test]
fn answers_of_another_version_are_refused() {
    for code in [code::GET_CAPABILITIES, code::NEGOTIATE_ALGORITHMS, code::KEY_EXCHANGE] {
        let older = |bytes: &mut Vec<u8>| bytes[0] = 0x11;
        let refused = Error::Malformed(DecodeError::Version { found: 0x11 });
        assert_eq!(attacked(Way::Response(code), older), refused);
    }
}

#[test]
fn each_missing_capability_is_refused() {
    for (bit, missing) in
        [(1, Flags::CERT), (4, Flags::MEAS_SIG), (6, Flags::ENCRYPT), (7, Flags::MAC)]
    {
        let clear = |bytes: &mut Vec<u8>| bytes[8] &= !(1 << bit);
        let at = Way::Response(code::GET_CAPABILITIES);
        assert_eq!(attacked(at, clear), Error::MissingCapabilities { missing });
    }
    // Without a key exchange, but with a shared key instead, so that the flags make sense.
    let psk = |bytes: &mut Vec<u8>| bytes[9] = 0x04;
    let missing = Flags::KEY_EX;
    let at = Way::Response(code::GET_CAPABILITIES);
    assert_eq!(attacked(at, psk), Error::MissingCapabilities { missing });
}

#[test]
fn each_weaker_algorithm_is_refused() {
    // Offset in ALGORITHMS, the weaker value, and the field that is named.
    for (offset, weaker, field) in [
        (6, 0, "MeasurementSpecificationSel"),
        (7, 1, "OtherParamsSelection"),
        (8, 1 << 1, "MeasurementHashAlgo"),
        (12, 1 << 4, "BaseAsymSel"),
        (16, 1 << 0, "BaseHashSel"),
        (38, 1 << 3, "DHE"),
        (42, 1 << 0, "AEAD"),
        (46, 0, "KeySchedule"),
    ] {
        let change = |bytes: &mut Vec<u8>| bytes[offset] = weaker;
        let refused = Error::WrongAlgorithm { field, found: weaker.into() };
        assert_eq!(attacked(Way::Response(code::NEGOTIATE_ALGORITHMS), change), refused);
    }
    // More than one is no choice.
    let both = |bytes: &mut Vec<u8>| bytes[16] |= 1;
    let refused = Error::WrongAlgorithm { field: "BaseHashSel", found: 3 };
    assert_eq!(attacked(Way::Response(code::NEGOTIATE_ALGORITHMS), both), refused);
}

#[test]
fn an_algorithm_structure_missing_or_added_is_refused() {
    let choice = crate::suite::choose(Version::V1_2, &crate::suite::offer(Version::V1_2));
    let at = Way::Response(code::NEGOTIATE_ALGORITHMS);
    let mut fewer = choice.clone();
    fewer.algorithms.pop();
    let send = |bytes: &mut Vec<u8>| *bytes = fewer.encode(Version::V1_2);
    let refused = Error::WrongAlgorithm { field: "KeySchedule", found: 0 };
    assert_eq!(attacked(at, send), refused);

    let mut more = choice;
    more.algorithms.insert(
        2,
        algorithms::Algorithm {
            kind: algorithms::AlgorithmType::RequesterAsymmetric,
            supported: 0x80,
            extended: 0,
        },
    );
    let send = |bytes: &mut Vec<u8>| *bytes = more.encode(Version::V1_2);
    let refused = Error::WrongAlgorithm { field: "AlgStructure", found: 4 };
    assert_eq!(attacked(at, send), refused);
}

#[test]
fn a_choice_from_an_offer_that_was_cut_is_refused() {
    // The responder picks nothing where nothing is offered, and the requester does not go on.
    for (offset, field) in [
        (6, "MeasurementSpecificationSel"),
        (7, "OtherParamsSelection"),
        (8, "BaseAsymSel"),
        (12, "BaseHashSel"),
        (34, "DHE"),
        (38, "AEAD"),
        (42, "KeySchedule"),
    ] {
        let take = |bytes: &mut Vec<u8>| bytes[offset] = 0;
        let error = attacked(Way::Request(code::NEGOTIATE_ALGORITHMS), take);
        assert_eq!(error, Error::WrongAlgorithm { field, found: 0 }, "byte {offset}");
    }
}
