//! The key schedule of DSP0274, "Key schedule": from the Diffie-Hellman secret and the transcript
//! to the keys of a session, with HKDF-SHA-384.
//!
//! ```text
//! 0 -> Extract(DHE) = handshake secret --(TH1)--> requester's, responder's handshake secret
//!          |
//!      "derived" -> Extract(0) = master secret --(TH2)--> requester's, responder's data secret
//!                                              `-(TH2)--> export master secret
//! ```
//!
//! Each direction's secret gives a key and an IV; a handshake secret, a finished key besides; a data
//! secret, the next one.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use ravelin_channel::ExportMasterSecret;
use sha2::Sha384;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::version::Version;

const HASH_SIZE: usize = 48;

/// A secret of the schedule.
type Secret = Zeroizing<[u8; HASH_SIZE]>;

/// Key and IV of one direction.
#[derive(ZeroizeOnDrop)]
pub(crate) struct DirectionKeys {
    pub(crate) key: [u8; 32],
    pub(crate) iv: [u8; 12],
}

/// The key of one side's verify data.
pub(crate) struct FinishedKey(Secret);

/// What the handshake of a session needs, and what becomes of it.
pub(crate) struct HandshakeSecrets {
    version: Version,
    handshake: Secret,
    pub(crate) requester: DirectionKeys,
    pub(crate) responder: DirectionKeys,
    pub(crate) requester_finished: FinishedKey,
    pub(crate) responder_finished: FinishedKey,
}

/// What an established session needs.
pub(crate) struct DataSecrets {
    pub(crate) requester: DirectionKeys,
    pub(crate) responder: DirectionKeys,
    pub(crate) export: ExportMasterSecret,
    /// For the keys after these.
    pub(crate) traffic: TrafficSecrets,
}

/// The data secrets of both directions, from which KEY_UPDATE makes the next keys.
pub(crate) struct TrafficSecrets {
    version: Version,
    requester: Secret,
    responder: Secret,
}

impl HandshakeSecrets {
    /// From the shared secret and TH1, the transcript up to KEY_EXCHANGE_RSP's signature.
    pub(crate) fn derive(version: Version, shared: &[u8], th1: &[u8; 48]) -> HandshakeSecrets {
        let handshake = extract(&[0; HASH_SIZE], shared);
        let requester_secret = secret(version, &handshake, b"req hs data", th1);
        let responder_secret = secret(version, &handshake, b"rsp hs data", th1);
        HandshakeSecrets {
            version,
            requester: direction(version, &requester_secret),
            responder: direction(version, &responder_secret),
            requester_finished: FinishedKey(secret(version, &requester_secret, b"finished", &[])),
            responder_finished: FinishedKey(secret(version, &responder_secret, b"finished", &[])),
            handshake,
        }
    }

    /// From TH2, the transcript up to FINISH_RSP.
    pub(crate) fn into_data(self, th2: &[u8; 48]) -> DataSecrets {
        let version = self.version;
        let salt = secret(version, &self.handshake, b"derived", &[]);
        let master = extract(salt.as_slice(), &[0; HASH_SIZE]);
        let requester = secret(version, &master, b"req app data", th2);
        let responder = secret(version, &master, b"rsp app data", th2);
        DataSecrets {
            requester: direction(version, &requester),
            responder: direction(version, &responder),
            export: ExportMasterSecret::new(*secret(version, &master, b"exp master", th2)),
            traffic: TrafficSecrets { version, requester, responder },
        }
    }
}

impl TrafficSecrets {
    /// The next keys of the requester's direction; the secret of the last ones is gone.
    pub(crate) fn update_requester(&mut self) -> DirectionKeys {
        self.requester = secret(self.version, &self.requester, b"traffic upd", &[]);
        direction(self.version, &self.requester)
    }

    /// The next keys of the responder's direction, in case that it agrees to them.
    pub(crate) fn responder_ahead(&self) -> DirectionKeys {
        direction(self.version, &secret(self.version, &self.responder, b"traffic upd", &[]))
    }

    /// The next keys of the responder's direction.
    pub(crate) fn update_responder(&mut self) -> DirectionKeys {
        self.responder = secret(self.version, &self.responder, b"traffic upd", &[]);
        direction(self.version, &self.responder)
    }
}

impl FinishedKey {
    /// Verify data over a transcript.
    pub(crate) fn verify_data(&self, transcript: &[u8; 48]) -> [u8; 48] {
        self.mac(transcript).finalize().into_bytes().into()
    }

    /// Whether verify data is right, in constant time.
    pub(crate) fn verify(&self, transcript: &[u8; 48], verify_data: &[u8; 48]) -> bool {
        self.mac(transcript).verify_slice(verify_data).is_ok()
    }

    fn mac(&self, transcript: &[u8; 48]) -> Hmac<Sha384> {
        let block = self.key_block();
        Hmac::<Sha384>::new((&*block).into()).chain_update(transcript)
    }

    /// The key, filled up with zeros to the hash's block as HMAC does itself; in this form no
    /// length can be wrong.
    fn key_block(&self) -> Zeroizing<[u8; 128]> {
        let mut block = Zeroizing::new([0; 128]);
        block.iter_mut().zip(self.0.iter()).for_each(|(to, from)| *to = *from);
        block
    }
}

fn extract(salt: &[u8], input: &[u8]) -> Secret {
    let (secret, _) = Hkdf::<Sha384>::extract(Some(salt), input);
    Zeroizing::new(secret.into())
}

fn secret(version: Version, from: &Secret, label: &[u8], context: &[u8]) -> Secret {
    Zeroizing::new(expand(version, from, label, context))
}

fn direction(version: Version, secret: &Secret) -> DirectionKeys {
    DirectionKeys {
        key: expand(version, secret, b"key", &[]),
        iv: expand(version, secret, b"iv", &[]),
    }
}

/// HKDF-Expand with the specification's BinConcat: length, version, label, context.
fn expand<const N: usize>(
    version: Version,
    secret: &Secret,
    label: &[u8],
    context: &[u8],
) -> [u8; N] {
    let [major, minor] = [version as u8 >> 4, version as u8 & 0xf].map(|digit| b'0' + digit);
    let spelled = [b's', b'p', b'd', b'm', major, b'.', minor, b' '];
    let info = [&(N as u16).to_le_bytes(), spelled.as_slice(), label, context];
    let mut output = [0; N];
    // It fails for a secret below 48 bytes and an output above 255 * 48: neither exists here. Were
    // it to fail, the zeros left would be keys that everyone knows, hence the assertion.
    let expanded = Hkdf::<Sha384>::from_prk(secret.as_slice())
        .is_ok_and(|hkdf| hkdf.expand_multi_info(&info, &mut output).is_ok());
    assert!(expanded, "HKDF refuses an output of {N} bytes");
    output
}

#[cfg(test)]
mod tests;
