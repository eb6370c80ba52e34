//! The schedule against its definition, written out in HMACs, and against frozen values.

use alloc::vec::Vec;

use subtle::ConstantTimeEq;

use super::*;

fn hmac(key: &[u8], message: &[u8]) -> [u8; 48] {
    // RFC 2104 with SHA-384's block of 128 bytes, so that nothing is shared with what is tested.
    use sha2::Digest;
    let mut block = [0; 128];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha384::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha384::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

/// HKDF-Expand for at most one block.
fn expand(version: &str, secret: &[u8], length: u16, label: &str, context: &[u8]) -> Vec<u8> {
    let mut info = length.to_le_bytes().to_vec();
    info.extend_from_slice(version.as_bytes());
    info.extend_from_slice(label.as_bytes());
    info.extend_from_slice(context);
    info.push(1);
    hmac(secret, &info)[..length.into()].to_vec()
}

fn assert_direction(version: &str, keys: &DirectionKeys, secret: &[u8]) {
    assert_eq!(keys.key.as_slice(), expand(version, secret, 32, "key", b""));
    assert_eq!(keys.iv.as_slice(), expand(version, secret, 12, "iv", b""));
}

// DSP0274, "Key schedule": BinConcat is the length in 16 bits, "spdm1.x ", label and context.
#[test]
fn the_schedule_is_the_specifications() {
    for (version, v) in
        [(Version::V1_1, "spdm1.1 "), (Version::V1_2, "spdm1.2 "), (Version::V1_3, "spdm1.3 ")]
    {
        let (shared, th1, th2) = ([0x11; 48], [0x22; 48], [0x33; 48]);
        let secrets = HandshakeSecrets::derive(version, &shared, &th1);

        let handshake = hmac(&[0; 48], &shared);
        let requester = expand(v, &handshake, 48, "req hs data", &th1);
        let responder = expand(v, &handshake, 48, "rsp hs data", &th1);
        assert_direction(v, &secrets.requester, &requester);
        assert_direction(v, &secrets.responder, &responder);
        for (finished, secret) in
            [(&secrets.requester_finished, &requester), (&secrets.responder_finished, &responder)]
        {
            let expected = hmac(&expand(v, secret, 48, "finished", b""), &th1);
            assert_eq!(finished.verify_data(&th1), expected);
            assert!(finished.verify(&th1, &expected));
            assert!(!finished.verify(&th2, &expected));
        }

        let mut data = secrets.into_data(&th2);
        let master = hmac(&expand(v, &handshake, 48, "derived", b""), &[0; 48]);
        let requester = expand(v, &master, 48, "req app data", &th2);
        let responder = expand(v, &master, 48, "rsp app data", &th2);
        assert_direction(v, &data.requester, &requester);
        assert_direction(v, &data.responder, &responder);
        let export = expand(v, &master, 48, "exp master", &th2);
        let export = ExportMasterSecret::new(export.try_into().unwrap());
        assert!(bool::from(data.export.ct_eq(&export)));

        // "Major secrets update": the next secret from the last one, twice.
        let updated = expand(v, &requester, 48, "traffic upd", b"");
        assert_direction(v, &data.traffic.update_requester(), &updated);
        let updated = expand(v, &updated, 48, "traffic upd", b"");
        assert_direction(v, &data.traffic.update_requester(), &updated);
        let updated = expand(v, &responder, 48, "traffic upd", b"");
        assert_direction(v, &data.traffic.responder_ahead(), &updated);
        assert_direction(v, &data.traffic.update_responder(), &updated);
    }
}

#[test]
fn the_two_sides_and_phases_have_keys_of_their_own() {
    let secrets = HandshakeSecrets::derive(Version::V1_2, &[1; 48], &[2; 48]);
    let handshake = [secrets.requester.key, secrets.responder.key];
    let data = secrets.into_data(&[2; 48]);
    let keys = [handshake[0], handshake[1], data.requester.key, data.responder.key];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key));
    }
}
