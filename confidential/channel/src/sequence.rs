//! Sequence numbers: which record is next, its IV, and how many a key may seal.
//!
//! IVs follow the deterministic construction of NIST SP 800-38D, section 8.2.1: a fixed field of
//! four bytes, which belongs to the key, and an invocation field of eight bytes, which is the
//! sequence number. A sequence number is used once, so an IV is.

use crate::Error;

/// Most bytes of one record: 2^16 blocks of AES.
pub const MAX_RECORD_LENGTH: usize = 1 << 20;

/// Records sealed under one key before both ends move on to the next.
///
/// NIST SP 800-38D bounds a key in two ways. Section 8.3 allows 2^32 invocations where IVs might
/// collide; counted IVs cannot, but the number is kept. What binds is the birthday bound of the
/// 128-bit block: with `s` blocks under a key an attacker tells ciphertext from noise with an
/// advantage of about s^2 / 2^129. TLS 1.3 (RFC 8446, section 5.5) stops at 2^-60. A record here is
/// at most 2^16 blocks and two more of counter and tag, so 2^18 records are just above 2^34 blocks,
/// and the advantage is 2^-61. Forgery needs no bound: the first forged record ends the key.
pub const RECORDS_PER_GENERATION: u64 = 1 << 18;

/// Keys of a channel and direction, one after another. With the last record of the last one (2^42
/// in all, 4 EiB of full ones) the channel ends in an error: a new session is due.
pub const GENERATIONS: u32 = 1 << 24;

/// How many records a key may seal and how many keys there are. [`Limits::STANDARD`] but in tests,
/// which have no time for 2^18 records.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records_per_generation: u64,
    pub(crate) generations: u32,
}

impl Limits {
    pub(crate) const STANDARD: Limits =
        Limits { records_per_generation: RECORDS_PER_GENERATION, generations: GENERATIONS };

    /// The generation of key that seals this record; both ends derive it from the number alone, so
    /// that a rotation needs no message and cannot be forged, delayed or suppressed.
    pub(crate) fn generation(&self, sequence: u64) -> Result<u32, Error> {
        sequence
            .checked_sub(1)
            .and_then(|index| index.checked_div(self.records_per_generation))
            .and_then(|generation| u32::try_from(generation).ok())
            .filter(|generation| *generation < self.generations)
            .ok_or(Error::Exhausted { sequence })
    }
}

/// The number of the only record that is acceptable next.
pub(crate) struct Sequence(u64);

impl Sequence {
    /// Before the first record, which is number 1.
    pub(crate) fn new() -> Sequence {
        Sequence(1)
    }

    pub(crate) fn next(&self) -> u64 {
        self.0
    }

    /// Refuses every number but the next one: what is lower is a replay, what is higher skips one.
    pub(crate) fn expect(&self, sequence: u64) -> Result<(), Error> {
        if sequence == self.0 {
            Ok(())
        } else {
            Err(Error::OutOfSequence { expected: self.0, found: sequence })
        }
    }

    /// One record on. Saturates behind the last generation, where [`Limits::generation`] refuses.
    pub(crate) fn advance(&mut self) {
        self.0 = self.0.saturating_add(1);
    }
}

/// The IV of a record: SP 800-38D's fixed field and invocation field.
pub(crate) fn iv(fixed: &[u8; 4], sequence: u64) -> [u8; 12] {
    let mut iv = [0; 12];
    iv[..4].copy_from_slice(fixed);
    iv[4..].copy_from_slice(&sequence.to_be_bytes());
    iv
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_stays_below_the_birthday_bound() {
        let blocks_a_record = MAX_RECORD_LENGTH as u128 / 16 + 2;
        let blocks = blocks_a_record * u128::from(RECORDS_PER_GENERATION);
        assert!(blocks.pow(2) <= 1 << (129 - 60), "advantage above 2^-60");
        const { assert!(RECORDS_PER_GENERATION <= 1 << 32) };
    }

    #[test]
    fn generations_change_exactly_at_the_limit_and_end() {
        let limits = Limits { records_per_generation: 3, generations: 2 };
        let generations: std::vec::Vec<_> = (1..=6).map(|n| limits.generation(n).ok()).collect();
        assert_eq!(generations, [Some(0), Some(0), Some(0), Some(1), Some(1), Some(1)]);
        assert!(matches!(limits.generation(7), Err(Error::Exhausted { sequence: 7 })));
        assert!(limits.generation(0).is_err(), "there is no record 0");
        assert!(limits.generation(u64::MAX).is_err());
    }

    #[test]
    fn no_two_records_share_an_iv() {
        let ivs: HashSet<_> = (0..10_000).map(|sequence| iv(&[1, 2, 3, 4], sequence)).collect();
        assert_eq!(ivs.len(), 10_000);
    }
}
