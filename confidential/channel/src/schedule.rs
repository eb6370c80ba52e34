//! The key schedule: HKDF-SHA-384 (RFC 5869) from the session's secret to the key of a record.
//!
//! ```text
//! traffic secret 0   = Expand(Extract(salt "ravelin channel 1", export master secret),
//!                             "traffic" || channel u32 || direction u8)
//! traffic secret g+1 = Expand(traffic secret g, "ratchet")
//! key, fixed field   = Expand(traffic secret g, "key" / "iv")
//! ```
//!
//! Integers are big-endian. The ratchet only goes forward: a secret is wiped when its successor
//! exists, so that a key found later opens nothing sealed before. When to go forward is decided in
//! `sequence`.

use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha384;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, ExportMasterSecret};

const SALT: &[u8] = b"ravelin channel 1";

/// Which way a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Sealed by the driver, opened by SEC2.
    GuestToGpu = 0,
    /// Sealed by SEC2, opened by the driver.
    GpuToGuest = 1,
}

/// The key of one generation.
pub(crate) struct RecordKey {
    pub(crate) cipher: Aes256Gcm,
    pub(crate) fixed_field: [u8; 4],
}

/// The secrets of one channel and direction, standing at one generation.
pub(crate) struct Schedule {
    generation: u32,
    secret: Zeroizing<[u8; 48]>,
    key: RecordKey,
}

impl Schedule {
    /// Stands at generation 0.
    pub(crate) fn new(
        master: &ExportMasterSecret,
        channel: u32,
        direction: Direction,
    ) -> Result<Schedule, Error> {
        let root = Hkdf::<Sha384>::new(Some(SALT), master.bytes());
        let mut secret = Zeroizing::new([0; 48]);
        root.expand_multi_info(
            &[b"traffic", &channel.to_be_bytes(), &[direction as u8]],
            secret.as_mut_slice(),
        )
        .map_err(|_| Error::KeySchedule)?;
        let key = record_key(&secret)?;
        Ok(Schedule { generation: 0, secret, key })
    }

    /// The key of a generation. Earlier ones are gone; asking for one is an error.
    pub(crate) fn key(&mut self, generation: u32) -> Result<&RecordKey, Error> {
        if generation < self.generation {
            return Err(Error::KeySchedule);
        }
        while self.generation < generation {
            let mut next = Zeroizing::new([0; 48]);
            expand(&self.secret, b"ratchet", next.as_mut_slice())?;
            self.secret = next;
            self.key = record_key(&self.secret)?;
            self.generation += 1;
        }
        Ok(&self.key)
    }
}

fn record_key(secret: &[u8; 48]) -> Result<RecordKey, Error> {
    let mut key = Zeroizing::new([0; 32]);
    expand(secret, b"key", key.as_mut_slice())?;
    let mut fixed_field = [0; 4];
    expand(secret, b"iv", &mut fixed_field)?;
    Ok(RecordKey { cipher: Aes256Gcm::new((&*key).into()), fixed_field })
}

impl Drop for RecordKey {
    fn drop(&mut self) {
        // The cipher wipes itself (feature `zeroize`).
        self.fixed_field.zeroize();
    }
}

fn expand(secret: &[u8; 48], label: &[u8], output: &mut [u8]) -> Result<(), Error> {
    Hkdf::<Sha384>::from_prk(secret)
        .map_err(|_| Error::KeySchedule)?
        .expand(label, output)
        .map_err(|_| Error::KeySchedule)
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::aead::inout::InOutBuf;
    use hmac::{Hmac, KeyInit as _, Mac};

    use super::*;

    /// HKDF of RFC 5869 by its definition, for outputs of one block.
    fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 48] {
        let mut mac = Hmac::<Sha384>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    fn tag(key: &RecordKey) -> [u8; 16] {
        let iv = [0; 12];
        let mut empty = [0; 0];
        let buffer = InOutBuf::from(empty.as_mut_slice());
        key.cipher.encrypt_inout_detached(&iv.into(), b"", buffer).unwrap().into()
    }

    #[test]
    fn keys_follow_the_written_derivation() {
        let master = ExportMasterSecret::new([7; 48]);
        let mut schedule = Schedule::new(&master, 0x0102_0304, Direction::GpuToGuest).unwrap();

        let root = hmac(b"ravelin channel 1", &[&[7; 48]]);
        let mut secret = hmac(&root, &[b"traffic", &[1, 2, 3, 4, 1], &[1]]);
        for generation in 0..4 {
            let key = hmac(&secret, &[b"key", &[1]]);
            let fixed = hmac(&secret, &[b"iv", &[1]]);
            let found = schedule.key(generation).unwrap();
            let expected: [u8; 32] = core::array::from_fn(|index| key[index]);
            let expected = RecordKey {
                cipher: Aes256Gcm::new((&expected).into()),
                fixed_field: core::array::from_fn(|index| fixed[index]),
            };
            assert_eq!(found.fixed_field, expected.fixed_field, "generation {generation}");
            assert_eq!(tag(found), tag(&expected), "generation {generation}");
            secret = hmac(&secret, &[b"ratchet", &[1]]);
        }
    }

    #[test]
    fn every_channel_direction_and_generation_has_its_own_key() {
        let master = ExportMasterSecret::new([7; 48]);
        let mut tags = std::collections::HashSet::new();
        for channel in [0, 1, 2, 256, u32::MAX] {
            for direction in [Direction::GuestToGpu, Direction::GpuToGuest] {
                let mut schedule = Schedule::new(&master, channel, direction).unwrap();
                for generation in 0..3 {
                    assert!(tags.insert(tag(schedule.key(generation).unwrap())));
                }
            }
        }
    }

    #[test]
    fn the_ratchet_does_not_turn_back() {
        let master = ExportMasterSecret::new([7; 48]);
        let mut schedule = Schedule::new(&master, 0, Direction::GuestToGpu).unwrap();
        schedule.key(2).unwrap();
        assert!(matches!(schedule.key(1), Err(Error::KeySchedule)));
    }
}
