//! Signatures of SPDM: from 1.2 on, what is signed is never a bare digest, but a digest with a
//! prefix that says which message of which version it belongs to, so that none can pass for
//! another. 1.1 signs the transcript as it is.
//!
//! The responder's private key stays with the [`Device`].

use p384::ecdsa::signature::Verifier;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};

use crate::responder::Device;
use crate::version::Version;

/// Bytes of what is signed: combined prefix and digest.
pub const SIGNED_SIZE: usize = 100 + 48;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// CHALLENGE_AUTH.
    Challenge,
    /// KEY_EXCHANGE_RSP.
    KeyExchange,
    /// MEASUREMENTS.
    Measurements,
}

impl Purpose {
    /// The specification's context string, which has 36 characters at most.
    fn context(self) -> &'static [u8] {
        match self {
            Purpose::Challenge => b"responder-challenge_auth signing",
            Purpose::KeyExchange => b"responder-key_exchange_rsp signing",
            Purpose::Measurements => b"responder-measurements signing",
        }
    }
}

/// The message to sign (DSP0274, "combined_spdm_prefix"): four times the version, zeros, the
/// context up to byte 100, and the digest of the transcript. `None` in versions without a prefix.
pub(crate) fn signed_message(
    version: Version,
    purpose: Purpose,
    transcript: &[u8; 48],
) -> Option<[u8; SIGNED_SIZE]> {
    let spelled = match version {
        Version::V1_0 | Version::V1_1 => return None,
        Version::V1_2 => b"dmtf-spdm-v1.2.*",
        Version::V1_3 => b"dmtf-spdm-v1.3.*",
    };
    let mut message = [0; SIGNED_SIZE];
    let (prefix, digest) = message.split_at_mut(100);
    prefix.chunks_mut(16).take(4).for_each(|part| part.copy_from_slice(spelled));
    let context = purpose.context();
    prefix.iter_mut().rev().zip(context.iter().rev()).for_each(|(to, from)| *to = *from);
    digest.copy_from_slice(transcript);
    Some(message)
}

/// The device's signature over a transcript, of which there is the digest.
pub(crate) fn sign(
    device: &impl Device,
    version: Version,
    purpose: Purpose,
    transcript: &[u8; 48],
) -> Option<[u8; 96]> {
    match signed_message(version, purpose, transcript) {
        Some(message) => device.sign(&message),
        None => device.sign_digest(transcript),
    }
}

/// Whether a signature (r and s, 48 bytes each, big-endian) is the key's.
pub(crate) fn verify(
    key: &VerifyingKey,
    version: Version,
    purpose: Purpose,
    transcript: &[u8; 48],
    signature: &[u8; 96],
) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| {
        match signed_message(version, purpose, transcript) {
            Some(message) => key.verify(&message, &signature).is_ok(),
            None => key.verify_prehash(transcript, &signature).is_ok(),
        }
    })
}

#[cfg(test)]
mod tests {
    use p384::ecdsa::signature::Signer;
    use sha2::{Digest, Sha384};

    use super::*;
    use crate::test_support::TestDevice;

    #[test]
    fn the_prefix_is_the_specifications() {
        let message = signed_message(Version::V1_2, Purpose::Measurements, &[0xaa; 48]).unwrap();
        assert_eq!(
            &message[..64],
            b"dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*"
        );
        assert_eq!(&message[64..70], [0; 6]);
        assert_eq!(&message[70..100], b"responder-measurements signing");
        assert_eq!(&message[100..], [0xaa; 48]);

        let message = signed_message(Version::V1_3, Purpose::KeyExchange, &[0xaa; 48]).unwrap();
        assert_eq!(&message[48..64], b"dmtf-spdm-v1.3.*");
        assert_eq!(&message[64..66], [0; 2]);
        assert_eq!(&message[66..100], b"responder-key_exchange_rsp signing");

        let message = signed_message(Version::V1_3, Purpose::Challenge, &[0xaa; 48]).unwrap();
        assert_eq!(&message[64..68], [0; 4]);
        assert_eq!(&message[68..100], b"responder-challenge_auth signing");
    }

    #[test]
    fn version_1_1_signs_the_transcript_itself() {
        let device = TestDevice::genuine(1);
        let digest = Sha384::digest(b"the transcript").into();
        let ours = sign(&device, Version::V1_1, Purpose::Challenge, &digest).unwrap();
        let plain: Signature = device.key.sign(b"the transcript");
        assert_eq!(ours.as_slice(), plain.to_bytes().as_slice());
        let key = device.key.verifying_key();
        assert!(verify(key, Version::V1_1, Purpose::Challenge, &digest, &ours));
    }

    #[test]
    fn no_signature_passes_for_one_of_another_version_or_purpose() {
        let device = TestDevice::genuine(1);
        let digest = [7; 48];
        let purposes = [Purpose::Challenge, Purpose::KeyExchange, Purpose::Measurements];
        let all = [Version::V1_2, Version::V1_3]
            .into_iter()
            .flat_map(|version| purposes.map(|purpose| (version, purpose)))
            .chain([(Version::V1_1, Purpose::Challenge)]);
        for (version, purpose) in all.clone() {
            let signature = sign(&device, version, purpose, &digest).unwrap();
            for other in all.clone() {
                let key = device.key.verifying_key();
                let right = verify(key, other.0, other.1, &digest, &signature);
                assert_eq!(right, other == (version, purpose));
            }
        }
    }
}
