//! Signatures of SPDM 1.2: what is signed is never a bare digest, but a digest with a prefix that
//! says which message of which version it belongs to, so that none can pass for another.
//!
//! The responder's private key stays with the [`Device`](crate::responder::Device).

use p384::ecdsa::{Signature, VerifyingKey, signature::Verifier};

/// Bytes of what is signed: combined prefix and digest.
pub const SIGNED_SIZE: usize = 100 + 48;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// KEY_EXCHANGE_RSP.
    KeyExchange,
    /// MEASUREMENTS.
    Measurements,
}

impl Purpose {
    /// The specification's context string, which has 36 characters at most.
    fn context(self) -> &'static [u8] {
        match self {
            Purpose::KeyExchange => b"responder-key_exchange_rsp signing",
            Purpose::Measurements => b"responder-measurements signing",
        }
    }
}

/// The message to sign (DSP0274, "combined_spdm_prefix"): four times the version, zeros, the
/// context up to byte 100, and the digest of the transcript.
pub(crate) fn signed_message(purpose: Purpose, transcript: &[u8; 48]) -> [u8; SIGNED_SIZE] {
    let mut message = [0; SIGNED_SIZE];
    let (prefix, digest) = message.split_at_mut(100);
    prefix.chunks_mut(16).take(4).for_each(|part| part.copy_from_slice(b"dmtf-spdm-v1.2.*"));
    let context = purpose.context();
    prefix.iter_mut().rev().zip(context.iter().rev()).for_each(|(to, from)| *to = *from);
    digest.copy_from_slice(transcript);
    message
}

/// Whether a signature (r and s, 48 bytes each, big-endian) is the key's.
pub(crate) fn verify(
    key: &VerifyingKey,
    purpose: Purpose,
    transcript: &[u8; 48],
    signature: &[u8; 96],
) -> bool {
    Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify(&signed_message(purpose, transcript), &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_specifications() {
        let message = signed_message(Purpose::Measurements, &[0xaa; 48]);
        assert_eq!(
            &message[..64],
            b"dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*"
        );
        assert_eq!(&message[64..70], [0; 6]);
        assert_eq!(&message[70..100], b"responder-measurements signing");
        assert_eq!(&message[100..], [0xaa; 48]);

        let message = signed_message(Purpose::KeyExchange, &[0xaa; 48]);
        assert_eq!(&message[64..66], [0; 2]);
        assert_eq!(&message[66..100], b"responder-key_exchange_rsp signing");
    }
}
