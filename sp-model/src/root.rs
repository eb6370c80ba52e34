//! The keys of the emulated AMD-SP and of its maker, all from one public seed.

use hkdf::Hkdf;
use p384::SecretKey;
use p384::ecdsa::SigningKey;
use sha2::Sha384;
use zeroize::Zeroizing;

/// FOR TESTS ONLY. NOT A SECRET. WORTH NOTHING.
///
/// Every key here follows from these public bytes, so whoever has this source can sign any report. AMD
/// keeps its root keys in hardware, and a chip's in its fuses.
pub const SEED: [u8; 48] = *b"ravelin emulated AMD-SP: public, worth nothing..";

/// The key for a purpose: HKDF-SHA-384 of the seed, over and over with another counter until the output
/// is a scalar of the curve's order (nearly always the first).
pub(crate) fn signing_key(purpose: &str) -> SigningKey {
    let mut counter = 0_u32;
    loop {
        let candidate = derive::<48>(&[&counter.to_be_bytes(), purpose.as_bytes()]);
        if let Ok(key) = SecretKey::from_slice(candidate.as_slice()) {
            return key.into();
        }
        counter = counter.wrapping_add(1);
    }
}

/// Bytes that follow from the seed and this context, whose parts have lengths that their users know.
pub(crate) fn derive<const N: usize>(context: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    // It fails above 255 blocks of 48 bytes only, which no caller asks for.
    let _ = Hkdf::<Sha384>::new(Some(b"ravelin sp-model"), &SEED)
        .expand_multi_info(context, bytes.as_mut_slice());
    bytes
}
